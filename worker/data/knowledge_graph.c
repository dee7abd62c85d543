/* Reading the parts of a graph with one set of names.
 *
 * Why names come from all parts where there is no dictionary: held-out triples may name an entity
 * that no training triple has; it is a candidate like every other, and its first numbers stay what
 * they are. Invariant: every worker that reads the same files has the same numbers. */
#include "worker/data/knowledge_graph.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "worker/data/names_file.h"

#include <stdio.h>
#include <string.h>

static bool given(const char *path)
{
    return path != NULL && path[0] != '\0';
}

static int check_order(const char *order, rub_error_t *err)
{
    const bool good = order != NULL && strlen(order) == 3 && strchr(order, 'h') &&
                      strchr(order, 'r') && strchr(order, 't');
    return good ? 0
                : rub_fail(err, RUB_EINVAL, "triples in the order '%s', expected h, r and t",
                           order ? order : "");
}

/* Of entities and relations either both have a dictionary or none has: what is closed is closed. */
static int read_names(const rub_graph_options_t *options, rub_knowledge_graph_t *self,
                      rub_error_t *err)
{
    if (given(options->entities) != given(options->relations)) {
        return rub_fail(err, RUB_EINVAL, "a dictionary of %s alone, expected both or none",
                        given(options->entities) ? "entities" : "relations");
    }
    if (!given(options->entities)) {
        return 0;
    }
    const int rc =
        rub_triple_reader_dictionary(options->entities, self->entities, &self->n_entities, err);
    return rc ? rc
              : rub_triple_reader_dictionary(options->relations, self->relations,
                                             &self->n_relations, err);
}

static int read_parts(const rub_graph_options_t *options, rub_knowledge_graph_t *self,
                      rub_error_t *err)
{
    rub_triple_names_t names = {.order = options->order,
                                .ids = options->ids,
                                .closed = given(options->entities),
                                .entities = self->entities,
                                .relations = self->relations,
                                .n_entities = self->n_entities,
                                .n_relations = self->n_relations};
    int rc = 0;
    for (int part = 0; part < RUB_GRAPH_PARTS && rc == 0; part++) {
        if (given(options->files[part])) {
            rc = rub_triple_reader_read(options->files[part], &names, &self->parts[part], err);
        }
    }
    self->n_entities = names.n_entities;
    self->n_relations = names.n_relations;
    if (rc == 0 && self->parts[RUB_GRAPH_TRAIN].n == 0) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' has no triples, expected some to train on",
                      given(options->files[0]) ? options->files[0] : "");
    }
    return rc;
}

int rub_knowledge_graph_open(const rub_graph_options_t *options, rub_knowledge_graph_t **graph_p,
                             rub_error_t *err)
{
    *graph_p = NULL;
    int rc = check_order(options->order, err);
    if (rc != 0) {
        return rc;
    }
    rub_knowledge_graph_t *self = rub_calloc(1, sizeof *self);
    if (self != NULL) {
        self->entities = rub_vocabulary_new();
        self->relations = rub_vocabulary_new();
    }
    if (self == NULL || self->entities == NULL || self->relations == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "graph: no memory");
        goto out;
    }
    rc = read_names(options, self, err);
    rc = rc ? rc : read_parts(options, self, err);
    if (rc == 0) {
        *graph_p = self;
        self = NULL;
    }
out:
    rub_knowledge_graph_close(&self);
    return rc;
}

int rub_knowledge_graph_add(rub_knowledge_graph_t *graph, const char *order, bool ids,
                            rub_graph_part_t part, const char *path, rub_error_t *err)
{
    rub_triple_names_t names = {.order = order,
                                .ids = ids,
                                .closed = true,
                                .entities = graph->entities,
                                .relations = graph->relations,
                                .n_entities = graph->n_entities,
                                .n_relations = graph->n_relations};
    const int rc = check_order(order, err);
    return rc ? rc : rub_triple_reader_read(path, &names, &graph->parts[part], err);
}

void rub_knowledge_graph_close(rub_knowledge_graph_t **graph_p)
{
    rub_knowledge_graph_t *self = *graph_p;
    if (self == NULL) {
        return;
    }
    for (int part = 0; part < RUB_GRAPH_PARTS; part++) {
        rub_free(self->parts[part].items);
    }
    rub_vocabulary_destroy(&self->entities);
    rub_vocabulary_destroy(&self->relations);
    rub_free(self);
    *graph_p = NULL;
}

void rub_knowledge_graph_name(const rub_knowledge_graph_t *graph, uint32_t entity,
                              char name[RUB_ENTITY_NAME_BYTES])
{
    if (entity >= rub_vocabulary_size(graph->entities)) {
        snprintf(name, RUB_ENTITY_NAME_BYTES, "%u", entity);
        return;
    }
    (void)rub_name_as_word(rub_vocabulary_word(graph->entities, entity), name);
}
