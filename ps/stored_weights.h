/* The weights of a job, out of what its shards have left on disk: a snapshot's parts, or the stores
 * of a job that has ended. Everything is checked on the way, as a restore and a recovery would;
 * nothing is changed. All of it blocks. */
#ifndef RUB_STORED_WEIGHTS_H
#define RUB_STORED_WEIGHTS_H

#include "common/num/weights.h"
#include "common/store/snapshot_manifest.h"

/* Adds the snapshot's tables to weights, whole. RUB_ECORRUPT names the file and what is wrong with
 * it: a damaged part, one that is not what the manifest means, rows that are missing or come twice.
 * RUB_ESTORE: a part can not be read; RUB_ENOMEM: it takes the weights and, for the largest shard,
 * their slots. After a failure weights holds rubbish: fini. */
int rub_weights_from_snapshot(const char *snapshot, const rub_manifest_t *manifest,
                              rub_weights_t *weights, rub_error_t *err);

/* The same out of n_folders stores of shards (<ps-i>/shard-<k>, in any order), whose locks the
 * caller holds: state, chunks, and the journal behind them. RUB_ECORRUPT: among others, that they
 * are not all the shards of one job. */
int rub_weights_from_stores(char *const *folders, size_t n_folders, rub_weights_t *weights,
                            rub_error_t *err);

#endif
