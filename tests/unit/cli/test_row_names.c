/* Rows find their names' new numbers, and those whose name is gone are dropped. */
#include "cli/row_names.h"
#include "common/base/alloc.h"
#include "common/base/check.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <string.h>

static rub_vocabulary_t *vocabulary(const char *const *words, size_t n)
{
    rub_vocabulary_t *self = rub_vocabulary_new();
    assert_non_null(self);
    for (size_t i = 0; i < n; i++) {
        uint32_t number = 0;
        assert_int_equal(rub_vocabulary_add(self, words[i], strlen(words[i]), &number, NULL), 0);
        assert_int_equal(number, i);
    }
    return self;
}

static const char *name_of(void *context, uint32_t i)
{
    return ((const char *const *)context)[i];
}

/* A table of width 2 whose row of key k is k, -k. */
static void fill(rub_weights_t *weights, const uint64_t *keys, size_t n,
                 rub_weight_table_t **table_p)
{
    rub_weights_init(weights);
    assert_int_equal(rub_weights_add(weights, "rows", table_p, NULL), 0);
    rub_weight_table_t *table = *table_p;
    table->width = 2;
    table->n_rows = n;
    table->keys = rub_calloc(n, sizeof(*table->keys));
    table->values = rub_calloc(2 * n, sizeof(*table->values));
    assert_non_null(table->keys);
    assert_non_null(table->values);
    for (size_t i = 0; i < n; i++) {
        table->keys[i] = keys[i];
        table->values[2 * i] = (float)keys[i];
        table->values[2 * i + 1] = -(float)keys[i];
    }
}

static void expect_row(const rub_weight_table_t *table, size_t row, uint64_t key, float value)
{
    assert_int_equal(table->keys[row], key);
    assert_float_equal(table->values[2 * row], value, 0);
    assert_float_equal(table->values[2 * row + 1], -value, 0);
}

static void rows_go_to_the_numbers_of_their_names_and_the_nameless_are_dropped(void **state)
{
    RUB_UNUSED(state);
    static const char *const before[] = {"ant", "bee", "cat", "dog"};
    static const char *const now[] = {"dog", "elk", "bee", "ant"};
    static const uint64_t keys[] = {0, 1, 2, 3, 9}; /* 9: beyond the old words */
    rub_weights_t weights;
    rub_weight_table_t *table = NULL;
    rub_vocabulary_t *old = vocabulary(before, 4);
    fill(&weights, keys, 5, &table);
    assert_int_equal(rub_rows_rename(table, old, 4, name_of, (void *)now, NULL), 0);
    assert_int_equal(table->n_rows, 3);
    expect_row(table, 0, 0, 3);
    expect_row(table, 1, 2, 1);
    expect_row(table, 2, 3, 0);
    rub_vocabulary_destroy(&old);
    rub_weights_fini(&weights);
}

static void two_numbers_of_one_name_both_get_its_row(void **state)
{
    RUB_UNUSED(state);
    static const char *const before[] = {"a", "b"};
    static const char *const now[] = {"b", "a", "b"};
    static const uint64_t keys[] = {1}; /* nobody ever pushed a's */
    rub_weights_t weights;
    rub_weight_table_t *table = NULL;
    rub_vocabulary_t *old = vocabulary(before, 2);
    fill(&weights, keys, 1, &table);
    assert_int_equal(rub_rows_rename(table, old, 3, name_of, (void *)now, NULL), 0);
    assert_int_equal(table->n_rows, 2);
    expect_row(table, 0, 0, 1);
    expect_row(table, 1, 2, 1);
    rub_vocabulary_destroy(&old);
    rub_weights_fini(&weights);
}

static void rows_beyond_the_new_numbers_are_dropped(void **state)
{
    RUB_UNUSED(state);
    static const uint64_t keys[] = {0, 4, 5, 6};
    rub_weights_t weights;
    rub_weight_table_t *table = NULL;
    fill(&weights, keys, 4, &table);
    rub_rows_limit(table, 5);
    assert_int_equal(table->n_rows, 2);
    expect_row(table, 1, 4, 4);
    rub_rows_limit(table, 0);
    assert_int_equal(table->n_rows, 0);
    rub_weights_fini(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_go_to_the_numbers_of_their_names_and_the_nameless_are_dropped),
        cmocka_unit_test(two_numbers_of_one_name_both_get_its_row),
        cmocka_unit_test(rows_beyond_the_new_numbers_are_dropped),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
