/* Models of graphs at rest: a row of the table in worker/train/evaluation.c. */
#ifndef RUB_GRAPH_EVALUATION_H
#define RUB_GRAPH_EVALUATION_H

#include "worker/train/evaluation.h"

int rub_graph_measure(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                      size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err);

#endif
