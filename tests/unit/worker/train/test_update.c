/* The length of a schedule that ends with its training. */
#include "worker/train/update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static uint64_t length_of(rub_schedule_kind_t schedule, uint64_t warmup, uint64_t clocks,
                          uint32_t n_workers)
{
    const rub_update_t update = {
        .epochs = 3,
        .hyper = {.schedule = schedule, .warmup_clocks = warmup, .schedule_clocks = clocks}};
    return rub_update_length(&update, n_workers, 1001, 100);
}

static void a_fall_without_a_length_ends_with_the_training(void **state)
{
    (void)state;
    assert_int_equal(length_of(RUB_SCHEDULE_COSINE, 0, 0, 1), 33); /* 3 epochs of 11 batches */
    assert_int_equal(length_of(RUB_SCHEDULE_LINEAR, 0, 0, 2), 18);
    assert_int_equal(length_of(RUB_SCHEDULE_COSINE, 10, 0, 1), 23);
    assert_int_equal(length_of(RUB_SCHEDULE_COSINE, 500, 0, 1), 1);
}

static void what_was_given_stays(void **state)
{
    (void)state;
    assert_int_equal(length_of(RUB_SCHEDULE_COSINE, 5, 7, 1), 7);
    assert_int_equal(length_of(RUB_SCHEDULE_STEP, 0, 0, 1), 0); /* to be refused */
    assert_int_equal(length_of(RUB_SCHEDULE_CONSTANT, 0, 0, 1), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_fall_without_a_length_ends_with_the_training),
        cmocka_unit_test(what_was_given_stays),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
