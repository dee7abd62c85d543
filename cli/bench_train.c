/* `rubato bench train`: what the parameter server costs. In one run, in turn and repeatedly: the
 * local loop without any ps, a fleet of 1 ps + 1 worker, a fleet of 1 ps + 2 workers, all on the
 * same workload with the same optimizer and the default promises on. The fleets are real: child
 * processes started by `rubato train`. Medians are reported, and what matters is their ratios. */
#include "cli/bench.h"
#include "cli/bench_setup.h"

#include "common/base/error.h"
#include "worker/train/local_loop.h"

#include <stdio.h>

#define REPEAT_LIMIT 100u

typedef struct bench {
    const rub_config_t *config;
    char folder[RUB_BENCH_FOLDER_BYTES]; /* of run files, logs and stores; removed at the end */
    unsigned runs;
    double local[REPEAT_LIMIT], one[REPEAT_LIMIT], two[REPEAT_LIMIT];
} bench_t;

static int run_fleet(bench_t *self, unsigned workers, double *examples_per_s_p, rub_error_t *err)
{
    return rub_bench_training_run(self->config, self->folder, self->runs++, workers, NULL,
                                  examples_per_s_p, NULL, err);
}

static int measure(bench_t *self, rub_error_t *err)
{
    rub_workload_t workload = {0};
    int rc = rub_workload_open(self->config, &workload, err);
    for (uint64_t i = 0; i < self->config->repeat && rc == 0; i++) {
        double loss = 0;
        rc = rub_local_loop_run(&workload, self->config->seed, self->config->epochs,
                                &self->local[i], &loss, err);
        rc = rc ? rc : run_fleet(self, 1, &self->one[i], err);
        rc = rc ? rc : run_fleet(self, 2, &self->two[i], err);
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
    const double local = rub_bench_median(self->local, n);
    const double one = rub_bench_median(self->one, n);
    const double two = rub_bench_median(self->two, n);
    if (self->config->json) {
        printf("{\"case\":\"training\",\"local_examples_per_s\":%.0f,\"fleet_examples_per_s\":%.0f,"
               "\"ratio\":%.3f,"
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

static const char *case_name(size_t i)
{
    static const char *const names[] = {"training", NULL};
    return names[i];
}

int rub_bench_train(rub_config_t *config, rub_error_t *err)
{
    bench_t self = {.config = config};
    int rc = rub_bench_check_words(config, case_name, err);
    rc = rc ? rc : rub_bench_default_workload(config, err);
    rc = rc ? rc : rub_bench_folder_make(self.folder, err);
    rc = rc ? rc : measure(&self, err);
    if (rc == 0) {
        print(&self);
    }
    rub_bench_folder_leave(self.folder, rc);
    return rc;
}
