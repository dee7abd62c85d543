/* The table of layer kinds, and the two that have no arithmetic of their own: flatten and an
 * activation that stands alone.
 *
 * An activation right behind a layer with parameters is not a layer when the network runs: it goes
 * into that layer's pass over its outputs (worker/model/activation.h). What stands here is for one
 * that follows a pool, say. */
#include "worker/model/layer.h"

#include "common/base/check.h"

#include <math.h>
#include <string.h>

static const rub_layer_kind_t *const kinds[] = {
    &rub_dense_layer,   &rub_conv_layer,    &rub_max_pool_layer, &rub_avg_pool_layer,
    &rub_norm_layer,    &rub_dropout_layer, &rub_flatten_layer,  &rub_relu_layer,
    &rub_sigmoid_layer, &rub_tanh_layer,    &rub_elu_layer,
};

const rub_layer_kind_t *const *rub_layer_kinds(size_t *n_kinds_p)
{
    *n_kinds_p = RUB_COUNT_OF(kinds);
    return kinds;
}

const rub_layer_kind_t *rub_layer_kind_find(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(kinds); i++) {
        if (strcmp(kinds[i]->name, name) == 0) {
            return kinds[i];
        }
    }
    return NULL;
}

static int flat_shape(rub_layer_t *self, size_t max_batch, rub_error_t *err)
{
    RUB_UNUSED(max_batch);
    RUB_UNUSED(err);
    self->out = (rub_shape_t){1, 1, (uint32_t)rub_shape_size(self->in)}; /* at most 2^20 */
    return 0;
}

/* scratch: a bias of zeros, and the gradient of it that nobody wants. */
static int activation_shape(rub_layer_t *self, size_t max_batch, rub_error_t *err)
{
    RUB_UNUSED(max_batch);
    RUB_UNUSED(err);
    self->out = self->in;
    self->scratch_elements = 2 * (size_t)rub_shape_size(self->in);
    self->activation = rub_activation_find(self->kind->name);
    return 0;
}

static const float *activation_forward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                                       size_t n, const rub_layer_draw_t *draw)
{
    RUB_UNUSED(params);
    RUB_UNUSED(draw);
    const size_t width = (size_t)rub_shape_size(self->in);
    memcpy(self->output, x, n * width * sizeof *x);
    memset(self->scratch, 0, width * sizeof *self->scratch);
    self->activation->forward(self->output, self->scratch, n, width);
    return self->output;
}

static void activation_backward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                                size_t n, float *delta, rub_layer_gradients_t gradients,
                                float *below)
{
    RUB_UNUSED(params);
    RUB_UNUSED(x);
    RUB_UNUSED(gradients);
    const size_t width = (size_t)rub_shape_size(self->in);
    self->activation->backward(delta, self->output, self->scratch + width, n, width);
    if (below != NULL) {
        memcpy(below, delta, n * width * sizeof *delta);
    }
}

#define ACTIVATION_LAYER(word)                                                                     \
    const rub_layer_kind_t rub_##word##_layer = {.name = #word,                                    \
                                                 .is_activation = true,                            \
                                                 .shape = activation_shape,                        \
                                                 .forward = activation_forward,                    \
                                                 .backward = activation_backward};

ACTIVATION_LAYER(relu)
ACTIVATION_LAYER(sigmoid)
ACTIVATION_LAYER(tanh)
ACTIVATION_LAYER(elu)

const rub_layer_kind_t rub_flatten_layer = {
    .name = "flatten", .is_shape_only = true, .shape = flat_shape};
