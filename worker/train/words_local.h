/* Word vectors without a parameter server: the yardstick of the same training by a fleet. */
#ifndef RUB_WORDS_LOCAL_H
#define RUB_WORDS_LOCAL_H

#include "worker/train/words_task.h"

/* Trains the task's data epochs on arrays of this process: the same stretches of batch_tokens, the
 * same draws and steps, in one thread. *tokens_per_s_p: over the loop alone. *loss_p: mean over the
 * last epoch. RUB_ENOMEM, RUB_EDIVERGED. */
int rub_words_local_run(const rub_words_task_t *task, uint64_t batch_tokens, uint64_t seed,
                        double *tokens_per_s_p, double *loss_p, rub_error_t *err);

#endif
