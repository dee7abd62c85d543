/* Which batch a stretch of the data is in. */
#include "common/base/check.h"
#include "worker/train/batch_turns.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

static void what_was_made_ready_is_taken_without_filling(void **state)
{
    rub_batch_turns_t turns = {0};
    RUB_UNUSED(state);
    assert_false(rub_batch_turns_take(&turns, 0, 10));
    const unsigned ahead = rub_batch_turns_ahead(&turns, 10, 10);
    assert_int_not_equal(ahead, turns.current);
    assert_true(rub_batch_turns_take(&turns, 10, 10));
    assert_int_equal(turns.current, ahead);
    assert_int_equal(turns.holds[turns.current].first, 10);
}

static void another_stretch_or_epoch_is_filled(void **state)
{
    rub_batch_turns_t turns = {0};
    RUB_UNUSED(state);
    assert_false(rub_batch_turns_take(&turns, 0, 10));
    rub_batch_turns_ahead(&turns, 10, 10);
    assert_false(rub_batch_turns_take(&turns, 10, 7));
    assert_false(rub_batch_turns_take(&turns, 20, 10));
    turns.epoch = 1;
    assert_false(rub_batch_turns_take(&turns, 10, 10));
    assert_int_equal(turns.holds[turns.current].epoch, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_made_ready_is_taken_without_filling),
        cmocka_unit_test(another_stretch_or_epoch_is_filled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
