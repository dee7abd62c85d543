/* `rubato bench train`: what the parameter server costs. In one run, in turn and repeatedly: the
 * local loop without any ps, a fleet of 1 ps + 1 worker, a fleet of 1 ps + 2 workers, all on the
 * same workload with the same optimizer and the default promises on. The fleets are real: child
 * processes started by `rubato train`. Medians are reported, and what matters is their ratios: to
 * the local loop, and to one that would move the values that the fleet moves through the ideal
 * server, as fast as that was measured in this run, with nothing computed meanwhile. */
#include "cli/bench.h"
#include "cli/bench_figures.h"
#include "cli/bench_setup.h"
#include "cli/bench_training.h"
#include "cli/bench_yardstick.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/timing.h"
#include "worker/train/local_loop.h"

#include <stdio.h>

enum { REPEAT_LIMIT = 100, FLEETS = 2 /* of 1 worker, of 2 */ };

typedef struct bench {
    const rub_config_t *config;
    char folder[RUB_BENCH_FOLDER_BYTES]; /* of run files, logs and stores; removed at the end */
    unsigned runs;
    rub_bench_yardstick_t yardstick;
    rub_bench_spread_t ideal_bytes_per_s, ideal_cpu_s_per_gb;
    double local[REPEAT_LIMIT], local_cpu_s[REPEAT_LIMIT];
    rub_bench_training_t fleets[FLEETS][REPEAT_LIMIT];
} bench_t;

/* Of a fleet; a round's local loop stands beside each of its runs. */
typedef struct figures {
    rub_bench_spread_t speed, local_ratio, ideal_ratio, cpu_s_per_gb, cpu_s_per_million;
    double gb; /* of values on the wire, median; 0: the logs do not say */
} figures_t;

static int run_local(bench_t *self, const rub_workload_t *workload, size_t i, rub_error_t *err)
{
    double loss = 0;
    const double before_s = rub_cpu_s();
    const int rc = rub_local_loop_run(workload, self->config->seed, self->config->epochs,
                                      &self->local[i], &loss, err);
    self->local_cpu_s[i] = rub_cpu_s() - before_s;
    return rc;
}

static int measure(bench_t *self, rub_error_t *err)
{
    const size_t repeat = self->config->repeat;
    rub_workload_t workload = {0};
    int rc = rub_workload_open(self->config, &workload, err);
    rc = rc ? rc : rub_bench_yardstick_open(&self->yardstick, self->folder, repeat, err);
    rc = rc ? rc
            : rub_bench_yardstick_measure(&self->yardstick, rub_bench_case_named("pushpull_1m"),
                                          repeat, &self->ideal_bytes_per_s,
                                          &self->ideal_cpu_s_per_gb, err);
    rub_bench_yardstick_close(&self->yardstick); /* the fleets have the machine to themselves */
    for (size_t i = 0; i < repeat && rc == 0; i++) {
        rc = run_local(self, &workload, i, err);
        for (unsigned k = 0; k < FLEETS && rc == 0; k++) {
            rc = rub_bench_training_run(self->config, self->folder, self->runs++, k + 1, NULL,
                                        &self->fleets[k][i], err);
        }
        if (rc == 0) {
            fprintf(stderr,
                    "run %zu of %zu: local %.0f, 1 worker %.0f, 2 workers %.0f examples/s\n", i + 1,
                    repeat, self->local[i], self->fleets[0][i].examples_per_s,
                    self->fleets[1][i].examples_per_s);
        }
    }
    rub_workload_close(&workload);
    return rc;
}

/* What a worker would do that computes as the local loop and then waits for the ideal server. */
static double ideal_examples_per_s(const bench_t *self, size_t i, const rub_bench_training_t *run)
{
    const double bytes = (run->push_bytes + run->pull_bytes) / run->examples;
    return 1 / (1 / self->local[i] + bytes / self->ideal_bytes_per_s.median);
}

static figures_t figures_of(const bench_t *self, unsigned k)
{
    const size_t n = self->config->repeat;
    double speed[REPEAT_LIMIT], ideal[REPEAT_LIMIT], gb[REPEAT_LIMIT], cpu_s[REPEAT_LIMIT],
        millions[REPEAT_LIMIT];
    for (size_t i = 0; i < n; i++) {
        const rub_bench_training_t *run = &self->fleets[k][i];
        speed[i] = run->examples_per_s;
        gb[i] = (run->push_bytes + run->pull_bytes) / 1e9;
        cpu_s[i] = run->cpu_s;
        millions[i] = run->examples / 1e6;
        ideal[i] = gb[i] > 0 ? ideal_examples_per_s(self, i, run) : 0;
    }
    return (figures_t){.speed = rub_bench_spread(speed, n),
                       .local_ratio = rub_bench_ratios(speed, self->local, n),
                       .ideal_ratio = rub_bench_ratios(speed, ideal, n),
                       .cpu_s_per_gb = rub_bench_ratios(cpu_s, gb, n),
                       .cpu_s_per_million = rub_bench_ratios(cpu_s, millions, n),
                       .gb = rub_bench_spread(gb, n).median};
}

static rub_bench_spread_t local_cpu(const bench_t *self)
{
    const size_t n = self->config->repeat;
    double millions[REPEAT_LIMIT];
    for (size_t i = 0; i < n; i++) {
        millions[i] = self->fleets[0][i].examples / 1e6; /* the same workload */
    }
    return rub_bench_ratios(self->local_cpu_s, millions, n);
}

/* The last line is the whole in short, which scripts read. */
static void print_json(const bench_t *self, const figures_t fleets[FLEETS])
{
    const rub_bench_spread_t local = rub_bench_spread(self->local, self->config->repeat);
    printf("{\"case\":\"raw_1m\",\"server\":\"libzmq\",\"goodput_gb_s\":%.3f}\n",
           self->yardstick.raw_bytes_per_s / 1e9);
    printf("{\"case\":\"pushpull_1m\",\"server\":\"ideal\",\"goodput_gb_s\":%.4f,"
           "\"goodput_min_gb_s\":%.4f,\"goodput_max_gb_s\":%.4f,\"cpu_s_per_gb\":%.3f}\n",
           self->ideal_bytes_per_s.median / 1e9, self->ideal_bytes_per_s.min / 1e9,
           self->ideal_bytes_per_s.max / 1e9, self->ideal_cpu_s_per_gb.median);
    printf("{\"case\":\"training\",\"server\":\"local\",\"workers\":1,\"examples_per_s\":%.0f,"
           "\"examples_per_s_min\":%.0f,\"examples_per_s_max\":%.0f,"
           "\"cpu_s_per_million_examples\":%.3f}\n",
           local.median, local.min, local.max, local_cpu(self).median);
    for (unsigned k = 0; k < FLEETS; k++) {
        const figures_t *f = &fleets[k];
        printf("{\"case\":\"training\",\"server\":\"rubato\",\"workers\":%u,"
               "\"examples_per_s\":%.0f,\"examples_per_s_min\":%.0f,\"examples_per_s_max\":%.0f,"
               "\"cpu_s_per_million_examples\":%.3f,",
               k + 1, f->speed.median, f->speed.min, f->speed.max, f->cpu_s_per_million.median);
        if (f->gb > 0) {
            printf("\"value_bytes\":%.0f,\"cpu_s_per_gb\":%.3f,\"cpu_s_per_gb_min\":%.3f,"
                   "\"cpu_s_per_gb_max\":%.3f,\"ideal_ratio\":%.3f,\"ideal_ratio_min\":%.3f,"
                   "\"ideal_ratio_max\":%.3f,",
                   f->gb * 1e9, f->cpu_s_per_gb.median, f->cpu_s_per_gb.min, f->cpu_s_per_gb.max,
                   f->ideal_ratio.median, f->ideal_ratio.min, f->ideal_ratio.max);
        }
        printf("\"local_ratio\":%.3f,\"local_ratio_min\":%.3f,\"local_ratio_max\":%.3f}\n",
               f->local_ratio.median, f->local_ratio.min, f->local_ratio.max);
    }
    printf("{\"case\":\"training\",\"local_examples_per_s\":%.0f,\"fleet_examples_per_s\":%.0f,"
           "\"ratio\":%.3f,\"fleet_2_workers_examples_per_s\":%.0f,\"speedup_2_workers\":%.3f,"
           "\"batch\":%llu,\"epochs\":%llu,\"repeat\":%llu}\n",
           local.median, fleets[0].speed.median, fleets[0].local_ratio.median,
           fleets[1].speed.median, fleets[1].speed.median / fleets[0].speed.median,
           (unsigned long long)self->config->batch, (unsigned long long)self->config->epochs,
           (unsigned long long)self->config->repeat);
}

static void print_line(const char *what, const rub_bench_spread_t *speed, double cpu_s_per_million,
                       double local_ratio)
{
    char text[60];
    snprintf(text, sizeof(text), "%.0f (%.0f..%.0f)", speed->median, speed->min, speed->max);
    printf("%-20s %32s %10.2f %8.2f", what, text, cpu_s_per_million, local_ratio);
}

static void print(const bench_t *self, const figures_t fleets[FLEETS])
{
    const rub_bench_spread_t local = rub_bench_spread(self->local, self->config->repeat);
    printf("raw libzmq, 1 MiB, one way: %.2f GB/s; ideal server, push and pull of 1 MiB: %.2f "
           "(%.2f..%.2f) GB/s, CPU %.2f s/GB\n\n",
           self->yardstick.raw_bytes_per_s / 1e9, self->ideal_bytes_per_s.median / 1e9,
           self->ideal_bytes_per_s.min / 1e9, self->ideal_bytes_per_s.max / 1e9,
           self->ideal_cpu_s_per_gb.median);
    printf("%-20s %32s %10s %8s %10s %10s %10s\n", "training", "examples/s, median (min..max)",
           "CPU s/M", "x local", "GB moved", "CPU s/GB", "x ideal");
    print_line("local loop, no ps", &local, local_cpu(self).median, 1);
    printf("\n");
    for (unsigned k = 0; k < FLEETS; k++) {
        const figures_t *f = &fleets[k];
        print_line(k == 0 ? "1 ps + 1 worker" : "1 ps + 2 workers", &f->speed,
                   f->cpu_s_per_million.median, f->local_ratio.median);
        if (f->gb > 0) {
            printf(" %10.3f %10.2f %10.2f", f->gb, f->cpu_s_per_gb.median, f->ideal_ratio.median);
        }
        printf("\n");
    }
}

static const char *case_name(size_t i)
{
    static const char *const names[] = {"training", NULL};
    return names[i];
}

int rub_bench_train(rub_config_t *config, rub_error_t *err)
{
    int rc = rub_bench_check_words(config, case_name, err);
    rc = rc ? rc : rub_bench_default_workload(config, err);
    if (rc == 0 && config->data_memory_bytes > 0) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "data_memory: bench train trains on examples in memory, without a ps, too; "
                      "expected 0");
    }
    bench_t *self = rc ? NULL : rub_calloc(1, sizeof(*self));
    if (!self) {
        return rc ? rc : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    self->config = config;
    rc = rub_bench_folder_make(self->folder, err);
    rc = rc ? rc : measure(self, err);
    if (rc == 0) {
        figures_t fleets[FLEETS];
        for (unsigned k = 0; k < FLEETS; k++) {
            fleets[k] = figures_of(self, k);
        }
        (config->json ? print_json : print)(self, fleets);
    }
    rub_bench_folder_leave(self->folder, rc);
    rub_free(self);
    return rc;
}
