/* Reading a corpus: one pass over the file numbers words as they come, one over memory gives them
 * the numbers of the settled vocabulary and closes up what was dropped. 4 bytes a token, so that a
 * thousand million words fit where one worker can hold them. */
#include "worker/data/corpus.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/corpus_rest.h"
#include "worker/data/data_files.h"
#include "worker/data/text_file.h"

#include <inttypes.h>

static int append(rub_corpus_t *self, size_t *capacity_p, uint32_t token, rub_error_t *err)
{
    if (self->n_tokens == RUB_CORPUS_TOKENS_LIMIT) {
        return rub_fail(err, RUB_EDATA, "text file '%s' has more than %" PRIu32 " words",
                        self->path, RUB_CORPUS_TOKENS_LIMIT);
    }
    if (rub_grow(&self->tokens, capacity_p, self->n_tokens + 1, sizeof *self->tokens) != 0) {
        return rub_fail(err, RUB_ENOMEM, "text file '%s': no memory for %zu words", self->path,
                        self->n_tokens);
    }
    self->tokens[self->n_tokens++] = token;
    return 0;
}

/* Tokens in the order of the file: numbers of `own` until it is settled, or of the vocabulary. */
static int read_tokens(rub_corpus_t *self, rub_text_file_t *file, size_t *capacity_p,
                       rub_error_t *err)
{
    rub_text_kind_t kind = RUB_TEXT_END;
    do {
        const char *word = NULL;
        size_t bytes = 0;
        uint32_t token = RUB_SENTENCE_END;
        int rc = rub_text_file_next(file, &kind, &word, &bytes, err);
        if (rc == 0 && kind == RUB_TEXT_WORD) {
            self->words_read++;
            if (self->own != NULL) {
                rc = rub_vocabulary_add(self->own, word, bytes, &token, err);
            } else {
                token = rub_vocabulary_find(self->vocabulary, word, bytes);
                if (token == RUB_NO_WORD) {
                    continue;
                }
            }
        }
        if (rc == 0 && kind != RUB_TEXT_END) {
            rc = append(self, capacity_p, token, err);
        }
        if (rc != 0) {
            return rc;
        }
    } while (kind != RUB_TEXT_END);
    return 0;
}

/* numbers: what became of each token's number, NULL: it is final. An end is kept where a word
 * stands before it. */
static void close_up(rub_corpus_t *self, const uint32_t *numbers)
{
    size_t n = 0;
    for (size_t i = 0; i < self->n_tokens; i++) {
        uint32_t token = self->tokens[i];
        if (token == RUB_SENTENCE_END) {
            if (n > 0 && self->tokens[n - 1] != RUB_SENTENCE_END) {
                self->tokens[n++] = RUB_SENTENCE_END;
            }
            continue;
        }
        token = numbers != NULL ? numbers[token] : token;
        if (token != RUB_NO_WORD) {
            self->tokens[n++] = token;
            self->n_words++;
        }
    }
    self->n_tokens = n;
}

/* All files, one behind the other. */
static int read_files(rub_corpus_t *self, rub_error_t *err)
{
    size_t capacity = 0;
    rub_data_files_t *files = NULL;
    int rc = rub_data_files_open(self->path, &files, err);
    for (size_t i = 0; rc == 0 && i < files->n; i++) {
        rub_text_file_t *file = NULL;
        rc = rub_text_file_open(files->paths[i], &file, err);
        rc = rc ? rc : read_tokens(self, file, &capacity, err);
        rub_text_file_close(&file);
    }
    rub_data_files_close(&files);
    return rc;
}

static int read_corpus(rub_corpus_t *self, uint64_t min_count, rub_error_t *err)
{
    uint32_t *numbers = NULL;
    int rc = read_files(self, err);
    if (rc == 0 && self->own != NULL) {
        rc = rub_vocabulary_settle(self->own, min_count, &numbers, err);
    }
    if (rc != 0) {
        goto out;
    }
    close_up(self, numbers);
out:
    rub_free(numbers);
    return rc;
}

static int check_words(const rub_corpus_t *self, uint64_t min_count, rub_error_t *err)
{
    return self->n_words > 0 ? 0
                             : rub_fail(err, RUB_EDATA,
                                        "text file '%s': none of its %" PRIu64
                                        " words occurs %" PRIu64 " times or more",
                                        self->path, self->words_read, min_count);
}

int rub_corpus_open(const char *path, uint64_t min_count, rub_corpus_t **corpus_p, rub_error_t *err)
{
    int rc = RUB_ENOMEM;
    *corpus_p = NULL;
    rub_corpus_t *self = rub_calloc(1, sizeof *self);
    if (self != NULL) {
        self->path = path;
        self->vocabulary = self->own = rub_vocabulary_new();
    }
    if (self == NULL || self->own == NULL) {
        rub_fail(err, rc, "text file '%s': no memory", path);
        goto out;
    }
    rc = read_corpus(self, min_count, err);
    rc = rc ? rc : check_words(self, min_count, err);
    if (rc == 0) {
        *corpus_p = self;
        self = NULL;
    }
out:
    rub_corpus_close(&self);
    return rc;
}

int rub_corpus_open_merged(const rub_text_parts_t *parts, rub_word_merge_t *merge,
                           rub_word_part_t **counted, uint64_t min_count, rub_corpus_t **corpus_p,
                           rub_error_t *err)
{
    const char *const path = rub_text_parts_path(parts);
    int rc = 0;
    *corpus_p = NULL;
    rub_corpus_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "text file '%s': no memory", path);
    } else {
        self->path = path;
        self->vocabulary = self->own = merge->words;
        merge->words = NULL;
        self->n_words = merge->n_words;
        self->words_read = merge->words_read;
        rc = check_words(self, min_count, err);
    }
    if (rc == 0 && merge->n_tokens > RUB_CORPUS_TOKENS_LIMIT) {
        rc = rub_fail(err, RUB_EDATA, "text file '%s' has more than %" PRIu32 " words", path,
                      RUB_CORPUS_TOKENS_LIMIT);
    }
    if (rc == 0) {
        self->n_tokens = (size_t)merge->n_tokens;
        self->tokens = rub_alloc(self->n_tokens * sizeof *self->tokens);
        rc = self->tokens != NULL
                 ? rub_corpus_rest_new(parts, merge, &self->rest, err)
                 : rub_fail(err, RUB_ENOMEM, "text file '%s': no memory for %zu words", path,
                            self->n_tokens);
    }
    for (uint32_t p = 0; p < rub_text_parts_n(parts); p++) {
        if (rc == 0 && counted[p] != NULL) {
            rc = rub_corpus_rest_take(self->rest, p, counted[p], merge->parts[p].numbers,
                                      self->tokens, err);
        }
        rub_word_part_destroy(&counted[p]);
    }
    if (rc != 0) {
        rub_corpus_close(&self);
    }
    *corpus_p = self;
    return rc;
}

int rub_corpus_reach(rub_corpus_t *self, size_t first, size_t count, rub_error_t *err)
{
    return self->rest == NULL ? 0
                              : rub_corpus_rest_reach(self->rest, first, count, self->vocabulary,
                                                      self->tokens, err);
}

int rub_corpus_open_with(const char *path, const rub_vocabulary_t *vocabulary,
                         rub_corpus_t **corpus_p, rub_error_t *err)
{
    *corpus_p = NULL;
    rub_corpus_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "text file '%s': no memory", path);
    }
    self->path = path;
    self->vocabulary = vocabulary;
    int rc = read_corpus(self, 0, err);
    if (rc == 0 && self->n_words == 0) {
        rc = rub_fail(err, RUB_EDATA,
                      "text file '%s': none of its %" PRIu64 " words is in the vocabulary of %zu",
                      path, self->words_read, rub_vocabulary_size(vocabulary));
    }
    if (rc == 0) {
        *corpus_p = self;
        self = NULL;
    }
    rub_corpus_close(&self);
    return rc;
}

void rub_corpus_close(rub_corpus_t **corpus_p)
{
    rub_corpus_t *self = *corpus_p;
    if (self != NULL) {
        rub_corpus_rest_destroy(&self->rest);
        rub_vocabulary_destroy(&self->own);
        rub_free(self->tokens);
        rub_free(self);
        *corpus_p = NULL;
    }
}
