/* Hashed tables: rows by 64-bit key, in chunks, found through an index per partition.
 *
 * Row: {key u64, step u32 if the optimizer counts, stamp u32 if the table evicts, weights, slots};
 * packed to 4 bytes below width 8 (embeddings of one or two floats would drown in padding), else
 * weights and rows stand on 16 bytes. Invariants: a row never moves, so chunk numbers in the store
 * stay true; exactly one row per key is in the index, others ("dead": deleted, or of a key that a
 * recovery found twice) are passed over; while recovering, rows that are born never enter a loaded
 * chunk, because that chunk's lsn says nothing about them.
 *
 * Deletes and the store. A place is used again, so a key may come back in another chunk, and the
 * store may hold it twice, in chunks of two moments: the younger one has it. What the older one
 * still holds must leave the store before the younger one's row may die there, or it would rise
 * again: so the older chunk is written again, by the next checkpoint, which is also the first that
 * may forget the DELETE record.
 *
 * What messages do to rows: ps/hashed_access.c. How rows are found, and why fast: ps/row_lookup.h.
 */
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "common/wire/table_schema.h"
#include "ps/hashed_rows.h"
#include "ps/row_lookup.h"

enum { CHUNK_BYTES = 96 << 10, INDEX_BYTES_PER_ROW = 16 };
/* The index could hold a few more; chunks that a recovery must leave unfilled need room too. */
#define ROWS_LIMIT (RUB_INDEX_ROWS_LIMIT - (UINT32_C(1) << 20))

static uint64_t row_key(const rub_ptable_t *self, uint32_t row)
{
    return rub_row_key_at(rub_row_at(self, row));
}

static uint64_t row_hash(const void *context, uint32_t row)
{
    const rub_ptable_t *self = context;
    return rub_placement_hash(&self->placement, row_key(self, row));
}

static void row_fetch(const void *context, uint32_t row)
{
    __builtin_prefetch(rub_row_at(context, row));
}

static int index_reserve(rub_ptable_t *self, uint64_t hash, rub_error_t *err)
{
    const rub_index_keys_t keys = {.hash_of = row_hash, .fetch = row_fetch, .context = self};
    if (rub_index_reserve(&self->hashed.index, hash, &keys) != 0) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for its index", self->schema.name);
    }
    return 0;
}

static int hashed_open(rub_ptable_t *self, rub_error_t *err)
{
    rub_hashed_t *hashed = &self->hashed;
    const uint32_t width = self->schema.width;
    const uint32_t floats = (uint32_t)rub_optimizer_floats(self->optimizer, width);
    const bool evicts = rub_schema_evicts(&self->schema);
    const uint32_t key_and_step = self->optimizer->needs_step ? 12 : 8;
    const uint32_t head = key_and_step + (evicts ? 4 : 0);
    const uint32_t alignment = width < 8 ? 4 : 16;
    hashed->stamp_at = evicts ? key_and_step : 0;
    hashed->weights_at = (head + alignment - 1) / alignment * alignment;
    hashed->row_bytes = (hashed->weights_at + floats * (uint32_t)sizeof(float) + alignment - 1) /
                        alignment * alignment;
    hashed->rows_shift = 0;
    while ((UINT64_C(2) << hashed->rows_shift) * hashed->row_bytes <= CHUNK_BYTES) {
        hashed->rows_shift++;
    }
    self->first_chunk = 0;
    self->chunk_limit = RUB_INDEX_ROWS_LIMIT >> hashed->rows_shift;
    rub_chunks_init(&self->chunks, (size_t)hashed->row_bytes << hashed->rows_shift);
    uint32_t first, count;
    rub_placement_partitions(&self->placement, self->shard, &first, &count);
    if (rub_index_init(&hashed->index, first, count) != 0) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for its index", self->schema.name);
    }
    if (self->schema.admit_count > 1 &&
        rub_push_counts_init(&hashed->counts, self->schema.admit_count, self->schema.admit_counters,
                             first, count) != 0) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for %llu counters",
                        self->schema.name, (unsigned long long)self->schema.admit_counters);
    }
    return 0;
}

static void hashed_close(rub_ptable_t *self)
{
    rub_index_fini(&self->hashed.index);
    rub_push_counts_fini(&self->hashed.counts);
    rub_free(self->hashed.free_rows);
}

static int hashed_check(const rub_ptable_t *self, const rub_rows_t *rows, bool whole_blocks,
                        rub_error_t *err)
{
    RUB_UNUSED(whole_blocks);
    if (rows->is_range) {
        return rub_fail(err, RUB_ESHAPE, "table '%s' is hashed: asked by a range, takes keys",
                        self->schema.name);
    }
    if (rows->n_keys == 0) {
        return rub_fail(err, RUB_ESHAPE, "table '%s': no keys at all", self->schema.name);
    }
    for (size_t i = 0; self->placement.n_shards > 1 && i < rows->n_keys; i++) {
        const uint64_t key = rub_get_u64(rows->keys + 8 * i);
        const uint32_t shard = rub_placement_shard_of_key(&self->placement, key);
        if (shard != self->shard) {
            return rub_fail(err, RUB_ESHAPE, "table '%s': key %llu is of shard %u, this is %u",
                            self->schema.name, (unsigned long long)key, shard, self->shard);
        }
    }
    return 0;
}

static uint64_t above(uint64_t n, uint64_t room)
{
    return n > room ? n - room : 0;
}

/* What deleted rows leave is room: places in chunks, and entries of the index, which does not
 * shrink. */
static uint64_t growth_of(const rub_ptable_t *self, uint64_t n_new)
{
    const rub_hashed_t *hashed = &self->hashed;
    const uint64_t chunk_rows = UINT64_C(1) << hashed->rows_shift;
    const uint64_t places = (uint64_t)self->chunks.n_there << hashed->rows_shift;
    const uint64_t rest = above(n_new, places - hashed->n_placed + hashed->n_free);
    return (rest + chunk_rows - 1) / chunk_rows * self->chunks.chunk_bytes +
           above(n_new, hashed->n_free) * INDEX_BYTES_PER_ROW;
}

/* Most pushes are far from any limit: only near one are the missing rows counted. */
static int hashed_growth(const rub_ptable_t *self, const rub_rows_t *rows, uint64_t limit_bytes,
                         uint64_t *bytes_p, rub_error_t *err)
{
    uint64_t n_new = rows->n_keys;
    if (growth_of(self, n_new) > limit_bytes || self->n_rows + n_new > ROWS_LIMIT) {
        n_new = 0;
        for (size_t i = 0; i < rows->n_keys; i++) {
            const uint64_t key = rub_get_u64(rows->keys + 8 * i);
            uint32_t at;
            n_new += rub_row_find(self, key, rub_placement_hash(&self->placement, key), &at) ==
                     RUB_INDEX_NONE;
        }
    }
    *bytes_p = growth_of(self, n_new);
    if (n_new > 0 && self->n_rows + n_new > ROWS_LIMIT) {
        return rub_fail(err, RUB_ELIMIT,
                        "table '%s': %llu rows and %llu new ones, a shard takes %u",
                        self->schema.name, (unsigned long long)self->n_rows,
                        (unsigned long long)n_new, ROWS_LIMIT);
    }
    return 0;
}

/* Finds the chunk for a new row, making one when all are full. */
static int chunk_for_row(rub_ptable_t *self, rub_error_t *err)
{
    rub_hashed_t *hashed = &self->hashed;
    for (;; hashed->fill_chunk++) {
        if (hashed->fill_chunk >= self->chunk_limit) {
            return rub_fail(err, RUB_ELIMIT, "table '%s': %u chunks are full", self->schema.name,
                            self->chunk_limit);
        }
        if (!rub_chunks_has(&self->chunks, hashed->fill_chunk)) {
            if (rub_chunks_add(&self->chunks, hashed->fill_chunk) != 0) {
                return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for a chunk",
                                self->schema.name);
            }
            return 0;
        }
        const rub_chunk_t *chunk = &self->chunks.items[hashed->fill_chunk];
        const bool known_to_store =
            self->recovering && chunk->loaded_lsn != 0 && !RUB_MUTANT(NEWBORN_INSIDE);
        if (!known_to_store && chunk->n_rows < UINT32_C(1) << hashed->rows_shift) {
            return 0;
        }
    }
}

static int take_place(rub_ptable_t *self, uint32_t *row_p, rub_error_t *err)
{
    rub_hashed_t *hashed = &self->hashed;
    if (hashed->n_free > 0) {
        *row_p = hashed->free_rows[--hashed->n_free];
        self->chunks.items[*row_p >> hashed->rows_shift].n_dead--;
        memset(rub_row_at(self, *row_p), 0, hashed->row_bytes);
        return 0;
    }
    const int rc = chunk_for_row(self, err);
    if (rc == 0) {
        rub_chunk_t *chunk = &self->chunks.items[hashed->fill_chunk];
        *row_p = (hashed->fill_chunk << hashed->rows_shift) + chunk->n_rows++;
        hashed->n_placed++;
    }
    return rc;
}

int rub_row_create(rub_ptable_t *self, uint64_t key, uint64_t hash, uint32_t *row_p,
                   rub_error_t *err)
{
    int rc = index_reserve(self, hash, err);
    rc = rc ? rc : take_place(self, row_p, err);
    if (rc != 0) {
        return rc;
    }
    /* Chunks begin as zeros, and so does a place that is used again: slots and steps are ready. */
    uint8_t *row = rub_row_at(self, *row_p);
    memcpy(row, &key, sizeof key);
    if (self->hashed.stamp_at > 0) {
        rub_row_set_stamp(self, row, true);
    }
    rub_initializer_fill_row(&self->initializer, key, self->schema.width,
                             rub_row_weights(self, row));
    rub_index_insert(&self->hashed.index, hash, *row_p);
    self->n_rows++;
    return 0;
}

/* Without memory for the list the place is found again when the shard is opened next. */
static void free_place(rub_ptable_t *self, uint32_t row)
{
    rub_hashed_t *hashed = &self->hashed;
    if (rub_grow(&hashed->free_rows, &hashed->free_capacity, hashed->n_free + 1,
                 sizeof *hashed->free_rows) == 0) {
        hashed->free_rows[hashed->n_free++] = row;
    }
}

void rub_row_delete(rub_ptable_t *self, uint64_t hash, uint32_t at, uint32_t row, uint64_t lsn)
{
    const rub_index_keys_t keys = {.hash_of = row_hash, .fetch = row_fetch, .context = self};
    const size_t index = row >> self->hashed.rows_shift;
    rub_index_remove(&self->hashed.index, hash, at, &keys);
    rub_chunks_touch(&self->chunks, index, lsn);
    self->chunks.items[index].n_dead++;
    self->n_rows--;
    self->n_deletes++;
    if (!self->recovering || self->chunks.items[index].loaded_lsn == 0) {
        free_place(self, row);
    }
}

/* Whether the row at a place of a chunk is the index's row of its key. */
static bool row_live(const rub_ptable_t *self, uint32_t row)
{
    uint32_t at;
    if (self->chunks.items[row >> self->hashed.rows_shift].n_dead == 0) {
        return true;
    }
    const uint64_t key = row_key(self, row);
    return rub_row_find(self, key, rub_placement_hash(&self->placement, key), &at) == row;
}

static uint32_t hashed_row_bytes(const rub_ptable_t *self, size_t index)
{
    RUB_UNUSED(index);
    return self->hashed.row_bytes;
}

static void hashed_stage(const rub_ptable_t *self, size_t index, uint8_t *out)
{
    const rub_chunk_t *chunk = &self->chunks.items[index];
    const size_t row_bytes = self->hashed.row_bytes;
    const uint32_t first = (uint32_t)index << self->hashed.rows_shift;
    if (chunk->n_dead == 0) {
        memcpy(out, self->chunks.data[index], chunk->n_rows * row_bytes);
        return;
    }
    for (uint32_t i = 0; i < chunk->n_rows; i++) {
        if (row_live(self, first + i)) {
            memcpy(out, rub_row_at(self, first + i), row_bytes);
            out += row_bytes;
        }
    }
}

/* Whether the chunk being loaded owns this key: 0 and *at_p for one that the index does not know or
 * that this chunk takes over (then *at_p is the entry, *old_p the row that dies), 1 when the other
 * chunk is newer. */
static int load_claim(const rub_ptable_t *self, size_t index, uint64_t lsn, uint64_t key,
                      uint64_t hash, uint32_t *at_p, uint32_t *old_p, rub_error_t *err)
{
    *old_p = rub_row_find(self, key, hash, at_p);
    if (*old_p == RUB_INDEX_NONE) {
        return 0;
    }
    const size_t other = *old_p >> self->hashed.rows_shift;
    const uint64_t other_lsn = self->chunks.items[other].loaded_lsn;
    if (other == index || other_lsn == lsn) {
        return rub_fail(
            err, RUB_ECORRUPT, "table '%s': key %llu is in chunks %zu and %zu, both of lsn %llu",
            self->schema.name, (unsigned long long)key, other, index, (unsigned long long)lsn);
    }
    return RUB_MUTANT(OLDER_TWIN) ? other_lsn < lsn : other_lsn > lsn;
}

static int load_row(rub_ptable_t *self, size_t index, const uint8_t *bytes, rub_error_t *err)
{
    rub_hashed_t *hashed = &self->hashed;
    rub_chunk_t *chunk = &self->chunks.items[index];
    const uint64_t key = rub_get_u64(bytes);
    const uint64_t hash = rub_placement_hash(&self->placement, key);
    uint32_t at, old;
    if (rub_placement_shard_of_key(&self->placement, key) != self->shard) {
        return rub_fail(err, RUB_ECORRUPT, "chunk %zu of '%s': key %llu is not of shard %u", index,
                        self->schema.name, (unsigned long long)key, self->shard);
    }
    int rc = load_claim(self, index, chunk->loaded_lsn, key, hash, &at, &old, err);
    if (rc == 0 && old == RUB_INDEX_NONE) {
        rc = index_reserve(self, hash, err);
    }
    if (rc > 0 && rub_schema_evicts(&self->schema)) {
        rub_chunks_soil(&self->chunks, index);
    }
    if (rc != 0) {
        return rc < 0 ? rc : 0;
    }
    const uint32_t row = ((uint32_t)index << hashed->rows_shift) + chunk->n_rows;
    chunk->n_rows++;
    hashed->n_placed++;
    memcpy(rub_row_at(self, row), bytes, hashed->row_bytes);
    if (old == RUB_INDEX_NONE) {
        rub_index_insert(&hashed->index, hash, row);
        self->n_rows++;
    } else {
        rub_index_replace(&hashed->index, hash, at, row);
        self->chunks.items[old >> hashed->rows_shift].n_dead++;
        if (rub_schema_evicts(&self->schema)) {
            rub_chunks_soil(&self->chunks, old >> hashed->rows_shift);
        }
    }
    return 0;
}

static int hashed_load(rub_ptable_t *self, size_t index, const rub_chunk_header_t *header,
                       const uint8_t *body, rub_error_t *err)
{
    const uint32_t most = UINT32_C(1) << self->hashed.rows_shift;
    if (header->row_bytes != self->hashed.row_bytes || header->n_rows > most) {
        return rub_fail(err, RUB_ECORRUPT,
                        "chunk %zu of '%s': %u rows of %u bytes, expected <= %u of %u", index,
                        self->schema.name, header->n_rows, header->row_bytes, most,
                        self->hashed.row_bytes);
    }
    if (rub_chunks_add(&self->chunks, index) != 0) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for a chunk", self->schema.name);
    }
    rub_chunks_loaded(&self->chunks, index, header->lsn);
    for (uint32_t i = 0; i < header->n_rows; i++) {
        const int rc = load_row(self, index, body + (size_t)i * header->row_bytes, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* A row of this shard that is not there yet; *bytes_p: where it stands, as first touch makes it. */
static int row_insert(rub_ptable_t *self, uint64_t key, uint64_t lsn, uint8_t **bytes_p,
                      rub_error_t *err)
{
    const uint64_t hash = rub_placement_hash(&self->placement, key);
    uint32_t at, row;
    if (rub_row_find(self, key, hash, &at) != RUB_INDEX_NONE) {
        return rub_fail(err, RUB_ECORRUPT, "table '%s': key %llu is there already",
                        self->schema.name, (unsigned long long)key);
    }
    const int rc = rub_row_create(self, key, hash, &row, err);
    if (rc == 0) {
        if (self->hashed.counts.most > 0) { /* a row is there: its pushes need no counting */
            rub_push_counts_fill(&self->hashed.counts, hash);
        }
        rub_chunks_touch(&self->chunks, row >> self->hashed.rows_shift, lsn);
        *bytes_p = rub_row_at(self, row);
    }
    return rc;
}

static int adopt_row(rub_ptable_t *self, const uint8_t *bytes, uint64_t lsn, rub_error_t *err)
{
    const uint64_t key = rub_get_u64(bytes);
    uint8_t *row;
    if (rub_placement_shard_of_key(&self->placement, key) != self->shard) {
        return 0;
    }
    const int rc = row_insert(self, key, lsn, &row, err);
    if (rc == 0) {
        memcpy(row, bytes, self->hashed.row_bytes);
    }
    return rc;
}

static int hashed_adopt(rub_ptable_t *self, const rub_chunk_header_t *header, const uint8_t *body,
                        uint64_t lsn, rub_error_t *err)
{
    if (header->row_bytes != self->hashed.row_bytes) {
        return rub_fail(err, RUB_ECORRUPT, "chunk %u of '%s': rows of %u bytes, expected %u",
                        header->chunk, self->schema.name, header->row_bytes,
                        self->hashed.row_bytes);
    }
    for (uint32_t i = 0; i < header->n_rows; i++) {
        const int rc = adopt_row(self, body + (size_t)i * header->row_bytes, lsn, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

static uint64_t hashed_digest(const rub_ptable_t *self)
{
    uint64_t sum = 0;
    for (size_t index = 0; index < self->chunks.n; index++) {
        const uint32_t first = (uint32_t)index << self->hashed.rows_shift;
        for (uint32_t i = 0; i < self->chunks.items[index].n_rows; i++) {
            if (row_live(self, first + i)) {
                sum += rub_ptable_digest_term(self, row_key(self, first + i),
                                              rub_row_weights(self, rub_row_at(self, first + i)),
                                              self->schema.width);
            }
        }
    }
    return sum;
}

static int hashed_put(rub_ptable_t *self, uint64_t id, const float *values, size_t n, uint64_t lsn,
                      rub_error_t *err)
{
    uint8_t *row;
    if (n != self->schema.width ||
        rub_placement_shard_of_key(&self->placement, id) != self->shard) {
        return rub_fail(err, RUB_ESHAPE, "table '%s': key %llu of %zu numbers is none of its own",
                        self->schema.name, (unsigned long long)id, n);
    }
    const int rc = row_insert(self, id, lsn, &row, err);
    if (rc == 0) {
        memcpy(rub_row_weights(self, row), values, n * sizeof(*values));
    }
    return rc;
}

static int hashed_each_row(const rub_ptable_t *self, rub_row_visit_t visit, void *context,
                           rub_error_t *err)
{
    int rc = 0;
    for (size_t index = 0; index < self->chunks.n; index++) {
        const uint32_t first = (uint32_t)index << self->hashed.rows_shift;
        for (uint32_t i = 0; i < self->chunks.items[index].n_rows && rc == 0; i++) {
            if (row_live(self, first + i)) {
                rc = visit(context, row_key(self, first + i),
                           rub_row_weights(self, rub_row_at(self, first + i)), self->schema.width,
                           err);
            }
        }
    }
    return rc;
}

/* Places of the dead, wherever they lie: loaded chunks are open now. */
static void hashed_recovered(rub_ptable_t *self)
{
    self->hashed.n_free = 0;
    for (size_t index = 0; index < self->chunks.n; index++) {
        const rub_chunk_t *chunk = &self->chunks.items[index];
        const uint32_t first = (uint32_t)index << self->hashed.rows_shift;
        for (uint32_t i = 0; chunk->n_dead > 0 && i < chunk->n_rows; i++) {
            if (!row_live(self, first + i)) {
                free_place(self, first + i);
            }
        }
    }
}

const rub_table_ops_t rub_hashed_ops = {
    .open = hashed_open,
    .close = hashed_close,
    .check = hashed_check,
    .growth = hashed_growth,
    .pull = rub_hashed_pull,
    .sums = rub_hashed_sums,
    .push = rub_hashed_push,
    .row_bytes = hashed_row_bytes,
    .stage = hashed_stage,
    .load = hashed_load,
    .adopt = hashed_adopt,
    .digest = hashed_digest,
    .put = hashed_put,
    .each_row = hashed_each_row,
    .recovered = hashed_recovered,
};
