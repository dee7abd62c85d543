/* What the scheduler's files share: the job's state, and the verbs by which one duty asks another.
 *
 * A step is: a message or a tick changes the state and says replies (scheduler_step.c keeps them);
 * settle then looks at what follows from the change, commits what must be remembered, and only then
 * lets replies and views leave. So no duty commits or sends by itself: it calls
 * rub_scheduler_remember or rub_scheduler_change, and rub_scheduler_say. */
#ifndef RUB_SCHEDULER_INTERNAL_H
#define RUB_SCHEDULER_INTERNAL_H

#include "common/base/error.h"
#include "common/base/rate_limit.h"
#include "common/wire/gap_list.h"
#include "scheduler/scheduler.h"
#include "scheduler/snapshot_cut.h"

#define RUB_RANKS_LIMIT 4096u
#define RUB_READERS_LIMIT 1024u
#define RUB_TABLES_LIMIT 1024u
#define RUB_METRICS_LIMIT 16u
#define RUB_SUMS_LIMIT 16u
#define RUB_PIECES_LIMIT 4096u /* of one data epoch, before any comes back */
#define RUB_VIEW_LIMIT                                                                             \
    (60u * 1024u) /* estimated bytes of a view; a control message is at most 64 KiB */
#define RUB_VIEWS_PER_MS                                                                           \
    16u /* that a crowd is sent, over all its peers, when views come thick and fast */
#define RUB_RESEND_MS 500u
#define RUB_QUIET_MS 400u  /* more than two of a shard's FINISHED: it has heard LEFT_SHARD */
#define RUB_PAUSE_MS 500u  /* between two steps, and half a lease: this process was stopped */
#define RUB_NAMED_MS 2000u /* silence that STATUS names */
#define RUB_SAID_MS 2000u  /* waiting that the log names, again after RUB_SAID_AGAIN_MS */
#define RUB_SAID_AGAIN_MS 10000u
#define RUB_SNAPSHOT_STATES_LIMIT 17u /* data epochs begun while one is taken, and three */
#define RUB_SNAPSHOTS_KEPT_LIMIT 64u
#define RUB_FINISH_WAIT_MS 5000u   /* for shards to leave a failed job */
#define RUB_OBSERVER_WAIT_MS 3000u /* for somebody to ask how a finished job ended */

/* A connection that must have the view. */
typedef struct rub_audience {
    rub_caller_t caller; /* 0: none known */
    uint64_t acked_version;
    uint64_t sent_version;
    uint64_t sent_ms;
} rub_audience_t;

/* Where a rank is in a barrier. */
typedef enum {
    RUB_STAND_OUT = 0,
    RUB_STAND_ENTERED = 1,
    RUB_STAND_RELEASED = 2,
    RUB_STAND_RESUMED = 3
} rub_stand_t;

/* A rank, with what belongs to its present epoch. */
typedef struct rub_rank_entry {
    uint32_t epoch;
    uint32_t state; /* RUB_RANK_* */
    bool held;      /* somebody has asked for this epoch: nonce and who are set */
    bool told;      /* and has been given it: from here it ends by LEAVE or eviction only */
    bool evicted;   /* GONE without a word */
    uint8_t nonce[16];
    char who[128];
    rub_audience_t audience;
    uint64_t whole_from; /* as its last VIEW_ACK said */
    uint64_t heard_ms;
    uint64_t joined_ms;
    rub_lease_t progress;
    bool missed;       /* others wait for it somewhere */
    uint64_t stuck_ms; /* since when its leases say that it is stuck, at that same shard */

    rub_stand_t stand;
    uint64_t barrier_number; /* of the barrier it stands in */
    uint64_t barrier_clock;
    uint32_t n_sums;
    double sums[RUB_SUMS_LIMIT];
    uint64_t evaluation, patience; /* that it tells there, as BARRIER has them */
    double value;
    char metric[32];
    bool keep;
    uint64_t gone_number; /* of the last barrier it was let out of */

    bool was_dealt; /* the answer below must be given again */
    rub_dealt_t dealt;
    bool waits; /* the ask below was answered by WAIT */
    rub_caller_t ask_caller;
    rub_piece_ask_t ask;
} rub_rank_entry_t;

typedef struct rub_reader_entry {
    uint8_t nonce[16];
    rub_audience_t audience;
} rub_reader_entry_t;

typedef struct rub_shard_entry {
    uint64_t incarnation; /* 0: never registered */
    char address[128];
    char who[128];
    bool dead;     /* a supervisor said that its process has ended */
    bool bound;    /* it has had a view of this job: its store is part of it */
    bool finished; /* FINISHED has come */
    uint64_t digest;
    uint64_t rows;
    rub_audience_t audience;
    uint64_t heard_ms;
    uint64_t floor_ms; /* silences at this shard count from here */
    uint64_t finish_sent_ms;

    bool has_report; /* of this incarnation, to this generation */
    uint64_t report_ms;
    uint64_t report_version;
    rub_shard_status_t status;
    rub_rank_report_t *reports; /* index = rank; epoch 0: nothing is known of it */
    /* By rank, too: the first of the reports without a break that waited for it and heard others;
     * 0: the last one did not. */
    uint64_t *waited_from_ms;
    uint32_t n_reports; /* of both */
    /* When it last heard any rank, and when any but that one; by our clock, 0: never. */
    uint64_t hears_ms[2];
    uint32_t hears_rank;
    size_t reports_capacity, waited_capacity;
    rub_histogram_t gaps;             /* of this incarnation */
    uint64_t past_pushes, past_pulls; /* of earlier ones */
} rub_shard_entry_t;

typedef struct rub_table_entry {
    rub_table_view_t schema;
    uint64_t version; /* of the first view that holds it */
} rub_table_entry_t;

/* Somebody who waits for TABLE_OK. */
typedef struct rub_table_waiter {
    rub_caller_t caller;
    uint32_t table;
} rub_table_waiter_t;

typedef enum {
    RUB_LEDGER_FREE = 0, /* came back, to be dealt again under a new number */
    RUB_LEDGER_DEALT = 1,
    RUB_LEDGER_FINISHED = 2
} rub_ledger_state_t;

typedef struct rub_ledger_piece {
    uint64_t number, first, count;
    uint32_t rank, epoch; /* whose it is */
    uint32_t state;       /* rub_ledger_state_t */
} rub_ledger_piece_t;

/* A rank has gone; its pieces come back when every shard has shut it out, so that its cursor is
 * final. */
typedef struct rub_return {
    uint32_t rank, epoch;
    uint32_t left;    /* 1: it flushed before it left, so what it called finished is finished */
    uint64_t version; /* of the view without it */
    uint64_t since_ms;
} rub_return_t;

/* The data epoch that is being dealt. */
typedef struct rub_ledger {
    bool begun;
    uint64_t data_epoch;
    uint64_t n_examples, piece_examples;
    uint64_t next_first, next_number;
    uint64_t dealt_again; /* examples that came back, over all data epochs */
    rub_ledger_piece_t *pieces;
    size_t n_pieces, pieces_capacity;
    rub_return_t *returns;
    size_t n_returns, returns_capacity;
    bool changed; /* who waits may be answered now */
} rub_ledger_t;

/* A shard in the open snapshot. */
typedef struct rub_snapshot_shard {
    bool pinned, folded;
    uint64_t asked_ms;
} rub_snapshot_shard_t;

/* Why one is taken. */
typedef enum {
    RUB_SNAPSHOT_ASKED_FOR,  /* nonce says by whom */
    RUB_SNAPSHOT_BY_TIME,    /* and kept as config.snapshots_kept says */
    RUB_SNAPSHOT_OF_THE_BEST /* of evaluations: the judge's */
} rub_snapshot_reason_t;

/* The snapshot that is open, or the last one. */
typedef struct rub_open_snapshot {
    uint64_t number; /* of the last one that was begun; committed before any shard hears of it */
    uint32_t state;  /* RUB_SNAPSHOT_*; 0: this process has begun none */
    bool was_open;   /* by what was loaded */
    rub_snapshot_reason_t reason;
    bool noting; /* the state being written goes into a manifest: there, none is open */
    uint8_t nonce[16];
    int failure;
    char sentence[256];
    uint64_t version; /* of the first view that shows it */
    uint64_t opened_ms, cut_ms, over_ms;
    uint64_t due_ms; /* when the next one begins by itself; 0: not known yet */
    uint32_t n_pinned, n_folded;
    rub_snapshot_shard_t *shards; /* config.n_shards, as is parts; NULL: none was ever begun */
    rub_manifest_part_t *parts;
    uint64_t total_bytes, rows;
    rub_snapshot_cut_t cut;
    rub_buf_t states[RUB_SNAPSHOT_STATES_LIMIT];
    uint32_t n_states;
    rub_buf_t before_epoch; /* the state right before the last data epoch was begun */
    uint64_t kept[RUB_SNAPSHOTS_KEPT_LIMIT]; /* whole ones that nobody asked for, oldest first */
    uint32_t n_kept;
    rub_snapshot_t answered; /* the end of the last one that was asked for; number 0: none yet */
    uint8_t answered_nonce[16];
    /* Whole ones that one of this step takes the place of: removed once that is committed, or a
     * crash in between would find the old one gone and give up the new one. */
    uint64_t replaced[RUB_SNAPSHOTS_KEPT_LIMIT + 1];
    uint32_t n_replaced;
} rub_open_snapshot_t;

/* An evaluation of the model, and where its snapshot is. */
typedef struct rub_judged {
    uint64_t evaluation; /* 0: none */
    double value;        /* the greater the better */
    uint64_t number;     /* of its snapshot, if this job took it; 0: it took none */
    char path[1024];
} rub_judged_t;

/* What has been made of the trainers' evaluations. */
typedef struct rub_judge {
    uint64_t evaluation; /* the last one that was judged; 0: none */
    uint64_t stopped;    /* the one behind which nobody trains on; 0: none */
    uint64_t n_worse;    /* in a row, since the best one */
    char metric[32];     /* what their values are */
    rub_judged_t best;   /* number: of the snapshot that is being taken of it */
    rub_judged_t kept;   /* the best one that has a whole snapshot */
    bool tried; /* this process has begun a snapshot of the best one, or knows that it can not */
} rub_judge_t;

/* A reply that leaves once the step is committed. A type of VIEW means the present view. */
typedef struct rub_reply {
    rub_caller_t to;
    rub_control_t message; /* without lists */
} rub_reply_t;

struct rub_scheduler {
    rub_scheduler_config_t config;
    rub_scheduler_effects_t effects;
    uint64_t now_ms; /* of the step under way */

    uint64_t job, generation, version;
    uint32_t state; /* RUB_JOB_* */
    int failure;
    char sentence[256];
    uint32_t evictions;

    rub_rank_entry_t *ranks; /* index = rank */
    uint32_t n_ranks;
    size_t ranks_capacity;
    rub_reader_entry_t *readers;
    uint32_t n_readers;
    size_t readers_capacity;
    rub_shard_entry_t *shards; /* config.n_shards */
    rub_table_entry_t *tables; /* id = index + 1 */
    uint32_t n_tables;
    size_t tables_capacity;
    rub_table_waiter_t *waiters;
    size_t n_waiters, waiters_capacity;
    rub_ledger_t ledger;
    rub_metric_value_t metrics[RUB_METRICS_LIMIT];
    uint32_t n_metrics;
    rub_histogram_t past_gaps; /* of shards' earlier incarnations */

    rub_open_snapshot_t snapshot;
    rub_judge_t judge;
    rub_scheduler_place_t resumed; /* where a restored job began; zeros: it is not one */

    uint64_t release_clock; /* of the barrier that was released last */
    uint64_t release_version;
    uint32_t n_release_sums;
    double release_sums[RUB_SUMS_LIMIT];

    uint64_t started_ms, stepped_ms;
    uint64_t let_go_ms;                    /* when LEFT_SHARD was said last */
    uint64_t running_from_ms, running_ms;  /* the latter is final once the job finishes */
    uint64_t gathering_ms;                 /* the join time-out counts from here */
    uint64_t floor_ms;                     /* every lease counts from here */
    uint64_t alone_ms;                     /* since when no trainer lives; UINT64_MAX: one does */
    uint64_t final_ms;                     /* since when the job is over */
    uint64_t waits_from_ms, waits_said_ms; /* since when somebody is waited for; 0: nobody */
    bool observed;                         /* somebody has asked how it ended */
    bool stale; /* a shard follows a later scheduler: say nothing more to shards */

    rub_rate_limit_t complaints; /* by caller */
    bool view_changed, must_commit;
    bool quiet; /* this step's message has changed nothing that anybody but its sender waits for */
    int fatal;  /* the first failure of memory in this step */
    rub_reply_t *replies;
    size_t n_replies, replies_capacity;
    rub_view_t view;
    size_t view_ranks_capacity, view_tables_capacity, view_shards_capacity;
};

/* ---- scheduler_step.c: what a step leaves behind ---- */
void rub_scheduler_say(rub_scheduler_t *self, rub_caller_t to, const rub_control_t *message);
/* Answers a request with err's code and sentence. final: asking again is useless. */
void rub_scheduler_refuse(rub_scheduler_t *self, rub_caller_t to, uint32_t request,
                          const rub_error_t *err, bool final);
void rub_scheduler_remember(rub_scheduler_t *self); /* commit before any reply of this step */
void rub_scheduler_change(rub_scheduler_t *self);   /* the same, and a new view for all */
void rub_scheduler_notice(rub_scheduler_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* What a caller sends and may not: a line of the log, seldom. */
void rub_scheduler_complain(rub_scheduler_t *self, rub_caller_t from, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
int rub_scheduler_settle(rub_scheduler_t *self);
/* Copies src, cut to fit, terminated. */
void rub_scheduler_text(char *out, size_t out_bytes, const char *src);
static inline uint64_t rub_scheduler_since(const rub_scheduler_t *self, uint64_t then_ms)
{
    return self->now_ms > then_ms ? self->now_ms - then_ms : 0;
}

/* ---- scheduler_membership.c ---- */
void rub_scheduler_join(rub_scheduler_t *self, rub_caller_t from, const rub_join_t *join);
void rub_scheduler_lease(rub_scheduler_t *self, rub_caller_t from, const rub_lease_t *lease);
void rub_scheduler_leave(rub_scheduler_t *self, rub_caller_t from, const rub_leave_t *leave);
void rub_scheduler_dead(rub_scheduler_t *self, const rub_dead_t *dead);
void rub_scheduler_evict(rub_scheduler_t *self, uint32_t rank, const char *why);
/* Adds ranks that live and nobody holds, up to W. RUB_ENOMEM. */
int rub_scheduler_first_ranks(rub_scheduler_t *self);
/* The entry of exactly that epoch, heard just now; NULL with a REFUSED (RUB_EFENCED) said when it
 * is over. */
rub_rank_entry_t *rub_scheduler_member(rub_scheduler_t *self, rub_caller_t from, uint32_t request,
                                       uint32_t rank, uint32_t epoch);
bool rub_scheduler_over(const rub_scheduler_t *self); /* FINISHING, DONE or FAILED */
/* Says REFUSED, final, why the job is over. */
void rub_scheduler_refuse_over(rub_scheduler_t *self, rub_caller_t to, uint32_t request);

/* ---- scheduler_lease.c: who is silent, by whose evidence ---- */
void rub_scheduler_watch(rub_scheduler_t *self);
bool rub_scheduler_reporting(const rub_scheduler_t *self, const rub_shard_entry_t *shard);
const rub_rank_report_t *rub_scheduler_report_of(const rub_shard_entry_t *shard, uint32_t rank,
                                                 uint32_t epoch);

/* ---- scheduler_shards.c ---- */
void rub_scheduler_register(rub_scheduler_t *self, rub_caller_t from,
                            const rub_register_shard_t *request);
void rub_scheduler_report(rub_scheduler_t *self, rub_caller_t from, const rub_report_t *report);
bool rub_scheduler_shards_here(const rub_scheduler_t *self);
/* Its store is part of the job from here on, whoever asks. */
void rub_scheduler_bind(rub_scheduler_t *self, rub_shard_entry_t *shard);
/* Keeps the counters and gaps of a report or of FINISHED. */
void rub_scheduler_shard_counts(rub_shard_entry_t *shard, const rub_shard_status_t *status,
                                const rub_gap_count_t *gaps, uint32_t n_gaps);

/* ---- scheduler_view.c ---- */
int rub_scheduler_view_build(rub_scheduler_t *self);
void rub_scheduler_view_send(rub_scheduler_t *self); /* to whom has not acknowledged it */
void rub_scheduler_view_ack(rub_scheduler_t *self, rub_caller_t from, const rub_view_ack_t *ack);
/* Bytes that a view may have when so many ranks and tables are added. */
size_t rub_scheduler_view_bytes(const rub_scheduler_t *self, uint32_t more_ranks,
                                uint32_t more_tables);

/* ---- scheduler_tables.c ---- */
void rub_scheduler_table(rub_scheduler_t *self, rub_caller_t from, const rub_table_ask_t *ask);
void rub_scheduler_tables_settle(rub_scheduler_t *self);

/* ---- scheduler_pieces.c ---- */
void rub_scheduler_piece(rub_scheduler_t *self, rub_caller_t from, const rub_piece_ask_t *ask);
void rub_scheduler_pieces_settle(rub_scheduler_t *self);
void rub_scheduler_pieces_return(rub_scheduler_t *self, uint32_t rank, uint32_t epoch, bool left);
/* The rank gets a new epoch: what its old one held comes back now. */
void rub_scheduler_pieces_takeover(rub_scheduler_t *self, uint32_t rank);
bool rub_scheduler_pieces_open(
    const rub_scheduler_t *self); /* a data epoch is begun and not finished */
/* Others wait for data: marks who holds a piece of it as missed. */
void rub_scheduler_pieces_note_missed(rub_scheduler_t *self);

/* ---- scheduler_barrier.c ---- */
void rub_scheduler_barrier(rub_scheduler_t *self, rub_caller_t from, const rub_barrier_t *barrier);
void rub_scheduler_resumed(rub_scheduler_t *self, rub_caller_t from, const rub_resumed_t *resumed);
void rub_scheduler_barrier_settle(rub_scheduler_t *self);
/* Says of every rank whether it is missed in a barrier: others stand there, and go on only when it
 * has come, or is counted again. */
void rub_scheduler_barrier_note_missed(rub_scheduler_t *self);

/* ---- scheduler_snapshot_status.c ---- */
void rub_scheduler_snapshot_ask(rub_scheduler_t *self, rub_caller_t from,
                                const rub_snapshot_ask_t *ask);
/* Keeps what is to be told of one that was asked for and is over: the next may begin before its
 * observer asks again. */
void rub_scheduler_snapshot_note_end(rub_scheduler_t *self);
/* For whom the open one waits, as text. */
#define RUB_SNAPSHOT_WAITS_ROOM 240u
void rub_scheduler_snapshot_waits(const rub_scheduler_t *self, char *out, size_t out_bytes);

/* ---- scheduler_manifest.c ---- */

/* Keeps the scheduler's state as it is now, for the open snapshot. RUB_ELIMIT, RUB_ENOMEM. */
int rub_scheduler_manifest_note(rub_scheduler_t *self, rub_error_t *err);
/* The same when its cut is fixed, with what rub_scheduler_manifest_note_epoch has kept. */
int rub_scheduler_manifest_note_cut(rub_scheduler_t *self, rub_error_t *err);
/* Keeps the state right before a data epoch is begun, for snapshots to come. */
void rub_scheduler_manifest_note_epoch(rub_scheduler_t *self);
/* That, as a part of the state; nothing in the states that are noted. */
void rub_scheduler_manifest_write_state(const rub_scheduler_t *self, rub_buf_t *out);
void rub_scheduler_manifest_read_state(rub_scheduler_t *self, rub_reader_t *in);
/* Hands the manifest of the open snapshot to the effects. RUB_ENOMEM; what these say. */
int rub_scheduler_manifest_write(rub_scheduler_t *self, rub_error_t *err);
void rub_scheduler_manifest_forget(rub_scheduler_t *self); /* the states that were noted */

/* ---- scheduler_snapshot.c ---- */
/* Begins one. nonce: of what is asked for; else NULL. RUB_EREFUSED, RUB_EBUSY (again later),
 * RUB_ENOMEM. */
int rub_scheduler_snapshot_begin(rub_scheduler_t *self, rub_snapshot_reason_t reason,
                                 const uint8_t *nonce, rub_error_t *err);
void rub_scheduler_pinned(rub_scheduler_t *self, rub_caller_t from, const rub_pinned_t *pinned);
void rub_scheduler_folded(rub_scheduler_t *self, rub_caller_t from, const rub_folded_t *folded);
void rub_scheduler_unfolded(rub_scheduler_t *self, rub_caller_t from,
                            const rub_unfolded_t *unfolded);
bool rub_scheduler_snapshot_open(const rub_scheduler_t *self);
/* What the view says of it. */
void rub_scheduler_snapshot_show(const rub_scheduler_t *self, rub_view_t *view);
/* A listed rank of which it is not known yet where its stream may be cut; UINT32_MAX: none. */
uint32_t rub_scheduler_snapshot_unsaid(const rub_scheduler_t *self);
/* All of these do nothing when none is open. */
void rub_scheduler_snapshot_give_up(rub_scheduler_t *self, int code, const char *why);
void rub_scheduler_snapshot_lost(rub_scheduler_t *self, uint32_t rank, const char *how);
void rub_scheduler_snapshot_shard(rub_scheduler_t *self, uint32_t shard); /* another incarnation */
void rub_scheduler_snapshot_epoch(rub_scheduler_t *self); /* a data epoch is about to begin */
void rub_scheduler_snapshot_settle(rub_scheduler_t *self);
void rub_scheduler_snapshot_send(rub_scheduler_t *self); /* PIN, once its number is committed */
/* That whole snapshot is not wanted any more once the step is committed. */
void rub_scheduler_snapshot_replace(rub_scheduler_t *self, uint64_t number);
/* The step is committed: removes what was replaced. */
void rub_scheduler_snapshot_drop_replaced(rub_scheduler_t *self);
void rub_scheduler_snapshot_write_state(const rub_scheduler_t *self, rub_buf_t *out);
void rub_scheduler_snapshot_read_state(rub_scheduler_t *self, rub_reader_t *in);
void rub_scheduler_snapshot_start(rub_scheduler_t *self);
void rub_scheduler_snapshot_fini(rub_scheduler_t *self);

/* ---- scheduler_judge.c ---- */
/* All live ranks stand in a barrier: judges the evaluation that they tell. True: the barrier has to
 * wait, for the cut of the best one's snapshot. */
bool rub_scheduler_judge_holds(rub_scheduler_t *self);
/* A snapshot is whole: is it the best one's? Then it is the one that is kept. */
void rub_scheduler_judge_keep(rub_scheduler_t *self, uint64_t number);
/* The best one's is being taken: the job waits for it before it ends. */
bool rub_scheduler_judge_open(const rub_scheduler_t *self);
void rub_scheduler_judge_tell(const rub_scheduler_t *self, rub_status_t *status);
void rub_scheduler_judge_write_state(const rub_scheduler_t *self, rub_buf_t *out);
void rub_scheduler_judge_read_state(rub_scheduler_t *self, rub_reader_t *in);
/* A restored job goes on with what the old one's state says, which stood at its snapshot's cut. */
void rub_scheduler_judge_restore(rub_scheduler_t *self, const rub_scheduler_t *old);

/* ---- scheduler_finish.c ---- */
void rub_scheduler_fail(rub_scheduler_t *self, int code, const char *sentence);
void rub_scheduler_stop(rub_scheduler_t *self, const rub_stop_t *stop);
void rub_scheduler_finished(rub_scheduler_t *self, rub_caller_t from,
                            const rub_finished_t *finished);
void rub_scheduler_finish_settle(
    rub_scheduler_t *self); /* GATHERING to RUNNING to FINISHING to DONE, time-outs */
void rub_scheduler_finish_send(rub_scheduler_t *self);

/* ---- scheduler_status.c ---- */
void rub_scheduler_status(rub_scheduler_t *self, rub_caller_t from, const rub_status_ask_t *ask);
void rub_scheduler_metric(rub_scheduler_t *self, const rub_metric_t *metric);
/* "shard 1 is not here yet; rank 0 has not joined"; empty when nobody is missing. */
void rub_scheduler_missing(const rub_scheduler_t *self, rub_buf_t *out);
/* For whom a job that runs or finishes waits; empty when fine. */
void rub_scheduler_waiting(const rub_scheduler_t *self, rub_buf_t *out);
/* At each tick: a notice for whom the job waits when that lasts. */
void rub_scheduler_say_waits(rub_scheduler_t *self);

/* ---- scheduler_state.c ---- */
int rub_scheduler_state_write(const rub_scheduler_t *self, rub_buf_t *out);
/* The job that a state is of: n_workers, n_shards, staleness, reduce, seed. RUB_ECORRUPT. */
int rub_scheduler_state_peek(const void *state, size_t n_bytes, rub_scheduler_config_t *config,
                             rub_error_t *err);

#endif
