/* Which shard holds what: the map, fixed for the life of a job incarnation, known to clients and
 * shards alike as a pure function of a table's schema and the number of shards.
 *
 * Hashed: 1024 partitions by hash of the key, partitions in contiguous runs over the shards. Dense:
 * blocks of RUB_BLOCK elements in contiguous runs, rotated by the table's number, so that small
 * tables spread out. A shard holds at most one run of a dense table. Pinned for ever: stores depend
 * on it. */
#ifndef RUB_PLACEMENT_H
#define RUB_PLACEMENT_H

#include "common/base/hash.h"
#include "common/wire/control.h"

#define RUB_PARTITIONS 1024u
#define RUB_SHARDS_LIMIT 1024u
#define RUB_DENSE_LIMIT (UINT64_C(1) << 40) /* elements of a dense table */

typedef struct rub_placement {
    uint64_t salt;     /* rub_hash_bytes of the table's name */
    uint64_t elements; /* dense; 0 for hashed */
    uint64_t n_blocks; /* dense; 0 for hashed */
    uint32_t n_shards;
    uint32_t rotation; /* dense: table id modulo n_shards */
} rub_placement_t;

/* RUB_EINVAL: n_shards is not in 1..RUB_SHARDS_LIMIT, or a dense table without elements or above
 * RUB_DENSE_LIMIT. */
int rub_placement_init(rub_placement_t *self, const rub_table_view_t *table, uint32_t n_shards,
                       rub_error_t *err);

/* ---- hashed tables ---- */

/* The key's hash within its table: the partition is its top 10 bits. */
static inline uint64_t rub_placement_hash(const rub_placement_t *self, uint64_t key)
{
    return rub_mix64(key ^ self->salt);
}

static inline uint32_t rub_placement_partition(const rub_placement_t *self, uint64_t key)
{
    return (uint32_t)(rub_placement_hash(self, key) >> 54);
}

static inline uint32_t rub_placement_shard_of_key(const rub_placement_t *self, uint64_t key)
{
    return rub_placement_partition(self, key) * self->n_shards / RUB_PARTITIONS;
}

/* The shard's partitions are [*first_p, *first_p + *count_p); empty when there are more shards than
 * partitions. */
void rub_placement_partitions(const rub_placement_t *self, uint32_t shard, uint32_t *first_p,
                              uint32_t *count_p);

/* ---- dense tables: block b holds elements [b * RUB_BLOCK, min((b + 1) * RUB_BLOCK, elements))
 * ---- */

/* Blocks that so many elements fill, the last one perhaps in part. */
static inline uint64_t rub_placement_blocks(uint64_t elements)
{
    return elements / RUB_BLOCK + (elements % RUB_BLOCK != 0);
}

/* The shard that holds block (< n_blocks). */
uint32_t rub_placement_shard_of_block(const rub_placement_t *self, uint64_t block);

/* The shard's run of blocks: [*first_p, *first_p + *count_p). Empty (count 0) when it holds none.
 */
void rub_placement_run(const rub_placement_t *self, uint32_t shard, uint64_t *first_p,
                       uint64_t *count_p);

/* The first block behind `block` (< n_blocks) that another shard holds, or n_blocks: where to cut a
 * range. */
uint64_t rub_placement_run_end(const rub_placement_t *self, uint64_t block);

#endif
