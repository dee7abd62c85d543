/* What the shard's files share, and nobody else: the state, and the doors between the duties.
 *
 * Errors that are fatal (no memory, the store) are sticky: a duty that fails calls rub_shard_fail
 * and returns, the public functions answer with the code, and the reactor stops the process before
 * anything of that turn leaves. */
#ifndef RUB_SHARD_INTERNAL_H
#define RUB_SHARD_INTERNAL_H

#include "common/base/arena.h"
#include "common/base/error.h"
#include "common/metrics/histogram.h"
#include "ps/links.h"
#include "ps/members.h"
#include "ps/period.h"
#include "ps/seen_sums.h"
#include "ps/seen_weights.h"
#include "ps/shard.h"
#include "ps/table.h"

/* Every limit, named. */
#define RUB_WINDOW_LEAST (4u << 20)
#define RUB_WINDOW_MOST (64u << 20)
#define RUB_CHEAP_LIMIT_BYTES                                                                      \
    ((size_t)32 << 20) /* dirty up to here: a checkpoint each interval                             \
                        */
/* When there is no more room than is used in the files that exist, a checkpoint is worth it before
 * RUB_JOURNAL_GROWTH_BYTES and RUB_JOURNAL_PER_DIRTY (ps/shard.h), too: new files cost more. */
#define RUB_JOURNAL_GROWTH_LEAST ((uint64_t)16 << 20)
#define RUB_JOURNAL_PER_DIRTY_LEAST 12u
/* A sync that is asked for is answered by an exact checkpoint when so much is journaled since the
 * last one: so many times what is copied in a tick, and for each byte that the checkpoint writes.
 * Unless that takes so long (a full disk). */
#define RUB_SYNC_STAGED_LEAST 16u
#define RUB_SYNC_PER_DIRTY 4u
#define RUB_SYNC_WAITS_MS 100u
#define RUB_STAGE_BYTES_PER_TICK ((size_t)256 << 10)
#define RUB_STAGE_EVERY_MS 1u
#define RUB_EXACT_PER_STAGED 32u /* of these, dirty: all is copied at once */
/* The same, of a shard that has journaled RUB_JOURNAL_PER_DIRTY_LEAST times as much. */
#define RUB_EXACT_PER_STAGED_BUSY 64u
#define RUB_PUSHED_PER_STAGED 2u /* more bytes pushed since the last tick allow one more */
#define RUB_JOURNAL_RESERVE ((size_t)4096) /* kept for CLOSE and SYNC records */
#define RUB_WAITING_HELLOS_LIMIT 1024u     /* for a view, or for the platter */
#define RUB_TABLES_LIMIT 65536u            /* a table's number is a u16 on the wire */
#define RUB_WAITING_RANKS_LIMIT 16u
#define RUB_REPORT_RANKS_LIMIT 512u /* of one message: a REPORT stays below RUB_CONTROL_LIMIT */
#define RUB_REPORT_MS 500u
#define RUB_REGISTER_MS 500u
#define RUB_SILENCE_MS 2000u /* no word from the scheduler for so long: REGISTER again */
#define RUB_WAITING_MS 1000u
#define RUB_TABLE_WAIT_MS                                                                          \
    5000u /* a push or pull for a table that no view brings is refused then                        \
           */
#define RUB_POSTPONED_MS 50u
#define RUB_FINISHED_MS 150u
#define RUB_HOUSEKEEPING_MS 250u
/* Rows that a turn looks at for deletes, and at most a partition's more: some 0.3 ms of misses. */
#define RUB_SWEEP_ROWS_PER_TURN ((size_t)16384)
#define RUB_SWEEP_EVERY_MS 1u
#define RUB_KEY_LISTS_MOST ((size_t)16 << 20)  /* of a session */
#define RUB_KEY_LISTS_IDLE_MS 60000u           /* not used for so long: forgotten */
#define RUB_KEY_LISTS_LEAST ((size_t)64 << 10) /* less is not worth saying */

typedef struct rub_waiting_hello {
    rub_peer_t peer;
    uint32_t rank, epoch;
    uint8_t nonce[16];
} rub_waiting_hello_t;

typedef struct rub_checkpoint {
    bool active;  /* from begin until rub_shard_checkpointed */
    bool staging; /* chunks are still to be copied */
    bool exact;   /* all are copied at redo_lsn */
    uint64_t redo_lsn;
    uint64_t lsn_needed;
    uint64_t journal_bytes; /* as of redo_lsn */
    uint64_t begun_ms;
    uint64_t staged_ms; /* when chunks were copied last */
    uint64_t journal_bytes_at_staging;
    rub_buf_t state;
    uint32_t
        n_tables; /* as of redo_lsn: younger tables are not in the state, so not in its chunks */
    uint32_t table, chunk; /* next to look at */
} rub_checkpoint_t;

typedef enum {
    RUB_SNAPSHOT_NO = 0,
    RUB_SNAPSHOT_ASKED,    /* for the pin */
    RUB_SNAPSHOT_HELD,     /* PINNED is said, the cut is awaited */
    RUB_SNAPSHOT_REACHING, /* the cut is known */
    RUB_SNAPSHOT_FOLDING,
    RUB_SNAPSHOT_FOLDED, /* FOLDED is said until UNPIN comes */
    RUB_SNAPSHOT_FAILED  /* UNFOLDED is said until UNPIN comes */
} rub_shard_snapshot_phase_t;

typedef struct rub_shard_snapshot {
    rub_shard_snapshot_phase_t phase;
    uint64_t number, generation; /* of the scheduler that asked */
    uint64_t pin_lsn;
    uint64_t say_at; /* time */
    rub_pinned_rank_t *pinned;
    size_t n_pinned, pinned_capacity;
    rub_cut_rank_t *cut;
    size_t n_cut, cut_capacity;
    uint64_t part_bytes, hash, rows, digest;
    rub_error_t failure;
} rub_shard_snapshot_t;

struct rub_shard {
    rub_shard_config_t config;
    rub_shard_effects_t effects;
    int failure;
    bool opened;
    uint64_t incarnation;
    uint64_t now_ms;
    uint64_t turn_number;
    uint64_t granted_bytes; /* of this turn */

    /* the job, by the last view */
    bool has_view;
    uint64_t job, generation, version, seed;
    uint32_t reduce, n_workers;
    rub_buf_t view;        /* encoded */
    rub_ptable_t **tables; /* index = id; NULL: unknown */
    uint32_t n_tables;     /* greatest id + 1 */
    size_t tables_capacity;
    size_t tables_bytes;
    rub_buf_t early_chunks; /* recovery: of tables whose VIEW is still to be replayed */

    rub_members_t members;
    rub_staleness_t *gate;
    rub_periods_t *periods;
    rub_links_t links;
    rub_waiting_hello_t *hellos;
    size_t n_hellos, hellos_capacity;
    size_t parked_bytes;             /* of all links */
    size_t n_behind;                 /* parked for a seq or a table */
    size_t lists_bytes;              /* key lists of all links */
    rub_key_list_t *forgotten_lists; /* that records of this turn may borrow */
    const uint8_t *listed_keys;      /* of the last message with a digest, in this turn */
    rub_found_rows_t *listed_found;
    rub_seen_weights_t seen;          /* what ranks were given of tables that compensate delays */
    rub_seen_sums_t seen_sums;        /* and of tables that revise, the sums as they were then */
    bool sums_told[RUB_TABLES_LIMIT]; /* of that table, that there is no room for them */
    size_t n_postponed;
    bool counters_said; /* that those of some table are more than half in use */
    uint64_t full_ms;   /* time since when the journal had no space for a record; 0: it has */
    /* Ranks that are owed an ack at the turn's end, in the order in which they spoke. */
    uint32_t *acks;
    size_t n_acks, acks_capacity;

    /* journal */
    uint64_t lsn;        /* last record */
    uint64_t change_lsn; /* last record that is not a SYNC */
    uint64_t synced_lsn;
    uint64_t syncing_lsn; /* asked for; 0: none under way */
    bool sync_wanted, sync_noted;
    uint64_t redo_lsn;
    uint64_t journal_bytes; /* appended since this process loaded its state */
    uint64_t journal_bytes_at_redo;
    rub_checkpoint_t checkpoint;
    bool checkpoint_due;
    uint64_t lost;          /* acknowledged records that a power loss took: the job's, rebuilt */
    uint64_t recovered_lsn; /* the last one when this incarnation was opened */

    rub_shard_snapshot_t snapshot;

    /* deletes of rows */
    bool evicts;            /* some table does */
    bool sweep_blocked;     /* the journal had no room for a record of them */
    size_t sweep_rows_left; /* of this turn */
    uint32_t sweep_first;   /* the table with which the next search begins, modulo their number */
    uint64_t deleted_rows;  /* rows that were deleted: the job's, rebuilt */

    /* counters and answers of this life */
    rub_histogram_t gaps; /* of answered pulls, in clocks */
    uint64_t pushes, pulls;
    uint64_t n_ended; /* periods that ranks have ended here, in this process */
    uint64_t cut_off; /* sessions that did not read */
    rub_rate_limit_t complaints;

    /* timers: times */
    uint64_t report_at, register_at, checkpoint_at, finished_at, housekeeping_at;
    uint64_t scheduler_heard_ms;
    bool view_seen;     /* since opened */
    bool view_taken;    /* and journaled, or known: no table is missing that a session can know */
    uint64_t bound_lsn; /* of the first view, if this process has journaled or replayed it */
    bool view_ack_owed, register_owed; /* said when that is on the platter */

    rub_shard_phase_t phase;
    bool finishing, draining;
    char reason[256];

    rub_arena_t turn;    /* what journal parts point into */
    rub_arena_t scratch; /* reset by its user */
    /* The push that is being judged and applied, decoded once; of: the bytes it was decoded from,
     * NULL when there is none. */
    struct {
        const uint8_t *of;
        rub_push_view_t push;
        rub_arena_t arena;
    } decoded;
};

/* ---- shard.c ---- */
void rub_shard_fail(rub_shard_t *self, int code);
void rub_shard_say(rub_shard_t *self, const char *sentence);
/* A sentence for the log, as rub_fail formats one. */
#define RUB_SHARD_NOTICE(self, ...)                                                                \
    do {                                                                                           \
        rub_error_t line_of_log;                                                                   \
        (void)rub_fail(&line_of_log, RUB_OK, __VA_ARGS__);                                         \
        rub_shard_say(self, line_of_log.message);                                                  \
    } while (0)
/* What a peer sends and may not: a line of the log, seldom, with the number of those that were not
 * told. */
void rub_shard_complain(rub_shard_t *self, rub_peer_t peer, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
rub_ptable_t *rub_shard_table(const rub_shard_t *self, uint32_t id);
void rub_shard_send(rub_shard_t *self, rub_peer_t peer, const rub_header_t *header,
                    const void *values);
bool rub_shard_is_bsp(const rub_shard_t *self);
/* The minimum that pulls are measured against: in bsp not above a period that is still to be
 * closed, or whose rows are still to be deleted. */
uint64_t rub_shard_gate_minimum(const rub_shard_t *self);
/* Bsp: no period that is over is still to be closed, and no row to be deleted. Else always. */
bool rub_shard_is_settled(const rub_shard_t *self);
/* Brings the gate in line with a member. */
void rub_shard_recount(rub_shard_t *self, const rub_member_t *member);
/* After recounts: no minimum falls. */
void rub_shard_check_floor(rub_shard_t *self);
size_t rub_shard_memory_left(const rub_shard_t *self);
/* The same if all key lists, and what ranks were given, were forgotten. */
size_t rub_shard_memory_for_rows(const rub_shard_t *self);
uint64_t rub_shard_window(const rub_shard_t *self);

/* ---- shard_journal.c ---- */
bool rub_shard_has_room(const rub_shard_t *self, size_t payload_bytes);
/* Takes the next lsn and appends. Parts must live until the turn's end. */
void rub_shard_append(rub_shard_t *self, rub_record_type_t type, const rub_span_t *parts,
                      size_t n_parts);
void rub_shard_append_stream(rub_shard_t *self, rub_record_type_t type, const rub_record_t *record);
/* What was journaled up to lsn outlives a loss of power, be it as records or in what a checkpoint
 * has stored. */
void rub_shard_safe(rub_shard_t *self, uint64_t lsn);
void rub_shard_want_sync(rub_shard_t *self, bool note);
/* How far each rank has come, as of what is asked to go to the platter now. */
void rub_shard_note_asked(rub_shard_t *self);
void rub_shard_sync_turn(rub_shard_t *self);
bool rub_shard_is_durable(const rub_shard_t *self); /* has a journal at all */

/* ---- shard_apply.c: what records do, live and replayed ---- */
/* Reads a PUSH and decodes its values, once for judging and applying it: the view is good until
 * another is read, or rub_shard_forget_push. Errors of rub_push_view_read. */
int rub_shard_read_push(rub_shard_t *self, const rub_frame_t *frame, const rub_ptable_t *table,
                        rub_push_view_t *push, rub_error_t *err);
/* The frame's memory may hold something else from now on. */
void rub_shard_forget_push(rub_shard_t *self);
void rub_shard_apply(rub_shard_t *self, rub_record_type_t type, const rub_record_t *record);
/* A record has changed who counts, or where somebody stands: no minimum falls, and what has ended
 * without a push is over. */
void rub_shard_changed_counts(rub_shard_t *self);
void rub_shard_apply_close(rub_shard_t *self, uint64_t period, uint32_t participants);
/* Closes what all have ended, one period after the other, and answers the pulls that each sets
 * free. */
void rub_shard_settle(rub_shard_t *self);

/* ---- shard_evict.c ---- */
/* Looks for rows to be deleted, and deletes them: under bsp all that are due, else as many as this
 * turn may still look at. */
void rub_shard_sweep(rub_shard_t *self);
/* The tick up to which rows are to be looked at now: periods below are over, and closed. */
uint64_t rub_shard_sweep_due(const rub_shard_t *self);
/* The tick up to which all tables were; UINT64_MAX: none ever is. */
uint64_t rub_shard_swept(const rub_shard_t *self);
uint64_t rub_shard_sweep_at(const rub_shard_t *self); /* time of its next tick */
void rub_shard_apply_delete(rub_shard_t *self, const rub_delete_record_t *record, rub_error_t *err);

/* ---- shard_hello.c ---- */
void rub_shard_on_hello(rub_shard_t *self, rub_peer_t peer, const rub_frame_t *frame);
void rub_shard_on_resync(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame);
void rub_shard_answer_hellos(rub_shard_t *self);
void rub_shard_rehello(rub_shard_t *self, rub_peer_t peer);
void rub_shard_fence(rub_shard_t *self, rub_peer_t peer, uint32_t rank, uint32_t epoch);
void rub_shard_unbind(rub_shard_t *self, rub_link_t *link);

/* ---- shard_stream.c ---- */
void rub_shard_on_stream(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame);
void rub_shard_resume_postponed(rub_shard_t *self);
void rub_shard_owe_ack(rub_shard_t *self, rub_member_t *member);
void rub_shard_send_acks(rub_shard_t *self);
void rub_shard_end_postponement(rub_shard_t *self, rub_member_t *member);

/* ---- shard_keys.c ---- */
/* What that session may have remembered, with what it has; 0: nothing. */
size_t rub_shard_lists_share(const rub_shard_t *self, const rub_link_t *link);
/* The message is one whose keys may come again as a digest. */
void rub_shard_remember(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame);
/* The same message with the keys that its digest stands for, which live until the turn's end.
 * False: they are unknown, and the session is told. */
bool rub_shard_plain_keys(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame,
                          rub_frame_t *plain);
/* Where the rows of these keys are remembered, if they are a list's; NULL: nowhere. */
rub_found_rows_t *rub_shard_found_rows(const rub_shard_t *self, const uint8_t *keys,
                                       uint32_t table);
void rub_shard_forget_lists(rub_shard_t *self, rub_link_t *link);
void rub_shard_forget_unused_lists(rub_shard_t *self); /* of all links */
void rub_shard_forget_all_lists(rub_shard_t *self);

/* ---- shard_pull.c ---- */
void rub_shard_on_pull(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame);
void rub_shard_on_cancel(rub_shard_t *self, rub_link_t *link, const rub_frame_t *frame);
void rub_shard_serve_ready(rub_shard_t *self);
/* The session's pulls that wait for its own seq, or for a table. */
void rub_shard_serve_behind(rub_shard_t *self, rub_link_t *link);
void rub_shard_serve_all_behind(rub_shard_t *self);
void rub_shard_drop_parked(rub_shard_t *self, rub_link_t *link);
void rub_shard_warn_parked(rub_shard_t *self);

/* ---- shard_delay.c ---- */
/* A pull of that rank for that clock is answered. */
void rub_shard_note_read(rub_shard_t *self, uint32_t rank, uint64_t clock);
/* How late a push of that clock is, if it is admitted now: for its record. */
uint16_t rub_shard_delay(const rub_shard_t *self, const rub_member_t *member, uint64_t clock);

/* ---- shard_compensate.c ---- */
/* These rows of a dense table, as they are now, are the rank's for that clock. */
void rub_shard_note_given(rub_shard_t *self, uint32_t rank, const rub_ptable_t *table,
                          const rub_rows_t *rows, uint64_t clock);
/* How many bytes of values a PUSH's record has, from above. */
size_t rub_shard_recorded_bytes(const rub_shard_t *self, const rub_frame_t *frame);
/* Puts in place of a judged PUSH's values, which live as long as the turn, what they would be at
 * the weights of now. */
void rub_shard_compensate(rub_shard_t *self, rub_record_t *record);
/* Frees what was kept for epochs that are over, here and by shard_revise.c. */
void rub_shard_forget_gone(rub_shard_t *self);

/* ---- shard_revise.c ---- */
/* These rows are the rank's for that clock: notes the sums of what was applied to them until now,
 * where their table revises. */
void rub_shard_note_sums(rub_shard_t *self, uint32_t rank, const rub_ptable_t *table,
                         const rub_rows_t *rows, uint64_t clock);
/* Whether a push of the table is journaled with what it could not know. */
bool rub_shard_revises(const rub_shard_t *self, const rub_ptable_t *table);
/* Gives a judged PUSH the sums of what was applied since its rank was given the rows, and its
 * values as float32; both live as long as the turn. False: nothing was, or nobody knows, and the
 * record is as it was. */
bool rub_shard_revise(rub_shard_t *self, rub_record_t *record);
/* What a REVISION of a journal must be beside a PUSH. RUB_ECORRUPT. */
int rub_shard_check_revision(const rub_shard_t *self, const rub_record_t *record,
                             const rub_ptable_t *table, rub_error_t *err);
/* These rows are deleted; what comes under their keys begins anew. */
void rub_shard_forget_sums(rub_shard_t *self, const rub_delete_record_t *record);

/* ---- shard_unread.c ---- */
/* More waits for that peer than the protocol lets a session ask for. */
bool rub_shard_is_deaf(const rub_shard_t *self, rub_peer_t peer);
/* Forgets a deaf peer's session on this connection, with a sentence. */
void rub_shard_cut_off(rub_shard_t *self, rub_peer_t peer);
void rub_shard_cut_off_all_deaf(rub_shard_t *self);
/* An answer goes to that link in this turn. */
void rub_shard_count_answer(const rub_shard_t *self, rub_link_t *link, size_t bytes);

/* ---- shard_view.c ---- */
/* What a view says of the job and its tables; ranks not yet. */
void rub_shard_take_job(rub_shard_t *self, const rub_view_t *view, const void *encoded,
                        size_t n_bytes);
/* What apply_view relies on: the ranks rise, so each is there once. RUB_ECORRUPT: neither TCP nor a
 * record's checksum says that a scheduler wrote it. */
int rub_shard_check_view(const rub_view_t *view, rub_error_t *err);
void rub_shard_on_view(rub_shard_t *self, const rub_view_t *view);
/* Whether the view that makes this store a part of the job is on the platter. Only then is it
 * confirmed, or the job named: from then on the scheduler takes a store without a job for another
 * one, and refuses it. */
bool rub_shard_is_bound(const rub_shard_t *self);
void rub_shard_view_synced(rub_shard_t *self); /* the platter has more of the journal */
void rub_shard_apply_view(rub_shard_t *self, const rub_view_t *view, const void *encoded,
                          size_t n_bytes);

/* ---- shard_report.c ---- */
void rub_shard_send_register(rub_shard_t *self);
void rub_shard_on_refused(rub_shard_t *self, const rub_refused_t *refused);
void rub_shard_on_finish(rub_shard_t *self, const rub_finish_t *finish);
void rub_shard_report_tick(rub_shard_t *self);
/* A line of the log, once, when more than half of the counters that admit a table's rows are in
 * use. Reads all of them: for checkpoints and the end. */
void rub_shard_say_counters(rub_shard_t *self);

/* ---- shard_checkpoint.c ---- */
void rub_shard_checkpoint_tick(rub_shard_t *self);
/* Right after a CLOSE nothing is open: a good moment for a checkpoint. */
void rub_shard_checkpoint_moment(rub_shard_t *self);
/* Whether a checkpoint is under way that will soon be as good as a sync. */
bool rub_shard_checkpoint_will_do(const rub_shard_t *self);
/* What a checkpoint would write now, but for streams and open pushes: dirty chunks, and counts of
 * pushes, which are written whole. */
size_t rub_shard_dirty_bytes(const rub_shard_t *self);

/* ---- shard_snapshot.c ---- */
void rub_shard_on_pin(rub_shard_t *self, const rub_pin_t *pin);
void rub_shard_on_cut(rub_shard_t *self, const rub_cut_t *cut);
void rub_shard_on_unpin(rub_shard_t *self, const rub_unpin_t *unpin);
/* After the turn's records: orders the fold once the cut is reached. */
void rub_shard_snapshot_turn(rub_shard_t *self);
void rub_shard_snapshot_tick(rub_shard_t *self);
uint64_t rub_shard_snapshot_at(const rub_shard_t *self); /* time of its next tick */
/* A view of a new generation has come: nobody asks for the old one's snapshot any more. */
void rub_shard_snapshot_generation(rub_shard_t *self);
/* why: "is leaving". What is folded stays folded. */
void rub_shard_snapshot_give_up(rub_shard_t *self, const char *why);
void rub_shard_snapshot_fini(rub_shard_snapshot_t *self);

/* ---- shard_state.c ---- */
void rub_shard_encode_state(rub_shard_t *self, rub_buf_t *out);

#endif
