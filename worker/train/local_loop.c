/* What one worker could do if parameters cost nothing to move: the bound that `rubato bench train`
 * divides by. The optimizer is the shards' own code, so that the loop does all the arithmetic that
 * a fleet does, and nothing else. */
#include "worker/train/local_loop.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/timing.h"
#include "common/num/initializer.h"
#include "common/num/optimizer.h"
#include "worker/data/batch.h"
#include "worker/data/order.h"
#include "worker/train/dense_task.h"
#include "worker/train/graph_local.h"
#include "worker/train/ratings_local.h"
#include "worker/train/words_local.h"

#include <string.h>

typedef struct local_table {
    uint64_t elements;
    float *weights, *slots, *gradient;
} local_table_t;

typedef struct local_loop {
    const rub_dense_task_t *task;
    const rub_optimizer_t *optimizer;
    local_table_t *tables;
    size_t n_tables;
    const float **params;
    float **gradients;
    rub_batch_t *batch;
    rub_order_t *order;
    uint64_t step;
} local_loop_t;

static int make_tables(local_loop_t *self, uint64_t seed, rub_error_t *err)
{
    const rub_model_table_t *tables = rub_model_tables(self->task->model, &self->n_tables);
    self->tables = rub_calloc(self->n_tables, sizeof(*self->tables));
    self->params = rub_calloc(self->n_tables, sizeof(*self->params));
    self->gradients = rub_calloc(self->n_tables, sizeof(*self->gradients));
    bool whole = self->tables && self->params && self->gradients;
    for (size_t t = 0; whole && t < self->n_tables; t++) {
        local_table_t *table = &self->tables[t];
        const size_t bytes = (size_t)tables[t].elements * sizeof(float);
        table->elements = tables[t].elements;
        table->weights = rub_alloc_aligned(64, bytes);
        table->gradient = rub_alloc_aligned(64, bytes);
        table->slots = rub_calloc(rub_optimizer_floats(self->optimizer, (size_t)table->elements) -
                                      (size_t)table->elements + 1,
                                  sizeof(float));
        whole = table->weights && table->gradient && table->slots;
        if (whole) {
            const rub_initializer_t initializer = {
                .kind = tables[t].init,
                .scale = tables[t].init_scale,
                .seed = seed,
                .table = rub_hash_bytes(tables[t].name, strlen(tables[t].name))};
            rub_initializer_fill_range(&initializer, 0, (size_t)table->elements, table->weights);
            self->params[t] = table->weights;
            self->gradients[t] = table->gradient;
        }
    }
    return whole ? 0 : rub_fail(err, RUB_ENOMEM, "local loop: no memory for the model");
}

static void apply(local_loop_t *self)
{
    self->step++;
    for (size_t t = 0; t < self->n_tables; t++) {
        local_table_t *table = &self->tables[t];
        rub_optimizer_apply(self->optimizer, table->weights, table->slots, (size_t)table->elements,
                            self->step, &self->task->update.hyper, table->gradient);
    }
}

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
                : rub_model_gradient(self->task->model, self->params, self->batch->x,
                                     self->batch->labels, count, self->gradients, &loss, NULL, err);
        if (rc) {
            return rc;
        }
        apply(self);
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
    if (!task) {
        return rub_fail(err, RUB_ECONFIG, "local loop: not for click models");
    }
    local_loop_t self = {.task = task, .optimizer = rub_optimizer_find(task->update.optimizer)};
    self.batch = rub_batch_new((size_t)batch_examples, task->train->width);
    self.order = rub_order_new(task->train->n_examples);
    int rc = self.batch && self.order
                 ? make_tables(&self, seed, err)
                 : rub_fail(err, RUB_ENOMEM, "local loop: no memory for a batch");
    const uint64_t began_us = rub_now_us();
    for (uint64_t epoch = 0; epoch < epochs && rc == 0; epoch++) {
        rc = run_epoch(&self, batch_examples, seed, epoch, loss_p, err);
    }
    const double seconds = (double)(rub_now_us() - began_us) / 1e6;
    *examples_per_s_p = (double)(epochs * workload->task->n_examples) / (seconds > 0 ? seconds : 1);
    for (size_t t = 0; self.tables && t < self.n_tables; t++) {
        rub_free(self.tables[t].weights);
        rub_free(self.tables[t].slots);
        rub_free(self.tables[t].gradient);
    }
    rub_free(self.tables);
    rub_free(self.params);
    rub_free(self.gradients);
    rub_batch_destroy(&self.batch);
    rub_order_destroy(&self.order);
    return rc;
}
