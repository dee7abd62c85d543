/* What a run file may say about columns with tables of their own, what becomes of it, and every
 * refusal; and where a batch's embeddings lie then. */
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/train/column_tables.h"
#include "worker/train/field_layout.h"
#include "worker/train/update.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

static char path[64];

static int setup(void **state)
{
    RUB_UNUSED(state);
    strcpy(path, "/tmp/rubato-columns-XXXXXX");
    const int fd = mkstemp(path);
    static const char text[] = "clicked,city,user id,age,age\n1,a,b,3,4\n";
    const bool written = fd >= 0 && write(fd, text, sizeof text - 1) == (ssize_t)sizeof text - 1;
    return written && close(fd) == 0 ? 0 : -1;
}

static int teardown(void **state)
{
    RUB_UNUSED(state);
    return unlink(path);
}

typedef struct world {
    rub_config_t config;
    rub_sparse_options_t options;
    rub_update_t update;
    rub_column_tables_t columns;
    rub_error_t err;
} world_t;

static void set(world_t *self, rub_option_id_t option, const char *text)
{
    assert_int_equal(rub_config_set(&self->config, option, text, RUB_FROM_FLAG, "", NULL), 0);
}

static void world_init(world_t *self, const char *kind, const char *column_tables)
{
    *self = (world_t){.err = {0}};
    rub_config_init(&self->config);
    assert_int_equal(rub_config_load(&self->config, RUB_FOR_WORKER, 0, NULL, NULL, NULL), 0);
    set(self, RUB_OPT_model_kind, kind);
    set(self, RUB_OPT_optimizer, "adagrad");
    set(self, RUB_OPT_column_tables, column_tables);
    rub_sparse_options_defaults(&self->options);
    self->options.format = "csv";
    self->options.path = path;
    self->update = rub_update_read(&self->config);
}

static int read_tables(world_t *self)
{
    return rub_column_tables_read(&self->config, &self->options, &self->update, &self->columns,
                                  &self->err);
}

static void world_fini(world_t *self)
{
    rub_column_tables_close(&self->columns);
    rub_config_fini(&self->config);
}

static void without_wishes_tables_are_the_models(void **state)
{
    RUB_UNUSED(state);
    world_t w;
    world_init(&w, "fm", "[]");
    w.options.path = "/nonexistent"; /* nobody looks */
    assert_int_equal(read_tables(&w), 0);
    assert_int_equal(w.columns.n_own, 0);
    assert_int_equal(w.columns.n_tables, 2);
    assert_string_equal(w.columns.items[0].name, "linear/weights");
    assert_int_equal(w.columns.items[0].width, 1);
    assert_string_equal(w.columns.items[1].name, "fm/factors");
    assert_int_equal(w.columns.items[1].width, 8);
    assert_ptr_equal(w.columns.items[1].update, &w.update);
    world_fini(&w);
}

static void later_items_stand_over_earlier_ones_and_options_over_none(void **state)
{
    RUB_UNUSED(state);
    world_t w;
    world_init(&w, "wide_deep", "[2-3: {lr: 0.5,admit_count: 3},user id: {factors: 16, lr: 0.25}]");
    if (read_tables(&w) != 0) {
        fail_msg("%s", w.err.message);
    }
    assert_int_equal(w.columns.n_own, 2);
    assert_string_equal(w.columns.own[0], "city");
    assert_string_equal(w.columns.own[1], "user id");
    static const char *const names[] = {"linear/weights.city",     "linear/weights.user id",
                                        "linear/weights",          "deep/embeddings.city",
                                        "deep/embeddings.user id", "deep/embeddings"};
    static const uint32_t widths[] = {1, 1, 1, 8, 16, 8};
    static const double rates[] = {0.5, 0.25, 0.01};
    for (size_t i = 0; i < RUB_COUNT_OF(names); i++) {
        const rub_row_table_t *const table = rub_column_table(&w.columns, i / 3, i % 3);
        assert_string_equal(table->name, names[i]);
        assert_int_equal(table->width, widths[i]);
        assert_true(table->update->hyper.lr == rates[i % 3]);
        assert_int_equal(table->update->admit_count, i % 3 < 2 ? 3 : 1);
        assert_int_equal(table->update->optimizer, RUB_ADAGRAD);
    }
    assert_int_equal(rub_column_tables_widest(&w.columns), 16);
    world_fini(&w);
}

static void expect_refused(const char *kind, const char *column_tables, const char *words)
{
    world_t w;
    world_init(&w, kind, column_tables);
    assert_int_equal(read_tables(&w), RUB_ECONFIG);
    if (strstr(w.err.message, words) == NULL) {
        fail_msg("'%s' does not say '%s'", w.err.message, words);
    }
    world_fini(&w);
}

static void wishes_that_can_not_be_are_refused(void **state)
{
    RUB_UNUSED(state);
    static const char *const refused[][2] = {
        {"nobody", "there is no column 'nobody' among the 5: clicked, city, user id, age, age"},
        {"9-12", "there is no column '9-12' among the 5"},
        {"clicked", "'clicked' is the label's column, it has no features"},
        {"city,,age", "',age' stands where a column is expected"},
        {"city,", "'' stands where a column is expected"},
        {"city: 3", "'3' stands where {setting: value, ...} is expected"},
        {"city: {lr: 1", "stands where {setting: value, ...} is expected"},
        {"city: {lr: 1} x", "'x' stands where ',' or the end is expected"},
        {"city: {dim: 1}", "'city': 'dim' is no setting of a column, expected one of factors, "},
        {"city: {lr: x}", "column_tables: 'city': lr: 'x' is not a number"},
        {"city: {lr}", "column_tables: 'city': lr: the value is empty"},
        {"city: {admit_count: 16}", "admit_count: 16 is above the greatest, 15"},
        {"city: {factors: 3}", "'city': factors: 3, but all rows of model_kind fm are as wide"},
        {"city: {admit_count: 2,admit_probability: 0.5}", "'city': admit: count 2 and probability"},
        {"city: {optimizer: lamb}", "'city': optimizer lamb takes norms of whole tensors"},
        {"all", "two columns are called 'age'"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(refused); i++) {
        expect_refused("fm", refused[i][0], refused[i][1]);
    }
    world_t w;
    world_init(&w, "logistic", "city,user id");
    set(&w, RUB_OPT_hash_bits, "31");
    assert_int_equal(read_tables(&w), RUB_ECONFIG);
    assert_non_null(strstr(w.err.message, "hash_bits: 31, expected at most 30 beside 2 columns"));
    rub_column_tables_close(&w.columns);
    w.options.format = "libsvm";
    assert_int_equal(read_tables(&w), RUB_ECONFIG);
    assert_non_null(strstr(w.err.message, "data format 'libsvm' has no columns"));
    rub_column_tables_close(&w.columns);
    w.options.format = "csv";
    w.options.path = "/nonexistent";
    assert_int_equal(read_tables(&w), RUB_EDATA);
    world_fini(&w);
}

static void names_that_no_table_may_have_and_too_many_are_refused(void **state)
{
    RUB_UNUSED(state);
    static const struct {
        const char *name, *words;
    } bad[] = {{"", "a column's name is empty"},
               {"a\001", "control character (0x01)"},
               {"\xff", "a column's name is not UTF-8"},
               {"a234567890123456789012345678901234567890123456789",
                "would be a table's name of 64 bytes, at most 63"}};
    char file[80];
    world_t w;
    snprintf(file, sizeof file, "%s.other", path);
    for (size_t i = 0; i < RUB_COUNT_OF(bad); i++) {
        FILE *out = fopen(file, "w");
        fprintf(out, "y,%s\n1,2\n", bad[i].name);
        fclose(out);
        world_init(&w, "logistic", "2");
        w.options.path = file;
        assert_int_equal(read_tables(&w), RUB_ECONFIG);
        if (strstr(w.err.message, bad[i].words) == NULL) {
            fail_msg("'%s' does not say '%s'", w.err.message, bad[i].words);
        }
        world_fini(&w);
    }
    FILE *out = fopen(file, "w");
    for (int i = 0; i < 101; i++) {
        fprintf(out, "c%d%c", i, i < 100 ? ',' : '\n');
    }
    fclose(out);
    world_init(&w, "fm", "all");
    w.options.path = file;
    assert_int_equal(read_tables(&w), RUB_ECONFIG);
    assert_non_null(strstr(w.err.message, "100 columns make 202 tables of model_kind fm, expected "
                                          "at most 200"));
    world_fini(&w);
    assert_int_equal(unlink(file), 0);
}

static void add(rub_weights_t *weights, const char *name, uint32_t width)
{
    rub_weight_table_t *table = NULL;
    assert_int_equal(rub_weights_add(weights, name, &table, NULL), 0);
    table->width = width;
}

static void a_trained_model_says_its_columns_and_widths_itself(void **state)
{
    RUB_UNUSED(state);
    world_t w;
    rub_weights_t weights;
    rub_weights_init(&weights);
    add(&weights, "linear/weights.a.b", 1);
    add(&weights, "linear/weights", 1);
    add(&weights, "deep/embeddings.a.b", 5);
    add(&weights, "deep/embeddings", 8);
    world_init(&w, "wide_deep", "all");
    assert_int_equal(rub_column_tables_find(&w.config, &weights, &w.columns, NULL), 0);
    assert_int_equal(w.columns.n_own, 1);
    assert_string_equal(w.columns.own[0], "a.b");
    assert_string_equal(rub_column_table(&w.columns, 1, 0)->name, "deep/embeddings.a.b");
    assert_int_equal(rub_column_table(&w.columns, 1, 0)->width, 5);
    assert_int_equal(rub_column_table(&w.columns, 1, 1)->width, 8);
    rub_column_tables_close(&w.columns);
    set(&w, RUB_OPT_column_tables, "[]");
    assert_int_equal(rub_column_tables_find(&w.config, &weights, &w.columns, &w.err), RUB_ECONFIG);
    assert_non_null(strstr(w.err.message, "but 1 columns have tables of their own in the weights"));
    world_fini(&w);
    rub_weights_fini(&weights);
}

/* ---- where embeddings lie ---- */

enum { N_OWN = 2, FIELDS = 3, ROWS = 2 };

static void fields_are_learnt_from_the_first_example_and_held_against_it(void **state)
{
    RUB_UNUSED(state);
    static const char *own[] = {"a", "b"};
    uint32_t factors[] = {2, 3, 4}, n_inputs = 0;
    const rub_column_tables_t columns = {.n_own = N_OWN, .own = own, .factors = factors};
    size_t parts[] = {0, 2, 4, 7};
    uint32_t starts[] = {0, 3, 6}, places[ROWS * FIELDS] = {0, 5, 2, 1, 4, 3};
    const rub_sparse_batch_t batch = {
        .count = ROWS, .starts = starts, .places = places, .parts = parts, .n_own = N_OWN};
    rub_field_layout_t layout;
    rub_error_t err = {0};
    assert_int_equal(rub_field_layout_open(&columns, 1, &layout, &n_inputs, &err), RUB_ECONFIG);
    assert_non_null(strstr(err.message, "fields: 1, but 2 columns have tables of their own"));
    rub_field_layout_close(&layout);
    assert_int_equal(rub_field_layout_open(&columns, FIELDS, &layout, &n_inputs, NULL), 0);
    assert_int_equal(n_inputs, 2 + 3 + 4);
    places[2] = 6;
    assert_int_equal(rub_field_layout_check(&layout, &batch, 7, "x", &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "x: example 7 has 0 features of column 'b', expected 1"));
    places[0] = 2;
    places[2] = 0;
    assert_int_equal(rub_field_layout_check(&layout, &batch, 7, "x", &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "x: example 7 has column 'b' before 'a', expected the"));
    places[0] = 0;
    places[2] = 2;
    assert_int_equal(rub_field_layout_check(&layout, &batch, 0, "x", NULL), 0);
    const rub_field_lines_t *fields = rub_field_layout_lines(&layout, &batch);
    /* Two lines of 2, then two of 3, then of 4. */
    static const size_t begins[][2] = {{0, 0}, {4, 10}, {2, 4}};
    for (size_t f = 0; f < FIELDS; f++) {
        assert_int_equal(fields[f].shift + begins[f][0] * fields[f].width, begins[f][1]);
    }
    assert_int_equal(fields[0].width, 2);
    assert_int_equal(fields[1].width, 4);
    assert_int_equal(fields[2].width, 3);
    places[4] = 3;
    assert_int_equal(rub_field_layout_check(&layout, &batch, 7, "x", &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "x: feature 2 of example 8 is not of a column without a"));
    factors[0] = factors[2] = 3;
    assert_null(rub_field_layout_lines(&layout, &batch)); /* all as wide */
    rub_field_layout_close(&layout);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(without_wishes_tables_are_the_models),
        cmocka_unit_test(later_items_stand_over_earlier_ones_and_options_over_none),
        cmocka_unit_test(wishes_that_can_not_be_are_refused),
        cmocka_unit_test(names_that_no_table_may_have_and_too_many_are_refused),
        cmocka_unit_test(a_trained_model_says_its_columns_and_widths_itself),
        cmocka_unit_test(fields_are_learnt_from_the_first_example_and_held_against_it),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
