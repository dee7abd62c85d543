/* The order in which a data epoch visits its examples: a pure function of (seed, data epoch, n), so
 * that every worker computes the same order by itself and a piece [first, first + count) means the
 * same examples everywhere, also after a restart. */
#ifndef RUB_ORDER_H
#define RUB_ORDER_H

#include "include/rubato.h"

typedef struct rub_order rub_order_t;

/* How a data epoch visits examples: each once, in an order by the seed; each once, as they stand;
 * or n draws, each of any example (with replacement). */
typedef enum { RUB_SHUFFLED, RUB_IN_ORDER, RUB_REPLACED } rub_sampling_t;

/* The identity over n examples, 1 <= n <= RUB_DATASET_EXAMPLES_LIMIT. NULL when memory is short.
 * Owner: the caller; one thread at a time. */
rub_order_t *rub_order_new(size_t n_examples);
void rub_order_destroy(rub_order_t **self_p);

/* Becomes the order of that data epoch: Fisher-Yates over the identity with the stream (seed, data
 * epoch). About 6 ns per example; does nothing when it already is that order. */
void rub_order_shuffle(rub_order_t *self, uint64_t seed, uint64_t data_epoch);
/* Becomes the order of that data epoch as `how` says; RUB_SHUFFLED is rub_order_shuffle. */
void rub_order_arrange(rub_order_t *self, rub_sampling_t how, uint64_t seed, uint64_t data_epoch);
/* Becomes the identity again: for evaluation, and for data that must stay in its own order. */
void rub_order_reset(rub_order_t *self);

size_t rub_order_count(const rub_order_t *self);
/* The whole order: n_examples numbers of examples. Borrowed until the next shuffle, reset or
 * destroy. */
const uint32_t *rub_order_examples(const rub_order_t *self);

#endif
