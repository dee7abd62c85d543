/* The float32 loops that cost time, once for each instruction set. All of them are compiled from
 * the same lines (loops_source.h): the operations on a value are the same, in the same order, each
 * rounded as IEEE 754 says, so every set gives the same bits and a fleet may mix hosts. Private to
 * common/num and its tests. */
#ifndef RUB_LOOPS_H
#define RUB_LOOPS_H

#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>

/* What is the same for all weights of a step, in float32; an optimizer uses some of it. */
typedef struct rub_step {
    float lr, decay, epsilon;
    float mu;           /* momentum, nesterov */
    float beta1, rest1; /* rest = 1 - beta, taken in float64 */
    float beta2, rest2; /* rmsprop, adadelta: of rho */
    float rate;         /* adam and its kin: lr / (1 - beta1^t) */
    float correction1;  /* lamb: 1 - beta1^t */
    float correction2;  /* sqrt(1 - beta2^t) */
    float keep;         /* adamw: 1 - lr decay */
    float l1, l2, beta; /* ftrl */
    const float *since; /* adarevision: laid out as the gradient; NULL: zeros */
} rub_step_t;

enum { RUB_OPTIMIZERS = RUB_ADAREVISION + 1 };

/* One step of n weights. slots: slot k of weight i at slots[k * n + i], those of the row behind
 * them all (rub_optimizer_t). 4-byte aligned, without overlap; any n. */
typedef void rub_step_fn(float *w, float *slots, const float *g, size_t n, const rub_step_t *step);
/* The same to rows of n weights with their slots behind them, wherever they stand, in order, with
 * n_rows x n gradients that stand one behind the other. A row may come more than once; otherwise
 * rows do not overlap. */
typedef void rub_step_rows_fn(float *const *rows, size_t n_rows, size_t n, const float *g,
                              const rub_step_t *step);

typedef struct rub_loops {
    const char *name; /* "plain", "avx2", "avx512" */
    bool (*all_finite)(const float *x, size_t n);
    void (*add_into)(float *into, const float *x, size_t n);
    void (*scale)(float *x, size_t n, float factor);
    void (*clamp)(float *x, size_t n, float most);      /* into [-most, most]; NaN stays NaN */
    double (*sum_of_squares)(const float *x, size_t n); /* in float64, in a fixed order */
    rub_step_fn *step[RUB_OPTIMIZERS];                  /* by rub_optimizer_kind_t */
    rub_step_rows_fn *step_rows[RUB_OPTIMIZERS]; /* NULL where each row has its own step count */
} rub_loops_t;

/* The fastest that this CPU runs. Static; any thread. */
const rub_loops_t *rub_loops(void);

/* All that this CPU runs, plain first; NULL behind the last. */
const rub_loops_t *rub_loops_at(size_t i);

#endif
