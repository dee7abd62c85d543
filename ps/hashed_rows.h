/* Between the files of hashed tables: rows live and die in ps/hashed_table.c, are read and stepped
 * in ps/hashed_access.c, and judged in ps/row_eviction.c. Nobody else includes this. */
#ifndef RUB_HASHED_ROWS_H
#define RUB_HASHED_ROWS_H

#include "ps/table_state.h"

/* row: its bytes. */
static inline float *rub_row_weights(const rub_ptable_t *self, uint8_t *row)
{
    return (float *)(void *)(row + self->hashed.weights_at);
}

/* The last period, modulo 2^32, of which a push has named the row: of a table that evicts. */
static inline uint32_t rub_row_stamp(const rub_ptable_t *self, const uint8_t *row)
{
    uint32_t stamp;
    memcpy(&stamp, row + self->hashed.stamp_at, sizeof stamp);
    return stamp;
}

/* A push of the table's present clock names the row. Workers are some clocks apart: the greatest
 * stands. */
static inline void rub_row_set_stamp(const rub_ptable_t *self, uint8_t *row, bool is_new)
{
    const uint32_t clock = (uint32_t)self->clock;
    if (is_new || (int32_t)(clock - rub_row_stamp(self, row)) > 0) {
        memcpy(row + self->hashed.stamp_at, &clock, sizeof clock);
    }
}

/* A row for a key that has none, as first touch makes it. hash: rub_placement_hash of the key.
 * RUB_ELIMIT: no chunk is left; RUB_ENOMEM. */
int rub_row_create(rub_ptable_t *self, uint64_t key, uint64_t hash, uint32_t *row_p,
                   rub_error_t *err);

/* The key's row, found at that step, is no more; its place is used again. lsn: of the record. */
void rub_row_delete(rub_ptable_t *self, uint64_t hash, uint32_t at, uint32_t row, uint64_t lsn);

/* As rub_table_ops_t has them. */
void rub_hashed_pull(const rub_ptable_t *self, const rub_rows_t *rows, const uint32_t *positions,
                     float *values, uint8_t *exists);
void rub_hashed_sums(const rub_ptable_t *self, const rub_rows_t *rows, float *sums);
int rub_hashed_push(rub_ptable_t *self, const rub_push_view_t *push, uint64_t lsn,
                    rub_error_t *err);

#endif
