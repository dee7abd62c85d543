/* Dropout (Srivastava et al., JMLR 2014): in training a number is 0 with probability `rate`, the
 * others are divided by what stays, so that evaluation takes them as they are.
 *
 * Which ones is a function of (seed, batch, layer, place): the same batch drops the same numbers on
 * whatever worker and after any restart, and so lock-step runs repeat bit for bit. scratch: the
 * factor of each number, for the way back. */
#include "worker/model/layer.h"

#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/rng.h"

#include <math.h>

/* Keeps these draws apart from all others of a seed: "dropout" in ASCII. */
#define DROPOUT_STREAM UINT64_C(0x64726f706f7574)

enum { RATE };

static int dropout_shape(rub_layer_t *self, size_t max_batch, rub_error_t *err)
{
    RUB_UNUSED(err);
    self->out = self->in;
    self->scratch_elements = max_batch * (size_t)rub_shape_size(self->in);
    return 0;
}

static void draw_factors(rub_layer_t *self, const rub_layer_draw_t *draw, size_t n)
{
    const uint64_t stream = rub_mix64(rub_mix64(DROPOUT_STREAM + self->place) + draw->batch);
    const uint32_t dropped = (uint32_t)(self->arguments[RATE] * 0x1p32); /* rate is at most 0.99 */
    const float stays = (float)(1 / (1 - self->arguments[RATE]));
    uint32_t words[4];
    for (size_t i = 0; i < n; i++) {
        if (i % 4 == 0) {
            rub_philox(draw->seed, stream, i / 4, words);
        }
        self->scratch[i] = words[i % 4] < dropped ? 0.0f : stays;
    }
}

static const float *dropout_forward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                                    size_t n, const rub_layer_draw_t *draw)
{
    RUB_UNUSED(params);
    if (draw == NULL) {
        return x;
    }
    const size_t elements = n * (size_t)rub_shape_size(self->in);
    draw_factors(self, draw, elements);
    for (size_t i = 0; i < elements; i++) {
        self->output[i] = x[i] * self->scratch[i];
    }
    return self->output;
}

static void dropout_backward(rub_layer_t *self, rub_layer_params_t params, const float *x, size_t n,
                             float *delta, rub_layer_gradients_t gradients, float *below)
{
    RUB_UNUSED(params);
    RUB_UNUSED(x);
    RUB_UNUSED(gradients);
    const size_t elements = n * (size_t)rub_shape_size(self->in);
    for (size_t i = 0; below != NULL && i < elements; i++) {
        below[i] = delta[i] * self->scratch[i];
    }
}

const rub_layer_kind_t rub_dropout_layer = {
    .name = "dropout",
    .arguments = {{"rate", 0, 0.99, NAN, false}},
    .shape = dropout_shape,
    .forward = dropout_forward,
    .backward = dropout_backward,
};
