/* The order of examples in a data epoch.
 *
 * Why: pieces of data are dealt by number (the scheduler never sees an example), so all workers
 * must agree on which examples a number means without asking anybody. Invariant: the order depends
 * on (seed, data epoch, n) and on nothing else; in particular not on the epochs shuffled before,
 * which is why every shuffle starts from the identity. Reference: Durstenfeld, "Algorithm 235:
 * random permutation", CACM 1964; the generator is Philox (common/base/rng.h). */
#include "worker/data/order.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/rng.h"
#include "worker/data/dataset.h"

/* Keeps this stream of a seed apart from all others: "order" in ASCII, above any data epoch. */
#define ORDER_STREAM (UINT64_C(0x6f72646572) << 24)
#define DRAWS_STREAM (UINT64_C(0x6472617773) << 24) /* "draws" */

struct rub_order {
    uint32_t *examples;
    size_t n_examples;
    rub_sampling_t how; /* unless RUB_IN_ORDER, seed and data_epoch say the rest */
    uint64_t seed;
    uint64_t data_epoch;
};

rub_order_t *rub_order_new(size_t n_examples)
{
    RUB_ASSERT(n_examples > 0);
    RUB_ASSERT(n_examples <= RUB_DATASET_EXAMPLES_LIMIT);
    rub_order_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->n_examples = n_examples;
    self->examples = rub_calloc(n_examples, sizeof *self->examples);
    if (self->examples == NULL) {
        rub_order_destroy(&self);
        return NULL;
    }
    rub_order_reset(self);
    return self;
}

void rub_order_destroy(rub_order_t **self_p)
{
    if (*self_p == NULL) {
        return;
    }
    rub_free((*self_p)->examples);
    rub_free(*self_p);
    *self_p = NULL;
}

void rub_order_reset(rub_order_t *self)
{
    for (size_t i = 0; i < self->n_examples; i++) {
        self->examples[i] = (uint32_t)i;
    }
    self->how = RUB_IN_ORDER;
}

void rub_order_shuffle(rub_order_t *self, uint64_t seed, uint64_t data_epoch)
{
    if (self->how == RUB_SHUFFLED && self->seed == seed && self->data_epoch == data_epoch) {
        return;
    }
    rub_rng_t rng;
    rub_rng_init(&rng, seed, ORDER_STREAM + data_epoch);
    rub_order_reset(self);
    rub_rng_shuffle_u32(&rng, self->examples, self->n_examples);
    self->how = RUB_SHUFFLED;
    self->seed = seed;
    self->data_epoch = data_epoch;
}

static void draw(rub_order_t *self, uint64_t seed, uint64_t data_epoch)
{
    rub_rng_t rng;
    rub_rng_init(&rng, seed, DRAWS_STREAM + data_epoch);
    for (size_t i = 0; i < self->n_examples; i++) {
        self->examples[i] = (uint32_t)rub_rng_below(&rng, self->n_examples);
    }
    self->how = RUB_REPLACED;
}

void rub_order_arrange(rub_order_t *self, rub_sampling_t how, uint64_t seed, uint64_t data_epoch)
{
    switch (how) {
    case RUB_SHUFFLED:
        rub_order_shuffle(self, seed, data_epoch);
        return;
    case RUB_IN_ORDER:
        rub_order_reset(self);
        return;
    case RUB_REPLACED:
        draw(self, seed, data_epoch);
        return;
    }
}

size_t rub_order_count(const rub_order_t *self)
{
    return self->n_examples;
}

const uint32_t *rub_order_examples(const rub_order_t *self)
{
    return self->examples;
}
