/* Loops that a compiler makes vectors of by itself. Their results are journaled as the gradient
 * that was pushed, so that nobody has to come to the same bits again: no replay runs them. */
#include "common/num/compensation.h"

#include <float.h>
#include <math.h>
#include <string.h>

void rub_compensate(float *out, const float *gradient, const float *now, const float *seen,
                    size_t n, float lambda)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i];
        out[i] = g + lambda * g * g * (now[i] - seen[i]);
    }
}

void rub_compensate_adaptive(float *out, const float *gradient, const float *now, const float *seen,
                             float *squares, size_t n, float lambda)
{
    const float keep = RUB_COMPENSATION_KEEPS;
    for (size_t i = 0; i < n; i++) {
        squares[i] = keep * squares[i] + (1.0F - keep) * gradient[i] * gradient[i];
    }
    if (seen == NULL) {
        memmove(out, gradient, n * sizeof(*out));
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i];
        const float rate = lambda / sqrtf(squares[i] + RUB_COMPENSATION_EPSILON);
        out[i] = g + rate * g * g * (now[i] - seen[i]);
    }
}

bool rub_applied_since(float *now, const float *then, size_t n)
{
    unsigned any = 0;
    if (then == NULL) {
        memset(now, 0, n * sizeof(*now));
        return false;
    }
    for (size_t i = 0; i < n; i++) {
        const float since = now[i] - then[i];
        now[i] = fabsf(since) <= FLT_MAX ? since : 0.0F;
        any |= now[i] != 0.0F;
    }
    return any != 0;
}
