/* The scheduler: the one authority on membership, schemas, placement, data leases, barriers and
 * status; off the data path.
 *
 * Pure: stepped with control messages and time; answers through effects. It keeps one job view, has
 * it committed before anybody is told, and sends the whole view to every shard and session until
 * acknowledged. Its generation rises at each start. Leases: a rank is evicted only on evidence from
 * shards too (design, section 4), and every lease starts afresh when the scheduler has just
 * started, was paused, or lost its shards.
 *
 * Not thread-safe: one thread owns it. */
#ifndef RUB_SCHEDULER_H
#define RUB_SCHEDULER_H

#include "common/base/bytes.h"
#include "common/store/snapshot_manifest.h"
#include "common/wire/control.h"

typedef struct rub_scheduler rub_scheduler_t;
typedef uint64_t rub_caller_t; /* a connection, as the reactor numbers it */

typedef struct rub_scheduler_effects {
    void *context;
    /* Borrowed message. A connection that is gone: dropped silently. */
    void (*send)(void *context, rub_caller_t to, const rub_control_t *message);
    /* Puts the job's state on the platter before anything sent after it may leave. RUB_ESTORE is
     * fatal. */
    int (*commit)(void *context, const void *state, size_t n_bytes);
    /* Writes the manifest into its snapshot's folder, where all parts are; fills in its time, which
     * was since_cut_ms ago. Blocks. The snapshot is given up when it fails. NULL, as the next: this
     * scheduler takes no snapshots. */
    int (*snapshot_write)(void *context, rub_manifest_t *manifest, uint64_t since_cut_ms,
                          rub_error_t *err);
    /* Removes the folder of that snapshot, whole or not. */
    void (*snapshot_drop)(void *context, uint64_t number);
    void (*notice)(void *context, const char *sentence); /* for the log */
} rub_scheduler_effects_t;

typedef struct rub_scheduler_config {
    char who[128]; /* host:pid of this process, told to observers */
    uint64_t job;  /* random; ignored when a state is loaded */
    uint32_t n_workers;
    uint32_t n_shards;
    uint64_t staleness; /* UINT64_MAX: async */
    uint32_t reduce;    /* RUB_REDUCE_* */
    uint64_t seed;
    uint32_t lease_ms;        /* 5000 */
    uint32_t join_timeout_ms; /* for the first W ranks and all shards; then the job fails and names
                                 them */
    uint32_t
        grace_ms; /* how long a running job waits for a dead shard or for workers to come back */
    char snapshots_dir[1000];      /* told to observers; empty: no snapshots */
    uint64_t snapshots_there;      /* greatest number in use there: of other jobs, too */
    uint64_t snapshot_interval_ms; /* 0: only when asked */
    uint32_t snapshots_kept;       /* of those that nobody asked for; 0: all */
    uint64_t snapshot_timeout_ms;  /* from PIN to the last part; then it is given up */
} rub_scheduler_config_t;

/* NULL when memory is short. Effects are copied. */
rub_scheduler_t *rub_scheduler_new(const rub_scheduler_config_t *config,
                                   const rub_scheduler_effects_t *effects);
void rub_scheduler_destroy(rub_scheduler_t **self_p);

/* Where a job stands in its data and in its clocks. */
typedef struct rub_scheduler_place {
    uint64_t clock;
    uint64_t epoch; /* of the data */
    uint64_t batch; /* bsp: the first global batch of that data epoch that is still to be trained */
    uint64_t examples; /* otherwise: of that data epoch, that had been trained */
} rub_scheduler_place_t;

/* Where a rank stood at a snapshot's cut: the least over the shards. */
typedef struct rub_scheduler_cut {
    uint32_t rank, epoch;
    uint64_t done;
    bool has_cursor; /* false: it had not given any */
    rub_cursor_t cursor;
} rub_scheduler_cut_t;

/* Makes of a scheduler that has neither loaded nor started one that goes on from a snapshot, as a
 * new job: tables and results stay, nobody has joined, and the data is dealt again from the cut.
 * states: n_states that earlier schedulers wrote, oldest first (rub_manifest_t). RUB_ECORRUPT: a
 * state can not be read, or none is of the cut's data epoch; RUB_ECONFIG: another seed or reduce,
 * or one of the two is bsp and the other is not; RUB_ENOMEM. *place_p: where the new job begins.
 * *again_p: examples of the data epoch that the cut does not hold though they had been dealt. */
int rub_scheduler_restore(rub_scheduler_t *self, const rub_span_t *states, uint32_t n_states,
                          const rub_scheduler_cut_t *cuts, size_t n_cuts,
                          rub_scheduler_place_t *place_p, uint64_t *again_p, rub_error_t *err);
/* A table that the job has before anybody asks for it; of a scheduler that has neither loaded nor
 * started. schema.id is passed over. *id_p: its number. RUB_EINVAL: no schema that a session could
 * ask for; RUB_ESCHEMA: there is one of that name; RUB_ELIMIT, RUB_ENOMEM. */
int rub_scheduler_add_table(rub_scheduler_t *self, const rub_table_view_t *schema, uint32_t *id_p,
                            rub_error_t *err);
/* The state as commit gets it, appended. RUB_ENOMEM. */
int rub_scheduler_save(const rub_scheduler_t *self, rub_buf_t *out);

/* The state that commit was given last, by an earlier generation. RUB_ECORRUPT; RUB_ECONFIG: it is
 * a job with another W or number of shards. Then start. */
int rub_scheduler_load(rub_scheduler_t *self, const void *state, size_t n_bytes, rub_error_t *err);
int rub_scheduler_start(rub_scheduler_t *self, uint64_t now_ms);

/* Returns 0 or a fatal code (RUB_ESTORE, RUB_ENOMEM). The message is borrowed. */
int rub_scheduler_receive(rub_scheduler_t *self, rub_caller_t from, const rub_control_t *message,
                          uint64_t now_ms);
/* Every 100 ms or so: leases, resends of the view, time-outs. A tick much later than the last one
 * means this process was paused: leases start afresh. */
int rub_scheduler_tick(rub_scheduler_t *self, uint64_t now_ms);

/* While a commit has to wait (a full disk): tells every session that this process lives and why it
 * answers nothing, or their graces would run out with ours. Of the job it says nothing, so it may
 * leave before the commit is through. Called from inside of commit. */
void rub_scheduler_say_hindered(const rub_scheduler_t *self, int code, const char *sentence);

/* RUB_JOB_*; DONE and FAILED are final. leave: everybody who must know has been told. */
uint32_t rub_scheduler_state(const rub_scheduler_t *self);
bool rub_scheduler_may_leave(const rub_scheduler_t *self, uint64_t now_ms);
/* Of a failed job: the error code and a sentence. */
int rub_scheduler_failure(const rub_scheduler_t *self, const char **sentence_p);
const rub_view_t *
rub_scheduler_view(const rub_scheduler_t *self); /* borrowed until the next call */

#endif
