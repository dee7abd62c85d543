/* A sparse batch: some examples, and the distinct keys that they have among them, which is what a
 * worker pulls and pushes. Entries name keys by their place in that list, so that models index
 * short arrays and need not know where weights come from. */
#ifndef RUB_SPARSE_BATCH_H
#define RUB_SPARSE_BATCH_H

#include "worker/data/order.h"
#include "worker/data/sparse_set.h"

/* The key of the feature that every example has, with value 1: the intercept. No data has it. */
#define RUB_SPARSE_BIAS (UINT64_C(1) << 32)

/* Read by anybody, written by rub_sparse_batch_fill alone. */
typedef struct rub_sparse_batch {
    size_t count;     /* examples in it now; 0 when new */
    uint32_t *starts; /* count + 1: entries of example i are starts[i] to starts[i + 1] */
    uint32_t *places; /* of each entry: the place of its key in keys */
    float *values;    /* of each entry; NULL: all are 1 */
    float *labels;    /* count, as the set's */
    /* n_keys. Those of column i with keys of its own (rub_sparse_options_t.own) are keys[parts[i]]
     * to keys[parts[i + 1]], the hashes alone; all others begin at parts[n_own]. Each part ascends,
     * all different; RUB_SPARSE_BIAS is the last of all. */
    uint64_t *keys;
    size_t n_keys; /* >= 1 once filled */
    size_t *parts; /* n_own + 2: the last is n_keys */
    uint32_t n_own;
    size_t parts_room;
    size_t capacity; /* examples */
    size_t entries_room;
    uint64_t *pairs, *scratch; /* entries_room each, for sorting */
    uint64_t *bits;            /* and for counting */
    uint32_t *before;
    float *values_room;
} rub_sparse_batch_t;

/* Room for `capacity` examples. The caller's; NULL when memory is short. */
rub_sparse_batch_t *rub_sparse_batch_new(size_t capacity);
void rub_sparse_batch_destroy(rub_sparse_batch_t **self_p);

/* Fills the batch with places [first, first + count) of the order; order NULL: with those examples
 * themselves. Never blocks; memory grows with the longest batch so far. RUB_EINVAL (and the batch
 * is empty): count is 0 or above the capacity, the range leaves the data set, or the order is of
 * another number of examples. RUB_ELIMIT: the examples have 2^32 entries or more. RUB_ENOMEM. */
int rub_sparse_batch_fill(rub_sparse_batch_t *self, const rub_sparse_set_t *set,
                          const rub_order_t *order, uint64_t first, size_t count, rub_error_t *err);
/* The same of these examples, each below set->n_examples, in this order; one may come twice. */
int rub_sparse_batch_take(rub_sparse_batch_t *self, const rub_sparse_set_t *set,
                          const uint32_t *examples, size_t count, rub_error_t *err);

#endif
