/* The driver over real sockets: a thread plays scheduler and shard, just well enough. Two sessions
 * in one process share nothing; a wait ends at its deadline and names whom it waited for. */
#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/timing.h"
#include "common/net/zmq_socket.h"
#include "common/wire/control.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

enum { JOB = 5, ELEMENTS = 3 * RUB_BLOCK, SESSIONS = 2, STREAMS = 8 };

typedef struct peer {
    pthread_t thread;
    rub_net_t *net;
    rub_socket_t *scheduler, *shard;
    char scheduler_address[128], shard_address[128];
    atomic_bool stop, park; /* park: answers pulls with WAITING only */
    atomic_bool shut;       /* nobody is let out of a barrier */
    atomic_bool hidden;     /* nobody knows where the shard is */
    atomic_uint leaves;     /* LEAVEs that came */
    float sums[ELEMENTS];
    struct {
        uint64_t peer, applied, done;
    } streams[STREAMS];
    uint32_t n_streams;
    bool has_table;
    rub_table_view_t table; /* as it was asked for */
    rub_arena_t arena;
    rub_buf_t buf;
} peer_t;

static void say(peer_t *self, uint64_t to, const rub_control_t *message)
{
    rub_buf_reset(&self->buf);
    RUB_ASSERT(rub_control_encode(message, &self->buf, NULL) == 0);
    rub_socket_send_bytes(self->scheduler, to, self->buf.data, self->buf.bytes);
}

static void say_view(peer_t *self, uint64_t to)
{
    rub_rank_view_t ranks[] = {{.rank = 0, .epoch = 1}, {.rank = 1, .epoch = 1}};
    rub_shard_view_t shard = {.incarnation = 1};
    if (!atomic_load(&self->hidden)) {
        snprintf(shard.address, sizeof(shard.address), "%s", self->shard_address);
    }
    const rub_control_t message = {.type = RUB_MSG_VIEW,
                                   .view = {.job = JOB,
                                            .generation = 1,
                                            .version = self->has_table ? 2 : 1,
                                            .state = RUB_JOB_RUNNING,
                                            .n_workers = 2,
                                            .staleness = 1,
                                            .ranks = ranks,
                                            .n_ranks = 2,
                                            .tables = &self->table,
                                            .n_tables = self->has_table,
                                            .shards = &shard,
                                            .n_shards = 1}};
    say(self, to, &message);
}

static void schedule(peer_t *self, uint64_t from, const rub_control_t *asked)
{
    rub_control_t reply = {0};
    switch (asked->type) {
    case RUB_MSG_JOIN:
        reply.type = RUB_MSG_JOINED;
        reply.joined = (rub_joined_t){.job = JOB,
                                      .generation = 1,
                                      .rank = asked->join.wanted_rank,
                                      .epoch = 1,
                                      .lease_ms = 5000};
        say(self, from, &reply);
        say_view(self, from);
        break;
    case RUB_MSG_TABLE:
        self->has_table = true;
        self->table = asked->table_ask.schema[0];
        self->table.id = 1;
        say_view(self, from);
        reply.type = RUB_MSG_TABLE_OK;
        reply.table_ok = (rub_table_ok_t){.name = "votes", .id = 1, .version = 2};
        say(self, from, &reply);
        break;
    case RUB_MSG_LEASE:
        reply.type = RUB_MSG_LEASE_OK;
        reply.lease_ok = (rub_lease_ok_t){.generation = 1, .version = 1};
        say(self, from, &reply);
        break;
    case RUB_MSG_BARRIER:
        if (!atomic_load(&self->shut)) {
            reply.type = RUB_MSG_RELEASE;
            reply.release = (rub_release_t){.number = asked->barrier.number,
                                            .clock = asked->barrier.clock,
                                            .sums_bytes = asked->barrier.sums_bytes};
            memcpy(reply.release.sums, asked->barrier.sums, asked->barrier.sums_bytes);
            say(self, from, &reply);
        }
        break;
    case RUB_MSG_RESUMED:
        reply.type = RUB_MSG_GO;
        reply.go.number = asked->resumed.number;
        say(self, from, &reply);
        break;
    case RUB_MSG_LEAVE:
        atomic_fetch_add(&self->leaves, 1);
        reply.type = RUB_MSG_LEFT;
        reply.left = (rub_left_t){.rank = asked->leave.rank, .epoch = asked->leave.epoch};
        say(self, from, &reply);
        break;
    default:
        break;
    }
}

static void send_data(peer_t *self, uint64_t to, rub_header_t header, const void *values)
{
    rub_packet_t *packet = rub_packet_new(&header, 0, header.value_bytes);
    if (header.value_bytes) {
        memcpy(rub_packet_values(packet), values, header.value_bytes);
    }
    rub_socket_send(self->shard, to, packet);
}

static uint32_t find_stream(const peer_t *self, uint64_t from)
{
    uint32_t i = 0;
    while (i < self->n_streams && self->streams[i].peer != from) {
        i++;
    }
    return i;
}

static void serve_stream(peer_t *self, uint64_t from, const rub_frame_t *frame)
{
    const uint32_t i = find_stream(self, from);
    if (i == self->n_streams || frame->header.seq != self->streams[i].applied + 1) {
        return;
    }
    self->streams[i].applied++;
    if (frame->header.type == RUB_MSG_CLOCK) {
        self->streams[i].done = frame->header.clock;
    } else if (frame->header.type == RUB_MSG_PUSH) {
        const uint64_t first = rub_get_u64(frame->keys), n = rub_get_u64(frame->keys + 8);
        for (uint64_t k = 0; k < n; k++) {
            float value;
            memcpy(&value, frame->values + 4 * k, sizeof(value));
            self->sums[first + k] += value;
        }
    }
    uint8_t values[28] = {0};
    rub_put_u64(values, 1 << 20);
    send_data(self, from,
              (rub_header_t){.type = RUB_MSG_ACK,
                             .seq = self->streams[i].applied,
                             .clock = self->streams[i].done,
                             .mark = self->streams[i].applied,
                             .value_bytes = sizeof(values)},
              values);
}

static void serve(peer_t *self, uint64_t from, const rub_frame_t *frame)
{
    uint32_t stream;
    uint8_t values[28] = {0};
    rub_put_u64(values, 1 << 20);
    switch (frame->header.type) {
    case RUB_MSG_HELLO:
        stream = find_stream(self, from);
        RUB_ASSERT(stream < STREAMS);
        self->n_streams += stream == self->n_streams;
        self->streams[stream].peer = from;
        rub_put_u32(values + 16, RUB_DURABILITY_JOURNAL);
        send_data(self, from,
                  (rub_header_t){.type = RUB_MSG_WELCOME,
                                 .lsn = UINT64_C(1) << 40,
                                 .seq = self->streams[stream].applied,
                                 .clock = self->streams[stream].done,
                                 .value_bytes = 20},
                  values);
        break;
    case RUB_MSG_PULL:
        if (atomic_load(&self->park)) {
            rub_put_u32(values, 1);
            send_data(
                self, from,
                (rub_header_t){.type = RUB_MSG_WAITING, .seq = frame->header.seq, .value_bytes = 4},
                values);
        } else {
            send_data(self, from,
                      (rub_header_t){.type = RUB_MSG_ROWS,
                                     .seq = frame->header.seq,
                                     .clock = frame->header.clock,
                                     .mark = frame->header.clock,
                                     .value_bytes = 4 * (uint32_t)rub_get_u64(frame->keys + 8)},
                      self->sums + rub_get_u64(frame->keys));
        }
        break;
    case RUB_MSG_CANCEL:
        break;
    default:
        serve_stream(self, from, frame);
    }
}

static void *play(void *context)
{
    peer_t *self = context;
    while (!atomic_load(&self->stop)) {
        rub_poll_t items[] = {{.socket = self->scheduler}, {.socket = self->shard}};
        rub_socket_poll(items, 2, 10);
        rub_received_t received;
        while (rub_socket_receive(self->scheduler, &received) == 0) {
            rub_control_t message;
            rub_arena_reset(&self->arena);
            if (rub_control_decode(received.parts[0].data, received.parts[0].bytes, &self->arena,
                                   &message, NULL) == 0) {
                schedule(self, received.peer, &message);
            }
            rub_received_release(&received);
        }
        while (rub_socket_receive(self->shard, &received) == 0) {
            rub_frame_t frame;
            if (rub_frame_read(received.parts, received.n_parts, &frame, NULL) == 0) {
                serve(self, received.peer, &frame);
            }
            rub_received_release(&received);
        }
    }
    return NULL;
}

static int start(void **state)
{
    static peer_t storage;
    peer_t *self = &storage;
    memset(self, 0, sizeof(*self));
    rub_arena_init(&self->arena);
    rub_buf_init(&self->buf);
    self->net = rub_net_new(NULL);
    assert_non_null(self->net);
    const char *any = "tcp://127.0.0.1:0";
    assert_int_equal(rub_socket_open(self->net, RUB_SOCKET_ROUTER, &self->scheduler, NULL), 0);
    assert_int_equal(rub_socket_open(self->net, RUB_SOCKET_ROUTER, &self->shard, NULL), 0);
    assert_int_equal(rub_socket_bind(self->scheduler, any, self->scheduler_address, 128, NULL), 0);
    assert_int_equal(rub_socket_bind(self->shard, any, self->shard_address, 128, NULL), 0);
    *state = self;
    return pthread_create(&self->thread, NULL, play, self);
}

static int stop(void **state)
{
    peer_t *self = *state;
    atomic_store(&self->stop, true);
    pthread_join(self->thread, NULL);
    rub_socket_close(&self->scheduler, 0);
    rub_socket_close(&self->shard, 0);
    rub_net_destroy(&self->net);
    rub_arena_fini(&self->arena);
    rub_buf_fini(&self->buf);
    return 0;
}

static rub_session_t *open_rank(const peer_t *peer, int32_t rank)
{
    rub_options_t options;
    rub_options_defaults(&options);
    options.scheduler = peer->scheduler_address;
    options.rank = rank;
    options.join_timeout_ms = 10000;
    options.request_timeout_ms = rank == 0 ? 10000 : 300;
    rub_session_t *session = NULL;
    rub_error_t err = {0};
    if (rub_open(&options, &session, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return session;
}

static rub_table_t open_table(rub_session_t *session)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "votes";
    schema.elements = ELEMENTS;
    schema.optimizer = RUB_ADD;
    rub_table_t table = 0;
    assert_int_equal(rub_table_open(session, &schema, &table, NULL), 0);
    return table;
}

static void a_lent_array_is_the_callers_again_after_its_wait(void **state)
{
    peer_t *peer = *state;
    rub_session_t *session = open_rank(peer, 0);
    const rub_table_t table = open_table(session);
    static float values[2][ELEMENTS], sums[ELEMENTS];
    rub_handle_t handles[2] = {0};
    for (size_t round = 0; round < 40; round++) {
        float *mine = values[round % 2];
        if (handles[round % 2]) {
            assert_int_equal(rub_wait(session, handles[round % 2], NULL), 0);
        }
        for (size_t i = 0; i < ELEMENTS; i++) {
            mine[i] = (float)(i % 100 + round);
        }
        assert_int_equal(
            rub_push_range_lent(session, table, 0, ELEMENTS, mine, &handles[round % 2], NULL), 0);
    }
    assert_int_equal(rub_flush(session, NULL), 0);
    memset(values, 0xff, sizeof(values));
    assert_int_equal(rub_pull_range(session, table, 0, ELEMENTS - 1, sums, NULL), 0);
    for (size_t i = 0; i < ELEMENTS - 1; i++) {
        assert_true(sums[i] == (float)(40 * (i % 100) + 40 * 39 / 2));
    }
    assert_int_equal(rub_close(&session, true, NULL), 0);
}

/* Were anything sent from it later, it would be sent from a page that nobody may read. */
static void an_array_that_was_lent_is_gone_with_its_session(void **state)
{
    peer_t *peer = *state;
    rub_session_t *session = open_rank(peer, 0);
    const rub_table_t table = open_table(session);
    const size_t bytes = ELEMENTS * sizeof(float);
    float *values = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    assert_true(values != MAP_FAILED);
    for (size_t i = 0; i < 20; i++) {
        assert_int_equal(rub_push_range_lent(session, table, 0, ELEMENTS, values, NULL, NULL), 0);
    }
    rub_abandon(&session);
    assert_int_equal(munmap(values, bytes), 0);
}

static void two_sessions_of_a_process_push_pull_and_leave(void **state)
{
    peer_t *peer = *state;
    rub_session_t *sessions[SESSIONS];
    static float ones[ELEMENTS], sums[ELEMENTS];
    for (size_t i = 0; i < ELEMENTS; i++) {
        ones[i] = 1.0f;
    }
    rub_table_t table = 0;
    for (int32_t i = 0; i < SESSIONS; i++) {
        sessions[i] = open_rank(peer, i);
        table = open_table(sessions[i]);
    }
    for (int period = 0; period < 20; period++) {
        for (int32_t i = 0; i < SESSIONS; i++) {
            rub_handle_t handle = 0;
            assert_int_equal(rub_push_range(sessions[i], table, 0, ELEMENTS, ones, &handle, NULL),
                             0);
            assert_int_equal(rub_wait(sessions[i], handle, NULL), 0);
            assert_int_equal(rub_clock(sessions[i], NULL, 0, NULL), 0);
        }
    }
    for (int32_t i = 0; i < SESSIONS; i++) {
        assert_int_equal(rub_flush(sessions[i], NULL), 0);
    }
    assert_int_equal(rub_pull_range(sessions[0], table, 1, ELEMENTS - 1, sums, NULL), 0);
    assert_true(sums[0] == 20.0f * SESSIONS);
    assert_true(sums[ELEMENTS - 2] == 20.0f * SESSIONS);
    for (int32_t i = 0; i < SESSIONS; i++) {
        rub_info_t info;
        rub_session_info(sessions[i], &info);
        assert_int_equal(info.rank, i);
        assert_int_equal(info.clock, 20);
        assert_int_equal(rub_close(&sessions[i], true, NULL), 0);
        assert_null(sessions[i]);
    }
}

static void a_wait_ends_at_its_deadline_and_names_whom_it_waited_for(void **state)
{
    peer_t *peer = *state;
    rub_session_t *session = open_rank(peer, 1);
    const rub_table_t table = open_table(session);
    atomic_store(&peer->park, true);
    float value = 7;
    rub_error_t err = {0};
    assert_int_equal(rub_pull_range(session, table, 0, 1, &value, &err), RUB_ETIMEOUT);
    assert_non_null(strstr(err.message, "pull of 'votes'"));
    assert_non_null(strstr(err.message, "rank 1 on shard 0"));
    rub_handle_t handle = 0;
    assert_int_equal(rub_pull_range_async(session, table, 0, 1, 0, &value, &handle, NULL), 0);
    assert_int_equal(rub_wait(session, handle, NULL), RUB_ETIMEOUT);
    assert_int_equal(rub_cancel(session, handle, NULL), 0); /* it was still under way */
    assert_true(value == 7.0f);
    rub_abandon(&session);
    assert_null(session);
}

static void a_barrier_that_timed_out_is_taken_up_again(void **state)
{
    peer_t *peer = *state;
    rub_session_t *session = open_rank(peer, 1);
    const rub_table_t table = open_table(session);
    static const float ones[ELEMENTS] = {1};
    atomic_store(&peer->shut, true);
    double sum = 42;
    rub_error_t err = {0};
    assert_int_equal(rub_barrier(session, &sum, 1, &err), RUB_ETIMEOUT);
    assert_non_null(strstr(err.message, "barrier waited"));
    assert_int_equal(rub_pause(session, NULL), RUB_EBUSY);
    assert_int_equal(rub_push_range(session, table, 0, ELEMENTS, ones, NULL, NULL), RUB_EINVAL);
    atomic_store(&peer->shut, false);
    double again = 1;
    int rc = RUB_ETIMEOUT;
    for (int i = 0; i < 20 && rc == RUB_ETIMEOUT; i++) {
        rc = rub_barrier(session, &again, 1, NULL);
    }
    assert_int_equal(rc, 0);
    assert_true(again == 42); /* it is the one that was begun */
    assert_int_equal(rub_pause(session, NULL), 0);
    assert_int_equal(rub_resume(session, NULL), 0);
    assert_int_equal(rub_close(&session, true, NULL), 0);
}

/* What the child did wrong, or 0. */
static int use_a_parents(rub_session_t *session, rub_table_t table)
{
    float value = 0;
    double sum = 0;
    rub_error_t err = {0};
    rub_handle_t handle = 0;
    rub_schema_t schema;
    const bool refused =
        rub_table_schema(session, table, &schema, NULL) == RUB_EINVAL &&
        rub_push_range(session, table, 0, 1, &value, &handle, &err) == RUB_EINVAL &&
        rub_pull_range(session, table, 0, 1, &value, NULL) == RUB_EINVAL &&
        rub_barrier(session, &sum, 1, NULL) == RUB_EINVAL &&
        rub_clock(session, NULL, 0, NULL) == RUB_EINVAL && rub_flush(session, NULL) == RUB_EINVAL;
    const bool named = strstr(err.message, "from which this one was forked") != NULL;
    const bool closed = rub_close(&session, true, NULL) == RUB_EINVAL && session == NULL;
    return refused && named && closed ? 0 : 1;
}

static void a_forked_child_has_no_session_and_leaves_its_parents_alone(void **state)
{
    peer_t *peer = *state;
    rub_session_t *session = open_rank(peer, 0);
    const rub_table_t table = open_table(session);
    static const float ones[ELEMENTS] = {1};
    assert_int_equal(rub_push_range(session, table, 0, ELEMENTS, ones, NULL, NULL), 0);
    const pid_t child = fork();
    if (child == 0) {
        _exit(use_a_parents(session, table));
    }
    int status = 1;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_int_equal(status, 0);
    float value = 0;
    assert_int_equal(rub_clock(session, NULL, 0, NULL), 0);
    assert_int_equal(rub_flush(session, NULL), 0);
    assert_int_equal(rub_pull_range(session, table, 0, 1, &value, NULL), 0);
    assert_true(value == 1.0f);
    assert_int_equal(rub_close(&session, true, NULL), 0);
}

static void an_open_that_fails_gives_its_rank_back(void **state)
{
    peer_t *peer = *state;
    rub_options_t options;
    rub_options_defaults(&options);
    options.scheduler = peer->scheduler_address;
    options.rank = 1;
    options.join_timeout_ms = 500;
    atomic_store(&peer->hidden, true);
    rub_session_t *session = NULL;
    rub_error_t err = {0};
    assert_int_equal(rub_open(&options, &session, &err), RUB_EPEER);
    assert_null(session);
    assert_non_null(strstr(err.message, "shard 0"));
    for (int i = 0; i < 6000 && atomic_load(&peer->leaves) == 0; i++) {
        rub_sleep_ms(10);
    }
    assert_int_equal(atomic_load(&peer->leaves), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(two_sessions_of_a_process_push_pull_and_leave, start, stop),
        cmocka_unit_test_setup_teardown(a_lent_array_is_the_callers_again_after_its_wait, start,
                                        stop),
        cmocka_unit_test_setup_teardown(an_array_that_was_lent_is_gone_with_its_session, start,
                                        stop),
        cmocka_unit_test_setup_teardown(a_wait_ends_at_its_deadline_and_names_whom_it_waited_for,
                                        start, stop),
        cmocka_unit_test_setup_teardown(a_forked_child_has_no_session_and_leaves_its_parents_alone,
                                        start, stop),
        cmocka_unit_test_setup_teardown(an_open_that_fails_gives_its_rank_back, start, stop),
        cmocka_unit_test_setup_teardown(a_barrier_that_timed_out_is_taken_up_again, start, stop),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
