/* Bsp: a period's result is one step from all pushes in rank order, whatever order they came in. */
#include "tests/unit/ps/shard_fixture.h"

/* Three ranks, two periods of two dense and one ledger push each, in an order drawn from seed. */
static uint64_t digest_of_order(unsigned seed, bool crash)
{
    fx_t fx;
    fx_open(&fx, 3, 0);
    uint64_t next[3] = {0, 0, 0};
    unsigned random = seed * 2654435761u + 1;
    unsigned steps = 0;
    while (next[0] + next[1] + next[2] < 24) {
        random = random * 1664525u + 1013904223u;
        const uint32_t rank = (random >> 16) % 3;
        if (next[rank] == 8) {
            continue;
        }
        const uint64_t seq = ++next[rank];
        const uint64_t clock = (seq - 1) / 4;
        const float x = 0.1F + (float)rank * 0.37F + (float)seq * 0.011F;
        const rub_peer_t peer = 100 + rank;
        switch ((seq - 1) % 4) {
        case 0:
            fx_push_block(&fx, peer, seq, clock, 0, x);
            break;
        case 1:
            fx_push(&fx, peer, seq, clock, 9, x);
            break;
        case 2:
            fx_push_block(&fx, peer, seq, clock, rank % 2, x * 3.0F);
            break;
        default:
            fx_say(&fx, peer, RUB_MSG_CLOCK, seq, clock + 1);
            break;
        }
        if (crash && ++steps % 5 == 0) {
            fx_crash(&fx);
            for (uint32_t i = 0; i < 3; i++) {
                fx_hello(&fx, 100 + i, i, 1);
            }
        }
    }
    assert_int_equal(rub_shard_minimum(fx.shard), 2);
    const uint64_t digest = rub_shard_digest(fx.shard);
    fx_close(&fx);
    return digest;
}

static void arrival_order_does_not_change_a_bit(void **state)
{
    RUB_UNUSED(state);
    const uint64_t first = digest_of_order(1, false);
    for (unsigned seed = 2; seed < 40; seed++) {
        assert_true(digest_of_order(seed, false) == first);
    }
}

static void crashes_do_not_change_a_bit(void **state)
{
    RUB_UNUSED(state);
    const uint64_t first = digest_of_order(1, false);
    for (unsigned seed = 1; seed < 10; seed++) {
        assert_true(digest_of_order(seed, true) == first);
    }
}

static void read_at_a_clock_is_exactly_the_state_after_the_period_before(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    fx_pull(&fx, 100, 1, 0, 1, 9);
    assert_true(fx_value(&fx, 100) == 0.0F); /* its own push of the open period is held back */
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_pull(&fx, 100, 2, 1, 2, 9); /* parked: rank 1 has not ended period 0 */
    fx_push(&fx, 100, 3, 1, 9, 100.0F);
    fx_push(&fx, 101, 1, 0, 9, 3.0F);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_ROWS), 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 1);
    assert_true(fx_value(&fx, 100) == 2.0F); /* the mean of 1 and 3, without the 100 of period 1 */
    fx_close(&fx);
}

/* Or a ring that is smaller than a period would never be freed. */
static void push_is_acknowledged_when_it_is_journaled_not_when_it_is_folded(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    assert_int_equal(fx_ack(&fx, 100)->seq, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    assert_int_equal(fx_ack(&fx, 100)->seq, 2);
    assert_int_equal(rub_shard_minimum(fx.shard), 0);
    fx_close(&fx);
}

static void rank_that_pushed_nothing_takes_part_in_the_mean(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_push(&fx, 100, 1, 0, 9, 4.0F);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    fx_pull(&fx, 100, 1, 1, 2, 9);
    assert_true(fx_value(&fx, 100) == 2.0F);
    fx_close(&fx);
}

static void idle_rank_without_pushes_takes_no_part(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_push(&fx, 100, 1, 0, 9, 4.0F);
    fx_say(&fx, 101, RUB_MSG_IDLE, 1, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_pull(&fx, 100, 1, 1, 2, 9);
    assert_true(fx_value(&fx, 100) == 4.0F);
    fx_close(&fx);
}

static void last_rank_to_go_idle_closes_the_period(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_push(&fx, 100, 1, 0, 9, 4.0F);
    fx_push(&fx, 101, 1, 0, 9, 2.0F);
    fx_say(&fx, 100, RUB_MSG_IDLE, 2, 0);
    fx_say(&fx, 101, RUB_MSG_BYE, 2, 0);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_CLOSE);
    fx_reader(&fx, 600);
    fx_pull(&fx, 600, 1, 0, 0, 9);
    assert_true(fx_value(&fx, 600) == 3.0F);
    fx_close(&fx);
}

static void evicted_ranks_unfinished_period_is_dropped_and_its_finished_one_kept(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 3, 0);
    fx_push(&fx, 101, 1, 0, 9, 6.0F);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 1);
    fx_push(&fx, 101, 3, 1, 9, 1000.0F); /* period 1: never ended */
    fx_push(&fx, 100, 1, 0, 9, 3.0F);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_say(&fx, 102, RUB_MSG_IDLE, 1, 0);
    fx_pull(&fx, 100, 1, 1, 2, 9);
    assert_true(fx_value(&fx, 100) == 4.5F);
    fx.ranks[1].state = RUB_RANK_GONE;
    fx_view(&fx);
    fx_push(&fx, 100, 3, 1, 9, 1.0F);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 4, 2);
    fx_pull(&fx, 100, 2, 2, 4, 9);
    assert_true(fx_value(&fx, 100) == 5.5F);
    const uint64_t digest = rub_shard_digest(fx.shard);
    fx_crash(&fx);
    assert_true(rub_shard_digest(fx.shard) == digest);
    fx_close(&fx);
}

static void what_a_rank_had_ended_outlives_its_successors(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_push(&fx, 101, 1, 0, 9, 6.0F);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 1);
    fx.ranks[1].epoch = 2; /* its successor is pinned in period 0, which rank 0 keeps open */
    fx_view(&fx);
    fx_all_synced(&fx);
    fx_hello(&fx, 201, 1, 2);
    fx_push(&fx, 201, 1, 0, 9, 1000.0F); /* never ended */
    fx.ranks[1].epoch = 3;
    fx_view(&fx);
    fx.ranks[1].state = RUB_RANK_GONE;
    fx_view(&fx);
    fx_crash(&fx);
    fx_hello(&fx, 100, 0, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_pull(&fx, 100, 1, 1, 1, 9);
    assert_true(fx_value(&fx, 100) == 3.0F); /* the mean of 6 and nothing */
    fx_close(&fx);
}

/* Rank 1 rests before period 0, rank 0 ends it without a push and rests too: a read for period 1
 * may be answered from here on, so rank 1 comes back behind it, also in a replay. */
static void nobody_comes_back_into_a_period_that_ended_without_a_push(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_say(&fx, 101, RUB_MSG_IDLE, 1, 0);
    fx_say(&fx, 100, RUB_MSG_IDLE, 1, 1);
    fx_say(&fx, 101, RUB_MSG_RESUME, 2, 0);
    assert_int_equal(rub_shard_done(fx.shard, 1), 1);
    fx_push(&fx, 101, 3, 1, 9, 3.0F);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 4, 2);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_CLOSE);
    fx_pull(&fx, 101, 1, 2, 4, 9);
    assert_true(fx_value(&fx, 101) == 3.0F);
    const uint64_t digest = rub_shard_digest(fx.shard);
    fx_crash(&fx);
    assert_true(rub_shard_digest(fx.shard) == digest);
    assert_int_equal(rub_shard_done(fx.shard, 1), 2);
    fx_close(&fx);
}

static void close_waits_for_journal_room_and_pulls_wait_for_close(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    fx_push(&fx, 100, 1, 0, 9, 4.0F);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 1);
    fx_push(&fx, 100, 3, 1, 9, 1.0F);
    fx.room = 0; /* nothing more: not even CLOSE */
    fx_pull(&fx, 100, 1, 2, 3, 9);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 4, 2);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_POSTPONED));
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx.room = 64u << 20;
    fx_tick(&fx, 50);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 4, 2);
    assert_true(fx_value(&fx, 100) == 5.0F);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrival_order_does_not_change_a_bit),
        cmocka_unit_test(crashes_do_not_change_a_bit),
        cmocka_unit_test(read_at_a_clock_is_exactly_the_state_after_the_period_before),
        cmocka_unit_test(push_is_acknowledged_when_it_is_journaled_not_when_it_is_folded),
        cmocka_unit_test(rank_that_pushed_nothing_takes_part_in_the_mean),
        cmocka_unit_test(idle_rank_without_pushes_takes_no_part),
        cmocka_unit_test(last_rank_to_go_idle_closes_the_period),
        cmocka_unit_test(evicted_ranks_unfinished_period_is_dropped_and_its_finished_one_kept),
        cmocka_unit_test(what_a_rank_had_ended_outlives_its_successors),
        cmocka_unit_test(nobody_comes_back_into_a_period_that_ended_without_a_push),
        cmocka_unit_test(close_waits_for_journal_room_and_pulls_wait_for_close),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
