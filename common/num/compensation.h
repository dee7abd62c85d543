/* What a late gradient would be at the weights that it is applied to (Zheng et al., "Asynchronous
 * stochastic gradient descent with delay compensation", ICML 2017): a first-order step of the
 * gradient from the weights that its worker saw to those of now, where the Hessian is taken for
 * the diagonal of lambda g g'. Arrays are 4-byte aligned; out may be gradient, else they do not
 * overlap; any n. */
#ifndef RUB_COMPENSATION_H
#define RUB_COMPENSATION_H

#include <stdbool.h>
#include <stddef.h>

/* How much of a mean of squares outlives a gradient, and what keeps its root from zero (section
 * 6.1 of the paper). */
#define RUB_COMPENSATION_KEEPS 0.95F
#define RUB_COMPENSATION_EPSILON 1e-7F

/* out = g + lambda g g (now - seen)                                               (DC-ASGD-c) */
void rub_compensate(float *out, const float *gradient, const float *now, const float *seen,
                    size_t n, float lambda);

/* squares = 0.95 squares + 0.05 g g, and then
 * out = g + lambda / sqrt(squares + 1e-7) g g (now - seen)                        (DC-ASGD-a)
 * seen: NULL: out = g. */
void rub_compensate_adaptive(float *out, const float *gradient, const float *now, const float *seen,
                             float *squares, size_t n, float lambda);

/* now -= then, for the sums of what was applied to weights, as they are and as they were when a
 * worker read them (AdaRevision); then: NULL: nobody knows, now = 0. A sum that has overflown says
 * nothing, either. Whether any of it is not 0. */
bool rub_applied_since(float *now, const float *then, size_t n);

#endif
