/* The index of a hashed table: from the hash of a key to a row number. Open addressing with linear
 * probing, one small array per partition, so that growing one touches a thousandth of the rows.
 *
 * An entry is 25 bits of row number + 1 (0: empty) and 7 bits of tag. Keys live only in the rows:
 * the tag makes a miss read a row in about one of a hundred probes. Hash bits: 10 partition, 7 tag,
 * the low 32 the place. */
#ifndef RUB_TABLE_INDEX_H
#define RUB_TABLE_INDEX_H

#include "include/rubato.h"

#define RUB_INDEX_NONE UINT32_MAX
#define RUB_INDEX_ROWS_LIMIT ((UINT32_C(1) << 25) - 1) /* row numbers are below this */

typedef struct rub_index_part {
    uint32_t *entries; /* NULL: no rows */
    uint32_t mask;     /* n entries - 1, a power of two */
    uint32_t n_rows;
} rub_index_part_t;

typedef struct rub_table_index {
    rub_index_part_t *parts;
    uint32_t first_part, n_parts; /* the shard's partitions */
    size_t memory_bytes;
} rub_table_index_t;

/* The hash of the key in that row; rows are read when a partition grows. */
typedef uint64_t (*rub_index_hash_t)(const void *context, uint32_t row);

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

/* Where the search begins; fetch it ahead. part->entries must not be NULL. */
static inline const uint32_t *rub_index_home(const rub_index_part_t *part, uint64_t hash)
{
    return &part->entries[(uint32_t)hash & part->mask];
}

/* The next row at or behind *at_p whose tag fits, or RUB_INDEX_NONE: no such key. *at_p begins as
 * (uint32_t)hash; when the row turns out to hold another key, add 1 and ask again. */
static inline uint32_t rub_index_next(const rub_index_part_t *part, uint64_t hash, uint32_t *at_p)
{
    const uint32_t tag = rub_index_tag(hash);
    if (part->entries == NULL) {
        return RUB_INDEX_NONE;
    }
    for (uint32_t at = *at_p;; at++) {
        const uint32_t entry = part->entries[at & part->mask];
        if (entry == 0) {
            return RUB_INDEX_NONE;
        }
        if ((entry & 127u) == tag) {
            *at_p = at;
            return (entry >> 7) - 1;
        }
    }
}

/* Room for one more row in the hash's partition. RUB_ENOMEM: nothing changed. */
int rub_index_reserve(rub_table_index_t *self, uint64_t hash, rub_index_hash_t hash_of,
                      const void *context);
/* Adds a row whose key is not there; reserved before. */
void rub_index_insert(rub_table_index_t *self, uint64_t hash, uint32_t row);
/* The entry at `at`, as rub_index_next left it, means that row from now on. */
void rub_index_replace(rub_table_index_t *self, uint64_t hash, uint32_t at, uint32_t row);

#endif
