/* Rows of hashed tables on their way between the job and this worker: those of one batch's keys
 * that the gradient reads, those of the next that a prefetch fills, and the gradients that are
 * pushed. Of each of the model's tables there is one array, with the rows of all tables that its
 * columns have, one behind the other as the batch's keys stand.
 *
 * One thread. Uses the public client library alone. */
#ifndef RUB_ROW_EXCHANGE_H
#define RUB_ROW_EXCHANGE_H

#include "worker/data/sparse_batch.h"
#include "worker/model/sparse_model.h"
#include "worker/train/column_tables.h"
#include "worker/train/task.h"

typedef struct rub_row_exchange rub_row_exchange_t;

#define RUB_ROW_SETS 2u /* sets of rows, by number */

/* How a row's table is opened: own is of the model's table, schedule_clocks as the job has them
 * (rub_update_hyper). */
void rub_row_exchange_schema(const rub_sparse_table_t *table, const rub_row_table_t *own,
                             uint64_t schedule_clocks, rub_schema_t *schema);

/* Opens (or creates) the model's tables, hashed. Blocks as rub_table_open does. The model and the
 * columns must outlive the result, which is the caller's; NULL on failure. */
int rub_row_exchange_open(rub_session_t *session, const rub_sparse_model_t *model,
                          const rub_column_tables_t *columns, uint64_t schedule_clocks,
                          rub_row_exchange_t **self_p, rub_error_t *err);
/* Gives up what is under way and frees. The session must still live. NULL is fine. */
void rub_row_exchange_close(rub_row_exchange_t **self_p);

/* Asks for the rows of a batch's keys, to be used `ahead` periods from now; does not wait. A table
 * without the intercept is not asked for the last key. What was under way to this set before is
 * forgotten. RUB_ENOMEM, and the session's errors. */
int rub_row_exchange_ask(rub_row_exchange_t *self, unsigned set, const rub_sparse_batch_t *batch,
                         uint32_t ahead, rub_error_t *err);
/* Is something under way to the set that is good for the session's present clock? */
bool rub_row_exchange_asked(const rub_row_exchange_t *self, unsigned set);
/* Waits for what was asked. Blocks until the bound allows. On failure nothing is under way. */
int rub_row_exchange_await(rub_row_exchange_t *self, unsigned set, rub_error_t *err);
/* Gives up what is under way to the set, if anything is. */
void rub_row_exchange_forget(rub_row_exchange_t *self, unsigned set);

/* One array per table of the model, with a line per key; valid until the set is asked for again. */
const float *const *rub_row_exchange_rows(const rub_row_exchange_t *self, unsigned set);
/* Where the model writes its gradients, with room for as many keys as were ever asked for. */
float *const *rub_row_exchange_gradients(rub_row_exchange_t *self);
/* Pushes the gradients of the batch's keys. RUB_ENAN: one is not finite, and nothing of its table
 * was pushed. */
int rub_row_exchange_push(rub_row_exchange_t *self, const rub_sparse_batch_t *batch,
                          rub_error_t *err);

#endif
