/* A new shard's store out of a snapshot's parts: any number of parts into any number of shards. All
 * of it blocks; the shards that will use the stores are not started yet. */
#ifndef RUB_SHARD_RESTORE_H
#define RUB_SHARD_RESTORE_H

#include "common/store/snapshot_manifest.h"
#include "ps/snapshot_part.h"

/* The parts of a snapshot that are no files: visit calls the visitor as rub_restore_each_part does.
 */
typedef struct rub_restore_parts {
    void *context;
    int (*visit)(void *context, const rub_part_visitor_t *visitor, rub_error_t *err);
} rub_restore_parts_t;

typedef struct rub_restore_job {
    const char *snapshot; /* its folder */
    const rub_manifest_t *manifest;
    const rub_restore_parts_t *parts; /* NULL: the files in the folder */
    uint64_t job;                     /* of the new job; not 0 */
    uint32_t n_shards, n_workers;
    uint64_t staleness;
    uint64_t clock; /* at which the first ranks begin */
} rub_restore_job_t;

/* What a restored shard holds. */
typedef struct rub_restored {
    uint64_t rows, digest;
} rub_restored_t;

/* Visits the parts one after the other and holds each file against the manifest: RUB_ECORRUPT names
 * the file, and what is wrong with it and where. visitor: as for rub_part_read, may be NULL. */
int rub_restore_each_part(const char *snapshot, const rub_manifest_t *manifest,
                          const rub_part_visitor_t *visitor, rub_error_t *err);

/* A core, in recovery, with the rows of the snapshot that belong to shard `shard` of n_shards, all
 * chunks dirty as of lsn 1, and the first ranks at the clock. The caller's (rub_shard_destroy).
 * Needs memory for the shard's tables. RUB_ECORRUPT, RUB_ESTORE, RUB_ENOMEM. */
int rub_restore_core(const rub_restore_job_t *job, uint32_t shard, rub_shard_t **core_p,
                     rub_error_t *err);

/* The same, put into <store_dir>/shard-<k>, which must not hold a store (RUB_EREFUSED). */
int rub_restore_shard(const rub_restore_job_t *job, uint32_t shard, const char *store_dir,
                      rub_restored_t *restored, rub_error_t *err);

#endif
