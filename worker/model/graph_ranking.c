/* Ranking by blocks: some queries against some thousand entities at a time, by the same products
 * and loops that train, into rows of scores that are as long as there are entities. Why whole rows:
 * the answer's score is then one of them, computed in the same product as those it is compared
 * with, and what is known to complete a triple is looked up in it. Invariant: the answer is
 * compared with every other entity once, and never with itself. */
#include "worker/model/graph_ranking.h"

#include "common/base/alloc.h"
#include "common/base/check.h"

#include <math.h>

enum { ENTITIES_AT_ONCE = 1024, QUERIES_MOST = 64, CACHE_LINE = 64 };
#define SCORES_BYTES ((size_t)16 << 20)

struct rub_graph_ranking {
    const rub_graph_kind_t *kind;
    uint32_t width, relation_width;
    const float *entities, *relations;
    size_t n_entities, block;
    rub_graph_points_t points;
    float *ready, *queries;
    float *values; /* of a block against ENTITIES_AT_ONCE */
    float *scores; /* block x n_entities: the greater the more similar */
};

void rub_ranks_add(rub_ranks_t *self, double rank)
{
    self->n++;
    self->rank += rank;
    self->reciprocal += 1 / rank;
    self->hits1 += rank <= 1;
    self->hits3 += rank <= 3;
    self->hits10 += rank <= 10;
}

static float *new_floats(size_t a, size_t b)
{
    return rub_alloc_aligned(CACHE_LINE, (a * b + 1) * sizeof(float));
}

rub_graph_ranking_t *rub_graph_ranking_new(const rub_graph_kind_t *kind, uint32_t width,
                                           const float *entities, size_t n_entities,
                                           const float *relations)
{
    rub_graph_ranking_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return NULL;
    }
    self->kind = kind;
    self->width = width;
    self->relation_width = rub_graph_relation_width(kind, width);
    self->entities = entities;
    self->relations = relations;
    self->n_entities = n_entities;
    const size_t fit = SCORES_BYTES / (n_entities * sizeof(float));
    self->block = fit < 1 ? 1 : fit > QUERIES_MOST ? QUERIES_MOST : fit;
    self->ready = new_floats(1, width);
    self->queries = new_floats(self->block, width);
    self->values = new_floats(self->block, ENTITIES_AT_ONCE);
    self->scores = new_floats(self->block, n_entities);
    if (!self->ready || !self->queries || !self->values || !self->scores ||
        !rub_graph_points_init(&self->points, ENTITIES_AT_ONCE, width)) {
        rub_graph_ranking_destroy(&self);
    }
    return self;
}

void rub_graph_ranking_destroy(rub_graph_ranking_t **self_p)
{
    rub_graph_ranking_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    rub_graph_points_fini(&self->points);
    rub_free(self->ready);
    rub_free(self->queries);
    rub_free(self->values);
    rub_free(self->scores);
    rub_free(self);
    *self_p = NULL;
}

size_t rub_graph_ranking_block(const rub_graph_ranking_t *self)
{
    return self->block;
}

static void score(rub_graph_ranking_t *self, const rub_ranked_query_t *queries, size_t n)
{
    const float sign = rub_graph_kind_is_distance(self->kind) ? -1.0f : 1.0f;
    for (size_t i = 0; i < n; i++) {
        rub_graph_relation_ready(
            self->kind, self->relations + (size_t)queries[i].relation * self->relation_width,
            self->width, self->ready);
        rub_graph_query(self->kind, self->entities + (size_t)queries[i].known * self->width,
                        self->ready, self->width, queries[i].for_heads,
                        self->queries + i * self->width);
    }
    for (size_t first = 0; first < self->n_entities; first += ENTITIES_AT_ONCE) {
        const size_t left = self->n_entities - first;
        const size_t m = left < ENTITIES_AT_ONCE ? left : ENTITIES_AT_ONCE;
        rub_graph_points_set(&self->points, self->kind, self->entities + first * self->width, m);
        rub_graph_values(self->kind, self->queries, n, &self->points, self->values);
        for (size_t i = 0; i < n; i++) {
            float *out = self->scores + i * self->n_entities + first;
            for (size_t j = 0; j < m; j++) {
                out[j] = sign * self->values[i * m + j];
            }
        }
    }
}

/* How much an entity of this score adds to the answer's rank. */
static double before(float score, float answer)
{
    return score > answer ? 1 : score == answer ? 0.5 : 0;
}

static void rank(const rub_graph_ranking_t *self, const rub_ranked_query_t *query,
                 const float *scores, rub_ranks_t *raw, rub_ranks_t *filtered)
{
    const float answer = scores[query->answer];
    uint32_t greater = 0, equal = 0; /* as wide as a score, for vector code */
    for (size_t e = 0; e < self->n_entities; e++) {
        greater += scores[e] > answer;
        equal += scores[e] == answer;
    }
    double place = 1 + greater + 0.5 * (equal - (equal > 0)); /* less itself */
    place = isnan(answer) ? (double)self->n_entities : place;
    rub_ranks_add(raw, place);
    for (size_t i = 0; i < query->n_completing && !isnan(answer); i++) {
        const uint32_t other = query->completing[i];
        const bool again = i > 0 && query->completing[i - 1] == other;
        place -= other != query->answer && !again ? before(scores[other], answer) : 0;
    }
    rub_ranks_add(filtered, place);
}

void rub_graph_ranking_add(rub_graph_ranking_t *self, const rub_ranked_query_t *queries, size_t n,
                           rub_ranks_t *raw, rub_ranks_t *filtered)
{
    RUB_ASSERT(n <= self->block);
    score(self, queries, n);
    for (size_t i = 0; i < n; i++) {
        rank(self, &queries[i], self->scores + i * self->n_entities, raw, filtered);
    }
}
