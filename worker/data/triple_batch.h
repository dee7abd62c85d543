/* A batch of triples ready for training: cut into chunks, each with the side that it corrupts and
 * one set of negatives for all its triples, and the rows that all of it needs, each once. Rows are
 * numbered from 0 in the order of their first place. */
#ifndef RUB_TRIPLE_BATCH_H
#define RUB_TRIPLE_BATCH_H

#include "worker/data/triple_reader.h"

/* How negatives are drawn. */
typedef struct rub_negative_plan {
    uint64_t seed;
    size_t n_entities;
    size_t chunk;      /* triples that share them */
    size_t uniform;    /* of a chunk: drawn from all entities */
    size_t from_chunk; /* of a chunk: drawn from its own triples, on the side that is corrupted
                          (PyTorch-BigGraph, MLSys 2019: by their frequency, and for no row more) */
} rub_negative_plan_t;

typedef struct rub_triple_batch {
    rub_negative_plan_t plan;
    size_t capacity;
    size_t n;                            /* triples */
    uint32_t *heads, *relations, *tails; /* rows, n each */
    size_t n_chunks;                     /* the last may be shorter */
    bool *corrupts_heads;                /* of each chunk; otherwise tails */
    uint32_t *negatives;                 /* rows: uniform + from_chunk of each chunk */
    uint64_t *entities, *relation_keys;  /* numbers, by row */
    size_t n_entities, n_relations;      /* rows */
} rub_triple_batch_t;

/* Room for up to capacity triples. plan: chunk >= 1. The caller's; NULL when memory is short. */
rub_triple_batch_t *rub_triple_batch_new(const rub_negative_plan_t *plan, size_t capacity,
                                         size_t n_relations);
void rub_triple_batch_destroy(rub_triple_batch_t **self_p); /* NULL is fine */

/* Makes the triples at places [first, first + count) of the order the batch, count <= capacity.
 * What is drawn is a function of the plan's seed, data_epoch and first. A chunk corrupts the other
 * side than the one before it, and than the one at the same place in the epoch before. rows_of: a
 * number for each entity, and for each relation, all RUB_NO_WORD before and after. */
void rub_triple_batch_fill(rub_triple_batch_t *self, const rub_triple_t *triples,
                           const uint32_t *order, uint64_t data_epoch, size_t first, size_t count,
                           uint32_t *row_of_entity, uint32_t *row_of_relation);

#endif
