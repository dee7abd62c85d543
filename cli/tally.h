/* A job in numbers, added up from the scheduler's STATUS messages. Pure. */
#ifndef RUB_TALLY_H
#define RUB_TALLY_H

#include "common/wire/control.h"

#define RUB_TALLY_METRICS 16u

/* A counter that starts again from 0 when its process does, added up over all of them. */
typedef struct rub_counter {
    uint64_t before; /* of the processes that have ended */
    uint64_t last;   /* of the present one */
    uint64_t life;   /* which one: epoch of a rank, incarnation of a shard */
} rub_counter_t;

/* What one rank has done and how long it stood waiting, over all its lives. */
typedef struct rub_rank_tally {
    rub_counter_t examples, pull_wait_us, push_wait_us, meet_wait_us;
} rub_rank_tally_t;

typedef struct rub_tally {
    uint32_t state; /* RUB_JOB_* */
    char reason[256];
    int code; /* negative, of a failed job */
    uint64_t data_epoch, step, examples,
        total_examples;  /* epoch: the least of the ranks that train, from 0 */
    uint64_t running_ms; /* how long all were training; 0: not known, or not in one piece */
    double loss;         /* mean over ranks that have one */
    uint64_t pushes, pulls, gap_p50, gap_p99, gap_max;
    uint64_t digest, stored_rows, staleness;
    uint64_t lost_records; /* acknowledged, and taken by a power loss */
    uint64_t deleted_rows; /* because a table's policy named them */
    uint64_t not_admitted; /* pushes of rows that are not there; the most that was ever said */
    uint32_t evictions;
    uint64_t snapshots; /* number of the last one that was begun; 0: none */
    bool clocked;
    /* Of validations, as STATUS says it. */
    uint64_t evaluation, best_evaluation, kept_evaluation, stopped;
    double best_value, kept_value;
    char kept_path[1024], metric[32];
    rub_metric_value_t metrics[RUB_TALLY_METRICS];
    uint32_t n_metrics;
    rub_rank_tally_t *ranks;                   /* growing; index = rank */
    rub_counter_t *shard_pushes, *shard_pulls; /* growing; index = shard */
    size_t n_ranks, n_shards;
} rub_tally_t;

void rub_tally_init(rub_tally_t *self);
void rub_tally_fini(rub_tally_t *self);

/* Takes a STATUS in. Ranks and shards beyond 4096 are ignored. RUB_ENOMEM. */
int rub_tally_update(rub_tally_t *self, const rub_status_t *status, rub_error_t *err);

/* The least gap that at least `fraction` (0..1] of the pulls did not exceed; 0 when there were
 * none. gaps in any order. */
uint64_t rub_gap_percentile(const rub_gap_count_t *gaps, uint32_t n_gaps, double fraction);

/* Over all lives of its process. */
static inline uint64_t rub_counter_total(const rub_counter_t *counter)
{
    return counter->before + counter->last;
}

/* The named metric, or NULL. */
const rub_metric_value_t *rub_tally_metric(const rub_tally_t *self, const char *name);

#endif
