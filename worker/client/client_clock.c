/* Records that go to every shard: CLOCK, IDLE, RESUME, BYE; and the two operations that are nothing
 * else, pause and resume.
 *
 * IDLE and BYE end the open period like a CLOCK if anything was pushed in it, to whichever shard:
 * all shards must count the same participants. A shard alone knows done(u) after RESUME (which pins
 * at its minimum), so IDLE and RESUME wait for the acknowledgement, and the
 * session's clock becomes the maximum; where a shard stands lower, CLOCK(maximum) follows. All
 * packets are made before the first is appended: such a step happens on every shard or on none. */
#include "worker/client/client_internal.h"

#include <string.h>

static rub_packet_t *make_record(const rub_client_t *self, const rub_link_t *link, uint8_t type,
                                 uint64_t clock, uint64_t mark)
{
    const bool stamped = type == RUB_MSG_CLOCK || type == RUB_MSG_RESUME;
    const bool cursor = type == RUB_MSG_CLOCK || type == RUB_MSG_IDLE;
    const rub_header_t header = {
        .type = type,
        .clock = stamped ? clock : link->done + (self->pushed ? 1 : 0),
        .mark = mark,
        .value_bytes = cursor ? (uint32_t)self->cursor_bytes : 0,
    };
    rub_packet_t *packet = rub_packet_new(&header, 0, header.value_bytes);
    if (packet && header.value_bytes > 0) {
        memcpy(rub_packet_values(packet), self->cursor, self->cursor_bytes);
    }
    return packet;
}

/* below: only where done(u) < below. */
static int append_where(rub_client_t *self, uint64_t below, uint8_t type, uint64_t clock,
                        uint64_t mark)
{
    int rc = RUB_ENOMEM;
    rub_arena_reset(&self->scratch);
    rub_packet_t **packets = rub_arena_calloc(&self->scratch, self->n_links, sizeof(*packets));
    if (!packets) {
        return rc;
    }
    for (uint32_t i = 0; i < self->n_links; i++) {
        rub_link_t *link = &self->links[i];
        if (link->done >= below) {
            continue;
        }
        packets[i] = make_record(self, link, type, clock, mark);
        if (!packets[i] || rub_ring_reserve(&link->ring, 1)) {
            goto out;
        }
    }
    for (uint32_t i = 0; i < self->n_links; i++) {
        rub_link_t *link = &self->links[i];
        if (packets[i]) {
            link->done = type == RUB_MSG_CLOCK ? clock : link->done;
            if (type == RUB_MSG_RESUME) {
                link->resumed = rub_ring_last(&link->ring) + 1;
            }
            link->idle = type == RUB_MSG_IDLE || (link->idle && type != RUB_MSG_RESUME);
            rub_stream_append(self, link, packets[i]);
            packets[i] = NULL;
        }
    }
    self->pushed = self->pushed && type == RUB_MSG_RESUME;
    rc = 0;
out:
    for (uint32_t i = 0; i < self->n_links; i++) {
        rub_packet_unref(&packets[i]);
    }
    return rc;
}

int rub_stream_append_all(rub_client_t *self, uint8_t type, uint64_t clock, uint64_t mark)
{
    if (type == RUB_MSG_IDLE) {
        if (!self->idle && rub_kept_is_due(self)) {
            rub_kept_push_now(self);
        }
        mark = rub_kept_idle_mark(self);
        self->idle_clock = rub_stream_maximum(self) + (self->pushed ? 1 : 0);
    }
    return append_where(self, UINT64_MAX, type, clock, mark);
}

void rub_stream_idle_again(rub_client_t *self, rub_link_t *link)
{
    rub_packet_t *packet = make_record(self, link, RUB_MSG_IDLE, 0, rub_kept_idle_mark(self));
    if (!packet || rub_ring_reserve(&link->ring, 1)) {
        rub_packet_unref(&packet);
        rub_client_no_memory(self);
        return;
    }
    rub_stream_append(self, link, packet);
}

bool rub_stream_all_applied(const rub_client_t *self)
{
    for (uint32_t i = 0; i < self->n_links; i++) {
        if (self->links[i].applied < rub_ring_last(&self->links[i].ring)) {
            return false;
        }
    }
    return true;
}

bool rub_stream_all_resumed(rub_client_t *self)
{
    if (!rub_stream_all_applied(self)) {
        return false;
    }
    bool all = true;
    for (uint32_t i = 0; i < self->n_links; i++) {
        all = all && self->links[i].synced >= self->links[i].resumed;
        rub_stream_ask_sync(self, &self->links[i]);
    }
    return all;
}

/* A shard that takes records as fast as they come gets no more than it can be busy with, where that
 * keeps them in the cache. One that does not gets all the ring holds. */
static bool is_busy(const rub_client_t *self, const rub_link_t *link)
{
    return self->effects.flight && link->state == RUB_LINK_UP &&
           link->in_flight_bytes >= self->effects.flight(self->effects.context, link->shard);
}

bool rub_stream_room(rub_client_t *self, bool for_values)
{
    bool full = false;
    if (self->plain) {
        return true; /* it has to leave before what follows it, and is no more than is held now */
    }
    for (uint32_t i = 0; i < self->n_links; i++) {
        full = full || self->links[i].ring.used_bytes >= self->config.ring_limit_bytes ||
               (for_values && is_busy(self, &self->links[i]));
    }
    if (full && !self->full) {
        self->full_ms = self->now_ms;
        self->full_noticed_ms = 0;
    }
    self->full = full;
    return !full;
}

uint64_t rub_stream_maximum(const rub_client_t *self)
{
    uint64_t maximum = self->clock;
    for (uint32_t i = 0; i < self->n_links; i++) {
        if (self->config.role == RUB_TRAINER && self->links[i].done > maximum) {
            maximum = self->links[i].done;
        }
    }
    return maximum;
}

int rub_stream_catch_up(rub_client_t *self, uint64_t clock, bool everywhere)
{
    const int rc = append_where(self, everywhere ? UINT64_MAX : clock, RUB_MSG_CLOCK, clock, 0);
    if (!rc) {
        self->clock = clock;
    }
    return rc;
}

int rub_client_clock(rub_client_t *self, const void *cursor, size_t cursor_bytes, rub_error_t *err)
{
    const int rc = rub_client_may_push(self, "clock", err);
    if (rc) {
        return rc;
    }
    if (cursor_bytes > RUB_CURSOR_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "clock: a cursor of %zu bytes, at most %u", cursor_bytes,
                        RUB_CURSOR_LIMIT);
    }
    if (self->idle) {
        return rub_fail(err, RUB_EINVAL, "clock: the session is paused");
    }
    if (rub_kept_is_due(self)) {
        const int kept = rub_client_push_kept(self, err);
        if (kept) {
            return kept;
        }
    }
    if (!rub_stream_room(self, false)) {
        return RUB_CLIENT_WAIT;
    }
    uint8_t before[RUB_CURSOR_LIMIT];
    const size_t before_bytes = self->cursor_bytes;
    memcpy(before, self->cursor, sizeof(before));
    if (cursor_bytes > 0) {
        memcpy(self->cursor, cursor, cursor_bytes);
        self->cursor_bytes = cursor_bytes;
    }
    if (rub_stream_catch_up(self, self->clock + 1, true)) {
        memcpy(self->cursor, before, sizeof(before));
        self->cursor_bytes = before_bytes;
        return rub_fail(err, RUB_ENOMEM, "clock: memory is short");
    }
    return 0;
}

int rub_client_pause(rub_client_t *self, rub_handle_t *handle_p, rub_error_t *err)
{
    int rc = rub_client_may_push(self, "pause", err);
    if (!rc) {
        rc = rub_operation_start(self, RUB_OP_PAUSE, handle_p, err);
    }
    if (rc) {
        return rc;
    }
    self->paused = true;
    if (!self->idle) {
        rub_kept_push_now(self); /* who is away can not be asked for it */
    }
    if (!self->idle && rub_stream_append_all(self, RUB_MSG_IDLE, 0, 0)) {
        rub_client_no_memory(self);
        return 0; /* the operation ends with the session's failure */
    }
    self->idle = true;
    rub_kept_tell(self);
    rub_operation_advance(self);
    return 0;
}

void rub_pause_advance(rub_client_t *self)
{
    if (rub_stream_all_applied(self)) {
        self->clock = rub_stream_maximum(self);
        rub_operation_end(self, self->active, 0, NULL);
    }
}

int rub_client_resume(rub_client_t *self, rub_handle_t *handle_p, rub_error_t *err)
{
    int rc = rub_client_may_push(self, "resume", err);
    if (!rc) {
        rc = rub_operation_start(self, RUB_OP_RESUME, handle_p, err);
    }
    if (rc) {
        return rc;
    }
    self->paused = false;
    if (self->idle && rub_stream_append_all(self, RUB_MSG_RESUME, rub_stream_maximum(self), 0)) {
        rub_client_no_memory(self);
        return 0;
    }
    rub_operation_advance(self);
    return 0;
}

void rub_resume_advance(rub_client_t *self)
{
    if (self->idle) {
        if (!rub_stream_all_resumed(self)) {
            return;
        }
        self->idle = false;
        if (rub_stream_catch_up(self, rub_stream_maximum(self), false)) {
            rub_client_no_memory(self);
            return;
        }
    }
    rub_operation_end(self, self->active, 0, NULL);
}
