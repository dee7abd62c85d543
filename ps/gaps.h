/* How stale the answered pulls were: counts by gap in clocks. Exact below 256; above, bins are
 * named by their smallest gap, eight to an octave. Pure. */
#ifndef RUB_GAPS_H
#define RUB_GAPS_H

#include "common/wire/control.h"

#define RUB_GAP_BINS 512u

typedef struct rub_gaps {
    uint64_t counts[RUB_GAP_BINS];
} rub_gaps_t;

void rub_gaps_add(rub_gaps_t *self, uint64_t gap);
/* Writes the bins that are not empty, ascending; out holds RUB_GAP_BINS. Returns how many. */
uint32_t rub_gaps_list(const rub_gaps_t *self, rub_gap_count_t *out);

#endif
