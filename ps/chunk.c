/* Chunks exist so that write-back has a unit: staging copies one, the store puts one, redo compares
 * with one's lsn.
 *
 * Invariant: a chunk's memory never moves, so rows may be pointed at; the dirty bit of a chunk is
 * set by every change and cleared only when a copy for the store was made. Memory is cut from
 * regions that double up to 8 MiB: small tables stay small, large ones live in huge pages. */
#include "ps/chunk.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "rows are stored as they stand in memory: little-endian hosts only"
#endif

#define CHUNK_MAGIC UINT32_C(0x43425552) /* "RUBC" */
#define REGION_LIMIT_BYTES ((size_t)8 << 20)

typedef struct rub_chunk_region {
    void *memory;
    size_t bytes;
} rub_chunk_region_t;

void rub_chunk_header_write(const rub_chunk_header_t *header, uint8_t out[RUB_CHUNK_HEADER_BYTES])
{
    rub_put_u32(out, CHUNK_MAGIC);
    rub_put_u32(out + 4, RUB_CHUNK_VERSION);
    rub_put_u32(out + 8, header->table);
    rub_put_u32(out + 12, header->chunk);
    rub_put_u64(out + 16, header->lsn);
    rub_put_u32(out + 24, header->n_rows);
    rub_put_u32(out + 28, header->row_bytes);
}

int rub_chunk_header_read(const void *bytes, size_t n_bytes, rub_chunk_header_t *header,
                          rub_error_t *err)
{
    const uint8_t *in = bytes;
    if (n_bytes < RUB_CHUNK_HEADER_BYTES) {
        return rub_fail(err, RUB_ECORRUPT, "chunk of %zu bytes is shorter than its header of %u",
                        n_bytes, RUB_CHUNK_HEADER_BYTES);
    }
    if (rub_get_u32(in) != CHUNK_MAGIC) {
        return rub_fail(err, RUB_ECORRUPT, "chunk begins with %08x, not with %08x", rub_get_u32(in),
                        CHUNK_MAGIC);
    }
    if (rub_get_u32(in + 4) != RUB_CHUNK_VERSION) {
        return rub_fail(err, RUB_ECORRUPT, "chunk has version %u, this program reads %u",
                        rub_get_u32(in + 4), RUB_CHUNK_VERSION);
    }
    *header = (rub_chunk_header_t){
        .table = rub_get_u32(in + 8),
        .chunk = rub_get_u32(in + 12),
        .lsn = rub_get_u64(in + 16),
        .n_rows = rub_get_u32(in + 24),
        .row_bytes = rub_get_u32(in + 28),
    };
    const uint64_t body = (uint64_t)header->n_rows * header->row_bytes;
    if (header->lsn == 0 || body != n_bytes - RUB_CHUNK_HEADER_BYTES) {
        return rub_fail(err, RUB_ECORRUPT,
                        "chunk %u of table %u: %zu bytes for %u rows of %u, lsn %llu",
                        header->chunk, header->table, n_bytes, header->n_rows, header->row_bytes,
                        (unsigned long long)header->lsn);
    }
    return 0;
}

void rub_chunks_init(rub_chunks_t *self, size_t bytes)
{
    *self = (rub_chunks_t){.chunk_bytes = (bytes + 63) / 64 * 64};
}

void rub_chunks_fini(rub_chunks_t *self)
{
    for (size_t i = 0; i < self->n_regions; i++) {
        rub_region_free(self->regions[i].memory, self->regions[i].bytes);
    }
    rub_free(self->regions);
    rub_free(self->data);
    rub_free(self->items);
    rub_free(self->dirty);
    *self = (rub_chunks_t){0};
}

/* As much again as there is, at least one chunk, at most 8 MiB. */
static int region_add(rub_chunks_t *self)
{
    const size_t most = REGION_LIMIT_BYTES / self->chunk_bytes;
    size_t count = self->n_there < most ? self->n_there : most;
    count = count > 0 ? count : 1;
    const size_t bytes = count * self->chunk_bytes;
    if (rub_grow(&self->regions, &self->regions_capacity, self->n_regions + 1,
                 sizeof *self->regions) != 0) {
        return RUB_ENOMEM;
    }
    void *memory = rub_region_alloc(bytes);
    if (memory == NULL) {
        return RUB_ENOMEM;
    }
    self->regions[self->n_regions++] = (rub_chunk_region_t){.memory = memory, .bytes = bytes};
    self->fresh = memory;
    self->n_fresh = count;
    return 0;
}

/* Room for chunk `index` in the arrays. */
static int arrays_grow(rub_chunks_t *self, size_t index)
{
    const size_t words = index / 64 + 1;
    size_t capacity = self->dirty_words;
    if (words > capacity) {
        if (rub_grow(&self->dirty, &capacity, words, sizeof *self->dirty) != 0) {
            return RUB_ENOMEM;
        }
        memset(self->dirty + self->dirty_words, 0,
               (capacity - self->dirty_words) * sizeof *self->dirty);
        self->dirty_words = capacity;
    }
    if (index >= self->n) {
        if (rub_grow(&self->items, &self->capacity, index + 1, sizeof *self->items) != 0 ||
            rub_grow(&self->data, &self->data_capacity, index + 1, sizeof *self->data) != 0) {
            return RUB_ENOMEM;
        }
        memset(self->data + self->n, 0, (index + 1 - self->n) * sizeof *self->data);
        memset(self->items + self->n, 0, (index + 1 - self->n) * sizeof *self->items);
        self->n = index + 1;
    }
    return 0;
}

int rub_chunks_add(rub_chunks_t *self, size_t index)
{
    RUB_ASSERT(!rub_chunks_has(self, index));
    if (self->n_fresh == 0 && region_add(self) != 0) {
        return RUB_ENOMEM;
    }
    if (arrays_grow(self, index) != 0) {
        return RUB_ENOMEM;
    }
    self->data[index] = self->fresh;
    self->items[index] = (rub_chunk_t){0};
    self->fresh += self->chunk_bytes;
    self->n_fresh--;
    self->n_there++;
    return 0;
}

void rub_chunks_clean(rub_chunks_t *self, size_t index)
{
    const uint64_t bit = UINT64_C(1) << (index % 64);
    if ((self->dirty[index / 64] & bit) != 0) {
        self->dirty[index / 64] &= ~bit;
        self->n_dirty--;
    }
}

bool rub_chunks_next_dirty(const rub_chunks_t *self, size_t *index_p)
{
    size_t word = *index_p / 64;
    if (self->n_dirty == 0 || word >= self->dirty_words) {
        return false;
    }
    uint64_t bits = self->dirty[word] & (UINT64_MAX << (*index_p % 64));
    while (bits == 0) {
        if (++word == self->dirty_words) {
            return false;
        }
        bits = self->dirty[word];
    }
    *index_p = word * 64 + (size_t)__builtin_ctzll(bits);
    return true;
}

size_t rub_chunks_memory_bytes(const rub_chunks_t *self)
{
    return self->n_there * self->chunk_bytes + self->capacity * sizeof *self->items +
           self->data_capacity * sizeof *self->data + self->dirty_words * sizeof *self->dirty;
}
