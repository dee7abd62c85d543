/* Which hashed tables the rows of a click model are in: one for each table of the model, or, where
 * the run file names columns, beside it one for each of these. Then a column's features share keys
 * with nobody, and its rows have an optimizer, an admission and an eviction of their own, and in
 * wide_deep a width. */
#ifndef RUB_COLUMN_TABLES_H
#define RUB_COLUMN_TABLES_H

#include "common/base/arena.h"
#include "common/conf/config.h"
#include "common/num/weights.h"
#include "worker/data/sparse_set.h"
#include "worker/model/sparse_model.h"
#include "worker/train/task.h"

#define RUB_COLUMN_TABLES_LIMIT 200u /* of a job, which takes some 230 tables of all kinds */

/* A table of the job. */
typedef struct rub_row_table {
    const char *name; /* "fm/factors", "fm/factors.city" */
    uint32_t width;
    const rub_update_t *update;
} rub_row_table_t;

/* Read by anybody. */
typedef struct rub_column_tables {
    uint32_t n_own;         /* columns with tables of their own */
    const char **own;       /* n_own names, in the order of the file, for rub_sparse_options_t */
    uint32_t *factors;      /* n_own + 1: numbers of an embedding; the last: of all others */
    rub_row_table_t *items; /* n_tables x (n_own + 1): of each of the model's tables in turn, those
                               of the columns and then that of all other features */
    size_t n_tables;        /* of the model */
    rub_arena_t arena;
} rub_column_tables_t;

/* As column_tables of the configuration asks, for the first of train's files (train->own is not
 * looked at); update: of columns without settings of their own, and of all other features. Keeps
 * config, and update until closed. Blocks on that file. RUB_ECONFIG: no such column, settings that
 * do not fit, more tables than a job takes; RUB_EDATA, RUB_ENOMEM. The caller's
 * (rub_column_tables_close), on failure too. */
int rub_column_tables_read(const rub_config_t *config, const rub_sparse_options_t *train,
                           const rub_update_t *update, rub_column_tables_t *self, rub_error_t *err);
/* As the tables of a trained model say; there is no update. Keeps weights until closed.
 * RUB_ECONFIG: they are not what the configuration asks for. */
int rub_column_tables_find(const rub_config_t *config, const rub_weights_t *weights,
                           rub_column_tables_t *self, rub_error_t *err);
void rub_column_tables_close(rub_column_tables_t *self); /* zeros are fine */

/* The table of number t of the model, of own column c, or, c = n_own, of all other features. */
static inline const rub_row_table_t *rub_column_table(const rub_column_tables_t *self, size_t t,
                                                      uint32_t c)
{
    return &self->items[t * (self->n_own + 1) + c];
}

/* The most numbers that an embedding of any column has. */
uint32_t rub_column_tables_widest(const rub_column_tables_t *self);

#endif
