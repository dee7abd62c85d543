/* What a reader pulls of a hashed table is kept for its next pulls, when it has asked for that:
 * rows that are young enough are answered here, and only the keys of the others travel.
 *
 * Promises. Never too old: a row counts as old as the call that asked for it, not as its answer, so
 * at every hit the shard held these values at some moment of the last max_age_ms. Monotone:
 * whatever an answer brings to the caller is written here in the same step, a version is never
 * replaced by an older one, and one connection's answers come in order; so a pull that begins after
 * another one has returned never gets an older version of a row. Where the world behind the rows
 * may have changed otherwise (a shard of another incarnation or place, a scheduler of another
 * generation) everything is forgotten, and what was asked for before that is not kept when it
 * comes. Other views say nothing of rows: who trains, what is snapshotted, which tables are new.
 * They come often, and a snapshot alone is three of them.
 *
 * Only for readers. A trainer's pulls contain its own pushes and the periods that its clock calls
 * for; a table of ages can not promise either. */
#include "common/base/alloc.h"
#include "worker/client/client_internal.h"

#include <string.h>

static rub_caching_t *find(const rub_client_t *self, rub_table_t table)
{
    for (size_t i = 0; i < self->n_cachings; i++) {
        if (self->cachings[i].table == table) {
            return &self->cachings[i];
        }
    }
    return NULL;
}

static int check(const rub_client_t *self, const rub_table_view_t *schema, size_t limit_bytes,
                 uint64_t max_age_ms, rub_error_t *err)
{
    if (self->config.role != RUB_READER) {
        return rub_fail(err, RUB_EINVAL,
                        "cache of '%s': only a reader may have one, this session is a trainer",
                        schema->name);
    }
    if (schema->kind != RUB_HASHED) {
        return rub_fail(err, RUB_ESHAPE, "cache of '%s': it is dense, only rows can be kept",
                        schema->name);
    }
    if (max_age_ms == 0) {
        return rub_fail(err, RUB_EINVAL, "cache of '%s': rows of at most 0 ms would never be used",
                        schema->name);
    }
    const size_t least = rub_row_cache_least_bytes(schema->width);
    if (limit_bytes < least) {
        return rub_fail(err, RUB_EINVAL, "cache of '%s': %zu bytes, a single row needs %zu",
                        schema->name, limit_bytes, least);
    }
    return 0;
}

static void end(rub_client_t *self, rub_caching_t *caching)
{
    rub_row_cache_destroy(&caching->rows);
    *caching = self->cachings[--self->n_cachings];
}

int rub_client_table_cache(rub_client_t *self, rub_table_t table, size_t limit_bytes,
                           uint64_t max_age_ms, rub_error_t *err)
{
    const rub_client_table_t *known = rub_client_find_table(self, table);
    if (!known) {
        return rub_fail(err, RUB_ENOTABLE, "cache: the job has no table %u", table);
    }
    rub_caching_t *caching = find(self, table);
    if (limit_bytes == 0) {
        if (caching) {
            end(self, caching);
        }
        return 0;
    }
    const rub_table_view_t *schema = known->schema;
    const int rc = check(self, schema, limit_bytes, max_age_ms, err);
    if (rc) {
        return rc;
    }
    rub_row_cache_t *rows = rub_row_cache_new(schema->width, limit_bytes);
    if (!rows || (!caching && rub_grow(&self->cachings, &self->caching_capacity,
                                       self->n_cachings + 1, sizeof(*self->cachings)))) {
        rub_row_cache_destroy(&rows);
        return rub_fail(err, RUB_ENOMEM, "cache of '%s': memory is short", schema->name);
    }
    if (caching) {
        rub_row_cache_destroy(&caching->rows);
    } else {
        caching = &self->cachings[self->n_cachings++];
    }
    *caching = (rub_caching_t){.table = table,
                               .max_age_ms = max_age_ms,
                               .codec = rub_coding_of_pull(self, table),
                               .rows = rows,
                               .since = ++self->cache_epoch};
    return 0;
}

void rub_caches_forget(rub_client_t *self)
{
    self->cache_epoch++;
    for (size_t i = 0; i < self->n_cachings; i++) {
        rub_row_cache_clear(self->cachings[i].rows);
        self->cachings[i].since = self->cache_epoch;
    }
}

void rub_caches_view(rub_client_t *self, const rub_view_t *before, const rub_view_t *now)
{
    bool same =
        before && before->generation == now->generation && before->n_shards == now->n_shards;
    for (uint32_t i = 0; same && i < now->n_shards; i++) {
        same = before->shards[i].incarnation == now->shards[i].incarnation &&
               strcmp(before->shards[i].address, now->shards[i].address) == 0;
    }
    if (!same) {
        rub_caches_forget(self);
    }
}

void rub_caches_fini(rub_client_t *self)
{
    while (self->n_cachings > 0) {
        end(self, &self->cachings[0]);
    }
    rub_free(self->cachings);
}

size_t rub_caches_bytes(const rub_client_t *self)
{
    size_t bytes = 0;
    for (size_t i = 0; i < self->n_cachings; i++) {
        bytes += rub_row_cache_bytes(self->cachings[i].rows);
    }
    return bytes;
}

/* Both moments are rounded down to a millisecond: what stood there is up to one older than the
 * difference says, so the difference stays below the bound. */
static uint64_t oldest_ms(const rub_client_t *self, const rub_caching_t *caching)
{
    const uint64_t age_ms = caching->max_age_ms - 1;
    return self->now_ms > age_ms ? self->now_ms - age_ms : 0;
}

/* ---- a pull's way through it ---- */

int rub_cache_take(rub_client_t *self, rub_pull_t *pull, rub_client_pull_t *call)
{
    rub_caching_t *caching = find(self, pull->table);
    if (!caching || pull->range || call->n == 0) {
        return 0;
    }
    if (caching->codec != pull->codec) { /* who asks for exact values shall not get rounded ones */
        caching->codec = pull->codec;
        caching->since = ++self->cache_epoch;
        rub_row_cache_clear(caching->rows);
    }
    pull->cached_since = caching->since;
    pull->missed = rub_alloc(call->n * sizeof(*pull->missed));
    pull->missed_keys = rub_alloc(call->n * sizeof(*pull->missed_keys));
    if (!pull->missed || !pull->missed_keys) {
        return RUB_ENOMEM;
    }
    const size_t n =
        rub_row_cache_take(caching->rows, call->keys, call->n, oldest_ms(self, caching),
                           call->values, call->exists, pull->missed);
    for (size_t i = 0; i < n; i++) {
        pull->missed_keys[i] = call->keys[pull->missed[i]];
    }
    self->stats.cache_hits += call->n - n;
    self->stats.cache_misses += n;
    call->keys = pull->missed_keys;
    call->n = n;
    return 0;
}

int rub_cache_place(rub_pull_t *pull, size_t n)
{
    if (!pull->missed || n == 0) {
        return 0;
    }
    if (!pull->positions) { /* routed as they were asked for */
        pull->positions = pull->missed;
        pull->missed = NULL;
        return 0;
    }
    uint64_t *routed_keys = rub_alloc(n * sizeof(*routed_keys));
    if (!routed_keys) {
        return RUB_ENOMEM;
    }
    for (size_t i = 0; i < n; i++) {
        routed_keys[i] = pull->missed_keys[pull->positions[i]];
        pull->positions[i] = pull->missed[pull->positions[i]];
    }
    rub_free(pull->missed_keys);
    pull->missed_keys = routed_keys;
    return 0;
}

void rub_cache_keep(rub_client_t *self, const rub_pull_t *pull, const rub_part_t *part,
                    const rub_frame_t *frame)
{
    const rub_caching_t *caching = pull->missed_keys ? find(self, pull->table) : NULL;
    if (!caching || caching->since != pull->cached_since) {
        return;
    }
    const uint64_t oldest = oldest_ms(self, caching);
    for (uint32_t i = 0; i < part->n; i++) {
        const size_t at = part->at + i;
        if (i + RUB_ROW_CACHE_AHEAD < part->n) {
            rub_row_cache_expect(caching->rows, pull->missed_keys[at + RUB_ROW_CACHE_AHEAD]);
        }
        const rub_cached_row_t row = {.key = pull->missed_keys[at],
                                      .version = frame->header.lsn,
                                      .as_of_ms = pull->issued_ms,
                                      .values =
                                          pull->values + (size_t)pull->positions[at] * pull->width,
                                      .exists = (uint8_t)(frame->values[i / 8] >> (i % 8) & 1)};
        rub_row_cache_put(caching->rows, &row, oldest);
    }
}
