/* Both formats are words on lines, so both go through one loop that cuts a line into fields. What
 * the vocabulary lacks is counted and left out, as word2vec and gensim do. */
#include "worker/data/word_tests.h"

#include "common/base/alloc.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "worker/data/line_reader.h"

#include <ctype.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#define WORD_LIMIT 256u
enum { FIELDS = 4 };

typedef struct field {
    const char *at;
    size_t bytes;
} field_t;

static bool separates(char c)
{
    return c == ' ' || c == '\t' || c == ',';
}

/* Up to FIELDS fields of the line; one more than that counts, too. */
static size_t cut(const char *line, size_t length, field_t fields[FIELDS])
{
    const char *const end = line + length;
    size_t n = 0;
    for (const char *at = line; at < end;) {
        if (separates(*at)) {
            at++;
            continue;
        }
        const char *const begin = at;
        while (at < end && !separates(*at)) {
            at++;
        }
        if (n < FIELDS) {
            fields[n] = (field_t){begin, (size_t)(at - begin)};
        }
        n++;
    }
    return n;
}

static uint32_t find(const rub_vocabulary_t *vocabulary, const field_t *field)
{
    char small[WORD_LIMIT];
    const uint32_t number = rub_vocabulary_find(vocabulary, field->at, field->bytes);
    if (number != RUB_NO_WORD || field->bytes > WORD_LIMIT) {
        return number;
    }
    for (size_t i = 0; i < field->bytes; i++) {
        small[i] = (char)tolower((unsigned char)field->at[i]);
    }
    return rub_vocabulary_find(vocabulary, small, field->bytes);
}

typedef struct reading {
    const rub_vocabulary_t *vocabulary;
    rub_vocabulary_t *unknown; /* NULL: such words are left out */
    rub_line_reader_t *lines;
    rub_word_pairs_t *pairs;
    rub_analogies_t *analogies;
    size_t words_room, others_room, names_room;
} reading_t;

static int no_memory(rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "no memory for tests of words");
}

/* *all_p false: one of them is not known. */
static int find_all(reading_t *self, const field_t *fields, size_t n, uint32_t *numbers,
                    bool *all_p, rub_error_t *err)
{
    int rc = 0;
    *all_p = true;
    for (size_t i = 0; i < n && rc == 0 && *all_p; i++) {
        numbers[i] = find(self->vocabulary, &fields[i]);
        if (numbers[i] == RUB_NO_WORD && self->unknown && fields[i].bytes <= WORD_LIMIT) {
            rc = rub_vocabulary_add(self->unknown, fields[i].at, fields[i].bytes, &numbers[i], err);
            numbers[i] += (uint32_t)rub_vocabulary_size(self->vocabulary);
        } else {
            *all_p = numbers[i] != RUB_NO_WORD;
        }
    }
    return rc;
}

static int take_pair(reading_t *self, const char *line, size_t length, rub_error_t *err)
{
    rub_word_pairs_t *pairs = self->pairs;
    field_t fields[FIELDS];
    double score = 0;
    uint32_t numbers[2];
    const size_t n = cut(line, length, fields);
    const char *end = n == 3 ? rub_decimal_scan(fields[2].at, &score) : NULL;
    if (n != 3 || end != fields[2].at + fields[2].bytes || !isfinite(score)) {
        return rub_line_reader_refuse(self->lines, n >= 3 ? fields[2].at : line, err,
                                      "expected two words and a number");
    }
    bool known = false;
    int rc = find_all(self, fields, 2, numbers, &known, err);
    if (rc || !known) {
        pairs->n_left_out += rc == 0;
        return rc;
    }
    if (rub_grow(&pairs->words, &self->words_room, pairs->n + 1, sizeof(*pairs->words)) != 0 ||
        rub_grow(&pairs->scores, &self->others_room, pairs->n + 1, sizeof(double)) != 0) {
        return no_memory(err);
    }
    memcpy(pairs->words[pairs->n], numbers, sizeof numbers);
    pairs->scores[pairs->n++] = score;
    return 0;
}

static int add_section(reading_t *self, const char *name, size_t bytes, rub_error_t *err)
{
    rub_analogies_t *analogies = self->analogies;
    if (rub_grow(&analogies->names, &self->names_room, analogies->n_sections + 1,
                 sizeof(*analogies->names)) != 0) {
        return no_memory(err);
    }
    snprintf(analogies->names[analogies->n_sections++], sizeof(*analogies->names), "%.*s",
             (int)(bytes < 63 ? bytes : 63), name);
    return 0;
}

static int take_analogy(reading_t *self, const char *line, size_t length, rub_error_t *err)
{
    rub_analogies_t *analogies = self->analogies;
    field_t fields[FIELDS];
    uint32_t numbers[4];
    const size_t n = cut(line, length, fields);
    if (line[0] == ':') {
        const bool glued = fields[0].bytes > 1; /* ":name" */
        const char *name = glued ? fields[0].at + 1 : n > 1 ? fields[1].at : "";
        return add_section(self, name, name[0] ? (size_t)(line + length - name) : 0, err);
    }
    if (n != 4) {
        return rub_line_reader_refuse(self->lines, line, err, "expected four words, not %zu", n);
    }
    bool known = false;
    int rc = find_all(self, fields, 4, numbers, &known, err);
    if (rc || !known) {
        analogies->n_left_out += rc == 0;
        return rc;
    }
    rc = analogies->n_sections == 0 ? add_section(self, "all", 3, err) : 0;
    if (rc) {
        return rc;
    }
    if (rub_grow(&analogies->words, &self->words_room, analogies->n + 1,
                 sizeof(*analogies->words)) != 0 ||
        rub_grow(&analogies->sections, &self->others_room, analogies->n + 1, sizeof(uint32_t)) !=
            0) {
        return no_memory(err);
    }
    memcpy(analogies->words[analogies->n], numbers, sizeof numbers);
    analogies->sections[analogies->n++] = (uint32_t)(analogies->n_sections - 1);
    return 0;
}

static int read_all(const char *path, reading_t *self, rub_error_t *err)
{
    int rc = rub_line_reader_open(path, &self->lines, err);
    while (rc == 0) {
        const char *line = NULL;
        size_t length = 0;
        rc = rub_line_reader_next(self->lines, &line, &length, err);
        if (rc || line == NULL) {
            break;
        }
        if (length > 0 && line[0] != '#') {
            rc = self->pairs ? take_pair(self, line, length, err)
                             : take_analogy(self, line, length, err);
        }
    }
    rub_line_reader_close(&self->lines);
    const size_t n = self->pairs ? self->pairs->n : self->analogies->n;
    const size_t left_out = self->pairs ? self->pairs->n_left_out : self->analogies->n_left_out;
    return rc || n > 0 ? rc
                       : rub_fail(err, RUB_EDATA,
                                  "data file '%s': none of its %zu lines has only words that the "
                                  "vectors know",
                                  path, left_out);
}

int rub_word_pairs_open(const char *path, const rub_vocabulary_t *vocabulary,
                        rub_vocabulary_t *unknown, rub_word_pairs_t *self, rub_error_t *err)
{
    *self = (rub_word_pairs_t){0};
    reading_t reading = {.vocabulary = vocabulary, .unknown = unknown, .pairs = self};
    const int rc = read_all(path, &reading, err);
    if (rc) {
        rub_word_pairs_close(self);
    }
    return rc;
}

void rub_word_pairs_close(rub_word_pairs_t *self)
{
    rub_free(self->words);
    rub_free(self->scores);
    *self = (rub_word_pairs_t){0};
}

int rub_analogies_open(const char *path, const rub_vocabulary_t *vocabulary,
                       rub_vocabulary_t *unknown, rub_analogies_t *self, rub_error_t *err)
{
    *self = (rub_analogies_t){0};
    reading_t reading = {.vocabulary = vocabulary, .unknown = unknown, .analogies = self};
    const int rc = read_all(path, &reading, err);
    if (rc) {
        rub_analogies_close(self);
    }
    return rc;
}

void rub_analogies_close(rub_analogies_t *self)
{
    rub_free(self->words);
    rub_free(self->sections);
    rub_free(self->names);
    *self = (rub_analogies_t){0};
}
