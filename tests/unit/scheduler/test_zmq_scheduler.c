/* The scheduler over a real socket: what a peer asks for and does not read. */
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/wire/control.h"
#include "scheduler/zmq_scheduler.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>
#include <zmq.h>

enum { WORKERS = 1000, QUESTIONS = 4400, PATIENCE_MS = 20000, TRIES = 5 };

typedef struct host {
    rub_zmq_scheduler_t *scheduler;
    volatile int interrupted;
    FILE *said;
    rub_log_t log;
    pthread_t thread;
    void *context, *peer;
} host_t;

static void *run(void *argument)
{
    host_t *host = argument;
    (void)rub_zmq_scheduler_run(host->scheduler, NULL);
    return NULL;
}

static int setup(void **state)
{
    host_t *host = calloc(1, sizeof(*host));
    const int one = 1, none = 0, wait_ms = PATIENCE_MS;
    host->said = tmpfile();
    rub_log_init(&host->log, host->said, RUB_LOG_INFO, "scheduler");
    const rub_zmq_scheduler_options_t options = {.scheduler = {.n_workers = WORKERS,
                                                               .n_shards = 1,
                                                               .staleness = 4,
                                                               .lease_ms = 5000,
                                                               .join_timeout_ms = 60000,
                                                               .grace_ms = 60000},
                                                 .address = "tcp://127.0.0.1:0",
                                                 .log = &host->log,
                                                 .interrupted = &host->interrupted};
    assert_int_equal(rub_zmq_scheduler_open(&options, &host->scheduler, NULL), 0);
    assert_int_equal(pthread_create(&host->thread, NULL, run, host), 0);
    host->context = zmq_ctx_new();
    host->peer = zmq_socket(host->context, ZMQ_DEALER);
    /* Its own I/O thread takes one message and no more. */
    assert_int_equal(zmq_setsockopt(host->peer, ZMQ_RCVHWM, &one, sizeof(one)), 0);
    assert_int_equal(zmq_setsockopt(host->peer, ZMQ_SNDHWM, &none, sizeof(none)), 0);
    assert_int_equal(zmq_setsockopt(host->peer, ZMQ_LINGER, &none, sizeof(none)), 0);
    assert_int_equal(zmq_setsockopt(host->peer, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms)), 0);
    assert_int_equal(zmq_connect(host->peer, rub_zmq_scheduler_address(host->scheduler)), 0);
    *state = host;
    return 0;
}

static int teardown(void **state)
{
    host_t *host = *state;
    zmq_close(host->peer);
    zmq_ctx_term(host->context);
    host->interrupted = 1;
    (void)pthread_join(host->thread, NULL);
    rub_zmq_scheduler_close(&host->scheduler);
    (void)fclose(host->said);
    free(host);
    return 0;
}

static void ask(host_t *host, int times)
{
    const rub_control_t question = {.type = RUB_MSG_STATUS_ASK};
    rub_buf_t bytes;
    rub_buf_init(&bytes);
    assert_int_equal(rub_control_encode(&question, &bytes, NULL), 0);
    for (int i = 0; i < times; i++) {
        assert_int_equal(zmq_send(host->peer, bytes.data, bytes.bytes, 0), (int)bytes.bytes);
    }
    rub_buf_fini(&bytes);
}

/* Bytes of the next answer; 0: none comes in time. */
static int answer(host_t *host)
{
    char bytes[1];
    const int n = zmq_recv(host->peer, bytes, sizeof(bytes), 0);
    return n > 0 ? n : 0;
}

/* The scheduler's thread writes on meanwhile: the place where it is must stay. */
static bool was_said(const host_t *host, const char *what)
{
    char log[16384];
    const ssize_t n = pread(fileno(host->said), log, sizeof(log) - 1, 0);
    log[n > 0 ? n : 0] = 0;
    return strstr(log, what) != NULL;
}

/* What a peer says is dealt with in order: once this is refused, all that it said before has been
 * answered, or not. */
static void say_something_refused(host_t *host)
{
    const rub_control_t wrong = {
        .type = RUB_MSG_REGISTER,
        .register_shard = {
            .n_shards = 2, .incarnation = 1, .address = "tcp://127.0.0.1:1", .who = "here:1"}};
    rub_buf_t bytes;
    rub_buf_init(&bytes);
    assert_int_equal(rub_control_encode(&wrong, &bytes, NULL), 0);
    assert_int_equal(zmq_send(host->peer, bytes.data, bytes.bytes, 0), (int)bytes.bytes);
    rub_buf_fini(&bytes);
}

/* Asks, and reads nothing until all that was asked is answered, or not. Then how many answers come.
 */
static int ask_and_read_late(host_t *host)
{
    const struct timespec nap = {.tv_nsec = 10 * 1000 * 1000};
    int answers = 0;
    ask(host, QUESTIONS);
    for (int ms = 0; ms < PATIENCE_MS && !was_said(host, "refused: "); ms += 10) {
        if (ms % 1000 == 0) {
            say_something_refused(host);
        }
        (void)nanosleep(&nap, NULL);
    }
    while (answer(host) > 0) {
        answers++;
    }
    return answers;
}

/* Heartbeats cut off who has not read for 3 s, and what was under way is gone with the connection:
 * on a machine that is so busy the limit may not be reached at once. */
static void who_asks_and_does_not_read_is_kept_within_a_limit_and_then_served(void **state)
{
    host_t *host = *state;
    const int64_t limit = 16 << 20, kernel = 16 << 20; /* what the buffers of TCP may take */
    const int wait_ms = 3000;
    ask(host, 1);
    const int bytes = answer(host);
    assert_in_range(bytes, 15000, 65536);
    assert_true((int64_t)QUESTIONS * bytes > 3 * limit + kernel);
    assert_int_equal(zmq_setsockopt(host->peer, ZMQ_RCVTIMEO, &wait_ms, sizeof(wait_ms)), 0);
    for (int i = 0; i < TRIES && !was_said(host, ": it does not read: "); i++) {
        assert_in_range((int64_t)ask_and_read_late(host) * bytes, 1, 2 * limit + kernel);
    }
    assert_true(was_said(host, ": it does not read: "));
    bool served = false;
    for (int i = 0; i < TRIES && !served; i++) {
        ask(host, 1);
        served = answer(host) > 0;
    }
    assert_true(served);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(
            who_asks_and_does_not_read_is_kept_within_a_limit_and_then_served, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
