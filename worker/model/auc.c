/* Counting ordered pairs by sorting: n log n would do, but scores are 32 bits, so three passes of a
 * radix sort do. Idea: a float's bits ascend with its value once those of negative ones are turned
 * over, and the sign bit of the others is set; the label rides below. Then one walk: each click
 * beats the non-clicks before its run of equal scores, and half of those in it. Counted in bins,
 * the upper bits of the same number are the bin. */
#include "worker/model/auc.h"

#include "common/base/alloc.h"
#include "common/base/radix.h"

#include <string.h>

enum { SCORE_SHIFT = 32, SCORE_BITS = 32 };

static uint64_t item_of(float score, float label)
{
    uint32_t bits;
    score += 0.0f; /* -0 becomes 0: they are equal */
    memcpy(&bits, &score, sizeof bits);
    bits ^= bits >> 31 ? UINT32_MAX : UINT32_C(1) << 31;
    return (uint64_t)bits << SCORE_SHIFT | (label != 0);
}

void rub_auc_pairs(const float *scores, const float *labels, size_t n, uint64_t *items,
                   uint64_t *scratch, double *ordered_p, double *pairs_p)
{
    for (size_t i = 0; i < n; i++) {
        items[i] = item_of(scores[i], labels[i]);
    }
    const uint64_t *const sorted = rub_radix_sort(items, scratch, n, SCORE_SHIFT, SCORE_BITS);
    double ordered = 0;
    uint64_t n_clicks = 0;
    uint64_t n_others = 0;
    for (size_t i = 0; i < n;) {
        uint64_t clicks = 0;
        uint64_t others = 0;
        const uint64_t score = sorted[i] >> SCORE_SHIFT;
        for (; i < n && sorted[i] >> SCORE_SHIFT == score; i++) {
            clicks += sorted[i] & 1;
            others += !(sorted[i] & 1);
        }
        ordered += (double)clicks * ((double)n_others + 0.5 * (double)others);
        n_clicks += clicks;
        n_others += others;
    }
    *ordered_p = ordered;
    *pairs_p = (double)n_clicks * (double)n_others;
}

/* Ordered as the item is; equal to 2^-11 of the score. */
enum { BIN_BITS = 20, N_BINS = 1 << BIN_BITS };

struct rub_auc_bins {
    uint64_t counts[N_BINS][2]; /* of others, of clicks */
};

rub_auc_bins_t *rub_auc_bins_new(void)
{
    return rub_calloc(1, sizeof(rub_auc_bins_t));
}

void rub_auc_bins_destroy(rub_auc_bins_t **self_p)
{
    rub_free(*self_p);
    *self_p = NULL;
}

void rub_auc_bins_add(rub_auc_bins_t *self, const float *scores, const float *labels, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        self->counts[item_of(scores[i], 0) >> (64 - BIN_BITS)][labels[i] != 0]++;
    }
}

void rub_auc_bins_pairs(const rub_auc_bins_t *self, double *ordered_p, double *pairs_p)
{
    double ordered = 0;
    uint64_t n_clicks = 0;
    uint64_t n_others = 0;
    for (size_t bin = 0; bin < N_BINS; bin++) {
        const uint64_t others = self->counts[bin][0];
        const uint64_t clicks = self->counts[bin][1];
        ordered += (double)clicks * ((double)n_others + 0.5 * (double)others);
        n_clicks += clicks;
        n_others += others;
    }
    *ordered_p = ordered;
    *pairs_p = (double)n_clicks * (double)n_others;
}
