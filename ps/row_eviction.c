/* Which rows are deleted: those that nobody has pushed to for long, and those that weigh next to
 * nothing. Rows of recommenders and of text come and go with fashion; without deletes a table only
 * grows (DynamicEmbedding, Zeng et al., arXiv 2004.08366; Monolith, Liu et al., ORSUM 2022, expire
 * features the same way).
 *
 * Time is a tick: the least clock of who trains. Tick t looks at one part of the partitions, so
 * that a turn has a bounded share of the rows to look at, and the same one on any number of shards.
 * What it may name has no push of period t or later: such a row is as it was when period t - 1 was
 * over. From that follows all else: under bsp the rows that die are a function of what was pushed;
 * a tick that is looked at late, or twice, names what it would have named in time; so nothing of
 * the search is stored, and a DELETE record can be held against the policy when it is replayed.
 *
 * Deleting is row-local and needs nothing but the keys, so it follows the rule of every record: it
 * touches a row iff its lsn is above that of the row's chunk in the store. A replay that begins
 * with chunks younger than the record may build a row of a key that such a chunk has lost already;
 * it lacks what came before, nobody reads it, and the record deletes it. */
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/wire/table_schema.h"
#include "ps/hashed_rows.h"
#include "ps/row_lookup.h"

bool rub_ptable_evicts(const rub_ptable_t *self)
{
    return rub_schema_evicts(&self->schema);
}

uint64_t rub_ptable_swept(const rub_ptable_t *self)
{
    return rub_ptable_evicts(self) ? self->sweep.tick : UINT64_MAX;
}

static bool is_short(const rub_ptable_t *self, uint8_t *row)
{
    const float *weights = rub_row_weights(self, row);
    double sum = 0;
    for (uint32_t i = 0; i < self->schema.width; i++) {
        sum += (double)weights[i] * (double)weights[i];
    }
    return sum < self->evict.norm * self->evict.norm;
}

/* Stamps count modulo 2^32: no row is looked at more than 2^31 clocks late, and one that seems to
 * be of the future stays. */
static bool is_named(const rub_ptable_t *self, uint8_t *row, uint64_t tick)
{
    const int32_t age = (int32_t)((uint32_t)tick - rub_row_stamp(self, row));
    if (age <= 0) {
        return false;
    }
    const bool idle = self->evict.idle_clocks > 0 && (uint64_t)age > self->evict.idle_clocks;
    return idle || (self->evict.norm > 0 && is_short(self, row));
}

/* The partitions of this shard that tick looks at: [*first_p, *end_p). */
static void share_of(const rub_ptable_t *self, uint64_t tick, uint32_t *first_p, uint32_t *end_p)
{
    const rub_table_index_t *index = &self->hashed.index;
    const uint64_t n_parts = self->evict.sweep_clocks;
    const uint64_t part = tick % n_parts;
    const uint32_t own_end = index->first_part + index->n_parts;
    const uint32_t first = (uint32_t)(part * RUB_PARTITIONS / n_parts);
    const uint32_t end = (uint32_t)((part + 1) * RUB_PARTITIONS / n_parts);
    *first_p = first > index->first_part ? first : index->first_part;
    *end_p = end < own_end ? end : own_end;
}

/* Keys of the partition's rows that are named; no more than n_most. Rows are all over the table, so
 * they are fetched in groups. *looked_p: how many were looked at, with an empty partition as one.
 */
static size_t look_at(const rub_ptable_t *self, uint32_t partition, uint64_t tick, uint64_t *keys,
                      size_t n_most, size_t *looked_p)
{
    enum { TOGETHER = 32 };
    const rub_table_index_t *index = &self->hashed.index;
    const rub_index_part_t *part = &index->parts[partition - index->first_part];
    const size_t n_entries = (size_t)part->n_buckets * RUB_INDEX_BUCKET;
    const size_t fetch_bytes = self->evict.norm > 0
                                   ? self->hashed.weights_at + self->schema.width * sizeof(float)
                                   : self->hashed.weights_at;
    uint8_t *rows[TOGETHER];
    size_t n_rows = 0, n = 0, looked = 0;
    for (size_t i = 0; i < n_entries && n < n_most; i++) {
        if (part->entries[i] != 0) {
            rows[n_rows] = rub_row_at(self, (part->entries[i] >> 7) - 1);
            rub_fetch(rows[n_rows++], fetch_bytes);
        }
        if (n_rows == TOGETHER || i + 1 == n_entries) {
            for (size_t k = 0; k < n_rows && n < n_most; k++) {
                if (is_named(self, rows[k], tick)) {
                    keys[n++] = rub_row_key_at(rows[k]);
                }
            }
            looked += n_rows;
            n_rows = 0;
        }
    }
    *looked_p = looked > 0 ? looked : 1;
    return n;
}

/* Goes through the partitions of a tick, from sweep->partition on. Returns how many keys there are;
 * done: all of its partitions were looked at. */
static size_t sweep_tick(rub_ptable_t *self, uint64_t tick, uint64_t *keys, size_t n_most,
                         size_t *rows_left_p, bool *done)
{
    rub_sweep_t *sweep = &self->sweep;
    uint32_t first, end;
    size_t n = 0;
    share_of(self, tick, &first, &end);
    sweep->partition = sweep->partition > first ? sweep->partition : first;
    for (; sweep->partition<end && * rows_left_p> 0; sweep->partition++) {
        size_t looked = 0;
        n += look_at(self, sweep->partition, tick, keys + n, n_most - n, &looked);
        *rows_left_p -= looked < *rows_left_p ? looked : *rows_left_p;
        if (n == n_most) {
            break; /* there may be more: it is looked at again */
        }
    }
    *done = sweep->partition >= end;
    return n;
}

size_t rub_ptable_sweep(rub_ptable_t *self, uint64_t tick, uint64_t *keys, size_t n_most,
                        uint64_t *tick_p, size_t *rows_left_p)
{
    rub_sweep_t *sweep = &self->sweep;
    size_t n = 0;
    bool done = true;
    if (tick > sweep->tick && tick - sweep->tick > self->evict.sweep_clocks) {
        *sweep = (rub_sweep_t){.tick = tick - self->evict.sweep_clocks};
    }
    while (sweep->tick < tick && n == 0 && done) {
        *tick_p = sweep->tick + 1;
        n = sweep_tick(self, *tick_p, keys, n_most, rows_left_p, &done);
        if (done) {
            *sweep = (rub_sweep_t){.tick = *tick_p};
        }
    }
    return n;
}

static int no_such_delete(const rub_ptable_t *self, uint64_t key, uint64_t tick, const char *why,
                          rub_error_t *err)
{
    return rub_fail(err, RUB_ECORRUPT, "delete of key %llu of '%s' at tick %llu: %s",
                    (unsigned long long)key, self->schema.name, (unsigned long long)tick, why);
}

static int delete_key(rub_ptable_t *self, uint64_t key, uint64_t tick, uint64_t lsn,
                      bool passed_over, rub_error_t *err)
{
    const uint64_t hash = rub_placement_hash(&self->placement, key);
    const bool exact = lsn > self->chunks.loaded_lsn; /* all rows are as they were then */
    uint32_t at;
    if (rub_placement_shard_of_key(&self->placement, key) != self->shard) {
        return no_such_delete(self, key, tick, "it is another shard's", err);
    }
    const uint32_t row = rub_row_find(self, key, hash, &at);
    if (row == RUB_INDEX_NONE) {
        return exact && !passed_over ? no_such_delete(self, key, tick, "there is no such row", err)
                                     : 0;
    }
    if (!rub_chunks_lacks(&self->chunks, row >> self->hashed.rows_shift, lsn)) {
        return 0;
    }
    if (exact && !is_named(self, rub_row_at(self, row), tick)) {
        return passed_over ? 0
                           : no_such_delete(self, key, tick,
                                            "neither idle for so long nor as short as the policy "
                                            "says",
                                            err);
    }
    rub_row_delete(self, hash, at, row, lsn);
    return 0;
}

int rub_ptable_delete(rub_ptable_t *self, const uint8_t *keys, size_t n_keys, uint64_t tick,
                      uint64_t lsn, bool passed_over, rub_error_t *err)
{
    if (!rub_ptable_evicts(self)) {
        return rub_fail(err, RUB_ECORRUPT, "delete of %zu rows of '%s', which deletes none", n_keys,
                        self->schema.name);
    }
    int rc = 0;
    for (size_t i = 0; i < n_keys && rc == 0; i++) {
        rc = delete_key(self, rub_get_u64(keys + 8 * i), tick, lsn, passed_over, err);
    }
    return rc;
}
