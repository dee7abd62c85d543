/* The index of a hashed table: from the hash of a key to a row number. Open addressing within a
 * small array per partition, in buckets of one cache line.
 *
 * An entry is 25 bits of row number + 1 (0: empty) and 7 bits of tag. Keys live only in the rows: a
 * search yields rows whose tag fits, and the caller compares their keys; about one row in eighty is
 * read in vain. A search goes round its home bucket from its home entry on, then round the next
 * bucket, until it meets an empty entry; the 16 entries of a bucket are compared at once. Hash
 * bits: 10 partition, 7 tag, 4 home entry in the bucket, the low 32 the home bucket. */
#ifndef RUB_TABLE_INDEX_H
#define RUB_TABLE_INDEX_H

#include "include/rubato.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

#define RUB_INDEX_NONE UINT32_MAX
#define RUB_INDEX_ROWS_LIMIT ((UINT32_C(1) << 25) - 1) /* row numbers are below this */
#define RUB_INDEX_BUCKET 16u                           /* entries: 64 bytes */

typedef struct rub_index_part {
    uint32_t *entries; /* n_buckets x RUB_INDEX_BUCKET, 64-byte aligned; at least one is empty */
    uint32_t n_buckets;
    uint32_t n_rows;
} rub_index_part_t;

/* Arrays of all partitions, one behind the other. */
typedef struct rub_index_arrays {
    uint32_t *entries;  /* a region; NULL: none */
    uint32_t n_buckets; /* of each partition */
} rub_index_arrays_t;

typedef struct rub_table_index {
    rub_index_part_t *parts;
    uint32_t first_part, n_parts; /* the shard's partitions */
    uint32_t n_moved; /* partitions [0, n_moved) live in `now`, the others in `before` */
    rub_index_arrays_t before, now;
    uint64_t n_rows;
    uint64_t begin_rows, end_rows; /* between them the partitions move */
    uint64_t move_rows;            /* with which the next one does */
    uint64_t n_moves;              /* of partitions: with each, pointers into it are void */
    size_t memory_bytes;
} rub_table_index_t;

/* How the index reads the keys of rows, when a partition moves. */
typedef struct rub_index_keys {
    uint64_t (*hash_of)(const void *context, uint32_t row);
    void (*fetch)(const void *context, uint32_t row); /* its key will be asked for soon */
    const void *context;
} rub_index_keys_t;

int rub_index_init(rub_table_index_t *self, uint32_t first_part, uint32_t n_parts); /* RUB_ENOMEM */
void rub_index_fini(rub_table_index_t *self);

static inline rub_index_part_t *rub_index_part(const rub_table_index_t *self, uint64_t hash)
{
    return &self->parts[(uint32_t)(hash >> 54) - self->first_part];
}

static inline uint32_t rub_index_tag(uint64_t hash)
{
    return (uint32_t)(hash >> 47) & 127u;
}

static inline uint32_t rub_index_home_bucket(const rub_index_part_t *part, uint64_t hash)
{
    return (uint32_t)((uint64_t)(uint32_t)hash * part->n_buckets >> 32);
}

static inline uint32_t rub_index_home_entry(uint64_t hash)
{
    return (uint32_t)(hash >> 32) & (RUB_INDEX_BUCKET - 1);
}

/* Where the search begins; fetch it ahead. */
static inline const uint32_t *rub_index_home(const rub_index_part_t *part, uint64_t hash)
{
    return part->entries + (size_t)rub_index_home_bucket(part, hash) * RUB_INDEX_BUCKET;
}

/* Bit i of the result: entry i of the bucket has the tag (an empty one has tag 0). */
static inline uint32_t rub_index_match_tag_plain(const uint32_t *bucket, uint32_t tag)
{
    uint32_t match = 0;
    for (uint32_t i = 0; i < RUB_INDEX_BUCKET; i++) {
        match |= (uint32_t)((bucket[i] & 127u) == tag) << i;
    }
    return match;
}

/* Bit i of the result: entry i of the bucket is empty. */
static inline uint32_t rub_index_match_empty_plain(const uint32_t *bucket)
{
    uint32_t match = 0;
    for (uint32_t i = 0; i < RUB_INDEX_BUCKET; i++) {
        match |= (uint32_t)(bucket[i] == 0) << i;
    }
    return match;
}

#ifdef __SSE2__
static inline uint32_t rub_index_bits(__m128i a, __m128i b, __m128i c, __m128i d)
{
    const __m128i words = _mm_packs_epi16(_mm_packs_epi32(a, b), _mm_packs_epi32(c, d));
    return (uint32_t)_mm_movemask_epi8(words);
}

static inline uint32_t rub_index_match_tag(const uint32_t *bucket, uint32_t tag)
{
    const __m128i *in = (const __m128i *)(const void *)bucket;
    const __m128i low = _mm_set1_epi32(127), want = _mm_set1_epi32((int)tag);
    return rub_index_bits(_mm_cmpeq_epi32(_mm_and_si128(in[0], low), want),
                          _mm_cmpeq_epi32(_mm_and_si128(in[1], low), want),
                          _mm_cmpeq_epi32(_mm_and_si128(in[2], low), want),
                          _mm_cmpeq_epi32(_mm_and_si128(in[3], low), want));
}

static inline uint32_t rub_index_match_empty(const uint32_t *bucket)
{
    const __m128i *in = (const __m128i *)(const void *)bucket;
    const __m128i zero = _mm_setzero_si128();
    return rub_index_bits(_mm_cmpeq_epi32(in[0], zero), _mm_cmpeq_epi32(in[1], zero),
                          _mm_cmpeq_epi32(in[2], zero), _mm_cmpeq_epi32(in[3], zero));
}
#else
#define rub_index_match_tag rub_index_match_tag_plain
#define rub_index_match_empty rub_index_match_empty_plain
#endif

/* Which entry the search for the hash meets at its step `at`. */
static inline uint32_t *rub_index_entry(const rub_index_part_t *part, uint64_t hash, uint32_t at)
{
    const uint32_t slot = (rub_index_home_entry(hash) + at) % RUB_INDEX_BUCKET;
    uint32_t bucket = rub_index_home_bucket(part, hash) + at / RUB_INDEX_BUCKET;
    bucket = bucket < part->n_buckets ? bucket : bucket - part->n_buckets;
    return &part->entries[(size_t)bucket * RUB_INDEX_BUCKET + slot];
}

/* The bits of a bucket in the order in which a search goes round it. */
static inline uint32_t rub_index_turned(uint32_t bits, uint32_t home_entry)
{
    return (bits | bits << RUB_INDEX_BUCKET) >> home_entry & 0xffffu;
}

/* The row at the first step >= *at_p whose tag fits, or RUB_INDEX_NONE: no such key. *at_p begins
 * as 0; when the row turns out to hold another key, add 1 and ask again. */
static inline uint32_t rub_index_next(const rub_index_part_t *part, uint64_t hash, uint32_t *at_p)
{
    const uint32_t tag = rub_index_tag(hash);
    const uint32_t home_entry = rub_index_home_entry(hash);
    for (uint32_t at = *at_p;; at = (at | (RUB_INDEX_BUCKET - 1)) + 1) {
        const uint32_t *bucket =
            rub_index_entry(part, hash, at & ~(RUB_INDEX_BUCKET - 1)) - home_entry;
        uint32_t empty = rub_index_match_empty(bucket);
        uint32_t match = rub_index_match_tag(bucket, tag) & ~empty;
        match = rub_index_turned(match, home_entry) & UINT32_MAX << at % RUB_INDEX_BUCKET;
        empty = rub_index_turned(empty, home_entry);
        if (((match & (0u - match)) - 1) & empty) { /* one is empty before the first that fits */
            return RUB_INDEX_NONE;
        }
        if (match != 0) {
            const uint32_t step = (uint32_t)__builtin_ctz(match);
            *at_p = (at & ~(RUB_INDEX_BUCKET - 1)) + step;
            return (bucket[(home_entry + step) % RUB_INDEX_BUCKET] >> 7) - 1;
        }
    }
}

/* The same for step 0 and the home bucket alone, and not so careful: a row that fits may stand
 * behind an empty entry, and none may mean that it is in another bucket, or just born. */
static inline uint32_t rub_index_guess(const uint32_t *home, uint64_t hash)
{
    const uint32_t home_entry = rub_index_home_entry(hash);
    const uint32_t match =
        rub_index_turned(rub_index_match_tag(home, rub_index_tag(hash)), home_entry);
    const uint32_t step = (uint32_t)__builtin_ctz(match | 1u << RUB_INDEX_BUCKET);
    return match == 0 ? RUB_INDEX_NONE : (home[(home_entry + step) % RUB_INDEX_BUCKET] >> 7) - 1;
}

/* Room for one more row in the hash's partition. RUB_ENOMEM: what was there is still found. */
int rub_index_reserve(rub_table_index_t *self, uint64_t hash, const rub_index_keys_t *keys);
/* Adds a row whose key is not there; reserved before. */
void rub_index_insert(rub_table_index_t *self, uint64_t hash, uint32_t row);
/* The entry at step `at`, as rub_index_next left it, means that row from now on. */
void rub_index_replace(rub_table_index_t *self, uint64_t hash, uint32_t at, uint32_t row);
/* The entry at step `at`, as rub_index_next left it, means nothing any more: its row is not found,
 * all others are. Reads the keys of some of these. Steps and pointers into the partition are void.
 */
void rub_index_remove(rub_table_index_t *self, uint64_t hash, uint32_t at,
                      const rub_index_keys_t *keys);

#endif
