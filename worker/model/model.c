/* The table of models, and what is checked before any of them computes.
 *
 * Why: shapes come from configuration and labels from files; BLAS and the loss index memory with
 * both. So that no model has to repeat it, limits and labels are checked here, and a kind's own
 * code may rely on them. Invariant: a kind's run() sees 1 <= n <= max_batch and labels in [0,
 * n_classes). */
#include "worker/model/model.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/model/network.h"

#include <inttypes.h>
#include <string.h>

static const rub_model_kind_t kinds[] = {
    {.name = "softmax",
     .summary = "multinomial logistic regression",
     .open = rub_network_open_softmax,
     .close = rub_network_close,
     .run = rub_network_run,
     .predict = rub_network_predict},
    {.name = "mlp",
     .summary = "layers of units with an activation, then softmax cross-entropy",
     .open = rub_network_open_mlp,
     .close = rub_network_close,
     .run = rub_network_run,
     .predict = rub_network_predict},
    {.name = "sequential",
     .summary = "the layers of a list, then softmax cross-entropy",
     .open = rub_network_open_sequential,
     .close = rub_network_close,
     .run = rub_network_run,
     .predict = rub_network_predict},
};

const rub_model_kind_t *rub_model_kinds(size_t *n_kinds_p)
{
    *n_kinds_p = RUB_COUNT_OF(kinds);
    return kinds;
}

void rub_model_spec_defaults(rub_model_spec_t *spec)
{
    *spec = (rub_model_spec_t){.kind = "softmax", .activation = "relu", .max_batch = 128};
}

static int check_between(const char *what, uint32_t value, uint32_t least, uint32_t most,
                         rub_error_t *err)
{
    if (value < least || value > most) {
        return rub_fail(err, RUB_EINVAL,
                        "model with %" PRIu32 " %s, expected %" PRIu32 " to %" PRIu32, value, what,
                        least, most);
    }
    return 0;
}

/* In float64: nobody has looked at these numbers yet. */
static double image_size(rub_shape_t image)
{
    return (double)image.height * image.width * image.channels;
}

static int check_spec(const rub_model_spec_t *spec, rub_error_t *err)
{
    int rc = check_between("inputs", spec->n_inputs, 1, RUB_MODEL_WIDTH_LIMIT, err);
    if (rc == 0) {
        rc = check_between("classes", spec->n_classes, 2, RUB_MODEL_WIDTH_LIMIT, err);
    }
    if (rc == 0) {
        rc = check_between("examples per batch", spec->max_batch, 1, RUB_MODEL_BATCH_LIMIT, err);
    }
    if (rc == 0) {
        rc = check_between("hidden layers", spec->n_hidden, 0, RUB_MODEL_HIDDEN_LIMIT, err);
    }
    if (rc == 0 && image_size(spec->image) != 0 && image_size(spec->image) != spec->n_inputs) {
        rc = rub_fail(err, RUB_EINVAL,
                      "model of images of %" PRIu32 " x %" PRIu32 " x %" PRIu32
                      ", expected %" PRIu32 " inputs",
                      spec->image.height, spec->image.width, spec->image.channels, spec->n_inputs);
    }
    for (uint32_t l = 0; rc == 0 && l < spec->n_hidden; l++) {
        rc = check_between("units in a hidden layer", spec->hidden[l], 1, RUB_MODEL_WIDTH_LIMIT,
                           err);
    }
    return rc;
}

static const rub_model_kind_t *kind_by_name(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(kinds); i++) {
        if (name != NULL && strcmp(kinds[i].name, name) == 0) {
            return &kinds[i];
        }
    }
    return NULL;
}

int rub_model_new(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err)
{
    *model_p = NULL;
    const rub_model_kind_t *kind = kind_by_name(spec->kind);
    if (kind == NULL) {
        return rub_fail(err, RUB_EINVAL,
                        "model '%s' is not known, expected 'softmax', 'mlp' or 'sequential'",
                        spec->kind != NULL ? spec->kind : "");
    }
    int rc = check_spec(spec, err);
    if (rc != 0) {
        return rc;
    }
    rc = kind->open(spec, model_p, err);
    if (rc != 0) {
        return rc;
    }
    (*model_p)->kind = kind;
    (*model_p)->n_inputs = spec->n_inputs;
    (*model_p)->n_classes = spec->n_classes;
    (*model_p)->max_batch = spec->max_batch;
    return 0;
}

void rub_model_destroy(rub_model_t **model_p)
{
    if (*model_p != NULL) {
        (*model_p)->kind->close(*model_p);
        *model_p = NULL;
    }
}

const rub_model_table_t *rub_model_tables(const rub_model_t *model, size_t *n_tables_p)
{
    *n_tables_p = model->n_tables;
    return model->tables;
}

double rub_model_gradient_flops(const rub_model_t *model)
{
    return model->gradient_flops;
}

void rub_model_draw(rub_model_t *model, uint64_t seed, uint64_t batch)
{
    model->draw_seed = seed;
    model->draw_batch = batch;
}

static int check_labels(const rub_model_t *model, const int32_t *labels, size_t n, rub_error_t *err)
{
    for (size_t i = 0; i < n; i++) {
        if (labels[i] < 0 || (uint32_t)labels[i] >= model->n_classes) {
            return rub_fail(err, RUB_EINVAL,
                            "label of example %zu of the batch is %" PRId32
                            ", expected 0 to %" PRIu32,
                            i, labels[i], model->n_classes - 1);
        }
    }
    return 0;
}

int rub_model_gradient(rub_model_t *model, const float *const *params, const float *x,
                       const int32_t *labels, size_t n, float *const *gradients, double *loss_sum_p,
                       size_t *correct_p, rub_error_t *err)
{
    double loss_sum = 0;
    size_t correct = 0;
    if (n == 0 || n > model->max_batch) {
        return rub_fail(err, RUB_EINVAL, "gradient over %zu examples, expected 1 to %" PRIu32, n,
                        model->max_batch);
    }
    const int rc = check_labels(model, labels, n, err);
    if (rc != 0) {
        return rc;
    }
    model->kind->run(model, params, x, labels, n, gradients, &loss_sum, &correct);
    if (loss_sum_p != NULL) {
        *loss_sum_p = loss_sum;
    }
    if (correct_p != NULL) {
        *correct_p = correct;
    }
    return 0;
}

int rub_model_evaluate(rub_model_t *model, const float *const *params, const float *x,
                       const int32_t *labels, size_t n, double *loss_sum_p, size_t *correct_p,
                       rub_error_t *err)
{
    double loss_sum = 0;
    size_t correct = 0;
    const int rc = check_labels(model, labels, n, err);
    if (rc != 0) {
        return rc;
    }
    for (size_t first = 0; first < n; first += model->max_batch) {
        const size_t left = n - first;
        const size_t count = left < model->max_batch ? left : model->max_batch;
        double slice_loss = 0;
        size_t slice_correct = 0;
        model->kind->run(model, params, x + first * model->n_inputs, labels + first, count, NULL,
                         &slice_loss, &slice_correct);
        loss_sum += slice_loss;
        correct += slice_correct;
    }
    if (loss_sum_p != NULL) {
        *loss_sum_p = loss_sum;
    }
    if (correct_p != NULL) {
        *correct_p = correct;
    }
    return 0;
}

void rub_model_predict(rub_model_t *model, const float *const *params, const float *x, size_t n,
                       float *probabilities)
{
    const size_t n_outputs = (size_t)model->tables[model->n_tables - 1].elements;
    for (size_t first = 0; first < n; first += model->max_batch) {
        const size_t left = n - first;
        const size_t count = left < model->max_batch ? left : model->max_batch;
        model->kind->predict(model, params, x + first * model->n_inputs, count,
                             probabilities + first * n_outputs);
    }
}
