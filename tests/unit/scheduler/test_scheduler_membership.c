/* Who gets a rank, who loses it, and on whose evidence. */
#include "tests/unit/scheduler/job_fixture.h"

static void the_first_ranks_live_from_the_first_view(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 3, 1, 4);
    const rub_view_t *view = rub_scheduler_view(job.core);
    assert_int_equal(view->n_ranks, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(view->ranks[i].state, RUB_RANK_LIVE);
        assert_int_equal(view->ranks[i].epoch, 1);
    }
    job_fini(&job);
}

static void the_same_nonce_gets_the_same_answer(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_register(&job, 0);
    job_join(&job, 201, UINT32_MAX, 9);
    const rub_joined_t first = job_got(&job, 201, RUB_MSG_JOINED)->joined;
    job_join(&job, 202, UINT32_MAX, 9);
    const rub_joined_t again = job_got(&job, 202, RUB_MSG_JOINED)->joined;
    assert_int_equal(first.rank, 0);
    assert_int_equal(again.rank, first.rank);
    assert_int_equal(again.epoch, first.epoch);
    assert_non_null(job_got(&job, 202, RUB_MSG_VIEW));
    job_fini(&job);
}

static void a_held_rank_is_refused_and_its_holder_named(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_register(&job, 0);
    job_join(&job, 201, 0, 1);
    job.now_ms += 300;
    job_join(&job, 202, 0, 2);
    const rub_refused_t *refused = &job_got(&job, 202, RUB_MSG_REFUSED)->refused;
    assert_int_equal(refused->request, RUB_MSG_JOIN);
    assert_int_equal(refused->code, -RUB_EHELD);
    assert_int_equal(refused->final, 1);
    assert_string_equal(refused->sentence, "rank 0 is held by host:1001, heard 0.3 s ago");
    job_fini(&job);
}

static void a_rank_not_heard_since_the_restart_is_worth_asking_again(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    job_restart(&job);
    job_join(&job, 202, 0, 9);
    assert_int_equal(job_got(&job, 202, RUB_MSG_REFUSED)->refused.code, -RUB_EHELD);
    assert_int_equal(job_got(&job, 202, RUB_MSG_REFUSED)->refused.final, 0);
    job_lease(&job, 0, 1);
    job_join(&job, 203, 0, 9);
    assert_int_equal(job_got(&job, 203, RUB_MSG_REFUSED)->refused.final, 1);
    job_fini(&job);
}

static void a_join_before_the_shards_names_them_and_may_ask_again(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 2, 4);
    job_register(&job, 0);
    job_pass(&job, 3200, 0, 0);
    job_join(&job, 201, 0, 1);
    const rub_refused_t *refused = &job_got(&job, 201, RUB_MSG_REFUSED)->refused;
    assert_int_equal(refused->final, 0);
    assert_string_equal(refused->sentence, "shard 1 is not here yet (3.2 s)");
    job_register(&job, 1);
    job_join(&job, 201, 0, 1);
    assert_int_equal(job_got(&job, 201, RUB_MSG_JOINED)->joined.rank, 0);
    job_fini(&job);
}

static void a_place_kept_for_a_process_that_went_is_free_again(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 0);
    job_join(&job, 201, 0, 1);
    job_pass(&job, 6000, 0, 0);
    job_register(&job, 0);
    job_join(&job, 202, 0, 2);
    assert_int_equal(job_got(&job, 202, RUB_MSG_JOINED)->joined.epoch, 1);
    job_fini(&job);
}

static void bsp_takes_no_rank_beyond_w_and_ssp_does(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 0);
    job_gather(&job);
    job_join(&job, 210, UINT32_MAX, 50);
    assert_int_equal(job_got(&job, 210, RUB_MSG_REFUSED)->refused.final, 1);
    job_fini(&job);
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    job_join(&job, 210, UINT32_MAX, 50);
    assert_int_equal(job_got(&job, 210, RUB_MSG_JOINED)->joined.rank, 1);
    job_fini(&job);
}

static void bsp_lets_who_wants_any_rank_ask_again_while_a_holder_may_be_dead(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 0);
    job_gather(&job);
    job_restart(&job);
    job.now_ms += 10;
    job_lease(&job, 0, 1);
    job_join(&job, 210, UINT32_MAX, 50);
    const rub_refused_t *refused = &job_got(&job, 210, RUB_MSG_REFUSED)->refused;
    assert_int_equal(refused->final, 0);
    assert_non_null(strstr(refused->sentence, "silent longest is rank 1, "));
    job_lease(&job, 1, 1);
    job_join(&job, 211, UINT32_MAX, 51);
    assert_int_equal(job_got(&job, 211, RUB_MSG_REFUSED)->refused.final, 1);
    job_fini(&job);
}

static void readers_get_the_view_and_no_rank(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_register(&job, 0);
    rub_control_t message = job_join_message(UINT32_MAX, 70);
    message.join.role = RUB_READER;
    job_receive(&job, 270, &message);
    assert_int_equal(job_got(&job, 270, RUB_MSG_JOINED)->joined.rank, UINT32_MAX);
    assert_int_equal(job_got(&job, 270, RUB_MSG_VIEW)->view.n_ranks, 1);
    job_fini(&job);
}

static void the_join_time_out_names_the_missing(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_register(&job, 0);
    job_join(&job, 200, 0, 1);
    job_status(&job, 0);
    assert_non_null(strstr(job.status.reason, "shard 1 is not here yet"));
    assert_non_null(strstr(job.status.reason, "rank 1 has not joined"));
    for (int i = 0; i < 8; i++) {
        job_pass(&job, 2500, 0, 1);
        job_join(&job, 200, 0, 1);
    }
    const char *sentence;
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_FAILED);
    assert_int_equal(rub_scheduler_failure(job.core, &sentence), RUB_EPEER);
    assert_non_null(strstr(sentence, "shard 1 is not here yet"));
    assert_non_null(strstr(sentence, "rank 1 has not joined"));
    job_fini(&job);
}

static void nobody_is_evicted_without_a_reporting_shard(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job.config.grace_ms = 10000;
    job_gather(&job);
    job_pass(&job, 9000, 1, 0); /* rank 1 and the shard are silent */
    assert_int_equal(rub_scheduler_view(job.core)->ranks[1].state, RUB_RANK_LIVE);
    job_fini(&job);
}

static void a_rank_silent_here_and_at_every_shard_is_evicted(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    job_pass(&job, 4500, 1, 2);
    assert_int_equal(rub_scheduler_view(job.core)->ranks[1].state, RUB_RANK_LIVE);
    job_pass(&job, 1000, 1, 2);
    assert_int_equal(rub_scheduler_view(job.core)->ranks[1].state, RUB_RANK_GONE);
    assert_int_equal(rub_scheduler_view(job.core)->ranks[0].state, RUB_RANK_LIVE);
    job_lease(&job, 1, 1);
    assert_int_equal(job_got(&job, 301, RUB_MSG_LEASE_OK)->lease_ok.state, RUB_RANK_GONE);
    job_status(&job, 0);
    assert_int_equal(job.status.evictions, 1);
    job_fini(&job);
}

static void a_rank_that_one_shard_hears_stays(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 2, 4);
    job_gather(&job);
    for (int i = 0; i < 20; i++) {
        job_pass(&job, 500, 0, 1);
        rub_rank_report_t heard = job_heard(0, 1, 100, 0);
        job_report(&job, 1, &heard, 1);
    }
    assert_int_equal(rub_scheduler_view(job.core)->ranks[0].state, RUB_RANK_LIVE);
    job_fini(&job);
}

static void leases_start_afresh_after_a_pause_and_after_a_restart(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    job.now_ms += 60000;
    assert_int_equal(rub_scheduler_tick(job.core, job.now_ms), 0);
    job_pass(&job, 4000, 0, 1);
    assert_int_equal(rub_scheduler_view(job.core)->ranks[0].state, RUB_RANK_LIVE);
    job_restart(&job);
    job_pass(&job, 4000, 0, 1);
    assert_int_equal(rub_scheduler_view(job.core)->ranks[0].state, RUB_RANK_LIVE);
    job_pass(&job, 2000, 0, 1);
    assert_int_equal(rub_scheduler_view(job.core)->ranks[0].state, RUB_RANK_GONE);
    job_fini(&job);
}

static void a_supervisor_s_word_frees_the_rank_at_once_with_a_new_epoch(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 0);
    job_gather(&job);
    job_dead(&job, "host:1002");
    assert_int_equal(rub_scheduler_view(job.core)->ranks[1].state, RUB_RANK_GONE);
    job_join(&job, 211, 1, 60);
    assert_int_equal(job_got(&job, 211, RUB_MSG_JOINED)->joined.epoch, 2);
    assert_int_equal(rub_scheduler_view(job.core)->ranks[1].state, RUB_RANK_LIVE);
    job_join(&job, WORKER(1), 1, 2); /* the old process's nonce */
    assert_int_equal(job_got(&job, WORKER(1), RUB_MSG_REFUSED)->refused.code, -RUB_EHELD);
    job_fini(&job);
}

static void when_all_have_died_the_job_waits_a_grace_and_names_them(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    job_dead(&job, "host:1001");
    job_pass(&job, 9000, 0, 1);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_RUNNING);
    job_pass(&job, 1500, 0, 1);
    const char *sentence;
    assert_int_equal(rub_scheduler_failure(job.core, &sentence), RUB_EPEER);
    assert_non_null(strstr(sentence, "rank 0 (host:1001)"));
    job_fini(&job);
}

static void a_silent_shard_fails_the_job_after_the_grace_and_is_named_before(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 2, 4);
    job_gather(&job);
    job_pass(&job, 4000, 1, 1);
    job_status(&job, 0);
    assert_non_null(strstr(job.status.reason, "shard 1 (ps:11 at tcp://ps:6001) is silent"));
    job_pass(&job, 7000, 1, 1);
    const char *sentence;
    assert_int_equal(rub_scheduler_failure(job.core, &sentence), RUB_EPEER);
    assert_non_null(strstr(sentence, "shard 1 (ps:11 at tcp://ps:6001)"));
    job_fini(&job);
}

/* A message may be the first thing that a scheduler sees when it goes on. */
static void a_pause_does_not_count_against_a_shard_that_another_s_report_finds_silent(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 2, 4);
    job_gather(&job);
    job.now_ms += 12000;
    job_report(&job, 0, NULL, 0);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_RUNNING);
    job_pass(&job, 9000, 1, 1);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_RUNNING);
    job_pass(&job, 1500, 1, 1);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_FAILED);
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_first_ranks_live_from_the_first_view),
        cmocka_unit_test(the_same_nonce_gets_the_same_answer),
        cmocka_unit_test(a_held_rank_is_refused_and_its_holder_named),
        cmocka_unit_test(a_rank_not_heard_since_the_restart_is_worth_asking_again),
        cmocka_unit_test(a_join_before_the_shards_names_them_and_may_ask_again),
        cmocka_unit_test(a_place_kept_for_a_process_that_went_is_free_again),
        cmocka_unit_test(bsp_takes_no_rank_beyond_w_and_ssp_does),
        cmocka_unit_test(bsp_lets_who_wants_any_rank_ask_again_while_a_holder_may_be_dead),
        cmocka_unit_test(readers_get_the_view_and_no_rank),
        cmocka_unit_test(the_join_time_out_names_the_missing),
        cmocka_unit_test(nobody_is_evicted_without_a_reporting_shard),
        cmocka_unit_test(a_rank_silent_here_and_at_every_shard_is_evicted),
        cmocka_unit_test(a_rank_that_one_shard_hears_stays),
        cmocka_unit_test(leases_start_afresh_after_a_pause_and_after_a_restart),
        cmocka_unit_test(a_pause_does_not_count_against_a_shard_that_another_s_report_finds_silent),
        cmocka_unit_test(a_supervisor_s_word_frees_the_rank_at_once_with_a_new_epoch),
        cmocka_unit_test(when_all_have_died_the_job_waits_a_grace_and_names_them),
        cmocka_unit_test(a_silent_shard_fails_the_job_after_the_grace_and_is_named_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
