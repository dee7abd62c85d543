/* The map of a job: key -> partition -> shard, block -> shard. It is arithmetic, not a table, so a
 * client and a shard that know the schema and the number of shards agree without talking.
 *
 * Invariant: every partition and every block has exactly one shard, and counts per shard differ by
 * at most one. Blocks and partitions stay in contiguous runs, so a range is cut into few messages;
 * the rotation by table number keeps the many tables of one block (biases) from all landing on
 * shard 0. */
#include "common/wire/placement.h"

#include "common/base/check.h"
#include "common/base/error.h"

#include <string.h>

int rub_placement_init(rub_placement_t *self, const rub_table_view_t *table, uint32_t n_shards,
                       rub_error_t *err)
{
    const bool dense = table->kind == RUB_DENSE;
    if (n_shards == 0 || n_shards > RUB_SHARDS_LIMIT) {
        return rub_fail(err, RUB_EINVAL, "table '%s': %u shards, must be 1..%u", table->name,
                        n_shards, RUB_SHARDS_LIMIT);
    }
    if (dense && (table->elements == 0 || table->elements > RUB_DENSE_LIMIT)) {
        return rub_fail(err, RUB_EINVAL, "table '%s': %llu elements, must be 1..%llu", table->name,
                        (unsigned long long)table->elements, (unsigned long long)RUB_DENSE_LIMIT);
    }
    *self = (rub_placement_t){
        .salt = rub_hash_bytes(table->name, strlen(table->name)),
        .elements = dense ? table->elements : 0,
        .n_blocks = dense ? rub_placement_blocks(table->elements) : 0,
        .n_shards = n_shards,
        .rotation = table->id % n_shards,
    };
    return 0;
}

/* The least x with x * shards / things == part, for things >= 1. */
static uint64_t run_start(uint64_t part, uint64_t things, uint64_t shards)
{
    return (part * things + shards - 1) / shards;
}

void rub_placement_partitions(const rub_placement_t *self, uint32_t shard, uint32_t *first_p,
                              uint32_t *count_p)
{
    RUB_ASSERT(shard < self->n_shards);
    const uint64_t first = run_start(shard, RUB_PARTITIONS, self->n_shards);
    const uint64_t end = run_start((uint64_t)shard + 1, RUB_PARTITIONS, self->n_shards);
    *first_p = (uint32_t)first;
    *count_p = (uint32_t)(end - first);
}

/* Which run a block is in, before the rotation. */
static uint64_t part_of_block(const rub_placement_t *self, uint64_t block)
{
    return self->n_blocks >= self->n_shards ? block * self->n_shards / self->n_blocks : block;
}

uint32_t rub_placement_shard_of_block(const rub_placement_t *self, uint64_t block)
{
    RUB_ASSERT(block < self->n_blocks);
    return (uint32_t)((part_of_block(self, block) + self->rotation) % self->n_shards);
}

void rub_placement_run(const rub_placement_t *self, uint32_t shard, uint64_t *first_p,
                       uint64_t *count_p)
{
    RUB_ASSERT(shard < self->n_shards);
    const uint64_t part = (shard + self->n_shards - self->rotation) % self->n_shards;
    if (self->n_blocks >= self->n_shards) {
        *first_p = run_start(part, self->n_blocks, self->n_shards);
        *count_p = run_start(part + 1, self->n_blocks, self->n_shards) - *first_p;
    } else {
        *first_p = part < self->n_blocks ? part : 0;
        *count_p = part < self->n_blocks ? 1 : 0;
    }
}

uint64_t rub_placement_run_end(const rub_placement_t *self, uint64_t block)
{
    RUB_ASSERT(block < self->n_blocks);
    if (self->n_blocks < self->n_shards) {
        return block + 1;
    }
    return run_start(part_of_block(self, block) + 1, self->n_blocks, self->n_shards);
}
