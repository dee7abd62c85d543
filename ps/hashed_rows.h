/* Between the files of hashed tables: rows live and die in ps/hashed_table.c, and are read and
 * stepped in ps/hashed_access.c. Nobody else includes this. */
#ifndef RUB_HASHED_ROWS_H
#define RUB_HASHED_ROWS_H

#include "ps/table_state.h"

/* row: its bytes. */
static inline float *rub_row_weights(const rub_ptable_t *self, uint8_t *row)
{
    return (float *)(void *)(row + self->hashed.weights_at);
}

/* A row for a key that has none, as first touch makes it. hash: rub_placement_hash of the key.
 * RUB_ELIMIT: no chunk is left; RUB_ENOMEM. */
int rub_row_create(rub_ptable_t *self, uint64_t key, uint64_t hash, uint32_t *row_p,
                   rub_error_t *err);

/* As rub_table_ops_t has them. */
void rub_hashed_pull(const rub_ptable_t *self, const rub_rows_t *rows, float *values,
                     uint8_t *exists);
int rub_hashed_push(rub_ptable_t *self, const rub_push_view_t *push, uint64_t lsn,
                    rub_error_t *err);

#endif
