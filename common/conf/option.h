/* The rows of options.def as a table: finding a row by a key that a person wrote, and turning text
 * into a member of rub_config_t and back. Pure: no files, no environment. */
#ifndef RUB_OPTION_H
#define RUB_OPTION_H

#include "common/conf/config.h"

typedef enum {
    RUB_OPTION_U64,
    RUB_OPTION_F64,
    RUB_OPTION_BOOL,
    RUB_OPTION_STR,
    RUB_OPTION_ENUM,
    RUB_OPTION_STALENESS,
    RUB_OPTION_MS,
    RUB_OPTION_BYTES,
    RUB_OPTION_LIST,
    RUB_OPTION_ITEMS,
} rub_option_type_t;

typedef struct rub_option {
    rub_option_type_t type;
    const char *group, *name, *fallback, *words, *help;
    double min, max;
    uint32_t commands; /* RUB_FOR_* */
    size_t offset;     /* of the member in rub_config_t */
} rub_option_t;

extern const rub_option_t rub_option_table[RUB_OPT_COUNT];

/* A key of a person, found. */
typedef struct rub_option_match {
    const rub_option_t *option;
    bool unit_left_off; /* "join_timeout" for join_timeout_ms: a bare number means seconds, or bytes
                         */
} rub_option_match_t;

/* Finds the option that `key` means: its name ("-" counts as "_"), the name without its unit,
 * "group.key", or, inside `group` (NULL: top level), the name without the group's. RUB_ECONFIG when
 * there is none; the sentence names the nearest. */
int rub_option_find(const char *group, const char *key, rub_option_match_t *match,
                    rub_error_t *err);

/* The title of a group ("The data"), or NULL when there is no such group. */
const char *rub_option_group_title(const char *group);
/* The known group whose name is most like that one. */
const char *rub_option_nearest_group(const char *group);

/* Parses text into the option's member. is_list: the text came from a YAML sequence. Strings are
 * copied into the config's arena. RUB_ECONFIG: the sentence says the fact and the bound, without
 * where and key; RUB_ENOMEM. */
int rub_option_parse(rub_config_t *config, const rub_option_match_t *match, const char *text,
                     bool is_list, rub_error_t *err);

/* Writes the member's present value as text that rub_option_parse reads back; returns out. */
const char *rub_option_format(const rub_config_t *config, const rub_option_t *option, char *out,
                              size_t out_bytes);

/* Edits (insert, delete, replace) that turn a into b; both are cut at 64 bytes. */
unsigned rub_edit_distance(const char *a, const char *b);

#endif
