/* What a scheduler does differently, or must not, when there are many: reports in parts, and views
 * that stand for several changes. */
#include "tests/unit/scheduler/job_fixture.h"

static void report_part(job_t *job, rub_rank_report_t *rank, bool last)
{
    const rub_view_t *view = rub_scheduler_view(job->core);
    rub_shard_status_t status = {.shard = 0, .incarnation = job->incarnation[0]};
    const rub_control_t message = {.type = RUB_MSG_REPORT,
                                   .report = {.job = view->job,
                                              .generation = view->generation,
                                              .version = last ? view->version : 0,
                                              .status = &status,
                                              .n_status = 1,
                                              .ranks = rank,
                                              .n_ranks = 1}};
    job_receive(job, SHARD(0), &message);
}

static void the_parts_of_a_report_do_not_replace_each_other(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    for (int i = 0; i < 80; i++) { /* 8 s: rank 0 is heard by the shard alone */
        job.now_ms += 100;
        if (i % 5 == 0) {
            rub_rank_report_t first = job_heard(0, 1, 100, 0);
            rub_rank_report_t second = job_heard(1, 1, 100, 0);
            report_part(&job, &first, false);
            report_part(&job, &second, true);
            job_lease(&job, 1, 1);
        }
        assert_int_equal(rub_scheduler_tick(job.core, job.now_ms), 0);
    }
    assert_int_equal(rub_scheduler_view(job.core)->ranks[0].state, RUB_RANK_LIVE);
    job_fini(&job);
}

static void a_report_is_of_a_view_once_its_last_part_is_here(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    for (uint64_t i = 0; i < 3; i++) {
        assert_int_equal(job_piece(&job, 0, i + 1, 0, i ? i - 1 : UINT64_MAX).kind, RUB_DEAL_PIECE);
    }
    assert_int_equal(job_piece(&job, 1, 1, 0, UINT64_MAX).kind, RUB_DEAL_WAIT);
    job_dead(&job, "host:1001");
    const size_t before = job.n_sent;
    rub_rank_report_t first = job_heard(0, 1, 100, 0);
    rub_rank_report_t second = job_heard(1, 1, 100, 0);
    report_part(&job, &first, false);
    assert_null(job_find(&job, before, WORKER(1), RUB_MSG_PIECE));
    report_part(&job, &second, true);
    assert_int_equal(job_find(&job, before, WORKER(1), RUB_MSG_PIECE)->dealt.kind, RUB_DEAL_PIECE);
    job_fini(&job);
}

static void ranks_beyond_the_limit_are_not_kept(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    rub_rank_report_t far = job_heard(UINT32_MAX, 1, 100, 0);
    report_part(&job, &far, true);
    job_status(&job, 0);
    assert_int_equal(job.status.n_ranks, 1);
    job_fini(&job);
}

/* All but one of n leave at once. Returns how many views the one who stays was sent by then. */
static size_t views_of_who_stays(job_t *job, uint32_t n)
{
    job_init(job, n, 1, 4);
    job_gather(job);
    job_pass(job, 1000, n, 1);
    job_ack(job, WORKER(0));
    const size_t before = job->n_sent;
    for (uint32_t i = 1; i < n; i++) {
        job_leave(job, i, 1, 1, 0);
    }
    return job_count(job, before, WORKER(0), RUB_MSG_VIEW);
}

static void a_small_job_hears_of_each_that_leaves(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    assert_int_equal(views_of_who_stays(&job, 6), 5);
    job_fini(&job);
}

static void a_crowd_is_sent_one_view_for_many_that_leave(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    assert_int_equal(views_of_who_stays(&job, 90), 1);
    job_pass(&job, 100, 1, 1);
    const rub_view_t *last = &job_got(&job, WORKER(0), RUB_MSG_VIEW)->view;
    assert_int_equal(last->version, rub_scheduler_view(job.core)->version);
    job_fini(&job);
}

static void who_waits_for_data_is_not_told_at_each_change_that_it_still_does(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 5, 1, 4);
    job_gather(&job);
    for (uint32_t rank = 0; rank < 3; rank++) { /* 250 examples in pieces of 100 */
        assert_int_equal(job_piece(&job, rank, 1, 0, UINT64_MAX).kind, RUB_DEAL_PIECE);
    }
    assert_int_equal(job_piece(&job, 3, 1, 0, UINT64_MAX).kind, RUB_DEAL_WAIT);
    assert_int_equal(job_piece(&job, 4, 1, 0, UINT64_MAX).kind, RUB_DEAL_WAIT);
    const size_t before = job.n_sent;
    assert_int_equal(job_piece(&job, 0, 2, 0, 0).kind, RUB_DEAL_WAIT);
    assert_int_equal(job_piece(&job, 1, 2, 0, 1).kind, RUB_DEAL_WAIT);
    assert_int_equal(job_count(&job, before, WORKER(3), RUB_MSG_PIECE), 0);
    assert_int_equal(job_piece(&job, 2, 2, 0, 2).kind, RUB_DEAL_END);
    for (uint32_t rank = 0; rank < 5; rank++) {
        assert_int_equal(job_find(&job, before, WORKER(rank), RUB_MSG_PIECE)->dealt.kind,
                         RUB_DEAL_END);
    }
    assert_int_equal(job_count(&job, before, WORKER(4), RUB_MSG_PIECE), 1);
    job_fini(&job);
}

static void a_lease_after_a_restart_still_brings_the_view(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    job_restart(&job);
    const size_t before = job.n_sent;
    job_lease(&job, 0, 1);
    assert_non_null(job_find(&job, before, 300, RUB_MSG_VIEW));
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_parts_of_a_report_do_not_replace_each_other),
        cmocka_unit_test(a_report_is_of_a_view_once_its_last_part_is_here),
        cmocka_unit_test(ranks_beyond_the_limit_are_not_kept),
        cmocka_unit_test(a_small_job_hears_of_each_that_leaves),
        cmocka_unit_test(a_crowd_is_sent_one_view_for_many_that_leave),
        cmocka_unit_test(who_waits_for_data_is_not_told_at_each_change_that_it_still_does),
        cmocka_unit_test(a_lease_after_a_restart_still_brings_the_view),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
