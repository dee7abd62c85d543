/* Bounded staleness (stale synchronous parallel, Ho et al., NIPS 2013): who is counted, and who
 * waits.
 *
 * A pull stamped with clock c needs min over counted ranks of done >= c - bound (saturating). What
 * may not be answered yet is parked in a heap by the minimum it needs, so that a clock costs the
 * pulls it sets free and no more. Nobody counted means nobody is waited for. Pure: no time, no I/O.
 * Not thread-safe; owned by its shard. */
#ifndef RUB_STALENESS_H
#define RUB_STALENESS_H

#include "include/rubato.h"

typedef struct rub_staleness rub_staleness_t;

/* Somebody who waits, embedded in the caller's own struct. needed is the caller's to set before
 * park. */
typedef struct rub_waiter {
    uint64_t needed; /* the minimum that sets it free */
    size_t place;    /* in the heap; RUB_NOT_PARKED when outside */
} rub_waiter_t;

#define RUB_NOT_PARKED SIZE_MAX

/* bound_clocks: 0 is lock step, RUB_ASYNC no bound. NULL when memory is short. */
rub_staleness_t *rub_staleness_new(uint64_t bound_clocks);
void rub_staleness_destroy(rub_staleness_t **self_p);

uint64_t rub_staleness_bound(const rub_staleness_t *self);
/* For later needs; what is parked keeps its own. */
void rub_staleness_set_bound(rub_staleness_t *self, uint64_t bound_clocks);

/* Counts the rank at done, or moves it there; never below where it was counted (asserted).
 * RUB_ENOMEM. */
int rub_staleness_count(rub_staleness_t *self, uint32_t rank, uint64_t done);
void rub_staleness_uncount(rub_staleness_t *self, uint32_t rank); /* fine when it was not counted */
bool rub_staleness_counts(const rub_staleness_t *self, uint32_t rank);
/* UINT64_MAX: nobody is counted. */
uint64_t rub_staleness_minimum(const rub_staleness_t *self);

/* The minimum that a pull at this clock needs. */
uint64_t rub_staleness_needed(const rub_staleness_t *self, uint64_t clock);

/* Keeps the waiter until unpark or pop. RUB_ENOMEM. */
int rub_staleness_park(rub_staleness_t *self, rub_waiter_t *waiter);
void rub_staleness_unpark(rub_staleness_t *self,
                          rub_waiter_t *waiter); /* fine when it is not parked */
/* Takes out one waiter whose need is met by minimum; NULL: none. Smallest need first. */
rub_waiter_t *rub_staleness_pop(rub_staleness_t *self, uint64_t minimum);
size_t rub_staleness_parked(const rub_staleness_t *self);
/* The greatest minimum that a parked pull needs; 0: none is parked. Looks at half of what is
 * parked: once a report. */
uint64_t rub_staleness_greatest_need(const rub_staleness_t *self);

/* Counted ranks with done < needed, ascending, at most limit; returns how many were written. */
size_t rub_staleness_laggards(const rub_staleness_t *self, uint64_t needed, uint32_t *ranks,
                              size_t limit);

#endif
