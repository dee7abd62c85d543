/* Learning rates by clock. The clock is the only argument because it is journaled: the time of day,
 * or a count of steps that a shard keeps in memory, would be other ones in a replay.
 *
 * libm's cosine is not the same bits on every host; ours is a polynomial of products and sums,
 * whose error is below float64's own (1e-17 absolute). */
#include "common/num/schedule.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/power.h"

#include <math.h>

#define PI 3.14159265358979323846

/* (1 + cos(pi u)) / 2 for u in [0, 1]: cos(pi u) = sin(y), y = pi (1/2 - u), |y| <= pi/2, by the
 * Taylor series up to y^21. */
static double half_cosine(double u)
{
    const double y = PI * (0.5 - u), y2 = y * y;
    double sum = 1.0;
    for (int k = 20; k >= 2; k -= 2) {
        sum = 1.0 - y2 / (double)(k * (k + 1)) * sum;
    }
    return 0.5 + 0.5 * (y * sum);
}

bool rub_schedule_is_constant(const rub_hyper_t *hyper)
{
    return hyper->schedule == RUB_SCHEDULE_CONSTANT && hyper->warmup_clocks == 0 &&
           hyper->delay == RUB_DELAY_IGNORED;
}

double rub_schedule_rate(const rub_hyper_t *hyper, uint64_t clock)
{
    const uint64_t warmup = hyper->warmup_clocks;
    if (clock < warmup) {
        return hyper->lr * ((double)(clock + 1) / (double)warmup);
    }
    const uint64_t t = clock - warmup, length = hyper->schedule_clocks;
    const double u = t < length ? (double)t / (double)length : 1.0;
    switch (hyper->schedule) {
    case RUB_SCHEDULE_STEP:
        return hyper->lr * rub_power(hyper->step_factor, t / length);
    case RUB_SCHEDULE_COSINE:
        return u < 1.0 ? hyper->lr_end + (hyper->lr - hyper->lr_end) * half_cosine(u)
                       : hyper->lr_end;
    case RUB_SCHEDULE_LINEAR:
        return hyper->lr + (hyper->lr_end - hyper->lr) * u;
    case RUB_SCHEDULE_INVERSE_SQRT:
        return hyper->lr * sqrt((double)(warmup > 0 ? warmup : 1) / ((double)clock + 1.0));
    case RUB_SCHEDULE_INVERSE:
        return hyper->lr / (1.0 + (double)t / (double)length);
    default:
        return hyper->lr;
    }
}

double rub_delayed_rate(const rub_hyper_t *hyper, uint64_t clock, uint32_t delay)
{
    const double rate = rub_schedule_rate(hyper, clock);
    return hyper->delay == RUB_DELAY_DIVIDES && delay > 1 ? rate / (double)delay : rate;
}

static int check_clocks(const char *name, uint64_t clocks, rub_error_t *err)
{
    return clocks > RUB_SCHEDULE_CLOCKS_LIMIT
               ? rub_fail(err, RUB_EINVAL, "%s is %llu, at most %llu", name,
                          (unsigned long long)clocks, (unsigned long long)RUB_SCHEDULE_CLOCKS_LIMIT)
               : 0;
}

static int check_number(const char *name, double value, rub_error_t *err)
{
    return !isfinite(value) || value < 0.0 || !isfinite((float)value)
               ? rub_fail(err, RUB_EINVAL, "%s is %g, must be finite and >= 0", name, value)
               : 0;
}

static bool has_length(const rub_hyper_t *hyper)
{
    return hyper->schedule == RUB_SCHEDULE_STEP || hyper->schedule == RUB_SCHEDULE_COSINE ||
           hyper->schedule == RUB_SCHEDULE_LINEAR || hyper->schedule == RUB_SCHEDULE_INVERSE;
}

int rub_schedule_check(const rub_hyper_t *hyper, rub_error_t *err)
{
    if ((unsigned)hyper->schedule > RUB_SCHEDULE_INVERSE) {
        return rub_fail(err, RUB_EINVAL, "schedule is %u, known are 0 to %u",
                        (unsigned)hyper->schedule, (unsigned)RUB_SCHEDULE_INVERSE);
    }
    if ((unsigned)hyper->delay > RUB_DELAY_ADAPTS) {
        return rub_fail(err, RUB_EINVAL, "delay is %u, known are 0 to %u", (unsigned)hyper->delay,
                        (unsigned)RUB_DELAY_ADAPTS);
    }
    int rc = check_clocks("warmup_clocks", hyper->warmup_clocks, err);
    rc = rc ? rc : check_clocks("schedule_clocks", hyper->schedule_clocks, err);
    rc = rc ? rc : check_number("step_factor", hyper->step_factor, err);
    rc = rc ? rc : check_number("lr_end", hyper->lr_end, err);
    rc = rc ? rc : check_number("delay_lambda", hyper->delay_lambda, err);
    if (rc == 0 && has_length(hyper) && hyper->schedule_clocks == 0) {
        rc = rub_fail(
            err, RUB_EINVAL,
            "schedule_clocks is 0, step, cosine, linear and inverse schedules need at least 1");
    }
    return rc;
}

static bool compensates(const rub_hyper_t *hyper)
{
    return hyper->delay == RUB_DELAY_COMPENSATES || hyper->delay == RUB_DELAY_ADAPTS;
}

int rub_delay_check(uint32_t kind, const rub_hyper_t *hyper, rub_error_t *err)
{
    return compensates(hyper) && kind != RUB_DENSE
               ? rub_fail(err, RUB_EINVAL,
                          "delay compensation keeps the weights that each rank was given, which is "
                          "done for dense tables only")
               : 0;
}

void rub_schedule_trim(rub_hyper_t *hyper)
{
    if (!has_length(hyper)) {
        hyper->schedule_clocks = 0;
    }
    if (hyper->schedule != RUB_SCHEDULE_STEP) {
        hyper->step_factor = 0;
    }
    if (hyper->schedule != RUB_SCHEDULE_COSINE && hyper->schedule != RUB_SCHEDULE_LINEAR) {
        hyper->lr_end = 0;
    }
    if (!compensates(hyper)) {
        hyper->delay_lambda = 0;
    }
}
