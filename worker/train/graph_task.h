/* The task of a knowledge graph: triples, a model that embeds entities and relations, rows of
 * hashed tables.
 *
 * Examples are training triples, in the order that each data epoch gives them; a batch of them is a
 * period. The worker pulls the rows that the batch and its negatives need, with AdaGrad's
 * accumulators, steps on copies chunk by chunk, and pushes by how much both have changed. Losses
 * are means over triples. Validation ranks the triples of valid_file (graph_ranking.h), both sides;
 * at the end the lowest rank that lives ranks those of test_file. */
#ifndef RUB_GRAPH_TASK_H
#define RUB_GRAPH_TASK_H

#include "common/conf/config.h"
#include "worker/data/order.h"
#include "worker/data/triple_index.h"
#include "worker/train/graph_tables.h"

/* What it is made of. Read by anybody. */
typedef struct rub_graph_task {
    rub_task_t task;
    rub_update_t update;
    rub_knowledge_graph_t *graph;
    rub_triple_index_t *index; /* NULL: nothing is ranked */
    rub_graph_spec_t spec;     /* without the rows */
    rub_negative_plan_t plan;  /* without the seed */
    double lr, epsilon;
    rub_sampling_t sampling;
    uint64_t epochs;
} rub_graph_task_t;

/* Is this what the configuration asks for? */
bool rub_graph_task_wanted(const rub_config_t *config);

/* Reads the files that the configuration names. Blocks on files; keeps the configuration. The
 * result is the caller's, for rub_task_close; NULL on failure. RUB_EDATA, RUB_ECONFIG, RUB_EINVAL,
 * RUB_ENOMEM. */
int rub_graph_task_open(const rub_config_t *config, const rub_update_t *update, rub_task_t **task_p,
                        rub_error_t *err);

/* The graph of the configuration's files alone, as a task has it. Blocks; the caller's
 * (rub_knowledge_graph_close), NULL on failure. RUB_EDATA, RUB_EINVAL, RUB_ENOMEM. */
int rub_graph_task_read(const rub_config_t *config, rub_knowledge_graph_t **graph_p,
                        rub_error_t *err);

/* The same object when the task is of this kind, else NULL. */
const rub_graph_task_t *rub_graph_task_of(const rub_task_t *task);

/* A model for batches of batch_triples whose rows are numbered below the limits. */
int rub_graph_task_model(const rub_graph_task_t *self, size_t entity_rows, size_t relation_rows,
                         rub_graph_model_t **model_p, rub_error_t *err);

/* Arrays of a number for each entity and each relation, as rub_triple_batch_fill wants them: all
 * RUB_NO_WORD. The caller's (rub_free); NULL when memory is short. */
uint32_t *rub_graph_task_row_numbers(size_t n);

#endif
