/* A knowledge graph in memory: triples to train on, to validate on and to test with, all with the
 * same numbers of entities and relations, and the names of these. Does not change once it is open,
 * unless its owner adds triples: any number of threads may read it. */
#ifndef RUB_KNOWLEDGE_GRAPH_H
#define RUB_KNOWLEDGE_GRAPH_H

#include "worker/data/triple_reader.h"

typedef enum { RUB_GRAPH_TRAIN, RUB_GRAPH_VALID, RUB_GRAPH_TEST, RUB_GRAPH_PARTS } rub_graph_part_t;

typedef struct rub_graph_options {
    const char *files[RUB_GRAPH_PARTS]; /* NULL or "": none; training must be there */
    const char *entities, *relations;   /* dictionaries; NULL or "": numbers in the order in which
                                           names come, in the files in this order */
    const char *order;                  /* of the fields: "hrt" and its permutations */
    bool ids;                           /* fields are numbers, with dictionaries those of these */
} rub_graph_options_t;

typedef struct rub_knowledge_graph {
    rub_triple_list_t parts[RUB_GRAPH_PARTS];
    size_t n_entities, n_relations;
    rub_vocabulary_t *entities, *relations; /* names; empty when fields are numbers and there is no
                                               dictionary */
} rub_knowledge_graph_t;

/* Reads the files whole (triple_reader.h). Keeps nothing of the options. RUB_EDATA: what that
 * header says; a training file without a triple. RUB_EINVAL: an order that is none. RUB_ENOMEM.
 * Blocks. *graph_p is the caller's, NULL on failure. */
int rub_knowledge_graph_open(const rub_graph_options_t *options, rub_knowledge_graph_t **graph_p,
                             rub_error_t *err);
void rub_knowledge_graph_close(rub_knowledge_graph_t **graph_p); /* NULL is fine */

/* Reads another file's triples behind those of the part, fields as of the options: entities and
 * relations must be among those that there are. RUB_EDATA, RUB_ENOMEM; then the part holds what
 * came before the fault. Blocks. */
int rub_knowledge_graph_add(rub_knowledge_graph_t *graph, const char *order, bool ids,
                            rub_graph_part_t part, const char *path, rub_error_t *err);

#define RUB_ENTITY_NAME_BYTES (RUB_TRIPLE_NAME_LIMIT + 1)

/* The entity's name as one word: blanks and other white space are '_'; its number when it has no
 * name. entity < n_entities. */
void rub_knowledge_graph_name(const rub_knowledge_graph_t *graph, uint32_t entity,
                              char name[RUB_ENTITY_NAME_BYTES]);

#endif
