/* What of an update depends on the job: how long its schedule is. */
#ifndef RUB_UPDATE_H
#define RUB_UPDATE_H

#include "worker/train/task.h"

/* The hyper-parameters to open tables with: the update's, with a cosine or linear schedule that has
 * no length ending where this training does: update->epochs times the clocks that a worker takes
 * for its share of n_examples, in batches, less the warm-up. n_workers, batch_examples >= 1. The
 * same on every worker. */
rub_hyper_t rub_update_hyper(const rub_update_t *update, uint32_t n_workers, uint64_t n_examples,
                             uint64_t batch_examples);

#endif
