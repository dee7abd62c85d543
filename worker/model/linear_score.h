/* The linear score z = b + sum_j x_j w_j and its derivative. Called through
 * worker/model/sparse_model.h, which documents the arguments. params[0]: weights. */
#ifndef RUB_LINEAR_SCORE_H
#define RUB_LINEAR_SCORE_H

#include "worker/model/sparse_model.h"

float rub_linear_score(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                       uint32_t factors, float *sums);
void rub_linear_step(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                     uint32_t factors, const float *sums, float slope, float *const *gradients);

#endif
