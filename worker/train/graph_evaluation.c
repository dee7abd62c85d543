/* A graph's embeddings at rest, ranked as a run ranks its test triples at its end.
 *
 * Numbers of entities are those that the run gave them, so its own files are read again, in their
 * order; triples from elsewhere come behind them, and may name nobody whom the run did not know.
 * What those files and the new one hold together is what filtered ranks leave out. */
#include "worker/train/graph_evaluation.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/train/graph_names.h"
#include "worker/train/graph_ranks.h"
#include "worker/train/workload.h"

#include <string.h>

typedef struct resting {
    rub_workload_t workload;
    rub_graph_task_t task;     /* the workload's, with an index of all triples */
    rub_triple_index_t *index; /* NULL: the workload's will do */
    rub_graph_part_t part;     /* what is ranked: its triples from `first` on */
    size_t first;
    float *entities, *relations;
} resting_t;

static void resting_close(resting_t *self)
{
    rub_free(self->entities);
    rub_free(self->relations);
    rub_triple_index_destroy(&self->index);
    rub_workload_close(&self->workload);
}

/* One of the run's own files is there already. */
static int choose_triples(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    const rub_config_t *config = of->config;
    self->task = *rub_graph_task_of(self->workload.task);
    self->part = strcmp(of->data, config->valid_file) == 0 ? RUB_GRAPH_VALID : RUB_GRAPH_TEST;
    if (self->part == RUB_GRAPH_VALID || strcmp(of->data, config->test_file) == 0) {
        return 0;
    }
    self->first = self->task.graph->parts[self->part].n;
    const int rc =
        rub_knowledge_graph_add(self->task.graph, rub_config_word(config, RUB_OPT_triple_order),
                                config->triple_ids, self->part, of->data, err);
    if (rc) {
        return rc;
    }
    self->index = rub_triple_index_new(self->task.graph);
    self->task.index = self->index;
    return self->index ? 0 : rub_fail(err, RUB_ENOMEM, "graph: no memory to find known triples");
}

/* All rows of the table, by number: one that was never pushed is what a pull would make it. */
static int lay_out(const rub_evaluation_t *of, const char *name, uint32_t width, size_t n,
                   float **rows_p, rub_error_t *err)
{
    const rub_weight_table_t *table = NULL;
    int rc = rub_weights_expect(of->weights, name, 0, width, &table, err);
    if (rc) {
        return rc;
    }
    uint64_t *keys = rub_calloc(n, sizeof(*keys));
    *rows_p = rub_alloc_aligned(64, n * width * sizeof(**rows_p));
    if (keys && *rows_p) {
        for (size_t i = 0; i < n; i++) {
            keys[i] = i;
        }
        rub_weight_table_rows(table, keys, n, *rows_p);
    } else {
        rc = rub_fail(err, RUB_ENOMEM, "no memory for %zu rows of '%s'", n, name);
    }
    rub_free(keys);
    return rc;
}

static int lay_out_both(const rub_evaluation_t *of, resting_t *self, rub_error_t *err)
{
    const rub_knowledge_graph_t *graph = self->task.graph;
    rub_delta_table_t tables[RUB_GRAPH_TABLES];
    rub_graph_tables(&self->task.spec, graph->n_entities, graph->n_relations, &self->task.update,
                     tables);
    const rub_delta_table_t *entities = &tables[RUB_GRAPH_ENTITIES],
                            *relations = &tables[RUB_GRAPH_RELATIONS];
    const int rc =
        lay_out(of, entities->name, entities->width, graph->n_entities, &self->entities, err);
    return rc ? rc
              : lay_out(of, relations->name, relations->width, graph->n_relations, &self->relations,
                        err);
}

int rub_graph_measure(const rub_evaluation_t *self, rub_measure_t measures[RUB_TASK_MEASURES_LIMIT],
                      size_t *n_measures_p, uint64_t *n_examples_p, rub_error_t *err)
{
    resting_t resting = {0};
    rub_ranks_t raw = {0}, filtered = {0};
    int rc = rub_workload_open(self->config, &resting.workload, err);
    if (rc) {
        return rc;
    }
    rc = rub_graph_names_check(self->config, rub_graph_task_of(resting.workload.task)->graph, err);
    if (rc) {
        resting_close(&resting);
        return rc;
    }
    rc = choose_triples(self, &resting, err);
    const size_t last = resting.task.graph->parts[resting.part].n, n = last - resting.first;
    if (rc == 0 && n == 0) {
        rc = rub_fail(err, RUB_EDATA, "data '%s' hold 0 triples, expected at least 1", self->data);
    }
    rc = rc ? rc : lay_out_both(self, &resting, err);
    rc = rc ? rc
            : rub_graph_ranks_at_rest(&resting.task, resting.entities, resting.relations,
                                      resting.part, resting.first, last, &raw, &filtered, err);
    if (rc == 0) {
        *n_measures_p = rub_graph_ranks_measures(&raw, &filtered, measures);
        *n_examples_p = n;
    }
    resting_close(&resting);
    return rc;
}
