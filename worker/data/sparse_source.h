/* Sparse examples, all in memory or a window of them at a time: one face for both, so that who
 * trains on them need not know. One thread. */
#ifndef RUB_SPARSE_SOURCE_H
#define RUB_SPARSE_SOURCE_H

#include "worker/data/sparse_batch.h"
#include "worker/data/sparse_stream.h"

/* Read by anybody; zeroed: closed. */
typedef struct rub_sparse_source {
    uint64_t n_examples;         /* >= 1 */
    uint64_t window;             /* examples that are read together; 0: all are in memory */
    rub_sparse_set_t *set;       /* in memory, */
    rub_order_t *order;          /* once shuffled; */
    rub_sparse_stream_t *stream; /* otherwise */
} rub_sparse_source_t;

/* memory_bytes 0: reads all into memory (worker/data/sparse_set.h); else streams
 * (worker/data/sparse_stream.h, which says what is kept and which errors there are). */
int rub_sparse_source_open(rub_sparse_source_t *self, const rub_sparse_options_t *options,
                           uint64_t memory_bytes, size_t batch_examples, rub_error_t *err);
void rub_sparse_source_close(rub_sparse_source_t *self);

/* The order of that data epoch; before the first call it is that of the files. RUB_ENOMEM. */
int rub_sparse_source_arrange(rub_sparse_source_t *self, rub_sampling_t how, uint64_t seed,
                              uint64_t data_epoch, rub_error_t *err);
/* Fills the batch with places [first, first + count) of the order. */
int rub_sparse_source_fill(rub_sparse_source_t *self, rub_sparse_batch_t *batch, uint64_t first,
                           size_t count, rub_error_t *err);
/* For who goes through all of it in any slices, in the order of the files: makes *count_p smaller
 * where a slice would have more than n_entries entries, or need two windows. */
int rub_sparse_source_at_once(rub_sparse_source_t *self, uint64_t first, uint64_t n_entries,
                              uint64_t *count_p, rub_error_t *err);
/* Gives back what can be read again. */
void rub_sparse_source_release(rub_sparse_source_t *self);

#endif
