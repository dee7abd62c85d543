/* Sums of gradients by row: the rows of a table that a step touches get slots as they come, the
 * sums stand close together, and a row that comes ten times is stepped once, with its sum. */
#ifndef RUB_ROW_SUMS_H
#define RUB_ROW_SUMS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef struct rub_row_sums {
    uint32_t *slot_of; /* by row */
    uint32_t *rows;    /* by slot */
    float *sums;       /* n x width */
    size_t n, width;
} rub_row_sums_t;

/* For rows below n_rows, of which at most `most` get slots at a time. False: memory is short; to be
 * finished also then. */
bool rub_row_sums_init(rub_row_sums_t *self, size_t n_rows, size_t most, size_t width);
void rub_row_sums_fini(rub_row_sums_t *self);

/* No row has a slot. */
void rub_row_sums_begin(rub_row_sums_t *self);
/* The sum of a row, width float32: zeros when it is the row's first time since begin. Valid until
 * then. */
float *rub_row_sums_of(rub_row_sums_t *self, uint32_t row);

#endif
