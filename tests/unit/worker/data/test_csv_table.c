/* Tables as examples of a fixed width: what they say, every refusal with line and column, and
 * headers that must be the same. Of a test's files the features are the table, the labels another
 * one. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "tests/unit/worker/data/idx_fixture.h"
#include "worker/data/csv_fields.h"
#include "worker/data/csv_table.h"
#include "worker/data/dataset.h"

static int open_table(const char *format, const char *text, const char *label, bool header,
                      rub_dataset_t **dataset_p, rub_error_t *err)
{
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.format = format;
    options.features_path = files.features;
    options.n_classes = 3;
    options.csv_label = label;
    options.csv_header = header;
    write_bytes(files.features, false, text, strlen(text));
    return rub_dataset_open(&options, dataset_p, err);
}

typedef struct bad_file {
    const char *text, *words;
} bad_file_t;

static void assert_refused(const char *format, bool header, const bad_file_t *bad)
{
    rub_error_t err = {0};
    rub_dataset_t *dataset = (rub_dataset_t *)&err;
    const int rc = open_table(format, bad->text, "1", header, &dataset, &err);
    if (rc != RUB_EDATA || strstr(err.message, bad->words) == NULL ||
        strstr(err.message, files.features) == NULL) {
        fail_msg("'%s': %d '%s', expected '%s'", bad->text, rc, err.message, bad->words);
    }
    assert_null(dataset);
}

static void malformed_tables_are_refused_with_line_and_column(void **state)
{
    (void)state;
    static const bad_file_t commas[] = {
        {"", "holds 0 examples"},
        {"\n\r\n", "holds 0 examples"},
        {"x,1,2\n", "line 1, column 1: found 'x,1,2', expected a class from 0 to 2"},
        {",1,2\n", "line 1, column 1: found ',1,2', expected a class from 0 to 2"},
        {"0,1,2\n3,1,2\n", "line 2, column 1: found '3,1,2', expected a class from 0 to 2"},
        {"-1,1,2\n", "line 1, column 1: found '-1,1,2', expected a class"},
        {"0.5,1,2\n", "line 1, column 1: found '0.5,1,2', expected a class"},
        {"1x,1,2\n", "line 1, column 1: found '1x,1,2', expected a class"},
        {"1e99,1,2\n", "line 1, column 1: found '1e99,1,2', expected a class"},
        {"0,,2\n", "line 1, column 3: found ',2', expected a number in column 2"},
        {"0,1,\n", "line 1, column 5: found the line's end, expected a number in column 3"},
        {"0,1,\"\"\n", "line 1, column 6: found '\"', expected a number in column 3"},
        {"0,1,York\n", "line 1, column 5: found 'York', expected a number in column 3"},
        {"0, 1,2\n", "line 1, column 3: found a blank, expected a number in column 2"},
        {"0,nan,2\n", "line 1, column 3: found 'nan,2', expected a number"},
        {"0,1e39,2\n", "line 1, column 3: found '1e39,2', expected a number within float32"},
        {"0,0x1,2\n", "line 1, column 3: found '0x1,2', expected a number"},
        {"0,1,2\n\n0,1\n", "line 3, column 4: found the line's end, expected 3 fields, as before"},
        {"0,1,2\n0,1,2,3\n", "line 2, column 7: found '3', expected the line's end behind 3"},
        {"0,1,2\n0,1,2,\n", "line 2, column 7: found the line's end, expected the line's end"},
        {"0,1,\"2\n", "line 2, column 1: found the line's end, expected the quote that ends a"},
        {"0,1,\"2\"x\n", "line 1, column 8: found 'x', expected a comma or the line's end"},
        {"0,1,2\n0,1\",2\n", "line 2, column 4: found '\",2', expected no quote within a field"},
        {"0,\"1\n\",2\n", "line 1, column 4: found '1', expected a number in column 2"},
        {"0,1,\"2\"\n1,\"2\",\"x\"\n", "line 2, column 8: found 'x\"', expected a number"},
        {"0\n1\n", "line 1, column 1: found '0', expected at least one column beside the label's"},
    };
    static const bad_file_t tabs[] = {
        {"0\t1\t2\n0\t1,5\t2\n", "line 2, column 3: found '1,5', expected a number in column 2"},
        {"0\t1\t\n", "line 1, column 5: found the line's end, expected a number in column 3"},
        {"0\t\"1\"\t2\n", "line 1, column 3: found '\"1\"', expected a number in column 2"},
        {"0 1 2\n", "line 1, column 1: found '0', expected at least one column beside"},
    };
    static const bad_file_t headers[] = {
        {"y,a,b\n", "holds 0 examples"},
        {"1,0.5,2\n0,1,3\n", "line 1, column 1: found '1,0.5,2', expected names of columns"},
        {"y,a,b\n0,1\n", "line 2, column 4: found the line's end, expected 3 fields"},
        {"y,\"a,b\n0,1,2\n", "line 3, column 1: found the line's end, expected the quote"},
        {"y\n0\n", "line 2, column 1: found '0', expected at least one column beside"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(commas); i++) {
        assert_refused("csv", false, &commas[i]);
    }
    for (size_t i = 0; i < RUB_COUNT_OF(tabs); i++) {
        assert_refused("tsv", false, &tabs[i]);
    }
    for (size_t i = 0; i < RUB_COUNT_OF(headers); i++) {
        assert_refused("csv", true, &headers[i]);
    }
}

static void labels_that_are_no_column_and_limits_are_refused(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_dataset_t *dataset = NULL;
    assert_int_equal(open_table("csv", "a,b\n1,2\n", "y", true, &dataset, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "line 1, column 1: found 'a,b', expected a column for the "
                                        "label 'y' among 2"));
    assert_int_equal(open_table("csv", "1,2\n", "3", false, &dataset, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "expected a column for the label '3' among 2"));
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.format = "csv";
    options.features_path = files.features;
    options.csv_header = false;
    write_bytes(files.features, false, "0,1\n65536,2\n", 12); /* of any classes */
    assert_int_equal(rub_dataset_open(&options, &dataset, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "line 2, column 1: found '65536,2', expected a class from "
                                        "0 to 65535"));
    options.limit_bytes = 7;
    write_bytes(files.features, false, "0,1\n1,2\n", 8);
    assert_int_equal(rub_dataset_open(&options, &dataset, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "more than 1 examples of 1 numbers, the limit is 7 bytes"));
}

static void a_table_is_a_data_set_of_its_columns(void **state)
{
    (void)state;
    static const struct {
        const char *format, *text, *label;
        bool header;
    } same[] = {
        {"csv", "y,a,b\n2,0.5,-1\n0,0,3e2\n", "1", true},
        {"csv", "\"y\",a,b\r\n\r\n2,0.5,\"-1\"\r\n0,0,300", "y", true},
        {"csv", "\xef\xbb\xbfy,a,b\r\n2,0.5,-1\r\n0,0,300\r\n", "y", true},
        {"csv", "\xef\xbb\xbf\"y\",a,b\n2,0.5,-1\n0,0,300\n", "y", true},
        {"csv",
         "\xef\xbb\xbf"
         "2,0.5,-1\n0,0,300\n",
         "1", false},
        {"tsv", "\xef\xbb\xbfy\ta\tb\n2\t0.5\t-1\n0\t0\t300\n", "y", true},
        {"csv", "a,y,b\n.5,+2,-1\n0,0,300\n", "y", true},
        {"csv", "0.5,-1,2.0\n0,300,0\n", "3", false},
        {"tsv", "0.5\t2\t-1\n0\t0\t300\n", "2", false},
        {"tsv", "a\t\"y\"\tb\n0.5\t2\t-1\n0\t0\t300\n", "\"y\"", true}, /* a quote is a letter */
        {"csv", "2000,2001,2002\n2,0.5,-1\n0,0,300\n", "2000", true},   /* years are names */
    };
    static const float expected[] = {0.5f, -1, 0, 300};
    for (size_t i = 0; i < RUB_COUNT_OF(same); i++) {
        rub_error_t err = {0};
        rub_dataset_t *dataset = NULL;
        if (open_table(same[i].format, same[i].text, same[i].label, same[i].header, &dataset,
                       &err) != 0) {
            fail_msg("%s", err.message);
        }
        assert_int_equal(dataset->n_examples, 2);
        assert_int_equal(dataset->width, 2);
        assert_int_equal(dataset->n_classes, 3);
        assert_memory_equal(dataset->image, ((uint32_t[]){1, 1, 2}), sizeof dataset->image);
        assert_memory_equal(dataset->floats, expected, sizeof expected);
        assert_true(dataset->labels[0] == 2 && dataset->labels[1] == 0);
        rub_dataset_close(&dataset);
    }
}

static void many_rows_are_read_and_their_greatest_class_counts(void **state)
{
    (void)state;
    enum { ROWS = 5000 };
    char *text = rub_alloc(ROWS * 24);
    size_t used = 0;
    for (unsigned i = 0; i < ROWS; i++) {
        used += (size_t)snprintf(text + used, 24, "%u,%u,%u.5\n", i, i % 7, 2 * i);
    }
    rub_error_t err = {0};
    rub_dataset_t *dataset = NULL;
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.format = "csv";
    options.features_path = files.features;
    options.csv_header = false;
    options.csv_label = "2";
    write_bytes(files.features, true, text, used);
    assert_int_equal(rub_dataset_open(&options, &dataset, &err), 0);
    assert_int_equal(dataset->n_examples, ROWS);
    assert_int_equal(dataset->n_classes, 7);
    for (unsigned i = 0; i < ROWS; i++) {
        assert_true(dataset->floats[2 * i] == (float)i);
        assert_true(dataset->floats[2 * i + 1] == (float)(2 * i) + 0.5f);
        assert_int_equal(dataset->labels[i], i % 7);
    }
    rub_dataset_close(&dataset);
    rub_free(text);
}

/* Without labels: the features of all rows, at most 8; returns how many, or -1. */
static int read_features(const char *words, const char *label, bool header, float x[8],
                         rub_error_t *err)
{
    const rub_csv_options_t options = {.format = "csv", .label = label, .header = header};
    rub_csv_table_t *table = NULL;
    int n = 0;
    int rc = rub_csv_table_open(&options, words, false, &table, err);
    for (bool any = true; rc == 0 && any;) {
        rc = rub_csv_table_next(table, 0, x + n, NULL, &any, err);
        n += rc == 0 && any ? (int)rub_csv_table_width(table) : 0;
    }
    rub_csv_table_close(&table);
    return rc ? -1 : n;
}

static void who_wants_no_label_may_find_none_and_several_files_are_one_table(void **state)
{
    (void)state;
    float x[8];
    rub_error_t err = {0};
    char both[2 * sizeof files.features + 1];
    snprintf(both, sizeof both, "%s,%s", files.features, files.labels);
    write_bytes(files.features, false, "a,b\n1,2\n", 8);
    write_bytes(files.labels, false, "a,b\n\n3,4\n", 9);
    assert_int_equal(read_features(both, "y", true, x, &err), 4);
    assert_memory_equal(x, ((float[]){1, 2, 3, 4}), 4 * sizeof *x);
    assert_int_equal(read_features(both, "a", true, x, &err),
                     2); /* passed over, whatever it says */
    assert_memory_equal(x, ((float[]){2, 4}), 2 * sizeof *x);
    assert_int_equal(read_features(both, "3", false, x, &err),
                     -1); /* nameless columns have places */
    write_bytes(files.labels, false, "a,c\n3,4\n", 8);
    assert_int_equal(read_features(both, "y", true, x, &err), -1);
    assert_non_null(strstr(err.message, files.labels));
    assert_non_null(strstr(err.message, "line 1, column 3: found 'c', expected 'b' as column 2, as "
                                        "in '"));
}

static void headers_are_the_same_or_the_first_other_column_is_named(void **state)
{
    (void)state;
    static const struct {
        const char *format, *here, *there, *label, *words;
    } rows[] = {
        {"csv", "y,a,b\n", "y,a,b\n", NULL, NULL},
        {"csv", "y,\"a\",b\r\n", "y,a,\"b\"\n", NULL, NULL},
        {"csv", "\xef\xbb\xbfy,a,b\n", "y,a,b\n", NULL, NULL},
        {"csv", "", "y,a\n", NULL, NULL},
        {"csv", "y,a\n", "", NULL, NULL},
        {"idx", "y,a\n", "y,b\n", NULL, NULL},
        {"csv", "y,b,a\n", "y,a,b\n", NULL, "column 3: found 'b,a', expected 'a' as column 2, as"},
        {"csv", "y,a\n", "y,a,b\n", NULL, "column 4: found the line's end, expected 'b' as colu"},
        {"csv", "y,a,b\n", "y,a\n", NULL, "column 5: found 'b', expected 2 columns, as in '"},
        {"tsv", "y\ta,\n", "y\ta\n", NULL, "column 3: found 'a,', expected 'a' as column 2, as"},
        {"csv", "y,a\"b\n", "y,a\n", NULL, "column 4: found '\"b', expected no quote"},
        {"csv", "a,b\n", "y,a,b\n", "y", NULL},
        {"csv", "a,b\n", "a,y,b\n", "y", NULL},
        {"csv", "a,b\n", "a,b,y\n", "y", NULL},
        {"csv", "a,y,b\n", "a,y,b\n", "y", NULL},
        {"csv", "a,b\n", "y,a,b\n", NULL, "column 1: found 'a,b', expected 'y' as column 1"},
        {"csv", "a,b\n", "y,a,b\n", "1", "column 1: found 'a,b', expected 'y' as column 1"},
        {"csv", "a,b,c\n", "a,b,y\n", "y", "column 5: found 'c', expected 3 columns"},
        {"csv", "a,c\n", "y,a,b\n", "y", "column 3: found 'c', expected 'b' as column 3"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
        rub_error_t err = {0};
        write_bytes(files.features, false, rows[i].here, strlen(rows[i].here));
        write_bytes(files.labels, false, rows[i].there, strlen(rows[i].there));
        const int rc =
            rub_csv_same_columns(rows[i].format, files.features, files.labels, rows[i].label, &err);
        if (rc != (rows[i].words != NULL ? RUB_EDATA : 0) ||
            (rc != 0 && strstr(err.message, rows[i].words) == NULL)) {
            fail_msg("case %zu: %d '%s'", i, rc, err.message);
        }
    }
    assert_int_equal(rub_csv_same_columns("csv", "-", files.labels, NULL, NULL), 0);
    assert_int_equal(rub_csv_same_columns("csv", files.features, "/nowhere", NULL, NULL), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_tables_are_refused_with_line_and_column),
        cmocka_unit_test(labels_that_are_no_column_and_limits_are_refused),
        cmocka_unit_test(a_table_is_a_data_set_of_its_columns),
        cmocka_unit_test(many_rows_are_read_and_their_greatest_class_counts),
        cmocka_unit_test(who_wants_no_label_may_find_none_and_several_files_are_one_table),
        cmocka_unit_test(headers_are_the_same_or_the_first_other_column_is_named),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
