/* Feed-forward classifiers over a whole batch.
 *
 * Forward:  y_0 = x,  y_l+1 = f(y_l W_l + b_l),  logits = y_L W_L + b_L.
 * Backward: d_L from the loss;  dW_l = y_l^T d_l,  db_l = sum over rows of d_l,  d_l-1 = (d_l
 * W_l^T) * f'(y_l). (Rumelhart, Hinton and Williams, 1986.)
 *
 * Idea: each product is one sgemm over the batch, and between two of them stands exactly one pass
 * (bias with activation on the way there, derivative with bias gradient on the way back). The
 * mean's 1/n enters in the loss, so no gradient is scaled afterwards. The gradient with respect to
 * x is never computed. Invariant: nothing is allocated after open; the workspace holds one output
 * per layer and two deltas that take turns. */
#include "worker/model/feedforward.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/model/activation.h"
#include "worker/model/cross_entropy.h"

#include <cblas.h>
#include <inttypes.h>
#include <stdio.h>

enum { CACHE_LINE = 64, LAYERS_LIMIT = RUB_MODEL_HIDDEN_LIMIT + 1 };

typedef struct feedforward {
    rub_model_t base; /* first: a rub_model_t of this kind is a feedforward_t */
    size_t n_layers;
    size_t widths[LAYERS_LIMIT + 1]; /* widths[l] enter layer l, widths[l + 1] leave it */
    const rub_activation_t *activation;
    float *outputs[LAYERS_LIMIT]; /* of layer l: max_batch x widths[l + 1] */
    float *deltas[2];             /* max_batch x the widest hidden layer; NULL without one */
    rub_model_table_t tables[2 * LAYERS_LIMIT];
} feedforward_t;

static void declare_tables(feedforward_t *self)
{
    for (size_t l = 0; l < self->n_layers; l++) {
        const double fan_in = (double)self->widths[l];
        const double fan_out = (double)self->widths[l + 1];
        const bool last = l + 1 == self->n_layers;
        rub_model_table_t *weights = &self->tables[2 * l];
        rub_model_table_t *bias = &self->tables[2 * l + 1];
        snprintf(weights->name, sizeof weights->name, "layer%zu/weights", l);
        weights->elements = (uint64_t)self->widths[l] * self->widths[l + 1];
        weights->init = RUB_INIT_UNIFORM;
        weights->init_scale = last ? rub_glorot_bound(fan_in, fan_out)
                                   : self->activation->init_bound(fan_in, fan_out);
        snprintf(bias->name, sizeof bias->name, "layer%zu/bias", l);
        bias->elements = self->widths[l + 1];
        bias->init = RUB_INIT_ZEROS;
        /* Forward and weight gradient everywhere, input gradient everywhere but at the input. */
        self->base.gradient_flops += (l == 0 ? 4.0 : 6.0) * fan_in * fan_out;
    }
    self->base.tables = self->tables;
    self->base.n_tables = 2 * self->n_layers;
}

static int check_tables(const feedforward_t *self, rub_error_t *err)
{
    for (size_t t = 0; t < self->base.n_tables; t++) {
        if (self->tables[t].elements > RUB_MODEL_TABLE_LIMIT) {
            return rub_fail(err, RUB_EINVAL,
                            "table '%s' of the model would have %" PRIu64 " numbers, at most %u",
                            self->tables[t].name, self->tables[t].elements, RUB_MODEL_TABLE_LIMIT);
        }
    }
    return 0;
}

/* No overflow: batch and width are at most 2^20 each, and size_t has 64 bits. */
static float *new_matrix(size_t n_rows, size_t width)
{
    return rub_alloc_aligned(CACHE_LINE, n_rows * width * sizeof(float));
}

static int allocate_workspace(feedforward_t *self, size_t max_batch, rub_error_t *err)
{
    size_t widest = 0;
    for (size_t l = 0; l < self->n_layers; l++) {
        self->outputs[l] = new_matrix(max_batch, self->widths[l + 1]);
        if (self->outputs[l] == NULL) {
            goto short_of_memory;
        }
        if (l + 1 < self->n_layers && self->widths[l + 1] > widest) {
            widest = self->widths[l + 1];
        }
    }
    for (size_t i = 0; i < 2 && widest > 0; i++) {
        self->deltas[i] = new_matrix(max_batch, widest);
        if (self->deltas[i] == NULL) {
            goto short_of_memory;
        }
    }
    return 0;
short_of_memory:
    return rub_fail(err, RUB_ENOMEM, "model: no memory for the workspace of %zu examples",
                    max_batch);
}

int rub_feedforward_open_mlp(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err)
{
    int rc = 0;
    feedforward_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "model '%s': no memory", spec->kind);
    }
    self->n_layers = spec->n_hidden + 1u;
    self->widths[0] = spec->n_inputs;
    for (size_t l = 0; l < spec->n_hidden; l++) {
        self->widths[l + 1] = spec->hidden[l];
    }
    self->widths[self->n_layers] = spec->n_classes;
    if (spec->n_hidden > 0) {
        const char *name = spec->activation != NULL ? spec->activation : "";
        self->activation = rub_activation_find(name);
        if (self->activation == NULL) {
            rc =
                rub_fail(err, RUB_EINVAL,
                         "activation '%s' is not known, expected relu, sigmoid, tanh or elu", name);
            goto out;
        }
    }
    declare_tables(self);
    rc = check_tables(self, err);
    if (rc != 0) {
        goto out;
    }
    rc = allocate_workspace(self, spec->max_batch, err);
    if (rc != 0) {
        goto out;
    }
    *model_p = &self->base;
    self = NULL;
out:
    if (self != NULL) {
        rub_feedforward_close(&self->base);
    }
    return rc;
}

int rub_feedforward_open_softmax(const rub_model_spec_t *spec, rub_model_t **model_p,
                                 rub_error_t *err)
{
    if (spec->n_hidden > 0) {
        return rub_fail(err, RUB_EINVAL,
                        "model 'softmax' with %" PRIu32 " hidden layers, expected 0 (use 'mlp')",
                        spec->n_hidden);
    }
    return rub_feedforward_open_mlp(spec, model_p, err);
}

void rub_feedforward_close(rub_model_t *model)
{
    feedforward_t *self = (feedforward_t *)model;
    for (size_t l = 0; l < self->n_layers; l++) {
        rub_free(self->outputs[l]);
    }
    rub_free(self->deltas[0]);
    rub_free(self->deltas[1]);
    rub_free(self);
}

/* outputs[l] for every layer; the last one without its bias, which the loss adds. */
static void forward(feedforward_t *self, const float *const *params, const float *x, size_t n)
{
    const float *input = x;
    for (size_t l = 0; l < self->n_layers; l++) {
        const int in = (int)self->widths[l];
        const int out = (int)self->widths[l + 1];
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, out, in, 1.0f, input, in,
                    params[2 * l], out, 0.0f, self->outputs[l], out);
        if (l + 1 < self->n_layers) {
            self->activation->forward(self->outputs[l], params[2 * l + 1], n, self->widths[l + 1]);
        }
        input = self->outputs[l];
    }
}

/* delta: gradient with respect to the last layer's logits; its bias gradient is written already. */
static void backward(feedforward_t *self, const float *const *params, const float *x, size_t n,
                     const float *delta, float *const *gradients)
{
    for (size_t l = self->n_layers; l-- > 0;) {
        const int in = (int)self->widths[l];
        const int out = (int)self->widths[l + 1];
        const float *input = l > 0 ? self->outputs[l - 1] : x;
        cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, out, (int)n, 1.0f, input, in,
                    delta, out, 0.0f, gradients[2 * l], out);
        if (l == 0) {
            break;
        }
        float *below = self->deltas[l % 2];
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, in, out, 1.0f, delta, out,
                    params[2 * l], out, 0.0f, below, in);
        self->activation->backward(below, input, gradients[2 * (l - 1) + 1], n, self->widths[l]);
        delta = below;
    }
}

void rub_feedforward_run(rub_model_t *model, const float *const *params, const float *x,
                         const int32_t *labels, size_t n, float *const *gradients,
                         double *loss_sum_p, size_t *correct_p)
{
    feedforward_t *self = (feedforward_t *)model;
    const size_t last = self->n_layers - 1;
    const float *bias = params[2 * last + 1];
    float *logits = self->outputs[last];
    forward(self, params, x, n);
    if (gradients == NULL) {
        rub_cross_entropy(logits, bias, labels, n, self->widths[last + 1], loss_sum_p, correct_p);
        return;
    }
    rub_cross_entropy_gradient(logits, bias, labels, n, self->widths[last + 1],
                               gradients[2 * last + 1], loss_sum_p, correct_p);
    backward(self, params, x, n, logits, gradients);
}
