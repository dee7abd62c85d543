/* A fully connected layer: y = f(x W + b), W of inputs x units.
 *
 * Backward: d = dy * f'(z),  dW = x^T d,  db = sum over rows of d,  dx = d W^T. (Rumelhart, Hinton
 * and Williams, 1986.) Each product is one sgemm over the batch, and between two of them stands one
 * pass: bias with activation on the way there, derivative with bias gradient on the way back. An
 * image that comes in is taken as it lies in memory. */
#include "worker/model/layer.h"

#include "common/base/check.h"

#include <cblas.h>
#include <math.h>

enum { UNITS };

static int dense_shape(rub_layer_t *self, size_t max_batch, rub_error_t *err)
{
    RUB_UNUSED(max_batch);
    RUB_UNUSED(err);
    const uint64_t inputs = rub_shape_size(self->in);
    self->out = (rub_shape_t){1, 1, (uint32_t)self->arguments[UNITS]};
    self->weights_elements = inputs * self->out.channels;
    self->bias_elements = self->out.channels;
    self->fan_in = (double)inputs;
    self->fan_out = self->arguments[UNITS];
    self->gradient_flops = 6.0 * self->fan_in * self->fan_out;
    return 0;
}

static const float *dense_forward(rub_layer_t *self, rub_layer_params_t params, const float *x,
                                  size_t n, const rub_layer_draw_t *draw)
{
    RUB_UNUSED(draw);
    const int in = (int)rub_shape_size(self->in);
    const int out = (int)self->out.channels;
    cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasNoTrans, (int)n, out, in, 1.0f, x, in,
                params.weights, out, 0.0f, self->output, out);
    if (!self->is_last) {
        self->activation->forward(self->output, params.bias, n, self->out.channels);
    }
    return self->output;
}

static void dense_backward(rub_layer_t *self, rub_layer_params_t params, const float *x, size_t n,
                           float *delta, rub_layer_gradients_t gradients, float *below)
{
    const int in = (int)rub_shape_size(self->in);
    const int out = (int)self->out.channels;
    if (!self->is_last) {
        self->activation->backward(delta, self->output, gradients.bias, n, self->out.channels);
    }
    cblas_sgemm(CblasRowMajor, CblasTrans, CblasNoTrans, in, out, (int)n, 1.0f, x, in, delta, out,
                0.0f, gradients.weights, out);
    if (below != NULL) {
        cblas_sgemm(CblasRowMajor, CblasNoTrans, CblasTrans, (int)n, in, out, 1.0f, delta, out,
                    params.weights, out, 0.0f, below, in);
    }
}

const rub_layer_kind_t rub_dense_layer = {
    .name = "dense",
    .arguments = {{"units", 1, RUB_MODEL_WIDTH_LIMIT, NAN, true}},
    .weights_name = "weights",
    .shape = dense_shape,
    .forward = dense_forward,
    .backward = dense_backward,
};
