/* What loops.h declares, in plain C that gcc and clang vectorise at -O3. Each file that includes
 * this is compiled for one instruction set and defines RUB_LOOPS_NAME, the table's name.
 *
 * Invariant: n values are n independent values with the same operations in the same order for each,
 * so results do not depend on how they are cut into messages or vector registers; the one sum, over
 * a row or block, has its order written down. No reassociation, no fused multiply-add
 * (-ffp-contract=off). g is the gradient, w the weight. */
#include "common/num/loops.h"

#include <math.h>
#include <stdint.h>
#include <string.h>

#define ALWAYS_INLINE inline __attribute__((always_inline))
enum { LANES = 16 }; /* of a sum */

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

static void clamp(float *x, size_t n, float most)
{
    for (size_t i = 0; i < n; i++) {
        const float below = x[i] > most ? most : x[i];
        x[i] = below < -most ? -most : below;
    }
}

/* Value i goes to lane i mod 16, and the lanes are added up in halves: every instruction set has
 * the same order. */
static double sum_of_squares(const float *x, size_t n)
{
    double lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            lanes[k] += (double)x[i + k] * (double)x[i + k];
        }
    }
    for (size_t k = 0; i + k < n; k++) {
        lanes[k] += (double)x[i + k] * (double)x[i + k];
    }
    for (size_t half = LANES / 2; half > 0; half /= 2) {
        for (size_t k = 0; k < half; k++) {
            lanes[k] += lanes[k + half];
        }
    }
    return lanes[0];
}

/* Stochastic gradient descent (Robbins & Monro 1951): g += wd w; w -= lr g. */
static ALWAYS_INLINE void sgd(float *restrict w, const float *restrict gradient, size_t n,
                              const rub_step_t *s)
{
    const float lr = s->lr, decay = s->decay;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        w[i] -= lr * g;
    }
}

/* Heavy ball (Polyak 1964; Sutskever et al., ICML 2013, in PyTorch's convention):
 * g += wd w; v = mu v + g; w -= lr v. */
static ALWAYS_INLINE void momentum(float *restrict w, float *restrict v,
                                   const float *restrict gradient, size_t n, const rub_step_t *s)
{
    const float lr = s->lr, decay = s->decay, mu = s->mu;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        v[i] = mu * v[i] + g;
        w[i] -= lr * v[i];
    }
}

/* Nesterov's momentum (1983; as momentum, with a look ahead): g += wd w; v = mu v + g;
 * w -= lr (g + mu v). */
static ALWAYS_INLINE void nesterov(float *restrict w, float *restrict v,
                                   const float *restrict gradient, size_t n, const rub_step_t *s)
{
    const float lr = s->lr, decay = s->decay, mu = s->mu;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        v[i] = mu * v[i] + g;
        w[i] -= lr * (g + mu * v[i]);
    }
}

/* AdaGrad (Duchi, Hazan & Singer, JMLR 2011): g += wd w; G += g^2; w -= lr g / (sqrt(G) + eps). */
static ALWAYS_INLINE void adagrad(float *restrict w, float *restrict sum,
                                  const float *restrict gradient, size_t n, const rub_step_t *s)
{
    const float lr = s->lr, decay = s->decay, epsilon = s->epsilon;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        sum[i] += g * g;
        w[i] -= lr * (g / (sqrtf(sum[i]) + epsilon));
    }
}

/* The same of a row's gradient, in float32. */
static ALWAYS_INLINE float row_squares(const float *restrict w, const float *restrict gradient,
                                       size_t n, float decay)
{
    float lanes[LANES] = {0};
    size_t i = 0;
    for (; i + LANES <= n; i += LANES) {
        for (size_t k = 0; k < LANES; k++) {
            const float g = gradient[i + k] + decay * w[i + k];
            lanes[k] += g * g;
        }
    }
    for (size_t k = 0; i + k < n; k++) {
        const float g = gradient[i + k] + decay * w[i + k];
        lanes[k] += g * g;
    }
    float eight[LANES / 2], four[LANES / 4];
    for (size_t k = 0; k < LANES / 2; k++) {
        eight[k] = lanes[k] + lanes[k + LANES / 2];
    }
    for (size_t k = 0; k < LANES / 4; k++) {
        four[k] = eight[k] + eight[k + LANES / 4];
    }
    return (four[0] + four[2]) + (four[1] + four[3]);
}

/* AdaGrad with one accumulator for a row (PyTorch-BigGraph, MLSys 2019; FBGEMM's row-wise AdaGrad):
 * g += wd w; G += mean(g^2) over the row; w -= lr / (sqrt(G) + eps) g. */
static ALWAYS_INLINE void rowwise_adagrad(float *restrict w, float *restrict sum,
                                          const float *restrict gradient, size_t n,
                                          const rub_step_t *s)
{
    const float decay = s->decay;
    *sum += row_squares(w, gradient, n, decay) / (float)n;
    const float rate = s->lr / (sqrtf(*sum) + s->epsilon);
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        w[i] -= rate * g;
    }
}

/* RMSProp (Tieleman & Hinton, Coursera lecture 6.5, 2012; not centered, no momentum): g += wd w;
 * v = rho v + (1 - rho) g^2; w -= lr g / (sqrt(v) + eps). */
static ALWAYS_INLINE void rmsprop(float *restrict w, float *restrict v,
                                  const float *restrict gradient, size_t n, const rub_step_t *s)
{
    const float lr = s->lr, decay = s->decay, epsilon = s->epsilon;
    const float rho = s->beta2, rest = s->rest2;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        v[i] = rho * v[i] + rest * (g * g);
        w[i] -= lr * (g / (sqrtf(v[i]) + epsilon));
    }
}

/* AdaDelta (Zeiler 2012): g += wd w; v = rho v + (1 - rho) g^2; d = sqrt(u + eps) / sqrt(v + eps)
 * g; u = rho u + (1 - rho) d^2; w -= lr d. */
static ALWAYS_INLINE void adadelta(float *restrict w, float *restrict v, float *restrict u,
                                   const float *restrict gradient, size_t n, const rub_step_t *s)
{
    const float lr = s->lr, decay = s->decay, epsilon = s->epsilon;
    const float rho = s->beta2, rest = s->rest2;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        v[i] = rho * v[i] + rest * (g * g);
        const float d = sqrtf(u[i] + epsilon) / sqrtf(v[i] + epsilon) * g;
        u[i] = rho * u[i] + rest * (d * d);
        w[i] -= lr * d;
    }
}

/* FTRL-proximal with per-coordinate rates (McMahan et al., KDD 2013, algorithm 1; its alpha is lr):
 * s = (sqrt(n + g^2) - sqrt(n)) / lr; z += g - s w; n += g^2; then w = 0 where |z| <= l1, else
 * w = -(z - sign(z) l1) / ((beta + sqrt(n)) / lr + l2). */
static ALWAYS_INLINE void ftrl(float *restrict w, float *restrict z, float *restrict sum,
                               const float *restrict gradient, size_t n, const rub_step_t *s)
{
    const float lr = s->lr, l1 = s->l1, l2 = s->l2, beta = s->beta;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i];
        const float before = sqrtf(sum[i]);
        sum[i] += g * g;
        const float root = sqrtf(sum[i]);
        z[i] += g - (root - before) / lr * w[i];
        const float x = (copysignf(l1, z[i]) - z[i]) / ((beta + root) / lr + l2);
        /* A choice by bits: compilers would leave the division out where it is not wanted, and with
         * that branch the vector loop, too. */
        uint32_t bits;
        memcpy(&bits, &x, sizeof bits);
        bits &= fabsf(z[i]) <= l1 ? 0 : UINT32_MAX;
        memcpy(&w[i], &bits, sizeof bits);
    }
}

/* Adam (Kingma & Ba, ICLR 2015, algorithm 1): g += wd w; m = b1 m + (1 - b1) g;
 * v = b2 v + (1 - b2) g^2; w -= lr / (1 - b1^t) * m / (sqrt(v) / sqrt(1 - b2^t) + eps). */
static void adam(float *restrict w, float *restrict m, float *restrict v,
                 const float *restrict gradient, size_t n, const rub_step_t *step)
{
    const rub_step_t s = *step;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + s.decay * w[i];
        m[i] = s.beta1 * m[i] + s.rest1 * g;
        v[i] = s.beta2 * v[i] + s.rest2 * (g * g);
        w[i] -= s.rate * (m[i] / (sqrtf(v[i]) / s.correction2 + s.epsilon));
    }
}

/* AdamW (Loshchilov & Hutter, ICLR 2019, algorithm 2): w -= lr wd w, then Adam without decay. */
static void adamw(float *restrict w, float *restrict m, float *restrict v,
                  const float *restrict gradient, size_t n, const rub_step_t *step)
{
    const rub_step_t s = *step;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i];
        m[i] = s.beta1 * m[i] + s.rest1 * g;
        v[i] = s.beta2 * v[i] + s.rest2 * (g * g);
        w[i] = w[i] * s.keep - s.rate * (m[i] / (sqrtf(v[i]) / s.correction2 + s.epsilon));
    }
}

/* AMSGrad (Reddi, Kale & Kumar, ICLR 2018; in PyTorch's form, with bias correction): Adam that
 * divides by the greatest v so far. The comparison lets a NaN through. */
static void amsgrad(float *restrict w, float *restrict m, float *restrict v, float *restrict most,
                    const float *restrict gradient, size_t n, const rub_step_t *step)
{
    const rub_step_t s = *step;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + s.decay * w[i];
        m[i] = s.beta1 * m[i] + s.rest1 * g;
        v[i] = s.beta2 * v[i] + s.rest2 * (g * g);
        most[i] = v[i] <= most[i] ? most[i] : v[i];
        w[i] -= s.rate * (m[i] / (sqrtf(most[i]) / s.correction2 + s.epsilon));
    }
}

/* AdaptiveRevision (McMahan & Streeter, NIPS 2014), with b = since, the sum of what was
 * applied to the weight since the gradient's worker read it: g += wd w; e' = 1 / (sqrt(y) + eps);
 * z += g^2 + 2 g b; y = max(y, z); e = 1 / (sqrt(y) + eps); w -= lr e g; w += lr (e' - e) b;
 * s += g, so that who knew s at its read has b. z and y begin at 0, not at 1: without delays it is
 * AdaGrad, in the same operations. A z that has overflown into a NaN leaves y, and so w, alone. */
static ALWAYS_INLINE void adarevision(float *restrict w, float *restrict sum, float *restrict z,
                                      float *restrict most, const float *restrict gradient,
                                      const float *restrict since, size_t n, const rub_step_t *s)
{
    const float lr = s->lr, decay = s->decay, epsilon = s->epsilon;
    if (since == NULL) {
        for (size_t i = 0; i < n; i++) {
            const float g = gradient[i] + decay * w[i];
            z[i] += g * g;
            most[i] = z[i] > most[i] ? z[i] : most[i];
            w[i] -= lr * (g / (sqrtf(most[i]) + epsilon));
            sum[i] += g;
        }
        return;
    }
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i] + decay * w[i];
        const float b = since[i];
        const float before = sqrtf(most[i]) + epsilon;
        z[i] += g * g + 2.0f * g * b;
        most[i] = z[i] > most[i] ? z[i] : most[i];
        const float now = sqrtf(most[i]) + epsilon;
        w[i] -= lr * (g / now);
        w[i] += lr * (b / before - b / now);
        sum[i] += g;
    }
}

/* Of u = m / (1 - b1^t) / (sqrt(v) / sqrt(1 - b2^t) + eps) + wd w, a piece of it at a time. */
static double lamb_squares(const float *w, const float *m, const float *v, size_t n,
                           const rub_step_t *s)
{
    enum { PIECE = 256 };
    float u[PIECE];
    double sum = 0;
    for (size_t from = 0; from < n; from += PIECE) {
        const size_t count = n - from < PIECE ? n - from : PIECE;
        for (size_t i = 0; i < count; i++) {
            const float root = sqrtf(v[from + i]) / s->correction2 + s->epsilon;
            u[i] = m[from + i] / s->correction1 / root + s->decay * w[from + i];
        }
        sum += sum_of_squares(u, count);
    }
    return sum;
}

/* LAMB (You et al., ICLR 2020, algorithm 2, phi(z) = z): m and v as Adam's; w -= lr |w| / |u| u
 * with the norms of all n weights, which are a tensor; where one of them is 0, w -= lr u. A NaN
 * comes through. */
static void lamb(float *restrict w, float *restrict m, float *restrict v,
                 const float *restrict gradient, size_t n, const rub_step_t *step)
{
    const rub_step_t s = *step;
    for (size_t i = 0; i < n; i++) {
        const float g = gradient[i];
        m[i] = s.beta1 * m[i] + s.rest1 * g;
        v[i] = s.beta2 * v[i] + s.rest2 * (g * g);
    }
    const double w_squares = sum_of_squares(w, n), u_squares = lamb_squares(w, m, v, n, &s);
    const bool trusted = w_squares != 0 && u_squares != 0;
    const float rate = s.lr * (trusted ? (float)sqrt(w_squares / u_squares) : 1.0f);
    for (size_t i = 0; i < n; i++) {
        const float root = sqrtf(v[i]) / s.correction2 + s.epsilon;
        w[i] -= rate * (m[i] / s.correction1 / root + s.decay * w[i]);
    }
}

/* ---- one door for all of them ---- */

static ALWAYS_INLINE void step_of(rub_optimizer_kind_t kind, float *w, float *slots, const float *g,
                                  size_t n, const rub_step_t *s)
{
    switch (kind) {
    case RUB_SGD:
        sgd(w, g, n, s);
        break;
    case RUB_ADD: /* deltas that a worker computed itself: w += g */
        add_into(w, g, n);
        break;
    case RUB_MOMENTUM:
        momentum(w, slots, g, n, s);
        break;
    case RUB_ADAGRAD:
        adagrad(w, slots, g, n, s);
        break;
    case RUB_ADAM:
        adam(w, slots, slots + n, g, n, s);
        break;
    case RUB_NESTEROV:
        nesterov(w, slots, g, n, s);
        break;
    case RUB_RMSPROP:
        rmsprop(w, slots, g, n, s);
        break;
    case RUB_ADADELTA:
        adadelta(w, slots, slots + n, g, n, s);
        break;
    case RUB_ADAMW:
        adamw(w, slots, slots + n, g, n, s);
        break;
    case RUB_AMSGRAD:
        amsgrad(w, slots, slots + n, slots + 2 * n, g, n, s);
        break;
    case RUB_ROWWISE_ADAGRAD:
        rowwise_adagrad(w, slots, g, n, s);
        break;
    case RUB_FTRL:
        ftrl(w, slots, slots + n, g, n, s);
        break;
    case RUB_LAMB:
        lamb(w, slots, slots + n, g, n, s);
        break;
    case RUB_ADAREVISION:
        adarevision(w, slots, slots + n, slots + 2 * n, g, s->since, n, s);
        break;
    }
}

/* Rows: a call for many of them, and the lengths that embeddings have known to the compiler, so
 * that a short row is a few instructions instead of a loop with its two ends. */
static ALWAYS_INLINE void rows_of_length(rub_optimizer_kind_t kind, float *const *rows,
                                         size_t n_rows, size_t n, const float *g, rub_step_t *s)
{
    for (size_t r = 0; r < n_rows; r++, g += n) {
        step_of(kind, rows[r], rows[r] + n, g, n, s);
        s->since = s->since ? s->since + n : NULL;
    }
}

static ALWAYS_INLINE void rows_of(rub_optimizer_kind_t kind, float *const *rows, size_t n_rows,
                                  size_t n, const float *g, const rub_step_t *step)
{
    rub_step_t s = *step; /* nothing that the rows' stores could change */
    switch (n) {
    case 1:
        rows_of_length(kind, rows, n_rows, 1, g, &s);
        break;
    case 16:
        rows_of_length(kind, rows, n_rows, 16, g, &s);
        break;
    case 32:
        rows_of_length(kind, rows, n_rows, 32, g, &s);
        break;
    case 64:
        rows_of_length(kind, rows, n_rows, 64, g, &s);
        break;
    default:
        rows_of_length(kind, rows, n_rows, n, g, &s);
    }
}

/* The optimizers, by number; TOGETHER those that also take rows together. */
/* clang-format off */
#define TOGETHER(ROW) \
    ROW(RUB_SGD) ROW(RUB_ADD) ROW(RUB_MOMENTUM) ROW(RUB_NESTEROV) ROW(RUB_ADAGRAD) \
    ROW(RUB_ROWWISE_ADAGRAD) ROW(RUB_RMSPROP) ROW(RUB_ADADELTA) ROW(RUB_FTRL) \
    ROW(RUB_ADAREVISION)
#define EVERY(ROW) TOGETHER(ROW) ROW(RUB_ADAM) ROW(RUB_ADAMW) ROW(RUB_AMSGRAD) \
    ROW(RUB_LAMB)
/* clang-format on */

#define STEP_FUNCTION(KIND)                                                                        \
    static void step_##KIND(float *w, float *slots, const float *g, size_t n, const rub_step_t *s) \
    {                                                                                              \
        if (n > 0) {                                                                               \
            step_of(KIND, w, slots, g, n, s);                                                      \
        }                                                                                          \
    }
#define ROWS_FUNCTION(KIND)                                                                        \
    static void rows_##KIND(float *const *rows, size_t n_rows, size_t n, const float *g,           \
                            const rub_step_t *s)                                                   \
    {                                                                                              \
        rows_of(KIND, rows, n_rows, n, g, s);                                                      \
    }
#define STEP_ROW(KIND) [KIND] = step_##KIND,
#define ROWS_ROW(KIND) [KIND] = rows_##KIND,

EVERY(STEP_FUNCTION)
TOGETHER(ROWS_FUNCTION)

#define TEXT(x) #x
#define NAME_OF(x) TEXT(x)
#define TABLE_OF(x) RUB_LOOPS_PASTE(rub_loops_, x)
#define RUB_LOOPS_PASTE(a, b) a##b

extern const rub_loops_t TABLE_OF(RUB_LOOPS_NAME);
const rub_loops_t TABLE_OF(RUB_LOOPS_NAME) = {
    .name = NAME_OF(RUB_LOOPS_NAME),
    .all_finite = all_finite,
    .add_into = add_into,
    .scale = scale,
    .clamp = clamp,
    .sum_of_squares = sum_of_squares,
    .step = {EVERY(STEP_ROW)},
    .step_rows = {TOGETHER(ROWS_ROW)},
};
