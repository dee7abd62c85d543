/* Bsp folding: one step per row and period, in rank order, the same bits wherever the rows are. */
#include "tests/unit/ps/table_fixture.h"

#include "common/base/rng.h"

enum { WIDTH = 5, RANKS = 7, KEYS_EACH = 200, UNIVERSE = 500, ELEMENTS = 6 * RUB_BLOCK + 33 };

static void one_step_is_taken_with_the_mean(void **state)
{
    (void)state;
    rub_ptable_t *folded = table_of(RUB_HASHED, 1, RUB_ADAGRAD);
    rub_ptable_t *plain = table_of(RUB_HASHED, 1, RUB_ADAGRAD);
    const uint64_t keys[3] = {4, 9, 4};
    const float first[3] = {1.0f, 2.0f, 3.0f}, second[1] = {5.0f};
    const rub_push_view_t pushes[2] = {keys_push(keys, 3, first, 1), keys_push(keys, 1, second, 1)};
    assert_int_equal(rub_ptable_push_folded(folded, pushes, 2, 0.5f, 9, NULL), 0);
    push_key(plain, 4, (1.0f + 3.0f + 5.0f) * 0.5f, 9);
    push_key(plain, 9, 2.0f * 0.5f, 9);
    assert_int_equal(rub_ptable_digest(folded), rub_ptable_digest(plain));
    rub_ptable_destroy(&folded);
    rub_ptable_destroy(&plain);
}

/* The keys of one push that a shard holds, with their values. */
static size_t cut(const uint64_t *keys, const float *values, size_t n, uint32_t shard,
                  uint32_t n_shards, uint64_t *keys_out, float *values_out)
{
    const rub_placement_t placement = {.salt = rub_hash_bytes("weights", 7), .n_shards = n_shards};
    size_t count = 0;
    for (size_t i = 0; i < n; i++) {
        if (rub_placement_shard_of_key(&placement, keys[i]) == shard) {
            keys_out[count] = keys[i];
            memcpy(values_out + count * WIDTH, values + i * WIDTH, WIDTH * sizeof *values);
            count++;
        }
    }
    return count;
}

static uint64_t hashed_digest(uint32_t n_shards)
{
    static uint64_t keys[RANKS][KEYS_EACH], own_keys[RANKS][KEYS_EACH];
    static float values[RANKS][KEYS_EACH * WIDTH], own_values[RANKS][KEYS_EACH * WIDTH];
    uint64_t digest = 0;
    for (uint32_t shard = 0; shard < n_shards; shard++) {
        rub_ptable_t *table = table_on(RUB_HASHED, WIDTH, RUB_ADAM, shard, n_shards);
        rub_rng_t rng;
        rub_rng_init(&rng, 3, 0);
        for (uint64_t period = 1; period <= 5; period++) {
            rub_push_view_t pushes[2 * RANKS];
            size_t n_pushes = 0;
            for (int rank = 0; rank < RANKS; rank++) {
                for (int i = 0; i < KEYS_EACH; i++) {
                    keys[rank][i] = rub_rng_below(&rng, UNIVERSE);
                }
                for (int i = 0; i < KEYS_EACH * WIDTH; i++) {
                    values[rank][i] = (float)rub_rng_unit(&rng) - 0.3f;
                }
                const size_t n = cut(keys[rank], values[rank], KEYS_EACH, shard, n_shards,
                                     own_keys[rank], own_values[rank]);
                /* In two messages, cut differently for each number of shards. */
                const size_t half = n / (1 + n_shards);
                pushes[n_pushes++] = keys_push(own_keys[rank], half, own_values[rank], WIDTH);
                pushes[n_pushes++] = keys_push(own_keys[rank] + half, n - half,
                                               own_values[rank] + half * WIDTH, WIDTH);
            }
            assert_int_equal(
                rub_ptable_push_folded(table, pushes, n_pushes, 1.0f / RANKS, period, NULL), 0);
        }
        digest += rub_ptable_digest(table);
        rub_ptable_destroy(&table);
    }
    return digest;
}

static void hashed_results_do_not_depend_on_the_number_of_shards(void **state)
{
    (void)state;
    const uint64_t digest = hashed_digest(1);
    assert_int_not_equal(digest, 0);
    for (uint32_t n_shards = 2; n_shards <= 5; n_shards++) {
        assert_int_equal(hashed_digest(n_shards), digest);
    }
}

static uint64_t dense_digest(uint32_t n_shards)
{
    static float values[RANKS][ELEMENTS];
    const rub_table_view_t schema = schema_of(RUB_DENSE, ELEMENTS, RUB_MOMENTUM);
    uint64_t digest = 0;
    for (int rank = 0; rank < RANKS; rank++) {
        rub_rng_t rng;
        rub_rng_init(&rng, 4, (uint64_t)rank);
        for (int i = 0; i < ELEMENTS; i++) {
            values[rank][i] = (float)rub_rng_unit(&rng);
        }
    }
    for (uint32_t shard = 0; shard < n_shards; shard++) {
        rub_ptable_t *table = table_on(RUB_DENSE, ELEMENTS, RUB_MOMENTUM, shard, n_shards);
        rub_placement_t placement;
        uint64_t first, count;
        rub_placement_init(&placement, &schema, n_shards, NULL);
        rub_placement_run(&placement, shard, &first, &count);
        for (uint64_t period = 1; period <= 3 && count > 0; period++) {
            rub_push_view_t pushes[RANKS * 8];
            size_t n_pushes = 0;
            for (int rank = 0; rank < RANKS; rank++) {
                for (uint64_t b = first; b < first + count; b++) {
                    const uint64_t from = b * RUB_BLOCK;
                    const uint64_t n = ELEMENTS - from < RUB_BLOCK ? ELEMENTS - from : RUB_BLOCK;
                    pushes[n_pushes++] = range_push(from, n, values[rank] + from);
                    assert_int_equal(check(table, pushes[n_pushes - 1]), 0);
                }
            }
            assert_int_equal(
                rub_ptable_push_folded(table, pushes, n_pushes, 1.0f / RANKS, period, NULL), 0);
        }
        digest += rub_ptable_digest(table);
        rub_ptable_destroy(&table);
    }
    return digest;
}

static void dense_results_do_not_depend_on_the_number_of_shards(void **state)
{
    (void)state;
    const uint64_t digest = dense_digest(1);
    for (uint32_t n_shards = 2; n_shards <= 9; n_shards++) {
        assert_int_equal(dense_digest(n_shards), digest);
    }
}

static void the_order_of_ranks_is_the_order_of_additions(void **state)
{
    (void)state;
    rub_ptable_t *table = table_of(RUB_HASHED, 1, RUB_SGD);
    const uint64_t key = 1;
    const float large = 1e8f, small = 1.0f, minus = -1e8f;
    float before, after;
    pull_key(table, key, &before);
    const rub_push_view_t pushes[3] = {keys_push(&key, 1, &large, 1), keys_push(&key, 1, &minus, 1),
                                       keys_push(&key, 1, &small, 1)};
    assert_int_equal(rub_ptable_push_folded(table, pushes, 3, 1.0f, 1, NULL), 0);
    pull_key(table, key, &after);
    assert_true(after == before - 0.125f); /* (large + minus) + small; the other order gives 0 */
    rub_ptable_destroy(&table);
}

static void folding_twice_under_one_lsn_after_loading_is_once(void **state)
{
    (void)state;
    rub_ptable_t *table = table_of(RUB_HASHED, 1, RUB_ADD);
    rub_ptable_t *again = table_of(RUB_HASHED, 1, RUB_ADD);
    const uint64_t key = 1;
    const float value = 1;
    const rub_push_view_t view = keys_push(&key, 1, &value, 1);
    assert_int_equal(rub_ptable_push_folded(table, &view, 1, 1.0f, 7, NULL), 0);
    const staged_t staged = stage(table, 0, 7);
    rub_ptable_set_recovering(again, true);
    load(again, staged);
    assert_int_equal(rub_ptable_push_folded(again, &view, 1, 1.0f, 7, NULL), 0);
    assert_false(rub_ptable_dirty(again));
    assert_int_equal(rub_ptable_digest(table), rub_ptable_digest(again));
    rub_free(staged.bytes);
    rub_ptable_destroy(&table);
    rub_ptable_destroy(&again);
}

static void a_period_without_pushes_changes_nothing(void **state)
{
    (void)state;
    rub_ptable_t *table = table_of(RUB_HASHED, 1, RUB_ADD);
    assert_int_equal(rub_ptable_push_folded(table, NULL, 0, 1.0f, 1, NULL), 0);
    assert_int_equal(rub_ptable_rows(table), 0);
    rub_ptable_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_step_is_taken_with_the_mean),
        cmocka_unit_test(hashed_results_do_not_depend_on_the_number_of_shards),
        cmocka_unit_test(dense_results_do_not_depend_on_the_number_of_shards),
        cmocka_unit_test(the_order_of_ranks_is_the_order_of_additions),
        cmocka_unit_test(folding_twice_under_one_lsn_after_loading_is_once),
        cmocka_unit_test(a_period_without_pushes_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
