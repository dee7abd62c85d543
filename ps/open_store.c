/* Recovery. The lock comes first, since LMDB and the journal suffer no second opener. Then the
 * order of the design: the state of the last checkpoint, its chunks, and the journal from the redo
 * point through the same core that wrote it.
 *
 * Invariant: an incarnation is on the platter before the core acts under it, so no lsn is ever
 * given twice. */
#include "ps/open_store.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"

#include <inttypes.h>

#define LOCK_PATIENCE_MS 3000u
#define LOCK_AGAIN_MS 50u

/* A process that was killed holds its locks until the kernel has taken it apart, and whoever starts
 * its successor may well be faster. */
static int take_lock(const char *path, const char *owner, int *fd_p, rub_error_t *err)
{
    const uint64_t began_ms = rub_now_ms();
    int rc = rub_fs_lock(path, owner, fd_p, err);
    while (rc == RUB_EHELD && rub_now_ms() - began_ms < LOCK_PATIENCE_MS) {
        rub_sleep_ms(LOCK_AGAIN_MS);
        rc = rub_fs_lock(path, owner, fd_p, err);
    }
    return rc;
}

int rub_shard_store_open(const char *store_dir, uint32_t shard, size_t segment_bytes,
                         const char *owner, rub_shard_store_t *store, rub_error_t *err)
{
    *store = (rub_shard_store_t){.lock_fd = -1};
    int rc = RUB_ENOMEM;
    store->folder = rub_sprintf("%s/shard-%u", store_dir, shard);
    char *lock = store->folder ? rub_sprintf("%s/lock", store->folder) : NULL;
    char *journal = store->folder ? rub_sprintf("%s/journal", store->folder) : NULL;
    if (!lock || !journal) {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for the paths of shard %u", shard);
        goto out;
    }
    rub_error_t cause = {0};
    rc = rub_fs_mkdirs(store->folder, &cause);
    rc = rc ? rc : take_lock(lock, owner, &store->lock_fd, &cause);
    if (rc) { /* a disk that can not be written is the store's failure */
        rc = rub_fail(err, rc == RUB_EHELD ? RUB_EHELD : RUB_ESTORE, "store of shard %u: %s", shard,
                      cause.message);
    }
    rc = rc ? rc : rub_store_open(store->folder, &store->lmdb, err);
    rc = rc ? rc : rub_journal_open(journal, segment_bytes, &store->journal, err);
out:
    rub_free(lock);
    rub_free(journal);
    if (rc) {
        rub_shard_store_close(store);
    }
    return rc;
}

void rub_shard_store_close(rub_shard_store_t *store)
{
    rub_journal_close(&store->journal);
    rub_store_close(&store->lmdb);
    if (store->lock_fd >= 0) {
        rub_fs_unlock(store->lock_fd);
        store->lock_fd = -1;
    }
    rub_free(store->folder);
    store->folder = NULL;
}

/* ---- recovery ---- */

typedef struct recovery {
    rub_shard_t *shard;
    uint64_t n_chunks, chunk_bytes;
    uint64_t n_records, record_bytes;
} recovery_t;

static int load_chunk(void *context, uint32_t table, uint32_t chunk, const void *bytes,
                      size_t n_bytes, rub_error_t *err)
{
    recovery_t *self = context;
    self->n_chunks++;
    self->chunk_bytes += n_bytes;
    const int rc = rub_shard_load_chunk(self->shard, bytes, n_bytes, err);
    return rc ? rub_wrap(err, rc, "chunk %u of table %u", chunk, table) : 0;
}

static int replay_record(void *context, uint64_t lsn, uint8_t type, const void *payload,
                         size_t bytes, rub_error_t *err)
{
    recovery_t *self = context;
    self->n_records++;
    self->record_bytes += RUB_JOURNAL_FRAME(bytes);
    const int rc = rub_shard_replay(self->shard, lsn, (rub_record_type_t)type, payload, bytes, err);
    return rc ? rub_wrap(err, rc, "journal record %" PRIu64, lsn) : 0;
}

static int load_core(rub_shard_store_t *store, rub_shard_t *shard, uint64_t *redo_p,
                     rub_error_t *err)
{
    void *state = NULL;
    size_t bytes = 0;
    *redo_p = 0;
    int rc = rub_store_get_state(store->lmdb, RUB_STATE_CORE, &state, &bytes, err);
    if (!rc && state) {
        rc = rub_shard_load_state(shard, state, bytes, redo_p, err);
    }
    rub_free(state);
    return rc;
}

int rub_shard_store_boot(rub_store_t *lmdb, uint64_t *boot_p, rub_error_t *err)
{
    void *data = NULL;
    size_t bytes = 0;
    const int rc = rub_store_get_state(lmdb, RUB_STATE_BOOT, &data, &bytes, err);
    *boot_p = !rc && data && bytes == sizeof(*boot_p) ? rub_get_u64(data) : 0;
    rub_free(data);
    return rc;
}

/* What was just made is there after a power loss only when its folder says so: the names of journal
 * and LMDB file, of the shard's folder, and of the ps's. */
static int sync_names(const rub_shard_store_t *store, rub_error_t *err)
{
    char *path = rub_sprintf("%s/journal", store->folder);
    int rc = path ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the path of %s", store->folder);
    for (int up = 0; up < 4 && rc == 0; up++) {
        rc = rub_fs_sync_folder(path[0] ? path : "/", err);
        char *slash = strrchr(path, '/');
        if (!slash) {
            up = 4;
        } else {
            *slash = '\0';
        }
    }
    rub_free(path);
    return rc ? rub_wrap(err, RUB_ESTORE, "store %s", store->folder) : 0;
}

/* Reads the last incarnation and commits the next one. */
static int next_incarnation(rub_shard_store_t *store, uint64_t *incarnation_p, rub_error_t *err)
{
    void *data = NULL;
    size_t bytes = 0;
    int rc = rub_store_get_state(store->lmdb, RUB_STATE_INCARNATION, &data, &bytes, err);
    if (rc) {
        return rc;
    }
    uint64_t last = 0;
    if (data && bytes == sizeof(last)) {
        last = rub_get_u64(data);
    } else if (data) {
        rc = rub_fail(err, RUB_ECORRUPT, "store %s: incarnation of %zu bytes, expected 8",
                      store->folder, bytes);
    }
    rub_free(data);
    if (rc) {
        return rc;
    }
    /* Before the first incarnation was committed the journal had a spare segment on the platter. */
    if (last > 0 && rub_journal_is_new(store->journal)) {
        return rub_fail(err, RUB_ECORRUPT,
                        "the journal of %s is gone: its store was opened %" PRIu64 " times",
                        store->folder, last);
    }
    /* An lsn belongs to the incarnation that made it; a journal that is ahead of the store would
     * break that. */
    const uint64_t journaled = rub_journal_last_lsn(store->journal) >> 40;
    if (journaled > last) {
        return rub_fail(err, RUB_ECORRUPT,
                        "the journal of %s is of incarnation %" PRIu64 ", its store of %" PRIu64,
                        store->folder, journaled, last);
    }
    uint8_t next[sizeof(last)];
    rub_put_u64(next, last + 1);
    rc = rub_store_begin(store->lmdb, err);
    if (!rc) {
        rub_store_put_state(store->lmdb, RUB_STATE_INCARNATION, next, sizeof(next));
        rc = rub_store_commit(store->lmdb, err);
    }
    *incarnation_p = last + 1;
    return rc;
}

int rub_shard_store_recover(rub_shard_store_t *store, rub_shard_t *shard, uint32_t number,
                            const rub_log_t *log, rub_error_t *err)
{
    recovery_t recovery = {.shard = shard};
    const uint64_t begun_ms = rub_now_ms();
    uint64_t redo = 0, boot = 0, torn = 0, incarnation = 0;
    int rc = load_core(store, shard, &redo, err);
    rc = rc ? rc : rub_shard_store_boot(store->lmdb, &boot, err);
    rub_journal_redo_of_boot(store->journal, boot);
    rc = rc ? rc : rub_store_each_chunk(store->lmdb, load_chunk, &recovery, err);
    /* The state is as of the redo point: its own record is in it. */
    rc = rc ? rc
            : rub_journal_replay(store->journal, redo + 1, replay_record, &recovery, &torn, err);
    rc = rc ? rc : rub_journal_prepare(store->journal, err);
    rc = rc ? rc : sync_names(store, err);
    rc = rc ? rc : next_incarnation(store, &incarnation, err);
    rc = rc ? rc : rub_shard_open(shard, incarnation, rub_now_ms(), err);
    if (rc) {
        return rub_wrap(err, rc, "shard %u cannot recover", number);
    }
    if (incarnation == 1 && recovery.n_chunks == 0) {
        rub_log(log, RUB_LOG_INFO, "shard %u begins with an empty store in %s", number,
                store->folder);
    } else if (incarnation == 1) {
        rub_log(log, RUB_LOG_INFO,
                "shard %u begins with what was restored in %s: %" PRIu64 " chunks (%.1f MB)",
                number, store->folder, recovery.n_chunks, (double)recovery.chunk_bytes / 1e6);
    } else {
        rub_log(log, RUB_LOG_INFO,
                "shard %u recovered: %" PRIu64 " chunks (%.1f MB), redo %" PRIu64
                " records (%.1f MB) in %.2f s, torn tail %" PRIu64 " bytes, incarnation %" PRIu64,
                number, recovery.n_chunks, (double)recovery.chunk_bytes / 1e6, recovery.n_records,
                (double)recovery.record_bytes / 1e6, (double)(rub_now_ms() - begun_ms) / 1e3, torn,
                incarnation);
    }
    return 0;
}
