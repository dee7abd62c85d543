/* Hashed tables against a plain reference, and what they refuse. */
#include "common/num/initializer.h"
#include "tests/unit/ps/table_fixture.h"

#include "common/base/rng.h"

#include <math.h>

static rub_initializer_t initializer(void)
{
    return (rub_initializer_t){
        .kind = RUB_INIT_UNIFORM,
        .scale = 0.5,
        .seed = SEED,
        .table = rub_hash_bytes("weights", 7),
    };
}

static void a_missing_row_is_its_first_touch_and_is_not_stored(void **state)
{
    (void)state;
    const rub_initializer_t init = initializer();
    rub_ptable_t *table = table_of(RUB_HASHED, 5, RUB_SGD);
    float got[5], want[5];
    for (uint64_t key = 0; key < 100; key++) {
        assert_false(pull_key(table, key, got));
        rub_initializer_fill_row(&init, key, 5, want);
        assert_memory_equal(got, want, sizeof want);
    }
    assert_int_equal(rub_ptable_rows(table), 0);
    assert_int_equal(rub_ptable_digest(table), 0);
    rub_ptable_destroy(&table);
    assert_null(table);
    rub_ptable_destroy(&table);
}

static void a_first_push_steps_from_the_first_touch(void **state)
{
    (void)state;
    const rub_initializer_t init = initializer();
    for (uint32_t width = 1; width <= 20; width++) {
        rub_ptable_t *table = table_of(RUB_HASHED, width, RUB_SGD);
        float got[64], want[64];
        push_key(table, 42, 2.0f, 1);
        assert_true(pull_key(table, 42, got));
        rub_initializer_fill_row(&init, 42, width, want);
        for (uint32_t i = 0; i < width; i++) {
            assert_true(got[i] == want[i] - 0.125f * 2.0f);
        }
        rub_ptable_destroy(&table);
    }
}

static void every_key_is_legal(void **state)
{
    (void)state;
    const uint64_t keys[] = {
        0, 1, UINT64_MAX, UINT64_MAX - 1, UINT64_C(1) << 63, UINT64_C(1) << 32};
    rub_ptable_t *table = table_of(RUB_HASHED, 1, RUB_ADD);
    float before[6], after;
    for (size_t i = 0; i < 6; i++) {
        assert_false(pull_key(table, keys[i], &before[i]));
        push_key(table, keys[i], (float)(i + 1), 1);
    }
    for (size_t i = 0; i < 6; i++) {
        assert_true(pull_key(table, keys[i], &after));
        assert_true(after == before[i] + (float)(i + 1));
    }
    assert_int_equal(rub_ptable_rows(table), 6);
    rub_ptable_destroy(&table);
}

/* 100 000 random pushes and pulls of 1..40 keys against arrays indexed by key. */
enum { KEYS = 4096, WIDTH = 3, OPERATIONS = 100000 };

static uint64_t spread(uint64_t i)
{
    return i % 3 == 0 ? i : i % 3 == 1 ? UINT64_MAX - i : rub_mix64(i);
}

static void random_operations_agree_with_a_plain_map(void **state)
{
    (void)state;
    static float reference[KEYS][WIDTH];
    static bool stored[KEYS];
    const rub_initializer_t init = initializer();
    rub_ptable_t *table = table_of(RUB_HASHED, WIDTH, RUB_SGD);
    rub_rng_t rng;
    uint64_t n_stored = 0;
    rub_rng_init(&rng, 5, 0);
    for (int k = 0; k < KEYS; k++) {
        rub_initializer_fill_row(&init, spread((uint64_t)k), WIDTH, reference[k]);
    }
    for (uint64_t turn = 1; turn <= OPERATIONS; turn++) {
        uint64_t keys[40];
        uint32_t places[40];
        float values[40 * WIDTH];
        uint8_t exists[5];
        const size_t n = 1 + rub_rng_below(&rng, 40);
        const uint64_t bound = 1 + KEYS * turn / OPERATIONS; /* new keys come late, too */
        for (size_t i = 0; i < n; i++) {
            places[i] = (uint32_t)rub_rng_below(&rng, bound < KEYS ? bound : KEYS);
            keys[i] = spread(places[i]);
        }
        if (rub_rng_below(&rng, 2) == 0) {
            const rub_rows_t rows = {.keys = (const uint8_t *)keys, .n_keys = n};
            rub_ptable_pull(table, &rows, values, exists);
            for (size_t i = 0; i < n; i++) {
                assert_int_equal(exists[i / 8] >> (i % 8) & 1, stored[places[i]]);
                assert_memory_equal(&values[i * WIDTH], reference[places[i]], sizeof reference[0]);
            }
            continue;
        }
        for (size_t i = 0; i < n * WIDTH; i++) {
            values[i] = (float)rub_rng_below(&rng, 2001) / 1000.0f - 1.0f;
            float *w = &reference[places[i / WIDTH]][i % WIDTH];
            *w -= 0.125f * (values[i] + 0.0f * *w);
        }
        for (size_t i = 0; i < n; i++) {
            n_stored += !stored[places[i]];
            stored[places[i]] = true;
        }
        const rub_push_view_t view = keys_push(keys, n, values, WIDTH);
        assert_int_equal(rub_ptable_push(table, &view, turn, NULL), 0);
        assert_int_equal(rub_ptable_rows(table), n_stored);
    }
    rub_ptable_destroy(&table);
}

static void adam_counts_the_steps_of_each_row(void **state)
{
    (void)state;
    rub_ptable_t *one = table_of(RUB_HASHED, 2, RUB_ADAM);
    rub_ptable_t *two = table_of(RUB_HASHED, 2, RUB_ADAM);
    float a[2], b[2];
    push_key(one, 1, 0.5f, 1);
    push_key(one, 1, -0.25f, 2);
    for (uint64_t lsn = 1; lsn <= 50; lsn++) { /* other rows' steps are their own */
        push_key(two, 9, 1.0f, lsn);
    }
    push_key(two, 1, 0.5f, 51);
    push_key(two, 1, -0.25f, 52);
    pull_key(one, 1, a);
    pull_key(two, 1, b);
    assert_memory_equal(a, b, sizeof a);
    rub_ptable_destroy(&one);
    rub_ptable_destroy(&two);
}

static void shapes_that_do_not_fit_are_refused(void **state)
{
    (void)state;
    rub_ptable_t *table = table_of(RUB_HASHED, 2, RUB_SGD);
    const uint64_t keys[2] = {1, 2};
    float values[4] = {1, 2, 3, 4};
    rub_push_view_t view = keys_push(keys, 2, values, 2);
    assert_int_equal(check(table, view), 0);
    view.n_values = 3;
    assert_int_equal(check(table, view), RUB_ESHAPE);
    assert_int_equal(check(table, keys_push(keys, 0, values, 2)), RUB_ESHAPE);
    assert_int_equal(check(table, range_push(0, 4, values)), RUB_ESHAPE);
    values[3] = NAN;
    assert_int_equal(check(table, keys_push(keys, 2, values, 2)), RUB_ENAN);
    assert_int_equal(rub_ptable_rows(table), 0);
    rub_ptable_destroy(&table);
}

static void keys_of_another_shard_are_refused(void **state)
{
    (void)state;
    rub_ptable_t *shards[3];
    const float value = 1;
    uint64_t counts[3] = {0};
    for (uint32_t s = 0; s < 3; s++) {
        shards[s] = table_on(RUB_HASHED, 1, RUB_SGD, s, 3);
    }
    for (uint64_t key = 0; key < 300; key++) {
        int takers = 0;
        for (uint32_t s = 0; s < 3; s++) {
            const rub_push_view_t view = keys_push(&key, 1, &value, 1);
            const int rc = check(shards[s], view);
            assert_true(rc == 0 || rc == RUB_ESHAPE);
            assert_int_equal(rub_ptable_pull_check(shards[s], &view.rows, NULL), rc);
            takers += rc == 0;
            counts[s] += rc == 0;
        }
        assert_int_equal(takers, 1);
    }
    for (uint32_t s = 0; s < 3; s++) {
        assert_true(counts[s] > 50);
        rub_ptable_destroy(&shards[s]);
    }
}

static void memory_limits_stop_new_rows_only(void **state)
{
    (void)state;
    rub_ptable_t *table = table_of(RUB_HASHED, 16, RUB_ADAGRAD);
    const uint64_t key = 7, other = 8;
    const float values[16] = {1};
    const rub_push_view_t known = keys_push(&key, 1, values, 16);
    const rub_push_view_t new_one = keys_push(&other, 1, values, 16);
    assert_int_equal(rub_ptable_push_check(table, &known, 1000, NULL), RUB_ELIMIT);
    push(table, known, 1);
    assert_true(rub_ptable_memory_bytes(table) > 40000);
    assert_int_equal(rub_ptable_push_check(table, &known, 0, NULL), 0);
    assert_int_equal(rub_ptable_push_check(table, &new_one, 0, NULL), RUB_ELIMIT);
    assert_int_equal(rub_ptable_push_check(table, &new_one, 64, NULL), 0);
    rub_ptable_destroy(&table);
}

static void an_answer_above_the_message_limit_is_refused(void **state)
{
    (void)state;
    static uint64_t keys[5];
    rub_ptable_t *table = table_of(RUB_HASHED, 65536, RUB_ADAM);
    rub_rows_t rows = {.keys = (const uint8_t *)keys, .n_keys = 4};
    assert_int_equal(rub_ptable_pull_check(table, &rows, NULL), RUB_ELIMIT);
    rows.n_keys = 3;
    assert_int_equal(rub_ptable_pull_check(table, &rows, NULL), 0);
    rub_ptable_destroy(&table);
}

static void bad_schemas_are_refused(void **state)
{
    (void)state;
    rub_error_t err;
    rub_ptable_t *table;
    const rub_table_view_t good = schema_of(RUB_HASHED, 4, RUB_SGD);
    rub_table_view_t bad[9];
    for (int i = 0; i < 9; i++) {
        bad[i] = good;
    }
    bad[0].width = 0;
    bad[1].width = 65537;
    bad[2].kind = 2;
    bad[3].optimizer = 99;
    bad[4].init = 9;
    bad[5].lr = -1;
    bad[6].name[0] = '\0';
    memset(bad[7].name, 'x', sizeof bad[7].name);
    bad[8].kind = RUB_DENSE; /* no elements */
    for (int i = 0; i < 9; i++) {
        assert_int_equal(rub_ptable_new(&bad[i], SEED, 0, 1, &table, &err), RUB_EINVAL);
        assert_null(table);
    }
    assert_int_equal(rub_ptable_new(&good, SEED, 2, 2, &table, &err), RUB_EINVAL);
}

static void frames_are_read_as_they_stand(void **state)
{
    (void)state;
    uint8_t bytes[32];
    float values[4] = {0};
    rub_push_view_t view;
    rub_arena_t arena;
    rub_ptable_t *table = NULL;
    const rub_table_view_t schema = schema_of(RUB_HASHED, 2, RUB_SGD);
    rub_arena_init(&arena);
    assert_int_equal(rub_ptable_new(&schema, SEED, 0, 1, &table, NULL), 0);
    rub_put_u64(bytes, 5);
    rub_put_u64(bytes + 8, 6);
    rub_frame_t frame = {
        .header = {.n_keys = 2},
        .keys = bytes,
        .keys_bytes = 16,
        .values = (const uint8_t *)values,
        .values_bytes = 16,
    };
    memset(&view, 0xff, sizeof view);
    assert_int_equal(rub_push_view_read(&frame, table, &arena, &view, NULL), 0);
    assert_null(view.since);
    assert_int_equal(view.delay, 0);
    assert_int_equal(view.rows.n_keys, 2);
    assert_int_equal(view.n_values, 4);
    frame.values_bytes = 15;
    assert_int_equal(rub_push_view_read(&frame, table, &arena, &view, NULL), RUB_ESHAPE);
    frame.header.n_keys = 3;
    assert_int_equal(rub_push_view_read(&frame, table, &arena, &view, NULL), RUB_ESHAPE);
    frame.header.flags = RUB_FLAG_RANGE;
    assert_int_equal(rub_rows_read(&frame, &view.rows, NULL), RUB_ESHAPE);
    frame.header.n_keys = 1;
    assert_int_equal(rub_rows_read(&frame, &view.rows, NULL), 0);
    assert_true(view.rows.is_range && view.rows.first == 5 && view.rows.count == 6);
    rub_arena_fini(&arena);
    rub_ptable_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_missing_row_is_its_first_touch_and_is_not_stored),
        cmocka_unit_test(a_first_push_steps_from_the_first_touch),
        cmocka_unit_test(every_key_is_legal),
        cmocka_unit_test(random_operations_agree_with_a_plain_map),
        cmocka_unit_test(adam_counts_the_steps_of_each_row),
        cmocka_unit_test(shapes_that_do_not_fit_are_refused),
        cmocka_unit_test(keys_of_another_shard_are_refused),
        cmocka_unit_test(memory_limits_stop_new_rows_only),
        cmocka_unit_test(an_answer_above_the_message_limit_is_refused),
        cmocka_unit_test(bad_schemas_are_refused),
        cmocka_unit_test(frames_are_read_as_they_stand),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
