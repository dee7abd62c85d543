/* Finding the rows of a hashed table: one key at a time, and the many keys of a message with their
 * cache misses side by side. Only the files of hashed tables include this.
 *
 * A random row costs two misses, one in the index and one in the rows, each as long as hundreds of
 * instructions. A lookahead therefore walks before who uses the rows: the key KEYS_AHEAD places
 * ahead is hashed and its bucket fetched, the one ROWS_AHEAD ahead, whose bucket has arrived by
 * then, is looked up as far as its tag and its row fetched (Chen, Ailamaki, Gibbons & Mowry,
 * "Improving hash join performance through prefetching", ICDE 2004: software-pipelined
 * prefetching).
 */
#ifndef RUB_ROW_LOOKUP_H
#define RUB_ROW_LOOKUP_H

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "ps/table_state.h"

enum {
    RUB_ROWS_AHEAD = 16,
    RUB_KEYS_AHEAD = 30,
    RUB_LOOKAHEAD = 32,    /* a power of two above KEYS_AHEAD */
    RUB_ROWS_TOGETHER = 16 /* that are used at once: as many as a first cache holds easily */
};

static inline uint8_t *rub_row_at(const rub_ptable_t *self, uint32_t row)
{
    const uint32_t shift = self->hashed.rows_shift;
    const size_t place = row & ((UINT32_C(1) << shift) - 1);
    return self->chunks.data[row >> shift] + place * self->hashed.row_bytes;
}

static inline uint64_t rub_row_key_at(const uint8_t *row)
{
    uint64_t key;
    memcpy(&key, row, sizeof key);
    return key;
}

/* The key's row, or RUB_INDEX_NONE. *at_p: where the index says so. */
static inline uint32_t rub_row_find(const rub_ptable_t *self, uint64_t key, uint64_t hash,
                                    uint32_t *at_p)
{
    const rub_index_part_t *part = rub_index_part(&self->hashed.index, hash);
    *at_p = 0;
    for (;;) {
        const uint32_t row = rub_index_next(part, hash, at_p);
        if (row == RUB_INDEX_NONE || rub_row_key_at(rub_row_at(self, row)) == key) {
            return row;
        }
        (*at_p)++;
    }
}

/* The lengths that embeddings have are known to the compiler, which then needs no call. */
static inline void rub_row_copy(float *out, const float *in, uint32_t width)
{
    switch (width) {
    case 1:
        *out = *in;
        break;
    case 8:
        memcpy(out, in, 8 * sizeof *out);
        break;
    case 16:
        memcpy(out, in, 16 * sizeof *out);
        break;
    case 32:
        memcpy(out, in, 32 * sizeof *out);
        break;
    case 64:
        memcpy(out, in, 64 * sizeof *out);
        break;
    default:
        memcpy(out, in, width * sizeof *out);
    }
}

/* A key under way. */
typedef struct rub_probe {
    uint64_t key, hash;
    const uint32_t *bucket; /* its home */
    uint8_t *bytes;         /* of the row */
    uint32_t row;           /* whose tag fits; RUB_INDEX_NONE: there was none */
} rub_probe_t;

/* Probe i % RUB_LOOKAHEAD is key i's. */
typedef struct rub_lookahead {
    rub_probe_t probes[RUB_LOOKAHEAD];
} rub_lookahead_t;

static inline void rub_probe_begin(rub_probe_t *self, const rub_ptable_t *table, const uint8_t *key)
{
    self->key = rub_get_u64(key);
    self->hash = rub_placement_hash(&table->placement, self->key);
    self->bucket = rub_index_home(rub_index_part(&table->hashed.index, self->hash), self->hash);
    __builtin_prefetch(self->bucket);
}

/* fetch_bytes: how much of the row is fetched. */
static inline void rub_probe_look(rub_probe_t *self, const rub_ptable_t *table, size_t fetch_bytes)
{
    self->row = rub_index_guess(self->bucket, self->hash);
    if (self->row == RUB_INDEX_NONE) {
        uint32_t at = 0;
        self->row =
            rub_index_next(rub_index_part(&table->hashed.index, self->hash), self->hash, &at);
    }
    if (self->row != RUB_INDEX_NONE) {
        self->bytes = rub_row_at(table, self->row);
        rub_fetch(self->bytes, fetch_bytes);
    }
}

/* Whether rows came one behind the other so far. Begins as zeros. */
typedef struct rub_follow {
    uint32_t next; /* behind the last one */
    uint32_t n;    /* of them, in a row */
} rub_follow_t;

/* keys: n_keys x u64, little-endian; borrowed until the last was taken. */
static inline void rub_lookahead_open(rub_lookahead_t *self, const rub_ptable_t *table,
                                      const uint8_t *keys, size_t n_keys, size_t fetch_bytes)
{
    for (size_t i = 0; i < n_keys && i < RUB_KEYS_AHEAD; i++) {
        rub_probe_begin(&self->probes[i], table, keys + 8 * i);
    }
    for (size_t i = 0; i < n_keys && i < RUB_ROWS_AHEAD; i++) {
        rub_probe_look(&self->probes[i], table, fetch_bytes);
    }
}

/* Behind key i the index changed: the buckets of the keys that were only hashed may be elsewhere.
 */
static inline void rub_lookahead_renew(rub_lookahead_t *self, const rub_ptable_t *table,
                                       const uint8_t *keys, size_t n_keys, size_t i)
{
    for (size_t k = i + RUB_ROWS_AHEAD + 1; k <= i + RUB_KEYS_AHEAD && k < n_keys; k++) {
        rub_probe_begin(&self->probes[k % RUB_LOOKAHEAD], table, keys + 8 * k);
    }
}

/* The probe of key i; called once for each key, in order, with what open was called with. Valid
 * until the next call. */
static inline const rub_probe_t *rub_lookahead_take(rub_lookahead_t *self,
                                                    const rub_ptable_t *table, const uint8_t *keys,
                                                    size_t n_keys, size_t fetch_bytes, size_t i)
{
    if (i + RUB_KEYS_AHEAD < n_keys) {
        rub_probe_begin(&self->probes[(i + RUB_KEYS_AHEAD) % RUB_LOOKAHEAD], table,
                        keys + 8 * (i + RUB_KEYS_AHEAD));
    }
    if (i + RUB_ROWS_AHEAD < n_keys) {
        rub_probe_look(&self->probes[(i + RUB_ROWS_AHEAD) % RUB_LOOKAHEAD], table, fetch_bytes);
    }
    return &self->probes[i % RUB_LOOKAHEAD];
}

/* How many keys from i on, in their order, are those of the row and of the ones behind it in its
 * chunk; looks at RUB_ROWS_TOGETHER at most. A push of new keys lays their rows side by side, so
 * that a set of keys that comes again in its order is found by walking along the rows: no hash, no
 * index. Rows that another chunk owns now still have their key, so a chunk with such rows is not
 * walked through. fetch_bytes: as in rub_lookahead_open, of rows further on. */
static inline size_t rub_rows_follow(const rub_ptable_t *self, uint32_t row, const rub_rows_t *rows,
                                     size_t i, size_t fetch_bytes)
{
    const uint32_t shift = self->hashed.rows_shift;
    const uint32_t place = row & ((UINT32_C(1) << shift) - 1);
    if (!rub_chunks_has(&self->chunks, row >> shift)) {
        return 0;
    }
    const rub_chunk_t *chunk = &self->chunks.items[row >> shift];
    if (chunk->n_dead > 0 || chunk->n_rows <= place) {
        return 0;
    }
    size_t most = rows->n_keys - i < RUB_ROWS_TOGETHER ? rows->n_keys - i : RUB_ROWS_TOGETHER;
    most = chunk->n_rows - place < most ? chunk->n_rows - place : most;
    const size_t row_bytes = self->hashed.row_bytes;
    const uint8_t *bytes = rub_row_at(self, row);
    const uint8_t *keys = rows->keys + 8 * i;
    size_t n = 0;
    for (; n < most && rub_row_key_at(bytes) == rub_get_u64(keys + 8 * n); n++) {
        rub_fetch(bytes + RUB_ROWS_AHEAD * row_bytes, fetch_bytes); /* chunks stand side by side */
        bytes += row_bytes;
    }
    return n;
}

/* Notes that a key's row was found; true once so many rows followed each other that walking is
 * worth a try, and that what was looked up ahead in vain does not count. */
static inline bool rub_followed(rub_follow_t *self, uint32_t row)
{
    self->n = row == self->next ? self->n + 1 : 0;
    self->next = row + 1;
    return self->n >= RUB_KEYS_AHEAD;
}

/* The row of key i, of rows that were found before; the one AHEAD of it is fetched. */
static inline uint32_t rub_found_take(const rub_ptable_t *self, const rub_rows_t *rows, size_t i,
                                      size_t fetch_bytes)
{
    const uint32_t *found = rows->found->rows;
    if (i + RUB_ROWS_AHEAD < rows->n_keys) {
        rub_fetch(rub_row_at(self, found[i + RUB_ROWS_AHEAD]), fetch_bytes);
    }
    RUB_ASSERT(rub_row_key_at(rub_row_at(self, found[i])) == rub_get_u64(rows->keys + 8 * i));
    return found[i];
}

/* Are they known, so that rub_found_take may be used? Fetches the first ones. */
bool rub_found_begin(const rub_ptable_t *self, const rub_rows_t *rows, size_t fetch_bytes);
/* Looks for the rows of a list that comes again, unless they were sought in vain, or stand one
 * behind the other, which is followed faster than it is remembered. */
void rub_found_seek(const rub_ptable_t *self, const rub_rows_t *rows);

/* The row that a probe meant: the tag may have lied. */
static inline uint32_t rub_probe_settle(const rub_ptable_t *self, const rub_probe_t *probe,
                                        uint8_t **bytes_p)
{
    uint32_t at;
    *bytes_p = probe->bytes;
    if (probe->row == RUB_INDEX_NONE || rub_row_key_at(probe->bytes) == probe->key) {
        return probe->row;
    }
    const uint32_t row = rub_row_find(self, probe->key, probe->hash, &at);
    *bytes_p = row != RUB_INDEX_NONE ? rub_row_at(self, row) : NULL;
    return row;
}

#endif
