/* What a run file asks to be trained: the task and the plan, built from the resolved configuration.
 */
#ifndef RUB_WORKLOAD_H
#define RUB_WORKLOAD_H

#include "common/conf/config.h"
#include "worker/train/remote_data.h"
#include "worker/train/training.h"

typedef struct rub_workload {
    rub_task_t *task;
    rub_remote_data_t *remote; /* NULL: no data file is an address */
    rub_training_plan_t plan;
} rub_workload_t;

/* Fetches data that lies behind addresses, reads the files and builds the model; sets BLAS's
 * threads for the process. Blocks on files. On failure nothing is held. RUB_EDATA, RUB_ECONFIG,
 * RUB_EINVAL, RUB_ENOMEM. */
int rub_workload_open(const rub_config_t *config, rub_workload_t *self, rub_error_t *err);
/* What the options mean together, whatever the data: do they ask for what the model_kind has not?
 * RUB_ECONFIG. */
int rub_workload_check(const rub_config_t *config, rub_error_t *err);
/* The same for a worker that is going to join a job: its task may put off what the workers read
 * together (gather of worker/train/task.h), and n_examples is not known before. */
int rub_workload_join(const rub_config_t *config, rub_workload_t *self, rub_error_t *err);
void rub_workload_close(rub_workload_t *self);

#endif
