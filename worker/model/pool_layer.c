/* Pooling: each window of an image becomes one number for each channel, its greatest or its mean.
 *
 * Windows that would stick out are left off (as PyTorch does unless told). The gradient of a
 * maximum goes to the place it came from, of equal ones the first; places are kept from the way
 * there. A NaN wins over everything: it must reach the loss and be noticed. */
#include "worker/model/layer.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { SIZE, STRIDE };

static uint32_t stride_of(const rub_layer_t *self)
{
    return (uint32_t)(self->arguments[STRIDE] > 0 ? self->arguments[STRIDE]
                                                  : self->arguments[SIZE]);
}

static int pool_shape(rub_layer_t *self, size_t max_batch, rub_error_t *err)
{
    const uint32_t size = (uint32_t)self->arguments[SIZE], stride = stride_of(self);
    if (size > self->in.height || size > self->in.width) {
        return rub_fail(err, RUB_EINVAL,
                        "size %" PRIu32 " does not fit into %" PRIu32 " x %" PRIu32 " x %" PRIu32
                        " (height, width, channels)",
                        size, self->in.height, self->in.width, self->in.channels);
    }
    self->out = (rub_shape_t){(self->in.height - size) / stride + 1,
                              (self->in.width - size) / stride + 1, self->in.channels};
    self->n_places =
        self->kind == &rub_max_pool_layer ? max_batch * (size_t)rub_shape_size(self->out) : 0;
    return 0;
}

/* Of window `at` of an image (its first number's place): the greatest of each channel, and where.
 */
static void max_of_window(const rub_layer_t *self, const float *image, size_t at,
                          float *restrict out, uint32_t *restrict places)
{
    const size_t size = (size_t)self->arguments[SIZE], channels = self->in.channels;
    for (size_t c = 0; c < channels; c++) {
        out[c] = image[at + c];
        places[c] = (uint32_t)(at + c);
    }
    for (size_t i = 1; i < size * size; i++) {
        const size_t from = at + (i / size * self->in.width + i % size) * channels;
        for (size_t c = 0; c < channels; c++) {
            const float value = image[from + c];
            const bool is_greater = (value > out[c]) | (value != value);
            out[c] = is_greater ? value : out[c];
            places[c] = is_greater ? (uint32_t)(from + c) : places[c];
        }
    }
}

static void mean_of_window(const rub_layer_t *self, const float *image, size_t at,
                           float *restrict out)
{
    const size_t size = (size_t)self->arguments[SIZE], channels = self->in.channels;
    const float part = 1.0f / (float)(size * size);
    memset(out, 0, channels * sizeof *out);
    for (size_t i = 0; i < size * size; i++) {
        const float *from = image + at + (i / size * self->in.width + i % size) * channels;
        for (size_t c = 0; c < channels; c++) {
            out[c] += from[c];
        }
    }
    for (size_t c = 0; c < channels; c++) {
        out[c] *= part;
    }
}

/* Where window number `window` of an image begins. */
static size_t window_at(const rub_layer_t *self, size_t window)
{
    const size_t stride = stride_of(self);
    const size_t y = window / self->out.width * stride, x = window % self->out.width * stride;
    return (y * self->in.width + x) * self->in.channels;
}

static const float *pool_forward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                                 size_t n, const rub_layer_draw_t *draw)
{
    RUB_UNUSED(params);
    RUB_UNUSED(draw);
    const size_t channels = self->in.channels, windows = (size_t)self->out.height * self->out.width;
    const size_t in_size = (size_t)rub_shape_size(self->in);
    for (size_t i = 0; i < n * windows; i++) {
        const float *image = x + i / windows * in_size;
        const size_t at = window_at(self, i % windows);
        if (self->places != NULL) {
            max_of_window(self, image, at, self->output + i * channels,
                          self->places + i * channels);
        } else {
            mean_of_window(self, image, at, self->output + i * channels);
        }
    }
    return self->output;
}

static void max_pool_backward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                              size_t n, float *delta, rub_layer_gradients_t gradients, float *below)
{
    RUB_UNUSED(params);
    RUB_UNUSED(x);
    RUB_UNUSED(gradients);
    const size_t in_size = (size_t)rub_shape_size(self->in),
                 out_size = (size_t)rub_shape_size(self->out);
    if (below == NULL) {
        return;
    }
    memset(below, 0, n * in_size * sizeof *below);
    for (size_t i = 0; i < n; i++, below += in_size, delta += out_size) {
        const uint32_t *places = self->places + i * out_size;
        for (size_t j = 0; j < out_size; j++) {
            below[places[j]] += delta[j];
        }
    }
}

static void avg_pool_backward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                              size_t n, float *delta, rub_layer_gradients_t gradients, float *below)
{
    RUB_UNUSED(params);
    RUB_UNUSED(x);
    RUB_UNUSED(gradients);
    const size_t size = (size_t)self->arguments[SIZE], channels = self->in.channels;
    const size_t windows = (size_t)self->out.height * self->out.width,
                 in_size = (size_t)rub_shape_size(self->in);
    const float part = 1.0f / (float)(size * size);
    if (below == NULL) {
        return;
    }
    memset(below, 0, n * in_size * sizeof *below);
    for (size_t i = 0; i < n * windows; i++, delta += channels) {
        float *image = below + i / windows * in_size + window_at(self, i % windows);
        for (size_t j = 0; j < size * size; j++) {
            float *to = image + (j / size * self->in.width + j % size) * channels;
            for (size_t c = 0; c < channels; c++) {
                to[c] += delta[c] * part;
            }
        }
    }
}

#define POOL_ARGUMENTS                                                                             \
    {                                                                                              \
        {"size", 1, 1024, NAN, true},                                                              \
        {                                                                                          \
            "stride", 0, 1024, 0, true                                                             \
        }                                                                                          \
    } /* stride 0: the size */

const rub_layer_kind_t rub_max_pool_layer = {.name = "max_pool",
                                             .arguments = POOL_ARGUMENTS,
                                             .shape = pool_shape,
                                             .forward = pool_forward,
                                             .backward = max_pool_backward};
const rub_layer_kind_t rub_avg_pool_layer = {.name = "avg_pool",
                                             .arguments = POOL_ARGUMENTS,
                                             .shape = pool_shape,
                                             .forward = pool_forward,
                                             .backward = avg_pool_backward};
