/* Embeddings of a knowledge graph without a parameter server: the benchmark's yardstick, and what a
 * fleet of one worker must equal. */
#ifndef RUB_GRAPH_LOCAL_H
#define RUB_GRAPH_LOCAL_H

#include "worker/train/graph_task.h"

/* Trains the task's data epochs on arrays of this process: the same batches of batch_triples, the
 * same draws and steps, in one thread. *triples_per_s_p: over the loop alone. *loss_p: mean over
 * the last epoch. RUB_ENOMEM, RUB_EDIVERGED. */
int rub_graph_local_run(const rub_graph_task_t *task, uint64_t batch_triples, uint64_t seed,
                        double *triples_per_s_p, double *loss_p, rub_error_t *err);

#endif
