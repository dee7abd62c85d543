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

/* One channel after the other of a window whose first number is image[at]. */
typedef struct window {
    size_t size, channels, line; /* line: numbers from one row of the image to the next */
} window_t;

static void max_of_window(window_t window, const float *restrict image, size_t at,
                          float *restrict out, uint32_t *restrict places)
{
    for (size_t c = 0; c < window.channels; c++) {
        out[c] = image[at + c];
        places[c] = (uint32_t)(at + c);
    }
    for (size_t y = 0; y < window.size; y++) {
        for (size_t x = y == 0; x < window.size; x++) {
            const size_t from = at + y * window.line + x * window.channels;
            for (size_t c = 0; c < window.channels; c++) {
                const float value = image[from + c];
                const bool is_greater = (value > out[c]) | (value != value);
                out[c] = is_greater ? value : out[c];
                places[c] = is_greater ? (uint32_t)(from + c) : places[c];
            }
        }
    }
}

static void mean_of_window(window_t window, const float *restrict image, size_t at,
                           float *restrict out)
{
    const float part = 1.0f / (float)(window.size * window.size);
    memset(out, 0, window.channels * sizeof *out);
    for (size_t y = 0; y < window.size; y++) {
        for (size_t x = 0; x < window.size; x++) {
            const float *from = image + at + y * window.line + x * window.channels;
            for (size_t c = 0; c < window.channels; c++) {
                out[c] += from[c];
            }
        }
    }
    for (size_t c = 0; c < window.channels; c++) {
        out[c] *= part;
    }
}

static void spread_over_window(window_t window, const float *restrict delta, float *restrict image,
                               size_t at)
{
    const float part = 1.0f / (float)(window.size * window.size);
    for (size_t y = 0; y < window.size; y++) {
        for (size_t x = 0; x < window.size; x++) {
            float *to = image + at + y * window.line + x * window.channels;
            for (size_t c = 0; c < window.channels; c++) {
                to[c] += delta[c] * part;
            }
        }
    }
}

static window_t window_of(const rub_layer_t *self)
{
    return (window_t){.size = (size_t)self->arguments[SIZE],
                      .channels = self->in.channels,
                      .line = (size_t)self->in.width * self->in.channels};
}

static const float *pool_forward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                                 size_t n, const rub_layer_draw_t *draw)
{
    RUB_UNUSED(params);
    RUB_UNUSED(draw);
    const window_t window = window_of(self);
    const size_t stride = stride_of(self), in_size = (size_t)rub_shape_size(self->in);
    float *out = self->output;
    uint32_t *places = self->places;
    for (size_t i = 0; i < n; i++, x += in_size) {
        for (size_t row = 0; row < self->out.height; row++) {
            size_t at = row * stride * window.line;
            for (size_t column = 0; column < self->out.width; column++) {
                if (places != NULL) {
                    max_of_window(window, x, at, out, places);
                    places += window.channels;
                } else {
                    mean_of_window(window, x, at, out);
                }
                at += stride * window.channels;
                out += window.channels;
            }
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
    const window_t window = window_of(self);
    const size_t stride = stride_of(self), in_size = (size_t)rub_shape_size(self->in);
    if (below == NULL) {
        return;
    }
    memset(below, 0, n * in_size * sizeof *below);
    for (size_t i = 0; i < n; i++, below += in_size) {
        for (size_t row = 0; row < self->out.height; row++) {
            size_t at = row * stride * window.line;
            for (size_t column = 0; column < self->out.width; column++) {
                spread_over_window(window, delta, below, at);
                at += stride * window.channels;
                delta += window.channels;
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
