/* Texts, plain or gzip. A corpus that opens is whole: every token is a word of the vocabulary or a
 * sentence's end, no sentence is empty, and the counts add up. Who takes its lines whole finds good
 * what a corpus does, and as many sentences; but a line has a limit, and a sentence has none.
 * Counted in parts it is the same corpus. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/corpus.h"
#include "worker/data/line_scan.h"

#include <string.h>

/* too_long: the refusal says nothing of the words. */
static int scan_lines(const char *path, size_t *n_lines, bool *too_long)
{
    const rub_line_scan_options_t options = {.format = "text", .path = path};
    rub_error_t err = {0};
    *n_lines = 0;
    const int rc = rub_line_scan(&options, rub_fuzz_count_line, n_lines, &err);
    *too_long = rc != 0 && strstr(err.message, "the line goes on") != NULL;
    RUB_ASSERT(rc == 0 || err.message[0] != '\0');
    return rc;
}

/* Parts of some bytes each, of which the odd ones are counted by somebody else. */
static int open_parts(const char *path, uint64_t min_count, rub_corpus_t **corpus_p,
                      rub_text_parts_t **parts_p)
{
    enum { PARTS = 5 };
    rub_word_part_t *counted[PARTS] = {0};
    rub_word_merge_t *merge = rub_word_merge_new(PARTS);
    rub_buf_t told;
    rub_buf_init(&told);
    int rc = rub_text_parts_open(path, parts_p, NULL);
    if (rc == 0) {
        rub_text_parts_cut(*parts_p, PARTS);
    }
    for (uint32_t i = 0; i < PARTS && rc == 0; i++) {
        rub_buf_reset(&told);
        rc = rub_word_part_count(*parts_p, i, NULL, &counted[i], NULL);
        if (rc == 0) {
            rub_word_part_write(counted[i], min_count, &told);
            RUB_ASSERT(rub_word_merge_add(merge, i, told.data, told.bytes, NULL) == 0);
        }
        if (i % 2 == 1) {
            rub_word_part_destroy(&counted[i]);
        }
    }
    if (rc == 0) {
        RUB_ASSERT(rub_word_merge_settle(merge, min_count, NULL) == 0);
        rc = rub_corpus_open_merged(*parts_p, merge, counted, min_count, corpus_p, NULL);
    }
    for (uint32_t i = 0; i < PARTS; i++) {
        rub_word_part_destroy(&counted[i]);
    }
    rub_word_merge_destroy(&merge);
    rub_buf_fini(&told);
    return rc;
}

/* whole: NULL, it was refused. */
static void check_parts(const char *path, uint64_t min_count, const rub_corpus_t *whole)
{
    rub_corpus_t *corpus = NULL;
    rub_text_parts_t *parts = NULL;
    const int rc = open_parts(path, min_count, &corpus, &parts);
    RUB_ASSERT((rc == 0) == (whole != NULL));
    if (whole != NULL) {
        const size_t n = whole->n_tokens;
        RUB_ASSERT(corpus->n_tokens == n);
        RUB_ASSERT(rub_corpus_reach(corpus, n / 2, n - n / 2, NULL) == 0);
        RUB_ASSERT(rub_corpus_reach(corpus, 0, n, NULL) == 0);
        RUB_ASSERT(memcmp(corpus->tokens, whole->tokens, n * sizeof(*whole->tokens)) == 0);
    }
    rub_corpus_close(&corpus);
    rub_text_parts_close(&parts);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    rub_corpus_t *corpus = NULL;
    rub_error_t err = {0};
    const uint64_t min_count = data[0] % 4u;
    const char *const path = rub_fuzz_file(0, data + 1, size - 1);
    size_t n_lines = 0;
    bool too_long = false;
    const int rc = scan_lines(path, &n_lines, &too_long);
    if (rub_corpus_open(path, min_count, &corpus, &err) != 0) {
        RUB_ASSERT(!corpus);
        RUB_ASSERT(err.message[0] != '\0');
        RUB_ASSERT(rc != 0 || min_count > 1);
        check_parts(path, min_count, NULL);
        return 0;
    }
    RUB_ASSERT(rc == 0 || too_long);
    RUB_ASSERT(rc != 0 || min_count > 1 || n_lines == corpus->n_tokens - corpus->n_words);
    const size_t n = rub_vocabulary_size(corpus->vocabulary);
    uint64_t words = 0;
    for (uint32_t i = 0; i < n; i++) {
        const char *word = rub_vocabulary_word(corpus->vocabulary, i);
        RUB_ASSERT(rub_vocabulary_find(corpus->vocabulary, word, strlen(word)) == i);
        RUB_ASSERT(rub_vocabulary_counts(corpus->vocabulary)[i] >= min_count);
        words += rub_vocabulary_counts(corpus->vocabulary)[i];
    }
    RUB_ASSERT(words == corpus->n_words);
    RUB_ASSERT(words <= corpus->words_read);
    bool in_sentence = false;
    for (size_t i = 0; i < corpus->n_tokens; i++) {
        const bool end = corpus->tokens[i] == RUB_SENTENCE_END;
        RUB_ASSERT(end ? in_sentence : corpus->tokens[i] < n);
        in_sentence = !end;
    }
    RUB_ASSERT(!in_sentence);
    check_parts(path, min_count, corpus);
    rub_corpus_close(&corpus);
    return 0;
}
