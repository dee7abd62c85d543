/* rubato-scale: what a worker costs the scheduler and a shard, for fleets of any size, and what a
 * push costs a shard, for tables of any size. See tests/scale/scale.h for what is measured.
 *
 *   rubato-scale [--workers N] [--shards N] [--seconds N] [--staleness N] [--seed N] [--json]
 *   rubato-scale --pushes [--rows N] [--json]
 *
 * Exit 0: measured; 1: the job broke; 2: usage. */
#include "common/base/check.h"
#include "common/base/timing.h"
#include "tests/scale/scale.h"

#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define PHASE_LIMIT_MS 120000u
#define SETTLE_MS 2000u

static const uint32_t shard_types[] = {RUB_MSG_HELLO,  RUB_MSG_PULL, RUB_MSG_PUSH, RUB_MSG_CLOCK,
                                       RUB_MSG_RESUME, RUB_MSG_IDLE, RUB_MSG_BYE};

/* ---- the job ---- */

static bool steps_until(rub_scale_t *scale, rub_scale_stage_t stage, uint32_t want)
{
    const uint64_t began_ms = scale->now_ms;
    while (!scale->broken[0] && rub_scale_count(scale, stage) < want) {
        rub_scale_step(scale);
        if (scale->now_ms - began_ms > PHASE_LIMIT_MS) {
            rub_scale_break(scale, "phase %s: after %u s %u of %u workers are there",
                            rub_scale_phase_names[scale->phase], PHASE_LIMIT_MS / 1000,
                            rub_scale_count(scale, stage), want);
        }
    }
    return !scale->broken[0];
}

static void steps(rub_scale_t *scale, uint64_t ms)
{
    for (uint64_t i = 0; i < ms && !scale->broken[0]; i++) {
        rub_scale_step(scale);
    }
}

static void run_job(rub_scale_t *scale)
{
    const uint32_t n = scale->options.n_workers;
    scale->phase = SCALE_GATHER;
    if (!steps_until(scale, SCALE_HALTED, n)) {
        return;
    }
    steps(scale, 1000);
    scale->phase = SCALE_TRAIN;
    steps(scale, (uint64_t)scale->options.seconds * 1000);
    scale->phase = SCALE_EVICT; /* one dies, another takes its place: two views for everybody */
    rub_scale_kill(scale, n / 2);
    steps(scale, 500);
    if (!scale->broken[0] && rub_scale_add_worker(scale) != 0) {
        rub_scale_break(scale, "no memory for another worker");
    }
    steps(scale, SETTLE_MS);
    scale->phase = SCALE_BARRIER;
    if (steps_until(scale, SCALE_HALTED, n)) {
        scale->phase = SCALE_LEAVE;
        steps_until(scale, SCALE_LEFT, n);
    }
    steps(scale, scale->broken[0] ? 0 : SETTLE_MS);
}

/* ---- printing ---- */

static double us_each(const rub_scale_cost_t *cost)
{
    return cost->n ? (double)cost->ns / 1e3 / (double)cost->n : 0;
}

static rub_scale_cost_t sum(const rub_scale_cost_t *costs)
{
    rub_scale_cost_t all = {0};
    for (uint32_t i = 0; i < SCALE_TYPES; i++) {
        all.n += costs[i].n;
        all.bytes += costs[i].bytes;
        all.ns += costs[i].ns;
    }
    return all;
}

static double scheduler_s(const rub_scale_books_t *books)
{
    return (double)(sum(books->scheduler_in).ns + sum(books->scheduler_out).ns +
                    books->scheduler_decode.ns + books->scheduler_tick.ns) /
           1e9;
}

static double shard_s(const rub_scale_books_t *books)
{
    return (double)(sum(books->shard_in).ns + books->shard_turn_end.ns + books->shard_tick.ns +
                    books->shard_control.ns) /
           1e9;
}

static void print_phase(const rub_scale_t *scale, rub_scale_phase_t phase)
{
    const rub_scale_books_t *books = &scale->books[phase];
    const rub_scale_cost_t in = sum(books->scheduler_in), out = sum(books->scheduler_out);
    const double s = books->virtual_s > 0 ? books->virtual_s : 1;
    printf("%-8s %7.2f s | scheduler: CPU %7.3f s (%6.2f %%), in %8.0f/s %7.2f MB/s, out %8.0f/s "
           "%8.2f MB/s, commits %7.0f/s of %.0f KB | each shard: CPU %6.3f s (%6.2f %%)\n",
           rub_scale_phase_names[phase], books->virtual_s, scheduler_s(books),
           100 * scheduler_s(books) / s, (double)in.n / s, (double)in.bytes / s / 1e6,
           (double)out.n / s, (double)out.bytes / s / 1e6, (double)books->scheduler_commit.n / s,
           books->scheduler_commit.n
               ? (double)books->scheduler_commit.bytes / (double)books->scheduler_commit.n / 1e3
               : 0,
           shard_s(books) / scale->options.n_shards,
           100 * shard_s(books) / scale->options.n_shards / s);
}

static void print_types(const rub_scale_t *scale)
{
    printf("\nscheduler, us of CPU by message (all phases)\n");
    for (uint32_t type = 0; type < SCALE_TYPES; type++) {
        rub_scale_cost_t in = {0}, out = {0};
        for (uint32_t phase = 0; phase < SCALE_PHASES; phase++) {
            const rub_scale_books_t *books = &scale->books[phase];
            in.n += books->scheduler_in[type].n;
            in.ns += books->scheduler_in[type].ns;
            in.bytes += books->scheduler_in[type].bytes;
            out.n += books->scheduler_out[type].n;
            out.ns += books->scheduler_out[type].ns;
            out.bytes += books->scheduler_out[type].bytes;
        }
        if (in.n) {
            printf("  %-12s taken %9" PRIu64 "  %9.2f us each, %8.0f bytes\n",
                   rub_message_name(type), in.n, us_each(&in), (double)in.bytes / (double)in.n);
        }
        if (out.n) {
            printf("  %-12s said  %9" PRIu64 "  %9.2f us each, %8.0f bytes\n",
                   rub_message_name(type), out.n, us_each(&out), (double)out.bytes / (double)out.n);
        }
    }
    const rub_scale_books_t *train = &scale->books[SCALE_TRAIN];
    printf("  %-12s       %9" PRIu64 "  %9.2f us each\n", "tick", train->scheduler_tick.n,
           us_each(&train->scheduler_tick));
    printf("\nshard, us of CPU by message (training; barrier and leaving where there is none)\n");
    for (size_t i = 0; i < RUB_COUNT_OF(shard_types); i++) {
        rub_scale_cost_t all = {0};
        for (uint32_t phase = 0; phase < SCALE_PHASES; phase++) {
            all.n += scale->books[phase].shard_in[shard_types[i]].n;
            all.ns += scale->books[phase].shard_in[shard_types[i]].ns;
        }
        printf("  %-12s       %9" PRIu64 "  %9.2f us each\n", rub_message_name(shard_types[i]),
               all.n, us_each(&all));
    }
    printf("  %-12s       %9" PRIu64 "  %9.2f us each\n", "turn's end", train->shard_turn_end.n,
           us_each(&train->shard_turn_end));
    printf("  %-12s       %9" PRIu64 "  %9.2f us each\n", "tick", train->shard_tick.n,
           us_each(&train->shard_tick));
}

static void print_people(const rub_scale_t *scale)
{
    const rub_scale_options_t *options = &scale->options;
    printf("%u workers x %u shards, batches of %u ms, staleness %" PRIu64 "\n", options->n_workers,
           options->n_shards, options->batch_ms, options->staleness);
    for (uint32_t phase = 0; phase < SCALE_PHASES; phase++) {
        print_phase(scale, phase);
    }
    print_types(scale);
    const double sessions = (double)options->n_workers * options->n_shards;
    printf("\nmemory: scheduler %.0f KB (%.2f KB a worker), a shard %.0f KB (%.2f KB a session; "
           "tables %.0f KB of it), a worker's client %.0f KB (%.2f KB a shard)\n",
           (double)scale->scheduler_bytes / 1e3,
           (double)scale->scheduler_bytes / 1e3 / options->n_workers,
           (double)scale->shards_bytes / 1e3 / options->n_shards,
           (double)scale->shards_bytes / 1e3 / sessions,
           (double)scale->table_bytes / 1e3 / options->n_shards,
           (double)scale->clients_bytes / 1e3 / options->n_workers,
           (double)scale->clients_bytes / 1e3 / sessions);
}

static void print_json(const rub_scale_t *scale)
{
    const rub_scale_options_t *options = &scale->options;
    for (uint32_t phase = 0; phase < SCALE_PHASES; phase++) {
        const rub_scale_books_t *books = &scale->books[phase];
        const rub_scale_cost_t in = sum(books->scheduler_in), out = sum(books->scheduler_out);
        printf("{\"case\":\"scale\",\"workers\":%u,\"shards\":%u,\"phase\":\"%s\","
               "\"virtual_s\":%.3f,\"scheduler_cpu_s\":%.6f,\"scheduler_in\":%" PRIu64
               ",\"scheduler_in_bytes\":%" PRIu64 ",\"scheduler_out\":%" PRIu64
               ",\"scheduler_out_bytes\":%" PRIu64 ",\"commits\":%" PRIu64
               ",\"commit_bytes\":%" PRIu64 ",\"scheduler_tick_us\":%.3f,\"shard_cpu_s\":%.6f,"
               "\"push_us\":%.3f,\"pull_us\":%.3f,\"clock_us\":%.3f,\"turn_end_us\":%.3f,"
               "\"pushes\":%" PRIu64 ",\"journal_bytes\":%" PRIu64 "}\n",
               options->n_workers, options->n_shards, rub_scale_phase_names[phase],
               books->virtual_s, scheduler_s(books), in.n, in.bytes, out.n, out.bytes,
               books->scheduler_commit.n, books->scheduler_commit.bytes,
               us_each(&books->scheduler_tick), shard_s(books) / options->n_shards,
               us_each(&books->shard_in[RUB_MSG_PUSH]), us_each(&books->shard_in[RUB_MSG_PULL]),
               us_each(&books->shard_in[RUB_MSG_CLOCK]), us_each(&books->shard_turn_end),
               books->shard_in[RUB_MSG_PUSH].n, books->journal_bytes);
    }
    printf("{\"case\":\"scale\",\"workers\":%u,\"shards\":%u,\"phase\":\"memory\","
           "\"scheduler_bytes\":%" PRIu64 ",\"shards_bytes\":%" PRIu64 ",\"table_bytes\":%" PRIu64
           ",\"clients_bytes\":%" PRIu64 "}\n",
           options->n_workers, options->n_shards, scale->scheduler_bytes, scale->shards_bytes,
           scale->table_bytes, scale->clients_bytes);
}

static int scale(const rub_scale_options_t *options, bool json)
{
    static rub_scale_t self;
    const uint64_t began_ms = rub_now_ms();
    int rc = rub_scale_open(&self, options);
    if (rc == 0) {
        run_job(&self);
    } else {
        rub_scale_break(&self, "it does not start: %s", rub_error_name(rc));
    }
    rub_scale_close(&self);
    if (self.broken[0]) {
        fprintf(stderr, "rubato-scale: %s\n", self.broken);
        return 1;
    }
    (json ? print_json : print_people)(&self);
    fprintf(stderr, "took %.1f s\n", (double)(rub_now_ms() - began_ms) / 1e3);
    return 0;
}

/* ---- options ---- */

static uint64_t number(const char *name, const char *text, uint64_t least, uint64_t most)
{
    char *end = NULL;
    const unsigned long long value = strtoull(text, &end, 10);
    if (end == text || *end != '\0' || value < least || value > most) {
        fprintf(stderr,
                "rubato-scale: --%s %s: expected a number from %" PRIu64 " to %" PRIu64 "\n", name,
                text, least, most);
        exit(2);
    }
    return value;
}

int main(int argc, char **argv)
{
    static const struct option known[] = {{"workers", required_argument, NULL, 'w'},
                                          {"shards", required_argument, NULL, 's'},
                                          {"seconds", required_argument, NULL, 't'},
                                          {"staleness", required_argument, NULL, 'b'},
                                          {"seed", required_argument, NULL, 'r'},
                                          {"rows", required_argument, NULL, 'n'},
                                          {"pushes", no_argument, NULL, 'p'},
                                          {"json", no_argument, NULL, 'j'},
                                          {NULL, 0, NULL, 0}};
    rub_scale_options_t options = {.n_workers = 1000,
                                   .n_shards = 64,
                                   .seconds = 5,
                                   .batch_ms = 500,
                                   .rows_each = 4,
                                   .width = 16,
                                   .staleness = 4,
                                   .seed = 1};
    bool json = false, pushes = false;
    uint64_t rows = 4000000;
    int letter;
    while ((letter = getopt_long(argc, argv, "", known, NULL)) != -1) {
        switch (letter) {
        case 'w':
            options.n_workers = (uint32_t)number("workers", optarg, 1, 4000);
            break;
        case 's':
            options.n_shards = (uint32_t)number("shards", optarg, 1, 256);
            break;
        case 't':
            options.seconds = (uint32_t)number("seconds", optarg, 1, 3600);
            break;
        case 'b':
            options.staleness = number("staleness", optarg, 0, 1000000);
            break;
        case 'r':
            options.seed = number("seed", optarg, 0, UINT64_MAX);
            break;
        case 'n':
            rows = number("rows", optarg, 10000, 20000000);
            break;
        case 'p':
            pushes = true;
            break;
        case 'j':
            json = true;
            break;
        default:
            return 2;
        }
    }
    return pushes ? rub_scale_pushes(json, rows) : scale(&options, json);
}
