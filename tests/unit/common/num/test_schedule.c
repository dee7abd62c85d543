/* Learning rates by clock: refusals, PyTorch's schedulers, and what must not change a rate. */
#include "common/num/schedule.h"

#include "common/base/check.h"
#include "common/num/optimizer.h"
#include "tests/golden/schedules.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static rub_hyper_t hyper_of(rub_schedule_kind_t schedule, uint64_t warmup, uint64_t clocks)
{
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.lr = 0.5;
    hyper.schedule = schedule;
    hyper.warmup_clocks = warmup;
    hyper.schedule_clocks = clocks;
    return hyper;
}

static void expect_refusal(const rub_hyper_t *hyper, const char *sentence)
{
    rub_error_t err = {0};
    assert_int_equal(rub_schedule_check(hyper, &err), RUB_EINVAL);
    assert_string_equal(err.message, sentence);
}

static void schedules_that_are_none_are_refused(void **state)
{
    (void)state;
    rub_hyper_t hyper = hyper_of(6, 0, 0);
    expect_refusal(&hyper, "schedule is 6, known are 0 to 5");
    for (int kind = RUB_SCHEDULE_STEP; kind <= RUB_SCHEDULE_LINEAR; kind++) {
        hyper = hyper_of((rub_schedule_kind_t)kind, 10, 0);
        expect_refusal(
            &hyper,
            "schedule_clocks is 0, step, cosine, linear and inverse schedules need at least 1");
    }
    hyper = hyper_of(RUB_SCHEDULE_CONSTANT, RUB_SCHEDULE_CLOCKS_LIMIT + 1, 0);
    expect_refusal(&hyper, "warmup_clocks is 1000000000001, at most 1000000000000");
    hyper = hyper_of(RUB_SCHEDULE_COSINE, 0, UINT64_MAX);
    expect_refusal(&hyper, "schedule_clocks is 18446744073709551615, at most 1000000000000");
    hyper = hyper_of(RUB_SCHEDULE_COSINE, 0, 1);
    hyper.lr_end = -1;
    expect_refusal(&hyper, "lr_end is -1, must be finite and >= 0");
    hyper = hyper_of(RUB_SCHEDULE_STEP, 0, 1);
    hyper.step_factor = INFINITY;
    expect_refusal(&hyper, "step_factor is inf, must be finite and >= 0");
}

static void ftrl_takes_no_schedule(void **state)
{
    (void)state;
    rub_error_t err = {0};
    const rub_optimizer_t *ftrl = rub_optimizer_find(RUB_FTRL);
    rub_hyper_t hyper = hyper_of(RUB_SCHEDULE_CONSTANT, 1, 0);
    assert_int_equal(rub_optimizer_check(ftrl, &hyper, &err), RUB_EINVAL);
    assert_string_equal(err.message,
                        "ftrl with a schedule, warm-up or delay: its sums hold the rate, which "
                        "stays");
    hyper = hyper_of(RUB_SCHEDULE_INVERSE_SQRT, 0, 0);
    assert_int_equal(rub_optimizer_check(ftrl, &hyper, &err), RUB_EINVAL);
    assert_int_equal(rub_optimizer_check(rub_optimizer_find(RUB_ADAM), &hyper, &err), 0);
    hyper.schedule = 9;
    assert_int_equal(rub_optimizer_check(rub_optimizer_find(RUB_ADAM), &hyper, &err), RUB_EINVAL);
}

static void a_late_push_has_a_smaller_rate_if_that_is_asked_for(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_hyper_t hyper = hyper_of(RUB_SCHEDULE_CONSTANT, 2, 0);
    assert_true(rub_delayed_rate(&hyper, 2, 5) == 0.5);
    hyper.delay = RUB_DELAY_DIVIDES;
    assert_int_equal(rub_schedule_check(&hyper, &err), 0);
    assert_true(rub_delayed_rate(&hyper, 2, 0) == 0.5);
    assert_true(rub_delayed_rate(&hyper, 2, 1) == 0.5);
    assert_true(rub_delayed_rate(&hyper, 2, 4) == 0.125);
    assert_true(rub_delayed_rate(&hyper, 0, 4) == 0.0625);
    hyper = hyper_of(RUB_SCHEDULE_CONSTANT, 0, 0);
    hyper.delay = RUB_DELAY_DIVIDES;
    assert_false(rub_schedule_is_constant(&hyper));
    assert_int_equal(rub_optimizer_check(rub_optimizer_find(RUB_FTRL), &hyper, &err), RUB_EINVAL);
    hyper.delay = 4;
    expect_refusal(&hyper, "delay is 4, known are 0 to 3");
}

static void compensation_is_for_dense_tables_and_leaves_the_rate(void **state)
{
    (void)state;
    rub_error_t err = {0};
    for (unsigned delay = RUB_DELAY_IGNORED; delay <= RUB_DELAY_ADAPTS; delay++) {
        rub_hyper_t hyper = hyper_of(RUB_SCHEDULE_CONSTANT, 0, 0);
        hyper.delay = (rub_delay_kind_t)delay;
        hyper.delay_lambda = 0.5;
        const bool compensates = delay >= RUB_DELAY_COMPENSATES;
        assert_int_equal(rub_delay_check(RUB_DENSE, &hyper, &err), 0);
        assert_int_equal(rub_delay_check(RUB_HASHED, &hyper, &err), compensates ? RUB_EINVAL : 0);
        assert_true(rub_delayed_rate(&hyper, 2, 4) ==
                    (delay == RUB_DELAY_DIVIDES ? hyper.lr / 4 : hyper.lr));
        rub_schedule_trim(&hyper);
        assert_true(hyper.delay_lambda == (compensates ? 0.5 : 0));
        hyper.delay_lambda = -1;
        expect_refusal(&hyper, "delay_lambda is -1, must be finite and >= 0");
    }
    assert_string_equal(err.message, "delay compensation keeps the weights that each rank was "
                                     "given, which is done for dense tables only");
}

static void rates_are_those_of_pytorchs_schedulers(void **state)
{
    (void)state;
    for (size_t c = 0; c < RUB_COUNT_OF(golden_schedules); c++) {
        const rub_hyper_t *hyper = &golden_schedules[c].hyper;
        assert_int_equal(rub_schedule_check(hyper, NULL), 0);
        for (uint64_t clock = 0; clock < SCHEDULE_CLOCKS; clock++) {
            const double got = rub_schedule_rate(hyper, clock);
            const double want = golden_schedules[c].rates[clock];
            if (!(fabs(got - want) <= 1e-14 * hyper->lr)) {
                fail_msg("case %zu, clock %llu: %.17g, expected %.17g", c,
                         (unsigned long long)clock, got, want);
            }
        }
    }
}

static void a_constant_rate_is_lr_to_the_bit(void **state)
{
    (void)state;
    rub_hyper_t hyper = hyper_of(RUB_SCHEDULE_CONSTANT, 0, 0);
    hyper.lr = 0.1;
    assert_true(rub_schedule_is_constant(&hyper));
    assert_true(rub_schedule_rate(&hyper, 0) == 0.1);
    assert_true(rub_schedule_rate(&hyper, UINT64_C(1) << 62) == 0.1);
    hyper.warmup_clocks = 1;
    assert_false(rub_schedule_is_constant(&hyper));
    assert_true(rub_schedule_rate(&hyper, 0) == 0.1);
}

static void ends_are_exact_and_last(void **state)
{
    (void)state;
    rub_hyper_t hyper = hyper_of(RUB_SCHEDULE_COSINE, 4, 8);
    hyper.lr_end = 0.0625;
    assert_true(rub_schedule_rate(&hyper, 3) == 0.5);
    assert_true(rub_schedule_rate(&hyper, 4) == 0.5);
    assert_true(rub_schedule_rate(&hyper, 12) == 0.0625);
    assert_true(rub_schedule_rate(&hyper, UINT64_C(1) << 62) == 0.0625);
    hyper.schedule = RUB_SCHEDULE_LINEAR;
    assert_true(rub_schedule_rate(&hyper, 8) == (0.5 + 0.0625) / 2);
    assert_true(rub_schedule_rate(&hyper, UINT64_C(1) << 62) == 0.0625);
    hyper = hyper_of(RUB_SCHEDULE_STEP, 0, 1);
    assert_true(rub_schedule_rate(&hyper, UINT64_C(1) << 62) == 0.0);
    hyper = hyper_of(RUB_SCHEDULE_INVERSE_SQRT, 0, 0);
    assert_true(rub_schedule_rate(&hyper, 0) == 0.5);
    assert_true(rub_schedule_rate(&hyper, 3) == 0.25);
    hyper = hyper_of(RUB_SCHEDULE_INVERSE, 2, 8);
    assert_true(rub_schedule_rate(&hyper, 2) == 0.5);
    assert_true(rub_schedule_rate(&hyper, 10) == 0.25);
    assert_true(rub_schedule_rate(&hyper, 26) == 0.125);
}

static void what_a_schedule_does_not_use_is_trimmed_and_changes_no_rate(void **state)
{
    (void)state;
    for (int kind = 0; kind <= RUB_SCHEDULE_INVERSE; kind++) {
        rub_hyper_t whole = hyper_of((rub_schedule_kind_t)kind, 5, 30);
        whole.lr_end = 0.25;
        rub_hyper_t trimmed = whole;
        rub_schedule_trim(&trimmed);
        assert_int_equal(rub_schedule_check(&trimmed, NULL), 0);
        for (uint64_t clock = 0; clock < 50; clock++) {
            assert_true(rub_schedule_rate(&whole, clock) == rub_schedule_rate(&trimmed, clock));
        }
    }
    rub_hyper_t plain = hyper_of(RUB_SCHEDULE_CONSTANT, 0, 30);
    rub_schedule_trim(&plain);
    assert_true(plain.schedule_clocks == 0 && plain.step_factor == 0 && plain.lr_end == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(schedules_that_are_none_are_refused),
        cmocka_unit_test(ftrl_takes_no_schedule),
        cmocka_unit_test(a_late_push_has_a_smaller_rate_if_that_is_asked_for),
        cmocka_unit_test(compensation_is_for_dense_tables_and_leaves_the_rate),
        cmocka_unit_test(rates_are_those_of_pytorchs_schedulers),
        cmocka_unit_test(a_constant_rate_is_lr_to_the_bit),
        cmocka_unit_test(ends_are_exact_and_last),
        cmocka_unit_test(what_a_schedule_does_not_use_is_trimmed_and_changes_no_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
