/* Dense tables: a run of blocks of RUB_BLOCK elements, no keys. A block is a row, a chunk, and the
 * unit of an optimizer step, so a chunk's number says everything about its place, and redo compares
 * one lsn per block.
 *
 * In memory and in the store a block of n elements is {weights n, slots n each, slots of the block,
 * steps u64}; the last block of a table has n < RUB_BLOCK. A block gets memory at its first push;
 * until then pulls compute it. */
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/mutant.h"
#include "ps/table_state.h"

/* Elements of the shard's block `index`. */
static size_t block_elements(const rub_ptable_t *self, uint64_t index)
{
    const uint64_t first = (self->dense.first_block + index) * RUB_BLOCK;
    const uint64_t left = self->schema.elements - first;
    return left < RUB_BLOCK ? (size_t)left : RUB_BLOCK;
}

static size_t block_floats(const rub_ptable_t *self, uint64_t index)
{
    return rub_optimizer_floats(self->optimizer, block_elements(self, index));
}

static float *block_weights(const rub_ptable_t *self, uint64_t index)
{
    return (float *)(void *)self->chunks.data[index];
}

static uint32_t dense_row_bytes(const rub_ptable_t *self, size_t index)
{
    return (uint32_t)(block_floats(self, index) * sizeof(float) + sizeof(uint64_t));
}

static int dense_open(rub_ptable_t *self, rub_error_t *err)
{
    uint64_t first, count;
    rub_placement_run(&self->placement, self->shard, &first, &count);
    self->dense = (rub_dense_t){.first_block = first, .n_blocks = count};
    self->first_chunk = (uint32_t)first; /* RUB_DENSE_LIMIT is below 2^32 blocks */
    self->chunk_limit = (uint32_t)count;
    rub_chunks_init(&self->chunks, count > 0 ? dense_row_bytes(self, 0) : 64);
    RUB_UNUSED(err);
    return 0;
}

static void dense_close(rub_ptable_t *self)
{
    RUB_UNUSED(self);
}

static int dense_check(const rub_ptable_t *self, const rub_rows_t *rows, bool whole_blocks,
                       rub_error_t *err)
{
    const char *name = self->schema.name;
    const unsigned long long first = rows->first;
    const unsigned long long count = rows->count;
    const unsigned long long elements = self->schema.elements;
    if (!rows->is_range) {
        return rub_fail(err, RUB_ESHAPE, "table '%s' is dense: asked by %zu keys, takes a range",
                        name, rows->n_keys);
    }
    if (count == 0 || first >= elements || count > elements - first) {
        return rub_fail(err, RUB_ESHAPE, "table '%s': %llu elements from %llu, it has %llu", name,
                        count, first, elements);
    }
    const unsigned long long end = first + count;
    const uint64_t block = first / RUB_BLOCK;
    const uint64_t end_block = (end - 1) / RUB_BLOCK + 1;
    if (block < self->dense.first_block ||
        end_block > self->dense.first_block + self->dense.n_blocks) {
        return rub_fail(
            err, RUB_ESHAPE, "table '%s': blocks %llu..%llu, shard %u holds %llu blocks from %llu",
            name, (unsigned long long)block, (unsigned long long)end_block - 1, self->shard,
            (unsigned long long)self->dense.n_blocks, (unsigned long long)self->dense.first_block);
    }
    if (whole_blocks && (first % RUB_BLOCK != 0 || (end % RUB_BLOCK != 0 && end != elements))) {
        return rub_fail(err, RUB_ESHAPE,
                        "push to '%s': elements %llu..%llu are not whole blocks of %u", name, first,
                        end - 1, RUB_BLOCK);
    }
    return 0;
}

static void dense_fetch(const rub_ptable_t *self, uint64_t first, size_t n)
{
    const uint64_t index = first / RUB_BLOCK - self->dense.first_block;
    if (!rub_chunks_has(&self->chunks, index)) {
        return;
    }
    const float *values = block_weights(self, index) + first % RUB_BLOCK;
    for (uint32_t array = 0; array < 1 + self->optimizer->slots; array++) {
        rub_fetch((const uint8_t *)values, n * sizeof *values);
        values += block_elements(self, index);
    }
}

static int dense_growth(const rub_ptable_t *self, const rub_rows_t *rows, uint64_t limit_bytes,
                        uint64_t *bytes_p, rub_error_t *err)
{
    const uint64_t first = rows->first / RUB_BLOCK - self->dense.first_block;
    const uint64_t count = rub_placement_blocks(rows->count);
    uint64_t bytes = 0;
    for (uint64_t i = first; i < first + count; i++) {
        bytes += rub_chunks_has(&self->chunks, i) ? 0 : self->chunks.chunk_bytes;
    }
    *bytes_p = bytes;
    RUB_UNUSED(limit_bytes);
    RUB_UNUSED(err);
    return 0;
}

/* How many of the elements [at, end) are of at's block: *index_p, from its element *offset_p on. */
static size_t block_part(const rub_ptable_t *self, uint64_t at, uint64_t end, uint64_t *index_p,
                         uint64_t *offset_p)
{
    const uint64_t left = end - at;
    *index_p = at / RUB_BLOCK - self->dense.first_block;
    *offset_p = at % RUB_BLOCK;
    return (size_t)(left < RUB_BLOCK - *offset_p ? left : RUB_BLOCK - *offset_p);
}

static void dense_pull(const rub_ptable_t *self, const rub_rows_t *rows, const uint32_t *positions,
                       float *values, uint8_t *exists)
{
    RUB_UNUSED(positions);
    const uint64_t end = rows->first + rows->count;
    bool stored = true;
    for (uint64_t at = rows->first; at < end;) {
        uint64_t index, offset;
        const size_t n = block_part(self, at, end, &index, &offset);
        if (rub_chunks_has(&self->chunks, index)) {
            memcpy(values, block_weights(self, index) + offset, n * sizeof *values);
        } else {
            rub_initializer_fill_range(&self->initializer, at, n, values);
            stored = false;
        }
        values += n;
        at += n;
    }
    if (exists != NULL) {
        exists[0] = stored ? 1 : 0;
    }
}

static void dense_sums(const rub_ptable_t *self, const rub_rows_t *rows, float *sums)
{
    const uint64_t end = rows->first + rows->count;
    for (uint64_t at = rows->first; at < end;) {
        uint64_t index, offset;
        const size_t n = block_part(self, at, end, &index, &offset);
        if (rub_chunks_has(&self->chunks, index)) {
            const float *slots = block_weights(self, index) + block_elements(self, index);
            memcpy(sums, slots + offset, n * sizeof *sums);
        } else {
            memset(sums, 0, n * sizeof *sums);
        }
        sums += n;
        at += n;
    }
}

static int block_create(rub_ptable_t *self, uint64_t index, rub_error_t *err)
{
    if (rub_chunks_add(&self->chunks, index) != 0) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for a block", self->schema.name);
    }
    /* Fresh chunks are zeros: slots and steps are ready. */
    self->chunks.items[index].n_rows = 1;
    rub_initializer_fill_range(&self->initializer, (self->dense.first_block + index) * RUB_BLOCK,
                               block_elements(self, index), block_weights(self, index));
    self->n_rows++;
    return 0;
}

static void block_step(rub_ptable_t *self, uint64_t index, const float *gradient,
                       const float *since)
{
    const size_t n = block_elements(self, index);
    float *weights = block_weights(self, index);
    uint8_t *steps = (uint8_t *)(weights + block_floats(self, index));
    const uint64_t step = rub_get_u64(steps) + 1;
    rub_put_u64(steps, step);
    rub_optimizer_apply_late(self->optimizer, weights, weights + n, n, step, &self->timed, gradient,
                             since);
}

static int dense_push(rub_ptable_t *self, const rub_push_view_t *push, uint64_t lsn,
                      rub_error_t *err)
{
    const float *gradient = push->values;
    const float *since = push->since;
    const uint64_t first = push->rows.first / RUB_BLOCK - self->dense.first_block;
    const uint64_t end = first + rub_placement_blocks(push->rows.count);
    for (uint64_t index = first; index < end; index++) {
        if (!rub_chunks_has(&self->chunks, index)) {
            const int rc = block_create(self, index, err);
            if (rc != 0) {
                return rc;
            }
        }
        if (rub_chunks_lacks(&self->chunks, index, lsn) || RUB_MUTANT(REDO_BLIND)) {
            block_step(self, index, gradient, since);
            rub_chunks_touch(&self->chunks, index, lsn);
        }
        gradient += block_elements(self, index);
        since = since ? since + block_elements(self, index) : NULL;
    }
    return 0;
}

static void dense_stage(const rub_ptable_t *self, size_t index, uint8_t *out)
{
    memcpy(out, self->chunks.data[index], dense_row_bytes(self, index));
}

static int dense_load(rub_ptable_t *self, size_t index, const rub_chunk_header_t *header,
                      const uint8_t *body, rub_error_t *err)
{
    const uint32_t want = dense_row_bytes(self, index);
    if (header->n_rows != 1 || header->row_bytes != want) {
        return rub_fail(err, RUB_ECORRUPT, "block %u of '%s': %u rows of %u bytes, not one of %u",
                        header->chunk, self->schema.name, header->n_rows, header->row_bytes, want);
    }
    if (rub_chunks_add(&self->chunks, index) != 0) {
        return rub_fail(err, RUB_ENOMEM, "table '%s': no memory for a block", self->schema.name);
    }
    memcpy(self->chunks.data[index], body, want);
    self->chunks.items[index].n_rows = 1;
    rub_chunks_loaded(&self->chunks, index, header->lsn);
    self->n_rows++;
    return 0;
}

static int dense_adopt(rub_ptable_t *self, const rub_chunk_header_t *header, const uint8_t *body,
                       uint64_t lsn, rub_error_t *err)
{
    if (header->chunk < self->first_chunk ||
        header->chunk - self->first_chunk >= self->chunk_limit) {
        return 0; /* another shard's */
    }
    const size_t index = header->chunk - self->first_chunk;
    if (rub_chunks_has(&self->chunks, index)) {
        return rub_fail(err, RUB_ECORRUPT, "block %u of '%s' is there already", header->chunk,
                        self->schema.name);
    }
    const int rc = dense_load(self, index, header, body, err);
    if (rc == 0) {
        self->chunks.items[index].loaded_lsn = 0; /* no store of ours knows it */
        rub_chunks_touch(&self->chunks, index, lsn);
    }
    return rc;
}

static uint64_t dense_digest(const rub_ptable_t *self)
{
    uint64_t sum = 0;
    for (size_t i = 0; i < self->chunks.n; i++) {
        if (rub_chunks_has(&self->chunks, i)) {
            sum += rub_ptable_digest_term(self, self->dense.first_block + i, block_weights(self, i),
                                          block_elements(self, i));
        }
    }
    return sum;
}

static int dense_put(rub_ptable_t *self, uint64_t id, const float *values, size_t n, uint64_t lsn,
                     rub_error_t *err)
{
    const uint64_t index = id - self->dense.first_block;
    if (id < self->dense.first_block || index >= self->dense.n_blocks ||
        n != block_elements(self, index)) {
        return rub_fail(err, RUB_ESHAPE, "table '%s': block %llu of %zu numbers is none of its own",
                        self->schema.name, (unsigned long long)id, n);
    }
    if (rub_chunks_has(&self->chunks, index)) {
        return rub_fail(err, RUB_ECORRUPT, "table '%s': block %llu is there already",
                        self->schema.name, (unsigned long long)id);
    }
    const int rc = block_create(self, index, err);
    if (rc == 0) {
        memcpy(block_weights(self, index), values, n * sizeof(*values));
        rub_chunks_touch(&self->chunks, index, lsn);
    }
    return rc;
}

static int dense_each_row(const rub_ptable_t *self, rub_row_visit_t visit, void *context,
                          rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < self->chunks.n && rc == 0; i++) {
        if (rub_chunks_has(&self->chunks, i)) {
            rc = visit(context, self->dense.first_block + i, block_weights(self, i),
                       block_elements(self, i), err);
        }
    }
    return rc;
}

const rub_table_ops_t rub_dense_ops = {
    .open = dense_open,
    .close = dense_close,
    .check = dense_check,
    .fetch = dense_fetch,
    .growth = dense_growth,
    .pull = dense_pull,
    .sums = dense_sums,
    .push = dense_push,
    .row_bytes = dense_row_bytes,
    .stage = dense_stage,
    .load = dense_load,
    .adopt = dense_adopt,
    .digest = dense_digest,
    .put = dense_put,
    .each_row = dense_each_row,
};
