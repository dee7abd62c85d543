/* What every measurement through a wire is held against, in the same run: raw libzmq, and the ideal
 * server (cli/zmq_bench_ideal.h) in a process of its own. */
#ifndef RUB_BENCH_YARDSTICK_H
#define RUB_BENCH_YARDSTICK_H

#include "cli/bench_case.h"
#include "cli/bench_figures.h"
#include "common/proc/child.h"

typedef struct rub_bench_yardstick {
    char address[64]; /* of the ideal server */
    rub_child_t ideal;
    double raw_bytes_per_s; /* messages of 1 MiB, one way; the median of repeat */
} rub_bench_yardstick_t;

/* Starts the ideal server, its log in the folder, and measures raw libzmq. On failure
 * rub_bench_yardstick_close is still due. RUB_EINTR when a signal has come. */
int rub_bench_yardstick_open(rub_bench_yardstick_t *self, const char *folder, size_t repeat,
                             rub_error_t *err);
void rub_bench_yardstick_close(rub_bench_yardstick_t *self); /* a zeroed one is fine */

/* What the ideal server does of a case with one client, at the size of message that it likes best:
 * bytes of values a second, and CPU seconds of both processes per GB. RUB_EINTR as above. */
int rub_bench_yardstick_measure(rub_bench_yardstick_t *self, const rub_bench_case_t *row,
                                size_t repeat, rub_bench_spread_t *bytes_per_s,
                                rub_bench_spread_t *cpu_s_per_gb, rub_error_t *err);

#endif
