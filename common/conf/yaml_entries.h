/* A YAML file as a flat list of entries: group, key, text, line. Only what a run file needs: a
 * mapping of scalars and lists, nested at most one level. An item of a list is a scalar, or a key
 * with a scalar or with a mapping of scalars. */
#ifndef RUB_YAML_ENTRIES_H
#define RUB_YAML_ENTRIES_H

#include "common/base/arena.h"
#include "include/rubato.h"

#include <stdbool.h>
#include <stddef.h>

#define RUB_YAML_LIMIT_BYTES (1024u * 1024u)
#define RUB_YAML_ENTRIES_LIMIT 1024u

typedef struct rub_yaml_entry {
    const char *group; /* NULL at the top level */
    const char *key;
    const char *text; /* the scalar; a list's items joined by ",", such with a key as "key: value"
                         or "key: {key: value,...}" */
    bool is_list;
    unsigned line; /* of the key, from 1 */
} rub_yaml_entry_t;

typedef struct rub_yaml_entries {
    rub_yaml_entry_t *items; /* in the arena, as all strings */
    size_t n_items;
} rub_yaml_entries_t;

/* Parses `bytes` of text; name is what errors call the file. An empty text has no entries.
 * RUB_ECONFIG, always with name:line: not YAML, more than one document, nested deeper, anchors,
 * aliases or tags, a scalar with a zero byte, more than RUB_YAML_ENTRIES_LIMIT entries. RUB_ENOMEM.
 */
int rub_yaml_parse(const char *name, const char *text, size_t bytes, rub_arena_t *arena,
                   rub_yaml_entries_t *entries, rub_error_t *err);

#endif
