/* How a job ends, what it then says, and which shards are let in. */
#include "tests/unit/scheduler/job_fixture.h"

static const rub_refused_t *refused_shard(job_t *job, const rub_register_shard_t *request)
{
    const rub_control_t message = {.type = RUB_MSG_REGISTER, .register_shard = *request};
    size_t before = job->n_sent;
    job_receive(job, 150, &message);
    const rub_control_t *reply = job_find(job, before, 150, RUB_MSG_REFUSED);
    return reply ? &reply->refused : NULL;
}

static void all_done_finishes_the_shards_and_sums_their_digests(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    rub_control_t metric = {.type = RUB_MSG_METRIC, .metric = {.name = "accuracy", .value = 0.5}};
    job_receive(&job, WORKER(0), &metric);
    metric.metric.value = 0.88;
    job_receive(&job, WORKER(0), &metric);
    job_leave(&job, 0, 1, 1, 0);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_RUNNING);
    job_leave(&job, 1, 1, 1, 0);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_FINISHING);
    assert_non_null(job_got(&job, WORKER(1), RUB_MSG_LEFT));
    assert_non_null(job_got(&job, SHARD(0), RUB_MSG_FINISH));
    job_finished(&job, 0, 10);
    job_restart(&job);
    job_register(&job, 1);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_FINISHING);
    job_finished(&job, 1, 20);
    job_finished(&job, 1, 20);
    assert_int_equal(job_count(&job, 0, SHARD(1), RUB_MSG_LEFT_SHARD), 2);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_DONE);
    assert_false(rub_scheduler_may_leave(job.core, job.now_ms));
    job_status(&job, 1);
    assert_int_equal(job.status.digest, 30);
    assert_int_equal(job.status.stored_rows, 8);
    assert_int_equal(job.status.clocked, 0); /* 18 pushes, no clock */
    assert_int_equal(job.status.n_metrics, 1);
    assert_true(job.metrics[0].value == 0.88);
    assert_false(rub_scheduler_may_leave(job.core, job.now_ms)); /* a shard may not have heard */
    assert_true(rub_scheduler_may_leave(job.core, job.now_ms + 400));
    job_join(&job, 240, UINT32_MAX, 99);
    assert_int_equal(job_got(&job, 240, RUB_MSG_REFUSED)->refused.final, 1);
    job_fini(&job);
}

static void stop_and_divergence_fail_the_job_and_still_finish_the_shards(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    const char *sentence;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    const rub_control_t stop = {.type = RUB_MSG_STOP, .stop = {.why = "Ctrl-C"}};
    job_receive(&job, 900, &stop);
    assert_int_equal(rub_scheduler_failure(job.core, &sentence), RUB_EINTR);
    assert_string_equal(sentence, "stopped: Ctrl-C");
    assert_non_null(job_got(&job, SHARD(0), RUB_MSG_FINISH));
    assert_false(rub_scheduler_may_leave(job.core, job.now_ms + 4000));
    assert_true(rub_scheduler_may_leave(job.core, job.now_ms + 5000));
    job_finished(&job, 0, 1);
    assert_true(rub_scheduler_may_leave(job.core, job.now_ms + 3000));
    job_fini(&job);
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    job_leave(&job, 1, 1, 0, RUB_EDIVERGED);
    assert_int_equal(rub_scheduler_failure(job.core, &sentence), RUB_EDIVERGED);
    assert_string_equal(sentence, "rank 1: loss is NaN");
    job_fini(&job);
}

static void whoever_is_missing_is_named_in_the_log_within_five_seconds(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 2, 4);
    job_register(&job, 0);
    const unsigned n_before = job.n_notices;
    const uint64_t from_ms = job.now_ms;
    for (; job.n_notices == n_before && job.now_ms < from_ms + 5000; job.now_ms += 100) {
        assert_int_equal(rub_scheduler_tick(job.core, job.now_ms), 0);
    }
    assert_int_equal(job.n_notices, n_before + 1);
    assert_non_null(strstr(job.notice, "waiting: shard 1 is not here yet"));
    assert_non_null(strstr(job.notice, "rank 0 has not joined"));
    job_fini(&job);
}

static void finished_pieces_do_not_hold_up_the_end(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    rub_dealt_t piece = job_piece(&job, 0, 1, 0, UINT64_MAX);
    for (uint64_t request = 2; piece.kind == RUB_DEAL_PIECE; request++) {
        piece = job_piece(&job, 0, request, 0, piece.number);
    }
    assert_int_equal(piece.kind, RUB_DEAL_END);
    job_leave(&job, 0, 1, 1, 0);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_FINISHING);
    job_fini(&job);
}

static void who_leaves_undone_is_no_eviction_and_may_come_back(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    rub_dealt_t a = job_piece(&job, 1, 1, 0, UINT64_MAX);
    job_leave(&job, 1, 1, 0, 0);
    job_status(&job, 0);
    assert_int_equal(job.status.evictions, 0);
    job_leave(&job, 1, 1, 0, 0); /* LEFT was lost */
    assert_int_equal(job_count(&job, 0, WORKER(1), RUB_MSG_LEFT), 2);
    job_join(&job, 241, UINT32_MAX, 88);
    assert_int_equal(job_got(&job, 241, RUB_MSG_JOINED)->joined.rank, 1);
    assert_int_equal(job_got(&job, 241, RUB_MSG_JOINED)->joined.epoch, 2);
    rub_dealt_t back = job_piece(&job, 1, 1, 0, UINT64_MAX);
    assert_int_equal(back.first, a.first);
    job_fini(&job);
}

static void done_is_not_reached_while_a_dead_rank_s_data_is_open(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    job_piece(&job, 1, 1, 0, UINT64_MAX);
    job_leave(&job, 0, 1, 1, 0);
    job_dead(&job, "host:1002");
    job_pass(&job, 6000, 0, 1);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_RUNNING);
    job_pass(&job, 5000, 0, 1);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_FAILED);
    assert_int_equal(rub_scheduler_failure(job.core, NULL), RUB_EPEER);
    job_fini(&job);
}

static void wrong_shards_are_refused_with_a_reason(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 2, 4);
    rub_register_shard_t request = {
        .shard = 2, .n_shards = 2, .incarnation = 1, .address = "tcp://a:1", .who = "a:1"};
    assert_int_equal(refused_shard(&job, &request)->code, -RUB_ECONFIG);
    request.shard = 0;
    request.n_shards = 3;
    assert_string_equal(refused_shard(&job, &request)->sentence,
                        "shard 0 was told of 3 shards, the job has 2");
    request.n_shards = 2;
    request.job = 5;
    assert_non_null(strstr(refused_shard(&job, &request)->sentence, "0000000000000005"));
    request.job = 0;
    job_register(&job, 0);
    assert_int_equal(refused_shard(&job, &request)->code, -RUB_EHELD);
    job_dead(&job, "ps:10");
    assert_non_null(strstr(refused_shard(&job, &request)->sentence, "empty store"));
    job_fini(&job);
}

static void an_empty_store_takes_no_place_that_was_confirmed_to_an_earlier_scheduler(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_register(&job, 0); /* and confirms its view: the last that this scheduler hears */
    job_restart(&job);
    job_dead(&job, "ps:10");
    const rub_register_shard_t request = {
        .n_shards = 1, .incarnation = 2, .address = "tcp://a:1", .who = "a:1"};
    const rub_refused_t *refused = refused_shard(&job, &request);
    assert_non_null(refused);
    assert_non_null(strstr(refused->sentence, "empty store"));
    job_fini(&job);
}

static void who_is_done_and_asks_again_hears_that_it_has_left(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 1, 4);
    job_gather(&job);
    job_leave(&job, 0, 1, 1, 0);
    const size_t before = job.n_sent;
    job_join(&job, 250, 0, 1); /* the nonce of rank 0's session, over another connection */
    assert_non_null(job_find(&job, before, 250, RUB_MSG_LEFT));
    assert_null(job_find(&job, before, 250, RUB_MSG_REFUSED));
    job_fini(&job);
}

static void who_comes_for_a_shard_of_a_job_that_is_done_hears_so(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    job_leave(&job, 0, 1, 1, 0);
    job_finished(&job, 0, 10);
    assert_int_equal(rub_scheduler_state(job.core), RUB_JOB_DONE);
    rub_register_shard_t request = {
        .n_shards = 1, .incarnation = 1, .address = "tcp://a:1", .who = "a:1"};
    assert_non_null(strstr(refused_shard(&job, &request)->sentence, "the job is over"));
    request.job = 77; /* its store: all is in it */
    request.incarnation = 2;
    assert_null(refused_shard(&job, &request));
    assert_non_null(job_got(&job, 150, RUB_MSG_LEFT_SHARD));
    job_fini(&job);
}

static void a_shard_that_continues_its_store_comes_back_at_once(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    uint64_t version = rub_scheduler_view(job.core)->version;
    rub_register_shard_t request = {.job = 77,
                                    .shard = 0,
                                    .n_shards = 1,
                                    .incarnation = 2,
                                    .generation = 1,
                                    .address = "tcp://ps:7000",
                                    .who = "ps:99"};
    assert_null(refused_shard(&job, &request));
    assert_int_equal(rub_scheduler_view(job.core)->version, version + 1);
    assert_string_equal(rub_scheduler_view(job.core)->shards[0].address, "tcp://ps:7000");
    request.incarnation = 1;
    request.who[0] = 'q';
    assert_non_null(refused_shard(&job, &request));
    job.incarnation[0] = 2;
    job_report(&job, 0, NULL, 0);
    job_status(&job, 0); /* 5 pulls of gap 2 in each incarnation */
    assert_int_equal(job.status.n_gaps, 1);
    assert_int_equal(job.gaps[0].gap, 2);
    assert_int_equal(job.gaps[0].count, 10);
    job_fini(&job);
}

static void a_scheduler_that_was_followed_by_another_stops_talking(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 1, 1, 4);
    unsigned commits = job.commits;
    rub_register_shard_t request = {.job = 77,
                                    .n_shards = 1,
                                    .incarnation = 1,
                                    .generation = 4,
                                    .address = "tcp://a:1",
                                    .who = "a:1"};
    assert_null(refused_shard(&job, &request));
    const char *sentence;
    assert_int_equal(rub_scheduler_failure(job.core, &sentence), RUB_EREFUSED);
    assert_string_equal(sentence, "shard 0 follows a scheduler of generation 4, this one is 1");
    assert_int_equal(job.commits, commits);
    assert_int_equal(job.n_sent, 0);
    assert_true(rub_scheduler_may_leave(job.core, job.now_ms));
    job_fini(&job);
}

static void a_damaged_or_foreign_state_is_refused(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    job_init(&job, 2, 2, 4);
    job_gather(&job);
    job_piece(&job, 0, 1, 0, UINT64_MAX);
    const rub_scheduler_effects_t effects = {
        .context = &job, .send = job_send, .commit = job_commit};
    for (size_t cut = 0; cut < job.state_bytes; cut++) {
        rub_error_t err = {0};
        rub_scheduler_t *other = rub_scheduler_new(&job.config, &effects);
        assert_int_equal(rub_scheduler_load(other, job.state, cut, &err), RUB_ECORRUPT);
        rub_scheduler_destroy(&other);
    }
    rub_error_t err = {0};
    job.config.n_workers = 3;
    rub_scheduler_t *other = rub_scheduler_new(&job.config, &effects);
    assert_int_equal(rub_scheduler_load(other, job.state, job.state_bytes, &err), RUB_ECONFIG);
    assert_string_equal(err.message, "the stored job has 2 workers, asked for 3");
    rub_scheduler_destroy(&other);
    job_fini(&job);
}

/* Format 5 ended before the state from before the data epoch, of which there is none here. */
static size_t as_format_5(uint8_t *bytes, size_t n_bytes)
{
    bytes[7] = '5';
    return n_bytes - 4;
}

/* Format 4 ended before what is known of evaluations: ten numbers, and three texts, which are empty
 * here. */
static size_t as_format_4(uint8_t *bytes, size_t n_bytes)
{
    enum { NUMBERS = 10, TEXTS = 3 };
    rub_buf_t text;
    rub_buf_init(&text);
    rub_buf_str(&text, "");
    const size_t n_tail = 8 * NUMBERS + TEXTS * text.bytes;
    rub_buf_fini(&text);
    n_bytes = as_format_5(bytes, n_bytes);
    bytes[7] = '4';
    return n_bytes - n_tail;
}

/* Format 3 had no count of later numbers behind a table's weight_decay, and none of these. */
static size_t as_format_3(uint8_t *bytes, size_t n_bytes, double weight_decay)
{
    enum { LATER = 4 };
    for (size_t i = 0; i + 8 <= n_bytes; i++) {
        if (memcmp(bytes + i, &weight_decay, 8) == 0) {
            const size_t from = i + 8, later = rub_get_u32(bytes + from);
            assert_true(later >= LATER);
            const size_t skip = 4 + 8 * later;
            memmove(bytes + from, bytes + from + skip, n_bytes - from - skip);
            bytes[7] = '3';
            return n_bytes - skip;
        }
    }
    fail_msg("no table in the state");
    return 0;
}

static void a_state_of_the_formats_before_is_read(void **state)
{
    RUB_UNUSED(state);
    job_t job;
    rub_error_t err = {0};
    const double decay = 0.123456789;
    rub_table_view_t schema = {.name = "w",
                               .kind = RUB_HASHED,
                               .width = 4,
                               .optimizer = RUB_FTRL,
                               .lr = 0.5,
                               .weight_decay = decay,
                               .l1 = 2,
                               .ftrl_beta = 3};
    const rub_control_t ask = {.type = RUB_MSG_TABLE,
                               .table_ask = {.schema = &schema, .n_schema = 1}};
    job_init(&job, 1, 1, 4);
    job_gather(&job);
    job_receive(&job, WORKER(0), &ask);
    job_restart(&job);
    const rub_table_view_t *kept = &rub_scheduler_view(job.core)->tables[0];
    assert_true(kept->l1 == 2 && kept->ftrl_beta == 3 && kept->weight_decay == decay);

    const rub_scheduler_effects_t effects = {
        .context = &job, .send = job_send, .commit = job_commit};
    size_t n_bytes = as_format_5(job.state, job.state_bytes);
    rub_scheduler_t *other = rub_scheduler_new(&job.config, &effects);
    assert_int_equal(rub_scheduler_load(other, job.state, n_bytes, &err), 0);
    rub_scheduler_destroy(&other);

    n_bytes = as_format_4(job.state, job.state_bytes);
    other = rub_scheduler_new(&job.config, &effects);
    assert_int_equal(rub_scheduler_load(other, job.state, n_bytes, &err), 0);
    assert_int_equal(rub_scheduler_start(other, job.now_ms), 0);
    assert_true(rub_scheduler_view(other)->tables[0].l1 == 2);
    rub_scheduler_destroy(&other);

    n_bytes = as_format_3(job.state, as_format_4(job.state, job.state_bytes), decay);
    other = rub_scheduler_new(&job.config, &effects);
    assert_int_equal(rub_scheduler_load(other, job.state, n_bytes, &err), 0);
    assert_int_equal(rub_scheduler_start(other, job.now_ms), 0);
    kept = &rub_scheduler_view(other)->tables[0];
    assert_true(kept->l1 == 0 && kept->ftrl_beta == 0 && kept->weight_decay == decay);
    assert_string_equal(kept->name, "w");
    rub_scheduler_destroy(&other);
    job_fini(&job);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(all_done_finishes_the_shards_and_sums_their_digests),
        cmocka_unit_test(stop_and_divergence_fail_the_job_and_still_finish_the_shards),
        cmocka_unit_test(whoever_is_missing_is_named_in_the_log_within_five_seconds),
        cmocka_unit_test(finished_pieces_do_not_hold_up_the_end),
        cmocka_unit_test(who_leaves_undone_is_no_eviction_and_may_come_back),
        cmocka_unit_test(done_is_not_reached_while_a_dead_rank_s_data_is_open),
        cmocka_unit_test(wrong_shards_are_refused_with_a_reason),
        cmocka_unit_test(an_empty_store_takes_no_place_that_was_confirmed_to_an_earlier_scheduler),
        cmocka_unit_test(who_is_done_and_asks_again_hears_that_it_has_left),
        cmocka_unit_test(who_comes_for_a_shard_of_a_job_that_is_done_hears_so),
        cmocka_unit_test(a_shard_that_continues_its_store_comes_back_at_once),
        cmocka_unit_test(a_scheduler_that_was_followed_by_another_stops_talking),
        cmocka_unit_test(a_damaged_or_foreign_state_is_refused),
        cmocka_unit_test(a_state_of_the_formats_before_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
