/* Softmax regression and networks over labelled examples in memory. All parameters are needed for
 * every batch, so a prefetch need not know the batch that it is for. */
#include "worker/train/dense_task.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/batch.h"
#include "worker/data/csv_fields.h"
#include "worker/data/order.h"
#include "worker/train/local_steps.h"
#include "worker/train/parameters.h"
#include "worker/train/update.h"

#include <string.h>

#define VALIDATE_EXAMPLES 1024u /* sliced at once */
/* The last three are of batches whose loss was scaled: how many, how many were left out, and the
 * sum of their scales. */
enum { SUM_CORRECT = RUB_SUM_OWN, SUM_SCALED, SUM_SKIPPED, SUM_SCALES };

typedef struct dense {
    rub_dense_task_t open; /* what is known before there is a session */
    rub_parameters_t *parameters;
    rub_order_t *order;
    rub_batch_t *batch, *test_batch;
    uint64_t seed, epoch;     /* of the order */
    uint64_t first;           /* of the batch, in the order */
    size_t step_examples;     /* of a gradient */
    rub_local_steps_t *local; /* NULL: the shards step */
    rub_session_t *session;
    rub_loss_scale_t scale;
    bool skips; /* the batch's gradients did not fit into float16 */
} dense_t;

/* ---- opening ---- */

/* Where examples of one part are. labels: "" of a table, which has them itself. */
typedef struct files {
    const char *features, *labels;
} files_t;

bool rub_dense_task_reads_table(const rub_config_t *config)
{
    return rub_dataset_is_table(rub_config_word(config, RUB_OPT_data_format));
}

static files_t files_to_train(const rub_config_t *config)
{
    return rub_dense_task_reads_table(config)
               ? (files_t){config->train_file, ""}
               : (files_t){config->train_images, config->train_labels};
}

static files_t files_to_validate(const rub_config_t *config)
{
    return config->held_out > 0 ? files_to_train(config)
           : rub_dense_task_reads_table(config)
               ? (files_t){config->valid_file, ""}
               : (files_t){config->valid_images, config->valid_labels};
}

static files_t files_to_test(const rub_config_t *config)
{
    return rub_dense_task_reads_table(config) ? (files_t){config->test_file, ""}
                                              : (files_t){config->test_images, config->test_labels};
}

/* held_out: the part that is not trained on, not the others. */
static int open_data(const rub_config_t *config, files_t files, uint32_t n_classes, bool held_out,
                     rub_dataset_t **dataset_p, rub_error_t *err)
{
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.format = rub_config_word(config, RUB_OPT_data_format);
    options.features_path = files.features;
    options.labels_path = files.labels;
    options.n_classes = n_classes;
    options.csv_label = config->csv_label;
    options.csv_header = config->csv_header;
    if (files.features == files_to_train(config).features) {
        options.held_out = config->held_out;
        options.take_held_out = held_out;
        options.held_out_seed = config->seed;
    }
    return rub_dataset_open(&options, dataset_p, err);
}

static int check_config(const rub_config_t *config, rub_error_t *err)
{
    const char *const format = rub_config_word(config, RUB_OPT_data_format);
    const char *const kind = rub_config_word(config, RUB_OPT_model_kind);
    const bool table = rub_dense_task_reads_table(config);
    if (!table && strcmp(format, "idx") != 0 && strcmp(format, "npy") != 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "model_kind %s learns from examples of a fixed size: data_format is %s, "
                        "expected idx, npy, csv or tsv",
                        kind, format);
    }
    if (table && config->csv_words[0] != '\0') {
        return rub_fail(err, RUB_ECONFIG,
                        "csv_words: '%s', model_kind %s takes columns of numbers alone",
                        config->csv_words, kind);
    }
    if (files_to_train(config).features[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG, "%s not set: nothing to train on",
                        table ? "train_file is" : "train_images and train_labels are");
    }
    const char *const valid = table ? config->valid_file : config->valid_images;
    return valid[0] != '\0' && config->held_out > 0
               ? rub_fail(err, RUB_ECONFIG,
                          "held_out and %s: both say what is validated on, expected one of them",
                          table ? "valid_file" : "valid_images")
               : 0;
}

/* Examples to be measured are of the same size as those that are trained on. */
static int check_same(const rub_config_t *config, const char *path, const rub_dataset_t *train,
                      const rub_dataset_t *other, rub_error_t *err)
{
    const uint32_t *a = other->image, *b = train->image;
    const char *const trained = files_to_train(config).features;
    if (other->width != train->width) {
        return rub_fail(err, RUB_EDATA, "%s: %zu features per example, %s has %zu", path,
                        other->width, trained, train->width);
    }
    return memcmp(a, b, sizeof other->image) != 0
               ? rub_fail(err, RUB_EDATA, "%s: images of %u x %u x %u, %s has %u x %u x %u", path,
                          a[0], a[1], a[2], trained, b[0], b[1], b[2])
               : 0;
}

static int open_other(const rub_config_t *config, files_t files, const rub_dataset_t *train,
                      rub_dataset_t **dataset_p, rub_error_t *err)
{
    if (files.features[0] == '\0') {
        return 0;
    }
    int rc = config->csv_header
                 ? rub_csv_same_columns(rub_config_word(config, RUB_OPT_data_format),
                                        files.features, files_to_train(config).features, NULL, err)
                 : 0;
    rc = rc ? rc : open_data(config, files, train->n_classes, true, dataset_p, err);
    return rc ? rc : check_same(config, files.features, train, *dataset_p, err);
}

static int open_all_data(const rub_config_t *config, rub_dense_task_t *self, rub_error_t *err)
{
    int rc = check_config(config, err);
    rc = rc ? rc
            : open_data(config, files_to_train(config), (uint32_t)config->classes, false,
                        &self->train, err);
    rc = rc ? rc : open_other(config, files_to_validate(config), self->train, &self->valid, err);
    return rc ? rc : open_other(config, files_to_test(config), self->train, &self->test, err);
}

/* What is validated on after an epoch. */
static const rub_dataset_t *validated(const rub_dense_task_t *self)
{
    return self->valid ? self->valid : self->test;
}

int rub_dense_model_open(const rub_config_t *config, size_t width, const uint32_t image[3],
                         uint32_t n_classes, rub_model_t **model_p, rub_error_t *err)
{
    uint32_t hidden[RUB_LIST_LIMIT];
    for (uint32_t i = 0; i < config->hidden.n_items; i++) {
        hidden[i] = (uint32_t)config->hidden.items[i];
    }
    rub_model_spec_t spec;
    rub_model_spec_defaults(&spec);
    spec.kind = rub_config_word(config, RUB_OPT_model_kind);
    spec.n_inputs = (uint32_t)width;
    spec.image = (rub_shape_t){image[0], image[1], image[2]};
    spec.layers = config->layers;
    spec.n_classes = n_classes;
    spec.hidden = hidden;
    /* A run file may keep its hidden layers while softmax regression is tried. */
    spec.n_hidden = strcmp(spec.kind, "softmax") == 0 ? 0 : config->hidden.n_items;
    spec.activation = rub_config_word(config, RUB_OPT_activation);
    spec.max_batch = (uint32_t)config->batch;
    const int rc = rub_model_new(&spec, model_p, err);
    if (rc == RUB_EINVAL && config->layers[0] != '\0') {
        const char *where = config->origins[RUB_OPT_layers].where;
        return rub_wrap(err, RUB_ECONFIG, "%s%slayers", where, where[0] ? ": " : "");
    }
    return rc;
}

static uint64_t count_parameters(const rub_model_t *model)
{
    size_t n_tables = 0;
    uint64_t parameters = 0;
    const rub_model_table_t *tables = rub_model_tables(model, &n_tables);
    for (size_t i = 0; i < n_tables; i++) {
        parameters += tables[i].elements;
    }
    return parameters;
}

static void dense_close(rub_task_t *task)
{
    dense_t *self = (dense_t *)task;
    rub_model_destroy(&self->open.model);
    rub_dataset_close(&self->open.train);
    rub_dataset_close(&self->open.valid);
    rub_dataset_close(&self->open.test);
    rub_free(self);
}

/* ---- batches ---- */

/* Whether the shards step with what local steps have changed, instead of adding it. */
static bool has_server_step(const rub_dense_task_t *open)
{
    return open->local_steps > 0 && (open->server_momentum > 0 || open->server_lr != 1);
}

/* Who steps with gradients: the shards, or the worker, which pushes changes. */
static rub_optimizer_kind_t table_optimizer(const rub_dense_task_t *open)
{
    return open->local_steps == 0      ? open->update.optimizer
           : !has_server_step(open)    ? RUB_ADD
           : open->server_momentum > 0 ? RUB_MOMENTUM
                                       : RUB_SGD;
}

/* Of the tables. A server's step has a rate of its own, which does not fall with the workers': a
 * schedule that ends with the training stays in the schema for its length, which a run that goes on
 * takes from there (rub_update_hyper), but leads from server_lr to the same. */
static rub_hyper_t table_hyper(const rub_dense_task_t *open, const rub_hyper_t *hyper)
{
    if (!has_server_step(open)) {
        return *hyper;
    }
    const bool has_end =
        hyper->schedule == RUB_SCHEDULE_COSINE || hyper->schedule == RUB_SCHEDULE_LINEAR;
    rub_hyper_t server;
    rub_hyper_defaults(&server);
    server.lr = server.lr_end = open->server_lr;
    server.momentum = open->server_momentum;
    server.schedule = has_end ? hyper->schedule : RUB_SCHEDULE_CONSTANT;
    server.schedule_clocks = has_end ? hyper->schedule_clocks : 0;
    return server;
}

static int begin_local(dense_t *self, const rub_hyper_t *hyper, rub_error_t *err)
{
    size_t sizes[RUB_TASK_TABLES_LIMIT];
    size_t n = 0;
    const rub_model_table_t *tables = rub_model_tables(self->open.model, &n);
    if (n > RUB_TASK_TABLES_LIMIT) {
        return rub_fail(err, RUB_ELIMIT, "local_steps: a model of %zu tables, at most %u", n,
                        (unsigned)RUB_TASK_TABLES_LIMIT);
    }
    for (size_t t = 0; t < n; t++) {
        sizes[t] = (size_t)tables[t].elements;
    }
    const rub_optimizer_t *optimizer = rub_optimizer_find((uint32_t)self->open.update.optimizer);
    const int rc = rub_optimizer_check(optimizer, hyper, err);
    if (rc) {
        return rc;
    }
    self->local = rub_local_steps_new(optimizer, hyper, sizes, n);
    return self->local ? 0 : rub_fail(err, RUB_ENOMEM, "local_steps: no memory for a copy");
}

static int dense_begin(rub_task_t *task, rub_session_t *session, uint64_t batch_examples,
                       rub_error_t *err)
{
    dense_t *self = (dense_t *)task;
    const rub_dense_task_t *open = &self->open;
    const rub_update_t *update = &open->update;
    self->order = rub_order_new(open->train->n_examples);
    self->batch = rub_batch_new((size_t)batch_examples, open->train->width);
    const bool measures = validated(open) != NULL;
    self->test_batch = measures ? rub_batch_new(VALIDATE_EXAMPLES, open->train->width) : NULL;
    if (!self->order || !self->batch || (measures && !self->test_batch)) {
        return rub_fail(err, RUB_ENOMEM, "training: no memory for batches of %llu examples",
                        (unsigned long long)batch_examples);
    }
    const rub_hyper_t hyper =
        rub_update_hyper(update, session, open->train->n_examples, batch_examples);
    self->session = session;
    if (open->local_steps > 0) {
        const int rc = begin_local(self, &hyper, err);
        if (rc) {
            return rc;
        }
    }
    const rub_hyper_t of_tables = table_hyper(open, &hyper);
    return rub_parameters_open(session, open->model, table_optimizer(open), &of_tables,
                               update->push_codec, update->pull_codec, &self->parameters, err);
}

static void dense_end(rub_task_t *task)
{
    dense_t *self = (dense_t *)task;
    rub_parameters_close(&self->parameters);
    rub_local_steps_destroy(&self->local);
    rub_order_destroy(&self->order);
    rub_batch_destroy(&self->batch);
    rub_batch_destroy(&self->test_batch);
}

static int dense_order(rub_task_t *task, uint64_t seed, uint64_t epoch, rub_error_t *err)
{
    dense_t *self = (dense_t *)task;
    RUB_UNUSED(err);
    rub_order_arrange(self->order, self->open.sampling, seed, epoch);
    self->seed = seed;
    self->epoch = epoch;
    return 0;
}

static int dense_take(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    dense_t *self = (dense_t *)task;
    self->first = first;
    return rub_batch_fill(self->batch, self->open.train, self->order, first, (size_t)count, err);
}

static int dense_pull(rub_task_t *task, rub_error_t *err)
{
    return rub_parameters_pull(((dense_t *)task)->parameters, err);
}

static int dense_prefetch(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    RUB_UNUSED(first);
    RUB_UNUSED(count);
    return rub_parameters_prefetch(((dense_t *)task)->parameters, err);
}

static void dense_forget(rub_task_t *task)
{
    rub_parameters_forget(((dense_t *)task)->parameters);
}

static void add(double sums[RUB_TASK_SUMS], double loss, size_t correct, size_t count)
{
    sums[RUB_SUM_LOSS] += loss;
    sums[RUB_SUM_EXAMPLES] += (double)count;
    sums[SUM_CORRECT] += (double)correct;
}

/* Gradients as float16 holds them, or the batch is left out. */
static int scale_loss(dense_t *self, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    bool fits = true;
    sums[SUM_SCALES] += (double)self->scale.scale;
    const int rc = rub_parameters_scale(self->parameters, &self->scale, &fits, err);
    self->skips = !fits;
    sums[SUM_SCALED] += 1;
    sums[SUM_SKIPPED] += self->skips ? 1 : 0;
    return rc;
}

/* The gradient of count examples of the batch from one on, at these parameters, clipped. */
static int gradient_of(dense_t *self, const float *const *parameters, size_t from, size_t count,
                       double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    double loss = 0;
    size_t correct = 0;
    rub_model_draw(self->open.model, self->seed, rub_dense_batch(self->epoch, self->first + from));
    int rc =
        rub_model_gradient(self->open.model, parameters, self->batch->x + from * self->batch->width,
                           self->batch->labels + from, count,
                           rub_parameters_gradients(self->parameters), &loss, &correct, err);
    if (rc == 0) {
        add(sums, loss, correct, count);
        rc = self->open.update.scales_loss ? scale_loss(self, sums, err) : 0;
    }
    if (rc == 0 && !self->skips) {
        rub_parameters_clip(self->parameters, &self->open.update.clip);
    }
    return rc;
}

/* Under bsp the shards take the mean of what is pushed in a period (or what `reduce` says); without
 * periods in common each worker's change counts for its share. */
static float share_of(const dense_t *self)
{
    rub_info_t info;
    rub_session_info(self->session, &info);
    return info.staleness == 0 ? 1.0F : 1.0F / (float)info.n_workers;
}

static int step_locally(dense_t *self, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    const float *const *pulled = rub_parameters_current(self->parameters);
    float *const *gradients = rub_parameters_gradients(self->parameters);
    rub_info_t info;
    rub_session_info(self->session, &info);
    rub_local_steps_begin(self->local, pulled, info.clock);
    for (size_t from = 0; from < self->batch->count; from += self->step_examples) {
        const size_t left = self->batch->count - from;
        const size_t count = left < self->step_examples ? left : self->step_examples;
        const int rc =
            gradient_of(self, rub_local_steps_weights(self->local), from, count, sums, err);
        if (rc) {
            return rc;
        }
        rub_local_steps_take(self->local, gradients);
    }
    const float share = share_of(self);
    rub_local_steps_end(self->local, pulled, has_server_step(&self->open) ? -share : share,
                        gradients);
    return 0;
}

static int dense_compute(rub_task_t *task, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    dense_t *self = (dense_t *)task;
    return self->local ? step_locally(self, sums, err)
                       : gradient_of(self, rub_parameters_current(self->parameters), 0,
                                     self->batch->count, sums, err);
}

static int dense_push(rub_task_t *task, rub_error_t *err)
{
    dense_t *self = (dense_t *)task;
    return self->skips ? 0 : rub_parameters_push(self->parameters, err); /* the period is empty */
}

/* ---- validation ---- */

static int measure(dense_t *self, const rub_dataset_t *data, uint64_t first, uint64_t last,
                   double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    int rc = rub_parameters_pull(self->parameters, err);
    while (rc == 0 && first < last) {
        const uint64_t left = last - first;
        const size_t count = left < VALIDATE_EXAMPLES ? (size_t)left : VALIDATE_EXAMPLES;
        double loss = 0;
        size_t correct = 0;
        rc = rub_batch_fill(self->test_batch, data, NULL, first, count, err);
        rc = rc ? rc
                : rub_model_evaluate(self->open.model, rub_parameters_current(self->parameters),
                                     self->test_batch->x, self->test_batch->labels, count, &loss,
                                     &correct, err);
        if (rc == 0) {
            add(sums, loss, correct, count);
        }
        first += count;
    }
    return rc;
}

static int dense_validate(rub_task_t *task, uint64_t first, uint64_t last,
                          double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    dense_t *self = (dense_t *)task;
    return measure(self, validated(&self->open), first, last, sums, err);
}

/* The test set, where it was not what epochs were validated on. */
static int dense_conclude(rub_task_t *task, uint32_t n_workers, double sums[RUB_TASK_SUMS],
                          const char **prefix_p, rub_error_t *err)
{
    dense_t *self = (dense_t *)task;
    RUB_UNUSED(n_workers);
    if (!self->open.valid || !self->open.test) {
        return 0;
    }
    *prefix_p = "test_";
    return measure(self, self->open.test, 0, self->open.test->n_examples, sums, err);
}

static size_t dense_measure(const rub_task_t *task, const double sums[RUB_TASK_SUMS],
                            rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    const double examples = sums[RUB_SUM_EXAMPLES] > 0 ? sums[RUB_SUM_EXAMPLES] : 1;
    measures[0] = (rub_measure_t){"loss", sums[RUB_SUM_LOSS] / examples};
    measures[1] = (rub_measure_t){"accuracy", sums[SUM_CORRECT] / examples};
    if (sums[SUM_SCALED] == 0 || !((const dense_t *)task)->open.update.scales_loss) {
        return 2;
    }
    measures[2] = (rub_measure_t){"skipped", sums[SUM_SKIPPED]};
    measures[3] = (rub_measure_t){"loss_scale", sums[SUM_SCALES] / sums[SUM_SCALED]};
    return 4;
}

static size_t dense_tables(const rub_task_t *task, uint32_t n_workers, uint64_t batch_examples,
                           rub_schema_t schemas[RUB_TASK_TABLES_LIMIT])
{
    const rub_dense_task_t *open = &((const dense_t *)task)->open;
    rub_hyper_t hyper = open->update.hyper;
    hyper.schedule_clocks =
        rub_update_length(&open->update, n_workers, open->train->n_examples, batch_examples);
    size_t n = 0;
    const rub_hyper_t of_tables = table_hyper(open, &hyper);
    const rub_model_table_t *tables = rub_model_tables(open->model, &n);
    for (size_t t = 0; t < n && t < RUB_TASK_TABLES_LIMIT; t++) {
        rub_parameters_schema(&tables[t], table_optimizer(open), &of_tables, &schemas[t]);
    }
    return n < RUB_TASK_TABLES_LIMIT ? n : RUB_TASK_TABLES_LIMIT;
}

static const rub_task_kind_t dense_kind = {
    .begin = dense_begin,
    .end = dense_end,
    .close = dense_close,
    .order = dense_order,
    .take = dense_take,
    .pull = dense_pull,
    .prefetch = dense_prefetch,
    .forget = dense_forget,
    .compute = dense_compute,
    .push = dense_push,
    .validate = dense_validate,
    .conclude = dense_conclude,
    .tables = dense_tables,
    .measure = dense_measure,
};

int rub_dense_task_open(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                        rub_error_t *err)
{
    *task_p = NULL;
    dense_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a task");
    }
    rub_dense_task_t *open = &self->open;
    open->update = *update;
    rub_loss_scale_init(&self->scale);
    open->sampling = (rub_sampling_t)config->sampling;
    open->local_steps = config->local_steps;
    open->server_lr = config->server_lr;
    open->server_momentum = config->server_momentum;
    self->step_examples = (size_t)config->batch;
    int rc = open_all_data(config, open, err);
    const uint64_t per_push = config->batch * (open->local_steps > 1 ? open->local_steps : 1);
    if (rc == 0 && per_push > open->train->n_examples) {
        rc = rub_fail(err, RUB_ECONFIG, "batch%s: %llu, the training data has %zu examples",
                      open->local_steps > 1 ? " times local_steps" : "",
                      (unsigned long long)per_push, open->train->n_examples);
    }
    rc = rc ? rc
            : rub_dense_model_open(config, open->train->width, open->train->image,
                                   open->train->n_classes, &open->model, err);
    if (rc) {
        dense_close(&open->task);
        return rc;
    }
    open->task = (rub_task_t){.kind = &dense_kind,
                              .n_examples = open->train->n_examples,
                              .n_test = validated(open) ? validated(open)->n_examples : 0,
                              .is_apart = open->valid != NULL,
                              .training_sums = SUM_SCALED,
                              .n_parameters = count_parameters(open->model)};
    *task_p = &open->task;
    return 0;
}

const rub_dense_task_t *rub_dense_task_of(const rub_task_t *task)
{
    return task->kind == &dense_kind ? (const rub_dense_task_t *)task : NULL;
}
