/* The tables of a factorization of ratings, hashed by the numbers of users and items, and rows of
 * them by number wherever they are: with a job, or at rest.
 *
 * Beside each table of vectors stand one of biases, of width 1, and one of AdaGrad's two
 * accumulators: the worker steps, and pushes by how much all of them have changed. The mean of
 * explicit ratings is a dense table of one number that nobody ever pushes: so it is the same for
 * all workers, and goes wherever the weights go. */
#ifndef RUB_RATING_TABLES_H
#define RUB_RATING_TABLES_H

#include "worker/data/rating_batch.h"
#include "worker/model/rating_model.h"
#include "worker/train/delta_rows.h"
#include "worker/train/task.h"

typedef enum {
    RUB_RATING_USERS,
    RUB_RATING_USER_SUMS,
    RUB_RATING_ITEMS,
    RUB_RATING_ITEM_SUMS,
    RUB_RATING_ITEM_BIAS,
    RUB_RATING_USER_BIAS, /* the last one: some kinds have none */
    RUB_RATING_TABLES
} rub_rating_table_t;

#define RUB_RATING_MEAN_NAME "mf/mean"
#define RUB_RATING_ITEMS_NAME "mf/items"

/* How many hashed tables the kind has. */
size_t rub_rating_tables(const rub_rating_kind_t *kind, uint32_t width, size_t n_users,
                         size_t n_items, const rub_update_t *update,
                         rub_delta_table_t tables[RUB_RATING_TABLES]);
/* The table of the mean. */
void rub_rating_mean_schema(double mean, rub_schema_t *schema);
/* The batch's keys. */
void rub_rating_lists(const rub_rating_batch_t *batch, rub_key_list_t lists[RUB_RATING_TABLES]);

/* Where rows come from. Rows [first, first + n) of a table (never of sums) into values. */
typedef struct rub_rating_source {
    int (*read)(void *context, rub_rating_table_t table, uint64_t first, size_t n, float *values,
                rub_error_t *err);
    void *context;
    double mean;
} rub_rating_source_t;

#endif
