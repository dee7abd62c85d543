/* Ranking a graph's held-out triples with what the job's tables hold. */
#ifndef RUB_GRAPH_RANKS_H
#define RUB_GRAPH_RANKS_H

#include "worker/model/graph_ranking.h"
#include "worker/train/graph_task.h"

/* Pulls all rows of the present clock and ranks triples [first, last) of the part, heads and tails;
 * adds to both sums. Blocks until the bound allows. RUB_ENOMEM and the session's errors. */
int rub_graph_ranks(const rub_graph_task_t *task, rub_delta_rows_t *rows, rub_graph_part_t part,
                    uint64_t first, uint64_t last, rub_ranks_t *raw, rub_ranks_t *filtered,
                    rub_error_t *err);

/* The same with rows that lie here: n_entities x width and n_relations x relation width.
 * RUB_ENOMEM.
 */
int rub_graph_ranks_at_rest(const rub_graph_task_t *task, const float *entities,
                            const float *relations, rub_graph_part_t part, uint64_t first,
                            uint64_t last, rub_ranks_t *raw, rub_ranks_t *filtered,
                            rub_error_t *err);

/* The figures of at least one ranked query, filtered ones first; returns how many. */
size_t rub_graph_ranks_measures(const rub_ranks_t *raw, const rub_ranks_t *filtered,
                                rub_measure_t measures[RUB_TASK_MEASURES_LIMIT]);

#endif
