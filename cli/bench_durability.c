/* `rubato bench durability`: what the promises cost. Two real fleets that differ in one thing stand
 * side by side, each 1 scheduler and 1 ps as child processes, this process the worker of both; one
 * is measured while the other is quiet, in short slices by turns, so that what else the machine
 * does falls on both. A slice ends when all is acknowledged, and the next begins when the ps has
 * done what it put off (its checkpoint): CPU seconds therefore count everything, and depend little
 * on other load. What is compared is the median of a slice's cost against its partner's.
 *
 *   push:     none against journal, as fast as the ring allows; not before the ps makes no more
 *             segments, but what a new journal's first seconds cost is said beside it
 *   snapshot: the same while one is taken, against a time without
 *   pulls:    latencies at a steady trickle of pushes, checkpoints one after the other against none
 *   training: `rubato train` with none against journal, in examples/s */
#include "cli/bench.h"
#include "cli/bench_fleet.h"
#include "cli/bench_setup.h"
#include "cli/bench_training.h"
#include "cli/bench_warm_up.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/timing.h"
#include "common/proc/signals.h"

#include <stdio.h>
#include <string.h>

enum {
    PAIRS_LIMIT = 200, /* of slices, in a case */
    PAIRS_PER_REPEAT = 2,
    PUSH_SLICE_MS = 2000,
    PULL_SLICE_MS = 1000,
    TICK_US = 2000,          /* of the trickle */
    PULLS_LIMIT = 100 * 1000 /* latencies kept of a side */
};

/* One of the two things that are compared. */
typedef struct variant {
    const char *name;
    const char *flags[12]; /* of its ps */
    uint64_t quiet_ms;     /* after a slice: longer than the time to its next checkpoint */
    bool snapshot;         /* one is taken in each slice, which lasts until it is whole */
} variant_t;

typedef struct bench_case {
    const char *name, *what;
    bool pulls; /* latencies, not throughput */
    rub_table_kind_t kind;
    rub_optimizer_kind_t optimizer;
    uint64_t elements; /* of a dense table; of a hashed one's rows together */
    uint32_t width;
    uint32_t push_items; /* elements, or rows, in a push */
    double bar;
    variant_t variants[2]; /* without, with */
} bench_case_t;

#define PUSH_VARIANTS                                                                              \
    {                                                                                              \
        {"none", {"--durability", "none"}, 100, false},                                            \
        {                                                                                          \
            "journal", {"--durability", "journal"}, 1300, false                                    \
        }                                                                                          \
    }
#define PULL_VARIANTS                                                                              \
    {                                                                                              \
        {"no checkpoint", {"--checkpoint-interval", "1h", "--redo-limit", "1024G"}, 100, false},   \
        {                                                                                          \
            "checkpoints", {"--checkpoint-interval", "100ms", "--redo-limit", "1M"}, 300, false    \
        }                                                                                          \
    }

#define SNAPSHOT_VARIANTS                                                                          \
    {                                                                                              \
        {"journal", {NULL}, 1300, false},                                                          \
        {                                                                                          \
            "snapshot", {NULL}, 1300, true                                                         \
        }                                                                                          \
    }

static const bench_case_t cases[] = {
    {"push_dense", "push 4 MB, dense, sgd", false, RUB_DENSE, RUB_SGD, 1 << 20, 0, 1 << 20, 0.15,
     PUSH_VARIANTS},
    {"push_sparse", "push 10k rows x 64, adagrad", false, RUB_HASHED, RUB_ADAGRAD, 640000, 64,
     10000, 0.15, PUSH_VARIANTS},
    {"snapshot", "push 10k rows, a snapshot of 128 MB", false, RUB_HASHED, RUB_SGD, 1 << 25, 64,
     10000, 0.1, SNAPSHOT_VARIANTS},
    {"pull_dense", "pull p99, dense 4 MB, adam", true, RUB_DENSE, RUB_ADAM, 1 << 20, 0, 1 << 15, 2,
     PULL_VARIANTS},
    {"pull_sparse", "pull p99, hashed 128 MB, sgd", true, RUB_HASHED, RUB_SGD, 1 << 25, 64, 100, 2,
     PULL_VARIANTS},
};

/* A fleet and what was measured of it. */
typedef struct side {
    const bench_case_t *row;
    const variant_t *variant;
    rub_bench_fleet_t fleet;
    rub_session_t *session;
    rub_table_t table;
    uint64_t *keys;
    float *values, *pulled;
    uint64_t n_ticks;
    double first_rate;              /* bytes/s of the first seconds, segments being made */
    double rate[PAIRS_LIMIT];       /* bytes/s of pushed values */
    double cpu_per_gb[PAIRS_LIMIT]; /* seconds of all CPUs, this process included */
    double files_per_byte[PAIRS_LIMIT];
    double *latency_us;
    size_t n_latencies;
} side_t;

typedef struct bench {
    const rub_config_t *config;
    char folder[RUB_BENCH_FOLDER_BYTES];
    unsigned n_fleets, n_runs;
    size_t n_pairs;
    unsigned n_missed; /* bars */
} bench_t;

/* ---- one side ---- */

static int open_table(side_t *self, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "measured";
    schema.kind = self->row->kind;
    schema.elements = self->row->elements;
    schema.width = self->row->width;
    schema.optimizer = self->row->optimizer;
    schema.hyper.lr = 1e-6;
    return rub_table_open(self->session, &schema, &self->table, err);
}

static uint64_t n_rows(const bench_case_t *row)
{
    return row->width ? row->elements / row->width : row->elements;
}

/* The next push: the next range of a dense table, the next rows of a hashed one; scattered when not
 * all are meant. */
static int push(side_t *self, uint32_t items, rub_error_t *err)
{
    const bench_case_t *row = self->row;
    const uint64_t n = n_rows(row);
    const uint64_t first = self->n_ticks++ * items % n;
    if (row->kind == RUB_DENSE) {
        return rub_push_range(self->session, self->table, first, items, self->values, NULL, err);
    }
    for (uint32_t i = 0; i < items; i++) {
        const uint64_t at = (first + i) % n;
        self->keys[i] = row->pulls ? rub_mix64(at) % n : at;
    }
    return rub_push(self->session, self->table, self->keys, items, self->values, NULL, err);
}

/* Every row is there before anything is measured. */
static int fill(side_t *self, rub_error_t *err)
{
    const bench_case_t *row = self->row;
    const uint64_t n = n_rows(row);
    if (row->kind == RUB_DENSE) {
        return 0;
    }
    int rc = 0;
    for (uint64_t at = 0; at < n && !rc;) {
        uint32_t items = 0;
        for (; items < 10000 && at < n; items++) {
            self->keys[items] = at++;
        }
        rc = rub_push(self->session, self->table, self->keys, items, self->values, NULL, err);
    }
    return rc;
}

static int side_open(side_t *self, const bench_case_t *row, const variant_t *variant,
                     const char *folder, rub_error_t *err)
{
    *self = (side_t){.row = row, .variant = variant};
    const size_t n_values = row->width ? (size_t)10000 * row->width : row->elements;
    self->keys = rub_calloc(10000, sizeof(*self->keys));
    self->values = rub_calloc(n_values, sizeof(*self->values));
    self->pulled = rub_calloc(n_values, sizeof(*self->pulled));
    self->latency_us = rub_calloc(PULLS_LIMIT, sizeof(*self->latency_us));
    if (!self->keys || !self->values || !self->pulled || !self->latency_us) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    for (size_t i = 0; i < n_values; i++) {
        self->values[i] = (float)(i % 1000) * 1e-6f;
    }
    int rc = rub_bench_fleet_start(&self->fleet, folder, variant->flags, err);
    rc = rc ? rc : rub_bench_fleet_join(&self->fleet, RUB_TRAINER, &self->session, err);
    rc = rc ? rc : open_table(self, err);
    return rc ? rc : fill(self, err);
}

static void side_close(side_t *self, int rc)
{
    rub_abandon(&self->session);
    rub_bench_fleet_end(&self->fleet, rc);
    rub_free(self->keys);
    rub_free(self->values);
    rub_free(self->pulled);
    rub_free(self->latency_us);
}

static int start_snapshot(const side_t *self, rub_child_t *child, rub_error_t *err)
{
    char log_path[200];
    snprintf(log_path, sizeof(log_path), "%s/snapshot.log", self->fleet.folder);
    const char *arguments[] = {"/proc/self/exe", "snapshot",          "save",
                               "--scheduler",    self->fleet.address, NULL};
    return rub_child_start(child, (char *const *)arguments, log_path, err);
}

/* Pushes as fast as the ring allows, until the time is over, or the snapshot whole. */
static int push_for(side_t *self, uint64_t for_ms, uint64_t *pushes_p, rub_error_t *err)
{
    const uint64_t until_ms = rub_now_ms() + for_ms;
    rub_child_t child = {0};
    int rc = self->variant->snapshot ? start_snapshot(self, &child, err) : 0;
    while (!rc && (child.pid != 0 || (!self->variant->snapshot && rub_now_ms() < until_ms))) {
        rc = push(self, self->row->push_items, err);
        rc = rc ? rc : rub_clock(self->session, NULL, 0, err);
        *pushes_p += 1;
        (void)rub_child_ended(&child);
    }
    rub_child_kill(&child); /* it has ended, or pushing has failed */
    if (!rc && child.exit_code != 0) {
        rc = rub_fail(err, RUB_EINTERNAL, "rubato snapshot save ended with %d", child.exit_code);
    }
    return rc ? rc : rub_flush(self->session, err);
}

static int push_slice(side_t *self, size_t i, uint64_t for_ms, rub_error_t *err)
{
    const uint32_t width = self->row->width ? self->row->width : 1;
    rub_bench_usage_t before, after;
    int rc = rub_bench_fleet_usage(&self->fleet, &before, err);
    const double own_s = rub_cpu_s();
    const uint64_t begun_ns = rub_now_ns();
    uint64_t pushes = 0;
    rc = rc ? rc : push_for(self, for_ms, &pushes, err);
    const double seconds = (double)(rub_now_ns() - begun_ns) / 1e9;
    const double own_used_s = rub_cpu_s() - own_s;
    rc = rc ? rc : rub_bench_fleet_settle(&self->fleet, self->variant->quiet_ms, &after, err);
    if (rc) {
        return rc;
    }
    const double bytes = (double)pushes * self->row->push_items * width * sizeof(float);
    self->rate[i] = bytes / seconds;
    self->cpu_per_gb[i] = (own_used_s + after.cpu_s - before.cpu_s) / (bytes / 1e9);
    self->files_per_byte[i] = (double)(after.file_bytes - before.file_bytes) / bytes;
    return 0;
}

/* A push and a pull every TICK_US; the pull is timed. */
static int pull_once(side_t *self, rub_error_t *err)
{
    const bench_case_t *row = self->row;
    int rc = push(self, row->push_items, err);
    rc = rc ? rc : rub_clock(self->session, NULL, 0, err);
    if (rc) {
        return rc;
    }
    const uint64_t begun_ns = rub_now_ns();
    if (row->kind == RUB_DENSE) {
        rc = rub_pull_range(self->session, self->table, 0, 1 << 14, self->pulled, err);
    } else {
        rc = rub_pull(self->session, self->table, self->keys, row->push_items, self->pulled, NULL,
                      err);
    }
    if (self->n_latencies < PULLS_LIMIT) {
        self->latency_us[self->n_latencies++] = (double)(rub_now_ns() - begun_ns) / 1e3;
    }
    return rc;
}

static int pull_slice(side_t *self, size_t i, uint64_t for_ms, rub_error_t *err)
{
    const uint64_t begun_us = rub_now_us();
    const size_t before = self->n_latencies;
    rub_bench_usage_t usage;
    int rc = 0;
    for (uint64_t tick = 1; !rc && rub_now_us() - begun_us < for_ms * 1000; tick++) {
        rc = pull_once(self, err);
        /* Sleeps are whole milliseconds; who is late does not hurry. */
        while (!rc && rub_now_us() - begun_us + 1000 < tick * TICK_US) {
            rub_sleep_ms(1);
        }
    }
    rc = rc ? rc : rub_flush(self->session, err);
    rc = rc ? rc : rub_bench_fleet_settle(&self->fleet, self->variant->quiet_ms, &usage, err);
    self->rate[i] = (double)(self->n_latencies - before);
    return rc;
}

static int slice(side_t *self, size_t i, rub_error_t *err)
{
    return self->row->pulls ? pull_slice(self, i, PULL_SLICE_MS, err)
                            : push_slice(self, i, PUSH_SLICE_MS, err);
}

/* Pushes as in a slice; the rate is its bytes a second. */
static int warm_up_round(void *context, uint64_t for_ms, double *rate_p, rub_error_t *err)
{
    side_t *self = context;
    const int rc =
        self->row->pulls ? pull_slice(self, 0, for_ms, err) : push_slice(self, 0, for_ms, err);
    *rate_p = self->rate[0];
    return rc;
}

/* Memory is touched, segments are made, connections stand; nothing of it is counted. */
static int warm_up(side_t *self, rub_error_t *err)
{
    const int rc = rub_bench_warm_up(&self->fleet, !self->row->pulls, warm_up_round, self,
                                     &self->first_rate, err);
    self->n_latencies = 0;
    return rc;
}

/* ---- results ---- */

/* The median of with[i] / without[i]. */
static double median_ratio(const double *without, const double *with, size_t n)
{
    double ratios[PAIRS_LIMIT];
    for (size_t i = 0; i < n; i++) {
        ratios[i] = without[i] > 0 ? with[i] / without[i] : 0;
    }
    return rub_bench_median(ratios, n);
}

static const char *verdict(bool met)
{
    return met ? "met" : "MISSED";
}

static bool judge(bench_t *self, bool met)
{
    self->n_missed += !met;
    return met;
}

static void print_push(bench_t *self, side_t *without, side_t *with)
{
    const size_t n = self->n_pairs;
    const bench_case_t *row = with->row;
    const double cost = 1 - median_ratio(without->rate, with->rate, n);
    const bool met = judge(self, cost <= row->bar);
    const double cpu_ratio = median_ratio(without->cpu_per_gb, with->cpu_per_gb, n);
    const double rates[2] = {rub_bench_median(without->rate, n), rub_bench_median(with->rate, n)};
    const double cpus[2] = {rub_bench_median(without->cpu_per_gb, n),
                            rub_bench_median(with->cpu_per_gb, n)};
    const double files = rub_bench_median(with->files_per_byte, n);
    if (self->config->json) {
        printf("{\"case\":\"%s\",\"without\":\"%s\",\"with\":\"%s\",\"without_MB_per_s\":%.0f,"
               "\"with_MB_per_s\":%.0f,\"first_without_MB_per_s\":%.0f,"
               "\"first_with_MB_per_s\":%.0f,\"cost\":%.3f,"
               "\"bar\":%.2f,\"met\":%s,\"without_cpu_s_per_GB\":%.3f,\"with_cpu_s_per_GB\":%.3f,"
               "\"cpu_ratio\":%.3f,\"file_bytes_per_byte\":%.2f,\"pairs\":%zu}\n",
               row->name, without->variant->name, with->variant->name, rates[0] / 1e6,
               rates[1] / 1e6, without->first_rate / 1e6, with->first_rate / 1e6, cost, row->bar,
               met ? "true" : "false", cpus[0], cpus[1], cpu_ratio, files, n);
        return;
    }
    printf("%-30s %6.0f -> %6.0f MB/s, costs %5.1f %% (bar %.0f %%: %s); CPU s per GB %.3f -> "
           "%.3f; %.2f bytes in files per byte; first %u s: %.0f -> %.0f MB/s\n",
           row->what, rates[0] / 1e6, rates[1] / 1e6, cost * 100, row->bar * 100, verdict(met),
           cpus[0], cpus[1], files, RUB_BENCH_WARM_UP_MS / 1000, without->first_rate / 1e6,
           with->first_rate / 1e6);
}

static void print_pull(bench_t *self, side_t *without, side_t *with)
{
    const bench_case_t *row = with->row;
    double p50[2], p99[2];
    side_t *sides[2] = {without, with};
    for (int i = 0; i < 2; i++) {
        p50[i] = rub_bench_quantile(sides[i]->latency_us, sides[i]->n_latencies, 0.5);
        p99[i] = rub_bench_quantile(sides[i]->latency_us, sides[i]->n_latencies, 0.99);
    }
    const double ratio = p99[1] / p99[0];
    const bool met = judge(self, ratio <= row->bar);
    if (self->config->json) {
        printf("{\"case\":\"%s\",\"without_p50_us\":%.0f,\"checkpoint_p50_us\":%.0f,"
               "\"without_p99_us\":%.0f,\"checkpoint_p99_us\":%.0f,\"p99_ratio\":%.2f,\"bar\":%.1f,"
               "\"met\":%s,\"pulls\":%zu}\n",
               row->name, p50[0], p50[1], p99[0], p99[1], ratio, row->bar, met ? "true" : "false",
               with->n_latencies);
        return;
    }
    printf("%-30s %6.0f -> %6.0f us, ratio %.2f (bar %.1f: %s); p50 %.0f -> %.0f us\n", row->what,
           p99[0], p99[1], ratio, row->bar, verdict(met), p50[0], p50[1]);
}

/* ---- cases ---- */

static int measure_pairs(bench_t *self, side_t sides[2], rub_error_t *err)
{
    int rc = warm_up(&sides[0], err);
    rc = rc ? rc : warm_up(&sides[1], err);
    for (size_t i = 0; i < self->n_pairs && !rc; i++) {
        /* The order changes: whatever follows the other one finds what it left in the caches. */
        rc = slice(&sides[i % 2], i, err);
        rc = rc ? rc : slice(&sides[1 - i % 2], i, err);
        rc = rc ? rc : rub_bench_go_on(err);
    }
    return rc;
}

static int run_case(bench_t *self, const bench_case_t *row, rub_error_t *err)
{
    side_t *sides = rub_calloc(2, sizeof(*sides));
    int rc = sides ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    for (unsigned i = 0; i < 2 && !rc; i++) {
        char folder[100];
        snprintf(folder, sizeof(folder), "%s/fleet-%u", self->folder, self->n_fleets++);
        rc = side_open(&sides[i], row, &row->variants[i], folder, err);
    }
    rc = rc ? rc : measure_pairs(self, sides, err);
    if (!rc && row->pulls) {
        print_pull(self, &sides[0], &sides[1]);
    } else if (!rc) {
        print_push(self, &sides[0], &sides[1]);
    }
    (void)fflush(stdout);
    for (unsigned i = 0; i < 2 && sides; i++) {
        side_close(&sides[i], rc);
    }
    rub_free(sides);
    return rc;
}

static int run_training(bench_t *self, rub_error_t *err)
{
    static const char *const flags[2][3] = {{"--durability", "none", NULL},
                                            {"--durability", "journal", NULL}};
    const double bar = 0.05;
    double speed[2][PAIRS_LIMIT], cpu_s[2][PAIRS_LIMIT];
    const size_t n = self->config->repeat;
    int rc = 0;
    for (size_t i = 0; i < n && !rc; i++) {
        for (size_t turn = 0; turn < 2 && !rc; turn++) {
            const size_t which = (i + turn) % 2;
            rub_bench_training_t run;
            rc = rub_bench_training_run(self->config, self->folder, self->n_runs++,
                                        (unsigned)self->config->workers, flags[which], &run, err);
            speed[which][i] = run.examples_per_s;
            cpu_s[which][i] = run.cpu_s;
        }
    }
    if (rc) {
        return rc;
    }
    const double cost = 1 - median_ratio(speed[0], speed[1], n);
    const bool met = judge(self, cost <= bar);
    const double cpu_ratio = median_ratio(cpu_s[0], cpu_s[1], n);
    const double none = rub_bench_median(speed[0], n), journal = rub_bench_median(speed[1], n);
    if (self->config->json) {
        printf(
            "{\"case\":\"training\",\"none_examples_per_s\":%.0f,\"journal_examples_per_s\":%.0f,"
            "\"cost\":%.3f,\"bar\":%.2f,\"met\":%s,\"workers\":%llu,\"pairs\":%zu}\n",
            none, journal, cost, bar, met ? "true" : "false",
            (unsigned long long)self->config->workers, n);
    } else {
        printf("%-30s %6.0f -> %6.0f examples/s, costs %.1f %% (bar %.0f %%: %s); CPU ratio %.3f\n",
               "training, fashion-mnist", none, journal, cost * 100, bar * 100, verdict(met),
               cpu_ratio);
    }
    return 0;
}

static const char *case_name(size_t i)
{
    return i < RUB_COUNT_OF(cases) ? cases[i].name : i == RUB_COUNT_OF(cases) ? "training" : NULL;
}

static int run(bench_t *self, rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < RUB_COUNT_OF(cases) && !rc; i++) {
        rc = rub_bench_wants(self->config, cases[i].name) ? run_case(self, &cases[i], err) : 0;
    }
    if (!rc && rub_bench_wants(self->config, "training")) {
        rc = run_training(self, err);
    }
    return rc;
}

/* A job of a few seconds is the making of its first segments, more than anything that comes behind:
 * docs/performance.md, Where the journal's time goes. */
static int default_length(rub_config_t *config, rub_error_t *err)
{
    static const rub_bench_default_t row = {RUB_OPT_epochs, "24"};
    return config->train_images[0] ? 0 : rub_bench_defaults(config, &row, 1, err);
}

int rub_bench_durability(rub_config_t *config, rub_error_t *err)
{
    bench_t self = {.config = config};
    self.n_pairs = config->repeat * PAIRS_PER_REPEAT;
    RUB_ASSERT(self.n_pairs <= PAIRS_LIMIT);
    int rc = rub_bench_check_words(config, case_name, err);
    rc = rc ? rc : default_length(config, err);
    rc = rc ? rc : rub_bench_default_workload(config, err);
    rc = rc ? rc : rub_bench_folder_make(self.folder, err);
    rc = rc ? rc : run(&self, err);
    rub_bench_folder_leave(self.folder, rc);
    return rc ? rc : (int)self.n_missed;
}
