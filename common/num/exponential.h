/* exp, exp - 1, the logistic function and tanh for whole layers: branch-free, so that the compiler
 * turns loops over them into vector code, and free of libm, so that every host computes the same
 * bits.
 *
 * Idea: x = n ln 2 + r with |r| <= ln 2 / 2; exp(r) - 1 = r + r^2 P(r) by Cephes' polynomial of
 * degree 5 (S. Moshier, expf.c); then exp(x) = 2^n (1 + e) and exp(x) - 1 = 2^n e + (2^n - 1),
 * which stays exact near 0. Rounding to n adds and takes away 1.5 * 2^23 (round to nearest even).
 * Bound, tested: relative error below 4e-7 for all of them. NaN stays NaN. Arguments outside [-87,
 * 88] count as these ends: exp is 1.6e-38 to 1.7e38, never 0 or infinite. */
#ifndef RUB_EXPONENTIAL_H
#define RUB_EXPONENTIAL_H

#include <stdint.h>
#include <string.h>

/* condition ? a : b by masks. gcc turns the plain form into branches, because a comparison might
 * trap, and a loop with branches is not vectorised. */
static inline float rub_select(int condition, float a, float b)
{
    const uint32_t mask = -(uint32_t)condition;
    uint32_t a_bits;
    uint32_t b_bits;
    memcpy(&a_bits, &a, sizeof a_bits);
    memcpy(&b_bits, &b, sizeof b_bits);
    a_bits = (a_bits & mask) | (b_bits & ~mask);
    memcpy(&a, &a_bits, sizeof a);
    return a;
}

/* exp(x) - 1 = scale * e + (scale - 1); scale is a power of two. */
typedef struct rub_exponential {
    float scale;
    float e;
} rub_exponential_t;

static inline rub_exponential_t rub_exponential(float x)
{
    x = rub_select(x > 88.0f, 88.0f, x); /* NaN passes both: each comparison is false */
    x = rub_select(x < -87.0f, -87.0f, x);
    const float magic = 12582912.0f;
    const float shifted = x * 1.44269504088896341f + magic;
    const float n = shifted - magic;
    /* ln 2 in two parts: n times the first is exact. */
    float r = x - n * 0.693359375f;
    r = r - n * -2.12194440e-4f;
    float p = 1.9875691500e-4f;
    p = p * r + 1.3981999507e-3f;
    p = p * r + 8.3334519073e-3f;
    p = p * r + 4.1665795894e-2f;
    p = p * r + 1.6666665459e-1f;
    p = p * r + 5.0000001201e-1f;
    /* n sits in the low bits of `shifted`; as an exponent it makes 2^n. Unsigned: wraps for NaN,
     * harmless. */
    uint32_t bits;
    memcpy(&bits, &shifted, sizeof bits);
    bits = (bits + 127u) << 23;
    rub_exponential_t result = {.e = p * r * r + r};
    memcpy(&result.scale, &bits, sizeof bits);
    return result;
}

static inline float rub_exp(float x)
{
    const rub_exponential_t v = rub_exponential(x);
    return v.scale * v.e + v.scale;
}

static inline float rub_expm1(float x)
{
    const rub_exponential_t v = rub_exponential(x);
    return v.scale * v.e + (v.scale - 1.0f);
}

static inline float rub_logistic(float x)
{
    return 1.0f / (1.0f + rub_exp(-x));
}

/* tanh(|x|) = -m / (m + 2) with m = exp(-2|x|) - 1; no cancellation anywhere. */
static inline float rub_tanh(float x)
{
    const float m = rub_expm1(-2.0f * __builtin_fabsf(x));
    return __builtin_copysignf(-m / (m + 2.0f), x);
}

#endif
