/* A vocabulary is read as it was written; a file that no vocabulary wrote is refused, and so is
 * what tests no words. */
#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "tests/unit/worker/data/idx_fixture.h"
#include "worker/data/vocabulary.h"
#include "worker/data/word_tests.h"

static void write_text(const char *text)
{
    write_bytes(files.features, false, text, strlen(text));
}

static void what_is_no_vocabulary_is_refused_with_its_line(void **state)
{
    (void)state;
    static const struct {
        const char *text, *sentence;
    } cases[] = {
        {"", "holds no words"},
        {"the 9\nof\n", "line 2, column 1: found 'of', expected a word, a blank and its count"},
        {"the 9\n\nof 3\n", "line 2, column 1: found the line's end, expected a word"},
        {"the 9\nof x\n", "line 2, column 1: found 'of', expected a word"},
        {"the 9\nof 0\n", "line 2, column 1: found 'of', expected a word"},
        {"the 9\nof -1\n", "line 2, column 1: found 'of', expected a word"},
        {"the 9\nof 1.5\n", "line 2, column 1: found 'of', expected a word"},
        {"the 9\nof 1e3\n", "line 2, column 1: found 'of', expected a word"},
        {"the 9\nof 3x\n", "line 2, column 1: found 'of', expected a word"},
        {"the 9\nof 0x3\n", "line 2, column 1: found 'of', expected a word"},
        {"the 9\nof 18446744073709551616\n", "line 2, column 1: found 'of', expected a word"},
        {"the 9\nof\t3\n", "line 2, column 1: found 'of', expected a word"},
        {"the,9\n", "line 1, column 1: found 'the,9', expected a word"},
        {"the 9\nthe 9\n", "line 2, column 1: found 'the', expected a word that was not there"},
        {"a 9\nb 5\nc 5\na 1\n", "line 4, column 1: found 'a', expected a word that was not"},
        {"the 9\nof 10\n", "line 2, column 4: found '10', expected a count not above"},
        {"a b 9\na c 10\n", "line 2, column 5: found '10', expected a count not above"},
        {"the 9 \n", "line 1, column 1: found 'the', expected a word"},
        {" 9\n", "line 1, column 1: found a blank, expected a word"},
        {"9\n", "line 1, column 1: found '9', expected a word"},
        {"documents\t3\nthe\t2\n", "line 1, column 1: found 'documents', expected a word"},
        {"\x1f\x8b\x08", "truncated: its gzip checksum is missing"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rub_error_t err = {0};
        rub_vocabulary_t *vocabulary = NULL;
        write_text(cases[i].text);
        const int rc = rub_vocabulary_open(files.features, &vocabulary, &err);
        assert_int_equal(rc, RUB_EDATA);
        assert_int_equal(rub_error_exit_code(rc), 4);
        assert_null(vocabulary);
        if (!strstr(err.message, cases[i].sentence)) {
            fail_msg("'%s' of '%s'", err.message, cases[i].text);
        }
    }
}

static void numbers_and_counts_come_back(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_vocabulary_t *vocabulary = NULL;
    char *data = NULL;
    size_t bytes = 0;
    const char *text = "the 9\nof 4\n\xc3\xa9t\xc3\xa9 4\nx 1\n";
    write_text(text);
    assert_int_equal(rub_vocabulary_open(files.features, &vocabulary, &err), 0);
    assert_int_equal(rub_vocabulary_size(vocabulary), 4);
    assert_int_equal(rub_vocabulary_find(vocabulary, "of", 2), 1);
    assert_int_equal(rub_vocabulary_counts(vocabulary)[2], 4);
    assert_int_equal(rub_vocabulary_save(vocabulary, files.labels, &err), 0);
    assert_int_equal(rub_fs_read(files.labels, 1000, &data, &bytes, &err), 0);
    assert_string_equal(data, text);
    rub_free(data);
    rub_vocabulary_destroy(&vocabulary);
}

static void malformed_tests_of_words_are_refused_with_line_and_column(void **state)
{
    (void)state;
    static const struct {
        bool pairs;
        const char *text, *sentence;
    } cases[] = {
        {true, "", "none of its 0 lines has only words that the vectors know"},
        {true, "# none\n\n", "none of its 0 lines"},
        {true, "x y 1\nz a 2\n", "none of its 2 lines"},
        {true, "a b\n", "line 1, column 1: found 'a', expected two words and a number"},
        {true, "a b 1\na\n", "line 2, column 1: found 'a', expected two words and a number"},
        {true, "a b 1\n \n", "line 2, column 1: found a blank, expected two words"},
        {true, "a b 1\n\n1.5\n", "line 3, column 1: found '1.5', expected two words"},
        {true, "a b c\n", "line 1, column 5: found 'c', expected two words and a number"},
        {true, "a\tb\t1.5x\n", "line 1, column 5: found '1.5x', expected two words and a number"},
        {true, "a,b,\n", "line 1, column 1: found 'a,b,', expected two words and a number"},
        {true, "a b nan\n", "line 1, column 5: found 'nan', expected two words and a number"},
        {true, "a b 1e999\n", "line 1, column 5: found '1e999', expected two words and a number"},
        {true, "a b 1 2\n", "line 1, column 5: found '1', expected two words and a number"},
        {true, "word 1,word 2,mean\n", "line 1, column 8: found 'word', expected two words"},
        {false, "", "none of its 0 lines"},
        {false, ": all\n", "none of its 0 lines"},
        {false, "a b c z\n", "none of its 1 lines"},
        {false, "a b c\n", "line 1, column 1: found 'a', expected four words, not 3"},
        {false, "a b c d\n: two\na b c d a\n",
         "line 3, column 1: found 'a', expected four words, "
         "not 5"},
        {false, "a b c d\n\na\n", "line 3, column 1: found 'a', expected four words, not 1"},
        {false, "a b c d\n \n", "line 2, column 1: found a blank, expected four words, not 0"},
        {false, "a:b::c:d\n", "line 1, column 1: found 'a:b::c:d', expected four words, not 1"},
    };
    rub_vocabulary_t *vocabulary = NULL;
    write_text("a 9\nb 8\nc 7\nd 6\n");
    assert_int_equal(rub_vocabulary_open(files.features, &vocabulary, NULL), 0);
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rub_error_t err = {0};
        rub_word_pairs_t pairs;
        rub_analogies_t analogies;
        write_text(cases[i].text);
        const int rc = cases[i].pairs
                           ? rub_word_pairs_open(files.features, vocabulary, NULL, &pairs, &err)
                           : rub_analogies_open(files.features, vocabulary, NULL, &analogies, &err);
        if (rc != RUB_EDATA || strstr(err.message, cases[i].sentence) == NULL ||
            strstr(err.message, files.features) == NULL) {
            fail_msg("'%s' of '%s'", err.message, cases[i].text);
        }
    }
    rub_vocabulary_destroy(&vocabulary);
}

static void tests_of_words_take_what_the_vocabulary_has_and_count_the_rest(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_vocabulary_t *vocabulary = NULL;
    rub_word_pairs_t pairs;
    rub_analogies_t analogies;
    write_text("a 9\nb 8\nc 7\nd 6\n");
    assert_int_equal(rub_vocabulary_open(files.features, &vocabulary, &err), 0);
    write_text("# words\na\tb\t1.5\n\nA,c,-2\nnobody a 3\n");
    assert_int_equal(rub_word_pairs_open(files.features, vocabulary, NULL, &pairs, &err), 0);
    assert_int_equal(pairs.n, 2);
    assert_int_equal(pairs.n_left_out, 1);
    assert_int_equal(pairs.words[1][0], 0);
    assert_true(pairs.scores[1] == -2);
    rub_word_pairs_close(&pairs);
    write_text("a b c d\n: two words\nd c b a\na b c e\n:three\na c b d\n");
    assert_int_equal(rub_analogies_open(files.features, vocabulary, NULL, &analogies, &err), 0);
    assert_int_equal(analogies.n, 3);
    assert_int_equal(analogies.n_left_out, 1);
    assert_int_equal(analogies.n_sections, 3);
    assert_string_equal(analogies.names[0], "all");
    assert_string_equal(analogies.names[1], "two words");
    assert_string_equal(analogies.names[2], "three");
    assert_int_equal(analogies.sections[2], 2);
    assert_int_equal(analogies.words[1][0], 3);
    rub_analogies_close(&analogies);
    rub_vocabulary_destroy(&vocabulary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_vocabulary_is_refused_with_its_line),
        cmocka_unit_test(numbers_and_counts_come_back),
        cmocka_unit_test(malformed_tests_of_words_are_refused_with_line_and_column),
        cmocka_unit_test(tests_of_words_take_what_the_vocabulary_has_and_count_the_rest),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
