/* A peer on this host that says anything and writes anything: a message with a slot, and what the
 * slot, the lane's head and its post boxes hold. What the shard reads lies within its own copy, and
 * what it writes within the segment. */
#include "common/net/lane.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>
#include <sys/mman.h>

enum { N_PUSH = 2, N_PULL = 2, HEAD_BYTES = 4096 };
#define BOXES_AT (HEAD_BYTES + (N_PUSH + N_PULL) * (size_t)RUB_LANE_SLOT_BYTES)

/* The peer's end, as it is shared. */
static uint8_t *map(const rub_lane_offer_t *offer)
{
    const size_t bytes = BOXES_AT + 2 * RUB_POST_BOX_BYTES;
    uint8_t *all = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, (int)offer->descriptor, 0);
    RUB_ASSERT(all != MAP_FAILED);
    return all;
}

static void read_slot(const rub_lane_t *shard, const uint8_t *data, size_t size)
{
    static _Alignas(16) uint8_t room[RUB_LANE_SLOT_BYTES];
    const rub_span_t part = {data, size < RUB_SLOT_MESSAGE_BYTES ? size : RUB_SLOT_MESSAGE_BYTES};
    rub_slot_t slot;
    rub_frame_t frame;
    rub_error_t err;
    if (rub_slot_read(&part, &slot, &frame, &err) != 0 ||
        rub_lane_copy(shard, slot.slot, room, &frame, &err) != 0) {
        return;
    }
    RUB_ASSERT(slot.slot < N_PUSH);
    RUB_ASSERT(frame.keys == room + RUB_HEADER_BYTES);
    RUB_ASSERT(frame.keys_bytes == rub_header_keys_bytes(&frame.header));
    RUB_ASSERT(frame.values + frame.values_bytes <= room + RUB_LANE_SLOT_BYTES);
    RUB_ASSERT((frame.header.flags & (RUB_FLAG_SLOT | RUB_FLAG_GRANT)) == 0);
    RUB_ASSERT(!frame.grant);
}

static void write_slots(rub_lane_t *shard)
{
    const rub_header_t header = {.type = RUB_MSG_ROWS, .value_bytes = 2 * RUB_INLINE_LIMIT};
    for (int i = 0; i < N_PULL; i++) {
        uint32_t slot = 0;
        rub_packet_t *packet = rub_lane_packet(shard, &header, 0, header.value_bytes);
        if (packet) {
            RUB_ASSERT(rub_lane_holds(shard, packet, &slot));
            RUB_ASSERT(slot < N_PULL);
            memset(rub_packet_values(packet), 1, header.value_bytes);
            rub_packet_hand_over(packet);
        }
        rub_packet_unref(&packet);
    }
}

/* What the input begins with stands where a box counts, what follows in its first places. */
static void scribble(uint8_t *box, const uint8_t *data, size_t size)
{
    for (size_t i = 0; i < 3 && size >= 4; i++, data += 4, size -= 4) {
        memcpy(box + 64 * i, data, 4);
    }
    memcpy(box + RUB_POST_BOX_BYTES - RUB_POST_PLACES * 128, data, size < 4096 ? size : 4096);
}

static void use_boxes(rub_lane_t *shard)
{
    uint8_t bytes[RUB_POST_MOST] = {1};
    rub_post_t *in = rub_lane_in(shard), *out = rub_lane_out(shard);
    const uint32_t mark = rub_post_mark(in);
    RUB_ASSERT(mark - in->n <= RUB_POST_PLACES);
    for (uint32_t i = 0; !rub_post_reached(in, mark); i++) {
        RUB_ASSERT(i < RUB_POST_PLACES);
        const size_t n = rub_post_take(in, bytes);
        RUB_ASSERT(n > 0);
        RUB_ASSERT(n <= RUB_POST_MOST);
    }
    if (rub_post_sleep(in)) {
        rub_post_rise(in);
    }
    (void)rub_post_put(out, bytes, sizeof(bytes));
    (void)rub_post_must_knock(out);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static rub_lane_t *client, *shard; /* made once: a segment for each run would cost more */
    static uint8_t *shared;
    if (!client) {
        rub_lane_offer_t offer = {.number = 1, .n_push = N_PUSH, .n_pull = N_PULL};
        RUB_ASSERT(rub_lane_create(&offer, &client, NULL) == 0);
        RUB_ASSERT(rub_lane_attach(&offer, &shard, NULL) == 0);
        shared = map(&offer);
    }
    const size_t said = size < RUB_SLOT_MESSAGE_BYTES ? size : RUB_SLOT_MESSAGE_BYTES;
    const size_t held = size - said < HEAD_BYTES ? size - said : HEAD_BYTES;
    memset(shared, 0, 256);
    if (held > 0) {
        memcpy(shared, data + said, held);
        memcpy(shared + HEAD_BYTES, data + said, held);
    }
    if (size >= RUB_HEADER_BYTES && size % 2) { /* the slot says what the message says */
        memcpy(shared + HEAD_BYTES, data, RUB_HEADER_BYTES);
        shared[HEAD_BYTES + 4] &= (uint8_t)~RUB_FLAG_SLOT;
    }
    read_slot(shard, data, said);
    write_slots(shard);
    scribble(shared + BOXES_AT, data, size);
    scribble(shared + BOXES_AT + RUB_POST_BOX_BYTES, data, size);
    use_boxes(shard);
    return 0;
}
