/* The area under the ROC curve, as counts of pairs that can be added up. Pure. */
#ifndef RUB_AUC_H
#define RUB_AUC_H

#include "include/rubato.h"

/* Over all pairs of a click and a non-click among n scored examples: how many pairs there are, and
 * in how many of them the click has the greater score (an equal one counts half). AUC =
 * *ordered_p / *pairs_p (Hanley & McNeil 1982: the Wilcoxon-Mann-Whitney statistic). Exact; counts
 * of several sets of examples may be added: that is the AUC over the pairs within each set.
 * Scores are finite. items, scratch: room for n each, overwritten. n < 2^32. */
void rub_auc_pairs(const float *scores, const uint8_t *labels, size_t n, uint64_t *items,
                   uint64_t *scratch, double *ordered_p, double *pairs_p);

#endif
