/* One of the servers that a measurement puts side by side: a real fleet, or the ideal server; and
 * the workers that drive it, threads of this process with a session (or a bare client) each. Keeps
 * so many calls in flight, measures slices. One thread uses it. */
#ifndef RUB_BENCH_SIDE_H
#define RUB_BENCH_SIDE_H

#include "cli/bench_case.h"
#include "cli/bench_figures.h"
#include "cli/bench_fleet.h"
#include "cli/zmq_bench_ideal.h"

/* A worker and its calls. */
typedef struct rub_bench_driver {
    const rub_bench_case_t *row;
    rub_session_t *session; /* NULL: it drives the ideal server */
    rub_session_t *reader;  /* pulls of a case with a cache; NULL: the session's own */
    rub_table_t table;
    rub_ideal_t *ideal;
    uint64_t *keys; /* n_lists lists of call_items */
    size_t n_lists;
    float *values, *pulled;
    uint64_t n_begun, n_ended; /* calls */
    struct {
        rub_handle_t push, pull; /* or the ideal client's ticket */
        uint64_t begun_ns;
    } open[64];
    double *latency_us;
    size_t n_latencies;
    uint64_t until_ns;
    int rc;
    rub_error_t err;
} rub_bench_driver_t;

typedef struct rub_bench_side {
    const char *name; /* "ideal", or the durability */
    bool is_ideal, is_durable;
    bool is_grown;            /* its journal has been warmed up */
    double first_bytes_per_s; /* of values, in a durable side's first seconds; 0: not known */
    rub_bench_case_t row;     /* the case that is measured */
    rub_bench_fleet_t fleet;
    const char *ps_flags[4];
    rub_child_t *ideal; /* borrowed: the ideal server's process */
    uint32_t n_drivers;
    rub_bench_driver_t drivers[RUB_BENCH_WORKERS_LIMIT];
    /* of each round */
    size_t n_rounds;
    double calls_per_s[RUB_BENCH_ROUNDS_LIMIT];
    double cpu_s_per_gb[RUB_BENCH_ROUNDS_LIMIT]; /* of all processes */
    /* of all rounds, values: as calls moved them, and as they stood on the wire (a fleet's) */
    uint64_t value_bytes, wire_bytes;
} rub_bench_side_t;

/* A fleet with that durability ("none", "journal", "sync"), in a folder that is made, with the
 * case's table and every row in it. On failure rub_bench_side_close is still due. */
int rub_bench_side_open(rub_bench_side_t *self, const char *durability, const char *folder,
                        const rub_bench_shape_t *shape, const rub_bench_case_t *row, uint64_t seed,
                        rub_error_t *err);
/* As many clients of the ideal server at the address, which runs as that child (borrowed). */
int rub_bench_side_open_ideal(rub_bench_side_t *self, const char *address, rub_child_t *child,
                              const rub_bench_shape_t *shape, const rub_bench_case_t *row,
                              uint64_t seed, rub_error_t *err);
/* A zeroed one is fine. rc: as rub_bench_fleet_end. */
void rub_bench_side_close(rub_bench_side_t *self, int rc);

/* Another case on the same table: draws its keys, forgets the figures. RUB_ENOMEM. */
int rub_bench_side_prepare(rub_bench_side_t *self, const rub_bench_case_t *row, uint64_t seed,
                           rub_error_t *err);

/* Runs for so long, then finds the piece that the ideal server likes best; a fleet only runs. The
 * first pushes of a durable one go on until its files do not grow any more (cli/bench_warm_up.h).
 * What is measured is not counted. */
int rub_bench_side_warm_up(rub_bench_side_t *self, uint64_t for_ms, rub_error_t *err);
/* Measures a round: calls until the time is over, and until all are answered; then what a durable
 * fleet has put off, whose CPU seconds count, too. */
int rub_bench_side_round(rub_bench_side_t *self, uint64_t for_ms, rub_error_t *err);

/* Of the rows that readers with a cache asked for, the part that was in it; 0 without one. */
double rub_bench_side_hit_ratio(const rub_bench_side_t *self);
/* How many times smaller than the values that calls moved is what travelled of them; 0: not known.
 */
double rub_bench_side_wire_ratio(const rub_bench_side_t *self);
/* Of the calls of all rounds, in microseconds. */
double rub_bench_side_latency(const rub_bench_side_t *self, double fraction);

#endif
