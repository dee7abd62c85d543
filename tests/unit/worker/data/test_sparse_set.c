/* LIBSVM and Criteo files: what they say, and every refusal with line and column. */
#include "tests/unit/worker/data/sparse_files.h"

#include "common/base/error.h"
#include "common/base/rng.h"
#include "worker/data/line_reader.h"

#define EMPTY_NUMBERS "\t\t\t\t\t\t\t\t\t\t\t\t\t"
#define EMPTY_WORDS "\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t\t"
#define EMPTY_ROW "\t\t\t\t\t\t\t\t\t\t\t\t\t" EMPTY_WORDS

static void assert_refused(const char *format, const bad_file_t *bad)
{
    sparse_file_t file;
    const int rc = sparse_file_open(&file, format, bad->text, strlen(bad->text), "wbT");
    sparse_file_assert_refused(&file, rc, bad);
}

static void malformed_libsvm_is_refused_with_line_and_column(void **state)
{
    RUB_UNUSED(state);
    static const bad_file_t files[] = {
        {"x 1:1\n", "line 1, column 1", "found 'x', expected a label: +1 or -1, 1 or 0"},
        {"1 1:1\n1:1\n", "line 2, column 1", "expected a label"},
        {"\n\n  # none\n+ 1:1\n", "line 4, column 1", "found '+', expected a label"},
        {"2 1:1\n", "line 1, column 1", "found '2', expected a label of two classes"},
        {"0.5 1:1\n", "line 1, column 1", "two classes"},
        {"nan 1:1\n", "line 1, column 1", "expected a label"},
        {"1,1:1\n", "line 1, column 1", "expected a label"},
        {"1 1:1\n-1 1:1\n1 1:1\n0 1:1\n", "line 4, column 1", "expected labels as before"},
        {"0 1:1\n-1 1:1\n", "line 2, column 1", "+1 and -1 or 1 and 0"},
        {"1 a:1\n", "line 1, column 3", "found 'a:1', expected index:value"},
        {"1 qid:3 1:1\n", "line 1, column 3", "found 'qid:3'"},
        {"1 -1:1\n", "line 1, column 3", "the index from 0 to 4294967295"},
        {"1 4294967296:1\n", "line 1, column 3", "found '4294967296:1', expected index:value"},
        {"1 99999999999999999999999:1\n", "line 1, column 3", "expected index:value"},
        {"1 5\n", "line 1, column 4", "found the line's end, expected ':'"},
        {"1 5 :1\n", "line 1, column 4", "found a blank, expected ':'"},
        {"1 5=1\n", "line 1, column 4", "found '=1', expected ':'"},
        {"1 5:\n", "line 1, column 5", "found the line's end, expected a number and a blank"},
        {"1 5: 1\n", "line 1, column 5", "found a blank, expected a number"},
        {"1 5:x\n", "line 1, column 5", "found 'x', expected a number"},
        {"1 5:1x\n", "line 1, column 5", "found '1x', expected a number"},
        {"1 5:0x10\n", "line 1, column 5", "found '0x10', expected a number"},
        {"1 5:1:2\n", "line 1, column 5", "found '1:2', expected a number and a blank"},
        {"1 5:inf\n", "line 1, column 5", "found 'inf'"},
        {"1 5:1e39\n", "line 1, column 5", "found '1e39', expected a number within float32"},
        {"1 5:-1e400\n", "line 1, column 5", "within float32"},
        {"1 5:1 5:2\n", "line 1, column 7", "found '5:2', expected an index above 5"},
        {"1 5:1 4:2\n", "line 1, column 7", "expected an index above 5: they ascend"},
        {"1 5:1\r7:1\n", "line 1, column 5", "expected a number and a blank"},
        {"1 5:1\t\x01\n", "line 1, column 7", "found byte 0x01, expected index:value"},
        {"1 1:1\n\xef\xbb\xbf"
         "1 1:1\n",
         "line 2, column 1", "found byte 0xef, expected a label"},
        {"", "0 examples", "expected at least 1"},
        {"\n# none\n \t\n", "0 examples", "expected at least 1"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        assert_refused("libsvm", &files[i]);
    }
}

static void malformed_criteo_is_refused_with_line_and_column(void **state)
{
    RUB_UNUSED(state);
    static const bad_file_t files[] = {
        {"", "0 examples", "expected at least 1"},
        {"\n", "line 1, column 1", "found the line's end, expected the label 0 or 1"},
        {"2" EMPTY_ROW "\n", "line 1, column 1", "found '2', expected the label 0 or 1"},
        {"-1" EMPTY_ROW "\n", "line 1, column 1", "expected the label"},
        {"10" EMPTY_ROW "\n", "line 1, column 1", "expected the label"},
        {"\t" EMPTY_ROW "\n", "line 1, column 1", "found a tab, expected the label"},
        {"1\n", "line 1, column 2",
         "found the line's end, expected a tab: 1 fields were read of 40"},
        {"1 5" EMPTY_ROW "\n", "line 1, column 1", "expected the label"},
        {"0" EMPTY_ROW "\n1\t5\t6\n", "line 2, column 6", "3 fields were read of 40"},
        {"1\tx" EMPTY_ROW "\n", "line 1, column 3",
         "found 'x', expected a whole number or nothing "
         "as feature I1"},
        {"1\t1.5" EMPTY_ROW "\n", "line 1, column 3", "found '1.5', expected a whole number"},
        {"1\t1e3" EMPTY_ROW "\n", "line 1, column 3", "found '1e3'"},
        {"1\t+3" EMPTY_ROW "\n", "line 1, column 3", "found '+3'"},
        {"1\t-" EMPTY_ROW "\n", "line 1, column 3", "found '-'"},
        {"1\t 3" EMPTY_ROW "\n", "line 1, column 3", "found a blank"},
        {"1\t9223372036854775808" EMPTY_ROW "\n", "line 1, column 3", "as feature I1"},
        {"1\t\t\t7 " EMPTY_ROW "\n", "line 1, column 5", "as feature I3"},
        {"0" EMPTY_NUMBERS "\n", "line 1, column 15", "14 fields were read of 40"},
        {"0" EMPTY_NUMBERS "5\n", "line 1, column 16", "14 fields were read of 40"},
        {"0" EMPTY_NUMBERS "\tab\n", "line 1, column 18", "15 fields were read of 40"},
        {"0" EMPTY_ROW "\t\n", "line 1, column 41",
         "found a tab, expected the line's end behind 40"},
        {"0" EMPTY_ROW "z\tz\n", "line 1, column 42", "expected the line's end behind 40 fields"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        assert_refused("criteo", &files[i]);
    }
    char text[512] = "1" EMPTY_NUMBERS "\t";
    memset(text + strlen(text), 'w', 256);
    sparse_file_t file;
    assert_int_equal(sparse_file_open(&file, "criteo", text, strlen(text), "wbT"), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "expected at most 255 bytes as feature C1"));
    unlink(file.path);
}

static void libsvm_rows_are_read_as_they_stand(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t file;
    sparse_file_init(&file, "libsvm",
                     "+1 1:0.5 7:-2 # why\n"
                     "\n# a comment\n"
                     "-1\r\n"
                     "  1.0\t0:1e-3  4294967295:3 \r\n"
                     "-1 3:1#x\n"
                     "1 2:4");
    const rub_sparse_set_t *set = file.set;
    assert_int_equal(set->n_examples, 5);
    const uint64_t offsets[] = {0, 2, 2, 4, 5, 6};
    const uint32_t keys[] = {1, 7, 0, UINT32_MAX, 3, 2};
    const float values[] = {0.5f, -2, 1e-3f, 3, 1, 4};
    const float labels[] = {1, 0, 1, 0, 1};
    assert_memory_equal(set->offsets, offsets, sizeof offsets);
    assert_memory_equal(set->keys, keys, sizeof keys);
    assert_memory_equal(set->values, values, sizeof values);
    assert_memory_equal(set->labels, labels, sizeof labels);
    assert_int_equal(set->greatest_row, 2);
    assert_int_equal(set->greatest_key, UINT32_MAX);
    sparse_file_fini(&file);
}

/* Of any format: both "libsvm" and "csv" have the label first. */
static void read_labels(const char *format, const char *text, rub_sparse_labels_t labels, int code,
                        const char *words, const float *expected)
{
    sparse_file_t file;
    (void)sparse_file_open(&file, format, text, strlen(text), "wbT");
    rub_sparse_set_close(&file.set);
    file.options.labels = labels;
    file.options.n_classes = 3;
    file.options.csv_header = false;
    const int rc = rub_sparse_set_open(&file.options, &file.set, &file.err);
    if (rc != code || (rc != 0 && strstr(file.err.message, words) == NULL)) {
        fail_msg("%s '%s': %s", format, text, file.err.message);
    }
    for (size_t i = 0; rc == 0 && i < file.set->n_examples; i++) {
        assert_true(file.set->labels[i] == expected[i]);
    }
    sparse_file_fini(&file);
}

static void labels_may_be_numbers_or_classes_where_the_options_say_so(void **state)
{
    RUB_UNUSED(state);
    static const float numbers[] = {-1, 0, 2.5f, 1e10f}, classes[] = {2, 0, 1};
    read_labels("libsvm", "-1 1:1\n0 1:1\n2.5\n1e10 3:1\n", RUB_LABELS_NUMBERS, 0, "", numbers);
    read_labels("csv", "-1,1\n0,1\n2.5,\n1e10,3\n", RUB_LABELS_NUMBERS, 0, "", numbers);
    read_labels("libsvm", "2 1:1\n0\n1 2:1\n", RUB_LABELS_CLASSES, 0, "", classes);
    read_labels("csv", "2,1\n0,1\n1,2\n", RUB_LABELS_CLASSES, 0, "", classes);
    static const struct {
        const char *label, *words;
        rub_sparse_labels_t labels;
    } bad[] = {{"x", ", expected a label, a number", RUB_LABELS_NUMBERS},
               {"1e39", "expected a label within float32", RUB_LABELS_NUMBERS},
               {"3", "line 2, column 1: found '3", RUB_LABELS_CLASSES},
               {"-1", "expected a class from 0 to 2", RUB_LABELS_CLASSES},
               {"0.5", "expected a class from 0 to 2", RUB_LABELS_CLASSES}};
    for (size_t i = 0; i < RUB_COUNT_OF(bad); i++) {
        char text[64];
        snprintf(text, sizeof text, "0 1:1\n%s 1:1\n", bad[i].label);
        read_labels("libsvm", text, bad[i].labels, RUB_EDATA, bad[i].words, NULL);
        snprintf(text, sizeof text, "0,1\n%s,1\n", bad[i].label);
        read_labels("csv", text, bad[i].labels, RUB_EDATA, bad[i].words, NULL);
    }
}

static void values_that_are_all_one_are_not_kept(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t file;
    sparse_file_init(&file, "libsvm", "1 1:1 2:1.0\n0 5:1e0\n");
    assert_null(file.set->values);
    assert_int_equal(file.set->n_examples, 2);
    sparse_file_fini(&file);
}

static void add_row(char *text, const char *const fields[40], const char *end)
{
    for (size_t i = 0; i < 40; i++) {
        strcat(text, fields[i] != NULL ? fields[i] : "");
        strcat(text, i < 39 ? "\t" : end);
    }
}

static void a_row_of_criteo_has_a_key_for_each_field(void **state)
{
    RUB_UNUSED(state);
    const char *first[40] = {"1", "5", "5", "", "0", "-1"}; /* C1 and C2 say the same */
    const char *second[40] = {"0", "5", "6", "", "", "1"};
    first[14] = first[15] = second[14] = "ab";
    second[15] = "ac";
    second[39] = "z";
    char text[256] = "";
    add_row(text, first, "\r\n");
    add_row(text, second, "");
    sparse_file_t file;
    sparse_file_init(&file, "criteo", text);
    const rub_sparse_set_t *set = file.set;
    assert_int_equal(set->n_examples, 2);
    assert_int_equal(set->offsets[2], 78);
    assert_null(set->values);
    assert_int_equal(set->labels[0], 1);
    assert_int_equal(set->labels[1], 0);
    const uint32_t *a = set->keys;
    const uint32_t *b = set->keys + 39;
    for (size_t i = 0; i < 39; i++) {
        const bool differs = i == 1 || i == 3 || i == 4 || i == 14 || i == 38;
        assert_true((a[i] != b[i]) == differs);
        assert_true(a[i] < 1u << 20);
        for (size_t j = 0; j < i; j++) {
            assert_int_not_equal(a[i], a[j]);
        }
    }
    sparse_file_fini(&file);
}

static uint32_t first_key(const char *number, uint32_t hash_bits)
{
    char text[128];
    (void)snprintf(text, sizeof text, "1\t%s\t\t\t\t\t\t\t\t\t\t\t\t" EMPTY_WORDS "\n", number);
    sparse_file_t file;
    sparse_file_init(&file, "criteo", text);
    file.options.hash_bits = hash_bits;
    rub_sparse_set_close(&file.set);
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, NULL), 0);
    const uint32_t key = file.set->keys[0];
    sparse_file_fini(&file);
    return key;
}

static void numbers_fall_into_four_bins_for_each_doubling(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(first_key("-0", 32), first_key("0", 32));
    assert_int_not_equal(first_key("-1", 32), first_key("1", 32));
    assert_int_not_equal(first_key("6", 32), first_key("7", 32));
    assert_int_not_equal(first_key("7", 32), first_key("8", 32));
    assert_int_equal(first_key("8", 32), first_key("9", 32));
    assert_int_not_equal(first_key("9", 32), first_key("10", 32));
    assert_int_equal(first_key("1024", 32), first_key("1279", 32));
    assert_int_not_equal(first_key("1279", 32), first_key("1280", 32));
    assert_int_not_equal(first_key("2047", 32), first_key("2048", 32));
    assert_int_equal(first_key("9223372036854775807", 32), first_key("9223372036854775806", 32));
    assert_true(first_key("3", 4) < 16);
}

static void gzip_is_read_and_a_stream_that_stops_is_refused(void **state)
{
    RUB_UNUSED(state);
    char text[4000] = "";
    for (size_t i = 0; i < 200; i++) {
        (void)snprintf(text + strlen(text), 20, "%zu %zu:1.5\n", i % 2, i * i);
    }
    sparse_file_t file;
    assert_int_equal(sparse_file_open(&file, "libsvm", text, strlen(text), "wb"), 0);
    assert_int_equal(file.set->n_examples, 200);
    assert_int_equal(file.set->keys[199], 199 * 199);
    rub_sparse_set_close(&file.set);
    assert_int_equal(truncate(file.path, 300), 0);
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EDATA);
    unlink(file.path);
}

static void lines_longer_than_the_buffer_are_read_up_to_the_limit(void **state)
{
    RUB_UNUSED(state);
    const size_t bytes = RUB_LINE_LIMIT + 100;
    char *text = malloc(bytes);
    memset(text, ' ', bytes);
    memcpy(text, "1 1:1", 5);
    memcpy(text + RUB_LINE_LIMIT - 10, "9:2\n0\n",
           6); /* two examples, the first has two features */
    sparse_file_t file;
    assert_int_equal(sparse_file_open(&file, "libsvm", text, RUB_LINE_LIMIT - 4, "wbT"), 0);
    assert_int_equal(file.set->n_examples, 2);
    assert_int_equal(file.set->offsets[1], 2);
    assert_int_equal(file.set->keys[1], 9);
    sparse_file_fini(&file);
    memset(text, ' ', bytes);
    memcpy(text, "1\n1 1:1", 7);
    assert_int_equal(sparse_file_open(&file, "libsvm", text, bytes, "wbT"), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "line 2, column 16777217: the line goes on"));
    unlink(file.path);
    free(text);
}

static void many_rows_are_read_across_buffers(void **state)
{
    RUB_UNUSED(state);
    enum { ROWS = 70000 };
    char *text = malloc(ROWS * 48);
    size_t length = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        length += (size_t)sprintf(text + length, "%d %u:%u.25 %u:2\n", i % 3 == 0, i, i % 100,
                                  i + 1 + i % 7);
    }
    sparse_file_t file;
    assert_int_equal(sparse_file_open(&file, "libsvm", text, length, "wbT"), 0);
    assert_int_equal(file.set->n_examples, ROWS);
    for (uint32_t i = 0; i < ROWS; i++) {
        assert_int_equal(file.set->offsets[i], 2 * i);
        assert_int_equal(file.set->labels[i], i % 3 == 0);
        assert_int_equal(file.set->keys[2 * i], i);
        assert_int_equal(file.set->keys[2 * i + 1], i + 1 + i % 7);
        assert_true(file.set->values[2 * i] == (float)(i % 100) + 0.25f);
    }
    sparse_file_fini(&file);
    free(text);
}

static void limits_and_options_are_held(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t file;
    sparse_file_init(&file, "libsvm", "1 1:1 2:2\n");
    rub_sparse_set_close(&file.set);
    file.options.limit_bytes = 16; /* two entries of 8 bytes; a line of 9 may have three */
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "the limit is 16 bytes"));
    file.options.limit_bytes = 0;
    file.options.format = "xml";
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EINVAL);
    assert_non_null(strstr(file.err.message, "data format 'xml' is not known"));
    assert_false(rub_sparse_format_known("xml"));
    assert_true(rub_sparse_format_known("criteo"));
    file.options.format = "criteo";
    file.options.hash_bits = 33;
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EINVAL);
    assert_non_null(strstr(file.err.message, "hash_bits is 33, expected 4 to 32"));
    file.options.hash_bits = 20;
    file.options.path = "";
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EINVAL);
    file.options.path = "/nowhere/at/all";
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EDATA);
    file.options.path = "/dev/null";
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "not a regular file"));
    sparse_file_fini(&file);
}

static void an_example_with_another_number_of_features_is_refused_by_its_line(void **state)
{
    RUB_UNUSED(state);
    static const struct {
        const char *format, *text;
        uint32_t n_fields;
        const char *words;
    } files[] = {
        {"libsvm", "1 1:1 2:1\n\n0 2:1\n", 2,
         "line 3, column 6: found the line's end, expected 2 features, as every example has "
         "(fields), there are 1"},
        {"libsvm", "1\n", 1, "line 1, column 2: found the line's end, expected 1 features"},
        {"libsvm", "1 1:1 2:1 3:1\n", 2, "line 1, column 14: found the line's end, expected 2"},
        {"libsvm", "1 1:1 2:0\n0 1:1\n", 2, "line 2, column 6"}, /* what is written is there */
        {"csv", "y,a,b\n1,2,3\n0,0,4\n", 2, "line 3, column 6: found the line's end, expected 2"},
        {"csv", "y,a,b\n1,2,3\n0,,\n", 2, "(fields), there are 0; a 0 or an empty field is none"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        sparse_file_t file;
        const bad_file_t bad = {files[i].text, files[i].words, files[i].words};
        assert_int_equal(
            sparse_file_open(&file, files[i].format, files[i].text, strlen(files[i].text), "wbT"),
            0);
        rub_sparse_set_close(&file.set);
        file.options.n_fields = files[i].n_fields;
        sparse_file_assert_refused(&file, rub_sparse_set_open(&file.options, &file.set, &file.err),
                                   &bad);
    }
    sparse_file_t file;
    (void)sparse_file_open(&file, "libsvm", "1 1:1\n0 2:1\n", 12, "wbT");
    rub_sparse_set_close(&file.set);
    file.options.n_fields = 1;
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), 0);
    sparse_file_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_libsvm_is_refused_with_line_and_column),
        cmocka_unit_test(an_example_with_another_number_of_features_is_refused_by_its_line),
        cmocka_unit_test(malformed_criteo_is_refused_with_line_and_column),
        cmocka_unit_test(libsvm_rows_are_read_as_they_stand),
        cmocka_unit_test(labels_may_be_numbers_or_classes_where_the_options_say_so),
        cmocka_unit_test(values_that_are_all_one_are_not_kept),
        cmocka_unit_test(a_row_of_criteo_has_a_key_for_each_field),
        cmocka_unit_test(numbers_fall_into_four_bins_for_each_doubling),
        cmocka_unit_test(gzip_is_read_and_a_stream_that_stops_is_refused),
        cmocka_unit_test(lines_longer_than_the_buffer_are_read_up_to_the_limit),
        cmocka_unit_test(many_rows_are_read_across_buffers),
        cmocka_unit_test(limits_and_options_are_held),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
