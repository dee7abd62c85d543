/* Reading word vectors.
 *
 * Why both formats: people have both, and a .bin is read ten times faster. No count of the header
 * is believed: memory follows the words that really come. Invariant: word number i has values[i *
 * width ...], because words are numbered by the vocabulary as they come and none comes twice. */
#include "worker/data/word_vectors.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/packed_file.h"
#include "worker/data/text_file.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

typedef struct reading {
    const char *path;
    rub_word_vectors_t *vectors;
    uint64_t n_words; /* of the header */
    size_t room;      /* floats */
    rub_text_file_t *text;
    rub_packed_file_t *binary;
    uint64_t at; /* byte of the binary */
} reading_t;

/* Of what was read last. */
static int refuse(const reading_t *self, const char *fact, rub_error_t *err)
{
    if (self->text == NULL) {
        return rub_fail(err, RUB_EDATA, "vectors '%s', byte %" PRIu64 ": %s", self->path, self->at,
                        fact);
    }
    const rub_text_place_t place = rub_text_file_last(self->text);
    return rub_fail(err, RUB_EDATA, "vectors '%s', line %" PRIu64 ", column %" PRIu64 ": %s",
                    self->path, place.line, place.column, fact);
}

/* ---- what both formats share ---- */

static bool read_count(const char *word, size_t bytes, uint64_t limit, uint64_t *value_p)
{
    uint64_t value = 0;
    for (size_t i = 0; i < bytes; i++) {
        if (word[i] < '0' || word[i] > '9' || value > limit) {
            return false;
        }
        value = value * 10 + (uint64_t)(word[i] - '0');
    }
    *value_p = value;
    return bytes > 0 && value > 0 && value <= limit;
}

static int take_header(reading_t *self, const char *count, size_t count_bytes, const char *width,
                       size_t width_bytes, rub_error_t *err)
{
    uint64_t value = 0;
    if (!read_count(count, count_bytes, RUB_VOCABULARY_LIMIT, &self->n_words) ||
        !read_count(width, width_bytes, RUB_VECTORS_WIDTH_LIMIT, &value)) {
        return refuse(self, "expected how many words there are, and how wide their vectors", err);
    }
    self->vectors->width = (uint32_t)value;
    return 0;
}

static int add_word(reading_t *self, const char *word, size_t bytes, rub_error_t *err)
{
    rub_word_vectors_t *vectors = self->vectors;
    uint32_t number = 0;
    const int rc = rub_vocabulary_add(vectors->words, word, bytes, &number, err);
    if (rc) {
        return rc;
    }
    if (number != vectors->n_words) {
        return refuse(self, "a word that was there before", err);
    }
    vectors->n_words++;
    if (rub_grow(&vectors->values, &self->room, vectors->n_words * vectors->width,
                 sizeof(*vectors->values)) != 0) {
        return rub_fail(err, RUB_ENOMEM, "vectors '%s': no memory for %zu words", self->path,
                        vectors->n_words);
    }
    return 0;
}

static float *last_row(const reading_t *self)
{
    return self->vectors->values + (self->vectors->n_words - 1) * self->vectors->width;
}

/* ---- text ---- */

/* The next word of this line, terminated. *bytes_p 0: the line is over. */
static int next_of_line(reading_t *self, char word[RUB_TEXT_WORD_LIMIT + 1], size_t *bytes_p,
                        rub_error_t *err)
{
    rub_text_kind_t kind = RUB_TEXT_END;
    const char *at = NULL;
    const int rc = rub_text_file_next(self->text, &kind, &at, bytes_p, err);
    if (rc) {
        return rc;
    }
    if (kind != RUB_TEXT_WORD) {
        *bytes_p = 0;
    }
    if (*bytes_p > 0) {
        memcpy(word, at, *bytes_p);
    }
    word[*bytes_p] = '\0';
    return 0;
}

static int read_text_row(reading_t *self, rub_error_t *err)
{
    char word[RUB_TEXT_WORD_LIMIT + 1];
    size_t bytes = 0;
    int rc = next_of_line(self, word, &bytes, err);
    if (rc == 0 && bytes == 0) {
        rc = refuse(self, "expected a word and its vector", err);
    }
    rc = rc ? rc : add_word(self, word, bytes, err);
    for (uint32_t i = 0; i < self->vectors->width && rc == 0; i++) {
        char *end = NULL;
        rc = next_of_line(self, word, &bytes, err);
        if (rc == 0 && bytes == 0) {
            rc = refuse(self, "it has fewer numbers than the header says", err);
        }
        if (rc == 0) {
            last_row(self)[i] = strtof(word, &end);
            if (end != word + bytes || !isfinite(last_row(self)[i])) {
                rc = refuse(self, "one of its numbers is none, or not finite", err);
            }
        }
    }
    rc = rc ? rc : next_of_line(self, word, &bytes, err);
    if (rc == 0 && bytes > 0) {
        rc = refuse(self, "it has more numbers than the header says", err);
    }
    return rc;
}

static int read_text(reading_t *self, rub_error_t *err)
{
    char count[RUB_TEXT_WORD_LIMIT + 1], width[RUB_TEXT_WORD_LIMIT + 1];
    char more[RUB_TEXT_WORD_LIMIT + 1];
    size_t count_bytes = 0, width_bytes = 0, more_bytes = 0;
    int rc = rub_text_file_open(self->path, &self->text, err);
    rc = rc ? rc : next_of_line(self, count, &count_bytes, err);
    if (rc == 0 && count_bytes > 0) {
        rc = next_of_line(self, width, &width_bytes, err);
    }
    if (rc == 0 && width_bytes > 0) {
        rc = next_of_line(self, more, &more_bytes, err);
    }
    rc = rc ? rc
            : take_header(self, count, count_bytes, width, more_bytes == 0 ? width_bytes : 0, err);
    while (rc == 0 && self->vectors->n_words < self->n_words) {
        rc = read_text_row(self, err);
    }
    rub_text_kind_t kind = RUB_TEXT_END;
    const char *word = NULL;
    rc = rc ? rc : rub_text_file_next(self->text, &kind, &word, &more_bytes, err);
    if (rc == 0 && kind != RUB_TEXT_END) {
        rc = refuse(self, "it goes on behind the last word that the header counts", err);
    }
    return rc;
}

/* ---- binary ---- */

/* Up to the stop byte, which is taken and not part of the word. */
static int read_until(reading_t *self, char stop, char word[RUB_TEXT_WORD_LIMIT + 1],
                      size_t *bytes_p, rub_error_t *err)
{
    for (*bytes_p = 0; *bytes_p <= RUB_TEXT_WORD_LIMIT; ++*bytes_p) {
        const int rc = rub_packed_file_read(self->binary, word + *bytes_p, 1, err);
        if (rc) {
            return rc;
        }
        if (word[*bytes_p] == stop) {
            word[*bytes_p] = '\0';
            self->at += *bytes_p + 1;
            return 0;
        }
    }
    return refuse(self, "a word of more than 1024 bytes", err);
}

static int read_binary_row(reading_t *self, rub_error_t *err)
{
    char word[RUB_TEXT_WORD_LIMIT + 1];
    size_t bytes = 0;
    int rc = read_until(self, ' ', word, &bytes, err);
    /* word2vec ends each vector with a line feed, gensim does not. */
    const size_t skip = rc == 0 && word[0] == '\n';
    if (rc == 0 && bytes == skip) {
        rc = refuse(self, "expected a word and its vector", err);
    }
    if (rc == 0 && rub_text_bad_byte(word, bytes) != NULL) {
        rc = refuse(self, "a word that is not UTF-8 text", err);
    }
    rc = rc ? rc : add_word(self, word + skip, bytes - skip, err);
    if (rc) {
        return rc;
    }
    const size_t row_bytes = self->vectors->width * sizeof(float);
    rc = rub_packed_file_read(self->binary, last_row(self), row_bytes, err);
    for (uint32_t i = 0; i < self->vectors->width && rc == 0; i++) {
        if (!isfinite(last_row(self)[i])) {
            rc = refuse(self, "a number that is not finite", err);
        }
        self->at += sizeof(float);
    }
    return rc;
}

static int read_binary(reading_t *self, rub_error_t *err)
{
    char header[RUB_TEXT_WORD_LIMIT + 1];
    size_t bytes = 0;
    char feed = '\n';
    size_t got = 0;
    int rc = rub_packed_file_open(self->path, &self->binary, err);
    rc = rc ? rc : read_until(self, '\n', header, &bytes, err);
    if (rc) {
        return rc;
    }
    const char *space = memchr(header, ' ', bytes);
    const size_t count_bytes = space != NULL ? (size_t)(space - header) : 0;
    rc = take_header(self, header, count_bytes, header + count_bytes + 1,
                     count_bytes > 0 ? bytes - count_bytes - 1 : 0, err);
    while (rc == 0 && self->vectors->n_words < self->n_words) {
        rc = read_binary_row(self, err);
    }
    rc = rc ? rc : rub_packed_file_read_some(self->binary, &feed, 1, &got, err);
    if (rc == 0 && feed != '\n') {
        rc = refuse(self, "it goes on behind the last word that the header counts", err);
    }
    return rc ? rc : rub_packed_file_expect_end(self->binary, err);
}

int rub_word_vectors_open(const char *path, bool binary, rub_word_vectors_t **self_p,
                          rub_error_t *err)
{
    reading_t reading = {.path = path};
    int rc = RUB_ENOMEM;
    *self_p = NULL;
    rub_word_vectors_t *self = rub_calloc(1, sizeof(*self));
    if (self) {
        self->words = rub_vocabulary_new();
    }
    if (!self || !self->words) {
        rub_fail(err, rc, "vectors '%s': no memory", path);
        goto out;
    }
    reading.vectors = self;
    rc = binary ? read_binary(&reading, err) : read_text(&reading, err);
    if (rc == 0) {
        *self_p = self;
        self = NULL;
    }
out:
    rub_text_file_close(&reading.text);
    rub_packed_file_close(&reading.binary);
    rub_word_vectors_close(&self);
    return rc;
}

void rub_word_vectors_close(rub_word_vectors_t **self_p)
{
    rub_word_vectors_t *self = *self_p;
    if (self) {
        rub_vocabulary_destroy(&self->words);
        rub_free(self->values);
        rub_free(self);
        *self_p = NULL;
    }
}
