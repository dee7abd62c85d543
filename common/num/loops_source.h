/* What loops.h declares, in plain C that gcc and clang vectorise at -O3. Each file that includes
 * this is compiled for one instruction set and defines RUB_LOOPS_NAME, the table's name.
 *
 * Invariant: n values are n independent values with the same operations in the same order for each,
 * so results do not depend on how they are cut into rows, blocks, messages or vector registers. No
 * reassociation, no fused multiply-add (-ffp-contract=off). g is the gradient, w the weight. */
#include "common/num/loops.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

/* IEEE 754: a float32 is NaN or infinite when its exponent bits are all ones. Adding one to the
 * exponent field of such a number carries into bit 31, of no other: OR the sums, look at that bit
 * once. */
static bool all_finite(const float *x, size_t n)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        seen |= (bits & UINT32_C(0x7f800000)) + UINT32_C(0x00800000);
    }
    return (seen >> 31) == 0;
}

static void add_into(float *restrict into, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        into[i] += x[i];
    }
}

static void scale(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}

/* Stochastic gradient descent (Robbins & Monro 1951): g += wd w; w -= lr g. */
static void sgd(float *restrict w, const float *restrict gradient, size_t n, float lr, float decay)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        w[i] -= lr * g;
    }
}

/* Heavy ball (Polyak 1964; Sutskever et al., ICML 2013, in PyTorch's convention):
 * g += wd w; v = mu v + g; w -= lr v. */
static void momentum(float *restrict w, float *restrict v, const float *restrict gradient, size_t n,
                     float lr, float decay, float mu)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        v[i] = mu * v[i] + g;
        w[i] -= lr * v[i];
    }
}

/* AdaGrad (Duchi, Hazan & Singer, JMLR 2011): g += wd w; G += g^2; w -= lr g / (sqrt(G) + eps). */
static void adagrad(float *restrict w, float *restrict sum, const float *restrict gradient,
                    size_t n, float lr, float decay, float epsilon)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        sum[i] += g * g;
        w[i] -= lr * (g / (sqrtf(sum[i]) + epsilon));
    }
}

/* Adam (Kingma & Ba, ICLR 2015, algorithm 1): g += wd w; m = b1 m + (1 - b1) g;
 * v = b2 v + (1 - b2) g^2; w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps). */
static void adam(float *restrict w, float *restrict m, float *restrict v,
                 const float *restrict gradient, size_t n, const rub_adam_step_t *step)
{
    const rub_adam_step_t s = *step;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + s.decay * w[i];
        m[i] = s.beta1 * m[i] + s.rest1 * g;
        v[i] = s.beta2 * v[i] + s.rest2 * (g * g);
        w[i] -= s.rate * (m[i] / (sqrtf(v[i]) / s.correction2 + s.epsilon));
    }
}

#define TEXT(x) #x
#define NAME_OF(x) TEXT(x)
#define TABLE_OF(x) RUB_LOOPS_PASTE(rub_loops_, x)
#define RUB_LOOPS_PASTE(a, b) a##b

extern const rub_loops_t TABLE_OF(RUB_LOOPS_NAME);
const rub_loops_t TABLE_OF(RUB_LOOPS_NAME) = {
    NAME_OF(RUB_LOOPS_NAME), all_finite, add_into, scale, sgd, momentum, adagrad, adam,
};
