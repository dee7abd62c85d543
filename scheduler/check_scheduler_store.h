/* A look at a scheduler's store that changes nothing: every page and value of LMDB, and whether the
 * job's state can be read. For `rubato fsck`. */
#ifndef RUB_CHECK_SCHEDULER_STORE_H
#define RUB_CHECK_SCHEDULER_STORE_H

#include "common/store/lmdb_store.h"
#include "scheduler/scheduler.h"

#define RUB_STATE_JOB "job" /* what the core gave to commit */

typedef struct rub_scheduler_findings {
    bool has_state;
    rub_scheduler_config_t config; /* the job's, as stored */
    rub_store_findings_t store;
    uint64_t n_faults;
} rub_scheduler_findings_t;

/* As rub_shard_store_check, for the folder of a scheduler. */
int rub_scheduler_store_check(const char *folder,
                              void (*fault)(void *context, const rub_error_t *fault), void *context,
                              rub_scheduler_findings_t *findings, rub_error_t *err);

#endif
