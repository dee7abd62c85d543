/* Writing the rows of a table as word2vec's files have vectors (worker/data/vectors_file.h). */
#ifndef RUB_VECTORS_OUT_H
#define RUB_VECTORS_OUT_H

#include "include/rubato.h"

/* Can a file be made there? Better asked before the training than after it. "": none is wanted.
 * RUB_ECONFIG. */
int rub_vectors_out_check(const char *path, rub_error_t *err);

/* What is written. */
typedef struct rub_vectors_source {
    void *context;
    size_t n;
    uint32_t width;
    /* The name of row number i; may use the 1025 bytes of room. */
    const char *(*name)(void *context, uint32_t i, char *room);
    /* Rows [first, first + count) into values (count x width). May block. */
    int (*read)(void *context, size_t first, size_t count, float *values, rub_error_t *err);
} rub_vectors_source_t;

/* Writes all rows, binary for a name in .bin. "": writes nothing. Blocks. RUB_ENOMEM, RUB_ESTORE,
 * RUB_ENOSPC and the source's errors. */
int rub_vectors_out_write(const char *path, const rub_vectors_source_t *source, rub_error_t *err);

#endif
