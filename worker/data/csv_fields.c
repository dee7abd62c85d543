/* What readers of tables share: the cutting of records, and the names of columns. Invariant:
 * nothing is read behind the record's end, which is where its '\n' stands. */
#include "worker/data/csv_fields.h"

#include "common/base/decimal.h"
#include "common/base/error.h"
#include "worker/data/data_files.h"

#include <math.h>
#include <string.h>

#define NAMES_COMPARED 64u /* so many names of columns with all others */

char rub_csv_separator(const char *format)
{
    return strcmp(format, "csv") == 0 ? ',' : strcmp(format, "tsv") == 0 ? '\t' : 0;
}

/* ---- fields ---- */

int rub_csv_fields_cut_quoted(rub_csv_fields_t *self, rub_error_t *err)
{
    const char *at = self->at + 1;
    self->text = at;
    while (true) {
        const char *const quote = memchr(at, '"', (size_t)(self->end - at));
        if (quote == NULL) {
            return rub_line_reader_refuse(self->lines, self->end, err,
                                          "expected the quote that ends a field");
        }
        for (; at < quote; at++) {
            self->hash = rub_csv_hash_byte(self->hash, *at);
        }
        if (quote + 1 == self->end || quote[1] != '"') {
            self->close = quote;
            self->at = quote + 1;
            break;
        }
        self->hash = rub_csv_hash_byte(self->hash, '"');
        at = quote + 2;
    }
    if (self->at < self->end && *self->at != self->separator) {
        return rub_line_reader_refuse(self->lines, self->at, err,
                                      "expected a comma or the line's end behind a quoted field");
    }
    return 0;
}

int rub_csv_fields_refuse_quote(const rub_csv_fields_t *self, const char *at, rub_error_t *err)
{
    return rub_line_reader_refuse(self->lines, at, err,
                                  "expected no quote within a field that does not begin with one");
}

/* ---- columns ---- */

bool rub_csv_word_means(const char *word, size_t length, uint32_t column, const char *name,
                        size_t name_bytes)
{
    uint64_t first = 0;
    uint64_t last = 0;
    const char *behind = rub_decimal_scan_u64(word, RUB_CSV_COLUMNS_LIMIT, &first);
    last = first;
    if (behind != NULL && *behind == '-') {
        behind = rub_decimal_scan_u64(behind + 1, RUB_CSV_COLUMNS_LIMIT, &last);
    }
    const bool number = behind != NULL && behind == word + length;
    return (number && column + 1 >= first && column + 1 <= last) ||
           (length == name_bytes && memcmp(word, name, length) == 0) ||
           (length == 3 && memcmp(word, "all", 3) == 0);
}

bool rub_csv_words_mean(const char *words, uint32_t column, const char *name, size_t name_bytes)
{
    while (*words != '\0') {
        const size_t length = strcspn(words, ",");
        if (rub_csv_word_means(words, length, column, name, name_bytes)) {
            return true;
        }
        words += length + (words[length] == ',');
    }
    return false;
}

bool rub_csv_holds_numbers(const rub_line_reader_t *lines, const char *line, size_t length,
                           char separator)
{
    rub_csv_fields_t fields = rub_csv_fields_of(lines, line, length, separator);
    uint64_t before[NAMES_COMPARED];
    bool names = true;
    for (uint32_t i = 0; !fields.over; i++) {
        double value = 0;
        if (rub_csv_fields_cut(&fields, NULL) != 0 ||
            rub_decimal_scan(fields.text, &value) != fields.close) {
            return false;
        }
        names = names && value == floor(value);
        for (uint32_t k = 0; k < i && k < NAMES_COMPARED && names; k++) {
            names = before[k] != fields.hash;
        }
        if (i < NAMES_COMPARED) {
            before[i] = fields.hash;
        }
    }
    return !names;
}

int rub_csv_refuse_numbers(const rub_line_reader_t *lines, const char *line, rub_error_t *err)
{
    return rub_line_reader_refuse(lines, line, err,
                                  "expected names of columns (csv_header: false where a file has "
                                  "none)");
}

/* ---- two headers ---- */

/* The first line of the first file; *lines_p and *files_p are the caller's. *line_p NULL: none. */
static int open_header(const char *words, char separator, rub_data_files_t **files_p,
                       rub_line_reader_t **lines_p, rub_csv_fields_t *fields, bool *any_p,
                       rub_error_t *err)
{
    const char *line = NULL;
    size_t length = 0;
    int rc = rub_data_files_open(words, files_p, err);
    rc = rc ? rc : rub_line_reader_open((*files_p)->paths[0], lines_p, err);
    if (rc == 0 && separator == ',') {
        rub_line_reader_join_quoted(*lines_p);
    }
    rc = rc ? rc : rub_line_reader_next(*lines_p, &line, &length, err);
    *any_p = rc == 0 && line != NULL;
    if (*any_p) {
        *fields = rub_csv_fields_of(*lines_p, line, length, separator);
    }
    return rc;
}

/* A name for a sentence: what stands in the file, cut. */
static int name_bytes(const rub_csv_fields_t *field)
{
    const size_t bytes = (size_t)(field->close - field->text);
    return (int)(bytes < 64 ? bytes : 64);
}

/* Is what was cut from `wanted` last the label, and not what stands here? */
static bool lacks_label(rub_csv_fields_t has, const rub_csv_fields_t *wanted, const char *label)
{
    const size_t bytes = (size_t)(wanted->close - wanted->text);
    if (label == NULL || strlen(label) != bytes || memcmp(label, wanted->text, bytes) != 0) {
        return false;
    }
    return has.over || rub_csv_fields_cut(&has, NULL) != 0 || has.hash != wanted->hash;
}

/* wanted's path stands in the sentence. */
static int compare(rub_csv_fields_t *has, rub_csv_fields_t *wanted, const char *label,
                   rub_error_t *err)
{
    const char *const path = rub_line_reader_path(wanted->lines);
    for (uint32_t column = 1; !has->over || !wanted->over; column++) {
        const char *const at = has->at;
        if (wanted->over) {
            return rub_line_reader_refuse(has->lines, at, err, "expected %u columns, as in '%s'",
                                          column - 1, path);
        }
        if (rub_csv_fields_cut(wanted, NULL) != 0) {
            return 0; /* who reads that file says what is wrong with it */
        }
        if (lacks_label(*has, wanted, label)) {
            continue;
        }
        const bool missing = has->over;
        const int rc = missing ? 0 : rub_csv_fields_cut(has, err);
        if (rc) {
            return rc;
        }
        if (missing || has->hash != wanted->hash) {
            return rub_line_reader_refuse(has->lines, at, err,
                                          "expected '%.*s' as column %u, as in '%s'",
                                          name_bytes(wanted), wanted->text, column, path);
        }
    }
    return 0;
}

int rub_csv_same_columns(const char *format, const char *words, const char *as, const char *label,
                         rub_error_t *err)
{
    const char separator = rub_csv_separator(format);
    rub_data_files_t *files[2] = {NULL, NULL};
    rub_line_reader_t *lines[2] = {NULL, NULL};
    rub_csv_fields_t fields[2];
    bool any[2] = {false, false};
    int rc = 0;
    if (separator == 0 || strcmp(words, "-") == 0 || strcmp(as, "-") == 0) {
        return 0;
    }
    if (open_header(as, separator, &files[1], &lines[1], &fields[1], &any[1], NULL) == 0 &&
        any[1]) {
        rc = open_header(words, separator, &files[0], &lines[0], &fields[0], &any[0], err);
    }
    rc = rc || !any[0] ? rc : compare(&fields[0], &fields[1], label, err);
    for (size_t i = 0; i < 2; i++) {
        rub_line_reader_close(&lines[i]);
        rub_data_files_close(&files[i]);
    }
    return rc;
}
