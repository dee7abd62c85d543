/* What logistic_loops.h declares, in plain C that gcc and clang vectorise at -O3. Each file that
 * includes this is compiled for one instruction set and defines RUB_LOGISTIC_LOOPS_NAME, the
 * table's name. No reassociation, no fused multiply-add (-ffp-contract=off). */
#include "common/num/exponential.h"
#include "common/num/logistic_loops.h"

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

#define TEXT(x) #x
#define NAME_OF(x) TEXT(x)
#define RUB_LOGISTIC_PASTE(a, b) a##b
#define TABLE_OF(x) RUB_LOGISTIC_PASTE(rub_logistic_loops_, x)

extern const rub_logistic_loops_t TABLE_OF(RUB_LOGISTIC_LOOPS_NAME);
const rub_logistic_loops_t TABLE_OF(RUB_LOGISTIC_LOOPS_NAME) = {NAME_OF(RUB_LOGISTIC_LOOPS_NAME),
                                                                residual, exponentials};
