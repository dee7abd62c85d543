/* Who says too much is let through seldom, and nobody else is kept back for it. */
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/rate_limit.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void a_key_is_let_through_once_per_span_and_what_was_held_back_is_told(void **state)
{
    RUB_UNUSED(state);
    rub_rate_limit_t limit = {0};
    uint64_t held_back = 99;
    assert_true(rub_rate_limit_may(&limit, 7, 0, 1000, &held_back));
    assert_int_equal(held_back, 0);
    for (uint64_t ms = 0; ms < 1000; ms += 100) {
        assert_false(rub_rate_limit_may(&limit, 7, ms, 1000, &held_back));
    }
    assert_true(rub_rate_limit_may(&limit, 7, 1000, 1000, &held_back));
    assert_int_equal(held_back, 10);
    assert_false(rub_rate_limit_may(&limit, 7, 1001, 1000, NULL));
}

static void others_are_not_kept_back(void **state)
{
    RUB_UNUSED(state);
    rub_rate_limit_t limit = {0};
    assert_true(rub_rate_limit_may(&limit, 7, 5, 1000, NULL));
    for (uint64_t key = 8; key < 1000; key++) {
        assert_true(rub_rate_limit_may(&limit, key, 5, 1000, NULL));
    }
}

static void who_shares_a_slot_takes_it_over(void **state)
{
    RUB_UNUSED(state);
    rub_rate_limit_t limit = {0};
    uint64_t twin = 8, held_back = 99;
    while (rub_mix64(twin) % RUB_RATE_LIMIT_SLOTS != rub_mix64(7) % RUB_RATE_LIMIT_SLOTS) {
        twin++;
    }
    assert_true(rub_rate_limit_may(&limit, 7, 5, 1000, NULL));
    assert_false(rub_rate_limit_may(&limit, 7, 6, 1000, NULL));
    assert_true(rub_rate_limit_may(&limit, twin, 7, 1000, &held_back));
    assert_int_equal(held_back, 0); /* the other one's do not count */
    assert_true(rub_rate_limit_may(&limit, 7, 8, 1000, NULL));
}

static void a_line_ends_with_what_was_held_back_if_anything_was(void **state)
{
    RUB_UNUSED(state);
    char rest[RUB_HELD_BACK_ROOM];
    assert_string_equal(rub_held_back_text(0, rest), "");
    assert_string_equal(rub_held_back_text(3, rest), " (3 more of its messages were like that)");
    assert_true(strlen(rub_held_back_text(UINT64_MAX, rest)) < RUB_HELD_BACK_ROOM - 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_key_is_let_through_once_per_span_and_what_was_held_back_is_told),
        cmocka_unit_test(others_are_not_kept_back),
        cmocka_unit_test(who_shares_a_slot_takes_it_over),
        cmocka_unit_test(a_line_ends_with_what_was_held_back_if_anything_was),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
