/* 2bit, 1bit and topk: each sends a coarse picture of a row, and its sender keeps the rest.
 *
 * Sums are taken in float64, so that no finite row overflows, in LANES partial sums whose order is
 * fixed: the same bits with and without vector registers. Ties of topk go to the lower place, so
 * the choice is a function of the values alone. */
#include "common/num/codec_few.h"

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "include/rubato.h"

#include <math.h>
#include <string.h>

enum { LANES = 8, TOPK_SHARE = 32 };

static double total_of(const double lanes[LANES])
{
    double total = 0;
    for (int i = 0; i < LANES; i++) {
        total += lanes[i];
    }
    return total;
}

static float mean_of(const double lanes[LANES], size_t n)
{
    return n > 0 ? (float)(total_of(lanes) / (double)n) : 0.0F;
}

static void put_float(uint8_t *out, float x)
{
    memcpy(out, &x, sizeof x);
}

static float get_float(const uint8_t *in)
{
    float x;
    memcpy(&x, in, sizeof x);
    return x;
}

/* ---- 2bit ---- */

size_t rub_2bit_bytes(size_t n)
{
    return n > 0 ? 8 + (n + 3) / 4 : 0;
}

void rub_2bit_encode(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out)
{
    RUB_UNUSED(seed);
    RUB_UNUSED(stream);
    if (n == 0) {
        return;
    }
    double all[LANES] = {0};
    for (size_t i = 0; i < n; i++) {
        all[i % LANES] += (double)fabsf(x[i]);
    }
    const double border = 1.25 * total_of(all) / (double)n;
    double low[LANES] = {0}, high[LANES] = {0};
    size_t n_high = 0;
    memset(out + 8, 0, (n + 3) / 4);
    for (size_t i = 0; i < n; i++) {
        const double size = (double)fabsf(x[i]);
        const bool is_high = size > border;
        low[i % LANES] += is_high ? 0 : size;
        high[i % LANES] += is_high ? size : 0;
        n_high += is_high;
        const unsigned code = (x[i] < 0 ? 1U : 0U) | (is_high ? 2U : 0U);
        out[8 + i / 4] |= (uint8_t)(code << (i % 4 * 2));
    }
    put_float(out, mean_of(low, n - n_high));
    put_float(out + 4, mean_of(high, n_high));
}

int rub_2bit_decode(const uint8_t *in, size_t n, float *x)
{
    if (n == 0) {
        return 0;
    }
    const float low = get_float(in);
    const float high = get_float(in + 4);
    const float values[4] = {low, -low, high, -high};
    for (size_t i = 0; i < n; i++) {
        x[i] = values[in[8 + i / 4] >> (i % 4 * 2) & 3];
    }
    return 0;
}

/* ---- 1bit ---- */

size_t rub_1bit_bytes(size_t n)
{
    return n > 0 ? 8 + (n + 7) / 8 : 0;
}

void rub_1bit_encode(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out)
{
    RUB_UNUSED(seed);
    RUB_UNUSED(stream);
    if (n == 0) {
        return;
    }
    double above[LANES] = {0}, below[LANES] = {0};
    size_t n_above = 0;
    memset(out + 8, 0, (n + 7) / 8);
    for (size_t i = 0; i < n; i++) {
        const bool is_above = x[i] >= 0;
        above[i % LANES] += is_above ? (double)x[i] : 0;
        below[i % LANES] += is_above ? 0 : (double)x[i];
        n_above += is_above;
        out[8 + i / 8] |= (uint8_t)(is_above << (i % 8));
    }
    put_float(out, mean_of(above, n_above));
    put_float(out + 4, mean_of(below, n - n_above));
}

int rub_1bit_decode(const uint8_t *in, size_t n, float *x)
{
    if (n == 0) {
        return 0;
    }
    const float values[2] = {get_float(in + 4), get_float(in)};
    for (size_t i = 0; i < n; i++) {
        x[i] = values[in[8 + i / 8] >> (i % 8) & 1];
    }
    return 0;
}

/* ---- topk ---- */

static size_t kept_of(size_t n)
{
    return (n + TOPK_SHARE - 1) / TOPK_SHARE;
}

size_t rub_topk_bytes(size_t n)
{
    return 6 * kept_of(n);
}

static uint32_t size_bits(float x)
{
    uint32_t bits;
    memcpy(&bits, &x, sizeof bits);
    return bits & 0x7fffffff;
}

/* The k-th greatest |x| as bits, which order as the sizes do, found eight bits at a time from the
 * top; *ties_p: how many of exactly that size are among the k. */
static uint32_t border_of(const float *x, size_t n, size_t k, size_t *ties_p)
{
    uint32_t prefix = 0;
    uint32_t mask = 0;
    for (int shift = 24; shift >= 0; shift -= 8) {
        size_t counts[256] = {0};
        for (size_t i = 0; i < n; i++) {
            const uint32_t size = size_bits(x[i]);
            counts[size >> shift & 255] += (size & mask) == prefix;
        }
        uint32_t digit = 255;
        while (counts[digit] < k) {
            k -= counts[digit--];
        }
        prefix |= digit << shift;
        mask |= UINT32_C(255) << shift;
    }
    *ties_p = k;
    return prefix;
}

void rub_topk_encode(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out)
{
    RUB_UNUSED(seed);
    RUB_UNUSED(stream);
    const size_t k = kept_of(n);
    if (k == 0) {
        return;
    }
    size_t ties = 0;
    const uint32_t border = border_of(x, n, k, &ties);
    size_t kept = 0;
    for (size_t i = 0; i < n; i++) {
        const uint32_t size = size_bits(x[i]);
        const bool tie = size == border && ties > 0;
        if (size > border || tie) {
            ties -= tie;
            rub_put_u16(out + 2 * kept, (uint16_t)i);
            put_float(out + 2 * k + 4 * kept, x[i]);
            kept++;
        }
    }
    RUB_ASSERT(kept == k);
}

int rub_topk_decode(const uint8_t *in, size_t n, float *x)
{
    const size_t k = kept_of(n);
    size_t next = 0; /* places ascend */
    if (n > 0) {
        memset(x, 0, n * sizeof *x);
    }
    for (size_t i = 0; i < k; i++) {
        const size_t place = rub_get_u16(in + 2 * i);
        if (place < next || place >= n) {
            return RUB_ESHAPE;
        }
        x[place] = get_float(in + 2 * k + 4 * i);
        next = place + 1;
    }
    return 0;
}
