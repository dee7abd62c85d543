/* Logistic regression's score, which the factorization machine has for its first part, too.
 *
 * Idea: four sums side by side, since one addition after the other would make each wait for the one
 * before (four cycles); the order of additions is fixed by the row alone, so equal rows give equal
 * bits. */
#include "worker/model/linear_score.h"

#include "common/base/check.h"

float rub_linear_score(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                       uint32_t factors, float *sums)
{
    RUB_UNUSED(factors);
    RUB_UNUSED(sums);
    const float *const weights = params[0];
    const uint32_t *places = rows->places + rows->starts[row];
    const size_t n = rows->starts[row + 1] - rows->starts[row];
    const float *values = rows->values != NULL ? rows->values + rows->starts[row] : NULL;
    float z[4] = {weights[rows->n_places - 1], 0, 0, 0};
    size_t i = 0;
    if (values == NULL) {
        for (; i + 4 <= n; i += 4) {
            for (size_t k = 0; k < 4; k++) {
                z[k] += weights[places[i + k]];
            }
        }
        for (; i < n; i++) {
            z[0] += weights[places[i]];
        }
    } else {
        for (; i + 4 <= n; i += 4) {
            for (size_t k = 0; k < 4; k++) {
                z[k] += values[i + k] * weights[places[i + k]];
            }
        }
        for (; i < n; i++) {
            z[0] += values[i] * weights[places[i]];
        }
    }
    return (z[0] + z[1]) + (z[2] + z[3]);
}

void rub_linear_step(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                     uint32_t factors, const float *sums, float slope, float *const *gradients)
{
    RUB_UNUSED(params);
    RUB_UNUSED(factors);
    RUB_UNUSED(sums);
    float *const gradient = gradients[0];
    for (uint32_t e = rows->starts[row]; e < rows->starts[row + 1]; e++) {
        gradient[rows->places[e]] += rows->values != NULL ? slope * rows->values[e] : slope;
    }
    gradient[rows->n_places - 1] += slope;
}
