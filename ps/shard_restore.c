/* Restoring is a new incarnation of the job: rows, slots and step counters are taken over, bit for
 * bit; epochs, seqs, lsns and connections are not. So a row may move to whatever shard the new
 * placement gives it, and what a restored store holds is what a shard would have checkpointed that
 * had done all of it by itself: lsn 1 for every chunk, 0 for the redo point, and a journal that is
 * empty.
 *
 * Every part is read for every shard: parts are read in order and rows are sorted out as they come,
 * which costs time on a job of many shards and no memory beyond one shard's tables. */
#include "ps/shard_restore.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/mutant.h"
#include "ps/open_store.h"
#include "ps/shard_internal.h"

#define BASE_LSN UINT64_C(1)

typedef struct restoring {
    const rub_restore_job_t *job;
    rub_shard_t *core;
    uint64_t generation, version; /* of the old job's view that was taken */
} restoring_t;

int rub_restore_each_part(const char *snapshot, const rub_manifest_t *manifest,
                          const rub_part_visitor_t *visitor, rub_error_t *err)
{
    static const rub_part_visitor_t nobody;
    int rc = 0;
    for (uint32_t i = 0; i < manifest->n_shards && rc == 0; i++) {
        const rub_manifest_part_t *part = &manifest->parts[i];
        uint64_t n_bytes = 0, hash = 0;
        char *path = rub_sprintf("%s/" RUB_MANIFEST_PART_NAME, snapshot, i);
        if (!path) {
            return rub_fail(err, RUB_ENOMEM, "no memory for the paths of %s", snapshot);
        }
        rc = rub_part_read(path, visitor ? visitor : &nobody, &n_bytes, &hash, err);
        if (rc == 0 && (n_bytes != part->n_bytes || hash != part->hash)) {
            rc = rub_fail(err, RUB_ECORRUPT,
                          "%s is not the part that the manifest means: %llu bytes with hash "
                          "%016llx, expected %llu with %016llx",
                          path, (unsigned long long)n_bytes, (unsigned long long)hash,
                          (unsigned long long)part->n_bytes, (unsigned long long)part->hash);
        }
        rub_free(path);
    }
    return rc;
}

/* The old view's tables, in a view of the new job that no scheduler has sent yet. Shards were
 * folded at different moments: of a table that was new then, some parts may not know. Views only
 * grow, so the latest is right for all. */
static int take_view(void *context, const rub_view_t *view, rub_error_t *err)
{
    restoring_t *self = context;
    const rub_restore_job_t *job = self->job;
    const bool later = view->generation != self->generation ? view->generation > self->generation
                                                            : view->version > self->version;
    if (self->core->has_view && !later) {
        return 0;
    }
    self->generation = view->generation;
    self->version = view->version;
    rub_control_t message = {.type = RUB_MSG_VIEW};
    message.view = (rub_view_t){.job = job->job,
                                .state = RUB_JOB_GATHERING,
                                .n_workers = job->n_workers,
                                .staleness = job->staleness,
                                .reduce = view->reduce,
                                .seed = view->seed,
                                .tables = view->tables,
                                .n_tables = view->n_tables};
    rub_buf_t encoded;
    rub_buf_init(&encoded);
    int rc = rub_control_encode(&message, &encoded, err);
    if (rc == 0) {
        rub_shard_take_job(self->core, &message.view, encoded.data, encoded.bytes);
        rc = self->core->failure;
    }
    rub_buf_fini(&encoded);
    return rc;
}

static int take_chunk(void *context, const void *bytes, size_t n_bytes, rub_error_t *err)
{
    restoring_t *self = context;
    uint32_t id = 0;
    const int rc = rub_chunk_table_id(bytes, n_bytes, &id, err);
    rub_ptable_t *table = rc == 0 ? rub_shard_table(self->core, id) : NULL;
    if (rc == 0 && !table) {
        return rub_fail(err, RUB_ECORRUPT, "a chunk of table %u, which the view does not know", id);
    }
    return rc ? rc : rub_ptable_adopt(table, bytes, n_bytes, BASE_LSN, err);
}

static int take_counts(void *context, const rub_part_counts_t *counts, rub_error_t *err)
{
    restoring_t *self = context;
    rub_ptable_t *table = rub_shard_table(self->core, counts->table);
    if (!table) {
        return rub_fail(err, RUB_ECORRUPT, "counts of table %u, which the view does not know",
                        counts->table);
    }
    return rub_ptable_take_counts(table, counts->first_part, counts->n_parts, counts->bytes,
                                  counts->n_bytes, err);
}

int rub_restore_core(const rub_restore_job_t *job, uint32_t shard, rub_shard_t **core_p,
                     rub_error_t *err)
{
    const rub_shard_config_t config = {
        .shard = shard, .n_shards = job->n_shards, .durability = RUB_DURABILITY_JOURNAL};
    restoring_t self = {.job = job, .core = rub_shard_new(&config, &(rub_shard_effects_t){0})};
    const rub_part_visitor_t visitor = {
        .context = &self, .view = take_view, .counts = take_counts, .chunk = take_chunk};
    *core_p = NULL;
    int rc = self.core ? 0 : rub_fail(err, RUB_ENOMEM, "shard %u: no memory to restore", shard);
    if (rc == 0) {
        rc = job->parts ? job->parts->visit(job->parts->context, &visitor, err)
                        : rub_restore_each_part(job->snapshot, job->manifest, &visitor, err);
    }
    const uint64_t clock = RUB_MUTANT(RESTORE_LOW) ? 0 : job->clock;
    if (rc == 0 && rub_members_found(&self.core->members, job->n_workers, clock) != 0) {
        rc = rub_fail(err, RUB_ENOMEM, "shard %u: no memory for %u ranks", shard, job->n_workers);
    }
    if (rc != 0) {
        rub_shard_destroy(&self.core);
        return rub_wrap(err, rc, "shard %u of %u can not be restored", shard, job->n_shards);
    }
    *core_p = self.core;
    return 0;
}

static int put_table(rub_store_t *store, rub_ptable_t *table, rub_error_t *err)
{
    int rc = 0;
    for (uint32_t chunk = 0; rc == 0 && rub_ptable_next_chunk(table, &chunk); chunk++) {
        void *bytes = NULL;
        size_t n_bytes = 0;
        rc = rub_ptable_stage(table, chunk, BASE_LSN, &bytes, &n_bytes, err);
        if (rc == 0) {
            rub_store_put_chunk(store, rub_ptable_schema(table)->id, chunk, bytes, n_bytes);
        }
        rub_free(bytes);
    }
    return rc;
}

static int put_all(rub_store_t *store, rub_shard_t *core, rub_error_t *err)
{
    rub_buf_t state;
    rub_buf_init(&state);
    int rc = rub_store_begin(store, err);
    for (uint32_t id = 0; id < core->n_tables && rc == 0; id++) {
        rc = core->tables[id] ? put_table(store, core->tables[id], err) : 0;
    }
    if (rc == 0) {
        rub_shard_encode_state(core, &state);
        rc = state.failed ? rub_fail(err, RUB_ENOMEM, "no memory for a shard's state") : 0;
    }
    if (rc == 0) {
        rub_store_put_state(store, RUB_STATE_CORE, state.data, state.bytes);
        rc = rub_store_commit(store, err);
    }
    rub_buf_fini(&state);
    return rc;
}

int rub_restore_shard(const rub_restore_job_t *job, uint32_t shard, const char *store_dir,
                      rub_restored_t *restored, rub_error_t *err)
{
    rub_shard_t *core = NULL;
    rub_store_t *store = NULL;
    char *folder = rub_sprintf("%s/shard-%u", store_dir, shard);
    int rc = folder ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for the path of shard %u", shard);
    if (rc == 0 && rub_fs_exists(folder)) {
        rc =
            rub_fail(err, RUB_EREFUSED, "%s is there already; restore into another folder", folder);
    }
    rc = rc ? rc : rub_restore_core(job, shard, &core, err);
    if (rc == 0 && rub_fs_mkdirs(folder, err) != 0) {
        rc = rub_wrap(err, RUB_ESTORE, "shard %u", shard);
    }
    rc = rc ? rc : rub_store_open(folder, &store, err);
    rc = rc ? rc : put_all(store, core, err);
    if (rc == 0) {
        restored->digest = rub_shard_digest(core);
        restored->rows = 0;
        for (uint32_t id = 0; id < core->n_tables; id++) {
            restored->rows += core->tables[id] ? rub_ptable_rows(core->tables[id]) : 0;
        }
    }
    rub_store_close(&store);
    rub_shard_destroy(&core);
    rub_free(folder);
    return rc;
}
