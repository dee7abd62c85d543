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

/* One piece of 20 examples, then the epoch is over; bsp asks nobody for data. */
static int pieces_dealt;
static uint64_t piece_first = 32, wanted_examples;

int rub_piece_next(rub_session_t *self, uint64_t epoch, uint64_t n_examples,
                   uint64_t piece_examples, rub_piece_t *piece, rub_error_t *err)
{
    RUB_UNUSED(self);
    RUB_UNUSED(n_examples);
    RUB_UNUSED(err);
    assert_true(session.staleness > 0);
    wanted_examples = piece_examples;
    *piece = (rub_piece_t){.kind = pieces_dealt == 0 ? RUB_PIECE : RUB_PIECE_END,
                           .epoch = epoch,
                           .first = piece_first,
                           .count = 20};
    pieces_dealt++;
    return 0;
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

/* What peek says comes next, comes next; *batches_p counts those that it knew of. */
static void take_as_peeked(rub_share_t *share, unsigned *batches_p)
{
    for (;;) {
        uint64_t first = 0, count = 0, peeked = 0, n_peeked = 0;
        const bool known = rub_share_peek(share, &peeked, &n_peeked);
        assert_int_equal(rub_share_next(share, 0, &first, &count, NULL), 0);
        if (known) {
            assert_int_equal(first, peeked);
            assert_int_equal(count, n_peeked);
            (*batches_p)++;
        }
        if (count == 0) {
            assert_false(known);
            return;
        }
    }
}

static void next_batch_is_known_ahead_within_an_epoch_or_a_piece(void **state)
{
    RUB_UNUSED(state);
    unsigned batches = 0;
    rub_share_t share = share_at(1, 0);
    assert_int_equal(rub_share_begin(&share, 0, NULL), 0);
    take_as_peeked(&share, &batches);
    assert_int_equal(batches, 3);

    session = (rub_info_t){.n_workers = 3, .staleness = 4};
    rub_share_init(&share, NULL, EXAMPLES, BATCH, 0);
    assert_int_equal(rub_share_begin(&share, 0, NULL), 0);
    batches = 0;
    take_as_peeked(&share, &batches);
    assert_int_equal(batches, 2); /* of 8, 8 and 4: the first of a piece has to be asked for */
}

/* Takes the rest of the epoch; is its successor's first batch known at the last one, and only
 * there? */
static bool knows_beyond(rub_share_t *share, uint64_t *first_p, uint64_t *count_p)
{
    bool known = false;
    for (;;) {
        uint64_t first = 0, count = 0;
        assert_int_equal(rub_share_next(share, 0, &first, &count, NULL), 0);
        if (count == 0) {
            return known;
        }
        assert_false(known);
        known = rub_share_peek_beyond(share, first_p, count_p);
        session.clock++;
    }
}

static void first_batch_of_the_next_epoch_is_known_where_it_is_certain(void **state)
{
    RUB_UNUSED(state);
    uint64_t first = 99, count = 0;
    rub_share_t share = share_at(0, 0);
    assert_int_equal(rub_share_begin(&share, 0, NULL), 0);
    assert_true(knows_beyond(&share, &first, &count));
    assert_int_equal(first, 0);
    assert_int_equal(count, BATCH);
    share = share_at(1, 0); /* its fourth period of the epoch is empty, and moves the clock */
    assert_int_equal(rub_share_begin(&share, 0, NULL), 0);
    assert_false(knows_beyond(&share, &first, &count));
}

static void who_is_alone_begins_every_epoch_and_asks_for_it_as_a_whole(void **state)
{
    RUB_UNUSED(state);
    for (uint32_t workers = 1; workers < 3; workers++) {
        for (uint64_t at = EXAMPLES - 20; at > 30; at -= 5) { /* the last examples, or not */
            uint64_t first = 99, count = 0;
            rub_share_t share;
            session = (rub_info_t){.n_workers = workers, .staleness = 4};
            pieces_dealt = 0;
            piece_first = at;
            rub_share_init(&share, NULL, EXAMPLES, BATCH, 0);
            assert_int_equal(rub_share_begin(&share, 0, NULL), 0);
            assert_int_equal(knows_beyond(&share, &first, &count),
                             workers == 1 && at == EXAMPLES - 20);
            assert_int_equal(wanted_examples, workers == 1 ? 8 * BATCH : BATCH);
        }
    }
    piece_first = 32;
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

/* 10 batches in all. Two workers had trained batches 0 to 5 of data epoch 1 when the snapshot was
 * taken; three go on. */
static rub_share_t resumed_share(uint32_t rank, uint64_t clock)
{
    rub_share_t share;
    session = (rub_info_t){.rank = rank,
                           .n_workers = 3,
                           .clock = clock,
                           .resumed_clock = 8,
                           .resumed_epoch = 1,
                           .resumed_batch = 6};
    rub_share_init(&share, NULL, EXAMPLES, BATCH, 0);
    return share;
}

static void resumed_job_trains_the_rest_of_the_epoch_with_another_number_of_workers(void **state)
{
    RUB_UNUSED(state);
    bool over = true;
    for (uint32_t rank = 0; rank < 3; rank++) {
        rub_share_t share = resumed_share(rank, 8);
        uint64_t first = 0;
        assert_int_equal(rub_share_stands(&share, &over), 1);
        assert_false(over);
        assert_int_equal(rub_share_begin(&share, 1, NULL), 0);
        assert_int_equal(take_all(&share, &first), rank == 0 ? 2 : 1); /* 6 7 8, 9 */
        assert_int_equal(first, (6 + rank) * BATCH);
    }
}

static void resumed_job_counts_whole_epochs_from_there(void **state)
{
    RUB_UNUSED(state);
    bool over = false;
    rub_share_t share = resumed_share(1, 8 + 2); /* the rest had two periods */
    uint64_t first = 0;
    assert_int_equal(rub_share_stands(&share, &over), 1);
    assert_true(over);
    assert_int_equal(rub_share_begin(&share, 2, NULL), 0);
    assert_int_equal(take_all(&share, &first), 3);
    assert_int_equal(first, BATCH);
    share = resumed_share(1, 8 + 2 + 4 + 1); /* the second period of epoch 3 */
    assert_int_equal(rub_share_stands(&share, &over), 3);
    assert_false(over);
    assert_int_equal(rub_share_begin(&share, 3, NULL), 0);
    assert_int_equal(take_all(&share, &first), 2);
    assert_int_equal(first, 4 * BATCH);
    share = resumed_share(1, 9); /* it lost its longest rank: the clock is made whole */
    assert_int_equal(rub_share_begin(&share, 2, NULL), 0);
    assert_int_equal(session.clock, 10);
}

static void resumed_at_an_epochs_end_belongs_to_its_barrier(void **state)
{
    RUB_UNUSED(state);
    bool over = false;
    session = (rub_info_t){
        .n_workers = 3, .clock = 10, .resumed_clock = 10, .resumed_epoch = 1, .resumed_batch = 11};
    rub_share_t share;
    rub_share_init(&share, NULL, EXAMPLES, BATCH, 0);
    assert_int_equal(rub_share_stands(&share, &over), 1);
    assert_true(over);
    uint64_t first = 99;
    assert_int_equal(rub_share_begin(&share, 2, NULL), 0);
    assert_int_equal(take_all(&share, &first), 4);
    assert_int_equal(first, 0);
    assert_int_equal(rub_share_trained_before(&share), 2 * EXAMPLES);
    share = resumed_share(0, 8);
    assert_int_equal(rub_share_trained_before(&share), EXAMPLES + 6 * BATCH);
    session =
        (rub_info_t){.n_workers = 3, .staleness = 4, .resumed_epoch = 2, .resumed_examples = 7};
    rub_share_init(&share, NULL, EXAMPLES, BATCH, 0);
    assert_int_equal(rub_share_trained_before(&share), 2 * EXAMPLES + 7);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_rank_takes_its_own_batches),
        cmocka_unit_test(next_batch_is_known_ahead_within_an_epoch_or_a_piece),
        cmocka_unit_test(first_batch_of_the_next_epoch_is_known_where_it_is_certain),
        cmocka_unit_test(who_is_alone_begins_every_epoch_and_asks_for_it_as_a_whole),
        cmocka_unit_test(successor_goes_on_where_the_clock_stands),
        cmocka_unit_test(successor_at_an_epochs_end_belongs_to_its_barrier),
        cmocka_unit_test(who_stood_in_a_barrier_for_an_epoch_skips_it),
        cmocka_unit_test(clock_that_lost_its_longest_rank_is_made_whole),
        cmocka_unit_test(resumed_job_trains_the_rest_of_the_epoch_with_another_number_of_workers),
        cmocka_unit_test(resumed_job_counts_whole_epochs_from_there),
        cmocka_unit_test(resumed_at_an_epochs_end_belongs_to_its_barrier),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
