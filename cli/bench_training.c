/* A measurement's training run: a run file that holds every option, `rubato train` on it, and three
 * places that say how it went: result.json its speed, the workers' logs their traffic, the kernel
 * the CPU time of the child and of all that it had started. */
#include "cli/bench_training.h"

#include "cli/bench_setup.h"

#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "common/proc/child.h"
#include "common/proc/place.h"
#include "common/proc/signals.h"

#include <errno.h>
#include <jansson.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

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

static int read_result(const char *run_dir, rub_bench_training_t *out, rub_error_t *err)
{
    char path[200];
    json_error_t why;
    snprintf(path, sizeof(path), "%s/result.json", run_dir);
    json_t *result = json_load_file(path, 0, &why);
    const char *status = json_string_value(json_object_get(result, "status"));
    out->examples = json_number_value(json_object_get(result, "examples"));
    out->examples_per_s = json_number_value(json_object_get(result, "examples_per_s"));
    const bool good = status && strcmp(status, "ok") == 0 && out->examples_per_s > 0;
    json_decref(result);
    return good ? 0 : rub_fail(err, RUB_EINTERNAL, "the fleet's run failed; see its logs");
}

/* A worker's log says at its end how many bytes of values it pushed and pulled. */
static void read_bytes(const char *run_dir, unsigned rank, rub_bench_training_t *out)
{
    char path[200], line[600];
    snprintf(path, sizeof(path), "%s/worker-%u.log", run_dir, rank);
    FILE *file = fopen(path, "r");
    while (file && fgets(line, sizeof(line), file)) {
        unsigned long long pushed = 0, pulled = 0;
        const char *at = strstr(line, "values on the wire: ");
        if (at && sscanf(at, "values on the wire: pushed %llu bytes, pulled %llu", &pushed,
                         &pulled) == 2) {
            out->push_bytes += (double)pushed;
            out->pull_bytes += (double)pulled;
        }
    }
    if (file) {
        (void)fclose(file);
    }
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
                           unsigned workers, const char *const *more, rub_bench_training_t *out,
                           rub_error_t *err)
{
    char run_file[150], run_dir[150], log_path[150], count[16], address[40];
    uint16_t port = 0;
    *out = (rub_bench_training_t){0};
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
    out->cpu_s = children_cpu_s() - cpu_s;
    for (unsigned rank = 0; rank < workers && !rc; rank++) {
        read_bytes(run_dir, rank, out);
    }
    return rc ? rc : read_result(run_dir, out, err);
}
