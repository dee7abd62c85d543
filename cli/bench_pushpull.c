/* `rubato bench pushpull`: how fast parameters move, beside what could be reached. In one run, with
 * real processes on this machine: raw libzmq; the ideal server (cli/zmq_bench_ideal.h); and fleets
 * of 1 scheduler and 1 ps whose promises are on, driven through the public interface. Each case is
 * measured in short slices by turns, so that what else the machine does falls on all of them, and
 * what counts is the median of a slice's rate divided by the ideal server's in the same round.
 *
 * Dense calls and all rows of a small table are compared with the ideal server at the message size
 * that it likes best; few rows of a large table with one that has huge pages and prefetches. */
#include "cli/bench.h"
#include "cli/bench_setup.h"
#include "cli/bench_side.h"
#include "cli/bench_warm_up.h"
#include "cli/bench_yardstick.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "common/num/codec.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum {
    ROUNDS_PER_REPEAT = 2,
    SLICE_MS = 250,
    SWEPT_SLICE_MS = 1000, /* where a large table is swept */
    SWEPT_TABLE_BYTES = 64 << 20,
    WARM_UP_MS = 150,
    SIDES_LIMIT = 4 /* the ideal server and three durabilities */
};

typedef struct bench {
    const rub_config_t *config;
    rub_bench_shape_t shape;
    rub_bench_case_t cases[RUB_BENCH_CASES_LIMIT];
    size_t n_cases, n_rounds;
    const char *durabilities[SIDES_LIMIT - 1];
    size_t n_durabilities;
    char folder[RUB_BENCH_FOLDER_BYTES];
    rub_bench_yardstick_t yardstick;
    rub_bench_side_t sides[SIDES_LIMIT]; /* the first is the ideal server */
    size_t n_sides;
    unsigned n_fleets;
    unsigned n_missed; /* bars */
} bench_t;

int rub_bench_ideal(rub_config_t *config, rub_error_t *err)
{
    if (config->n_words != 2) {
        return rub_fail(err, RUB_ECONFIG, "bench ideal: %u addresses, expected one to listen on",
                        config->n_words - 1);
    }
    return rub_ideal_serve(config->words[1], err);
}

/* ---- output ---- */

static bool has_codec(const rub_bench_case_t *row)
{
    return row->push_codec != RUB_CODEC_F32 || row->pull_codec != RUB_CODEC_F32;
}

static const char *codec_name(rub_codec_kind_t kind)
{
    return rub_codec_find(kind)->name;
}

/* How values travel; lane: what shared memory is called. */
static const char *way_of(const rub_bench_shape_t *shape, const char *lane)
{
    const char *connection = shape->ipc ? "ipc" : "tcp";
    return shape->inproc ? "inproc" : shape->lane == RUB_LANE_TCP ? connection : lane;
}

static void print_head(const bench_t *self)
{
    if (self->config->json) {
        printf("{\"case\":\"raw_1m\",\"server\":\"libzmq\",\"goodput_gb_s\":%.3f}\n",
               self->yardstick.raw_bytes_per_s / 1e9);
        return;
    }
    printf("raw libzmq, 1 MiB, one way: %.2f GB/s. %u ps x %u shards, workers: %u, values through "
           "%s",
           self->yardstick.raw_bytes_per_s / 1e9, self->shape.n_ps, self->shape.shards,
           self->shape.workers, way_of(&self->shape, "shared memory"));
    if (has_codec(&self->cases[0])) { /* options choose them for all cases */
        printf(", pushed as %s, pulled as %s", codec_name(self->cases[0].push_codec),
               codec_name(self->cases[0].pull_codec));
    }
    printf("\n\n");
    printf("%-13s %-8s %22s %9s %9s %8s %8s %9s %20s\n", "case", "server", "GB/s (min..max)",
           "k calls/s", "M rows/s", "p50 us", "p99 us", "CPU s/GB", "x ideal (min..max)");
}

/* What is printed of a side. */
typedef struct figures {
    rub_bench_spread_t calls_per_s, ratio, cpu, cpu_ratio;
    double call_gb, p50_us, p99_us, latency_ratio;
    double bar, cpu_bar; /* 0: none */
    bool met, cpu_met;
} figures_t;

static double bar_of(const rub_bench_side_t *side)
{
    const bool tcp = side->fleet.shape.lane == RUB_LANE_TCP;
    if (side->is_ideal || side->fleet.shape.inproc || (tcp && side->fleet.shape.ipc)) {
        return 0;
    }
    if (strcmp(side->name, "none") == 0) {
        return tcp ? side->row.bar_none : side->row.bar_lane;
    }
    return tcp && strcmp(side->name, "journal") == 0 ? side->row.bar_journal : 0;
}

static figures_t figures_of(const rub_bench_side_t *side, const rub_bench_side_t *ideal)
{
    const size_t n = side->n_rounds;
    figures_t out = {.calls_per_s = rub_bench_spread(side->calls_per_s, n),
                     .ratio = rub_bench_ratios(side->calls_per_s, ideal->calls_per_s, n),
                     .cpu = rub_bench_spread(side->cpu_s_per_gb, n),
                     .cpu_ratio = rub_bench_ratios(side->cpu_s_per_gb, ideal->cpu_s_per_gb, n),
                     .call_gb = (double)rub_bench_call_bytes(&side->row) / 1e9,
                     .p50_us = rub_bench_side_latency(side, 0.5),
                     .p99_us = rub_bench_side_latency(side, 0.99),
                     .bar = bar_of(side)};
    const double ideal_us = rub_bench_side_latency(ideal, 0.5);
    out.latency_ratio = ideal_us > 0 ? out.p50_us / ideal_us : 0;
    out.met =
        out.bar <= 0 || (side->row.bar_kind == RUB_BENCH_BAR_LATENCY ? out.latency_ratio <= out.bar
                                                                     : out.ratio.median >= out.bar);
    out.cpu_bar =
        out.bar > 0 && side->fleet.shape.lane != RUB_LANE_TCP ? RUB_BENCH_LANE_CPU_BAR : 0;
    out.cpu_met = out.cpu_bar <= 0 || out.cpu_ratio.median <= out.cpu_bar;
    return out;
}

/* Whether what its first seconds cost is to be said beside a side. */
static bool pushes_first(const rub_bench_side_t *side)
{
    return side->first_bytes_per_s > 0 && (side->row.verb & RUB_BENCH_PUSH);
}

static void print_json(const bench_t *self, const rub_bench_side_t *side, const figures_t *f)
{
    const double rows = (double)rub_bench_call_rows(&side->row);
    printf("{\"case\":\"%s\",\"server\":\"%s\",", side->row.name,
           side->is_ideal ? "ideal" : "rubato");
    if (!side->is_ideal) {
        printf("\"durability\":\"%s\",\"lane\":\"%s\",", side->name,
               way_of(&side->fleet.shape, "shm"));
        printf("\"lend\":%s,\"codec\":\"%s\",\"pull_codec\":\"%s\",",
               side->row.lend ? "true" : "false", codec_name(side->row.push_codec),
               codec_name(side->row.pull_codec));
        printf("\"wire_ratio\":%.3f,", rub_bench_side_wire_ratio(side));
    }
    printf("\"goodput_gb_s\":%.4f,\"goodput_min_gb_s\":%.4f,\"goodput_max_gb_s\":%.4f,"
           "\"calls_per_s\":%.0f,\"rows_per_s\":%.0f,\"latency_us\":{\"p50\":%.1f,\"p99\":%.1f},"
           "\"cpu_s_per_gb\":%.3f,\"cpu_s_per_gb_min\":%.3f,\"cpu_s_per_gb_max\":%.3f,"
           "\"ideal_ratio\":%.3f,\"ideal_ratio_min\":%.3f,\"ideal_ratio_max\":%.3f,"
           "\"ideal_cpu_ratio\":%.3f,\"ideal_latency_ratio\":%.3f,\"raw_ratio\":%.3f,",
           f->calls_per_s.median * f->call_gb, f->calls_per_s.min * f->call_gb,
           f->calls_per_s.max * f->call_gb, f->calls_per_s.median, f->calls_per_s.median * rows,
           f->p50_us, f->p99_us, f->cpu.median, f->cpu.min, f->cpu.max, f->ratio.median,
           f->ratio.min, f->ratio.max, f->cpu_ratio.median, f->latency_ratio,
           f->calls_per_s.median * f->call_gb / (self->yardstick.raw_bytes_per_s / 1e9));
    if (pushes_first(side)) {
        printf("\"first_gb_s\":%.4f,", side->first_bytes_per_s / 1e9);
    }
    if (side->row.cache_bytes && !side->is_ideal) {
        printf("\"cache_hit_ratio\":%.4f,", rub_bench_side_hit_ratio(side));
    }
    if (f->bar > 0) {
        printf("\"bar\":%.2f,\"bar_is_on\":\"%s\",\"met\":%s,", f->bar,
               side->row.bar_kind == RUB_BENCH_BAR_LATENCY ? "ideal_latency_ratio" : "ideal_ratio",
               f->met ? "true" : "false");
    }
    if (f->cpu_bar > 0) {
        printf("\"cpu_bar\":%.2f,\"cpu_met\":%s,", f->cpu_bar, f->cpu_met ? "true" : "false");
    }
    printf("\"rounds\":%zu}\n", side->n_rounds);
}

static void print_line(const rub_bench_side_t *side, const figures_t *f)
{
    char rate[40], ratio[40], bar[60] = "", cpu_bar[60] = "", wire[40] = "", first[40] = "";
    char rows_text[24] = "-";
    const double rows = (double)rub_bench_call_rows(&side->row);
    if (rows > 0) {
        snprintf(rows_text, sizeof(rows_text), "%.2f", f->calls_per_s.median * rows / 1e6);
    }
    snprintf(rate, sizeof(rate), "%.2f (%.2f..%.2f)", f->calls_per_s.median * f->call_gb,
             f->calls_per_s.min * f->call_gb, f->calls_per_s.max * f->call_gb);
    snprintf(ratio, sizeof(ratio), "%.2f (%.2f..%.2f)", f->ratio.median, f->ratio.min,
             f->ratio.max);
    if (f->bar > 0 && side->row.bar_kind == RUB_BENCH_BAR_LATENCY) {
        snprintf(bar, sizeof(bar), "p50 %.2f x ideal, bar %.2f: %s", f->latency_ratio, f->bar,
                 f->met ? "met" : "MISSED");
    } else if (f->bar > 0) {
        snprintf(bar, sizeof(bar), "bar %.2f: %s", f->bar, f->met ? "met" : "MISSED");
    } else if (side->row.cache_bytes && !side->is_ideal) {
        snprintf(bar, sizeof(bar), "%.1f %% of the rows were in the cache",
                 100 * rub_bench_side_hit_ratio(side));
    }
    if (f->cpu_bar > 0) {
        snprintf(cpu_bar, sizeof(cpu_bar), "; CPU %.2f x ideal, bar %.2f: %s", f->cpu_ratio.median,
                 f->cpu_bar, f->cpu_met ? "met" : "MISSED");
    }
    if (has_codec(&side->row) && !side->is_ideal) {
        snprintf(wire, sizeof(wire), "%s%.2f times smaller on the wire", bar[0] ? "; " : "",
                 rub_bench_side_wire_ratio(side));
    }
    if (pushes_first(side)) {
        snprintf(first, sizeof(first), "%sfirst %u s: %.2f GB/s", bar[0] || wire[0] ? "; " : "",
                 RUB_BENCH_WARM_UP_MS / 1000, side->first_bytes_per_s / 1e9);
    }
    printf("%-13s %-8s %22s %9.1f %9s %8.0f %8.0f %9.2f %20s  %s%s%s%s\n",
           side->is_ideal ? side->row.name : "", side->name, rate, f->calls_per_s.median / 1e3,
           rows_text, f->p50_us, f->p99_us, f->cpu.median, side->is_ideal ? "" : ratio, bar,
           cpu_bar, wire, first);
}

static void print_case(bench_t *self)
{
    for (size_t i = 0; i < self->n_sides; i++) {
        const rub_bench_side_t *side = &self->sides[i];
        const figures_t figures = figures_of(side, &self->sides[0]);
        self->n_missed += !figures.met;
        self->n_missed += !figures.cpu_met;
        if (self->config->json) {
            print_json(self, side, &figures);
        } else {
            print_line(side, &figures);
        }
    }
    (void)fflush(stdout);
}

/* ---- cases ---- */

static void close_sides(bench_t *self, int rc)
{
    for (size_t i = 0; i < self->n_sides; i++) {
        rub_bench_side_close(&self->sides[i], rc);
    }
    self->n_sides = 0;
}

static int open_sides(bench_t *self, const rub_bench_case_t *row, rub_error_t *err)
{
    const uint64_t seed = self->config->seed;
    int rc = rub_bench_side_open_ideal(&self->sides[self->n_sides++], self->yardstick.address,
                                       &self->yardstick.ideal, &self->shape, row, seed, err);
    for (size_t i = 0; i < self->n_durabilities && !rc; i++) {
        char folder[100];
        snprintf(folder, sizeof(folder), "%s/fleet-%u", self->folder, self->n_fleets++);
        rc = rub_bench_side_open(&self->sides[self->n_sides++], self->durabilities[i], folder,
                                 &self->shape, row, seed, err);
    }
    return rc;
}

/* A shard puts off the writing of a large table, so that most short slices would see none of it,
 * and the median of all would say that it costs nothing. */
static uint64_t slice_ms(const bench_t *self, const rub_bench_case_t *row)
{
    bool is_durable = false;
    for (size_t i = 0; i < self->n_sides; i++) {
        is_durable = is_durable || self->sides[i].is_durable;
    }
    const bool is_swept = (row->verb & RUB_BENCH_PUSH) &&
                          rub_bench_table_values(row) * sizeof(float) > SWEPT_TABLE_BYTES;
    return is_durable && is_swept ? SWEPT_SLICE_MS : SLICE_MS;
}

static int run_case(bench_t *self, const rub_bench_case_t *row, rub_error_t *err)
{
    int rc = 0;
    const bool known = self->n_sides > 0 && rub_bench_same_table(&self->sides[0].row, row);
    if (known) {
        for (size_t i = 0; i < self->n_sides && !rc; i++) {
            rc = rub_bench_side_prepare(&self->sides[i], row, self->config->seed, err);
        }
    } else {
        close_sides(self, 0);
        rc = open_sides(self, row, err);
    }
    for (size_t i = 0; i < self->n_sides && !rc; i++) {
        rc = rub_bench_side_warm_up(&self->sides[i], WARM_UP_MS, err);
    }
    for (size_t round = 0; round < self->n_rounds && !rc; round++) {
        for (size_t i = 0; i < self->n_sides && !rc; i++) {
            /* Who follows whom changes: each finds what the other left in the caches. */
            rc = rub_bench_side_round(&self->sides[(i + round) % self->n_sides],
                                      slice_ms(self, row), err);
        }
        rc = rc ? rc : rub_bench_go_on(err);
    }
    if (!rc) {
        print_case(self);
    }
    return rc;
}

/* ---- the run ---- */

static void choose_durabilities(bench_t *self)
{
    if (rub_bench_set(self->config, RUB_OPT_durability)) {
        self->durabilities[self->n_durabilities++] =
            rub_config_word(self->config, RUB_OPT_durability);
        return;
    }
    self->durabilities[self->n_durabilities++] = "none";
    if (!self->config->inproc) {
        self->durabilities[self->n_durabilities++] = "journal";
    }
}

static int run(bench_t *self, rub_error_t *err)
{
    int rc = rub_bench_yardstick_open(&self->yardstick, self->folder, self->config->repeat, err);
    if (!rc) {
        print_head(self);
    }
    for (size_t i = 0; i < self->n_cases && !rc; i++) {
        rc = run_case(self, &self->cases[i], err);
    }
    close_sides(self, rc);
    rub_bench_yardstick_close(&self->yardstick);
    return rc;
}

int rub_bench_pushpull(rub_config_t *config, rub_error_t *err)
{
    bench_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    self->config = config;
    self->n_rounds = config->repeat * ROUNDS_PER_REPEAT;
    RUB_ASSERT(self->n_rounds <= RUB_BENCH_ROUNDS_LIMIT);
    choose_durabilities(self);
    int rc = rub_bench_cases(config, self->cases, &self->n_cases, err);
    rc = rc ? rc : rub_bench_shape(config, &self->shape, err);
    rc = rc ? rc : rub_bench_folder_make(self->folder, err);
    rc = rc ? rc : run(self, err);
    rub_bench_folder_leave(self->folder, rc);
    const int missed = (int)self->n_missed;
    rub_free(self);
    return rc ? rc : missed;
}
