/* The lanes of a shard: who has one, how many there may be, and what is read through them. */
#include "common/base/check.h"
#include "ps/peer_lanes.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

enum { VALUES = 16 * 1024, PEER = 77 };

static rub_lane_t *offer(rub_peer_lanes_t *lanes, uint64_t peer, uint32_t number, int expected)
{
    uint8_t values[RUB_LANE_OFFER_BYTES];
    rub_lane_offer_t wanted = {.number = number, .n_push = 8, .n_pull = 2};
    rub_lane_t *lane = NULL;
    rub_packet_t *answer = NULL;
    assert_int_equal(rub_lane_create(&wanted, &lane, NULL), 0);
    rub_lane_offer_write(&wanted, values);
    const rub_frame_t frame = {.header = {.type = RUB_MSG_LANE, .seq = number},
                               .values = values,
                               .values_bytes = sizeof(values)};
    assert_int_equal(rub_peer_lanes_accept(lanes, peer, &frame, &answer, NULL), expected);
    assert_non_null(answer);
    assert_int_equal(rub_packet_header(answer)->type, RUB_MSG_LANE_ANSWER);
    assert_int_equal(rub_packet_header(answer)->seq, number);
    assert_int_equal((int32_t)rub_get_u32(rub_packet_frame(answer).values), expected);
    rub_packet_unref(&answer);
    return lane;
}

/* A push through that lane as the shard reads it. */
static int push(rub_peer_lanes_t *lanes, uint64_t peer, rub_lane_t *lane, rub_frame_t *frame)
{
    uint8_t bytes[RUB_SLOT_MESSAGE_BYTES];
    const rub_header_t header = {
        .type = RUB_MSG_PUSH, .seq = 1, .n_keys = 1, .value_bytes = VALUES};
    rub_slot_t slot = {.lane = rub_lane_number(lane)};
    rub_packet_t *packet = rub_lane_packet(lane, &header, 8, VALUES);
    assert_non_null(packet);
    assert_true(rub_lane_holds(lane, packet, &slot.slot));
    rub_slot_write(&header, slot, bytes);
    const rub_span_t part = {bytes, sizeof(bytes)};
    const int rc = rub_peer_lanes_read(lanes, peer, &part, frame, NULL);
    rub_packet_unref(&packet);
    return rc;
}

static void a_message_in_a_lane_that_is_not_there_is_refused(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    rub_frame_t frame;
    rub_peer_lanes_init(&lanes, true, true);
    rub_lane_t *lane = offer(&lanes, PEER, 1, 0);
    assert_int_equal(push(&lanes, PEER, lane, &frame), 0);
    assert_int_equal(push(&lanes, PEER + 1, lane, &frame), RUB_EPROTO); /* somebody else's */
    rub_lane_t *next = offer(&lanes, PEER, 2, 0);
    assert_int_equal(lanes.n, 1);
    assert_int_equal(push(&lanes, PEER, lane, &frame), RUB_EPROTO); /* the one before */
    assert_int_equal(push(&lanes, PEER, next, &frame), 0);
    rub_lane_close(&lane);
    rub_lane_close(&next);
    rub_peer_lanes_fini(&lanes);
}

static void a_shard_without_lanes_says_so(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    rub_peer_lanes_init(&lanes, false, true);
    assert_null(rub_peer_lanes_host(&lanes, 4u << 20));
    rub_lane_t *lane = offer(&lanes, PEER, 1, RUB_EREFUSED);
    assert_int_equal(lanes.n, 0);
    rub_lane_close(&lane);
    rub_peer_lanes_fini(&lanes);
}

static void a_host_is_told_within_the_window(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    rub_peer_lanes_init(&lanes, true, true);
    const struct {
        uint64_t window;
        uint32_t n_push, n_pull;
    } cases[] = {{0, 1, 1},
                 {(uint64_t)4 << 20, 16, 16},
                 {(uint64_t)64 << 20, 256, 128},
                 {UINT64_MAX, RUB_LANE_PUSH_SLOTS_MOST, RUB_LANE_PULL_SLOTS_MOST}};
    for (size_t i = 0; i < RUB_COUNT_OF(cases); i++) {
        rub_packet_t *host = rub_peer_lanes_host(&lanes, cases[i].window);
        const rub_frame_t frame = rub_packet_frame(host);
        assert_memory_equal(frame.values, lanes.host, RUB_HOST_TOKEN_BYTES);
        assert_int_equal(rub_get_u32(frame.values + RUB_HOST_TOKEN_BYTES), cases[i].n_push);
        assert_int_equal(rub_get_u32(frame.values + RUB_HOST_TOKEN_BYTES + 4), cases[i].n_pull);
        rub_packet_unref(&host);
    }
    rub_peer_lanes_fini(&lanes);
}

static void a_turn_ends_when_its_copies_are_used_up(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    rub_frame_t first, frame;
    rub_peer_lanes_init(&lanes, true, true);
    rub_lane_t *lane = offer(&lanes, PEER, 1, 0);
    assert_int_equal(push(&lanes, PEER, lane, &first), 0);
    for (unsigned i = 1; i < RUB_PEER_COPIES; i++) {
        assert_false(rub_peer_lanes_are_full(&lanes));
        assert_int_equal(push(&lanes, PEER, lane, &frame), 0);
        assert_ptr_not_equal(frame.values, first.values);
    }
    assert_true(rub_peer_lanes_are_full(&lanes));
    rub_peer_lanes_reset(&lanes);
    assert_int_equal(push(&lanes, PEER, lane, &frame), 0);
    assert_ptr_equal(frame.values, first.values); /* the same memory, still in the cache */
    rub_lane_close(&lane);
    rub_peer_lanes_fini(&lanes);
}

static void without_a_journal_a_copy_takes_the_place_of_the_last(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    rub_frame_t first, frame;
    rub_peer_lanes_init(&lanes, true, false);
    rub_lane_t *lane = offer(&lanes, PEER, 1, 0);
    assert_int_equal(push(&lanes, PEER, lane, &first), 0);
    for (unsigned i = 1; i < RUB_PEER_COPIES; i++) {
        assert_int_equal(push(&lanes, PEER, lane, &frame), 0);
        assert_ptr_equal(frame.values, first.values);
    }
    assert_true(rub_peer_lanes_are_full(&lanes)); /* acknowledgements must not wait for more */
    rub_lane_close(&lane);
    rub_peer_lanes_fini(&lanes);
}

static void answers_go_through_the_lane_while_it_has_slots(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    uint8_t bytes[RUB_SLOT_MESSAGE_BYTES];
    const rub_header_t header = {.type = RUB_MSG_ROWS, .seq = 4, .value_bytes = VALUES};
    rub_peer_lanes_init(&lanes, true, true);
    rub_lane_t *lane = offer(&lanes, PEER, 1, 0);
    rub_packet_t *answers[4];
    for (int i = 0; i < 4; i++) {
        answers[i] = rub_peer_lanes_packet(&lanes, i < 3 ? PEER : PEER + 1, &header, VALUES);
        assert_non_null(answers[i]);
        const bool through = rub_peer_lanes_hand_over(&lanes, PEER, answers[i], bytes);
        assert_int_equal(through, i < 2); /* two slots, and the last is another peer's */
    }
    const rub_span_t part = {bytes, sizeof(bytes)};
    rub_slot_t slot;
    rub_frame_t frame;
    assert_int_equal(rub_slot_read(&part, &slot, &frame, NULL), 0);
    assert_int_equal(rub_lane_open(lane, slot.slot, &frame, NULL), 0);
    for (int i = 0; i < 4; i++) {
        rub_packet_unref(&answers[i]);
    }
    /* Of a lane that is over: the packet is still whole, and goes through the connection. */
    rub_lane_done(lane, 0);
    rub_packet_t *old = rub_peer_lanes_packet(&lanes, PEER, &header, VALUES);
    rub_lane_t *next = offer(&lanes, PEER, 2, 0);
    assert_non_null(rub_packet_place(old));
    assert_false(rub_peer_lanes_hand_over(&lanes, PEER, old, bytes));
    rub_packet_unref(&old);
    rub_lane_close(&lane);
    rub_lane_close(&next);
    rub_peer_lanes_fini(&lanes);
}

/* A session ends its lane with its HELLO, and hears nothing that is named in it any more: an answer
 * that went that way would be asked for again and again. */
static void who_says_hello_is_answered_through_the_connection(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    uint8_t message[RUB_SLOT_MESSAGE_BYTES];
    rub_frame_t frame;
    const rub_header_t header = {.type = RUB_MSG_ROWS, .seq = 9, .value_bytes = VALUES};
    rub_peer_lanes_init(&lanes, true, true);
    rub_lane_t *lane = offer(&lanes, PEER, 1, 0), *others = offer(&lanes, PEER + 1, 1, 0);
    rub_packet_t *before = rub_peer_lanes_packet(&lanes, PEER, &header, VALUES);
    assert_non_null(rub_packet_place(before));
    rub_peer_lanes_end(&lanes, PEER);
    rub_packet_t *behind = rub_peer_lanes_packet(&lanes, PEER, &header, VALUES);
    assert_null(rub_packet_place(behind));
    assert_false(rub_peer_lanes_hand_over(&lanes, PEER, before, message));
    assert_int_equal(push(&lanes, PEER, lane, &frame), RUB_EPROTO);
    assert_int_equal(push(&lanes, PEER + 1, others, &frame), 0);
    rub_packet_unref(&before);
    rub_packet_unref(&behind);
    rub_lane_t *next = offer(&lanes, PEER, 2, 0);
    assert_int_equal(push(&lanes, PEER, next, &frame), 0);
    rub_lane_close(&lane);
    rub_lane_close(&others);
    rub_lane_close(&next);
    rub_peer_lanes_fini(&lanes);
}

static void lanes_are_limited_and_those_of_the_gone_make_room(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    rub_lane_t *kept[RUB_PEER_LANES_LIMIT];
    rub_peer_lanes_init(&lanes, true, true);
    for (unsigned i = 0; i < RUB_PEER_LANES_LIMIT; i++) {
        kept[i] = offer(&lanes, PEER + i, 1, 0);
    }
    rub_lane_t *late = offer(&lanes, PEER + RUB_PEER_LANES_LIMIT, 1, RUB_ELIMIT);
    rub_lane_close(&late);
    rub_peer_lanes_sweep(&lanes, 5000);
    assert_int_equal(lanes.n, RUB_PEER_LANES_LIMIT);
    rub_lane_close(&kept[3]);
    late = offer(&lanes, PEER + RUB_PEER_LANES_LIMIT, 1, 0);
    rub_lane_close(&kept[0]);
    rub_peer_lanes_sweep(&lanes, 5500); /* once a second */
    assert_int_equal(lanes.n, RUB_PEER_LANES_LIMIT);
    rub_peer_lanes_sweep(&lanes, 6000);
    assert_int_equal(lanes.n, RUB_PEER_LANES_LIMIT - 1);
    for (unsigned i = 0; i < RUB_PEER_LANES_LIMIT; i++) {
        rub_lane_close(&kept[i]);
    }
    rub_lane_close(&late);
    rub_peer_lanes_fini(&lanes);
}

/* ---- post boxes ---- */

static void post(rub_lane_t *lane, const char *text)
{
    assert_true(rub_post_put(rub_lane_out(lane), text, strlen(text)));
}

static void expect_post(rub_peer_lanes_t *lanes, const uint64_t *only, uint64_t peer,
                        const char *text)
{
    uint8_t bytes[RUB_POST_MOST];
    uint64_t from = 0;
    const size_t n = rub_peer_lanes_take(lanes, only, &from, bytes);
    assert_int_equal(n, text ? strlen(text) : 0);
    if (text) {
        assert_int_equal(from, peer);
        assert_memory_equal(bytes, text, n);
    }
}

static void boxes_are_emptied_by_turns(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    const uint64_t second = PEER + 1;
    rub_peer_lanes_init(&lanes, true, true);
    rub_lane_t *a = offer(&lanes, PEER, 1, 0), *b = offer(&lanes, second, 1, 0);
    assert_true(rub_peer_lanes_sleep(&lanes));
    post(a, "a1");
    post(a, "a2");
    post(b, "b1");
    post(b, "b2");
    assert_true(rub_post_must_knock(rub_lane_out(a)));
    assert_true(rub_peer_lanes_have(&lanes));
    assert_false(rub_peer_lanes_sleep(&lanes));
    expect_post(&lanes, NULL, PEER, "a1");
    expect_post(&lanes, NULL, second, "b1");
    expect_post(&lanes, &second, second, "b2");
    expect_post(&lanes, &second, second, NULL);
    expect_post(&lanes, NULL, PEER, "a2");
    assert_false(rub_peer_lanes_have(&lanes));
    rub_lane_close(&a);
    rub_lane_close(&b);
    rub_peer_lanes_fini(&lanes);
}

static void what_came_through_the_connection_waits_for_what_is_older(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    rub_peer_mark_t mark;
    rub_peer_lanes_init(&lanes, true, true);
    rub_lane_t *lane = offer(&lanes, PEER, 1, 0);
    assert_false(rub_peer_lanes_has_older(&lanes, PEER, &mark));
    assert_false(rub_peer_lanes_has_older(&lanes, PEER + 1, &mark)); /* has no lane */
    post(lane, "1");
    rub_lane_out(lane)->through++; /* 2 goes through the connection */
    post(lane, "3");
    assert_true(rub_peer_lanes_has_older(&lanes, PEER, &mark));
    assert_false(rub_peer_lanes_reached(&lanes, PEER, &mark));
    expect_post(&lanes, NULL, PEER, "1");
    expect_post(&lanes, NULL, PEER, NULL);
    assert_true(rub_peer_lanes_reached(&lanes, PEER, &mark));
    rub_peer_lanes_came(&lanes, PEER);
    expect_post(&lanes, NULL, PEER, "3");
    post(lane, "4");
    assert_true(rub_peer_lanes_has_older(&lanes, PEER, &mark));
    rub_peer_lanes_end(&lanes, PEER); /* with the lane all that waits for it is free */
    assert_true(rub_peer_lanes_reached(&lanes, PEER, &mark));
    expect_post(&lanes, NULL, PEER, NULL);
    rub_lane_close(&lane);
    rub_peer_lanes_fini(&lanes);
}

/* Or a session that offers lane after lane in its box would be listened to alone. */
static void what_waits_for_a_box_does_not_wait_for_the_next_one(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    rub_peer_mark_t mark;
    rub_peer_lanes_init(&lanes, true, true);
    rub_lane_t *lane = offer(&lanes, PEER, 1, 0);
    post(lane, "1");
    assert_true(rub_peer_lanes_has_older(&lanes, PEER, &mark));
    rub_lane_t *next = offer(&lanes, PEER, 1, 0);
    post(next, "1");
    assert_true(rub_peer_lanes_reached(&lanes, PEER, &mark));
    rub_lane_close(&lane);
    rub_lane_close(&next);
    rub_peer_lanes_fini(&lanes);
}

static void answers_go_into_the_box_and_knock_once(void **state)
{
    (void)state;
    rub_peer_lanes_t lanes;
    uint8_t bytes[RUB_POST_MOST + 1] = {5};
    bool knock = true;
    rub_peer_lanes_init(&lanes, true, true);
    assert_false(rub_peer_lanes_put(&lanes, PEER, bytes, 9, &knock));
    assert_false(knock);
    rub_lane_t *lane = offer(&lanes, PEER, 1, 0);
    assert_false(rub_peer_lanes_put(&lanes, PEER, bytes, sizeof(bytes), &knock));
    assert_true(rub_post_sleep(rub_lane_in(lane)));
    assert_true(rub_peer_lanes_put(&lanes, PEER, bytes, 9, &knock));
    assert_true(knock);
    assert_true(rub_peer_lanes_put(&lanes, PEER, bytes, 9, &knock));
    assert_false(knock);
    rub_peer_lanes_sent(&lanes, PEER);
    assert_true(rub_peer_lanes_put(&lanes, PEER, bytes, 9, &knock));
    assert_int_equal(rub_post_take(rub_lane_in(lane), bytes), 9);
    assert_int_equal(rub_post_take(rub_lane_in(lane), bytes), 9);
    assert_int_equal(rub_post_take(rub_lane_in(lane), bytes), 0); /* the connection's is first */
    rub_lane_in(lane)->through++;
    assert_int_equal(rub_post_take(rub_lane_in(lane), bytes), 9);
    rub_lane_close(&lane);
    rub_peer_lanes_fini(&lanes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_message_in_a_lane_that_is_not_there_is_refused),
        cmocka_unit_test(a_shard_without_lanes_says_so),
        cmocka_unit_test(a_host_is_told_within_the_window),
        cmocka_unit_test(a_turn_ends_when_its_copies_are_used_up),
        cmocka_unit_test(without_a_journal_a_copy_takes_the_place_of_the_last),
        cmocka_unit_test(answers_go_through_the_lane_while_it_has_slots),
        cmocka_unit_test(who_says_hello_is_answered_through_the_connection),
        cmocka_unit_test(boxes_are_emptied_by_turns),
        cmocka_unit_test(what_came_through_the_connection_waits_for_what_is_older),
        cmocka_unit_test(what_waits_for_a_box_does_not_wait_for_the_next_one),
        cmocka_unit_test(answers_go_into_the_box_and_knock_once),
        cmocka_unit_test(lanes_are_limited_and_those_of_the_gone_make_room),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
