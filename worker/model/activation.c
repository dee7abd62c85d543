/* Activation functions of hidden layers.
 *
 * Why two functions per row and nothing smaller: adding the bias, activating, and on the way back
 * the derivative and the bias's gradient each touch every number of a layer once; done apart they
 * would cost four passes, done so they cost two. Idea: derivatives are written with the output y =
 * f(z), so z need not be kept. Scalars are inlined into one loop per activation (always_inline with
 * a constant function), which the compiler vectorises. Invariant: sums over rows are added in row
 * order, so results do not depend on vector width. References: Glorot and Bengio, AISTATS 2010
 * (bound for sigmoid, tanh, softmax); He et al., ICCV 2015 (for the relu family); Clevert et al.,
 * ICLR 2016 (elu, alpha = 1). */
#include "worker/model/activation.h"

#include "common/base/check.h"
#include "common/num/exponential.h"

#include <math.h>
#include <string.h>

double rub_glorot_bound(double fan_in, double fan_out)
{
    return sqrt(6.0 / (fan_in + fan_out));
}

static double he_bound(double fan_in, double fan_out)
{
    RUB_UNUSED(fan_out);
    return sqrt(6.0 / fan_in);
}

typedef float (*value_function_t)(float z);
typedef float (*slope_function_t)(float y);

static inline __attribute__((always_inline)) void forward_with(value_function_t value,
                                                               float *restrict z,
                                                               const float *restrict bias,
                                                               size_t n_rows, size_t width)
{
    for (size_t i = 0; i < n_rows; i++, z += width) {
        for (size_t j = 0; j < width; j++) {
            z[j] = value(z[j] + bias[j]);
        }
    }
}

static inline __attribute__((always_inline)) void
backward_with(slope_function_t slope, float *restrict delta, const float *restrict y,
              float *restrict bias_gradient, size_t n_rows, size_t width)
{
    memset(bias_gradient, 0, width * sizeof *bias_gradient);
    for (size_t i = 0; i < n_rows; i++, delta += width, y += width) {
        for (size_t j = 0; j < width; j++) {
            delta[j] *= slope(y[j]);
            bias_gradient[j] += delta[j];
        }
    }
}

static inline float none_value(float z)
{
    return z;
}
static inline float none_slope(float y)
{
    RUB_UNUSED(y);
    return 1.0f;
}
/* Comparisons are written so that NaN comes through: it must reach the loss and be noticed. */
static inline float relu_value(float z)
{
    return z < 0.0f ? 0.0f : z;
}
static inline float relu_slope(float y)
{
    return y > 0.0f ? 1.0f : 0.0f;
}
static inline float logistic_slope(float y)
{
    return y * (1.0f - y);
}
static inline float tanh_slope(float y)
{
    return 1.0f - y * y;
}
static inline float elu_value(float z)
{
    return rub_select(z > 0.0f, z, rub_expm1(z));
}
/* f'(z) = exp(z) = y + 1 below 0. */
static inline float elu_slope(float y)
{
    return y > 0.0f ? 1.0f : y + 1.0f;
}

#define ACTIVATION(name, value, slope)                                                             \
    static void name##_forward(float *z, const float *bias, size_t n_rows, size_t width)           \
    {                                                                                              \
        forward_with(value, z, bias, n_rows, width);                                               \
    }                                                                                              \
    static void name##_backward(float *delta, const float *y, float *bias_gradient, size_t n_rows, \
                                size_t width)                                                      \
    {                                                                                              \
        backward_with(slope, delta, y, bias_gradient, n_rows, width);                              \
    }

ACTIVATION(none, none_value, none_slope)
ACTIVATION(relu, relu_value, relu_slope)
ACTIVATION(sigmoid, rub_logistic, logistic_slope)
ACTIVATION(tanh, rub_tanh, tanh_slope)
ACTIVATION(elu, elu_value, elu_slope)

static const rub_activation_t activations[] = {
    {"relu", he_bound, relu_forward, relu_backward},
    {"sigmoid", rub_glorot_bound, sigmoid_forward, sigmoid_backward},
    {"tanh", rub_glorot_bound, tanh_forward, tanh_backward},
    {"elu", he_bound, elu_forward, elu_backward},
};

const rub_activation_t *rub_activation_none(void)
{
    static const rub_activation_t none = {"none", rub_glorot_bound, none_forward, none_backward};
    return &none;
}

const rub_activation_t *rub_activation_find(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(activations); i++) {
        if (strcmp(activations[i].name, name) == 0) {
            return &activations[i];
        }
    }
    return NULL;
}

const rub_activation_t *rub_activations(size_t *n_activations_p)
{
    *n_activations_p = RUB_COUNT_OF(activations);
    return activations;
}
