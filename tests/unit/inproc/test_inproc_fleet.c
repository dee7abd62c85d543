/* A fleet in this process: refused with a sentence, working as any fleet does, gone without a
 * trace, and whoever fails in it fails alone. */
#include "common/base/alloc.h"
#include "common/base/fs.h"
#include "include/rubato_inproc.h"
#include "worker/client/session_turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <math.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { WIDTH = 64, ROWS = 4096, WORKERS = 3, PERIODS = 20 };

static uint64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

static size_t threads_of_this_process(void)
{
    size_t n = 0;
    DIR *tasks = opendir("/proc/self/task");
    for (const struct dirent *it = readdir(tasks); it; it = readdir(tasks)) {
        n += it->d_name[0] != '.';
    }
    closedir(tasks);
    return n;
}

static rub_session_t *join(const rub_inproc_t *fleet, rub_role_t role)
{
    rub_options_t options;
    rub_session_t *session = NULL;
    rub_error_t err = {0};
    rub_options_defaults(&options);
    options.scheduler = rub_inproc_address(fleet);
    options.zmq_context = rub_inproc_context(fleet);
    options.role = role;
    options.join_timeout_ms = 20000;
    options.request_timeout_ms = 20000;
    if (rub_open(&options, &session, &err) != 0) {
        fail_msg("open: %s", err.message);
    }
    return session;
}

static rub_table_t open_rows(rub_session_t *session)
{
    rub_schema_t schema;
    rub_table_t table = 0;
    rub_error_t err = {0};
    rub_schema_defaults(&schema);
    schema.name = "rows";
    schema.kind = RUB_HASHED;
    schema.width = WIDTH;
    schema.optimizer = RUB_ADD;
    if (rub_table_open(session, &schema, &table, &err) != 0) {
        fail_msg("table: %s", err.message);
    }
    return table;
}

static void options_out_of_bounds_are_refused(void **state)
{
    (void)state;
    rub_inproc_options_t options;
    rub_inproc_t *fleet = NULL;
    rub_error_t err = {0};
    rub_inproc_options_defaults(&options);
    options.workers = 0;
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), RUB_EINVAL);
    assert_string_equal(err.message, "fleet: 0 workers, expected 1 to 2048");
    assert_null(fleet);
    rub_inproc_options_defaults(&options);
    options.shards = 65;
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), RUB_EINVAL);
    rub_inproc_options_defaults(&options);
    options.memory_limit_bytes = 1000;
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), RUB_EINVAL);
    rub_inproc_options_defaults(&options);
    options.join_timeout_ms = 0;
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), RUB_EINVAL);
    rub_inproc_options_defaults(&options);
    options.log_path = "/nowhere/at/all";
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), RUB_EIO);
    assert_int_equal(rub_inproc_start(NULL, &fleet, &err), RUB_EINVAL);
    assert_int_equal(rub_inproc_stop(&fleet, &err), 0);
}

static void a_fleet_that_nobody_used_stops_and_leaves_no_thread(void **state)
{
    (void)state;
    const size_t before = threads_of_this_process();
    for (uint32_t shards = 1; shards <= 4; shards += 3) {
        rub_inproc_options_t options;
        rub_inproc_t *fleet = NULL;
        rub_error_t err = {0};
        rub_inproc_options_defaults(&options);
        options.shards = shards;
        assert_int_equal(rub_inproc_start(&options, &fleet, &err), 0);
        assert_true(threads_of_this_process() >= before + 1 + shards);
        if (rub_inproc_stop(&fleet, &err) != 0) {
            fail_msg("stop: %s", err.message);
        }
        assert_null(fleet);
        assert_int_equal(threads_of_this_process(), before);
    }
}

typedef struct worker {
    const rub_inproc_t *fleet;
    float total; /* of each value in the end */
    pthread_t thread;
    int rc;
    rub_error_t err;
} worker_t;

/* Adds 1 to every row in each period; under the bound it always reads at least its own. */
static void *work(void *context)
{
    worker_t *self = context;
    rub_session_t *session = join(self->fleet, RUB_TRAINER);
    const rub_table_t table = open_rows(session);
    uint64_t *keys = calloc(ROWS, sizeof(*keys));
    float *values = calloc((size_t)ROWS * WIDTH, sizeof(*values));
    float *ones = calloc((size_t)ROWS * WIDTH, sizeof(*ones));
    for (size_t i = 0; i < (size_t)ROWS * WIDTH; i++) {
        ones[i] = 1;
        keys[i / WIDTH] = i / WIDTH;
    }
    int rc = 0;
    for (uint64_t period = 0; period < PERIODS && !rc; period++) {
        rc = rub_pull(session, table, keys, ROWS, values, NULL, &self->err);
        for (size_t i = 0; i < (size_t)ROWS * WIDTH && !rc; i++) {
            rc = values[i] >= (float)period && values[i] <= (float)(WORKERS * PERIODS) ? 0 : 1;
        }
        rc = rc ? rc : rub_push(session, table, keys, ROWS, ones, NULL, &self->err);
        rc = rc ? rc : rub_clock(session, NULL, 0, &self->err);
    }
    rc = rc ? rc : rub_barrier(session, NULL, 0, &self->err);
    rc = rc ? rc : rub_pull(session, table, keys, ROWS, values, NULL, &self->err);
    for (size_t i = 0; i < (size_t)ROWS * WIDTH && !rc; i++) {
        rc = values[i] == self->total ? 0 : 2; /* nothing lost, nothing doubled */
    }
    const int left = rub_close(&session, rc == 0, rc ? NULL : &self->err);
    self->rc = rc ? rc : left;
    free(keys);
    free(values);
    free(ones);
    return NULL;
}

static void workers_of_one_process_train_as_those_of_many(void **state)
{
    (void)state;
    const uint64_t bounds[] = {0, 2, RUB_ASYNC};
    for (size_t b = 0; b < sizeof(bounds) / sizeof(bounds[0]); b++) {
        rub_inproc_options_t options;
        rub_inproc_t *fleet = NULL;
        rub_error_t err = {0};
        worker_t workers[WORKERS] = {0};
        rub_inproc_options_defaults(&options);
        options.workers = WORKERS;
        options.shards = 2;
        options.staleness = bounds[b];
        assert_int_equal(rub_inproc_start(&options, &fleet, &err), 0);
        for (size_t i = 0; i < WORKERS; i++) {
            workers[i].fleet = fleet;
            /* bsp takes one step with the mean of a period's pushes. */
            workers[i].total = bounds[b] == 0 ? PERIODS : WORKERS * PERIODS;
            assert_int_equal(pthread_create(&workers[i].thread, NULL, work, &workers[i]), 0);
        }
        for (size_t i = 0; i < WORKERS; i++) {
            pthread_join(workers[i].thread, NULL);
        }
        for (size_t i = 0; i < WORKERS; i++) {
            if (workers[i].rc) {
                fail_msg("bound %llu, worker %zu: %d %s", (unsigned long long)bounds[b], i,
                         workers[i].rc, workers[i].err.message);
            }
        }
        if (rub_inproc_stop(&fleet, &err) != 0) {
            fail_msg("stop: %s", err.message);
        }
    }
}

enum { BLOCKS = 40, PUSHES = 30 };

/* Shards read it where it stands; what is given back may be written, or be gone, at once. */
static void a_lent_array_is_the_callers_again_after_its_wait_and_with_its_session(void **state)
{
    (void)state;
    const size_t n = (size_t)BLOCKS * RUB_BLOCK;
    rub_inproc_options_t options;
    rub_inproc_t *fleet = NULL;
    rub_schema_t schema;
    rub_table_t table = 0;
    rub_error_t err = {0};
    rub_inproc_options_defaults(&options);
    options.shards = 2;
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), 0);
    rub_session_t *session = join(fleet, RUB_TRAINER);
    rub_schema_defaults(&schema);
    schema.name = "dense";
    schema.elements = n;
    schema.optimizer = RUB_ADD;
    assert_int_equal(rub_table_open(session, &schema, &table, &err), 0);
    float *values = malloc(n * sizeof(*values)), *sums = malloc(n * sizeof(*sums));
    for (size_t push = 0; push < PUSHES; push++) {
        rub_handle_t handle = 0;
        for (size_t i = 0; i < n; i++) {
            values[i] = (float)(i % 1000);
        }
        assert_int_equal(rub_push_range_lent(session, table, 0, n, values, &handle, &err), 0);
        assert_int_equal(rub_wait(session, handle, &err), 0);
        memset(values, 0xff, n * sizeof(*values)); /* no numbers */
    }
    assert_int_equal(rub_pull_range(session, table, 0, n, sums, &err), 0);
    for (size_t i = 0; i < n; i++) {
        assert_true(sums[i] == (float)(PUSHES * (i % 1000)));
    }
    /* What is no number is the shards' to find: its message is refused, no other is. */
    rub_stats_t stats;
    memset(values, 0, n * sizeof(*values));
    values[17 * RUB_BLOCK] = NAN;
    assert_int_equal(rub_push_range_lent(session, table, 0, n, values, NULL, &err), 0);
    assert_int_equal(rub_flush(session, &err), 0);
    rub_session_stats(session, &stats);
    assert_int_equal(stats.refused, 1);
    assert_int_equal(stats.last_refusal, RUB_ENAN);
    for (size_t push = 0; push < PUSHES; push++) {
        assert_int_equal(rub_push_range_lent(session, table, 0, n, values, NULL, &err), 0);
    }
    rub_abandon(&session);
    free(values);
    free(sums);
    if (rub_inproc_stop(&fleet, &err) != 0) {
        fail_msg("stop: %s", err.message);
    }
}

typedef struct holding {
    rub_packet_loan_t loan;
    rub_loan_t *loans;
    char said[200]; /* the last sentence of a close, by the session's thread */
    unsigned n_said;
} holding_t;

/* As libzmq's thread, or a shard, that has not yet come to let go. */
static void *let_go_late(void *context)
{
    holding_t *self = context;
    nanosleep(&(struct timespec){.tv_sec = 1, .tv_nsec = 200000000}, NULL);
    self->loan.release(self->loan.context);
    return NULL;
}

static void note_close(void *context, const char *sentence)
{
    holding_t *self = context;
    if (strncmp(sentence, "close waits", 11) == 0) {
        snprintf(self->said, sizeof self->said, "%s", sentence);
        self->n_said++;
    }
}

static void a_close_says_that_it_waits_for_what_was_lent(void **state)
{
    (void)state;
    rub_inproc_options_t options;
    rub_inproc_t *fleet = NULL;
    rub_options_t session_options;
    rub_session_t *session = NULL;
    rub_error_t err = {0};
    pthread_t thread;
    holding_t holding = {.n_said = 0};
    const float value = 0;
    rub_inproc_options_defaults(&options);
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), 0);
    rub_options_defaults(&session_options);
    session_options.scheduler = rub_inproc_address(fleet);
    session_options.zmq_context = rub_inproc_context(fleet);
    session_options.notice = note_close;
    session_options.notice_context = &holding;
    assert_int_equal(rub_open(&session_options, &session, &err), 0);
    holding.loans = rub_client_loans(session->client);
    assert_non_null(holding.loans);
    holding.loan = rub_loan_of(holding.loans, &value);
    rub_loan_take(holding.loans);
    assert_int_equal(pthread_create(&thread, NULL, let_go_late, &holding), 0);
    rub_abandon(&session);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(holding.n_said, 1); /* after a second; again after ten more */
    assert_non_null(strstr(holding.said, "arrays that were lent"));
    assert_int_equal(rub_inproc_stop(&fleet, &err), 0);
}

static bool log_says(const char *path, const char *words)
{
    char *text = NULL;
    size_t bytes = 0;
    const bool says = rub_fs_read(path, 1 << 20, &text, &bytes, NULL) == 0 && strstr(text, words);
    rub_free(text);
    return says;
}

static void messages_of_nobody_are_said_in_the_log(void **state)
{
    (void)state;
    char path[] = "/tmp/rubato-inproc-XXXXXX";
    rub_inproc_options_t options;
    rub_inproc_t *fleet = NULL;
    rub_error_t err = {0};
    const int fd = mkstemp(path);
    assert_true(fd >= 0 && close(fd) == 0);
    rub_inproc_options_defaults(&options);
    options.log_path = path;
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), 0);
    void *stranger = zmq_socket(rub_inproc_context(fleet), ZMQ_DEALER);
    assert_int_equal(zmq_setsockopt(stranger, ZMQ_ROUTING_ID, "me", 2), 0);
    assert_int_equal(zmq_connect(stranger, rub_inproc_address(fleet)), 0);
    assert_int_equal(zmq_send(stranger, "hello", 5, 0), 5);
    static const char words[] = "dropped 1 messages of more than 4 parts, or of peers that chose";
    for (int i = 0; i < 2000 && !log_says(path, words); i++) {
        nanosleep(&(struct timespec){.tv_nsec = 10000000}, NULL);
    }
    assert_true(log_says(path, words));
    assert_int_equal(zmq_close(stranger), 0);
    assert_int_equal(rub_inproc_stop(&fleet, &err), 0);
    unlink(path);
}

static void a_stopped_fleet_answers_nobody_and_names_itself(void **state)
{
    (void)state;
    rub_inproc_options_t options;
    rub_inproc_t *fleet = NULL, *other = NULL;
    rub_error_t err = {0};
    rub_inproc_options_defaults(&options);
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), 0);
    assert_int_equal(rub_inproc_start(&options, &other, &err), 0); /* two beside each other */
    rub_session_t *session = join(fleet, RUB_TRAINER), *far = join(other, RUB_TRAINER);
    rub_info_t here, there;
    rub_session_info(session, &here);
    rub_session_info(far, &there);
    assert_true(here.job != there.job);
    rub_abandon(&session);
    assert_int_equal(rub_inproc_stop(&fleet, &err), 0);
    const rub_table_t table = open_rows(far); /* the other one has not noticed */
    const uint64_t key = 1;
    float row[WIDTH];
    assert_int_equal(rub_pull(far, table, &key, 1, row, NULL, &err), 0);
    rub_abandon(&far);
    assert_int_equal(rub_inproc_stop(&other, &err), 0);
}

static void a_job_whose_trainers_never_come_ends_by_name(void **state)
{
    (void)state;
    rub_inproc_options_t options;
    rub_inproc_t *fleet = NULL;
    rub_error_t err = {0};
    int rc = 0;
    /* A busy machine may take longer than this to notice that the time is over: then again. */
    for (uint64_t wait_ms = 1000; rc == 0 && wait_ms <= 64000; wait_ms *= 4) {
        rub_inproc_options_defaults(&options);
        options.workers = 2;
        options.join_timeout_ms = 500;
        assert_int_equal(rub_inproc_start(&options, &fleet, &err), 0);
        const uint64_t until = now_ms() + wait_ms;
        while (now_ms() < until) {
            nanosleep(&(struct timespec){.tv_nsec = 50000000}, NULL);
        }
        rc = rub_inproc_stop(&fleet, &err);
    }
    assert_int_equal(rc, RUB_EPEER);
    if (!strstr(err.message, "rank")) {
        fail_msg("'%s' names no rank", err.message);
    }
}

static volatile sig_atomic_t signalled_thread_is_ours;
static pthread_t ours;

static void on_signal(int number)
{
    (void)number;
    signalled_thread_is_ours = pthread_equal(pthread_self(), ours) ? 1 : -1;
}

static void signals_of_the_process_go_to_the_hosts_threads(void **state)
{
    (void)state;
    rub_inproc_options_t options;
    rub_inproc_t *fleet = NULL;
    rub_error_t err = {0};
    rub_inproc_options_defaults(&options);
    ours = pthread_self();
    const struct sigaction action = {.sa_handler = on_signal};
    struct sigaction before;
    assert_int_equal(sigaction(SIGUSR1, &action, &before), 0);
    assert_int_equal(rub_inproc_start(&options, &fleet, &err), 0);
    for (int i = 0; i < 20; i++) {
        signalled_thread_is_ours = 0;
        assert_int_equal(kill(getpid(), SIGUSR1), 0);
        assert_int_equal(signalled_thread_is_ours, 1);
    }
    assert_int_equal(rub_inproc_stop(&fleet, &err), 0);
    sigaction(SIGUSR1, &before, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(options_out_of_bounds_are_refused),
        cmocka_unit_test(a_fleet_that_nobody_used_stops_and_leaves_no_thread),
        cmocka_unit_test(workers_of_one_process_train_as_those_of_many),
        cmocka_unit_test(a_lent_array_is_the_callers_again_after_its_wait_and_with_its_session),
        cmocka_unit_test(a_close_says_that_it_waits_for_what_was_lent),
        cmocka_unit_test(messages_of_nobody_are_said_in_the_log),
        cmocka_unit_test(a_stopped_fleet_answers_nobody_and_names_itself),
        cmocka_unit_test(a_job_whose_trainers_never_come_ends_by_name),
        cmocka_unit_test(signals_of_the_process_go_to_the_hosts_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
