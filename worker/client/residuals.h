/* Error feedback's memory: what a session has not sent yet of the rows that it pushed, one row of
 * float32 under each key. Not thread-safe; owned by the client core. */
#ifndef RUB_RESIDUALS_H
#define RUB_RESIDUALS_H

#include <stddef.h>
#include <stdint.h>

typedef struct rub_residuals rub_residuals_t;

/* row: values in each. limit_bytes: of all memory held. NULL when memory is short. */
rub_residuals_t *rub_residuals_new(uint32_t row, size_t limit_bytes);
void rub_residuals_destroy(rub_residuals_t **self_p); /* NULL is fine */

/* The row under that key, borrowed until the next reserve; NULL: nothing is kept. */
float *rub_residuals_find(const rub_residuals_t *self, uint64_t key);
/* Room for so many further keys. RUB_ELIMIT: it would be above the limit; RUB_ENOMEM. Nothing has
 * changed then. */
int rub_residuals_reserve(rub_residuals_t *self, size_t more);
/* The same row as find, or a new one, which is not initialised; room was reserved. */
float *rub_residuals_put(rub_residuals_t *self, uint64_t key);

/* Row i of those there are, in the order in which they came, and its key; borrowed as above. */
float *rub_residuals_at(const rub_residuals_t *self, size_t i, uint64_t *key_p);

size_t rub_residuals_rows(const rub_residuals_t *self);
size_t rub_residuals_bytes(const rub_residuals_t *self); /* held, with room that was reserved */

#endif
