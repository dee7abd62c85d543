/* Going through sparse examples one by one, in the order of the files, in the memory of one. */
#ifndef RUB_SPARSE_SCAN_H
#define RUB_SPARSE_SCAN_H

#include "worker/data/line_reader.h"
#include "worker/data/sparse_set.h"

/* One example: the only one of the set, and the text that it was read from (without its end). Both
 * borrowed until it returns. What it returns, if not 0, ends the scan. */
typedef int rub_sparse_visit_t(void *context, const rub_sparse_set_t *example, const char *text,
                               size_t text_bytes, rub_error_t *err);

/* Visits every example of all files. Errors as rub_sparse_set_open; blocks on the files. */
int rub_sparse_scan(const rub_sparse_options_t *options, rub_sparse_visit_t *visit, void *context,
                    rub_error_t *err);

/* The same for who wants the text alone. The header of csv and tsv, the first file's, is a heading.
 */
int rub_sparse_scan_lines(const rub_sparse_options_t *options, rub_line_fn *fn, void *context,
                          rub_error_t *err);

#endif
