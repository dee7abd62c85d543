/* Choosing between a set in memory and a stream. Both deal examples by place in a data epoch's
 * order; the orders differ (one shuffles examples, the other blocks and then the examples of a
 * window), so a run that streams does not repeat one that does not. */
#include "worker/data/sparse_source.h"

#include "common/base/check.h"
#include "common/base/error.h"

int rub_sparse_source_open(rub_sparse_source_t *self, const rub_sparse_options_t *options,
                           uint64_t memory_bytes, size_t batch_examples, rub_error_t *err)
{
    *self = (rub_sparse_source_t){0};
    if (memory_bytes == 0) {
        const int rc = rub_sparse_set_open(options, &self->set, err);
        self->n_examples = rc == 0 ? self->set->n_examples : 0;
        return rc;
    }
    const int rc =
        rub_sparse_stream_open(options, memory_bytes, batch_examples, &self->stream, err);
    if (rc == 0) {
        self->n_examples = rub_sparse_stream_count(self->stream);
        self->window = rub_sparse_stream_window(self->stream);
    }
    return rc;
}

void rub_sparse_source_close(rub_sparse_source_t *self)
{
    rub_sparse_set_close(&self->set);
    rub_order_destroy(&self->order);
    rub_sparse_stream_close(&self->stream);
    self->n_examples = 0;
}

int rub_sparse_source_arrange(rub_sparse_source_t *self, rub_sampling_t how, uint64_t seed,
                              uint64_t data_epoch, rub_error_t *err)
{
    if (self->stream != NULL) {
        rub_sparse_stream_arrange(self->stream, how, seed, data_epoch);
        return 0;
    }
    self->order = self->order != NULL ? self->order : rub_order_new(self->set->n_examples);
    if (self->order == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data: no memory for an order of %zu examples",
                        self->set->n_examples);
    }
    rub_order_arrange(self->order, how, seed, data_epoch);
    return 0;
}

int rub_sparse_source_fill(rub_sparse_source_t *self, rub_sparse_batch_t *batch, uint64_t first,
                           size_t count, rub_error_t *err)
{
    return self->stream != NULL
               ? rub_sparse_stream_fill(self->stream, batch, first, count, err)
               : rub_sparse_batch_fill(batch, self->set, self->order, first, count, err);
}

int rub_sparse_source_at_once(rub_sparse_source_t *self, uint64_t first, uint64_t n_entries,
                              uint64_t *count_p, rub_error_t *err)
{
    if (self->stream != NULL) {
        return rub_sparse_stream_at_once(self->stream, first, n_entries, count_p, err);
    }
    RUB_ASSERT(self->order == NULL);
    const uint64_t *const offsets = self->set->offsets;
    while (*count_p > 1 && offsets[first + *count_p] - offsets[first] > n_entries) {
        *count_p /= 2;
    }
    return 0;
}

void rub_sparse_source_release(rub_sparse_source_t *self)
{
    if (self->stream != NULL) {
        rub_sparse_stream_release(self->stream);
    }
}
