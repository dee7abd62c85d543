/* The scores of softmax regression over sparse rows: a line of parameters has a number for each
 * class. */
#ifndef RUB_SOFTMAX_SCORE_H
#define RUB_SOFTMAX_SCORE_H

#include "worker/model/sparse_model.h"

/* scores (n_classes): the intercepts, and value times line of each entry. */
void rub_softmax_score(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                       uint32_t n_classes, float *scores);
/* Adds slopes (n_classes) x (the scores' derivatives) to gradients. */
void rub_softmax_step(const rub_sparse_rows_t *rows, size_t row, uint32_t n_classes,
                      const float *slopes, float *const *gradients);

#endif
