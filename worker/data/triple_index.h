/* Which tails a head and a relation are known to have, and which heads a relation and a tail: what
 * filtered ranks leave out. Does not change once it is made: any number of threads may read it. */
#ifndef RUB_TRIPLE_INDEX_H
#define RUB_TRIPLE_INDEX_H

#include "worker/data/knowledge_graph.h"

typedef struct rub_triple_index rub_triple_index_t;

/* Of all parts of the graph, of which nothing is kept. The caller's; NULL when memory is short. */
rub_triple_index_t *rub_triple_index_new(const rub_knowledge_graph_t *graph);
void rub_triple_index_destroy(rub_triple_index_t **self_p); /* NULL is fine */

/* The entities that complete the triple whose head (or tail) is missing; *n_p of them, ascending,
 * one may stand there twice. The index's. */
const uint32_t *rub_triple_index_heads(const rub_triple_index_t *self, const rub_triple_t *triple,
                                       size_t *n_p);
const uint32_t *rub_triple_index_tails(const rub_triple_index_t *self, const rub_triple_t *triple,
                                       size_t *n_p);

#endif
