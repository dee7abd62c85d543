/* `rubato bench codecs`: bytes of values on the wire, and what the model has learned at the end,
 * for each codec, from real training runs of the same workload: its accuracy, or, where it has
 * none, its loss on test data (word vectors, ratings).
 *
 * bsp, so that a run's result does not depend on the machine's mood: what differs between two rows
 * of the table is the codec alone. Each repeat has a seed of its own, the same for every codec;
 * mean accuracies are compared. Weights are pulled as float32 beside float32 pushes, as f16 beside
 * f16, and as bf16 beside all others: only gradients bear less.
 *
 * Plain SGD by default, for which error feedback is proved (Karimireddy et al., ICML 2019): a
 * server with momentum or Adam amplifies what 1bit and topk send late. --optimizer shows it.
 *
 * What is embedded (words, graphs, ratings) is stepped on the workers, who push sums of steps. */
#include "cli/bench.h"
#include "cli/bench_setup.h"
#include "cli/bench_training.h"

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
    double behind;      /* float32, at most: points of accuracy of 100, or per cent of its loss */
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
    bool by_accuracy; /* else by loss */
    double speed[RUB_COUNT_OF(pairings)][REPEAT_LIMIT];
} bench_t;

/* Whether workers step on copies of rows and push what has changed. */
static bool pushes_sums(const rub_config_t *config)
{
    static const char *const formats[] = {"text", "triples", "ratings"};
    bool any = false;
    for (size_t i = 0; i < RUB_COUNT_OF(formats); i++) {
        any = any || strcmp(rub_config_word(config, RUB_OPT_data_format), formats[i]) == 0;
    }
    return any;
}

/* What the user has set stays. */
static int settle(rub_config_t *config, rub_error_t *err)
{
    if (rub_bench_set(config, RUB_OPT_codec) || rub_bench_set(config, RUB_OPT_pull_codec)) {
        return rub_fail(err, RUB_ECONFIG,
                        "codec: bench codecs measures each beside float32; name some behind it");
    }
    static const rub_bench_default_t images[] = {
        {RUB_OPT_model_kind, "mlp"}, {RUB_OPT_hidden, "[128]"}, {RUB_OPT_optimizer, "sgd"},
        {RUB_OPT_lr, "0.1"},         {RUB_OPT_batch, "256"},    {RUB_OPT_epochs, "10"},
        {RUB_OPT_staleness, "bsp"},
    };
    static const rub_bench_default_t files[] = {
        {RUB_OPT_staleness, "bsp"},
        {RUB_OPT_optimizer, "add"},
        {RUB_OPT_reduce, "sum"}, /* says something under bsp alone */
    };
    if (config->train_file[0] == '\0') {
        int rc = rub_bench_defaults(config, images, RUB_COUNT_OF(images), err);
        rc = rc ? rc : rub_config_check_reduce(config, err);
        return rc ? rc : rub_bench_default_data(config, err);
    }
    if (config->test_file[0] == '\0') {
        return rub_fail(err, RUB_ECONFIG,
                        "test_file: empty, but bench codecs is about what test examples say");
    }
    const size_t n_files =
        RUB_COUNT_OF(files) - (config->staleness != 0 && rub_bench_set(config, RUB_OPT_staleness));
    const int rc = rub_bench_defaults(config, files, pushes_sums(config) ? n_files : 1, err);
    return rc ? rc : rub_config_check_reduce(config, err);
}

/* ---- what a run has left behind ---- */

static int read_result(bench_t *self, size_t i, const char *run_dir, rub_error_t *err)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/result.json", run_dir);
    json_t *result = json_load_file(path, 0, NULL);
    const json_t *metrics = json_object_get(result, "metrics");
    const json_t *accuracy = json_object_get(metrics, "accuracy");
    const json_t *loss = json_object_get(metrics, "loss");
    const bool whole = json_is_number(loss);
    self->by_accuracy = json_is_number(accuracy);
    self->accuracy[i] += json_number_value(accuracy);
    self->loss[i] += json_number_value(loss);
    json_decref(result);
    return whole ? 0 : rub_fail(err, RUB_EINTERNAL, "%s has no loss of test data", path);
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
    const double accuracy = self->accuracy[i], loss = self->loss[i];
    rub_bench_training_t ended;
    int rc = rub_bench_training_run(self->config, self->folder, self->runs++, WORKERS, more, &ended,
                                    err);
    rc = rc ? rc : read_result(self, i, run_dir, err);
    if (rc == 0 && ended.push_bytes + ended.pull_bytes <= 0) {
        rc = rub_fail(err, RUB_EINTERNAL, "the logs in %s do not say what went over the wire",
                      run_dir);
    }
    self->speed[i][run] = ended.examples_per_s;
    self->push_bytes[i] += ended.push_bytes;
    self->pull_bytes[i] += ended.pull_bytes;
    if (rc == 0) {
        fprintf(stderr, "%s, seed %llu: %s %.4f\n", pairings[i].push, number,
                self->by_accuracy ? "accuracy" : "loss",
                self->by_accuracy ? self->accuracy[i] - accuracy : self->loss[i] - loss);
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
    const double behind = self->by_accuracy ? 100 * self->accuracy[0] / n - accuracy
                                            : 100 * (self->loss[i] / self->loss[0] - 1);
    const bool has_bar = pairing->least_ratio > 0;
    const bool met = ratio >= pairing->least_ratio && behind <= pairing->behind;
    const double speed = rub_bench_median(self->speed[i], self->config->repeat);
    if (self->config->json) {
        char json_accuracy[24] = "null";
        if (self->by_accuracy) {
            snprintf(json_accuracy, sizeof(json_accuracy), "%.5f", accuracy / 100);
        }
        printf("{\"case\":\"codecs\",\"codec\":\"%s\",\"pull_codec\":\"%s\",\"workers\":%u,"
               "\"epochs\":%llu,\"batch\":%llu,\"repeat\":%llu,\"push_bytes\":%.0f,"
               "\"pull_bytes\":%.0f,\"push_ratio\":%.3f,\"ratio\":%.3f,\"accuracy\":%s,"
               "\"%s\":%.3f,\"loss\":%.5f,\"examples_per_s\":%.0f,\"met\":%s}\n",
               pairing->push, pairing->pull, WORKERS, (unsigned long long)self->config->epochs,
               (unsigned long long)self->config->batch, (unsigned long long)self->config->repeat,
               push, pull, push_ratio, ratio, json_accuracy,
               self->by_accuracy ? "behind_f32_points" : "behind_f32_per_cent", behind,
               self->loss[i] / n, speed,
               !has_bar ? "null"
               : met    ? "true"
                        : "false");
    } else {
        char bar[64] = "-", said[24] = "-";
        if (has_bar) {
            snprintf(bar, sizeof(bar), "%s (>= %.1f x, <= %.1f %s)", met ? "met" : "MISSED",
                     pairing->least_ratio, pairing->behind, self->by_accuracy ? "points" : "%");
        }
        if (self->by_accuracy) {
            snprintf(said, sizeof(said), "%.2f", accuracy);
        }
        printf("%-6s %-6s %10.1f %10.1f %8.2f %8.2f %9s %8.2f %8.4f %10.0f  %s\n", pairing->push,
               pairing->pull, push / 1e6, pull / 1e6, push_ratio, ratio, said, behind,
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
