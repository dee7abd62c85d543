/* Counting words of texts. The vocabulary numbers words as they come, and serves as a map alone;
 * once it is settled a word's index is its place in the order of bytes, which is that of code
 * points: what scikit-learn sorts by, so that indices are the same but for beginning with 1, as
 * LIBSVM has it. */
#include "worker/data/bag_of_words.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/whole_file.h"
#include "worker/data/line_reader.h"
#include "worker/data/text_file.h"
#include "worker/data/vocabulary.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#define HEADER "documents"

typedef struct counted {
    uint64_t documents, times; /* texts that have the word, and how often it comes in all */
    uint64_t last;             /* number of the last text that had it, from 1 */
    uint64_t index;            /* once settled; 0: left out */
} counted_t;

struct rub_bag {
    rub_bag_spec_t spec;
    rub_vocabulary_t *words;
    counted_t *counted; /* by the word's number */
    size_t counted_room, n_features;
    uint32_t *by_index; /* n_features numbers of words */
    uint64_t n_documents;
    char *text; /* a copy in small letters */
    size_t text_room;
    rub_bag_feature_t *features;
    size_t features_room;
};

static int no_memory(rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "no memory for a bag of words");
}

int rub_bag_new(const rub_bag_spec_t *spec, rub_bag_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    if (spec->hash_bits > 0 && spec->weight == RUB_BAG_TFIDF) {
        return rub_fail(err, RUB_ECONFIG,
                        "tfidf of hashed words: how many texts have a word, a vocabulary knows; "
                        "expected count, binary or tf");
    }
    rub_bag_t *self = rub_calloc(1, sizeof *self);
    if (self != NULL) {
        self->spec = *spec;
        self->words = rub_vocabulary_new();
    }
    if (self == NULL || self->words == NULL) {
        rub_bag_destroy(&self);
        return no_memory(err);
    }
    *self_p = self;
    return 0;
}

void rub_bag_destroy(rub_bag_t **self_p)
{
    rub_bag_t *self = *self_p;
    if (self != NULL) {
        rub_vocabulary_destroy(&self->words);
        rub_free(self->counted);
        rub_free(self->by_index);
        rub_free(self->text);
        rub_free(self->features);
        rub_free(self);
        *self_p = NULL;
    }
}

/* ---- words of a text ---- */

static bool is_letter(char c)
{
    return isalnum((unsigned char)c) || c == '_' || ((unsigned char)c & 0x80u) != 0;
}

static bool is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The next word at or behind *at_p; false: there is none. */
static bool next_word(const rub_bag_t *self, const char **at_p, const char *end,
                      const char **word_p, size_t *bytes_p)
{
    for (const char *at = *at_p; at < end;) {
        const char *const begin = at;
        size_t characters = 0;
        while (at < end && (self->spec.spaces ? !is_blank(*at) : is_letter(*at))) {
            characters += ((unsigned char)*at++ & 0xc0u) != 0x80u;
        }
        if (characters >= (self->spec.spaces ? 1 : 2)) {
            *word_p = begin;
            *bytes_p = (size_t)(at - begin);
            *at_p = at;
            return true;
        }
        at += at == begin;
    }
    return false;
}

/* The text as words are sought in it; the bag's. NULL: no memory. */
static const char *prepared(rub_bag_t *self, const char *text, size_t bytes)
{
    if (self->spec.spaces) {
        return text;
    }
    if (rub_grow(&self->text, &self->text_room, bytes + 1, 1) != 0) {
        return NULL;
    }
    for (size_t i = 0; i < bytes; i++) {
        const char c = text[i];
        self->text[i] = c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
    }
    return self->text;
}

/* ---- counting ---- */

static int add_word(rub_bag_t *self, const char *word, size_t bytes, counted_t **counted_p,
                    rub_error_t *err)
{
    const size_t n = rub_vocabulary_size(self->words);
    uint32_t number = 0;
    const int rc = rub_vocabulary_add(self->words, word, bytes, &number, err);
    if (rc) {
        return rc;
    }
    if (rub_grow(&self->counted, &self->counted_room, (size_t)number + 1, sizeof *self->counted) !=
        0) {
        return no_memory(err);
    }
    if (number == n) {
        self->counted[number] = (counted_t){0};
    }
    *counted_p = &self->counted[number];
    return 0;
}

int rub_bag_count(rub_bag_t *self, const char *text, size_t bytes, rub_error_t *err)
{
    const char *at = prepared(self, text, bytes);
    if (at == NULL) {
        return no_memory(err);
    }
    const char *const end = at + bytes, *word = NULL;
    size_t word_bytes = 0;
    self->n_documents++;
    while (next_word(self, &at, end, &word, &word_bytes)) {
        counted_t *counted = NULL;
        const int rc = add_word(self, word, word_bytes, &counted, err);
        if (rc) {
            return rc;
        }
        counted->times++;
        counted->documents += counted->last != self->n_documents;
        counted->last = self->n_documents;
    }
    return 0;
}

typedef struct ranked {
    const char *word;
    uint64_t times;
    uint32_t number;
} ranked_t;

static int by_bytes(const void *a, const void *b)
{
    return strcmp(((const ranked_t *)a)->word, ((const ranked_t *)b)->word);
}

static int by_times(const void *a, const void *b)
{
    const uint64_t x = ((const ranked_t *)a)->times, y = ((const ranked_t *)b)->times;
    return x != y ? (x < y) - (x > y) : by_bytes(a, b);
}

int rub_bag_settle(rub_bag_t *self, rub_error_t *err)
{
    const size_t n_words = rub_vocabulary_size(self->words);
    const uint64_t least = self->spec.min_documents, most = self->spec.max_features;
    ranked_t *kept = rub_calloc(n_words + 1, sizeof *kept);
    self->by_index = rub_calloc(n_words + 1, sizeof *self->by_index);
    if (kept == NULL || self->by_index == NULL) {
        rub_free(kept);
        return no_memory(err);
    }
    size_t n = 0;
    for (uint32_t i = 0; i < n_words; i++) {
        if (self->counted[i].documents >= least) {
            kept[n++] = (ranked_t){rub_vocabulary_word(self->words, i), self->counted[i].times, i};
        }
    }
    if (most > 0 && n > most) {
        qsort(kept, n, sizeof *kept, by_times);
        n = (size_t)most;
    }
    qsort(kept, n, sizeof *kept, by_bytes);
    for (size_t i = 0; i < n; i++) {
        self->by_index[i] = kept[i].number;
        self->counted[kept[i].number].index = i + 1;
    }
    self->n_features = n;
    rub_free(kept);
    return n > 0 ? 0
                 : rub_fail(err, RUB_EDATA,
                            "none of the %zu words of %" PRIu64 " texts stands in %" PRIu64
                            " of them",
                            n_words, self->n_documents, least);
}

size_t rub_bag_size(const rub_bag_t *self)
{
    return self->n_features;
}

/* ---- features ---- */

/* The word's index; 0: it is none. */
static uint64_t index_of(const rub_bag_t *self, const char *word, size_t bytes)
{
    if (self->spec.hash_bits > 0) {
        return 1 + (rub_mix64(rub_hash_bytes(word, bytes)) >> (64 - self->spec.hash_bits));
    }
    const uint32_t number = rub_vocabulary_find(self->words, word, bytes);
    return number == RUB_NO_WORD ? 0 : self->counted[number].index;
}

static int by_index(const void *a, const void *b)
{
    const uint64_t x = ((const rub_bag_feature_t *)a)->index;
    const uint64_t y = ((const rub_bag_feature_t *)b)->index;
    return (x > y) - (x < y);
}

static double weight_of(const rub_bag_t *self, const rub_bag_feature_t *feature)
{
    if (self->spec.weight == RUB_BAG_BINARY) {
        return 1;
    }
    if (self->spec.weight != RUB_BAG_TFIDF) {
        return (double)feature->value;
    }
    const counted_t *counted = &self->counted[self->by_index[feature->index - 1]];
    const double idf = log((1 + (double)self->n_documents) / (1 + (double)counted->documents)) + 1;
    return (double)feature->value * idf;
}

/* Counts become values. */
static void weigh(const rub_bag_t *self, rub_bag_feature_t *features, size_t n)
{
    const bool scaled = self->spec.weight >= RUB_BAG_TF;
    double squares = 0;
    for (size_t i = 0; i < n; i++) {
        const double weight = weight_of(self, &features[i]);
        squares += weight * weight;
    }
    const double length = scaled && squares > 0 ? sqrt(squares) : 1;
    for (size_t i = 0; i < n; i++) {
        features[i].value = (float)(weight_of(self, &features[i]) / length);
    }
}

int rub_bag_features(rub_bag_t *self, const char *text, size_t bytes,
                     const rub_bag_feature_t **features_p, size_t *n_p, rub_error_t *err)
{
    const char *at = prepared(self, text, bytes);
    if (at == NULL) {
        return no_memory(err);
    }
    const char *const end = at + bytes, *word = NULL;
    size_t n = 0, kept = 0, word_bytes = 0;
    while (next_word(self, &at, end, &word, &word_bytes)) {
        const uint64_t index = index_of(self, word, word_bytes);
        if (rub_grow(&self->features, &self->features_room, n + 1, sizeof *self->features) != 0) {
            return no_memory(err);
        }
        self->features[n] = (rub_bag_feature_t){index, 1};
        n += index > 0;
    }
    qsort(self->features, n, n > 0 ? sizeof *self->features : 1, by_index);
    for (size_t i = 0; i < n; i++) {
        if (kept > 0 && self->features[kept - 1].index == self->features[i].index) {
            self->features[kept - 1].value += 1;
        } else {
            self->features[kept++] = self->features[i];
        }
    }
    weigh(self, self->features, kept);
    *features_p = self->features;
    *n_p = kept;
    return 0;
}

/* ---- files ---- */

int rub_bag_save(const rub_bag_t *self, const char *path, rub_error_t *err)
{
    rub_whole_file_t *file = NULL;
    int rc = rub_whole_file_open(path, &file, err);
    if (rc == 0) {
        FILE *out = rub_whole_file_stream(file);
        fprintf(out, HEADER "\t%" PRIu64 "\n", self->n_documents);
        for (size_t i = 0; i < self->n_features; i++) {
            const uint32_t number = self->by_index[i];
            fprintf(out, "%s\t%" PRIu64 "\n", rub_vocabulary_word(self->words, number),
                    self->counted[number].documents);
        }
        rc = rub_whole_file_finish(&file, err);
    }
    rub_whole_file_abandon(&file);
    return rc;
}

/* `word documents`: a word that is not yet there, behind the one before. */
static int read_line(rub_bag_t *self, const rub_line_reader_t *lines, const char *line,
                     size_t length, rub_error_t *err)
{
    const bool first = rub_line_reader_count(lines) == 1;
    const char *tab = memchr(line, '\t', length);
    const uint64_t n = rub_vocabulary_size(self->words);
    double documents = 0;
    counted_t *counted = NULL;
    const char *end = tab ? rub_decimal_scan(tab + 1, &documents) : NULL;
    if (tab == NULL || tab == line || rub_text_bad_byte(line, (size_t)(tab - line)) ||
        end != line + length || documents < (first ? 0 : 1) || documents > 0x1p53 ||
        documents != floor(documents)) {
        return rub_line_reader_refuse(
            lines, line, err, "expected a word, a tab and the number of texts that have it");
    }
    if (first) {
        self->n_documents = (uint64_t)documents;
        return (size_t)(tab - line) == strlen(HEADER) && memcmp(line, HEADER, strlen(HEADER)) == 0
                   ? 0
                   : rub_line_reader_refuse(lines, line, err,
                                            "expected '" HEADER "' and how many texts there were");
    }
    const int rc = add_word(self, line, (size_t)(tab - line), &counted, err);
    if (rc) {
        return rc;
    }
    if (rub_vocabulary_size(self->words) == n || documents > (double)self->n_documents ||
        (n > 0 && strcmp(rub_vocabulary_word(self->words, (uint32_t)n - 1),
                         rub_vocabulary_word(self->words, (uint32_t)n)) >= 0)) {
        return rub_line_reader_refuse(lines, line, err,
                                      "expected words in the order of their bytes, in at most "
                                      "%" PRIu64 " texts",
                                      self->n_documents);
    }
    counted->documents = (uint64_t)documents;
    return 0;
}

int rub_bag_open(const rub_bag_spec_t *spec, const char *path, rub_bag_t **self_p, rub_error_t *err)
{
    rub_line_reader_t *lines = NULL;
    rub_bag_t *self = NULL;
    const rub_bag_spec_t whole = {.weight = spec->weight, .spaces = spec->spaces};
    *self_p = NULL;
    int rc = rub_bag_new(&whole, &self, err);
    rc = rc ? rc : rub_line_reader_open(path, &lines, err);
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(lines, &line, &length, err);
        if (rc || line == NULL) {
            break;
        }
        rc = read_line(self, lines, line, length, err);
    }
    rub_line_reader_close(&lines);
    if (rc == 0 && rub_vocabulary_size(self->words) == 0) {
        rc = rub_fail(err, RUB_EDATA, "vocabulary '%s' has 0 words, expected at least 1", path);
    }
    rc = rc ? rc : rub_bag_settle(self, err);
    if (rc) {
        rub_bag_destroy(&self);
    }
    *self_p = self;
    return rc;
}
