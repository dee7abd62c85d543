/* `rubato bench train`: what the parameter server costs. In one run, in turn and repeatedly: the
 * local loop without any ps, a fleet of 1 ps + 1 worker, a fleet of 1 ps + 2 workers, all on the
 * same workload with the same optimizer and the default promises on. The fleets are real: child
 * processes started by `rubato train`. Medians are reported, and what matters is their ratios. */
#include "worker/train/bench_main.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"
#include "common/proc/child.h"
#include "common/proc/signals.h"
#include "worker/train/local_loop.h"

#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define REPEAT_LIMIT 100u
#define DATASET "/usr/share/datasets/fashion-mnist/"

typedef struct bench {
    const rub_config_t *config;
    char folder[64]; /* of run files, logs and stores; removed at the end */
    uint64_t runs;
    double local[REPEAT_LIMIT], one[REPEAT_LIMIT], two[REPEAT_LIMIT];
} bench_t;

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *values, uint64_t n)
{
    qsort(values, n, sizeof(*values), ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

/* Without a run file: the model and data of examples/fashion-mnist.yaml, in batches of 512, so that
 * a step of compute (5 ms on the kind of machine in the README) is larger than a step of
 * communication (2 MB). */
static int default_workload(rub_config_t *config, rub_error_t *err)
{
    static const struct {
        rub_option_id_t option;
        const char *value;
    } rows[] = {
        {RUB_OPT_model_kind, "mlp"},
        {RUB_OPT_hidden, "[256, 128]"},
        {RUB_OPT_optimizer, "adam"},
        {RUB_OPT_lr, "5e-4"},
        {RUB_OPT_batch, "512"},
        {RUB_OPT_epochs, "8"},
        {RUB_OPT_train_images, DATASET "train-images-idx3-ubyte.gz"},
        {RUB_OPT_train_labels, DATASET "train-labels-idx1-ubyte.gz"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (config->origins[rows[i].option].source != RUB_FROM_DEFAULT) {
            continue;
        }
        const int rc =
            rub_config_set(config, rows[i].option, rows[i].value, RUB_FROM_PROGRAM, "bench", err);
        if (rc) {
            return rc;
        }
    }
    return 0;
}

static int write_run_file(const bench_t *self, char *path, size_t path_bytes, rub_error_t *err)
{
    snprintf(path, path_bytes, "%s/bench.yaml", self->folder);
    FILE *file = fopen(path, "w");
    if (!file) {
        return rub_fail(err, RUB_EIO, "%s cannot be written", path);
    }
    rub_config_print(self->config, file);
    return fclose(file) == 0 ? 0 : rub_fail(err, RUB_EIO, "%s cannot be written", path);
}

static int read_result(const char *run_dir, double *examples_per_s_p, rub_error_t *err)
{
    char path[200];
    json_error_t why;
    snprintf(path, sizeof(path), "%s/result.json", run_dir);
    json_t *result = json_load_file(path, 0, &why);
    const char *status = json_string_value(json_object_get(result, "status"));
    *examples_per_s_p = json_number_value(json_object_get(result, "examples_per_s"));
    const bool good = status && strcmp(status, "ok") == 0 && *examples_per_s_p > 0;
    json_decref(result);
    return good ? 0 : rub_fail(err, RUB_EINTERNAL, "the fleet's run failed; see its logs");
}

static int run_fleet(bench_t *self, const char *run_file, unsigned workers,
                     double *examples_per_s_p, rub_error_t *err)
{
    char run_dir[100];
    char log_path[100];
    char number[16];
    snprintf(run_dir, sizeof(run_dir), "%s/run-%llu", self->folder, (unsigned long long)self->runs);
    snprintf(log_path, sizeof(log_path), "%s/train-%llu.log", self->folder,
             (unsigned long long)self->runs++);
    snprintf(number, sizeof(number), "%u", workers);
    /* No validation: the local loop has none, and a rate is compared. */
    const char *arguments[] = {"/proc/self/exe", "train", run_file,       "--ps",  "1",
                               "--workers",      number,  "--run-dir",    run_dir, "--set",
                               "test_images=",   "--set", "test_labels=", NULL};
    rub_child_t child = {0};
    int rc = rub_child_start(&child, (char *const *)arguments, log_path, err);
    while (rc == 0 && !rub_child_ended(&child)) {
        if (*rub_signals_count() > 0) {
            rub_child_signal(&child, 15);
        }
        rub_sleep_ms(20);
    }
    if (rc == 0 && child.exit_code != 0) {
        char line[300];
        rub_log_last_line(log_path, line, sizeof(line));
        rc = rub_fail(err, RUB_EINTERNAL, "a fleet of %u workers ended with %d: %s", workers,
                      child.exit_code, line);
    }
    return rc ? rc : read_result(run_dir, examples_per_s_p, err);
}

static int measure(bench_t *self, rub_error_t *err)
{
    rub_workload_t workload = {0};
    char run_file[100];
    int rc = rub_workload_open(self->config, &workload, err);
    rc = rc ? rc : write_run_file(self, run_file, sizeof(run_file), err);
    for (uint64_t i = 0; i < self->config->repeat && rc == 0; i++) {
        double loss = 0;
        rc = rub_local_loop_run(&workload, self->config->seed, self->config->epochs,
                                &self->local[i], &loss, err);
        rc = rc ? rc : run_fleet(self, run_file, 1, &self->one[i], err);
        rc = rc ? rc : run_fleet(self, run_file, 2, &self->two[i], err);
        if (rc == 0) {
            fprintf(stderr,
                    "run %llu of %llu: local %.0f, 1 worker %.0f, 2 workers %.0f examples/s\n",
                    (unsigned long long)i + 1, (unsigned long long)self->config->repeat,
                    self->local[i], self->one[i], self->two[i]);
        }
    }
    rub_workload_close(&workload);
    return rc;
}

static void print(bench_t *self)
{
    const uint64_t n = self->config->repeat;
    const double local = median(self->local, n);
    const double one = median(self->one, n);
    const double two = median(self->two, n);
    if (self->config->json) {
        printf("{\"local_examples_per_s\":%.0f,\"fleet_examples_per_s\":%.0f,\"ratio\":%.3f,"
               "\"fleet_2_workers_examples_per_s\":%.0f,\"speedup_2_workers\":%.3f,\"batch\":%llu,"
               "\"epochs\":%llu,"
               "\"repeat\":%llu}\n",
               local, one, one / local, two, two / one, (unsigned long long)self->config->batch,
               (unsigned long long)self->config->epochs, (unsigned long long)n);
        return;
    }
    printf("%-34s %12s %8s\n", "training, examples/s (median)", "", "ratio");
    printf("%-34s %12.0f %8.2f\n", "local loop, no ps", local, 1.0);
    printf("%-34s %12.0f %8.2f\n", "1 ps + 1 worker", one, one / local);
    printf("%-34s %12.0f %8.2f\n", "1 ps + 2 workers", two, two / local);
}

static int bench_train(const rub_config_t *config, rub_error_t *err)
{
    bench_t self = {.config = config, .folder = "/tmp/rubato-bench-XXXXXX"};
    if (!mkdtemp(self.folder)) {
        return rub_fail(err, RUB_EIO, "%s: no folder for the runs can be made", self.folder);
    }
    const int rc = measure(&self, err);
    if (rc == 0) {
        print(&self);
        (void)rub_fs_remove_tree(self.folder, NULL);
    } else {
        fprintf(stderr, "the runs are kept in %s\n", self.folder);
    }
    return rc;
}

int rub_bench_main(const rub_config_t *given)
{
    rub_error_t err = {0};
    rub_config_t config =
        *given; /* its strings stay given's; sets allocate in the copy's own arena */
    rub_arena_init(&config.arena);
    rub_signals_install(false);
    rub_alloc_tune_process();
    int rc = 0;
    if (config.n_words != 1 || strcmp(config.words[0], "train") != 0) {
        rc = rub_fail(&err, RUB_ECONFIG, "bench measures one thing at a time; known: train");
    } else if (config.train_images[0] == '\0') {
        rc = default_workload(&config, &err);
    }
    rc = rc ? rc : bench_train(&config, &err);
    if (rc) {
        fprintf(stderr, "rubato bench: %s\n", err.message);
    }
    rub_arena_fini(&config.arena);
    return rub_signals_exit_code() ? rub_signals_exit_code() : rub_error_exit_code(rc);
}
