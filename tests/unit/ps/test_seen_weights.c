/* Copies of what ranks were given: which period they are of, when one is taken over, and which
 * blocks are known. */
#include "ps/seen_weights.h"

#include "common/base/check.h"
#include "common/wire/placement.h"

#include <setjmp.h>
#include <stdarg.h>

#include <cmocka.h>

enum { ELEMENTS = 2 * RUB_BLOCK + 100, ROOM = 10 << 20 };

static rub_seen_key_t key_of(uint32_t rank, uint32_t epoch, uint64_t clock)
{
    return (rub_seen_key_t){.table = 3, .rank = rank, .epoch = epoch, .clock = clock};
}

static rub_seen_copy_t *give(rub_seen_weights_t *seen, rub_seen_key_t key, uint64_t done,
                             float value)
{
    bool full;
    rub_seen_copy_t *copy = rub_seen_open(seen, &key, done, ELEMENTS, ROOM, &full);
    assert_false(full);
    if (copy) {
        float *weights = rub_seen_fill(copy, ELEMENTS, 0, ELEMENTS);
        for (size_t i = 0; i < ELEMENTS; i++) {
            weights[i] = value;
        }
    }
    return copy;
}

static float block_of(const rub_seen_weights_t *seen, rub_seen_key_t key, uint64_t block)
{
    const float *weights = rub_seen_block(seen, &key, block);
    return weights ? weights[0] : -1;
}

static void a_copy_without_room_is_not_made(void **state)
{
    RUB_UNUSED(state);
    rub_seen_weights_t seen = {0};
    const rub_seen_key_t key = key_of(0, 1, 0);
    bool full = false;
    assert_null(rub_seen_open(&seen, &key, 0, ELEMENTS, ELEMENTS * sizeof(float), &full));
    assert_true(full);
    assert_int_equal(seen.bytes, 0);
    assert_true(rub_seen_tell(&seen, 3));
    assert_false(rub_seen_tell(&seen, 3));
    assert_null(rub_seen_squares(&seen, 4, ROOM));
    assert_true(block_of(&seen, key, 0) == -1);
    rub_seen_fini(&seen);
}

static void each_rank_and_period_has_its_own(void **state)
{
    RUB_UNUSED(state);
    rub_seen_weights_t seen = {0};
    give(&seen, key_of(0, 1, 5), 5, 1);
    give(&seen, key_of(0, 1, 6), 5, 2); /* ahead */
    give(&seen, key_of(1, 1, 5), 5, 3);
    assert_true(block_of(&seen, key_of(0, 1, 5), 2) == 1);
    assert_true(block_of(&seen, key_of(0, 1, 6), 0) == 2);
    assert_true(block_of(&seen, key_of(1, 1, 5), 1) == 3);
    assert_true(block_of(&seen, key_of(1, 1, 6), 1) == -1);
    assert_true(block_of(&seen, key_of(1, 2, 5), 1) == -1);
    assert_null(give(&seen, key_of(0, 1, 7), 5, 4)); /* two ahead: not kept */
    const size_t bytes = seen.bytes;
    give(&seen, key_of(0, 1, 7), 6, 5); /* takes over what was for 5 */
    assert_int_equal(seen.bytes, bytes);
    assert_true(block_of(&seen, key_of(0, 1, 5), 0) == -1);
    assert_true(block_of(&seen, key_of(0, 1, 6), 0) == 2);
    assert_true(block_of(&seen, key_of(0, 1, 7), 0) == 5);
    give(&seen, key_of(0, 2, 0), 0, 6); /* a new epoch takes over what the old one had */
    assert_int_equal(seen.bytes, bytes);
    assert_true(block_of(&seen, key_of(0, 2, 0), 0) == 6);
    rub_seen_fini(&seen);
    assert_int_equal(seen.bytes, 0);
}

static void a_block_is_known_when_all_of_it_was_given(void **state)
{
    RUB_UNUSED(state);
    rub_seen_weights_t seen = {0};
    const rub_seen_key_t key = key_of(0, 1, 0);
    bool full;
    rub_seen_copy_t *copy = rub_seen_open(&seen, &key, 0, ELEMENTS, ROOM, &full);
    const struct {
        uint64_t first, n;
        bool known[3];
    } cases[] = {
        {1, RUB_BLOCK - 1, {false, false, false}},
        {0, RUB_BLOCK - 1, {false, false, false}},
        {RUB_BLOCK - 1, RUB_BLOCK + 1, {false, true, false}},
        {2 * RUB_BLOCK, 99, {false, true, false}},
        {2 * RUB_BLOCK, 100, {false, true, true}},
        {0, RUB_BLOCK, {true, true, true}},
    };
    for (size_t c = 0; c < RUB_COUNT_OF(cases); c++) {
        (void)rub_seen_fill(copy, ELEMENTS, cases[c].first, cases[c].n);
        for (uint64_t block = 0; block < 3; block++) {
            assert_int_equal(rub_seen_block(&seen, &key, block) != NULL, cases[c].known[block]);
        }
    }
    const rub_seen_key_t next = key_of(0, 1, 1);
    (void)rub_seen_open(&seen, &next, 1, ELEMENTS, ROOM, &full);
    assert_null(rub_seen_block(&seen, &next, 0)); /* another period: nothing is known yet */
    rub_seen_fini(&seen);
}

static bool only_rank_one(const void *context, uint32_t rank, uint32_t epoch)
{
    RUB_UNUSED(context);
    RUB_UNUSED(epoch);
    return rank == 1;
}

static void squares_and_who_is_gone_are_charged_and_freed(void **state)
{
    RUB_UNUSED(state);
    rub_seen_weights_t seen = {0};
    give(&seen, key_of(0, 1, 0), 0, 1);
    const size_t one = seen.bytes;
    give(&seen, key_of(1, 1, 0), 0, 2);
    assert_null(rub_seen_squares(&seen, 3, ELEMENTS * sizeof(float) - 1));
    float *squares = rub_seen_squares(&seen, 3, ROOM);
    assert_non_null(squares);
    assert_true(squares[ELEMENTS - 1] == 0);
    assert_ptr_equal(squares, rub_seen_squares(&seen, 3, 0));
    assert_int_equal(seen.bytes, 2 * one + ELEMENTS * sizeof(float));
    rub_seen_forget_gone(&seen, only_rank_one, NULL);
    assert_int_equal(seen.bytes, one + ELEMENTS * sizeof(float));
    assert_true(block_of(&seen, key_of(0, 1, 0), 0) == -1);
    assert_true(block_of(&seen, key_of(1, 1, 0), 0) == 2);
    rub_seen_fini(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_copy_without_room_is_not_made),
        cmocka_unit_test(each_rank_and_period_has_its_own),
        cmocka_unit_test(a_block_is_known_when_all_of_it_was_given),
        cmocka_unit_test(squares_and_who_is_gone_are_charged_and_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
