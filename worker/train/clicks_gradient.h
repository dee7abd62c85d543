/* What a batch of a click model makes of the rows of its keys, wherever they come from: a worker
 * has them from pulls, a local loop from its own arrays, and both compute the same. One thread;
 * nothing here blocks or fails. */
#ifndef RUB_CLICKS_GRADIENT_H
#define RUB_CLICKS_GRADIENT_H

#include "worker/train/clicks_task.h"

/* One array for each table of the model, with a line for each of the batch's keys
 * (rub_sparse_model_gradient); and of deep models one for each of the network's, else NULL. */
typedef struct rub_clicks_arrays {
    const float *const *rows;
    float *const *row_gradients;
    const float *const *network;
    float *const *network_gradients;
} rub_clicks_arrays_t;

/* The batch's examples, as models take them; borrowed from it. */
rub_sparse_rows_t rub_clicks_rows(const rub_sparse_batch_t *batch);

/* Gradients of the mean loss over the batch, which are overwritten. It has passed
 * rub_clicks_deep_check where the model is deep. *figures_p: sums over its examples. */
void rub_clicks_gradient(rub_clicks_task_t *task, const rub_sparse_batch_t *batch,
                         const rub_clicks_arrays_t *arrays, rub_sparse_figures_t *figures_p);

/* What the deep part adds to the score of each example: batch->count. */
void rub_clicks_deep_scores(rub_clicks_task_t *task, const rub_sparse_batch_t *batch,
                            const rub_clicks_arrays_t *arrays, float *scores);

/* Clips the gradients of so many keys and of the network, as one, as the task's update says. */
void rub_clicks_clip(const rub_clicks_task_t *task, const rub_clicks_arrays_t *arrays,
                     size_t n_keys);

#endif
