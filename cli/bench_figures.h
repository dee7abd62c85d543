/* What is said of figures that were measured by turns: round i of one side has round i of every
 * other beside it. Pure. */
#ifndef RUB_BENCH_FIGURES_H
#define RUB_BENCH_FIGURES_H

#include <stddef.h>

typedef struct rub_bench_spread {
    double median, min, max; /* 0 when there are no values */
} rub_bench_spread_t;

/* values keep their order. At most RUB_BENCH_ROUNDS_LIMIT. */
rub_bench_spread_t rub_bench_spread(const double *values, size_t n);

/* Of values[i] / beside[i]; rounds in which beside is not positive are left out. */
rub_bench_spread_t rub_bench_ratios(const double *values, const double *beside, size_t n);

#define RUB_BENCH_ROUNDS_LIMIT 200u

#endif
