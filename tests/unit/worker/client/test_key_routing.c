/* Routing without a sort, against one: pairs of (key, position), sorted, tell which keys came
 * before and where for the first time. */
#include "worker/client/key_routing.h"

#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 20000 };

typedef struct pair {
    uint64_t key;
    uint32_t at;
} pair_t;

static int by_key_and_position(const void *a, const void *b)
{
    const pair_t *x = a, *y = b;
    if (x->key != y->key) {
        return x->key < y->key ? -1 : 1;
    }
    return x->at < y->at ? -1 : x->at > y->at;
}

/* first[i]: where key i stands for the first time. */
static void sort_out(const uint64_t *keys, size_t n, uint32_t *first)
{
    static pair_t pairs[MOST];
    for (size_t i = 0; i < n; i++) {
        pairs[i] = (pair_t){.key = keys[i], .at = (uint32_t)i};
    }
    qsort(pairs, n, sizeof(*pairs), by_key_and_position);
    for (size_t i = 0; i < n; i++) {
        const bool again = i > 0 && pairs[i].key == pairs[i - 1].key;
        first[pairs[i].at] = again ? first[pairs[i - 1].at] : pairs[i].at;
    }
}

static void check(const uint64_t *keys, size_t n, const rub_placement_t *placement,
                  rub_arena_t *arena)
{
    static uint32_t first[MOST];
    uint32_t counts[RUB_SHARDS_LIMIT] = {0};
    rub_key_routing_t routing;
    sort_out(keys, n, first);
    rub_arena_reset(arena);
    assert_int_equal(rub_key_routing_make(&routing, placement, keys, n, arena), 0);
    assert_int_equal(routing.shards != NULL, placement->n_shards > 1);
    size_t n_repeats = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t shard = rub_placement_shard_of_key(placement, keys[i]);
        assert_int_equal(rub_key_routing_repeats_before(&routing, i), n_repeats);
        if (first[i] != i) {
            assert_true(n_repeats < routing.n_repeats);
            assert_int_equal(routing.repeats[n_repeats].at, i);
            assert_int_equal(routing.repeats[n_repeats].first, first[i]);
            n_repeats++;
        } else {
            counts[shard]++;
        }
        if (routing.shards) {
            assert_int_equal(routing.shards[i], first[i] == i ? shard : RUB_KEY_REPEATS);
        }
    }
    assert_int_equal(n_repeats, routing.n_repeats);
    assert_memory_equal(counts, routing.counts, placement->n_shards * sizeof(*counts));
}

static void any_keys_are_routed_as_a_sort_says(void **state)
{
    (void)state;
    static const uint32_t n_shards[] = {1, 2, 3, 7, RUB_SHARDS_LIMIT};
    static const uint64_t ranges[] = {1, 5, 300, 100000, UINT64_MAX};
    static uint64_t keys[MOST];
    rub_arena_t arena;
    rub_rng_t rng;
    rub_arena_init(&arena);
    rub_rng_init(&rng, 11, 12);
    for (size_t turn = 0; turn < 300; turn++) {
        const rub_placement_t placement = {.salt = rub_rng_below(&rng, UINT64_MAX),
                                           .n_shards = n_shards[turn % 5]};
        const uint64_t range = ranges[turn / 5 % 5];
        const size_t n = rub_rng_below(&rng, turn < 290 ? 400 : MOST + 1);
        for (size_t i = 0; i < n; i++) {
            keys[i] = rub_rng_below(&rng, range);
        }
        check(keys, n, &placement, &arena);
    }
    rub_arena_fini(&arena);
}

static void ascending_keys_and_the_ends_of_u64_are_keys_like_others(void **state)
{
    (void)state;
    const uint64_t ends[] = {UINT64_MAX, 0, UINT64_MAX, 1, 0, UINT64_MAX};
    const uint64_t plateau[] = {1, 2, 2, 3};
    static uint64_t keys[MOST];
    rub_arena_t arena;
    rub_arena_init(&arena);
    for (size_t i = 0; i < MOST; i++) {
        keys[i] = 3 * i;
    }
    for (uint32_t shards = 1; shards < 4; shards++) {
        const rub_placement_t placement = {.salt = 5, .n_shards = shards};
        check(ends, 6, &placement, &arena);
        check(plateau, 4, &placement, &arena);
        check(keys, MOST, &placement, &arena);
        keys[MOST - 1] = keys[0]; /* found by the last key only */
        check(keys, MOST, &placement, &arena);
        keys[MOST - 1] = 3 * (MOST - 1);
    }
    rub_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_keys_are_routed_as_a_sort_says),
        cmocka_unit_test(ascending_keys_and_the_ends_of_u64_are_keys_like_others),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
