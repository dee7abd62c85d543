/* The one place where option values become data sets, a model and a plan, so that the worker and
 * the benchmark train exactly the same thing. */
#include "worker/train/workload.h"

#include "common/base/error.h"

#include <string.h>

static int open_data(const rub_config_t *config, const char *features, const char *labels,
                     uint32_t n_classes, rub_dataset_t **dataset_p, rub_error_t *err)
{
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.format = rub_config_word(config, RUB_OPT_data_format);
    options.features_path = features;
    options.labels_path = labels;
    options.n_classes = n_classes;
    return rub_dataset_open(&options, dataset_p, err);
}

static int open_all_data(const rub_config_t *config, rub_workload_t *self, rub_error_t *err)
{
    if (config->train_images[0] == '\0' || config->train_labels[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG,
                        "train_images and train_labels are not set: nothing to train on");
    }
    int rc = open_data(config, config->train_images, config->train_labels, 0, &self->train, err);
    if (rc || config->test_images[0] == '\0') {
        return rc;
    }
    rc = open_data(config, config->test_images, config->test_labels, self->train->n_classes,
                   &self->test, err);
    if (rc == 0 && self->test->width != self->train->width) {
        return rub_fail(err, RUB_EDATA, "%s: %zu features per example, %s has %zu",
                        config->test_images, self->test->width, config->train_images,
                        self->train->width);
    }
    return rc;
}

static int open_model(const rub_config_t *config, rub_workload_t *self, rub_error_t *err)
{
    uint32_t hidden[RUB_LIST_LIMIT];
    for (uint32_t i = 0; i < config->hidden.n_items; i++) {
        hidden[i] = (uint32_t)config->hidden.items[i];
    }
    rub_model_spec_t spec;
    rub_model_spec_defaults(&spec);
    spec.kind = rub_config_word(config, RUB_OPT_model_kind);
    spec.n_inputs = (uint32_t)self->train->width;
    spec.n_classes = self->train->n_classes;
    spec.hidden = hidden;
    /* A run file may keep its hidden layers while softmax regression is tried. */
    spec.n_hidden = strcmp(spec.kind, "softmax") == 0 ? 0 : config->hidden.n_items;
    spec.activation = rub_config_word(config, RUB_OPT_activation);
    spec.max_batch = (uint32_t)config->batch;
    return rub_model_new(&spec, &self->model, err);
}

int rub_workload_open(const rub_config_t *config, rub_workload_t *self, rub_error_t *err)
{
    *self = (rub_workload_t){0};
    rub_model_threads((unsigned)config->blas_threads);
    rub_pace_t pace;
    int rc = rub_pace_read(&pace, config->pace_ms, config->slow, err);
    rc = rc ? rc : open_all_data(config, self, err);
    if (rc == 0 && config->batch > self->train->n_examples) {
        rc = rub_fail(err, RUB_ECONFIG, "batch: %llu, the training data has %zu examples",
                      (unsigned long long)config->batch, self->train->n_examples);
    }
    rc = rc ? rc : open_model(config, self, err);
    if (rc) {
        rub_workload_close(self);
        return rc;
    }
    self->plan = (rub_training_plan_t){
        .codec = (rub_codec_kind_t)config->codec,
        .pull_codec = (rub_codec_kind_t)config->pull_codec,
        .pace = pace,
        .epochs = config->epochs,
        .batch_examples = config->batch,
        .piece_examples = config->piece_examples,
        .prefetch = config->prefetch,
        .optimizer = (rub_optimizer_kind_t)config->optimizer,
        .hyper = {.lr = config->lr,
                  .momentum = config->momentum,
                  .beta1 = config->beta1,
                  .beta2 = config->beta2,
                  .epsilon = config->epsilon,
                  .weight_decay = config->weight_decay},
        .train = self->train,
        .test = self->test,
    };
    return 0;
}

void rub_workload_close(rub_workload_t *self)
{
    rub_model_destroy(&self->model);
    rub_dataset_close(&self->train);
    rub_dataset_close(&self->test);
    *self = (rub_workload_t){0};
}
