/* An update as the configuration has it; and what of it depends on the job: how long its schedule
 * is. */
#ifndef RUB_UPDATE_H
#define RUB_UPDATE_H

#include "common/conf/config.h"
#include "worker/train/task.h"

/* As the options say; how long a schedule is, they may not say. */
rub_update_t rub_update_read(const rub_config_t *config);

/* The hyper-parameters to open tables with: the update's, with a cosine or linear schedule that has
 * no length ending where this training does: update->epochs times the clocks that a worker takes
 * for its share of n_examples, in batches, less the warm-up. batch_examples >= 1. The same on every
 * worker.
 *
 * A job that goes on from a snapshot has its tables already, and their rates go on as they were: of
 * it such a schedule keeps the length that it has, whatever the number of workers and epochs now.
 */
rub_hyper_t rub_update_hyper(const rub_update_t *update, const rub_session_t *session,
                             uint64_t n_examples, uint64_t batch_examples);

/* The length alone, for a job that begins: n_workers >= 1. */
uint64_t rub_update_length(const rub_update_t *update, uint32_t n_workers, uint64_t n_examples,
                           uint64_t batch_examples);

#endif
