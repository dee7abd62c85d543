/* The reactor's turn (ps/zmq_shard.c) with the sockets left out: step the core, write the journal
 * once, hand the storage thread what was staged, then let the answers go. The storage thread is the
 * real one and works beside us. */
#include "tests/crash/shard_driver.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "tests/crash/disk_log.h"

#include <poll.h>
#include <stdio.h>

enum { SENT_LIMIT = 4096, STAGED_LIMIT = 256, READER = 900, SEGMENT_BYTES = 64 * 1024 };

typedef struct staged {
    bool is_state;
    uint32_t table, chunk;
    uint64_t lsn, redo_lsn;
    void *bytes;
    size_t n_bytes;
} staged_t;

struct rub_driver {
    rub_ledger_plan_t plan;
    rub_shard_t *core;
    rub_shard_store_t store;
    rub_storage_t *storage;
    rub_packet_t *sent[SENT_LIMIT];
    rub_peer_t peers[SENT_LIMIT];
    size_t n_sent;
    rub_packet_t *borrowed[64]; /* received in this turn */
    size_t n_borrowed;
    staged_t staged[STAGED_LIMIT];
    size_t n_staged;
    uint64_t sync_lsn, now_ms;
    uint64_t n_pins;
    bool is_pinned;
    bool is_committing; /* a checkpoint is with the storage thread */
    rub_ledger_reach_t given, synced, welcomed;
    bool is_welcome[RUB_LEDGER_RANKS];
    rub_packet_t *rows[3]; /* the last ROWS by table */
    rub_error_t failure;
};

/* ---- effects ---- */

static int on_journal(void *context, uint64_t lsn, rub_record_type_t type, const rub_span_t *parts,
                      size_t n_parts)
{
    rub_driver_t *self = context;
    return rub_journal_append(self->store.journal, lsn, (uint8_t)type, parts, n_parts,
                              &self->failure);
}

static size_t on_room(void *context)
{
    return rub_journal_room(((rub_driver_t *)context)->store.journal);
}

static void on_send(void *context, rub_peer_t peer, rub_packet_t *packet)
{
    rub_driver_t *self = context;
    RUB_ASSERT(self->n_sent < SENT_LIMIT);
    self->peers[self->n_sent] = peer;
    self->sent[self->n_sent++] = packet;
}

static void on_control(void *context, const rub_control_t *message)
{
    RUB_UNUSED(context);
    RUB_UNUSED(message);
}

static int on_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                    size_t n_bytes)
{
    rub_driver_t *self = context;
    RUB_ASSERT(self->n_staged < STAGED_LIMIT);
    self->staged[self->n_staged++] =
        (staged_t){.table = table, .chunk = chunk, .lsn = lsn, .bytes = bytes, .n_bytes = n_bytes};
    return 0;
}

static int on_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                    size_t n_bytes)
{
    rub_driver_t *self = context;
    RUB_ASSERT(self->n_staged < STAGED_LIMIT);
    staged_t staged = {.is_state = true, .lsn = lsn_needed, .redo_lsn = redo_lsn};
    staged.bytes = rub_alloc(n_bytes + 1);
    staged.n_bytes = n_bytes;
    memcpy(staged.bytes, state, n_bytes);
    self->staged[self->n_staged++] = staged;
    return 0;
}

static void on_sync(void *context, uint64_t lsn)
{
    rub_driver_t *self = context;
    self->sync_lsn = lsn > self->sync_lsn ? lsn : self->sync_lsn;
}

static void on_notice(void *context, const char *sentence)
{
    RUB_UNUSED(context);
    RUB_UNUSED(sentence);
}

/* ---- a turn ---- */

static void say(rub_driver_t *self, rub_peer_t peer, rub_packet_t *packet)
{
    const rub_frame_t frame = rub_packet_frame(packet);
    RUB_ASSERT(self->n_borrowed < 64);
    self->borrowed[self->n_borrowed++] = packet;
    (void)rub_shard_receive(self->core, peer, &frame);
}

/* The answers leave: now what they promise is promised. */
static void let_go(rub_driver_t *self)
{
    for (size_t i = 0; i < self->n_sent; i++) {
        const rub_header_t *header = rub_packet_header(self->sent[i]);
        const uint32_t u = (uint32_t)self->peers[i];
        if (self->peers[i] < RUB_LEDGER_RANKS &&
            (header->type == RUB_MSG_ACK || header->type == RUB_MSG_WELCOME)) {
            if (header->type == RUB_MSG_WELCOME) {
                self->welcomed.seq[u] = header->seq;
                self->is_welcome[u] = true;
            }
            if (header->mark > self->synced.seq[u]) {
                self->synced.seq[u] = header->mark;
                rub_record_mark(u, header->mark);
            }
        }
        if (header->type == RUB_MSG_ROWS && header->seq < 3) {
            rub_packet_unref(&self->rows[header->seq]);
            self->rows[header->seq] = rub_packet_ref(self->sent[i]);
        }
        rub_packet_unref(&self->sent[i]);
    }
    self->n_sent = 0;
}

static int hand_over(rub_driver_t *self)
{
    int rc = rub_journal_write(self->store.journal, &self->failure);
    for (size_t i = 0; i < self->n_staged; i++) {
        const staged_t *s = &self->staged[i];
        if (rc) {
            rub_free(s->bytes);
        } else if (s->is_state) {
            rc = rub_storage_state(self->storage, s->redo_lsn, s->lsn, s->bytes, s->n_bytes);
            self->is_committing = true;
        } else {
            rc = rub_storage_chunk(self->storage, s->table, s->chunk, s->lsn, s->bytes, s->n_bytes);
        }
    }
    self->n_staged = 0;
    if (!rc && self->sync_lsn) {
        rub_storage_sync(self->storage, self->sync_lsn);
        self->sync_lsn = 0;
    }
    if (!rc && rub_journal_wants_segment(self->store.journal)) {
        rub_storage_prepare(self->storage);
    }
    return rc;
}

static void begin(rub_driver_t *self)
{
    rub_storage_news_t news = {0};
    rub_shard_turn_begin(self->core, self->now_ms);
    rub_storage_collect(self->storage, &news);
    if (news.failure.code && !self->failure.code) {
        self->failure = news.failure;
    }
    if (news.synced_lsn) {
        (void)rub_shard_synced(self->core, news.synced_lsn);
    }
    if (news.redo_lsn) {
        self->is_committing = false;
        (void)rub_shard_checkpointed(self->core, news.redo_lsn);
    }
    rub_store_unpin(&news.pin); /* nobody reads it: what it does to the journal is wanted */
}

static int end(rub_driver_t *self)
{
    int rc = rub_shard_tick(self->core);
    rc = rc ? rc : rub_shard_turn_end(self->core);
    rc = rc ? rc : hand_over(self);
    rc = rc ? rc : self->failure.code;
    let_go(self);
    for (size_t i = 0; i < self->n_borrowed; i++) {
        rub_packet_unref(&self->borrowed[i]);
    }
    self->n_borrowed = 0;
    return rc;
}

/* ---- life ---- */

int rub_driver_open(const char *folder, const rub_ledger_plan_t *plan, rub_driver_t **self_p,
                    rub_error_t *err)
{
    rub_driver_t *self = rub_calloc(1, sizeof(*self));
    RUB_ASSERT(self);
    self->plan = *plan;
    const rub_shard_config_t config = rub_ledger_config(plan);
    const rub_shard_effects_t effects = {.context = self,
                                         .journal = on_journal,
                                         .journal_room = on_room,
                                         .send = on_send,
                                         .control = on_control,
                                         .stage_chunk = on_chunk,
                                         .stage_state = on_state,
                                         .sync = on_sync,
                                         .notice = on_notice};
    self->core = rub_shard_new(&config, &effects);
    RUB_ASSERT(self->core);
    *self_p = self;
    int rc = rub_shard_store_open(folder, 0, SEGMENT_BYTES, "here:1", &self->store, err);
    if (!rc && !plan->mapped) {
        rub_journal_syncs_often(self->store.journal);
    }
    rc = rc ? rc : rub_shard_store_recover(&self->store, self->core, 0, NULL, err);
    rc = rc ? rc
            : rub_storage_start(self->store.journal, self->store.lmdb, false, NULL, &self->storage,
                                err);
    self->now_ms = rub_now_ms();
    if (rc) {
        rub_driver_close(self_p, false);
    }
    return rc;
}

void rub_driver_close(rub_driver_t **self_p, bool drain)
{
    rub_driver_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    if (drain) {
        rub_shard_drain(self->core);
        for (int i = 0; i < 2000 && !rub_shard_clean(self->core); i++) {
            self->now_ms += 5;
            begin(self);
            RUB_ASSERT(end(self) == 0);
            rub_sleep_ms(1);
        }
        RUB_ASSERT(rub_shard_clean(self->core));
    }
    rub_storage_stop(&self->storage);
    if (drain) {
        (void)rub_journal_trim(self->store.journal, rub_shard_redo_lsn(self->core), NULL);
    }
    rub_shard_destroy(&self->core);
    rub_shard_store_close(&self->store);
    for (size_t i = 0; i < 3; i++) {
        rub_packet_unref(&self->rows[i]);
    }
    rub_free(self);
}

int rub_driver_hello(rub_driver_t *self, rub_ledger_reach_t *reach_p, rub_error_t *err)
{
    const rub_control_t view = rub_ledger_view(&self->plan);
    int rc = 0;
    for (int i = 0; i < 200 && !rc;
         i++) { /* until there is room for the view, if it is the first */
        begin(self);
        rc = rub_shard_control(self->core, &view);
        for (uint32_t u = 0; u < RUB_LEDGER_RANKS && i % 20 == 0; u++) {
            say(self, u, rub_ledger_hello(u));
        }
        rc = end(self);
        if (self->is_welcome[0] && self->is_welcome[1] && self->is_welcome[2]) {
            self->given = *reach_p = self->welcomed;
            return 0;
        }
        self->now_ms += 50;
        rub_sleep_ms(1);
    }
    return rc ? rub_fail(err, rc, "%s", self->failure.message)
              : rub_fail(err, RUB_ETIMEOUT, "the shard does not welcome its ranks");
}

/* A snapshot's hold on the journal, most of the time: segments are put aside, and come round again.
 */
static void hold_or_let_go(rub_driver_t *self, rub_rng_t *rng)
{
    if (rub_rng_below(rng, 4) != 0) {
        return;
    }
    if (!self->is_pinned) {
        rub_storage_pin(self->storage, ++self->n_pins);
        self->is_pinned = true;
    } else if (rub_rng_below(rng, 8) != 0) {
        rub_storage_hold_until(self->storage, rub_shard_lsn(self->core));
    } else {
        rub_storage_unpin(self->storage);
        self->is_pinned = false;
    }
}

/* Our clock runs ahead of the disk's. Who does not wait meets each interval's end while the last
 * checkpoint is still under way, and asks for a sync each time; a real shard hardly ever does. */
static int await_checkpoint(rub_driver_t *self)
{
    struct pollfd wake = {.fd = rub_storage_event_fd(self->storage), .events = POLLIN};
    int rc = 0;
    for (int i = 0; i < 100 && self->is_committing && !rc; i++) {
        (void)poll(&wake, 1, 20);
        begin(self);
        rc = end(self);
    }
    return rc;
}

int rub_driver_work(rub_driver_t *self, uint32_t n_turns, rub_rng_t *rng, rub_error_t *err)
{
    int rc = 0;
    for (uint32_t i = 0; i < n_turns && !rc; i++) {
        self->now_ms += 1 + rub_rng_below(rng, 8);
        begin(self);
        for (uint64_t n = rub_rng_below(rng, 8); n > 0; n--) {
            const uint32_t u = (uint32_t)rub_rng_below(rng, RUB_LEDGER_RANKS);
            uint64_t least = UINT64_MAX;
            for (uint32_t v = 0; v < RUB_LEDGER_RANKS; v++) {
                least = self->given.seq[v] < least ? self->given.seq[v] : least;
            }
            /* Only what surely fits: a postponed record would have to be said again. */
            if (self->given.seq[u] < least + 2 * (uint64_t)RUB_LEDGER_PERIOD &&
                rub_journal_room(self->store.journal) > 30000) {
                say(self, u, rub_ledger_record(u, ++self->given.seq[u]));
            }
        }
        rc = end(self);
        rc = rc || !self->plan.patient ? rc : await_checkpoint(self);
        hold_or_let_go(self, rng);
        struct pollfd wake = {.fd = rub_storage_event_fd(self->storage), .events = POLLIN};
        const uint64_t dice = rub_rng_below(rng, 8);
        (void)poll(&wake, 1, dice == 0 ? 20 : dice < 3 ? 1 : 0);
    }
    return rc ? rub_fail(err, rc, "%s", self->failure.message) : 0;
}

const rub_ledger_reach_t *rub_driver_synced(const rub_driver_t *self)
{
    return &self->synced;
}

const rub_ledger_reach_t *rub_driver_given(const rub_driver_t *self)
{
    return &self->given;
}

const char *rub_driver_check(rub_driver_t *self, const rub_ledger_reach_t *reach)
{
    begin(self);
    say(self, READER, rub_ledger_reader());
    say(self, READER, rub_ledger_pull(RUB_LEDGER_TABLE));
    say(self, READER, rub_ledger_pull(RUB_LEDGER_DENSE));
    if (end(self) != 0) {
        return "the shard fails";
    }
    for (uint32_t table = RUB_LEDGER_TABLE; table <= RUB_LEDGER_DENSE; table++) {
        if (!self->rows[table]) {
            return "a reader's pull is not answered";
        }
        const char *wrong = rub_ledger_compare(&self->plan, reach, table, self->rows[table]);
        if (wrong) {
            return wrong;
        }
    }
    return NULL;
}
