/* Texts there and back as numbers of words, and every refusal with the words a user needs. */
#include "common/base/alloc.h"
#include "common/base/fs.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/corpus.h"
#include "worker/data/text_file.h"

#define END RUB_SENTENCE_END

static void write_text(idx_files_t *files, bool gzip, const char *text)
{
    idx_files_init(files);
    write_bytes(files->features, gzip, text, strlen(text));
}

static void assert_refused(const char *text, size_t bytes, const char *words)
{
    idx_files_t files;
    rub_error_t err = {0};
    rub_corpus_t *corpus = (rub_corpus_t *)&err; /* must be set to NULL */
    idx_files_init(&files);
    write_bytes(files.features, false, text, bytes);
    assert_int_equal(rub_corpus_open(files.features, 1, &corpus, &err), RUB_EDATA);
    assert_null(corpus);
    if (strstr(err.message, words) == NULL || strstr(err.message, files.features) == NULL) {
        fail_msg("'%s' does not say '%s' and the file", err.message, words);
    }
    idx_files_fini(&files);
}

static rub_corpus_t *open_text(idx_files_t *files, bool gzip, const char *text, uint64_t min_count)
{
    rub_error_t err = {0};
    rub_corpus_t *corpus = NULL;
    write_text(files, gzip, text);
    if (rub_corpus_open(files->features, min_count, &corpus, &err) != 0) {
        fail_msg("%s", err.message);
    }
    return corpus;
}

static void what_is_no_text_is_named_with_line_and_column(void **state)
{
    (void)state;
#define TEXT(text) text, sizeof(text) - 1
    static const struct {
        const char *text;
        size_t bytes;
        const char *words;
    } files[] = {
        {TEXT(""), "none of its 0 words"},
        {TEXT(" \n\t\r\n"), "none of its 0 words"},
        {TEXT("\xef\xbb\xbf"), "none of its 0 words"},
        {TEXT("\xef\xbb\xbf"
              "ab \xff"),
         "line 1, column 4: byte 0xff"},
        {TEXT("a b\nc \xff\xfe"), "line 2, column 3: byte 0xff of a word is not UTF-8"},
        {TEXT("a\0b"), "line 1, column 2: byte 0x00"},
        {TEXT("\0"), "line 1, column 1: byte 0x00"},
        {TEXT("\n\n\xc3"), "line 3, column 1: byte 0xc3"},          /* cut by the end, */
        {TEXT("a\xe2\x82 x"), "line 1, column 2: byte 0xe2"},       /* by a blank, */
        {TEXT("\xf0\x9f\x92\nx"), "line 1, column 1: byte 0xf0"},   /* by a line's end */
        {TEXT("\xc0\x80"), "line 1, column 1: byte 0xc0"},          /* overlong */
        {TEXT("ok\xc1\xbf"), "line 1, column 3: byte 0xc1"},        /* overlong */
        {TEXT("x\xe0\x80\x80"), "line 1, column 2: byte 0xe0"},     /* overlong */
        {TEXT("\xf0\x8f\xbf\xbf"), "line 1, column 1: byte 0xf0"},  /* overlong */
        {TEXT("x \xed\xa0\x80"), "line 1, column 3: byte 0xed"},    /* surrogate */
        {TEXT("\r\nz\xed\xbf\xbf"), "line 2, column 2: byte 0xed"}, /* surrogate */
        {TEXT("\xf4\x90\x80\x80"), "line 1, column 1: byte 0xf4"},  /* above U+10FFFF */
        {TEXT("\xf5\x80\x80\x80"), "line 1, column 1: byte 0xf5"},  /* above U+10FFFF */
        {TEXT("a \x80"), "line 1, column 3: byte 0x80"},            /* goes on, without a head */
        {TEXT("K\xf6ln\n"), "line 1, column 2: byte 0xf6"},         /* Latin 1 */
        {TEXT("\xff\xfe"
              "a\0"),
         "line 1, column 1: byte 0xff"},                                    /* UTF-16 */
        {TEXT("\xc3\xa9t\xc3\xa9\t\xc3\n"), "line 1, column 7: byte 0xc3"}, /* bytes, not letters */
        {TEXT("%PDF-1.5\n%\xd0\xd4\xc5"), "line 2, column 2: byte 0xd0"},
        {TEXT("\x7f"
              "ELF\2\1\1\0"),
         "line 1, column 8: byte 0x00"},
        {TEXT("\x1f\x8b\x08"), "truncated: its gzip checksum is missing"},
    };
#undef TEXT
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        assert_refused(files[i].text, files[i].bytes, files[i].words);
    }
}

/* Its buffer has been filled many times by then. */
static void a_place_far_behind_is_named_too(void **state)
{
    (void)state;
    enum { LINES = 60000, BYTES = LINES * 10 };
    static char text[BYTES];
    for (size_t i = 0; i < LINES; i++) {
        memcpy(text + 10 * i, i + 1 < LINES ? "abc \xc3\xa9 xy\n" : "abc \xc3\xa9 \xffy\n", 10);
    }
    assert_refused(text, BYTES, "line 60000, column 8: byte 0xff");
}

static void a_word_above_the_limit_is_refused_and_one_at_it_is_not(void **state)
{
    (void)state;
    char text[RUB_TEXT_WORD_LIMIT + 3];
    memset(text, 'x', sizeof text);
    text[0] = '\n';
    assert_refused(text, RUB_TEXT_WORD_LIMIT + 2,
                   "line 2, column 1: a word of more than 1024 bytes");
    text[RUB_TEXT_WORD_LIMIT + 1] = '\0';
    idx_files_t files;
    rub_corpus_t *corpus = open_text(&files, false, text, 1);
    assert_int_equal(corpus->n_words, 1);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

static void a_missing_file_and_a_folder_are_refused(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_corpus_t *corpus = NULL;
    assert_int_equal(rub_corpus_open("/nonexistent/text", 1, &corpus, &err), RUB_EDATA);
    assert_null(corpus);
    assert_int_equal(rub_corpus_open("/tmp", 1, &corpus, &err), RUB_EDATA);
    assert_null(corpus);
}

static void words_that_occur_too_rarely_are_named_with_the_bound(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    rub_corpus_t *corpus = NULL;
    write_text(&files, false, "a b a");
    assert_int_equal(rub_corpus_open(files.features, 3, &corpus, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "none of its 3 words occurs 3 times or more"));
    idx_files_fini(&files);
}

static void a_gzip_stream_that_is_cut_or_damaged_is_refused(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    rub_corpus_t *corpus = NULL;
    char *data = NULL;
    size_t bytes = 0;
    write_text(&files, true, "to be or not to be\nthat is the question\n");
    assert_int_equal(rub_fs_read(files.features, 1000, &data, &bytes, &err), 0);
    for (size_t cut = 20; cut < bytes; cut++) {
        write_bytes(files.features, false, data, cut);
        assert_int_equal(rub_corpus_open(files.features, 1, &corpus, &err), RUB_EDATA);
        assert_non_null(strstr(err.message, files.features));
    }
    data[bytes - 6] ^= 1; /* its checksum */
    write_bytes(files.features, false, data, bytes);
    assert_int_equal(rub_corpus_open(files.features, 1, &corpus, &err), RUB_EDATA);
    rub_free(data);
    idx_files_fini(&files);
}

static void check_numbers(bool gzip)
{
    idx_files_t files;
    /* b 4, a 2 and c 2 (by bytes); z and y dropped, and with y its sentence. */
    rub_corpus_t *corpus = open_text(&files, gzip, "  b a\tb\n\n c b z\ny\r\nc a b", 2);
    const uint32_t expected[] = {0, 1, 0, END, 2, 0, END, 2, 1, 0, END};
    const rub_vocabulary_t *vocabulary = corpus->vocabulary;
    assert_int_equal(rub_vocabulary_size(vocabulary), 3);
    assert_string_equal(rub_vocabulary_word(vocabulary, 0), "b");
    assert_string_equal(rub_vocabulary_word(vocabulary, 1), "a");
    assert_string_equal(rub_vocabulary_word(vocabulary, 2), "c");
    assert_int_equal(rub_vocabulary_counts(vocabulary)[0], 4);
    assert_int_equal(rub_vocabulary_counts(vocabulary)[2], 2);
    assert_int_equal(corpus->words_read, 10);
    assert_int_equal(corpus->n_words, 8);
    assert_int_equal(corpus->n_tokens, 11);
    assert_memory_equal(corpus->tokens, expected, sizeof expected);
    assert_int_equal(rub_vocabulary_find(vocabulary, "cat", 1), 2);
    assert_int_equal(rub_vocabulary_find(vocabulary, "z", 1), RUB_NO_WORD);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

static void words_are_numbered_by_count_and_then_by_their_bytes(void **state)
{
    (void)state;
    check_numbers(false);
    check_numbers(true);
}

/* More text than the buffer, with words across its borders, and more words than the first index. */
static void texts_of_a_folder_are_read_one_behind_the_other(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    rub_corpus_t *corpus = NULL;
    idx_files_init(&files);
    write_bytes(files.features, true, "b a", 3); /* "features" stands before "labels" */
    write_bytes(files.labels, false, "a c\nc a\n", 8);
    if (rub_corpus_open(files.folder, 1, &corpus, &err) != 0) {
        fail_msg("%s", err.message);
    }
    const uint32_t expected[] = {2, 0, END, 0, 1, END, 1, 0, END}; /* a 3, c 2, b 1 */
    assert_int_equal(corpus->n_tokens, 9);
    assert_memory_equal(corpus->tokens, expected, sizeof expected);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

static void a_text_larger_than_all_buffers_is_read_whole(void **state)
{
    (void)state;
    enum { WORDS = 60000 };
    char *text = malloc(WORDS * 24);
    size_t used = 0;
    for (unsigned i = 0; i < WORDS; i++) {
        used += (size_t)sprintf(text + used, "word\xc3\xa9number%u%c", i % 20000,
                                i % 7 == 6 ? '\n' : ' ');
    }
    idx_files_t files;
    rub_corpus_t *corpus = open_text(&files, true, text, 3);
    assert_int_equal(corpus->n_words, WORDS);
    assert_int_equal(rub_vocabulary_size(corpus->vocabulary), 20000);
    size_t n = 0;
    for (size_t i = 0; i < corpus->n_tokens; i++) {
        if (corpus->tokens[i] != END) {
            char word[32];
            sprintf(word, "word\xc3\xa9number%zu", n++ % 20000);
            assert_string_equal(rub_vocabulary_word(corpus->vocabulary, corpus->tokens[i]), word);
        }
    }
    assert_int_equal(corpus->n_tokens, WORDS + (WORDS + 6) / 7);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
    free(text);
}

static void held_out_text_has_the_numbers_of_the_text_trained_on(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    rub_corpus_t *held_out = NULL;
    rub_corpus_t *corpus = open_text(&files, false, "b b a", 1);
    const char text[] = "c a\nc\nb d b\n";
    const uint32_t expected[] = {1, END, 0, 0, END};
    write_bytes(files.labels, false, text, sizeof text - 1);
    assert_int_equal(rub_corpus_open_with(files.labels, corpus->vocabulary, &held_out, &err), 0);
    assert_int_equal(held_out->n_tokens, 5);
    assert_int_equal(held_out->n_words, 3);
    assert_int_equal(held_out->words_read, 6);
    assert_memory_equal(held_out->tokens, expected, sizeof expected);
    rub_corpus_close(&held_out);
    write_bytes(files.labels, false, "c d", 3);
    assert_int_equal(rub_corpus_open_with(files.labels, corpus->vocabulary, &held_out, &err),
                     RUB_EDATA);
    assert_null(held_out);
    assert_non_null(strstr(err.message, "none of its 2 words is in the vocabulary of 2"));
    assert_int_equal(rub_corpus_open_with("/nonexistent/text", corpus->vocabulary, &held_out, &err),
                     RUB_EDATA);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

static void a_vocabulary_is_saved_a_word_and_its_count_a_line(void **state)
{
    (void)state;
    idx_files_t files;
    rub_error_t err = {0};
    char *saved = NULL;
    size_t bytes = 0;
    rub_corpus_t *corpus = open_text(&files, false, "is it it \xc3\xa9 is it", 1);
    assert_int_equal(rub_vocabulary_save(corpus->vocabulary, files.labels, &err), 0);
    assert_int_equal(rub_fs_read(files.labels, 1000, &saved, &bytes, &err), 0);
    assert_string_equal(saved, "it 3\nis 2\n\xc3\xa9 1\n");
    assert_int_equal(rub_vocabulary_save(corpus->vocabulary, "/nonexistent/words", &err), RUB_EIO);
    rub_free(saved);
    rub_corpus_close(&corpus);
    idx_files_fini(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_no_text_is_named_with_line_and_column),
        cmocka_unit_test(a_place_far_behind_is_named_too),
        cmocka_unit_test(a_word_above_the_limit_is_refused_and_one_at_it_is_not),
        cmocka_unit_test(a_missing_file_and_a_folder_are_refused),
        cmocka_unit_test(words_that_occur_too_rarely_are_named_with_the_bound),
        cmocka_unit_test(a_gzip_stream_that_is_cut_or_damaged_is_refused),
        cmocka_unit_test(words_are_numbered_by_count_and_then_by_their_bytes),
        cmocka_unit_test(texts_of_a_folder_are_read_one_behind_the_other),
        cmocka_unit_test(a_text_larger_than_all_buffers_is_read_whole),
        cmocka_unit_test(held_out_text_has_the_numbers_of_the_text_trained_on),
        cmocka_unit_test(a_vocabulary_is_saved_a_word_and_its_count_a_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
