/* A batch: the features and labels of some examples, side by side, as models take them. */
#ifndef RUB_BATCH_H
#define RUB_BATCH_H

#include "worker/data/dataset.h"
#include "worker/data/order.h"

/* Read by anybody, written by rub_batch_fill alone. */
typedef struct rub_batch {
    float *x;        /* count x width, row-major, 64-byte aligned */
    int32_t *labels; /* count */
    size_t count;    /* examples in it now; 0 when new */
    size_t capacity;
    size_t width;
} rub_batch_t;

/* Room for `capacity` examples of `width` features. The caller's; NULL when memory is short. */
rub_batch_t *rub_batch_new(size_t capacity, size_t width);
void rub_batch_destroy(rub_batch_t **self_p);

/* Fills the batch with places [first, first + count) of the order; order NULL: with those examples
 * themselves. No allocation, never blocks. RUB_EINVAL (and the batch is empty): count is 0 or above
 * the capacity, the range leaves the data set, the widths differ, or the order is of another number
 * of examples. */
int rub_batch_fill(rub_batch_t *self, const rub_dataset_t *dataset, const rub_order_t *order,
                   uint64_t first, size_t count, rub_error_t *err);

#endif
