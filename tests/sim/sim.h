/* The simulator: the same shard, scheduler and client cores that the real processes run, in one
 * process, under virtual time, with a seeded network, seeded storage delays and crashes.
 *
 * Everything that happens is an event with a time; ties are broken by order of scheduling, so one
 * seed is one history. After every event the laws are checked (sim_laws.c). A law that is broken
 * ends the run with a sentence and the command that repeats it. */
#ifndef RUB_SIM_H
#define RUB_SIM_H

#include "common/base/rng.h"
#include "ps/shard.h"
#include "scheduler/scheduler.h"
#include "worker/client/client.h"

#define SIM_ACTORS 8u /* trainers, joiners and readers */
#define SIM_SHARDS 4u
#define SIM_KEYS 4u      /* rows of the ledger that each actor owns */
#define SIM_PUSHES 4096u /* of one actor in one run */

typedef struct rub_sim rub_sim_t;

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
static inline uint64_t rub_sim_ms(uint64_t us)
{
    return us / 1000u;
}

/* ---- network (sim_network.c): a channel is one DEALER's connection to a ROUTER; it loses what is
 * in flight when it is cut, comes back by itself under a new number, and keeps order while it
 * stands ---- */
typedef enum { SIM_DATA, SIM_CONTROL_OF_ACTOR, SIM_CONTROL_OF_SHARD } rub_sim_channel_kind_t;
typedef struct rub_sim_channel {
    rub_sim_channel_kind_t kind;
    uint32_t actor, shard;
    bool wanted; /* the near end wants it */
    bool up;
    uint64_t connection;               /* number; what was sent under another one is lost */
    uint64_t last_to_us, last_from_us; /* latest delivery planned: order */
    char address[128];                 /* data: the address asked for */
} rub_sim_channel_t;

void rub_sim_connect(rub_sim_t *sim, rub_sim_channel_t *channel);
void rub_sim_cut(rub_sim_t *sim, rub_sim_channel_t *channel);
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

/* ---- a shard's process and its disk (sim_shard_host.c) ---- */
typedef struct rub_sim_record {
    uint64_t lsn;
    rub_record_type_t type;
    uint8_t *bytes;
    size_t n_bytes;
} rub_sim_record_t;
typedef struct rub_sim_chunk {
    uint32_t table, chunk;
    uint8_t *bytes;
    size_t n_bytes;
} rub_sim_chunk_t;
typedef struct rub_sim_disk { /* what kill -9 leaves behind */
    rub_sim_record_t *records;
    size_t n_records, records_capacity;
    rub_sim_chunk_t *chunks;
    size_t n_chunks, chunks_capacity;
    uint8_t *state;
    size_t state_bytes;
    uint64_t incarnation;
} rub_sim_disk_t;
typedef struct rub_sim_shard_host {
    rub_sim_t *sim;
    uint32_t shard;
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
    rub_sim_chunk_t *staged;
    size_t n_staged, staged_capacity;
    uint8_t *staged_state;
    size_t staged_state_bytes;
    uint64_t staged_redo, committed_redo, synced_lsn;
    bool tell_checkpointed, tell_synced, committing;
    uint64_t minimum_seen; /* greatest finite minimum: it never falls */
    uint32_t crashes;
    char address[128];
} rub_sim_shard_host_t;

int rub_sim_shard_start(rub_sim_t *sim, rub_sim_shard_host_t *host);
void rub_sim_shard_crash(rub_sim_t *sim, rub_sim_shard_host_t *host);
void rub_sim_shard_mail(rub_sim_t *sim, rub_sim_shard_host_t *host,
                        rub_sim_mail_t mail); /* takes */
void rub_sim_shard_fini(rub_sim_shard_host_t *host);

/* ---- the scheduler's process (sim_scheduler_host.c) ---- */
typedef struct rub_sim_scheduler_host {
    rub_scheduler_t *core;
    uint8_t *committed;
    size_t committed_bytes;
    uint64_t life;
    uint32_t crashes;
} rub_sim_scheduler_host_t;
int rub_sim_scheduler_start(rub_sim_t *sim);
void rub_sim_scheduler_crash(rub_sim_t *sim);
void rub_sim_scheduler_mail(rub_sim_t *sim, uint64_t connection, const uint8_t *bytes,
                            size_t n_bytes);
void rub_sim_scheduler_fini(rub_sim_t *sim);

/* ---- actors: scripted programs over a client core (sim_actor.c) ---- */
typedef enum { SIM_TRAINER, SIM_JOINER, SIM_READER } rub_sim_actor_kind_t;
typedef struct rub_sim_actor {
    uint32_t actor;
    rub_sim_actor_kind_t kind;
    rub_client_t *core;
    void *seat;           /* context of its effects */
    unsigned stage;       /* of its program */
    rub_handle_t waiting; /* 0: none */
    rub_handle_t pull, prefetch;
    uint64_t pull_stamp, prefetch_stamp;
    uint64_t pull_own, prefetch_own; /* own pushes when it was asked for */
    float *raw[2];                   /* what the pull and the prefetch write */
    uint64_t keys[SIM_ACTORS * SIM_KEYS];
    float seen[SIM_ACTORS * SIM_KEYS]; /* monotonic reads */
    bool prefetching;
    bool busy; /* computes until a wake-up */
    bool ended, left_well;
    uint32_t life;         /* from 1; events of an earlier one are dropped */
    size_t life_pushes;    /* pushes before this life */
    size_t uncertain;      /* pushes that an earlier life had sent and not heard of: there or not */
    rub_handle_t *handles; /* of the pushes of this life, by number of the push */
    uint32_t epoch, steps_left, pushes_left;
    rub_cursor_t cursor; /* pieces */
    uint64_t piece_left;
    rub_table_t table;
    uint64_t start_us, compute_us; /* compute: mean per step */
    uint64_t *push_stamps; /* clock of each +1; a successor may begin below its predecessor */
    size_t n_pushes;
    rub_sim_channel_t control;
    rub_sim_channel_t data[SIM_SHARDS];
} rub_sim_actor_t;

void rub_sim_actor_start(rub_sim_t *sim, rub_sim_actor_t *actor);
/* A new process of the actor: a fresh core, a new nonce, connected to the scheduler. */
void rub_sim_actor_live(rub_sim_t *sim, rub_sim_actor_t *actor);
/* It has met the others for the last time: it pushes nothing more. */
bool rub_sim_actor_is_through(const rub_sim_actor_t *actor);
void rub_sim_actor_run(rub_sim_t *sim, rub_sim_actor_t *actor);
void rub_sim_actor_fini(rub_sim_actor_t *actor);

/* ---- kill -9 of a trainer, and its successor (sim_death.c) ---- */
/* Kills it if it lives and is not through; its successor wants the same rank some time later. */
void rub_sim_actor_kill(rub_sim_t *sim, void *actor, uint64_t unused);
/* The successor came before the scheduler had given the rank up, and tries once more. */
void rub_sim_actor_again(rub_sim_t *sim, rub_sim_actor_t *actor);

/* ---- one run ---- */
typedef struct rub_sim_scenario {
    uint32_t n_workers, n_shards, n_readers, n_joiners, n_epochs, n_steps;
    uint64_t staleness;
    uint32_t durability;
    bool prefetch, uneven, slow_worker, pauses, pieces;
    bool dense;           /* the ledger is a dense table: one block per actor */
    uint32_t cut_percent; /* chance per 100 ms that some channel is cut */
    uint32_t n_shard_crashes, n_scheduler_crashes, n_trainer_crashes;
    uint64_t latency_us;    /* mean, one way */
    uint64_t faults_end_us; /* liveness counts from here */
} rub_sim_scenario_t;

struct rub_sim {
    uint64_t seed;
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
    uint8_t *dealt; /* pieces: how often each example was dealt */
    uint64_t n_examples;
    bool over; /* nothing happens any more: what is planned is only freed */
    bool trace;
    uint64_t trace_hash;
    uint64_t n_events, n_reads, max_gap;
    char violation[600]; /* empty: none */
};

/* Draws the scenario from the seed, runs it to its end. False: a law was broken (sim->violation).
 */
bool rub_sim_run(rub_sim_t *sim, uint64_t seed, bool trace);
void rub_sim_fini(rub_sim_t *sim);
void rub_sim_trace(rub_sim_t *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* ---- laws (sim_laws.c) ---- */
void rub_sim_broken(rub_sim_t *sim, const char *format, ...) __attribute__((format(printf, 2, 3)));
/* A pull of the whole ledger has ended: SSP, read-my-writes, monotonic reads, exactly-once, message
 * atomicity. */
void rub_sim_check_read(rub_sim_t *sim, rub_sim_actor_t *reader, const float *values,
                        uint64_t stamp, uint64_t own);
/* After the last barrier nothing is under way: every row is exactly the number of pushes. */
void rub_sim_check_final(rub_sim_t *sim, const rub_sim_actor_t *reader, const float *values);
void rub_sim_check_event(rub_sim_t *sim); /* after every event */

#endif
