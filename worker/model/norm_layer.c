/* Layer normalisation (Ba, Kiros and Hinton, 2016), over all numbers of an example:
 *
 *   h = (x - mean(x)) / sqrt(var(x) + epsilon),   y = f(gain * h + bias)
 *
 * Backward, with d the gradient behind f's derivative and g = d * gain:  dgain = sum d h,  dbias =
 * sum d, dx = (g - mean(g) - h mean(g h)) / sqrt(var + epsilon). Means are added up in float64: an
 * example may have a million numbers. h is not kept; mean and inverse deviation of each example
 * are, in scratch. */
#include "worker/model/layer.h"

#include "common/base/check.h"

#include <math.h>
#include <string.h>

enum { EPSILON };

static int norm_shape(rub_layer_t *self, size_t max_batch, rub_error_t *err)
{
    RUB_UNUSED(err);
    self->out = self->in;
    self->weights_elements = self->bias_elements = rub_shape_size(self->in);
    self->scratch_elements = 2 * max_batch;
    return 0;
}

/* Mean and inverse deviation of one example. */
static void moments(const float *x, size_t width, double epsilon, float *mean_p, float *inverse_p)
{
    double sum = 0, squares = 0;
    for (size_t j = 0; j < width; j++) {
        sum += (double)x[j];
    }
    const double mean = sum / (double)width;
    for (size_t j = 0; j < width; j++) {
        const double apart = (double)x[j] - mean;
        squares += apart * apart;
    }
    *mean_p = (float)mean;
    *inverse_p = (float)(1.0 / sqrt(squares / (double)width + epsilon));
}

static const float *norm_forward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                                 size_t n, const rub_layer_draw_t *draw)
{
    RUB_UNUSED(draw);
    const size_t width = (size_t)rub_shape_size(self->in);
    for (size_t i = 0; i < n; i++) {
        float *kept = self->scratch + 2 * i;
        float *y = self->output + i * width;
        const float *row = x + i * width;
        moments(row, width, self->arguments[EPSILON], &kept[0], &kept[1]);
        for (size_t j = 0; j < width; j++) {
            y[j] = params.weights[j] * ((row[j] - kept[0]) * kept[1]);
        }
    }
    self->activation->forward(self->output, params.bias, n, width);
    return self->output;
}

static void norm_backward(rub_layer_t *self, rub_layer_params_t params, const float *x, size_t n,
                          float *delta, rub_layer_gradients_t gradients, float *below)
{
    const size_t width = (size_t)rub_shape_size(self->in);
    self->activation->backward(delta, self->output, gradients.bias, n, width);
    memset(gradients.weights, 0, width * sizeof *gradients.weights);
    for (size_t i = 0; i < n; i++) {
        const float mean = self->scratch[2 * i], inverse = self->scratch[2 * i + 1];
        const float *row = x + i * width, *d = delta + i * width;
        double sum = 0, with_h = 0;
        for (size_t j = 0; j < width; j++) {
            const float h = (row[j] - mean) * inverse;
            const float g = d[j] * params.weights[j];
            gradients.weights[j] += d[j] * h;
            sum += (double)g;
            with_h += (double)g * (double)h;
        }
        if (below == NULL) {
            continue;
        }
        const float mean_g = (float)(sum / (double)width),
                    mean_gh = (float)(with_h / (double)width);
        for (size_t j = 0; j < width; j++) {
            const float h = (row[j] - mean) * inverse;
            below[i * width + j] = (d[j] * params.weights[j] - mean_g - h * mean_gh) * inverse;
        }
    }
}

const rub_layer_kind_t rub_norm_layer = {
    .name = "layer_norm",
    .arguments = {{"epsilon", 1e-12, 1, 1e-5, false}},
    .weights_name = "gain",
    .shape = norm_shape,
    .forward = norm_forward,
    .backward = norm_backward,
};
