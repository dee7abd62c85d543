/* A shard behind its sockets: what strangers get before they have said HELLO. The test is scheduler
 * and stranger in one, over one context. */
#include "common/base/check.h"
#include "common/base/timing.h"
#include "common/net/lane.h"
#include "common/wire/control.h"
#include "common/wire/grant.h"
#include "ps/zmq_shard.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { PATIENCE_MS = 60000 };

typedef struct host {
    rub_net_t *net;
    rub_shard_run_t run;
    rub_log_t log;
    FILE *said;
    char address[64];
    atomic_int halt;
    pthread_t thread;
    rub_socket_t *scheduler, *peer;
} host_t;

static void *run(void *argument)
{
    host_t *host = argument;
    (void)rub_shard_run(host->net, &host->run, NULL);
    return NULL;
}

static void receive(rub_socket_t *socket, rub_received_t *received)
{
    const uint64_t end_ms = rub_now_ms() + PATIENCE_MS;
    while (rub_socket_receive(socket, received) != 0) {
        rub_poll_t item = {.socket = socket};
        assert_true(rub_now_ms() < end_ms);
        (void)rub_socket_poll(&item, 1, 100);
    }
}

static int start(void **state, const char *address)
{
    static host_t host;
    host = (host_t){.said = tmpfile()};
    (void)snprintf(host.address, sizeof(host.address), "%s", address);
    rub_log_init(&host.log, host.said, RUB_LOG_INFO, "ps");
    host.net = rub_net_new(NULL);
    assert_non_null(host.net);
    assert_int_equal(rub_socket_open(host.net, RUB_SOCKET_ROUTER, &host.scheduler, NULL), 0);
    assert_int_equal(rub_socket_bind(host.scheduler, "inproc://scheduler", NULL, 0, NULL), 0);
    host.run = (rub_shard_run_t){.core = {.n_shards = 1, .durability = RUB_DURABILITY_NONE},
                                 .listen = host.address,
                                 .advertise = "",
                                 .scheduler = "inproc://scheduler",
                                 .store_dir = "",
                                 .snapshots_dir = "",
                                 .lanes = true,
                                 .join_timeout_ms = PATIENCE_MS,
                                 .grace_ms = PATIENCE_MS,
                                 .halt = &host.halt,
                                 .log = &host.log};
    assert_int_equal(pthread_create(&host.thread, NULL, run, &host), 0);
    rub_received_t registers; /* once it has, it listens */
    receive(host.scheduler, &registers);
    rub_received_release(&registers);
    assert_int_equal(rub_socket_open(host.net, RUB_SOCKET_DEALER, &host.peer, NULL), 0);
    assert_int_equal(rub_socket_connect(host.peer, host.address, NULL), 0);
    *state = &host;
    return 0;
}

static int setup(void **state)
{
    return start(state, "inproc://shard");
}

static int setup_wire(void **state)
{
    char address[64];
    (void)snprintf(address, sizeof(address), "ipc://@rubato-test-%ld", (long)getpid());
    return start(state, address);
}

static int teardown(void **state)
{
    host_t *host = *state;
    atomic_store(&host->halt, 1);
    (void)pthread_join(host->thread, NULL);
    rub_socket_close(&host->peer, 0);
    rub_socket_close(&host->scheduler, 0);
    rub_net_destroy(&host->net);
    (void)fclose(host->said);
    return 0;
}

/* The type of the shard's next message to the stranger. */
static uint8_t answer(const host_t *host)
{
    rub_received_t received;
    rub_frame_t frame = {.header = {.type = 0}};
    receive(host->peer, &received);
    assert_int_equal(rub_frame_read(received.parts, received.n_parts, &frame, NULL), 0);
    rub_received_release(&received);
    return frame.header.type;
}

static void a_lane_is_not_taken_from_who_has_not_said_hello(void **state)
{
    const host_t *host = *state;
    rub_lane_offer_t offer = {.number = 1, .n_push = 2, .n_pull = 1};
    rub_lane_t *lane = NULL;
    assert_int_equal(rub_lane_create(&offer, &lane, NULL), 0);
    const rub_header_t header = {
        .type = RUB_MSG_LANE, .seq = 1, .value_bytes = RUB_LANE_OFFER_BYTES};
    rub_packet_t *packet = rub_packet_new(&header, 0, header.value_bytes);
    assert_non_null(packet);
    rub_lane_offer_write(&offer, rub_packet_values(packet));
    assert_int_equal(rub_socket_send(host->peer, 0, packet), 0);
    assert_int_equal(answer(host), RUB_MSG_REHELLO);
    rub_lane_close(&lane);
}

/* Its box is one that we do not look into: it is of a connection that we do not know. */
static void a_stranger_that_knocks_is_told_to_say_hello(void **state)
{
    const host_t *host = *state;
    const rub_header_t header = {.type = RUB_MSG_KNOCK};
    assert_int_equal(rub_socket_send(host->peer, 0, rub_packet_new(&header, 0, 0)), 0);
    assert_int_equal(answer(host), RUB_MSG_REHELLO);
}

static bool log_says(const host_t *host, const char *words)
{
    char text[4096];
    const ssize_t n = pread(fileno(host->said), text, sizeof(text) - 1, 0);
    text[n > 0 ? n : 0] = '\0';
    return strstr(text, words) != NULL;
}

/* A PULL that bears a grant for one element. */
static void send_granted(const host_t *host, rub_grant_t *grant)
{
    const rub_header_t header = {.type = RUB_MSG_PULL,
                                 .table = 1,
                                 .flags = RUB_FLAG_RANGE | RUB_FLAG_GRANT,
                                 .n_keys = 1,
                                 .value_bytes = RUB_GRANT_BYTES};
    rub_packet_t *packet = rub_grant_packet(grant, &header, 16);
    assert_non_null(packet);
    rub_put_u64(rub_packet_keys(packet), 0);
    rub_put_u64(rub_packet_keys(packet) + 8, 1);
    while (!rub_socket_connected(host->peer)) { /* a wire takes a moment */
        rub_sleep_ms(1);
    }
    assert_int_equal(rub_socket_send(host->peer, 0, packet), 0);
}

/* words: what the log says of it; NULL: that it was a message. */
static void expect_rehello_and_no_rows(const host_t *host, const char *words)
{
    float value = -1;
    rub_grant_t *grant = rub_grant_new();
    assert_non_null(grant);
    rub_grant_open(grant, &(rub_grant_place_t){.values = &value, .n_rows = 1, .width = 1});
    send_granted(host, grant);
    assert_int_equal(answer(host), RUB_MSG_REHELLO);
    assert_int_equal(log_says(host, "dropped a message"), words != NULL);
    assert_true(!words || log_says(host, words));
    assert_false(rub_grant_revoke(grant));
    assert_true(value == -1);
    rub_grant_unref(&grant);
}

/* The shard is of this very process, and the grant would be real: it is the way that counts. */
static void a_grant_that_came_through_a_wire_is_no_message(void **state)
{
    expect_rehello_and_no_rows(*state, "PULL has flags 41, of which");
}

static void a_grant_is_not_taken_from_who_has_not_said_hello(void **state)
{
    expect_rehello_and_no_rows(*state, NULL);
}

static void bytes_that_say_they_are_a_grant_are_no_message(void **state)
{
    const host_t *host = *state;
    const rub_header_t header = {.type = RUB_MSG_PULL,
                                 .table = 1,
                                 .flags = RUB_FLAG_RANGE | RUB_FLAG_GRANT,
                                 .n_keys = 1,
                                 .value_bytes = RUB_GRANT_BYTES};
    rub_packet_t *packet = rub_packet_new(&header, 16, RUB_GRANT_BYTES);
    assert_non_null(packet);
    memset(rub_packet_keys(packet), 1, 16);
    rub_put_u64(rub_packet_values(packet), (uint64_t)(uintptr_t)rub_packet_values(packet));
    rub_put_u64(rub_packet_values(packet) + 8, RUB_GRANT_LAYOUT);
    assert_int_equal(rub_socket_send(host->peer, 0, packet), 0);
    assert_int_equal(answer(host), RUB_MSG_REHELLO);
    assert_true(log_says(host, "are a grant, and they are none"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_lane_is_not_taken_from_who_has_not_said_hello, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_stranger_that_knocks_is_told_to_say_hello, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_grant_that_came_through_a_wire_is_no_message, setup_wire,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_grant_is_not_taken_from_who_has_not_said_hello, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(bytes_that_say_they_are_a_grant_are_no_message, setup,
                                        teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
