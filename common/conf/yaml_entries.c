/* Reads run files through libyaml's event interface.
 *
 * Events and not documents, because every refusal has to say the line, and because a run file needs
 * so little of YAML that all the rest (anchors, aliases, tags, many documents, deep nesting) is
 * better refused than half understood. Recursion is impossible by construction: `depth` has three
 * values, and so has `item_depth` within a list. A list becomes text again, in flow style, whatever
 * style it was written in: "dense: 256,relu,conv: {filters: 16,kernel: 5}". */
#include "common/conf/yaml_entries.h"

#include "common/base/error.h"

#include <stdio.h>
#include <string.h>
#include <yaml.h>

typedef struct walk {
    const char *name; /* of the file */
    rub_arena_t *arena;
    rub_yaml_entries_t *entries;
    const char *group; /* of the mapping we are in */
    const char *key;   /* read, its value comes next */
    unsigned key_line;
    unsigned depth; /* 0: outside, 1: the file's mapping, 2: a group's */
    unsigned n_documents;
    bool in_list;
    unsigned
        item_depth; /* 0: between items, 1: in an item of one key, 2: in that key's arguments */
    unsigned item_words; /* of the mapping that item_depth says: keys and values so far */
    char list[2048];     /* the list's items so far */
    size_t list_bytes;
} walk_t;

static unsigned line_of(const yaml_event_t *event)
{
    return (unsigned)event->start_mark.line + 1;
}

static int fail_at(const walk_t *walk, unsigned line, rub_error_t *err, const char *fact)
{
    return rub_fail(err, RUB_ECONFIG, "%s:%u: %s", walk->name, line, fact);
}

static int add_entry(walk_t *walk, const char *text, bool is_list, rub_error_t *err)
{
    if (walk->entries->n_items == RUB_YAML_ENTRIES_LIMIT) {
        return fail_at(walk, walk->key_line, err, "more than 1024 keys");
    }
    rub_yaml_entry_t *entry = &walk->entries->items[walk->entries->n_items++];
    *entry = (rub_yaml_entry_t){.group = walk->group,
                                .key = walk->key,
                                .text = rub_arena_strdup(walk->arena, text),
                                .is_list = is_list,
                                .line = walk->key_line};
    walk->key = NULL;
    return entry->text ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for '%s'", walk->name);
}

static int add_list_text(walk_t *walk, const char *before, const char *text, unsigned line,
                         rub_error_t *err)
{
    const size_t room = sizeof walk->list - walk->list_bytes;
    const int n = snprintf(walk->list + walk->list_bytes, room, "%s%s", before, text);
    if (n < 0 || (size_t)n >= room) {
        return fail_at(walk, line, err, "the list is too long");
    }
    walk->list_bytes += (size_t)n;
    return 0;
}

static int add_list_item(walk_t *walk, const char *text, unsigned line, rub_error_t *err)
{
    static const char *const separators[] = {",", ": "};
    if (walk->item_depth == 0) {
        return add_list_text(walk, walk->list_bytes ? "," : "", text, line, err);
    }
    if (strpbrk(text, ",:{}[]")) {
        return fail_at(walk, line, err, "a key or a value within a list holds one of ,:{}[]");
    }
    if (walk->item_depth == 1 && walk->item_words == 2) {
        return fail_at(walk, line, err, "an item of a list is a value, or one key with its value");
    }
    const char *before = walk->item_words == 0 ? "" : separators[walk->item_words % 2];
    walk->item_words++;
    return add_list_text(walk, before, text, line, err);
}

/* A mapping within a list: an item, or the arguments of an item's key. */
static int begin_item(walk_t *walk, unsigned line, rub_error_t *err)
{
    if (walk->item_depth == 0) {
        walk->item_depth = 1;
        walk->item_words = 0;
        return walk->list_bytes ? add_list_text(walk, ",", "", line, err) : 0;
    }
    if (walk->item_depth == 2 || walk->item_words != 1) {
        return fail_at(walk, line, err, "nested deeper than 'list: [item: {key: value}]'");
    }
    walk->item_depth = 2;
    walk->item_words = 0;
    return add_list_text(walk, ": ", "{", line, err);
}

static int end_item(walk_t *walk, unsigned line, rub_error_t *err)
{
    const bool had_arguments = walk->item_depth == 2;
    if (!had_arguments && walk->item_words != 2) {
        return fail_at(walk, line, err, "an item of a list is a value, or one key with its value");
    }
    walk->item_depth--;
    walk->item_words = 2; /* the item's key has its value */
    return had_arguments ? add_list_text(walk, "}", "", line, err) : 0;
}

static int on_scalar(walk_t *walk, const yaml_event_t *event, rub_error_t *err)
{
    const char *text = (const char *)event->data.scalar.value;
    const unsigned line = line_of(event);
    if (event->data.scalar.anchor || event->data.scalar.tag) {
        return fail_at(walk, line, err, "anchors and tags are not used in run files");
    }
    if (strlen(text) != event->data.scalar.length) {
        return fail_at(walk, line, err, "a value holds a zero byte");
    }
    if (walk->depth == 0) {
        if (text[0] == 0) {
            return 0; /* a document that holds nothing */
        }
        return fail_at(walk, line, err, "a run file is a mapping of keys to values");
    }
    if (walk->in_list) {
        return add_list_item(walk, text, line, err);
    }
    if (walk->key) {
        return add_entry(walk, text, false, err);
    }
    walk->key = rub_arena_strdup(walk->arena, text);
    walk->key_line = line;
    return walk->key ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for '%s'", walk->name);
}

static int on_mapping(walk_t *walk, const yaml_event_t *event, rub_error_t *err)
{
    const unsigned line = line_of(event);
    if (event->data.mapping_start.anchor || event->data.mapping_start.tag) {
        return fail_at(walk, line, err, "anchors and tags are not used in run files");
    }
    if (walk->in_list) {
        return begin_item(walk, line, err);
    }
    if (walk->depth >= 2 || (walk->depth == 1 && !walk->key)) {
        return fail_at(walk, line, err, "nested deeper than 'group: {key: value}'");
    }
    walk->depth++;
    if (walk->depth == 2) {
        walk->group = walk->key;
        walk->key = NULL;
    }
    return 0;
}

static int on_sequence(walk_t *walk, const yaml_event_t *event, rub_error_t *err)
{
    const unsigned line = line_of(event);
    if (event->data.sequence_start.anchor || event->data.sequence_start.tag) {
        return fail_at(walk, line, err, "anchors and tags are not used in run files");
    }
    if (walk->in_list || !walk->key) {
        return fail_at(walk, line, err, "a list stands where a key or one value is wanted");
    }
    walk->in_list = true;
    walk->item_depth = 0;
    walk->list_bytes = 0;
    walk->list[0] = 0;
    return 0;
}

static int on_event(walk_t *walk, const yaml_event_t *event, rub_error_t *err)
{
    switch (event->type) {
    case YAML_SCALAR_EVENT:
        return on_scalar(walk, event, err);
    case YAML_MAPPING_START_EVENT:
        return on_mapping(walk, event, err);
    case YAML_MAPPING_END_EVENT:
        if (walk->in_list) {
            return end_item(walk, line_of(event), err);
        }
        walk->depth--;
        walk->group = NULL;
        return 0;
    case YAML_SEQUENCE_START_EVENT:
        return on_sequence(walk, event, err);
    case YAML_SEQUENCE_END_EVENT:
        walk->in_list = false;
        return add_entry(walk, walk->list, true, err);
    case YAML_ALIAS_EVENT:
        return fail_at(walk, line_of(event), err, "aliases are not used in run files");
    case YAML_DOCUMENT_START_EVENT:
        walk->n_documents++;
        return walk->n_documents == 1
                   ? 0
                   : fail_at(walk, line_of(event), err, "a second document; a run file has one");
    default:
        return 0;
    }
}

int rub_yaml_parse(const char *name, const char *text, size_t bytes, rub_arena_t *arena,
                   rub_yaml_entries_t *entries, rub_error_t *err)
{
    entries->n_items = 0;
    entries->items = rub_arena_calloc(arena, RUB_YAML_ENTRIES_LIMIT, sizeof *entries->items);
    yaml_parser_t parser;
    if (!entries->items || !yaml_parser_initialize(&parser)) {
        return rub_fail(err, RUB_ENOMEM, "no memory to read '%s'", name);
    }
    yaml_parser_set_input_string(&parser, (const unsigned char *)text, bytes);
    walk_t walk = {.name = name, .arena = arena, .entries = entries};
    int rc = 0;
    bool ended = false;
    while (rc == 0 && !ended) {
        yaml_event_t event;
        if (!yaml_parser_parse(&parser, &event)) {
            rc = rub_fail(err, RUB_ECONFIG, "%s:%zu: %s", name, parser.problem_mark.line + 1,
                          parser.problem ? parser.problem : "not YAML");
            break;
        }
        ended = event.type == YAML_STREAM_END_EVENT;
        rc = on_event(&walk, &event, err);
        yaml_event_delete(&event);
    }
    yaml_parser_delete(&parser);
    return rc;
}
