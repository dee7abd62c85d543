/* Cutting batches of triples.
 *
 * Why negatives are shared within a chunk: all its scores against them are one matrix product, and
 * a chunk's negatives cost a few rows instead of some for each triple. Why sides take turns: a
 * triple and its chunk ask either which tail belongs to head and relation or which head belongs to
 * relation and tail, and over the epochs both. Invariant: rows are places in entities and
 * relation_keys, and the maps are clean between calls. */
#include "worker/data/triple_batch.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/base/rng.h"

/* Keeps this stream of a seed apart from all others: "graph" in ASCII, above any data epoch. */
#define NEGATIVES_STREAM (UINT64_C(0x6772617068) << 24)

rub_triple_batch_t *rub_triple_batch_new(const rub_negative_plan_t *plan, size_t capacity,
                                         size_t n_relations)
{
    rub_triple_batch_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    RUB_ASSERT(plan->chunk > 0);
    const size_t chunks = (capacity + plan->chunk - 1) / plan->chunk;
    const size_t negatives = chunks * (plan->uniform + plan->from_chunk);
    const size_t most = 2 * capacity + chunks * plan->uniform;
    self->plan = *plan;
    self->capacity = capacity;
    self->heads = rub_calloc(capacity, sizeof *self->heads);
    self->relations = rub_calloc(capacity, sizeof *self->relations);
    self->tails = rub_calloc(capacity, sizeof *self->tails);
    self->corrupts_heads = rub_calloc(chunks, sizeof *self->corrupts_heads);
    self->negatives = rub_calloc(negatives + 1, sizeof *self->negatives);
    self->entities =
        rub_calloc(most < plan->n_entities ? most : plan->n_entities, sizeof *self->entities);
    self->relation_keys =
        rub_calloc(capacity < n_relations ? capacity : n_relations, sizeof *self->relation_keys);
    if (!self->heads || !self->relations || !self->tails || !self->corrupts_heads ||
        !self->negatives || !self->entities || !self->relation_keys) {
        rub_triple_batch_destroy(&self);
    }
    return self;
}

void rub_triple_batch_destroy(rub_triple_batch_t **self_p)
{
    rub_triple_batch_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_free(self->heads);
    rub_free(self->relations);
    rub_free(self->tails);
    rub_free(self->corrupts_heads);
    rub_free(self->negatives);
    rub_free(self->entities);
    rub_free(self->relation_keys);
    rub_free(self);
    *self_p = NULL;
}

static uint32_t row_of(uint32_t number, uint32_t *rows, uint64_t *keys, size_t *n_p)
{
    if (rows[number] == RUB_NO_WORD) {
        rows[number] = (uint32_t)*n_p;
        keys[(*n_p)++] = number;
    }
    return rows[number];
}

static void draw_negatives(rub_triple_batch_t *self, size_t chunk, rub_rng_t *rng, uint32_t *rows)
{
    const rub_negative_plan_t *plan = &self->plan;
    const size_t first = chunk * plan->chunk;
    const size_t left = self->n - first;
    const uint32_t *side = self->corrupts_heads[chunk] ? self->heads : self->tails;
    uint32_t *out = self->negatives + chunk * (plan->uniform + plan->from_chunk);
    for (size_t i = 0; i < plan->uniform; i++) {
        const uint32_t entity = (uint32_t)rub_rng_below(rng, plan->n_entities);
        *out++ = row_of(entity, rows, self->entities, &self->n_entities);
    }
    for (size_t i = 0; i < plan->from_chunk; i++) {
        *out++ = side[first + rub_rng_below(rng, left < plan->chunk ? left : plan->chunk)];
    }
}

void rub_triple_batch_fill(rub_triple_batch_t *self, const rub_triple_t *triples,
                           const uint32_t *order, uint64_t data_epoch, size_t first, size_t count,
                           uint32_t *row_of_entity, uint32_t *row_of_relation)
{
    rub_rng_t rng;
    RUB_ASSERT(count <= self->capacity);
    rub_rng_init(&rng, self->plan.seed, rub_mix64(NEGATIVES_STREAM + data_epoch) + first);
    self->n = count;
    self->n_entities = self->n_relations = 0;
    for (size_t i = 0; i < count; i++) {
        const rub_triple_t *triple = &triples[order[first + i]];
        self->heads[i] = row_of(triple->head, row_of_entity, self->entities, &self->n_entities);
        self->tails[i] = row_of(triple->tail, row_of_entity, self->entities, &self->n_entities);
        self->relations[i] =
            row_of(triple->relation, row_of_relation, self->relation_keys, &self->n_relations);
    }
    self->n_chunks = (count + self->plan.chunk - 1) / self->plan.chunk;
    for (size_t c = 0; c < self->n_chunks; c++) {
        self->corrupts_heads[c] = (first / self->plan.chunk + c + data_epoch) % 2 == 1;
        draw_negatives(self, c, &rng, row_of_entity);
    }
    for (size_t i = 0; i < self->n_entities; i++) {
        row_of_entity[self->entities[i]] = RUB_NO_WORD;
    }
    for (size_t i = 0; i < self->n_relations; i++) {
        row_of_relation[self->relation_keys[i]] = RUB_NO_WORD;
    }
}
