/* The table itself, and how a key that a person wrote finds its row.
 *
 * A key may be written in a few ways (dashes, dotted, without its group's name or its unit), but
 * every way means exactly one row: the names in options.def are unique, and so are the shortened
 * ones within their group. What is not found is refused with the nearest name by edit distance
 * (Wagner and Fischer 1974), since most wrong keys are typing errors and a list of fifty names
 * helps nobody. */
#include "common/base/check.h"
#include "common/base/classes.h"
#include "common/base/error.h"
#include "common/conf/option.h"

#include <limits.h>
#include <stdio.h>
#include <string.h>

#define RUB_KEY_LIMIT 64u

#define RUB_GROUP(group, title)
#define RUB_OPTION(type_, group_, name_, fallback_, min_, max_, commands_, words_, help_)          \
    {.type = RUB_OPTION_##type_,                                                                   \
     .group = #group_,                                                                             \
     .name = #name_,                                                                               \
     .fallback = fallback_,                                                                        \
     .words = words_,                                                                              \
     .help = help_,                                                                                \
     .min = min_,                                                                                  \
     .max = max_,                                                                                  \
     .commands = commands_,                                                                        \
     .offset = offsetof(rub_config_t, name_)},
const rub_option_t rub_option_table[RUB_OPT_COUNT] = {
#include "common/conf/options.def"
};
#undef RUB_OPTION
#undef RUB_GROUP

#define RUB_OPTION(...)
#define RUB_GROUP(group, title) {#group, title},
static const struct {
    const char *name, *title;
} group_table[] = {
#include "common/conf/options.def"
};
#undef RUB_OPTION
#undef RUB_GROUP

const char *rub_option_group_title(const char *group)
{
    for (size_t i = 0; i < RUB_COUNT_OF(group_table); i++) {
        if (strcmp(group_table[i].name, group) == 0) {
            return group_table[i].title;
        }
    }
    return NULL;
}

const char *rub_option_nearest_group(const char *group)
{
    const char *nearest = group_table[0].name;
    unsigned best = UINT_MAX;
    for (size_t i = 0; i < RUB_COUNT_OF(group_table); i++) {
        const unsigned distance = rub_edit_distance(group, group_table[i].name);
        if (distance < best) {
            best = distance;
            nearest = group_table[i].name;
        }
    }
    return nearest;
}

unsigned rub_edit_distance(const char *a, const char *b)
{
    const size_t n = strnlen(a, RUB_KEY_LIMIT), m = strnlen(b, RUB_KEY_LIMIT);
    unsigned row[RUB_KEY_LIMIT + 1];
    for (size_t j = 0; j <= m; j++) {
        row[j] = (unsigned)j;
    }
    for (size_t i = 1; i <= n; i++) {
        unsigned diagonal = row[0];
        row[0] = (unsigned)i;
        for (size_t j = 1; j <= m; j++) {
            const unsigned replaced = diagonal + (a[i - 1] != b[j - 1]);
            unsigned best = row[j] < row[j - 1] ? row[j] + 1 : row[j - 1] + 1;
            best = replaced < best ? replaced : best;
            diagonal = row[j];
            row[j] = best;
        }
    }
    return row[m];
}

/* The name without "_ms" or "_bytes" equals key. */
static bool matches_without_unit(const rub_option_t *option, const char *name, const char *key)
{
    const char *unit = option->type == RUB_OPTION_MS      ? "_ms"
                       : option->type == RUB_OPTION_BYTES ? "_bytes"
                                                          : NULL;
    const size_t key_length = strlen(key);
    return unit && strncmp(name, key, key_length) == 0 && strcmp(name + key_length, unit) == 0;
}

/* The option's name inside its group: "kind" for model_kind in model, else the whole name. */
static const char *name_in_group(const rub_option_t *option)
{
    const size_t n = strlen(option->group);
    const bool has_prefix = strncmp(option->name, option->group, n) == 0 && option->name[n] == '_';
    return has_prefix ? option->name + n + 1 : option->name;
}

static bool matches(const rub_option_t *option, bool in_group, const char *key,
                    rub_option_match_t *match)
{
    const char *names[2] = {option->name, in_group ? name_in_group(option) : option->name};
    for (int i = 0; i < 2; i++) {
        const bool whole = strcmp(names[i], key) == 0;
        if (whole || matches_without_unit(option, names[i], key)) {
            *match = (rub_option_match_t){.option = option, .unit_left_off = !whole};
            return true;
        }
    }
    return false;
}

static int fail_unknown(const char *group, const char *key, rub_error_t *err)
{
    unsigned best = UINT_MAX;
    const rub_option_t *nearest = &rub_option_table[0];
    const char *nearest_name = nearest->name;
    for (int i = 0; i < RUB_OPT_COUNT; i++) {
        const rub_option_t *option = &rub_option_table[i];
        const bool in_group = group && strcmp(group, option->group) == 0;
        const char *names[2] = {option->name, name_in_group(option)};
        for (int k = 0; k <= in_group; k++) {
            const unsigned distance = rub_edit_distance(key, names[k]);
            if (distance < best) {
                best = distance;
                nearest = option;
                nearest_name = names[k];
            }
        }
    }
    if (group && best == 0) {
        return rub_fail(err, RUB_ECONFIG, "'%s' stands in '%s' but belongs to '%s'", key, group,
                        nearest->group);
    }
    if (!group && rub_option_group_title(key)) {
        return rub_fail(
            err, RUB_ECONFIG,
            "'%s' is a group, not an option; its options are written '%s: {key: value}'", key, key);
    }
    return rub_fail(err, RUB_ECONFIG, "unknown key '%.64s'; the nearest known key is '%s'", key,
                    nearest_name);
}

int rub_option_find(const char *group, const char *key, rub_option_match_t *match, rub_error_t *err)
{
    char text[2 * RUB_KEY_LIMIT];
    if (snprintf(text, sizeof text, "%s", key) >= (int)sizeof text) {
        return rub_fail(err, RUB_ECONFIG, "unknown key '%.32s...': longer than any known key", key);
    }
    for (char *p = text; *p; p++) {
        *p = *p == '-' ? '_' : *p;
    }
    char *name = text;
    char *dot = strchr(text, '.');
    if (!group && dot) {
        *dot = 0;
        group = text;
        name = dot + 1;
        if (!rub_option_group_title(group)) {
            return rub_fail(err, RUB_ECONFIG,
                            "unknown group '%s' in '%s'; the nearest known group is '%s'", group,
                            key, rub_option_nearest_group(group));
        }
    }
    for (int i = 0; i < RUB_OPT_COUNT; i++) {
        const rub_option_t *option = &rub_option_table[i];
        const bool in_group = group && strcmp(group, option->group) == 0;
        if ((!group || in_group) && matches(option, in_group, name, match)) {
            return 0;
        }
    }
    return fail_unknown(group, name, err);
}
