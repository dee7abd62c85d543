/* How good recommendations are: all items are ranked for a user, but those that the user has in
 * training, and what counts are the places of the items that were held out.
 *
 * Places are from 1. Others with the very same score count half, so that a model that says the same
 * of all items is ranked in the middle, not first. Of a user with the held-out items H, at k:
 *
 *     precision  how many of H are among the first k, over k
 *     recall     the same over |H|
 *     ndcg       sum over H among the first k of 1 / log2(place + 1), over the most that it could
 * be auc        in how many pairs of one of H and another candidate, not of H, the former is first
 *
 * Figures are means over users (Herlocker et al., TOIS 2004; Järvelin & Kekäläinen, TOIS 2002;
 * Rendle et al., UAI 2009). Pure. */
#ifndef RUB_ITEM_RANKING_H
#define RUB_ITEM_RANKING_H

#include "include/rubato.h"

/* Sums over users. */
typedef struct rub_item_ranks {
    double users, precision, recall, ndcg, auc;
} rub_item_ranks_t;

/* scores: n_items numbers. known: n_known items, ascending, one may stand there twice: no
 * candidates. wanted: n_wanted items, ascending, likewise: what was held out; such as are known,
 * too, do not count. k >= 1. Adds to *sums unless nothing is wanted, or there is no other
 * candidate. A score that is no number is below all others. */
void rub_item_ranking_add(const float *scores, size_t n_items, const uint32_t *known,
                          size_t n_known, const uint32_t *wanted, size_t n_wanted, size_t k,
                          rub_item_ranks_t *sums);

/* The best of the candidates, at most k, best first, into best; how many. Of equal ones the one
 * with the lower number comes first. */
size_t rub_item_ranking_best(const float *scores, size_t n_items, const uint32_t *known,
                             size_t n_known, size_t k, uint32_t *best);

/* scores (n_users x n_items) = item_bias + users items^T, as one matrix product. Vectors are width
 * wide. */
void rub_item_ranking_scores(const float *users, size_t n_users, const float *items,
                             const float *item_bias, size_t n_items, size_t width, float *scores);

#endif
