/* Rows of a trained table under the numbers that other data give their names: words and entities
 * are numbered as a text or a graph has them, and another one numbers them differently. */
#ifndef RUB_ROW_NAMES_H
#define RUB_ROW_NAMES_H

#include "common/num/weights.h"
#include "worker/data/vocabulary.h"

/* The name that the new data give number i; terminated, valid until the next call. */
typedef const char *rub_new_name_fn(void *context, uint32_t i);

/* Makes the keys of a hashed table the numbers [0, n_new) of the same names: row k was old word
 * number k, and goes to every number whose name is that word. Rows whose name nobody has now are
 * dropped. Keeps nothing but the rows. RUB_ENOMEM, and then the table is as it was. */
int rub_rows_rename(rub_weight_table_t *table, const rub_vocabulary_t *old, uint32_t n_new,
                    rub_new_name_fn *name, void *context, rub_error_t *err);

/* Numbers are the same as before: drops rows of numbers from n_new on. */
void rub_rows_limit(rub_weight_table_t *table, uint32_t n_new);

#endif
