/* `rubato bench WHAT`: finds the measurement and runs it.
 *
 * A measurement is a row of the table below. What they share is here: medians, and the training run
 * as a child process that reports its own speed in result.json. */
#include "cli/bench.h"
#include "cli/bench_setup.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "common/proc/child.h"
#include "common/proc/place.h"
#include "common/proc/signals.h"

#include <errno.h>
#include <jansson.h>
#include <math.h>
#include <signal.h>
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

/* ---- a training run ---- */

static int write_run_file(const rub_config_t *config, const char *path, rub_error_t *err)
{
    FILE *file = fopen(path, "w");
    if (file) {
        rub_config_print(config, file);
        const bool whole = fflush(file) == 0 && !ferror(file);
        if (fclose(file) == 0 && whole) {
            return 0;
        }
    }
    return rub_fail_errno(err, errno == ENOSPC ? RUB_ENOSPC : RUB_EIO, errno,
                          "%s cannot be written", path);
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

/* As the run's result says, or its log where there is no result. */
static void find_reason(const char *run_dir, const char *log_path, char *out, size_t out_bytes)
{
    char path[200];
    snprintf(path, sizeof(path), "%s/result.json", run_dir);
    json_t *result = json_load_file(path, 0, NULL);
    const char *reason = json_string_value(json_object_get(result, "reason"));
    if (reason) {
        snprintf(out, out_bytes, "%s", reason);
    } else {
        rub_log_last_line(log_path, out, out_bytes);
    }
    json_decref(result);
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

/* Every signal that comes here goes on, once: the first lets the fleet leave in order. */
static int wait_for_end(rub_child_t *child, rub_error_t *err)
{
    int passed_on = 0;
    while (!rub_child_ended(child)) {
        for (; passed_on < *rub_signals_count(); passed_on++) {
            rub_child_signal(child, SIGTERM);
        }
        rub_sleep_ms(20);
    }
    return rub_bench_go_on(err);
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
    const char *arguments[32] = {"/proc/self/exe", "train", run_file,    "--ps",  "1",
                                 "--workers",      count,   "--run-dir", run_dir, "--scheduler",
                                 address};
    size_t n = 11;
    for (size_t i = 0; more && more[i]; i++) {
        RUB_ASSERT(n + 1 < RUB_COUNT_OF(arguments));
        arguments[n++] = more[i];
    }
    rub_child_t child = {0};
    const double cpu_s = children_cpu_s();
    rc = write_run_file(config, run_file, err);
    rc = rc ? rc : rub_child_start(&child, (char *const *)arguments, log_path, err);
    rc = rc ? rc : wait_for_end(&child, err);
    if (rc == 0 && child.exit_code != 0) {
        char why[400];
        find_reason(run_dir, log_path, why, sizeof(why));
        rc = rub_fail(err, rub_bench_code_of(child.exit_code), "training ended with %d: %s",
                      child.exit_code, why);
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
    return config->n_words > 0
               ? rub_fail(err, RUB_ECONFIG, "no measurement '%s'; known: %s", config->words[0],
                          known)
               : rub_fail(err, RUB_ECONFIG, "no measurement is named; known: %s", known);
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
        fprintf(stderr, "rubato bench: %s\n",
                rub_signals_exit_code() ? "interrupted" : err.message);
    }
    rub_arena_fini(&config.arena);
    return rub_signals_exit_code() ? rub_signals_exit_code() : rub_error_exit_code(rc);
}
