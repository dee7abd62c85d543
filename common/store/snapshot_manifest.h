/* The manifest of a snapshot: the last file to be written into its folder; a folder without one is
 * no snapshot. It says which parts there must be, with their lengths and hashes, where the cut
 * goes, and holds the scheduler's state.
 *
 * Layout of a folder: <snapshots>/<number, 6 digits>/{shard-0, shard-1, ..., manifest}. */
#ifndef RUB_SNAPSHOT_MANIFEST_H
#define RUB_SNAPSHOT_MANIFEST_H

#include "common/base/bytes.h"
#include "include/rubato.h"

#define RUB_MANIFEST_NAME "manifest"
#define RUB_MANIFEST_PART_NAME "shard-%u" /* of shard k */
#define RUB_MANIFEST_FOLDER_NAME "%06llu" /* of number n */
#define RUB_MANIFEST_PARTS_LIMIT 1024u
#define RUB_MANIFEST_RANKS_LIMIT 4096u
#define RUB_MANIFEST_STATES_LIMIT 64u

/* What the shard reported of its part (rub_fold_result_t). */
typedef struct rub_manifest_part {
    uint64_t n_bytes, hash;
    uint64_t rows, digest;
} rub_manifest_part_t;

typedef struct rub_manifest_rank {
    uint32_t rank, epoch;
    uint64_t cut; /* periods below are in */
} rub_manifest_rank_t;

typedef struct rub_manifest {
    uint64_t number;
    uint64_t time_ms; /* of the cut, since 1970 */
    uint64_t job;
    uint32_t n_workers, n_shards;
    uint64_t staleness; /* UINT64_MAX: async */
    uint32_t reduce;
    uint64_t seed;
    rub_manifest_part_t *parts; /* n_shards, index = shard */
    rub_manifest_rank_t *ranks;
    uint32_t n_ranks;
    /* The scheduler's state as rub_scheduler_state_write gives it: when the cut was fixed, and as
     * it was right before the data epoch of then and each later one was begun (few; oldest first),
     * and when the manifest was written (last). Restoring takes the one of the cut's data epoch. */
    rub_span_t *states;
    uint32_t n_states;
} rub_manifest_t;

/* Writes folder/manifest under another name, syncs it and the folder, renames it. RUB_ESTORE,
 * RUB_ENOSPC, RUB_ENOMEM. Blocks. */
int rub_manifest_write(const char *folder, const rub_manifest_t *manifest, rub_error_t *err);
/* *manifest_p is the caller's, with all it points to. RUB_ECONFIG: folder has none;
 * RUB_ESTORE: it can not be read; RUB_ECORRUPT names what is wrong with it, and where. */
int rub_manifest_read(const char *folder, rub_manifest_t **manifest_p, rub_error_t *err);
void rub_manifest_destroy(rub_manifest_t **manifest_p);

#endif
