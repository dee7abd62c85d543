/* Server-side optimizers, one table row each. An optimizer works on one row (hashed tables) or one
 * block (dense ones): n weights, their slots, one gradient, and how many steps this row has taken.
 * Formulas and papers: common/num/loops_source.h. What each uses, beside lr (add: nothing at all):
 *
 *   momentum, nesterov   momentum
 *   adagrad, rowwise, adarevision   epsilon
 *   rmsprop, adadelta    rho, epsilon
 *   adam, adamw, amsgrad, lamb   beta1, beta2, epsilon
 *   ftrl                 l1, l2, ftrl_beta
 *
 * Weight decay: wd w is added to the gradient before anything else, and so goes into the slots as
 * PyTorch's does (sgd, momentum, nesterov, adagrad, rowwise_adagrad, rmsprop, adadelta, adam,
 * amsgrad, adarevision). adamw takes lr wd w off the weight instead, apart from the gradient, and
 * lamb adds wd w to what it takes the norm of. ftrl has l2 in its closed form, and add has nothing;
 * neither looks at weight_decay. In each case a row decays only when it is stepped: what nobody
 * pushes keeps its value. The same holds for moments and step counts, as for PyTorch's parameters
 * whose gradient is None.
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
    const char *name;   /* "sgd" */
    uint32_t slots;     /* float32 beside each weight; they start as zeros */
    uint32_t row_slots; /* float32 beside a row or block, behind the others; they do, too */
    bool needs_step;    /* the row keeps a step counter */
    bool needs_whole;   /* a step is of all weights of a tensor: no table's, whose rows and blocks
                           step one by one */
    uint32_t uses;      /* RUB_USES_* */
    bool revises;       /* late gradients are stepped with the sum of those that were applied since
                           their worker read the weights; slot 0 is the sum of all */
} rub_optimizer_t;

/* Hyper-parameters that came later than the others: rub_optimizer_trim. */
enum { RUB_USES_RHO = 1, RUB_USES_FTRL = 2 };

/* The optimizer of that number (rub_optimizer_kind_t, also as it came from a peer); NULL when there
 * is none. Static. */
const rub_optimizer_t *rub_optimizer_find(uint32_t kind);
/* By name; NULL when there is none. Static. */
const rub_optimizer_t *rub_optimizer_named(const char *name);

/* Float32 of a row, or block, of n weights: the weights and all its slots. */
static inline size_t rub_optimizer_floats(const rub_optimizer_t *self, size_t n)
{
    return n * (1 + self->slots) + self->row_slots;
}

/* One step. w: n weights. slots: slot k of weight i at slots[k * n + i], those of the row behind
 * them; may be NULL when the optimizer has none. step: 1 for a row's first step; ignored unless
 * needs_step. gradient: n. The arrays do not overlap and are 4-byte aligned. Any n, also 0. NaN and
 * infinities propagate. */
void rub_optimizer_apply(const rub_optimizer_t *self, float *w, float *slots, size_t n,
                         uint64_t step, const rub_hyper_t *hyper, const float *gradient);
/* The same of a gradient that is late, by an optimizer that revises: since: n, the sums of the
 * gradients that were applied to each weight since the gradient's worker read it; NULL: zeros.
 * Others do not look at it. */
void rub_optimizer_apply_late(const rub_optimizer_t *self, float *w, float *slots, size_t n,
                              uint64_t step, const rub_hyper_t *hyper, const float *gradient,
                              const float *since);
/* rub_optimizer_apply_late to each of n_rows rows of n > 0 weights, in order, with the same bits:
 * rows[r] points at its weights, and its slots stand right behind them; gradient, and since unless
 * it is NULL: n_rows x n. A row may come more than once; otherwise rows do not overlap. Not for
 * those that need the step. */
void rub_optimizer_apply_rows(const rub_optimizer_t *self, float *const *rows, size_t n_rows,
                              size_t n, const rub_hyper_t *hyper, const float *gradient,
                              const float *since);

/* The public defaults, as include/rubato.h names them. */
void rub_hyper_defaults(rub_hyper_t *hyper);

/* Refuses (RUB_EINVAL) what this optimizer cannot use, or any other: lr, epsilon, weight_decay, l1,
 * l2 and ftrl_beta must be finite and >= 0 and fit in float32; momentum, beta1, beta2 and rho must
 * be in [0, 1), also once rounded to float32. All are checked, used or not. ftrl divides by lr,
 * which must be above 0, and takes no schedule: its closed form holds the rate. adarevision divides
 * by epsilon, which must be above 0, and takes no delay. The schedule must be one
 * (rub_schedule_check). */
int rub_optimizer_check(const rub_optimizer_t *self, const rub_hyper_t *hyper, rub_error_t *err);

/* Whether tables of that kind (rub_table_kind_t) can have it: rub_optimizer_check, and RUB_EINVAL
 * for an optimizer that needs whole tensors, and for what rub_delay_check refuses. */
int rub_optimizer_check_table(const rub_optimizer_t *self, uint32_t kind, const rub_hyper_t *hyper,
                              rub_error_t *err);

/* Zeroes the hyper-parameters that came later and that this optimizer does not use, so that peers
 * which do not know them see the schema that they always saw. Changes no result. */
void rub_optimizer_trim(const rub_optimizer_t *self, rub_hyper_t *hyper);

#endif
