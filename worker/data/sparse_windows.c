/* Cutting an order of blocks into windows.
 *
 * Why: to shuffle examples one needs them in memory, and there are more than fit. Idea: shuffle
 * blocks of some megabytes over all files, read as many as memory holds, and shuffle the examples
 * of these. An example can so come anywhere in the epoch, beside any other; what stays is that
 * lines of one block are trained within one window. Invariants: a window's size does not depend on
 * the epoch nor on the number of workers, so that a place means the same example everywhere, and
 * pieces of a window's length need one window each. No order can make a window exceed the memory:
 * the bound takes the blocks with the most text to an example first.
 * Reference: Meng et al., "Convergence analysis of distributed stochastic gradient descent with
 * shuffling", Neurocomputing 2019, on what a partial shuffle costs. */
#include "worker/data/sparse_windows.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/rng.h"

#include <inttypes.h>
#include <stdlib.h>

/* "blocks" and "window" in ASCII: streams of their own, above any data epoch and any window. */
#define BLOCKS_STREAM (UINT64_C(0x626c6f636b73) << 16)
#define WINDOW_STREAM (UINT64_C(0x77696e646f77) << 16)

enum {
    EXAMPLE_BYTES = sizeof(uint64_t) + sizeof(uint32_t) + sizeof(float)
}; /* offset, place, label */

typedef struct density {
    uint64_t bytes, n_examples;
} density_t;

static int denser_first(const void *a, const void *b)
{
    const density_t *const x = a;
    const density_t *const y = b;
    const uint64_t left = x->bytes * y->n_examples; /* 32 bits each */
    const uint64_t right = y->bytes * x->n_examples;
    return left > right ? -1 : left < right;
}

/* Running sums of bytes and examples over the blocks, those with the longest lines first. NULL when
 * memory is short; the caller frees it. */
static density_t *sum_densities(const rub_sparse_index_t *index, uint64_t *longest_p)
{
    density_t *const sums = rub_calloc(index->n_blocks, sizeof(*sums));
    for (size_t i = 0; sums != NULL && i < index->n_blocks; i++) {
        const rub_sparse_block_t *const block = &index->blocks[i];
        sums[i] = (density_t){block->bytes, block->n_examples};
        *longest_p = block->bytes > *longest_p ? block->bytes : *longest_p;
    }
    if (sums != NULL) {
        qsort(sums, index->n_blocks, sizeof(*sums), denser_first);
        for (size_t i = 1; i < index->n_blocks; i++) {
            sums[i].bytes += sums[i - 1].bytes;
            sums[i].n_examples += sums[i - 1].n_examples;
        }
    }
    return sums;
}

/* No n examples that follow each other in any order of blocks have more text: the blocks that lie
 * wholly among them, and parts of one at each end. */
static uint64_t most_text(const density_t *sums, size_t n_blocks, uint64_t longest, uint64_t n)
{
    size_t low = 0;
    size_t high = n_blocks - 1;
    while (low < high) {
        const size_t middle = (low + high) / 2;
        if (sums[middle].n_examples >= n) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    const uint64_t text = sums[low].bytes + 2 * longest;
    const uint64_t all = sums[n_blocks - 1].bytes;
    return text < all ? text : all;
}

typedef struct sizes {
    const rub_sparse_reader_t *reader;
    const density_t *sums;
    size_t n_blocks;
    uint64_t longest;
} sizes_t;

static uint64_t entries_of(const sizes_t *sizes, uint64_t n)
{
    return sizes->reader->entries(most_text(sizes->sums, sizes->n_blocks, sizes->longest, n), n);
}

static uint64_t bytes_of(const sizes_t *sizes, uint64_t n)
{
    const uint64_t entry_bytes = sizeof(uint32_t) + (sizes->reader->values ? sizeof(float) : 0);
    return entries_of(sizes, n) * entry_bytes + n * EXAMPLE_BYTES;
}

static int choose_size(rub_sparse_windows_t *self, const sizes_t *sizes, uint64_t memory_bytes,
                       uint64_t batch, rub_error_t *err)
{
    const uint64_t all = self->index->n_examples;
    const uint64_t most = all < RUB_SPARSE_EXAMPLES_LIMIT ? all : RUB_SPARSE_EXAMPLES_LIMIT;
    uint64_t low = 0; /* batches that fit */
    uint64_t high = (most + batch - 1) / batch;
    const uint64_t least = bytes_of(sizes, batch < all ? batch : all);
    if (least > memory_bytes) {
        return rub_fail(err, RUB_ECONFIG,
                        "data_memory: %" PRIu64 " bytes, a batch of %" PRIu64
                        " examples may need %" PRIu64,
                        memory_bytes, batch, least);
    }
    while (low < high) {
        const uint64_t middle = low + (high - low + 1) / 2;
        const uint64_t n = middle * batch < all ? middle * batch : all;
        if (bytes_of(sizes, n) <= memory_bytes) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    const uint64_t n_batches = (all + batch - 1) / batch;
    self->n_windows = (n_batches + low - 1) / low;
    self->examples = (n_batches + self->n_windows - 1) / self->n_windows * batch;
    self->n_windows = (all + self->examples - 1) / self->examples;
    self->entries = entries_of(sizes, self->examples < all ? self->examples : all);
    return 0;
}

static bool begins_unit(const rub_sparse_index_t *index, size_t block)
{
    const uint32_t file = index->blocks[block].file;
    return block == 0 || !index->stamps[file].packed || index->blocks[block - 1].file != file;
}

static int make_arrays(rub_sparse_windows_t *self, rub_error_t *err)
{
    const size_t n = self->index->n_blocks;
    self->blocks = rub_calloc(n, sizeof *self->blocks);
    self->starts = rub_calloc(n + 1, sizeof *self->starts);
    self->units = rub_calloc(n, sizeof *self->units);
    return self->blocks && self->starts && self->units
               ? 0
               : rub_fail(err, RUB_ENOMEM, "data: no memory for the order of %zu blocks", n);
}

int rub_sparse_windows_new(const rub_sparse_index_t *index, const rub_sparse_reader_t *reader,
                           uint64_t memory_bytes, size_t batch_examples,
                           rub_sparse_windows_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    RUB_ASSERT(index->n_blocks > 0);
    RUB_ASSERT(index->n_blocks <= UINT32_MAX);
    sizes_t sizes = {.reader = reader, .n_blocks = index->n_blocks};
    density_t *const sums = sum_densities(index, &sizes.longest);
    rub_sparse_windows_t *self = rub_calloc(1, sizeof *self);
    int rc = self && sums ? 0 : rub_fail(err, RUB_ENOMEM, "data: no memory for an order of blocks");
    if (rc == 0) {
        sizes.sums = sums;
        self->index = index;
        rc = choose_size(self, &sizes, memory_bytes, batch_examples, err);
    }
    rc = rc ? rc : make_arrays(self, err);
    rub_free(sums);
    if (rc != 0) {
        rub_sparse_windows_destroy(&self);
        return rc;
    }
    rub_sparse_windows_reset(self);
    *self_p = self;
    return 0;
}

void rub_sparse_windows_destroy(rub_sparse_windows_t **self_p)
{
    rub_sparse_windows_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_free(self->blocks);
    rub_free(self->starts);
    rub_free(self->units);
    rub_free(self);
    *self_p = NULL;
}

/* Blocks and their places as the units stand. */
static void lay_out(rub_sparse_windows_t *self)
{
    const rub_sparse_index_t *const index = self->index;
    size_t n = 0;
    for (size_t unit = 0; unit < self->n_units; unit++) {
        size_t block = self->units[unit];
        do {
            self->starts[n + 1] = self->starts[n] + index->blocks[block].n_examples;
            self->blocks[n++] = (uint32_t)block++;
        } while (block < index->n_blocks && !begins_unit(index, block));
    }
    RUB_ASSERT(n == index->n_blocks);
}

static void list_units(rub_sparse_windows_t *self)
{
    self->n_units = 0;
    for (size_t block = 0; block < self->index->n_blocks; block++) {
        if (begins_unit(self->index, block)) {
            self->units[self->n_units++] = (uint32_t)block;
        }
    }
}

void rub_sparse_windows_reset(rub_sparse_windows_t *self)
{
    self->how = RUB_IN_ORDER;
    list_units(self);
    lay_out(self);
}

void rub_sparse_windows_arrange(rub_sparse_windows_t *self, rub_sampling_t how, uint64_t seed,
                                uint64_t data_epoch)
{
    if (how == RUB_IN_ORDER) {
        rub_sparse_windows_reset(self);
        return;
    }
    if (self->how == how && self->seed == seed && self->data_epoch == data_epoch) {
        return;
    }
    list_units(self);
    if (self->n_windows > 1) {
        rub_rng_t rng;
        rub_rng_init(&rng, seed, BLOCKS_STREAM + data_epoch);
        rub_rng_shuffle_u32(&rng, self->units, self->n_units);
    }
    lay_out(self);
    self->how = how;
    self->seed = seed;
    self->data_epoch = data_epoch;
}

size_t rub_sparse_windows_find(const rub_sparse_windows_t *self, uint64_t place)
{
    size_t low = 0;
    size_t high = self->index->n_blocks - 1;
    RUB_ASSERT(place < self->starts[high + 1]);
    while (low < high) {
        const size_t middle = (low + high + 1) / 2;
        if (self->starts[middle] <= place) {
            low = middle;
        } else {
            high = middle - 1;
        }
    }
    return low;
}

void rub_sparse_windows_order(const rub_sparse_windows_t *self, uint64_t window, uint32_t *examples,
                              size_t n)
{
    for (size_t i = 0; i < n; i++) {
        examples[i] = (uint32_t)i;
    }
    rub_rng_t rng;
    rub_rng_init(&rng, rub_mix64(self->seed ^ rub_mix64(self->data_epoch + 1)),
                 WINDOW_STREAM + window);
    if (self->how == RUB_SHUFFLED) {
        rub_rng_shuffle_u32(&rng, examples, n);
    }
    for (size_t i = 0; self->how == RUB_REPLACED && i < n; i++) {
        examples[i] = (uint32_t)rub_rng_below(&rng, n);
    }
}
