/* Files of triples, plain or gzip. The first byte chooses the order of fields, whether they are
 * numbers, and whether the rest is a dictionary (of entities and of relations) instead. Who takes
 * lines whole finds good what a graph does, and as many triples. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/knowledge_graph.h"
#include "worker/data/line_scan.h"

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

/* n: triples that a graph has of the file; 0: it was refused. */
static void check_lines(const rub_graph_options_t *graph, size_t n)
{
    const rub_line_scan_options_t options = {.format = "triples",
                                             .path = graph->files[RUB_GRAPH_TRAIN],
                                             .triple_order = graph->order,
                                             .triple_ids = graph->ids};
    size_t n_lines = 0;
    const int rc = rub_line_scan(&options, rub_fuzz_count_line, &n_lines, NULL);
    RUB_ASSERT((rc == 0) == (n > 0));
    RUB_ASSERT(rc != 0 || n_lines == n);
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
        if (!dictionary) {
            check_lines(&options, 0);
        }
        return 0;
    }
    check(graph);
    if (!dictionary) {
        check_lines(&options, graph->parts[RUB_GRAPH_TRAIN].n);
    }
    rub_knowledge_graph_close(&graph);
    return 0;
}
