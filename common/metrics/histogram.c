/* Histogram of gaps.
 *
 * Gaps are bounded by the staleness bound, which people set to single digits; only async runs see
 * large ones. So the part that is audited is exact, and the tail is logarithmic (a bin per octave),
 * which keeps the struct embeddable and its list of non-empty bins far below what a control message
 * may hold.
 *
 * Invariant: count is the sum of bins (while nothing has saturated), and the last non-empty bin is
 * max's. A bin is reported by its upper edge (max in the last one), so a histogram survives the
 * wire without loss. */
#include "common/metrics/histogram.h"

static size_t bin_of(uint64_t value)
{
    if (value < RUB_HISTOGRAM_EXACT) {
        return (size_t)value;
    }
    const unsigned octave = 63u - (unsigned)__builtin_clzll(value); /* 8..63 */
    return RUB_HISTOGRAM_EXACT + octave - 8;
}

/* The greatest value that falls into the bin. */
static uint64_t bin_upper(size_t bin)
{
    if (bin < RUB_HISTOGRAM_EXACT) {
        return bin;
    }
    const unsigned octave = (unsigned)(bin - RUB_HISTOGRAM_EXACT) + 8;
    return octave == 63 ? UINT64_MAX : (UINT64_C(2) << octave) - 1;
}

static uint64_t add_saturated(uint64_t a, uint64_t b)
{
    uint64_t sum;
    return __builtin_add_overflow(a, b, &sum) ? UINT64_MAX : sum;
}

void rub_histogram_init(rub_histogram_t *self)
{
    *self = (rub_histogram_t){0};
}

void rub_histogram_add(rub_histogram_t *self, uint64_t value)
{
    rub_histogram_add_bin(self, value, 1);
}

void rub_histogram_add_bin(rub_histogram_t *self, uint64_t value, uint64_t count)
{
    if (count == 0) {
        return;
    }
    uint64_t *bin = &self->bins[bin_of(value)];
    *bin = add_saturated(*bin, count);
    self->count = add_saturated(self->count, count);
    if (value > self->max) {
        self->max = value;
    }
}

void rub_histogram_merge(rub_histogram_t *self, const rub_histogram_t *other)
{
    for (size_t i = 0; i < RUB_HISTOGRAM_BINS; i++) {
        self->bins[i] = add_saturated(self->bins[i], other->bins[i]);
    }
    self->count = add_saturated(self->count, other->count);
    if (other->max > self->max) {
        self->max = other->max;
    }
}

static uint64_t bin_value(const rub_histogram_t *self, size_t bin)
{
    const uint64_t upper = bin_upper(bin);
    return upper < self->max ? upper : self->max;
}

uint64_t rub_histogram_quantile(const rub_histogram_t *self, double q)
{
    const double share = !(q > 0.0) ? 0.0 : (q < 1.0 ? q : 1.0);
    const double wanted = share * (double)self->count;
    uint64_t seen = 0;
    for (size_t i = 0; i < RUB_HISTOGRAM_BINS; i++) {
        seen = add_saturated(seen, self->bins[i]);
        if (seen > 0 && (double)seen >= wanted) {
            return bin_value(self, i);
        }
    }
    return self->max;
}

bool rub_histogram_next(const rub_histogram_t *self, size_t *at, uint64_t *value, uint64_t *count)
{
    for (; *at < RUB_HISTOGRAM_BINS; (*at)++) {
        if (self->bins[*at] > 0) {
            *value = bin_value(self, *at);
            *count = self->bins[*at];
            (*at)++;
            return true;
        }
    }
    return false;
}
