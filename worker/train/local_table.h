/* A whole table as an array of this process, for local loops. */
#ifndef RUB_LOCAL_TABLE_H
#define RUB_LOCAL_TABLE_H

#include "worker/train/delta_rows.h"

/* The rows of all n_keys keys as a job of this seed has them before any training, n_keys x width,
 * 64-byte aligned: the caller's (rub_free). NULL: no memory, said in err. */
float *rub_local_table_new(const rub_delta_table_t *table, uint64_t seed, rub_error_t *err);
/* The same for the n keys of a list alone: n x width. */
float *rub_local_rows_new(const rub_delta_table_t *table, const uint64_t *keys, size_t n,
                          uint64_t seed, rub_error_t *err);

#endif
