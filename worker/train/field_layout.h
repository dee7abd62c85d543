/* Which table the feature of each field is of, where columns have tables of their own: what a
 * network's inputs are, and where a batch's embeddings lie. Learnt from the first example,
 * in which own columns come in their order; every other one must be like it. One thread. */
#ifndef RUB_FIELD_LAYOUT_H
#define RUB_FIELD_LAYOUT_H

#include "worker/data/sparse_batch.h"
#include "worker/model/deep_score.h"
#include "worker/train/column_tables.h"

typedef struct rub_field_layout {
    const rub_column_tables_t *columns;
    uint32_t n_fields;
    bool is_known;
    uint32_t *table_of;       /* n_fields: number of an own column, or n_own */
    rub_field_lines_t *lines; /* n_fields, of the batch that was asked about last */
} rub_field_layout_t;

/* Keeps columns until closed. *n_inputs_p: numbers of all fields' embeddings together. RUB_ECONFIG:
 * there are fewer fields than columns with tables; RUB_ENOMEM. The caller's, on failure too. */
int rub_field_layout_open(const rub_column_tables_t *columns, uint32_t n_fields,
                          rub_field_layout_t *self, uint32_t *n_inputs_p, rub_error_t *err);
void rub_field_layout_close(rub_field_layout_t *self); /* zeros are fine */

/* Holds a batch, whose examples have n_fields features each, against the layout. RUB_EDATA: an own
 * column has no feature, two, or one at another place than in the examples before or in the model;
 * where: begins the sentence, first: the number of the batch's first example. */
int rub_field_layout_check(rub_field_layout_t *self, const rub_sparse_batch_t *batch,
                           uint64_t first, const char *where, rub_error_t *err);

/* Where the embeddings of a batch lie that was held against the layout. Borrowed until the next
 * call. NULL: side by side, all as wide. */
const rub_field_lines_t *rub_field_layout_lines(rub_field_layout_t *self,
                                                const rub_sparse_batch_t *batch);

#endif
