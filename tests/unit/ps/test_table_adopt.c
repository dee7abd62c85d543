/* Rows change shards with everything that belongs to them: weights, slots, step counters. */
#include "tests/unit/ps/table_fixture.h"

enum { KEYS = 3000, WIDTH = 4, ELEMENTS = 11 * RUB_BLOCK + 100 };

static float gradient_of(uint64_t id, int round)
{
    return 0.001F * (float)((id * 7 + (uint64_t)round * 13) % 101) - 0.05F;
}

/* The push of what the shard holds; 0: nothing. */
static void push_round(rub_ptable_t *table, const rub_placement_t *placement, uint32_t shard,
                       int round, uint64_t lsn)
{
    for (uint64_t key = 0; placement->n_blocks == 0 && key < KEYS; key++) {
        if (rub_placement_shard_of_key(placement, key) == shard && key % 5 >= (uint64_t)round % 3) {
            float values[WIDTH];
            for (int i = 0; i < WIDTH; i++) {
                values[i] = gradient_of(key * WIDTH + (uint64_t)i, round);
            }
            const rub_push_view_t push = keys_push(&key, 1, values, WIDTH);
            assert_int_equal(rub_ptable_push(table, &push, lsn, NULL), 0);
        }
    }
    for (uint64_t block = 0; block < placement->n_blocks; block++) {
        if (rub_placement_shard_of_block(placement, block) == shard &&
            block % 5 >= (uint64_t)round % 3) {
            static float values[RUB_BLOCK];
            const uint64_t left = ELEMENTS - block * RUB_BLOCK;
            const uint64_t n = left < RUB_BLOCK ? left : RUB_BLOCK;
            for (uint64_t i = 0; i < n; i++) {
                values[i] = gradient_of(block * RUB_BLOCK + i, round);
            }
            const rub_push_view_t push = range_push(block * RUB_BLOCK, n, values);
            assert_int_equal(rub_ptable_push(table, &push, lsn, NULL), 0);
        }
    }
}

static void adopt_all(rub_ptable_t *to, rub_ptable_t *from, int wanted)
{
    for (uint32_t chunk = 0; rub_ptable_next_chunk(from, &chunk); chunk++) {
        void *bytes = NULL;
        size_t n_bytes = 0;
        assert_int_equal(rub_ptable_stage(from, chunk, 100, &bytes, &n_bytes, NULL), 0);
        assert_int_equal(rub_ptable_adopt(to, bytes, n_bytes, 1, NULL), wanted);
        rub_free(bytes);
    }
}

/* Rounds on `from` shards, adopted by `to` shards, more rounds: as on one shard that did it all. */
static void move(rub_table_kind_t kind, uint64_t size, rub_optimizer_kind_t optimizer,
                 uint32_t n_from, uint32_t n_to)
{
    const rub_table_view_t schema = schema_of(kind, size, optimizer);
    rub_placement_t alone, before, after;
    rub_ptable_t *whole = table_of(kind, size, optimizer);
    rub_ptable_t *from[8], *to[8];
    assert_int_equal(rub_placement_init(&alone, &schema, 1, NULL), 0);
    assert_int_equal(rub_placement_init(&before, &schema, n_from, NULL), 0);
    assert_int_equal(rub_placement_init(&after, &schema, n_to, NULL), 0);
    for (int round = 0; round < 6; round++) {
        push_round(whole, &alone, 0, round, 10 + (uint64_t)round);
    }
    uint64_t rows = 0, digest = 0;
    for (uint32_t i = 0; i < n_from; i++) {
        from[i] = table_on(kind, size, optimizer, i, n_from);
        for (int round = 0; round < 3; round++) {
            push_round(from[i], &before, i, round, 10 + (uint64_t)round);
        }
    }
    for (uint32_t j = 0; j < n_to; j++) {
        to[j] = table_on(kind, size, optimizer, j, n_to);
        for (uint32_t i = 0; i < n_from; i++) {
            adopt_all(to[j], from[i], 0);
        }
        assert_true(rub_ptable_dirty(to[j]) || rub_ptable_rows(to[j]) == 0);
        for (int round = 3; round < 6; round++) { /* slots and steps show in what follows */
            push_round(to[j], &after, j, round, 10 + (uint64_t)round);
        }
        rows += rub_ptable_rows(to[j]);
        digest += rub_ptable_digest(to[j]);
    }
    assert_int_equal(rows, rub_ptable_rows(whole));
    assert_true(digest == rub_ptable_digest(whole));
    for (uint32_t i = 0; i < n_from; i++) {
        rub_ptable_destroy(&from[i]);
    }
    for (uint32_t j = 0; j < n_to; j++) {
        rub_ptable_destroy(&to[j]);
    }
    rub_ptable_destroy(&whole);
}

static void rows_move_to_any_number_of_shards(void **state)
{
    RUB_UNUSED(state);
    const uint32_t numbers[] = {1, 2, 3, 5};
    for (size_t i = 0; i < RUB_COUNT_OF(numbers); i++) {
        for (size_t j = 0; j < RUB_COUNT_OF(numbers); j++) {
            move(RUB_HASHED, WIDTH, RUB_ADAM, numbers[i], numbers[j]);
            move(RUB_DENSE, ELEMENTS, RUB_ADAM, numbers[i], numbers[j]);
        }
    }
    move(RUB_HASHED, WIDTH, RUB_ADAGRAD, 2, 3);
    move(RUB_DENSE, ELEMENTS, RUB_MOMENTUM, 3, 2);
    move(RUB_HASHED, WIDTH, RUB_AMSGRAD, 2, 3);
    move(RUB_HASHED, WIDTH, RUB_ROWWISE_ADAGRAD, 3, 2);
    move(RUB_DENSE, ELEMENTS, RUB_ROWWISE_ADAGRAD, 1, 3);
}

static void a_row_that_is_here_already_is_refused(void **state)
{
    RUB_UNUSED(state);
    const rub_table_kind_t kinds[] = {RUB_HASHED, RUB_DENSE};
    for (size_t i = 0; i < 2; i++) {
        const uint64_t size = kinds[i] == RUB_DENSE ? (uint64_t)ELEMENTS : WIDTH;
        const rub_table_view_t schema = schema_of(kinds[i], size, RUB_SGD);
        rub_placement_t placement;
        assert_int_equal(rub_placement_init(&placement, &schema, 1, NULL), 0);
        rub_ptable_t *from = table_of(kinds[i], size, RUB_SGD);
        rub_ptable_t *to = table_of(kinds[i], size, RUB_SGD);
        push_round(from, &placement, 0, 0, 5);
        adopt_all(to, from, 0);
        adopt_all(to, from, RUB_ECORRUPT);
        rub_ptable_destroy(&from);
        rub_ptable_destroy(&to);
    }
}

static void rows_of_another_shape_are_refused(void **state)
{
    RUB_UNUSED(state);
    rub_placement_t placement;
    const rub_table_view_t schema = schema_of(RUB_HASHED, WIDTH, RUB_SGD);
    assert_int_equal(rub_placement_init(&placement, &schema, 1, NULL), 0);
    rub_ptable_t *from = table_of(RUB_HASHED, WIDTH, RUB_SGD);
    rub_ptable_t *wider = table_of(RUB_HASHED, 2 * WIDTH, RUB_SGD);
    rub_ptable_t *slots = table_of(RUB_HASHED, WIDTH, RUB_ADAM);
    push_round(from, &placement, 0, 0, 5);
    adopt_all(wider, from, RUB_ECORRUPT);
    adopt_all(slots, from, RUB_ECORRUPT);
    assert_int_equal(rub_ptable_adopt(from, "no chunk", 8, 1, NULL), RUB_ECORRUPT);
    rub_ptable_destroy(&from);
    rub_ptable_destroy(&wider);
    rub_ptable_destroy(&slots);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_is_here_already_is_refused),
        cmocka_unit_test(rows_of_another_shape_are_refused),
        cmocka_unit_test(rows_move_to_any_number_of_shards),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
