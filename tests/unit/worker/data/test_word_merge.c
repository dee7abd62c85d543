/* A text counted in parts is the text that one reader reads, token for token, however it is cut and
 * whoever counts which part; what is told of a part wrongly, or counted of another text, is
 * refused. */
#include "common/base/check.h"
#include "common/base/rng.h"
#include "tests/unit/worker/data/idx_files.h"
#include "worker/data/corpus.h"

#include <fcntl.h>
#include <sys/stat.h>

#include <cmocka.h>

/* Counts the parts of which `mask` has the bit, and opens the text as who has counted these. */
static int open_merged(const rub_text_parts_t *parts, uint64_t min_count, uint64_t mask,
                       rub_corpus_t **corpus_p, rub_error_t *err)
{
    const uint32_t n = rub_text_parts_n(parts);
    rub_word_merge_t *merge = rub_word_merge_new(n);
    rub_word_part_t *counted[64] = {0};
    rub_buf_t told;
    int rc = 0;
    rub_buf_init(&told);
    for (uint32_t i = n; i > 0 && rc == 0; i--) { /* any order will do */
        rub_word_part_t *part = NULL;
        rub_buf_reset(&told);
        rc = rub_word_part_count(parts, i - 1, NULL, &part, err);
        if (rc == 0) {
            rub_word_part_write(part, min_count, &told);
            rc = rub_word_merge_add(merge, i - 1, told.data, told.bytes, err);
        }
        if ((mask >> (i - 1) & 1) != 0) {
            counted[i - 1] = part;
        } else {
            rub_word_part_destroy(&part);
        }
    }
    rc = rc ? rc : rub_word_merge_settle(merge, min_count, err);
    rc = rc ? rc : rub_corpus_open_merged(parts, merge, counted, min_count, corpus_p, err);
    rub_word_merge_destroy(&merge);
    rub_buf_fini(&told);
    return rc;
}

static void assert_same(rub_corpus_t *corpus, const rub_corpus_t *whole)
{
    rub_error_t err = {0};
    assert_int_equal(corpus->n_tokens, whole->n_tokens);
    assert_int_equal(corpus->n_words, whole->n_words);
    assert_int_equal(corpus->words_read, whole->words_read);
    const size_t n = rub_vocabulary_size(whole->vocabulary);
    assert_int_equal(rub_vocabulary_size(corpus->vocabulary), n);
    for (uint32_t i = 0; i < n; i++) {
        assert_string_equal(rub_vocabulary_word(corpus->vocabulary, i),
                            rub_vocabulary_word(whole->vocabulary, i));
        assert_int_equal(rub_vocabulary_counts(corpus->vocabulary)[i],
                         rub_vocabulary_counts(whole->vocabulary)[i]);
    }
    /* As pieces come: not from the beginning, and over the borders of parts. */
    const size_t third = whole->n_tokens / 3;
    assert_int_equal(rub_corpus_reach(corpus, third, whole->n_tokens - 2 * third, &err), 0);
    assert_memory_equal(corpus->tokens + third, whole->tokens + third,
                        (whole->n_tokens - 2 * third) * sizeof *whole->tokens);
    assert_int_equal(rub_corpus_reach(corpus, 0, whole->n_tokens, &err), 0);
    assert_memory_equal(corpus->tokens, whole->tokens, whole->n_tokens * sizeof *whole->tokens);
}

static void check(const char *path, uint32_t n_parts, uint64_t min_count, uint64_t mask)
{
    rub_error_t err = {0}, whole_err = {0};
    rub_corpus_t *corpus = NULL, *whole = NULL;
    rub_text_parts_t *parts = NULL;
    assert_int_equal(rub_text_parts_open(path, &parts, &err), 0);
    rub_text_parts_cut(parts, n_parts);
    const int rc = rub_corpus_open(path, min_count, &whole, &whole_err);
    assert_int_equal(open_merged(parts, min_count, mask, &corpus, &err), rc);
    assert_string_equal(err.message, whole_err.message);
    if (rc == 0) {
        assert_same(corpus, whole);
    }
    rub_corpus_close(&corpus);
    rub_corpus_close(&whole);
    rub_text_parts_close(&parts);
}

/* Words of which a few are frequent, with line feeds, blanks and empty lines of any length. */
static size_t make_text(uint64_t seed, unsigned line_words, char *text, size_t bytes)
{
    rub_rng_t rng;
    size_t used = 0;
    rub_rng_init(&rng, seed, 0);
    while (used + 16 < bytes) {
        const uint64_t draw = rub_rng_u64(&rng);
        const unsigned word = draw % 4 == 0 ? (unsigned)(draw >> 8) % 400 : (draw >> 8) % 6;
        const bool ends = line_words > 0 && (draw >> 32) % line_words == 0;
        used += (size_t)sprintf(text + used, "w%u%s", word,
                                ends ? (draw >> 40) % 5 == 0 ? "\n \n\n" : "\n" : " ");
    }
    return used;
}

static void a_text_in_parts_is_the_text_that_one_reader_reads(void **state)
{
    (void)state;
    enum { BYTES = 6000 };
    char text[BYTES];
    idx_files_t files;
    idx_files_init(&files);
    for (uint64_t seed = 0; seed < 24; seed++) {
        static const unsigned line_words[] = {1, 2, 7, 100, 0, 3};
        const size_t n = make_text(seed, line_words[seed % 6], text, BYTES);
        write_bytes(files.features, false, text, n);
        check(files.features, 1 + (uint32_t)(seed * 7) % 40, 1 + seed % 12,
              seed * 0x9e3779b97f4a7c15u);
    }
    check(files.features, 5, 100000, 0); /* no word stays: the same sentence */
    idx_files_fini(&files);
}

static void files_are_cut_too_and_packed_ones_are_not(void **state)
{
    (void)state;
    char text[3000];
    idx_files_t files;
    idx_files_init(&files);
    const size_t n = make_text(1, 5, text, sizeof text);
    write_bytes(files.features, true, text, n);
    write_bytes(files.labels, false, text, n - 1); /* without a line feed at its end */
    for (uint32_t n_parts = 1; n_parts < 30; n_parts++) {
        check(files.folder, n_parts, 4, 0x5555);
    }
    write_bytes(files.labels, false, "", 0);
    check(files.folder, 3, 2, 0);
    idx_files_fini(&files);
}

/* The cut may go through the mark, and the word behind it be in no part that begins there. */
static void a_mark_is_part_of_no_word_wherever_it_is_cut(void **state)
{
    (void)state;
    static const char *const texts[] = {"\xef\xbb\xbfx y\nx z\n", "\xef\xbb\xbf a\n",
                                        "\xef\xbb\xbf\n\na\n", "\xef\xbb\xbf\xc3\xa9"};
    rub_error_t err = {0};
    rub_corpus_t *marked = NULL, *plain = NULL;
    idx_files_t files;
    idx_files_init(&files);
    for (size_t i = 0; i < RUB_COUNT_OF(texts); i++) {
        const size_t bytes = strlen(texts[i]);
        write_bytes(files.features, false, texts[i], bytes);
        write_bytes(files.labels, false, texts[i] + 3, bytes - 3);
        for (uint32_t n_parts = 1; n_parts <= bytes; n_parts++) {
            check(files.features, n_parts, 1, 0);
        }
        assert_int_equal(rub_corpus_open(files.features, 1, &marked, &err), 0);
        assert_int_equal(rub_corpus_open(files.labels, 1, &plain, &err), 0);
        assert_same(marked, plain);
        rub_corpus_close(&marked);
        rub_corpus_close(&plain);
    }
    idx_files_fini(&files);
}

static uint64_t digest_of(const char *path, uint32_t n_parts)
{
    rub_text_parts_t *parts = NULL;
    assert_int_equal(rub_text_parts_open(path, &parts, NULL), 0);
    rub_text_parts_cut(parts, n_parts);
    const uint64_t digest = rub_text_parts_digest(parts);
    rub_text_parts_close(&parts);
    return digest;
}

static void texts_of_the_same_size_are_told_apart_and_copies_are_not(void **state)
{
    (void)state;
    enum { BYTES = 300000 };
    static char text[BYTES];
    static const size_t changes[] = {0, 65535, BYTES - 65536, BYTES - 1};
    idx_files_t files;
    idx_files_init(&files);
    memset(text, 'a', BYTES);
    write_bytes(files.features, false, text, BYTES);
    const uint64_t digest = digest_of(files.features, 4);
    write_bytes(files.labels, false, text, BYTES);
    const struct timespec long_ago[2] = {{1, 0}, {1, 0}};
    assert_int_equal(utimensat(AT_FDCWD, files.labels, long_ago, 0), 0);
    assert_true(digest_of(files.labels, 4) == digest); /* another name, another time */
    assert_true(digest_of(files.labels, 5) != digest);
    for (size_t i = 0; i < RUB_COUNT_OF(changes); i++) {
        text[changes[i]] = 'b';
        write_bytes(files.labels, false, text, BYTES);
        assert_true(digest_of(files.labels, 4) != digest);
        text[changes[i]] = 'a';
    }
    write_bytes(files.features, false, "to be", 5);
    write_bytes(files.labels, false, "to bE", 5);
    assert_true(digest_of(files.features, 1) != digest_of(files.labels, 1));
    write_bytes(files.labels, false, "", 0);
    assert_true(digest_of(files.features, 1) != digest_of(files.labels, 1));
    idx_files_fini(&files);
}

/* A cut is nowhere near a line's begin, and the line's number in the file is said all the same. */
static void a_bad_byte_is_named_with_its_line_in_the_file(void **state)
{
    (void)state;
    const char text[] = "one two\nthree\nfour five six seven \xff\neight nine ten eleven twelve\n";
    idx_files_t files;
    rub_error_t err = {0};
    rub_text_parts_t *parts = NULL;
    rub_corpus_t *corpus = NULL;
    idx_files_init(&files);
    write_bytes(files.features, false, text, sizeof text - 1);
    assert_int_equal(rub_text_parts_open(files.features, &parts, &err), 0);
    rub_text_parts_cut(parts, 3);
    assert_int_equal(open_merged(parts, 1, 0, &corpus, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "line 3, column 21: byte 0xff"));
    rub_text_parts_cut(parts, 4); /* now the line begins in an earlier part, or not */
    assert_int_equal(open_merged(parts, 1, 0, &corpus, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, "line 3, column 21: byte 0xff"));
    rub_text_parts_close(&parts);
    idx_files_fini(&files);
}

static void a_text_that_changes_behind_the_count_is_refused(void **state)
{
    (void)state;
    char text[3000];
    idx_files_t files;
    rub_error_t err = {0};
    rub_text_parts_t *parts = NULL;
    rub_corpus_t *corpus = NULL;
    idx_files_init(&files);
    const size_t n = make_text(3, 5, text, sizeof text);
    write_bytes(files.features, false, text, n);
    assert_int_equal(rub_text_parts_open(files.features, &parts, &err), 0);
    rub_text_parts_cut(parts, 4);
    assert_int_equal(open_merged(parts, 2, 1, &corpus, &err), 0);
    memset(text, 'x', n);
    write_bytes(files.features, false, text, n / 2);
    assert_int_equal(rub_corpus_reach(corpus, 0, 10, &err), 0); /* these were counted here */
    assert_int_equal(rub_corpus_reach(corpus, 0, corpus->n_tokens, &err), RUB_EDATA);
    assert_non_null(strstr(err.message, files.features));
    rub_corpus_close(&corpus);
    rub_text_parts_close(&parts);
    assert_int_equal(rub_text_parts_open("/nonexistent/text", &parts, &err), RUB_EDATA);
    assert_null(parts);
    idx_files_fini(&files);
}

static int stop_at_once(void *context, rub_error_t *err)
{
    RUB_UNUSED(err);
    ++*(int *)context;
    return 1;
}

static void a_count_that_is_watched_can_be_left(void **state)
{
    (void)state;
    enum { WORDS = (1 << 18) + 10 };
    char *text = malloc(2 * WORDS);
    idx_files_t files;
    rub_error_t err = {0};
    rub_text_parts_t *parts = NULL;
    rub_word_part_t *part = NULL;
    int looks = 0;
    const rub_part_watch_t watch = {stop_at_once, &looks};
    idx_files_init(&files);
    for (size_t i = 0; i < WORDS; i++) {
        text[2 * i] = 'a';
        text[2 * i + 1] = ' ';
    }
    write_bytes(files.features, false, text, 2 * WORDS);
    assert_int_equal(rub_text_parts_open(files.features, &parts, &err), 0);
    assert_int_equal(rub_word_part_count(parts, 0, &watch, &part, &err), RUB_WORD_PART_LEFT);
    assert_null(part);
    assert_int_equal(looks, 1);
    rub_text_parts_close(&parts);
    idx_files_fini(&files);
    free(text);
}

static void what_is_told_wrongly_is_refused(void **state)
{
    (void)state;
    const char text[] = "a b a\nc\n b a\nd";
    idx_files_t files;
    rub_error_t err = {0};
    rub_text_parts_t *parts = NULL;
    rub_word_part_t *part = NULL;
    rub_buf_t told;
    rub_buf_init(&told);
    idx_files_init(&files);
    write_bytes(files.features, false, text, sizeof text - 1);
    assert_int_equal(rub_text_parts_open(files.features, &parts, &err), 0);
    assert_int_equal(rub_word_part_count(parts, 0, NULL, &part, &err), 0);
    rub_word_part_write(part, 2, &told);
    for (size_t bytes = 0; bytes <= told.bytes + 1; bytes++) {
        rub_word_merge_t *merge = rub_word_merge_new(1);
        uint8_t *copy = calloc(bytes + 1, 1);
        memcpy(copy, told.data, bytes < told.bytes ? bytes : told.bytes);
        assert_int_equal(rub_word_merge_add(merge, 0, copy, bytes, &err),
                         bytes == told.bytes ? 0 : RUB_EDATA);
        free(copy);
        rub_word_merge_destroy(&merge);
    }
    /* Four words of 7 bytes each, behind their number; a sentence; that there is an end; then how
     * many sentences are sure to stay. A byte of each, and two of what is more than a part holds.
     */
    enum { COUNT = 4, LENGTH = 8, WORD = 10, NEXT_COUNT = 11, SURE = 37 };
    static const struct {
        uint8_t at, byte, also_at, also;
    } wrong[] = {{COUNT, 0, COUNT, 0},   {LENGTH, 0, LENGTH, 0},
                 {WORD, ' ', WORD, ' '}, {WORD, 0xff, WORD, 0xff},
                 {3, 0x7f, 3, 0x7f},     {COUNT + 3, 0xff, NEXT_COUNT + 3, 0xff},
                 {SURE, 8, SURE, 8},     {SURE + 7, 0x80, SURE + 7, 0x80}};
    for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++) {
        rub_word_merge_t *merge = rub_word_merge_new(1);
        const uint8_t before = told.data[wrong[i].at], also = told.data[wrong[i].also_at];
        told.data[wrong[i].at] = wrong[i].byte;
        told.data[wrong[i].also_at] = wrong[i].also;
        assert_int_equal(rub_word_merge_add(merge, 0, told.data, told.bytes, &err), RUB_EDATA);
        assert_non_null(strstr(err.message, "part 0 of the text was not told"));
        told.data[wrong[i].also_at] = also;
        told.data[wrong[i].at] = before;
        rub_word_merge_destroy(&merge);
    }
    rub_word_part_destroy(&part);
    rub_text_parts_close(&parts);
    rub_buf_fini(&told);
    idx_files_fini(&files);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_in_parts_is_the_text_that_one_reader_reads),
        cmocka_unit_test(files_are_cut_too_and_packed_ones_are_not),
        cmocka_unit_test(a_mark_is_part_of_no_word_wherever_it_is_cut),
        cmocka_unit_test(texts_of_the_same_size_are_told_apart_and_copies_are_not),
        cmocka_unit_test(a_bad_byte_is_named_with_its_line_in_the_file),
        cmocka_unit_test(a_text_that_changes_behind_the_count_is_refused),
        cmocka_unit_test(a_count_that_is_watched_can_be_left),
        cmocka_unit_test(what_is_told_wrongly_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
