/* The case "scheduler" of `rubato bench recover`: what workers still get done while the scheduler
 * is dead. A session pulls, pushes and clocks as fast as it can, in slices by turns: the scheduler
 * there in one, killed with SIGKILL right before the other and started again after it. Each slice
 * with a dead scheduler is compared with the one before it, so that what else the machine does
 * falls on both. */
#include "cli/bench.h"
#include "cli/bench_fleet.h"
#include "cli/bench_setup.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/base/timing.h"

#include <stdio.h>

enum {
    PAIRS_LIMIT = 200,
    PAIRS_PER_REPEAT = 2,
    ELEMENTS = 1 << 18, /* 1 MB: a small network */
    SLICE_MS = 2000,
    WARM_UP_MS = 2000,
    BACK_MS = 2000 /* for a started scheduler to be registered with and joined again */
};

#define BAR 0.95

typedef struct outage {
    rub_bench_fleet_t fleet;
    rub_session_t *session;
    rub_table_t table;
    float *values;
    double alive[PAIRS_LIMIT], dead[PAIRS_LIMIT]; /* periods a second */
} outage_t;

static int open_table(outage_t *self, rub_error_t *err)
{
    rub_schema_t schema;
    rub_schema_defaults(&schema);
    schema.name = "measured";
    schema.kind = RUB_DENSE;
    schema.elements = ELEMENTS;
    schema.hyper.lr = 1e-6;
    return rub_table_open(self->session, &schema, &self->table, err);
}

static int work_for(outage_t *self, uint64_t for_ms, double *rate_p, rub_error_t *err)
{
    const uint64_t begun_ns = rub_now_ns();
    const uint64_t until_ns = begun_ns + for_ms * 1000000u;
    uint64_t periods = 0;
    int rc = 0;
    while (!rc && rub_now_ns() < until_ns) {
        rc = rub_pull_range(self->session, self->table, 0, ELEMENTS, self->values, err);
        rc = rc ? rc
                : rub_push_range(self->session, self->table, 0, ELEMENTS, self->values, NULL, err);
        rc = rc ? rc : rub_clock(self->session, NULL, 0, err);
        periods++;
    }
    rc = rc ? rc : rub_flush(self->session, err);
    *rate_p = (double)periods * 1e9 / (double)(rub_now_ns() - begun_ns);
    return rc;
}

static int measure_pair(outage_t *self, size_t i, rub_error_t *err)
{
    int rc = work_for(self, SLICE_MS, &self->alive[i], err);
    rub_bench_fleet_kill_scheduler(&self->fleet);
    rc = rc ? rc : work_for(self, SLICE_MS, &self->dead[i], err);
    rc = rc ? rc : rub_bench_fleet_start_scheduler(&self->fleet, err);
    return rc ? rc : rub_bench_sleep(BACK_MS, err);
}

/* Returns whether the bar was met. */
static bool print(const rub_config_t *config, outage_t *self, size_t n)
{
    double ratios[PAIRS_LIMIT];
    for (size_t i = 0; i < n; i++) {
        ratios[i] = self->dead[i] / self->alive[i];
    }
    const double ratio = rub_bench_median(ratios, n);
    const bool met = ratio >= BAR;
    const double alive = rub_bench_median(self->alive, n), dead = rub_bench_median(self->dead, n);
    if (config->json) {
        printf("{\"case\":\"scheduler\",\"alive_periods_per_s\":%.1f,\"dead_periods_per_s\":%.1f,"
               "\"ratio\":{\"median\":%.3f,\"min\":%.3f,\"max\":%.3f},\"bar\":%.2f,\"met\":%s,"
               "\"kills\":%zu}\n",
               alive, dead, ratio, ratios[0], ratios[n - 1], BAR, met ? "true" : "false", n);
    } else {
        printf("%-30s %.1f -> %.1f periods/s, ratio %.3f (%.3f to %.3f; bar %.2f: %s)\n",
               "scheduler killed", alive, dead, ratio, ratios[0], ratios[n - 1], BAR,
               met ? "met" : "MISSED");
    }
    (void)fflush(stdout);
    return met;
}

int rub_bench_outage(const rub_config_t *config, const char *folder, rub_error_t *err)
{
    static const char *const no_flags[] = {NULL};
    const size_t n = config->repeat * PAIRS_PER_REPEAT;
    RUB_ASSERT(n <= PAIRS_LIMIT);
    double ignored = 0;
    outage_t *self = rub_calloc(1, sizeof(*self));
    float *values = rub_calloc(ELEMENTS, sizeof(*values));
    int rc = self && values ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    if (rc) {
        goto out;
    }
    self->values = values;
    rc = rub_bench_fleet_start(&self->fleet, folder, no_flags, err);
    rc = rc ? rc : rub_bench_fleet_join(&self->fleet, RUB_TRAINER, &self->session, err);
    rc = rc ? rc : open_table(self, err);
    rc = rc ? rc : work_for(self, WARM_UP_MS, &ignored, err);
    for (size_t i = 0; i < n && !rc; i++) {
        rc = measure_pair(self, i, err);
    }
    if (!rc) {
        rc = print(config, self, n) ? 0 : 1;
    }
    rub_abandon(&self->session);
    rub_bench_fleet_end(&self->fleet, rc);
out:
    rub_free(values);
    rub_free(self);
    return rc;
}
