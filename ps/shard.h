/* One shard: the state machine that owns a part of every table, of the streams of pushes, and of
 * the clocks.
 *
 * Pure. The reactor (ps/zmq_shard.c) or the simulator (tests/sim) feeds it messages, views and time
 * in *turns*; it answers through effects. Laws it keeps: admission is seq == applied + 1 per (rank,
 * epoch); nothing is sent before what it depends on was given to the journal (the reactor writes
 * the journal at the turn's end, then lets the sends go); a pull is answered only when min over
 * counted of done(u) >= clock - s and applied >= its seq; no minimum ever falls; stepping the core
 * through its own journal rebuilds the same state.
 *
 * Not thread-safe: one thread owns it. Functions that return int: 0, or a negative code that is
 * fatal to this shard (RUB_ENOMEM, RUB_ESTORE, RUB_ECORRUPT). What a peer sends is never fatal. */
#ifndef RUB_SHARD_H
#define RUB_SHARD_H

#include "common/wire/control.h"
#include "common/wire/packet.h"

typedef struct rub_shard rub_shard_t;

/* A connection, as the reactor numbers it (ROUTER's routing id); a number is not used again for
 * another one. */
typedef uint64_t rub_peer_t;

/* Journal record types: pinned for ever. Layouts: ps/record.h. */
typedef enum {
    RUB_RECORD_PUSH = 1,
    RUB_RECORD_CLOCK = 2,
    RUB_RECORD_IDLE = 3,
    RUB_RECORD_RESUME = 4,
    RUB_RECORD_BYE = 5,
    RUB_RECORD_CLOSE = 6,
    RUB_RECORD_REFUSED = 7,
    RUB_RECORD_LOST = 8,
    RUB_RECORD_VIEW = 9,
    RUB_RECORD_DELETE = 10,
    RUB_RECORD_SYNC = 11,
    RUB_RECORD_REVISION = 12 /* a PUSH of a table that revises, with what it could not know */
} rub_record_type_t;

/* What goes into this shard's part of a snapshot: everything up to pin_lsn; behind it, of each
 * listed session the records of periods below its cut, and of sessions that are not listed nothing.
 * Every listed session has come to its cut at to_lsn: one that ended its stream here below the K of
 * the whole snapshot is listed with what it had done, which is all of it. */
typedef struct rub_shard_fold {
    uint64_t number;
    uint64_t pin_lsn, to_lsn;
    const rub_cut_rank_t *ranks;
    size_t n_ranks;
} rub_shard_fold_t;
struct rub_fold_result; /* ps/fold.h */

/* Journal since the redo point that is worth a checkpoint before its time: so much, and so much for
 * each byte that it writes. */
#define RUB_JOURNAL_GROWTH_BYTES ((uint64_t)64 << 20)
#define RUB_JOURNAL_PER_DIRTY 64u
#define RUB_REDO_LIMIT_BYTES ((uint64_t)512 << 20) /* where nobody says another one */

/* What a shard asks of the world. Every call returns at once. */
typedef struct rub_shard_effects {
    void *context;
    /* Appends a record to this turn's journal write. Parts are borrowed until the turn ends: they
     * point into messages of this turn or memory that the core keeps for the turn. Never called
     * with durability none. */
    int (*journal)(void *context, uint64_t lsn, rub_record_type_t type, const rub_span_t *parts,
                   size_t n_parts);
    /* Bytes that the journal can surely still take in this turn, reserved on disk. */
    size_t (*journal_room)(void *context);
    /* Sends when the turn's journal write is done. Takes the packet. A peer that is gone: dropped
     * silently. */
    void (*send)(void *context, rub_peer_t peer, rub_packet_t *packet);
    /* A packet without keys for that peer, where it can be had for less than a copy through the
     * connection. NULL: no memory. The effect may be NULL: all packets lie on the heap. */
    rub_packet_t *(*packet)(void *context, rub_peer_t peer, const rub_header_t *header,
                            size_t values_bytes);
    /* How many peers share memory with this shard, for the reports. May be NULL: nobody. */
    uint64_t (*lanes)(void *context);
    /* Bytes that were sent to that peer in turns before this one and that it has not taken yet.
     * NULL: every peer takes everything. */
    uint64_t (*unread)(void *context, rub_peer_t peer);
    /* To the scheduler; the message is borrowed. */
    void (*control)(void *context, const rub_control_t *message);
    /* Checkpoint: a copy of one chunk as of lsn. Takes bytes (from rub_alloc). */
    int (*stage_chunk)(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                       size_t n_bytes);
    /* Checkpoint complete: commit all staged chunks and this state (borrowed) with this redo point,
     * then call rub_shard_checkpointed. Journal must be on the platter up to lsn_needed before any
     * chunk is committed; not if all of it is committed at once and lsn_needed is redo_lsn. */
    int (*stage_state)(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                       size_t n_bytes);
    /* Put the journal on the platter up to here, then call rub_shard_synced. */
    void (*sync)(void *context, uint64_t lsn);
    /* Snapshot: hold the store's last committed image, with the journal from its redo point on,
     * then call rub_shard_pinned. NULL: this shard has nothing to hold. At most one pin at a time.
     */
    void (*pin)(void *context, uint64_t number);
    /* Fold the pinned image and the journal up to order->to_lsn (of this turn or before: it is
     * written when the turn's journal is) into this shard's part, beside the training, then call
     * rub_shard_folded. The order is borrowed. */
    void (*fold)(void *context, const rub_shard_fold_t *order);
    /* Let go of the pin, of a fold that is under way (its answer may still come), and unless `keep`
     * of the part. Also called when there is no pin any more. */
    void (*unpin)(void *context, uint64_t number, bool keep);
    /* A sentence for the log. */
    void (*notice)(void *context, const char *sentence);
} rub_shard_effects_t;

typedef struct rub_shard_config {
    uint32_t shard;
    uint32_t n_shards;
    uint32_t durability; /* RUB_DURABILITY_* */
    size_t limit_bytes;  /* of tables, open periods and queues together */
    uint32_t checkpoint_interval_ms;
    uint64_t redo_limit_bytes; /* journal since the redo point that forces a full sweep */
    bool redo_limit_grows;     /* it may be as much as the tables take, where that is more */
    /* What a checkpoint copies in any tick. 0: as programs have it; the simulator takes less, so
     * that its small tables are copied chunk by chunk too. */
    size_t stage_bytes;
    /* After how long an unused key list is forgotten. 0: as programs have it; the simulator takes
     * less. */
    uint32_t lists_idle_ms;
    bool is_in_process; /* whoever speaks to it is a thread of its process: PULLs may bear grants */
    char address[128];  /* told to the scheduler */
    char who[128];      /* host:pid */
} rub_shard_config_t;

/* Effects are copied. NULL when memory is short. */
rub_shard_t *rub_shard_new(const rub_shard_config_t *config, const rub_shard_effects_t *effects);
void rub_shard_destroy(rub_shard_t **self_p);

/* ---- recovery: state, chunks (any order), journal records from the redo point in lsn order, then
 * open. A new store is opened at once. Errors: RUB_ECORRUPT with a sentence. ---- */
/* Whose state that is, before a core for it is made. RUB_ECORRUPT. */
typedef struct rub_state_owner {
    uint32_t shard, n_shards;
    uint64_t job, incarnation, redo_lsn;
} rub_state_owner_t;
int rub_shard_state_owner(const void *state, size_t n_bytes, rub_state_owner_t *owner,
                          rub_error_t *err);
int rub_shard_load_state(rub_shard_t *self, const void *state, size_t n_bytes, uint64_t *redo_lsn_p,
                         rub_error_t *err);
int rub_shard_load_chunk(rub_shard_t *self, const void *bytes, size_t n_bytes, rub_error_t *err);
int rub_shard_replay(rub_shard_t *self, uint64_t lsn, rub_record_type_t type, const void *payload,
                     size_t n_bytes, rub_error_t *err);
/* incarnation: greater than any before, committed by the caller. From here the core may act. */
int rub_shard_open(rub_shard_t *self, uint64_t incarnation, uint64_t now_ms, rub_error_t *err);

/* ---- a turn: begin, any number of receive/control/tick, end; then the reactor writes the journal
 * and sends ---- */
void rub_shard_turn_begin(rub_shard_t *self, uint64_t now_ms);
int rub_shard_receive(rub_shard_t *self, rub_peer_t peer, const rub_frame_t *frame);
/* That connection has said HELLO and was welcomed. Whoever has not is owed nothing but REHELLO,
 * which rub_shard_receive says to anything else that it sends. */
bool rub_shard_listens_to(const rub_shard_t *self, rub_peer_t peer);
/* What came from that peer was no message: nobody knows what is missing now, so its session shall
 * say HELLO again and send what we have not applied. */
void rub_shard_unreadable(rub_shard_t *self, rub_peer_t peer);
int rub_shard_control(rub_shard_t *self, const rub_control_t *message); /* from the scheduler */
/* Timers: reports, parked pulls' WAITING, sync and checkpoint intervals, staging of the next
 * chunks. */
int rub_shard_tick(rub_shard_t *self);
int rub_shard_turn_end(rub_shard_t *self); /* acks leave here, one per session */
/* Of rows that this turn has put where sessions of the process want them: no message has them. */
uint64_t rub_shard_granted_bytes(const rub_shard_t *self);
/* When rub_shard_tick wants to be called next, milliseconds from now; 0: at once. */
uint64_t rub_shard_next_tick_ms(const rub_shard_t *self);

/* ---- answers to effects, inside a turn ---- */
int rub_shard_synced(rub_shard_t *self, uint64_t lsn);
int rub_shard_checkpointed(rub_shard_t *self,
                           uint64_t redo_lsn); /* the journal below may be recycled */
/* The image is held. err: NULL, or why it can not be. For a pin that was let go meanwhile: ignored,
 * the caller unpins. */
int rub_shard_pinned(rub_shard_t *self, uint64_t number, const rub_error_t *err);
/* The part is on the platter: result. Or err says why not. */
int rub_shard_folded(rub_shard_t *self, uint64_t number, const struct rub_fold_result *result,
                     const rub_error_t *err);

/* ---- for the reactor's loop and for tests ---- */
typedef enum {
    RUB_SHARD_SERVING = 0,
    RUB_SHARD_FINISHED = 1, /* the scheduler has heard FINISHED: leave with 0 */
    RUB_SHARD_REFUSED =
        2 /* the scheduler refuses this shard: leave with 77; sentence in rub_shard_reason */
} rub_shard_phase_t;
rub_shard_phase_t rub_shard_phase(const rub_shard_t *self);
const char *rub_shard_reason(const rub_shard_t *self);
/* Asks for a checkpoint of everything now (SIGTERM); idle once rub_shard_clean. */
void rub_shard_drain(rub_shard_t *self);
bool rub_shard_clean(const rub_shard_t *self); /* nothing dirty, nothing being staged, all synced */
uint64_t rub_shard_rows(const rub_shard_t *self);     /* rows and blocks stored */
uint64_t rub_shard_lost(const rub_shard_t *self);     /* records that power losses took */
uint64_t rub_shard_job(const rub_shard_t *self);      /* 0: no view yet */
uint64_t rub_shard_redo_lsn(const rub_shard_t *self); /* of the last committed checkpoint */
uint64_t rub_shard_lsn(const rub_shard_t *self);      /* of the last record */
uint64_t rub_shard_digest(const rub_shard_t *self); /* order-free sum over stored rows and blocks */
uint64_t rub_shard_done(const rub_shard_t *self, uint32_t rank);
uint64_t rub_shard_minimum(
    const rub_shard_t *self); /* of done over counted ranks; UINT64_MAX: nobody is counted */

#endif
