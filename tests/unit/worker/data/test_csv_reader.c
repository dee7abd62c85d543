/* CSV and TSV files: what they say, and every refusal with line and column. */
#include "tests/unit/worker/data/sparse_files.h"

#include "common/base/error.h"
#include "worker/data/column_names.h"
#include "worker/data/sparse_batch.h"
#include "worker/data/sparse_stream.h"

/* As sparse_file_open, with words in the columns told. */
static int open_table(sparse_file_t *file, const char *format, const char *text, const char *label,
                      const char *words, bool header)
{
    (void)sparse_file_open(file, format, text, strlen(text), "wbT");
    rub_sparse_set_close(&file->set);
    file->options.csv_label = label;
    file->options.csv_words = words;
    file->options.csv_header = header;
    file->err = (rub_error_t){0};
    return rub_sparse_set_open(&file->options, &file->set, &file->err);
}

static void assert_refused(const char *format, bool header, const bad_file_t *bad)
{
    sparse_file_t file;
    const int rc = open_table(&file, format, bad->text, "1", "3", header);
    sparse_file_assert_refused(&file, rc, bad);
}

static void malformed_csv_is_refused_with_line_and_column(void **state)
{
    RUB_UNUSED(state);
    static const bad_file_t files[] = {
        {"x,1,a\n", "line 1, column 1", "found 'x,1,a', expected a label of two classes"},
        {"2,1,a\n", "line 1, column 1", "1 or 0, +1 or -1"},
        {",1,a\n", "line 1, column 1", "expected a label"},
        {"\"1,1,a\n", "line 2, column 1", "expected the quote that ends a field"},
        {"\"\",1,a\n", "line 1, column 2", "expected a label"},
        {"1x,1,a\n", "line 1, column 1", "expected a label"},
        {"1 ,1,a\n", "line 1, column 1", "expected a label"},
        {"1,1,a\n1,1\n", "line 2, column 4", "expected 3 fields, as before, there are 2"},
        {"1,1,a\n1,1,a,\n", "line 2, column 7", "expected the line's end behind 3 fields"},
        {"1,1,a\n\n1\n", "line 3, column 2", "expected 3 fields, as before, there are 1"},
        {"1,one,a\n", "line 1, column 3",
         "found 'one,a', expected a number or nothing in column 2"},
        {"1,1,a\n0,1e,b\n", "line 2, column 3", "(csv_words names the columns of words)"},
        {"1,0x1,a\n", "line 1, column 3", "expected a number"},
        {"1, 5,a\n", "line 1, column 3", "found a blank, expected a number"},
        {"1,nan,a\n", "line 1, column 3", "found 'nan,a'"},
        {"1,1e39,a\n", "line 1, column 3", "expected a number within float32"},
        {"1,\"5\"x,a\n", "line 1, column 6", "expected a comma or the line's end behind a quoted"},
        {"1,5\"\",a\n", "line 1, column 4", "expected no quote within a field"},
        {"1,5,a\n1,5,b\"\n1,5,c\n", "line 2, column 6", "expected no quote within a field"},
        {"1,5,\"a\nb\"\"\nc\n", "line 4, column 1", "expected the quote that ends a field"},
        {"1,\"4\n5\",a\n", "line 1, column 4", "expected a number"},
        {"1,5,\"a\nb\"\nx,5,a\n", "line 3, column 1", "expected a label"},
        {"1,5,\"a\nb\",\"7\"\n1,2,3\n", "line 3, column 6", "expected 4 fields"},
        {"\n\r\n\n", "", "holds 0 examples"},
        {"", "", "holds 0 examples"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        assert_refused("csv", false, &files[i]);
    }
}

static void malformed_headers_are_refused(void **state)
{
    RUB_UNUSED(state);
    static const bad_file_t files[] = {
        {"label,a,b\n", "", "holds 0 examples"},
        {"label,\"a,b\n1,2,3\n", "line 3, column 1", "expected the quote that ends a field"},
        {"label,a,b\n1,2\n", "line 2, column 4", "expected 3 fields"},
        {"label,a\"b,c\n1,2,3\n", "line 1, column 8", "expected no quote"},
        {"1,0.5,2\n0,1,3\n", "line 1, column 1",
         "found '1,0.5,2', expected names of columns (csv_header: false"},
        {"1,0,0\n0,1,3\n", "line 1, column 1", "expected names of columns"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        assert_refused("csv", true, &files[i]);
    }
    static const bad_file_t tabs[] = {
        {"label\ta\tb\n", "", "holds 0 examples"},
        {"label\ta\tb\n1\t2\n", "line 2, column 4", "expected 3 fields"},
        {"1\t0.5\t2\n0\t1\t3\n", "line 1, column 1", "expected names of columns"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(tabs); i++) {
        assert_refused("tsv", true, &tabs[i]);
    }
    sparse_file_t file;
    assert_int_equal(open_table(&file, "csv", "a,b\n1,2\n", "click", "", true), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "expected a column for the label 'click' among 2"));
    sparse_file_fini(&file);
    assert_int_equal(open_table(&file, "csv", "y,town\n1,2\n", "1", "town,city", true), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "expected a column for 'city' of csv_words among 2"));
    sparse_file_fini(&file);
    assert_int_equal(open_table(&file, "tsv", "y\ttown\n1\t2\n", "1", "3-9", true), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "expected a column for '3-9' of csv_words among 2"));
    sparse_file_fini(&file);
    assert_int_equal(open_table(&file, "csv", "0,1,2\n1,5,6\n", "1", "", true), 0); /* pandas' */
    assert_int_equal(file.set->n_examples, 1);
    sparse_file_fini(&file);
    assert_int_equal(open_table(&file, "csv", "1,2\n", "3", "", false), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "expected a column for the label '3' among 2"));
    sparse_file_fini(&file);
}

static void malformed_tsv_is_refused_with_line_and_column(void **state)
{
    RUB_UNUSED(state);
    static const bad_file_t files[] = {
        {"", "", "holds 0 examples"},
        {"\n\r\n\n", "", "holds 0 examples"},
        {"1,2,3\n", "line 1, column 1", "found '1,2,3', expected a label of two classes"},
        {"x\t1\ta\n", "line 1, column 1", "found 'x', expected a label of two classes"},
        {"2\t1\ta\n", "line 1, column 1", "1 or 0, +1 or -1"},
        {"\t1\ta\n", "line 1, column 1", "found a tab, expected a label"},
        {" 1\t1\ta\n", "line 1, column 1", "found a blank, expected a label"},
        {"1 \t1\ta\n", "line 1, column 1", "expected a label"},
        {"\"1\"\t2\ta\n", "line 1, column 1", "expected a label"},
        {"\xef\xbb\xbf\xef\xbb\xbf"
         "1\t2\ta\n",
         "line 1, column 1", "found byte 0xef, expected a label"},
        {"\xef\xbb\xbf"
         "x\t2\ta\n",
         "line 1, column 1", "found 'x', expected a label"},
        {"\xef\xbb\xbf", "", "holds 0 examples"},
        {"\xef\xbb", "line 1, column 1", "found byte 0xef, expected a label"},
        {"1\t2,3\ta\n", "line 1, column 3", "expected a number or nothing in column 2"},
        {"1\t\"2\"\ta\n", "line 1, column 3", "expected a number"},
        {"1\tone\ta\n", "line 1, column 3", "found 'one', expected a number or nothing"},
        {"1\t1\ta\n0\t1e\tb\n", "line 2, column 3", "(csv_words names the columns of words)"},
        {"1\t0x1\ta\n", "line 1, column 3", "found '0x1', expected a number"},
        {"1\t 5\ta\n", "line 1, column 3", "found a blank, expected a number"},
        {"1\tnan\ta\n", "line 1, column 3", "found 'nan', expected a number"},
        {"1\t-1e39\ta\n", "line 1, column 3", "expected a number within float32"},
        {"1\t5\r7\ta\n", "line 1, column 3", "expected a number"},
        {"1\t2\ta\n0\t2\n", "line 2, column 4", "expected 3 fields, as before, there are 2"},
        {"1\t2\ta\n0\n", "line 2, column 2", "expected 3 fields, as before, there are 1"},
        {"1\t2\ta\n\n0\t2\ta\t\n", "line 3, column 7", "expected the line's end behind 3 fields"},
        {"1\t2\ta\n0\t\"2\n\t3\"\tb\n", "line 2, column 3", "found '\"2', expected a number"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        assert_refused("tsv", false, &files[i]);
    }
}

static void fields_become_features_of_their_columns(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t file;
    static const char text[] = "size,click,city\r\n"
                               "2.5,1,York\r\n"
                               "\"-3\",0,\"York\"\n"
                               ",-1,\"New\n\"\"York\"\"\"\r\n"
                               "\n"
                               "0,+1,\n";
    if (open_table(&file, "csv", text, "click", "city", true) != 0) {
        fail_msg("%s", file.err.message);
    }
    const rub_sparse_set_t *set = file.set;
    assert_int_equal(set->n_examples, 4);
    assert_memory_equal(set->labels, ((float[]){1, 0, 0, 1}), 4 * sizeof(float));
    assert_memory_equal(set->offsets, ((uint64_t[]){0, 2, 4, 5, 5}), 5 * sizeof(uint64_t));
    assert_memory_equal(set->values, ((float[]){2.5f, 1, -3, 1, 1}), 5 * sizeof(float));
    assert_int_equal(set->keys[0], set->keys[2]);
    assert_int_equal(set->keys[1], set->keys[3]);
    assert_int_not_equal(set->keys[1], set->keys[4]);
    assert_int_not_equal(set->keys[0], set->keys[1]);
    assert_true(set->greatest_key < 1 << 20);
    sparse_file_fini(&file);
}

static void columns_are_named_by_numbers_names_and_ranges(void **state)
{
    RUB_UNUSED(state);
    static const char text[] = "y,a,b,c,d\n1,2,2,2,2\n";
    static const struct {
        const char *words;
        bool is_word[4];
    } rows[] = {
        {"", {false}},
        {"all", {true, true, true, true}},
        {"2", {true, false, false, false}},
        {"3-4", {false, true, true, false}},
        {"b,5", {false, true, false, true}},
        {"d,2-3", {true, true, false, true}},
    };
    static const char *const slips[] = {"bb", "a,c-d", "44", "b,,5"};
    for (size_t i = 0; i < RUB_COUNT_OF(rows); i++) {
        sparse_file_t file;
        assert_int_equal(open_table(&file, "csv", text, "y", rows[i].words, true), 0);
        assert_int_equal(file.set->offsets[1], 4);
        for (size_t c = 0; c < 4; c++) {
            const float value = file.set->values != NULL ? file.set->values[c] : 1;
            assert_true(value == (rows[i].is_word[c] ? 1.0f : 2.0f));
        }
        sparse_file_fini(&file);
    }
    for (size_t i = 0; i < RUB_COUNT_OF(slips); i++) {
        sparse_file_t file;
        assert_int_equal(open_table(&file, "csv", text, "y", slips[i], true), RUB_EDATA);
        assert_non_null(strstr(file.err.message, "of csv_words among 5"));
        sparse_file_fini(&file);
    }
}

static void a_quote_is_a_letter_in_tsv(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t file;
    assert_int_equal(open_table(&file, "tsv", "1\t\"a\n0\t\"a\n", "1", "2", false), 0);
    assert_int_equal(file.set->n_examples, 2);
    assert_int_equal(file.set->keys[0], file.set->keys[1]);
    sparse_file_fini(&file);
}

static void a_stream_of_csv_has_the_examples_of_a_set(void **state)
{
    RUB_UNUSED(state);
    enum { ROWS = 20000, BATCH = 50 };
    static char text[ROWS * 24 + 32];
    size_t used = (size_t)sprintf(text, "y,n,w\n");
    for (unsigned i = 0; i < ROWS; i++) {
        used += (size_t)sprintf(text + used, "%u,%u,\"w%s%u\"\n", i % 2, i + 1, i % 7 ? "" : "\n",
                                i % 9);
    }
    sparse_file_t file;
    assert_int_equal(open_table(&file, "csv", text, "y", "w", true), 0);
    rub_sparse_stream_t *stream = NULL;
    rub_sparse_batch_t *batch = rub_sparse_batch_new(BATCH);
    assert_int_equal(rub_sparse_stream_open(&file.options, 1 << 20, BATCH, &stream, &file.err), 0);
    assert_int_equal(rub_sparse_stream_count(stream), ROWS);
    assert_true(rub_sparse_stream_window(stream) < ROWS);
    for (size_t first = ROWS - BATCH; first < ROWS; first -= BATCH) {
        if (rub_sparse_stream_fill(stream, batch, first, BATCH, &file.err) != 0) {
            fail_msg("%s", file.err.message);
        }
        for (size_t i = 0; i < BATCH; i++) {
            const uint64_t at = file.set->offsets[first + i];
            const uint32_t start = batch->starts[i];
            assert_int_equal(batch->labels[i], (first + i) % 2);
            assert_true(batch->values[start] == (float)(first + i + 1));
            assert_int_equal(batch->keys[batch->places[start]], file.set->keys[at]);
            assert_int_equal(batch->keys[batch->places[start + 1]], file.set->keys[at + 1]);
        }
    }
    rub_sparse_stream_close(&stream);
    rub_sparse_batch_destroy(&batch);
    sparse_file_fini(&file);
}

static void files_of_other_columns_are_refused(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t first, second;
    assert_int_equal(open_table(&first, "csv", "y,a\n1,2\n", "1", "", true), 0);
    assert_int_equal(open_table(&second, "csv", "y,b\n1,2\n", "1", "", true), 0);
    char both[160];
    (void)snprintf(both, sizeof both, "%s,%s", first.path, second.path);
    rub_sparse_set_close(&first.set);
    first.options.path = both;
    assert_int_equal(rub_sparse_set_open(&first.options, &first.set, &first.err), RUB_EDATA);
    assert_non_null(strstr(first.err.message, second.path));
    assert_non_null(
        strstr(first.err.message, "line 1, column 3: found 'b', expected 'a' as column 2, as in"));
    assert_non_null(strstr(first.err.message, first.path));
    (void)snprintf(both, sizeof both, "%s,%s", first.path, first.path);
    assert_int_equal(rub_sparse_set_open(&first.options, &first.set, &first.err), 0);
    assert_int_equal(first.set->n_examples, 2);
    sparse_file_fini(&first);
    sparse_file_fini(&second);
}

/* Behind open_table: the same file with columns that have keys of their own. */
static int open_own(sparse_file_t *file, const char *text, bool header, const char *const *own,
                    uint32_t n_own)
{
    (void)open_table(file, "csv", text, "1", "all", header);
    rub_sparse_set_close(&file->set);
    file->options.own = own;
    file->options.n_own = n_own;
    file->options.hash_bits = 20;
    file->err = (rub_error_t){0};
    return rub_sparse_set_open(&file->options, &file->set, &file->err);
}

static void keys_of_own_columns_say_their_column_and_the_same_hash(void **state)
{
    RUB_UNUSED(state);
    static const char *const named[] = {"b", "c"}, *const numbered[] = {"3", "4"};
    for (int header = 0; header < 2; header++) {
        const char *const text = header ? "y,a,b,c\n1,x,u,z\n0,x,,z\n" : "1,x,u,z\n0,x,,z\n";
        sparse_file_t plain, file;
        assert_int_equal(open_own(&plain, text, header, NULL, 0), 0);
        assert_int_equal(open_own(&file, text, header, header ? named : numbered, 2), 0);
        static const uint32_t column_of[] = {2, 0, 1, 2, 1}; /* 2: of all others */
        assert_int_equal(file.set->offsets[2], RUB_COUNT_OF(column_of));
        for (size_t i = 0; i < RUB_COUNT_OF(column_of); i++) {
            assert_int_equal(file.set->keys[i] >> 20, column_of[i]);
            assert_int_equal(file.set->keys[i] & 0xfffff, plain.set->keys[i]);
        }
        rub_sparse_batch_t *batch = rub_sparse_batch_new(2);
        assert_int_equal(rub_sparse_batch_fill(batch, file.set, NULL, 0, 2, NULL), 0);
        static const size_t parts[] = {0, 1, 2, 4};
        assert_int_equal(batch->n_own, 2);
        assert_int_equal(batch->n_keys, 4);
        assert_memory_equal(batch->parts, parts, sizeof parts);
        assert_int_equal(batch->keys[3], RUB_SPARSE_BIAS);
        for (size_t i = 0; i < RUB_COUNT_OF(column_of); i++) {
            assert_int_equal(batch->keys[batch->places[i]], plain.set->keys[i]);
            assert_int_equal(batch->places[i] < parts[1]   ? 0
                             : batch->places[i] < parts[2] ? 1
                                                           : 2,
                             column_of[i]);
        }
        rub_sparse_batch_destroy(&batch);
        sparse_file_fini(&plain);
        sparse_file_fini(&file);
    }
}

static void own_columns_that_are_not_there_or_do_not_fit_are_refused(void **state)
{
    RUB_UNUSED(state);
    static const char *const own[] = {"b", "d"}, *const numbered[] = {"2", "7"};
    sparse_file_t file;
    assert_int_equal(open_own(&file, "y,a,b\n1,x,u\n", true, own, 2), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "line 1, column 1: found 'y,a,b', expected a column "
                                             "'d', which has a table of its own, among 3"));
    sparse_file_fini(&file);
    assert_int_equal(open_own(&file, "1,x,u\n", false, numbered, 2), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "expected a column '7', which has a table"));
    file.options.hash_bits = 31;
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EINVAL);
    assert_non_null(strstr(file.err.message, "hash_bits is 31, expected at most 30 beside 2"));
    file.options.hash_bits = 20;
    file.options.format = "libsvm";
    assert_int_equal(rub_sparse_set_open(&file.options, &file.set, &file.err), RUB_EINVAL);
    assert_non_null(strstr(file.err.message, "'libsvm' has no columns, 2 shall have keys"));
    sparse_file_fini(&file);
}

/* A list of them with blanks between, the label in brackets. */
static void expect_names(sparse_file_t *file, const char *expected)
{
    rub_column_names_t names;
    char said[400] = "";
    if (rub_column_names_read(&file->options, &names, &file->err) != 0) {
        fail_msg("%s", file->err.message);
    }
    for (uint32_t i = 0; i < names.n; i++) {
        const size_t used = strlen(said);
        snprintf(said + used, sizeof said - used, i == names.label ? "[%s] " : "%s ",
                 names.names[i]);
    }
    assert_string_equal(said, expected);
    rub_column_names_fini(&names);
}

static void names_of_columns_are_those_of_the_first_line_or_numbers(void **state)
{
    RUB_UNUSED(state);
    sparse_file_t file;
    rub_column_names_t names;
    assert_int_equal(open_table(&file, "csv", "a,\"b,c\",d\n1,1,2\n", "b,c", "", true), RUB_EDATA);
    file.options.csv_label = "1";
    expect_names(&file, "[a] b,c d ");
    sparse_file_fini(&file);
    assert_int_equal(open_table(&file, "tsv", "5\t1\t2\n", "2", "", false), 0);
    expect_names(&file, "1 [2] 3 ");
    file.options.format = "criteo";
    expect_names(&file,
                 "[label] I1 I2 I3 I4 I5 I6 I7 I8 I9 I10 I11 I12 I13 C1 C2 C3 C4 C5 C6 C7 C8 "
                 "C9 C10 C11 C12 C13 C14 C15 C16 C17 C18 C19 C20 C21 C22 C23 C24 C25 C26 ");
    file.options.format = "libsvm";
    assert_int_equal(rub_column_names_read(&file.options, &names, &file.err), RUB_EINVAL);
    assert_non_null(strstr(file.err.message, "data format 'libsvm' has no columns"));
    rub_column_names_fini(&names);
    file.options.format = "csv";
    file.options.path = "-";
    assert_int_equal(rub_column_names_read(&file.options, &names, &file.err), RUB_ECONFIG);
    assert_non_null(strstr(file.err.message, "standard input is read once"));
    rub_column_names_fini(&names);
    sparse_file_fini(&file);
    assert_int_equal(open_table(&file, "csv", "", "1", "", true), RUB_EDATA);
    assert_int_equal(rub_column_names_read(&file.options, &names, &file.err), RUB_EDATA);
    assert_non_null(strstr(file.err.message, "holds 0 examples"));
    rub_column_names_fini(&names);
    sparse_file_fini(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(malformed_csv_is_refused_with_line_and_column),
        cmocka_unit_test(malformed_headers_are_refused),
        cmocka_unit_test(malformed_tsv_is_refused_with_line_and_column),
        cmocka_unit_test(fields_become_features_of_their_columns),
        cmocka_unit_test(columns_are_named_by_numbers_names_and_ranges),
        cmocka_unit_test(a_quote_is_a_letter_in_tsv),
        cmocka_unit_test(a_stream_of_csv_has_the_examples_of_a_set),
        cmocka_unit_test(files_of_other_columns_are_refused),
        cmocka_unit_test(keys_of_own_columns_say_their_column_and_the_same_hash),
        cmocka_unit_test(own_columns_that_are_not_there_or_do_not_fit_are_refused),
        cmocka_unit_test(names_of_columns_are_those_of_the_first_line_or_numbers),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
