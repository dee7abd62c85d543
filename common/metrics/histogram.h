/* Counts of values that are mostly small: gaps in clocks. Values below 256 have a bin each, so that
 * a staleness bound is checked exactly; above, a bin holds a power of two. A plain struct, no
 * memory of its own, 2.5 KiB; zeroed is empty. Pure; one thread at a time. Counts that would
 * overflow stay at UINT64_MAX. */
#ifndef RUB_HISTOGRAM_H
#define RUB_HISTOGRAM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#define RUB_HISTOGRAM_EXACT 256u
#define RUB_HISTOGRAM_BINS (RUB_HISTOGRAM_EXACT + 56u) /* 256..511, 512..1023, ... 2^63..2^64-1 */

typedef struct rub_histogram {
    uint64_t bins[RUB_HISTOGRAM_BINS];
    uint64_t count; /* of all values */
    uint64_t max;   /* exact; 0 while empty */
} rub_histogram_t;

void rub_histogram_init(rub_histogram_t *self);
void rub_histogram_add(rub_histogram_t *self, uint64_t value);

/* Adds count values at once, as another histogram's rub_histogram_next gave them. count may be 0.
 */
void rub_histogram_add_bin(rub_histogram_t *self, uint64_t value, uint64_t count);

/* Adds all of other; self and other may be the same. */
void rub_histogram_merge(rub_histogram_t *self, const rub_histogram_t *other);

/* The smallest value v such that a share of at least q of the values is <= v: exact below 256, else
 * the greatest that v's bin can hold, and never above max. q is clamped to [0, 1]; 0 while empty.
 */
uint64_t rub_histogram_quantile(const rub_histogram_t *self, double q);

/* Walks the bins that are not empty, ascending: start with *at = 0; false at the end. *value is the
 * greatest that the bin can hold, or max in the last one: adding the pairs to an empty histogram
 * gives the same bins, count and max. */
bool rub_histogram_next(const rub_histogram_t *self, size_t *at, uint64_t *value, uint64_t *count);

#endif
