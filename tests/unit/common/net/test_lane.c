/* Slots of shared memory: refusals, who has which slot when, and a client that does not keep to the
 * rules. */
#include "common/base/check.h"
#include "common/net/lane.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

enum { VALUES = 16 * 1024, N_PUSH = 3, N_PULL = 70 };

typedef struct pair {
    rub_lane_t *client, *shard;
    rub_lane_offer_t offer;
} pair_t;

static pair_t pair_of(void)
{
    pair_t pair = {.offer = {.number = 5, .n_push = N_PUSH, .n_pull = N_PULL}};
    assert_int_equal(rub_lane_create(&pair.offer, &pair.client, NULL), 0);
    assert_int_equal(rub_lane_attach(&pair.offer, &pair.shard, NULL), 0);
    return pair;
}

static void part_pair(pair_t *pair)
{
    rub_lane_close(&pair->client);
    rub_lane_close(&pair->shard);
}

static rub_header_t header_of(uint8_t type, uint64_t seq, uint32_t value_bytes)
{
    return (rub_header_t){.type = type, .seq = seq, .n_keys = 2, .value_bytes = value_bytes};
}

static rub_packet_t *packet_in(rub_lane_t *lane, uint64_t seq, uint8_t fill)
{
    const rub_header_t header = header_of(RUB_MSG_PUSH, seq, VALUES);
    rub_packet_t *packet = rub_lane_packet(lane, &header, 16, VALUES);
    if (packet) {
        memset(rub_packet_keys(packet), fill + 1, 16);
        memset(rub_packet_values(packet), fill, VALUES);
    }
    return packet;
}

/* What the other end gets of the packet's message. */
static rub_frame_t message_of(const rub_lane_t *lane, const rub_packet_t *packet, uint32_t *slot_p)
{
    uint8_t bytes[RUB_SLOT_MESSAGE_BYTES];
    rub_slot_t slot = {.lane = rub_lane_number(lane)};
    rub_frame_t frame;
    assert_true(rub_lane_holds(lane, packet, &slot.slot));
    rub_slot_write(rub_packet_header(packet), slot, bytes);
    const rub_span_t part = {bytes, sizeof(bytes)};
    assert_true(rub_slot_is_meant(&part, 1));
    assert_int_not_equal(rub_frame_read(&part, 1, &frame, NULL),
                         0); /* only where a lane is known */
    memset(&slot, 0, sizeof(slot));
    assert_int_equal(rub_slot_read(&part, &slot, &frame, NULL), 0);
    assert_int_equal(slot.lane, rub_lane_number(lane));
    *slot_p = slot.slot;
    return frame;
}

static void an_offer_that_is_none_is_refused(void **state)
{
    (void)state;
    uint8_t bytes[RUB_LANE_OFFER_BYTES] = {0};
    rub_lane_offer_t offer;
    const rub_frame_t short_one = {.values = bytes, .values_bytes = sizeof(bytes) - 1};
    assert_int_equal(rub_lane_offer_read(&short_one, &offer, NULL), RUB_EPROTO);
    pair_t pair = pair_of();
    rub_lane_offer_write(&pair.offer, bytes);
    const rub_frame_t whole = {
        .header = {.seq = 5}, .values = bytes, .values_bytes = sizeof(bytes)};
    assert_int_equal(rub_lane_offer_read(&whole, &offer, NULL), 0);
    uint8_t again[RUB_LANE_OFFER_BYTES]; /* not the structs: they have gaps */
    rub_lane_offer_write(&offer, again);
    assert_memory_equal(again, bytes, sizeof(bytes));
    part_pair(&pair);
}

static void expect_no_lane(rub_lane_offer_t offer)
{
    rub_lane_t *lane = NULL;
    assert_int_equal(rub_lane_attach(&offer, &lane, NULL), RUB_EREFUSED);
    assert_null(lane);
}

static void a_lane_that_was_not_offered_is_refused(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    rub_lane_offer_t offer = pair.offer;
    offer.token[3] ^= 1;
    expect_no_lane(offer);
    offer = pair.offer;
    offer.n_push++; /* the segment is shorter */
    expect_no_lane(offer);
    offer = pair.offer;
    offer.n_push = RUB_LANE_PUSH_SLOTS_MOST + 1;
    expect_no_lane(offer);
    offer.n_push = 0;
    expect_no_lane(offer);
    offer = pair.offer;
    offer.n_pull = RUB_LANE_PULL_SLOTS_MOST + 1;
    expect_no_lane(offer);
    offer.n_pull = 0;
    expect_no_lane(offer);
    offer = pair.offer;
    offer.n_push = UINT32_MAX;
    offer.n_pull = UINT32_MAX;
    expect_no_lane(offer);
    part_pair(&pair);
}

static void small_and_large_packets_belong_elsewhere(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    rub_header_t header = header_of(RUB_MSG_PUSH, 1, 64);
    assert_null(rub_lane_packet(pair.client, &header, 16, 64)); /* one frame takes it */
    header.value_bytes = RUB_LANE_SLOT_BYTES - RUB_HEADER_BYTES - 16;
    rub_packet_t *packet = rub_lane_packet(pair.client, &header, 16, header.value_bytes);
    assert_non_null(packet);
    rub_packet_unref(&packet);
    header.value_bytes += 4;
    assert_null(rub_lane_packet(pair.client, &header, 16, header.value_bytes));
    part_pair(&pair);
}

static void what_is_pushed_arrives(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    static _Alignas(16) uint8_t room[RUB_LANE_SLOT_BYTES];
    rub_packet_t *packet = packet_in(pair.client, 9, 3);
    assert_non_null(packet);
    uint32_t slot = 99;
    rub_frame_t frame = message_of(pair.client, packet, &slot);
    assert_int_equal(slot, 0);
    assert_int_equal(rub_lane_copy(pair.shard, slot, room, &frame, NULL), 0);
    assert_int_equal(frame.header.seq, 9);
    assert_int_equal(frame.header.flags, 0);
    assert_int_equal(frame.keys_bytes, 16);
    assert_int_equal(frame.values_bytes, VALUES);
    assert_int_equal(frame.keys[15], 4);
    assert_int_equal(frame.values[VALUES - 1], 3);
    rub_packet_unref(&packet);
    part_pair(&pair);
}

/* What was checked is what is applied: the peer may write meanwhile. */
static void a_copy_does_not_change_when_the_peer_scribbles(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    static _Alignas(16) uint8_t room[RUB_LANE_SLOT_BYTES];
    rub_packet_t *packet = packet_in(pair.client, 1, 3);
    uint32_t slot = 0;
    rub_frame_t frame = message_of(pair.client, packet, &slot);
    assert_int_equal(rub_lane_copy(pair.shard, slot, room, &frame, NULL), 0);
    memset(rub_packet_values(packet), 0xff, VALUES);
    memset(rub_packet_keys(packet), 0xff, 16);
    assert_int_equal(frame.values[0], 3);
    assert_int_equal(frame.keys[0], 4);
    rub_packet_unref(&packet);
    part_pair(&pair);
}

static void a_slot_that_holds_something_else_is_refused(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    static _Alignas(16) uint8_t room[RUB_LANE_SLOT_BYTES];
    rub_packet_t *packet = packet_in(pair.client, 1, 3), *other = packet_in(pair.client, 2, 4);
    uint32_t slot = 0;
    const rub_frame_t good = message_of(pair.client, packet, &slot);
    rub_error_t err = {0};
    rub_frame_t frame = good;
    assert_int_equal(rub_lane_copy(pair.shard, slot + 1, room, &frame, &err), RUB_EPROTO);
    assert_non_null(strstr(err.message, "PUSH 1 is not what slot 1 holds"));
    assert_null(frame.values);
    frame = good;
    assert_int_equal(rub_lane_copy(pair.shard, N_PUSH, room, &frame, &err), RUB_EPROTO);
    assert_int_equal(rub_lane_copy(pair.shard, UINT32_MAX, room, &frame, &err), RUB_EPROTO);
    frame.values_bytes = frame.header.value_bytes = RUB_LANE_SLOT_BYTES;
    assert_int_equal(rub_lane_copy(pair.shard, slot, room, &frame, &err), RUB_EPROTO);
    assert_non_null(strstr(err.message, "there are 3 of 274432 bytes"));
    rub_packet_unref(&packet);
    rub_packet_unref(&other);
    part_pair(&pair);
}

static void a_push_slot_is_free_when_its_packet_is_forgotten(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    rub_packet_t *packets[N_PUSH];
    for (int i = 0; i < N_PUSH; i++) {
        packets[i] = packet_in(pair.client, 1, 0);
        assert_non_null(packets[i]);
    }
    assert_null(packet_in(pair.client, 1, 0));
    rub_packet_t *again = rub_packet_ref(packets[1]); /* the socket has it, too */
    rub_packet_unref(&packets[1]);
    assert_null(packet_in(pair.client, 1, 0));
    rub_packet_unref(&again);
    packets[1] = packet_in(pair.client, 1, 0);
    uint32_t slot = 99;
    assert_true(rub_lane_holds(pair.client, packets[1], &slot));
    assert_int_equal(slot, 1);
    for (int i = 0; i < N_PUSH; i++) {
        rub_packet_unref(&packets[i]);
    }
    part_pair(&pair);
}

static void a_pull_slot_is_the_clients_until_it_is_done(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    rub_packet_t *packet = packet_in(pair.shard, 1, 6);
    uint32_t slot = 99;
    rub_frame_t frame = message_of(pair.shard, packet, &slot);
    assert_int_equal(slot, 0);
    rub_packet_hand_over(packet);
    rub_packet_unref(&packet);
    rub_packet_t *next = packet_in(pair.shard, 2, 7);
    uint32_t next_slot = 0;
    assert_true(rub_lane_holds(pair.shard, next, &next_slot));
    assert_int_equal(next_slot, 1);
    assert_int_equal(rub_lane_open(pair.client, slot, &frame, NULL), 0);
    assert_int_equal(frame.values[0], 6);
    rub_lane_done(pair.client, slot);
    rub_packet_unref(&next);                /* was never sent: free at once */
    rub_lane_done(pair.client, UINT32_MAX); /* is ignored */
    packet = packet_in(pair.shard, 3, 8);
    assert_true(rub_lane_holds(pair.shard, packet, &slot));
    assert_int_equal(slot, 0);
    rub_packet_unref(&packet);
    part_pair(&pair);
}

static void a_client_that_scribbles_in_the_head_gets_no_slot_that_is_not_there(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    uint8_t *head =
        mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, (int)pair.offer.descriptor, 0);
    assert_true(head != MAP_FAILED);
    memset(head, 0xff, 4096);
    rub_packet_t *packets[N_PULL];
    for (int i = 0; i < N_PULL; i++) {
        uint32_t slot = 0;
        packets[i] = packet_in(pair.shard, 1, 0);
        assert_non_null(packets[i]);
        assert_true(rub_lane_holds(pair.shard, packets[i], &slot));
        assert_true(slot < N_PULL);
    }
    assert_null(packet_in(pair.shard, 1, 0));
    memset(head, 0, 4096);
    for (int i = 0; i < N_PULL; i++) {
        rub_packet_unref(&packets[i]);
    }
    memset(head, 0, 4096);
    assert_null(packet_in(pair.shard, 1, 0)); /* then its answers go through the connection */
    munmap(head, 4096);
    part_pair(&pair);
}

static void packets_outlive_their_lane(void **state)
{
    (void)state;
    pair_t pair = pair_of();
    rub_packet_t *packet = packet_in(pair.client, 1, 3);
    rub_lane_t *client = pair.client;
    part_pair(&pair);
    uint32_t slot = 0;
    assert_true(rub_lane_holds(client, packet, &slot)); /* it keeps the lane alive */
    assert_int_equal(rub_packet_frame(packet).values[VALUES - 1], 3);
    rub_packet_unref(&packet);
    pair = pair_of();
    packet = packet_in(pair.client, 1, 3);
    assert_false(rub_lane_holds(pair.shard, packet, &slot));
    rub_packet_unref(&packet);
    part_pair(&pair);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_offer_that_is_none_is_refused),
        cmocka_unit_test(a_lane_that_was_not_offered_is_refused),
        cmocka_unit_test(small_and_large_packets_belong_elsewhere),
        cmocka_unit_test(what_is_pushed_arrives),
        cmocka_unit_test(a_copy_does_not_change_when_the_peer_scribbles),
        cmocka_unit_test(a_slot_that_holds_something_else_is_refused),
        cmocka_unit_test(a_push_slot_is_free_when_its_packet_is_forgotten),
        cmocka_unit_test(a_pull_slot_is_the_clients_until_it_is_done),
        cmocka_unit_test(a_client_that_scribbles_in_the_head_gets_no_slot_that_is_not_there),
        cmocka_unit_test(packets_outlive_their_lane),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
