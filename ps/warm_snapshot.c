/* Why a snapshot: whoever restores one need not know that it was never a job's, so a warm start has
 * no code of its own in shards, and its rows are journaled, checkpointed, replayed and exported as
 * all others. */
#include "ps/warm_snapshot.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "ps/shard_internal.h"
#include "ps/snapshot_part.h"

#define BASE_LSN UINT64_C(1)

static int take_job(rub_shard_t *core, const rub_manifest_t *manifest,
                    const rub_table_view_t *schemas, uint32_t n_schemas, rub_error_t *err)
{
    rub_control_t message = {.type = RUB_MSG_VIEW};
    rub_table_view_t *tables = rub_calloc(n_schemas + 1, sizeof(*tables));
    rub_buf_t encoded;
    rub_buf_init(&encoded);
    int rc = tables ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for %u tables", n_schemas);
    if (rc == 0) {
        memcpy(tables, schemas, n_schemas * sizeof(*tables));
        message.view = (rub_view_t){.job = manifest->job,
                                    .state = RUB_JOB_GATHERING,
                                    .n_workers = manifest->n_workers,
                                    .staleness = manifest->staleness,
                                    .reduce = manifest->reduce,
                                    .seed = manifest->seed,
                                    .tables = tables,
                                    .n_tables = n_schemas};
        rc = rub_control_encode(&message, &encoded, err);
    }
    if (rc == 0) {
        rub_shard_take_job(core, &message.view, encoded.data, encoded.bytes);
        rc = core->failure ? rub_fail(err, core->failure, "%s", rub_shard_reason(core)) : 0;
    }
    rub_buf_fini(&encoded);
    rub_free(tables);
    return rc;
}

static int put_dense(rub_ptable_t *table, const rub_weight_table_t *from, rub_error_t *err)
{
    int rc =
        from->n_rows == rub_ptable_schema(table)->elements
            ? 0
            : rub_fail(err, RUB_ECORRUPT, "table '%s' has another number of elements", from->name);
    for (uint64_t first = 0; first < from->n_rows && rc == 0; first += RUB_BLOCK) {
        const uint64_t left = from->n_rows - first;
        rc = rub_ptable_put(table, first / RUB_BLOCK, from->values + first,
                            (size_t)(left < RUB_BLOCK ? left : RUB_BLOCK), BASE_LSN, err);
    }
    return rc;
}

static int put_table(rub_ptable_t *table, const rub_weight_table_t *from, rub_error_t *err)
{
    const rub_table_view_t *schema = rub_ptable_schema(table);
    int rc = 0;
    if (from->dense != (schema->kind == RUB_DENSE)) {
        return rub_fail(err, RUB_ECORRUPT, "table '%s' is of another kind", from->name);
    }
    if (!from->dense && from->width != schema->width) {
        return rub_fail(err, RUB_ECORRUPT, "table '%s' has rows %u wide, expected %u", from->name,
                        from->width, schema->width);
    }
    if (from->dense) {
        return put_dense(table, from, err);
    }
    for (uint64_t i = 0; i < from->n_rows && rc == 0; i++) {
        rc = rub_ptable_put(table, from->keys[i], from->values + i * from->width, from->width,
                            BASE_LSN, err);
    }
    return rc;
}

int rub_warm_part_write(const char *folder, const rub_manifest_t *manifest,
                        const rub_table_view_t *schemas, uint32_t n_schemas,
                        const rub_weights_t *weights, rub_manifest_part_t *part, rub_error_t *err)
{
    const rub_shard_config_t config = {.n_shards = 1, .durability = RUB_DURABILITY_JOURNAL};
    rub_part_head_t head = {.n_shards = 1, .job = manifest->job};
    rub_shard_t *core = rub_shard_new(&config, &(rub_shard_effects_t){0});
    char *path = rub_sprintf("%s/" RUB_MANIFEST_PART_NAME, folder, 0u);
    int rc = core && path ? 0 : rub_fail(err, RUB_ENOMEM, "no memory to begin from weights");
    rc = rc ? rc : take_job(core, manifest, schemas, n_schemas, err);
    for (uint32_t i = 0; i < n_schemas && rc == 0; i++) {
        const rub_weight_table_t *from = rub_weights_find(weights, schemas[i].name);
        rub_ptable_t *table = rub_shard_table(core, schemas[i].id);
        rc = from && table ? put_table(table, from, err) : 0;
    }
    *part = (rub_manifest_part_t){0};
    rc = rc ? rc : rub_part_write(path, core, &head, NULL, &part->n_bytes, &part->hash, err);
    part->rows = head.rows;
    part->digest = head.digest;
    rub_shard_destroy(&core);
    rub_free(path);
    return rc;
}
