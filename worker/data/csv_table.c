/* Reading tables for networks.
 *
 * Why not the sparse reader: there a column is a key, and zeros and empty fields are not there;
 * here it is a place, and each must have a number: what a missing one stands for only its owner can
 * say, so it is refused. Idea: the first line of the first file says how many columns there are,
 * also where they have no names; it is read when the table is opened, and once more as a record.
 * Invariant: x never gets more than `width` numbers, whatever a record holds. */
#include "worker/data/csv_table.h"

#include "common/base/alloc.h"
#include "common/base/classes.h"
#include "common/base/decimal.h"
#include "common/base/error.h"
#include "worker/data/csv_fields.h"
#include "worker/data/data_files.h"
#include "worker/data/reader.h"

#include <math.h>
#include <string.h>

struct rub_csv_table {
    const rub_csv_options_t *options;
    const char *words;
    char separator;
    rub_data_files_t *files;
    size_t file; /* the next one */
    rub_line_reader_t *lines;
    bool again;         /* the present line is the next record */
    uint32_t n_columns; /* 0: not known yet */
    uint32_t label;     /* from 0; n_columns: none */
    bool labelled;      /* there must be one */
};

static bool holds(const char *line)
{
    return *line != '\n';
}

/* Which of the columns on this line is the label's, and how many there are; named: they have names.
 * The line is good. */
static void find_label(rub_csv_table_t *self, const char *line, size_t length, bool named)
{
    rub_csv_fields_t fields = rub_csv_fields_of(self->lines, line, length, self->separator);
    uint32_t n = 0;
    self->label = UINT32_MAX;
    for (; !fields.over && rub_csv_fields_cut(&fields, NULL) == 0; n++) {
        const size_t bytes = named ? (size_t)(fields.close - fields.text) : 0;
        if (self->label == UINT32_MAX &&
            rub_csv_words_mean(self->options->label, n, named ? fields.text : "", bytes)) {
            self->label = n;
        }
    }
    self->n_columns = n;
    self->label = self->label < n ? self->label : n;
}

/* Are all fields cut well, and not too many? */
static int check_line(const rub_csv_table_t *self, const char *line, size_t length,
                      rub_error_t *err)
{
    rub_csv_fields_t fields = rub_csv_fields_of(self->lines, line, length, self->separator);
    int rc = 0;
    for (uint32_t n = 0; rc == 0 && !fields.over; n++) {
        rc = n < RUB_CSV_COLUMNS_LIMIT
                 ? rub_csv_fields_cut(&fields, err)
                 : rub_line_reader_refuse(self->lines, fields.at, err,
                                          "expected at most %u columns", RUB_CSV_COLUMNS_LIMIT);
    }
    return rc;
}

static int no_label(const rub_csv_table_t *self, const char *at, rub_error_t *err)
{
    return rub_line_reader_refuse(self->lines, at, err,
                                  "expected a column for the label '%s' among %u",
                                  self->options->label, self->n_columns);
}

/* The names of a file behind the first one are those of the first. */
static int take_header(rub_csv_table_t *self, rub_error_t *err)
{
    const char *line = NULL;
    size_t length = 0;
    int rc = rub_line_reader_next(self->lines, &line, &length, err);
    if (rc != 0 || line == NULL) {
        return rc;
    }
    if (self->n_columns > 0) {
        return rub_csv_same_columns(self->options->format, rub_line_reader_path(self->lines),
                                    self->words, NULL, err);
    }
    rc = check_line(self, line, length, err);
    if (rc == 0 && rub_csv_holds_numbers(self->lines, line, length, self->separator)) {
        rc = rub_csv_refuse_numbers(self->lines, line, err);
    }
    if (rc == 0) {
        find_label(self, line, length, true);
        rc = self->labelled && self->label == self->n_columns ? no_label(self, line, err) : 0;
    }
    return rc;
}

static int open_next(rub_csv_table_t *self, rub_error_t *err)
{
    rub_line_reader_close(&self->lines);
    int rc = rub_line_reader_open(self->files->paths[self->file++], &self->lines, err);
    if (rc == 0 && self->separator == ',') {
        rub_line_reader_join_quoted(self->lines);
    }
    return rc == 0 && self->options->header ? take_header(self, err) : rc;
}

/* The next line that holds an example, of any file; NULL: there is none. */
static int next_line(rub_csv_table_t *self, const char **line_p, size_t *length_p, rub_error_t *err)
{
    int rc = 0;
    if (self->again) {
        self->again = false;
        rub_line_reader_present(self->lines, line_p, length_p);
        return 0;
    }
    *line_p = NULL;
    while (rc == 0) {
        if (self->lines != NULL) {
            rc = rub_line_reader_next(self->lines, line_p, length_p, err);
            if (rc != 0 || (*line_p != NULL && holds(*line_p))) {
                return rc;
            }
        }
        if (*line_p == NULL) {
            if (self->file == self->files->n) {
                return 0;
            }
            rc = open_next(self, err);
        }
    }
    return rc;
}

/* Reads to the first example, so that the columns are known, and looks at these. */
static int begin(rub_csv_table_t *self, rub_error_t *err)
{
    const char *line = NULL;
    size_t length = 0;
    int rc = next_line(self, &line, &length, err);
    if (rc == 0 && line == NULL) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' holds 0 examples, expected at least 1",
                      self->words);
    }
    if (rc == 0 && self->n_columns == 0) {
        rc = check_line(self, line, length, err);
        if (rc == 0) {
            find_label(self, line, length, false);
        }
    }
    if (rc != 0) {
        return rc;
    }
    self->again = true;
    if (self->label == self->n_columns && !self->options->header) {
        return no_label(self, line, err);
    }
    return rub_csv_table_width(self) > 0
               ? 0
               : rub_line_reader_refuse(self->lines, line, err,
                                        "expected at least one column beside the label's");
}

int rub_csv_table_open(const rub_csv_options_t *options, const char *words, bool labelled,
                       rub_csv_table_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    const char separator = rub_csv_separator(options->format);
    if (separator == 0) {
        return rub_fail(err, RUB_EINVAL, "data '%s': format %s is no table, expected csv or tsv",
                        words, options->format);
    }
    rub_csv_table_t *self = rub_calloc(1, sizeof(*self));
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", words);
    }
    self->options = options;
    self->words = words;
    self->separator = separator;
    int rc = rub_data_files_open(words, &self->files, err);
    self->labelled = labelled;
    rc = rc ? rc : begin(self, err);
    if (rc != 0) {
        rub_csv_table_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_csv_table_close(rub_csv_table_t **self_p)
{
    rub_csv_table_t *self = *self_p;
    if (self != NULL) {
        rub_line_reader_close(&self->lines);
        rub_data_files_close(&self->files);
        rub_free(self);
        *self_p = NULL;
    }
}

size_t rub_csv_table_width(const rub_csv_table_t *self)
{
    return self->n_columns - (self->label < self->n_columns);
}

/* ---- examples ---- */

static int read_class(const rub_csv_fields_t *field, uint32_t n_classes, int32_t *label_p,
                      rub_error_t *err)
{
    double label = 0;
    if (rub_decimal_scan(field->text, &label) != field->close || label != floor(label) ||
        label < 0 || label >= n_classes) {
        return rub_line_reader_refuse(field->lines, field->text, err,
                                      "expected a class from 0 to %u", n_classes - 1);
    }
    *label_p = (int32_t)label;
    return 0;
}

static int read_number(const rub_csv_fields_t *field, uint32_t column, float *x_p, rub_error_t *err)
{
    double value = 0;
    if (field->text == field->close || rub_decimal_scan(field->text, &value) != field->close) {
        return rub_line_reader_refuse(field->lines, field->text, err,
                                      "expected a number in column %u", column + 1);
    }
    *x_p = (float)value;
    return isfinite(*x_p) ? 0
                          : rub_line_reader_refuse(field->lines, field->text, err,
                                                   "expected a number within float32");
}

int rub_csv_table_next(rub_csv_table_t *self, uint32_t n_classes, float *x, int32_t *label_p,
                       bool *any_p, rub_error_t *err)
{
    const char *line = NULL;
    size_t length = 0;
    int rc = next_line(self, &line, &length, err);
    *any_p = rc == 0 && line != NULL;
    if (!*any_p) {
        return rc;
    }
    rub_csv_fields_t fields = rub_csv_fields_of(self->lines, line, length, self->separator);
    uint32_t column = 0;
    for (; rc == 0 && !fields.over; column++) {
        if (column == self->n_columns) {
            return rub_line_reader_refuse(self->lines, fields.at, err,
                                          "expected the line's end behind %u fields", column);
        }
        rc = rub_csv_fields_cut(&fields, err);
        if (rc == 0 && column != self->label) {
            rc = read_number(&fields, column, x++, err);
        } else if (rc == 0 && label_p != NULL) {
            rc = read_class(&fields, n_classes, label_p, err);
        }
    }
    return rc || column == self->n_columns
               ? rc
               : rub_line_reader_refuse(self->lines, fields.end, err,
                                        "expected %u fields, as before, there are %u",
                                        self->n_columns, column);
}

/* ---- whole data sets ---- */

/* Room for one more example. */
static int grow(const rub_dataset_options_t *options, rub_dataset_t *dataset, size_t *floats_room_p,
                size_t *labels_room_p, rub_error_t *err)
{
    const size_t n = dataset->n_examples + 1;
    if (n > RUB_DATASET_EXAMPLES_LIMIT ||
        n > options->limit_bytes / sizeof(float) / dataset->width) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' has more than %zu examples of %zu numbers, the limit is "
                        "%llu bytes",
                        options->features_path, dataset->n_examples, dataset->width,
                        (unsigned long long)options->limit_bytes);
    }
    return rub_grow(&dataset->floats, floats_room_p, n * dataset->width, sizeof(float)) == 0 &&
                   rub_grow(&dataset->labels, labels_room_p, n, sizeof(int32_t)) == 0
               ? 0
               : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for %zu examples",
                          options->features_path, n);
}

static int read_all(const char *format, const rub_dataset_options_t *options,
                    rub_dataset_t *dataset, rub_error_t *err)
{
    const rub_csv_options_t csv = {
        .format = format, .label = options->csv_label, .header = options->csv_header};
    const uint32_t n_classes = options->n_classes > 0 ? options->n_classes : RUB_CLASSES_LIMIT;
    rub_csv_table_t *table = NULL;
    size_t floats_room = 0, labels_room = 0;
    int rc = rub_csv_table_open(&csv, options->features_path, true, &table, err);
    dataset->width = rc == 0 ? rub_csv_table_width(table) : 0;
    for (bool any = true; rc == 0 && any;) {
        const size_t n = dataset->n_examples;
        rc = grow(options, dataset, &floats_room, &labels_room, err);
        rc = rc ? rc
                : rub_csv_table_next(table, n_classes, dataset->floats + n * dataset->width,
                                     &dataset->labels[n], &any, err);
        dataset->n_examples += rc == 0 && any;
    }
    rub_csv_table_close(&table);
    return rc;
}

int rub_csv_read(const rub_dataset_options_t *options, rub_dataset_t *dataset, rub_error_t *err)
{
    return read_all("csv", options, dataset, err);
}

int rub_tsv_read(const rub_dataset_options_t *options, rub_dataset_t *dataset, rub_error_t *err)
{
    return read_all("tsv", options, dataset, err);
}
