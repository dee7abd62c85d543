/* The shard's door: life, turns, and who handles what. Everything it decides is in the files named
 * after the duty (shard_hello, shard_stream, shard_pull, shard_view, ...); what records do is in
 * shard_apply, used alike when they arrive and when they are replayed, which is why a shard that
 * steps through its own journal is the same shard.
 *
 * Frames are looked at only when their connection said HELLO: everything else costs one look-up and
 * at most one REHELLO a second (design, section 4). */
#include "ps/shard.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "ps/shard_internal.h"

rub_shard_t *rub_shard_new(const rub_shard_config_t *config, const rub_shard_effects_t *effects)
{
    rub_shard_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return NULL;
    }
    self->config = *config;
    self->config.stage_bytes = config->stage_bytes ? config->stage_bytes : RUB_STAGE_BYTES_PER_TICK;
    self->config.lists_idle_ms =
        config->lists_idle_ms ? config->lists_idle_ms : RUB_KEY_LISTS_IDLE_MS;
    self->effects = *effects;
    rub_histogram_init(&self->gaps);
    rub_members_init(&self->members);
    rub_links_init(&self->links);
    rub_buf_init(&self->view);
    rub_buf_init(&self->checkpoint.state);
    rub_arena_init(&self->turn);
    rub_arena_init(&self->scratch);
    rub_arena_init(&self->decoded.arena);
    self->gate = rub_staleness_new(RUB_ASYNC);
    self->periods = rub_periods_new();
    if (!self->gate || !self->periods) {
        rub_shard_destroy(&self);
    }
    return self;
}

void rub_shard_destroy(rub_shard_t **self_p)
{
    rub_shard_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    for (size_t i = 0; i < self->links.n_slots; i++) {
        if (self->links.slots[i]) {
            rub_shard_drop_parked(self, self->links.slots[i]);
            rub_shard_forget_lists(self, self->links.slots[i]);
        }
    }
    rub_links_fini(&self->links);
    rub_key_lists_throw_away(&self->forgotten_lists);
    rub_staleness_destroy(&self->gate);
    rub_periods_destroy(&self->periods);
    rub_members_fini(&self->members);
    for (uint32_t id = 0; id < self->n_tables; id++) {
        rub_ptable_destroy(&self->tables[id]);
    }
    rub_free(self->tables);
    rub_buf_fini(&self->early_chunks);
    rub_free(self->hellos);
    rub_free(self->acks);
    rub_shard_snapshot_fini(&self->snapshot);
    rub_buf_fini(&self->view);
    rub_buf_fini(&self->checkpoint.state);
    rub_seen_fini(&self->seen);
    rub_sums_fini(&self->seen_sums);
    rub_arena_fini(&self->turn);
    rub_arena_fini(&self->scratch);
    rub_arena_fini(&self->decoded.arena);
    rub_free(self);
}

/* ---- what the duties share ---- */

void rub_shard_fail(rub_shard_t *self, int code)
{
    RUB_ASSERT(code < 0);
    if (self->failure == 0) {
        self->failure = code;
    }
}

void rub_shard_say(rub_shard_t *self, const char *sentence)
{
    if (self->effects.notice) {
        self->effects.notice(self->effects.context, sentence);
    }
}

void rub_shard_complain(rub_shard_t *self, rub_peer_t peer, const char *format, ...)
{
    uint64_t held_back = 0;
    if (!rub_rate_limit_may(&self->complaints, peer, self->now_ms, RUB_COMPLAIN_EVERY_MS,
                            &held_back)) {
        return;
    }
    rub_error_t what;
    va_list arguments;
    va_start(arguments, format);
    (void)rub_vfail(&what, RUB_OK, format, arguments);
    va_end(arguments);
    char rest[RUB_HELD_BACK_ROOM];
    RUB_SHARD_NOTICE(self, "peer %llu: %s%s", (unsigned long long)peer, what.message,
                     rub_held_back_text(held_back, rest));
}

rub_ptable_t *rub_shard_table(const rub_shard_t *self, uint32_t id)
{
    return id < self->n_tables ? self->tables[id] : NULL;
}

void rub_shard_send(rub_shard_t *self, rub_peer_t peer, const rub_header_t *header,
                    const void *values)
{
    rub_packet_t *packet = rub_packet_new(header, 0, header->value_bytes);
    if (!packet) {
        rub_shard_fail(self, RUB_ENOMEM);
        return;
    }
    if (header->value_bytes > 0) {
        memcpy(rub_packet_values(packet), values, header->value_bytes);
    }
    self->effects.send(self->effects.context, peer, packet);
}

bool rub_shard_is_bsp(const rub_shard_t *self)
{
    return self->has_view && rub_staleness_bound(self->gate) == 0;
}

uint64_t rub_shard_gate_minimum(const rub_shard_t *self)
{
    const uint64_t minimum = rub_staleness_minimum(self->gate);
    if (!rub_shard_is_bsp(self)) {
        return minimum;
    }
    const uint64_t unclosed = rub_periods_first_pushed(self->periods);
    const uint64_t closed = unclosed < minimum ? unclosed : minimum;
    const uint64_t swept = self->evicts ? rub_shard_swept(self) : UINT64_MAX;
    return swept < rub_shard_sweep_due(self) && swept < closed ? swept : closed;
}

bool rub_shard_is_settled(const rub_shard_t *self)
{
    return rub_shard_gate_minimum(self) == rub_staleness_minimum(self->gate);
}

void rub_shard_recount(rub_shard_t *self, const rub_member_t *member)
{
    if (!rub_member_counts(member)) {
        rub_staleness_uncount(self->gate, member->rank);
    } else if (rub_staleness_count(self->gate, member->rank, member->done) != 0) {
        rub_shard_fail(self, RUB_ENOMEM);
    }
}

void rub_shard_check_floor(rub_shard_t *self)
{
    const uint64_t minimum = rub_staleness_minimum(self->gate);
    if (self->members.unpinned) {
        return;
    }
    if (minimum < self->members.floor && !self->opened) {
        rub_shard_fail(self, RUB_ECORRUPT); /* the journal says so, not we */
        return;
    }
    RUB_ASSERT(minimum >= self->members.floor);
    rub_members_raise_floor(&self->members, minimum);
}

static size_t left_of(size_t limit, size_t used)
{
    return used < limit ? limit - used : 0;
}

size_t rub_shard_memory_for_rows(const rub_shard_t *self)
{
    size_t left = self->config.limit_bytes == 0 ? SIZE_MAX : self->config.limit_bytes;
    left = left_of(left, self->tables_bytes);
    left = left_of(left, rub_periods_bytes(self->periods));
    left = left_of(left, rub_periods_growth(self->periods));
    return left_of(left, self->parked_bytes);
}

size_t rub_shard_memory_left(const rub_shard_t *self)
{
    return left_of(rub_shard_memory_for_rows(self),
                   self->lists_bytes + self->seen.bytes + self->seen_sums.bytes);
}

uint64_t rub_shard_window(const rub_shard_t *self)
{
    const uint64_t limit = self->config.limit_bytes == 0 ? UINT64_MAX : self->config.limit_bytes;
    const uint64_t sessions = self->links.n_trainers > 0 ? self->links.n_trainers : 1;
    const uint64_t share = limit / 4 / sessions;
    if (share < RUB_WINDOW_LEAST) {
        return RUB_WINDOW_LEAST;
    }
    return share > RUB_WINDOW_MOST ? RUB_WINDOW_MOST : share;
}

/* ---- a turn ---- */

void rub_shard_turn_begin(rub_shard_t *self, uint64_t now_ms)
{
    RUB_ASSERT(self->opened);
    RUB_ASSERT(now_ms >= self->now_ms);
    self->now_ms = now_ms;
    self->turn_number++;
    self->granted_bytes = 0;
    self->sweep_rows_left = RUB_SWEEP_ROWS_PER_TURN;
    rub_arena_reset(&self->turn);
    self->listed_keys = NULL;
    rub_key_lists_throw_away(&self->forgotten_lists);
}

static void hear(rub_shard_t *self, rub_link_t *link)
{
    link->heard_ms = self->now_ms;
    if (link->rank != UINT32_MAX) {
        rub_member_t *member = rub_members_find(&self->members, link->rank);
        RUB_ASSERT(member);
        RUB_ASSERT(member->epoch == link->epoch);
        member->heard_ms = self->now_ms;
    }
}

static void receive_bound(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame)
{
    hear(self, link);
    if ((frame->header.flags & RUB_FLAG_REMEMBER) != 0) {
        rub_shard_remember(self, link, frame);
    }
    switch (frame->header.type) {
    case RUB_MSG_PUSH:
    case RUB_MSG_CLOCK:
    case RUB_MSG_IDLE:
    case RUB_MSG_RESUME:
    case RUB_MSG_BYE:
        rub_shard_on_stream(self, link, frame);
        break;
    case RUB_MSG_PULL:
        rub_shard_on_pull(self, link, frame);
        break;
    case RUB_MSG_CANCEL:
        rub_shard_on_cancel(self, link, frame);
        break;
    case RUB_MSG_SYNC:
        rub_shard_want_sync(self, false);
        break;
    case RUB_MSG_RESYNC:
        rub_shard_on_resync(self, link, frame);
        break;
    default:
        rub_shard_complain(self, link->peer, "%s, which no session sends: dropped",
                           rub_message_name(frame->header.type));
        break;
    }
}

int rub_shard_receive(rub_shard_t *self, rub_peer_t peer, const rub_frame_t *frame)
{
    if (self->failure != 0 || self->draining) {
        return self->failure; /* nobody is answered who could not be kept */
    }
    if (rub_shard_is_deaf(self, peer)) {
        rub_shard_cut_off(self, peer);
        return self->failure;
    }
    if (frame->header.type == RUB_MSG_HELLO) {
        rub_shard_on_hello(self, peer, frame);
        return self->failure;
    }
    rub_link_t *link = rub_links_find(&self->links, peer);
    if (link) {
        receive_bound(self, link, frame);
    } else {
        rub_shard_rehello(self, peer);
    }
    return self->failure;
}

bool rub_shard_listens_to(const rub_shard_t *self, rub_peer_t peer)
{
    return rub_links_find(&self->links, peer) != NULL;
}

int rub_shard_control(rub_shard_t *self, const rub_control_t *message)
{
    self->scheduler_heard_ms = self->now_ms;
    switch (message->type) {
    case RUB_MSG_VIEW:
        rub_shard_on_view(self, &message->view);
        break;
    case RUB_MSG_REFUSED:
        rub_shard_on_refused(self, &message->refused);
        break;
    case RUB_MSG_FINISH:
        rub_shard_on_finish(self, &message->finish);
        break;
    case RUB_MSG_PIN:
        rub_shard_on_pin(self, &message->pin);
        break;
    case RUB_MSG_CUT:
        rub_shard_on_cut(self, &message->cut);
        break;
    case RUB_MSG_UNPIN:
        rub_shard_on_unpin(self, &message->unpin);
        break;
    case RUB_MSG_LEFT_SHARD:
        /* Also when we do not know why: an earlier incarnation may have said FINISHED. */
        if (message->left_shard.shard == self->config.shard) {
            self->phase = RUB_SHARD_FINISHED;
        }
        break;
    default:
        RUB_SHARD_NOTICE(self, "the scheduler sent %s, which is not for a shard: dropped",
                         rub_message_name(message->type));
        break;
    }
    return self->failure;
}

int rub_shard_tick(rub_shard_t *self)
{
    rub_shard_settle(self); /* a CLOSE may have waited for room */
    rub_shard_resume_postponed(self);
    if (self->now_ms >= self->housekeeping_at) {
        self->housekeeping_at = self->now_ms + RUB_HOUSEKEEPING_MS;
        rub_shard_cut_off_all_deaf(self);
        rub_shard_warn_parked(self);
        rub_shard_forget_unused_lists(self);
        rub_shard_forget_gone(self);
    }
    rub_shard_report_tick(self);
    rub_shard_snapshot_tick(self);
    rub_shard_checkpoint_tick(self);
    return self->failure;
}

int rub_shard_turn_end(rub_shard_t *self)
{
    rub_shard_snapshot_turn(self);
    rub_shard_checkpoint_moment(self);
    rub_shard_sync_turn(self);
    rub_shard_send_acks(self);
    return self->failure;
}

static void sooner(uint64_t *at, uint64_t other)
{
    if (other < *at) {
        *at = other;
    }
}

uint64_t rub_shard_next_tick_ms(const rub_shard_t *self)
{
    uint64_t at = UINT64_MAX;
    if (self->checkpoint.staging) {
        const bool leaving = self->finishing || self->draining;
        at = leaving ? self->now_ms : self->checkpoint.staged_ms + RUB_STAGE_EVERY_MS;
    }
    if (self->sync_wanted && rub_shard_checkpoint_will_do(self)) {
        sooner(&at, self->checkpoint.begun_ms + RUB_SYNC_WAITS_MS);
    }
    sooner(&at, self->report_at);
    sooner(&at, self->register_at);
    sooner(&at, self->checkpoint_at);
    sooner(&at, self->housekeeping_at);
    sooner(&at, rub_shard_snapshot_at(self));
    sooner(&at, rub_shard_sweep_at(self));
    if (self->finishing && rub_shard_clean(self) && rub_shard_is_settled(self)) {
        sooner(&at, self->finished_at);
    }
    if (self->n_postponed > 0) {
        sooner(&at, self->now_ms + RUB_POSTPONED_MS);
    }
    return at > self->now_ms ? at - self->now_ms : 0;
}

/* ---- for the reactor's loop and for tests ---- */

rub_shard_phase_t rub_shard_phase(const rub_shard_t *self)
{
    return self->phase;
}

const char *rub_shard_reason(const rub_shard_t *self)
{
    return self->reason;
}

void rub_shard_drain(rub_shard_t *self)
{
    self->draining = true;
    rub_shard_snapshot_give_up(self, "is leaving");
    self->checkpoint_at = self->now_ms;
}

bool rub_shard_clean(const rub_shard_t *self)
{
    if (!rub_shard_is_durable(self)) {
        return true;
    }
    return !self->checkpoint.active && self->change_lsn <= self->redo_lsn;
}

uint64_t rub_shard_rows(const rub_shard_t *self)
{
    uint64_t rows = 0;
    for (uint32_t id = 0; id < self->n_tables; id++) {
        rows += self->tables[id] ? rub_ptable_rows(self->tables[id]) : 0;
    }
    return rows;
}

uint64_t rub_shard_lost(const rub_shard_t *self)
{
    return self->lost;
}

uint64_t rub_shard_job(const rub_shard_t *self)
{
    return self->job;
}

uint64_t rub_shard_redo_lsn(const rub_shard_t *self)
{
    return self->redo_lsn;
}

uint64_t rub_shard_lsn(const rub_shard_t *self)
{
    return self->lsn;
}

uint64_t rub_shard_digest(const rub_shard_t *self)
{
    uint64_t digest = 0;
    for (uint32_t id = 0; id < self->n_tables; id++) {
        digest += self->tables[id] ? rub_ptable_digest(self->tables[id]) : 0;
    }
    return digest;
}

uint64_t rub_shard_done(const rub_shard_t *self, uint32_t rank)
{
    const rub_member_t *member = rub_members_find(&self->members, rank);
    return member ? member->done : 0;
}

uint64_t rub_shard_minimum(const rub_shard_t *self)
{
    return rub_staleness_minimum(self->gate);
}
