/* Medians of ratios within a round, not ratios of medians: what else the machine does falls on all
 * sides of a round, and leaves the ratio alone. */
#include "cli/bench_figures.h"

#include "cli/bench.h"
#include "common/base/check.h"

#include <string.h>

rub_bench_spread_t rub_bench_spread(const double *values, size_t n)
{
    double sorted[RUB_BENCH_ROUNDS_LIMIT];
    RUB_ASSERT(n <= RUB_BENCH_ROUNDS_LIMIT);
    if (n == 0) {
        return (rub_bench_spread_t){0};
    }
    memcpy(sorted, values, n * sizeof(*values));
    const double median = rub_bench_median(sorted, n); /* sorts */
    return (rub_bench_spread_t){.median = median, .min = sorted[0], .max = sorted[n - 1]};
}

rub_bench_spread_t rub_bench_ratios(const double *values, const double *beside, size_t n)
{
    double ratios[RUB_BENCH_ROUNDS_LIMIT];
    size_t n_ratios = 0;
    RUB_ASSERT(n <= RUB_BENCH_ROUNDS_LIMIT);
    for (size_t i = 0; i < n; i++) {
        if (beside[i] > 0) {
            ratios[n_ratios++] = values[i] / beside[i];
        }
    }
    return rub_bench_spread(ratios, n_ratios);
}
