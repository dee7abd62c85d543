/* Views, tables, pieces of data, and the barrier: nothing is told before it is committed, and
 * asking again is safe. */
#include "tests/unit/scheduler/job_fixture.h"

static rub_control_t table_message(rub_table_view_t *schema, double lr)
{
    *schema = (rub_table_view_t){
        .name = "w", .kind = RUB_DENSE, .elements = 100, .optimizer = RUB_SGD, .lr = lr};
    return (rub_control_t){.type = RUB_MSG_TABLE, .table_ask = {.schema = schema, .n_schema = 1}};
}

static void a_view_is_committed_before_it_is_told(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    size_t before = job.n_sent;
    unsigned commits = job.commits;
    job_register(&job, 0);
    const rub_control_t *view = job_find(&job, before, SHARD(0), RUB_MSG_VIEW);
    assert_non_null(view);
    for (size_t i = before; i < job.n_sent; i++) {
        assert_true(job.sent[i].commits > commits);
    }
    job_fini(&job);
}

static void nothing_is_told_when_the_commit_fails(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_register(&job, 0);
    size_t before = job.n_sent;
    job.commit_result = RUB_ESTORE;
    const rub_control_t message = job_join_message(0, 1);
    assert_int_equal(rub_scheduler_receive(job.core, 200, &message, job.now_ms), RUB_ESTORE);
    assert_int_equal(job.n_sent, before);
    job_fini(&job);
}

static void who_waits_for_a_commit_is_told_why_and_nothing_else(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    const size_t before = job.n_sent;
    rub_scheduler_say_hindered(job.core, RUB_ENOSPC, "its disk is full");
    assert_int_equal(job.n_sent, before + 2);
    for (uint32_t rank = 0; rank < 2; rank++) {
        const rub_control_t *said = job_find(&job, before, WORKER(rank), RUB_MSG_REFUSED);
        assert_non_null(said);
        assert_int_equal(said->refused.request, RUB_MSG_LEASE);
        assert_int_equal(said->refused.code, -RUB_ENOSPC);
        assert_int_equal(said->refused.final, 0);
        assert_string_equal(said->refused.sentence, "its disk is full");
    }
    job_fini(&job);
}

static void who_sends_what_is_not_for_a_scheduler_is_named_seldom(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    const rub_control_t message = {.type = RUB_MSG_GO};
    const unsigned before = job.n_notices;
    for (int i = 0; i < 100; i++) {
        job_receive(&job, 900, &message);
    }
    assert_int_equal(job.n_notices, before + 1);
    job_receive(&job, 901, &message);
    assert_int_equal(job.n_notices, before + 2);
    job_fini(&job);
}

static void a_view_is_sent_again_until_it_is_acknowledged(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    size_t before = job.n_sent;
    job_pass(&job, 2000, 1, 1);
    assert_in_range(job_count(&job, before, WORKER(0), RUB_MSG_VIEW), 3, 5);
    assert_int_equal(job_count(&job, before, SHARD(0), RUB_MSG_VIEW), 0);
    job_ack(&job, WORKER(0));
    before = job.n_sent;
    job_pass(&job, 2000, 1, 1);
    assert_int_equal(job_count(&job, before, WORKER(0), RUB_MSG_VIEW), 0);
    job_fini(&job);
}

static void the_generation_rises_and_the_version_goes_on(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    uint64_t version = rub_scheduler_view(job.core)->version;
    job.config.job = 1234; /* the stored one counts */
    job_restart(&job);
    assert_int_equal(rub_scheduler_view(job.core)->generation, 2);
    assert_int_equal(rub_scheduler_view(job.core)->version, version + 1);
    assert_int_equal(rub_scheduler_view(job.core)->job, 77);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_RUNNING);
    job_fini(&job);
}

static void a_table_is_ready_when_every_shard_has_its_view(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    rub_table_view_t schema;
    job_init(&job, 1, 2, 4);
    job_gather(&job);
    const rub_control_t message = table_message(&schema, 0.1);
    job_receive(&job, WORKER(0), &message);
    job_ack(&job, SHARD(0));
    assert_int_equal(job_count(&job, 0, WORKER(0), RUB_MSG_TABLE_OK), 0);
    job_ack(&job, SHARD(1));
    assert_int_equal(job_got(&job, WORKER(0), RUB_MSG_TABLE_OK)->table_ok.id, 1);
    job_receive(&job, WORKER(0), &message);
    assert_int_equal(job_count(&job, 0, WORKER(0), RUB_MSG_TABLE_OK), 2);
    assert_int_equal(rub_scheduler_view(job.core)->n_tables, 1);
    job_fini(&job);
}

static void another_schema_is_refused_and_the_difference_named(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    rub_table_view_t schema;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    rub_control_t message = table_message(&schema, 0.5);
    job_receive(&job, WORKER(0), &message);
    job_restart(&job);
    message = table_message(&schema, 0.25);
    job_receive(&job, WORKER(0), &message);
    const rub_refused_t *refused = &job_got(&job, WORKER(0), RUB_MSG_REFUSED)->refused;
    assert_int_equal(refused->code, -RUB_ESCHEMA);
    assert_string_equal(refused->sentence, "table 'w' exists with lr 0.5, asked for lr 0.25");
    job_fini(&job);
}

static void pieces_are_dealt_once_and_asked_again_are_the_same(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    unsigned commits = job.commits;
    rub_dealt_t a = job_piece(&job, 0, 1, 0, UINT64_MAX);
    assert_true(job.commits > commits);
    rub_dealt_t b = job_piece(&job, 1, 1, 0, UINT64_MAX);
    assert_int_equal(a.first, 0);
    assert_int_equal(b.first, 100);
    rub_dealt_t again = job_piece(&job, 0, 1, 0, UINT64_MAX);
    assert_int_equal(again.number, a.number);
    job_restart(&job);
    again = job_piece(&job, 1, 1, 0, UINT64_MAX);
    assert_int_equal(again.number, b.number);
    rub_dealt_t c = job_piece(&job, 0, 2, 0, a.number);
    assert_int_equal(c.first, 200);
    assert_int_equal(c.count, 50);
    job_fini(&job);
}

static void the_end_comes_when_all_have_finished(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    rub_dealt_t a = job_piece(&job, 0, 1, 0, UINT64_MAX);
    rub_dealt_t b = job_piece(&job, 1, 1, 0, UINT64_MAX);
    rub_dealt_t c = job_piece(&job, 0, 2, 0, a.number);
    assert_int_equal(job_piece(&job, 0, 3, 0, c.number).kind, RUB_DEAL_WAIT);
    assert_int_equal(job_piece(&job, 0, 3, 1, UINT64_MAX).kind, RUB_DEAL_WAIT);
    assert_int_equal(job_piece(&job, 0, 3, 0, c.number).kind, RUB_DEAL_WAIT);
    size_t before = job.n_sent;
    assert_int_equal(job_piece(&job, 1, 2, 0, b.number).kind, RUB_DEAL_END);
    const rub_control_t *told = job_find(&job, before, WORKER(0), RUB_MSG_PIECE);
    assert_non_null(told); /* without asking again */
    assert_int_equal(told->dealt.kind, RUB_DEAL_END);
    assert_int_equal(told->dealt.request, 3);
    assert_int_equal(job_piece(&job, 0, 4, 1, UINT64_MAX).kind, RUB_DEAL_PIECE);
    job_fini(&job);
}

static void a_dead_rank_s_pieces_come_back_from_its_least_cursor(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    rub_dealt_t a = job_piece(&job, 0, 1, 0, UINT64_MAX);
    rub_dealt_t b = job_piece(&job, 1, 1, 0, UINT64_MAX);
    rub_dealt_t c = job_piece(&job, 0, 2, 0, a.number);
    assert_int_equal(job_piece(&job, 0, 3, 0, c.number).kind, RUB_DEAL_WAIT);
    job_dead(&job, "host:1002");
    rub_rank_report_t there = job_heard(1, 1, 10, 0);
    job_cursor(&there, 0, b.number, 60);
    job_report(&job, 0, &there, 1);
    assert_int_equal(job_piece(&job, 0, 3, 0, c.number).kind, RUB_DEAL_WAIT);
    job_cursor(&there, 0, b.number, 30);
    size_t before = job.n_sent;
    job_report(&job, 1, &there, 1); /* now every shard has shut it out */
    const rub_control_t *told = job_find(&job, before, WORKER(0), RUB_MSG_PIECE);
    assert_non_null(told);
    assert_int_equal(told->dealt.kind, RUB_DEAL_PIECE);
    assert_int_equal(told->dealt.first, 130);
    assert_int_equal(told->dealt.count, 70);
    assert_true(told->dealt.number > c.number);
    job_fini(&job);
}

static void what_a_dead_rank_called_finished_counts_only_as_far_as_the_shards_have_it(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    rub_dealt_t a = job_piece(&job, 1, 1, 0, UINT64_MAX);
    job_piece(&job, 1, 2, 0,
              a.number); /* says that piece 0 is done; its pushes are still in its ring */
    job_dead(&job, "host:1002");
    rub_rank_report_t there = job_heard(1, 1, 10, 0);
    job_cursor(&there, 0, a.number, 80);
    job_report(&job, 0, &there, 1);
    rub_dealt_t back = job_piece(&job, 0, 1, 0, UINT64_MAX);
    assert_int_equal(back.first, 80);
    assert_int_equal(back.count, 20);
    job_fini(&job);
}

static void a_restart_in_the_middle_of_a_return_loses_no_piece(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    rub_dealt_t b = job_piece(&job, 1, 1, 0, UINT64_MAX);
    job_dead(&job, "host:1002");
    job_restart(&job);
    job_report(&job, 0, NULL, 0);
    rub_dealt_t back = job_piece(&job, 0, 1, 0, UINT64_MAX);
    assert_int_equal(back.first, b.first);
    assert_int_equal(back.count, b.count);
    job_fini(&job);
}

static double first_sum(const rub_release_t *release)
{
    uint64_t bits = rub_get_u64(release->sums);
    double sum;
    memcpy(&sum, &bits, sizeof sum);
    return sum;
}

static void a_barrier_waits_for_the_slow_and_names_it(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    job_barrier(&job, 0, 1, 5, 1.5);
    job_pass(&job, 4000, 2, 1);
    assert_int_equal(job_count(&job, 0, WORKER(0), RUB_MSG_RELEASE), 0);
    job_status(&job, 0);
    assert_non_null(strstr(job.status.reason, "the barrier waits for rank 1 (host:1002)"));
    job_barrier(&job, 1, 1, 7, 2.5);
    for (uint32_t i = 0; i < 2; i++) {
        const rub_release_t *release = &job_got(&job, WORKER(i), RUB_MSG_RELEASE)->release;
        assert_int_equal(release->clock, 7);
        assert_true(first_sum(release) == 4.0);
    }
    job_resumed(&job, 0, 1);
    assert_int_equal(job_count(&job, 0, WORKER(0), RUB_MSG_GO), 0);
    job_resumed(&job, 1, 1);
    assert_int_equal(job_got(&job, WORKER(0), RUB_MSG_GO)->go.number, 1);
    assert_int_equal(job_got(&job, WORKER(1), RUB_MSG_GO)->go.number, 1);
    job_resumed(&job, 0, 1); /* GO was lost: asked again */
    assert_int_equal(job_count(&job, 0, WORKER(0), RUB_MSG_GO), 2);
    job_fini(&job);
}

static void an_eviction_releases_the_barrier(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 3, 1, 4);
    job_gather(&job);
    job_barrier(&job, 0, 1, 5, 1);
    job_barrier(&job, 1, 1, 5, 1);
    job_dead(&job, "host:1003");
    assert_non_null(job_got(&job, WORKER(1), RUB_MSG_RELEASE));
    job_resumed(&job, 0, 1);
    job_dead(&job, "host:1002"); /* dies between the phases */
    assert_non_null(job_got(&job, WORKER(0), RUB_MSG_GO));
    job_fini(&job);
}

static void a_restart_between_the_phases_of_a_barrier_goes_on(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    job_barrier(&job, 0, 1, 5, 1);
    job_restart(&job);
    job_barrier(&job, 1, 1, 6, 2);
    job_barrier(&job, 0, 1, 5, 1); /* asked again */
    assert_true(first_sum(&job_got(&job, WORKER(0), RUB_MSG_RELEASE)->release) == 3.0);
    job_resumed(&job, 1, 1);
    job_restart(&job);
    size_t before = job.n_sent;
    job_barrier(&job, 0, 1, 5, 1); /* RELEASE was lost */
    const rub_control_t *again = job_find(&job, before, WORKER(0), RUB_MSG_RELEASE);
    assert_non_null(again);
    assert_int_equal(again->release.clock, 6);
    assert_true(first_sum(&again->release) == 3.0);
    job_resumed(&job, 0, 1);
    job_resumed(&job, 1, 1);
    assert_non_null(job_got(&job, WORKER(0), RUB_MSG_GO));
    assert_non_null(job_got(&job, WORKER(1), RUB_MSG_GO));
    job_restart(&job);
    before = job.n_sent;
    job_resumed(&job, 1, 1); /* GO was lost */
    assert_non_null(job_find(&job, before, WORKER(1), RUB_MSG_GO));
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_view_is_committed_before_it_is_told),
        cmocka_unit_test(nothing_is_told_when_the_commit_fails),
        cmocka_unit_test(who_waits_for_a_commit_is_told_why_and_nothing_else),
        cmocka_unit_test(who_sends_what_is_not_for_a_scheduler_is_named_seldom),
        cmocka_unit_test(a_view_is_sent_again_until_it_is_acknowledged),
        cmocka_unit_test(the_generation_rises_and_the_version_goes_on),
        cmocka_unit_test(a_table_is_ready_when_every_shard_has_its_view),
        cmocka_unit_test(another_schema_is_refused_and_the_difference_named),
        cmocka_unit_test(pieces_are_dealt_once_and_asked_again_are_the_same),
        cmocka_unit_test(the_end_comes_when_all_have_finished),
        cmocka_unit_test(a_dead_rank_s_pieces_come_back_from_its_least_cursor),
        cmocka_unit_test(what_a_dead_rank_called_finished_counts_only_as_far_as_the_shards_have_it),
        cmocka_unit_test(a_restart_in_the_middle_of_a_return_loses_no_piece),
        cmocka_unit_test(a_barrier_waits_for_the_slow_and_names_it),
        cmocka_unit_test(an_eviction_releases_the_barrier),
        cmocka_unit_test(a_restart_between_the_phases_of_a_barrier_goes_on),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
