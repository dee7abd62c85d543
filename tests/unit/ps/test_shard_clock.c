/* Clocks and pulls: who is counted, who waits, who is pinned where, and how the answer measures its
 * gap. */
#include "tests/unit/ps/shard_fixture.h"

static void pull_waits_until_slowest_worker_catches_up(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 2);
    fx_pull(&fx, 100, 7, 2, 2, 9);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    const rub_header_t *rows = rub_packet_header(fx_last(&fx, 100, RUB_MSG_ROWS));
    assert_int_equal(rows->seq, 7);
    assert_int_equal(rows->clock, 2);
    assert_int_equal(rows->mark, 1);
    fx_close(&fx);
}

static void pull_within_the_bound_is_answered_at_once(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 1);
    fx_pull(&fx, 100, 1, 1, 0, 9); /* a prefetch for the next period */
    assert_non_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx_pull(&fx, 100, 2, 2, 0, 9);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_ROWS), 1);
    fx_close(&fx);
}

static void async_never_waits(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, RUB_ASYNC);
    fx_pull(&fx, 100, 1, 1000000, 0, 9);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx_close(&fx);
}

static void pull_waits_for_its_own_pushes(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_pull(&fx, 100, 1, 0, 1, 9);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx_push(&fx, 100, 1, 0, 9, 3.0F);
    assert_true(fx_value(&fx, 100) == 3.0F);
    fx_close(&fx);
}

static void reader_blocks_nobody_and_waits_for_nobody(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    fx_reader(&fx, 600);
    assert_non_null(fx_last(&fx, 600, RUB_MSG_WELCOME));
    fx_pull(&fx, 600, 1, UINT64_MAX, 0, 9);
    assert_non_null(fx_last(&fx, 600, RUB_MSG_ROWS));
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_pull(&fx, 100, 1, 1, 1, 9);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx_close(&fx);
}

static void idle_rank_is_not_waited_for_and_its_open_period_ends(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 2);
    fx_pull(&fx, 100, 1, 2, 2, 9);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx_push(&fx, 101, 1, 0, 9, 1.0F);
    fx_say(&fx, 101, RUB_MSG_IDLE, 2, 0);
    assert_int_equal(fx_ack(&fx, 101)->clock, 1);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx_close(&fx);
}

static void idle_without_a_push_ends_nothing(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_say(&fx, 101, RUB_MSG_IDLE, 1, 0);
    assert_int_equal(rub_shard_done(fx.shard, 1), 0);
    fx_close(&fx);
}

static void evicted_rank_is_not_waited_for(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_pull(&fx, 100, 1, 1, 1, 9);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx.ranks[1].state = RUB_RANK_GONE;
    fx_view(&fx);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    assert_non_null(fx_last(&fx, 101, RUB_MSG_FENCED));
    fx_synced(&fx);
    assert_int_equal(fx.acked_version, fx.version);
    fx_close(&fx);
}

static void first_gang_is_counted_before_it_comes(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_pull(&fx, 100, 1, 1, 1, 9);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    assert_int_equal(rub_shard_minimum(fx.shard), 0);
    fx_close(&fx);
}

static void resume_is_pinned_at_the_minimum(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_say(&fx, 101, RUB_MSG_IDLE, 1, 0);
    for (uint64_t clock = 1; clock <= 6; clock++) {
        fx_say(&fx, 100, RUB_MSG_CLOCK, clock, clock);
    }
    fx_say(&fx, 101, RUB_MSG_RESUME, 2, 0);
    assert_int_equal(fx_ack(&fx, 101)->clock, 6);
    assert_int_equal(rub_shard_minimum(fx.shard), 6);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 3, 8); /* the greatest pin of all shards */
    assert_int_equal(fx_ack(&fx, 101)->clock, 8);
    fx_close(&fx);
}

static void clock_at_the_end_of_numbers_is_a_verdict_and_harms_nobody(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, UINT64_MAX - 1); /* may jump: its first record */
    fx_say(&fx, 101, RUB_MSG_IDLE, 2, 0);
    fx_say(&fx, 101, RUB_MSG_RESUME, 3, UINT64_MAX - 1);
    fx_say(&fx, 101, RUB_MSG_RESUME, 4, UINT64_MAX);
    fx_say(&fx, 101, RUB_MSG_RESUME, 5, 0);
    fx_say(&fx, 101, RUB_MSG_RESYNC, 9, UINT64_MAX - 1); /* unbound: it shall say HELLO */
    assert_int_equal(rub_shard_done(fx.shard, 1), 0);
    assert_int_equal(rub_shard_minimum(fx.shard), 0);
    fx_crash(&fx);
    assert_int_equal(rub_shard_minimum(fx.shard), 0);
    fx_close(&fx);
}

static void barrier_resumes_all_at_the_maximum(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 100, RUB_MSG_IDLE, 2, 1);
    fx_say(&fx, 101, RUB_MSG_IDLE, 1, 0);
    assert_int_equal(rub_shard_minimum(fx.shard), UINT64_MAX);
    fx_say(&fx, 101, RUB_MSG_RESUME, 2, 1);
    fx_say(&fx, 100, RUB_MSG_RESUME, 3, 1);
    assert_int_equal(rub_shard_done(fx.shard, 0), 1);
    assert_int_equal(rub_shard_done(fx.shard, 1), 1);
    assert_int_equal(rub_shard_minimum(fx.shard), 1);
    fx_close(&fx);
}

static void joiner_is_pinned_and_jumps_with_its_first_record_only(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    for (uint64_t clock = 1; clock <= 5; clock++) {
        fx_say(&fx, 100, RUB_MSG_CLOCK, clock, clock);
    }
    fx.ranks[1] = (rub_rank_view_t){.rank = 1, .epoch = 1, .state = RUB_RANK_LIVE};
    fx.n_ranks = 2;
    fx_view(&fx);
    fx_hello(&fx, 101, 1, 1);
    fx_all_synced(&fx);
    assert_int_equal(rub_packet_header(fx_last(&fx, 101, RUB_MSG_WELCOME))->clock, 5);
    assert_int_equal(rub_shard_minimum(fx.shard), 5);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 7);
    assert_int_equal(rub_shard_done(fx.shard, 1), 7);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 2, 9);
    assert_int_equal(rub_shard_done(fx.shard, 1), 7);
    fx_close(&fx);
}

static void joiner_is_told_its_pin_once_the_view_is_on_the_platter(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_all_synced(&fx);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx.ranks[1] = (rub_rank_view_t){.rank = 1, .epoch = 1, .state = RUB_RANK_LIVE};
    fx.n_ranks = 2;
    fx_view(&fx);
    fx_hello(&fx, 101, 1, 1);
    assert_null(fx_last(&fx, 101, RUB_MSG_WELCOME));
    fx_tick(&fx, 600);
    assert_in_range(fx.heard_ms[1], 0, 600); /* it is not silent because we do not answer */
    fx_crash(&fx); /* a process that dies does not write what its page cache holds */
    fx_hello(&fx, 101, 1, 1);
    assert_null(fx_last(&fx, 101, RUB_MSG_WELCOME));
    fx_all_synced(&fx);
    assert_int_equal(rub_packet_header(fx_last(&fx, 101, RUB_MSG_WELCOME))->clock, 1);
    fx_hello(&fx, 102, 1, 1); /* again, over another connection: at once */
    assert_non_null(fx_last(&fx, 102, RUB_MSG_WELCOME));
    fx_close(&fx);
}

static void minimum_never_falls(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_say(&fx, 101, RUB_MSG_IDLE, 1, 0);
    for (uint64_t clock = 1; clock <= 5; clock++) {
        fx_say(&fx, 100, RUB_MSG_CLOCK, clock, clock);
    }
    fx_say(&fx, 100, RUB_MSG_BYE, 6, 5); /* nobody is counted now */
    fx_say(&fx, 101, RUB_MSG_RESUME, 2, 0);
    assert_int_equal(rub_shard_minimum(fx.shard), 5);
    fx.ranks[0].epoch = 2;
    fx_view(&fx);
    assert_int_equal(rub_shard_minimum(fx.shard), 5);
    assert_int_equal(rub_shard_done(fx.shard, 0), 5);
    fx_close(&fx);
}

static void cancelled_pull_gets_no_answer(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_pull(&fx, 100, 1, 1, 0, 9);
    fx_say(&fx, 100, RUB_MSG_CANCEL, 1, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS));
    fx_close(&fx);
}

static void pull_asked_again_replaces_the_old_one(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_pull(&fx, 100, 1, 1, 0, 9);
    fx_pull(&fx, 100, 1, 1, 0, 9);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_ROWS), 1);
    fx_close(&fx);
}

static void parked_pull_is_told_for_whom_it_waits(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 3, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 102, RUB_MSG_CLOCK, 1, 1);
    fx_pull(&fx, 100, 1, 1, 1, 9);
    fx_tick(&fx, 500);
    assert_null(fx_last(&fx, 100, RUB_MSG_WAITING));
    fx_tick(&fx, 600);
    rub_packet_t *waiting = fx_last(&fx, 100, RUB_MSG_WAITING);
    assert_non_null(waiting);
    assert_int_equal(rub_packet_header(waiting)->value_bytes, 4);
    assert_int_equal(rub_get_u32(rub_packet_values(waiting)), 1);
    fx_close(&fx);
}

static void session_may_not_park_more_than_its_window(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    fx.config.limit_bytes = 1u << 20; /* the window is its least: 4 MiB */
    fx_crash(&fx);
    fx_hello(&fx, 100, 0, 1);
    uint8_t keys[16];
    rub_put_u64(keys, 0);
    rub_put_u64(keys + 8, 2 * RUB_BLOCK);
    for (uint64_t id = 1; id <= 140; id++) { /* 32 KiB each */
        fx_frame(&fx, 100,
                 (rub_header_t){.type = RUB_MSG_PULL,
                                .table = DENSE,
                                .flags = RUB_FLAG_RANGE,
                                .seq = id,
                                .clock = 1,
                                .n_keys = 1},
                 keys, sizeof(keys), NULL, 0);
    }
    rub_packet_t *refused = fx_last(&fx, 100, RUB_MSG_PULL_REFUSED);
    assert_non_null(refused);
    assert_int_equal((int32_t)rub_get_u32(rub_packet_values(refused)), RUB_ELIMIT);
    const size_t n_refused = fx_count(&fx, 100, RUB_MSG_PULL_REFUSED);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_ROWS) + n_refused, 140);
    fx_close(&fx);
}

static void pull_that_can_never_be_answered_is_refused(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    uint8_t keys[16];
    rub_put_u64(keys, RUB_BLOCK);
    rub_put_u64(keys + 8, 2 * RUB_BLOCK); /* beyond the table's end */
    fx_frame(
        &fx, 100,
        (rub_header_t){
            .type = RUB_MSG_PULL, .table = DENSE, .flags = RUB_FLAG_RANGE, .seq = 1, .n_keys = 1},
        keys, sizeof(keys), NULL, 0);
    rub_packet_t *refused = fx_last(&fx, 100, RUB_MSG_PULL_REFUSED);
    assert_non_null(refused);
    assert_int_equal((int32_t)rub_get_u32(rub_packet_values(refused)), RUB_ESHAPE);
    fx_close(&fx);
}

static void view_that_makes_the_store_a_part_of_the_job_is_confirmed_from_the_platter(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    assert_int_equal(fx.acked_version, 0);
    assert_true(fx.sync_lsn > 0);
    fx_synced(&fx);
    assert_int_equal(fx.acked_version, 1);
    fx_view(&fx); /* a later one does not wait: the store is known to be of the job */
    assert_int_equal(fx.acked_version, 2);
    fx_close(&fx);
}

static void older_view_is_ignored_and_a_foreign_one_too(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    fx_view(&fx);
    const size_t n_journal = fx.n_journal;
    fx.version = 0;
    fx.ranks[0].epoch = 9;
    fx_view(&fx); /* version 1 again */
    assert_int_equal(fx.n_journal, n_journal);
    fx_synced(&fx);
    assert_int_equal(fx.acked_version, 2);
    const rub_control_t foreign = {.type = RUB_MSG_VIEW,
                                   .view = {.job = JOB + 1, .generation = 9, .version = 9}};
    fx_begin(&fx);
    assert_int_equal(rub_shard_control(fx.shard, &foreign), 0);
    fx_end(&fx);
    assert_int_equal(fx.n_journal, n_journal);
    assert_int_equal(rub_shard_phase(fx.shard), RUB_SHARD_SERVING);
    fx_close(&fx);
}

static void view_that_names_a_rank_twice_is_ignored(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    const size_t n_journal = fx.n_journal;
    fx.ranks[1] = (rub_rank_view_t){.rank = 0, .epoch = 4, .state = RUB_RANK_LIVE};
    fx_view(&fx);
    assert_int_equal(fx.n_journal, n_journal);
    fx_synced(&fx);
    assert_int_equal(fx.acked_version, 1);
    fx_close(&fx);
}

static void view_of_a_lower_generation_is_ignored_however_high_its_version(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    fx.generation = 3;
    fx_view(&fx);
    const size_t n_journal = fx.n_journal;
    fx.generation = 2;
    fx.version = 9;
    fx.ranks[0].epoch = 9;
    fx_view(&fx);
    assert_int_equal(fx.n_journal, n_journal);
    fx_close(&fx);
}

static void shard_registers_until_a_view_comes_and_after_silence(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0);
    fx_synced(&fx); /* its job is kept, so it may be named */
    fx_tick(&fx, 500);
    fx_tick(&fx, 500);
    assert_int_equal(fx.controls[RUB_MSG_REGISTER], 0);
    fx_tick(&fx, 1500);
    assert_int_equal(fx.controls[RUB_MSG_REGISTER], 1);
    assert_true(fx.controls[RUB_MSG_REPORT] >= 2);
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pull_waits_until_slowest_worker_catches_up),
        cmocka_unit_test(pull_within_the_bound_is_answered_at_once),
        cmocka_unit_test(async_never_waits),
        cmocka_unit_test(pull_waits_for_its_own_pushes),
        cmocka_unit_test(reader_blocks_nobody_and_waits_for_nobody),
        cmocka_unit_test(idle_rank_is_not_waited_for_and_its_open_period_ends),
        cmocka_unit_test(idle_without_a_push_ends_nothing),
        cmocka_unit_test(evicted_rank_is_not_waited_for),
        cmocka_unit_test(first_gang_is_counted_before_it_comes),
        cmocka_unit_test(resume_is_pinned_at_the_minimum),
        cmocka_unit_test(clock_at_the_end_of_numbers_is_a_verdict_and_harms_nobody),
        cmocka_unit_test(barrier_resumes_all_at_the_maximum),
        cmocka_unit_test(joiner_is_pinned_and_jumps_with_its_first_record_only),
        cmocka_unit_test(joiner_is_told_its_pin_once_the_view_is_on_the_platter),
        cmocka_unit_test(minimum_never_falls),
        cmocka_unit_test(cancelled_pull_gets_no_answer),
        cmocka_unit_test(pull_asked_again_replaces_the_old_one),
        cmocka_unit_test(parked_pull_is_told_for_whom_it_waits),
        cmocka_unit_test(session_may_not_park_more_than_its_window),
        cmocka_unit_test(pull_that_can_never_be_answered_is_refused),
        cmocka_unit_test(view_that_makes_the_store_a_part_of_the_job_is_confirmed_from_the_platter),
        cmocka_unit_test(older_view_is_ignored_and_a_foreign_one_too),
        cmocka_unit_test(view_that_names_a_rank_twice_is_ignored),
        cmocka_unit_test(view_of_a_lower_generation_is_ignored_however_high_its_version),
        cmocka_unit_test(shard_registers_until_a_view_comes_and_after_silence),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
