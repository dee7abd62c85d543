/* What the scores of sparse models cost: the losses, their slopes, and what is counted beside them.
 * Pure. */
#ifndef RUB_SPARSE_LOSS_H
#define RUB_SPARSE_LOSS_H

#include <stddef.h>

typedef enum {
    RUB_LOSS_LOGISTIC, /* log(1 + exp(-z)) of a click (label not 0), log(1 + exp(z)) of none */
    RUB_LOSS_SQUARED,  /* (z - label)^2 / 2 */
    RUB_LOSS_SOFTMAX,  /* log(sum over k of exp(z_k)) - z_label, of a score for each class */
} rub_sparse_loss_t;

/* Sums over rows. */
typedef struct rub_sparse_figures {
    double loss;
    /* LOGISTIC: scores above 0 just when it was a click; SOFTMAX: labels with the greatest score,
     * the first of several; SQUARED: |z - label| */
    double own;
} rub_sparse_figures_t;

/* Adds what a row's score costs; returns the loss's derivative by the score. Not of SOFTMAX. */
float rub_sparse_loss_add(rub_sparse_loss_t loss, float score, float label,
                          rub_sparse_figures_t *figures);

/* The same of n_classes scores, label below them; slopes (n_classes, may be scores): the
 * derivatives, or NULL. Scores of any finite size. */
void rub_softmax_loss_add(const float *scores, size_t n_classes, float label, float *slopes,
                          rub_sparse_figures_t *figures);

#endif
