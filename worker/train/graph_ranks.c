/* Every entity is a candidate, so a worker that ranks needs all rows: it pulls them once, some
 * thousand at a time, and ranks block by block. Each triple is asked for twice, as (?, r, t) and as
 * (h, r, ?). */
#include "worker/train/graph_ranks.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#define AT_ONCE 16384u /* rows */

static int read_all(rub_delta_rows_t *rows, size_t table, size_t n, size_t width, float **values_p,
                    rub_error_t *err)
{
    int rc = 0;
    *values_p = rub_alloc_aligned(64, n * width * sizeof(**values_p));
    if (!*values_p) {
        return rub_fail(err, RUB_ENOMEM, "ranking: no memory for %zu rows", n);
    }
    for (size_t first = 0; first < n && rc == 0; first += AT_ONCE) {
        const size_t count = n - first < AT_ONCE ? n - first : AT_ONCE;
        rc = rub_delta_rows_read(rows, table, first, count, *values_p + first * width, err);
    }
    return rc;
}

static rub_ranked_query_t query_of(const rub_graph_task_t *task, const rub_triple_t *triple,
                                   bool for_heads)
{
    rub_ranked_query_t query = {.relation = triple->relation, .for_heads = for_heads};
    query.known = for_heads ? triple->tail : triple->head;
    query.answer = for_heads ? triple->head : triple->tail;
    query.completing = for_heads ? rub_triple_index_heads(task->index, triple, &query.n_completing)
                                 : rub_triple_index_tails(task->index, triple, &query.n_completing);
    return query;
}

static int rank(const rub_graph_task_t *task, rub_graph_ranking_t *ranking, rub_graph_part_t part,
                uint64_t first, uint64_t last, rub_ranks_t *raw, rub_ranks_t *filtered,
                rub_error_t *err)
{
    const size_t block = rub_graph_ranking_block(ranking);
    rub_ranked_query_t *queries = rub_calloc(block, sizeof(*queries));
    if (!queries) {
        return rub_fail(err, RUB_ENOMEM, "ranking: no memory for %zu triples", block);
    }
    size_t n = 0;
    for (uint64_t i = 2 * first; i < 2 * last; i++) {
        queries[n++] = query_of(task, &task->graph->parts[part].items[i / 2], i % 2 == 0);
        if (n == block || i + 1 == 2 * last) {
            rub_graph_ranking_add(ranking, queries, n, raw, filtered);
            n = 0;
        }
    }
    rub_free(queries);
    return 0;
}

int rub_graph_ranks_at_rest(const rub_graph_task_t *task, const float *entities,
                            const float *relations, rub_graph_part_t part, uint64_t first,
                            uint64_t last, rub_ranks_t *raw, rub_ranks_t *filtered,
                            rub_error_t *err)
{
    const size_t n_entities = task->graph->n_entities;
    rub_graph_ranking_t *ranking = rub_graph_ranking_new(
        rub_graph_kind_named(task->spec.kind), task->spec.width, entities, n_entities, relations);
    const int rc = ranking
                       ? rank(task, ranking, part, first, last, raw, filtered, err)
                       : rub_fail(err, RUB_ENOMEM,
                                  "ranking: no memory for the scores of %zu entities", n_entities);
    rub_graph_ranking_destroy(&ranking);
    return rc;
}

int rub_graph_ranks(const rub_graph_task_t *task, rub_delta_rows_t *rows, rub_graph_part_t part,
                    uint64_t first, uint64_t last, rub_ranks_t *raw, rub_ranks_t *filtered,
                    rub_error_t *err)
{
    const rub_graph_kind_t *kind = rub_graph_kind_named(task->spec.kind);
    const uint32_t width = task->spec.width;
    float *entities = NULL, *relations = NULL;
    if (first == last) {
        return 0;
    }
    int rc = read_all(rows, RUB_GRAPH_ENTITIES, task->graph->n_entities, width, &entities, err);
    rc = rc ? rc
            : read_all(rows, RUB_GRAPH_RELATIONS, task->graph->n_relations,
                       rub_graph_relation_width(kind, width), &relations, err);
    rc = rc ? rc
            : rub_graph_ranks_at_rest(task, entities, relations, part, first, last, raw, filtered,
                                      err);
    rub_free(entities);
    rub_free(relations);
    return rc;
}

size_t rub_graph_ranks_measures(const rub_ranks_t *raw, const rub_ranks_t *filtered,
                                rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    const rub_measure_t all[] = {{"mrr", filtered->reciprocal / filtered->n},
                                 {"mr", filtered->rank / filtered->n},
                                 {"hits_at_1", filtered->hits1 / filtered->n},
                                 {"hits_at_3", filtered->hits3 / filtered->n},
                                 {"hits_at_10", filtered->hits10 / filtered->n},
                                 {"raw_mrr", raw->reciprocal / raw->n},
                                 {"raw_mr", raw->rank / raw->n},
                                 {"raw_hits_at_10", raw->hits10 / raw->n}};
    for (size_t i = 0; i < RUB_COUNT_OF(all); i++) {
        measures[i] = all[i];
    }
    return RUB_COUNT_OF(all);
}
