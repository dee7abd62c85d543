/* Whole tables: rows in the order of their keys, and those that nobody has stored. */
#include "common/base/alloc.h"
#include "common/num/weights.h"

#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

#define N 1000u

/* Row of key k holds k and -k; keys are N odd numbers, from the greatest down. */
static rub_weight_table_t *odd_rows(rub_weights_t *weights)
{
    rub_weight_table_t *table = NULL;
    rub_weights_init(weights);
    assert_int_equal(rub_weights_add(weights, "rows", &table, NULL), 0);
    table->width = 2;
    table->n_rows = N;
    table->keys = rub_calloc(N, sizeof(uint64_t));
    table->values = rub_calloc(N, 2 * sizeof(float));
    table->init = (rub_initializer_t){.kind = RUB_INIT_UNIFORM, .scale = 1, .seed = 3, .table = 5};
    for (uint32_t i = 0; i < N; i++) {
        table->keys[i] = 2 * (N - i) - 1;
        table->values[2 * i] = (float)table->keys[i];
        table->values[2 * i + 1] = -(float)table->keys[i];
    }
    return table;
}

static void a_name_or_a_key_that_comes_twice_is_refused(void **state)
{
    (void)state;
    rub_weights_t weights;
    rub_error_t err = {0};
    rub_weight_table_t *table = odd_rows(&weights), *other = NULL;
    assert_int_equal(rub_weights_add(&weights, "rows", &other, &err), RUB_ECORRUPT);
    assert_int_equal(rub_weights_add(&weights, "", &other, &err), RUB_ECORRUPT);
    table->keys[10] = table->keys[500];
    assert_int_equal(rub_weight_table_sort(table, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "comes twice"));
    rub_weights_fini(&weights);
}

static void a_table_of_another_shape_is_named_with_what_it_is(void **state)
{
    (void)state;
    rub_weights_t weights;
    rub_error_t err = {0};
    const rub_weight_table_t *found = NULL;
    (void)odd_rows(&weights);
    assert_int_equal(rub_weights_expect(&weights, "columns", 3, 0, &found, &err), RUB_ECONFIG);
    assert_non_null(strstr(err.message, "there are: 'rows'"));
    assert_int_equal(rub_weights_expect(&weights, "rows", 0, 3, &found, &err), RUB_ECONFIG);
    assert_int_equal(rub_weights_expect(&weights, "rows", 6, 0, &found, &err), RUB_ECONFIG);
    assert_int_equal(rub_weights_expect(&weights, "rows", 0, 2, &found, &err), 0);
    rub_weights_fini(&weights);
}

static void rows_are_found_by_key_and_others_are_what_a_first_touch_makes_them(void **state)
{
    (void)state;
    rub_weights_t weights;
    uint64_t keys[2 * N + 10];
    static float rows[2 * (2 * N + 10)];
    rub_weight_table_t *table = odd_rows(&weights);
    assert_int_equal(rub_weight_table_sort(table, NULL), 0);
    for (uint64_t step = 1; step < 500; step = 3 * step + 1) {
        size_t n = 0;
        for (uint64_t key = 0; key < 2 * N + 10; key += step) {
            keys[n++] = key;
        }
        rub_weight_table_rows(table, keys, n, rows);
        for (size_t i = 0; i < n; i++) {
            float expected[2] = {(float)keys[i], -(float)keys[i]};
            if (keys[i] % 2 == 0 || keys[i] > 2 * N) {
                rub_initializer_fill_row(&table->init, keys[i], 2, expected);
            }
            assert_memory_equal(rows + 2 * i, expected, sizeof expected);
        }
    }
    rub_weights_fini(&weights);
}

static void a_table_that_is_dropped_leaves_the_others(void **state)
{
    (void)state;
    rub_weights_t weights;
    rub_weight_table_t *table = NULL;
    (void)odd_rows(&weights);
    assert_int_equal(rub_weights_add(&weights, "behind", &table, NULL), 0);
    rub_weights_drop(&weights, 0);
    assert_int_equal(weights.n_tables, 1);
    assert_null(rub_weights_find(&weights, "rows"));
    assert_non_null(rub_weights_find(&weights, "behind"));
    rub_weights_fini(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_name_or_a_key_that_comes_twice_is_refused),
        cmocka_unit_test(a_table_that_is_dropped_leaves_the_others),
        cmocka_unit_test(a_table_of_another_shape_is_named_with_what_it_is),
        cmocka_unit_test(rows_are_found_by_key_and_others_are_what_a_first_touch_makes_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
