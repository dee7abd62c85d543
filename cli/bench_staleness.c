/* `rubato bench staleness`: what a staleness bound buys and costs, with one worker of four three
 * times slower than the others. The curve of the literature (Ho et al., NIPS 2013, figures 2 and 3;
 * Cui et al., ATC 2014, who slow the workers in turn): the share of time that workers stand in
 * pulls, the time of an epoch, and the time and epochs to a fixed loss, at s = 0, 1, 2, 4, 8, 16
 * and async.
 *
 * The fleets are real. Every worker keeps to a pace (15 ms a batch, of which it computes about 3)
 * and sleeps the rest, so that four of them and a ps fit on two cores and nobody waits for a core.
 * No prefetch, and under bsp each push is an optimizer step of its own (reduce: each), as it is
 * under every other bound: what differs between two rows of the table is the bound alone. Momentum,
 * because that is where stale gradients cost epochs (Mitliagkas et al. 2016: asynchrony begets
 * momentum). */
#include "cli/bench.h"
#include "cli/bench_setup.h"
#include "cli/bench_training.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 4u
#define SLOW_RANK 3u
#define REPEAT_LIMIT 100u
#define EPOCHS_LIMIT 1000u
#define TARGET_LOSS 0.65 /* of the test set: early in the fourth epoch under bsp */

static const char *const bounds[] = {"0", "1", "2", "4", "8", "16", "async"};

typedef struct straggler {
    const char *name, *slow, *meaning;
} straggler_t;

static const straggler_t stragglers[] = {
    {"one_slow", "3:3", "rank 3 is always three times slower"},
    {"turns", "turns:3:8", "each rank in turn is three times slower, for 8 of its periods"},
};

/* Of one bound, a number per repeat; NAN: the loss was not reached. */
typedef struct series {
    double idle[REPEAT_LIMIT], idle_fast[REPEAT_LIMIT], meeting[REPEAT_LIMIT];
    double epoch_s[REPEAT_LIMIT], loss_s[REPEAT_LIMIT], loss_epochs[REPEAT_LIMIT];
    double loss[REPEAT_LIMIT], gap[REPEAT_LIMIT];
} series_t;

typedef struct bench {
    const rub_config_t *config;
    char folder[RUB_BENCH_FOLDER_BYTES];
    unsigned runs;
    series_t series[RUB_COUNT_OF(stragglers)][RUB_COUNT_OF(bounds)];
} bench_t;

/* What the user has set stays. */
static int settle(rub_config_t *config, rub_error_t *err)
{
    static const rub_bench_default_t rows[] = {
        {RUB_OPT_model_kind, "softmax"}, {RUB_OPT_optimizer, "momentum"},
        {RUB_OPT_lr, "0.005"},           {RUB_OPT_batch, "500"},
        {RUB_OPT_epochs, "8"},           {RUB_OPT_piece_examples, "1000"},
        {RUB_OPT_prefetch, "false"},     {RUB_OPT_reduce, "each"},
        {RUB_OPT_pace_ms, "15ms"},
    };
    int rc = rub_bench_defaults(config, rows, RUB_COUNT_OF(rows), err);
    rc = rc ? rc : rub_bench_default_data(config, err);
    if (rc) {
        return rc;
    }
    return config->epochs <= EPOCHS_LIMIT
               ? 0
               : rub_fail(err, RUB_ECONFIG, "epochs: %llu, at most %u in bench staleness",
                          (unsigned long long)config->epochs, EPOCHS_LIMIT);
}

/* ---- what a run has left behind ---- */

/* Milliseconds of the day at the beginning of a log's line ("2026-11-21T04:05:06.789Z"); -1: none.
 */
static double line_ms(const char *line)
{
    unsigned hours = 0, minutes = 0;
    double seconds = 0;
    if (sscanf(line, "%*u-%*u-%*uT%u:%u:%lfZ", &hours, &minutes, &seconds) != 3) {
        return -1;
    }
    return ((double)hours * 60 + minutes) * 60e3 + seconds * 1e3;
}

typedef struct curve {
    double at_ms[EPOCHS_LIMIT + 1], loss[EPOCHS_LIMIT + 1]; /* index = epoch, from 1 */
    size_t n_epochs;
} curve_t;

/* Rank 0 says in its log when it has joined and what each epoch's validation gave. */
static int read_curve(const char *run_dir, curve_t *curve, rub_error_t *err)
{
    char path[200], line[600];
    snprintf(path, sizeof(path), "%s/worker-0.log", run_dir);
    FILE *file = fopen(path, "r");
    if (!file) {
        return rub_fail(err, RUB_EIO, "%s cannot be read", path);
    }
    double joined_ms = -1;
    curve->n_epochs = 0;
    while (fgets(line, sizeof(line), file)) {
        const char *loss = strstr(line, "test loss ");
        double at_ms = line_ms(line);
        if (strstr(line, ": joined as rank 0")) {
            joined_ms = at_ms;
        } else if (loss && joined_ms >= 0 && curve->n_epochs < EPOCHS_LIMIT) {
            at_ms += at_ms < joined_ms ? 24 * 3600e3 : 0; /* past midnight */
            curve->n_epochs++;
            curve->at_ms[curve->n_epochs] = at_ms - joined_ms;
            curve->loss[curve->n_epochs] = strtod(loss + strlen("test loss "), NULL);
        }
    }
    (void)fclose(file);
    return curve->n_epochs > 0
               ? 0
               : rub_fail(err, RUB_EINTERNAL, "%s says nothing of any epoch's test loss", path);
}

/* Where the curve first falls to the target, on a straight line between the ends of two epochs. */
static void find_target(const curve_t *curve, double *seconds_p, double *epochs_p)
{
    *seconds_p = *epochs_p = NAN;
    for (size_t i = 1; i <= curve->n_epochs; i++) {
        if (curve->loss[i] > TARGET_LOSS) {
            continue;
        }
        /* The first epoch began without a validation: its end is all that is known. */
        const double share =
            i == 1 ? 1 : (curve->loss[i - 1] - TARGET_LOSS) / (curve->loss[i - 1] - curve->loss[i]);
        const double before_ms = i == 1 ? 0 : curve->at_ms[i - 1];
        *epochs_p = (double)(i - 1) + share;
        *seconds_p = (before_ms + share * (curve->at_ms[i] - before_ms)) / 1e3;
        return;
    }
}

static double wait_s(const json_t *waits, const char *what)
{
    return json_number_value(json_object_get(waits, what));
}

static int read_result(const bench_t *self, const char *run_dir, series_t *series, size_t run,
                       rub_error_t *err)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/result.json", run_dir);
    json_t *result = json_load_file(path, 0, NULL);
    const double elapsed_s = json_number_value(json_object_get(result, "elapsed_s"));
    const json_t *ranks = json_object_get(result, "ranks");
    double pull_s = 0, fast_s = 0, meet_s = 0;
    for (size_t i = 0; i < json_array_size(ranks); i++) {
        const json_t *waits = json_object_get(json_array_get(ranks, i), "wait_s");
        pull_s += wait_s(waits, "pull");
        meet_s += wait_s(waits, "meet");
        fast_s += i != SLOW_RANK ? wait_s(waits, "pull") : 0;
    }
    const bool whole = json_array_size(ranks) == WORKERS && elapsed_s > 0;
    if (whole) {
        series->idle[run] = pull_s / (WORKERS * elapsed_s);
        series->idle_fast[run] = fast_s / ((WORKERS - 1) * elapsed_s);
        series->meeting[run] = meet_s / (WORKERS * elapsed_s);
        series->epoch_s[run] = elapsed_s / (double)self->config->epochs;
        series->gap[run] =
            json_number_value(json_object_get(json_object_get(result, "staleness"), "max_gap"));
        series->loss[run] =
            json_number_value(json_object_get(json_object_get(result, "metrics"), "loss"));
    }
    json_decref(result);
    return whole ? 0 : rub_fail(err, RUB_EINTERNAL, "%s is not a whole result", path);
}

/* ---- measuring ---- */

static int run_once(bench_t *self, const straggler_t *straggler, const char *bound,
                    series_t *series, size_t run, rub_error_t *err)
{
    char run_dir[150];
    rub_bench_training_t ended;
    curve_t curve;
    snprintf(run_dir, sizeof(run_dir), "%s/run-%u", self->folder, self->runs);
    const bool bsp = strcmp(bound, "0") == 0; /* the only bound that reduce is for */
    const char *const more[] = {
        "--staleness", bound,
        "--reduce",    bsp ? rub_config_word(self->config, RUB_OPT_reduce) : "mean",
        "--slow",      straggler->slow,
        NULL};
    int rc = rub_bench_training_run(self->config, self->folder, self->runs++, WORKERS, more, &ended,
                                    err);
    rc = rc ? rc : read_result(self, run_dir, series, run, err);
    rc = rc ? rc : read_curve(run_dir, &curve, err);
    if (rc == 0) {
        find_target(&curve, &series->loss_s[run], &series->loss_epochs[run]);
        fprintf(stderr, "%s, s = %s: idle %.1f %%, %.2f s an epoch, loss %.4f\n", straggler->name,
                bound, 100 * series->idle[run], series->epoch_s[run], series->loss[run]);
    }
    return rc;
}

/* Repeats are the outermost loop: what the machine does meanwhile spoils a run of every bound, not
 * all runs of one. */
static int measure(bench_t *self, rub_error_t *err)
{
    int rc = 0;
    for (size_t run = 0; run < self->config->repeat; run++) {
        for (size_t k = 0; k < RUB_COUNT_OF(stragglers); k++) {
            for (size_t i = 0; i < RUB_COUNT_OF(bounds) && rc == 0; i++) {
                if (rub_bench_wants(self->config, stragglers[k].name)) {
                    rc = run_once(self, &stragglers[k], bounds[i], &self->series[k][i], run, err);
                }
            }
        }
    }
    return rc;
}

/* ---- printing ---- */

/* NAN unless it was reached in every run. */
static double median(double *values, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (!isfinite(values[i])) {
            return NAN;
        }
    }
    return rub_bench_median(values, n);
}

/* "1.23", or null for machines and "-" for people. */
static const char *number(double value, int digits, bool json, char out[24])
{
    if (isfinite(value)) {
        snprintf(out, 24, "%.*f", digits, value);
    } else {
        snprintf(out, 24, "%s", json ? "null" : "-");
    }
    return out;
}

static void print_json(bench_t *self, size_t k, size_t i)
{
    const size_t n = self->config->repeat;
    series_t *series = &self->series[k][i];
    char seconds[24], epochs[24];
    printf("{\"case\":\"staleness\",\"straggler\":\"%s\",\"slow\":\"%s\",\"staleness\":\"%s\","
           "\"workers\":%u,\"pace_ms\":%llu,\"batch\":%llu,\"epochs\":%llu,\"repeat\":%zu,"
           "\"idle_share\":%.4f,\"idle_share_ranks_0_to_2\":%.4f,\"meeting_share\":%.4f,"
           "\"epoch_s\":%.4f,\"target_loss\":%.2f,\"time_to_loss_s\":%s,\"epochs_to_loss\":%s,"
           "\"final_loss\":%.4f,\"max_gap\":%.0f}\n",
           stragglers[k].name, stragglers[k].slow, bounds[i], WORKERS,
           (unsigned long long)self->config->pace_ms, (unsigned long long)self->config->batch,
           (unsigned long long)self->config->epochs, n, median(series->idle, n),
           median(series->idle_fast, n), median(series->meeting, n), median(series->epoch_s, n),
           TARGET_LOSS, number(median(series->loss_s, n), 3, true, seconds),
           number(median(series->loss_epochs, n), 3, true, epochs), median(series->loss, n),
           median(series->gap, n));
}

static void print_text(bench_t *self, size_t k, size_t i)
{
    const size_t n = self->config->repeat;
    series_t *series = &self->series[k][i];
    char seconds[24], epochs[24];
    printf("%6s %9.1f %% %9.1f %% %9.1f %% %9.2f s %10s s %9s %10.4f %6.0f\n", bounds[i],
           100 * median(series->idle, n), 100 * median(series->idle_fast, n),
           100 * median(series->meeting, n), median(series->epoch_s, n),
           number(median(series->loss_s, n), 2, false, seconds),
           number(median(series->loss_epochs, n), 2, false, epochs), median(series->loss, n),
           median(series->gap, n));
}

static void print(bench_t *self)
{
    for (size_t k = 0; k < RUB_COUNT_OF(stragglers); k++) {
        if (!rub_bench_wants(self->config, stragglers[k].name)) {
            continue;
        }
        if (!self->config->json) {
            printf("%s: %u workers, %llu ms a batch; %s; loss %.2f (medians of %llu)\n",
                   stragglers[k].name, WORKERS, (unsigned long long)self->config->pace_ms,
                   stragglers[k].meaning, TARGET_LOSS, (unsigned long long)self->config->repeat);
            printf("%6s %11s %11s %11s %11s %12s %9s %10s %6s\n", "s", "in pulls", "ranks 0-2",
                   "meeting", "an epoch", "to the loss", "in epochs", "final loss", "gap");
        }
        for (size_t i = 0; i < RUB_COUNT_OF(bounds); i++) {
            (self->config->json ? print_json : print_text)(self, k, i);
        }
    }
}

static const char *case_name(size_t k)
{
    return k < RUB_COUNT_OF(stragglers) ? stragglers[k].name : NULL;
}

int rub_bench_staleness(rub_config_t *config, rub_error_t *err)
{
    int rc = rub_bench_check_words(config, case_name, err);
    rc = rc ? rc : settle(config, err);
    bench_t *self = rc ? NULL : rub_calloc(1, sizeof(*self));
    if (!self) {
        return rc ? rc : rub_fail(err, RUB_ENOMEM, "bench staleness: memory is short");
    }
    self->config = config;
    rc = rub_bench_folder_make(self->folder, err);
    rc = rc ? rc : measure(self, err);
    if (rc == 0) {
        print(self);
    }
    rub_bench_folder_leave(self->folder, rc);
    rub_free(self);
    return rc;
}
