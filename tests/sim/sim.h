/* The simulator: the same shard, scheduler and client cores that the real processes run, in one
 * process, under virtual time, with a seeded network, seeded disks and seeded misfortune.
 *
 * Everything that happens is an event with a time; ties are broken by order of scheduling, so one
 * seed is one history. After every event the laws are checked (sim_laws.c, sim_losses.c). A law
 * that is broken ends the run with a sentence and the command that repeats it. */
#ifndef RUB_SIM_H
#define RUB_SIM_H

#include "common/base/rng.h"
#include "ps/record.h"
#include "ps/shard.h"
#include "ps/snapshot_part.h"
#include "scheduler/scheduler.h"
#include "tests/history/history.h"
#include "worker/client/client.h"

#define SIM_ACTORS 8u /* trainers, joiners and readers */
#define SIM_SHARDS 4u
#define SIM_RANKS 64u
#define SIM_KEYS 4u      /* rows of the ledger that each actor owns */
#define SIM_EMBERS 11u   /* keys of the table that forgets, of each actor */
#define SIM_PUSHES 4096u /* of one actor in one run */
#define SIM_OLD 4u       /* connections of a channel whose ghosts may still come */
#define SIM_CHANNELS (SIM_ACTORS * (SIM_SHARDS + 1) + SIM_SHARDS)
#define SIM_FAULTS 64u    /* of one run */
#define SIM_EXAMPLES 200u /* of a data epoch, where data is dealt */

typedef struct rub_sim rub_sim_t;

/* ---- what is counted, so that one sees that faults really happen (sim_summary.c) ---- */
#define RUB_SIM_COUNTS(X)                                                                          \
    X(CUTS, "cuts")                                                                                \
    X(GHOSTS, "ghost_frames")                                                                      \
    X(HALF_OPEN, "half_open")                                                                      \
    X(ONE_WAY, "one_way")                                                                          \
    X(PARTITIONS, "partitions")                                                                    \
    X(PARTINGS, "partings")                                                                        \
    X(PARTED_EVICTIONS, "parted_and_evicted")                                                      \
    X(STALLS, "stalls")                                                                            \
    X(SLOW_LINKS, "slow_links")                                                                    \
    X(SHARD_KILLS, "shard_kills")                                                                  \
    X(SCHEDULER_KILLS, "scheduler_kills")                                                          \
    X(TRAINER_KILLS, "trainer_kills")                                                              \
    X(KILLS_TOGETHER, "kills_together")                                                            \
    X(UNKEPT, "unkept_kills")                                                                      \
    X(FAILED_JOBS, "jobs_failed_by_them")                                                          \
    X(POWER, "power_losses")                                                                       \
    X(TORN, "torn_tails")                                                                          \
    X(HOLES, "holes")                                                                              \
    X(BEFORE_REDO, "journals_that_end_before_their_redo_point")                                    \
    X(LOST_RECORDS, "records_lost")                                                                \
    X(SENT_AGAIN, "records_sent_again")                                                            \
    X(LOST, "lost_reported")                                                                       \
    X(LOST_TOLD, "lost_told")                                                                      \
    X(FULL, "disk_full")                                                                           \
    X(EIO, "disk_errors")                                                                          \
    X(ROT, "bit_rot_found")                                                                        \
    X(SLOW_SYNCS, "slow_syncs")                                                                    \
    X(CHECKPOINTS, "checkpoints")                                                                  \
    X(EXACT, "exact_checkpoints")                                                                  \
    X(PAUSES, "pauses")                                                                            \
    X(JUMPS, "clock_jumps")                                                                        \
    X(RATES, "clock_rates")                                                                        \
    X(DRAINS, "drains")                                                                            \
    X(LEAVES, "leaves")                                                                            \
    X(EVICTIONS, "evictions")                                                                      \
    X(FENCED, "fenced_told")                                                                       \
    X(FENCED_ACTORS, "fenced_ended")                                                               \
    X(POSTPONED, "postponed")                                                                      \
    X(POISONED, "poisoned_pushes")                                                                 \
    X(REHELLOS, "rehellos")                                                                        \
    X(KEYS_UNKNOWN, "keys_unknown")                                                                \
    X(WAITING, "waits_named")                                                                      \
    X(SNAPSHOTS, "snapshots")                                                                      \
    X(SNAPSHOTS_REMOVED, "snapshots_removed")                                                      \
    X(RESTORES, "restores")                                                                        \
    X(KEPT_READS, "kept_reads")                                                                    \
    X(TIMED_VALUES, "values_whose_clocks_were_added_up")                                           \
    X(LENT, "lent_pushes_delivered")                                                               \
    X(GRANTED, "answers_put_where_they_are_wanted")                                                \
    X(GIVEN_UP, "pulls_given_up")                                                                  \
    X(DELETED, "rows_deleted")
enum {
#define SIM_COUNT_NUMBER(name, text) SIM_N_##name,
    RUB_SIM_COUNTS(SIM_COUNT_NUMBER)
#undef SIM_COUNT_NUMBER
        SIM_N_ALL
};

/* ---- events (sim_events.c) ---- */
typedef void (*rub_sim_fire_t)(rub_sim_t *sim, void *subject, uint64_t argument);
typedef struct rub_sim_event {
    uint64_t at_us, order;
    rub_sim_fire_t fire;
    void *subject;
    uint64_t argument;
} rub_sim_event_t;

void rub_sim_after(rub_sim_t *sim, uint64_t delay_us, rub_sim_fire_t fire, void *subject,
                   uint64_t argument);
/* Fires the next event. False: none is left. */
bool rub_sim_next(rub_sim_t *sim);
uint64_t rub_sim_between(rub_sim_t *sim, uint64_t low,
                         uint64_t high); /* inclusive, from the seed */
bool rub_sim_chance(rub_sim_t *sim, unsigned percent);

/* ---- a process: its clock, and SIGSTOP (sim_process.c). All zero: runs, and tells right time
 * ---- */
typedef struct rub_sim_process {
    uint64_t since_us, local_us; /* its own time was local_us when the simulator's was since_us */
    int skew_percent;            /* how much faster its clock runs: -50..100 */
    bool paused;
    uint64_t pauses;     /* ended so far */
    uint64_t resumed_us; /* when the last one ended by itself */
    rub_sim_event_t *deferred;
    size_t n_deferred, deferred_capacity;
} rub_sim_process_t;

uint64_t rub_sim_local_ms(const rub_sim_t *sim, const rub_sim_process_t *process);
void rub_sim_set_rate(rub_sim_t *sim, rub_sim_process_t *process, int skew_percent);
void rub_sim_jump(rub_sim_t *sim, rub_sim_process_t *process, uint64_t by_us); /* forward */
/* Like rub_sim_after, by the process's own clock. */
void rub_sim_timer(rub_sim_t *sim, const rub_sim_process_t *process, uint64_t local_us,
                   rub_sim_fire_t fire, void *subject, uint64_t argument);
/* True: the process is stopped; the event is kept and fires when it goes on. */
bool rub_sim_asleep(rub_sim_t *sim, rub_sim_process_t *process, rub_sim_fire_t fire, void *subject,
                    uint64_t argument);
void rub_sim_pause(rub_sim_t *sim, rub_sim_process_t *process, uint64_t duration_us);
/* At once; also when it is killed, so that what waited for it is freed. */
void rub_sim_go_on(rub_sim_t *sim, rub_sim_process_t *process);
void rub_sim_process_fini(rub_sim_t *sim, rub_sim_process_t *process);

/* ---- network (sim_network.c): a channel is one DEALER's way to a ROUTER ---- */
typedef enum { SIM_DATA, SIM_CONTROL_OF_ACTOR, SIM_CONTROL_OF_SHARD } rub_sim_channel_kind_t;
typedef struct rub_sim_old { /* a connection that is over */
    uint64_t connection;
    uint64_t until_us; /* what would have arrived by then still comes, delay_us late */
    uint64_t delay_us;
} rub_sim_old_t;
typedef struct rub_sim_channel {
    rub_sim_channel_kind_t kind;
    uint32_t actor, shard;
    bool wanted;                       /* the near end wants it */
    bool up;                           /* the near end thinks that it stands */
    bool dead;                         /* the far end's host lost power: nobody said goodbye */
    uint64_t connection;               /* number of this connection */
    uint64_t last_to_us, last_from_us; /* latest delivery planned: order */
    uint64_t blocked_until_us[2];      /* towards the near end, towards the server */
    uint64_t slow_until_us;
    rub_sim_old_t old[SIM_OLD];
    size_t n_old;
    char address[128]; /* data: the address asked for */
} rub_sim_channel_t;

void rub_sim_connect(rub_sim_t *sim, rub_sim_channel_t *channel);
void rub_sim_cut(rub_sim_t *sim, rub_sim_channel_t *channel);   /* the way broke: ghosts may come */
void rub_sim_reset(rub_sim_t *sim, rub_sim_channel_t *channel); /* the server's process is gone */
void rub_sim_vanish(rub_sim_t *sim,
                    rub_sim_channel_t *channel); /* so is its host, without a word */
/* One direction moves nothing for a while; then all of it at once. */
void rub_sim_hold_up(rub_sim_t *sim, rub_sim_channel_t *channel, bool to_server,
                     uint64_t duration_us);
/* Ends the connection after three to four seconds if it is silent then. */
void rub_sim_watch(rub_sim_t *sim, rub_sim_channel_t *channel);
size_t rub_sim_channels(rub_sim_t *sim, rub_sim_channel_t *out[SIM_CHANNELS]); /* all of them */
void rub_sim_send_packet(rub_sim_t *sim, rub_sim_channel_t *channel, bool to_server,
                         rub_packet_t *packet); /* takes */
void rub_sim_send_control(rub_sim_t *sim, rub_sim_channel_t *channel, bool to_server,
                          const rub_control_t *message);
/* The channel that stands under this connection number now, or NULL. */
rub_sim_channel_t *rub_sim_channel_of(rub_sim_t *sim, uint64_t connection);

/* ---- a message that waits in front of a host ---- */
typedef struct rub_sim_mail {
    uint64_t connection;
    rub_packet_t *packet; /* or */
    uint8_t *control;     /* encoded */
    size_t control_bytes;
} rub_sim_mail_t;

/* ---- a shard's disk (sim_disk.c) ---- */
typedef struct rub_sim_record {
    uint64_t lsn;
    rub_record_type_t type;
    uint8_t *bytes;
    size_t n_bytes;
    uint32_t crc;
    uint64_t boot; /* of the host, when it was written */
} rub_sim_record_t;
typedef struct rub_sim_chunk {
    uint32_t table, chunk;
    uint64_t lsn;
    uint8_t *bytes;
    size_t n_bytes; /* 0: it deletes the chunk */
    uint32_t crc;
} rub_sim_chunk_t;
typedef struct rub_sim_disk { /* what kill -9 leaves behind */
    rub_sim_record_t *records;
    size_t n_records, records_capacity;
    uint64_t synced_lsn;   /* up to here the platter has the journal */
    uint64_t recycled_lsn; /* up to here nobody needs it */
    uint64_t redo_lsn;     /* of the state */
    uint64_t boot;         /* of the host: how often it lost power */
    uint64_t redo_boot;    /* in which the state was committed */
    /* What a power loss left behind a hole, until the journal goes on elsewhere. */
    rub_sim_record_t *behind;
    size_t n_behind, behind_capacity;
    rub_sim_chunk_t *chunks;
    size_t n_chunks, chunks_capacity;
    uint8_t *state;
    size_t state_bytes;
    uint32_t state_crc;
    uint64_t incarnation;
} rub_sim_disk_t;

void rub_sim_record_drop(rub_sim_record_t *record);
void rub_sim_disk_append(rub_sim_disk_t *disk, const rub_sim_record_t *record);    /* takes bytes */
void rub_sim_disk_put_chunk(rub_sim_disk_t *disk, rub_sim_chunk_t *chunk);         /* takes bytes */
void rub_sim_disk_put_state(rub_sim_disk_t *disk, uint8_t *state, size_t n_bytes); /* takes */
void rub_sim_disk_recycle(rub_sim_disk_t *disk, uint64_t redo_lsn);
/* Of what a recovery would know. */
uint64_t rub_sim_disk_last_lsn(const rub_sim_disk_t *disk);
size_t rub_sim_disk_unsynced(const rub_sim_disk_t *disk); /* records behind synced_lsn */
/* The power goes: the first of the last n_lost records is a hole now, and those behind it stand on
 * the platter or not, by draws of salt. Returns how many do. */
size_t rub_sim_disk_lose(rub_sim_disk_t *disk, size_t n_lost, uint64_t salt);
/* Loads it all into a new core, as ps/open_store does. verify: look at checksums. */
int rub_sim_disk_recover(const rub_sim_disk_t *disk, rub_shard_t *core, bool verify,
                         rub_error_t *err);
/* Flips a bit, asks for RUB_ECORRUPT, and flips it back. */
void rub_sim_disk_rot(rub_sim_t *sim, rub_sim_disk_t *disk, const rub_shard_config_t *config);
void rub_sim_disk_fini(rub_sim_disk_t *disk);

/* ---- a shard's process (sim_shard_host.c) and its storage thread (sim_storage.c) ---- */
typedef struct rub_sim_stream { /* of a rank, as the journal has it */
    uint32_t epoch;
    uint64_t seq; /* 0: nothing yet */
    bool unknown; /* a power loss took its end */
    bool viewed;  /* the last view journalled has the rank so: */
    uint32_t view_epoch, view_state;
} rub_sim_stream_t;
typedef struct rub_sim_shard_host {
    rub_sim_t *sim;
    uint32_t shard;
    rub_sim_process_t process;
    rub_shard_t *core; /* NULL: dead */
    rub_sim_disk_t disk;
    uint64_t life; /* rises at each start: late events of an earlier life are dropped */
    bool awake;    /* a wake-up is planned */
    uint64_t tick_at_us;
    rub_sim_mail_t *inbox;
    size_t n_inbox, inbox_capacity;
    struct rub_sim_out {
        uint64_t connection;
        rub_packet_t *packet;
    } * outbox;
    size_t n_outbox, outbox_capacity;
    rub_sim_record_t *turn; /* journalled in this turn, not yet written */
    size_t n_turn, turn_capacity;
    uint64_t greatest_lsn; /* ever given to the journal: never used again */
    /* the storage thread */
    rub_sim_chunk_t *staged;
    size_t n_staged, staged_capacity;
    uint8_t *staged_state;
    size_t staged_state_bytes;
    uint64_t staged_redo, staged_needed, committed_redo, sync_lsn, told_lsn;
    bool tell_checkpointed, tell_synced, committing, may_commit;
    bool staged_exact; /* the checkpoint goes into one transaction and needs no sync */
    /* what goes wrong with its disk */
    uint64_t full_until_us, slow_until_us;
    bool eio, rots;
    /* the books */
    rub_sim_stream_t streams[SIM_RANKS];
    struct rub_sim_loss *losses;
    size_t n_losses, losses_capacity;
    uint64_t minimum_told;           /* to the history */
    uint64_t heard_us[SIM_ACTORS];   /* when a frame of that actor came last */
    uint64_t hearing_us[SIM_ACTORS]; /* since when they come without a gap */
    uint32_t crashes;
    /* Of each key of the table that forgets: 1 + the clock of its last push; 0: none, or deleted.
     */
    uint64_t embers[SIM_ACTORS][SIM_EMBERS];
    bool embers_unknown;               /* a power loss took some of them */
    struct rub_sim_snapshot *snapshot; /* its share in snapshots; NULL: none yet */
    struct rub_sim_part *part;         /* what it folded last */
    bool draining;
    char address[128];
} rub_sim_shard_host_t;

int rub_sim_shard_start(rub_sim_t *sim, rub_sim_shard_host_t *host);
void rub_sim_shard_start_later(rub_sim_t *sim, rub_sim_shard_host_t *host);
void rub_sim_shard_crash(rub_sim_t *sim, rub_sim_shard_host_t *host); /* kill -9 */
void rub_sim_shard_power(rub_sim_t *sim, rub_sim_shard_host_t *host);
void rub_sim_shard_term(rub_sim_t *sim,
                        rub_sim_shard_host_t *host); /* drains, leaves, comes back */
void rub_sim_shard_mail(rub_sim_t *sim, rub_sim_shard_host_t *host,
                        rub_sim_mail_t mail); /* takes */
/* Plans a turn no later than local_us from now. */
void rub_sim_shard_wake(rub_sim_t *sim, rub_sim_shard_host_t *host, uint64_t local_us);
void rub_sim_shard_fini(rub_sim_t *sim, rub_sim_shard_host_t *host);

size_t rub_sim_storage_room(void *context);
int rub_sim_storage_chunk(void *context, uint32_t table, uint32_t chunk, uint64_t lsn, void *bytes,
                          size_t n_bytes);
int rub_sim_storage_state(void *context, uint64_t redo_lsn, uint64_t lsn_needed, const void *state,
                          size_t n_bytes);
void rub_sim_storage_sync(void *context, uint64_t lsn);
/* The journal write of the turn's first n records. */
void rub_sim_storage_write(rub_sim_t *sim, rub_sim_shard_host_t *host, size_t n);
/* The process dies: some of the transactions that could have been committed have been. */
void rub_sim_storage_cut(rub_sim_t *sim, rub_sim_shard_host_t *host);
void rub_sim_storage_drop(rub_sim_shard_host_t *host);

/* ---- snapshots (sim_snapshot.c): a shard's effects and life, and the scheduler's effects ---- */
typedef struct rub_sim_snapshot rub_sim_snapshot_t;
void rub_sim_snapshot_pin(void *context, uint64_t number);
void rub_sim_snapshot_fold(void *context, const rub_shard_fold_t *order);
void rub_sim_snapshot_unpin(void *context, uint64_t number, bool keep);
int rub_sim_snapshot_tell(rub_sim_shard_host_t *host); /* what has come, to the core */
void rub_sim_snapshot_record(rub_sim_t *sim, rub_sim_shard_host_t *host,
                             const rub_sim_record_t *written);
void rub_sim_snapshot_died(rub_sim_shard_host_t *host); /* the disk is as it will be found */
void rub_sim_snapshot_fini(rub_sim_shard_host_t *host);
void rub_sim_snapshot_config(const rub_sim_t *sim, rub_scheduler_config_t *config);
int rub_sim_snapshot_write(void *context, rub_manifest_t *manifest, uint64_t since_cut_ms,
                           rub_error_t *err);
void rub_sim_snapshot_removed(void *context, uint64_t number);

/* The value of a row of the ledger, in pushes. False: it is not this shard's. */
bool rub_sim_ledger_row(const rub_sim_t *sim, const rub_shard_t *core, uint32_t row,
                        float *value_p);
/* The same of the part that the shard has folded; 0: not its row. */
float rub_sim_snapshot_row(const rub_sim_shard_host_t *host, uint32_t row);

/* ---- new jobs out of snapshots (sim_restore.c) ---- */
/* Examples [first, first + count) of a data epoch, that a rank trained in the period `clock`. */
typedef struct rub_sim_trained {
    uint32_t rank, rank_epoch;
    uint64_t clock, data_epoch, first, count;
} rub_sim_trained_t;

typedef struct rub_sim_part rub_sim_part_t;
rub_sim_part_t *rub_sim_part_write(rub_shard_t *core, const rub_shard_fold_t *order);
void rub_sim_part_destroy(rub_sim_part_t **self_p);

const rub_part_head_t *rub_sim_part_head(const rub_sim_part_t *self);
/* Of some of the snapshots that are whole: restores it, and holds the new job against the laws. */
void rub_sim_restore(rub_sim_t *sim, const rub_manifest_t *manifest);

/* ---- a table that forgets (sim_embers.c) ---- */
/* Whether a push is to that table, and then whose. */
bool rub_sim_embers_is_push(const rub_record_t *push, uint32_t *actor);
void rub_sim_embers_record(rub_sim_t *sim, rub_sim_shard_host_t *host,
                           const rub_sim_record_t *written);
/* Whether kill -9 now must leave exactly the rows that the process has. */
bool rub_sim_embers_kept(const rub_sim_t *sim, const rub_sim_shard_host_t *host);
void rub_sim_embers_compare(rub_sim_t *sim, const rub_sim_shard_host_t *host, uint64_t rows,
                            uint64_t digest);

/* ---- what a power loss takes (sim_losses.c) ---- */
/* Bits of the actor's rows that a push adds to. */
uint32_t rub_sim_rows_of(const rub_sim_t *sim, const rub_record_t *push, uint32_t *actor);
void rub_sim_loss_record(rub_sim_t *sim, rub_sim_shard_host_t *host,
                         const rub_sim_record_t *written);
void rub_sim_loss_power(rub_sim_t *sim, rub_sim_shard_host_t *host);
void rub_sim_loss_check_end(rub_sim_t *sim);
/* Durability sync, or all clients keep what is not synced. */
bool rub_sim_nothing_may_be_lost(const rub_sim_t *sim);

/* ---- the scheduler's process (sim_scheduler_host.c) ---- */
typedef struct rub_sim_scheduler_host {
    rub_sim_process_t process;
    rub_scheduler_t *core;
    uint8_t *committed;
    size_t committed_bytes;
    uint64_t life, started_us;
    uint32_t crashes;
} rub_sim_scheduler_host_t;
int rub_sim_scheduler_start(rub_sim_t *sim);
void rub_sim_scheduler_crash(rub_sim_t *sim, bool power); /* and comes back */
void rub_sim_scheduler_mail(rub_sim_t *sim, uint64_t connection, const uint8_t *bytes,
                            size_t n_bytes);
void rub_sim_scheduler_fini(rub_sim_t *sim);

/* ---- actors: processes over a client core (sim_actor.c), their program (sim_program.c) and their
 * ends (sim_death.c) ---- */
typedef enum { SIM_TRAINER, SIM_JOINER, SIM_READER } rub_sim_actor_kind_t;
typedef struct rub_sim_push {
    uint64_t clock;
    uint32_t life, rank_epoch;
} rub_sim_push_t;
/* A reader that keeps rows (sim_keeper.c), in its own time. */
#define SIM_KEEPER_ASKS 64u
typedef struct rub_sim_asked {
    uint64_t id, when_ms;
} rub_sim_asked_t;
typedef struct rub_sim_keeper {
    uint64_t age_ms; /* 0: it keeps none */
    rub_sim_asked_t asked[SIM_KEEPER_ASKS];
    size_t n;
    uint64_t called_ms, hits;  /* of the last pull; hits before it */
    uint64_t losses, blind_ms; /* how often the power took something; says nothing until */
} rub_sim_keeper_t;

/* An array that an actor lends to its session (sim_lender.c). */
typedef struct rub_sim_lent {
    float *values; /* a block */
    uint32_t life;
    size_t push; /* its number */
    bool is_out;
} rub_sim_lent_t;

/* In place of a push's handle: it has been acknowledged, and its handle is forgotten. */
#define SIM_ACKNOWLEDGED UINT64_MAX

typedef struct rub_sim_actor {
    uint32_t actor;
    rub_sim_actor_kind_t kind;
    rub_sim_process_t process;
    rub_client_t *core;
    void *seat;                /* context of its effects */
    uint32_t rank, rank_epoch; /* of this life; epoch 0: none yet */
    unsigned stage;            /* of its program */
    rub_handle_t waiting;      /* 0: none */
    rub_handle_t pull, prefetch;
    uint64_t pull_stamp, prefetch_stamp;
    uint64_t asks, pull_id, prefetch_id; /* numbers of its pulls */
    uint64_t last_stir;                  /* what had been pushed when it looked a last time */
    float *raw[2];                       /* what the pull and the prefetch write */
    bool is_own[2];                      /* no pull is for it: nobody may write there */
    uint64_t hesitated;                  /* the number of the pull that it is about to cancel */
    uint64_t keys[SIM_ACTORS * SIM_KEYS];
    float embers[2]; /* what it was given of the table that forgets */
    bool prefetching;
    bool busy; /* computes until a wake-up */
    bool busy_ending, fenced, told_to_leave;
    bool ended, left_well;
    uint64_t leaving_us;                     /* when it began to leave */
    uint64_t impaired_us;                    /* when it was last in trouble */
    uint64_t parted_us, parted_until_us;     /* from a shard, and from nobody else */
    uint64_t excused_ms;                     /* own time: it computed or was stopped */
    uint64_t stands_ms, named_ms, ticked_ms; /* own time: since when here; last notice; last tick */
    uint32_t life;                           /* from 1; events of an earlier one are dropped */
    size_t life_pushes;                      /* pushes before this life */
    uint64_t unclosed; /* 1 + the first period of this life whose end a power loss took; 0: none */
    bool evicted;      /* this life: what was not acknowledged by then is in doubt already */
    size_t heard;      /* pushes of this life that were acknowledged by then */
    int missing[SIM_KEYS]; /* of each row: pushes that a power loss took and nobody sent again */
    size_t poisoned[SIM_KEYS]; /* of each row: pushes that no shard may take */
    rub_handle_t *handles;     /* of the pushes of this life, by number of the push */
    uint32_t epoch, steps_left, pushes_left;
    rub_cursor_t cursor; /* pieces */
    uint64_t piece_first, piece_left;
    rub_table_t table;
    rub_sim_keeper_t keeper;
    uint64_t start_us, compute_us; /* compute: mean per step */
    rub_sim_push_t *pushes;        /* each +1; a successor may begin below its predecessor */
    size_t n_pushes;
    rub_sim_lent_t *lent; /* of all its lives */
    size_t n_lent, lent_capacity;
    rub_sim_channel_t control, data[SIM_SHARDS];
} rub_sim_actor_t;

int rub_sim_embers_open(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err);
/* Whether a trainer pulls the rows that it will push; ends as actor->waiting. */
bool rub_sim_embers_revise(const rub_sim_t *sim);
int rub_sim_embers_pull(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err);
int rub_sim_embers_push(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err);

/* An array full of that value to be lent to a push; NULL: this one shall be copied. Who lends it
 * notes that it is out, and by which push. */
rub_sim_lent_t *rub_sim_lend(const rub_sim_t *sim, rub_sim_actor_t *actor, float value);
void rub_sim_lender_look(rub_sim_actor_t *actor); /* spoils what is its own again */
void rub_sim_lender_check(rub_sim_t *sim, const rub_packet_t *packet); /* it arrives */
void rub_sim_lender_fini(rub_sim_actor_t *actor);

/* Whether the shards of this run are threads of the actors' process, as far as grants go. */
bool rub_sim_grants(const rub_sim_t *sim);
/* A message as its receiver reads it. */
rub_frame_t rub_sim_read(const rub_sim_t *sim, const rub_packet_t *packet);
/* raw[i] is the actor's own from now on, and spoilt; it is for a pull from now on. */
void rub_sim_take_back(const rub_sim_t *sim, rub_sim_actor_t *actor, int i);
void rub_sim_give(rub_sim_t *sim, rub_sim_actor_t *actor, int i);
/* Some pulls are not wanted any more after a while: first the actor hesitates, then it cancels. */
bool rub_sim_gives_up(rub_sim_t *sim, rub_sim_actor_t *actor);

int rub_sim_keeper_begin(rub_sim_t *sim, rub_sim_actor_t *actor, rub_error_t *err);
void rub_sim_keeper_asks(rub_sim_t *sim, rub_sim_actor_t *actor); /* a pull begins */
/* It has ended: whether its values can be held against the laws. */
bool rub_sim_keeper_tells(rub_sim_t *sim, rub_sim_actor_t *actor);

/* bsp: an end of that period is lost, and nobody will say it again: whether what that epoch has
 * pushed from there on is folded is open. */
void rub_sim_loss_doubt(rub_sim_t *sim, const rub_sim_actor_t *actor, uint32_t rank_epoch,
                        uint64_t period);
/* Its session ends without a word: what it retained of lost records does not come again. */
void rub_sim_loss_session_over(rub_sim_t *sim, const rub_sim_actor_t *actor);

#define SIM_JOINING 0u /* the first stage of the program */
void rub_sim_actor_start(rub_sim_t *sim, rub_sim_actor_t *actor);
/* A new process of the actor: a fresh core, a new nonce, connected to the scheduler. */
void rub_sim_actor_live(rub_sim_t *sim, rub_sim_actor_t *actor);
/* It has met the others for the last time: it pushes nothing more. */
bool rub_sim_actor_is_through(const rub_sim_actor_t *actor);
void rub_sim_actor_run(rub_sim_t *sim, rub_sim_actor_t *actor);
void rub_sim_actor_compute(rub_sim_t *sim, rub_sim_actor_t *actor, uint64_t mean_us);
void rub_sim_actor_fini(rub_sim_t *sim, rub_sim_actor_t *actor);
uint32_t rub_sim_ledger_rows(const rub_sim_t *sim);
/* How many pushes are in a value of the ledger, timed or not. */
float rub_sim_count_of(float value);

/* From outside: each does nothing to an actor that is not there, or is through. */
void rub_sim_actor_kill(rub_sim_t *sim, rub_sim_actor_t *actor);
void rub_sim_actor_term(rub_sim_t *sim, rub_sim_actor_t *actor);
/* From its program: it came too early for its rank; its epoch is over; it has left on SIGTERM. */
void rub_sim_actor_again(rub_sim_t *sim, rub_sim_actor_t *actor);
void rub_sim_actor_fenced(rub_sim_t *sim, rub_sim_actor_t *actor);
void rub_sim_actor_gone(rub_sim_t *sim, rub_sim_actor_t *actor);
/* From the scheduler's host: that epoch is over, whether its process knows or not. */
void rub_sim_actor_evicted(rub_sim_t *sim, uint32_t rank, uint32_t epoch);

/* ---- what goes wrong (sim_faults.c), and what a seed draws (sim_plan.c) ---- */
typedef struct rub_sim_fault {
    unsigned kind;
    uint64_t at_us, duration_us;
    uint32_t who, detail; /* random; the kind says how they choose */
} rub_sim_fault_t;

typedef enum {
    SIM_SWARM, /* each seed draws its kinds */
    SIM_QUIET,
    SIM_NETWORK,
    SIM_POWER,
    SIM_PAUSE,
    SIM_CHAOS /* all kinds, many of each */
} rub_sim_profile_t;

typedef struct rub_sim_scenario {
    uint32_t n_workers, n_shards, n_readers, n_joiners, n_epochs, n_steps;
    uint64_t staleness;
    uint32_t durability;
    bool retain_synced; /* clients keep what is not on the platter */
    bool prefetch, uneven, slow_worker, pauses, pieces;
    bool dense;             /* the ledger is a dense table: one block per actor */
    bool tight_disk;        /* now and then the journal has no room for a moment */
    bool sweeps;            /* no checkpoint is copied in one turn */
    bool poison;            /* some pushes hold a value that is no number: verdicts */
    bool open_ends;         /* some programs stop in the middle of a period */
    bool embers;            /* there is a table that forgets, too: sim_embers.c */
    bool timed;             /* the ledger's rate grows with the clock: sim_program.c */
    uint32_t codec;         /* of pushes: each of these carries ones exactly */
    uint32_t pull_codec;    /* and these, counts up to 2048 */
    uint64_t latency_us;    /* mean, one way */
    uint64_t faults_end_us; /* liveness counts from here */
    rub_sim_fault_t faults[SIM_FAULTS];
    size_t n_faults;
} rub_sim_scenario_t;

typedef struct rub_sim_options {
    uint64_t seed;
    bool trace;
    rub_sim_profile_t profile;
    uint64_t without;     /* bits of fault kinds that do not happen */
    uint64_t only_faults; /* bits of the faults, by number, that may happen; 0: all */
    /* 0: as drawn; else at most */
    uint32_t workers, shards, epochs, steps;
    bool no_guests; /* neither joiners nor readers */
} rub_sim_options_t;

bool rub_sim_read_profile(const char *text, rub_sim_profile_t *out); /* by its name */
/* Draws everything that is decided beforehand, by streams of its own: leaving a fault out changes
 * no other one's draw. */
void rub_sim_plan(rub_sim_t *sim);
const char *rub_sim_fault_name(unsigned kind); /* NULL: no such kind */
/* Whether the profile draws the kind, and whether the kind makes sense in this scenario. */
bool rub_sim_fault_is_in(unsigned kind, rub_sim_profile_t profile);
bool rub_sim_fault_fits(unsigned kind, const rub_sim_scenario_t *scenario);
unsigned rub_sim_fault_most(unsigned kind); /* of the kind in one run */
void rub_sim_fault_duration(unsigned kind, uint64_t *least_us, uint64_t *most_us);
void rub_sim_faults_begin(rub_sim_t *sim); /* plans them as events */

/* ---- one run (sim_scenario.c) ---- */
struct rub_sim {
    rub_sim_options_t options;
    rub_rng_t rng;
    uint64_t now_us, order;
    rub_sim_event_t *heap;
    size_t n_heap, heap_capacity;
    uint64_t next_connection;
    rub_sim_scenario_t scenario;
    rub_sim_scheduler_host_t scheduler;
    rub_sim_shard_host_t shards[SIM_SHARDS];
    rub_sim_channel_t shard_control[SIM_SHARDS];
    rub_sim_actor_t actors[SIM_ACTORS];
    uint32_t n_actors;
    uint32_t evicted_epoch[SIM_RANKS];
    bool doomed;            /* tables died with a shard: the job ends with a code */
    bool disturbed;         /* a trainer has ended before its time */
    uint64_t impaired_us;   /* when a server was last in trouble */
    uint64_t troubled_us;   /* until then something goes wrong, other than a parting */
    uint64_t last_snapshot; /* number of the last manifest */
    uint8_t *dealt;         /* pieces: how often each example was dealt */
    rub_sim_trained_t *trained;
    size_t n_trained, trained_capacity;
    rub_history_t *history; /* what all sessions did and saw */
    uint64_t n_examples;
    bool over; /* nothing happens any more: what is planned is only freed */
    uint64_t trace_hash;
    uint64_t n_events, n_reads, max_gap;
    uint64_t counts[SIM_N_ALL];
    char violation[600]; /* empty: none */
};

/* Runs the seed to its end. False: a law was broken (sim->violation). */
bool rub_sim_run(rub_sim_t *sim, const rub_sim_options_t *options);
void rub_sim_fini(rub_sim_t *sim);
/* Of all that happened. */
uint64_t rub_sim_hash(const rub_sim_t *sim);
void rub_sim_trace(rub_sim_t *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- a smaller scenario that breaks the same law (sim_shrink.c) ---- */
/* Do both break one law? That is a violation's first word(s), up to the colon. */
bool rub_sim_same_law(const char *violation, const char *other);
/* Prints the command that repeats the least one found, and returns it. */
rub_sim_options_t rub_sim_shrink(const rub_sim_options_t *options, const char *violation);
/* The command that repeats a run. */
void rub_sim_command(const rub_sim_options_t *options, char *out, size_t out_bytes);

/* The actor has trained the next examples of its piece, in the period that clock ends. */
void rub_sim_restore_trained(rub_sim_t *sim, const rub_sim_actor_t *actor, uint64_t clock,
                             uint64_t examples);
/* Whether that is in the snapshot. */
bool rub_sim_restore_is_below(const rub_manifest_t *manifest, const rub_sim_trained_t *trained);
/* The new job's scheduler. False: a law was broken. *clock_p: where its ranks begin. */
bool rub_sim_restore_scheduler(rub_sim_t *sim, const rub_manifest_t *manifest,
                               const rub_scheduler_config_t *config, uint64_t *clock_p);

/* ---- laws (sim_laws.c) ---- */
/* Tells the history checker (tests/history), which holds the laws of sessions. */
void rub_sim_tell(rub_sim_t *sim, rub_history_event_t event);
void rub_sim_tell_session(rub_sim_t *sim, const rub_sim_actor_t *actor, rub_history_event_t event);
void rub_sim_broken(rub_sim_t *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A pull of the whole ledger has its answer. */
void rub_sim_tell_read(rub_sim_t *sim, const rub_sim_actor_t *reader, const float *values);
/* A shard has forgotten: its minimum may be lower now. */
void rub_sim_tell_back(rub_sim_t *sim, rub_sim_shard_host_t *host);
void rub_sim_check_event(rub_sim_t *sim); /* after every event: the shards' minima */

/* ---- one trainer and one shard lose each other (sim_parting.c) ---- */
void rub_sim_part(rub_sim_t *sim, const rub_sim_fault_t *fault); /* the fault */
/* At a tick of the trainer: the others do not wait for it for ever. */
void rub_sim_check_parted(rub_sim_t *sim, const rub_sim_actor_t *parted);
/* At an eviction for silence: if partings are all that happens, it meets the parted. */
void rub_sim_check_innocent(rub_sim_t *sim, const rub_sim_actor_t *evicted, const char *sentence);

#endif
