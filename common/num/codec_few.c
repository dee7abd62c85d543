/* 2bit, 1bit and topk: each sends a coarse picture of a row, and its sender keeps the rest.
 *
 * Sums are taken in float64, so that no finite row overflows, in partial sums whose order is fixed:
 * the same bits with and without vector registers (codec_loops_few.h). Ties of topk go to the lower
 * place, so the choice is a function of the values alone. */
#include "common/num/codec_few.h"

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/num/codec_loops.h"
#include "include/rubato.h"

#include <math.h>
#include <string.h>

enum { LANES = RUB_CODEC_LANES, TOPK_SHARE = 32, MASKED = 64, FEW = 4096 };

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
    const rub_codec_loops_t *loops = rub_codec_loops();
    double all[LANES] = {0}, low[LANES] = {0}, high[LANES] = {0};
    loops->sum_sizes(x, n, all);
    const double border = 1.25 * total_of(all) / (double)n;
    const size_t n_high = loops->to_2bit(x, n, border, out + 8, low, high);
    put_float(out, mean_of(low, n - n_high));
    put_float(out + 4, mean_of(high, n_high));
}

int rub_2bit_decode(const uint8_t *in, size_t n, float *x)
{
    if (n == 0) {
        return 0;
    }
    rub_codec_loops()->from_2bit(in + 8, n, get_float(in), get_float(in + 4), x);
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
    const size_t n_above = rub_codec_loops()->to_1bit(x, n, out + 8, above, below);
    put_float(out, mean_of(above, n_above));
    put_float(out + 4, mean_of(below, n - n_above));
}

int rub_1bit_decode(const uint8_t *in, size_t n, float *x)
{
    if (n == 0) {
        return 0;
    }
    rub_codec_loops()->from_1bit(in + 8, n, get_float(in), get_float(in + 4), x);
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

/* Those whose |x| has at least these bits, in their order; there is room for them. */
static size_t gather(const float *x, size_t n, uint32_t least, float *out)
{
    const rub_codec_loops_t *loops = rub_codec_loops();
    size_t n_out = 0;
    for (size_t at = 0; at < n; at += MASKED) {
        uint64_t mask = loops->mask_from(x + at, n - at < MASKED ? n - at : MASKED, least);
        for (; mask; mask &= mask - 1) {
            out[n_out++] = x[at + (size_t)__builtin_ctzll(mask)];
        }
    }
    return n_out;
}

/* Bits of |x| (they order as the sizes do) such that what is above it, and the first *ties_p that
 * are equal to it, are the k greatest. Found by halving, since counting is what vector registers do
 * best; once few values are left above the lower end, only these are counted. */
static uint32_t border_of(const float *x, size_t n, size_t k, size_t *ties_p)
{
    const rub_codec_loops_t *loops = rub_codec_loops();
    float few[FEW];
    uint32_t at_least = 0; /* k or more are not below this */
    uint32_t below = loops->greatest(x, n) + 1;
    size_t n_above = 0; /* fewer than k, not below that */
    while (below - at_least > 1) {
        const uint32_t middle = at_least + (below - at_least) / 2;
        const size_t count = loops->count_from(x, n, middle);
        if (count == k) {
            *ties_p = 0;
            return middle - 1;
        }
        if (count > k) {
            at_least = middle;
            if (x != few && count <= FEW && count < n / 4) {
                n = gather(x, n, middle, few);
                x = few;
            }
        } else {
            below = middle;
            n_above = count;
        }
    }
    *ties_p = k - n_above;
    return at_least;
}

void rub_topk_encode(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out)
{
    RUB_UNUSED(seed);
    RUB_UNUSED(stream);
    const rub_codec_loops_t *loops = rub_codec_loops();
    const size_t k = kept_of(n);
    if (k == 0) {
        return;
    }
    size_t ties = 0;
    const uint32_t border = border_of(x, n, k, &ties);
    size_t kept = 0;
    for (size_t at = 0; at < n; at += MASKED) {
        uint64_t mask = loops->mask_from(x + at, n - at < MASKED ? n - at : MASKED, border);
        for (; mask; mask &= mask - 1) {
            const size_t i = at + (size_t)__builtin_ctzll(mask);
            const bool tie = size_bits(x[i]) == border;
            if (!tie || ties > 0) {
                ties -= tie;
                rub_put_u16(out + 2 * kept, (uint16_t)i);
                put_float(out + 2 * k + 4 * kept, x[i]);
                kept++;
            }
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
