/* What ranks were given, as a book: who, of which period, of which rows; and what it takes. */
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "ps/seen_sums.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 3 };

static float *note(rub_seen_sums_t *seen, uint32_t rank, uint64_t clock, uint64_t done, uint64_t id)
{
    const rub_sums_key_t key = {.table = 1, .rank = rank, .epoch = 1, .clock = clock};
    bool full;
    rub_sums_copy_t *copy = rub_sums_open(seen, &key, done, WIDTH, &full);
    assert_false(full);
    return copy ? rub_sums_note(seen, copy, id, SIZE_MAX) : NULL;
}

static const float *given(const rub_seen_sums_t *seen, uint32_t rank, uint64_t clock, uint64_t id)
{
    const rub_sums_key_t key = {.table = 1, .rank = rank, .epoch = 1, .clock = clock};
    const rub_sums_copy_t *copy = rub_sums_of(seen, &key);
    return copy ? rub_sums_find(copy, id) : NULL;
}

static void rows_are_found_among_many(void **state)
{
    RUB_UNUSED(state);
    rub_seen_sums_t seen = {.n = 0};
    for (uint64_t id = 0; id < 5000; id++) {
        note(&seen, 0, 7, 7, id * id * 977)[1] = (float)id;
    }
    note(&seen, 0, 7, 7, UINT64_MAX)[1] = -1; /* every key is a legal one */
    note(&seen, 0, 7, 7, 0)[1] = 0.5F;        /* again */
    assert_int_equal(seen.copies[0].n, 5001);
    assert_true(given(&seen, 0, 7, 0)[1] == 0.5F);
    for (uint64_t id = 1; id < 5000; id++) {
        assert_true(given(&seen, 0, 7, id * id * 977)[1] == (float)id);
    }
    assert_true(given(&seen, 0, 7, UINT64_MAX)[1] == -1);
    assert_null(given(&seen, 0, 7, 2));
    assert_null(given(&seen, 0, 8, 0));
    assert_null(given(&seen, 1, 7, 0));
    rub_sums_fini(&seen);
    assert_int_equal(seen.bytes, 0);
}

static void a_period_that_is_over_is_taken_over_empty(void **state)
{
    RUB_UNUSED(state);
    rub_seen_sums_t seen = {.n = 0};
    note(&seen, 0, 4, 4, 9)[0] = 4;
    note(&seen, 0, 5, 4, 9)[0] = 5;
    const size_t bytes = seen.bytes;
    assert_null(note(&seen, 0, 6, 4, 9)); /* two are open */
    assert_true(given(&seen, 0, 4, 9)[0] == 4);
    assert_non_null(note(&seen, 0, 6, 5, 8));
    assert_null(given(&seen, 0, 4, 9));
    assert_null(given(&seen, 0, 6, 9));
    assert_true(given(&seen, 0, 5, 9)[0] == 5);
    assert_int_equal(seen.bytes, bytes);
    const rub_sums_key_t successor = {.table = 1, .rank = 0, .epoch = 2, .clock = 5};
    bool full;
    assert_non_null(rub_sums_open(&seen, &successor, 0, WIDTH, &full));
    assert_int_equal(seen.n, 2);
    rub_sums_fini(&seen);
}

static void a_copy_grows_by_no_more_than_there_is_room_for(void **state)
{
    RUB_UNUSED(state);
    rub_seen_sums_t seen = {.n = 0};
    const rub_sums_key_t key = {.table = 1, .rank = 0, .epoch = 1};
    bool full;
    rub_sums_copy_t *copy = rub_sums_open(&seen, &key, 0, WIDTH, &full);
    assert_null(rub_sums_note(&seen, copy, 1, 64 * (16 + 4 * WIDTH) - 1));
    assert_int_equal(seen.bytes, 0);
    assert_null(rub_sums_find(copy, 1));
    for (uint64_t id = 0; id < 64; id++) {
        assert_non_null(rub_sums_note(&seen, copy, id, 64 * (16 + 4 * WIDTH)));
    }
    assert_int_equal(seen.bytes, 64 * (16 + 4 * WIDTH));
    assert_null(rub_sums_note(&seen, copy, 64, 0));
    assert_non_null(rub_sums_note(&seen, copy, 63, 0)); /* has its place */
    rub_sums_fini(&seen);
}

static void what_was_large_once_is_given_back(void **state)
{
    RUB_UNUSED(state);
    rub_seen_sums_t seen = {.n = 0};
    for (uint64_t id = 0; id < 1000; id++) {
        note(&seen, 0, 0, 0, id);
    }
    const size_t large = seen.bytes;
    note(&seen, 0, 1, 1, 9)[0] = 1;
    assert_int_equal(seen.bytes, large); /* its last period had use for it */
    note(&seen, 0, 2, 2, 8)[0] = 2;
    assert_int_equal(seen.bytes, large / 16);
    assert_true(given(&seen, 0, 2, 8)[0] == 2);
    assert_null(given(&seen, 0, 2, 9));
    rub_sums_fini(&seen);
    assert_int_equal(seen.bytes, 0);
}

static void a_row_that_is_deleted_begins_anew_for_all_who_were_given_it(void **state)
{
    RUB_UNUSED(state);
    rub_seen_sums_t seen = {.n = 0};
    for (uint32_t rank = 0; rank < 3; rank++) {
        memset(note(&seen, rank, 0, 0, 9), 1, WIDTH * sizeof(float));
        memset(note(&seen, rank, 0, 0, 8), 1, WIDTH * sizeof(float));
    }
    uint8_t ids[16];
    rub_put_u64(ids, 9);
    rub_put_u64(ids + 8, 7); /* nobody was given it */
    rub_sums_restart(&seen, 1, ids, 2);
    rub_put_u64(ids, 8);
    rub_sums_restart(&seen, 2, ids, 1); /* of another table */
    for (uint32_t rank = 0; rank < 3; rank++) {
        assert_true(given(&seen, rank, 0, 9)[2] == 0);
        assert_true(given(&seen, rank, 0, 8)[2] != 0);
        assert_null(given(&seen, rank, 0, 7));
    }
    rub_sums_fini(&seen);
}

static bool is_odd(const void *context, uint32_t rank, uint32_t epoch)
{
    RUB_UNUSED(context);
    return epoch == 1 && rank % 2 == 1;
}

static void what_the_gone_were_given_is_freed(void **state)
{
    RUB_UNUSED(state);
    rub_seen_sums_t seen = {.n = 0};
    for (uint32_t rank = 0; rank < 5; rank++) {
        note(&seen, rank, 0, 0, 9)[0] = (float)rank;
    }
    const size_t each = seen.bytes / 5;
    rub_sums_forget_gone(&seen, is_odd, NULL);
    assert_int_equal(seen.bytes, 2 * each);
    assert_true(given(&seen, 3, 0, 9)[0] == 3);
    assert_null(given(&seen, 2, 0, 9));
    rub_sums_fini(&seen);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_found_among_many),
        cmocka_unit_test(a_period_that_is_over_is_taken_over_empty),
        cmocka_unit_test(a_copy_grows_by_no_more_than_there_is_room_for),
        cmocka_unit_test(what_was_large_once_is_given_back),
        cmocka_unit_test(a_row_that_is_deleted_begins_anew_for_all_who_were_given_it),
        cmocka_unit_test(what_the_gone_were_given_is_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
