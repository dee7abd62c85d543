/* Tables with commas or tabs between: CSV as RFC 4180 has it, and TSV.
 *
 * The label's column says 1 (or +1) for a click, 0 or -1 for none, or what the options take. Any
 * other field becomes at most one feature: of a column of words, its hash, with value 1; of a
 * column of numbers, the column itself, with the number as value. Empty fields and zeros are no
 * features. Keys are hashes of the column (its name, or its number where there is no header) and
 * the word, cut to hash_bits (the hashing trick: Weinberger et al., ICML 2009).
 *
 * How records are cut into fields: worker/data/csv_fields.h. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "worker/data/csv_fields.h"
#include "worker/data/sparse_reader.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#define NAME_SALT UINT64_C(0x6e616d65) /* "name" and "word" in ASCII */
#define WORD_SALT UINT64_C(0x776f7264)

typedef struct rub_csv_columns {
    uint32_t n;           /* 0: the first record will tell */
    uint32_t label;       /* from 0; UINT32_MAX: none so far is it */
    uint32_t known, room; /* of items */
    struct {
        uint64_t salt;
        uint32_t base; /* of its keys */
        bool words;
    } items[];
} columns_t;

/* ---- columns ---- */

/* One more column is known; name NULL: it has none. */
static int add_column(columns_t **self_p, const rub_sparse_options_t *options,
                      const rub_csv_fields_t *name, rub_error_t *err)
{
    columns_t *self = *self_p;
    if (self == NULL || self->known == self->room) {
        const uint32_t room = self != NULL ? 2 * self->room : 64;
        columns_t *const larger =
            rub_realloc_array(self, 1, sizeof(*self) + room * sizeof(self->items[0]));
        if (larger == NULL) {
            return rub_fail(err, RUB_ENOMEM, "data: no memory for %u columns", room);
        }
        if (self == NULL) {
            *larger = (columns_t){.label = UINT32_MAX};
        }
        larger->room = room;
        *self_p = self = larger;
    }
    const uint32_t column = self->known++;
    const size_t bytes = name != NULL ? (size_t)(name->close - name->text) : 0;
    const char *const text = name != NULL ? name->text : "";
    char digits[16];
    const int n_digits = snprintf(digits, sizeof digits, "%u", column + 1);
    self->items[column].base = rub_sparse_key_base(options, name != NULL ? text : digits,
                                                   name != NULL ? bytes : (size_t)n_digits);
    self->items[column].salt =
        rub_mix64(name != NULL ? rub_mix64(name->hash) ^ NAME_SALT : column + 1);
    self->items[column].words = rub_csv_words_mean(options->csv_words, column, text, bytes);
    if (self->label == UINT32_MAX && rub_csv_words_mean(options->csv_label, column, text, bytes)) {
        self->label = column;
    }
    return 0;
}

static int no_label(const rub_sparse_parse_t *parse, const char *at, uint32_t n, rub_error_t *err)
{
    return rub_line_reader_refuse(parse->lines, at, err,
                                  "expected a column for the label '%s' among %u",
                                  parse->options->csv_label, n);
}

/* A word of csv_words that means no column is a slip, and the column that it should have meant
 * would be taken for numbers, perhaps without a complaint. The header was cut before, so it can be
 * cut again. */
static int check_words(const rub_sparse_parse_t *parse, const char *line, size_t length,
                       char separator, uint32_t n, rub_error_t *err)
{
    for (const char *word = parse->options->csv_words; *word != '\0';) {
        const size_t bytes = strcspn(word, ",");
        rub_csv_fields_t fields = rub_csv_fields_of(parse->lines, line, length, separator);
        bool found = false;
        for (uint32_t i = 0; i < n && !found && rub_csv_fields_cut(&fields, NULL) == 0; i++) {
            found = rub_csv_word_means(word, bytes, i, fields.text,
                                       (size_t)(fields.close - fields.text));
        }
        if (!found) {
            return rub_line_reader_refuse(parse->lines, line, err,
                                          "expected a column for '%.*s' of csv_words among %u",
                                          (int)bytes, word, n);
        }
        word += bytes + (word[bytes] == ',');
    }
    return 0;
}

/* Columns that shall have keys of their own are there. at: what a refusal points to. */
static int check_own(const rub_sparse_parse_t *parse, const char *at, const columns_t *columns,
                     rub_error_t *err)
{
    const rub_sparse_options_t *const options = parse->options;
    for (uint32_t own = 0; own < options->n_own; own++) {
        uint32_t column = 0;
        while (column < columns->known &&
               columns->items[column].base != own << options->hash_bits) {
            column++;
        }
        if (column == columns->known) {
            return rub_line_reader_refuse(parse->lines, at, err,
                                          "expected a column '%s', which has a table of its own, "
                                          "among %u",
                                          options->own[own], columns->known);
        }
    }
    return 0;
}

static int read_header(rub_sparse_parse_t *parse, columns_t **self_p, char separator,
                       rub_error_t *err)
{
    const char *line = NULL;
    size_t length = 0;
    int rc = rub_line_reader_next(parse->lines, &line, &length, err);
    if (rc != 0 || line == NULL) {
        return rc; /* an empty file: it has no examples */
    }
    rub_csv_fields_t fields = rub_csv_fields_of(parse->lines, line, length, separator);
    while (rc == 0 && !fields.over) {
        const char *const at = fields.at;
        rc = rub_csv_fields_cut(&fields, err);
        if (rc == 0 && *self_p != NULL && (*self_p)->known == RUB_CSV_COLUMNS_LIMIT) {
            rc = rub_line_reader_refuse(parse->lines, at, err, "expected at most %u columns",
                                        RUB_CSV_COLUMNS_LIMIT);
        }
        rc = rc ? rc : add_column(self_p, parse->options, &fields, err);
    }
    if (rc != 0) {
        return rc;
    }
    columns_t *const self = *self_p;
    self->n = self->known;
    if (rub_csv_holds_numbers(parse->lines, line, length, separator)) {
        return rub_csv_refuse_numbers(parse->lines, line, err);
    }
    rc = self->label < self->n ? check_words(parse, line, length, separator, self->n, err)
                               : no_label(parse, line, self->n, err);
    return rc ? rc : check_own(parse, line, self, err);
}

static bool same_columns(const columns_t *a, const columns_t *b)
{
    bool same = a->n == b->n;
    for (uint32_t i = 0; same && i < a->n; i++) {
        same = a->items[i].salt == b->items[i].salt;
    }
    return same;
}

/* Without a header columns become known as records show them. */
static int begin(rub_sparse_parse_t *parse, char separator, rub_error_t *err)
{
    columns_t *columns = NULL;
    if (separator == ',') {
        rub_line_reader_join_quoted(parse->lines);
    }
    int rc = parse->options->csv_header ? read_header(parse, &columns, separator, err) : 0;
    if (rc == 0 && columns != NULL && parse->columns != NULL &&
        !same_columns(parse->columns, columns)) {
        const char *const path = rub_line_reader_path(parse->lines);
        rc = rub_csv_same_columns(parse->options->format, path, parse->options->path, NULL, err);
        rc = rc ? rc : rub_fail(err, RUB_EDATA, "data file '%s' has changed", path);
    }
    if (rc == 0 && parse->columns == NULL) {
        parse->columns = columns;
        columns = NULL;
    }
    rub_free(columns);
    return rc;
}

/* ---- examples ---- */

static int read_label(const rub_sparse_parse_t *parse, const rub_csv_fields_t *self, float *label_p,
                      rub_error_t *err)
{
    double label = 0;
    const char *const behind = rub_decimal_scan(self->text, &label);
    if (parse->options->labels != RUB_LABELS_TWO) {
        return behind == self->close
                   ? rub_sparse_parse_label(parse, self->text, label, label_p, err)
                   : rub_line_reader_refuse(self->lines, self->text, err,
                                            "expected a label, a number");
    }
    if (behind != self->close || (label != 1 && label != 0 && label != -1)) {
        return rub_line_reader_refuse(self->lines, self->text, err,
                                      "expected a label of two classes: 1 or 0, +1 or -1");
    }
    *label_p = label == 1;
    return 0;
}

/* Adds the field's feature, if it has one. */
static int read_field(const rub_csv_fields_t *self, const columns_t *columns, uint32_t column,
                      uint64_t mask, uint32_t *key_p, float *value_p, size_t *n_p, rub_error_t *err)
{
    if (self->text == self->close) {
        return 0;
    }
    if (columns->items[column].words) {
        *key_p =
            columns->items[column].base +
            (uint32_t)(rub_mix64(rub_mix64(self->hash) ^ columns->items[column].salt ^ WORD_SALT) &
                       mask);
        *value_p = 1;
        (*n_p)++;
        return 0;
    }
    double value = 0;
    const char *const behind = rub_decimal_scan(self->text, &value);
    if (behind != self->close) {
        return rub_line_reader_refuse(self->lines, self->text, err,
                                      "expected a number or nothing in column %u (csv_words names "
                                      "the columns of words)",
                                      column + 1);
    }
    if (!isfinite((float)value)) {
        return rub_line_reader_refuse(self->lines, self->text, err,
                                      "expected a number within float32");
    }
    *key_p = columns->items[column].base + (uint32_t)(columns->items[column].salt & mask);
    *value_p = (float)value;
    *n_p += (float)value != 0;
    return 0;
}

static int check_count(const rub_sparse_parse_t *parse, const rub_csv_fields_t *self, uint32_t n,
                       rub_error_t *err)
{
    columns_t *const columns = parse->columns;
    if (columns->n == 0) {
        columns->n = n;
        const int rc = check_own(parse, self->end, columns, err);
        if (rc != 0) {
            return rc;
        }
    }
    return n == columns->n ? 0
                           : rub_line_reader_refuse(self->lines, self->end, err,
                                                    "expected %u fields, as before, there are %u",
                                                    columns->n, n);
}

/* Makes sure that there is such a column; at: its field. */
static int reach(rub_sparse_parse_t *parse, uint32_t column, const char *at, rub_error_t *err)
{
    const columns_t *const columns = parse->columns;
    const bool known = columns != NULL && column < columns->known;
    if (!known && (columns == NULL || columns->n == 0) && column < RUB_CSV_COLUMNS_LIMIT) {
        return add_column(&parse->columns, parse->options, NULL, err);
    }
    return known ? 0
                 : rub_line_reader_refuse(parse->lines, at, err,
                                          "expected the line's end behind %u fields", column);
}

static int parse_record(rub_sparse_parse_t *parse, const char *line, size_t length, char separator,
                        rub_sparse_set_t *set, rub_error_t *err)
{
    const uint64_t mask = (UINT64_C(1) << parse->options->hash_bits) - 1;
    rub_csv_fields_t fields = rub_csv_fields_of(parse->lines, line, length, separator);
    float label = NAN; /* not seen yet */
    uint32_t column = 0;
    size_t n = 0;
    int rc = rub_sparse_set_reserve(set, parse->options, length / 2 + 1, true, err);
    const uint64_t first = rc == 0 ? set->offsets[set->n_examples] : 0;
    for (; rc == 0 && !fields.over; column++) {
        const char *const at = fields.at;
        rc = rub_csv_fields_cut(&fields, err);
        rc = rc ? rc : reach(parse, column, at, err);
        const columns_t *const columns = parse->columns;
        if (rc == 0 && column == columns->label) {
            rc = read_label(parse, &fields, &label, err);
        } else if (rc == 0) {
            rc = read_field(&fields, columns, column, mask, &set->keys[first + n],
                            &set->values[first + n], &n, err);
        }
    }
    rc = rc ? rc : check_count(parse, &fields, column, err);
    if (rc == 0 && isnan(label)) {
        rc = no_label(parse, line, column, err);
    }
    if (rc == 0) {
        rub_sparse_set_add(set, n, label);
    }
    return rc;
}

/* Names stand in the header; without one columns are as many as the first record has fields. */
static int name_columns(rub_sparse_parse_t *parse, char separator, rub_column_names_t *names,
                        rub_error_t *err)
{
    const rub_sparse_options_t *const options = parse->options;
    const char *line = NULL;
    size_t length = 0;
    int rc = 0;
    if (options->csv_header) {
        rub_line_reader_present(parse->lines, &line, &length);
    } else {
        rc = rub_line_reader_next(parse->lines, &line, &length, err);
    }
    if (rc != 0 || line == NULL) {
        return rc;
    }
    rub_csv_fields_t fields = rub_csv_fields_of(parse->lines, line, length, separator);
    names->label = parse->columns != NULL ? parse->columns->label : UINT32_MAX;
    while (rc == 0 && !fields.over && names->n < RUB_CSV_COLUMNS_LIMIT) {
        char digits[16];
        const int n_digits = snprintf(digits, sizeof digits, "%u", names->n + 1);
        rc = rub_csv_fields_cut(&fields, err);
        if (rc == 0 && !options->csv_header && names->label == UINT32_MAX &&
            rub_csv_words_mean(options->csv_label, names->n, "", 0)) {
            names->label = names->n;
        }
        if (rc == 0 && options->csv_header) {
            rc =
                rub_column_names_add(names, fields.text, (size_t)(fields.close - fields.text), err);
        } else if (rc == 0) {
            rc = rub_column_names_add(names, digits, (size_t)n_digits, err);
        }
    }
    return rc;
}

static bool holds(const char *line)
{
    return *line != '\n';
}

/* A field with a feature has a byte, and a separator or the line's end behind it. */
static uint64_t entries(uint64_t text_bytes, uint64_t n_examples)
{
    return text_bytes / 2 + n_examples;
}

int rub_csv_begin(rub_sparse_parse_t *parse, rub_error_t *err)
{
    return begin(parse, ',', err);
}

int rub_csv_name_columns(rub_sparse_parse_t *parse, rub_column_names_t *names, rub_error_t *err)
{
    return name_columns(parse, ',', names, err);
}

bool rub_csv_holds(const char *line)
{
    return holds(line);
}

uint64_t rub_csv_entries(uint64_t text_bytes, uint64_t n_examples)
{
    return entries(text_bytes, n_examples);
}

int rub_csv_parse(rub_sparse_parse_t *parse, const char *line, size_t length, rub_sparse_set_t *set,
                  rub_error_t *err)
{
    return parse_record(parse, line, length, ',', set, err);
}

int rub_tsv_begin(rub_sparse_parse_t *parse, rub_error_t *err)
{
    return begin(parse, '\t', err);
}

int rub_tsv_name_columns(rub_sparse_parse_t *parse, rub_column_names_t *names, rub_error_t *err)
{
    return name_columns(parse, '\t', names, err);
}

bool rub_tsv_holds(const char *line)
{
    return holds(line);
}

uint64_t rub_tsv_entries(uint64_t text_bytes, uint64_t n_examples)
{
    return entries(text_bytes, n_examples);
}

int rub_tsv_parse(rub_sparse_parse_t *parse, const char *line, size_t length, rub_sparse_set_t *set,
                  rub_error_t *err)
{
    return parse_record(parse, line, length, '\t', set, err);
}
