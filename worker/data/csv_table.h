/* Examples of a fixed width out of CSV and TSV: a column of classes, and every other column a
 * feature, a number. Records one by one, of one file or of several with the same columns. Blocks on
 * the files; one thread. */
#ifndef RUB_CSV_TABLE_H
#define RUB_CSV_TABLE_H

#include "include/rubato.h"

typedef struct rub_csv_options {
    const char *format; /* "csv" or "tsv" */
    const char *label;  /* the column of the class, by its number from 1 or its name */
    bool header;        /* the first line of a file has the names of its columns */
} rub_csv_options_t;

typedef struct rub_csv_table rub_csv_table_t;

/* words: what rub_data_files_open takes; options and words are kept until close. labelled: there
 * must be a column of classes; else there may be, and is passed over: columns with names where none
 * is options->label are all features. RUB_EDATA: no example, no such column, no other one, a first
 * line that has no names; RUB_EINVAL: the format is no table; RUB_ENOMEM. */
int rub_csv_table_open(const rub_csv_options_t *options, const char *words, bool labelled,
                       rub_csv_table_t **self_p, rub_error_t *err);
void rub_csv_table_close(rub_csv_table_t **self_p); /* NULL is fine */

size_t rub_csv_table_width(const rub_csv_table_t *self); /* features of an example, at least 1 */

/* The next example: its features to x, its class, below n_classes, to *label_p. *any_p false: there
 * is none. label_p NULL: it is not looked at. RUB_EDATA with file, line and column: a field that is
 * no finite number, also an empty one; a class out of bounds; more or fewer fields than before;
 * another file's other columns. RUB_ENOMEM. */
int rub_csv_table_next(rub_csv_table_t *self, uint32_t n_classes, float *x, int32_t *label_p,
                       bool *any_p, rub_error_t *err);

#endif
