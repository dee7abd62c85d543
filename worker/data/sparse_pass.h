/* One pass over sparse examples, some at a time and in the order of the files: for who needs each
 * once, in bounded memory, also from standard input. One thread; blocks on the files. */
#ifndef RUB_SPARSE_PASS_H
#define RUB_SPARSE_PASS_H

#include "worker/data/sparse_batch.h"

typedef struct rub_sparse_pass rub_sparse_pass_t;

/* Keeps options and its strings; its path may be "-". Errors of rub_sparse_set_open about options
 * and files. *self_p is the caller's, NULL on failure. */
int rub_sparse_pass_open(const rub_sparse_options_t *options, rub_sparse_pass_t **self_p,
                         rub_error_t *err);
void rub_sparse_pass_close(rub_sparse_pass_t **self_p); /* NULL is fine */

/* Makes the next examples, as many as the batch has room for, the batch; its count is 0 when there
 * are no more. RUB_EDATA names file, line and column. RUB_ENOMEM. */
int rub_sparse_pass_next(rub_sparse_pass_t *self, rub_sparse_batch_t *batch, rub_error_t *err);

#endif
