/* Vectors that were written come back bit for bit; what is wrong with a file is said with its
 * place. */
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/vectors_file.h"
#include "worker/data/word_vectors.h"

typedef struct bad_file {
    const char *data;
    size_t bytes;
    const char *words;
} bad_file_t;
#define DATA(data) data, sizeof(data) - 1

static void assert_refused(bool binary, const bad_file_t *bad)
{
    idx_files_t files;
    rub_error_t err = {0};
    rub_word_vectors_t *vectors = (rub_word_vectors_t *)&err;
    idx_files_init(&files);
    write_bytes(files.features, false, bad->data, bad->bytes);
    const int rc = rub_word_vectors_open(files.features, binary, &vectors, &err);
    assert_int_equal(rc, RUB_EDATA);
    assert_int_equal(rub_error_exit_code(rc), 4);
    assert_null(vectors);
    if (strstr(err.message, bad->words) == NULL || strstr(err.message, files.features) == NULL) {
        fail_msg("'%s' does not say '%s' and the file", err.message, bad->words);
    }
    idx_files_fini(&files);
}

static void text_that_is_wrong_is_refused_with_line_and_column(void **state)
{
    (void)state;
    static const bad_file_t files[] = {
        {DATA(""), "line 1, column 1: expected how many words there are, and how wide"},
        {DATA("2\n"), "line 1, column 2: expected how many words"},
        {DATA("2 2 2\n"), "line 1, column 5: expected how many words"},
        {DATA("0 2\n"), "line 1, column 4: expected how many words"},
        {DATA("2 0\n"), "line 1, column 4: expected how many words"},
        {DATA("-2 2\n"), "line 1, column 5: expected how many words"},
        {DATA("2 65537\n"), "line 1, column 8: expected how many words"},
        {DATA("99999999999999999999 2\n"), "line 1, column 23: expected how many words"},
        {DATA("the cat sat\n"), "line 1, column 9: expected how many words"},
        {DATA("\n2 2\na 1 2\n"), "line 1, column 1: expected how many words"},
        {DATA("2 2\na 1 2\n"), "line 3, column 1: expected a word and its vector"},
        {DATA("2 2\na 1 2\n\nb 1 2\n"), "line 3, column 1: expected a word and its vector"},
        {DATA("2 2\na 1 2\na 1 2\n"), "line 3, column 1: a word that was there before"},
        {DATA("2 2\na 1\nb 1 2\n"), "line 2, column 4: it has fewer numbers"},
        {DATA("2 2\na 1"), "line 2, column 4: it has fewer numbers"},
        {DATA("2 2\na 1 2 3\nb 1 2\n"), "line 2, column 7: it has more numbers"},
        {DATA("1 2\nNew York 1 2\n"), "line 2, column 5: one of its numbers is none"},
        {DATA("2 2\na 1 2x\nb 1 2\n"), "line 2, column 5: one of its numbers is none"},
        {DATA("2 2\na 1 nan\nb 1 2\n"), "line 2, column 5: one of its numbers is none"},
        {DATA("2 2\na 1e99 2\nb 1 2\n"), "line 2, column 3: one of its numbers is none"},
        {DATA("1 2\na 1,0 2,5\n"), "line 2, column 3: one of its numbers is none"},
        {DATA("1 2\na 1 2\nb 1 2\n"), "line 3, column 1: it goes on behind the last word"},
        {DATA("1 2\na 1 2\n\n"), "line 3, column 1: it goes on behind the last word"},
        {DATA("1 2\n\xff 1 2\n"), "line 2, column 1: byte 0xff"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_refused(false, &files[i]);
    }
}

static void binary_that_is_wrong_is_refused_with_its_byte(void **state)
{
    (void)state;
    static const bad_file_t files[] = {
        {DATA(""), "ends at byte 0"},
        {DATA("1 1"), "ends at byte 3"},
        {DATA("1\nabcdefgh"), "byte 2: expected how many words there are, and how wide"},
        {DATA(" 1\nabcdefgh"), "byte 3: expected how many words"},
        {DATA("0 1\n"), "byte 4: expected how many words"},
        {DATA("1 0\n"), "byte 4: expected how many words"},
        {DATA("-1 1\n"), "byte 5: expected how many words"},
        {DATA("1 65537\n"), "byte 8: expected how many words"},
        {DATA("99999999999999999999 2\n"), "byte 23: expected how many words"},
        {DATA("1 1 1\na \0\0\0\0"), "byte 6: expected how many words"},
        {DATA("1 1\r\na \0\0\0\0"), "byte 5: expected how many words"},
        {DATA("1 1\n"), "ends at byte 4"},
        {DATA("1 1\na"), "ends at byte 5"},
        {DATA("1 1\na \0\0\0"), "ends at byte 9"},
        {DATA("2 1\na \0\0\0\0"), "ends at byte 10"},
        {DATA("2 1\na \0\0\0\0\nb \0\0\0"), "ends at byte 16"},
        {DATA("2 1\na \0\0\0\0a \0\0\0\0"), "byte 12: a word that was there before"},
        {DATA("1 1\n \0\0\0\0"), "byte 5: expected a word"},
        {DATA("1 1\n\n \0\0\0\0"), "byte 6: expected a word"},
        {DATA("1 1\n\xff \0\0\0\0"), "byte 6: a word that is not UTF-8 text"},
        {DATA("1 1\na\0b \0\0\0\0"), "byte 8: a word that is not UTF-8 text"},
        {DATA("1 1\na \0\0\x80\x7f"), "byte 6: a number that is not finite"},
        {DATA("1 2\na \0\0\0\0\0\0\xc0\xff"), "byte 10: a number that is not finite"},
        {DATA("1 1\na \0\0\0\0b"), "goes on behind the last word"},
        {DATA("1 1\na \0\0\0\0\nb"), "goes on after byte 11"},
    };
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_refused(true, &files[i]);
    }
    char word[1200];
    memset(word, 'x', sizeof word);
    memcpy(word, "1 1\n", 4);
    assert_refused(true, &(bad_file_t){word, sizeof word, "a word of more than 1024 bytes"});
}

static void check(const rub_word_vectors_t *vectors, const float *values)
{
    assert_int_equal(vectors->n_words, 2);
    assert_int_equal(vectors->width, 3);
    assert_string_equal(rub_vocabulary_word(vectors->words, 0), "z\xc3\xa9");
    assert_int_equal(rub_vocabulary_find(vectors->words, "a", 1), 1);
    assert_memory_equal(vectors->values, values, 6 * sizeof *values);
}

static void what_was_written_comes_back_bit_for_bit(void **state)
{
    (void)state;
    static const float values[6] = {1.1f, -3e-12f, 0, 123456792, 1e-41f, -0.33333334f};
    for (int binary = 0; binary <= 1; binary++) {
        idx_files_t files;
        rub_error_t err = {0};
        rub_vectors_file_t *file = NULL;
        rub_word_vectors_t *vectors = NULL;
        char *data = NULL;
        size_t bytes = 0;
        idx_files_init(&files);
        assert_int_equal(rub_vectors_file_create(files.features, binary, 2, 3, &file, &err), 0);
        rub_vectors_file_add(file, "z\xc3\xa9", values);
        rub_vectors_file_add(file, "a", values + 3);
        assert_int_equal(rub_vectors_file_finish(&file, &err), 0);
        if (rub_word_vectors_open(files.features, binary, &vectors, &err) != 0) {
            fail_msg("%s", err.message);
        }
        check(vectors, values);
        rub_word_vectors_close(&vectors);
        assert_int_equal(rub_fs_read(files.features, 1000, &data, &bytes, &err), 0);
        write_bytes(files.labels, true, data, bytes); /* gzip */
        assert_int_equal(rub_word_vectors_open(files.labels, binary, &vectors, &err), 0);
        check(vectors, values);
        rub_word_vectors_close(&vectors);
        rub_free(data);
        idx_files_fini(&files);
    }
}

static void gensims_binary_has_no_line_feeds(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    rub_word_vectors_t *vectors = NULL;
    const char data[] = "2 1\nab \0\0\x80\x3f"
                        "c \0\0\0\x40";
    idx_files_init(&files);
    write_bytes(files.features, false, data, sizeof data - 1);
    assert_int_equal(rub_word_vectors_open(files.features, true, &vectors, &err), 0);
    assert_true(vectors->values[0] == 1.0f);
    assert_true(vectors->values[1] == 2.0f);
    assert_string_equal(rub_vocabulary_word(vectors->words, 1), "c");
    rub_word_vectors_close(&vectors);
    idx_files_fini(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(text_that_is_wrong_is_refused_with_line_and_column),
        cmocka_unit_test(binary_that_is_wrong_is_refused_with_its_byte),
        cmocka_unit_test(what_was_written_comes_back_bit_for_bit),
        cmocka_unit_test(gensims_binary_has_no_line_feeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
