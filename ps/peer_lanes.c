/* Shared memory of peers, made harmless: a message is copied whole before the core sees it, so that
 * what is checked, what is journaled and what is applied are the same bytes, whatever the peer does
 * to its slot meanwhile. That is the one copy that the lane costs the shard; through a connection
 * libzmq's receiving is that copy, and a system call beside.
 *
 * The copies of a turn stay in a few buffers that are used again and again, so they do not leave
 * the cache; when they are used up the turn ends. */
#include "ps/peer_lanes.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

enum { SWEEP_MS = 1000, HOST_BYTES = RUB_HOST_TOKEN_BYTES + 8 };

void rub_peer_lanes_init(rub_peer_lanes_t *self, bool wanted, bool borrowed)
{
    *self = (rub_peer_lanes_t){.borrowed = borrowed};
    self->offered = wanted && rub_host_token(self->host) == 0;
}

static void remove_at(rub_peer_lanes_t *self, size_t i)
{
    rub_lane_close(&self->items[i].lane);
    self->items[i] = self->items[--self->n];
}

void rub_peer_lanes_fini(rub_peer_lanes_t *self)
{
    while (self->n > 0) {
        remove_at(self, self->n - 1);
    }
    for (size_t i = 0; i < RUB_PEER_COPIES; i++) {
        rub_free(self->copies[i]);
        self->copies[i] = NULL;
    }
}

static const rub_peer_lane_t *find_item(rub_peer_lanes_t *self, uint64_t peer)
{
    if (self->last < self->n && self->items[self->last].peer == peer) {
        return &self->items[self->last];
    }
    for (size_t i = 0; i < self->n; i++) {
        if (self->items[i].peer == peer) {
            self->last = i;
            return &self->items[i];
        }
    }
    return NULL;
}

static rub_lane_t *find(rub_peer_lanes_t *self, uint64_t peer)
{
    const rub_peer_lane_t *item = find_item(self, peer);
    return item ? item->lane : NULL;
}

/* ---- the agreement ---- */

static uint32_t slots_of(uint64_t bytes, uint32_t most)
{
    const uint64_t slots = bytes / RUB_MESSAGE_VALUES;
    return slots < 1 ? 1 : slots > most ? most : (uint32_t)slots;
}

rub_packet_t *rub_peer_lanes_host(const rub_peer_lanes_t *self, uint64_t window_bytes)
{
    const rub_header_t header = {.type = RUB_MSG_HOST, .value_bytes = HOST_BYTES};
    rub_packet_t *packet = self->offered ? rub_packet_new(&header, 0, HOST_BYTES) : NULL;
    if (packet) {
        uint8_t *values = rub_packet_values(packet);
        memcpy(values, self->host, RUB_HOST_TOKEN_BYTES);
        rub_put_u32(values + RUB_HOST_TOKEN_BYTES,
                    slots_of(window_bytes, RUB_LANE_PUSH_SLOTS_MOST));
        rub_put_u32(values + RUB_HOST_TOKEN_BYTES + 4,
                    slots_of(window_bytes, RUB_LANE_PULL_SLOTS_MOST));
    }
    return packet;
}

static void sweep(rub_peer_lanes_t *self)
{
    for (size_t i = self->n; i-- > 0;) {
        if (rub_lane_is_orphaned(self->items[i].lane)) {
            remove_at(self, i);
        }
    }
}

void rub_peer_lanes_sweep(rub_peer_lanes_t *self, uint64_t now_ms)
{
    if (now_ms - self->swept_ms >= SWEEP_MS) {
        self->swept_ms = now_ms;
        sweep(self);
    }
}

void rub_peer_lanes_end(rub_peer_lanes_t *self, uint64_t peer)
{
    for (size_t i = self->n; i-- > 0;) {
        if (self->items[i].peer == peer) {
            remove_at(self, i);
        }
    }
}

static int take(rub_peer_lanes_t *self, uint64_t peer, const rub_lane_offer_t *offer,
                rub_error_t *err)
{
    if (!self->offered) {
        return rub_fail(err, RUB_EREFUSED, "this shard takes no lanes");
    }
    rub_peer_lanes_end(self, peer); /* it makes a new one: the old one is not used any more */
    if (self->n == RUB_PEER_LANES_LIMIT) {
        sweep(self);
    }
    if (self->n == RUB_PEER_LANES_LIMIT) {
        return rub_fail(err, RUB_ELIMIT, "%zu peers share memory with this shard already, limit %u",
                        self->n, RUB_PEER_LANES_LIMIT);
    }
    rub_lane_t *lane = NULL;
    const int rc = rub_lane_attach(offer, &lane, err);
    if (rc == 0) {
        self->items[self->n++] = (rub_peer_lane_t){peer, ++self->n_taken, lane};
    }
    return rc;
}

int rub_peer_lanes_accept(rub_peer_lanes_t *self, uint64_t peer, const rub_frame_t *frame,
                          rub_packet_t **answer_p, rub_error_t *err)
{
    rub_lane_offer_t offer;
    int rc = rub_lane_offer_read(frame, &offer, err);
    rc = rc ? rc : take(self, peer, &offer, err);
    const rub_header_t header = {
        .type = RUB_MSG_LANE_ANSWER, .seq = frame->header.seq, .value_bytes = 4};
    *answer_p = rub_packet_new(&header, 0, header.value_bytes);
    if (*answer_p) {
        rub_put_u32(rub_packet_values(*answer_p), (uint32_t)rc);
    }
    return rc;
}

/* ---- messages ---- */

bool rub_peer_lanes_are_full(const rub_peer_lanes_t *self)
{
    return self->n_copies == RUB_PEER_COPIES;
}

void rub_peer_lanes_reset(rub_peer_lanes_t *self)
{
    self->n_copies = 0;
}

int rub_peer_lanes_read(rub_peer_lanes_t *self, uint64_t peer, const rub_span_t *part,
                        rub_frame_t *frame, rub_error_t *err)
{
    RUB_ASSERT(!rub_peer_lanes_are_full(self));
    rub_slot_t slot;
    const int rc = rub_slot_read(part, &slot, frame, err);
    if (rc) {
        return rc;
    }
    const rub_lane_t *lane = find(self, peer);
    if (!lane || rub_lane_number(lane) != slot.lane) {
        return rub_fail(err, RUB_EPROTO, "%s in lane %u, which this peer does not have",
                        rub_message_name(frame->header.type), slot.lane);
    }
    uint8_t **room = &self->copies[self->borrowed ? self->n_copies : 0];
    if (!*room) {
        *room = rub_alloc_aligned(4096, RUB_LANE_SLOT_BYTES);
    }
    if (!*room) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a copy of %u bytes", RUB_LANE_SLOT_BYTES);
    }
    self->n_copies++;
    return rub_lane_copy(lane, slot.slot, *room, frame, err);
}

rub_packet_t *rub_peer_lanes_packet(rub_peer_lanes_t *self, uint64_t peer,
                                    const rub_header_t *header, size_t values_bytes)
{
    rub_lane_t *lane = self->n > 0 ? find(self, peer) : NULL;
    rub_packet_t *packet = lane ? rub_lane_packet(lane, header, 0, values_bytes) : NULL;
    return packet ? packet : rub_packet_new(header, 0, values_bytes);
}

bool rub_peer_lanes_hand_over(rub_peer_lanes_t *self, uint64_t peer, rub_packet_t *packet,
                              uint8_t out[RUB_SLOT_MESSAGE_BYTES])
{
    if (!rub_packet_place(packet)) {
        return false;
    }
    const rub_lane_t *lane = find(self, peer);
    uint32_t slot = 0;
    if (!lane || !rub_lane_holds(lane, packet, &slot)) {
        return false; /* of a lane that is over: it goes through the connection */
    }
    rub_slot_write(rub_packet_header(packet),
                   (rub_slot_t){.lane = rub_lane_number(lane), .slot = slot}, out);
    rub_packet_hand_over(packet);
    return true;
}

/* ---- post boxes ---- */

bool rub_peer_lanes_put(rub_peer_lanes_t *self, uint64_t peer, const void *bytes, size_t n_bytes,
                        bool *knock_p)
{
    rub_lane_t *lane = self->n > 0 && n_bytes <= RUB_POST_MOST ? find(self, peer) : NULL;
    const bool put = lane && rub_post_put(rub_lane_out(lane), bytes, n_bytes);
    *knock_p = put && rub_post_must_knock(rub_lane_out(lane));
    return put;
}

void rub_peer_lanes_sent(rub_peer_lanes_t *self, uint64_t peer)
{
    rub_lane_t *lane = self->n > 0 ? find(self, peer) : NULL;
    if (lane) {
        rub_lane_out(lane)->through++;
    }
}

void rub_peer_lanes_came(rub_peer_lanes_t *self, uint64_t peer)
{
    rub_lane_t *lane = self->n > 0 ? find(self, peer) : NULL;
    if (lane) {
        rub_lane_in(lane)->through++;
    }
}

bool rub_peer_lanes_has_older(rub_peer_lanes_t *self, uint64_t peer, rub_peer_mark_t *mark_p)
{
    const rub_peer_lane_t *item = self->n > 0 ? find_item(self, peer) : NULL;
    *mark_p = item ? (rub_peer_mark_t){item->number, rub_post_mark(rub_lane_in(item->lane))}
                   : (rub_peer_mark_t){0};
    return item && !rub_post_reached(rub_lane_in(item->lane), mark_p->at);
}

bool rub_peer_lanes_reached(rub_peer_lanes_t *self, uint64_t peer, const rub_peer_mark_t *mark)
{
    const rub_peer_lane_t *item = find_item(self, peer);
    return !item || item->number != mark->number ||
           rub_post_reached(rub_lane_in(item->lane), mark->at);
}

size_t rub_peer_lanes_take(rub_peer_lanes_t *self, const uint64_t *only_peer, uint64_t *peer_p,
                           uint8_t out[RUB_POST_MOST])
{
    for (size_t i = 0; i < self->n; i++) {
        const rub_peer_lane_t *item = &self->items[(self->next + i) % self->n];
        const size_t n_bytes =
            only_peer && *only_peer != item->peer ? 0 : rub_post_take(rub_lane_in(item->lane), out);
        if (n_bytes > 0) {
            *peer_p = item->peer;
            self->next = (self->next + i + 1) % self->n;
            return n_bytes;
        }
    }
    return 0;
}

bool rub_peer_lanes_have(const rub_peer_lanes_t *self)
{
    for (size_t i = 0; i < self->n; i++) {
        if (rub_post_has(rub_lane_in(self->items[i].lane))) {
            return true;
        }
    }
    return false;
}

bool rub_peer_lanes_sleep(rub_peer_lanes_t *self)
{
    for (size_t i = 0; i < self->n; i++) {
        if (!rub_post_sleep(rub_lane_in(self->items[i].lane))) {
            rub_peer_lanes_rise(self);
            return false;
        }
    }
    return true;
}

void rub_peer_lanes_rise(rub_peer_lanes_t *self)
{
    for (size_t i = 0; i < self->n; i++) {
        rub_post_rise(rub_lane_in(self->items[i].lane));
    }
}
