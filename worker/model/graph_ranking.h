/* Link prediction's figures (Bordes et al., NIPS 2013): all entities are ranked by how similar they
 * are to a query, and what counts is the place of the one that completes the triple.
 *
 * Ranks are from 1. Others with the very same similarity count half, so that the rank is the mean
 * of those that a random order among them would give; a model that says the same of all entities is
 * ranked in the middle, not first (Sun et al., ACL 2020). Filtered: others that are known to
 * complete the triple do not count. */
#ifndef RUB_GRAPH_RANKING_H
#define RUB_GRAPH_RANKING_H

#include "worker/model/graph_scores.h"

/* Sums over ranks; n of them. */
typedef struct rub_ranks {
    double n, reciprocal, rank, hits1, hits3, hits10;
} rub_ranks_t;

void rub_ranks_add(rub_ranks_t *self, double rank);

/* A triple that is asked for. */
typedef struct rub_ranked_query {
    uint32_t known, relation, answer; /* entity, relation, entity */
    bool for_heads;                   /* answer is the head; otherwise the tail */
    const uint32_t *completing;       /* entities that are known to complete it, ascending; the
                                         answer is one of them or not, one may stand there twice */
    size_t n_completing;
} rub_ranked_query_t;

typedef struct rub_graph_ranking rub_graph_ranking_t;

/* For n_entities (below 2^32) x width and n_relations x relation width, both kept. The caller's;
 * NULL when memory is short (some 16 MB, and more above four million entities). */
rub_graph_ranking_t *rub_graph_ranking_new(const rub_graph_kind_t *kind, uint32_t width,
                                           const float *entities, size_t n_entities,
                                           const float *relations);
void rub_graph_ranking_destroy(rub_graph_ranking_t **self_p); /* NULL is fine */

/* How many queries are ranked at once best. */
size_t rub_graph_ranking_block(const rub_graph_ranking_t *self);
/* Ranks n <= block queries; adds to both sums. An answer whose similarity is no number has the last
 * rank. */
void rub_graph_ranking_add(rub_graph_ranking_t *self, const rub_ranked_query_t *queries, size_t n,
                           rub_ranks_t *raw, rub_ranks_t *filtered);

#endif
