/* Evaluations as the scheduler judges them: the best one and its snapshot, which is cut while all
 * stand in the barrier; when to stop; and what a restart and a restore remember. */
#include "tests/unit/scheduler/job_fixture.h"

static void tell(job_t *job, uint32_t rank, uint64_t number, uint64_t evaluation, double value,
                 uint64_t patience, bool keep)
{
    const rub_control_t message = {
        .type = RUB_MSG_BARRIER,
        .barrier = {.number = number,
                    .rank = rank,
                    .epoch = rub_scheduler_view(job->core)->ranks[rank].epoch,
                    .clock = 5,
                    .evaluation = evaluation,
                    .value = value,
                    .patience = patience,
                    .keep = keep}};
    job_receive(job, WORKER(rank), &message);
}

static void tell_all(job_t *job, uint64_t evaluation, double value, uint64_t patience, bool keep)
{
    for (uint32_t rank = 0; rank < 2; rank++) {
        tell(job, rank, evaluation, evaluation, value, patience, keep);
    }
}

static void let_out(job_t *job, uint64_t number)
{
    for (uint32_t rank = 0; rank < 2; rank++) {
        job_resumed(job, rank, number);
    }
}

/* Both ranks rest, and keep nothing back. */
static void pinned(job_t *job, uint32_t shard, uint64_t number)
{
    rub_pinned_rank_t ranks[] = {
        {.rank = 0, .epoch = 1, .done = 5, .marks = RUB_PINNED_IDLE | RUB_PINNED_WHOLE},
        {.rank = 1, .epoch = 1, .done = 5, .marks = RUB_PINNED_IDLE | RUB_PINNED_WHOLE}};
    const rub_control_t message = {.type = RUB_MSG_PINNED,
                                   .pinned = {.shard = shard,
                                              .incarnation = job->incarnation[shard],
                                              .number = number,
                                              .ranks = ranks,
                                              .n_ranks = 2}};
    job_receive(job, SHARD(shard), &message);
}

static void folded(job_t *job, uint32_t shard, uint64_t number)
{
    const rub_control_t message = {.type = RUB_MSG_FOLDED,
                                   .folded = {.shard = shard,
                                              .incarnation = job->incarnation[shard],
                                              .number = number,
                                              .part_bytes = 100,
                                              .rows = 5}};
    job_receive(job, SHARD(shard), &message);
}

static size_t released(const job_t *job)
{
    return job_count(job, 0, WORKER(0), RUB_MSG_RELEASE);
}

/* Both shards' parts are there, and the scheduler dies before it can note so. */
static void folded_and_killed(job_t *job, uint64_t number)
{
    const rub_control_t message = {.type = RUB_MSG_FOLDED,
                                   .folded = {.shard = 1,
                                              .incarnation = job->incarnation[1],
                                              .number = number,
                                              .part_bytes = 100,
                                              .rows = 5}};
    folded(job, 0, number);
    job->commit_result = RUB_ESTORE;
    assert_int_equal(rub_scheduler_receive(job->core, SHARD(1), &message, job->now_ms), RUB_ESTORE);
    job->commit_result = 0;
    job_restart(job);
}

/* Evaluation number `evaluation` is the best one, and its snapshot of that number becomes whole. */
static void keep_one(job_t *job, uint64_t evaluation, double value, uint64_t snapshot)
{
    tell_all(job, evaluation, value, 0, true);
    for (uint32_t shard = 0; shard < 2; shard++) {
        pinned(job, shard, snapshot);
    }
    let_out(job, evaluation);
    for (uint32_t shard = 0; shard < 2; shard++) {
        folded(job, shard, snapshot);
    }
}

static void patience_runs_out_after_as_many_in_a_row_as_it_says(void **state)
{
    RUB_UNUSED(state);
    static const double values[] = {-0.5, -0.6, -0.4, -0.4, -0.7};
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    for (uint64_t i = 0; i < 5; i++) {
        assert_int_equal(rub_scheduler_view(job.core)->stopped, 0);
        tell_all(&job, i + 1, values[i], 2, false);
        const rub_release_t *release = &job_got(&job, WORKER(1), RUB_MSG_RELEASE)->release;
        assert_int_equal(release->version, rub_scheduler_view(job.core)->version);
        let_out(&job, i + 1);
    }
    assert_int_equal(rub_scheduler_view(job.core)->stopped, 5);
    job_status(&job, 0);
    assert_int_equal(job.status.best_evaluation, 3);
    assert_true(job.status.best_value == -0.4);
    assert_int_equal(job.status.kept_evaluation, 0); /* nobody asked for a snapshot */
    job_fini(&job);
}

static void a_value_that_is_told_again_is_not_judged_again(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    tell_all(&job, 1, 0.5, 1, false);
    let_out(&job, 1);
    tell(&job, 0, 2, 1, 0.25, 1, false); /* as after a resume at an epoch's very end */
    tell(&job, 1, 2, 1, 0.25, 1, false);
    let_out(&job, 2);
    assert_int_equal(rub_scheduler_view(job.core)->stopped, 0);
    job_status(&job, 0);
    assert_true(job.status.best_value == 0.5);
    job_fini(&job);
}

static void all_stand_in_the_barrier_until_the_best_ones_cut_is_fixed(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    tell_all(&job, 1, 0.5, 0, true);
    assert_int_equal(job_got(&job, SHARD(1), RUB_MSG_PIN)->pin.number, 1);
    pinned(&job, 0, 1);
    job_pass(&job, 2000, 2, 2);
    assert_int_equal(released(&job), 0);
    pinned(&job, 1, 1);
    assert_int_equal(released(&job), 1);
    for (uint32_t i = 0; i < 2; i++) {
        assert_int_equal(job.cut[i].cut, 5); /* where they stand */
    }
    folded(&job, 0, 1);
    folded(&job, 1, 1);
    let_out(&job, 1);
    job_status(&job, 0);
    assert_int_equal(job.status.kept_evaluation, 1);
    assert_string_equal(job.status.kept_path, "run/snapshots/000001");
    job_fini(&job);
}

static void the_snapshot_of_a_better_one_takes_the_place_of_the_last(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    keep_one(&job, 1, 0.5, 1);
    tell_all(&job, 2, 0.25, 0, true); /* worse: none */
    let_out(&job, 2);
    assert_int_equal(job.n_dropped, 0);
    keep_one(&job, 3, 0.75, 2);
    assert_int_equal(job.n_dropped, 1);
    assert_int_equal(job.dropped[0], 1);
    job_status(&job, 0);
    assert_int_equal(job.status.kept_evaluation, 3);
    job_fini(&job);
}

static void the_last_is_there_until_it_is_committed_that_a_better_one_is(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    keep_one(&job, 1, 0.5, 1);
    tell_all(&job, 2, 0.75, 0, true);
    pinned(&job, 0, 2);
    pinned(&job, 1, 2);
    folded_and_killed(&job, 2);
    assert_int_equal(job.n_dropped, 1); /* it knows of number 2 only that it was open */
    assert_int_equal(job.dropped[0], 2);
    job_status(&job, 0);
    assert_int_equal(job.status.kept_evaluation, 1);
    job_fini(&job);
}

static void one_that_is_asked_for_gives_way_and_may_be_asked_for_again(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    rub_control_t ask = {.type = RUB_MSG_SNAPSHOT_ASK, .snapshot_ask = {.nonce_bytes = 16}};
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    job_receive(&job, 950, &ask);
    tell_all(&job, 1, 0.5, 0, true);
    job_receive(&job, 950, &ask);
    const rub_snapshot_t *answer = &job_got(&job, 950, RUB_MSG_SNAPSHOT)->snapshot;
    assert_int_equal(answer->state, RUB_SNAPSHOT_GIVEN_UP);
    assert_int_equal(answer->code, -RUB_EBUSY);
    assert_int_equal(job_got(&job, SHARD(0), RUB_MSG_PIN)->pin.number, 2);
    job_fini(&job);
}

static void a_barrier_is_left_though_no_snapshot_came_to_be(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    tell_all(&job, 1, 0.5, 0, true);
    const rub_control_t no = {
        .type = RUB_MSG_UNFOLDED,
        .unfolded = {.shard = 1, .incarnation = 1, .number = 1, .code = -RUB_EREFUSED}};
    job_receive(&job, SHARD(1), &no);
    job_pass(&job, 200, 2, 2);
    assert_int_equal(released(&job), 1);
    job_status(&job, 0);
    assert_int_equal(job.status.best_evaluation, 1);
    assert_int_equal(job.status.kept_evaluation, 0);
    job_fini(&job);
}

static void an_eviction_in_the_barrier_leaves_the_judging_to_the_others(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    tell(&job, 0, 1, 1, 0.5, 1, false);
    job_dead(&job, "host:1002");
    assert_int_equal(released(&job), 1);
    job_status(&job, 0);
    assert_int_equal(job.status.best_evaluation, 1);
    job_fini(&job);
}

static void a_restarted_scheduler_remembers_and_takes_the_snapshot_anew(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    keep_one(&job, 1, 0.5, 1);
    tell_all(&job, 2, 0.75, 1, true);
    job_restart(&job); /* gives up number 2 */
    for (uint32_t i = 0; i < 2; i++) {
        job_register(&job, i);
        job_join(&job, WORKER(i), i, (uint8_t)(1 + i));
    }
    tell_all(&job, 2, 0.75, 1, true);
    assert_int_equal(job_got(&job, SHARD(0), RUB_MSG_PIN)->pin.number, 3);
    pinned(&job, 0, 3);
    pinned(&job, 1, 3);
    let_out(&job, 2);
    folded(&job, 0, 3);
    folded(&job, 1, 3);
    job_status(&job, 0);
    assert_int_equal(job.status.kept_evaluation, 2);
    tell_all(&job, 3, 0.6, 1, true);
    assert_int_equal(rub_scheduler_view(job.core)->stopped, 3);
    job_fini(&job);
}

static void the_job_ends_when_the_best_snapshot_is_whole(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    tell_all(&job, 1, 0.5, 0, true);
    pinned(&job, 0, 1);
    pinned(&job, 1, 1);
    let_out(&job, 1);
    job_leave(&job, 0, 1, 1, 0);
    job_leave(&job, 1, 1, 1, 0);
    job_pass(&job, 1000, 0, 2);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_RUNNING);
    folded(&job, 0, 1);
    folded(&job, 1, 1);
    job_pass(&job, 200, 0, 2);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_FINISHING);
    assert_int_equal(job.n_manifests, 1);
    job_fini(&job);
}

static void a_restored_job_goes_on_with_the_best_and_the_patience_left(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    tell_all(&job, 1, 0.5, 2, true);
    pinned(&job, 0, 1);
    pinned(&job, 1, 1); /* what is committed now is the state at the cut */
    const rub_span_t states[] = {{job.state, job.state_bytes}};
    const rub_scheduler_cut_t cuts[] = {{.rank = 0, .epoch = 1, .done = 5}};
    rub_scheduler_t *next = rub_scheduler_new(&job.config, &(rub_scheduler_effects_t){0});
    rub_scheduler_place_t place;
    uint64_t again = 0;
    rub_error_t err = {0};
    rub_buf_t saved;
    assert_int_equal(rub_scheduler_restore(next, states, 1, cuts, 1, &place, &again, &err), 0);
    rub_buf_init(&saved);
    assert_int_equal(rub_scheduler_save(next, &saved), 0);
    rub_scheduler_destroy(&next);
    job_fini(&job);

    job_init(&job, 2, 2, 4);
    rub_scheduler_destroy(&job.core);
    free(job.state);
    job.state = malloc(saved.bytes);
    memcpy(job.state, saved.data, saved.bytes);
    job.state_bytes = saved.bytes;
    rub_buf_fini(&saved);
    job_start(&job);
    job_gather(&job);
    job_status(&job, 0);
    assert_int_equal(job.status.kept_evaluation, 1); /* the snapshot that it came from */
    assert_string_equal(job.status.kept_path, "run/snapshots/000001");
    tell_all(&job, 2, 0.25, 2, true);
    let_out(&job, 2);
    assert_int_equal(rub_scheduler_view(job.core)->stopped, 0);
    tell_all(&job, 3, 0.25, 2, true);
    assert_int_equal(rub_scheduler_view(job.core)->stopped, 3);
    assert_int_equal(job.n_dropped, 0);
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(patience_runs_out_after_as_many_in_a_row_as_it_says),
        cmocka_unit_test(a_value_that_is_told_again_is_not_judged_again),
        cmocka_unit_test(all_stand_in_the_barrier_until_the_best_ones_cut_is_fixed),
        cmocka_unit_test(the_snapshot_of_a_better_one_takes_the_place_of_the_last),
        cmocka_unit_test(the_last_is_there_until_it_is_committed_that_a_better_one_is),
        cmocka_unit_test(one_that_is_asked_for_gives_way_and_may_be_asked_for_again),
        cmocka_unit_test(a_barrier_is_left_though_no_snapshot_came_to_be),
        cmocka_unit_test(an_eviction_in_the_barrier_leaves_the_judging_to_the_others),
        cmocka_unit_test(a_restarted_scheduler_remembers_and_takes_the_snapshot_anew),
        cmocka_unit_test(the_job_ends_when_the_best_snapshot_is_whole),
        cmocka_unit_test(a_restored_job_goes_on_with_the_best_and_the_patience_left),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
