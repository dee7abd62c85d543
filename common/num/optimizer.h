/* Server-side optimizers, one table row each. An optimizer works on one row (hashed tables) or one
 * block (dense ones): n weights, their slots, one gradient, and how many steps this row has taken.
 *
 * Results are the same bits on every host and for every n: only +, -, *, / and sqrt, which IEEE 754
 * rounds correctly; no fused multiply-add (-ffp-contract=off); hyper-parameters are rounded to
 * float32 once per call, except powers of beta, which are taken in float64 by repeated
 * multiplication, not by libm's pow. */
#ifndef RUB_OPTIMIZER_H
#define RUB_OPTIMIZER_H

#include "include/rubato.h"

typedef struct rub_optimizer {
    rub_optimizer_kind_t kind;
    const char *name; /* "sgd" */
    uint32_t slots;   /* float32 beside each weight; they start as zeros */
    bool needs_step;  /* the row keeps a step counter */
    /* One step. w: n weights. slots: slots x n, slot k of weight i at slots[k * n + i]; may be NULL
     * when the optimizer has none. step: 1 for a row's first step; ignored unless needs_step.
     * gradient: n. The arrays do not overlap and are 4-byte aligned. Any n, also 0. NaN and
     * infinities propagate. */
    void (*apply)(float *w, float *slots, size_t n, uint64_t step, const rub_hyper_t *hyper,
                  const float *gradient);
    /* apply to each of n_rows rows of n > 0 weights, in order, with the same bits: rows[r] points
     * at its weights, and its slots stand right behind them; gradient: n_rows x n. A row may come
     * more than once; otherwise rows do not overlap. NULL when needs_step. */
    void (*apply_rows)(float *const *rows, size_t n_rows, size_t n, const rub_hyper_t *hyper,
                       const float *gradient);
} rub_optimizer_t;

/* The optimizer of that number (rub_optimizer_kind_t, also as it came from a peer); NULL when there
 * is none. Static. */
const rub_optimizer_t *rub_optimizer_find(uint32_t kind);
/* By name; NULL when there is none. Static. */
const rub_optimizer_t *rub_optimizer_named(const char *name);

/* The public defaults: lr 0.01, momentum 0.9, betas 0.9 and 0.999, epsilon 1e-8, weight_decay 0. */
void rub_hyper_defaults(rub_hyper_t *hyper);

/* Refuses (RUB_EINVAL) what no optimizer can use: lr, epsilon and weight_decay must be finite and
 * >= 0 and fit in float32; momentum, beta1 and beta2 must be in [0, 1), also once rounded to
 * float32. All are checked, used or not. */
int rub_hyper_check(const rub_hyper_t *hyper, rub_error_t *err);

/* base^exponent by binary powering: the same bits on every host. */
double rub_power(double base, uint64_t exponent);

#endif
