/* Columns with tables of their own.
 *
 * Idea: a key says which column it is of above its hash (rub_sparse_options_t.own), so a batch's
 * sorted keys fall into one stretch for each table, and the model, which only knows places, sees no
 * difference. What a column's settings mean is decided where a run file's are: each is an option of
 * the table, read into a copy of the configuration, which then has to pass the same checks.
 * Invariant: tables' names follow from columns' names alone, so that a trained model finds them
 * whatever the order of columns in other files. */
#include "worker/train/column_tables.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/conf/option.h"
#include "common/num/optimizer.h"
#include "worker/data/column_names.h"
#include "worker/data/csv_fields.h"
#include "worker/data/text_file.h"
#include "worker/train/update.h"
#include "worker/train/workload.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

static const rub_option_id_t settings[] = {RUB_OPT_factors,
                                           RUB_OPT_optimizer,
                                           RUB_OPT_lr,
                                           RUB_OPT_momentum,
                                           RUB_OPT_beta1,
                                           RUB_OPT_beta2,
                                           RUB_OPT_epsilon,
                                           RUB_OPT_weight_decay,
                                           RUB_OPT_rho,
                                           RUB_OPT_l1,
                                           RUB_OPT_l2,
                                           RUB_OPT_ftrl_beta,
                                           RUB_OPT_evict_idle,
                                           RUB_OPT_evict_norm,
                                           RUB_OPT_evict_sweep,
                                           RUB_OPT_admit_count,
                                           RUB_OPT_admit_counters,
                                           RUB_OPT_admit_probability};

static int no_memory(rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "column_tables: no memory");
}

/* ---- the run file's words ---- */

/* A part of the text; not terminated. */
typedef struct words {
    const char *text;
    size_t bytes;
} words_t;

/* "city", or "city: {lr: 0.1,admit_count: 3}" without the braces. */
typedef struct item {
    words_t column, settings;
} item_t;

static words_t trimmed(const char *text, size_t bytes)
{
    const size_t blanks = strspn(text, " ");
    const size_t skipped = blanks < bytes ? blanks : bytes;
    text += skipped;
    bytes -= skipped;
    while (bytes > 0 && text[bytes - 1] == ' ') {
        bytes--;
    }
    return (words_t){text, bytes};
}

/* Cuts the next item off; *at_p becomes NULL behind the last one. */
static int cut_item(const char **at_p, item_t *item, rub_error_t *err)
{
    const char *at = *at_p;
    const size_t bytes = strcspn(at, ",:{}");
    *item = (item_t){.column = trimmed(at, bytes)};
    at += bytes;
    if (item->column.bytes == 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "column_tables: '%.20s' stands where a column is expected", at);
    }
    if (*at == ':') {
        at++;
        at += strspn(at, " ");
        const size_t inner = *at == '{' ? strcspn(at + 1, "{}") : 0;
        if (*at != '{' || at[1 + inner] != '}') {
            return rub_fail(err, RUB_ECONFIG,
                            "column_tables: '%.20s' stands where {setting: value, ...} is expected",
                            at);
        }
        item->settings = trimmed(at + 1, inner);
        at += inner + 2;
        at += strspn(at, " ");
    }
    if (*at != ',' && *at != '\0') {
        return rub_fail(err, RUB_ECONFIG,
                        "column_tables: '%.20s' stands where ',' or the end is expected", at);
    }
    *at_p = *at == ',' ? at + 1 : NULL;
    return 0;
}

static int find_setting(words_t column, words_t name, rub_option_id_t *id_p, rub_error_t *err)
{
    char known[300] = "";
    for (size_t i = 0, used = 0; i < RUB_COUNT_OF(settings); i++) {
        const char *const option = rub_option_table[settings[i]].name;
        if (strlen(option) == name.bytes && memcmp(option, name.text, name.bytes) == 0) {
            *id_p = settings[i];
            return 0;
        }
        used +=
            (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "", option);
    }
    return rub_fail(err, RUB_ECONFIG,
                    "column_tables: '%.*s': '%.*s' is no setting of a column, expected one of %s",
                    (int)column.bytes, column.text, (int)name.bytes, name.text, known);
}

static int apply_setting(rub_config_t *config, words_t column, words_t setting, rub_error_t *err)
{
    char where[120], value[64];
    rub_option_id_t id = RUB_OPT_COUNT;
    const char *const colon = memchr(setting.text, ':', setting.bytes);
    const size_t name_bytes = colon ? (size_t)(colon - setting.text) : setting.bytes;
    const int rc = find_setting(column, trimmed(setting.text, name_bytes), &id, err);
    if (rc != 0) {
        return rc;
    }
    const words_t text =
        colon ? trimmed(colon + 1, setting.bytes - name_bytes - 1) : (words_t){"", 0};
    snprintf(where, sizeof where, "column_tables: '%.*s'", (int)column.bytes, column.text);
    snprintf(value, sizeof value, "%.*s", (int)text.bytes, text.text);
    return rub_config_set(config, id, value, RUB_FROM_PROGRAM, where, err);
}

static int apply_settings(rub_config_t *config, const item_t *item, rub_error_t *err)
{
    const char *at = item->settings.text;
    size_t left = item->settings.bytes;
    int rc = 0;
    while (left > 0 && rc == 0) {
        const char *const comma = memchr(at, ',', left);
        const size_t bytes = comma ? (size_t)(comma - at) : left;
        rc = apply_setting(config, item->column, trimmed(at, bytes), err);
        at += bytes + (comma != NULL);
        left -= bytes + (comma != NULL);
    }
    return rc;
}

/* ---- which columns ---- */

static bool is_meant(const item_t *item, const rub_column_names_t *columns, uint32_t column)
{
    const char *const name = columns->names[column];
    return rub_csv_word_means(item->column.text, item->column.bytes, column, name, strlen(name));
}

static int no_such_column(const item_t *item, const rub_column_names_t *columns, rub_error_t *err)
{
    char known[300] = "";
    size_t used = 0;
    bool whole = true;
    for (uint32_t i = 0; i < columns->n && whole; i++) {
        whole = used + strlen(columns->names[i]) + sizeof(", ...") < sizeof known;
        used += (size_t)snprintf(known + used, sizeof known - used, "%s%s", i > 0 ? ", " : "",
                                 whole ? columns->names[i] : "...");
    }
    return rub_fail(err, RUB_ECONFIG, "column_tables: there is no column '%.*s' among the %u: %s",
                    (int)item->column.bytes, item->column.text, columns->n, known);
}

/* Marks the columns that items mean. The label's has no features: a range may pass over it. */
static int mark(const char *text, const rub_column_names_t *columns, bool *marks, rub_error_t *err)
{
    int rc = 0;
    for (const char *at = text; at && rc == 0;) {
        item_t item;
        bool any = false, label = false;
        rc = cut_item(&at, &item, err);
        for (uint32_t i = 0; i < columns->n && rc == 0; i++) {
            const bool meant = is_meant(&item, columns, i);
            any = any || (meant && i != columns->label);
            label = label || (meant && i == columns->label);
            marks[i] = marks[i] || (meant && i != columns->label);
        }
        if (rc == 0 && !any) {
            rc = !label
                     ? no_such_column(&item, columns, err)
                     : rub_fail(err, RUB_ECONFIG,
                                "column_tables: '%.*s' is the label's column, it has no features",
                                (int)item.column.bytes, item.column.text);
        }
    }
    return rc;
}

/* Two columns of one name would have one table and be told apart by nobody. */
static int check_name(const rub_column_tables_t *self, const char *name, rub_error_t *err)
{
    for (const char *c = name; *c; c++) {
        if ((unsigned char)*c < ' ' || *c == 0x7f) {
            return rub_fail(err, RUB_ECONFIG,
                            "column_tables: a column's name holds a control character (0x%02x), "
                            "which no table's may",
                            (unsigned char)*c);
        }
    }
    if (!name[0] || rub_text_bad_byte(name, strlen(name))) {
        return rub_fail(err, RUB_ECONFIG, "column_tables: a column's name is %s, no table's may be",
                        name[0] ? "not UTF-8" : "empty");
    }
    for (uint32_t i = 0; i < self->n_own; i++) {
        if (strcmp(self->own[i], name) == 0) {
            return rub_fail(err, RUB_ECONFIG,
                            "column_tables: two columns are called '%s', expected names that tell "
                            "them apart",
                            name);
        }
    }
    return 0;
}

static int choose(const rub_config_t *config, const rub_column_names_t *columns,
                  rub_column_tables_t *self, rub_error_t *err)
{
    bool *const marks = rub_arena_calloc(&self->arena, columns->n + 1u, sizeof *marks);
    self->own = rub_arena_calloc(&self->arena, columns->n + 1u, sizeof *self->own);
    int rc = marks && self->own ? mark(config->column_tables, columns, marks, err) : no_memory(err);
    for (uint32_t i = 0; i < columns->n && rc == 0; i++) {
        if (marks[i]) {
            rc = check_name(self, columns->names[i], err);
            self->own[self->n_own] = rub_arena_strdup(&self->arena, columns->names[i]);
            rc = rc || self->own[self->n_own] ? rc : no_memory(err);
            self->n_own += rc == 0;
        }
    }
    return rc;
}

/* ---- the tables ---- */

/* Makes them, of the width that the columns' factors say; updates: n_own + 1, or NULL. */
static int make_items(const rub_config_t *config, const rub_update_t **updates,
                      rub_column_tables_t *self, rub_error_t *err)
{
    const rub_sparse_kind_t *const kind =
        rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind));
    const size_t n_of = self->n_own + 1u;
    self->n_tables = kind->n_tables;
    self->items = rub_arena_calloc(&self->arena, kind->n_tables * n_of, sizeof *self->items);
    if (!self->items) {
        return no_memory(err);
    }
    for (size_t i = 0; i < kind->n_tables * n_of; i++) {
        const rub_sparse_table_t *const table = &kind->tables[i / n_of];
        const size_t c = i % n_of;
        char *name = NULL;
        if (c == self->n_own) {
            name = rub_arena_strdup(&self->arena, table->name);
        } else {
            const size_t bytes = strlen(table->name) + strlen(self->own[c]) + 2;
            name = rub_arena_alloc(&self->arena, bytes);
            (void)(name && snprintf(name, bytes, "%s.%s", table->name, self->own[c]));
        }
        if (!name) {
            return no_memory(err);
        }
        if (strlen(name) > RUB_WEIGHTS_NAME_LIMIT) {
            return rub_fail(err, RUB_ECONFIG,
                            "column_tables: '%s' would be a table's name of %zu bytes, at most %u",
                            name, strlen(name), RUB_WEIGHTS_NAME_LIMIT);
        }
        self->items[i] =
            (rub_row_table_t){.name = name,
                              .width = table->width > 0 ? table->width : self->factors[c],
                              .update = updates ? updates[c] : NULL};
    }
    return 0;
}

/* ---- of a run file ---- */

/* All that the run file says, and what it says of this column. */
static int configure(rub_config_t *config, const rub_column_names_t *columns, uint32_t column,
                     bool *is_own_p, rub_error_t *err)
{
    int rc = 0;
    *is_own_p = false;
    for (const char *at = config->column_tables; at && rc == 0;) {
        item_t item;
        rc = cut_item(&at, &item, err);
        if (rc == 0 && item.settings.bytes > 0 && is_meant(&item, columns, column)) {
            *is_own_p = true;
            rc = apply_settings(config, &item, err);
        }
    }
    return rc;
}

/* Does the column's configuration make sense by itself, and beside the others'? */
static int check_column(const rub_config_t *all, const rub_config_t *own,
                        const rub_update_t *update, rub_error_t *err)
{
    const char *const kind = rub_config_word(all, RUB_OPT_model_kind);
    rub_hyper_t hyper = update->hyper;
    hyper.schedule_clocks += hyper.schedule_clocks == 0; /* once there is a session, it is known */
    if (own->factors != all->factors && !rub_sparse_kind_named(kind)->own_widths) {
        return rub_fail(err, RUB_ECONFIG,
                        "factors: %" PRIu64 ", but all rows of model_kind %s are as wide; those of "
                        "wide_deep may differ",
                        own->factors, kind);
    }
    const int rc = rub_workload_check(own, err);
    return rc ? rc
              : rub_optimizer_check_table(rub_optimizer_find((uint32_t)update->optimizer),
                                          RUB_HASHED, &hyper, err);
}

/* Of the own column number c: *update_p stays as it is where it has no settings. */
static int settle_column(const rub_config_t *config, const rub_column_names_t *columns, uint32_t c,
                         rub_column_tables_t *self, const rub_update_t **update_p, rub_error_t *err)
{
    uint32_t column = 0;
    bool is_own = false;
    rub_update_t *update = NULL;
    rub_config_t *const own = rub_alloc(sizeof *own);
    if (!own) {
        return no_memory(err);
    }
    *own = *config;
    rub_arena_init(&own->arena);
    while (strcmp(columns->names[column], self->own[c]) != 0) {
        column++;
    }
    int rc = configure(own, columns, column, &is_own, err);
    if (rc == 0 && is_own) {
        update = rub_arena_alloc(&self->arena, sizeof *update);
        rc = update ? 0 : no_memory(err);
    }
    if (update) {
        *update = rub_update_read(own);
        rc = check_column(config, own, update, err);
        rc = rc ? rub_wrap(err, rc, "column_tables: '%s'", self->own[c]) : 0;
        self->factors[c] = (uint32_t)own->factors;
        *update_p = update;
    }
    rub_arena_fini(&own->arena);
    rub_free(own);
    return rc;
}

/* Keys and messages have limits, and a name in a sentence is better than a number. */
static int check_limits(const rub_config_t *config, const rub_column_tables_t *self,
                        rub_error_t *err)
{
    const rub_sparse_kind_t *const kind =
        rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind));
    const uint64_t n_tables = kind->n_tables * (self->n_own + UINT64_C(1));
    if (n_tables > RUB_COLUMN_TABLES_LIMIT) {
        return rub_fail(err, RUB_ECONFIG,
                        "column_tables: %" PRIu32 " columns make %" PRIu64
                        " tables of model_kind %s, expected at most %u",
                        self->n_own, n_tables, kind->name, RUB_COLUMN_TABLES_LIMIT);
    }
    const uint32_t most = (uint32_t)__builtin_clz(self->n_own);
    return config->hash_bits <= most
               ? 0
               : rub_fail(err, RUB_ECONFIG,
                          "hash_bits: %" PRIu64 ", expected at most %" PRIu32 " beside %" PRIu32
                          " columns with tables of their own (each has so many keys for itself)",
                          config->hash_bits, most, self->n_own);
}

static uint32_t factors_of(const rub_config_t *config)
{
    const rub_sparse_kind_t *const kind =
        rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind));
    return (uint32_t)(kind->loss == RUB_LOSS_SOFTMAX ? config->classes : config->factors);
}

static int begin(rub_column_tables_t *self, uint32_t factors, rub_error_t *err)
{
    self->factors = rub_arena_calloc(&self->arena, self->n_own + 1u, sizeof *self->factors);
    for (uint32_t c = 0; self->factors && c <= self->n_own; c++) {
        self->factors[c] = factors;
    }
    return self->factors ? 0 : no_memory(err);
}

int rub_column_tables_read(const rub_config_t *config, const rub_sparse_options_t *train,
                           const rub_update_t *update, rub_column_tables_t *self, rub_error_t *err)
{
    rub_column_names_t columns = {.label = UINT32_MAX};
    rub_sparse_options_t options = *train;
    options.own = NULL;
    options.n_own = 0;
    *self = (rub_column_tables_t){0};
    rub_arena_init(&self->arena);
    int rc = 0;
    if (config->column_tables[0]) {
        rc = rub_column_names_read(&options, &columns, err);
        rc = rc ? rub_wrap(err, rc == RUB_EINVAL ? RUB_ECONFIG : rc, "column_tables") : 0;
        rc = rc ? rc : choose(config, &columns, self, err);
        rc = rc ? rc : check_limits(config, self, err);
    }
    rc = rc ? rc : begin(self, factors_of(config), err);
    const rub_update_t **const updates =
        rub_arena_calloc(&self->arena, self->n_own + 1u, sizeof *updates);
    rc = rc || updates ? rc : no_memory(err);
    for (uint32_t c = 0; c <= self->n_own && rc == 0; c++) {
        updates[c] = update;
        rc = c < self->n_own ? settle_column(config, &columns, c, self, &updates[c], err) : 0;
    }
    rc = rc ? rc : make_items(config, updates, self, err);
    rub_column_names_fini(&columns);
    return rc;
}

void rub_column_tables_close(rub_column_tables_t *self)
{
    rub_arena_fini(&self->arena);
    *self = (rub_column_tables_t){0};
}

uint32_t rub_column_tables_widest(const rub_column_tables_t *self)
{
    uint32_t widest = 0;
    for (uint32_t c = 0; c <= self->n_own; c++) {
        widest = self->factors[c] > widest ? self->factors[c] : widest;
    }
    return widest;
}

/* ---- of a trained model ---- */

/* The column that this table of the model's table is of; NULL: it is none of a column's. */
static const char *column_of(const rub_weight_table_t *weights, const char *table)
{
    const size_t n = strlen(table);
    const bool own = !weights->dense && strncmp(weights->name, table, n) == 0 &&
                     weights->name[n] == '.' && weights->name[n + 1] != '\0';
    return own ? weights->name + n + 1 : NULL;
}

int rub_column_tables_find(const rub_config_t *config, const rub_weights_t *weights,
                           rub_column_tables_t *self, rub_error_t *err)
{
    const rub_sparse_kind_t *const kind =
        rub_sparse_kind_named(rub_config_word(config, RUB_OPT_model_kind));
    const char *const last = kind->tables[kind->n_tables - 1].name;
    *self = (rub_column_tables_t){0};
    rub_arena_init(&self->arena);
    self->own = rub_arena_calloc(&self->arena, weights->n_tables + 1, sizeof *self->own);
    uint32_t *const widths = rub_arena_calloc(&self->arena, weights->n_tables + 1, sizeof *widths);
    int rc = self->own && widths ? 0 : no_memory(err);
    for (size_t i = 0; i < weights->n_tables && rc == 0; i++) {
        const char *const column = column_of(&weights->tables[i], last);
        if (column) {
            widths[self->n_own] = weights->tables[i].width;
            self->own[self->n_own++] = column;
        }
    }
    if (rc == 0 && (self->n_own > 0) != (config->column_tables[0] != '\0')) {
        rc =
            rub_fail(err, RUB_ECONFIG,
                     "column_tables: '%s', but %" PRIu32 " columns have tables of their own in the "
                     "weights",
                     config->column_tables, self->n_own);
    }
    rc = rc ? rc : begin(self, factors_of(config), err);
    for (uint32_t c = 0; c < self->n_own && rc == 0; c++) {
        self->factors[c] = kind->own_widths ? widths[c] : self->factors[c];
    }
    return rc ? rc : make_items(config, NULL, self, err);
}
