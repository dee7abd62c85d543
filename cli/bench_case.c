/* The cases of `rubato bench pushpull` as a table, and how options change them.
 *
 * The named ones are the rows of the table that the project measures itself by: dense ranges that
 * are a message, several, and many; all rows of a table that fits a cache; few rows of one that
 * does not (in lists that come again, or not: fresh), for a reader that keeps some of them, too;
 * and pushes so small that only their number counts. */
#include "cli/bench_case.h"

#include "cli/bench_setup.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/num/optimizer.h"
#include "common/wire/header.h"

#include <stdio.h>
#include <string.h>

#define DENSE_ELEMENTS (UINT64_C(1) << 20) /* 4 MiB */
#define LARGE_ROWS (UINT64_C(1) << 20)
/* of a table with its slots; shards refuse at 4G */
#define MEMORY_LIMIT_BYTES (UINT64_C(3) << 30)

#define DENSE(case_name, case_verb, kib)                                                           \
    {                                                                                              \
        .name = case_name, .verb = case_verb, .call_items = (kib)*256, .rows = DENSE_ELEMENTS,     \
        .draw = RUB_DRAW_ORDERED, .in_flight = IN_FLIGHT, .optimizer = RUB_SGD,                    \
        .bar_kind = RUB_BENCH_BAR_RATE, .bar_none = 0.90, .bar_journal = 0.80,                     \
        .bar_lane = case_verb == RUB_BENCH_PUSH_PULL ? 0 : 2.00, .lend = true                      \
    }
/* more: what a case has besides */
#define ROWS(case_name, case_verb, keys, case_width, case_rows, case_draw, none, journal, more)    \
    {                                                                                              \
        .name = case_name, .verb = case_verb, .call_items = keys, .width = case_width,             \
        .rows = case_rows, .draw = case_draw, .in_flight = IN_FLIGHT, .optimizer = RUB_ADAGRAD,    \
        .bar_kind = RUB_BENCH_BAR_RATE, .bar_none = none, .bar_journal = journal, .lend = true,    \
        more                                                                                       \
    }
#define TINY(case_name, calls, kind, bar)                                                          \
    {                                                                                              \
        .name = case_name, .verb = RUB_BENCH_PUSH, .call_items = 1, .width = 16, .rows = 1024,     \
        .draw = RUB_DRAW_UNIFORM, .in_flight = calls, .optimizer = RUB_ADAGRAD, .bar_kind = kind,  \
        .bar_none = bar, .bar_journal = bar, .lend = true                                          \
    }

enum { IN_FLIGHT = 8 };

static const rub_bench_case_t named[] = {
    DENSE("push_64k", RUB_BENCH_PUSH, 64),
    DENSE("push_1m", RUB_BENCH_PUSH, 1024),
    DENSE("push_4m", RUB_BENCH_PUSH, 4096),
    DENSE("pull_64k", RUB_BENCH_PULL, 64),
    DENSE("pull_1m", RUB_BENCH_PULL, 1024),
    DENSE("pull_4m", RUB_BENCH_PULL, 4096),
    DENSE("pushpull_64k", RUB_BENCH_PUSH_PULL, 64),
    DENSE("pushpull_1m", RUB_BENCH_PUSH_PULL, 1024),
    DENSE("pushpull_4m", RUB_BENCH_PUSH_PULL, 4096),
    ROWS("push_10k", RUB_BENCH_PUSH, 10000, 64, 10000, RUB_DRAW_ORDERED, 0.9, 0.8, .bar_lane = 1.7),
    ROWS("pull_10k", RUB_BENCH_PULL, 10000, 64, 10000, RUB_DRAW_ORDERED, 0.9, 0.8, .bar_lane = 1.7),
    ROWS("push_100k", RUB_BENCH_PUSH, 100000, 16, 100000, RUB_DRAW_ORDERED, 0.9, 0.8,
         .bar_lane = 1.7),
    ROWS("pull_100k", RUB_BENCH_PULL, 100000, 16, 100000, RUB_DRAW_ORDERED, 0.9, 0.8,
         .bar_lane = 1.7),
    ROWS("push_random", RUB_BENCH_PUSH, 1024, 64, LARGE_ROWS, RUB_DRAW_UNIFORM, 0.8, 0.8,
         .fresh = false),
    ROWS("pull_random", RUB_BENCH_PULL, 1024, 64, LARGE_ROWS, RUB_DRAW_UNIFORM, 0.8, 0.8,
         .fresh = false),
    ROWS("push_fresh", RUB_BENCH_PUSH, 1024, 64, LARGE_ROWS, RUB_DRAW_UNIFORM, 0.8, 0.8,
         .fresh = true),
    ROWS("pull_fresh", RUB_BENCH_PULL, 1024, 64, LARGE_ROWS, RUB_DRAW_UNIFORM, 0.8, 0.8,
         .fresh = true),
    ROWS("push_zipf", RUB_BENCH_PUSH, 1024, 64, LARGE_ROWS, RUB_DRAW_ZIPF, 0.8, 0.8,
         .fresh = false),
    ROWS("pull_zipf", RUB_BENCH_PULL, 1024, 64, LARGE_ROWS, RUB_DRAW_ZIPF, 0.8, 0.8,
         .fresh = false),
    ROWS("pull_cached", RUB_BENCH_PULL, 1024, 64, LARGE_ROWS, RUB_DRAW_ZIPF, 0, 0,
         .cache_bytes = UINT64_C(64) << 20),
    TINY("tiny_64", 64, RUB_BENCH_BAR_RATE, 0.70),
    TINY("tiny_1", 1, RUB_BENCH_BAR_LATENCY, 1.25),
};

/* Options that say what a call is. */
static bool describes_call(const rub_config_t *config)
{
    static const rub_option_id_t options[] = {RUB_OPT_operation, RUB_OPT_call_bytes, RUB_OPT_keys,
                                              RUB_OPT_width,     RUB_OPT_rows,       RUB_OPT_draw};
    bool any = false;
    for (size_t i = 0; i < RUB_COUNT_OF(options); i++) {
        any = any || rub_bench_set(config, options[i]);
    }
    return any;
}

static rub_bench_case_t custom_case(const rub_config_t *config)
{
    const bool rows = config->keys > 0;
    return (rub_bench_case_t){
        .name = "custom",
        .verb = (rub_bench_verb_t)(config->operation + 1),
        .call_items = rows ? (uint32_t)config->keys : (uint32_t)(config->call_bytes / 4),
        .width = rows ? (uint32_t)config->width : 0,
        .rows = rows ? config->rows : DENSE_ELEMENTS,
        .draw = rows ? (rub_key_draw_kind_t)config->draw : RUB_DRAW_ORDERED,
        .in_flight = (uint32_t)config->in_flight,
        .optimizer = rows ? RUB_ADAGRAD : RUB_SGD,
    };
}

/* What was given takes the place of what the case says. */
static void change(const rub_config_t *config, rub_bench_case_t *row)
{
    const rub_bench_case_t given = custom_case(config);
    row->lend = config->lend;
    row->push_codec = (rub_codec_kind_t)config->codec;
    row->pull_codec = (rub_codec_kind_t)config->pull_codec;
    row->verb = rub_bench_set(config, RUB_OPT_operation) ? given.verb : row->verb;
    row->draw = rub_bench_set(config, RUB_OPT_draw) ? (rub_key_draw_kind_t)config->draw : row->draw;
    row->rows = rub_bench_set(config, RUB_OPT_rows) ? config->rows : row->rows;
    row->width = rub_bench_set(config, RUB_OPT_width) ? (uint32_t)config->width : row->width;
    if (rub_bench_set(config, RUB_OPT_keys) || rub_bench_set(config, RUB_OPT_call_bytes)) {
        row->call_items = given.call_items;
    }
    if (rub_bench_set(config, RUB_OPT_in_flight)) {
        row->in_flight = given.in_flight;
    }
    if (rub_bench_set(config, RUB_OPT_optimizer)) {
        row->optimizer = (rub_optimizer_kind_t)config->optimizer;
    }
    if (row->width == 0 && row->rows < row->call_items) {
        row->rows = row->call_items;
    }
    static const rub_option_id_t others[] = {RUB_OPT_ps,        RUB_OPT_shards,    RUB_OPT_workers,
                                             RUB_OPT_in_flight, RUB_OPT_optimizer, RUB_OPT_codec,
                                             RUB_OPT_pull_codec};
    bool changed = describes_call(config);
    for (size_t i = 0; i < RUB_COUNT_OF(others); i++) {
        changed = changed || rub_bench_set(config, others[i]);
    }
    if (changed) {
        row->bar_none = row->bar_journal = row->bar_lane = 0;
    }
}

static int check_kind(const rub_config_t *config, const rub_bench_case_t *row, rub_error_t *err)
{
    static const rub_option_id_t of_rows[] = {RUB_OPT_keys, RUB_OPT_width, RUB_OPT_rows,
                                              RUB_OPT_draw};
    static const char *const names[] = {"keys", "width", "rows", "draw"};
    if (row->width > 0 && rub_bench_set(config, RUB_OPT_call_bytes)) {
        return rub_fail(err, RUB_ECONFIG, "call_bytes: case %s moves rows, so keys says how many",
                        row->name);
    }
    for (size_t i = 0; row->width == 0 && i < RUB_COUNT_OF(of_rows); i++) {
        if (rub_bench_set(config, of_rows[i])) {
            return rub_fail(err, RUB_ECONFIG, "%s: case %s moves a range of a dense table, %s",
                            names[i], row->name,
                            "which has none: keys above 0 makes a table of rows");
        }
    }
    return 0;
}

/* change has not mixed kinds: a given width or keys on a dense case is found before. */
static int check_case(const rub_bench_case_t *row, rub_error_t *err)
{
    if (row->width == 0 && row->call_items % RUB_BLOCK != 0) {
        return rub_fail(err, RUB_ECONFIG,
                        "call_bytes: %u are not whole blocks of %u bytes, and a dense push is",
                        row->call_items * 4, RUB_BLOCK * 4);
    }
    if (row->width > 0 && row->call_items > row->rows) {
        return rub_fail(err, RUB_ECONFIG,
                        "keys: %u in a call, but the table of case %s has %llu rows",
                        row->call_items, row->name, (unsigned long long)row->rows);
    }
    const uint32_t floats = 1 + rub_optimizer_find(row->optimizer)->slots;
    const uint64_t bytes = rub_bench_table_values(row) * 4 * floats;
    if (bytes > MEMORY_LIMIT_BYTES) {
        return rub_fail(
            err, RUB_ECONFIG, "rows: %llu of %u float32 take %llu MB with slots, at most %llu",
            (unsigned long long)row->rows, row->width ? row->width : 1,
            (unsigned long long)(bytes >> 20), (unsigned long long)(MEMORY_LIMIT_BYTES >> 20));
    }
    return 0;
}

static const char *case_name(size_t i)
{
    return i < RUB_COUNT_OF(named) ? named[i].name : i == RUB_COUNT_OF(named) ? "custom" : NULL;
}

static int add(const rub_config_t *config, rub_bench_case_t row, rub_bench_case_t *cases,
               size_t *n_p, rub_error_t *err)
{
    int rc = check_kind(config, &row, err);
    if (!rc) {
        change(config, &row);
        rc = check_case(&row, err);
    }
    if (!rc && *n_p == RUB_BENCH_CASES_LIMIT) {
        rc = rub_fail(err, RUB_ECONFIG, "more than %u cases", RUB_BENCH_CASES_LIMIT);
    }
    if (!rc) {
        cases[(*n_p)++] = row;
    }
    return rc;
}

const rub_bench_case_t *rub_bench_case_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(named); i++) {
        if (strcmp(name, named[i].name) == 0) {
            return &named[i];
        }
    }
    return NULL;
}

static int add_named(const rub_config_t *config, const char *word, rub_bench_case_t *cases,
                     size_t *n_p, rub_error_t *err)
{
    const rub_bench_case_t *row = rub_bench_case_named(word);
    return add(config, row ? *row : custom_case(config), cases, n_p, err);
}

int rub_bench_cases(const rub_config_t *config, rub_bench_case_t cases[RUB_BENCH_CASES_LIMIT],
                    size_t *n_p, rub_error_t *err)
{
    int rc = rub_bench_check_words(config, case_name, err);
    *n_p = 0;
    for (uint32_t i = 1; i < config->n_words && !rc; i++) {
        rc = add_named(config, config->words[i], cases, n_p, err);
    }
    if (config->n_words > 1) {
        return rc;
    }
    if (describes_call(config)) {
        return add(config, custom_case(config), cases, n_p, err);
    }
    for (size_t i = 0; i < RUB_COUNT_OF(named) && !rc; i++) {
        rc = add(config, named[i], cases, n_p, err);
    }
    return rc;
}

int rub_bench_shape(const rub_config_t *config, rub_bench_shape_t *shape, rub_error_t *err)
{
    const uint64_t n_ps = rub_bench_set(config, RUB_OPT_ps) ? config->ps : 1;
    const uint64_t workers = rub_bench_set(config, RUB_OPT_workers) ? config->workers : 1;
    if (n_ps > RUB_BENCH_PS_LIMIT || workers > RUB_BENCH_WORKERS_LIMIT) {
        const bool ps = n_ps > RUB_BENCH_PS_LIMIT;
        return rub_fail(err, RUB_ECONFIG, "%s: %llu, a measurement on one machine takes at most %u",
                        ps ? "ps" : "workers", (unsigned long long)(ps ? n_ps : workers),
                        ps ? RUB_BENCH_PS_LIMIT : RUB_BENCH_WORKERS_LIMIT);
    }
    if (config->inproc && rub_bench_set(config, RUB_OPT_lane)) {
        return rub_fail(err, RUB_ECONFIG, "lane: a fleet inside this process has none");
    }
    if (config->inproc && rub_bench_set(config, RUB_OPT_durability) &&
        config->durability != RUB_DURABILITY_NONE) {
        return rub_fail(err, RUB_ECONFIG, "durability: a fleet inside this process has no store");
    }
    if (rub_bench_set(config, RUB_OPT_listen) &&
        (config->inproc || !rub_config_listens_on_ipc(config))) {
        return rub_fail(err, RUB_ECONFIG, "listen: '%s', %s", config->listen,
                        config->inproc ? "but a fleet inside this process has no connections"
                                       : "a measurement takes the loopback, or ipc");
    }
    const bool tcp = !rub_bench_set(config, RUB_OPT_lane) || config->lane == RUB_LANE_TCP;
    *shape = (rub_bench_shape_t){.n_ps = (uint32_t)n_ps,
                                 .shards = (uint32_t)config->shards,
                                 .workers = (uint32_t)workers,
                                 .lane = tcp ? RUB_LANE_TCP : RUB_LANE_SHM,
                                 .ipc = rub_config_listens_on_ipc(config),
                                 .inproc = config->inproc};
    return 0;
}

uint64_t rub_bench_call_bytes(const rub_bench_case_t *row)
{
    const uint64_t ways = row->verb == RUB_BENCH_PUSH_PULL ? 2 : 1;
    return ways * row->call_items * (row->width ? row->width : 1) * sizeof(float);
}

uint64_t rub_bench_call_rows(const rub_bench_case_t *row)
{
    const uint64_t ways = row->verb == RUB_BENCH_PUSH_PULL ? 2 : 1;
    return row->width ? ways * row->call_items : 0;
}

uint64_t rub_bench_table_values(const rub_bench_case_t *row)
{
    return row->rows * (row->width ? row->width : 1);
}

bool rub_bench_same_table(const rub_bench_case_t *a, const rub_bench_case_t *b)
{
    return a->width == b->width && a->rows == b->rows && a->optimizer == b->optimizer;
}
