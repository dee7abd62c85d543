/* Writing the rows of a table as word2vec's files have vectors (worker/data/vectors_file.h). */
#ifndef RUB_VECTORS_OUT_H
#define RUB_VECTORS_OUT_H

#include "worker/train/delta_rows.h"

/* Can a file be made there? Better asked before the training than after it. "": none is wanted.
 * RUB_ECONFIG. */
int rub_vectors_out_check(const char *path, rub_error_t *err);

/* The name of row number i; may use the 1025 bytes of room. */
typedef const char *rub_row_name_fn(const void *context, uint32_t i, char *room);

/* Pulls rows [0, n) of the table and writes them, binary for a name in .bin. "": writes nothing.
 * Blocks. RUB_ENOMEM, RUB_ESTORE, RUB_ENOSPC and the session's errors. */
int rub_vectors_out_write(const char *path, rub_delta_rows_t *rows, size_t table, uint32_t width,
                          size_t n, rub_row_name_fn *name, const void *context, rub_error_t *err);

#endif
