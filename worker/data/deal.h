/* How bsp deals a data epoch without asking anybody: the epoch's order is cut into global batches
 * of equal size (the last may be shorter), and global batch i belongs to rank i mod W. Pure
 * functions; nothing here allocates or fails.
 *
 * Invariant: over all ranks every batch is dealt exactly once, and the counts of two ranks differ
 * by at most one (the higher ranks may have one fewer: in the last period they are idle). */
#ifndef RUB_DEAL_H
#define RUB_DEAL_H

#include <stdint.h>

/* Global batches in a data epoch; batch_examples > 0. */
static inline uint64_t rub_deal_batches(uint64_t n_examples, uint64_t batch_examples)
{
    return n_examples / batch_examples + (n_examples % batch_examples != 0);
}

/* The rank that owns global batch `batch` among n_workers > 0. */
static inline uint32_t rub_deal_owner(uint64_t batch, uint32_t n_workers)
{
    return (uint32_t)(batch % n_workers);
}

/* How many of n_batches belong to the rank. */
static inline uint64_t rub_deal_share(uint64_t n_batches, uint32_t rank, uint32_t n_workers)
{
    return n_batches / n_workers + (rank < n_batches % n_workers);
}

/* The global number of the rank's batch `index`, counted from 0. */
static inline uint64_t rub_deal_batch(uint64_t index, uint32_t rank, uint32_t n_workers)
{
    return index * n_workers + rank;
}

/* Examples [*first_p, *first_p + result) of the order make up that batch; 0 past the end. */
static inline uint64_t rub_deal_range(uint64_t batch, uint64_t n_examples, uint64_t batch_examples,
                                      uint64_t *first_p)
{
    if (batch >= rub_deal_batches(n_examples, batch_examples)) {
        *first_p = n_examples;
        return 0;
    }
    *first_p = batch * batch_examples;
    const uint64_t left = n_examples - *first_p;
    return left < batch_examples ? left : batch_examples;
}

#endif
