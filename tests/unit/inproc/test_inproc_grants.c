/* A fleet in this process writes pulled rows straight into the caller's array, and never after the
 * call that asked for them, or its session, is over. */
#include "include/rubato_inproc.h"
#include "worker/client/client_internal.h"
#include "worker/client/session_turn.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

enum { BLOCKS = 80, CANCELS = 80, ARRAYS = 4, PUSHES = 20, ROWS = 20000, WIDTH = 16 };
#define ELEMENTS ((size_t)BLOCKS * RUB_BLOCK)
#define BYTES (ELEMENTS * sizeof(float))

static rub_inproc_t *start(uint32_t workers, uint32_t shards, uint64_t staleness)
{
    rub_inproc_options_t options;
    rub_inproc_t *fleet = NULL;
    rub_error_t err = {0};
    rub_inproc_options_defaults(&options);
    options.workers = workers;
    options.shards = shards;
    options.staleness = staleness;
    if (rub_inproc_start(&options, &fleet, &err) != 0) {
        fail_msg("start: %s", err.message);
    }
    return fleet;
}

static void stop(rub_inproc_t **fleet)
{
    rub_error_t err = {0};
    if (rub_inproc_stop(fleet, &err) != 0) {
        fail_msg("stop: %s", err.message);
    }
}

static int join(const rub_inproc_t *fleet, rub_role_t role, uint32_t timeout_ms,
                rub_session_t **session_p, rub_table_t *table_p, rub_error_t *err)
{
    rub_options_t options;
    rub_schema_t schema;
    rub_options_defaults(&options);
    options.scheduler = rub_inproc_address(fleet);
    options.zmq_context = rub_inproc_context(fleet);
    options.role = role;
    options.request_timeout_ms = timeout_ms;
    rub_schema_defaults(&schema);
    schema.name = "dense";
    schema.elements = ELEMENTS;
    schema.optimizer = RUB_ADD;
    int rc = rub_open(&options, session_p, err);
    do { /* a short time-out is for the pulls that are to come */
        rc = rc && rc != RUB_ETIMEOUT ? rc : rub_table_open(*session_p, &schema, table_p, err);
    } while (rc == RUB_ETIMEOUT);
    return rc;
}

static void expect_joined(const rub_inproc_t *fleet, rub_role_t role, rub_session_t **session_p,
                          rub_table_t *table_p)
{
    rub_error_t err = {0};
    if (join(fleet, role, 60000, session_p, table_p, &err) != 0) {
        fail_msg("join: %s", err.message);
    }
    for (uint32_t i = 0; i < (*session_p)->client->n_links; i++) {
        assert_true((*session_p)->client->links[i].takes_grants);
    }
}

static bool is_all(const float *values, uint8_t byte)
{
    const uint8_t *bytes = (const uint8_t *)values;
    return bytes[0] == byte && memcmp(bytes, bytes + 1, BYTES - 1) == 0;
}

typedef struct pusher {
    rub_session_t *session;
    rub_table_t table;
    atomic_bool ends;
    int rc;
} pusher_t;

/* Each push adds 1 to every element of a block, at once. */
static void *push(void *context)
{
    pusher_t *self = context;
    float *ones = malloc(BYTES);
    for (size_t i = 0; i < ELEMENTS; i++) {
        ones[i] = 1;
    }
    for (int i = 0; i < PUSHES && !self->rc && !atomic_load(&self->ends); i++) {
        self->rc = rub_push_range(self->session, self->table, 0, ELEMENTS, ones, NULL, NULL);
        self->rc = self->rc ? self->rc : rub_clock(self->session, NULL, 0, NULL);
    }
    free(ones);
    return NULL;
}

static void expect_whole_blocks(const float *values)
{
    for (size_t block = 0; block < BLOCKS; block++) {
        const float *first = values + block * RUB_BLOCK;
        assert_true(*first >= 0 && *first <= PUSHES);
        for (size_t i = 1; i < RUB_BLOCK; i++) {
            assert_true(first[i] == *first);
        }
    }
}

static void an_array_is_never_written_after_its_pull_was_cancelled(void **state)
{
    (void)state;
    rub_inproc_t *fleet = start(1, 2, RUB_ASYNC);
    rub_session_t *reader = NULL;
    rub_table_t table = 0;
    rub_error_t err = {0};
    pusher_t pusher = {.rc = 0};
    pthread_t thread;
    float *arrays[ARRAYS];
    expect_joined(fleet, RUB_TRAINER, &pusher.session, &pusher.table);
    expect_joined(fleet, RUB_READER, &reader, &table);
    for (size_t i = 0; i < ARRAYS; i++) {
        arrays[i] = malloc(BYTES);
        memset(arrays[i], 0xff, BYTES);
    }
    assert_int_equal(pthread_create(&thread, NULL, push, &pusher), 0);
    for (size_t i = 0; i < CANCELS; i++) {
        float *values = arrays[i % ARRAYS];
        rub_handle_t handle = 0;
        assert_true(is_all(values, 0xff)); /* some pulls later */
        assert_int_equal(rub_pull_range_async(reader, table, 0, ELEMENTS, 0, values, &handle, &err),
                         0);
        if (i % 8 == 7) { /* this one is wanted */
            assert_int_equal(rub_wait(reader, handle, &err), 0);
            expect_whole_blocks(values);
        } else { /* between before its first part is heard of and after some are written */
            for (volatile size_t spin = 0; spin < i * 500; spin++) {
            }
            assert_int_equal(rub_cancel(reader, handle, &err), 0);
        }
        memset(values, 0xff, BYTES);
    }
    assert_int_equal(rub_pull_range(reader, table, 0, ELEMENTS, arrays[0], &err), 0);
    expect_whole_blocks(arrays[0]);
    atomic_store(&pusher.ends, true);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(pusher.rc, 0);
    for (size_t i = 0; i < ARRAYS; i++) {
        assert_true(i == 0 || is_all(arrays[i], 0xff));
        free(arrays[i]);
    }
    rub_abandon(&reader);
    rub_abandon(&pusher.session);
    stop(&fleet);
}

/* Rows of several shards, scattered by positions that go with the pull. */
static void rows_and_their_places_go_with_a_cancelled_pull(void **state)
{
    (void)state;
    rub_inproc_t *fleet = start(1, 2, RUB_ASYNC);
    rub_session_t *trainer = NULL, *reader = NULL;
    rub_table_t dense = 0, table = 0;
    rub_error_t err = {0};
    rub_schema_t schema;
    uint64_t *keys = malloc(ROWS * sizeof(*keys));
    float *ones = malloc(ROWS * WIDTH * sizeof(*ones));
    expect_joined(fleet, RUB_TRAINER, &trainer, &dense);
    expect_joined(fleet, RUB_READER, &reader, &dense);
    rub_schema_defaults(&schema);
    schema.name = "rows";
    schema.kind = RUB_HASHED;
    schema.width = WIDTH;
    schema.optimizer = RUB_ADD;
    assert_int_equal(rub_table_open(trainer, &schema, &table, &err), 0);
    for (size_t i = 0; i < ROWS; i++) {
        keys[i] = i * 7919;
        for (size_t k = 0; k < WIDTH; k++) {
            ones[i * WIDTH + k] = (float)(i + 1);
        }
    }
    assert_int_equal(rub_push(trainer, table, keys, ROWS, ones, NULL, &err), 0);
    assert_int_equal(rub_flush(trainer, &err), 0);
    assert_int_equal(rub_table_open(reader, &schema, &table, &err), 0);
    for (size_t i = 0; i < CANCELS; i++) {
        rub_handle_t handle = 0;
        float *values = malloc(ROWS * WIDTH * sizeof(*values));
        uint8_t *exists = malloc(ROWS);
        if (i == CANCELS / 2) { /* rows that are kept come by the same way */
            assert_int_equal(rub_table_cache(reader, table, 64 << 10, 60000, &err), 0);
        }
        assert_int_equal(
            rub_pull_async(reader, table, keys, ROWS, 0, values, exists, &handle, &err), 0);
        if (i % 4 == 3) {
            assert_int_equal(rub_wait(reader, handle, &err), 0);
            assert_memory_equal(values, ones, ROWS * WIDTH * sizeof(*values));
            assert_true(memchr(exists, 0, ROWS) == NULL);
        } else {
            for (volatile size_t spin = 0; spin < i * 500; spin++) {
            }
            assert_int_equal(rub_cancel(reader, handle, &err), 0);
        }
        free(values);
        free(exists);
    }
    rub_abandon(&reader);
    rub_abandon(&trainer);
    free(keys);
    free(ones);
    stop(&fleet);
}

typedef struct trainer {
    const rub_inproc_t *fleet;
    rub_session_t *session;
    rub_table_t table;
    pthread_t thread;
    int rc;
    rub_error_t err;
} trainer_t;

static void *join_as_trainer(void *context)
{
    trainer_t *self = context;
    self->rc = join(self->fleet, RUB_TRAINER, 50, &self->session, &self->table, &self->err);
    return NULL;
}

static void what_timed_out_at_the_gate_is_not_written_when_the_gate_opens(void **state)
{
    (void)state;
    rub_inproc_t *fleet = start(2, 2, 0);
    trainer_t trainers[2] = {0};
    float *given_up = malloc(BYTES), *values = malloc(BYTES);
    int rc = 0;
    for (size_t i = 0; i < 2; i++) {
        trainers[i].fleet = fleet;
        assert_int_equal(pthread_create(&trainers[i].thread, NULL, join_as_trainer, &trainers[i]),
                         0);
    }
    for (size_t i = 0; i < 2; i++) {
        assert_int_equal(pthread_join(trainers[i].thread, NULL), 0);
        if (trainers[i].rc) {
            fail_msg("join: %s", trainers[i].err.message);
        }
    }
    rub_session_t *fast = trainers[0].session;
    const rub_table_t table = trainers[0].table;
    rub_handle_t prefetch = 0;
    assert_int_equal(rub_clock(fast, NULL, 0, NULL), 0);
    memset(given_up, 0xff, BYTES);
    assert_int_equal(rub_pull_range(fast, table, 0, ELEMENTS, given_up, NULL), RUB_ETIMEOUT);
    assert_true(is_all(given_up, 0xff));
    memset(given_up, 0x7f, BYTES); /* it is ours */
    memset(values, 0xff, BYTES);
    assert_int_equal(rub_pull_range_async(fast, table, 0, ELEMENTS, 0, values, &prefetch, NULL), 0);
    assert_int_equal(rub_wait(fast, prefetch, NULL), RUB_ETIMEOUT); /* still under way */
    assert_int_equal(rub_clock(trainers[1].session, NULL, 0, NULL), 0);
    do {
        rc = rub_wait(fast, prefetch, NULL);
    } while (rc == RUB_ETIMEOUT);
    assert_int_equal(rc, 0);
    assert_true(is_all(values, 0));
    assert_true(is_all(given_up, 0x7f));
    for (size_t i = 0; i < 2; i++) {
        rub_abandon(&trainers[i].session);
    }
    free(given_up);
    free(values);
    stop(&fleet);
}

static void the_arrays_of_an_abandoned_session_may_be_freed(void **state)
{
    (void)state;
    rub_inproc_t *fleet = start(1, 2, 0);
    rub_session_t *trainer = NULL, *reader = NULL;
    rub_table_t table = 0;
    rub_error_t err = {0};
    float *values = malloc(BYTES), *now = malloc(BYTES), *next = malloc(BYTES);
    rub_handle_t handles[2];
    expect_joined(fleet, RUB_TRAINER, &trainer, &table);
    expect_joined(fleet, RUB_READER, &reader, &table);
    assert_int_equal(rub_pull_range_async(trainer, table, 0, ELEMENTS, 1, next, &handles[0], &err),
                     0);
    assert_int_equal(rub_pull_range_async(trainer, table, 0, ELEMENTS, 0, now, &handles[1], &err),
                     0);
    rub_abandon(&trainer); /* one parked, the other just being written */
    free(now);
    free(next);
    for (int i = 0; i < 3; i++) { /* behind what the shards had still to do for it */
        assert_int_equal(rub_pull_range(reader, table, 0, ELEMENTS, values, &err), 0);
        assert_true(is_all(values, 0));
    }
    rub_abandon(&reader);
    free(values);
    stop(&fleet);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_array_is_never_written_after_its_pull_was_cancelled),
        cmocka_unit_test(rows_and_their_places_go_with_a_cancelled_pull),
        cmocka_unit_test(what_timed_out_at_the_gate_is_not_written_when_the_gate_opens),
        cmocka_unit_test(the_arrays_of_an_abandoned_session_may_be_freed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
