/* Layers one behind the other, over a whole batch.
 *
 * Forward:  y_0 = x,  y_l+1 = layer_l(y_l),  logits = the last, a dense one, without its bias.
 * Backward: the loss gives the gradient of the logits and of that bias; each layer makes the
 * gradient of its input from that of its output. (Rumelhart, Hinton and Williams, 1986.)
 *
 * Idea: what needs no pass of its own gets none: flatten is a shape, an activation goes into the
 * pass that adds the bias of the layer before it, the last bias is the loss's. The mean's 1/n
 * enters in the loss, so no gradient is scaled afterwards; below the lowest layer that has
 * parameters no gradient is computed. Invariant: nothing is allocated after open; the workspace
 * holds one output per layer and two deltas that take turns. Tables are numbered by the layers that
 * have any, so what stands between them may change without the tables changing their names. */
#include "worker/model/network.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/model/cross_entropy.h"
#include "worker/model/layer.h"
#include "worker/model/layer_list.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { CACHE_LINE = 64 };

typedef struct network {
    rub_model_t base; /* first: a rub_model_t of this kind is a network_t */
    size_t n_layers;
    rub_layer_t layers[RUB_LAYER_LIST_LIMIT];
    size_t first_tables[RUB_LAYER_LIST_LIMIT]; /* of kinds with parameters */
    const float *inputs[RUB_LAYER_LIST_LIMIT]; /* of the last forward */
    size_t lowest;                             /* layer with parameters */
    float *deltas[2]; /* max_batch x the largest that is wanted; NULL without one */
    rub_model_table_t tables[2 * RUB_LAYER_LIST_LIMIT];
} network_t;

/* ---- shapes ---- */

static bool has_parameters(const rub_layer_t *layer)
{
    return layer->kind->weights_name != NULL;
}

/* Puts one item behind the layers so far. */
static int add_layer(network_t *self, const rub_layer_spec_t *spec, size_t item, size_t max_batch,
                     rub_shape_t *shape, rub_error_t *err)
{
    rub_error_t cause = {0};
    rub_layer_t *before = self->n_layers > 0 ? &self->layers[self->n_layers - 1] : NULL;
    if (spec->kind->is_activation && before != NULL && has_parameters(before) &&
        before->activation == rub_activation_none()) {
        before->activation = rub_activation_find(spec->kind->name);
        return 0;
    }
    rub_layer_t *layer = &self->layers[self->n_layers];
    *layer = (rub_layer_t){.kind = spec->kind,
                           .in = *shape,
                           .activation = rub_activation_none(),
                           .place = (unsigned)self->n_layers};
    memcpy(layer->arguments, spec->arguments, sizeof layer->arguments);
    const int rc = layer->kind->shape(layer, max_batch, &cause);
    if (rc != 0) {
        return rub_fail(err, rc, "item %zu (%s): %s", item, layer->kind->name, cause.message);
    }
    const uint64_t numbers = (uint64_t)layer->out.height * layer->out.width;
    if (numbers > RUB_MODEL_WIDTH_LIMIT || numbers * layer->out.channels > RUB_MODEL_WIDTH_LIMIT) {
        return rub_fail(err, RUB_EINVAL,
                        "item %zu (%s): its output would be %" PRIu32 " x %" PRIu32 " x %" PRIu32
                        ", at most %u numbers",
                        item, layer->kind->name, layer->out.height, layer->out.width,
                        layer->out.channels, RUB_MODEL_WIDTH_LIMIT);
    }
    *shape = layer->out;
    self->n_layers += !layer->kind->is_shape_only;
    return 0;
}

static int check_last(const network_t *self, const rub_layer_list_t *list, uint32_t n_classes,
                      rub_error_t *err)
{
    const rub_layer_kind_t *kind = list->items[list->n_items - 1].kind;
    if (kind != &rub_dense_layer) {
        return rub_fail(err, RUB_EINVAL,
                        "item %zu (%s): the last layer, expected dense with %" PRIu32 " units",
                        list->n_items, kind->name, n_classes);
    }
    const uint32_t units = self->layers[self->n_layers - 1].out.channels;
    if (units < n_classes) {
        return rub_fail(err, RUB_EINVAL,
                        "item %zu (dense): %" PRIu32 " units, the data has %" PRIu32 " classes",
                        list->n_items, units, n_classes);
    }
    return 0;
}

/* ---- tables ---- */

static void declare_tables(network_t *self)
{
    size_t number = 0;
    self->lowest = self->n_layers;
    for (size_t l = 0; l < self->n_layers; l++) {
        const rub_layer_t *layer = &self->layers[l];
        if (!has_parameters(layer)) {
            continue;
        }
        const bool is_drawn = layer->fan_in > 0;
        rub_model_table_t *weights = &self->tables[2 * number];
        rub_model_table_t *bias = &self->tables[2 * number + 1];
        snprintf(weights->name, sizeof weights->name, "layer%zu/%s", number,
                 layer->kind->weights_name);
        weights->elements = layer->weights_elements;
        weights->init = is_drawn ? RUB_INIT_UNIFORM : RUB_INIT_CONSTANT;
        weights->init_scale =
            is_drawn ? layer->activation->init_bound(layer->fan_in, layer->fan_out) : 1;
        snprintf(bias->name, sizeof bias->name, "layer%zu/bias", number);
        bias->elements = layer->bias_elements;
        bias->init = RUB_INIT_ZEROS;
        self->lowest = number == 0 ? l : self->lowest;
        /* The gradient with respect to x is nobody's. */
        self->base.gradient_flops +=
            number == 0 ? layer->gradient_flops * 2 / 3 : layer->gradient_flops;
        self->first_tables[l] = 2 * number++;
    }
    self->base.tables = self->tables;
    self->base.n_tables = 2 * number;
}

static int check_tables(const network_t *self, rub_error_t *err)
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

/* ---- workspace ---- */

/* No overflow: batch and width are at most 2^20 each, scratch at most 2^40, and size_t has 64 bits.
 */
static bool new_floats(size_t elements, float **p)
{
    *p = elements > 0 ? rub_alloc_aligned(CACHE_LINE, elements * sizeof(float)) : NULL;
    return elements == 0 || *p != NULL;
}

static int allocate_workspace(network_t *self, size_t max_batch, rub_error_t *err)
{
    size_t widest = 0;
    bool whole = true;
    for (size_t l = 0; l < self->n_layers && whole; l++) {
        rub_layer_t *layer = &self->layers[l];
        const size_t width = (size_t)rub_shape_size(layer->out);
        whole = new_floats(max_batch * width, &layer->output) &&
                new_floats(layer->scratch_elements, &layer->scratch);
        if (whole && layer->n_places > 0) {
            layer->places = rub_calloc(layer->n_places, sizeof *layer->places);
            whole = layer->places != NULL;
        }
        if (l >= self->lowest && l + 1 < self->n_layers && width > widest) {
            widest = width;
        }
    }
    for (size_t i = 0; i < 2 && whole; i++) {
        whole = new_floats(max_batch * widest, &self->deltas[i]);
    }
    return whole ? 0
                 : rub_fail(err, RUB_ENOMEM, "model: no memory for the workspace of %zu examples",
                            max_batch);
}

void rub_network_close(rub_model_t *model)
{
    network_t *self = (network_t *)model;
    for (size_t l = 0; l < self->n_layers; l++) {
        rub_free(self->layers[l].output);
        rub_free(self->layers[l].scratch);
        rub_free(self->layers[l].places);
    }
    rub_free(self->deltas[0]);
    rub_free(self->deltas[1]);
    rub_free(self);
}

const rub_layer_t *rub_network_layers(const rub_model_t *model, size_t *n_p)
{
    const network_t *self = (const network_t *)model;
    *n_p = self->n_layers;
    return self->layers;
}

/* ---- opening ---- */

/* n_classes 0: the last layer adds its own bias. */
static int open_list(const rub_model_spec_t *spec, const rub_layer_list_t *list, uint32_t n_classes,
                     rub_model_t **model_p, rub_error_t *err)
{
    int rc = 0;
    rub_shape_t shape =
        rub_shape_size(spec->image) > 0 ? spec->image : (rub_shape_t){1, 1, spec->n_inputs};
    network_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "model '%s': no memory", spec->kind);
    }
    for (size_t i = 0; i < list->n_items && rc == 0; i++) {
        rc = add_layer(self, &list->items[i], i + 1, spec->max_batch, &shape, err);
    }
    rc = rc ? rc : check_last(self, list, n_classes, err);
    if (rc != 0) {
        goto out;
    }
    self->layers[self->n_layers - 1].is_last = n_classes > 0;
    declare_tables(self);
    rc = check_tables(self, err);
    rc = rc ? rc : allocate_workspace(self, spec->max_batch, err);
    if (rc != 0) {
        goto out;
    }
    *model_p = &self->base;
    self = NULL;
out:
    if (self != NULL) {
        rub_network_close(&self->base);
    }
    return rc;
}

/* hidden layers with their activation, and a dense one of n_units */
static int open_dense(const rub_model_spec_t *spec, uint32_t n_units, uint32_t n_classes,
                      rub_model_t **model_p, rub_error_t *err)
{
    rub_layer_list_t list = {.n_items = 0};
    const char *name = spec->activation != NULL ? spec->activation : "";
    const rub_layer_kind_t *activation = rub_layer_kind_find(name);
    if (spec->n_hidden > 0 && (activation == NULL || !activation->is_activation)) {
        return rub_fail(err, RUB_EINVAL,
                        "activation '%s' is not known, expected relu, sigmoid, tanh or elu", name);
    }
    for (uint32_t l = 0; l < spec->n_hidden; l++) {
        rub_layer_list_add(&list, &rub_dense_layer, spec->hidden[l]);
        rub_layer_list_add(&list, activation, 0);
    }
    rub_layer_list_add(&list, &rub_dense_layer, n_units);
    return open_list(spec, &list, n_classes, model_p, err);
}

int rub_network_open_mlp(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err)
{
    return open_dense(spec, spec->n_classes, spec->n_classes, model_p, err);
}

int rub_network_open_score(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err)
{
    return open_dense(spec, 1, 0, model_p, err);
}

int rub_network_open_softmax(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err)
{
    if (spec->n_hidden > 0) {
        return rub_fail(err, RUB_EINVAL,
                        "model 'softmax' with %" PRIu32 " hidden layers, expected 0 (use 'mlp')",
                        spec->n_hidden);
    }
    return rub_network_open_mlp(spec, model_p, err);
}

int rub_network_open_sequential(const rub_model_spec_t *spec, rub_model_t **model_p,
                                rub_error_t *err)
{
    rub_layer_list_t list;
    const int rc = rub_layer_list_read(spec->layers != NULL ? spec->layers : "", &list, err);
    return rc ? rc : open_list(spec, &list, spec->n_classes, model_p, err);
}

/* ---- passes ---- */

static rub_layer_params_t params_of(const network_t *self, const float *const *params, size_t l)
{
    const size_t t = self->first_tables[l];
    return has_parameters(&self->layers[l]) ? (rub_layer_params_t){params[t], params[t + 1]}
                                            : (rub_layer_params_t){NULL, NULL};
}

static void forward(network_t *self, const float *const *params, const float *x, size_t n,
                    const rub_layer_draw_t *draw)
{
    for (size_t l = 0; l < self->n_layers; l++) {
        rub_layer_t *layer = &self->layers[l];
        self->inputs[l] = x;
        x = layer->kind->forward(layer, params_of(self, params, l), x, n, draw);
    }
}

/* delta: gradient with respect to the last output; below: by x, or NULL. */
static void backward(network_t *self, const float *const *params, size_t n, float *delta,
                     float *const *gradients, float *below_all)
{
    for (size_t l = self->n_layers; l-- > self->lowest;) {
        rub_layer_t *layer = &self->layers[l];
        float *below = l > self->lowest ? self->deltas[l % 2] : below_all;
        rub_layer_gradients_t own = {NULL, NULL};
        if (has_parameters(layer)) {
            own = (rub_layer_gradients_t){gradients[self->first_tables[l]],
                                          gradients[self->first_tables[l] + 1]};
        }
        layer->kind->backward(layer, params_of(self, params, l), self->inputs[l], n, delta, own,
                              below);
        delta = below;
    }
}

void rub_network_run(rub_model_t *model, const float *const *params, const float *x,
                     const int32_t *labels, size_t n, float *const *gradients, double *loss_sum_p,
                     size_t *correct_p)
{
    network_t *self = (network_t *)model;
    const rub_layer_draw_t draw = {model->draw_seed, model->draw_batch};
    const rub_layer_t *last = &self->layers[self->n_layers - 1];
    const size_t last_bias = self->base.n_tables - 1;
    forward(self, params, x, n, gradients != NULL ? &draw : NULL);
    if (gradients == NULL) {
        rub_cross_entropy(last->output, params[last_bias], labels, n, last->out.channels,
                          loss_sum_p, correct_p);
        return;
    }
    rub_cross_entropy_gradient(last->output, params[last_bias], labels, n, last->out.channels,
                               gradients[last_bias], loss_sum_p, correct_p);
    backward(self, params, n, last->output, gradients, NULL);
}

const float *rub_network_scores(rub_model_t *model, const float *const *params, const float *x,
                                size_t n)
{
    network_t *self = (network_t *)model;
    forward(self, params, x, n, NULL);
    return self->layers[self->n_layers - 1].output;
}

void rub_network_step(rub_model_t *model, const float *const *params, size_t n, float *slopes,
                      float *const *gradients, float *below)
{
    backward((network_t *)model, params, n, slopes, gradients, below);
}

void rub_network_predict(rub_model_t *model, const float *const *params, const float *x, size_t n,
                         float *probabilities)
{
    network_t *self = (network_t *)model;
    const rub_layer_t *last = &self->layers[self->n_layers - 1];
    forward(self, params, x, n, NULL);
    rub_softmax(last->output, params[self->base.n_tables - 1], n, last->out.channels,
                probabilities);
}
