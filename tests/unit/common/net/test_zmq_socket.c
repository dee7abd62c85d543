/* Sockets move whole messages, bounded and aligned, and drop what has nowhere to go. */
#include "common/base/check.h"
#include "common/base/timing.h"
#include "common/net/unread.h"
#include "common/net/zmq_socket.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>
#include <zmq.h>

enum { PATIENCE_MS = 60000 }; /* with a machine that has much else to do */

typedef struct pair {
    rub_net_t *net;
    rub_socket_t *router, *dealer;
    char address[128];
} pair_t;

static int setup(void **state)
{
    pair_t *pair = calloc(1, sizeof(*pair));
    pair->net = rub_net_new(NULL);
    assert_non_null(pair->net);
    assert_int_equal(rub_socket_open(pair->net, RUB_SOCKET_ROUTER, &pair->router, NULL), 0);
    assert_int_equal(rub_socket_open(pair->net, RUB_SOCKET_DEALER, &pair->dealer, NULL), 0);
    assert_int_equal(rub_socket_bind(pair->router, "tcp://127.0.0.1:0", pair->address,
                                     sizeof(pair->address), NULL),
                     0);
    *state = pair;
    return 0;
}

static int teardown(void **state)
{
    pair_t *pair = *state;
    rub_socket_close(&pair->router, 0);
    rub_socket_close(&pair->dealer, 0);
    rub_net_destroy(&pair->net);
    free(pair);
    return 0;
}

static void connect_dealer(pair_t *pair)
{
    assert_int_equal(rub_socket_connect(pair->dealer, pair->address, NULL), 0);
    for (int i = 0; i < PATIENCE_MS / 10 && !rub_socket_connected(pair->dealer); i++) {
        rub_sleep_ms(10);
    }
    assert_true(rub_socket_connected(pair->dealer));
}

static void receive(rub_socket_t *socket, rub_received_t *received)
{
    rub_poll_t item = {.socket = socket};
    for (int i = 0; i < PATIENCE_MS / 100; i++) {
        (void)rub_socket_poll(&item, 1, 100);
        const int rc = rub_socket_receive(socket, received);
        if (rc == 0) {
            return;
        }
        assert_int_equal(rc, RUB_SOCKET_EMPTY);
    }
    fail_msg("no message came");
}

/* A PUSH of so many keys and values with content that can be checked. */
static rub_packet_t *packet_of(uint32_t n_keys, uint32_t n_values)
{
    const rub_header_t header = {
        .type = RUB_MSG_PUSH, .n_keys = n_keys, .value_bytes = n_values * 4};
    rub_packet_t *packet = rub_packet_new(&header, n_keys * 8, n_values * 4);
    assert_non_null(packet);
    for (uint32_t i = 0; i < n_keys * 8; i++) {
        rub_packet_keys(packet)[i] = (uint8_t)(i * 7 + 1);
    }
    for (uint32_t i = 0; i < n_values * 4; i++) {
        rub_packet_values(packet)[i] = (uint8_t)(i * 3 + 2);
    }
    return packet;
}

static void check_same(const rub_packet_t *sent, const rub_received_t *received)
{
    const rub_span_t whole = rub_packet_bytes(sent);
    size_t at = 0;
    for (size_t i = 0; i < received->n_parts; i++) {
        assert_true(at + received->parts[i].bytes <= whole.bytes);
        assert_int_equal((uintptr_t)received->parts[i].data % 8, 0);
        assert_memory_equal(received->parts[i].data, (const uint8_t *)whole.data + at,
                            received->parts[i].bytes);
        at += received->parts[i].bytes;
    }
    assert_int_equal(at, whole.bytes);
}

static void packets_of_all_sizes_arrive_whole_and_aligned(void **state)
{
    pair_t *pair = *state;
    connect_dealer(pair);
    const uint32_t sizes[][2] = {{0, 0},    {1, 1},    {3, 5},       {100, 300},
                                 {1, 2046}, {1, 4096}, {2000, 64000}};
    for (size_t i = 0; i < RUB_COUNT_OF(sizes); i++) {
        rub_packet_t *packet = packet_of(sizes[i][0], sizes[i][1]);
        rub_received_t received;
        assert_int_equal(rub_socket_send(pair->dealer, 0, rub_packet_ref(packet)), 0);
        receive(pair->router, &received);
        assert_int_equal(received.n_parts,
                         rub_packet_bytes(packet).bytes <= RUB_INLINE_LIMIT ? 1 : 3);
        check_same(packet, &received);
        const uint64_t peer = received.peer;
        rub_received_release(&received);
        assert_int_equal(rub_socket_send(pair->router, peer, rub_packet_ref(packet)), 0);
        receive(pair->dealer, &received);
        check_same(packet, &received);
        assert_int_equal(received.peer, 0);
        rub_received_release(&received);
        rub_received_release(&received); /* a second time does nothing */
        rub_packet_unref(&packet);
    }
}

static void many_small_messages_in_a_row_stay_aligned(void **state)
{
    pair_t *pair = *state;
    connect_dealer(pair);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(rub_socket_send(pair->dealer, 0, packet_of(i % 5, i % 23)), 0);
    }
    for (uint32_t i = 0; i < 1000; i++) {
        rub_received_t received;
        receive(pair->router, &received);
        rub_packet_t *same = packet_of(i % 5, i % 23);
        check_same(same, &received);
        rub_packet_unref(&same);
        rub_received_release(&received);
    }
}

static void bytes_arrive_as_one_part(void **state)
{
    pair_t *pair = *state;
    connect_dealer(pair);
    assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, "hello", 5), 0);
    rub_received_t received;
    receive(pair->router, &received);
    assert_int_equal(received.n_parts, 1);
    assert_memory_equal(received.parts[0].data, "hello", 5);
    assert_int_equal(rub_socket_send_bytes(pair->router, received.peer, "", 0), 0);
    rub_received_release(&received);
    receive(pair->dealer, &received);
    assert_int_equal(received.parts[0].bytes, 0);
    rub_received_release(&received);
}

static void nothing_to_receive_is_told_at_once(void **state)
{
    pair_t *pair = *state;
    rub_received_t received;
    assert_int_equal(rub_socket_receive(pair->router, &received), RUB_SOCKET_EMPTY);
    assert_int_equal(rub_socket_receive(pair->dealer, &received), RUB_SOCKET_EMPTY);
}

static void sends_to_nobody_are_dropped_and_free_the_packet(void **state)
{
    pair_t *pair = *state;
    rub_packet_t *packet = packet_of(10, 10000);
    assert_false(rub_socket_connected(pair->dealer));
    assert_int_equal(rub_socket_send(pair->dealer, 0, rub_packet_ref(packet)), RUB_SOCKET_DROPPED);
    assert_int_equal(rub_socket_send(pair->router, 12345, rub_packet_ref(packet)),
                     RUB_SOCKET_DROPPED);
    assert_int_equal(rub_socket_send_bytes(pair->router, 12345, "x", 1), RUB_SOCKET_DROPPED);
    rub_packet_unref(&packet);
    connect_dealer(pair); /* and the sockets still work */
    assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, "x", 1), 0);
    rub_received_t received;
    receive(pair->router, &received);
    rub_received_release(&received);
}

static void message_of_too_many_parts_is_dropped_and_the_next_one_arrives(void **state)
{
    pair_t *pair = *state;
    connect_dealer(pair);
    void *raw = rub_socket_handle(pair->dealer);
    for (int i = 0; i < 9; i++) {
        assert_int_equal(zmq_send(raw, "part", 4, i < 8 ? ZMQ_SNDMORE : 0), 4);
    }
    assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, "good", 4), 0);
    rub_received_t received;
    receive(pair->router, &received);
    assert_int_equal(received.n_parts, 1);
    assert_memory_equal(received.parts[0].data, "good", 4);
    rub_received_release(&received);
    assert_int_equal(rub_socket_dropped(pair->router), 1);
}

static void peers_that_name_themselves_are_not_heard(void **state)
{
    pair_t *pair = *state;
    void *raw = rub_socket_handle(pair->dealer);
    assert_int_equal(zmq_setsockopt(raw, ZMQ_ROUTING_ID, "me", 2), 0);
    connect_dealer(pair);
    assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, "x", 1), 0);
    rub_received_t received;
    for (int i = 0; i < PATIENCE_MS / 10 && rub_socket_dropped(pair->router) == 0; i++) {
        assert_int_equal(rub_socket_receive(pair->router, &received), RUB_SOCKET_EMPTY);
        rub_sleep_ms(10);
    }
    assert_int_equal(rub_socket_dropped(pair->router), 1);
}

static void frame_above_the_limit_ends_the_connection(void **state)
{
    pair_t *pair = *state;
    connect_dealer(pair);
    const size_t bytes = 2 * RUB_MESSAGE_LIMIT;
    void *data = calloc(1, bytes);
    assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, data, bytes), 0);
    free(data);
    rub_poll_t item = {.socket = pair->router};
    assert_int_equal(rub_socket_poll(&item, 1, 200), 0);
}

static void taken_and_malformed_addresses_are_named(void **state)
{
    pair_t *pair = *state;
    rub_socket_t *other = NULL;
    rub_error_t err = {0};
    assert_int_equal(rub_socket_open(pair->net, RUB_SOCKET_ROUTER, &other, NULL), 0);
    assert_int_equal(rub_socket_bind(other, pair->address, NULL, 0, &err), RUB_EBUSY);
    assert_non_null(strstr(err.message, pair->address));
    assert_int_equal(rub_socket_bind(other, "nonsense", NULL, 0, &err), RUB_ECONFIG);
    assert_non_null(strstr(err.message, "nonsense"));
    assert_int_equal(rub_socket_connect(other, "tcp://:", &err), RUB_ECONFIG);
    rub_socket_close(&other, 0);
}

static void poll_sees_file_descriptors_and_ends_in_time(void **state)
{
    pair_t *pair = *state;
    int pipe_fds[2];
    assert_int_equal(pipe(pipe_fds), 0);
    rub_poll_t items[2] = {{.socket = pair->router}, {.fd = pipe_fds[0]}};
    const uint64_t begun = rub_now_ms();
    assert_int_equal(rub_socket_poll(items, 2, 30), 0);
    assert_true(rub_now_ms() - begun >= 25);
    assert_int_equal(write(pipe_fds[1], "x", 1), 1);
    assert_int_equal(rub_socket_poll(items, 2, PATIENCE_MS), 1);
    assert_false(items[0].readable);
    assert_true(items[1].readable);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

/* libzmq says only once that there is news. */
static void poll_sees_messages_whose_news_another_call_has_used_up(void **state)
{
    pair_t *pair = *state;
    connect_dealer(pair);
    rub_received_t received;
    assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, "a", 1), 0);
    receive(pair->router, &received);
    const uint64_t peer = received.peer;
    rub_received_release(&received);
    assert_int_equal(rub_socket_receive(pair->dealer, &received), RUB_SOCKET_EMPTY);
    rub_poll_t news = {.socket = pair->dealer};
    assert_int_equal(rub_socket_send_bytes(pair->router, peer, "b", 1), 0);
    assert_int_equal(rub_socket_send_bytes(pair->router, peer, "c", 1), 0);
    assert_int_equal(rub_socket_poll(&news, 1, PATIENCE_MS), 1);
    for (int i = 0; i < 3; i++) { /* asked, answered, and still there */
        assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, "d", 1), 0);
        assert_true(rub_socket_connected(pair->dealer));
        assert_int_equal(rub_socket_poll(&news, 1, 0), 1);
    }
    receive(pair->dealer, &received);
    assert_memory_equal(received.parts[0].data, "b", 1);
    rub_received_release(&received);
    assert_int_equal(rub_socket_poll(&news, 1, PATIENCE_MS), 1); /* c may be on its way */
    receive(pair->dealer, &received);
    assert_memory_equal(received.parts[0].data, "c", 1);
    rub_received_release(&received);
    assert_int_equal(rub_socket_receive(pair->dealer, &received), RUB_SOCKET_EMPTY);
    assert_int_equal(rub_socket_send_bytes(pair->router, peer, "e", 1), 0);
    rub_sleep_ms(20); /* a send hears of it on the way, if it has come */
    assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, "f", 1), 0);
    assert_int_equal(rub_socket_poll(&news, 1, PATIENCE_MS), 1);
}

static void connection_that_ends_is_noticed(void **state)
{
    pair_t *pair = *state;
    connect_dealer(pair);
    rub_socket_close(&pair->router, 0);
    for (int i = 0; i < PATIENCE_MS / 10 && rub_socket_connected(pair->dealer); i++) {
        rub_sleep_ms(10);
    }
    assert_false(rub_socket_connected(pair->dealer));
    assert_int_equal(rub_socket_send_bytes(pair->dealer, 0, "x", 1), RUB_SOCKET_DROPPED);
}

/* A peer of ours that reads as slowly as the test wants: its own I/O thread takes one message and
 * waits. */
static void *stalled_peer(const pair_t *pair, void *context, uint64_t *peer_p)
{
    void *raw = zmq_socket(context, ZMQ_DEALER);
    const int one = 1, none = 0;
    assert_int_equal(zmq_setsockopt(raw, ZMQ_RCVHWM, &one, sizeof(one)), 0);
    assert_int_equal(zmq_setsockopt(raw, ZMQ_LINGER, &none, sizeof(none)), 0);
    assert_int_equal(zmq_connect(raw, pair->address), 0);
    assert_int_equal(zmq_send(raw, "x", 1, 0), 1);
    rub_received_t received;
    receive(pair->router, &received);
    *peer_p = received.peer;
    rub_received_release(&received);
    return raw;
}

static uint64_t wait_until_unread(const rub_socket_t *router, uint64_t peer, uint64_t bytes)
{
    for (int i = 0; i < PATIENCE_MS / 10 && rub_socket_unread(router, peer) > bytes; i++) {
        rub_sleep_ms(10);
    }
    return rub_socket_unread(router, peer);
}

/* The same packet again and again: making each would, on a busy machine, take longer than the
 * heartbeats of a peer that reads nothing may be silent. */
static void send_many(rub_socket_t *router, uint64_t peer, uint32_t n_values, int n)
{
    rub_packet_t *packet = packet_of(0, n_values);
    for (int i = 0; i < n; i++) {
        assert_int_equal(rub_socket_send(router, peer, rub_packet_ref(packet)), 0);
    }
    rub_packet_unref(&packet);
}

static void what_a_peer_does_not_read_is_counted_until_it_does(void **state)
{
    pair_t *pair = *state;
    enum { LARGE = 400, SMALL = 20000, LARGE_BYTES = 128 << 10 };
    const uint64_t kernel_bytes = 16u << 20; /* what the buffers of TCP may take */
    void *context = zmq_ctx_new();
    uint64_t peer = 0;
    void *raw = stalled_peer(pair, context, &peer);
    assert_int_equal(rub_socket_unread(pair->router, peer), 0);
    send_many(pair->router, peer, LARGE_BYTES / 4, LARGE);
    const uint64_t large = rub_socket_unread(pair->router, peer);
    assert_true(large + kernel_bytes > (uint64_t)LARGE * LARGE_BYTES);
    send_many(pair->router, peer, 250, SMALL);
    assert_true(rub_socket_unread(pair->router, peer) >= large + (uint64_t)SMALL * 1000 / 2);
    int n = 0;
    zmq_msg_t part;
    while (n < LARGE + SMALL) {
        (void)zmq_msg_init(&part);
        assert_true(zmq_msg_recv(&part, raw, 0) >= 0);
        n += zmq_msg_more(&part) ? 0 : 1;
        (void)zmq_msg_close(&part);
    }
    assert_int_equal(wait_until_unread(pair->router, peer, 0), 0);
    zmq_close(raw);
    zmq_ctx_term(context);
}

/* The control plane: copies, with a mark each 64 KiB. */
static void bytes_that_a_peer_does_not_read_are_counted_too(void **state)
{
    pair_t *pair = *state;
    enum { MESSAGES = 4000, BYTES = 10000 };
    static const uint8_t bytes[BYTES];
    void *context = zmq_ctx_new();
    uint64_t peer = 0;
    void *raw = stalled_peer(pair, context, &peer);
    for (int i = 0; i < MESSAGES; i++) {
        assert_int_equal(rub_socket_send_bytes(pair->router, peer, bytes, BYTES), 0);
    }
    assert_true(rub_socket_unread(pair->router, peer) > (uint64_t)MESSAGES * BYTES / 2);
    char got[BYTES];
    for (int i = 0; i < MESSAGES; i++) {
        assert_int_equal(zmq_recv(raw, got, BYTES, 0), BYTES);
    }
    const uint64_t rest = RUB_UNREAD_STEP + BYTES + RUB_UNREAD_MESSAGE_BYTES;
    assert_true(wait_until_unread(pair->router, peer, rest) <= rest);
    zmq_close(raw);
    zmq_ctx_term(context);
}

static void what_was_unread_goes_with_the_connection(void **state)
{
    pair_t *pair = *state;
    void *context = zmq_ctx_new();
    uint64_t peer = 0;
    void *raw = stalled_peer(pair, context, &peer);
    send_many(pair->router, peer, 32768, 400);
    assert_true(rub_socket_unread(pair->router, peer) > 16u << 20);
    zmq_close(raw);
    zmq_ctx_term(context);
    rub_poll_t item = {.socket = pair->router};
    for (int i = 0; i < 50 && rub_socket_unread(pair->router, peer) > 0; i++) {
        (void)rub_socket_poll(&item, 1, 20);
        (void)rub_socket_send(pair->router, peer, packet_of(0, 1)); /* also takes libzmq's news */
    }
    assert_int_equal(rub_socket_unread(pair->router, peer), 0);
}

static void thousands_of_connections_leave_no_account_behind(void **state)
{
    RUB_UNUSED(state);
    rub_unread_t unread;
    rub_unread_init(&unread);
    rub_unread_mark_t *kept = rub_unread_mark(rub_unread_charge(&unread, 7, 1000));
    for (uint64_t peer = 100; peer < 5100; peer++) {
        rub_unread_mark_t *mark = rub_unread_mark(rub_unread_charge(&unread, peer, 100000));
        assert_int_equal(rub_unread_bytes(&unread, peer), 100000 + RUB_UNREAD_MESSAGE_BYTES);
        rub_unread_release(&mark);
        assert_int_equal(rub_unread_bytes(&unread, peer), 0);
    }
    assert_true(unread.n_slots <= 64);
    assert_int_equal(rub_unread_bytes(&unread, 7), 1000 + RUB_UNREAD_MESSAGE_BYTES);
    rub_unread_forget(&unread, 7);
    assert_int_equal(rub_unread_bytes(&unread, 7), 0);
    rub_unread_fini(&unread);
    rub_unread_release(&kept); /* after the socket: libzmq's thread may be late */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(packets_of_all_sizes_arrive_whole_and_aligned),
        TEST(many_small_messages_in_a_row_stay_aligned),
        TEST(bytes_arrive_as_one_part),
        TEST(nothing_to_receive_is_told_at_once),
        TEST(sends_to_nobody_are_dropped_and_free_the_packet),
        TEST(message_of_too_many_parts_is_dropped_and_the_next_one_arrives),
        TEST(peers_that_name_themselves_are_not_heard),
        TEST(frame_above_the_limit_ends_the_connection),
        TEST(taken_and_malformed_addresses_are_named),
        TEST(poll_sees_file_descriptors_and_ends_in_time),
        TEST(poll_sees_messages_whose_news_another_call_has_used_up),
        TEST(connection_that_ends_is_noticed),
        TEST(what_a_peer_does_not_read_is_counted_until_it_does),
        TEST(bytes_that_a_peer_does_not_read_are_counted_too),
        TEST(what_was_unread_goes_with_the_connection),
        cmocka_unit_test(thousands_of_connections_leave_no_account_behind),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
