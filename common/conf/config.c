/* Resolves the layers: defaults, run file, environment, flags, each over the one before.
 *
 * Invariant: every value in the config went through rub_option_parse and carries its origin, the
 * defaults too (their texts are parsed like anybody's, so the table cannot hold a default that a
 * user could not write). The arguments are read first, for --config stands among them, and applied
 * last. */
#include "common/conf/config.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/conf/option.h"
#include "common/conf/yaml_entries.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define RUB_ARGUMENTS_LIMIT 1024

static const rub_origin_t default_origin = {RUB_FROM_DEFAULT, ""};

/* A flag, read and not yet applied. */
typedef struct assignment {
    rub_option_match_t match;
    const char *text, *where;
} assignment_t;

typedef struct arguments {
    assignment_t *items; /* in the config's arena */
    int n_items;
} arguments_t;

static int apply(rub_config_t *self, const rub_option_match_t *match, const char *text,
                 bool is_list, rub_source_t source, const char *where, rub_error_t *err)
{
    const int rc = rub_option_parse(self, match, text, is_list, err);
    if (rc != 0) {
        const char *colon = where[0] ? ": " : "";
        return rub_wrap(err, rc, "%s%s%s", where, colon, match->option->name);
    }
    self->origins[match->option - rub_option_table] = (rub_origin_t){source, where};
    return 0;
}

void rub_config_init(rub_config_t *self)
{
    *self = (rub_config_t){.file = ""};
    rub_arena_init(&self->arena);
}

void rub_config_fini(rub_config_t *self)
{
    rub_arena_fini(&self->arena);
    *self = (rub_config_t){.file = ""};
}

static int apply_defaults(rub_config_t *self, rub_error_t *err)
{
    for (int i = 0; i < RUB_OPT_COUNT; i++) {
        const rub_option_match_t match = {.option = &rub_option_table[i]};
        const int rc =
            apply(self, &match, match.option->fallback, false, RUB_FROM_DEFAULT, "", err);
        if (rc != 0) {
            return rc;
        }
        self->origins[i] = default_origin;
    }
    return 0;
}

static int apply_file(rub_config_t *self, rub_error_t *err)
{
    char *data = NULL;
    size_t bytes = 0;
    rub_error_t cause = {0};
    if (rub_fs_read(self->file, RUB_YAML_LIMIT_BYTES, &data, &bytes, &cause) != 0) {
        return rub_fail(err, RUB_ECONFIG, "run file: %s", cause.message);
    }
    rub_yaml_entries_t entries;
    unsigned seen_line[RUB_OPT_COUNT] = {0};
    int rc = rub_yaml_parse(self->file, data, bytes, &self->arena, &entries, err);
    for (size_t i = 0; rc == 0 && i < entries.n_items; i++) {
        const rub_yaml_entry_t *entry = &entries.items[i];
        char place[512];
        snprintf(place, sizeof place, "%s:%u", self->file, entry->line);
        const char *where = rub_arena_strdup(&self->arena, place);
        if (!where) {
            rc = rub_fail(err, RUB_ENOMEM, "no memory for '%s'", self->file);
            break;
        }
        if (entry->group && !rub_option_group_title(entry->group)) {
            rc = rub_fail(err, RUB_ECONFIG,
                          "%s: unknown group '%.64s'; the nearest known group is '%s'", where,
                          entry->group, rub_option_nearest_group(entry->group));
            break;
        }
        rub_option_match_t match;
        rc = rub_option_find(entry->group, entry->key, &match, err);
        if (rc != 0) {
            rc = rub_wrap(err, rc, "%s", where);
            break;
        }
        unsigned *line = &seen_line[match.option - rub_option_table];
        if (*line != 0) {
            rc = rub_fail(err, RUB_ECONFIG, "%s: %s stands already in line %u", where,
                          match.option->name, *line);
            break;
        }
        *line = entry->line;
        rc = apply(self, &match, entry->text, entry->is_list, RUB_FROM_FILE, where, err);
    }
    free(data);
    return rc;
}

static int apply_environment(rub_config_t *self, char *const *environment, rub_error_t *err)
{
    for (; environment && *environment; environment++) {
        const char *equals = strchr(*environment, '=');
        if (strncmp(*environment, "RUBATO_", 7) != 0 || !equals) {
            continue;
        }
        char *name =
            rub_arena_copy(&self->arena, *environment, (size_t)(equals - *environment) + 1);
        if (!name) {
            return rub_fail(err, RUB_ENOMEM, "no memory for the environment");
        }
        name[equals - *environment] = 0;
        char key[128];
        size_t n = 0;
        for (const char *p = name + 7; *p && n + 1 < sizeof key; p++) {
            key[n++] = (char)tolower((unsigned char)*p);
        }
        key[n] = 0;
        rub_option_match_t match;
        int rc = rub_option_find(NULL, key, &match, err);
        if (rc != 0) {
            return rub_wrap(err, rc, "environment variable %s", name);
        }
        rc = apply(self, &match, equals + 1, false, RUB_FROM_ENVIRONMENT, name, err);
        if (rc != 0) {
            return rc;
        }
    }
    return 0;
}

/* ---- arguments ---- */

static bool has_suffix(const char *text, const char *suffix)
{
    const size_t n = strlen(text), m = strlen(suffix);
    return n > m && strcmp(text + n - m, suffix) == 0;
}

static int take_word(rub_config_t *self, const char *word, rub_error_t *err)
{
    if (has_suffix(word, ".yaml") || has_suffix(word, ".yml")) {
        if (self->file[0]) {
            return rub_fail(err, RUB_ECONFIG, "two run files: '%s' and '%s'", self->file, word);
        }
        self->file = rub_arena_strdup(&self->arena, word);
        return self->file ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for '%s'", word);
    }
    if (self->n_words == RUB_WORDS_LIMIT) {
        return rub_fail(err, RUB_ECONFIG, "'%s': more than %u arguments", word, RUB_WORDS_LIMIT);
    }
    self->words[self->n_words] = rub_arena_strdup(&self->arena, word);
    return self->words[self->n_words++] ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for '%s'", word);
}

static int push_assignment(rub_config_t *self, arguments_t *list, const rub_option_match_t *match,
                           const char *text, const char *where, rub_error_t *err)
{
    char *copy = rub_arena_strdup(&self->arena, text),
         *place = rub_arena_strdup(&self->arena, where);
    if (!copy || !place) {
        return rub_fail(err, RUB_ENOMEM, "no memory for the arguments");
    }
    list->items[list->n_items++] = (assignment_t){*match, copy, place};
    return 0;
}

/* --set key=value: any option of the table, whatever the command. */
static int take_set(rub_config_t *self, arguments_t *list, const char *text, rub_error_t *err)
{
    const char *equals = strchr(text, '=');
    char key[128];
    if (!equals || equals == text || (size_t)(equals - text) >= sizeof key) {
        return rub_fail(err, RUB_ECONFIG, "--set %.80s: wants key=value", text);
    }
    snprintf(key, sizeof key, "%.*s", (int)(equals - text), text);
    rub_option_match_t match;
    const int rc = rub_option_find(NULL, key, &match, err);
    return rc != 0 ? rub_wrap(err, rc, "--set %.80s", text)
                   : push_assignment(self, list, &match, equals + 1, "--set", err);
}

static int take_flag(rub_config_t *self, uint32_t command, arguments_t *list, const char *flag,
                     const char *value, bool *used_value_p, rub_error_t *err)
{
    char name[128];
    const char *equals = strchr(flag, '=');
    const size_t n = equals ? (size_t)(equals - flag) : strlen(flag);
    snprintf(name, sizeof name, "%.*s", n < sizeof name ? (int)n : (int)sizeof name - 1, flag);
    const bool no = strncmp(name, "--no-", 5) == 0;
    rub_option_match_t match;
    int rc = rub_option_find(NULL, name + (no ? 5 : 2), &match, err);
    if (rc != 0) {
        return rub_wrap(err, rc, "%s", name);
    }
    if (!(match.option->commands & command)) {
        return rub_fail(err, RUB_ECONFIG,
                        "%s is not a flag of this command (help says which are); of commands that "
                        "take a run's options --set %s=VALUE overrules the run's own",
                        name, match.option->name);
    }
    const bool is_bool = match.option->type == RUB_OPTION_BOOL;
    if (no && (!is_bool || equals)) {
        return rub_fail(err, RUB_ECONFIG, "%s: only a switch without a value can be turned off so",
                        name);
    }
    const char *text = equals ? equals + 1 : is_bool ? (no ? "false" : "true") : value;
    *used_value_p = !equals && !is_bool;
    if (!text) {
        return rub_fail(err, RUB_ECONFIG, "%s: its value is missing", name);
    }
    return push_assignment(self, list, &match, text, name, err);
}

static int take_argument(rub_config_t *self, uint32_t command, arguments_t *list,
                         const char *argument, const char *next, bool *used_next_p,
                         rub_error_t *err)
{
    if (strcmp(argument, "--help") == 0 || strcmp(argument, "-h") == 0) {
        self->wants_help = true;
        return 0;
    }
    if (strcmp(argument, "--print-config") == 0) {
        self->wants_print_config = true;
        return 0;
    }
    const bool set = strcmp(argument, "--set") == 0, file = strcmp(argument, "--config") == 0;
    if (set || file) {
        *used_next_p = true;
        if (!next) {
            return rub_fail(err, RUB_ECONFIG, "%s: its value is missing", argument);
        }
        if (set) {
            return take_set(self, list, next, err);
        }
        self->file = rub_arena_strdup(&self->arena, next);
        return self->file ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for '%s'", next);
    }
    if (strncmp(argument, "--set=", 6) == 0) {
        return take_set(self, list, argument + 6, err);
    }
    if (strncmp(argument, "--config=", 9) == 0) {
        self->file = rub_arena_strdup(&self->arena, argument + 9);
        return self->file ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for '%s'", argument);
    }
    if (strcmp(argument, "-o") == 0) {
        return take_flag(self, command, list, "--output", next, used_next_p, err);
    }
    if (strncmp(argument, "--", 2) == 0 && argument[2]) {
        return take_flag(self, command, list, argument, next, used_next_p, err);
    }
    if (argument[0] == '-' && argument[1] != '\0') { /* "-" is a word: standard input */
        return rub_fail(err, RUB_ECONFIG, "'%s' is not a flag; flags are written --name", argument);
    }
    return take_word(self, argument, err);
}

static int read_arguments(rub_config_t *self, uint32_t command, int n, char *const *arguments,
                          arguments_t *list, rub_error_t *err)
{
    if (n > RUB_ARGUMENTS_LIMIT) {
        return rub_fail(err, RUB_ECONFIG, "%d arguments are above the limit of %d", n,
                        RUB_ARGUMENTS_LIMIT);
    }
    list->items = rub_arena_calloc(&self->arena, (size_t)n + 1, sizeof *list->items);
    if (!list->items) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %d arguments", n);
    }
    for (int i = 0; i < n && !self->wants_help; i++) {
        bool used_next = false;
        const char *next = i + 1 < n ? arguments[i + 1] : NULL;
        const int rc = take_argument(self, command, list, arguments[i], next, &used_next, err);
        if (rc != 0) {
            return rc;
        }
        i += used_next;
    }
    return 0;
}

/* ---- what options mean together ---- */

static int fail_together(const rub_config_t *self, rub_option_id_t option, rub_error_t *err,
                         const char *fact)
{
    const char *where = self->origins[option].where;
    return rub_fail(err, RUB_ECONFIG, "%s%s%s: %s", where, where[0] ? ": " : "",
                    rub_option_table[option].name, fact);
}

/* A list of layers says by itself what kind of model they make. */
static int check_layers(rub_config_t *self, rub_error_t *err)
{
    static const char sequential[] = "sequential";
    const bool listed = self->layers[0] != '\0';
    if (listed && self->origins[RUB_OPT_model_kind].source == RUB_FROM_DEFAULT) {
        return rub_config_set(self, RUB_OPT_model_kind, sequential, RUB_FROM_PROGRAM, "layers",
                              err);
    }
    const char *kind = rub_config_word(self, RUB_OPT_model_kind);
    char fact[120];
    if (listed == (strcmp(kind, sequential) == 0)) {
        return 0;
    }
    snprintf(fact, sizeof fact,
             listed ? "are for model_kind sequential, but it is %s" : "none, %s wants at least one",
             kind);
    return fail_together(self, RUB_OPT_layers, err, fact);
}

static int check_together(rub_config_t *self, uint32_t command, rub_error_t *err)
{
    if (self->n_shards == 0 || (command & RUB_FOR_TRAIN)) {
        self->n_shards = self->ps * self->shards;
        self->origins[RUB_OPT_n_shards] = (rub_origin_t){RUB_FROM_PROGRAM, "ps times shards"};
        if (self->n_shards > (uint64_t)rub_option_table[RUB_OPT_n_shards].max) {
            return fail_together(self, RUB_OPT_ps, err,
                                 "ps times shards is above the limit of 256");
        }
    }
    /* The VIEW names every rank and shard, and tables besides, in one control message of 64 KiB:
     * the same bytes for each as in scheduler/scheduler_view.c. */
    enum { RANK_BYTES = 13, SHARD_BYTES = 150, VIEW_BYTES = 56 << 10 };
    const uint64_t view_bytes = RANK_BYTES * self->workers + SHARD_BYTES * self->n_shards;
    if ((command & (RUB_FOR_TRAIN | RUB_FOR_SCHEDULER)) && view_bytes > VIEW_BYTES) {
        char fact[160];
        snprintf(fact, sizeof fact,
                 "%u workers and %u shards do not fit into one message; at most %u workers then",
                 (unsigned)self->workers, (unsigned)self->n_shards,
                 (unsigned)((VIEW_BYTES - SHARD_BYTES * self->n_shards) / RANK_BYTES));
        return fail_together(self, RUB_OPT_workers, err, fact);
    }
    const bool is_ps = (command & RUB_FOR_PS) != 0;
    if (is_ps && self->first_shard + self->shards > self->n_shards) {
        char fact[160];
        snprintf(fact, sizeof fact, "shards %u to %u do not fit a job of %u shards",
                 (unsigned)self->first_shard, (unsigned)(self->first_shard + self->shards - 1),
                 (unsigned)self->n_shards);
        return fail_together(self, RUB_OPT_first_shard, err, fact);
    }
    const char *colon = strrchr(self->scheduler, ':');
    if (strncmp(self->scheduler, "tcp://", 6) != 0 || colon <= self->scheduler + 6) {
        char fact[200];
        snprintf(fact, sizeof fact, "'%.120s' is not of the form tcp://host:port", self->scheduler);
        return fail_together(self, RUB_OPT_scheduler, err, fact);
    }
    char *end = NULL;
    const unsigned long port = strtoul(colon + 1, &end, 10);
    if (end == colon + 1 || *end != 0 || port > 65535) {
        char fact[200];
        snprintf(fact, sizeof fact, "'%s' is not a port from 0 to 65535", colon + 1);
        return fail_together(self, RUB_OPT_scheduler, err, fact);
    }
    const int rc = check_layers(self, err);
    if (rc != 0) {
        return rc;
    }
    /* What rubato data converts is named by its words; the labels' file alone by an option. */
    if (!(command & RUB_FOR_DATA) && !self->train_images[0] != !self->train_labels[0]) {
        return fail_together(self, RUB_OPT_train_images, err,
                             "train_images and train_labels go together");
    }
    if (!self->test_images[0] != !self->test_labels[0]) {
        return fail_together(self, RUB_OPT_test_images, err,
                             "test_images and test_labels go together");
    }
    if (!self->valid_images[0] != !self->valid_labels[0]) {
        return fail_together(self, RUB_OPT_valid_images, err,
                             "valid_images and valid_labels go together");
    }
    return 0;
}

int rub_config_check_reduce(const rub_config_t *self, rub_error_t *err)
{
    char fact[120], bound[24];
    if (self->reduce == 0 || self->staleness == 0) {
        return 0;
    }
    snprintf(fact, sizeof fact,
             "%s, but staleness is %s, where each push is a step of its own; expected bsp",
             rub_config_word(self, RUB_OPT_reduce),
             rub_staleness_text(self->staleness, bound, sizeof bound));
    return fail_together(self, RUB_OPT_reduce, err, fact);
}

int rub_config_load(rub_config_t *self, uint32_t command, int n, char *const *arguments,
                    char *const *environment, rub_error_t *err)
{
    arguments_t list = {0};
    int rc = apply_defaults(self, err);
    RUB_ASSERT(rc != RUB_ECONFIG); /* the table's defaults are values that the table allows */
    rc = rc == 0 ? read_arguments(self, command, n, arguments, &list, err) : rc;
    if (rc != 0 || self->wants_help) {
        return rc;
    }
    rc = self->file[0] ? apply_file(self, err) : 0;
    rc = rc == 0 ? apply_environment(self, environment, err) : rc;
    for (int i = 0; rc == 0 && i < list.n_items; i++) {
        const assignment_t *item = &list.items[i];
        rc = apply(self, &item->match, item->text, false, RUB_FROM_FLAG, item->where, err);
    }
    return rc == 0 ? check_together(self, command, err) : rc;
}

int rub_config_set(rub_config_t *self, rub_option_id_t option, const char *text,
                   rub_source_t source, const char *where, rub_error_t *err)
{
    const rub_option_match_t match = {.option = &rub_option_table[option]};
    const char *copy = rub_arena_strdup(&self->arena, where);
    return copy ? apply(self, &match, text, false, source, copy, err)
                : rub_fail(err, RUB_ENOMEM, "no memory for '%s'", where);
}

bool rub_config_listens_on_ipc(const rub_config_t *self)
{
    return strcmp(self->listen, "ipc") == 0;
}

const char *rub_config_tcp_interface(const rub_config_t *self)
{
    return rub_config_listens_on_ipc(self) ? "127.0.0.1" : self->listen;
}
