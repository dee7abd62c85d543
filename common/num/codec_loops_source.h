/* What codec_loops.h declares, in plain C that gcc and clang vectorise at -O3. Each file that
 * includes this is compiled for one instruction set and defines RUB_CODEC_LOOPS_NAME.
 *
 * Invariant: a value's bytes do not depend on its place in a vector register. Conversions work on
 * the bits and select instead of branching; only the subnormals of binary16 need the floating-point
 * unit, to round for them. */
#include "common/base/rng.h"
#include "common/num/codec_loops.h"

#include <string.h>

#define SIGN UINT32_C(0x80000000)
/* Exponent all ones; above it: NaN. Without the sign it is an int32. */
#define INFINITE 0x7f800000

static inline uint32_t bits_of(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float float_of(uint32_t bits)
{
    float x;
    memcpy(&x, &bits, sizeof x);
    return x;
}

/* Stores a half for the value with these bits: finite where it is, else infinity, or that with the
 * bit quiet for a NaN; and the sign. */
static inline void put_half(uint32_t bits, int32_t finite, int32_t infinity, int32_t quiet,
                            uint8_t *out)
{
    const int32_t size = (int32_t)(bits & ~SIGN);
    const int32_t other = infinity + (size > INFINITE ? quiet : 0);
    const uint32_t half = (uint32_t)(size < INFINITE ? finite : other) | (bits & SIGN) >> 16;
    const uint16_t stored = (uint16_t)half;
    memcpy(out, &stored, sizeof stored);
}

/* ---- bf16: the upper half, to nearest even ---- */

static void to_bf16(const float *restrict x, size_t n, uint8_t *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of(x[i]);
        const int32_t rounded = (int32_t)((bits & ~SIGN) + 0x7fff + (bits >> 16 & 1)) >> 16;
        put_half(bits, rounded > 0x7f7f ? 0x7f7f : rounded, 0x7f80, 0x40, out + 2 * i);
    }
}

static void from_bf16(const uint8_t *restrict in, size_t n, float *restrict x)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, in + 2 * i, sizeof half);
        x[i] = float_of((uint32_t)half << 16);
    }
}

/* ---- binary16 ---- */

/* Normal numbers: move the exponent's bias (127 to 15) and round the 13 bits that go. Below 2^-14:
 * adding 0.5 leaves the value in units of 2^-24 in the lowest bits, rounded by the addition. */
static void to_f16(const float *restrict x, size_t n, uint8_t *restrict out)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = bits_of(x[i]);
        const int32_t size = (int32_t)(bits & ~SIGN);
        const int32_t rounded = (size - ((127 - 15) << 23) + 0xfff + (size >> 13 & 1)) >> 13;
        const int32_t normal = rounded > 0x7bff ? 0x7bff : rounded;
        const int32_t small = (int32_t)(bits_of(float_of((uint32_t)size) + 0.5F) - bits_of(0.5F));
        put_half(bits, size < 0x38800000 ? small : normal, 0x7c00, 0x200, out + 2 * i);
    }
}

static void from_f16(const uint8_t *restrict in, size_t n, float *restrict x)
{
    for (size_t i = 0; i < n; i++) {
        uint16_t half;
        memcpy(&half, in + 2 * i, sizeof half);
        const int32_t size = half & 0x7fff;
        const int32_t normal = (size << 13) + ((127 - 15) << 23);
        /* 2^-14 with the ten bits behind it, less 2^-14 */
        const float low = float_of((uint32_t)(size << 13) + UINT32_C(0x38800000)) - 0x1p-14F;
        const int32_t small = (int32_t)bits_of(low);
        const int32_t huge = normal + ((255 - 31 - (127 - 15)) << 23);
        const int32_t value = size >= 0x7c00 ? huge : size < 0x400 ? small : normal;
        x[i] = float_of((uint32_t)value | (uint32_t)(half & 0x8000) << 16);
    }
}

/* ---- int8 ---- */

static uint32_t greatest(const float *x, size_t n)
{
    uint32_t most = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t size = bits_of(x[i]) & ~SIGN;
        most = size > most ? size : most;
    }
    return most;
}

enum { BLOCKS = 16, DRAWS = 8 * BLOCKS };

/* words[w][b]: word w of rub_philox(seed, stream, first + b). The same rounds, BLOCKS at a time. */
static void draw(uint64_t seed, uint64_t stream, uint64_t first, uint32_t words[4][BLOCKS])
{
    uint32_t c0[BLOCKS], c1[BLOCKS], c2[BLOCKS], c3[BLOCKS];
    for (unsigned b = 0; b < BLOCKS; b++) {
        c0[b] = (uint32_t)(first + b);
        c1[b] = (uint32_t)((first + b) >> 32);
        c2[b] = (uint32_t)stream;
        c3[b] = (uint32_t)(stream >> 32);
    }
    uint32_t k0 = (uint32_t)seed;
    uint32_t k1 = (uint32_t)(seed >> 32);
    for (int round = 0; round < 10; round++) {
        for (unsigned b = 0; b < BLOCKS; b++) {
            const uint64_t p0 = UINT64_C(0xD2511F53) * c0[b];
            const uint64_t p1 = UINT64_C(0xCD9E8D57) * c2[b];
            c0[b] = (uint32_t)(p1 >> 32) ^ c1[b] ^ k0;
            c1[b] = (uint32_t)p1;
            c2[b] = (uint32_t)(p0 >> 32) ^ c3[b] ^ k1;
            c3[b] = (uint32_t)p0;
        }
        k0 += UINT32_C(0x9E3779B9);
        k1 += UINT32_C(0xBB67AE85);
    }
    memcpy(words[0], c0, sizeof c0);
    memcpy(words[1], c1, sizeof c1);
    memcpy(words[2], c2, sizeof c2);
    memcpy(words[3], c3, sizeof c3);
}

/* floor(v + u) with v in [-127, 127] and u a multiple of 2^-16: 128 + u is exact, adding v rounds
 * to a multiple of 2^-16 at worst, and cutting off the fraction of a number above zero is its
 * floor. So E[q] = v but for that rounding, at most 2^-17. */
static inline uint8_t quantum(float x, float scale, uint32_t sixteen)
{
    const float u = (float)(int32_t)sixteen * 0x1p-16F;
    const int32_t q = (int32_t)(x / scale + (128.0F + u)) - 128;
    return (uint8_t)(int8_t)(q > 127 ? 127 : q < -127 ? -127 : q);
}

static void to_int8(const float *restrict x, size_t n, float scale, uint64_t seed, uint64_t stream,
                    uint8_t *restrict out)
{
    uint32_t words[4][BLOCKS];
    for (size_t at = 0; at < n; at += DRAWS) {
        draw(seed, stream, at / DRAWS * BLOCKS, words);
        if (n - at >= DRAWS) {
            for (unsigned w = 0; w < 4; w++) {
                for (unsigned b = 0; b < BLOCKS; b++) {
                    const size_t i = at + w * BLOCKS + b;
                    out[i] = quantum(x[i], scale, words[w][b] & 0xffff);
                }
                for (unsigned b = 0; b < BLOCKS; b++) {
                    const size_t i = at + DRAWS / 2 + w * BLOCKS + b;
                    out[i] = quantum(x[i], scale, words[w][b] >> 16);
                }
            }
        } else {
            for (size_t i = at; i < n; i++) {
                const size_t place = (i - at) % (DRAWS / 2);
                const uint32_t word = words[place / BLOCKS][place % BLOCKS];
                out[i] = quantum(x[i], scale, i - at < DRAWS / 2 ? word & 0xffff : word >> 16);
            }
        }
    }
}

static void from_int8(const uint8_t *restrict in, size_t n, float scale, float *restrict x)
{
    for (size_t i = 0; i < n; i++) {
        x[i] = (float)(int8_t)in[i] * scale;
    }
}

#include "common/num/codec_loops_few.h"

#define TEXT(x) #x
#define NAME_OF(x) TEXT(x)
#define TABLE_OF(x) RUB_CODEC_LOOPS_PASTE(rub_codec_loops_, x)
#define RUB_CODEC_LOOPS_PASTE(a, b) a##b

extern const rub_codec_loops_t TABLE_OF(RUB_CODEC_LOOPS_NAME);
const rub_codec_loops_t TABLE_OF(RUB_CODEC_LOOPS_NAME) = {
    NAME_OF(RUB_CODEC_LOOPS_NAME),
    to_bf16,
    from_bf16,
    to_f16,
    from_f16,
    greatest,
    to_int8,
    from_int8,
    to_1bit,
    from_1bit,
    sum_sizes,
    to_2bit,
    from_2bit,
    count_from,
    mask_from,
};
