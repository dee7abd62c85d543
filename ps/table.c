/* A table as its shard sees it: what dense and hashed tables share. The kinds differ only in how
 * they find rows; checks that protect memory, the form of staged chunks, and what is dirty are
 * here, once.
 *
 * Invariant: check functions change nothing and are complete: after one, applying fails only for
 * want of memory. */
#include "ps/table.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "common/num/codec.h"
#include "common/num/kernels.h"
#include "common/num/schedule.h"
#include "common/wire/table_schema.h"
#include "ps/table_state.h"

enum {
    FETCHED_AT_ONCE = 256, /* values; a part of a block */
    FETCHED_BYTES = 512 << 10
};
_Static_assert(RUB_BLOCK % FETCHED_AT_ONCE == 0, "what is fetched at once is of one block");

_Static_assert(RUB_WIDTH_LIMIT <= RUB_CODEC_ROW_LIMIT, "codecs take whole rows");

int rub_rows_read(const rub_frame_t *frame, rub_rows_t *rows, rub_error_t *err)
{
    const uint32_t n_keys = frame->header.n_keys;
    const bool is_range = (frame->header.flags & RUB_FLAG_RANGE) != 0;
    const size_t want = is_range ? 16 : (size_t)n_keys * 8;
    if (frame->keys_bytes != want || (is_range && n_keys != 1)) {
        return rub_fail(err, RUB_ESHAPE, "%u %s in %zu bytes, expected %zu", n_keys,
                        is_range ? "ranges" : "keys", frame->keys_bytes, want);
    }
    *rows = (rub_rows_t){.is_range = is_range};
    if (is_range) {
        rows->first = rub_get_u64(frame->keys);
        rows->count = rub_get_u64(frame->keys + 8);
    } else {
        rows->keys = frame->keys;
        rows->n_keys = n_keys;
    }
    return 0;
}

/* Values that are not plain: a row's length follows from the table, so bytes can be counted before
 * any is looked at. */
static int decode_values(const rub_frame_t *frame, const rub_ptable_t *table, uint32_t number,
                         rub_arena_t *decoded, rub_push_view_t *push, rub_error_t *err)
{
    const rub_codec_t *codec = rub_codec_find(number);
    if (codec == NULL) {
        return rub_fail(err, RUB_ECODEC, "push to '%s': codec %u is unknown here",
                        table->schema.name, number);
    }
    if (push->rows.is_range != (table->schema.kind == RUB_DENSE)) {
        return rub_fail(err, RUB_ESHAPE, "push to '%s': it takes %s", table->schema.name,
                        push->rows.is_range ? "keys, not a range" : "a range, not keys");
    }
    const uint32_t width = table->schema.width;
    const uint64_t row = push->rows.is_range ? codec->dense_row : width;
    const uint64_t n = push->rows.is_range ? push->rows.count : (uint64_t)push->rows.n_keys * width;
    if (n > RUB_MESSAGE_LIMIT / sizeof(float)) {
        return rub_fail(err, RUB_ELIMIT, "push to '%s': %llu values in a message, at most %zu",
                        table->schema.name, (unsigned long long)n,
                        RUB_MESSAGE_LIMIT / sizeof(float));
    }
    const size_t want = rub_codec_bytes(codec, (size_t)n, (size_t)row);
    if (frame->values_bytes != want) {
        return rub_fail(err, RUB_ESHAPE, "push to '%s': %zu bytes of %s, expected %zu",
                        table->schema.name, frame->values_bytes, codec->name, want);
    }
    float *values = rub_arena_alloc(decoded, ((size_t)n + 1) * sizeof(float));
    if (values == NULL) {
        return rub_fail(err, RUB_ENOMEM, "push to '%s': no memory for %llu values",
                        table->schema.name, (unsigned long long)n);
    }
    if (rub_codec_decode(codec, frame->values, (size_t)n, (size_t)row, values) != 0) {
        return rub_fail(err, RUB_ESHAPE, "push to '%s': its values are not what %s writes",
                        table->schema.name, codec->name);
    }
    push->values = values;
    push->n_values = (size_t)n;
    return 0;
}

int rub_push_view_read(const rub_frame_t *frame, const rub_ptable_t *table, rub_arena_t *decoded,
                       rub_push_view_t *push, rub_error_t *err)
{
    *push = (rub_push_view_t){.clock = frame->header.clock};
    const int rc = rub_rows_read(frame, &push->rows, err);
    if (rc != 0) {
        return rc;
    }
    const uint32_t number = rub_codec_of_flags(frame->header.flags);
    if (number != RUB_CODEC_F32) {
        return decode_values(frame, table, number, decoded, push, err);
    }
    if (frame->values_bytes % sizeof(float) != 0) {
        return rub_fail(err, RUB_ESHAPE, "%zu bytes of values are not whole float32",
                        frame->values_bytes);
    }
    push->values = (const float *)(const void *)frame->values;
    push->n_values = frame->values_bytes / sizeof(float);
    return 0;
}

int rub_ptable_schema_check(const rub_table_view_t *schema, rub_error_t *err)
{
    const char *name = schema->name;
    if (name[0] == '\0' || memchr(name, '\0', sizeof schema->name) == NULL) {
        return rub_fail(err, RUB_EINVAL, "table %u: its name is not of 1..%zu bytes", schema->id,
                        sizeof schema->name - 1);
    }
    if (schema->kind != RUB_DENSE && schema->kind != RUB_HASHED) {
        return rub_fail(err, RUB_EINVAL, "table '%s': kind %u is unknown", name, schema->kind);
    }
    if (schema->kind == RUB_HASHED && (schema->width == 0 || schema->width > RUB_WIDTH_LIMIT)) {
        return rub_fail(err, RUB_EINVAL, "table '%s': width %u, must be 1..%u", name, schema->width,
                        RUB_WIDTH_LIMIT);
    }
    if (schema->kind == RUB_DENSE &&
        (schema->elements == 0 || schema->elements > RUB_DENSE_LIMIT)) {
        return rub_fail(err, RUB_EINVAL, "table '%s': %llu elements, must be 1..%llu", name,
                        (unsigned long long)schema->elements, (unsigned long long)RUB_DENSE_LIMIT);
    }
    if (rub_optimizer_find(schema->optimizer) == NULL) {
        return rub_fail(err, RUB_EINVAL, "table '%s': optimizer %u is unknown", name,
                        schema->optimizer);
    }
    const rub_hyper_t hyper = rub_schema_hyper(schema);
    int rc =
        rub_optimizer_check_table(rub_optimizer_find(schema->optimizer), schema->kind, &hyper, err);
    if (rc == 0) {
        rc = rub_initializer_check(schema->init, schema->init_scale, err);
    }
    if (rc == 0) {
        const rub_eviction_t evict = rub_schema_eviction(schema);
        rc = rub_eviction_check(&evict, schema->kind, err);
    }
    if (rc == 0) {
        const rub_admission_t admit = rub_schema_admission(schema);
        rc = rub_admission_check(&admit, schema->kind, err);
    }
    return rc == 0 ? 0 : rub_wrap(err, rc, "table '%s'", name);
}

int rub_ptable_new(const rub_table_view_t *schema, uint64_t seed, uint32_t shard, uint32_t n_shards,
                   rub_ptable_t **self_p, rub_error_t *err)
{
    rub_placement_t placement;
    *self_p = NULL;
    int rc = rub_ptable_schema_check(schema, err);
    if (rc == 0) {
        rc = rub_placement_init(&placement, schema, n_shards, err);
    }
    if (rc != 0) {
        return rc;
    }
    if (shard >= n_shards) {
        return rub_fail(err, RUB_EINVAL, "shard %u of %u", shard, n_shards);
    }
    rub_ptable_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory", schema->name);
    }
    self->ops = schema->kind == RUB_DENSE ? &rub_dense_ops : &rub_hashed_ops;
    self->schema = *schema;
    self->optimizer = rub_optimizer_find(schema->optimizer);
    self->hyper = self->timed = rub_schema_hyper(schema);
    self->evict = rub_schema_eviction(schema);
    self->placement = placement;
    self->shard = shard;
    self->initializer = (rub_initializer_t){
        .kind = (rub_init_kind_t)schema->init,
        .scale = schema->init_scale,
        .seed = seed,
        .table = placement.salt,
    };
    rc = self->ops->open(self, err);
    if (rc != 0) {
        rub_ptable_destroy(&self);
    }
    *self_p = self;
    return rc;
}

void rub_ptable_destroy(rub_ptable_t **self_p)
{
    rub_ptable_t *self = *self_p;
    if (self != NULL) {
        self->ops->close(self);
        rub_chunks_fini(&self->chunks);
        rub_free(self);
        *self_p = NULL;
    }
}

const rub_table_view_t *rub_ptable_schema(const rub_ptable_t *self)
{
    return &self->schema;
}

int rub_ptable_set_hyper(rub_ptable_t *self, const rub_table_view_t *schema, rub_error_t *err)
{
    const rub_hyper_t hyper = rub_schema_hyper(schema);
    const int rc = rub_optimizer_check_table(self->optimizer, self->schema.kind, &hyper, err);
    if (rc != 0) {
        return rub_wrap(err, rc, "table '%s'", self->schema.name);
    }
    self->hyper = self->timed = hyper;
    rub_schema_set_hyper(&self->schema, &hyper);
    return 0;
}

size_t rub_ptable_pull_values(const rub_ptable_t *self, const rub_rows_t *rows)
{
    return rows->is_range ? (size_t)rows->count : rows->n_keys * self->schema.width;
}

int rub_ptable_pull_check(const rub_ptable_t *self, const rub_rows_t *rows, rub_error_t *err)
{
    const int rc = self->ops->check(self, rows, false, err);
    if (rc != 0) {
        return rc;
    }
    const size_t bytes = rub_ptable_pull_values(self, rows) * sizeof(float) + rows->n_keys / 8 + 1;
    if (bytes > RUB_MESSAGE_LIMIT) {
        return rub_fail(err, RUB_ELIMIT, "pull from '%s': an answer of %zu bytes, at most %u",
                        self->schema.name, bytes, RUB_MESSAGE_LIMIT);
    }
    return 0;
}

void rub_ptable_pull(const rub_ptable_t *self, const rub_rows_t *rows, float *values,
                     uint8_t *exists)
{
    self->ops->pull(self, rows, NULL, values, exists);
}

void rub_ptable_pull_scattered(const rub_ptable_t *self, const rub_rows_t *rows,
                               const uint32_t *positions, float *values, uint8_t *exists)
{
    RUB_ASSERT(!rows->is_range);
    self->ops->pull(self, rows, positions, values, exists);
}

void rub_ptable_sums(const rub_ptable_t *self, const rub_rows_t *rows, float *sums)
{
    RUB_ASSERT(self->optimizer->revises);
    self->ops->sums(self, rows, sums);
}

/* A push is looked at as a whole before the first of its values is stepped. While it is, what it
 * will step comes into the second cache, as far as that has room for both. */
static bool values_are_finite(const rub_ptable_t *self, const rub_push_view_t *push)
{
    const size_t bytes = push->n_values * sizeof(float) * (2 + self->optimizer->slots);
    if (!self->ops->fetch || bytes > FETCHED_BYTES) {
        return rub_all_finite(push->values, push->n_values);
    }
    bool finite = true;
    for (size_t at = 0; at < push->n_values; at += FETCHED_AT_ONCE) {
        const size_t left = push->n_values - at;
        const size_t n = left < FETCHED_AT_ONCE ? left : FETCHED_AT_ONCE;
        self->ops->fetch(self, push->rows.first + at, n);
        finite = rub_all_finite(push->values + at, n) && finite;
    }
    return finite;
}

int rub_ptable_push_check(const rub_ptable_t *self, const rub_push_view_t *push,
                          uint64_t memory_left_bytes, rub_error_t *err)
{
    uint64_t growth_bytes;
    int rc = self->ops->check(self, &push->rows, true, err);
    if (rc != 0) {
        return rc;
    }
    const size_t want = rub_ptable_pull_values(self, &push->rows);
    if (push->n_values != want) {
        return rub_fail(err, RUB_ESHAPE, "push to '%s': %zu values, expected %zu",
                        self->schema.name, push->n_values, want);
    }
    if (!values_are_finite(self, push)) {
        return rub_fail(err, RUB_ENAN, "push to '%s': a value is NaN or infinite",
                        self->schema.name);
    }
    rc = self->ops->growth(self, &push->rows, memory_left_bytes, &growth_bytes, err);
    if (rc == 0 && growth_bytes > memory_left_bytes) {
        rc = rub_fail(err, RUB_ELIMIT, "push to '%s': needs %llu bytes, %llu are left",
                      self->schema.name, (unsigned long long)growth_bytes,
                      (unsigned long long)memory_left_bytes);
    }
    return rc;
}

void rub_ptable_take_clock(rub_ptable_t *self, uint64_t clock, uint16_t delay)
{
    const uint64_t of = RUB_MUTANT(RATE_BY_MEMORY) ? self->chunks.n_dirty : clock;
    self->timed.lr = rub_delayed_rate(&self->hyper, of, delay);
    self->clock = clock;
}

int rub_ptable_push(rub_ptable_t *self, const rub_push_view_t *push, uint64_t lsn, rub_error_t *err)
{
    RUB_ASSERT(lsn > 0);
    rub_ptable_take_clock(self, push->clock, push->delay);
    return self->ops->push(self, push, lsn, err);
}

bool rub_ptable_dirty(const rub_ptable_t *self)
{
    return self->chunks.n_dirty > 0;
}

size_t rub_ptable_dirty_bytes(const rub_ptable_t *self)
{
    return self->chunks.n_dirty * (self->chunks.chunk_bytes + RUB_CHUNK_HEADER_BYTES);
}

bool rub_ptable_next_dirty(const rub_ptable_t *self, uint32_t *chunk_p)
{
    size_t index = *chunk_p > self->first_chunk ? *chunk_p - self->first_chunk : 0;
    if (!rub_chunks_next_dirty(&self->chunks, &index)) {
        return false;
    }
    *chunk_p = self->first_chunk + (uint32_t)index;
    return true;
}

bool rub_ptable_next_chunk(const rub_ptable_t *self, uint32_t *chunk_p)
{
    size_t index = *chunk_p > self->first_chunk ? *chunk_p - self->first_chunk : 0;
    while (index < self->chunks.n && !rub_chunks_has(&self->chunks, index)) {
        index++;
    }
    *chunk_p = self->first_chunk + (uint32_t)index;
    return index < self->chunks.n;
}

int rub_ptable_stage(rub_ptable_t *self, uint32_t chunk, uint64_t lsn, void **bytes_p,
                     size_t *n_bytes_p, rub_error_t *err)
{
    RUB_ASSERT(chunk >= self->first_chunk);
    const size_t index = chunk - self->first_chunk;
    RUB_ASSERT(rub_chunks_has(&self->chunks, index));
    const rub_chunk_t *item = &self->chunks.items[index];
    RUB_ASSERT(lsn >= self->chunks.touched_lsn);
    RUB_ASSERT(lsn >= item->loaded_lsn);
    const rub_chunk_header_t header = {
        .table = self->schema.id,
        .chunk = chunk,
        .lsn = lsn,
        .n_rows = item->n_rows - item->n_dead,
        .row_bytes = self->ops->row_bytes(self, index),
    };
    const size_t n_bytes = RUB_CHUNK_HEADER_BYTES + (size_t)header.n_rows * header.row_bytes;
    uint8_t *bytes = rub_alloc(n_bytes);
    if (bytes == NULL) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory to stage a chunk of %zu bytes",
                        self->schema.name, n_bytes);
    }
    rub_chunk_header_write(&header, bytes);
    self->ops->stage(self, index, bytes + RUB_CHUNK_HEADER_BYTES);
    rub_chunks_clean(&self->chunks, index);
    *bytes_p = bytes;
    *n_bytes_p = n_bytes;
    return 0;
}

int rub_chunk_table_id(const void *bytes, size_t n_bytes, uint32_t *id_p, rub_error_t *err)
{
    rub_chunk_header_t header;
    const int rc = rub_chunk_header_read(bytes, n_bytes, &header, err);
    if (rc == 0) {
        *id_p = header.table;
    }
    return rc;
}

int rub_ptable_load(rub_ptable_t *self, const void *bytes, size_t n_bytes, rub_error_t *err)
{
    rub_chunk_header_t header;
    const int rc = rub_chunk_header_read(bytes, n_bytes, &header, err);
    if (rc != 0) {
        return rc;
    }
    if (header.table != self->schema.id) {
        return rub_fail(err, RUB_ECORRUPT, "chunk %u is of table %u, not of '%s' (%u)",
                        header.chunk, header.table, self->schema.name, self->schema.id);
    }
    if (header.chunk < self->first_chunk || header.chunk - self->first_chunk >= self->chunk_limit) {
        return rub_fail(err, RUB_ECORRUPT, "chunk %u of '%s': shard %u takes %u from %u on",
                        header.chunk, self->schema.name, self->shard, self->chunk_limit,
                        self->first_chunk);
    }
    const size_t index = header.chunk - self->first_chunk;
    if (rub_chunks_has(&self->chunks, index)) {
        return rub_fail(err, RUB_ECORRUPT, "chunk %u of '%s' is there already", header.chunk,
                        self->schema.name);
    }
    return self->ops->load(self, index, &header, (const uint8_t *)bytes + RUB_CHUNK_HEADER_BYTES,
                           err);
}

int rub_ptable_adopt(rub_ptable_t *self, const void *bytes, size_t n_bytes, uint64_t lsn,
                     rub_error_t *err)
{
    rub_chunk_header_t header;
    const int rc = rub_chunk_header_read(bytes, n_bytes, &header, err);
    if (rc != 0) {
        return rc;
    }
    if (header.table != self->schema.id) {
        return rub_fail(err, RUB_ECORRUPT, "chunk %u is of table %u, not of '%s' (%u)",
                        header.chunk, header.table, self->schema.name, self->schema.id);
    }
    return self->ops->adopt(self, &header, (const uint8_t *)bytes + RUB_CHUNK_HEADER_BYTES, lsn,
                            err);
}

void rub_ptable_set_recovering(rub_ptable_t *self, bool recovering)
{
    self->recovering = recovering;
    self->hashed.fill_chunk = 0; /* look for room again: loaded chunks are open, or closed, now */
    if (!recovering) {
        self->n_not_admitted = 0; /* of a replay: was counted when it was new */
    }
    if (!recovering && self->ops->recovered != NULL) {
        self->ops->recovered(self);
    }
}

uint64_t rub_ptable_digest_term(const rub_ptable_t *self, uint64_t id, const float *weights,
                                size_t n)
{
    const uint32_t crc = rub_crc32c(0, weights, n * sizeof *weights);
    return rub_mix64(rub_mix64(self->placement.salt ^ rub_mix64(id)) + crc);
}

uint64_t rub_ptable_digest(const rub_ptable_t *self)
{
    return self->ops->digest(self);
}

void rub_ptable_run(const rub_ptable_t *self, uint64_t *first_p, uint64_t *n_p)
{
    const uint64_t first = self->dense.first_block * RUB_BLOCK;
    const uint64_t run = self->dense.n_blocks * RUB_BLOCK;
    const uint64_t left = self->schema.elements - (run > 0 ? first : self->schema.elements);
    *first_p = first;
    *n_p = run < left ? run : left;
}

uint64_t rub_ptable_not_admitted(const rub_ptable_t *self)
{
    return self->n_not_admitted;
}

uint64_t rub_ptable_rows(const rub_ptable_t *self)
{
    return self->n_rows;
}

size_t rub_ptable_memory_bytes(const rub_ptable_t *self)
{
    return rub_chunks_memory_bytes(&self->chunks) + self->hashed.index.memory_bytes +
           self->hashed.free_capacity * sizeof *self->hashed.free_rows +
           rub_push_counts_bytes(&self->hashed.counts);
}

int rub_ptable_each_row(const rub_ptable_t *self, rub_row_visit_t visit, void *context,
                        rub_error_t *err)
{
    return self->ops->each_row(self, visit, context, err);
}

size_t rub_ptable_counts(const rub_ptable_t *self, uint32_t *first_part_p, uint32_t *n_parts_p,
                         const uint8_t **bytes_p)
{
    const rub_push_counts_t *counts = &self->hashed.counts;
    *first_part_p = counts->first_part;
    *n_parts_p = counts->n_parts;
    *bytes_p = counts->cells;
    return rub_push_counts_bytes(counts);
}

uint64_t rub_ptable_counters(const rub_ptable_t *self, uint64_t *used_p)
{
    *used_p = rub_push_counts_used(&self->hashed.counts);
    return rub_push_counts_size(&self->hashed.counts);
}

int rub_ptable_take_counts(rub_ptable_t *self, uint32_t first_part, uint32_t n_parts,
                           const uint8_t *bytes, size_t n_bytes, rub_error_t *err)
{
    if (self->hashed.counts.most == 0) {
        return rub_fail(err, RUB_ECORRUPT, "table '%s' counts no pushes, but counts were stored",
                        self->schema.name);
    }
    const int rc =
        rub_push_counts_take(&self->hashed.counts, first_part, n_parts, bytes, n_bytes, err);
    return rc ? rub_wrap(err, RUB_ECORRUPT, "table '%s'", self->schema.name) : 0;
}

const rub_initializer_t *rub_ptable_initializer(const rub_ptable_t *self)
{
    return &self->initializer;
}

int rub_ptable_put(rub_ptable_t *self, uint64_t id, const float *values, size_t n, uint64_t lsn,
                   rub_error_t *err)
{
    return self->ops->put(self, id, values, n, lsn, err);
}
