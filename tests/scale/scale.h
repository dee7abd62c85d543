/* A whole job in one process, without misfortune: real scheduler, shard and client cores in virtual
 * time over a modelled network, so that the CPU time and the memory that each role pays per worker
 * can be measured for fleets that no test machine could run.
 *
 * Time goes in steps of one millisecond, which is also what every message takes; messages of one
 * step arrive in the order in which they were sent. A shard takes all that has come in a step in
 * turns of at most 256 messages, as its reactor does. Time is measured around each call of a core;
 * sockets, system calls and disks are not in it, and the decoding and encoding of control messages
 * is counted apart. */
#ifndef RUB_SCALE_H
#define RUB_SCALE_H

#include "common/base/rng.h"
#include "ps/shard.h"
#include "scheduler/scheduler.h"
#include "worker/client/client.h"

#define SCALE_TYPES 128u /* message numbers of both planes */
#define SCALE_TURN 256u  /* messages of a shard's turn */

typedef struct rub_scale_options {
    uint32_t n_workers, n_shards;
    uint32_t seconds;   /* of training */
    uint32_t batch_ms;  /* a worker computes so long, give or take a half */
    uint32_t rows_each; /* rows that a batch pulls and pushes, per shard on average */
    uint32_t width;
    uint64_t staleness;
    uint64_t seed;
} rub_scale_options_t;

/* What handling one type of message has cost. */
typedef struct rub_scale_cost {
    uint64_t n, bytes, ns;
} rub_scale_cost_t;

typedef enum {
    SCALE_GATHER,
    SCALE_TRAIN,
    SCALE_EVICT,
    SCALE_BARRIER,
    SCALE_LEAVE,
    SCALE_PHASES
} rub_scale_phase_t;
extern const char *const rub_scale_phase_names[SCALE_PHASES];

/* What a phase has cost a role. */
typedef struct rub_scale_books {
    double virtual_s;
    rub_scale_cost_t
        scheduler_in[SCALE_TYPES]; /* ns: the core's step, with what it says encoded apart */
    rub_scale_cost_t scheduler_out[SCALE_TYPES];                         /* ns: encoding */
    rub_scale_cost_t scheduler_decode, scheduler_tick, scheduler_commit; /* commit: count, bytes */
    rub_scale_cost_t shard_in[SCALE_TYPES];                              /* all shards together */
    rub_scale_cost_t shard_out[SCALE_TYPES];                             /* count and bytes */
    rub_scale_cost_t shard_turn_end, shard_tick, shard_control;
    uint64_t journal_bytes, journal_records;
    uint64_t client_ns;
} rub_scale_books_t;

typedef struct rub_scale rub_scale_t;

/* A worker's program: join, table, then pull, compute, push, clock; pieces of data every two
 * seconds; a barrier; leave. */
typedef enum {
    SCALE_JOINING,
    SCALE_OPENING,
    SCALE_READY, /* between two batches */
    SCALE_PULLING,
    SCALE_COMPUTING,
    SCALE_PIECE_WAIT,
    SCALE_HALTED, /* done with training, until the next phase begins */
    SCALE_IN_BARRIER,
    SCALE_LEAVING,
    SCALE_LEFT,
    SCALE_DEAD
} rub_scale_stage_t;

typedef struct rub_scale_worker {
    rub_scale_t *scale;
    uint32_t index;
    rub_client_t *core;
    rub_scale_stage_t stage;
    rub_handle_t handle;
    rub_table_t table;
    uint64_t wake_ms;   /* the batch is computed */
    uint64_t piece_ms;  /* the next piece is due */
    uint64_t began_ms;  /* waiting for this pull */
    uint64_t waited_ms; /* in pulls of the training phase */
    uint64_t periods;
    bool has_piece;
    uint64_t *keys;
    float *values;
} rub_scale_worker_t;

typedef struct rub_scale_shard {
    rub_scale_t *scale;
    uint32_t shard;
    rub_shard_t *core;
    struct rub_scale_mail *inbox;
    size_t n_inbox, inbox_capacity;
    uint64_t tick_ms;
    uint64_t sync_lsn, redo_lsn; /* asked for; 0: nothing */
    bool has_redo;
    uint64_t memory_bytes; /* of tables, as it reports */
} rub_scale_shard_t;

/* A message on its way. */
typedef struct rub_scale_mail {
    enum { SCALE_TO_SHARD, SCALE_TO_SCHEDULER, SCALE_TO_WORKER, SCALE_CONTROL_TO_SHARD } way;
    uint32_t to, from; /* worker or shard */
    uint64_t caller;   /* of the scheduler */
    rub_packet_t *packet;
    uint8_t *control; /* encoded */
    size_t control_bytes;
} rub_scale_mail_t;

struct rub_scale {
    rub_scale_options_t options;
    rub_rng_t rng;
    uint64_t now_ms;
    rub_scale_phase_t phase;
    rub_scale_books_t books[SCALE_PHASES];
    rub_scheduler_t *scheduler;
    rub_scale_shard_t *shards;
    rub_scale_worker_t *workers;
    uint32_t n_workers;        /* with those that came later */
    rub_scale_mail_t *mail[2]; /* sent in this step; being delivered */
    size_t n_mail[2], mail_capacity[2];
    rub_buf_t encoded;
    uint64_t
        encoded_view; /* version of the VIEW in there, as in scheduler/zmq_scheduler.c; 0: other */
    uint64_t sent_ns; /* by the scheduler's effects within one step */
    /* Of the heap, by difference, once rub_scale_close has destroyed them; table_bytes: what the
     * shards have reported as memory of tables. */
    uint64_t scheduler_bytes, shards_bytes, clients_bytes, table_bytes;
    char broken[300]; /* empty: all is well */
};

/* ---- scale_world.c: cores, network, steps ---- */
int rub_scale_open(rub_scale_t *self, const rub_scale_options_t *options);
void rub_scale_close(rub_scale_t *self);
/* One millisecond. */
void rub_scale_step(rub_scale_t *self);
void rub_scale_kill(rub_scale_t *self, uint32_t worker); /* and its supervisor says so */
int rub_scale_add_worker(rub_scale_t *self);             /* any rank; 0 or RUB_ENOMEM */
void rub_scale_break(rub_scale_t *self, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
uint64_t rub_scale_heap_bytes(void);
/* Sends to the scheduler as that worker; lease: from the lease thread's own connection. */
void rub_scale_say(rub_scale_t *self, uint32_t worker, bool lease, const rub_control_t *message);

/* ---- scale_worker.c ---- */
void rub_scale_worker_run(rub_scale_worker_t *worker);
/* How many of the job's workers stand at that stage. */
uint32_t rub_scale_count(const rub_scale_t *self, rub_scale_stage_t stage);

/* ---- scale_pushes.c: one shard, one session: ns per row over table sizes and rows a push ---- */
int rub_scale_pushes(bool json, uint64_t most_rows);

#endif
