/* The tables of a knowledge graph's embeddings, hashed by the numbers of entities and relations:
 * their names, what stands in them before any training, and which of their rows a batch needs.
 * Beside each table of rows stands one of width 1 with AdaGrad's accumulator of each row: worker
 * steps, and pushes by how much both have changed. */
#ifndef RUB_GRAPH_TABLES_H
#define RUB_GRAPH_TABLES_H

#include "worker/data/triple_batch.h"
#include "worker/model/graph_model.h"
#include "worker/train/delta_rows.h"
#include "worker/train/task.h"

typedef enum {
    RUB_GRAPH_ENTITIES,
    RUB_GRAPH_ENTITY_SUMS,
    RUB_GRAPH_RELATIONS,
    RUB_GRAPH_RELATION_SUMS,
    RUB_GRAPH_TABLES
} rub_graph_table_t;

#define RUB_GRAPH_ENTITIES_NAME "graph/entities"

/* spec: kind, width and gamma count. Sums travel as float32, rows in the update's codecs. */
void rub_graph_tables(const rub_graph_spec_t *spec, size_t n_entities, size_t n_relations,
                      const rub_update_t *update, rub_delta_table_t tables[RUB_GRAPH_TABLES]);
/* The batch's keys. */
void rub_graph_lists(const rub_triple_batch_t *batch, rub_key_list_t lists[RUB_GRAPH_TABLES]);

/* Trains on the batch, chunk by chunk. Adds to *loss. */
void rub_graph_train_batch(rub_graph_model_t *model, const rub_triple_batch_t *batch, float lr,
                           float epsilon, const rub_graph_tables_t *rows,
                           rub_graph_loss_sum_t *loss);

#endif
