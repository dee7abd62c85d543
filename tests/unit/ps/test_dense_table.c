/* Dense tables: blocks, borders, and what does not fit. */
#include "common/num/initializer.h"
#include "tests/unit/ps/table_fixture.h"

enum { ELEMENTS = 3 * RUB_BLOCK + 10 };

static float values[ELEMENTS], got[ELEMENTS], first_touch[ELEMENTS];

static void set_up(void)
{
    const rub_initializer_t init = {
        .kind = RUB_INIT_UNIFORM,
        .scale = 0.5,
        .seed = SEED,
        .table = rub_hash_bytes("weights", 7),
    };
    rub_initializer_fill_range(&init, 0, ELEMENTS, first_touch);
    for (int i = 0; i < ELEMENTS; i++) {
        values[i] = (float)(i % 17) - 8.0f;
    }
}

static void any_range_can_be_pulled_across_blocks(void **state)
{
    (void)state;
    set_up();
    rub_ptable_t *table = table_of(RUB_DENSE, ELEMENTS, RUB_ADD);
    assert_false(pull_range(table, 0, ELEMENTS, got));
    assert_memory_equal(got, first_touch, sizeof got);
    push(table, range_push(RUB_BLOCK, RUB_BLOCK, values + RUB_BLOCK), 1);
    assert_false(pull_range(table, 100, ELEMENTS - 101, got));
    for (int i = 100; i < ELEMENTS - 1; i++) {
        const bool pushed = i >= (int)RUB_BLOCK && i < 2 * (int)RUB_BLOCK;
        assert_true(got[i - 100] == first_touch[i] + (pushed ? values[i] : 0.0f));
    }
    assert_true(pull_range(table, RUB_BLOCK + 5, 7, got));
    assert_true(got[0] == first_touch[RUB_BLOCK + 5] + values[RUB_BLOCK + 5]);
    assert_int_equal(rub_ptable_rows(table), 1);
    rub_ptable_destroy(&table);
}

static void a_push_of_the_whole_table_steps_every_block(void **state)
{
    (void)state;
    set_up();
    for (int kind = RUB_SGD; kind <= RUB_FTRL; kind++) {
        rub_ptable_t *whole = table_of(RUB_DENSE, ELEMENTS, (rub_optimizer_kind_t)kind);
        rub_ptable_t *parts = table_of(RUB_DENSE, ELEMENTS, (rub_optimizer_kind_t)kind);
        for (uint64_t lsn = 1; lsn <= 3; lsn++) {
            push(whole, range_push(0, ELEMENTS, values), lsn);
            push(parts, range_push(3 * RUB_BLOCK, 10, values + 3 * RUB_BLOCK), lsn);
            push(parts, range_push(0, 3 * RUB_BLOCK, values), lsn);
        }
        assert_int_equal(rub_ptable_digest(whole), rub_ptable_digest(parts));
        assert_int_equal(rub_ptable_rows(whole), 4);
        rub_ptable_destroy(&whole);
        rub_ptable_destroy(&parts);
    }
}

static void ranges_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    set_up();
    rub_ptable_t *table = table_of(RUB_DENSE, ELEMENTS, RUB_SGD);
    const uint64_t key = 1;
    assert_int_equal(check(table, range_push(0, 0, values)), RUB_ESHAPE);
    assert_int_equal(check(table, range_push(1, RUB_BLOCK - 1, values)), RUB_ESHAPE);
    assert_int_equal(check(table, range_push(0, RUB_BLOCK - 1, values)), RUB_ESHAPE);
    assert_int_equal(check(table, range_push(0, ELEMENTS + 1, values)), RUB_ESHAPE);
    assert_int_equal(check(table, range_push(RUB_BLOCK, UINT64_MAX, values)), RUB_ESHAPE);
    assert_int_equal(check(table, range_push(UINT64_MAX - 4095, 4096, values)), RUB_ESHAPE);
    assert_int_equal(check(table, keys_push(&key, 1, values, 1)), RUB_ESHAPE);
    rub_push_view_t view = range_push(0, RUB_BLOCK, values);
    view.n_values--;
    assert_int_equal(check(table, view), RUB_ESHAPE);
    assert_int_equal(check(table, range_push(3 * RUB_BLOCK, 10, values)), 0);
    assert_int_equal(rub_ptable_rows(table), 0);
    rub_ptable_destroy(&table);
}

static void blocks_of_another_shard_are_refused(void **state)
{
    (void)state;
    set_up();
    for (uint64_t block = 0; block < 4; block++) {
        int takers = 0;
        for (uint32_t shard = 0; shard < 3; shard++) {
            rub_ptable_t *table = table_on(RUB_DENSE, ELEMENTS, RUB_SGD, shard, 3);
            const uint64_t count = block < 3 ? RUB_BLOCK : 10;
            takers += check(table, range_push(block * RUB_BLOCK, count, values)) == 0;
            assert_int_equal(check(table, range_push(0, ELEMENTS, values)), RUB_ESHAPE);
            rub_ptable_destroy(&table);
        }
        assert_int_equal(takers, 1);
    }
}

static void a_shard_without_blocks_refuses_all(void **state)
{
    (void)state;
    int takers = 0;
    for (uint32_t shard = 0; shard < 4; shard++) {
        rub_ptable_t *table = table_on(RUB_DENSE, 5, RUB_ADAM, shard, 4);
        uint32_t chunk = 0;
        takers += check(table, range_push(0, 5, values)) == 0;
        assert_false(rub_ptable_next_dirty(table, &chunk));
        assert_int_equal(rub_ptable_digest(table), 0);
        rub_ptable_destroy(&table);
    }
    assert_int_equal(takers, 1);
}

static void memory_limits_stop_new_blocks_only(void **state)
{
    (void)state;
    set_up();
    rub_ptable_t *table = table_of(RUB_DENSE, ELEMENTS, RUB_ADAM);
    const rub_push_view_t view = range_push(0, RUB_BLOCK, values);
    assert_int_equal(rub_ptable_push_check(table, &view, 3 * 4 * RUB_BLOCK, NULL), RUB_ELIMIT);
    assert_int_equal(rub_ptable_push_check(table, &view, 3 * 4 * RUB_BLOCK + 64, NULL), 0);
    push(table, view, 1);
    assert_int_equal(rub_ptable_push_check(table, &view, 0, NULL), 0);
    rub_ptable_destroy(&table);
}

static void hyper_parameters_change_between_pushes(void **state)
{
    (void)state;
    set_up();
    rub_ptable_t *table = table_of(RUB_DENSE, 4, RUB_SGD);
    rub_table_view_t schema = *rub_ptable_schema(table);
    const float ones[4] = {1, 1, 1, 1};
    schema.lr = 2.0;
    assert_int_equal(rub_ptable_set_hyper(table, &schema, NULL), 0);
    push(table, range_push(0, 4, ones), 1);
    pull_range(table, 0, 4, got);
    assert_true(got[3] == first_touch[3] - 2.0f);
    schema.lr = -2.0;
    assert_int_equal(rub_ptable_set_hyper(table, &schema, NULL), RUB_EINVAL);
    assert_true(rub_ptable_schema(table)->lr == 2.0);
    rub_ptable_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_range_can_be_pulled_across_blocks),
        cmocka_unit_test(a_push_of_the_whole_table_steps_every_block),
        cmocka_unit_test(ranges_that_do_not_fit_are_refused),
        cmocka_unit_test(blocks_of_another_shard_are_refused),
        cmocka_unit_test(a_shard_without_blocks_refuses_all),
        cmocka_unit_test(memory_limits_stop_new_blocks_only),
        cmocka_unit_test(hyper_parameters_change_between_pushes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
