/* What distance_loops.h declares, in plain C that gcc and clang vectorise at -O3. Each file that
 * includes this is compiled for one instruction set and defines RUB_DISTANCE_LOOPS_NAME, the
 * table's name.
 *
 * Idea: a sum over a vector's numbers can not be vectorised without changing its order; so
 * distances take points in columns and add to n sums side by side, four numbers of the vector at a
 * time, and gradients take them in rows, where every number has a sum of its own. Invariant: each
 * sum's order is that of the lines below, whatever the registers' width. No reassociation, no fused
 * multiply-add (-ffp-contract=off). */
#include "common/num/distance_loops.h"

#include <math.h>

/* Far below any difference of two weights that is not 0, far above float32's least. */
#define LEAST 1e-20f

static void l1(const float *query, const float *columns, size_t n, size_t width,
               float *restrict out)
{
    size_t k = 0;
    for (size_t j = 0; j < n; j++) {
        out[j] = 0;
    }
    for (; k + 4 <= width; k += 4) {
        const float *p = columns + k * n;
        const float a = query[k], b = query[k + 1], c = query[k + 2], d = query[k + 3];
        for (size_t j = 0; j < n; j++) {
            out[j] =
                (((out[j] + fabsf(a - p[j])) + fabsf(b - p[n + j])) + fabsf(c - p[2 * n + j])) +
                fabsf(d - p[3 * n + j]);
        }
    }
    for (; k < width; k++) {
        for (size_t j = 0; j < n; j++) {
            out[j] += fabsf(query[k] - columns[k * n + j]);
        }
    }
}

static void modulus(const float *query, const float *columns, size_t n, size_t width,
                    float *restrict out)
{
    const size_t half = width / 2;
    size_t k = 0;
    for (size_t j = 0; j < n; j++) {
        out[j] = 0;
    }
    for (; k + 2 <= half; k += 2) {
        const float *p = columns + k * n, *i = columns + (half + k) * n;
        const float a = query[k], b = query[k + 1], c = query[half + k], d = query[half + k + 1];
        for (size_t j = 0; j < n; j++) {
            const float x = a - p[j], y = c - i[j], u = b - p[n + j], v = d - i[n + j];
            out[j] = (out[j] + sqrtf(x * x + y * y)) + sqrtf(u * u + v * v);
        }
    }
    for (; k < half; k++) {
        for (size_t j = 0; j < n; j++) {
            const float x = query[k] - columns[k * n + j];
            const float y = query[half + k] - columns[(half + k) * n + j];
            out[j] += sqrtf(x * x + y * y);
        }
    }
}

static void l1_gradient(const float *query, const float *rows, const float *factors, size_t n,
                        size_t width, float *restrict query_gradient, float *restrict row_gradients)
{
    size_t j = 0;
    for (; j + 2 <= n; j += 2) {
        const float *p = rows + j * width, *q = p + width;
        float *restrict g = row_gradients + j * width, *restrict h = g + width;
        const float a = factors[j], b = factors[j + 1];
        for (size_t k = 0; k < width; k++) {
            const float x = query[k] - p[k] < 0 ? -a : a;
            const float y = query[k] - q[k] < 0 ? -b : b;
            query_gradient[k] = (query_gradient[k] + x) + y;
            g[k] -= x;
            h[k] -= y;
        }
    }
    for (; j < n; j++) {
        const float *p = rows + j * width;
        float *restrict g = row_gradients + j * width;
        for (size_t k = 0; k < width; k++) {
            const float x = query[k] - p[k] < 0 ? -factors[j] : factors[j];
            query_gradient[k] += x;
            g[k] -= x;
        }
    }
}

static void modulus_gradient(const float *query, const float *rows, const float *factors, size_t n,
                             size_t width, float *restrict query_gradient,
                             float *restrict row_gradients)
{
    const size_t half = width / 2;
    float *restrict re = query_gradient, *restrict im = query_gradient + half;
    for (size_t j = 0; j < n; j++) {
        const float *p = rows + j * width, *i = p + half;
        float *restrict g = row_gradients + j * width, *restrict h = g + half;
        const float factor = factors[j];
        for (size_t k = 0; k < half; k++) {
            const float x = query[k] - p[k], y = query[half + k] - i[k];
            const float scale = factor / (sqrtf(x * x + y * y) + LEAST);
            re[k] += scale * x;
            im[k] += scale * y;
            g[k] -= scale * x;
            h[k] -= scale * y;
        }
    }
}

#define TEXT(x) #x
#define NAME_OF(x) TEXT(x)
#define RUB_DISTANCE_PASTE(a, b) a##b
#define TABLE_OF(x) RUB_DISTANCE_PASTE(rub_distance_loops_, x)

extern const rub_distance_loops_t TABLE_OF(RUB_DISTANCE_LOOPS_NAME);
const rub_distance_loops_t TABLE_OF(RUB_DISTANCE_LOOPS_NAME) = {
    .name = NAME_OF(RUB_DISTANCE_LOOPS_NAME),
    .l1 = l1,
    .modulus = modulus,
    .l1_gradient = l1_gradient,
    .modulus_gradient = modulus_gradient,
};
