/* The lane of a connection: offered when the shard's HOST is ours, used once the shard has it.
 *
 * The lane dies with every HELLO, its packets do not: they keep the memory, and go through the
 * connection if they are sent again. That is rare, and it makes the order of things plain: a slot
 * is named only between LANE_ANSWER and the next HELLO, to the connection that agreed. */
#include "worker/client/session_lane.h"

enum { HOST_BYTES = RUB_HOST_TOKEN_BYTES + 8 };

#define FLIGHT_BYTES ((size_t)4 << 20)

void rub_session_lanes_init(rub_session_lanes_t *self, bool wanted, size_t ring_limit_bytes)
{
    *self = (rub_session_lanes_t){.ring_limit_bytes = ring_limit_bytes};
    self->wanted = wanted && rub_host_token(self->host) == 0;
}

void rub_session_lane_end(rub_session_lane_t *self)
{
    rub_lane_close(&self->lane);
    self->state = RUB_LANE_NONE;
}

static uint32_t least(uint64_t granted, uint64_t wanted, uint32_t most)
{
    const uint64_t n = granted < wanted ? granted : wanted;
    return n < 1 ? 1 : n > most ? most : (uint32_t)n;
}

/* A lane, and the message that offers it. NULL: it could not be made (code says why), which is no
 * fault: values go through the connection. */
static rub_packet_t *offer(rub_session_lane_t *self, rub_session_lanes_t *all,
                           const rub_frame_t *host)
{
    rub_lane_offer_t offer = {
        .number = all->last_number + 1,
        .n_push = least(rub_get_u32(host->values + RUB_HOST_TOKEN_BYTES),
                        all->ring_limit_bytes / RUB_MESSAGE_VALUES, RUB_LANE_PUSH_SLOTS_MOST),
        .n_pull = least(rub_get_u32(host->values + RUB_HOST_TOKEN_BYTES + 4),
                        RUB_LANE_PULL_SLOTS_MOST, RUB_LANE_PULL_SLOTS_MOST),
    };
    const rub_header_t header = {
        .type = RUB_MSG_LANE, .seq = offer.number, .value_bytes = RUB_LANE_OFFER_BYTES};
    rub_packet_t *packet = rub_packet_new(&header, 0, header.value_bytes);
    self->code = packet ? rub_lane_create(&offer, &self->lane, NULL) : RUB_ENOMEM;
    if (self->code) {
        rub_packet_unref(&packet);
        return NULL;
    }
    all->last_number = offer.number;
    rub_lane_offer_write(&offer, rub_packet_values(packet));
    return packet;
}

rub_packet_t *rub_session_lane_host(rub_session_lane_t *self, rub_session_lanes_t *all,
                                    const rub_frame_t *frame)
{
    if (self->state != RUB_LANE_NONE) {
        return NULL; /* two HELLOs were answered: one lane is enough */
    }
    rub_packet_t *packet = NULL;
    self->state = RUB_LANE_ELSEWHERE;
    if (all->wanted && frame->values_bytes == HOST_BYTES &&
        memcmp(frame->values, all->host, RUB_HOST_TOKEN_BYTES) == 0) {
        packet = offer(self, all, frame);
        self->state = packet ? RUB_LANE_OFFERED : RUB_LANE_REFUSED;
    }
    return packet;
}

void rub_session_lane_answer(rub_session_lane_t *self, const rub_frame_t *frame)
{
    if (self->state != RUB_LANE_OFFERED || frame->values_bytes != 4 ||
        frame->header.seq != rub_lane_number(self->lane)) {
        return;
    }
    self->code = (int32_t)rub_get_u32(frame->values);
    self->state = self->code ? RUB_LANE_REFUSED : RUB_LANE_OPEN;
    if (self->code) {
        rub_lane_close(&self->lane);
    }
}

rub_packet_t *rub_session_lane_packet(const rub_session_lane_t *self, const rub_header_t *header,
                                      size_t keys_bytes)
{
    return self->state == RUB_LANE_OPEN
               ? rub_lane_packet(self->lane, header, keys_bytes, header->value_bytes)
               : NULL;
}

bool rub_session_lane_write(const rub_session_lane_t *self, const rub_packet_t *packet,
                            uint8_t out[RUB_SLOT_MESSAGE_BYTES])
{
    uint32_t slot = 0;
    if (self->state != RUB_LANE_OPEN || !rub_lane_holds(self->lane, packet, &slot)) {
        return false;
    }
    rub_slot_write(rub_packet_header(packet),
                   (rub_slot_t){.lane = rub_lane_number(self->lane), .slot = slot}, out);
    return true;
}

rub_lane_t *rub_session_lane_read(const rub_session_lane_t *self, const rub_span_t *part,
                                  uint32_t *slot_p, rub_frame_t *frame)
{
    rub_slot_t slot = {0};
    if (rub_slot_read(part, &slot, frame, NULL) != 0 || self->state != RUB_LANE_OPEN ||
        slot.lane != rub_lane_number(self->lane) ||
        rub_lane_open(self->lane, slot.slot, frame, NULL) != 0) {
        return NULL;
    }
    *slot_p = slot.slot;
    return rub_lane_ref(self->lane);
}

bool rub_session_lane_put(const rub_session_lane_t *self, const void *bytes, size_t n_bytes,
                          bool *knock_p)
{
    *knock_p = false;
    if (self->state != RUB_LANE_OPEN || !rub_post_put(rub_lane_out(self->lane), bytes, n_bytes)) {
        return false;
    }
    *knock_p = rub_post_must_knock(rub_lane_out(self->lane));
    return true;
}

void rub_session_lane_sent(const rub_session_lane_t *self)
{
    if (self->state == RUB_LANE_OFFERED || self->state == RUB_LANE_OPEN) {
        rub_lane_out(self->lane)->through++;
    }
}

rub_post_t *rub_session_lane_box(const rub_session_lane_t *self)
{
    return self->state == RUB_LANE_OPEN ? rub_lane_in(self->lane) : NULL;
}

size_t rub_session_lane_flight(const rub_session_lane_t *self)
{
    return self->state == RUB_LANE_OPEN ? FLIGHT_BYTES : SIZE_MAX;
}
