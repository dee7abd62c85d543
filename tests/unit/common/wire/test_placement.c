/* The map: everything has one place, evenly, and client and shard functions agree. */
#include "common/base/check.h"
#include "common/wire/placement.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static rub_placement_t make(uint32_t id, uint64_t elements, uint32_t n_shards)
{
    rub_table_view_t table = {.id = id, .kind = elements ? RUB_DENSE : RUB_HASHED};
    rub_placement_t placement;
    table.elements = elements;
    snprintf(table.name, sizeof table.name, "table %u", id);
    assert_int_equal(rub_placement_init(&placement, &table, n_shards, NULL), 0);
    return placement;
}

static void every_block_has_one_shard_and_runs_agree(void **state)
{
    (void)state;
    const uint64_t blocks[] = {1, 2, 3, 5, 7, 64, 100, 1023};
    for (size_t b = 0; b < RUB_COUNT_OF(blocks); b++) {
        for (uint32_t shards = 1; shards <= 9; shards++) {
            for (uint32_t id = 1; id <= 10; id++) {
                const rub_placement_t p = make(id, blocks[b] * RUB_BLOCK - 1, shards);
                uint64_t total = 0, least = UINT64_MAX, most = 0;
                assert_int_equal(p.n_blocks, blocks[b]);
                for (uint32_t s = 0; s < shards; s++) {
                    uint64_t first, count;
                    rub_placement_run(&p, s, &first, &count);
                    for (uint64_t i = first; i < first + count; i++) {
                        assert_int_equal(rub_placement_shard_of_block(&p, i), s);
                        assert_int_equal(rub_placement_run_end(&p, i), first + count);
                    }
                    total += count;
                    least = count < least ? count : least;
                    most = count > most ? count : most;
                }
                assert_int_equal(total, blocks[b]);
                assert_true(most - least <= 1);
            }
        }
    }
}

static void partitions_are_even_and_keys_follow_them(void **state)
{
    (void)state;
    const uint32_t shard_counts[] = {1, 2, 3, 7, 100, 1024};
    for (size_t c = 0; c < RUB_COUNT_OF(shard_counts); c++) {
        const rub_placement_t p = make(1, 0, shard_counts[c]);
        uint32_t next = 0;
        for (uint32_t s = 0; s < p.n_shards; s++) {
            uint32_t first, count;
            rub_placement_partitions(&p, s, &first, &count);
            assert_int_equal(first, next);
            assert_true(count >= RUB_PARTITIONS / p.n_shards);
            assert_true(count <= RUB_PARTITIONS / p.n_shards + 1);
            next = first + count;
        }
        assert_int_equal(next, RUB_PARTITIONS);
        for (uint64_t i = 0; i < 1000; i++) {
            const uint64_t key = i % 2 ? i : UINT64_MAX - i;
            uint32_t first, count;
            rub_placement_partitions(&p, rub_placement_shard_of_key(&p, key), &first, &count);
            const uint32_t partition = rub_placement_partition(&p, key);
            assert_true(partition >= first);
            assert_true(partition < first + count);
        }
    }
}

static void tables_of_one_block_spread_over_shards(void **state)
{
    (void)state;
    uint32_t seen = 0;
    for (uint32_t id = 1; id <= 4; id++) {
        const rub_placement_t p = make(id, 10, 4);
        seen |= 1u << rub_placement_shard_of_block(&p, 0);
    }
    assert_int_equal(seen, 15);
}

static void impossible_maps_are_refused(void **state)
{
    (void)state;
    rub_table_view_t table = {.id = 1, .name = "t", .kind = RUB_DENSE, .elements = 5};
    rub_placement_t p;
    rub_error_t err;
    assert_int_equal(rub_placement_init(&p, &table, 0, &err), RUB_EINVAL);
    assert_int_equal(rub_placement_init(&p, &table, 1025, &err), RUB_EINVAL);
    table.elements = 0;
    assert_int_equal(rub_placement_init(&p, &table, 1, &err), RUB_EINVAL);
    table.elements = RUB_DENSE_LIMIT + 1;
    assert_int_equal(rub_placement_init(&p, &table, 1, &err), RUB_EINVAL);
    table.elements = RUB_DENSE_LIMIT;
    assert_int_equal(rub_placement_init(&p, &table, 1024, &err), 0);
    assert_int_equal(rub_placement_shard_of_block(&p, p.n_blocks - 1), (1023 + 1) % 1024);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_block_has_one_shard_and_runs_agree),
        cmocka_unit_test(partitions_are_even_and_keys_follow_them),
        cmocka_unit_test(tables_of_one_block_spread_over_shards),
        cmocka_unit_test(impossible_maps_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
