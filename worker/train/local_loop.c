/* What one worker could do if parameters cost nothing to move: the bound that `rubato bench train`
 * divides by. The optimizer is the shards' own code, so that the loop does all the arithmetic that
 * a fleet does, and nothing else. */
#include "worker/train/local_loop.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "worker/data/batch.h"
#include "worker/data/order.h"
#include "worker/train/clicks_local.h"
#include "worker/train/dense_task.h"
#include "worker/train/graph_local.h"
#include "worker/train/local_network.h"
#include "worker/train/ratings_local.h"
#include "worker/train/words_local.h"

typedef struct local_loop {
    const rub_dense_task_t *task;
    rub_local_network_t *network;
    rub_batch_t *batch;
    rub_order_t *order;
} local_loop_t;

static int run_epoch(local_loop_t *self, uint64_t batch_examples, uint64_t seed, uint64_t epoch,
                     double *loss_p, rub_error_t *err)
{
    const uint64_t n = self->task->train->n_examples;
    double loss_sum = 0;
    rub_order_arrange(self->order, self->task->sampling, seed, epoch);
    for (uint64_t first = 0; first < n; first += batch_examples) {
        const uint64_t left = n - first;
        const size_t count = (size_t)(left < batch_examples ? left : batch_examples);
        double loss = 0;
        rub_model_draw(self->task->model, seed, rub_dense_batch(epoch, first));
        int rc = rub_batch_fill(self->batch, self->task->train, self->order, first, count, err);
        rc = rc ? rc
                : rub_model_gradient(self->task->model, rub_local_network_weights(self->network),
                                     self->batch->x, self->batch->labels, count,
                                     rub_local_network_gradients(self->network), &loss, NULL, err);
        if (rc) {
            return rc;
        }
        rub_local_network_step(self->network, &self->task->update.hyper);
        loss_sum += loss;
    }
    *loss_p = loss_sum / (double)n;
    return 0;
}

int rub_local_loop_run(const rub_workload_t *workload, uint64_t seed, uint64_t epochs,
                       double *examples_per_s_p, double *loss_p, rub_error_t *err)
{
    const rub_dense_task_t *task = rub_dense_task_of(workload->task);
    const uint64_t batch_examples = workload->plan.batch_examples;
    const rub_words_task_t *words = rub_words_task_of(workload->task);
    if (words) {
        return rub_words_local_run(words, batch_examples, seed, examples_per_s_p, loss_p, err);
    }
    const rub_graph_task_t *graph = rub_graph_task_of(workload->task);
    if (graph) {
        return rub_graph_local_run(graph, batch_examples, seed, examples_per_s_p, loss_p, err);
    }
    const rub_ratings_task_t *ratings = rub_ratings_task_of(workload->task);
    if (ratings) {
        return rub_ratings_local_run(ratings, batch_examples, seed, examples_per_s_p, loss_p, NULL,
                                     err);
    }
    rub_clicks_task_t *clicks = rub_clicks_task_of(workload->task);
    if (clicks) {
        return rub_clicks_local_run(clicks, batch_examples, seed, epochs, examples_per_s_p, loss_p,
                                    err);
    }
    RUB_ASSERT(task);
    local_loop_t self = {.task = task};
    self.batch = rub_batch_new((size_t)batch_examples, task->train->width);
    self.order = rub_order_new(task->train->n_examples);
    int rc = self.batch && self.order
                 ? rub_local_network_new(task->model, rub_optimizer_find(task->update.optimizer),
                                         seed, &self.network, err)
                 : rub_fail(err, RUB_ENOMEM, "local loop: no memory for a batch");
    const uint64_t began_us = rub_now_us();
    for (uint64_t epoch = 0; epoch < epochs && rc == 0; epoch++) {
        rc = run_epoch(&self, batch_examples, seed, epoch, loss_p, err);
    }
    const double seconds = (double)(rub_now_us() - began_us) / 1e6;
    *examples_per_s_p = (double)(epochs * workload->task->n_examples) / (seconds > 0 ? seconds : 1);
    rub_local_network_destroy(&self.network);
    rub_batch_destroy(&self.batch);
    rub_order_destroy(&self.order);
    return rc;
}
