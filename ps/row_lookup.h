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
#include "ps/table_state.h"

enum {
    RUB_ROWS_AHEAD = 16,
    RUB_KEYS_AHEAD = 30,
    RUB_LOOKAHEAD = 32, /* a power of two above KEYS_AHEAD */
    RUB_FETCH_BYTES = 1024
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
        for (size_t offset = 0; offset < fetch_bytes; offset += 64) {
            __builtin_prefetch(self->bytes + offset);
        }
    }
}

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
