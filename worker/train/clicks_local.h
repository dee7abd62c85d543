/* Click models without a parameter server: the yardstick of the same training by a fleet. */
#ifndef RUB_CLICKS_LOCAL_H
#define RUB_CLICKS_LOCAL_H

#include "worker/train/clicks_task.h"

/* Trains `epochs` data epochs on arrays of this process: the same batches and gradients, and the
 * tables' optimizers, applied in place, in one thread; every row is admitted and none deleted, and
 * values are not rounded by codecs. *examples_per_s_p: over the loop alone. *loss_p: mean over the
 * last epoch, to the bit what a fleet of one worker has under bsp. Uses the task's model meanwhile.
 * RUB_ECONFIG: the examples are streamed; RUB_ENOMEM, RUB_EDATA, RUB_EDIVERGED. */
int rub_clicks_local_run(rub_clicks_task_t *task, uint64_t batch_examples, uint64_t seed,
                         uint64_t epochs, double *examples_per_s_p, double *loss_p,
                         rub_error_t *err);

#endif
