/* The index by itself: rows are their hashes here, so that every bad case can be written down. */
#include "common/base/alloc.h"
#include "common/base/hash.h"
#include "common/base/rng.h"
#include "ps/table_index.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

typedef struct world {
    rub_table_index_t index;
    uint64_t *hashes; /* of row i */
    uint32_t n;
} world_t;

static uint64_t hash_of(const void *context, uint32_t row)
{
    const world_t *world = context;
    assert_true(row < world->n);
    return world->hashes[row];
}

static void fetch(const void *context, uint32_t row)
{
    const world_t *world = context;
    __builtin_prefetch(&world->hashes[row]);
}

static void world_open(world_t *world, uint32_t first_part, uint32_t n_parts, uint32_t room)
{
    *world = (world_t){.hashes = rub_calloc(room, sizeof(uint64_t))};
    assert_non_null(world->hashes);
    assert_int_equal(rub_index_init(&world->index, first_part, n_parts), 0);
}

static void world_close(world_t *world)
{
    rub_index_fini(&world->index);
    rub_free(world->hashes);
}

/* Two rows with one hash are two keys to the index: which is meant is told by the row. */
static uint32_t find(const world_t *world, uint64_t hash, uint32_t want)
{
    const rub_index_part_t *part = rub_index_part(&world->index, hash);
    uint32_t at = 0;
    for (;; at++) {
        const uint32_t row = rub_index_next(part, hash, &at);
        if (row == want || row == RUB_INDEX_NONE) {
            return row;
        }
        assert_int_equal(rub_index_tag(world->hashes[row]), rub_index_tag(hash));
    }
}

static void add(world_t *world, uint64_t hash)
{
    const rub_index_keys_t keys = {.hash_of = hash_of, .fetch = fetch, .context = world};
    world->hashes[world->n] = hash;
    assert_int_equal(rub_index_reserve(&world->index, hash, &keys), 0);
    rub_index_insert(&world->index, hash, world->n++);
}

static void assert_all_found(const world_t *world)
{
    for (uint32_t row = 0; row < world->n; row++) {
        assert_int_equal(find(world, world->hashes[row], row), row);
    }
}

static void every_row_is_found_at_every_size(void **state)
{
    (void)state;
    enum { ROWS = 300000 };
    static const struct {
        uint32_t first, n;
    } shards[] = {{0, 1024}, {1021, 3}, {512, 64}};
    for (size_t s = 0; s < 3; s++) {
        world_t world;
        world_open(&world, shards[s].first, shards[s].n, ROWS);
        uint32_t look = 1;
        for (uint64_t i = 0; i < ROWS; i++) {
            const uint64_t mixed = rub_mix64(i + 1);
            add(&world, (mixed & (UINT64_MAX >> 10)) |
                            (shards[s].first + (mixed >> 54) % shards[s].n) << 54);
            if (world.n == look) {
                look = look * 3 / 2 + 1;
                assert_all_found(&world);
            }
        }
        assert_all_found(&world);
        world_close(&world);
    }
}

static void keys_that_were_never_added_are_not_found(void **state)
{
    (void)state;
    world_t world;
    world_open(&world, 0, 1024, 50000);
    for (uint64_t i = 0; i < 1000; i++) {
        assert_int_equal(find(&world, rub_mix64(i), 0), RUB_INDEX_NONE);
    }
    for (uint64_t i = 0; i < 50000; i++) {
        add(&world, rub_mix64(i));
    }
    for (uint64_t i = 50000; i < 200000; i++) { /* whose tag is another row's is the caller's */
        assert_int_equal(find(&world, rub_mix64(i), UINT32_MAX - 1), RUB_INDEX_NONE);
    }
    world_close(&world);
}

/* Whoever chooses keys can choose them of one partition, one bucket, one tag. */
static void chosen_keys_cost_time_but_lose_nothing(void **state)
{
    (void)state;
    static const uint64_t masks[] = {UINT64_MAX >> 10, UINT64_C(0x003f8000ffffffff),
                                     UINT64_C(0x003f8000000000ff), 0};
    static const uint32_t counts[] = {100000, 20000, 3000, 500};
    for (size_t m = 0; m < 4; m++) {
        world_t world;
        world_open(&world, 0, 1024, counts[m]);
        for (uint32_t i = 0; i < counts[m]; i++) {
            add(&world, (rub_mix64(i) & masks[m]) | UINT64_C(77) << 54);
        }
        assert_all_found(&world);
        world_close(&world);
    }
}

/* A skewed partition's array is its own until the region's arrays are as large. */
static void a_partition_with_an_array_of_its_own_comes_back(void **state)
{
    (void)state;
    world_t world;
    world_open(&world, 0, 16, 400000);
    for (uint64_t i = 0; i < 2000; i++) {
        add(&world, rub_mix64(i) >> 10);
    }
    assert_true(world.index.parts[0].n_buckets > world.index.now.n_buckets);
    for (uint64_t i = 0; i < 390000; i++) {
        add(&world, (rub_mix64(i + 10000) >> 10) | (i % 16) << 54);
    }
    assert_int_equal(world.index.parts[0].n_buckets, world.index.now.n_buckets);
    assert_all_found(&world);
    world_close(&world);
}

static void memory_grows_in_small_steps_and_is_the_same_per_row_at_any_size(void **state)
{
    (void)state;
    enum { ROWS = 2000000 };
    world_t world;
    world_open(&world, 0, 1024, ROWS);
    size_t before = world.index.memory_bytes;
    for (uint64_t i = 0; i < ROWS; i++) {
        add(&world, rub_mix64(i));
        assert_true(world.index.memory_bytes <= before + (128 << 10)); /* the first: all */
        before = world.index.memory_bytes;
        if (world.n >= 300000) { /* small arrays leave more room for chance */
            assert_true((double)before <= (world.n < 1200000 ? 7.5 : 6.5) * world.n);
        }
    }
    world_close(&world);
}

static void a_replaced_entry_means_the_other_row(void **state)
{
    (void)state;
    world_t world;
    world_open(&world, 0, 1024, 3000);
    for (uint64_t i = 0; i < 2000; i++) {
        add(&world, rub_mix64(i));
    }
    for (uint32_t row = 0; row < 1000; row++) {
        const uint64_t hash = world.hashes[row];
        uint32_t at = 0;
        while (rub_index_next(rub_index_part(&world.index, hash), hash, &at) != row) {
            at++;
        }
        world.hashes[2000 + row] = hash;
        rub_index_replace(&world.index, hash, at, 2000 + row);
        assert_int_equal(find(&world, hash, 2000 + row), 2000 + row);
        assert_int_equal(find(&world, hash, row), RUB_INDEX_NONE);
    }
    world_close(&world);
}

static void take_away(world_t *world, uint32_t row)
{
    const rub_index_keys_t keys = {.hash_of = hash_of, .fetch = fetch, .context = world};
    const uint64_t hash = world->hashes[row];
    uint32_t at = 0;
    while (rub_index_next(rub_index_part(&world->index, hash), hash, &at) != row) {
        at++;
    }
    rub_index_remove(&world->index, hash, at, &keys);
}

/* Rows come and go at random, in arrays that are nearly full, and in one bucket. */
static void removed_rows_are_gone_and_all_others_are_found(void **state)
{
    (void)state;
    static const uint64_t masks[] = {UINT64_MAX, UINT64_MAX >> 10, UINT64_C(0x003f8000000000ff), 0};
    static const uint32_t counts[] = {60000, 5000, 1000, 300};
    for (size_t m = 0; m < 4; m++) {
        world_t world;
        rub_rng_t rng;
        bool *there = rub_calloc(counts[m], sizeof(bool));
        world_open(&world, 0, 1024, counts[m]);
        rub_rng_init(&rng, m, 7);
        for (uint32_t i = 0; i < counts[m]; i++) {
            add(&world, rub_mix64(i) & masks[m]);
            there[i] = true;
            for (uint32_t k = 0; k < 2 && i > counts[m] / 2; k++) { /* more go than come */
                const uint32_t row = (uint32_t)rub_rng_below(&rng, i + 1);
                if (there[row]) {
                    take_away(&world, row);
                    there[row] = false;
                }
            }
        }
        uint32_t n = 0;
        for (uint32_t row = 0; row < world.n; row++) {
            n += there[row];
            assert_int_equal(find(&world, world.hashes[row], row),
                             there[row] ? row : RUB_INDEX_NONE);
        }
        assert_true(n > 0);
        assert_int_equal(world.index.n_rows, n);
        rub_free(there);
        world_close(&world);
    }
}

static void a_guess_is_what_the_search_finds_or_says_nothing(void **state)
{
    (void)state;
    world_t world;
    uint32_t right = 0;
    world_open(&world, 0, 1024, 100000);
    for (uint64_t i = 0; i < 100000; i++) {
        add(&world, rub_mix64(i));
    }
    for (uint32_t row = 0; row < world.n; row++) {
        const uint64_t hash = world.hashes[row];
        const rub_index_part_t *part = rub_index_part(&world.index, hash);
        const uint32_t guess = rub_index_guess(rub_index_home(part, hash), hash);
        assert_true(guess == RUB_INDEX_NONE || guess < world.n);
        right += guess == row;
    }
    assert_true(right > 90000);
    world_close(&world);
}

static void buckets_are_compared_as_plain_c_does(void **state)
{
    (void)state;
    _Alignas(64) uint32_t bucket[RUB_INDEX_BUCKET];
    rub_rng_t rng;
    rub_rng_init(&rng, 3, 0);
    for (int turn = 0; turn < 20000; turn++) {
        for (uint32_t i = 0; i < RUB_INDEX_BUCKET; i++) {
            const uint32_t kind = (uint32_t)rub_rng_below(&rng, 4);
            bucket[i] = kind == 0   ? 0
                        : kind == 1 ? rub_rng_u32(&rng) & ~127u
                        : kind == 2 ? UINT32_MAX - (uint32_t)rub_rng_below(&rng, 3)
                                    : rub_rng_u32(&rng);
        }
        const uint32_t tag = turn % 2 ? (uint32_t)rub_rng_below(&rng, 128) : bucket[5] & 127u;
        assert_int_equal(rub_index_match_tag(bucket, tag), rub_index_match_tag_plain(bucket, tag));
        assert_int_equal(rub_index_match_empty(bucket), rub_index_match_empty_plain(bucket));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_is_found_at_every_size),
        cmocka_unit_test(keys_that_were_never_added_are_not_found),
        cmocka_unit_test(chosen_keys_cost_time_but_lose_nothing),
        cmocka_unit_test(a_partition_with_an_array_of_its_own_comes_back),
        cmocka_unit_test(memory_grows_in_small_steps_and_is_the_same_per_row_at_any_size),
        cmocka_unit_test(a_replaced_entry_means_the_other_row),
        cmocka_unit_test(removed_rows_are_gone_and_all_others_are_found),
        cmocka_unit_test(a_guess_is_what_the_search_finds_or_says_nothing),
        cmocka_unit_test(buckets_are_compared_as_plain_c_does),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
