/* What logistic_loops.h declares, in plain C that gcc and clang vectorise at -O3. Each file that
 * includes this is compiled for one instruction set and defines RUB_LOGISTIC_LOOPS_NAME, the
 * table's name. No reassociation, no fused multiply-add (-ffp-contract=off). */
#include "common/num/exponential.h"
#include "common/num/isa.h"
#include "common/num/logistic_loops.h"

#include <math.h>

/* Greatest and sum are taken in 16 lanes that come together by halves: in one chain each number
 * would wait for the one before it. The lanes are vectors by name, of the set's width, since
 * neither compiler keeps an array of 16 in registers; gcc and clang know them without headers. */
enum { LANES = 16, PART = RUB_ISA_REGISTER_BYTES / 4, PARTS = LANES / PART };
typedef float part_t __attribute__((vector_size(RUB_ISA_REGISTER_BYTES), aligned(4), may_alias));
typedef int32_t mask_t __attribute__((vector_size(RUB_ISA_REGISTER_BYTES), aligned(4), may_alias));

static void residual(float *x, size_t n, float target, float factor)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = factor * (target - rub_logistic(x[i]));
    }
}

static void exponentials(const float *x, size_t n, float offset, float factor, float *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = rub_exp(factor * (x[i] - offset));
    }
}

/* a if b is NaN. */
static inline float greater(float a, float b)
{
    return b > a ? b : a;
}

static float greatest(const float *x, size_t n)
{
    float all = -INFINITY, last[LANES];
    size_t i = 0;
    if (n >= LANES) {
        part_t lanes[PARTS];
        for (size_t p = 0; p < PARTS; p++) {
            lanes[p] = all - (part_t){0};
        }
        for (; i + LANES <= n; i += LANES) {
            for (size_t p = 0; p < PARTS; p++) {
                const part_t next = *(const part_t *)(x + i + p * PART);
                const mask_t is_greater = next > lanes[p];
                lanes[p] = (part_t)(((mask_t)next & is_greater) | ((mask_t)lanes[p] & ~is_greater));
            }
        }
        memcpy(last, lanes, sizeof(last));
        for (size_t k = 0; k < 8; k++) {
            last[k] = greater(last[k], last[8 + k]);
        }
        for (size_t k = 0; k < 4; k++) {
            last[k] = greater(last[k], last[4 + k]);
        }
        all = greater(greater(last[0], last[2]), greater(last[1], last[3]));
    }
    for (; i < n; i++) {
        all = greater(all, x[i]);
    }
    return all;
}

static float sum(const float *x, size_t n)
{
    float all = 0, last[LANES];
    size_t i = 0;
    if (n >= LANES) {
        part_t lanes[PARTS] = {{0}};
        for (; i + LANES <= n; i += LANES) {
            for (size_t p = 0; p < PARTS; p++) {
                lanes[p] += *(const part_t *)(x + i + p * PART);
            }
        }
        memcpy(last, lanes, sizeof(last));
        for (size_t k = 0; k < 8; k++) {
            last[k] += last[8 + k];
        }
        for (size_t k = 0; k < 4; k++) {
            last[k] += last[4 + k];
        }
        all = (last[0] + last[2]) + (last[1] + last[3]);
    }
    for (; i < n; i++) {
        all += x[i];
    }
    return all;
}

static void weighted_residual(float *restrict x, const float *weights, size_t n, float factor,
                              float weight)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = factor * (0.0f - rub_logistic(x[i])) * (weights[i] * weight);
    }
}

#define TEXT(x) #x
#define NAME_OF(x) TEXT(x)
#define RUB_LOGISTIC_PASTE(a, b) a##b
#define TABLE_OF(x) RUB_LOGISTIC_PASTE(rub_logistic_loops_, x)

extern const rub_logistic_loops_t TABLE_OF(RUB_LOGISTIC_LOOPS_NAME);
const rub_logistic_loops_t TABLE_OF(RUB_LOGISTIC_LOOPS_NAME) = {
    NAME_OF(RUB_LOGISTIC_LOOPS_NAME), residual, exponentials, greatest, sum, weighted_residual};
