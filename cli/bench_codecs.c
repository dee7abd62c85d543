/* `rubato bench codecs`: bytes of values on the wire, and what the model has learned at the end,
 * for each codec, from real training runs of the same workload.
 *
 * bsp, so that a run's result does not depend on the machine's mood: what differs between two rows
 * of the table is the codec alone. Each repeat has a seed of its own, the same for every codec;
 * mean accuracies are compared. Weights are pulled as float32 beside float32 pushes, as f16 beside
 * f16, and as bf16 beside all others: only gradients bear less.
 *
 * Plain SGD by default, for which error feedback is proved (Karimireddy et al., ICML 2019): a
 * server with momentum or Adam amplifies what 1bit and topk send late. --optimizer shows it. */
#include "cli/bench.h"
#include "cli/bench_setup.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define WORKERS 2u
#define REPEAT_LIMIT 100u

typedef struct pairing {
    const char *push, *pull;
    double least_ratio; /* of float32's bytes to its own, that the bar asks for; 0: no bar */
    double loss_points; /* of accuracy, in points of 100, that it may stay behind float32 */
} pairing_t;

static const pairing_t pairings[] = {
    {"f32", "f32", 0, 0},     {"f16", "f16", 0, 0},   {"bf16", "bf16", 1.7, 0.2},
    {"int8", "bf16", 1, 0.5}, {"2bit", "bf16", 0, 0}, {"1bit", "bf16", 1, 0.5},
    {"topk", "bf16", 0, 0},
};

typedef struct bench {
    const rub_config_t *config;
    char folder[RUB_BENCH_FOLDER_BYTES];
    unsigned runs;
    double push_bytes[RUB_COUNT_OF(pairings)], pull_bytes[RUB_COUNT_OF(pairings)]; /* sums */
    double accuracy[RUB_COUNT_OF(pairings)], loss[RUB_COUNT_OF(pairings)];
    double speed[RUB_COUNT_OF(pairings)][REPEAT_LIMIT];
} bench_t;

/* What the user has set stays. */
static int settle(rub_config_t *config, rub_error_t *err)
{
    static const rub_bench_default_t rows[] = {
        {RUB_OPT_model_kind, "mlp"}, {RUB_OPT_hidden, "[128]"}, {RUB_OPT_optimizer, "sgd"},
        {RUB_OPT_lr, "0.1"},         {RUB_OPT_batch, "256"},    {RUB_OPT_epochs, "10"},
        {RUB_OPT_staleness, "bsp"},
    };
    const int rc = rub_bench_defaults(config, rows, RUB_COUNT_OF(rows), err);
    return rc ? rc : rub_bench_default_data(config, err);
}

/* ---- what a run has left behind ---- */

/* A worker's log says at its end how many bytes of values it pushed and pulled. */
static int read_bytes(const char *run_dir, unsigned rank, double *push_p, double *pull_p,
                      rub_error_t *err)
{
    char path[200], line[600];
    bool found = false;
    snprintf(path, sizeof(path), "%s/worker-%u.log", run_dir, rank);
    FILE *file = fopen(path, "r");
    if (!file) {
        return rub_fail(err, RUB_EIO, "%s cannot be read", path);
    }
    while (fgets(line, sizeof(line), file)) {
        unsigned long long pushed = 0, pulled = 0;
        const char *at = strstr(line, "values on the wire: ");
        if (at && sscanf(at, "values on the wire: pushed %llu bytes, pulled %llu", &pushed,
                         &pulled) == 2) {
            *push_p += (double)pushed;
            *pull_p += (double)pulled;
            found = true;
        }
    }
    (void)fclose(file);
    return found ? 0
                 : rub_fail(err, RUB_EINTERNAL, "%s does not say what went over the wire", path);
}

static int read_result(const char *run_dir, double *accuracy_p, double *loss_p, rub_error_t *err)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/result.json", run_dir);
    json_t *result = json_load_file(path, 0, NULL);
    const json_t *metrics = json_object_get(result, "metrics");
    const json_t *accuracy = json_object_get(metrics, "accuracy");
    const bool whole = json_is_number(accuracy);
    *accuracy_p += json_number_value(accuracy);
    *loss_p += json_number_value(json_object_get(metrics, "loss"));
    json_decref(result);
    return whole ? 0 : rub_fail(err, RUB_EINTERNAL, "%s has no accuracy", path);
}

/* ---- measuring ---- */

static int run_once(bench_t *self, size_t i, size_t run, rub_error_t *err)
{
    char run_dir[150], seed[24];
    const unsigned long long number = (unsigned long long)(self->config->seed + run);
    snprintf(run_dir, sizeof(run_dir), "%s/run-%u", self->folder, self->runs);
    snprintf(seed, sizeof(seed), "%llu", number);
    const char *const more[] = {"--seed",         seed, "--codec", pairings[i].push, "--pull-codec",
                                pairings[i].pull, NULL};
    const double before = self->accuracy[i];
    int rc = rub_bench_training_run(self->config, self->folder, self->runs++, WORKERS, more,
                                    &self->speed[i][run], NULL, err);
    rc = rc ? rc : read_result(run_dir, &self->accuracy[i], &self->loss[i], err);
    for (unsigned rank = 0; rank < WORKERS && rc == 0; rank++) {
        rc = read_bytes(run_dir, rank, &self->push_bytes[i], &self->pull_bytes[i], err);
    }
    if (rc == 0) {
        fprintf(stderr, "%s, seed %llu: accuracy %.4f\n", pairings[i].push, number,
                self->accuracy[i] - before);
    }
    return rc;
}

/* float32 is what the others are compared with, so it is never left out. */
static bool is_wanted(const bench_t *self, size_t i)
{
    return i == 0 || rub_bench_wants(self->config, pairings[i].push);
}

static int measure(bench_t *self, rub_error_t *err)
{
    int rc = 0;
    for (size_t run = 0; run < self->config->repeat && rc == 0; run++) {
        for (size_t i = 0; i < RUB_COUNT_OF(pairings) && rc == 0; i++) {
            rc = is_wanted(self, i) ? run_once(self, i, run, err) : 0;
        }
    }
    return rc;
}

/* ---- printing ---- */

/* Prints a row; returns 1 when it has a bar and missed it. */
static int print_row(bench_t *self, size_t i)
{
    const pairing_t *pairing = &pairings[i];
    const double n = (double)self->config->repeat;
    const double push = self->push_bytes[i] / n;
    const double pull = self->pull_bytes[i] / n;
    const double ratio = (self->push_bytes[0] + self->pull_bytes[0]) / n / (push + pull);
    const double push_ratio = self->push_bytes[0] / n / push;
    const double accuracy = 100 * self->accuracy[i] / n;
    const double behind = 100 * self->accuracy[0] / n - accuracy;
    const bool has_bar = pairing->least_ratio > 0;
    const bool met = ratio >= pairing->least_ratio && behind <= pairing->loss_points;
    const double speed = rub_bench_median(self->speed[i], self->config->repeat);
    if (self->config->json) {
        printf("{\"case\":\"codecs\",\"codec\":\"%s\",\"pull_codec\":\"%s\",\"workers\":%u,"
               "\"epochs\":%llu,\"batch\":%llu,\"repeat\":%llu,\"push_bytes\":%.0f,"
               "\"pull_bytes\":%.0f,\"push_ratio\":%.3f,\"ratio\":%.3f,\"accuracy\":%.5f,"
               "\"behind_f32_points\":%.3f,\"loss\":%.5f,\"examples_per_s\":%.0f,\"met\":%s}\n",
               pairing->push, pairing->pull, WORKERS, (unsigned long long)self->config->epochs,
               (unsigned long long)self->config->batch, (unsigned long long)self->config->repeat,
               push, pull, push_ratio, ratio, accuracy / 100, behind, self->loss[i] / n, speed,
               !has_bar ? "null"
               : met    ? "true"
                        : "false");
    } else {
        char bar[64] = "-";
        if (has_bar) {
            snprintf(bar, sizeof(bar), "%s (>= %.1f x, <= %.1f points)", met ? "met" : "MISSED",
                     pairing->least_ratio, pairing->loss_points);
        }
        printf("%-6s %-6s %10.1f %10.1f %8.2f %8.2f %9.2f %8.2f %8.4f %10.0f  %s\n", pairing->push,
               pairing->pull, push / 1e6, pull / 1e6, push_ratio, ratio, accuracy, behind,
               self->loss[i] / n, speed, bar);
    }
    return has_bar && !met;
}

static int print(bench_t *self)
{
    int missed = 0;
    if (!self->config->json) {
        printf(
            "training with %u workers, 1 ps, %llu epochs, batches of %llu; means of %llu seeds\n",
            WORKERS, (unsigned long long)self->config->epochs,
            (unsigned long long)self->config->batch, (unsigned long long)self->config->repeat);
        printf("%-6s %-6s %10s %10s %8s %8s %9s %8s %8s %10s  %s\n", "push", "pull", "pushed MB",
               "pulled MB", "pushes", "bytes", "accuracy", "behind", "loss", "examples/s", "bar");
    }
    for (size_t i = 0; i < RUB_COUNT_OF(pairings); i++) {
        missed += is_wanted(self, i) ? print_row(self, i) : 0;
    }
    return missed;
}

static const char *case_name(size_t i)
{
    return i < RUB_COUNT_OF(pairings) ? pairings[i].push : NULL;
}

int rub_bench_codecs(rub_config_t *config, rub_error_t *err)
{
    int rc = rub_bench_check_words(config, case_name, err);
    rc = rc ? rc : settle(config, err);
    bench_t *self = rc ? NULL : rub_calloc(1, sizeof(*self));
    if (!self) {
        return rc ? rc : rub_fail(err, RUB_ENOMEM, "bench codecs: memory is short");
    }
    self->config = config;
    rc = rub_bench_folder_make(self->folder, err);
    rc = rc ? rc : measure(self, err);
    rc = rc ? rc : print(self);
    rub_bench_folder_leave(self->folder, rc);
    rub_free(self);
    return rc;
}
