/* Triples of a knowledge graph as text: a line each, three fields between tabs (head, relation and
 * tail, in an order that the caller names), plain or gzip. Empty lines do not count. */
#ifndef RUB_TRIPLE_READER_H
#define RUB_TRIPLE_READER_H

#include "worker/data/line_reader.h"
#include "worker/data/vocabulary.h"

#define RUB_TRIPLES_LIMIT UINT32_MAX       /* an order holds 32-bit numbers */
#define RUB_TRIPLE_NAME_LIMIT 1024u        /* bytes of a field */
#define RUB_GRAPH_NUMBERS_LIMIT (1u << 28) /* of entities, and of relations */

typedef struct rub_triple {
    uint32_t head, relation, tail;
} rub_triple_t;

typedef struct rub_triple_list {
    rub_triple_t *items;
    size_t n, room;
} rub_triple_list_t;

/* What fields mean. */
typedef struct rub_triple_names {
    const char *order; /* "htr": a permutation of h, r and t */
    bool ids;          /* fields are numbers; otherwise names */
    bool closed;       /* names that are not there yet, or numbers from the limits on, are refused;
                          otherwise they are added */
    rub_vocabulary_t *entities, *relations; /* of names */
    size_t n_entities, n_relations;         /* seen until now, or the limits */
} rub_triple_names_t;

/* Reads the file's triples behind those of the list. RUB_EDATA names file, line and column: a line
 * with fewer or more than three fields, a field that is empty, too long, no UTF-8, no number, or
 * unknown; more than the limits; a damaged file. RUB_ENOMEM. Blocks. */
int rub_triple_reader_read(const char *path, rub_triple_names_t *names, rub_triple_list_t *list,
                           rub_error_t *err);

/* Gives fn the file's lines that have a triple, as they stand, and keeps nothing of them: each is
 * refused as above, but no name is unknown and no limit of names is reached. order, ids: as in
 * rub_triple_names_t. Also returns what fn returns. RUB_EDATA, RUB_ENOMEM. Blocks. */
int rub_triple_reader_lines(const char *path, const char *order, bool ids, rub_line_fn *fn,
                            void *context, rub_error_t *err);

/* Reads a dictionary as DGL-KE has them: a line `number<TAB>name` each, all numbers from 0 on, each
 * once, in any order. names: an empty vocabulary, whose numbers become those of the file. *n_p: how
 * many. RUB_EDATA names file, line and column. RUB_ENOMEM. Blocks. */
int rub_triple_reader_dictionary(const char *path, rub_vocabulary_t *names, size_t *n_p,
                                 rub_error_t *err);

#endif
