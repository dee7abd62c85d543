/* Who is slow, when, and for how long it sleeps. */
#include "common/base/check.h"
#include "worker/train/pace.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static void words_that_mean_nothing_are_refused_with_what_is_expected(void **state)
{
    RUB_UNUSED(state);
    static const char *const wrong[] = {"3",
                                        "3:",
                                        ":3",
                                        "3:0.5",
                                        "3:1001",
                                        "3:nan",
                                        "3:inf",
                                        "3:2:8",
                                        "-1:3",
                                        "3:3x",
                                        "turns",
                                        "turns:",
                                        "turns:3:",
                                        "turns:3:0",
                                        "turns:3:8x",
                                        "4294967295:3",
                                        "99999999999999999999:3",
                                        "who:3"};
    for (size_t i = 0; i < RUB_COUNT_OF(wrong); i++) {
        rub_pace_t pace;
        rub_error_t err = {0};
        assert_int_equal(rub_pace_read(&pace, 0, wrong[i], &err), RUB_ECONFIG);
        assert_non_null(strstr(err.message, wrong[i]));
        assert_non_null(strstr(err.message, "expected RANK:FACTOR"));
    }
}

/* How long that rank of four sleeps after a batch of clock 7 that took it so long. */
static uint64_t rest_us(uint64_t pace_ms, const char *slow, uint32_t rank, uint64_t took_us)
{
    rub_pace_t pace;
    assert_int_equal(rub_pace_read(&pace, pace_ms, slow, NULL), 0);
    return rub_pace_rest_us(&pace, rank, 4, 7, took_us);
}

static void nobody_sleeps_unless_told(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(rest_us(0, "", 0, 1234), 0);
    assert_int_equal(rest_us(0, "", 3, 0), 0);
}

static void a_batch_is_filled_up_to_the_pace_and_never_cut(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(rest_us(15, "", 0, 4000), 11000);
    assert_int_equal(rest_us(15, "", 0, 15000), 0);
    assert_int_equal(rest_us(15, "", 0, 16000), 0);
}

static void the_slow_rank_takes_a_multiple_of_its_own_time(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(rest_us(0, "3:2.5", 3, 1000), 1500);
    assert_int_equal(rest_us(0, "3:2.5", 2, 1000), 0);
    assert_int_equal(rest_us(10, "0:3", 0, 1000), 29000);
    assert_int_equal(rest_us(10, "0:3", 0, 20000), 40000);
}

static void each_rank_is_slow_in_turn_by_its_own_clock(void **state)
{
    RUB_UNUSED(state);
    rub_pace_t pace;
    assert_int_equal(rub_pace_read(&pace, 10, "turns:3:2", NULL), 0);
    for (uint64_t clock = 0; clock < 16; clock++) {
        for (uint32_t rank = 0; rank < 4; rank++) {
            const uint64_t slept = rub_pace_rest_us(&pace, rank, 4, clock, 0);
            assert_int_equal(slept, clock / 2 % 4 == rank ? 30000 : 10000);
        }
    }
    assert_int_equal(rub_pace_read(&pace, 10, "turns:3", NULL), 0);
    assert_int_equal(pace.periods, RUB_PACE_PERIODS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(words_that_mean_nothing_are_refused_with_what_is_expected),
        cmocka_unit_test(nobody_sleeps_unless_told),
        cmocka_unit_test(a_batch_is_filled_up_to_the_pace_and_never_cut),
        cmocka_unit_test(the_slow_rank_takes_a_multiple_of_its_own_time),
        cmocka_unit_test(each_rank_is_slow_in_turn_by_its_own_clock),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
