/* A bound is a small number, so nearly every gap has a bin of its own and max_gap is exact; only
 * async jobs reach the logarithmic part: 256 bins of 8 per octave reach 2^40 clocks, and what lies
 * above falls into the last one. */
#include "ps/gaps.h"

enum { EXACT = 256, PER_OCTAVE = 8, FIRST_OCTAVE = 8 };

static uint32_t bin_of(uint64_t gap)
{
    if (gap < EXACT) {
        return (uint32_t)gap;
    }
    uint32_t octave = 63;
    while (gap >> octave == 0) {
        octave--;
    }
    const uint32_t eighth = (uint32_t)(gap >> (octave - 3)) & 7u;
    const uint32_t bin = EXACT + (octave - FIRST_OCTAVE) * PER_OCTAVE + eighth;
    return bin < RUB_GAP_BINS ? bin : RUB_GAP_BINS - 1;
}

static uint64_t gap_of(uint32_t bin)
{
    if (bin < EXACT) {
        return bin;
    }
    const uint32_t octave = (bin - EXACT) / PER_OCTAVE + FIRST_OCTAVE;
    const uint64_t eighth = (bin - EXACT) % PER_OCTAVE;
    return (8 + eighth) << (octave - 3);
}

void rub_gaps_add(rub_gaps_t *self, uint64_t gap)
{
    self->counts[bin_of(gap)]++;
}

uint32_t rub_gaps_list(const rub_gaps_t *self, rub_gap_count_t *out)
{
    uint32_t n = 0;
    for (uint32_t bin = 0; bin < RUB_GAP_BINS; bin++) {
        if (self->counts[bin] > 0) {
            out[n++] = (rub_gap_count_t){.gap = gap_of(bin), .count = self->counts[bin]};
        }
    }
    return n;
}
