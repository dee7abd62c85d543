/* A session's end of the lane: when it is offered, and how it ends when there is none. */
#include "common/base/check.h"
#include "worker/client/session_lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/resource.h>

enum { HOST_BYTES = RUB_HOST_TOKEN_BYTES + 8 };

/* A shard of that host that grants 4 slots each way. */
static rub_packet_t *hear_host(rub_session_lane_t *lane, rub_session_lanes_t *all,
                               const uint8_t host[RUB_HOST_TOKEN_BYTES])
{
    uint8_t values[HOST_BYTES];
    memcpy(values, host, RUB_HOST_TOKEN_BYTES);
    rub_put_u32(values + RUB_HOST_TOKEN_BYTES, 4);
    rub_put_u32(values + RUB_HOST_TOKEN_BYTES + 4, 4);
    const rub_frame_t frame = {.header = {.type = RUB_MSG_HOST, .value_bytes = HOST_BYTES},
                               .values = values,
                               .values_bytes = HOST_BYTES};
    return rub_session_lane_host(lane, all, &frame);
}

static void hear_answer(rub_session_lane_t *lane, uint32_t number, int code)
{
    uint8_t values[4];
    rub_put_u32(values, (uint32_t)code);
    const rub_frame_t frame = {
        .header = {.type = RUB_MSG_LANE_ANSWER, .seq = number, .value_bytes = 4},
        .values = values,
        .values_bytes = 4};
    rub_session_lane_answer(lane, &frame);
}

static void a_shard_of_another_host_is_offered_none(void **state)
{
    RUB_UNUSED(state);
    const uint8_t other[RUB_HOST_TOKEN_BYTES] = {1};
    rub_session_lanes_t all;
    rub_session_lane_t lane = {0};
    rub_session_lanes_init(&all, true, 1 << 20);
    assert_null(hear_host(&lane, &all, other));
    assert_int_equal(lane.state, RUB_LANE_ELSEWHERE);
    rub_session_lane_end(&lane);
    rub_session_lanes_init(&all, false, 1 << 20); /* none is wanted */
    assert_null(hear_host(&lane, &all, all.host));
    assert_int_equal(lane.state, RUB_LANE_ELSEWHERE);
}

/* As in a sandbox that knows no memfd: the shard is near, and lane shm says why there is none. */
static void a_lane_that_can_not_be_made_is_refused_with_its_code(void **state)
{
    RUB_UNUSED(state);
    rub_session_lanes_t all;
    rub_session_lane_t lane = {0};
    struct rlimit before;
    rub_session_lanes_init(&all, true, 1 << 20);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &before), 0);
    const struct rlimit none = {0, before.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &none), 0);
    rub_packet_t *packet = hear_host(&lane, &all, all.host);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &before), 0);
    assert_null(packet);
    assert_int_equal(lane.state, RUB_LANE_REFUSED);
    assert_int_equal(lane.code, RUB_EIO);
    assert_true(rub_session_lane_flight(&lane) == SIZE_MAX);
    rub_session_lane_end(&lane);
    packet = hear_host(&lane, &all, all.host); /* after the next HELLO it is tried again */
    assert_non_null(packet);
    rub_packet_unref(&packet);
    rub_session_lane_end(&lane);
}

static void only_the_answer_to_this_lane_opens_it(void **state)
{
    RUB_UNUSED(state);
    rub_session_lanes_t all;
    rub_session_lane_t lane = {0};
    const rub_header_t header = {.type = RUB_MSG_PUSH, .value_bytes = 1 << 16};
    rub_session_lanes_init(&all, true, 1 << 20);
    rub_packet_t *offer = hear_host(&lane, &all, all.host);
    assert_non_null(offer);
    assert_null(hear_host(&lane, &all, all.host)); /* said twice, offered once */
    const uint32_t number = (uint32_t)rub_packet_header(offer)->seq;
    hear_answer(&lane, number + 1, 0);
    assert_null(rub_session_lane_packet(&lane, &header, 0));
    hear_answer(&lane, number, 0);
    assert_int_equal(lane.state, RUB_LANE_OPEN);
    rub_packet_t *packet = rub_session_lane_packet(&lane, &header, 0);
    uint8_t out[RUB_SLOT_MESSAGE_BYTES];
    assert_non_null(packet);
    assert_true(rub_session_lane_write(&lane, packet, out));
    rub_session_lane_end(&lane);
    assert_false(rub_session_lane_write(&lane, packet, out)); /* of a lane that is over */
    memset(rub_packet_values(packet), 7, 1 << 16);            /* and its memory is still there */
    rub_packet_unref(&packet);
    rub_packet_unref(&offer);
}

static void the_boxes_are_those_of_the_open_lane(void **state)
{
    RUB_UNUSED(state);
    rub_session_lanes_t all;
    rub_session_lane_t lane = {0};
    bool knock = true;
    rub_session_lanes_init(&all, true, 1 << 20);
    rub_session_lane_sent(&lane); /* counts for nobody */
    assert_false(rub_session_lane_put(&lane, "x", 1, &knock));
    rub_packet_t *offer = hear_host(&lane, &all, all.host);
    assert_non_null(offer);
    assert_false(rub_session_lane_put(&lane, "x", 1, &knock)); /* the shard may not have it */
    assert_null(rub_session_lane_box(&lane));
    rub_session_lane_sent(&lane); /* counts: it comes behind the offer */
    assert_int_equal(rub_lane_out(lane.lane)->through, 1);
    hear_answer(&lane, (uint32_t)rub_packet_header(offer)->seq, 0);
    assert_true(rub_session_lane_put(&lane, "x", 1, &knock));
    assert_false(knock);
    assert_ptr_equal(rub_session_lane_box(&lane), rub_lane_in(lane.lane));
    rub_session_lane_end(&lane);
    assert_null(rub_session_lane_box(&lane));
    assert_false(rub_session_lane_put(&lane, "x", 1, &knock));
    rub_packet_unref(&offer);
}

static void a_refusal_is_kept_with_its_code(void **state)
{
    RUB_UNUSED(state);
    rub_session_lanes_t all;
    rub_session_lane_t lane = {0};
    rub_session_lanes_init(&all, true, 1 << 20);
    rub_packet_t *offer = hear_host(&lane, &all, all.host);
    hear_answer(&lane, (uint32_t)rub_packet_header(offer)->seq, RUB_ELIMIT);
    assert_int_equal(lane.state, RUB_LANE_REFUSED);
    assert_int_equal(lane.code, RUB_ELIMIT);
    assert_null(lane.lane);
    rub_packet_unref(&offer);
    rub_session_lane_end(&lane);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_shard_of_another_host_is_offered_none),
        cmocka_unit_test(a_lane_that_can_not_be_made_is_refused_with_its_code),
        cmocka_unit_test(only_the_answer_to_this_lane_opens_it),
        cmocka_unit_test(the_boxes_are_those_of_the_open_lane),
        cmocka_unit_test(a_refusal_is_kept_with_its_code),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
