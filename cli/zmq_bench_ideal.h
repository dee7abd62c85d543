/* The *ideal server*: what ZeroMQ and memory allow when nothing is promised. A bare loop that
 * receives, sums into an array, acknowledges; rows are found by key as an index of the array, a
 * pull is gathered from it. No journal, no clocks, no index of keys, no optimizer, no check. What
 * is measured against it has all of these.
 *
 * Its client is as bare: values are sent from the caller's array without a copy, in pieces, and a
 * pull's are copied from the message into the caller's array. One thread per client. */
#ifndef RUB_ZMQ_BENCH_IDEAL_H
#define RUB_ZMQ_BENCH_IDEAL_H

#include "cli/bench_case.h"

#include <stdint.h>

/* One call of a measurement. Arrays are borrowed until it has ended. */
typedef struct rub_bench_call {
    const uint64_t *keys; /* NULL: the range [first, first + n) */
    uint64_t first;
    uint32_t n;
    const float *values;
    float *pulled;
} rub_bench_call_t;

/* ---- the server, in a process of its own ---- */

/* Listens on the address and serves until an interrupting signal comes. RUB_EBUSY, RUB_ECONFIG,
 * RUB_EIO, RUB_ENOMEM. */
int rub_ideal_serve(const char *address, rub_error_t *err);

/* ---- a client ---- */

typedef struct rub_ideal rub_ideal_t;

/* Connects, and has the server make the case's table (zeros; huge pages where the kernel gives
 * them, rows prefetched when the table is larger than a cache). A table of the same shape is kept.
 * RUB_ETIMEOUT: nobody answers. */
int rub_ideal_open(const char *address, const rub_bench_case_t *row, rub_ideal_t **self_p,
                   rub_error_t *err);
void rub_ideal_close(rub_ideal_t **self_p); /* NULL is fine */

/* Calls are cut into messages of at most so many bytes of values; 128 KiB at first. */
void rub_ideal_cut(rub_ideal_t *self, size_t piece_bytes);

/* Sends a call; *ticket_p names it. RUB_EIO, RUB_ENOMEM. */
int rub_ideal_begin(rub_ideal_t *self, rub_bench_verb_t verb, const rub_bench_call_t *call,
                    uint64_t *ticket_p, rub_error_t *err);
/* Waits until that call, and those before it, are answered. RUB_ETIMEOUT, RUB_EINTR, RUB_EIO. */
int rub_ideal_wait(rub_ideal_t *self, uint64_t ticket, rub_error_t *err);

/* ---- raw libzmq beside it ---- */

/* Sends messages of 1 MiB to the server, without a copy, which throws them away; for_ms.
 * *bytes_per_s_p: until the server had the last one. Errors as above. */
int rub_raw_measure(const char *address, uint64_t for_ms, double *bytes_per_s_p, rub_error_t *err);

#endif
