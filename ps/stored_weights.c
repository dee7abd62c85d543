/* A model's way out of the shards, for who wants to use it without a job.
 *
 * There is no second reader of chunks here: rows come out of the tables that a restore, or a
 * recovery, has built and checked. A snapshot is restored in memory, as if onto as few shards as
 * may hold so many rows, one after the other; a store is recovered as its ps would. So whatever
 * those would refuse is refused here with the same sentence.
 *
 * Invariant: the weights are complete. The manifest says how many rows there are; a dense table's
 * blocks that nobody has pushed are what their initializer makes them. */
#include "ps/stored_weights.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "ps/shard_internal.h"
#include "ps/shard_replay.h"
#include "ps/shard_restore.h"

/* Half of what a table's index can number: restoring needs no more. */
#define ROWS_AT_ONCE (UINT64_C(1) << 24)

/* ---- one table of one shard ---- */

/* context: its table, with room for the row. id: a key, or a block's number. */
static int take_row(void *context, uint64_t id, const float *values, size_t n, rub_error_t *err)
{
    rub_weight_table_t *table = context;
    (void)err;
    if (table->dense) {
        memcpy(table->values + id * RUB_BLOCK, values, n * sizeof(*values));
        return 0;
    }
    table->keys[table->n_rows] = id;
    memcpy(table->values + table->n_rows * n, values, n * sizeof(*values));
    table->n_rows++;
    return 0;
}

static int no_memory(const rub_table_view_t *schema, rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for its weights", schema->name);
}

/* The table as it is before any shard was looked at. */
static int begin_table(const rub_ptable_t *from, rub_weights_t *weights,
                       rub_weight_table_t **table_p, rub_error_t *err)
{
    const rub_table_view_t *schema = rub_ptable_schema(from);
    const int rc = rub_weights_add(weights, schema->name, table_p, err);
    if (rc != 0) {
        return rc;
    }
    rub_weight_table_t *table = *table_p;
    table->dense = schema->kind == RUB_DENSE;
    table->init = *rub_ptable_initializer(from);
    if (!table->dense) {
        table->width = schema->width;
        return 0;
    }
    table->n_rows = schema->elements;
    table->values = rub_calloc((size_t)schema->elements, sizeof(*table->values));
    if (!table->values) {
        return no_memory(schema, err);
    }
    rub_initializer_fill_range(&table->init, 0, (size_t)schema->elements, table->values);
    return 0;
}

static int make_room(const rub_ptable_t *from, rub_weight_table_t *table, rub_error_t *err)
{
    const size_t want = (size_t)(table->n_rows + rub_ptable_rows(from)) + 1;
    uint64_t *keys = rub_realloc_array(table->keys, want, sizeof(*keys));
    table->keys = keys ? keys : table->keys;
    float *values = rub_realloc_array(table->values, want, table->width * sizeof(*values));
    table->values = values ? values : table->values;
    return keys && values ? 0 : no_memory(rub_ptable_schema(from), err);
}

static int take_table(const rub_ptable_t *from, rub_weights_t *weights, rub_error_t *err)
{
    const char *name = rub_ptable_schema(from)->name;
    rub_weight_table_t *table = NULL;
    int rc = 0;
    for (size_t i = 0; i < weights->n_tables && !table; i++) {
        table = strcmp(weights->tables[i].name, name) == 0 ? &weights->tables[i] : NULL;
    }
    rc = table ? 0 : begin_table(from, weights, &table, err);
    if (rc == 0 && !table->dense) {
        rc = make_room(from, table, err);
    }
    return rc ? rc : rub_ptable_each_row(from, take_row, table, err);
}

static int take_core(const rub_shard_t *core, rub_weights_t *weights, rub_error_t *err)
{
    int rc = 0;
    for (uint32_t id = 0; id < core->n_tables && rc == 0; id++) {
        rc = core->tables[id] ? take_table(core->tables[id], weights, err) : 0;
    }
    return rc;
}

static int sort_all(rub_weights_t *weights, rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < weights->n_tables && rc == 0; i++) {
        rc = rub_weight_table_sort(&weights->tables[i], err);
    }
    return rc;
}

/* ---- a snapshot ---- */

int rub_weights_from_snapshot(const char *snapshot, const rub_manifest_t *manifest,
                              rub_weights_t *weights, rub_error_t *err)
{
    uint64_t rows = 0, digest = 0;
    for (uint32_t i = 0; i < manifest->n_shards; i++) {
        rows += manifest->parts[i].rows;
        digest += manifest->parts[i].digest;
    }
    const rub_restore_job_t job = {.snapshot = snapshot,
                                   .manifest = manifest,
                                   .job = manifest->job,
                                   .n_shards = (uint32_t)(rows / ROWS_AT_ONCE) + 1,
                                   .n_workers = manifest->n_workers,
                                   .staleness = manifest->staleness};
    int rc = 0;
    for (uint32_t shard = 0; shard < job.n_shards && rc == 0; shard++) {
        rub_shard_t *core = NULL;
        rc = rub_restore_core(&job, shard, &core, err);
        if (rc == 0) {
            rows -= rub_shard_rows(core);
            digest -= rub_shard_digest(core);
            rc = take_core(core, weights, err);
        }
        rub_shard_destroy(&core);
    }
    if (rc == 0 && (rows != 0 || digest != 0)) {
        rc = rub_fail(err, RUB_ECORRUPT,
                      "snapshot %s: its rows are not those that its manifest counts", snapshot);
    }
    return rc ? rc : sort_all(weights, err);
}

/* ---- stores ---- */

typedef struct stores {
    uint64_t job;
    uint32_t n_shards;
    uint8_t seen[RUB_SHARDS_LIMIT];
} stores_t;

static int take_store(stores_t *self, const char *folder, rub_weights_t *weights, rub_error_t *err)
{
    uint32_t shard = 0, n_shards = 0;
    rub_shard_t *core = NULL;
    int rc = rub_replay_whose(folder, &shard, &n_shards, err);
    if (rc == 0 && (n_shards != self->n_shards || shard >= n_shards || self->seen[shard])) {
        rc = rub_fail(err, RUB_ECORRUPT, "%s is of shard %u of %u, of %u stores together", folder,
                      shard, n_shards, self->n_shards);
    }
    rc = rc ? rc : rub_replay_stored(folder, shard, n_shards, &core, err);
    if (rc == 0) {
        self->seen[shard] = 1;
        self->job = self->job ? self->job : rub_shard_job(core);
        if (rub_shard_job(core) != self->job) {
            rc = rub_fail(err, RUB_ECORRUPT, "%s is of another job than the others", folder);
        }
    }
    rc = rc ? rc : take_core(core, weights, err);
    rub_shard_destroy(&core);
    return rc;
}

int rub_weights_from_stores(char *const *folders, size_t n_folders, rub_weights_t *weights,
                            rub_error_t *err)
{
    stores_t stores = {.n_shards = (uint32_t)n_folders};
    int rc = n_folders > 0 && n_folders <= RUB_SHARDS_LIMIT
                 ? 0
                 : rub_fail(err, RUB_ECORRUPT, "%zu stores of shards, expected 1 to %u", n_folders,
                            RUB_SHARDS_LIMIT);
    for (size_t i = 0; i < n_folders && rc == 0; i++) {
        rc = take_store(&stores, folders[i], weights, err);
    }
    return rc ? rc : sort_all(weights, err);
}
