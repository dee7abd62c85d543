/* The order in which a data epoch visits examples that do not fit into memory: which blocks of an
 * index make up which window, and in what order a window's examples come. Pure; one thread. */
#ifndef RUB_SPARSE_WINDOWS_H
#define RUB_SPARSE_WINDOWS_H

#include "worker/data/order.h"
#include "worker/data/sparse_index.h"

/* Place p of a data epoch lies in window p / examples. Places name the examples of the blocks in
 * the epoch's order, one behind the other; within a window they are shuffled. All of it is a
 * function of (seed, data epoch, index, examples), the same on every worker. */
typedef struct rub_sparse_windows {
    const rub_sparse_index_t *index; /* kept */
    uint64_t examples;               /* of a window; the last one may have fewer */
    uint64_t n_windows;
    uint64_t entries; /* no window has more */
    /* of the present data epoch */
    uint32_t *blocks; /* of the index, in order */
    uint64_t *starts; /* n_blocks + 1: the place at which each begins */
    uint32_t *units;  /* what is shuffled as one: the first block of each */
    size_t n_units;
    rub_sampling_t how; /* examples within windows */
    uint64_t seed, data_epoch;
} rub_sparse_windows_t;

/* Windows as large as memory_bytes allows whatever the order, a whole number of batches of
 * batch_examples each, and of nearly equal sizes. In file order at first. RUB_ECONFIG: not even one
 * batch fits. RUB_ENOMEM. The caller's. */
int rub_sparse_windows_new(const rub_sparse_index_t *index, const rub_sparse_reader_t *reader,
                           uint64_t memory_bytes, size_t batch_examples,
                           rub_sparse_windows_t **self_p, rub_error_t *err);
void rub_sparse_windows_destroy(rub_sparse_windows_t **self_p); /* NULL is fine */

/* Becomes the order of that data epoch: the blocks of plain files are shuffled, each compressed
 * file's stay together and in order; with one window the blocks stay as they are. RUB_REPLACED: and
 * what is drawn is drawn from its window. RUB_IN_ORDER is a reset. */
void rub_sparse_windows_arrange(rub_sparse_windows_t *self, rub_sampling_t how, uint64_t seed,
                                uint64_t data_epoch);
/* File order again, and nothing shuffled within windows. */
void rub_sparse_windows_reset(rub_sparse_windows_t *self);

/* The block of the order in which this place lies. */
size_t rub_sparse_windows_find(const rub_sparse_windows_t *self, uint64_t place);
/* Writes how the n examples of the window come: numbers below n. */
void rub_sparse_windows_order(const rub_sparse_windows_t *self, uint64_t window, uint32_t *examples,
                              size_t n);

#endif
