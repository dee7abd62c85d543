/* How fast a worker works, for experiments: a batch that takes as long as it is told to, on a
 * worker that is so many times slower than the others. Time that computing leaves is slept, so that
 * many workers fit on few cores as if each had its own. Pure: says how long to sleep, and sleeps
 * not. */
#ifndef RUB_PACE_H
#define RUB_PACE_H

#include "include/rubato.h"

#define RUB_PACE_FACTOR_LIMIT 1000.0
#define RUB_PACE_PERIODS 8u /* of a rank's turn unless told */

typedef struct rub_pace {
    uint64_t pace_us; /* a batch takes at least so long; 0: as long as it computes */
    double factor;    /* how many times longer on who is slow; 1: nobody is */
    bool in_turns;    /* slow is each rank in turn, for so many periods of its own clock */
    uint32_t rank;    /* otherwise slow is this one */
    uint64_t periods;
} rub_pace_t;

/* slow: "" (nobody), "RANK:FACTOR", or "turns:FACTOR[:PERIODS]". RUB_ECONFIG. */
int rub_pace_read(rub_pace_t *self, uint64_t pace_ms, const char *slow, rub_error_t *err);

/* How long, in microseconds, to sleep after a batch that took computed_us, in the period that began
 * at clock. n_workers > 0. */
uint64_t rub_pace_rest_us(const rub_pace_t *self, uint32_t rank, uint32_t n_workers, uint64_t clock,
                          uint64_t computed_us);

#endif
