/* `rubato bench WHAT`: finds the measurement and runs it.
 *
 * A measurement is a row of the table below. What they share is here: medians, and the training run
 * as a child process that reports its own speed in result.json. */
#include "cli/bench.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/timing.h"
#include "common/proc/child.h"
#include "common/proc/place.h"
#include "common/proc/signals.h"

#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>

typedef struct measurement {
    const char *name;
    int (*run)(rub_config_t *config, rub_error_t *err);
} measurement_t;

static const measurement_t measurements[] = {
    {"train", rub_bench_train},       {"durability", rub_bench_durability},
    {"recover", rub_bench_recover},   {"staleness", rub_bench_staleness},
    {"pushpull", rub_bench_pushpull}, {"ideal", rub_bench_ideal},
    {"codecs", rub_bench_codecs},     {"store", rub_bench_store},
};

static int ascending(const void *a, const void *b)
{
    const double x = *(const double *)a;
    const double y = *(const double *)b;
    return (x > y) - (x < y);
}

double rub_bench_median(double *values, size_t n)
{
    if (n == 0) {
        return 0;
    }
    qsort(values, n, sizeof(*values), ascending);
    return n % 2 ? values[n / 2] : (values[n / 2 - 1] + values[n / 2]) / 2;
}

double rub_bench_quantile(double *values, size_t n, double fraction)
{
    if (n == 0) {
        return 0;
    }
    qsort(values, n, sizeof(*values), ascending);
    const size_t rank = (size_t)ceil(fraction * (double)n);
    return values[rank > 0 ? rank - 1 : 0];
}

int rub_bench_settle(rub_config_t *config, const rub_bench_default_t *rows, size_t n_rows,
                     rub_error_t *err)
{
    int rc = 0;
    for (size_t i = 0; i < n_rows && rc == 0; i++) {
        if (!rub_bench_set(config, rows[i].option)) {
            rc = rub_config_set(config, rows[i].option, rows[i].value, RUB_FROM_PROGRAM, "bench",
                                err);
        }
    }
    return rc;
}

int rub_bench_folder_make(char folder[RUB_BENCH_FOLDER_BYTES], rub_error_t *err)
{
    snprintf(folder, RUB_BENCH_FOLDER_BYTES, "/tmp/rubato-bench-XXXXXX");
    return mkdtemp(folder)
               ? 0
               : rub_fail(err, RUB_EIO, "%s: no folder for the runs can be made", folder);
}

void rub_bench_folder_leave(const char *folder, int rc)
{
    if (rc < 0) {
        fprintf(stderr, "the runs are kept in %s\n", folder);
    } else {
        (void)rub_fs_remove_tree(folder, NULL);
    }
}

/* Batches of 512, so that a step of compute (5 ms on the kind of machine in the README) is larger
 * than a step of communication (2 MB). */
int rub_bench_default_workload(rub_config_t *config, rub_error_t *err)
{
    static const rub_bench_default_t rows[] = {
        {RUB_OPT_model_kind, "mlp"},
        {RUB_OPT_hidden, "[256, 128]"},
        {RUB_OPT_optimizer, "adam"},
        {RUB_OPT_lr, "5e-4"},
        {RUB_OPT_batch, "512"},
        {RUB_OPT_epochs, "8"},
        {RUB_OPT_train_images, RUB_BENCH_DATASET "train-images-idx3-ubyte.gz"},
        {RUB_OPT_train_labels, RUB_BENCH_DATASET "train-labels-idx1-ubyte.gz"},
    };
    return config->train_images[0] != '\0'
               ? 0
               : rub_bench_settle(config, rows, RUB_COUNT_OF(rows), err);
}

bool rub_bench_wants(const rub_config_t *config, const char *name)
{
    bool named = false;
    for (uint32_t i = 1; i < config->n_words; i++) {
        named = named || strcmp(config->words[i], name) == 0;
    }
    return named || config->n_words == 1;
}

int rub_bench_check_cases(const rub_config_t *config, const char *const *names, size_t n_names,
                          rub_error_t *err)
{
    char known[512];
    size_t at = 0;
    for (size_t k = 0; k < n_names; k++) {
        const int n = snprintf(known + at, sizeof(known) - at, "%s%s", k > 0 ? ", " : "", names[k]);
        RUB_ASSERT(n > 0 && (size_t)n < sizeof(known) - at);
        at += (size_t)n;
    }
    for (uint32_t i = 1; i < config->n_words; i++) {
        size_t k = 0;
        while (k < n_names && strcmp(config->words[i], names[k]) != 0) {
            k++;
        }
        if (k == n_names) {
            return rub_fail(err, RUB_ECONFIG, "no case '%s' of %s; known: %s", config->words[i],
                            config->words[0], known);
        }
    }
    return 0;
}

/* ---- a training run ---- */

static int write_run_file(const rub_config_t *config, const char *path, rub_error_t *err)
{
    FILE *file = fopen(path, "w");
    if (!file) {
        return rub_fail(err, RUB_EIO, "%s cannot be written", path);
    }
    rub_config_print(config, file);
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

/* Of all children that have ended, and of theirs. */
static double children_cpu_s(void)
{
    struct rusage usage;
    if (getrusage(RUSAGE_CHILDREN, &usage) != 0) {
        return 0;
    }
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
}

int rub_bench_training_run(const rub_config_t *config, const char *folder, unsigned number,
                           unsigned workers, const char *const *more, double *examples_per_s_p,
                           double *cpu_s_p, rub_error_t *err)
{
    char run_file[150], run_dir[150], log_path[150], count[16], address[40];
    uint16_t port = 0;
    /* The run file holds every option, the scheduler's usual port too, which another run may have.
     */
    int rc = rub_port_free("127.0.0.1", &port, err);
    if (rc) {
        return rc;
    }
    snprintf(address, sizeof(address), "tcp://127.0.0.1:%u", port);
    snprintf(run_file, sizeof(run_file), "%s/bench.yaml", folder);
    snprintf(run_dir, sizeof(run_dir), "%s/run-%u", folder, number);
    snprintf(log_path, sizeof(log_path), "%s/train-%u.log", folder, number);
    snprintf(count, sizeof(count), "%u", workers);
    /* No validation: the local loop has none, and a rate is compared. */
    const char *arguments[32] = {
        "/proc/self/exe", "train", run_file, "--ps",         "1",     "--workers",    count,
        "--run-dir",      run_dir, "--set",  "test_images=", "--set", "test_labels=", "--scheduler",
        address,          NULL};
    size_t n = 15;
    for (size_t i = 0; more && more[i]; i++) {
        RUB_ASSERT(n + 1 < RUB_COUNT_OF(arguments));
        arguments[n++] = more[i];
    }
    rub_child_t child = {0};
    const double cpu_s = children_cpu_s();
    rc = write_run_file(config, run_file, err);
    rc = rc ? rc : rub_child_start(&child, (char *const *)arguments, log_path, err);
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
    if (cpu_s_p) {
        *cpu_s_p = children_cpu_s() - cpu_s;
    }
    return rc ? rc : read_result(run_dir, examples_per_s_p, err);
}

/* ---- the command ---- */

static int refuse(const rub_config_t *config, rub_error_t *err)
{
    char known[200] = "";
    for (size_t i = 0; i < RUB_COUNT_OF(measurements); i++) {
        const size_t used = strlen(known);
        snprintf(known + used, sizeof(known) - used, "%s%s", used ? ", " : "",
                 measurements[i].name);
    }
    return config->n_words == 1
               ? rub_fail(err, RUB_ECONFIG, "no measurement '%s'; known: %s", config->words[0],
                          known)
               : rub_fail(err, RUB_ECONFIG, "bench measures one thing at a time; known: %s", known);
}

int rub_bench_main(const rub_config_t *given)
{
    rub_error_t err = {0};
    rub_config_t config =
        *given; /* its strings stay given's; sets allocate in the copy's own arena */
    rub_arena_init(&config.arena);
    rub_signals_install(false);
    rub_alloc_tune_process();
    const measurement_t *found = NULL;
    for (size_t i = 0; i < RUB_COUNT_OF(measurements) && config.n_words > 0; i++) {
        found = strcmp(config.words[0], measurements[i].name) == 0 ? &measurements[i] : found;
    }
    int rc = found ? found->run(&config, &err) : refuse(&config, &err);
    if (rc > 0) { /* bars were missed: that is a figure, and a failure only for who asks for it */
        rc = config.check ? rub_fail(&err, RUB_ELIMIT, "%d of the bars %s missed", rc,
                                     rc == 1 ? "was" : "were")
                          : 0;
    }
    if (rc) {
        fprintf(stderr, "rubato bench: %s\n", err.message);
    }
    rub_arena_fini(&config.arena);
    return rub_signals_exit_code() ? rub_signals_exit_code() : rub_error_exit_code(rc);
}
