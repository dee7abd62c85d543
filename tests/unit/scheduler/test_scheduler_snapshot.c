/* A snapshot as the scheduler conducts it: refusals, and the course of a whole one. */
#include "tests/unit/scheduler/snapshot_fixture.h"

static void no_snapshot_before_the_job_begins_or_after_it_or_without_a_folder(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    rub_control_t answer = ask(&job, 1);
    assert_int_equal(answer.type, RUB_MSG_REFUSED);
    assert_int_equal(answer.refused.final, 0); /* worth asking again */
    job_gather(&job);
    job_leave(&job, 0, 1, 1, 0);
    job_leave(&job, 1, 1, 1, 0);
    answer = ask(&job, 1);
    assert_int_equal(answer.type, RUB_MSG_REFUSED);
    assert_int_equal(answer.refused.final, 1);
    assert_non_null(strstr(answer.refused.sentence, "the job is over"));
    job_fini(&job);

    job_init(&job, 2, 2, 4);
    rub_scheduler_destroy(&job.core);
    job.config.snapshots_dir[0] = 0;
    job_start(&job);
    answer = ask(&job, 1);
    assert_int_equal(answer.type, RUB_MSG_REFUSED);
    assert_non_null(strstr(answer.refused.sentence, "--snapshots-dir"));
    rub_control_t short_nonce = {.type = RUB_MSG_SNAPSHOT_ASK};
    job_receive(&job, OBSERVER, &short_nonce);
    assert_int_equal(job_got(&job, OBSERVER, RUB_MSG_REFUSED)->refused.code, -RUB_EPROTO);
    job_fini(&job);
}

static void a_second_one_waits_for_the_first(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    assert_int_equal(ask(&job, 1).type, RUB_MSG_SNAPSHOT);
    const rub_control_t answer = ask(&job, 2);
    assert_int_equal(answer.type, RUB_MSG_REFUSED);
    assert_int_equal(answer.refused.code, -RUB_EBUSY);
    assert_int_equal(answer.refused.final, 0);
    assert_non_null(strstr(answer.refused.sentence, "snapshot 1 is being taken"));
    job_fini(&job);
}

static void pins_then_cuts_then_writes_the_manifest_last(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    rub_control_t answer = ask(&job, 1);
    assert_int_equal(answer.snapshot.state, RUB_SNAPSHOT_PINNING);
    assert_string_equal(answer.snapshot.path, "run/snapshots/000001");
    const rub_control_t *pin = job_got(&job, SHARD(1), RUB_MSG_PIN);
    assert_int_equal(pin->pin.number, 1);
    assert_int_equal(pin->pin.job, 77);

    pinned(&job, 0, 1, 5, 3);
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 0);
    pinned(&job, 1, 1, 4, 3);
    assert_int_equal(job_got(&job, SHARD(0), RUB_MSG_CUT)->cut.n_ranks, 2);
    assert_int_equal(job.cut[0].cut, 6);
    assert_int_equal(job.cut[1].cut, 6); /* busy, and there is a bound */

    /* A shard that has not heard says PINNED again; it is told again. */
    const size_t before = job.n_sent;
    pinned(&job, 1, 1, 4, 3);
    assert_int_equal(job_count(&job, before, SHARD(1), RUB_MSG_CUT), 1);

    folded(&job, 1, 1);
    folded(&job, 1, 1);
    assert_int_equal(job.n_manifests, 0);
    assert_int_equal(ask(&job, 1).snapshot.n_parts, 1);
    folded(&job, 0, 1);
    assert_int_equal(job.n_manifests, 1);
    assert_int_equal(job.manifest.number, 1);
    assert_int_equal(job.manifest.n_workers, 2);
    assert_int_equal(job.manifest.staleness, 4);
    assert_int_equal(job.manifest.n_ranks, 2);
    assert_int_equal(job.manifest.n_states, 2); /* at the cut and at the end */
    assert_int_equal(job.parts[1].n_bytes, 101);
    assert_int_equal(job.parts[1].hash, 8);
    assert_int_equal(job_got(&job, SHARD(0), RUB_MSG_UNPIN)->unpin.keep, 1);

    answer = ask(&job, 1);
    assert_int_equal(answer.snapshot.state, RUB_SNAPSHOT_WHOLE);
    assert_int_equal(answer.snapshot.total_bytes, 201);
    assert_int_equal(answer.snapshot.rows, 10);
    assert_int_equal(answer.snapshot.least_cut, 6);
    assert_int_equal(job.n_dropped, 0);
    assert_int_equal(ask(&job, 2).snapshot.number, 2);
    job_fini(&job);
}

/* ---- what codecs keep back ---- */

static void the_view_says_from_when_to_when_nothing_may_be_kept_back(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    assert_int_equal(rub_scheduler_view(job.core)->snapshot, 0);
    (void)ask(&job, 1);
    assert_int_equal(rub_scheduler_view(job.core)->snapshot, 1);
    assert_int_equal(rub_scheduler_view(job.core)->snapshot_cut, 0);
    pinned_as(&job, 0, 1, 5, 3, RUB_PINNED_PUSHED);
    pinned_as(&job, 1, 1, 5, 3, RUB_PINNED_PUSHED);
    job_ack_whole(&job, WORKER(0), 7);
    job_ack(&job, WORKER(1));
    assert_int_equal(rub_scheduler_view(job.core)->snapshot, 1);
    assert_int_equal(rub_scheduler_view(job.core)->snapshot_cut, 7);
    folded(&job, 0, 1);
    folded(&job, 1, 1);
    assert_int_equal(rub_scheduler_view(job.core)->snapshot, 0);
    assert_int_equal(rub_scheduler_view(job.core)->snapshot_cut, 0);
    (void)ask(&job, 2);
    assert_int_equal(rub_scheduler_view(job.core)->snapshot, 2);
    job_restart(&job); /* it is given up */
    assert_int_equal(rub_scheduler_view(job.core)->snapshot, 0);
    job_fini(&job);
}

static void nobody_is_cut_before_all_have_said_where_and_none_below_that(void **state)
{
    RUB_UNUSED(state);
    for (uint64_t staleness = 0; staleness < 2; staleness++) {
        job_t job;
        open_job(&job, staleness ? RUB_ASYNC : 4);
        job_ack_whole(&job, WORKER(0), 2); /* of an earlier view: no answer */
        (void)ask(&job, 1);
        pinned_as(&job, 0, 1, 5, 3, RUB_PINNED_PUSHED);
        pinned_as(&job, 1, 1, 5, 3, RUB_PINNED_PUSHED);
        assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 0);
        job_ack_whole(&job, WORKER(1), 9);
        assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 0);
        assert_non_null(strstr(ask(&job, 1).snapshot.sentence,
                               "rank 0 (host:1001) has not said where its stream can be cut"));
        job_ack_whole(&job, WORKER(0), 6);
        assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 1);
        assert_int_equal(job.cut[0].cut, staleness ? 6 : 9);
        assert_int_equal(job.cut[1].cut, 9);
        job_fini(&job);
    }
}

static void who_rests_and_keeps_something_back_is_waited_for(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    pinned_as(&job, 0, 1, 5, 3, RUB_PINNED_IDLE);
    pinned_as(&job, 1, 1, 5, 3, RUB_PINNED_IDLE);
    job_ack(&job, WORKER(0));
    job_ack_whole(&job, WORKER(1), UINT64_MAX);
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 0);
    job_ack_whole(&job, WORKER(1), 8); /* it is counted again */
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 1);
    assert_int_equal(job.cut[0].cut, 8);
    assert_int_equal(job.cut[1].cut, 8);
    job_fini(&job);
}

/* Paused for an hour, perhaps: its streams say that it keeps nothing. */
static void who_rests_and_keeps_nothing_back_is_not_asked(void **state)
{
    RUB_UNUSED(state);
    const uint32_t rests = RUB_PINNED_IDLE | RUB_PINNED_WHOLE;
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    pinned_as(&job, 0, 1, 5, 3, rests);
    pinned_as(&job, 1, 1, 5, 3, rests);
    job_ack(&job, WORKER(0));
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 1);
    assert_int_equal(job.cut[0].cut, 6);
    assert_int_equal(job.cut[1].cut, 3);
    job_fini(&job);
}

/* The scheduler that has just started was told nothing by the one that rests, and will not be: its
 * lease thread has no such word. */
static void who_rests_through_a_restart_of_the_scheduler_is_not_waited_for(void **state)
{
    RUB_UNUSED(state);
    const uint32_t rests = RUB_PINNED_IDLE | RUB_PINNED_WHOLE;
    job_t job;
    open_job(&job, 4);
    job_ack_whole(&job, WORKER(1), 7); /* when it was at work; it rests at 3 */
    (void)ask(&job, 1);
    job_restart(&job);
    for (uint32_t i = 0; i < 2; i++) {
        job_register(&job, i);
    }
    const rub_control_t lease = {.type = RUB_MSG_LEASE,
                                 .lease = {.job = 77, .rank = 1, .epoch = 1}};
    job_receive(&job, 4711, &lease);
    job_join(&job, WORKER(0), 0, 1);
    (void)ask(&job, 2);
    pinned_as(&job, 0, 2, 5, 3, rests);
    pinned_as(&job, 1, 2, 5, 3, rests);
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 0);
    job_ack_whole(&job, WORKER(0), 6);
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 1);
    assert_int_equal(job.cut[0].cut, 6);
    assert_int_equal(job.cut[1].cut, 3);
    job_fini(&job);
}

/* It paused, and came back, and rests again with something kept: its last word was of the pause,
 * and the next one is late. One shard has not even heard that it was counted meanwhile. */
static void who_was_at_rest_once_is_asked_when_a_shard_says_otherwise(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    job_ack(&job, WORKER(1));
    (void)ask(&job, 1);
    pinned_as(&job, 0, 1, 5, 3, RUB_PINNED_IDLE | RUB_PINNED_WHOLE);
    pinned_as(&job, 1, 1, 5, 4, RUB_PINNED_IDLE);
    job_ack(&job, WORKER(0));
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 0);
    job_ack_whole(&job, WORKER(1), UINT64_MAX);
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 0);
    job_ack_whole(&job, WORKER(1), 5);
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_CUT), 1);
    job_fini(&job);
}

static void the_number_is_committed_before_any_shard_hears_it(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    const unsigned commits = job.commits;
    const size_t before = job.n_sent;
    (void)ask(&job, 1);
    for (size_t i = before; i < job.n_sent; i++) {
        assert_true(job.sent[i].message.type != RUB_MSG_PIN || job.sent[i].commits > commits);
    }
    job_restart(&job);
    assert_int_equal(job.n_dropped, 1);
    assert_int_equal(job.dropped[0], 1);
    for (uint32_t i = 0; i < 2; i++) {
        job_register(&job, i);
    }
    assert_int_equal(ask(&job, 1).snapshot.number, 2);
    job_fini(&job);
}

static void numbers_that_are_in_the_folder_already_are_passed_over(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    rub_scheduler_destroy(&job.core);
    job.config.snapshots_there = 41;
    job_start(&job);
    job_gather(&job);
    assert_int_equal(ask(&job, 1).snapshot.number, 42);
    job_fini(&job);
}

static void pin_is_sent_again_until_it_is_answered(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    pinned(&job, 0, 1, 5, 3);
    const size_t before = job.n_sent;
    job_pass(&job, 1100, 2, 2);
    assert_int_equal(job_count(&job, before, SHARD(0), RUB_MSG_PIN), 0);
    assert_int_equal(job_count(&job, before, SHARD(1), RUB_MSG_PIN), 2);
    job_fini(&job);
}

static void words_about_a_snapshot_that_is_not_open_are_answered_by_unpin(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    pinned(&job, 0, 9, 5, 3);
    assert_int_equal(job_got(&job, SHARD(0), RUB_MSG_UNPIN)->unpin.number, 9);
    const size_t before = job.n_sent;
    job.incarnation[1] = 5; /* not the process that the job knows */
    pinned(&job, 1, 9, 5, 3);
    assert_int_equal(job_count(&job, before, SHARD(1), RUB_MSG_UNPIN), 0);
    job_fini(&job);
}

static void
a_whole_snapshot_keeps_its_parts_when_the_scheduler_was_killed_before_it_said_so(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    pinned(&job, 0, 1, 5, 3);
    pinned(&job, 1, 1, 5, 3);
    folded(&job, 0, 1);
    folded(&job, 1, 1);
    assert_int_equal(job.n_manifests, 1);
    job_restart(&job); /* UNPIN never arrived: the shard says FOLDED again */
    const size_t before = job.n_sent;
    folded(&job, 1, 1);
    assert_int_equal(job_count(&job, before, SHARD(1), RUB_MSG_UNPIN), 1);
    assert_int_equal(job_got(&job, SHARD(1), RUB_MSG_UNPIN)->unpin.keep, 1);
    assert_int_equal(job.n_dropped, 0);
    job_fini(&job);
}

static void each_data_epoch_that_begins_behind_the_cut_adds_a_state(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    uint64_t request = 1;
    uint64_t finished = job_piece(&job, 0, request++, 0, UINT64_MAX).number;
    (void)ask(&job, 1);
    pinned(&job, 0, 1, 5, 3);
    pinned(&job, 1, 1, 5, 3);
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        for (;;) {
            const rub_dealt_t dealt = job_piece(&job, 0, request++, epoch, finished);
            finished = UINT64_MAX;
            if (dealt.kind != RUB_DEAL_PIECE) {
                break;
            }
            finished = dealt.number;
        }
    }
    folded(&job, 0, 1);
    folded(&job, 1, 1);
    assert_int_equal(job.n_manifests, 1);
    assert_int_equal(job.manifest.n_states, 4); /* cut, before its epoch, before the next, end */
    job_fini(&job);
}

/* Ranks rested at the end of data epoch 0 when they were pinned, and 1 has begun before the cut is
 * fixed, or had begun before the scheduler was restarted. */
static void what_was_before_the_data_epoch_of_the_cut_is_a_state_too(void **state)
{
    RUB_UNUSED(state);
    for (int restarted = 0; restarted < 2; restarted++) {
        job_t job;
        uint64_t request = 1, finished = UINT64_MAX;
        open_job(&job, 4);
        for (rub_dealt_t dealt = {.kind = RUB_DEAL_PIECE}; dealt.kind == RUB_DEAL_PIECE;) {
            dealt = job_piece(&job, 0, request++, 0, finished);
            finished = dealt.number;
        }
        assert_int_equal(job_piece(&job, 0, request++, 1, UINT64_MAX).data_epoch, 1);
        if (restarted) {
            job_restart(&job);
            job_gather(&job);
        }
        (void)ask(&job, 1);
        pinned(&job, 0, 1, 5, 3);
        pinned(&job, 1, 1, 5, 3);
        folded(&job, 0, 1);
        folded(&job, 1, 1);
        assert_int_equal(job.n_manifests, 1);
        assert_int_equal(job.manifest.n_states, 3); /* cut, before its epoch, end */
        job_fini(&job);
    }
}

static void take_one(job_t *job, uint64_t number)
{
    pinned(job, 0, number, 5, 3);
    pinned(job, 1, number, 5, 3);
    folded(job, 0, number);
    folded(job, 1, number);
    assert_int_equal(job->manifest.number, number);
}

static void the_interval_takes_them_and_the_oldest_of_these_go(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    rub_scheduler_destroy(&job.core);
    job.config.snapshot_interval_ms = 3000;
    job.config.snapshots_kept = 2;
    job_start(&job);
    job_gather(&job);
    job_pass(&job, 2900, 2, 2);
    assert_int_equal(job_count(&job, 0, SHARD(0), RUB_MSG_PIN), 0);
    job_pass(&job, 200, 2, 2);
    take_one(&job, 1);
    (void)ask(&job, 1); /* by hand: kept for ever */
    take_one(&job, 2);
    job_pass(&job, 3000, 2, 2);
    take_one(&job, 3);
    assert_int_equal(job.n_dropped, 0);
    job_restart(&job); /* what is kept is remembered */
    for (uint32_t i = 0; i < 2; i++) {
        job_register(&job, i);
        job_join(&job, WORKER(i), i, (uint8_t)(1 + i));
    }
    job_pass(&job, 3100, 2, 2);
    take_one(&job, 4);
    assert_int_equal(job.n_dropped, 1);
    assert_int_equal(job.dropped[0], 1);
    job_pass(&job, 3000, 2, 2);
    take_one(&job, 5);
    assert_int_equal(job.dropped[1], 3);
    job_fini(&job);
}

static void who_asks_late_hears_of_its_own_though_the_next_has_begun(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    rub_scheduler_destroy(&job.core);
    job.config.snapshot_interval_ms = 3000;
    job_start(&job);
    job_gather(&job);
    (void)ask(&job, 1);
    take_one(&job, 1);
    job_pass(&job, 3100, 2, 2); /* snapshot 2 begins by itself */
    rub_control_t answer = ask(&job, 1);
    assert_int_equal(answer.type, RUB_MSG_SNAPSHOT);
    assert_int_equal(answer.snapshot.number, 1);
    assert_int_equal(answer.snapshot.state, RUB_SNAPSHOT_WHOLE);
    assert_int_equal(answer.snapshot.n_parts, 2);
    assert_non_null(strstr(answer.snapshot.path, "/000001"));
    answer = ask(&job, 2); /* of another observer */
    assert_int_equal(answer.type, RUB_MSG_REFUSED);
    assert_int_equal(answer.refused.final, 0);
    take_one(&job, 2);
    answer = ask(&job, 1); /* and none is begun for what was answered */
    assert_int_equal(answer.snapshot.number, 1);
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_snapshot_before_the_job_begins_or_after_it_or_without_a_folder),
        cmocka_unit_test(a_second_one_waits_for_the_first),
        cmocka_unit_test(pins_then_cuts_then_writes_the_manifest_last),
        cmocka_unit_test(the_view_says_from_when_to_when_nothing_may_be_kept_back),
        cmocka_unit_test(nobody_is_cut_before_all_have_said_where_and_none_below_that),
        cmocka_unit_test(who_rests_and_keeps_something_back_is_waited_for),
        cmocka_unit_test(who_rests_and_keeps_nothing_back_is_not_asked),
        cmocka_unit_test(who_rests_through_a_restart_of_the_scheduler_is_not_waited_for),
        cmocka_unit_test(who_was_at_rest_once_is_asked_when_a_shard_says_otherwise),
        cmocka_unit_test(the_number_is_committed_before_any_shard_hears_it),
        cmocka_unit_test(numbers_that_are_in_the_folder_already_are_passed_over),
        cmocka_unit_test(pin_is_sent_again_until_it_is_answered),
        cmocka_unit_test(words_about_a_snapshot_that_is_not_open_are_answered_by_unpin),
        cmocka_unit_test(
            a_whole_snapshot_keeps_its_parts_when_the_scheduler_was_killed_before_it_said_so),
        cmocka_unit_test(each_data_epoch_that_begins_behind_the_cut_adds_a_state),
        cmocka_unit_test(what_was_before_the_data_epoch_of_the_cut_is_a_state_too),
        cmocka_unit_test(the_interval_takes_them_and_the_oldest_of_these_go),
        cmocka_unit_test(who_asks_late_hears_of_its_own_though_the_next_has_begun),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
