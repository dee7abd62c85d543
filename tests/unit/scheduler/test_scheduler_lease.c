/* A rank that the scheduler hears, and a shard does not: when that ends its epoch. */
#include "tests/unit/scheduler/job_fixture.h"

/* So many half seconds, of which a lease has ten. In each, all hold their leases here. */
typedef struct silence {
    uint32_t stuck_at;   /* what rank 1 says in them */
    uint32_t waited_for; /* what shard 0 says: pulls are parked there for rank 1 */
    uint64_t silent;     /* half seconds that it has not heard rank 1 for */
    uint64_t deaf;       /* and rank 0, beside 10 ms */
} silence_t;

static void pass(job_t *job, silence_t *silence, int halves)
{
    for (int i = 0; i < halves; i++) {
        job->now_ms += 500;
        for (uint32_t r = 0; r < 2; r++) {
            const rub_control_t lease = {
                .type = RUB_MSG_LEASE,
                .lease = {
                    .job = 77, .rank = r, .epoch = 1, .stuck_at = r == 1 ? silence->stuck_at : 0}};
            job_receive(job, 300 + r, &lease);
        }
        silence->silent++;
        rub_rank_report_t ranks[2] = {job_heard(0, 1, 10 + 500 * silence->deaf, 0),
                                      job_heard(1, 1, 500 * silence->silent, silence->waited_for)};
        job_report(job, 0, ranks, 2);
        assert_int_equal(rub_scheduler_tick(job->core, job->now_ms), 0);
    }
}

static uint32_t state_of(const job_t *job, uint32_t rank)
{
    return rub_scheduler_view(job->core)->ranks[rank].state;
}

static void open_job(job_t *job)
{
    job_init(job, 2, 1, 4);
    job_gather(job);
}

static void a_rank_cut_off_from_where_it_is_waited_for_is_evicted(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 1, .waited_for = 1};
    open_job(&job);
    pass(&job, &silence, 10);
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    pass(&job, &silence, 2);
    assert_int_equal(state_of(&job, 1), RUB_RANK_GONE);
    assert_int_equal(state_of(&job, 0), RUB_RANK_LIVE);
    job_fini(&job);
}

static void so_it_is_when_others_wait_for_it_at_another_shard(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 1};
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    for (int i = 0; i < 12; i++) {
        rub_rank_report_t ranks[2] = {job_heard(0, 1, 10, 0), job_heard(1, 1, 10, 1)};
        pass(&job, &silence, 1);
        job_report(&job, 1, ranks, 2);
    }
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    pass(&job, &silence, 1);
    assert_int_equal(state_of(&job, 1), RUB_RANK_GONE);
    job_fini(&job);
}

static void a_rank_that_only_computes_for_long_stays(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 0, .waited_for = 1};
    open_job(&job);
    pass(&job, &silence, 40);
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    job_fini(&job);
}

static void
a_rank_that_computed_for_long_and_then_lost_its_connection_has_a_lease_to_come(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 0, .waited_for = 1};
    open_job(&job);
    pass(&job, &silence, 40);
    silence.stuck_at = 1;
    pass(&job, &silence, 10);
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    pass(&job, &silence, 1);
    assert_int_equal(state_of(&job, 1), RUB_RANK_GONE);
    job_fini(&job);
}

static void a_rank_that_was_silent_because_it_waited_itself_stays(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 1, .waited_for = 0};
    open_job(&job);
    pass(&job, &silence, 20);
    silence.waited_for = 1;
    pass(&job, &silence, 10);
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    job_fini(&job);
}

/* Its reports come again before it has read what was sent to it meanwhile. */
static void a_shard_that_stood_still_makes_nobody_silent(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 1, .waited_for = 1};
    open_job(&job);
    pass(&job, &silence, 4);
    job.now_ms += 4000;
    silence.silent += 8;
    silence.deaf = 9;
    pass(&job, &silence, 1);
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    job_fini(&job);
}

static void a_shard_that_hears_nobody_is_no_evidence(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 1, .waited_for = 1};
    open_job(&job);
    for (int i = 0; i < 30; i++) {
        silence.deaf = silence.silent;
        pass(&job, &silence, 1);
    }
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    job_fini(&job);
}

static void a_rank_cut_off_while_others_stand_in_a_barrier_is_evicted(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 1};
    open_job(&job);
    pass(&job, &silence, 30); /* nobody waits for it */
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    job_barrier(&job, 0, 1, 3, 1);
    pass(&job, &silence, 10);
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    pass(&job, &silence, 2);
    assert_int_equal(state_of(&job, 1), RUB_RANK_GONE);
    job_fini(&job);
}

static void a_rank_that_comes_late_to_a_barrier_stays(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 0};
    open_job(&job);
    job_barrier(&job, 0, 1, 3, 1);
    pass(&job, &silence, 40);
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    job_fini(&job);
}

static void ask_for_data(job_t *job, uint32_t rank)
{
    const rub_control_t message = {.type = RUB_MSG_PIECE_ASK,
                                   .piece_ask = {.request = 1,
                                                 .rank = rank,
                                                 .epoch = 1,
                                                 .n_examples = 10,
                                                 .piece_examples = 10,
                                                 .finished_piece = UINT64_MAX}};
    job_receive(job, WORKER(rank), &message);
}

static void a_rank_cut_off_with_the_last_piece_of_data_is_evicted(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    silence_t silence = {.stuck_at = 1};
    open_job(&job);
    ask_for_data(&job, 1);
    pass(&job, &silence, 30); /* nobody else wants any */
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    ask_for_data(&job, 0);
    pass(&job, &silence, 12);
    assert_int_equal(state_of(&job, 1), RUB_RANK_GONE);
    assert_int_equal(state_of(&job, 0), RUB_RANK_LIVE);
    job_fini(&job);
}

/* So many half seconds in which shard 0 has heard rank 1 no more, shard 1 hears both, both shards
 * have pulls that wait for rank 1, and both ranks hold their leases and say where they are stuck.
 * Rank 0 was heard at shard 0 just now, or is as silent there. */
static void parted_from_shard_0(job_t *job, int from, int to, bool other_is_back)
{
    for (int i = from; i < to; i++) {
        job->now_ms += 500;
        for (uint32_t r = 0; r < 2; r++) {
            const rub_control_t lease = {
                .type = RUB_MSG_LEASE,
                .lease = {
                    .job = 77, .rank = r, .epoch = 1, .stuck_at = r == 0 && other_is_back ? 0 : 1}};
            job_receive(job, 300 + r, &lease);
        }
        const uint64_t silent_ms = (uint64_t)i * 500;
        rub_rank_report_t cut[2] = {job_heard(0, 1, other_is_back ? 10 : silent_ms, 0),
                                    job_heard(1, 1, silent_ms, 1)};
        rub_rank_report_t well[2] = {job_heard(0, 1, 10, 0), job_heard(1, 1, 10, 1)};
        job_report(job, 0, cut, 2);
        job_report(job, 1, well, 2);
        assert_int_equal(rub_scheduler_tick(job->core, job->now_ms), 0);
    }
}

/* A network heals, and connections do not come back in the same moment. */
static void who_is_back_last_at_a_shard_that_all_were_parted_from_has_a_lease_to_come(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    parted_from_shard_0(&job, 1, 15, false);
    parted_from_shard_0(&job, 15, 26, true); /* the first of these begins the lease of 10 halves */
    assert_int_equal(state_of(&job, 1), RUB_RANK_LIVE);
    parted_from_shard_0(&job, 26, 27, true);
    assert_int_equal(state_of(&job, 1), RUB_RANK_GONE);
    assert_int_equal(state_of(&job, 0), RUB_RANK_LIVE);
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_rank_that_only_computes_for_long_stays),
        cmocka_unit_test(
            a_rank_that_computed_for_long_and_then_lost_its_connection_has_a_lease_to_come),
        cmocka_unit_test(a_rank_that_was_silent_because_it_waited_itself_stays),
        cmocka_unit_test(a_shard_that_stood_still_makes_nobody_silent),
        cmocka_unit_test(a_shard_that_hears_nobody_is_no_evidence),
        cmocka_unit_test(who_is_back_last_at_a_shard_that_all_were_parted_from_has_a_lease_to_come),
        cmocka_unit_test(a_rank_that_comes_late_to_a_barrier_stays),
        cmocka_unit_test(a_rank_cut_off_from_where_it_is_waited_for_is_evicted),
        cmocka_unit_test(so_it_is_when_others_wait_for_it_at_another_shard),
        cmocka_unit_test(a_rank_cut_off_while_others_stand_in_a_barrier_is_evicted),
        cmocka_unit_test(a_rank_cut_off_with_the_last_piece_of_data_is_evicted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
