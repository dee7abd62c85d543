/* Growing, filling and emptying the index; looking up is inline in the header, because it is the
 * inner loop of every sparse push and pull.
 *
 * The arrays of all partitions stand one behind the other in one region of huge pages. The index
 * grows by a third, partition by partition in their order, as rows are added: the first n_moved
 * live in the new region, the others in the old one, whose front is given back as it empties
 * (linear hashing, Litwin, VLDB 1980, with partitions for buckets). So there is never a second copy
 * of the index, memory per row is the same at any number of rows (about 6 bytes), and no insertion
 * waits for more than one partition, a thousandth of the rows.
 *
 * How full arrays may be is a matter of chance: keys fall on partitions like rain, so small arrays
 * need more room above the mean. A partition that is fuller all the same (or was made so by
 * whoever chose the keys) gets a larger array of its own, until the region's are as large again.
 * Invariants: an array of its own has more buckets than the partition's place in the region has; a
 * partition always has an empty entry, at which searches end; and between the home of an entry and
 * its place, in the order of a search, there is no empty one. What a removal leaves keeps the last
 * one without marks of graves: who might have gone past the removed entry is put anew (Knuth, The
 * Art of Computer Programming 3, 6.4, algorithm R, with buckets for cells). The index does not
 * shrink: rows that come later take the room of those that went. */
#include "ps/table_index.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

#include <string.h>

enum { LINE_BYTES = 64, MOVE_ROWS = 32 };

/* What partitions without rows point at; never written. */
static const _Alignas(LINE_BYTES) uint32_t no_entries[RUB_INDEX_BUCKET];

int rub_index_init(rub_table_index_t *self, uint32_t first_part, uint32_t n_parts)
{
    *self = (rub_table_index_t){.first_part = first_part, .n_parts = n_parts, .n_moved = n_parts};
    self->parts = rub_calloc(n_parts, sizeof *self->parts);
    self->memory_bytes = n_parts * sizeof *self->parts;
    for (uint32_t i = 0; self->parts != NULL && i < n_parts; i++) {
        self->parts[i] =
            (rub_index_part_t){.entries = (uint32_t *)(uintptr_t)no_entries, .n_buckets = 1};
    }
    return self->parts != NULL ? 0 : RUB_ENOMEM;
}

static size_t array_bytes(uint32_t n_buckets)
{
    return (size_t)n_buckets * LINE_BYTES;
}

/* Buckets that the region has for the partition; 0: there is none yet. */
static uint32_t place_buckets(const rub_table_index_t *self, uint32_t i)
{
    return i < self->n_moved ? self->now.n_buckets : self->before.n_buckets;
}

static bool is_own(const rub_table_index_t *self, uint32_t i)
{
    return self->parts[i].entries != no_entries &&
           self->parts[i].n_buckets != place_buckets(self, i);
}

static void arrays_free(rub_table_index_t *self, rub_index_arrays_t *arrays)
{
    rub_region_free(arrays->entries, self->n_parts * array_bytes(arrays->n_buckets));
    *arrays = (rub_index_arrays_t){0};
}

void rub_index_fini(rub_table_index_t *self)
{
    for (uint32_t i = 0; self->parts != NULL && i < self->n_parts; i++) {
        if (is_own(self, i)) {
            rub_free(self->parts[i].entries);
        }
    }
    arrays_free(self, &self->before);
    arrays_free(self, &self->now);
    rub_free(self->parts);
    *self = (rub_table_index_t){0};
}

static void entry_put(const rub_index_part_t *part, uint64_t hash, uint32_t row)
{
    const uint32_t home_entry = rub_index_home_entry(hash);
    for (uint32_t at = 0;; at += RUB_INDEX_BUCKET) {
        uint32_t *bucket = rub_index_entry(part, hash, at) - home_entry;
        const uint32_t empty = rub_index_match_empty(bucket);
        if (empty != 0) {
            const uint32_t step = (uint32_t)__builtin_ctz(rub_index_turned(empty, home_entry));
            bucket[(home_entry + step) % RUB_INDEX_BUCKET] = (row + 1) << 7 | rub_index_tag(hash);
            return;
        }
    }
}

/* Puts all rows of `from` into the zeroed array of `to`. Their keys are in rows all over the table:
 * they are fetched in groups. */
static void move_rows(const rub_index_part_t *from, const rub_index_part_t *to,
                      const rub_index_keys_t *keys)
{
    const size_t n_entries = (size_t)from->n_buckets * RUB_INDEX_BUCKET;
    uint32_t rows[MOVE_ROWS];
    uint32_t n = 0;
    for (size_t i = 0; i < n_entries; i++) {
        if (from->entries[i] != 0) {
            rows[n] = (from->entries[i] >> 7) - 1;
            keys->fetch(keys->context, rows[n++]);
        }
        if (n == MOVE_ROWS || i + 1 == n_entries) {
            for (uint32_t k = 0; k < n; k++) {
                entry_put(to, keys->hash_of(keys->context, rows[k]), rows[k]);
            }
            n = 0;
        }
    }
}

/* ---- the region ---- */

/* Rows that a partition with so many buckets may have on average: four standard deviations above
 * (a Poisson number's is the root of its mean) there is still room. */
static uint64_t mean_rows(uint32_t n_buckets)
{
    const uint64_t n_entries = (uint64_t)n_buckets * RUB_INDEX_BUCKET;
    return n_buckets < 4    ? n_entries * 3 / 8
           : n_buckets < 16 ? n_entries * 5 / 8
           : n_buckets < 64 ? n_entries * 3 / 4
                            : n_entries * 7 / 8;
}

/* The rows with which the next partition moves: moves are spread evenly over the rows that come
 * until `before` would be too full. */
static void plan_move(rub_table_index_t *self)
{
    const uint64_t span = self->end_rows - self->begin_rows;
    self->move_rows = self->begin_rows + span * (self->n_moved + 1) / self->n_parts;
}

static int begin_growth(rub_table_index_t *self)
{
    const uint32_t n_buckets = self->now.n_buckets;
    const uint32_t grown = n_buckets < 3 ? n_buckets + 1 : n_buckets + n_buckets / 3;
    uint32_t *entries = rub_region_alloc(self->n_parts * array_bytes(grown));
    if (entries == NULL) {
        return RUB_ENOMEM;
    }
    self->begin_rows = self->end_rows;
    self->end_rows = mean_rows(n_buckets) * self->n_parts;
    self->before = self->now;
    self->now = (rub_index_arrays_t){.entries = entries, .n_buckets = grown};
    self->n_moved = 0;
    plan_move(self);
    return 0;
}

/* Gives back what the partition that moved last leaves. */
static void give_back(rub_table_index_t *self)
{
    const size_t bytes = array_bytes(self->before.n_buckets);
    if (self->n_moved == self->n_parts) {
        arrays_free(self, &self->before);
    } else {
        rub_region_drop(self->before.entries, (self->n_moved - 1) * bytes, self->n_moved * bytes);
    }
}

static void move_part(rub_table_index_t *self, const rub_index_keys_t *keys)
{
    const uint32_t i = self->n_moved;
    rub_index_part_t *part = &self->parts[i];
    const bool own = is_own(self, i);
    self->memory_bytes += array_bytes(self->now.n_buckets) - array_bytes(self->before.n_buckets);
    if (!own || part->n_buckets <= self->now.n_buckets) {
        rub_index_part_t moved = {
            .entries = self->now.entries + i * (array_bytes(self->now.n_buckets) / 4),
            .n_buckets = self->now.n_buckets,
            .n_rows = part->n_rows,
        };
        move_rows(part, &moved, keys);
        if (own) {
            self->memory_bytes -= array_bytes(part->n_buckets);
            rub_free(part->entries);
        }
        *part = moved;
    }
    self->n_moved++;
    self->n_moves++;
    give_back(self);
    plan_move(self);
}

/* ---- a partition ---- */

static bool is_full(const rub_index_part_t *part)
{
    return part->n_rows + 1 >= part->n_buckets * RUB_INDEX_BUCKET;
}

static int grow_own(rub_table_index_t *self, uint32_t i, const rub_index_keys_t *keys)
{
    rub_index_part_t *part = &self->parts[i];
    rub_index_part_t grown = {.n_buckets = part->n_buckets * 2, .n_rows = part->n_rows};
    const bool own = is_own(self, i);
    grown.entries = rub_alloc_aligned(LINE_BYTES, array_bytes(grown.n_buckets));
    if (grown.entries == NULL) {
        return RUB_ENOMEM;
    }
    memset(grown.entries, 0, array_bytes(grown.n_buckets));
    move_rows(part, &grown, keys);
    self->memory_bytes += array_bytes(grown.n_buckets);
    if (own) {
        self->memory_bytes -= array_bytes(part->n_buckets);
        rub_free(part->entries);
    }
    *part = grown;
    self->n_moves++;
    return 0;
}

int rub_index_reserve(rub_table_index_t *self, uint64_t hash, const rub_index_keys_t *keys)
{
    while (self->n_rows >= self->move_rows) {
        if (self->n_moved == self->n_parts && begin_growth(self) != 0) {
            return RUB_ENOMEM;
        }
        move_part(self, keys);
    }
    const rub_index_part_t *part = rub_index_part(self, hash);
    return is_full(part) ? grow_own(self, (uint32_t)(part - self->parts), keys) : 0;
}

void rub_index_insert(rub_table_index_t *self, uint64_t hash, uint32_t row)
{
    rub_index_part_t *part = rub_index_part(self, hash);
    RUB_ASSERT(row < RUB_INDEX_ROWS_LIMIT);
    RUB_ASSERT(!is_full(part));
    entry_put(part, hash, row);
    part->n_rows++;
    self->n_rows++;
}

/* Buckets from one on, up to and with the first that has an empty entry: rows beyond it never went
 * past this one. */
static uint32_t full_run(const rub_index_part_t *part, uint32_t bucket)
{
    uint32_t n = 1;
    while (n < part->n_buckets &&
           rub_index_match_empty(part->entries + (size_t)bucket * RUB_INDEX_BUCKET) == 0) {
        bucket = bucket + 1 < part->n_buckets ? bucket + 1 : 0;
        n++;
    }
    return n;
}

/* Takes the rows out of a bucket and puts them in anew; their keys are fetched together. */
static void put_anew(const rub_index_part_t *part, uint32_t *bucket, const rub_index_keys_t *keys)
{
    uint32_t rows[RUB_INDEX_BUCKET];
    uint32_t n = 0;
    for (uint32_t i = 0; i < RUB_INDEX_BUCKET; i++) {
        if (bucket[i] != 0) {
            rows[n] = (bucket[i] >> 7) - 1;
            keys->fetch(keys->context, rows[n++]);
            bucket[i] = 0;
        }
    }
    for (uint32_t i = 0; i < n; i++) {
        entry_put(part, keys->hash_of(keys->context, rows[i]), rows[i]);
    }
}

/* One bucket after the other, front to back: whoever is put anew goes to where it was, or further
 * to the front, where no bucket is touched again. */
void rub_index_remove(rub_table_index_t *self, uint64_t hash, uint32_t at,
                      const rub_index_keys_t *keys)
{
    rub_index_part_t *part = rub_index_part(self, hash);
    uint32_t *entry = rub_index_entry(part, hash, at);
    RUB_ASSERT(*entry != 0);
    uint32_t bucket = (uint32_t)((size_t)(entry - part->entries) / RUB_INDEX_BUCKET);
    const uint32_t n = full_run(part, bucket);
    *entry = 0;
    part->n_rows--;
    self->n_rows--;
    self->n_moves++;
    for (uint32_t i = 0; i < n; i++) {
        put_anew(part, part->entries + (size_t)bucket * RUB_INDEX_BUCKET, keys);
        bucket = bucket + 1 < part->n_buckets ? bucket + 1 : 0;
    }
}

void rub_index_replace(rub_table_index_t *self, uint64_t hash, uint32_t at, uint32_t row)
{
    RUB_ASSERT(row < RUB_INDEX_ROWS_LIMIT);
    *rub_index_entry(rub_index_part(self, hash), hash, at) = (row + 1) << 7 | rub_index_tag(hash);
}
