/* `rubato bench store`: a shard's tables in memory, in this process, without wire or journal.
 *
 * Each case asks a table (ps/table.h, checks included, as a shard does) for rows, and steps them,
 * 1024 keys a message, beside bare loops over a plain array in the same run (bench_arrays.h): the
 * two take turns, in short slices, so that what else the machine does falls on both. What is
 * printed are medians: of the slices, and of the ratio to the fastest of the bare loops in the same
 * turn. "insert" is
 * a table's filling from nothing, which an array has no counterpart of. The memory that rows take
 * is measured by bench_memory.c. */
#include "cli/bench.h"
#include "cli/bench_arrays.h"
#include "cli/bench_setup.h"
#include "cli/bench_table.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/rng.h"
#include "common/base/timing.h"
#include "ps/table.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum {
    MESSAGE_KEYS = 1024,
    MESSAGE_BLOCKS = 8, /* of a dense table: 128 KiB */
    POOL_MESSAGES = 1024,
    SLICE_MS = 120,
    REPEAT_LIMIT = 100,
    ROWS_LIMIT = 30000000, /* of a hashed table in a shard, about */
    SIDES = RUB_BENCH_LEVELS + 1
};

typedef struct bench_case {
    const char *name, *what;
    rub_table_kind_t kind;
    uint64_t rows; /* dense: blocks */
    uint32_t width;
    bool zipf;
    double bar; /* of the ratio to the fastest array; 0: none */
} bench_case_t;

static const bench_case_t cases[] = {
    {"random_64", "random rows", RUB_HASHED, 1 << 20, 64, false, 0.5},
    {"zipf_64", "rows by Zipf's law", RUB_HASHED, 1 << 20, 64, true, 0.5},
    {"cached_64", "cache-resident rows", RUB_HASHED, 10000, 64, false, 0},
    {"cached_16", "cache-resident rows", RUB_HASHED, 100000, 16, false, 0},
    {"dense", "random runs of blocks", RUB_DENSE, 1 << 14, RUB_BLOCK, false, 0},
    {"dense_cached", "cache-resident blocks", RUB_DENSE, 1 << 8, RUB_BLOCK, false, 0},
};

/* What is done to rows. A table is made once for each optimizer; both directions use it. */
static const struct {
    rub_optimizer_kind_t optimizer;
    const char *pull, *push;
} stages[2][2] = {
    [RUB_DENSE] = {{RUB_SGD, "read", "sgd"}, {RUB_ADAGRAD, "read_slots", "adagrad"}},
    [RUB_HASHED] = {{RUB_ADD, "gather", "add"}, {RUB_ADAGRAD, "gather_slots", "adagrad"}},
};

typedef struct slices {
    double rows_per_s[REPEAT_LIMIT], cpu_s_per_gb[REPEAT_LIMIT];
} slices_t;

typedef struct bench {
    const rub_config_t *config;
    const bench_case_t *row;
    uint64_t rows;
    uint32_t width;
    rub_bench_array_t arrays[RUB_BENCH_LEVELS];
    rub_ptable_t *table;
    uint64_t lsn;
    uint64_t *keys; /* POOL_MESSAGES x MESSAGE_KEYS: what the messages ask for; dense: blocks */
    float *values;  /* of one message */
    slices_t sides[SIDES]; /* the arrays, then the table */
    unsigned n_missed;
} bench_t;

static bool is_dense(const bench_t *self)
{
    return self->row->kind == RUB_DENSE;
}

static size_t message_rows(const bench_t *self)
{
    return is_dense(self) ? MESSAGE_BLOCKS : MESSAGE_KEYS;
}

/* ---- one message ---- */

static rub_rows_t rows_of(const bench_t *self, const uint64_t *keys)
{
    if (is_dense(self)) {
        return (rub_rows_t){.is_range = true,
                            .first = keys[0] * RUB_BLOCK,
                            .count = (uint64_t)MESSAGE_BLOCKS * RUB_BLOCK};
    }
    return (rub_rows_t){.keys = (const uint8_t *)keys, .n_keys = MESSAGE_KEYS};
}

static int pull(bench_t *self, const uint64_t *keys, rub_error_t *err)
{
    const rub_rows_t rows = rows_of(self, keys);
    uint8_t exists[MESSAGE_KEYS / 8];
    const int rc = rub_ptable_pull_check(self->table, &rows, err);
    if (rc == 0) {
        rub_ptable_pull(self->table, &rows, self->values, exists);
    }
    return rc;
}

static int push(bench_t *self, const uint64_t *keys, rub_error_t *err)
{
    const rub_push_view_t view = {
        .rows = rows_of(self, keys),
        .values = self->values,
        .n_values = message_rows(self) * self->width,
    };
    const int rc = rub_ptable_push_check(self->table, &view, UINT64_MAX, err);
    return rc ? rc : rub_ptable_push(self->table, &view, ++self->lsn, err);
}

static int one_message(bench_t *self, unsigned side, bool pushes, const uint64_t *keys,
                       rub_error_t *err)
{
    if (side == RUB_BENCH_LEVELS) {
        return pushes ? push(self, keys, err) : pull(self, keys, err);
    }
    rub_bench_array_t *array = &self->arrays[side];
    if (pushes) {
        rub_bench_array_apply(array, keys, message_rows(self), self->values);
    } else {
        rub_bench_array_gather(array, keys, message_rows(self), self->values);
    }
    return 0;
}

/* Small numbers, so that a million steps stay finite. */
static void fill_values(bench_t *self)
{
    for (size_t i = 0; i < message_rows(self) * self->width; i++) {
        self->values[i] = (float)(i % 1000) * 1e-6F;
    }
}

/* ---- slices ---- */

static int slice(bench_t *self, unsigned side, bool pushes, size_t number, rub_error_t *err)
{
    fill_values(self);
    uint64_t n = 0;
    int rc = 0;
    const double cpu_s = rub_cpu_s();
    const uint64_t start_ns = rub_now_ns();
    uint64_t now_ns = start_ns;
    while (!rc && now_ns - start_ns < SLICE_MS * UINT64_C(1000000)) {
        for (unsigned i = 0; i < 8 && !rc; i++, n++) {
            const uint64_t place = (n + number * 97) % POOL_MESSAGES;
            rc = one_message(self, side, pushes, self->keys + place * MESSAGE_KEYS, err);
        }
        now_ns = rub_now_ns();
    }
    const double rows = (double)n * (double)message_rows(self);
    const double gb = rows * self->width * sizeof(float) / 1e9;
    self->sides[side].rows_per_s[number] = rows / ((double)(now_ns - start_ns) * 1e-9);
    self->sides[side].cpu_s_per_gb[number] = (rub_cpu_s() - cpu_s) / gb;
    return rc ? rc : rub_bench_go_on(err);
}

static double median_ratio(const bench_t *self)
{
    double ratios[REPEAT_LIMIT];
    for (size_t i = 0; i < self->config->repeat; i++) {
        double fastest = 0;
        for (unsigned level = 0; level < RUB_BENCH_LEVELS; level++) {
            fastest = fmax(fastest, self->sides[level].rows_per_s[i]);
        }
        ratios[i] = self->sides[RUB_BENCH_LEVELS].rows_per_s[i] / fastest;
    }
    return rub_bench_median(ratios, self->config->repeat);
}

static void print_operation(bench_t *self, const char *name)
{
    const size_t n = self->config->repeat;
    const double ratio = median_ratio(self);
    double median[SIDES];
    for (unsigned side = 0; side < SIDES; side++) {
        median[side] = rub_bench_median(self->sides[side].rows_per_s, n); /* sorts */
    }
    slices_t *table = &self->sides[RUB_BENCH_LEVELS];
    const double speed = median[RUB_BENCH_LEVELS];
    const double gb_s = speed * self->width * sizeof(float) / 1e9;
    const double cpu_s_per_gb = rub_bench_median(table->cpu_s_per_gb, n);
    const bool met = ratio >= self->row->bar;
    self->n_missed += !met;
    if (self->config->json) {
        printf("{\"case\":\"%s\",\"op\":\"%s\",\"rows\":%llu,\"width\":%u,\"rows_per_s\":%.0f,"
               "\"rows_per_s_min\":%.0f,\"rows_per_s_max\":%.0f,\"goodput_gb_s\":%.3f,"
               "\"cpu_s_per_gb\":%.4f,\"array_rows_per_s\":{\"plain\":%.0f,\"prefetch\":%.0f,"
               "\"huge\":%.0f},\"ideal_ratio\":%.3f,\"bar\":%.2f,\"met\":%s,\"repeat\":%zu}\n",
               self->row->name, name, (unsigned long long)self->rows, self->width, speed,
               table->rows_per_s[0], table->rows_per_s[n - 1], gb_s, cpu_s_per_gb,
               median[RUB_BENCH_PLAIN], median[RUB_BENCH_PREFETCH], median[RUB_BENCH_HUGE], ratio,
               self->row->bar, met ? "true" : "false", n);
    } else {
        printf("  %-13s %8.2f %8.2f %8.2f | %8.2f (%.2f..%.2f) %7.2f GB/s %6.3f  %5.2f %s\n", name,
               median[RUB_BENCH_PLAIN] / 1e6, median[RUB_BENCH_PREFETCH] / 1e6,
               median[RUB_BENCH_HUGE] / 1e6, speed / 1e6, table->rows_per_s[0] / 1e6,
               table->rows_per_s[n - 1] / 1e6, gb_s, cpu_s_per_gb, ratio, met ? "" : "MISSED");
    }
    (void)fflush(stdout);
}

static int measure(bench_t *self, const char *name, bool pushes, rub_error_t *err)
{
    int rc = 0;
    for (unsigned side = 0; side < SIDES && !rc; side++) {
        rc = slice(self, side, pushes, 0, err); /* warms up; written over */
    }
    for (size_t i = 0; i < self->config->repeat && !rc; i++) {
        for (unsigned turn = 0; turn < SIDES && !rc; turn++) {
            rc = slice(self, (turn + (unsigned)i) % SIDES, pushes, i, err);
        }
    }
    if (!rc) {
        print_operation(self, name);
    }
    return rc;
}

/* ---- a table and its arrays ---- */

/* Every row once, in an order that is not that of the keys: in a table of a job a row's place has
 * nothing to do with its key either. */
static int fill_table(bench_t *self, rub_error_t *err)
{
    const size_t step = message_rows(self);
    uint32_t *order = rub_calloc(self->rows + step, sizeof(*order));
    uint64_t keys[MESSAGE_KEYS];
    rub_rng_t rng;
    int rc = order ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    rub_rng_init(&rng, 7, 7);
    for (uint32_t i = 0; order && i < self->rows; i++) {
        order[i] = i;
    }
    if (order && !is_dense(self)) {
        rub_rng_shuffle_u32(&rng, order, self->rows);
    }
    fill_values(self);
    const uint64_t start_ns = rub_now_ns();
    for (uint64_t at = 0; at < self->rows && !rc; at += step) {
        for (size_t i = 0; i < step; i++) {
            keys[i] = order[at + i]; /* behind the end: row 0 once more */
        }
        rc = push(self, keys, err);
        rc = rc ? rc : rub_bench_go_on(err);
    }
    const double speed = (double)self->rows / ((double)(rub_now_ns() - start_ns) * 1e-9);
    rub_free(order);
    if (!rc && self->config->json) {
        printf("{\"case\":\"%s\",\"op\":\"insert\",\"rows\":%llu,\"width\":%u,"
               "\"rows_per_s\":%.0f}\n",
               self->row->name, (unsigned long long)self->rows, self->width, speed);
    } else if (!rc) {
        printf("  %-13s %8s %8s %8s | %8.2f\n", "insert", "", "", "", speed / 1e6);
    }
    return rc;
}

static int run_stage(bench_t *self, unsigned stage, rub_error_t *err)
{
    const unsigned kind = self->row->kind;
    const rub_optimizer_t *optimizer = rub_optimizer_find(stages[kind][stage].optimizer);
    int rc = 0;
    for (unsigned level = 0; level < RUB_BENCH_LEVELS && !rc; level++) {
        rc = rub_bench_array_open(&self->arrays[level], level, self->rows, self->width, optimizer,
                                  err);
    }
    rc = rc ? rc
            : rub_bench_table_new(kind, self->rows * RUB_BLOCK, self->width, optimizer->kind, 0,
                                  &self->table, err);
    rc = rc ? rc : fill_table(self, err);
    rc = rc ? rc : measure(self, stages[kind][stage].pull, false, err);
    rc = rc ? rc : measure(self, stages[kind][stage].push, true, err);
    for (unsigned level = 0; level < RUB_BENCH_LEVELS; level++) {
        rub_bench_array_close(&self->arrays[level]);
    }
    rub_ptable_destroy(&self->table);
    return rc;
}

/* ---- cases ---- */

/* P(rank k) is about 1 / k: the logarithm of a rank is uniform. */
static uint64_t zipf_rank(rub_rng_t *rng, uint64_t n)
{
    const uint64_t rank = (uint64_t)exp(rub_rng_unit(rng) * log((double)n + 1)) - 1;
    return rank < n ? rank : n - 1;
}

static int draw_keys(bench_t *self, rub_error_t *err)
{
    uint32_t *order = rub_calloc(self->rows, sizeof(*order)); /* the rank-th row */
    rub_rng_t rng;
    if (!order) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    rub_rng_init(&rng, 1, 1);
    for (uint32_t i = 0; i < self->rows; i++) {
        order[i] = i;
    }
    rub_rng_shuffle_u32(&rng, order, self->rows);
    for (size_t i = 0; i < (size_t)POOL_MESSAGES * MESSAGE_KEYS; i++) {
        self->keys[i] =
            order[self->row->zipf ? zipf_rank(&rng, self->rows) : rub_rng_below(&rng, self->rows)];
    }
    rub_free(order);
    if (is_dense(self)) { /* runs of neighbours */
        for (size_t m = 0; m < POOL_MESSAGES; m++) {
            uint64_t *keys = self->keys + m * MESSAGE_KEYS;
            keys[0] = keys[0] / MESSAGE_BLOCKS * MESSAGE_BLOCKS;
            for (size_t i = 1; i < MESSAGE_BLOCKS; i++) {
                keys[i] = keys[0] + i;
            }
        }
    }
    return 0;
}

static int run_case(bench_t *self, const bench_case_t *row, rub_error_t *err)
{
    const rub_config_t *config = self->config;
    self->row = row;
    self->rows = rub_bench_set(config, RUB_OPT_rows) ? config->rows : row->rows;
    self->width = rub_bench_set(config, RUB_OPT_width) && row->kind == RUB_HASHED
                      ? (uint32_t)config->width
                      : row->width;
    if (row->kind == RUB_DENSE) { /* whole messages */
        self->rows = (self->rows + MESSAGE_BLOCKS - 1) / MESSAGE_BLOCKS * MESSAGE_BLOCKS;
    }
    self->keys = rub_calloc((size_t)POOL_MESSAGES * MESSAGE_KEYS, sizeof(*self->keys));
    self->values = rub_calloc(message_rows(self) * self->width, sizeof(*self->values));
    int rc =
        self->keys && self->values ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    rc = rc ? rc : draw_keys(self, err);
    if (!rc && !config->json) {
        printf("%s: %s, %llu x %u\n", row->name, row->what, (unsigned long long)self->rows,
               self->width);
    }
    rc = rc ? rc : run_stage(self, 0, err);
    rc = rc ? rc : run_stage(self, 1, err);
    rub_free(self->keys);
    rub_free(self->values);
    return rc;
}

static const char *case_name(size_t i)
{
    return i < RUB_COUNT_OF(cases) ? cases[i].name : i == RUB_COUNT_OF(cases) ? "memory" : NULL;
}

static int check(const rub_config_t *config, rub_error_t *err)
{
    if (rub_bench_set(config, RUB_OPT_rows) && config->rows > ROWS_LIMIT) {
        return rub_fail(err, RUB_ECONFIG, "bench store: %llu rows, at most %u",
                        (unsigned long long)config->rows, ROWS_LIMIT);
    }
    return rub_bench_check_words(config, case_name, err);
}

int rub_bench_store(rub_config_t *config, rub_error_t *err)
{
    int rc = check(config, err);
    bench_t *self = rc ? NULL : rub_calloc(1, sizeof(*self));
    if (!self) {
        return rc ? rc : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    self->config = config;
    bool first = true;
    for (size_t i = 0; i < RUB_COUNT_OF(cases) && !rc; i++) {
        if (!rub_bench_wants(config, cases[i].name)) {
            continue;
        }
        if (first && !config->json) {
            printf("million rows a second, medians of %llu; arrays: plain, prefetch, huge pages "
                   "too | table (min..max),\nvalues, CPU s per GB of them, ratio to the fastest "
                   "array (random and Zipf: bar 0.5)\n",
                   (unsigned long long)config->repeat);
        }
        first = false;
        rc = run_case(self, &cases[i], err);
    }
    unsigned n_missed = self->n_missed;
    rub_free(self);
    if (!rc && rub_bench_wants(config, "memory")) {
        rc = rub_bench_memory(config, &n_missed, err);
    }
    return rc ? rc : (int)n_missed;
}
