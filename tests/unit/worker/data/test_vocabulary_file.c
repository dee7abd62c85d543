/* A vocabulary is read as it was written, and a file that no vocabulary wrote is refused. */
#include "common/base/alloc.h"
#include "common/base/fs.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/vocabulary.h"
#include "worker/data/word_tests.h"

static idx_files_t files;

static int make_files(void **state)
{
    (void)state;
    idx_files_init(&files);
    return 0;
}

static int remove_files(void **state)
{
    (void)state;
    idx_files_fini(&files);
    return 0;
}

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
        {"the 9\nof\n", "line 2, column 1"},
        {"the 9\nof x\n", "line 2"},
        {"the 9\nof 0\n", "line 2"},
        {"the 9\nthe 9\n", "line 2, column 1: found 'the', expected a word that was not there"},
        {"the 9\nof 10\n", "line 2, column 4: found '10', expected a count not above"},
        {"the 9 \n", "line 1"},
        {" 9\n", "line 1"},
    };
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        rub_error_t err = {0};
        rub_vocabulary_t *vocabulary = NULL;
        write_text(cases[i].text);
        assert_int_equal(rub_vocabulary_open(files.features, &vocabulary, &err), RUB_EDATA);
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
    write_text("a b\n");
    assert_int_equal(rub_word_pairs_open(files.features, vocabulary, NULL, &pairs, &err),
                     RUB_EDATA);
    write_text("nobody b 1\n");
    assert_int_equal(rub_word_pairs_open(files.features, vocabulary, NULL, &pairs, &err),
                     RUB_EDATA);
    assert_non_null(strstr(err.message, "none of its 1 lines"));
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
    write_text("a b c\n");
    assert_int_equal(rub_analogies_open(files.features, vocabulary, NULL, &analogies, &err),
                     RUB_EDATA);
    rub_vocabulary_destroy(&vocabulary);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_vocabulary_is_refused_with_its_line),
        cmocka_unit_test(numbers_and_counts_come_back),
        cmocka_unit_test(tests_of_words_take_what_the_vocabulary_has_and_count_the_rest),
    };
    return cmocka_run_group_tests(tests, make_files, remove_files);
}
