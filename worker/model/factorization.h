/* The factorization machine's score (Rendle, "Factorization machines", ICDM 2010) and its
 * derivative. Called through worker/model/sparse_model.h, which documents the arguments. params[0]:
 * weights; params[1]: factors, lines of k, none for the intercept. */
#ifndef RUB_FACTORIZATION_H
#define RUB_FACTORIZATION_H

#include "worker/model/sparse_model.h"

/* Standard deviation of factors before they are trained: not 0, or their gradients would be 0 for
 * ever; small against what linear weights become. */
#define RUB_FACTORIZATION_INIT_SCALE 0.01

float rub_factorization_score(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                              uint32_t factors, float *sums);
void rub_factorization_step(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                            uint32_t factors, const float *sums, float slope,
                            float *const *gradients);

#endif
