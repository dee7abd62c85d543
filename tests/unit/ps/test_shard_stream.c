/* Sessions and their streams: who is heard, what is admitted, what is refused or put off. */
#include "tests/unit/ps/shard_fixture.h"

static void record_sent_twice_is_applied_once_and_acknowledged_twice(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 0xffff);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_ACK), 2);
    assert_int_equal(fx_ack(&fx, 100)->seq, 1);
    fx_pull(&fx, 100, 1, 0, 1, 9);
    assert_true(fx_value(&fx, 100) == 1.0F);
    fx_close(&fx);
}

static void hole_in_the_stream_is_a_protocol_error_and_asks_for_hello(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    const size_t n_journal = fx.n_journal;
    fx_push(&fx, 100, 3, 0, 9, 1.0F);
    assert_int_equal(fx.n_journal, n_journal);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_REHELLO));
    fx_push(&fx, 100, 2, 0, 9, 1.0F); /* unread: it has not said HELLO */
    assert_int_equal(fx.n_journal, n_journal);
    fx_forget_sent(&fx);
    fx_hello(&fx, 100, 0, 1);
    assert_int_equal(rub_packet_header(fx_last(&fx, 100, RUB_MSG_WELCOME))->seq, 1);
    fx_push(&fx, 100, 2, 0, 9, 1.0F);
    assert_int_equal(fx_ack(&fx, 100)->seq, 2);
    fx_close(&fx);
}

static void older_epoch_is_fenced(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx.ranks[0].epoch = 2;
    fx_view(&fx);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_FENCED));
    fx_forget_sent(&fx);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    assert_null(fx_last(&fx, 100, RUB_MSG_ACK));
    fx_hello(&fx, 100, 0, 1);
    assert_null(fx_last(&fx, 100, RUB_MSG_WELCOME));
    assert_int_equal(rub_packet_header(fx_last(&fx, 100, RUB_MSG_FENCED))->seq,
                     rub_rank_epoch(0, 1));
    fx_close(&fx);
}

static void message_that_no_session_sends_changes_nothing(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    const size_t n_journal = fx.n_journal;
    fx_say(&fx, 100, RUB_MSG_ROWS, 1, 0);
    fx_say(&fx, 100, RUB_MSG_WELCOME, 1, 0);
    assert_int_equal(fx.n_journal, n_journal);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx_ack(&fx, 100)->seq, 1);
    fx_close(&fx);
}

static void frame_with_keys_where_none_belong_leaves_a_readable_journal(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    const uint8_t keys[16] = {0};
    const uint8_t types[] = {RUB_MSG_CLOCK, RUB_MSG_IDLE, RUB_MSG_RESUME, RUB_MSG_BYE};
    for (uint64_t i = 0; i < sizeof(types); i++) {
        fx_frame(
            &fx, 100,
            (rub_header_t){
                .type = types[i], .seq = i + 1, .clock = 1, .flags = RUB_FLAG_RANGE, .n_keys = 1},
            keys, sizeof(keys), keys, 8);
    }
    assert_int_equal(fx_ack(&fx, 100)->seq, 4);
    fx_crash(&fx); /* replays */
    assert_int_equal(rub_shard_done(fx.shard, 0), 1);
    fx_close(&fx);
}

static void hello_of_another_job_is_fenced(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_frame(&fx, 500,
             (rub_header_t){.type = RUB_MSG_HELLO, .seq = rub_rank_epoch(0, 1), .mark = JOB + 1},
             NULL, 0, NULL, 0);
    assert_non_null(fx_last(&fx, 500, RUB_MSG_FENCED));
    fx_close(&fx);
}

static void hello_of_a_coming_epoch_is_answered_when_its_view_comes(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_hello(&fx, 300, 1, 1);
    assert_null(fx_last(&fx, 300, RUB_MSG_WELCOME));
    fx.ranks[1] = (rub_rank_view_t){.rank = 1, .epoch = 1, .state = RUB_RANK_LIVE};
    fx.n_ranks = 2;
    fx_view(&fx);
    fx_all_synced(&fx);
    assert_non_null(fx_last(&fx, 300, RUB_MSG_WELCOME));
    fx_close(&fx);
}

static void hellos_that_nobody_answers_do_not_shut_out_later_ones(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    for (uint32_t i = 0; i < 3000; i++) {
        fx_hello(&fx, 10000 + i, 7, 1 + i);
    }
    fx_hello(&fx, 300, 1, 1);
    fx.ranks[1] = (rub_rank_view_t){.rank = 1, .epoch = 1, .state = RUB_RANK_LIVE};
    fx.n_ranks = 2;
    fx_view(&fx);
    fx_all_synced(&fx);
    assert_non_null(fx_last(&fx, 300, RUB_MSG_WELCOME));
    fx_close(&fx);
}

static void hello_moves_the_session_and_the_old_connection_is_not_heard(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 0);
    fx_pull(&fx, 100, 1, 1, 0, 9); /* parked for rank 1 */
    fx_hello(&fx, 200, 0, 1);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_REHELLO));
    assert_null(fx_last(&fx, 100, RUB_MSG_ACK));
    fx_push(&fx, 200, 1, 0, 9, 2.0F);
    assert_int_equal(fx_ack(&fx, 200)->seq, 1);
    fx_say(&fx, 200, RUB_MSG_CLOCK, 2, 1);
    fx_say(&fx, 101, RUB_MSG_CLOCK, 1, 1);
    assert_null(fx_last(&fx, 100, RUB_MSG_ROWS)); /* its pull was dropped with its connection */
    assert_null(fx_last(&fx, 200, RUB_MSG_ROWS));
    fx_close(&fx);
}

static void who_sends_what_is_no_message_shall_say_hello_again(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    rub_shard_turn_begin(fx.shard, fx.now);
    rub_shard_unreadable(fx.shard, 100);
    rub_shard_unreadable(fx.shard, 999);
    assert_int_equal(rub_shard_turn_end(fx.shard), 0);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_REHELLO), 1);
    assert_int_equal(fx_count(&fx, 999, RUB_MSG_REHELLO), 1);
    fx_push(&fx, 100, 2, 0, 9, 1.0F); /* not bound: nobody knows what came before it */
    fx_hello(&fx, 100, 0, 1);
    assert_int_equal(rub_packet_header(fx_last(&fx, 100, RUB_MSG_WELCOME))->seq, 1);
    fx_close(&fx);
}

static void unknown_peer_gets_one_rehello_a_second(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    for (int i = 0; i < 5; i++) {
        fx_push(&fx, 999, 1, 0, 9, 1.0F);
    }
    assert_int_equal(fx_count(&fx, 999, RUB_MSG_REHELLO), 1);
    fx.now += 1000;
    fx_push(&fx, 999, 1, 0, 9, 1.0F);
    assert_int_equal(fx_count(&fx, 999, RUB_MSG_REHELLO), 2);
    fx_close(&fx);
}

static uint64_t refused_count(const fx_t *fx, rub_peer_t peer, int *code)
{
    const uint8_t *values = rub_packet_values(fx_last(fx, peer, RUB_MSG_ACK));
    *code = (int32_t)rub_get_u32(values + 24);
    return rub_get_u64(values + 8);
}

static void verdict_consumes_its_seq_and_is_a_record(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    int code;
    fx_push(&fx, 100, 1, 0, 9, 0.0F / 0.0F);
    assert_int_equal(fx_ack(&fx, 100)->seq, 1);
    assert_int_equal(refused_count(&fx, 100, &code), 1);
    assert_int_equal(code, RUB_ENAN);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_REFUSED);
    fx_push(&fx, 100, 2, 3, 9, 1.0F); /* not this rank's clock */
    assert_int_equal(refused_count(&fx, 100, &code), 2);
    assert_int_equal(code, RUB_ECLOCK);
    fx_say(&fx, 100, RUB_MSG_IDLE, 3, 0);
    fx_push(&fx, 100, 4, 0, 9, 1.0F); /* idle */
    assert_int_equal(refused_count(&fx, 100, &code), 3);
    assert_int_equal(code, RUB_ENOWORKER);
    assert_int_equal(fx_ack(&fx, 100)->seq, 4);
    fx_close(&fx);
}

static void clock_may_not_jump_in_mid_stream(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    int code;
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 3);
    assert_int_equal(refused_count(&fx, 100, &code), 1);
    assert_int_equal(code, RUB_ECLOCK);
    assert_int_equal(rub_shard_done(fx.shard, 0), 1);
    fx_close(&fx);
}

static void cursor_above_its_limit_is_refused(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    const uint8_t cursor[RUB_CURSOR_LIMIT + 1] = {0};
    fx_frame(&fx, 100, (rub_header_t){.type = RUB_MSG_CLOCK, .seq = 1, .clock = 1}, NULL, 0, cursor,
             sizeof(cursor));
    int code;
    assert_int_equal(refused_count(&fx, 100, &code), 1);
    assert_int_equal(code, RUB_ESHAPE);
    fx_close(&fx);
}

static void full_journal_postpones_and_continues(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx.room = 100;
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    fx_push(&fx, 100, 2, 0, 9, 1.0F); /* was in flight: dropped in silence */
    fx_push(&fx, 100, 3, 0, 9, 1.0F);
    assert_int_equal(fx_count(&fx, 100, RUB_MSG_POSTPONED), 1);
    assert_int_equal(rub_packet_header(fx_last(&fx, 100, RUB_MSG_POSTPONED))->seq, 1);
    assert_null(fx_last(&fx, 100, RUB_MSG_ACK));
    assert_null(fx_last(&fx, 100, RUB_MSG_REHELLO));
    fx.room = 64u << 20;
    fx_tick(&fx, 50);
    assert_int_equal(rub_packet_header(fx_last(&fx, 100, RUB_MSG_CONTINUE))->seq, 1);
    fx_push(&fx, 100, 4, 0, 9, 1.0F); /* still in flight when CONTINUE left */
    assert_null(fx_last(&fx, 100, RUB_MSG_REHELLO));
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    fx_push(&fx, 100, 2, 0, 9, 1.0F);
    assert_int_equal(fx_ack(&fx, 100)->seq, 2);
    fx_close(&fx);
}

static void push_to_a_table_of_a_coming_view_waits_for_it(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_frame(&fx, 100, (rub_header_t){.type = RUB_MSG_PUSH, .table = 3, .seq = 1}, NULL, 0, NULL,
             0);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_POSTPONED));
    fx_tick(&fx, 1000);
    assert_null(fx_last(&fx, 100, RUB_MSG_CONTINUE));
    fx_tick(&fx, 5000); /* no view brings it: the next try gets a verdict */
    assert_non_null(fx_last(&fx, 100, RUB_MSG_CONTINUE));
    fx_frame(&fx, 100, (rub_header_t){.type = RUB_MSG_PUSH, .table = 3, .seq = 1}, NULL, 0, NULL,
             0);
    int code;
    assert_int_equal(refused_count(&fx, 100, &code), 1);
    assert_int_equal(code, RUB_ENOTABLE);
    fx_close(&fx);
}

static void a_table_that_the_power_took_is_waited_for_until_a_view_comes(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_crash(&fx); /* into a store whose last VIEW was before table 3 */
    fx_hello(&fx, 100, 0, 1);
    fx_frame(&fx, 100, (rub_header_t){.type = RUB_MSG_PUSH, .table = 3, .seq = 1}, NULL, 0, NULL,
             0);
    fx_frame(&fx, 100, (rub_header_t){.type = RUB_MSG_PULL, .table = 3, .seq = 7}, NULL, 0, NULL,
             0);
    fx_tick(&fx, 20000); /* the scheduler is slow */
    assert_null(fx_last(&fx, 100, RUB_MSG_PULL_REFUSED));
    assert_null(fx_last(&fx, 100, RUB_MSG_CONTINUE));
    fx_view(&fx); /* and it does not know of such a table either */
    fx_tick(&fx, 1000);
    assert_non_null(fx_last(&fx, 100, RUB_MSG_PULL_REFUSED));
    assert_non_null(fx_last(&fx, 100, RUB_MSG_CONTINUE));
    fx_close(&fx);
}

static void memory_limit_is_a_verdict(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx.config.limit_bytes = 1;
    fx_crash(&fx);
    fx_hello(&fx, 100, 0, 1);
    fx_push(&fx, 100, 1, 0, 9, 1.0F);
    int code;
    assert_int_equal(refused_count(&fx, 100, &code), 1);
    assert_int_equal(code, RUB_ELIMIT);
    fx_close(&fx);
}

static void resync_after_a_power_loss_takes_seq_and_clock_and_tells_all(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    fx_say(&fx, 100, RUB_MSG_RESYNC, 8, 5);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_LOST);
    const rub_header_t *lost = rub_packet_header(fx_last(&fx, 101, RUB_MSG_LOST));
    assert_int_equal(lost->seq, 2);
    assert_int_equal(lost->clock, 7);
    assert_int_equal(lost->mark, 0);
    assert_int_equal(rub_shard_done(fx.shard, 0), 5);
    fx_push(&fx, 100, 8, 5, 9, 1.0F);
    assert_int_equal(fx_ack(&fx, 100)->seq, 8);
    fx_crash(&fx);
    assert_int_equal(rub_shard_done(fx.shard, 0), 5);
    fx_close(&fx);
}

static void nobody_else_speaks_for_an_epoch(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    const uint8_t other[16] = {9};
    const rub_header_t hello = {
        .type = RUB_MSG_HELLO, .seq = rub_rank_epoch(0, 1), .mark = JOB, .value_bytes = 16};
    fx_frame(&fx, 300, hello, NULL, 0, other, sizeof(other));
    assert_non_null(fx_last(&fx, 300, RUB_MSG_FENCED));
    assert_null(fx_last(&fx, 300, RUB_MSG_WELCOME));
    fx_push(&fx, 100, 1, 0, 9, 1.0F); /* the session goes on where it was */
    assert_int_equal(fx_ack(&fx, 100)->seq, 1);
    fx_hello(&fx, 301, 0, 1); /* also over another connection */
    assert_non_null(fx_last(&fx, 301, RUB_MSG_WELCOME));
    fx.ranks[0].epoch = 2; /* a new epoch has a new speaker */
    fx_view(&fx);
    const rub_header_t next = {
        .type = RUB_MSG_HELLO, .seq = rub_rank_epoch(0, 2), .mark = JOB, .value_bytes = 16};
    fx_frame(&fx, 302, next, NULL, 0, other, sizeof(other));
    fx_all_synced(&fx);
    assert_non_null(fx_last(&fx, 302, RUB_MSG_WELCOME));
    fx_close(&fx);
}

static uint64_t told_lost(fx_t *fx, rub_peer_t peer)
{
    fx_forget_sent(fx);
    fx_reader(fx, peer);
    rub_packet_t *welcome = fx_last(fx, peer, RUB_MSG_WELCOME);
    assert_non_null(welcome);
    return rub_get_u64(rub_packet_values(welcome) + 28);
}

static void losses_are_remembered_and_told_to_who_comes_later(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    assert_int_equal(told_lost(&fx, 600), 0);
    fx_say(&fx, 100, RUB_MSG_RESYNC, 8, 5);
    assert_int_equal(told_lost(&fx, 601), 7);
    fx_crash(&fx); /* the journal has it */
    assert_int_equal(told_lost(&fx, 602), 7);
    fx_hello(&fx, 100, 0, 1);
    fx_push(&fx, 100, 8, 5, 9, 1.0F);
    fx_tick(&fx, 1000);
    fx_commit(&fx);
    fx_crash(&fx); /* and so has the checkpoint */
    assert_int_equal(told_lost(&fx, 603), 7);
    fx_close(&fx);
}

static void lost_resume_does_not_leave_the_rank_idle(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_say(&fx, 100, RUB_MSG_IDLE, 1, 0);
    fx_say(&fx, 100, RUB_MSG_RESYNC, 3, 0); /* the RESUME was seq 2 */
    assert_int_equal(rub_shard_minimum(fx.shard), 0);
    fx_push(&fx, 100, 3, 0, 9, 1.0F);
    assert_int_equal(fx.journal[fx.n_journal - 1].type, RUB_RECORD_PUSH);
    fx_close(&fx);
}

static void synced_follows_the_platter(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 1, 4);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 1, 1);
    assert_int_equal(fx_ack(&fx, 100)->mark, 0);
    if (fx.sync_lsn != 0) {
        fx_synced(&fx); /* what open asked for */
    }
    fx_say(&fx, 100, RUB_MSG_SYNC, 0, 0);
    fx_say(&fx, 100, RUB_MSG_CLOCK, 2, 2);
    fx_synced(&fx);
    assert_int_equal(fx_ack(&fx, 100)->mark, 1);
    assert_int_equal(fx_ack(&fx, 100)->seq, 2);
    fx_close(&fx);
}

static void peer_that_sends_nonsense_is_named_seldom(void **state)
{
    RUB_UNUSED(state);
    fx_t fx;
    fx_open(&fx, 2, 4);
    fx.n_notices = 0;
    for (int i = 0; i < 1000; i++) {
        fx_say(&fx, 100, RUB_MSG_WELCOME, 1, 1); /* which no session says */
    }
    assert_int_equal(fx.n_notices, 1);
    assert_non_null(strstr(fx.notice, "peer 100: WELCOME, which no session sends"));
    for (int i = 0; i < 100; i++) { /* a hole; it says HELLO again, and there is a hole again */
        fx_say(&fx, 101, RUB_MSG_CLOCK, 7, 1);
        fx_hello(&fx, 101, 1, 1);
    }
    assert_int_equal(fx.n_notices, 2); /* the other one's is not kept back */
    assert_non_null(strstr(fx.notice, "peer 101: seq 7 of rank 1, expected 1"));
    fx_tick(&fx, 11000);
    fx_say(&fx, 100, RUB_MSG_WELCOME, 1, 1);
    assert_non_null(strstr(fx.notice, "(999 more of its messages were like that)"));
    fx_close(&fx);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(record_sent_twice_is_applied_once_and_acknowledged_twice),
        cmocka_unit_test(hole_in_the_stream_is_a_protocol_error_and_asks_for_hello),
        cmocka_unit_test(older_epoch_is_fenced),
        cmocka_unit_test(message_that_no_session_sends_changes_nothing),
        cmocka_unit_test(frame_with_keys_where_none_belong_leaves_a_readable_journal),
        cmocka_unit_test(hello_of_another_job_is_fenced),
        cmocka_unit_test(hello_of_a_coming_epoch_is_answered_when_its_view_comes),
        cmocka_unit_test(hellos_that_nobody_answers_do_not_shut_out_later_ones),
        cmocka_unit_test(hello_moves_the_session_and_the_old_connection_is_not_heard),
        cmocka_unit_test(who_sends_what_is_no_message_shall_say_hello_again),
        cmocka_unit_test(unknown_peer_gets_one_rehello_a_second),
        cmocka_unit_test(verdict_consumes_its_seq_and_is_a_record),
        cmocka_unit_test(clock_may_not_jump_in_mid_stream),
        cmocka_unit_test(cursor_above_its_limit_is_refused),
        cmocka_unit_test(full_journal_postpones_and_continues),
        cmocka_unit_test(push_to_a_table_of_a_coming_view_waits_for_it),
        cmocka_unit_test(a_table_that_the_power_took_is_waited_for_until_a_view_comes),
        cmocka_unit_test(memory_limit_is_a_verdict),
        cmocka_unit_test(resync_after_a_power_loss_takes_seq_and_clock_and_tells_all),
        cmocka_unit_test(nobody_else_speaks_for_an_epoch),
        cmocka_unit_test(losses_are_remembered_and_told_to_who_comes_later),
        cmocka_unit_test(lost_resume_does_not_leave_the_rank_idle),
        cmocka_unit_test(synced_follows_the_platter),
        cmocka_unit_test(peer_that_sends_nonsense_is_named_seldom),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
