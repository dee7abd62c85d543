/* The optimizers of the server side, as a table. A shard knows an optimizer only by its row: how
 * many slots, whether a step counter, and by its number the loop that takes one step.
 *
 * The loops and their formulas are in loops_source.h; here is what is the same for all weights of a
 * step: hyper-parameters rounded to float32 once, and Adam's corrections of its bias. */
#include "common/num/optimizer.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/loops.h"
#include "common/num/power.h"
#include "common/num/schedule.h"

#include <math.h>
#include <string.h>

static const rub_optimizer_t optimizers[] = {
    {.kind = RUB_SGD, .name = "sgd"},
    {.kind = RUB_ADD, .name = "add"},
    {.kind = RUB_MOMENTUM, .name = "momentum", .slots = 1},
    {.kind = RUB_ADAGRAD, .name = "adagrad", .slots = 1},
    {.kind = RUB_ADAM, .name = "adam", .slots = 2, .needs_step = true},
    {.kind = RUB_NESTEROV, .name = "nesterov", .slots = 1},
    {.kind = RUB_RMSPROP, .name = "rmsprop", .slots = 1, .uses = RUB_USES_RHO},
    {.kind = RUB_ADADELTA, .name = "adadelta", .slots = 2, .uses = RUB_USES_RHO},
    {.kind = RUB_ADAMW, .name = "adamw", .slots = 2, .needs_step = true},
    {.kind = RUB_AMSGRAD, .name = "amsgrad", .slots = 3, .needs_step = true},
    {.kind = RUB_ROWWISE_ADAGRAD, .name = "rowwise_adagrad", .row_slots = 1},
    {.kind = RUB_FTRL, .name = "ftrl", .slots = 2, .uses = RUB_USES_FTRL},
    {.kind = RUB_LAMB, .name = "lamb", .slots = 2, .needs_step = true, .needs_whole = true},
    {.kind = RUB_ADAREVISION, .name = "adarevision", .slots = 3, .revises = true},
};

static rub_step_t step_of(const rub_optimizer_t *self, uint64_t step, const rub_hyper_t *hyper)
{
    const bool mean_of_squares = (self->uses & RUB_USES_RHO) != 0;
    const double beta2 = mean_of_squares ? hyper->rho : hyper->beta2;
    rub_step_t out = {
        .lr = (float)hyper->lr,
        .decay = (float)hyper->weight_decay,
        .epsilon = (float)hyper->epsilon,
        .mu = (float)hyper->momentum,
        .beta1 = (float)hyper->beta1,
        .rest1 = (float)(1.0 - hyper->beta1),
        .beta2 = (float)beta2,
        .rest2 = (float)(1.0 - beta2),
        .keep = (float)(1.0 - hyper->lr * hyper->weight_decay),
        .l1 = (float)hyper->l1,
        .l2 = (float)hyper->l2,
        .beta = (float)hyper->ftrl_beta,
    };
    if (self->needs_step) {
        RUB_ASSERT(step > 0);
        out.rate = (float)(hyper->lr / (1.0 - rub_power(hyper->beta1, step)));
        out.correction1 = (float)(1.0 - rub_power(hyper->beta1, step));
        out.correction2 = (float)sqrt(1.0 - rub_power(hyper->beta2, step));
    }
    return out;
}

void rub_optimizer_apply(const rub_optimizer_t *self, float *w, float *slots, size_t n,
                         uint64_t step, const rub_hyper_t *hyper, const float *gradient)
{
    rub_optimizer_apply_late(self, w, slots, n, step, hyper, gradient, NULL);
}

void rub_optimizer_apply_late(const rub_optimizer_t *self, float *w, float *slots, size_t n,
                              uint64_t step, const rub_hyper_t *hyper, const float *gradient,
                              const float *since)
{
    rub_step_t scalars = step_of(self, step, hyper);
    scalars.since = since;
    rub_loops()->step[self->kind](w, slots, gradient, n, &scalars);
}

void rub_optimizer_apply_rows(const rub_optimizer_t *self, float *const *rows, size_t n_rows,
                              size_t n, const rub_hyper_t *hyper, const float *gradient,
                              const float *since)
{
    RUB_ASSERT(!self->needs_step);
    rub_step_t scalars = step_of(self, 0, hyper);
    scalars.since = since;
    rub_loops()->step_rows[self->kind](rows, n_rows, n, gradient, &scalars);
}

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
        .rho = 0.9,
        .ftrl_beta = 1.0,
        .step_factor = 0.1,
        .delay_lambda = 0.04,
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

int rub_optimizer_check(const rub_optimizer_t *self, const rub_hyper_t *hyper, rub_error_t *err)
{
    const struct {
        const char *name;
        double value;
        int (*check)(const char *name, double value, rub_error_t *err);
    } all[] = {
        {"lr", hyper->lr, check_positive},
        {"epsilon", hyper->epsilon, check_positive},
        {"weight_decay", hyper->weight_decay, check_positive},
        {"momentum", hyper->momentum, check_decay_rate},
        {"beta1", hyper->beta1, check_decay_rate},
        {"beta2", hyper->beta2, check_decay_rate},
        {"rho", hyper->rho, check_decay_rate},
        {"l1", hyper->l1, check_positive},
        {"l2", hyper->l2, check_positive},
        {"ftrl_beta", hyper->ftrl_beta, check_positive},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(all); i++) {
        const int rc = all[i].check(all[i].name, all[i].value, err);
        if (rc != 0) {
            return rc;
        }
    }
    if (self->kind == RUB_FTRL && (float)hyper->lr <= 0.0f) {
        return rub_fail(err, RUB_EINVAL, "lr is %g, ftrl divides by it: must be above 0",
                        hyper->lr);
    }
    if (self->kind == RUB_FTRL && !rub_schedule_is_constant(hyper)) {
        return rub_fail(err, RUB_EINVAL,
                        "ftrl with a schedule, warm-up or delay: its sums hold the rate, which "
                        "stays");
    }
    if (self->revises && (float)hyper->epsilon <= 0.0f) {
        return rub_fail(err, RUB_EINVAL,
                        "epsilon is %g, %s divides by it before a weight's first gradient: must be "
                        "above 0",
                        hyper->epsilon, self->name);
    }
    if (self->revises && hyper->delay != RUB_DELAY_IGNORED) {
        return rub_fail(err, RUB_EINVAL,
                        "%s with delay: it makes up for late gradients by itself, from the "
                        "gradient as it came",
                        self->name);
    }
    return rub_schedule_check(hyper, err);
}

int rub_optimizer_check_table(const rub_optimizer_t *self, uint32_t kind, const rub_hyper_t *hyper,
                              rub_error_t *err)
{
    if (self->needs_whole) {
        return rub_fail(err, RUB_EINVAL,
                        "optimizer %s takes norms of whole tensors, a table's rows and blocks are "
                        "stepped one by one",
                        self->name);
    }
    const int rc = rub_optimizer_check(self, hyper, err);
    return rc ? rc : rub_delay_check(kind, hyper, err);
}

void rub_optimizer_trim(const rub_optimizer_t *self, rub_hyper_t *hyper)
{
    if ((self->uses & RUB_USES_RHO) == 0) {
        hyper->rho = 0;
    }
    if ((self->uses & RUB_USES_FTRL) == 0) {
        hyper->l1 = hyper->l2 = hyper->ftrl_beta = 0;
    }
    if (self->kind == RUB_ADD) {
        hyper->schedule = RUB_SCHEDULE_CONSTANT;
        hyper->warmup_clocks = 0;
        hyper->delay = RUB_DELAY_IGNORED;
    }
    rub_schedule_trim(hyper);
}
