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

#endif
