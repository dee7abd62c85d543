/* The bare loops beside a measurement. pushpull measures the ideal server by turns with its fleets,
 * and takes only its process from here; who has nothing to take turns with has it measured at once.
 */
#include "cli/bench_yardstick.h"

#include "cli/bench.h"
#include "cli/bench_setup.h"
#include "cli/bench_side.h"
#include "cli/zmq_bench_ideal.h"

#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/proc/place.h"

#include <stdio.h>

enum { RAW_MS = 300, WARM_UP_MS = 150, SLICE_MS = 250 };

static int start_ideal(rub_bench_yardstick_t *self, const char *folder, rub_error_t *err)
{
    char log_path[100];
    uint16_t port = 0;
    int rc = rub_port_free("127.0.0.1", &port, err);
    snprintf(self->address, sizeof(self->address), "tcp://127.0.0.1:%u", port);
    snprintf(log_path, sizeof(log_path), "%s/ideal.log", folder);
    const char *arguments[] = {"/proc/self/exe", "bench", "ideal", self->address, NULL};
    return rc ? rc : rub_child_start(&self->ideal, (char *const *)arguments, log_path, err);
}

int rub_bench_yardstick_open(rub_bench_yardstick_t *self, const char *folder, size_t repeat,
                             rub_error_t *err)
{
    double rates[RUB_BENCH_ROUNDS_LIMIT];
    RUB_ASSERT(repeat <= RUB_BENCH_ROUNDS_LIMIT);
    *self = (rub_bench_yardstick_t){0};
    int rc = start_ideal(self, folder, err);
    for (size_t i = 0; i < repeat && !rc; i++) {
        rc = rub_raw_measure(self->address, RAW_MS, &rates[i], err);
        rc = rc ? rc : rub_bench_go_on(err);
    }
    self->raw_bytes_per_s = rc ? 0 : rub_bench_median(rates, repeat);
    return rc;
}

void rub_bench_yardstick_close(rub_bench_yardstick_t *self)
{
    rub_child_kill(&self->ideal);
}

int rub_bench_yardstick_measure(rub_bench_yardstick_t *self, const rub_bench_case_t *row,
                                size_t repeat, rub_bench_spread_t *bytes_per_s,
                                rub_bench_spread_t *cpu_s_per_gb, rub_error_t *err)
{
    const rub_bench_shape_t one = {.n_ps = 1, .shards = 1, .workers = 1};
    rub_bench_side_t *side = rub_calloc(1, sizeof(*side));
    if (!side) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a measurement");
    }
    int rc = rub_bench_side_open_ideal(side, self->address, &self->ideal, &one, row, 1, err);
    rc = rc ? rc : rub_bench_side_warm_up(side, WARM_UP_MS, err);
    for (size_t i = 0; i < repeat && !rc; i++) {
        rc = rub_bench_side_round(side, SLICE_MS, err);
        rc = rc ? rc : rub_bench_go_on(err);
    }
    if (!rc) {
        const double bytes = (double)rub_bench_call_bytes(row);
        *bytes_per_s = rub_bench_spread(side->calls_per_s, side->n_rounds);
        bytes_per_s->median *= bytes;
        bytes_per_s->min *= bytes;
        bytes_per_s->max *= bytes;
        *cpu_s_per_gb = rub_bench_spread(side->cpu_s_per_gb, side->n_rounds);
    }
    rub_bench_side_close(side, rc);
    rub_free(side);
    return rc;
}
