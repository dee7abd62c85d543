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

static inline void add_into(float *restrict into, const float *restrict x, size_t n)
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
static inline void sgd(float *restrict w, const float *restrict gradient, size_t n, float lr,
                       float decay)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        w[i] -= lr * g;
    }
}

/* Heavy ball (Polyak 1964; Sutskever et al., ICML 2013, in PyTorch's convention):
 * g += wd w; v = mu v + g; w -= lr v. */
static inline void momentum(float *restrict w, float *restrict v, const float *restrict gradient,
                            size_t n, float lr, float decay, float mu)
{
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        v[i] = mu * v[i] + g;
        w[i] -= lr * v[i];
    }
}

/* AdaGrad (Duchi, Hazan & Singer, JMLR 2011): g += wd w; G += g^2; w -= lr g / (sqrt(G) + eps). */
static inline void adagrad(float *restrict w, float *restrict sum, const float *restrict gradient,
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

/* ---- rows: a call for many of them, and the lengths that embeddings have known to the compiler,
 * so that a short row is a few instructions instead of a loop with its two ends ---- */

typedef enum { ADD_INTO, SGD, MOMENTUM, ADAGRAD } kind_t;

typedef struct step {
    float lr, decay, mu, epsilon;
} step_t;

#define ALWAYS_INLINE inline __attribute__((always_inline))

static ALWAYS_INLINE void rows_of_length(kind_t kind, float *const *rows, size_t n_rows, size_t n,
                                         const float *g, step_t s)
{
    for (size_t r = 0; r < n_rows; r++, g += n) {
        float *w = rows[r];
        switch (kind) {
        case ADD_INTO:
            add_into(w, g, n);
            break;
        case SGD:
            sgd(w, g, n, s.lr, s.decay);
            break;
        case MOMENTUM:
            momentum(w, w + n, g, n, s.lr, s.decay, s.mu);
            break;
        default:
            adagrad(w, w + n, g, n, s.lr, s.decay, s.epsilon);
        }
    }
}

static ALWAYS_INLINE void rows_of(kind_t kind, float *const *rows, size_t n_rows, size_t n,
                                  const float *g, step_t s)
{
    switch (n) {
    case 1:
        rows_of_length(kind, rows, n_rows, 1, g, s);
        break;
    case 16:
        rows_of_length(kind, rows, n_rows, 16, g, s);
        break;
    case 32:
        rows_of_length(kind, rows, n_rows, 32, g, s);
        break;
    case 64:
        rows_of_length(kind, rows, n_rows, 64, g, s);
        break;
    default:
        rows_of_length(kind, rows, n_rows, n, g, s);
    }
}

static void add_into_rows(float *const *rows, size_t n_rows, size_t n, const float *g)
{
    rows_of(ADD_INTO, rows, n_rows, n, g, (step_t){0});
}

static void sgd_rows(float *const *rows, size_t n_rows, size_t n, const float *g, float lr,
                     float decay)
{
    rows_of(SGD, rows, n_rows, n, g, (step_t){.lr = lr, .decay = decay});
}

static void momentum_rows(float *const *rows, size_t n_rows, size_t n, const float *g, float lr,
                          float decay, float mu)
{
    rows_of(MOMENTUM, rows, n_rows, n, g, (step_t){.lr = lr, .decay = decay, .mu = mu});
}

static void adagrad_rows(float *const *rows, size_t n_rows, size_t n, const float *g, float lr,
                         float decay, float epsilon)
{
    rows_of(ADAGRAD, rows, n_rows, n, g, (step_t){.lr = lr, .decay = decay, .epsilon = epsilon});
}

#define TEXT(x) #x
#define NAME_OF(x) TEXT(x)
#define TABLE_OF(x) RUB_LOOPS_PASTE(rub_loops_, x)
#define RUB_LOOPS_PASTE(a, b) a##b

extern const rub_loops_t TABLE_OF(RUB_LOOPS_NAME);
const rub_loops_t TABLE_OF(RUB_LOOPS_NAME) = {
    NAME_OF(RUB_LOOPS_NAME), all_finite, add_into,      scale,        sgd, momentum, adagrad, adam,
    add_into_rows,           sgd_rows,   momentum_rows, adagrad_rows,
};
