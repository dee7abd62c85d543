/* The ring of one stream, and its sending. A record stays here until the shard has acknowledged it
 * as the job's durability promises: journaled, or on the platter; with retain = synced always until
 * it is on the platter, and so does a RESUME and what follows it in any case. That is what makes
 * kill -9 of a shard harmless: WELCOME says what it has, everything behind is sent again, and the
 * shard drops by seq what it knows.
 *
 * Invariants: base - 1 <= applied; applied <= sent <= last (after a shard went back, sent and
 * applied follow it); in_flight_bytes is the cost of (applied, sent], and above the window only
 * when a single record is. */
#include "common/base/alloc.h"
#include "common/base/mutant.h"
#include "worker/client/client_internal.h"

#include <string.h>

size_t rub_ring_cost(const rub_packet_t *packet)
{
    return rub_packet_full_bytes(packet) + RUB_ENTRY_BYTES; /* short or not: it may change */
}

static size_t slot_of(const rub_ring_t *self, uint64_t seq)
{
    return (self->head + (size_t)(seq - self->base)) & (self->capacity - 1);
}

rub_packet_t *rub_ring_at(const rub_ring_t *self, uint64_t seq)
{
    RUB_ASSERT(seq >= self->base);
    RUB_ASSERT(seq - self->base < self->n);
    return self->packets[slot_of(self, seq)];
}

rub_packet_t **rub_ring_place(rub_ring_t *self, uint64_t seq)
{
    RUB_ASSERT(seq >= self->base);
    RUB_ASSERT(seq - self->base < self->n);
    return &self->packets[slot_of(self, seq)];
}

int rub_ring_reserve(rub_ring_t *self, size_t more)
{
    if (self->n + more <= self->capacity) {
        return 0;
    }
    size_t capacity = self->capacity ? self->capacity : 64;
    while (capacity < self->n + more) {
        capacity *= 2;
    }
    rub_packet_t **packets = rub_calloc(capacity, sizeof(rub_packet_t *));
    if (!packets) {
        return RUB_ENOMEM;
    }
    for (size_t i = 0; i < self->n; i++) {
        packets[i] = self->packets[(self->head + i) & (self->capacity - 1)];
    }
    rub_free(self->packets);
    self->packets = packets;
    self->capacity = capacity;
    self->head = 0;
    return 0;
}

void rub_ring_free_to(rub_ring_t *self, uint64_t seq)
{
    while (self->n > 0 && self->base <= seq) {
        rub_packet_t **slot = &self->packets[self->head];
        const rub_header_t *header = rub_packet_header(*slot);
        /* Only CLOCK and RESUME move done(u) forward by themselves; the rest is stamped with it. */
        if (header->clock > self->base_clock) {
            self->base_clock = header->clock;
        }
        self->used_bytes -= rub_ring_cost(*slot);
        rub_packet_unref(slot);
        self->head = (self->head + 1) & (self->capacity - 1);
        self->n--;
        self->base++;
    }
}

void rub_ring_fini(rub_ring_t *self)
{
    if (self->n > 0) {
        rub_ring_free_to(self, rub_ring_last(self));
    }
    rub_free(self->packets);
}

void rub_stream_append(rub_client_t *self, rub_link_t *link, rub_packet_t *packet)
{
    rub_ring_t *ring = &link->ring;
    RUB_ASSERT(ring->n < ring->capacity);
    if (ring->n == 0 && link->open_requests == 0) {
        link->asked_ms =
            self->now_ms; /* silence counts from the first thing that wants an answer */
    }
    rub_header_t header = *rub_packet_header(packet);
    header.seq = ring->base + ring->n;
    rub_packet_set_header(packet, &header);
    ring->packets[slot_of(ring, header.seq)] = packet;
    ring->n++;
    ring->used_bytes += rub_ring_cost(packet);
    rub_stream_pump(self, link);
}

void rub_stream_pump(rub_client_t *self, rub_link_t *link)
{
    while (link->state == RUB_LINK_UP && link->sent < rub_ring_last(&link->ring)) {
        rub_packet_t *packet = rub_ring_at(&link->ring, link->sent + 1);
        const size_t cost = rub_ring_cost(packet);
        if (link->in_flight_bytes > 0 && link->in_flight_bytes + cost > link->window) {
            return;
        }
        rub_link_send(self, link, rub_packet_ref(packet));
        link->sent++;
        link->in_flight_bytes += cost;
    }
}

void rub_stream_rewind(rub_link_t *link, uint64_t seq)
{
    link->applied = link->sent = seq;
    link->in_flight_bytes = 0;
}

void rub_stream_take_back(rub_link_t *link, uint64_t seq)
{
    while (link->sent >= seq) {
        link->in_flight_bytes -= rub_ring_cost(rub_ring_at(&link->ring, link->sent));
        link->sent--;
    }
}

/* Up to where the ring may be freed. */
static uint64_t free_to(const rub_client_t *self, const rub_link_t *link)
{
    if (self->config.retain == RUB_RETAIN_SYNCED) {
        return link->synced < link->applied ? link->synced : link->applied;
    }
    const uint64_t acked = link->acked < link->applied ? link->acked : link->applied;
    return link->resumed > link->synced && link->resumed <= acked ? link->resumed - 1 : acked;
}

void rub_stream_acknowledge(const rub_client_t *self, rub_link_t *link, uint64_t applied,
                            uint64_t synced)
{
    while (link->applied < applied) {
        link->applied++;
        if (link->applied <= link->sent) {
            link->in_flight_bytes -= rub_ring_cost(rub_ring_at(&link->ring, link->applied));
        }
    }
    if (link->sent < link->applied) {
        link->sent = link->applied;
    }
    synced = synced < applied ? synced : applied;
    const uint64_t acked = link->durability == RUB_DURABILITY_SYNC ? synced : applied;
    link->acked = acked > link->acked ? acked : link->acked;
    link->sync_asked_ms = synced > link->synced ? 0 : link->sync_asked_ms;
    link->synced = synced > link->synced ? synced : link->synced;
    rub_ring_free_to(&link->ring, RUB_MUTANT(RING_FREED_SENT)      ? link->sent
                                  : RUB_MUTANT(RING_FREED_APPLIED) ? link->applied
                                                                   : free_to(self, link));
    if (link->ring.n == 0 && link->done > link->ring.base_clock) {
        link->ring.base_clock = link->done;
    }
}

static bool wants_sync(const rub_client_t *self, const rub_link_t *link)
{
    if (link->applied <= link->synced) {
        return false;
    }
    if (link->resumed > link->synced && link->resumed <= link->applied) {
        return true;
    }
    return self->config.retain == RUB_RETAIN_SYNCED &&
           (self->leaving || link->ring.used_bytes > self->config.ring_limit_bytes / 2);
}

void rub_stream_ask_sync(rub_client_t *self, rub_link_t *link)
{
    const bool up = link->state == RUB_LINK_UP || link->state == RUB_LINK_POSTPONED;
    const bool due =
        link->sync_asked_ms == 0 || self->now_ms - link->sync_asked_ms >= RUB_SYNC_EVERY_MS;
    if (!up || !due || !wants_sync(self, link)) {
        return;
    }
    const rub_header_t header = {.type = RUB_MSG_SYNC};
    rub_packet_t *packet = rub_packet_new(&header, 0, 0);
    if (packet) { /* else: asked again by the tick */
        rub_link_send(self, link, packet);
        link->sync_asked_ms = self->now_ms ? self->now_ms : 1;
    }
}
