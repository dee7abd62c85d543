/* Activation functions of hidden layers, as a table. A new one is a row of activation.c. */
#ifndef RUB_ACTIVATION_H
#define RUB_ACTIVATION_H

#include <stddef.h>

typedef struct rub_activation {
    const char *name;
    /* Half-width of the uniform distribution that weights start from. */
    double (*init_bound)(double fan_in, double fan_out);
    /* z -> f(z + bias), in place. z: n_rows x width; bias: width. */
    void (*forward)(float *z, const float *bias, size_t n_rows, size_t width);
    /* delta -> delta * f'(z), in place, with f' expressed by y = f(z); and the sum of the new delta
     * over rows, which is the bias's gradient. delta, y: n_rows x width; bias_gradient: width,
     * overwritten. */
    void (*backward)(float *delta, const float *y, float *bias_gradient, size_t n_rows,
                     size_t width);
} rub_activation_t;

/* NULL when there is none of that name. Static. */
const rub_activation_t *rub_activation_find(const char *name);
/* z + bias, and nothing else: of layers without an activation. In no table. Static. */
const rub_activation_t *rub_activation_none(void);
/* The whole table. Static. */
const rub_activation_t *rub_activations(size_t *n_activations_p);

/* Glorot's bound sqrt(6 / (fan_in + fan_out)): also for the layer in front of a softmax. */
double rub_glorot_bound(double fan_in, double fan_out);

#endif
