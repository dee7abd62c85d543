/* Embeddings of a knowledge graph over a session. Two batches take turns: while one is trained the
 * next is drawn and its rows are on their way (delta_rows.h).
 *
 * Why the worker steps itself, and does not push gradients for the shards to step with: a period of
 * many chunks is then as good as one of a single chunk, and moves a row twice instead of twice for
 * each chunk that needs it; AdaGrad's accumulators travel beside the rows and are sums, so several
 * workers' add up as the shards' own would. */
#include "worker/train/graph_task.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "worker/data/order.h"
#include "worker/train/batch_turns.h"
#include "worker/train/graph_names.h"
#include "worker/train/graph_ranks.h"
#include "worker/train/vectors_out.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { SUM_RECIPROCAL = RUB_SUM_OWN, SUM_RANK, SUM_HITS1, SUM_HITS3, SUM_HITS10 };

typedef struct graph {
    rub_graph_task_t open; /* what is known before there is a session */
    const rub_config_t *config;
    rub_session_t *session;
    rub_graph_model_t *model;
    rub_delta_rows_t *rows;
    rub_order_t *order;
    uint32_t *row_of_entity, *row_of_relation;
    rub_triple_batch_t *batches[2];
    rub_batch_turns_t turns;
} graph_t;

/* ---- opening ---- */

bool rub_graph_task_wanted(const rub_config_t *config)
{
    return rub_graph_kind_named(rub_config_word(config, RUB_OPT_model_kind)) != NULL;
}

static int check_config(const rub_config_t *config, rub_error_t *err)
{
    const char *kind = rub_config_word(config, RUB_OPT_model_kind);
    const char *format = rub_config_word(config, RUB_OPT_data_format);
    if (strcmp(format, "triples") != 0) {
        return rub_fail(err, RUB_ECONFIG, "data_format: %s, %s trains on triples", format, kind);
    }
    if (config->train_file[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG, "train_file is not set: nothing to train on");
    }
    if ((config->entities_file[0] == '\0') != (config->relations_file[0] == '\0')) {
        return rub_fail(err, RUB_ECONFIG,
                        "entities_file and relations_file: one is set, expected both or none");
    }
    if (config->optimizer != RUB_ADD) {
        return rub_fail(err, RUB_ECONFIG,
                        "optimizer: %s, %s steps on the worker (AdaGrad) and pushes sums: "
                        "expected add",
                        rub_config_word(config, RUB_OPT_optimizer), kind);
    }
    if (config->schedule != RUB_SCHEDULE_CONSTANT) {
        return rub_fail(err, RUB_ECONFIG,
                        "schedule: %s, AdaGrad's rate falls by itself: expected constant",
                        rub_config_word(config, RUB_OPT_schedule));
    }
    if (config->negatives + config->chunk_negatives == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "negatives and chunk_negatives are 0, %s needs some of either", kind);
    }
    return rub_vectors_out_check(config->vectors, err);
}

int rub_graph_task_read(const rub_config_t *config, rub_knowledge_graph_t **graph_p,
                        rub_error_t *err)
{
    const rub_graph_options_t options = {
        .files = {config->train_file, config->valid_file, config->test_file},
        .entities = config->entities_file,
        .relations = config->relations_file,
        .order = rub_config_word(config, RUB_OPT_triple_order),
        .ids = config->triple_ids};
    return rub_knowledge_graph_open(&options, graph_p, err);
}

static int open_graph(const rub_config_t *config, rub_graph_task_t *self, rub_error_t *err)
{
    const int rc = rub_graph_task_read(config, &self->graph, err);
    if (rc) {
        return rc;
    }
    const size_t n = self->graph->parts[RUB_GRAPH_TRAIN].n;
    if (config->batch > n) {
        return rub_fail(err, RUB_ECONFIG, "batch: %" PRIu64 ", the graph has %zu training triples",
                        config->batch, n);
    }
    if (self->graph->parts[RUB_GRAPH_VALID].n + self->graph->parts[RUB_GRAPH_TEST].n > 0) {
        self->index = rub_triple_index_new(self->graph);
        if (!self->index) {
            return rub_fail(err, RUB_ENOMEM, "graph: no memory to find known triples");
        }
    }
    return 0;
}

static void graph_close(rub_task_t *task)
{
    graph_t *self = (graph_t *)task;
    rub_triple_index_destroy(&self->open.index);
    rub_knowledge_graph_close(&self->open.graph);
    rub_free(self);
}

int rub_graph_task_model(const rub_graph_task_t *self, size_t entity_rows, size_t relation_rows,
                         rub_graph_model_t **model_p, rub_error_t *err)
{
    rub_graph_spec_t spec = self->spec;
    spec.entity_rows = entity_rows;
    spec.relation_rows = relation_rows;
    return rub_graph_model_new(&spec, model_p, err);
}

/* ---- batches ---- */

uint32_t *rub_graph_task_row_numbers(size_t n)
{
    uint32_t *numbers = rub_alloc(n * sizeof(*numbers));
    if (numbers) {
        memset(numbers, 0xff, n * sizeof(*numbers));
    }
    return numbers;
}

static int make_room(graph_t *self, size_t batch_triples, rub_error_t *err)
{
    const rub_knowledge_graph_t *graph = self->open.graph;
    self->order = rub_order_new(graph->parts[RUB_GRAPH_TRAIN].n);
    self->row_of_entity = rub_graph_task_row_numbers(graph->n_entities);
    self->row_of_relation = rub_graph_task_row_numbers(graph->n_relations);
    for (int i = 0; i < 2; i++) {
        self->batches[i] =
            rub_triple_batch_new(&self->open.plan, batch_triples, graph->n_relations);
    }
    return self->order && self->row_of_entity && self->row_of_relation && self->batches[0] &&
                   self->batches[1]
               ? 0
               : rub_fail(err, RUB_ENOMEM, "training: no memory for batches of %zu triples",
                          batch_triples);
}

static int graph_begin(rub_task_t *task, rub_session_t *session, uint64_t batch_examples,
                       rub_error_t *err)
{
    graph_t *self = (graph_t *)task;
    const rub_knowledge_graph_t *graph = self->open.graph;
    rub_delta_table_t tables[RUB_GRAPH_TABLES];
    rub_info_t info;
    rub_session_info(session, &info);
    self->session = session;
    self->open.plan.seed = info.seed;
    int rc = make_room(self, (size_t)batch_examples, err);
    rc = rc ? rc : rub_graph_names_begin(self->config, &info, graph, err);
    rc = rc ? rc
            : rub_graph_task_model(&self->open, graph->n_entities, graph->n_relations, &self->model,
                                   err);
    rub_graph_tables(&self->open.spec, graph->n_entities, graph->n_relations, &self->open.update,
                     tables);
    return rc ? rc : rub_delta_rows_open(session, tables, RUB_GRAPH_TABLES, &self->rows, err);
}

static void graph_end(rub_task_t *task)
{
    graph_t *self = (graph_t *)task;
    rub_delta_rows_close(&self->rows);
    rub_graph_model_destroy(&self->model);
    rub_triple_batch_destroy(&self->batches[0]);
    rub_triple_batch_destroy(&self->batches[1]);
    rub_order_destroy(&self->order);
    rub_free(self->row_of_entity);
    rub_free(self->row_of_relation);
    self->row_of_entity = self->row_of_relation = NULL;
}

static int graph_order(rub_task_t *task, uint64_t seed, uint64_t epoch, rub_error_t *err)
{
    graph_t *self = (graph_t *)task;
    RUB_UNUSED(err);
    rub_order_arrange(self->order, self->open.sampling, seed, epoch);
    self->turns.epoch = epoch;
    return 0;
}

static void fill(graph_t *self, unsigned which, uint64_t first, uint64_t count)
{
    rub_triple_batch_fill(self->batches[which], self->open.graph->parts[RUB_GRAPH_TRAIN].items,
                          rub_order_examples(self->order), self->turns.epoch, (size_t)first,
                          (size_t)count, self->row_of_entity, self->row_of_relation);
}

static int graph_take(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    graph_t *self = (graph_t *)task;
    RUB_UNUSED(err);
    if (!rub_batch_turns_take(&self->turns, first, count)) {
        fill(self, self->turns.current, first, count);
    }
    return 0;
}

static int graph_pull(rub_task_t *task, rub_error_t *err)
{
    graph_t *self = (graph_t *)task;
    rub_key_list_t lists[RUB_GRAPH_TABLES];
    rub_graph_lists(self->batches[self->turns.current], lists);
    return rub_delta_rows_pull(self->rows, lists, err);
}

static int graph_prefetch(rub_task_t *task, uint64_t first, uint64_t count, rub_error_t *err)
{
    graph_t *self = (graph_t *)task;
    rub_key_list_t lists[RUB_GRAPH_TABLES];
    const unsigned ahead = rub_batch_turns_ahead(&self->turns, first, count);
    fill(self, ahead, first, count);
    rub_graph_lists(self->batches[ahead], lists);
    return rub_delta_rows_prefetch(self->rows, lists, err);
}

static int graph_compute(rub_task_t *task, double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    graph_t *self = (graph_t *)task;
    RUB_UNUSED(err);
    const rub_graph_tables_t rows = {rub_delta_rows_work(self->rows, RUB_GRAPH_ENTITIES),
                                     rub_delta_rows_work(self->rows, RUB_GRAPH_ENTITY_SUMS),
                                     rub_delta_rows_work(self->rows, RUB_GRAPH_RELATIONS),
                                     rub_delta_rows_work(self->rows, RUB_GRAPH_RELATION_SUMS)};
    rub_graph_loss_sum_t loss = {0};
    rub_graph_train_batch(self->model, self->batches[self->turns.current], (float)self->open.lr,
                          (float)self->open.epsilon, &rows, &loss);
    sums[RUB_SUM_LOSS] += loss.sum;
    sums[RUB_SUM_EXAMPLES] += (double)loss.triples;
    return 0;
}

static int graph_push(rub_task_t *task, rub_error_t *err)
{
    return rub_delta_rows_push(((graph_t *)task)->rows, err);
}

/* ---- validation and the end ---- */

static int graph_validate(rub_task_t *task, uint64_t first, uint64_t last,
                          double sums[RUB_TASK_SUMS], rub_error_t *err)
{
    graph_t *self = (graph_t *)task;
    rub_ranks_t raw = {0}, filtered = {0};
    const int rc = rub_graph_ranks(&self->open, self->rows, RUB_GRAPH_VALID, first, last, &raw,
                                   &filtered, err);
    sums[RUB_SUM_EXAMPLES] += filtered.n;
    sums[SUM_RECIPROCAL] += filtered.reciprocal;
    sums[SUM_RANK] += filtered.rank;
    sums[SUM_HITS1] += filtered.hits1;
    sums[SUM_HITS3] += filtered.hits3;
    sums[SUM_HITS10] += filtered.hits10;
    return rc;
}

/* Sums of training have no ranks. */
static size_t graph_measure(const rub_task_t *task, const double sums[RUB_TASK_SUMS],
                            rub_measure_t measures[RUB_TASK_MEASURES_LIMIT])
{
    RUB_UNUSED(task);
    const double n = sums[RUB_SUM_EXAMPLES] > 0 ? sums[RUB_SUM_EXAMPLES] : 1;
    if (sums[SUM_RANK] == 0) {
        measures[0] = (rub_measure_t){"loss", sums[RUB_SUM_LOSS] / n};
        return 1;
    }
    measures[0] = (rub_measure_t){"mrr", sums[SUM_RECIPROCAL] / n};
    measures[1] = (rub_measure_t){"mr", sums[SUM_RANK] / n};
    measures[2] = (rub_measure_t){"hits_at_1", sums[SUM_HITS1] / n};
    measures[3] = (rub_measure_t){"hits_at_3", sums[SUM_HITS3] / n};
    measures[4] = (rub_measure_t){"hits_at_10", sums[SUM_HITS10] / n};
    return 5;
}

static int report_test(const graph_t *self, const rub_ranks_t *raw, const rub_ranks_t *filtered,
                       rub_error_t *err)
{
    rub_measure_t measures[RUB_TASK_MEASURES_LIMIT];
    const size_t n = rub_graph_ranks_measures(raw, filtered, measures);
    int rc = 0;
    for (size_t i = 0; i < n && rc == 0; i++) {
        char name[40];
        snprintf(name, sizeof name, "test_%s", measures[i].name);
        rc = rub_metric(self->session, name, measures[i].value, err);
    }
    return rc;
}

static const char *name_of(void *context, uint32_t i, char *room)
{
    rub_knowledge_graph_name(((const graph_t *)context)->open.graph, i, room);
    return room;
}

static int read_entities(void *context, size_t first, size_t count, float *values, rub_error_t *err)
{
    return rub_delta_rows_read(((graph_t *)context)->rows, RUB_GRAPH_ENTITIES, first, count, values,
                               err);
}

static int graph_finish(rub_task_t *task, rub_error_t *err)
{
    graph_t *self = (graph_t *)task;
    const rub_knowledge_graph_t *graph = self->open.graph;
    const size_t n = graph->parts[RUB_GRAPH_TEST].n;
    rub_ranks_t raw = {0}, filtered = {0};
    int rc = 0;
    if (n > 0) {
        rc = rub_graph_ranks(&self->open, self->rows, RUB_GRAPH_TEST, 0, n, &raw, &filtered, err);
        rc = rc ? rc : report_test(self, &raw, &filtered, err);
    }
    const rub_vectors_source_t source = {.context = self,
                                         .n = graph->n_entities,
                                         .width = self->open.spec.width,
                                         .name = name_of,
                                         .read = read_entities};
    return rc ? rc : rub_vectors_out_write(self->config->vectors, &source, err);
}

static size_t graph_tables(const rub_task_t *task, uint32_t n_workers, uint64_t batch_examples,
                           rub_schema_t schemas[RUB_TASK_TABLES_LIMIT])
{
    const rub_graph_task_t *open = &((const graph_t *)task)->open;
    rub_delta_table_t tables[RUB_GRAPH_TABLES];
    RUB_UNUSED(n_workers);
    RUB_UNUSED(batch_examples);
    rub_graph_tables(&open->spec, open->graph->n_entities, open->graph->n_relations, &open->update,
                     tables);
    for (size_t t = 0; t < RUB_GRAPH_TABLES; t++) {
        rub_delta_rows_schema(&tables[t], &schemas[t]);
    }
    return RUB_GRAPH_TABLES;
}

static const rub_task_kind_t graph_kind = {
    .begin = graph_begin,
    .end = graph_end,
    .close = graph_close,
    .order = graph_order,
    .take = graph_take,
    .pull = graph_pull,
    .prefetch = graph_prefetch,
    .compute = graph_compute,
    .push = graph_push,
    .validate = graph_validate,
    .finish = graph_finish,
    .tables = graph_tables,
    .measure = graph_measure,
};

static void read_config(const rub_config_t *config, rub_graph_task_t *self)
{
    self->spec = (rub_graph_spec_t){
        .kind = rub_config_word(config, RUB_OPT_model_kind),
        .width = (uint32_t)config->dim,
        .gamma = config->gamma,
        .temperature = config->adversarial,
        .regularization = config->regularization,
        .chunk = (size_t)(config->chunk < config->batch ? config->chunk : config->batch),
        .negatives = (size_t)(config->negatives + config->chunk_negatives),
        .entity_rows = 1,
        .relation_rows = 1};
    self->lr = config->lr;
    self->epsilon = config->epsilon;
    self->sampling = (rub_sampling_t)config->sampling;
    self->epochs = config->epochs;
}

/* The model is made with the session; what it refuses is refused now. */
static int try_model(const rub_graph_task_t *self, rub_error_t *err)
{
    rub_graph_model_t *model = NULL;
    const int rc = rub_graph_task_model(self, 1, 1, &model, err);
    rub_graph_model_destroy(&model);
    return rc;
}

int rub_graph_task_open(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                        rub_error_t *err)
{
    *task_p = NULL;
    int rc = check_config(config, err);
    if (rc) {
        return rc;
    }
    graph_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a task");
    }
    rub_graph_task_t *open = &self->open;
    self->config = config;
    open->update = *update;
    read_config(config, open);
    rc = try_model(open, err);
    rc = rc ? rc : open_graph(config, open, err);
    if (rc) {
        graph_close(&open->task);
        return rc;
    }
    const rub_knowledge_graph_t *graph = open->graph;
    open->plan = (rub_negative_plan_t){.n_entities = graph->n_entities,
                                       .chunk = open->spec.chunk,
                                       .uniform = (size_t)config->negatives,
                                       .from_chunk = (size_t)config->chunk_negatives};
    open->task =
        (rub_task_t){.kind = &graph_kind,
                     .n_examples = graph->parts[RUB_GRAPH_TRAIN].n,
                     .n_test = graph->parts[RUB_GRAPH_VALID].n,
                     .is_apart = true,
                     .n_parameters = (uint64_t)open->spec.width * graph->n_entities +
                                     (uint64_t)rub_graph_relation_width(
                                         rub_graph_kind_named(open->spec.kind), open->spec.width) *
                                         graph->n_relations};
    *task_p = &open->task;
    return 0;
}

const rub_graph_task_t *rub_graph_task_of(const rub_task_t *task)
{
    return task->kind == &graph_kind ? (const rub_graph_task_t *)task : NULL;
}
