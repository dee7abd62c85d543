/* Trained weights at rest: a model's tables, whole, in memory. What export writes, what eval and
 * predict compute with, and what a warm start begins from. Slots and steps of the optimizer are not
 * among them.
 *
 * Any number of threads may read one that is complete. */
#ifndef RUB_WEIGHTS_H
#define RUB_WEIGHTS_H

#include "common/num/initializer.h"

#include <stddef.h>

#define RUB_WEIGHTS_NAME_LIMIT 63u /* bytes of a table's name */

typedef struct rub_weight_table {
    char name[RUB_WEIGHTS_NAME_LIMIT + 1];
    bool dense;
    uint32_t width;         /* float32 of a row; of a dense table 1 */
    uint64_t n_rows;        /* that are stored; of a dense table its elements, all of them there */
    uint64_t *keys;         /* n_rows, ascending, all different; NULL of a dense table */
    float *values;          /* n_rows x width */
    rub_initializer_t init; /* what rows are that nobody has pushed */
} rub_weight_table_t;

typedef struct rub_weights {
    rub_weight_table_t *tables;
    size_t n_tables, capacity;
} rub_weights_t;

void rub_weights_init(rub_weights_t *self); /* no tables */
void rub_weights_fini(rub_weights_t *self);

/* Appends a table without rows; *table_p is valid until the next one is added. RUB_ECORRUPT: there
 * is one of that name, or the name is empty or too long; RUB_ENOMEM. */
int rub_weights_add(rub_weights_t *self, const char *name, rub_weight_table_t **table_p,
                    rub_error_t *err);
/* Forgets a table, the index-th; those behind it move up. */
void rub_weights_drop(rub_weights_t *self, size_t index);
/* NULL: no table of that name. */
const rub_weight_table_t *rub_weights_find(const rub_weights_t *self, const char *name);
/* The table, which must be dense with so many elements, or hashed with rows of that width (the
 * other is 0). RUB_ECONFIG names what it is instead, or which tables there are. */
int rub_weights_expect(const rub_weights_t *self, const char *name, uint64_t elements,
                       uint32_t width, const rub_weight_table_t **table_p, rub_error_t *err);

/* Puts the rows of a hashed table, which came in any order, into the order of their keys.
 * RUB_ECORRUPT: a key twice; RUB_ENOMEM. Takes as much memory again for a moment. */
int rub_weight_table_sort(rub_weight_table_t *self, rub_error_t *err);

/* Copies the rows of n keys, ascending, into out (n x width): those that are not there are what a
 * first touch makes them, as a pull would say. Hashed tables only. */
void rub_weight_table_rows(const rub_weight_table_t *self, const uint64_t *keys, size_t n,
                           float *out);

#endif
