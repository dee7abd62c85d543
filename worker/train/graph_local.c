/* The local loop of graphs: rows are numbers of entities and relations (the maps of a batch's rows
 * say of each its own), so that nothing is looked up, copied or moved but what the model does. */
#include "worker/train/graph_local.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "worker/data/order.h"
#include "worker/train/local_table.h"

#include <math.h>

typedef struct local {
    const rub_graph_task_t *task;
    rub_graph_model_t *model;
    rub_triple_batch_t *batch;
    rub_order_t *order;
    uint32_t *entities, *relations;
    float *tables[RUB_GRAPH_TABLES];
} local_t;

static uint32_t *identity(size_t n)
{
    uint32_t *numbers = rub_calloc(n, sizeof(*numbers));
    for (size_t i = 0; numbers && i < n; i++) {
        numbers[i] = (uint32_t)i;
    }
    return numbers;
}

static int prepare(local_t *self, size_t batch_triples, uint64_t seed, rub_error_t *err)
{
    const rub_graph_task_t *task = self->task;
    const rub_knowledge_graph_t *graph = task->graph;
    rub_delta_table_t tables[RUB_GRAPH_TABLES];
    rub_negative_plan_t plan = task->plan;
    plan.seed = seed;
    self->batch = rub_triple_batch_new(&plan, batch_triples, graph->n_relations);
    self->order = rub_order_new(graph->parts[RUB_GRAPH_TRAIN].n);
    self->entities = identity(graph->n_entities);
    self->relations = identity(graph->n_relations);
    if (!self->batch || !self->order || !self->entities || !self->relations) {
        return rub_fail(err, RUB_ENOMEM, "local loop: no memory for %zu triples", batch_triples);
    }
    rub_graph_tables(&task->spec, graph->n_entities, graph->n_relations, &task->update, tables);
    for (int t = 0; t < RUB_GRAPH_TABLES; t++) {
        self->tables[t] = rub_local_table_new(&tables[t], seed, err);
        if (!self->tables[t]) {
            return RUB_ENOMEM;
        }
    }
    return rub_graph_task_model(task, graph->n_entities, graph->n_relations, &self->model, err);
}

static void train_epoch(local_t *self, uint64_t epoch, uint64_t seed, rub_graph_loss_sum_t *loss)
{
    const rub_graph_task_t *task = self->task;
    const rub_triple_list_t *triples = &task->graph->parts[RUB_GRAPH_TRAIN];
    const rub_graph_tables_t rows = {
        self->tables[RUB_GRAPH_ENTITIES], self->tables[RUB_GRAPH_ENTITY_SUMS],
        self->tables[RUB_GRAPH_RELATIONS], self->tables[RUB_GRAPH_RELATION_SUMS]};
    rub_order_arrange(self->order, task->sampling, seed, epoch);
    for (size_t first = 0; first < triples->n; first += self->batch->capacity) {
        const size_t left = triples->n - first;
        rub_triple_batch_fill(self->batch, triples->items, rub_order_examples(self->order), epoch,
                              first, left < self->batch->capacity ? left : self->batch->capacity,
                              self->entities, self->relations);
        rub_graph_train_batch(self->model, self->batch, (float)task->lr, (float)task->epsilon,
                              &rows, loss);
    }
}

int rub_graph_local_run(const rub_graph_task_t *task, uint64_t batch_triples, uint64_t seed,
                        double *triples_per_s_p, double *loss_p, rub_error_t *err)
{
    local_t self = {.task = task};
    rub_graph_loss_sum_t loss = {0};
    int rc = prepare(&self, (size_t)batch_triples, seed, err);
    const uint64_t began_us = rub_now_us();
    for (uint64_t epoch = 0; epoch < task->epochs && rc == 0; epoch++) {
        loss = (rub_graph_loss_sum_t){0};
        train_epoch(&self, epoch, seed, &loss);
        if (!isfinite(loss.sum)) {
            rc = rub_fail(err, RUB_EDIVERGED,
                          "the loss of epoch %llu is not finite; try a smaller lr",
                          (unsigned long long)epoch);
        }
    }
    const double seconds = (double)(rub_now_us() - began_us) / 1e6;
    const double n = (double)task->graph->parts[RUB_GRAPH_TRAIN].n;
    *triples_per_s_p = (double)task->epochs * n / (seconds > 0 ? seconds : 1);
    *loss_p = loss.triples > 0 ? loss.sum / (double)loss.triples : 0;
    for (int t = 0; t < RUB_GRAPH_TABLES; t++) {
        rub_free(self.tables[t]);
    }
    rub_free(self.entities);
    rub_free(self.relations);
    rub_order_destroy(&self.order);
    rub_triple_batch_destroy(&self.batch);
    rub_graph_model_destroy(&self.model);
    return rc;
}
