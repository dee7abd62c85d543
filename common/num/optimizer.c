/* The optimizers of the server side, as a table. A shard knows an optimizer only by its row: how
 * many slots, whether a step counter, and the loop that takes one step.
 *
 * The loops and their formulas are in loops_source.h; here is what is the same for all weights of a
 * step. Weight decay is L2: it is added to the gradient before anything else, as in PyTorch's SGD,
 * Adagrad and Adam. */
#include "common/num/optimizer.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/loops.h"

#include <math.h>
#include <string.h>

static void sgd_apply(float *w, float *slots, size_t n, uint64_t step, const rub_hyper_t *hyper,
                      const float *gradient)
{
    RUB_UNUSED(slots);
    RUB_UNUSED(step);
    rub_loops()->sgd(w, gradient, n, (float)hyper->lr, (float)hyper->weight_decay);
}

/* Deltas that a worker computed itself: w += g. No hyper-parameter is used. */
static void add_apply(float *w, float *slots, size_t n, uint64_t step, const rub_hyper_t *hyper,
                      const float *gradient)
{
    RUB_UNUSED(slots);
    RUB_UNUSED(step);
    RUB_UNUSED(hyper);
    rub_loops()->add_into(w, gradient, n);
}

static void momentum_apply(float *w, float *slots, size_t n, uint64_t step,
                           const rub_hyper_t *hyper, const float *gradient)
{
    RUB_UNUSED(step);
    rub_loops()->momentum(w, slots, gradient, n, (float)hyper->lr, (float)hyper->weight_decay,
                          (float)hyper->momentum);
}

static void adagrad_apply(float *w, float *slots, size_t n, uint64_t step, const rub_hyper_t *hyper,
                          const float *gradient)
{
    RUB_UNUSED(step);
    rub_loops()->adagrad(w, slots, gradient, n, (float)hyper->lr, (float)hyper->weight_decay,
                         (float)hyper->epsilon);
}

static void sgd_apply_rows(float *const *rows, size_t n_rows, size_t n, const rub_hyper_t *hyper,
                           const float *gradient)
{
    rub_loops()->sgd_rows(rows, n_rows, n, gradient, (float)hyper->lr, (float)hyper->weight_decay);
}

static void add_apply_rows(float *const *rows, size_t n_rows, size_t n, const rub_hyper_t *hyper,
                           const float *gradient)
{
    RUB_UNUSED(hyper);
    rub_loops()->add_into_rows(rows, n_rows, n, gradient);
}

static void momentum_apply_rows(float *const *rows, size_t n_rows, size_t n,
                                const rub_hyper_t *hyper, const float *gradient)
{
    rub_loops()->momentum_rows(rows, n_rows, n, gradient, (float)hyper->lr,
                               (float)hyper->weight_decay, (float)hyper->momentum);
}

static void adagrad_apply_rows(float *const *rows, size_t n_rows, size_t n,
                               const rub_hyper_t *hyper, const float *gradient)
{
    rub_loops()->adagrad_rows(rows, n_rows, n, gradient, (float)hyper->lr,
                              (float)hyper->weight_decay, (float)hyper->epsilon);
}

/* With bias correction. */
static void adam_apply(float *w, float *slots, size_t n, uint64_t step, const rub_hyper_t *hyper,
                       const float *gradient)
{
    const rub_adam_step_t adam = {
        .beta1 = (float)hyper->beta1,
        .beta2 = (float)hyper->beta2,
        .rest1 = (float)(1.0 - hyper->beta1),
        .rest2 = (float)(1.0 - hyper->beta2),
        .rate = (float)(hyper->lr / (1.0 - rub_power(hyper->beta1, step))),
        .correction2 = (float)sqrt(1.0 - rub_power(hyper->beta2, step)),
        .decay = (float)hyper->weight_decay,
        .epsilon = (float)hyper->epsilon,
    };
    RUB_ASSERT(step > 0);
    if (n > 0) {
        rub_loops()->adam(w, slots, slots + n, gradient, n, &adam);
    }
}

static const rub_optimizer_t optimizers[] = {
    {RUB_SGD, "sgd", 0, false, sgd_apply, sgd_apply_rows},
    {RUB_ADD, "add", 0, false, add_apply, add_apply_rows},
    {RUB_MOMENTUM, "momentum", 1, false, momentum_apply, momentum_apply_rows},
    {RUB_ADAGRAD, "adagrad", 1, false, adagrad_apply, adagrad_apply_rows},
    {RUB_ADAM, "adam", 2, true, adam_apply, NULL},
};

const rub_optimizer_t *rub_optimizer_find(uint32_t kind)
{
    for (size_t i = 0; i < RUB_COUNT_OF(optimizers); i++) {
        if ((uint32_t)optimizers[i].kind == kind) {
            return &optimizers[i];
        }
    }
    return NULL;
}

const rub_optimizer_t *rub_optimizer_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(optimizers); i++) {
        if (strcmp(optimizers[i].name, name) == 0) {
            return &optimizers[i];
        }
    }
    return NULL;
}

void rub_hyper_defaults(rub_hyper_t *hyper)
{
    *hyper = (rub_hyper_t){
        .lr = 0.01,
        .momentum = 0.9,
        .beta1 = 0.9,
        .beta2 = 0.999,
        .epsilon = 1e-8,
        .weight_decay = 0.0,
    };
}

static int check_positive(const char *name, double value, rub_error_t *err)
{
    if (!isfinite(value) || value < 0.0 || !isfinite((float)value)) {
        return rub_fail(err, RUB_EINVAL, "%s is %g, must be finite and >= 0", name, value);
    }
    return 0;
}

/* Just below 1 a float64 rounds to 1 in float32, and a beta of 1 would never forget. */
static int check_decay_rate(const char *name, double value, rub_error_t *err)
{
    if (!isfinite(value) || value < 0.0 || (float)value >= 1.0f) {
        return rub_fail(err, RUB_EINVAL, "%s is %.9g, must be in [0, 1)", name, value);
    }
    return 0;
}

int rub_hyper_check(const rub_hyper_t *hyper, rub_error_t *err)
{
    int rc = check_positive("lr", hyper->lr, err);
    if (rc == 0) {
        rc = check_positive("epsilon", hyper->epsilon, err);
    }
    if (rc == 0) {
        rc = check_positive("weight_decay", hyper->weight_decay, err);
    }
    if (rc == 0) {
        rc = check_decay_rate("momentum", hyper->momentum, err);
    }
    if (rc == 0) {
        rc = check_decay_rate("beta1", hyper->beta1, err);
    }
    if (rc == 0) {
        rc = check_decay_rate("beta2", hyper->beta2, err);
    }
    return rc;
}

double rub_power(double base, uint64_t exponent)
{
    double result = 1.0;
    while (exponent > 0) {
        if (exponent & 1) {
            result *= base;
        }
        base *= base;
        exponent >>= 1;
    }
    return result;
}
