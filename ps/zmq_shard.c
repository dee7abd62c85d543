/* The reactor of one shard: carries messages to the core and the core's effects out.
 *
 * A turn: read at most TURN_MESSAGES messages into memory that lives until the turn's end (journal
 * parts borrow it), step the core, write the journal once, then let the queued sends and the staged
 * chunks go. Invariant: nothing leaves before what it depends on is in the journal; if that write
 * fails, the turn's sends are never sent and the process ends with 74.
 *
 * Fate sharing: the scheduler counts as present while our connection to it stands (heartbeats vouch
 * for that); absent for grace_ms, or silent from the start for join_timeout_ms, the shard leaves
 * and names it. */
#include "ps/zmq_shard.h"

#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/rate_limit.h"
#include "common/base/timing.h"
#include "common/net/dropped.h"
#include "common/wire/grant.h"
#include "ps/zmq_outbox.h"

#include <inttypes.h>
#include <sched.h>
#include <stdio.h>
#include <unistd.h>

enum {
    TURN_MESSAGES = 256,
    TURN_BYTES = 512 << 10, /* what a turn reads is still in a cache when it is journaled and
                               applied, and its senders hear of it while more is on the way */
    ANSWER_BYTES = 1 << 20, /* answers leave at a turn's end: the next ones are made while these
                               are sent, and out of a cache */
    TURN_CONTROLS = 64,
    LOOK_OUT_US = 120,   /* for post boxes */
    POLL_LIMIT_MS = 100, /* signals and the scheduler's absence are looked at so often */
    LINGER_MS = 500,
    MISSING_NOTICE_MS = 2000, /* the scheduler is named after so long, then every NOTICE_EVERY_MS */
    NOTICE_EVERY_MS = 10000,
    THROTTLED_MS = 50,
    CONNECT_TRIES = 50,
    CONNECT_TRY_MS = 4
};

/* Staged chunks that wait for LMDB: two of its transactions, so that their memory is used over and
 * over. Beyond it the core may stage only every THROTTLED_MS. */
#define STAGED_LIMIT (UINT64_C(32) << 20)

typedef struct reactor {
    const rub_shard_run_t *run;
    rub_shard_t *core;
    rub_outbox_t out;  /* with sockets, store and threads */
    rub_arena_t arena; /* decoded control messages of the turn */
    rub_received_t *received_memory;
    rub_received_t *received[TURN_MESSAGES + TURN_CONTROLS]; /* the turn's first, then free ones */
    size_t n_received;
    bool backlog;       /* the turn's limit was reached: more is waiting */
    bool is_in_process; /* it listens where only this process can be heard */
    /* ---- a message from a connection that waits until what is older in its peer's post box has
     * been read ---- */
    rub_received_t *held; /* free when is_holding is false */
    bool is_holding;
    rub_peer_mark_t held_mark;
    bool had_posts; /* in the last turn */
    bool clean;     /* left in order */
    /* ---- the scheduler's presence ---- */
    bool heard;
    uint64_t begun_ms, seen_ms, noticed_ms;
    uint64_t dropped;      /* messages that could not be read */
    rub_dropped_t unheard; /* those that were dropped as they came, of whoever */
    char name[24];         /* which begins lines about these */
    rub_rate_limit_t complaints, lanes_told;
    uint64_t drain_ms; /* when draining began; 0: not */
    uint64_t ticked_ms;
} reactor_t;

/* Messages, and what the turn's journal borrowed from them. */
static void drop_received(reactor_t *self)
{
    for (size_t i = 0; i < self->n_received; i++) {
        rub_received_release(self->received[i]);
    }
    self->n_received = 0;
    rub_peer_lanes_reset(&self->out.lanes);
    rub_arena_reset(&self->arena);
}

/* ---- reading ---- */

/* A peer must not fill our log. peer: 0 is the scheduler. */
static void complain(reactor_t *self, rub_peer_t peer, const rub_error_t *why)
{
    uint64_t held_back = 0;
    char rest[RUB_HELD_BACK_ROOM];
    self->dropped++;
    if (rub_rate_limit_may(&self->complaints, peer, rub_now_ms(), RUB_COMPLAIN_EVERY_MS,
                           &held_back)) {
        rub_log(self->run->log, RUB_LOG_WARN,
                "shard %u: dropped a message of peer %" PRIu64 ": %s%s; %" PRIu64
                " of all peers so far",
                self->run->core.shard, peer, why->message, rub_held_back_text(held_back, rest),
                self->dropped);
    }
}

/* A session on this host offers to share memory. That it can not be is no fault: containers of one
 * host, or users, are walled off from each other. Lanes are few, and attaching to one opens another
 * process: a stranger's offer is not looked at, it is told to say HELLO like with any message. */
static void take_lane(reactor_t *self, rub_peer_t peer, const rub_frame_t *frame)
{
    rub_error_t err = {0};
    rub_packet_t *answer = NULL;
    const int rc = rub_peer_lanes_accept(&self->out.lanes, peer, frame, &answer, &err);
    if (rub_rate_limit_may(&self->lanes_told, peer, rub_now_ms(), RUB_COMPLAIN_EVERY_MS, NULL)) {
        rub_log(self->run->log, RUB_LOG_INFO,
                "shard %u: values of peer %" PRIu64 " come through %s%s", self->run->core.shard,
                peer, rc ? "its connection: " : "shared memory", rc ? err.message : "");
    }
    if (answer) {
        (void)rub_socket_send(self->out.router, peer, answer);
    }
}

/* One message to the core. RUB_EPROTO: what came is none; err says why. */
static int read_one(reactor_t *self, rub_peer_t peer, const rub_span_t *parts, size_t n_parts,
                    rub_error_t *err)
{
    rub_frame_t frame;
    const bool in_lane = rub_slot_is_meant(parts, n_parts);
    const int rc = in_lane ? rub_peer_lanes_read(&self->out.lanes, peer, &parts[0], &frame, err)
                   : self->is_in_process ? rub_frame_read_in_process(parts, n_parts, &frame, err)
                                         : rub_frame_read(parts, n_parts, &frame, err);
    if (rc) {
        return rc;
    }
    const bool is_session = rub_shard_listens_to(self->core, peer);
    if (frame.header.type == RUB_MSG_KNOCK && is_session) {
        return 0; /* its box is looked into in any case */
    }
    if (frame.header.type == RUB_MSG_LANE && is_session) {
        take_lane(self, peer, &frame);
        return 0;
    }
    if (frame.header.type == RUB_MSG_HELLO) {
        rub_peer_lanes_end(&self->out.lanes, peer);
    }
    return rub_shard_receive(self->core, peer, &frame);
}

/* What can not be read is dropped, and its sender told. */
static int read_or_drop(reactor_t *self, rub_peer_t peer, const rub_span_t *parts, size_t n_parts)
{
    rub_error_t err = {0};
    const int rc = read_one(self, peer, parts, n_parts, &err);
    if (rc != RUB_EPROTO) {
        return rc;
    }
    complain(self, peer, &err);
    rub_shard_unreadable(self->core, peer);
    return 0;
}

static int read_received(reactor_t *self, const rub_received_t *received)
{
    rub_peer_lanes_came(&self->out.lanes, received->peer);
    return read_or_drop(self, received->peer, received->parts, received->n_parts);
}

static size_t bytes_of(const rub_received_t *received)
{
    size_t bytes = 0;
    for (size_t i = 0; i < received->n_parts; i++) {
        bytes += received->parts[i].bytes;
    }
    return bytes;
}

static bool turn_is_full(const reactor_t *self, size_t n, size_t bytes)
{
    const uint64_t answers_bytes = self->out.sends_bytes + rub_shard_granted_bytes(self->core);
    return n == TURN_MESSAGES || bytes >= TURN_BYTES || answers_bytes >= ANSWER_BYTES ||
           rub_peer_lanes_are_full(&self->out.lanes);
}

/* Out of a post box; while something is held, out of that peer's. 0; RUB_SOCKET_EMPTY. */
static int read_post(reactor_t *self)
{
    rub_peer_t peer;
    uint8_t bytes[RUB_POST_MOST];
    rub_span_t part = {.bytes = rub_peer_lanes_take(&self->out.lanes,
                                                    self->is_holding ? &self->held->peer : NULL,
                                                    &peer, bytes)};
    if (part.bytes == 0) {
        return RUB_SOCKET_EMPTY;
    }
    self->had_posts = true;
    part.data = rub_arena_copy(&self->arena, bytes, part.bytes); /* the journal borrows it */
    return part.data ? read_or_drop(self, peer, &part, 1)
                     : rub_fail(&self->out.failure, RUB_ENOMEM, "no memory for messages");
}

/* The one that was held, once its turn has come. 0; RUB_SOCKET_EMPTY. */
static int read_held(reactor_t *self)
{
    if (!self->is_holding ||
        !rub_peer_lanes_reached(&self->out.lanes, self->held->peer, &self->held_mark)) {
        return RUB_SOCKET_EMPTY;
    }
    rub_received_t *received = self->held;
    self->held = self->received[self->n_received];
    self->received[self->n_received++] = received;
    self->is_holding = false;
    return read_received(self, received);
}

/* From a connection. 0, also for one that is held now; RUB_SOCKET_EMPTY. */
static int read_socket(reactor_t *self, size_t *bytes_p)
{
    if (self->is_holding) {
        return RUB_SOCKET_EMPTY;
    }
    rub_received_t *received = self->received[self->n_received];
    const int rc = rub_socket_receive(self->out.router, received);
    if (rc) {
        return rc == RUB_SOCKET_EMPTY ? rc
                                      : rub_fail(&self->out.failure, rc, "no memory for messages");
    }
    *bytes_p += bytes_of(received);
    if (rub_peer_lanes_has_older(&self->out.lanes, received->peer, &self->held_mark)) {
        self->received[self->n_received] = self->held;
        self->held = received;
        self->is_holding = true;
        return 0;
    }
    self->n_received++;
    return read_received(self, received);
}

/* Post boxes and connections by turns, so that neither has to wait for the other's end. */
static int read_sessions(reactor_t *self)
{
    int rc = 0;
    size_t n = 0, bytes = 0;
    self->backlog = false;
    self->had_posts = false;
    for (; !rc && !turn_is_full(self, n, bytes); n++) {
        rc = read_held(self);
        if (rc == RUB_SOCKET_EMPTY && n % 2 == 0) {
            rc = read_post(self);
            rc = rc == RUB_SOCKET_EMPTY ? read_socket(self, &bytes) : rc;
        } else if (rc == RUB_SOCKET_EMPTY) {
            rc = read_socket(self, &bytes);
            rc = rc == RUB_SOCKET_EMPTY ? read_post(self) : rc;
        }
    }
    self->backlog = turn_is_full(self, n, bytes);
    rub_dropped_tell(&self->unheard, self->out.router, self->name, self->run->log);
    return rc == RUB_SOCKET_EMPTY ? 0 : rc;
}

static int read_scheduler(reactor_t *self, uint64_t now_ms)
{
    int rc = 0;
    for (size_t n = 0; n < TURN_CONTROLS && !rc; n++) {
        rub_received_t *received = self->received[self->n_received];
        rc = rub_socket_receive(self->out.dealer, received);
        if (rc) {
            return rc == RUB_SOCKET_EMPTY
                       ? 0
                       : rub_fail(&self->out.failure, rc, "no memory for messages");
        }
        self->n_received++;
        rub_control_t message;
        rub_error_t err = {0};
        if (received->n_parts != 1) {
            (void)rub_fail(&err, RUB_EPROTO, "the scheduler's have one part, not %zu",
                           (size_t)received->n_parts);
        }
        if (received->n_parts != 1 ||
            rub_control_decode(received->parts[0].data, received->parts[0].bytes, &self->arena,
                               &message, &err) != 0) {
            complain(self, 0, &err);
            continue;
        }
        if (!self->heard) {
            rub_log(self->run->log, RUB_LOG_INFO, "shard %u: in touch with the scheduler at %s",
                    self->run->core.shard, self->run->scheduler);
        }
        self->heard = true;
        self->seen_ms = now_ms;
        rc = rub_shard_control(self->core, &message);
    }
    return rc;
}

static int read_storage(reactor_t *self)
{
    rub_storage_news_t news;
    rub_storage_collect(self->out.storage, &news);
    if (news.failure.code) {
        self->out.failure = news.failure;
        return news.failure.code;
    }
    int rc = news.synced_lsn ? rub_shard_synced(self->core, news.synced_lsn) : 0;
    if (!rc && news.redo_lsn) {
        rc = rub_shard_checkpointed(self->core, news.redo_lsn);
    }
    if (!rc && self->out.snapshots) {
        rc = rub_snapshot_thread_news(self->out.snapshots, self->core, &news);
    }
    return rc;
}

/* ---- the loop ---- */

/* How long the core's timers can wait. A checkpoint is staged as fast as LMDB takes it, no faster:
 * what is staged is a copy in memory. */
static uint64_t tick_in_ms(reactor_t *self, uint64_t now_ms)
{
    const uint64_t wanted_ms = rub_shard_next_tick_ms(self->core);
    if (!self->out.storage || wanted_ms >= THROTTLED_MS ||
        rub_storage_backlog(self->out.storage) < STAGED_LIMIT) {
        return wanted_ms;
    }
    const uint64_t since_ms = now_ms - self->ticked_ms;
    const uint64_t left_ms = since_ms < THROTTLED_MS ? THROTTLED_MS - since_ms : 0;
    return left_ms > wanted_ms ? left_ms : wanted_ms;
}

static int turn(reactor_t *self, const rub_poll_t polled[3])
{
    const uint64_t now_ms = rub_now_ms();
    rub_shard_turn_begin(self->core, now_ms);
    int rc = self->out.storage && polled[2].readable ? read_storage(self) : 0;
    rc = rc || !polled[1].readable ? rc : read_scheduler(self, now_ms);
    rc = rc ? rc : read_sessions(self);
    if (!rc && tick_in_ms(self, now_ms) == 0) {
        self->ticked_ms = now_ms;
        rc = rub_shard_tick(self->core);
    }
    rc = rc ? rc : rub_shard_turn_end(self->core);
    rc = rc ? rc : rub_outbox_let_go(&self->out);
    drop_received(self);
    rub_peer_lanes_sweep(&self->out.lanes, now_ms);
    return rc;
}

/* Counts the scheduler's absence; RUB_EPEER when it has lasted too long. */
static int watch_scheduler(reactor_t *self, uint64_t now_ms, rub_error_t *err)
{
    const rub_shard_run_t *run = self->run;
    if (self->heard && now_ms == self->seen_ms) {
        return 0; /* turns are shorter than a look */
    }
    if (self->heard && rub_socket_connected(self->out.dealer)) {
        self->seen_ms = now_ms;
        self->noticed_ms = 0;
        return 0;
    }
    const uint64_t silent_ms = now_ms - self->seen_ms;
    const uint64_t limit_ms = self->heard ? run->grace_ms : run->join_timeout_ms;
    if (silent_ms >= limit_ms) {
        return rub_fail(err, RUB_EPEER, "shard %u leaves: the scheduler at %s %s for %.1f s",
                        run->core.shard, run->scheduler,
                        self->heard ? "is gone" : "has not answered", (double)silent_ms / 1e3);
    }
    const uint64_t since =
        self->noticed_ms ? self->noticed_ms + NOTICE_EVERY_MS : self->seen_ms + MISSING_NOTICE_MS;
    if (now_ms >= since) {
        self->noticed_ms = now_ms;
        rub_log(run->log, RUB_LOG_WARN,
                "shard %u waits for the scheduler at %s: silent for %.1f s, leaves after %.1f s",
                run->core.shard, run->scheduler, (double)silent_ms / 1e3, (double)limit_ms / 1e3);
    }
    return 0;
}

/* Whether it is time to leave. 0: go on; 1: leave with *rc_p. */
static int may_leave(reactor_t *self, uint64_t now_ms, int *rc_p, rub_error_t *err)
{
    const rub_shard_run_t *run = self->run;
    const int signals = run->signals ? *run->signals : 0;
    const rub_shard_phase_t phase = rub_shard_phase(self->core);
    *rc_p = 0;
    if (phase == RUB_SHARD_FINISHED) {
        self->clean = true;
        return 1;
    }
    if (phase == RUB_SHARD_REFUSED) {
        *rc_p = rub_fail(err, RUB_EREFUSED, "shard %u was refused by the scheduler at %s: %s",
                         run->core.shard, run->scheduler, rub_shard_reason(self->core));
        return 1;
    }
    if (run->halt && atomic_load(run->halt)) {
        *rc_p = rub_fail(err, RUB_ECANCELLED, "shard %u leaves with its process", run->core.shard);
        return 1;
    }
    if (signals > 0 && !self->drain_ms) {
        self->drain_ms = now_ms;
        rub_log(run->log, RUB_LOG_INFO, "shard %u: a signal came, writing everything to the store",
                run->core.shard);
        rub_shard_drain(self->core);
    }
    if (self->drain_ms) {
        const bool clean = !self->out.storage || rub_shard_clean(self->core);
        if (clean || signals > 1 || now_ms - self->drain_ms >= run->grace_ms) {
            self->clean = clean;
            *rc_p = rub_fail(err, RUB_EINTR, "shard %u leaves after a signal, %s", run->core.shard,
                             clean ? "everything is in the store" : "the journal holds the rest");
            return 1;
        }
        return 0; /* the scheduler's absence does not matter now */
    }
    *rc_p = watch_scheduler(self, now_ms, err);
    return *rc_p ? 1 : 0;
}

/* Waits until a socket has something, or a post box. Who used boxes in the last turn mostly does so
 * again soon, sooner than the way through the sockets and its three wake-ups takes: so long the
 * shard looks before it sleeps, and lets others run meanwhile. */
static void wait_for_news(reactor_t *self, rub_poll_t polled[3], uint64_t wait_ms)
{
    const uint64_t begun_us = wait_ms > 0 && self->had_posts ? rub_now_us() : 0;
    while (begun_us && !rub_peer_lanes_have(&self->out.lanes) &&
           rub_now_us() - begun_us < LOOK_OUT_US) {
        (void)sched_yield();
    }
    if (wait_ms > 0 && !rub_peer_lanes_sleep(&self->out.lanes)) {
        wait_ms = 0;
    }
    (void)rub_socket_poll(polled, self->out.storage ? 3 : 2, wait_ms);
    rub_peer_lanes_rise(&self->out.lanes);
}

static int serve(reactor_t *self, rub_error_t *err)
{
    rub_poll_t polled[3] = {
        {.socket = self->out.router},
        {.socket = self->out.dealer},
        {.fd = self->out.storage ? rub_storage_event_fd(self->out.storage) : -1},
    };
    self->begun_ms = self->seen_ms = rub_now_ms();
    for (;;) {
        const uint64_t tick_ms = tick_in_ms(self, rub_now_ms());
        const uint64_t wait_ms = self->backlog             ? 0
                                 : tick_ms < POLL_LIMIT_MS ? tick_ms
                                                           : POLL_LIMIT_MS;
        wait_for_news(self, polled, wait_ms);
        int rc = turn(self, polled);
        if (rc) {
            if (!self->out.failure.code) {
                (void)rub_fail(&self->out.failure, rc, "shard %u failed", self->run->core.shard);
            }
            if (err) {
                *err = self->out.failure;
            }
            return rc;
        }
        if (may_leave(self, rub_now_ms(), &rc, err)) {
            return rc;
        }
    }
}

/* ---- opening and closing ---- */

/* "tcp://host:port" as others reach it: the advertised host, and the port that was really bound
 * unless one is advertised too. */
static int advertised(const rub_shard_run_t *run, const char *bound, char *out, size_t out_bytes,
                      rub_error_t *err)
{
    const char *port = strrchr(bound, ':');
    int n = 0;
    if (run->advertise[0] == '\0' || !port) {
        n = snprintf(out, out_bytes, "%s", bound);
    } else {
        const char *own = strrchr(run->advertise, ':'); /* "[::1]" has colons and no port */
        n = snprintf(out, out_bytes, "tcp://%s%s", run->advertise,
                     own && !strchr(own, ']') ? "" : port);
    }
    return n > 0 && (size_t)n < out_bytes
               ? 0
               : rub_fail(err, RUB_ECONFIG, "address of shard %u is longer than %zu bytes",
                          run->core.shard, out_bytes - 1);
}

static int make_core(reactor_t *self, const char *bound, rub_error_t *err)
{
    rub_shard_config_t config = self->run->core;
    const int rc = advertised(self->run, bound, config.address, sizeof(config.address), err);
    if (rc) {
        return rc;
    }
    config.is_in_process = self->is_in_process;
    const bool takes_part = config.durability != RUB_DURABILITY_NONE && self->run->snapshots_dir[0];
    const rub_shard_effects_t effects = rub_outbox_effects(&self->out, takes_part);
    self->core = rub_shard_new(&config, &effects);
    if (!self->core) {
        return rub_fail(err, RUB_ENOMEM, "no memory for shard %u", config.shard);
    }
    rub_log(self->run->log, RUB_LOG_INFO, "shard %u listens on %s, known as %s", config.shard,
            bound, config.address);
    return 0;
}

/* A shard without a store remembers no incarnation; the time of day rises too, as far as restarts
 * can tell. Only its low bits go into lsns, which nobody stores. */
static uint64_t incarnation_of_now(void)
{
    const uint64_t seconds_2026 = 1767225600;
    const uint64_t now = (uint64_t)rub_wall_s();
    return now > seconds_2026 ? now - seconds_2026 + 1 : 1;
}

static int open_snapshots(reactor_t *self, rub_error_t *err)
{
    const rub_shard_run_t *run = self->run;
    const rub_snapshot_place_t place = {.snapshots_dir = run->snapshots_dir,
                                        .shard_dir = self->out.store.folder,
                                        .shard = run->core.shard,
                                        .n_shards = run->core.n_shards,
                                        .limit_bytes = run->core.limit_bytes,
                                        .storage = self->out.storage};
    return rub_snapshot_thread_new(&place, &self->out.snapshots, err);
}

static int open_all(reactor_t *self, rub_net_t *net, rub_error_t *err)
{
    const rub_shard_run_t *run = self->run;
    const bool durable = run->core.durability != RUB_DURABILITY_NONE;
    char bound[128];
    const size_t n_received = RUB_COUNT_OF(self->received);
    self->received_memory = rub_alloc_aligned(64, (n_received + 1) * sizeof(rub_received_t));
    if (!self->received_memory) {
        return rub_fail(err, RUB_ENOMEM, "no memory for shard %u", run->core.shard);
    }
    for (size_t i = 0; i < n_received; i++) {
        self->received[i] = &self->received_memory[i];
    }
    self->held = &self->received_memory[n_received];
    /* The address first: when it is taken, no file was made. */
    int rc = rub_socket_open(net, RUB_SOCKET_ROUTER, &self->out.router, err);
    rc = rc ? rc : rub_socket_open(net, RUB_SOCKET_DEALER, &self->out.dealer, err);
    rc = rc ? rc : rub_socket_bind(self->out.router, run->listen, bound, sizeof(bound), err);
    if (!rc && durable) {
        rc = rub_shard_store_open(run->store_dir, run->core.shard, run->segment_bytes,
                                  run->core.who, &self->out.store, err);
        if (!rc && run->core.durability == RUB_DURABILITY_SYNC) {
            rub_journal_syncs_often(self->out.store.journal);
        }
        rc = rc || !run->keep_journal ? rc : rub_journal_keep_all(self->out.store.journal, err);
    }
    rc = rc ? rc : make_core(self, bound, err);
    if (!rc && durable) {
        rc = rub_shard_store_recover(&self->out.store, self->core, run->core.shard, run->log, err);
        rc = rc ? rc
                : rub_storage_start(self->out.store.journal, self->out.store.lmdb,
                                    run->core.durability == RUB_DURABILITY_SYNC, run->log,
                                    &self->out.storage, err);
        rc = rc || !run->snapshots_dir[0] ? rc : open_snapshots(self, err);
    } else if (!rc) {
        rc = rub_shard_open(self->core, incarnation_of_now(), rub_now_ms(), err);
    }
    rc = rc ? rc : rub_socket_connect(self->out.dealer, run->scheduler, err);
    /* What is sent before the connection stands is dropped, the first REGISTER too: a moment saves
     * half a second. */
    for (int i = 0; i < CONNECT_TRIES && !rc && !rub_socket_connected(self->out.dealer); i++) {
        rub_sleep_ms(CONNECT_TRY_MS);
    }
    return rc;
}

static void close_all(reactor_t *self)
{
    drop_received(self);
    if (self->is_holding) {
        rub_received_release(self->held);
    }
    rub_snapshot_thread_destroy(&self->out.snapshots);
    rub_storage_stop(&self->out.storage);
    if (self->clean && self->out.store.journal && rub_shard_redo_lsn(self->core) > 0) {
        /* All of it is in LMDB. A finished run should be as small as its weights. */
        (void)rub_journal_trim(self->out.store.journal, rub_shard_redo_lsn(self->core), NULL);
    }
    rub_shard_destroy(&self->core);
    /* Last words linger only when leaving in order: after a failure nothing more may leave. */
    rub_socket_close(&self->out.dealer, self->clean ? LINGER_MS : 0);
    rub_socket_close(&self->out.router, self->clean ? LINGER_MS : 0);
    rub_shard_store_close(&self->out.store);
    rub_outbox_fini(&self->out);
    rub_arena_fini(&self->arena);
    rub_free(self->received_memory);
}

int rub_shard_run(rub_net_t *net, const rub_shard_run_t *run, rub_error_t *err)
{
    reactor_t self = {.run = run, .is_in_process = rub_address_is_in_process(run->listen)};
    rub_outbox_init(&self.out);
    rub_peer_lanes_init(&self.out.lanes, run->lanes, run->core.durability != RUB_DURABILITY_NONE);
    self.out.log = run->log;
    self.out.shard = run->core.shard;
    snprintf(self.name, sizeof(self.name), "shard %u: ", run->core.shard);
    rub_arena_init(&self.arena);
    int rc = open_all(&self, net, err);
    rc = rc ? rc : serve(&self, err);
    close_all(&self);
    return rc;
}
