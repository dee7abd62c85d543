/* Drawing numbers with given weights in constant time: the alias method (Walker 1977; Vose 1991).
 */
#ifndef RUB_ALIAS_TABLE_H
#define RUB_ALIAS_TABLE_H

#include "include/rubato.h"

typedef struct rub_alias_table rub_alias_table_t;

/* weights: n finite numbers >= 0, at least one above 0; 1 <= n < 2^32. Equal weights give an equal
 * table on every host. The caller's; NULL when memory is short. */
rub_alias_table_t *rub_alias_table_new(const double *weights, size_t n);
void rub_alias_table_destroy(rub_alias_table_t **self_p); /* NULL is fine */

/* Number i with probability weights[i] / sum, within 2^-32, where random is uniform in 64 bits. */
uint32_t rub_alias_table_draw(const rub_alias_table_t *self, uint64_t random);

#endif
