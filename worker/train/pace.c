/* The straggler of the literature on bounded staleness (Ho et al. 2013; Cui et al. 2014, who slowed
 * one worker at a time, in turn): a worker that needs a multiple of the others' time. It is made
 * by sleeping, in proportion to the batch's own time, not by burning a core that the others need.
 *
 * Who is slow is a function of rank and clock alone, so that runs repeat. In turns means the rank's
 * own clock: with a bound the clocks lie close together, and one worker or two are slow at a time.
 */
#include "worker/train/pace.h"

#include "common/base/error.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define EXPECTED                                                                                   \
    "expected RANK:FACTOR or turns:FACTOR[:PERIODS], FACTOR from 1 to 1000, PERIODS from 1"

static int refuse(const char *slow, rub_error_t *err)
{
    return rub_fail(err, RUB_ECONFIG, "slow: '%.60s'; " EXPECTED, slow);
}

/* A number of decimal digits that ends at stop, not above limit. */
static bool read_whole(const char *text, char stop, uint64_t limit, uint64_t *value_p,
                       const char **end_p)
{
    uint64_t value = 0;
    const char *at = text;
    while (*at >= '0' && *at <= '9' && value <= limit) {
        value = value * 10 + (uint64_t)(*at++ - '0');
    }
    *value_p = value;
    *end_p = at;
    return at != text && *at == stop && value <= limit;
}

static bool read_factor(const char *text, double *value_p, const char **end_p)
{
    char *end = NULL;
    *value_p = strtod(text, &end);
    *end_p = end;
    return end != text && *value_p >= 1 && *value_p <= RUB_PACE_FACTOR_LIMIT;
}

int rub_pace_read(rub_pace_t *self, uint64_t pace_ms, const char *slow, rub_error_t *err)
{
    static const char turns[] = "turns:";
    const char *at = slow;
    uint64_t rank = 0;
    *self = (rub_pace_t){.pace_us = pace_ms * 1000, .factor = 1, .periods = RUB_PACE_PERIODS};
    if (slow[0] == '\0') {
        return 0;
    }
    if (strncmp(slow, turns, strlen(turns)) == 0) {
        self->in_turns = true;
        at = slow + strlen(turns);
    } else if (read_whole(slow, ':', UINT32_MAX - 1, &rank, &at)) {
        self->rank = (uint32_t)rank;
        at++;
    } else {
        return refuse(slow, err);
    }
    if (!read_factor(at, &self->factor, &at)) {
        return refuse(slow, err);
    }
    const bool has_periods = self->in_turns && *at == ':';
    if (has_periods &&
        (!read_whole(at + 1, '\0', UINT32_MAX, &self->periods, &at) || self->periods == 0)) {
        return refuse(slow, err);
    }
    return *at == '\0' ? 0 : refuse(slow, err);
}

uint64_t rub_pace_rest_us(const rub_pace_t *self, uint32_t rank, uint32_t n_workers, uint64_t clock,
                          uint64_t computed_us)
{
    const uint64_t slow_rank = self->in_turns ? clock / self->periods % n_workers : self->rank;
    const uint64_t base_us = computed_us > self->pace_us ? computed_us : self->pace_us;
    const double whole_us = (double)base_us * (rank == slow_rank ? self->factor : 1);
    return (uint64_t)llround(whole_us) - computed_us;
}
