/* The logistic function and the exponential over many values, once for each instruction set, all
 * compiled from the same lines (logistic_loops_source.h) as loops.h's are: every set gives the same
 * bits. What is far from 0 counts as exponential.h says. Models call it. */
#ifndef RUB_LOGISTIC_LOOPS_H
#define RUB_LOGISTIC_LOOPS_H

#include <stddef.h>

typedef struct rub_logistic_loops {
    const char *name; /* "plain", "avx2", "avx512" */
    /* x[i] = factor * (target - 1 / (1 + exp(-x[i]))): for scores x the step towards a target of 0
     * or 1 under logistic loss. NaN stays NaN. 4-byte aligned; any n. */
    void (*residual)(float *x, size_t n, float target, float factor);
    /* out[i] = exp(factor * (x[i] - offset)): the terms of a softmax. As above. */
    void (*exponentials)(const float *x, size_t n, float offset, float factor, float *out);
    /* The greatest of x[i], -INFINITY if there is none; NaN counts as less. */
    float (*greatest)(const float *x, size_t n);
    float (*sum)(const float *x, size_t n);
    /* residual with a target of 0, times weights[i] * weight. */
    void (*weighted_residual)(float *x, const float *weights, size_t n, float factor, float weight);
} rub_logistic_loops_t;

/* The fastest that this CPU runs. Static; any thread. */
const rub_logistic_loops_t *rub_logistic_loops(void);
/* All that this CPU runs, plain first; NULL behind the last. */
const rub_logistic_loops_t *rub_logistic_loops_at(size_t i);

#endif
