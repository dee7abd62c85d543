/* What is said of figures measured by turns. */
#include "cli/bench_figures.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static void no_values_are_zeros(void **state)
{
    RUB_UNUSED(state);
    const rub_bench_spread_t spread = rub_bench_spread(NULL, 0);
    assert_true(spread.median == 0);
    assert_true(spread.min == 0);
    assert_true(spread.max == 0);
}

static void spread_leaves_the_order_of_rounds_alone(void **state)
{
    RUB_UNUSED(state);
    const double values[] = {5, 1, 4, 2};
    double given[4];
    memcpy(given, values, sizeof(values));
    const rub_bench_spread_t spread = rub_bench_spread(given, 4);
    assert_true(spread.median == 3);
    assert_true(spread.min == 1);
    assert_true(spread.max == 5);
    assert_memory_equal(given, values, sizeof(values));
}

/* A machine that is slow for a round is slow for both. */
static void ratio_is_the_median_of_rounds_not_of_sides(void **state)
{
    RUB_UNUSED(state);
    const double ideal[] = {100, 10, 1000};
    const double ours[] = {90, 9, 500};
    const rub_bench_spread_t ratio = rub_bench_ratios(ours, ideal, 3);
    assert_true(ratio.median == 0.9);
    assert_true(ratio.min == 0.5);
    assert_true(ratio.max == 0.9);
}

static void rounds_without_a_partner_are_left_out(void **state)
{
    RUB_UNUSED(state);
    const double ideal[] = {0, 10, 0};
    const double ours[] = {90, 5, 500};
    const rub_bench_spread_t ratio = rub_bench_ratios(ours, ideal, 3);
    assert_true(ratio.median == 0.5);
    assert_true(ratio.max == 0.5);
    assert_true(rub_bench_ratios(ours, ideal, 1).median == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_values_are_zeros),
        cmocka_unit_test(spread_leaves_the_order_of_rounds_alone),
        cmocka_unit_test(ratio_is_the_median_of_rounds_not_of_sides),
        cmocka_unit_test(rounds_without_a_partner_are_left_out),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
