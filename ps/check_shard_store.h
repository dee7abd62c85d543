/* A look at a shard's folder that changes nothing: every page and value of LMDB, every record of
 * the journal, and a recovery in memory up to the point where it would serve. For `rubato fsck`. */
#ifndef RUB_CHECK_SHARD_STORE_H
#define RUB_CHECK_SHARD_STORE_H

#include "common/store/journal_read.h"
#include "common/store/lmdb_store.h"
#include "ps/shard.h"

typedef struct rub_shard_findings {
    bool has_state; /* a checkpoint was ever committed; else the journal alone makes the shard */
    rub_state_owner_t
        owner; /* job and redo point as stored; incarnation: the last that was opened */
    rub_store_findings_t store;
    rub_journal_findings_t journal;
    uint64_t n_redo; /* records behind the redo point */
    uint64_t n_chunks, chunk_bytes;
    bool replayed; /* the recovery came to its end; then: */
    uint64_t job, rows, lost, digest;
    uint64_t n_faults;
} rub_shard_findings_t;

/* Looks at folder (<store>/shard-K), whose lock the caller holds. fault is called with each thing
 * that is wrong; findings say how far it came. 0, also with faults; RUB_ENOMEM. Blocks; needs as
 * much memory as the shard. */
int rub_shard_store_check(const char *folder,
                          void (*fault)(void *context, const rub_error_t *fault), void *context,
                          rub_shard_findings_t *findings, rub_error_t *err);

#endif
