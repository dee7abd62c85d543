/* The click logs of Criteo (Display Advertising Challenge, Kaggle 2014): one example per line, 40
 * fields with tabs between,
 *
 *     label  I1 ... I13  C1 ... C26
 *
 * label 0 or 1, whole numbers, words; any feature may be empty. Every field becomes one feature
 * with value 1, so each example has 39: a word by its hash, a number by the hash of its bin, an
 * empty field by that of its own. The column is part of what is hashed. Hashes are cut to hash_bits
 * (the hashing trick: Weinberger et al., ICML 2009).
 *
 * Bins: what a count says about a click is not linear in it, so numbers are cut into bins on a
 * logarithmic scale, four to each doubling; up to 8 each number is its own bin. Found from the
 * number's bits alone: the same on every host, which a logarithm is not. */
#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "worker/data/sparse_reader.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#define N_NUMBERS 13u
#define N_FEATURES RUB_CRITEO_FEATURES
#define N_FIELDS 40u
#define WORD_LIMIT 255u
#define NUMBER_LIMIT INT64_MAX
#define NAME_BYTES 16u

typedef struct fields {
    const rub_line_reader_t *lines;
    const char *at; /* behind the fields read so far */
    const char *end;
    uint64_t mask;
    const uint32_t *bases;
} fields_t;

/* "criteo" in ASCII, the column, and what stands in it. */
static uint32_t key_of(const fields_t *self, uint32_t column, uint64_t what)
{
    const uint64_t salt = rub_mix64(UINT64_C(0x63726974656f) << 8 | column);
    return self->bases[column - 1] + (uint32_t)(rub_mix64(what ^ salt) & self->mask);
}

/* The bin of a number, its sign included; 0 is the empty field's. */
static uint64_t bin_of(uint64_t magnitude, bool negative)
{
    enum { ALONE = 8, QUARTERS = 4 };
    uint64_t bin = magnitude;
    if (magnitude >= ALONE) {
        const unsigned exponent = 63u - (unsigned)__builtin_clzll(magnitude);
        const uint64_t quarter = magnitude >> (exponent - 2) & 3;
        bin = ALONE + (exponent - 3) * QUARTERS + quarter;
    }
    return 1 + (bin << 1 | negative);
}

static int read_number(fields_t *self, uint32_t column, uint32_t *key_p, rub_error_t *err)
{
    const char *const begin = self->at;
    if (*begin == '\t' || *begin == '\n') {
        *key_p = key_of(self, column, 0);
        return 0;
    }
    const bool negative = *begin == '-';
    uint64_t magnitude = 0;
    const char *const behind = rub_decimal_scan_u64(begin + negative, NUMBER_LIMIT, &magnitude);
    if (behind == NULL || (*behind != '\t' && *behind != '\n')) {
        return rub_line_reader_refuse(self->lines, begin, err,
                                      "expected a whole number or nothing as feature I%u", column);
    }
    *key_p = key_of(self, column, bin_of(magnitude, negative && magnitude > 0));
    self->at = behind;
    return 0;
}

static int read_word(fields_t *self, uint32_t column, uint32_t *key_p, rub_error_t *err)
{
    const char *const begin = self->at;
    const char *at = begin;
    while (*at != '\t' && *at != '\n') {
        at++;
    }
    if (at - begin > WORD_LIMIT) {
        return rub_line_reader_refuse(self->lines, begin, err,
                                      "expected at most %u bytes as feature C%u", WORD_LIMIT,
                                      column - N_NUMBERS);
    }
    *key_p = key_of(self, column, rub_hash_bytes(begin, (size_t)(at - begin)));
    self->at = at;
    return 0;
}

/* Over the tab between two fields. n: fields read so far. */
static int next_field(fields_t *self, uint32_t n, rub_error_t *err)
{
    if (*self->at != '\t') {
        return rub_line_reader_refuse(self->lines, self->at, err,
                                      "expected a tab: %u fields were read of %u", n, N_FIELDS);
    }
    self->at++;
    return 0;
}

static int read_label(fields_t *self, float *label_p, rub_error_t *err)
{
    const char c = *self->at;
    if ((c != '0' && c != '1') || (self->at[1] != '\t' && self->at[1] != '\n')) {
        return rub_line_reader_refuse(self->lines, self->at, err, "expected the label 0 or 1");
    }
    *label_p = c == '1';
    self->at++;
    return 0;
}

/* As Criteo calls them: I1 to I13, C1 to C26. column: from 1. */
static int name_of(uint32_t column, char name[NAME_BYTES])
{
    return column <= N_NUMBERS ? snprintf(name, NAME_BYTES, "I%" PRIu32, column)
                               : snprintf(name, NAME_BYTES, "C%" PRIu32, column - N_NUMBERS);
}

int rub_criteo_begin(rub_sparse_parse_t *parse, rub_error_t *err)
{
    RUB_UNUSED(err); /* there is no header */
    for (uint32_t column = 1; column <= N_FEATURES; column++) {
        char name[NAME_BYTES];
        const int bytes = name_of(column, name);
        parse->bases[column - 1] = rub_sparse_key_base(parse->options, name, (size_t)bytes);
    }
    return 0;
}

int rub_criteo_name_columns(rub_sparse_parse_t *parse, rub_column_names_t *names, rub_error_t *err)
{
    RUB_UNUSED(parse);
    names->label = 0;
    int rc = rub_column_names_add(names, "label", strlen("label"), err);
    for (uint32_t column = 1; column <= N_FEATURES && rc == 0; column++) {
        char name[NAME_BYTES];
        const int bytes = name_of(column, name);
        rc = rub_column_names_add(names, name, (size_t)bytes, err);
    }
    return rc;
}

bool rub_criteo_holds(const char *line)
{
    RUB_UNUSED(line);
    return true; /* an empty one is a bad one */
}

uint64_t rub_criteo_entries(uint64_t text_bytes, uint64_t n_examples)
{
    RUB_UNUSED(text_bytes);
    return n_examples * N_FEATURES;
}

int rub_criteo_parse(rub_sparse_parse_t *parse, const char *line, size_t length,
                     rub_sparse_set_t *set, rub_error_t *err)
{
    fields_t self = {.lines = parse->lines,
                     .at = line,
                     .end = line + length,
                     .mask = (UINT64_C(1) << parse->options->hash_bits) - 1,
                     .bases = parse->bases};
    float label = 0;
    int rc = read_label(&self, &label, err);
    rc = rc ? rc : rub_sparse_set_reserve(set, parse->options, N_FEATURES, false, err);
    if (rc) {
        return rc;
    }
    uint32_t *const keys = set->keys + set->offsets[set->n_examples];
    for (uint32_t column = 1; column <= N_FEATURES; column++) {
        rc = next_field(&self, column, err);
        if (rc == 0) {
            rc = column <= N_NUMBERS ? read_number(&self, column, &keys[column - 1], err)
                                     : read_word(&self, column, &keys[column - 1], err);
        }
        if (rc) {
            return rc;
        }
    }
    if (self.at != self.end) {
        return rub_line_reader_refuse(self.lines, self.at, err,
                                      "expected the line's end behind %u fields", N_FIELDS);
    }
    rub_sparse_set_add(set, N_FEATURES, label);
    return 0;
}
