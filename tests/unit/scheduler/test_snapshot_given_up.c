/* Everything that ends a snapshot before it is whole, and that whoever asked is told why. */
#include "tests/unit/scheduler/snapshot_fixture.h"

static void an_eviction_gives_it_up(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    pinned(&job, 0, 1, 5, 3);
    pinned(&job, 1, 1, 5, 3);
    job_dead(&job, "host:1002"); /* rank 1 */
    expect_given_up(&job, 1, RUB_ECANCELLED, "rank 1 (host:1002, epoch 1) was evicted");
    folded(&job, 0, 1); /* too late: the part is to be removed */
    assert_int_equal(job_got(&job, SHARD(0), RUB_MSG_UNPIN)->unpin.keep, 0);
    assert_int_equal(job.n_manifests, 0);
    job_fini(&job);
}

static void a_rank_that_leaves_unfinished_gives_it_up_and_one_that_is_done_does_not(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    job_leave(&job, 0, 1, 1, 0);
    assert_int_equal(ask(&job, 1).snapshot.state, RUB_SNAPSHOT_PINNING);
    job_leave(&job, 1, 1, 0, 0);
    expect_given_up(&job, 1, RUB_ECANCELLED, "rank 1 (host:1002, epoch 1) left");
    job_fini(&job);
}

static void a_shard_that_is_another_process_gives_it_up(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    pinned(&job, 1, 1, 5, 3);
    rub_control_t message = {.type = RUB_MSG_REGISTER,
                             .register_shard = {.job = 77,
                                                .shard = 1,
                                                .n_shards = 2,
                                                .incarnation = 2,
                                                .address = "tcp://ps:7001",
                                                .who = "ps:99"}};
    job_receive(&job, SHARD(1), &message);
    expect_given_up(&job, 1, RUB_ECANCELLED, "shard 1 was restarted");
    job_fini(&job);
}

static void the_deadline_gives_it_up_and_names_shard_rank_and_clock(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    pinned(&job, 0, 1, 5, 3);
    pinned(&job, 1, 1, 5, 3);
    folded(&job, 0, 1);
    rub_rank_report_t report = {.rank = 1, .epoch = 1, .done = 3};
    job_report(&job, 1, &report, 1);
    const rub_control_t answer = ask(&job, 1);
    assert_string_equal(answer.snapshot.sentence, "shard 1 waits for rank 1, at clock 3, cut 6");
    job.now_ms += 60000;
    assert_int_equal(rub_scheduler_tick(job.core, job.now_ms), 0);
    expect_given_up(&job, 1, RUB_ETIMEOUT, "60.0 s have passed: shard 1 waits for rank 1");
    job_fini(&job);
}

static void a_shards_own_word_and_a_disk_that_says_no_give_it_up(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    rub_control_t message = {.type = RUB_MSG_UNFOLDED,
                             .unfolded = {.shard = 1,
                                          .incarnation = 1,
                                          .number = 1,
                                          .code = -RUB_EREFUSED,
                                          .sentence = "shard 1 keeps no store"}};
    job_receive(&job, SHARD(1), &message);
    expect_given_up(&job, 1, RUB_EREFUSED, "shard 1 keeps no store");

    (void)ask(&job, 2);
    for (uint32_t i = 0; i < 2; i++) {
        pinned(&job, i, 2, 5, 3);
    }
    job.write_result = RUB_ENOSPC;
    for (uint32_t i = 0; i < 2; i++) {
        folded(&job, i, 2);
    }
    expect_given_up(&job, 2, RUB_ENOSPC, "the disk says no");
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_RUNNING);
    job_fini(&job);
}

static void a_rank_that_the_scheduler_has_shut_out_is_busy(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    job_dead(&job, "host:1002");
    (void)ask(&job, 1);
    pinned(&job, 0, 1, 5, 3); /* it still has rank 1 */
    expect_given_up(&job, 1, RUB_EBUSY, "rank 1 (epoch 1) is still being shut out of shard 0");
    job_fini(&job);
}

static void in_bsp_a_successor_gives_it_up(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 0);
    job_dead(&job, "host:1002");
    (void)ask(&job, 1);
    job_join(&job, WORKER(1), 1, 9);
    expect_given_up(&job, 1, RUB_ECANCELLED, "was followed by another");
    job_fini(&job);
}

static void the_end_of_the_job_gives_it_up(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    open_job(&job, 4);
    (void)ask(&job, 1);
    job_leave(&job, 0, 1, 1, 0);
    job_leave(&job, 1, 1, 1, 0);
    expect_given_up(&job, 1, RUB_ECANCELLED, "the job is over");
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_eviction_gives_it_up),
        cmocka_unit_test(a_rank_that_leaves_unfinished_gives_it_up_and_one_that_is_done_does_not),
        cmocka_unit_test(a_shard_that_is_another_process_gives_it_up),
        cmocka_unit_test(the_deadline_gives_it_up_and_names_shard_rank_and_clock),
        cmocka_unit_test(a_shards_own_word_and_a_disk_that_says_no_give_it_up),
        cmocka_unit_test(a_rank_that_the_scheduler_has_shut_out_is_busy),
        cmocka_unit_test(in_bsp_a_successor_gives_it_up),
        cmocka_unit_test(the_end_of_the_job_gives_it_up),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
