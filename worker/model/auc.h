/* The area under the ROC curve, as counts of pairs that can be added up. Pure. */
#ifndef RUB_AUC_H
#define RUB_AUC_H

#include "include/rubato.h"

/* Over all pairs of a click and a non-click among n scored examples: how many pairs there are, and
 * in how many of them the click has the greater score (an equal one counts half). AUC =
 * *ordered_p / *pairs_p (Hanley & McNeil 1982: the Wilcoxon-Mann-Whitney statistic). Exact; counts
 * of several sets of examples may be added: that is the AUC over the pairs within each set.
 * Scores are finite. items, scratch: room for n each, overwritten. n < 2^32. */
void rub_auc_pairs(const float *scores, const float *labels, size_t n, uint64_t *items,
                   uint64_t *scratch, double *ordered_p, double *pairs_p);

/* The same count in bounded memory, for any number of examples that come bit by bit: scores fall
 * into 2^20 bins, each a 2048th of its score wide, and those of one bin count as equal. */
typedef struct rub_auc_bins rub_auc_bins_t;

/* 16 MiB; the caller's. NULL when memory is short. */
rub_auc_bins_t *rub_auc_bins_new(void);
void rub_auc_bins_destroy(rub_auc_bins_t **self_p); /* NULL is fine */
void rub_auc_bins_add(rub_auc_bins_t *self, const float *scores, const float *labels, size_t n);
/* Over all that was added. */
void rub_auc_bins_pairs(const rub_auc_bins_t *self, double *ordered_p, double *pairs_p);

#endif
