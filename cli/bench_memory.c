/* The case "memory" of `rubato bench store`: what rows take, as the operating system counts it.
 *
 * A table is filled with rows by pushes of 1024 keys, in a child process, so that memory which
 * other cases gave back to malloc does not hide what this one takes. Resident memory is read before
 * the first push and behind the last one, and now and then between: a table must not need much more
 * while it grows than when it has grown. */
#include "cli/bench.h"
#include "cli/bench_setup.h"
#include "cli/bench_table.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/num/optimizer.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

enum { MESSAGE_KEYS = 1024, LOOK_EVERY = 64 /* messages */ };

typedef struct shape {
    rub_optimizer_kind_t optimizer;
    uint32_t width;
    double bar_ratio; /* of resident memory to weights and slots; 0: none */
    double bar_bytes; /* resident per weight; 0: none */
} shape_t;

static const shape_t shapes[] = {
    {RUB_ADAGRAD, 64, 1.2, 0},
    {RUB_SGD, 64, 1.2, 0},
    {RUB_ADAGRAD, 1, 0, 24},
};

/* What the child tells through its pipe. */
typedef struct usage {
    int32_t rc;
    uint64_t rows, resident_bytes, peak_bytes;
    rub_error_t err;
} usage_t;

static uint64_t resident_bytes(void)
{
    unsigned long long pages = 0, resident = 0;
    FILE *file = fopen("/proc/self/statm", "r");
    const int n = file ? fscanf(file, "%llu %llu", &pages, &resident) : 0;
    if (file) {
        fclose(file);
    }
    return n == 2 ? resident * (uint64_t)sysconf(_SC_PAGESIZE) : 0;
}

static int fill(rub_ptable_t *table, uint64_t n_rows, usage_t *usage, rub_error_t *err)
{
    const uint32_t width = rub_ptable_schema(table)->width;
    uint64_t keys[MESSAGE_KEYS];
    float *values = rub_calloc((size_t)MESSAGE_KEYS * width, sizeof(*values));
    if (!values) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    const uint64_t before = resident_bytes();
    uint64_t messages = 0, most = before;
    int rc = before > 0 ? 0 : rub_fail(err, RUB_EIO, "/proc/self/statm cannot be read");
    for (uint64_t at = 0; at < n_rows && !rc; messages++) {
        size_t n = 0;
        for (; n < MESSAGE_KEYS && at < n_rows; n++) {
            keys[n] = rub_mix64(++at);
        }
        const rub_push_view_t view = {
            .rows = {.keys = (const uint8_t *)keys, .n_keys = n},
            .values = values,
            .n_values = n * width,
        };
        rc = rub_ptable_push_check(table, &view, UINT64_MAX, err);
        rc = rc ? rc : rub_ptable_push(table, &view, messages + 1, err);
        if (messages % LOOK_EVERY == 0) {
            const uint64_t now = resident_bytes();
            most = now > most ? now : most;
        }
    }
    const uint64_t after = resident_bytes();
    usage->rows = rub_ptable_rows(table);
    usage->resident_bytes = after - before;
    usage->peak_bytes = (most > after ? most : after) - before;
    rub_free(values);
    return rc;
}

static void child_main(const shape_t *shape, uint64_t n_rows, int pipe_fd)
{
    usage_t usage = {0};
    rub_ptable_t *table = NULL;
    usage.rc =
        rub_bench_table_new(RUB_HASHED, 0, shape->width, shape->optimizer, 0.1, &table, &usage.err);
    usage.rc = usage.rc ? usage.rc : fill(table, n_rows, &usage, &usage.err);
    _exit(write(pipe_fd, &usage, sizeof(usage)) == sizeof(usage) ? 0 : 1);
}

static int measure(const shape_t *shape, uint64_t n_rows, usage_t *usage, rub_error_t *err)
{
    int ends[2];
    if (pipe(ends) != 0) {
        return rub_fail(err, RUB_EIO, "no pipe can be made");
    }
    (void)fflush(NULL);
    const pid_t pid = fork(); /* this process has no threads */
    if (pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        (void)signal(SIGINT, SIG_DFL);
        (void)signal(SIGTERM, SIG_DFL);
        close(ends[0]);
        child_main(shape, n_rows, ends[1]);
    }
    close(ends[1]);
    const bool told = pid > 0 && read(ends[0], usage, sizeof(*usage)) == sizeof(*usage);
    close(ends[0]);
    if (pid > 0) {
        (void)kill(pid, SIGKILL); /* it may still be filling when a signal ended the waiting */
        while (waitpid(pid, NULL, 0) < 0 && errno == EINTR) {
        }
    }
    if (!told && rub_bench_go_on(err)) {
        return RUB_EINTR;
    }
    if (!told) {
        return rub_fail(err, RUB_EINTERNAL, "the process that fills %llu rows ended without a word",
                        (unsigned long long)n_rows);
    }
    return usage->rc ? rub_fail(err, usage->rc, "%s", usage->err.message) : 0;
}

static bool print(const rub_config_t *config, const shape_t *shape, uint32_t width,
                  const usage_t *usage)
{
    const rub_optimizer_t *optimizer = rub_optimizer_find(shape->optimizer);
    const double weights = (double)usage->rows * width;
    const double raw =
        (double)usage->rows * (double)rub_optimizer_floats(optimizer, width) * sizeof(float);
    const double per_weight = (double)usage->resident_bytes / weights;
    const double ratio = (double)usage->resident_bytes / raw;
    const double peak = (double)usage->peak_bytes / (double)usage->resident_bytes;
    const double bar = shape->bar_ratio > 0 ? shape->bar_ratio : shape->bar_bytes;
    const bool met = (shape->bar_ratio > 0 ? ratio : per_weight) <= bar;
    if (config->json) {
        printf("{\"case\":\"memory\",\"optimizer\":\"%s\",\"rows\":%llu,\"width\":%u,"
               "\"resident_bytes\":%llu,\"bytes_per_weight\":%.2f,\"raw_ratio\":%.3f,"
               "\"peak_ratio\":%.3f,\"bar\":%.1f,\"met\":%s}\n",
               optimizer->name, (unsigned long long)usage->rows, width,
               (unsigned long long)usage->resident_bytes, per_weight, ratio, peak, bar,
               met ? "true" : "false");
    } else {
        printf("memory: %llu x %u, %s: %.0f MB resident, %.2f bytes a weight, %.3f x weights and "
               "slots, %.3f x at its peak (bar: %.1f %s)%s\n",
               (unsigned long long)usage->rows, width, optimizer->name,
               (double)usage->resident_bytes / 1e6, per_weight, ratio, peak, bar,
               shape->bar_ratio > 0 ? "x weights and slots" : "bytes a weight",
               met ? "" : " MISSED");
    }
    (void)fflush(stdout);
    return met;
}

int rub_bench_memory(const rub_config_t *config, unsigned *missed_p, rub_error_t *err)
{
    const uint64_t n_rows = rub_bench_set(config, RUB_OPT_rows) ? config->rows : 10000000;
    int rc = 0;
    for (size_t i = 0; i < RUB_COUNT_OF(shapes) && !rc; i++) {
        usage_t usage;
        const shape_t *shape = &shapes[i];
        if (rub_bench_set(config, RUB_OPT_width) && config->width != shape->width) {
            continue; /* the bars are those widths' */
        }
        rc = measure(shape, n_rows, &usage, err);
        if (!rc) {
            *missed_p += !print(config, shape, shape->width, &usage);
        }
    }
    return rc;
}
