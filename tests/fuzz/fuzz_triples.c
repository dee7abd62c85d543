/* Files of triples, plain or gzip. The first byte chooses the order of fields, whether they are
 * numbers, and whether the rest is a dictionary (of entities and of relations) instead. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/knowledge_graph.h"

static const char *const orders[] = {"hrt", "htr", "rht", "rth", "thr", "trh"};

static void check(const rub_knowledge_graph_t *graph)
{
    const rub_triple_list_t *train = &graph->parts[RUB_GRAPH_TRAIN];
    RUB_ASSERT(train->n > 0);
    for (size_t i = 0; i < train->n; i++) {
        RUB_ASSERT(train->items[i].head < graph->n_entities);
        RUB_ASSERT(train->items[i].tail < graph->n_entities);
        RUB_ASSERT(train->items[i].relation < graph->n_relations);
    }
    char name[RUB_ENTITY_NAME_BYTES];
    rub_knowledge_graph_name(graph, (uint32_t)graph->n_entities - 1, name);
    RUB_ASSERT(name[0] != '\0');
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const uint8_t triples[] = "0\t0\t0\n";
    if (size == 0) {
        return 0;
    }
    const bool dictionary = data[0] & 0x40;
    const char *path = rub_fuzz_file(0, data + 1, size - 1);
    rub_graph_options_t options = {.order = orders[data[0] % 6],
                                   .ids = dictionary || data[0] & 0x20};
    options.files[RUB_GRAPH_TRAIN] = dictionary ? rub_fuzz_file(1, triples, 6) : path;
    options.entities = dictionary ? path : NULL;
    options.relations = options.entities;
    rub_knowledge_graph_t *graph = NULL;
    rub_error_t err = {0};
    if (rub_knowledge_graph_open(&options, &graph, &err) != 0) {
        RUB_ASSERT(!graph);
        RUB_ASSERT(err.message[0] != '\0');
        return 0;
    }
    check(graph);
    rub_knowledge_graph_close(&graph);
    return 0;
}
