/* Which batches a bsp rank takes, above all one that takes the place of a dead one. The session is
 * a clock that the tests set. */
#include "common/base/check.h"
#include "worker/train/share.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

/* 10 batches of 8 (the last has 3 examples), 3 workers: rank 0 has 4 batches, the others 3. */
#define EXAMPLES 75u
#define BATCH 8u

static rub_info_t session;

void rub_session_info(const rub_session_t *self, rub_info_t *info)
{
    RUB_UNUSED(self);
    *info = session;
}

int rub_clock(rub_session_t *self, const void *cursor, size_t cursor_bytes, rub_error_t *err)
{
    RUB_UNUSED(self);
    RUB_UNUSED(cursor);
    RUB_UNUSED(cursor_bytes);
    RUB_UNUSED(err);
    session.clock++;
    return 0;
}

int rub_piece_next(rub_session_t *self, uint64_t epoch, uint64_t n_examples,
                   uint64_t piece_examples, rub_piece_t *piece, rub_error_t *err)
{
    RUB_UNUSED(self);
    RUB_UNUSED(epoch);
    RUB_UNUSED(n_examples);
    RUB_UNUSED(piece_examples);
    RUB_UNUSED(piece);
    RUB_UNUSED(err);
    fail_msg("bsp asks nobody for data");
    return RUB_EINVAL;
}

static rub_share_t share_at(uint32_t rank, uint64_t clock)
{
    rub_share_t share;
    session = (rub_info_t){.rank = rank, .n_workers = 3, .staleness = 0, .clock = clock};
    rub_share_init(&share, NULL, EXAMPLES, BATCH, 0);
    return share;
}

/* Takes the epoch's batches to its end; returns how many, *first_p: the first one's example. */
static unsigned take_all(rub_share_t *share, uint64_t *first_p)
{
    unsigned n = 0;
    for (;;) {
        uint64_t first = 0, count = 0;
        assert_int_equal(rub_share_next(share, 0, &first, &count, NULL), 0);
        if (count == 0) {
            return n;
        }
        *first_p = n == 0 ? first : *first_p;
        n++;
        session.clock++;
    }
}

static void every_rank_takes_its_own_batches(void **state)
{
    RUB_UNUSED(state);
    for (uint32_t rank = 0; rank < 3; rank++) {
        rub_share_t share = share_at(rank, 0);
        uint64_t first = 99;
        assert_int_equal(rub_share_begin(&share, 0, NULL), 0);
        assert_int_equal(take_all(&share, &first), rank == 0 ? 4 : 3);
        assert_int_equal(first, rank * BATCH);
    }
}

static void successor_goes_on_where_the_clock_stands(void **state)
{
    RUB_UNUSED(state);
    bool over = true;
    rub_share_t share = share_at(1, 4 + 2); /* the second epoch, third period */
    assert_int_equal(rub_share_stands(&share, &over), 1);
    assert_false(over);
    uint64_t first = 0;
    assert_int_equal(rub_share_begin(&share, 1, NULL), 0);
    assert_int_equal(take_all(&share, &first), 1);
    assert_int_equal(first, (2 * 3 + 1) * BATCH);
}

static void successor_at_an_epochs_end_belongs_to_its_barrier(void **state)
{
    RUB_UNUSED(state);
    bool over = false;
    rub_share_t share = share_at(2, 8);
    assert_int_equal(rub_share_stands(&share, &over), 1);
    assert_true(over);
    share = share_at(2, 0);
    assert_int_equal(rub_share_stands(&share, &over), 0);
    assert_false(over); /* at the very beginning nobody has met yet */
}

static void who_stood_in_a_barrier_for_an_epoch_skips_it(void **state)
{
    RUB_UNUSED(state);
    uint64_t first = 0;
    rub_share_t share = share_at(2, 8);
    assert_int_equal(rub_share_begin(&share, 1, NULL), 0);
    assert_int_equal(take_all(&share, &first), 0);
    assert_int_equal(rub_share_epoch(&share), 2);
}

static void clock_that_lost_its_longest_rank_is_made_whole(void **state)
{
    RUB_UNUSED(state);
    rub_share_t share = share_at(1, 3); /* rank 0 had a fourth period, and died before it */
    uint64_t first = 0;
    assert_int_equal(rub_share_begin(&share, 1, NULL), 0);
    assert_int_equal(session.clock, 4);
    assert_int_equal(take_all(&share, &first), 3);
    assert_int_equal(first, BATCH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_takes_its_own_batches),
        cmocka_unit_test(successor_goes_on_where_the_clock_stands),
        cmocka_unit_test(successor_at_an_epochs_end_belongs_to_its_barrier),
        cmocka_unit_test(who_stood_in_a_barrier_for_an_epoch_skips_it),
        cmocka_unit_test(clock_that_lost_its_longest_rank_is_made_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
