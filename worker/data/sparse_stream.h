/* A sparse labelled data set that is larger than memory: read window by window, used in batches and
 * let go. The same files, options, seed and data epoch give the same batches, on every worker and
 * whoever reads them. Blind to the client and to models; one thread. */
#ifndef RUB_SPARSE_STREAM_H
#define RUB_SPARSE_STREAM_H

#include "worker/data/sparse_batch.h"
#include "worker/data/sparse_set.h"

typedef struct rub_sparse_stream rub_sparse_stream_t;

/* Counts the examples of all files (reads them once). Keeps options and its strings.
 * memory_bytes: what the examples of a window may take, beside some megabytes for lines.
 * batch_examples: windows are a whole number of such batches. Errors of rub_sparse_set_open about
 * whole files and options; RUB_ECONFIG: one batch does not fit. Blocks. *self_p is the caller's,
 * NULL on failure. */
int rub_sparse_stream_open(const rub_sparse_options_t *options, uint64_t memory_bytes,
                           size_t batch_examples, rub_sparse_stream_t **self_p, rub_error_t *err);
void rub_sparse_stream_close(rub_sparse_stream_t **self_p); /* NULL is fine */

uint64_t rub_sparse_stream_count(const rub_sparse_stream_t *self);  /* examples */
uint64_t rub_sparse_stream_window(const rub_sparse_stream_t *self); /* examples of a window */

/* Puts the examples into the order of that data epoch (worker/data/sparse_windows.h). They stand as
 * in the files (RUB_IN_ORDER) at first. */
void rub_sparse_stream_arrange(rub_sparse_stream_t *self, rub_sampling_t how, uint64_t seed,
                               uint64_t data_epoch);

/* Fills the batch with places [first, first + count) of the order; reads their window when it is
 * not the one that is held (two when the range lies across a border). RUB_EDATA names file, line
 * and column; or a file that has changed since it was counted, which is looked at before each
 * window. RUB_EINVAL, RUB_ELIMIT, RUB_ENOMEM as rub_sparse_batch_fill. Blocks on the files. */
int rub_sparse_stream_fill(rub_sparse_stream_t *self, rub_sparse_batch_t *batch, uint64_t first,
                           size_t count, rub_error_t *err);
/* How many of the places [first, first + *count_p) can be filled at once without another window and
 * without more than n_entries entries; at least 1. Reads the window of the first. Errors as fill.
 */
int rub_sparse_stream_at_once(rub_sparse_stream_t *self, uint64_t first, uint64_t n_entries,
                              uint64_t *count_p, rub_error_t *err);
/* Lets go of the window: its memory is free until the next fill. */
void rub_sparse_stream_release(rub_sparse_stream_t *self);

#endif
