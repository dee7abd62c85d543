/* Vectors that were written come back bit for bit; what is wrong with a file is said with its
 * place. */
#include "common/base/alloc.h"
#include "common/base/fs.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/vectors_file.h"
#include "worker/data/word_vectors.h"

static void assert_refused(bool binary, const char *data, size_t bytes, const char *words)
{
    idx_files_t files;
    rub_error_t err = {0};
    rub_word_vectors_t *vectors = (rub_word_vectors_t *)&err;
    idx_files_init(&files);
    write_bytes(files.features, false, data, bytes);
    assert_int_equal(rub_word_vectors_open(files.features, binary, &vectors, &err), RUB_EDATA);
    assert_null(vectors);
    if (strstr(err.message, words) == NULL || strstr(err.message, files.features) == NULL) {
        fail_msg("'%s' does not say '%s' and the file", err.message, words);
    }
    idx_files_fini(&files);
}
#define ASSERT_TEXT_REFUSED(text, words) assert_refused(false, text, sizeof text - 1, words)
#define ASSERT_BINARY_REFUSED(data, words) assert_refused(true, data, sizeof data - 1, words)

static void text_that_is_wrong_is_refused_with_its_line(void **state)
{
    (void)state;
    ASSERT_TEXT_REFUSED("", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("2\n", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("2 2 2\n", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("0 2\n", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("2 0\n", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("-2 2\n", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("2 65537\n", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("99999999999999999999 2\n", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("the cat sat\n", "line 1: expected how many words");
    ASSERT_TEXT_REFUSED("2 2\na 1 2\n", "line 3: expected a word and its vector");
    ASSERT_TEXT_REFUSED("2 2\na 1 2\n\nb 1 2\n", "line 3: expected a word and its vector");
    ASSERT_TEXT_REFUSED("2 2\na 1 2\na 1 2\n", "line 3: a word that was there before");
    ASSERT_TEXT_REFUSED("2 2\na 1\nb 1 2\n", "line 2: it has fewer numbers");
    ASSERT_TEXT_REFUSED("2 2\na 1 2 3\nb 1 2\n", "line 2: it has more numbers");
    ASSERT_TEXT_REFUSED("2 2\na 1 2x\nb 1 2\n", "line 2: one of its numbers is none");
    ASSERT_TEXT_REFUSED("2 2\na 1 nan\nb 1 2\n", "line 2: one of its numbers is none");
    ASSERT_TEXT_REFUSED("2 2\na 1e99 2\nb 1 2\n", "line 2: one of its numbers is none");
    ASSERT_TEXT_REFUSED("1 2\na 1 2\nb 1 2\n", "line 3: it goes on behind the last word");
    ASSERT_TEXT_REFUSED("1 2\n\xff 1 2\n", "line 2: byte 0xff");
}

static void binary_that_is_wrong_is_refused_with_its_byte(void **state)
{
    (void)state;
    ASSERT_BINARY_REFUSED("", "ends at byte 0");
    ASSERT_BINARY_REFUSED("1 1", "ends at byte 3");
    ASSERT_BINARY_REFUSED("1\nabcdefgh", "byte 2: expected how many words");
    ASSERT_BINARY_REFUSED(" 1\nabcdefgh", "byte 3: expected how many words");
    ASSERT_BINARY_REFUSED("1 1\na \0\0\0", "ends at byte 9");
    ASSERT_BINARY_REFUSED("2 1\na \0\0\0\0a \0\0\0\0", "byte 12: a word that was there before");
    ASSERT_BINARY_REFUSED("1 1\n \0\0\0\0", "byte 5: expected a word");
    ASSERT_BINARY_REFUSED("1 1\n\xff \0\0\0\0", "byte 6: a word that is not UTF-8 text");
    ASSERT_BINARY_REFUSED("1 1\na \0\0\x80\x7f", "byte 6: a number that is not finite");
    ASSERT_BINARY_REFUSED("1 1\na \0\0\0\0b", "goes on behind the last word");
    ASSERT_BINARY_REFUSED("1 1\na \0\0\0\0\nb", "goes on after byte 11");
    char word[1200];
    memset(word, 'x', sizeof word);
    memcpy(word, "1 1\n", 4);
    assert_refused(true, word, sizeof word, "a word of more than 1024 bytes");
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
        cmocka_unit_test(text_that_is_wrong_is_refused_with_its_line),
        cmocka_unit_test(binary_that_is_wrong_is_refused_with_its_byte),
        cmocka_unit_test(what_was_written_comes_back_bit_for_bit),
        cmocka_unit_test(gensims_binary_has_no_line_feeds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
