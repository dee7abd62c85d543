/* Factorization machine of order two (Rendle 2010, equations 1 and 5):
 *
 *     z = b + sum_j w_j x_j + sum_{i<j} <v_i, v_j> x_i x_j
 *
 * and, with s_f = sum_j v_jf x_j, in O(n k) instead of O(n^2 k):
 *
 *     sum_{i<j} <v_i, v_j> x_i x_j = 1/2 sum_f (s_f^2 - sum_j v_jf^2 x_j^2)
 *     d z / d v_jf = x_j (s_f - v_jf x_j)
 *
 * The score leaves s for the derivative. Inner loops run over f, where lines lie side by side. The
 * squares go to one sum per factor modulo LANES: few enough for registers, enough that additions do
 * not wait for each other. */
#include "worker/model/factorization.h"

#include "worker/model/linear_score.h"

#include <string.h>

enum { LANES = 8 };

/* s += v x; squares += (v x)^2 by lanes. */
static inline void add_line(const float *restrict line, float x, uint32_t k, float *restrict s,
                            float squares[LANES])
{
    uint32_t f = 0;
    for (; f + LANES <= k; f += LANES) {
        for (uint32_t l = 0; l < LANES; l++) {
            const float vx = line[f + l] * x;
            s[f + l] += vx;
            squares[l] += vx * vx;
        }
    }
    for (; f < k; f++) {
        const float vx = line[f] * x;
        s[f] += vx;
        squares[0] += vx * vx;
    }
}

float rub_factorization_score(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                              uint32_t factors, float *sums)
{
    float squares[LANES] = {0};
    memset(sums, 0, factors * sizeof *sums);
    for (uint32_t e = rows->starts[row]; e < rows->starts[row + 1]; e++) {
        const float *const line = params[1] + (size_t)rows->places[e] * factors;
        add_line(line, rows->values != NULL ? rows->values[e] : 1.0f, factors, sums, squares);
    }
    float pairs = 0;
    for (uint32_t f = 0; f < factors; f++) {
        pairs += sums[f] * sums[f];
    }
    for (uint32_t l = 0; l < LANES; l++) {
        pairs -= squares[l];
    }
    return rub_linear_score(params, rows, row, factors, sums) + 0.5f * pairs;
}

static inline void step_line(const float *restrict line, float x, float slope, uint32_t k,
                             const float *restrict s, float *restrict gradient)
{
    const float scale = slope * x;
    for (uint32_t f = 0; f < k; f++) {
        gradient[f] += scale * (s[f] - line[f] * x);
    }
}

void rub_factorization_step(const float *const *params, const rub_sparse_rows_t *rows, size_t row,
                            uint32_t factors, const float *sums, float slope,
                            float *const *gradients)
{
    rub_linear_step(params, rows, row, factors, sums, slope, gradients);
    for (uint32_t e = rows->starts[row]; e < rows->starts[row + 1]; e++) {
        const size_t at = (size_t)rows->places[e] * factors;
        step_line(params[1] + at, rows->values != NULL ? rows->values[e] : 1.0f, slope, factors,
                  sums, gradients[1] + at);
    }
}
