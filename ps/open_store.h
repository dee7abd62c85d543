/* A shard's folder: <store>/shard-<k>/{lock, data.mdb, journal/}. Opening it, bringing the shard's
 * core back from it, closing it. All of it blocks; called by the shard's thread before it serves.
 */
#ifndef RUB_OPEN_STORE_H
#define RUB_OPEN_STORE_H

#include "common/base/log.h"
#include "common/store/journal_file.h"
#include "common/store/lmdb_store.h"
#include "ps/shard.h"

typedef struct rub_shard_store {
    int lock_fd; /* -1: not held */
    char *folder;
    rub_store_t *lmdb;
    rub_journal_t *journal;
} rub_shard_store_t;

/* Takes the lock, then opens what is there or makes it. RUB_EHELD names the holder; RUB_ESTORE,
 * RUB_ENOSPC, RUB_ECORRUPT. On failure nothing stays open. owner: "host:pid". */
int rub_shard_store_open(const char *store_dir, uint32_t shard, size_t segment_bytes,
                         const char *owner, rub_shard_store_t *store, rub_error_t *err);
void rub_shard_store_close(rub_shard_store_t *store); /* a second time does nothing */

/* Loads state and chunks, replays the journal from the redo point, has a segment ready, commits the
 * next incarnation, and opens the core with it. Says in the log what it found. RUB_ECORRUPT,
 * RUB_ESTORE, RUB_ENOSPC. */
int rub_shard_store_recover(rub_shard_store_t *store, rub_shard_t *shard, uint32_t number,
                            const rub_log_t *log, rub_error_t *err);

/* In which boot of the host (rub_journal_boot) the state was committed; 0: it does not say.
 * RUB_ESTORE, RUB_ENOMEM, RUB_ECORRUPT. */
int rub_shard_store_boot(rub_store_t *lmdb, uint64_t *boot_p, rub_error_t *err);

#define RUB_STATE_CORE "core"               /* what the core gave to stage_state */
#define RUB_STATE_INCARNATION "incarnation" /* u64 */
#define RUB_STATE_BOOT "boot"               /* u64: rub_journal_boot when "core" was committed */

#endif
