/* Bare loops over a plain array of rows: what `rubato bench store` measures a table against. No
 * index, no keys, no chunks, no clean and dirty: a row is at base + number x row. Three levels, so
 * that it can be told what a table owes to what: small pages; small pages and prefetching ahead;
 * huge pages and prefetching ahead. The arithmetic of a step is the table's own kernel. */
#ifndef RUB_BENCH_ARRAYS_H
#define RUB_BENCH_ARRAYS_H

#include "common/num/optimizer.h"

typedef enum rub_bench_level {
    RUB_BENCH_PLAIN,
    RUB_BENCH_PREFETCH,
    RUB_BENCH_HUGE, /* and prefetch */
    RUB_BENCH_LEVELS
} rub_bench_level_t;

typedef struct rub_bench_array {
    rub_bench_level_t level;
    float *rows; /* n_rows x {weights, slots} */
    size_t bytes;
    uint64_t n_rows;
    size_t width, row_floats;
    const rub_optimizer_t *optimizer;
    rub_hyper_t hyper;
} rub_bench_array_t;

/* Maps the array and touches every page of it: the rows are zeros. RUB_ENOMEM. */
int rub_bench_array_open(rub_bench_array_t *self, rub_bench_level_t level, uint64_t n_rows,
                         size_t width, const rub_optimizer_t *optimizer, rub_error_t *err);
void rub_bench_array_close(rub_bench_array_t *self);

/* Copies the weights of rows keys[0..n) one behind the other into values: n x width. */
void rub_bench_array_gather(const rub_bench_array_t *self, const uint64_t *keys, size_t n,
                            float *values);
/* One optimizer step for each of rows keys[0..n), in that order; gradients: n x width. */
void rub_bench_array_apply(rub_bench_array_t *self, const uint64_t *keys, size_t n,
                           const float *gradients);

#endif
