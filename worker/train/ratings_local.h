/* Ratings without a parameter server: the yardstick of the same training by a fleet. */
#ifndef RUB_RATINGS_LOCAL_H
#define RUB_RATINGS_LOCAL_H

#include "worker/train/rating_figures.h"

/* Trains the task's data epochs on arrays of this process: the same batches, draws and steps, in
 * one thread. *ratings_per_s_p: over the loop alone. *loss_p: mean over the last epoch. figures:
 * those of all that epochs are validated on, at the end, are added; NULL: they are not asked for.
 * RUB_ENOMEM.
 */
int rub_ratings_local_run(const rub_ratings_task_t *task, uint64_t batch_ratings, uint64_t seed,
                          double *ratings_per_s_p, double *loss_p, rub_rating_figures_t *figures,
                          rub_error_t *err);

#endif
