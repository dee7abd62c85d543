/* A run's stores out of a snapshot: for `rubato snapshot restore` and `rubato train --resume`. */
#ifndef RUB_RESTORE_H
#define RUB_RESTORE_H

#include "common/store/snapshot_manifest.h"
#include "scheduler/scheduler.h"

#define RUB_RESUMED_FILE "resumed.json" /* in the run directory: from which snapshot, and where */

typedef struct rub_restore_plan {
    const char *snapshot; /* its folder */
    const char *to;       /* run directory; gets scheduler/, ps-<i>/shard-<k>/, resumed.json, and
                             of the run that the snapshot lies in, the files that say which
                             words, entities, users or items rows are of */
    uint32_t n_ps, shards_each, n_workers;
    uint64_t n_epochs; /* that will be trained; 0: not known, nothing is said about it */
    uint64_t staleness;
    uint32_t reduce;
    uint64_t seed;
} rub_restore_plan_t;

typedef struct rub_restore_outcome {
    uint64_t number; /* of the snapshot */
    uint64_t job;    /* the new one */
    rub_scheduler_place_t place;
    uint64_t dealt_again;  /* examples of the data epoch that had been dealt and are dealt again */
    uint64_t rows, digest; /* over all shards */
} rub_restore_outcome_t;

/* Where each rank stood: the least over the parts. All parts are read and held against the
 * manifest. *cuts_p: the caller's (rub_free), manifest->n_ranks of them. RUB_ECORRUPT, RUB_ESTORE.
 */
int rub_restore_cuts(const char *snapshot, const rub_manifest_t *manifest,
                     rub_scheduler_cut_t **cuts_p, rub_error_t *err);

/* Reads all of the snapshot, checks it, and makes the stores; shards first, the scheduler last. On
 * failure nothing of them is left. RUB_ECORRUPT, RUB_ESTORE, RUB_ENOSPC, RUB_ENOMEM; RUB_ECONFIG:
 * the plan's job is another, or has no epoch left; RUB_EREFUSED: `to` holds a job. Blocks. */
int rub_restore_run(const rub_restore_plan_t *plan, rub_restore_outcome_t *outcome,
                    rub_error_t *err);

#endif
