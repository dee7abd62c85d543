/* The optimizers are those of the shards, the very same loops, over a whole table at a time; so one
 * step of one worker comes to what a shard's step would, up to the rounding of a difference that is
 * added again.
 *
 * Invariant: what is pushed is the sum of the steps of this period, and nothing of it is kept: the
 * next one begins from what was pulled. */
#include "worker/train/local_steps.h"

#include "common/base/alloc.h"
#include "common/num/schedule.h"

#include <string.h>

struct rub_local_steps {
    const rub_optimizer_t *optimizer;
    rub_hyper_t hyper, timed;
    size_t n_tables;
    size_t *sizes;
    float **weights, **slots;
    uint64_t step;
};

static bool make_tables(rub_local_steps_t *self, const size_t *sizes)
{
    self->sizes = rub_calloc(self->n_tables, sizeof(*self->sizes));
    self->weights = rub_calloc(self->n_tables, sizeof(*self->weights));
    self->slots = rub_calloc(self->n_tables, sizeof(*self->slots));
    bool whole = self->sizes && self->weights && self->slots;
    for (size_t t = 0; whole && t < self->n_tables; t++) {
        const size_t slots = rub_optimizer_floats(self->optimizer, sizes[t]) - sizes[t];
        self->sizes[t] = sizes[t];
        self->weights[t] = rub_alloc_aligned(64, sizes[t] * sizeof(float));
        self->slots[t] = rub_calloc(slots + 1, sizeof(float));
        whole = self->weights[t] && self->slots[t];
    }
    return whole;
}

rub_local_steps_t *rub_local_steps_new(const rub_optimizer_t *optimizer, const rub_hyper_t *hyper,
                                       const size_t *sizes, size_t n_tables)
{
    rub_local_steps_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return NULL;
    }
    self->optimizer = optimizer;
    self->hyper = self->timed = *hyper;
    self->n_tables = n_tables;
    if (!make_tables(self, sizes)) {
        rub_local_steps_destroy(&self);
    }
    return self;
}

void rub_local_steps_destroy(rub_local_steps_t **self_p)
{
    rub_local_steps_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    for (size_t t = 0; t < self->n_tables; t++) {
        rub_free(self->weights ? self->weights[t] : NULL);
        rub_free(self->slots ? self->slots[t] : NULL);
    }
    rub_free(self->weights);
    rub_free(self->slots);
    rub_free(self->sizes);
    rub_free(self);
}

void rub_local_steps_begin(rub_local_steps_t *self, const float *const *pulled, uint64_t clock)
{
    self->timed.lr = rub_schedule_rate(&self->hyper, clock);
    for (size_t t = 0; t < self->n_tables; t++) {
        memcpy(self->weights[t], pulled[t], self->sizes[t] * sizeof(float));
    }
}

const float *const *rub_local_steps_weights(const rub_local_steps_t *self)
{
    return (const float *const *)self->weights;
}

void rub_local_steps_take(rub_local_steps_t *self, float *const *gradients)
{
    self->step++;
    for (size_t t = 0; t < self->n_tables; t++) {
        rub_optimizer_apply(self->optimizer, self->weights[t], self->slots[t], self->sizes[t],
                            self->step, &self->timed, gradients[t]);
    }
}

void rub_local_steps_end(const rub_local_steps_t *self, const float *const *pulled, float share,
                         float *const *changes)
{
    for (size_t t = 0; t < self->n_tables; t++) {
        const float *w = self->weights[t], *from = pulled[t];
        float *change = changes[t];
        for (size_t i = 0; i < self->sizes[t]; i++) {
            change[i] = (w[i] - from[i]) * share;
        }
    }
}
