/* What leaves a shard, and what it says to who has a lane and no connection any more. */
#include "common/base/check.h"
#include "ps/zmq_outbox.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { GONE = 77 }; /* no connection of this number was ever there */

typedef struct shard {
    rub_net_t *net;
    rub_outbox_t out;
    rub_shard_effects_t effects;
    rub_lane_t *lane; /* the session's end */
} shard_t;

static int setup(void **state)
{
    static shard_t shard;
    uint8_t values[RUB_LANE_OFFER_BYTES];
    rub_lane_offer_t offer = {.number = 1, .n_push = 1, .n_pull = 1};
    rub_packet_t *answer = NULL;
    shard = (shard_t){.net = rub_net_new(NULL)};
    assert_non_null(shard.net);
    rub_outbox_init(&shard.out);
    rub_peer_lanes_init(&shard.out.lanes, true, false);
    shard.effects = rub_outbox_effects(&shard.out, false);
    assert_int_equal(rub_socket_open(shard.net, RUB_SOCKET_ROUTER, &shard.out.router, NULL), 0);
    assert_int_equal(rub_lane_create(&offer, &shard.lane, NULL), 0);
    rub_lane_offer_write(&offer, values);
    const rub_frame_t frame = {.header = {.type = RUB_MSG_LANE, .seq = offer.number},
                               .values = values,
                               .values_bytes = sizeof(values)};
    assert_int_equal(rub_peer_lanes_accept(&shard.out.lanes, GONE, &frame, &answer, NULL), 0);
    rub_packet_unref(&answer);
    *state = &shard;
    return 0;
}

static int teardown(void **state)
{
    shard_t *shard = *state;
    rub_socket_close(&shard->out.router, 0);
    rub_outbox_fini(&shard->out);
    rub_lane_close(&shard->lane);
    rub_net_destroy(&shard->net);
    return 0;
}

static void say(shard_t *shard, uint8_t type, uint32_t value_bytes)
{
    const rub_header_t header = {.type = type, .value_bytes = value_bytes};
    rub_packet_t *packet = rub_packet_new(&header, 0, value_bytes);
    assert_non_null(packet);
    shard->effects.send(shard->effects.context, GONE, packet);
    assert_int_equal(rub_outbox_let_go(&shard->out), 0);
}

/* The type of what stands in the session's box next; 0: nothing. */
static uint8_t in_box(const shard_t *shard)
{
    _Alignas(16) uint8_t bytes[RUB_POST_MOST];
    const rub_span_t part = {bytes, rub_post_take(rub_lane_in(shard->lane), bytes)};
    rub_frame_t frame;
    if (part.bytes == 0) {
        return 0;
    }
    assert_int_equal(rub_frame_read(&part, 1, &frame, NULL), 0);
    return frame.header.type;
}

static void whose_connection_takes_nothing_is_told_in_its_box(void **state)
{
    shard_t *shard = *state;
    say(shard, RUB_MSG_ACK, 28); /* goes through the box, which needs no connection */
    assert_int_equal(in_box(shard), RUB_MSG_ACK);
    assert_int_equal(in_box(shard), 0);
    say(shard, RUB_MSG_ROWS, RUB_POST_MOST); /* is lost with the connection */
    assert_int_equal(in_box(shard), RUB_MSG_REHELLO);
    assert_int_equal(in_box(shard), 0);
}

static void who_can_not_be_knocked_up_is_told_so(void **state)
{
    shard_t *shard = *state;
    assert_true(rub_post_sleep(rub_lane_in(shard->lane)));
    say(shard, RUB_MSG_ACK, 28);
    assert_int_equal(in_box(shard), RUB_MSG_ACK);
    assert_int_equal(in_box(shard), RUB_MSG_REHELLO);
    assert_int_equal(in_box(shard), 0);
}

static void what_waits_for_the_turns_end_is_counted_until_it_leaves(void **state)
{
    shard_t *shard = *state;
    const rub_header_t header = {.type = RUB_MSG_ROWS, .value_bytes = 1000};
    for (int i = 0; i < 3; i++) {
        rub_packet_t *packet = rub_packet_new(&header, 0, 1000);
        assert_non_null(packet);
        shard->effects.send(shard->effects.context, GONE, packet);
    }
    assert_int_equal(shard->out.sends_bytes, 3 * (RUB_HEADER_BYTES + 1000));
    assert_int_equal(rub_outbox_let_go(&shard->out), 0);
    assert_int_equal(shard->out.sends_bytes, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(whose_connection_takes_nothing_is_told_in_its_box, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(who_can_not_be_knocked_up_is_told_so, setup, teardown),
        cmocka_unit_test_setup_teardown(what_waits_for_the_turns_end_is_counted_until_it_leaves,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
