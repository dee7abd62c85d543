/* The gate on its own. */
#include "common/base/check.h"
#include "common/base/rng.h"
#include "ps/staleness.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

static void nobody_counted_means_nobody_is_waited_for(void **state)
{
    RUB_UNUSED(state);
    rub_staleness_t *gate = rub_staleness_new(0);
    assert_int_equal(rub_staleness_minimum(gate), UINT64_MAX);
    assert_int_equal(rub_staleness_count(gate, 3, 7), 0);
    assert_int_equal(rub_staleness_minimum(gate), 7);
    rub_staleness_uncount(gate, 3);
    rub_staleness_uncount(gate, 99);
    assert_int_equal(rub_staleness_minimum(gate), UINT64_MAX);
    rub_staleness_destroy(&gate);
    assert_null(gate);
    rub_staleness_destroy(&gate);
}

static void need_is_the_clock_less_the_bound_and_never_below_zero(void **state)
{
    RUB_UNUSED(state);
    rub_staleness_t *gate = rub_staleness_new(4);
    assert_int_equal(rub_staleness_needed(gate, 3), 0);
    assert_int_equal(rub_staleness_needed(gate, 4), 0);
    assert_int_equal(rub_staleness_needed(gate, 9), 5);
    rub_staleness_set_bound(gate, 0);
    assert_int_equal(rub_staleness_needed(gate, 9), 9);
    rub_staleness_set_bound(gate, RUB_ASYNC);
    assert_int_equal(rub_staleness_needed(gate, UINT64_MAX), 0);
    rub_staleness_destroy(&gate);
}

static void minimum_is_that_of_a_plain_scan(void **state)
{
    RUB_UNUSED(state);
    enum { RANKS = 40 };
    rub_rng_t rng;
    rub_rng_init(&rng, 1, 1);
    rub_staleness_t *gate = rub_staleness_new(2);
    bool counted[RANKS] = {false};
    uint64_t done[RANKS] = {0};
    for (int step = 0; step < 20000; step++) {
        const uint32_t rank = (uint32_t)rub_rng_below(&rng, RANKS);
        if (rub_rng_below(&rng, 8) == 0) {
            rub_staleness_uncount(gate, rank);
            counted[rank] = false;
        } else {
            done[rank] += rub_rng_below(&rng, 3);
            assert_int_equal(rub_staleness_count(gate, rank, done[rank]), 0);
            counted[rank] = true;
        }
        uint64_t minimum = UINT64_MAX;
        for (int i = 0; i < RANKS; i++) {
            assert_int_equal(rub_staleness_counts(gate, (uint32_t)i), counted[i]);
            minimum = counted[i] && done[i] < minimum ? done[i] : minimum;
        }
        assert_true(rub_staleness_minimum(gate) == minimum);
    }
    rub_staleness_destroy(&gate);
}

static void waiters_leave_in_the_order_of_their_need_and_never_early(void **state)
{
    RUB_UNUSED(state);
    enum { WAITERS = 500 };
    static rub_waiter_t waiters[WAITERS];
    rub_rng_t rng;
    rub_rng_init(&rng, 2, 1);
    rub_staleness_t *gate = rub_staleness_new(0);
    for (int i = 0; i < WAITERS; i++) {
        waiters[i] = (rub_waiter_t){.needed = rub_rng_below(&rng, 50), .place = RUB_NOT_PARKED};
        assert_int_equal(rub_staleness_park(gate, &waiters[i]), 0);
    }
    size_t left = WAITERS;
    for (int i = 0; i < WAITERS; i += 3) { /* cancelled */
        rub_staleness_unpark(gate, &waiters[i]);
        assert_true(waiters[i].place == RUB_NOT_PARKED);
        rub_staleness_unpark(gate, &waiters[i]);
        left--;
    }
    assert_int_equal(rub_staleness_parked(gate), left);
    uint64_t last = 0;
    for (uint64_t minimum = 0; minimum <= 50; minimum++) {
        const rub_waiter_t *waiter;
        while ((waiter = rub_staleness_pop(gate, minimum)) != NULL) {
            assert_true(waiter->needed <= minimum);
            assert_true(waiter->needed >= last);
            last = waiter->needed;
            left--;
        }
        assert_int_equal(rub_staleness_greatest_need(gate) > minimum, left > 0);
    }
    assert_int_equal(left, 0);
    rub_staleness_destroy(&gate);
}

static void laggards_are_named_up_to_the_limit(void **state)
{
    RUB_UNUSED(state);
    rub_staleness_t *gate = rub_staleness_new(0);
    for (uint32_t rank = 0; rank < 6; rank++) {
        assert_int_equal(rub_staleness_count(gate, rank, rank % 2), 0);
    }
    uint32_t ranks[8];
    assert_int_equal(rub_staleness_laggards(gate, 1, ranks, 8), 3);
    assert_int_equal(ranks[0], 0);
    assert_int_equal(ranks[1], 2);
    assert_int_equal(ranks[2], 4);
    assert_int_equal(rub_staleness_laggards(gate, 2, ranks, 4), 4);
    assert_int_equal(rub_staleness_laggards(gate, 0, ranks, 8), 0);
    rub_staleness_destroy(&gate);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_counted_means_nobody_is_waited_for),
        cmocka_unit_test(need_is_the_clock_less_the_bound_and_never_below_zero),
        cmocka_unit_test(minimum_is_that_of_a_plain_scan),
        cmocka_unit_test(waiters_leave_in_the_order_of_their_need_and_never_early),
        cmocka_unit_test(laggards_are_named_up_to_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
