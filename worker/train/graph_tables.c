/* What the tables of a graph's embeddings are, and how a batch becomes steps on their rows: for
 * those who train over a session and for the local loop, which must do the same. */
#include "worker/train/graph_tables.h"

void rub_graph_tables(const rub_graph_spec_t *spec, size_t n_entities, size_t n_relations,
                      const rub_update_t *update, rub_delta_table_t tables[RUB_GRAPH_TABLES])
{
    const rub_graph_kind_t *kind = rub_graph_kind_named(spec->kind);
    tables[RUB_GRAPH_ENTITIES] =
        (rub_delta_table_t){.name = RUB_GRAPH_ENTITIES_NAME,
                            .width = spec->width,
                            .init = RUB_INIT_UNIFORM,
                            .init_scale = rub_graph_model_init_scale(spec, false),
                            .n_keys = n_entities,
                            .push_codec = update->push_codec,
                            .pull_codec = update->pull_codec,
                            .evict = update->evict};
    tables[RUB_GRAPH_ENTITY_SUMS] = (rub_delta_table_t){.name = "graph/entities/sums",
                                                        .width = 1,
                                                        .init = RUB_INIT_ZEROS,
                                                        .n_keys = n_entities,
                                                        .evict = rub_update_idle(update)};
    tables[RUB_GRAPH_RELATIONS] =
        (rub_delta_table_t){.name = "graph/relations",
                            .width = rub_graph_relation_width(kind, spec->width),
                            .init = RUB_INIT_UNIFORM,
                            .init_scale = rub_graph_model_init_scale(spec, true),
                            .n_keys = n_relations,
                            .push_codec = update->push_codec,
                            .pull_codec = update->pull_codec,
                            .evict = update->evict};
    tables[RUB_GRAPH_RELATION_SUMS] = (rub_delta_table_t){.name = "graph/relations/sums",
                                                          .width = 1,
                                                          .init = RUB_INIT_ZEROS,
                                                          .n_keys = n_relations,
                                                          .evict = rub_update_idle(update)};
}

void rub_graph_lists(const rub_triple_batch_t *batch, rub_key_list_t lists[RUB_GRAPH_TABLES])
{
    lists[RUB_GRAPH_ENTITIES] = (rub_key_list_t){batch->entities, batch->n_entities};
    lists[RUB_GRAPH_ENTITY_SUMS] = lists[RUB_GRAPH_ENTITIES];
    lists[RUB_GRAPH_RELATIONS] = (rub_key_list_t){batch->relation_keys, batch->n_relations};
    lists[RUB_GRAPH_RELATION_SUMS] = lists[RUB_GRAPH_RELATIONS];
}

void rub_graph_train_batch(rub_graph_model_t *model, const rub_triple_batch_t *batch, float lr,
                           float epsilon, const rub_graph_tables_t *rows,
                           rub_graph_loss_sum_t *loss)
{
    const size_t n_negatives = batch->plan.uniform + batch->plan.from_chunk;
    for (size_t c = 0; c < batch->n_chunks; c++) {
        const size_t first = c * batch->plan.chunk;
        const size_t left = batch->n - first;
        const rub_graph_chunk_t chunk = {.n = left < batch->plan.chunk ? left : batch->plan.chunk,
                                         .heads = batch->heads + first,
                                         .relations = batch->relations + first,
                                         .tails = batch->tails + first,
                                         .negatives = batch->negatives + c * n_negatives,
                                         .n_negatives = n_negatives,
                                         .corrupts_heads = batch->corrupts_heads[c]};
        rub_graph_model_train(model, &chunk, lr, epsilon, rows, loss);
    }
}
