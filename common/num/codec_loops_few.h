/* The loops of 2bit, 1bit and topk (codec_few.c), included by codec_loops_source.h for each
 * instruction set.
 *
 * Values are taken in blocks of 8, one for each partial sum. The sums are vectors by name, of the
 * set's width, since neither compiler keeps an array of them in registers; gcc and clang know them
 * without headers. Compares leave a byte for each value, and eight bytes become one by a
 * multiplication, which needs no instruction that only some processors have. What is behind the
 * last block is done value by value, with the same operations. */
#ifndef RUB_CODEC_LOOPS_FEW_H
#define RUB_CODEC_LOOPS_FEW_H

#include "common/num/isa.h"

#include <stdbool.h>

enum {
    LANES = RUB_CODEC_LANES,
    FLAGS = 64,                        /* compared at a time */
    PART = RUB_ISA_REGISTER_BYTES / 8, /* sums in a register */
    PARTS = LANES / PART
};
typedef double sums_t __attribute__((vector_size(RUB_ISA_REGISTER_BYTES)));
typedef int64_t sums_mask_t __attribute__((vector_size(RUB_ISA_REGISTER_BYTES)));
typedef float part_t __attribute__((vector_size(RUB_ISA_REGISTER_BYTES / 2)));
typedef int32_t mask_t __attribute__((vector_size(RUB_ISA_REGISTER_BYTES / 2)));

/* What is decoded: 8 values a register, 4 where it holds no more. */
enum { WIDE = RUB_ISA_REGISTER_BYTES >= 32 ? 8 : 4 };
typedef int32_t wide_t __attribute__((vector_size(WIDE * 4)));

static inline mask_t part_at(const float *x)
{
    mask_t part;
    memcpy(&part, x, sizeof part);
    return part;
}

static inline sums_t doubles_of(mask_t part)
{
    return __builtin_convertvector((part_t)part, sums_t);
}

/* Bit i: flags[i], which are 0 or 1. Byte i times 2^(56 - 7 i) ends as bit 56 + i; what the other
 * products leave stays below that or falls off the end, each at a place of its own. */
static inline uint8_t bits_of_flags(const uint8_t flags[LANES])
{
    uint64_t word;
    memcpy(&word, flags, sizeof word);
    return (uint8_t)(word * UINT64_C(0x0102040810204080) >> 56);
}

/* Bit i to bit 2 i. */
static inline uint32_t spread(uint32_t byte)
{
    byte = (byte | byte << 4) & 0x0f0f;
    byte = (byte | byte << 2) & 0x3333;
    return (byte | byte << 1) & 0x5555;
}

/* ---- 1bit ---- */

static void flags_above(const float *restrict x, size_t n, uint8_t *restrict flags)
{
    for (size_t i = 0; i < n; i++) {
        flags[i] = x[i] >= 0;
    }
}

static size_t to_1bit(const float *restrict x, size_t n, uint8_t *restrict out,
                      double *restrict above, double *restrict below)
{
    const size_t whole = n / LANES * LANES;
    uint8_t flags[FLAGS];
    sums_t sums_above[PARTS], sums_below[PARTS];
    size_t n_above = 0;
    memcpy(sums_above, above, sizeof sums_above);
    memcpy(sums_below, below, sizeof sums_below);
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t p = 0; p < PARTS; p++) {
            const mask_t part = part_at(x + i + p * PART);
            const mask_t is_above = (part_t)part >= 0;
            sums_above[p] += doubles_of(part & is_above);
            sums_below[p] += doubles_of(part & ~is_above);
        }
    }
    memcpy(above, sums_above, sizeof sums_above);
    memcpy(below, sums_below, sizeof sums_below);
    for (size_t i = 0; i < whole; i += FLAGS) {
        const size_t left = whole - i < FLAGS ? whole - i : FLAGS;
        flags_above(x + i, left, flags);
        for (size_t j = 0; j < left; j += LANES) {
            const uint8_t bits = bits_of_flags(flags + j);
            out[(i + j) / LANES] = bits;
            n_above += (size_t)__builtin_popcount(bits);
        }
    }
    if (whole < n) {
        out[whole / LANES] = 0;
    }
    for (size_t i = whole; i < n; i++) {
        const bool is_above = x[i] >= 0;
        above[i % LANES] += (double)(is_above ? x[i] : 0.0F);
        below[i % LANES] += (double)(is_above ? 0.0F : x[i]);
        n_above += is_above;
        out[i / LANES] |= (uint8_t)(is_above << i % LANES);
    }
    return n_above;
}

static void from_1bit(const uint8_t *restrict in, size_t n, float above, float below,
                      float *restrict x)
{
    static const int32_t weights[LANES] = {1, 2, 4, 8, 16, 32, 64, 128};
    const size_t whole = n / LANES * LANES;
    const wide_t if_set = (wide_t){0} + (int32_t)bits_of(above);
    const wide_t if_not = (wide_t){0} + (int32_t)bits_of(below);
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t p = 0; p < LANES / WIDE; p++) {
            wide_t weight;
            memcpy(&weight, weights + p * WIDE, sizeof weight);
            const wide_t is_set = (weight & (int32_t)in[i / LANES]) != 0;
            const wide_t value = (if_set & is_set) | (if_not & ~is_set);
            memcpy(x + i + p * WIDE, &value, sizeof value);
        }
    }
    for (size_t i = whole; i < n; i++) {
        x[i] = in[i / LANES] >> i % LANES & 1 ? above : below;
    }
}

/* ---- 2bit ---- */

static void sum_sizes(const float *restrict x, size_t n, double *restrict sums)
{
    const size_t whole = n / LANES * LANES;
    sums_t all[PARTS];
    memcpy(all, sums, sizeof all);
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t p = 0; p < PARTS; p++) {
            all[p] += doubles_of(part_at(x + i + p * PART) & INT32_MAX);
        }
    }
    memcpy(sums, all, sizeof all);
    for (size_t i = whole; i < n; i++) {
        sums[i % LANES] += (double)float_of(bits_of(x[i]) & ~SIGN);
    }
}

static void flags_high(const float *restrict x, size_t n, double border, uint8_t *restrict high,
                       uint8_t *restrict negative)
{
    for (size_t i = 0; i < n; i++) {
        high[i] = (double)float_of(bits_of(x[i]) & ~SIGN) > border;
    }
    for (size_t i = 0; i < n; i++) {
        negative[i] = x[i] < 0;
    }
}

static size_t to_2bit(const float *restrict x, size_t n, double border, uint8_t *restrict out,
                      double *restrict low, double *restrict high)
{
    const size_t whole = n / LANES * LANES;
    uint8_t is_high[FLAGS], is_negative[FLAGS];
    sums_t sums_low[PARTS], sums_high[PARTS];
    size_t n_high = 0;
    memcpy(sums_low, low, sizeof sums_low);
    memcpy(sums_high, high, sizeof sums_high);
    for (size_t i = 0; i < whole; i += LANES) {
        for (size_t p = 0; p < PARTS; p++) {
            const sums_t size = doubles_of(part_at(x + i + p * PART) & INT32_MAX);
            const sums_mask_t above = size > border;
            sums_low[p] += (sums_t)((sums_mask_t)size & ~above);
            sums_high[p] += (sums_t)((sums_mask_t)size & above);
        }
    }
    memcpy(low, sums_low, sizeof sums_low);
    memcpy(high, sums_high, sizeof sums_high);
    for (size_t i = 0; i < whole; i += FLAGS) {
        const size_t left = whole - i < FLAGS ? whole - i : FLAGS;
        flags_high(x + i, left, border, is_high, is_negative);
        for (size_t j = 0; j < left; j += LANES) {
            const uint32_t highs = bits_of_flags(is_high + j);
            const uint32_t codes = spread(bits_of_flags(is_negative + j)) | spread(highs) << 1;
            out[(i + j) / 4] = (uint8_t)codes;
            out[(i + j) / 4 + 1] = (uint8_t)(codes >> 8);
            n_high += (size_t)__builtin_popcount(highs);
        }
    }
    if (whole < n) {
        memset(out + whole / 4, 0, (n + 3) / 4 - whole / 4);
    }
    for (size_t i = whole; i < n; i++) {
        const double size = (double)float_of(bits_of(x[i]) & ~SIGN);
        low[i % LANES] += size > border ? 0 : size;
        high[i % LANES] += size > border ? size : 0;
        n_high += size > border;
        const unsigned code = (x[i] < 0 ? 1U : 0U) | (size > border ? 2U : 0U);
        out[i / 4] |= (uint8_t)(code << i % 4 * 2);
    }
    return n_high;
}

static void from_2bit(const uint8_t *restrict in, size_t n, float low, float high,
                      float *restrict x)
{
    const uint32_t low_bits = bits_of(low), high_bits = bits_of(high);
    const size_t whole = n / LANES * LANES;
    for (size_t i = 0; i < whole; i += LANES) {
        const uint32_t codes = in[i / 4] | (uint32_t)in[i / 4 + 1] << 8;
        for (int j = 0; j < LANES; j++) {
            const uint32_t size = codes & UINT32_C(2) << 2 * j ? high_bits : low_bits;
            const uint32_t sign = codes & UINT32_C(1) << 2 * j ? SIGN : 0;
            x[i + (size_t)j] = float_of(size ^ sign);
        }
    }
    for (size_t i = whole; i < n; i++) {
        const uint32_t code = in[i / 4] >> i % 4 * 2;
        x[i] = float_of((code & 2 ? high_bits : low_bits) ^ (code & 1 ? SIGN : 0));
    }
}

/* ---- topk ---- */

/* The bits of sizes are below 2^31, so that they order as signed numbers, too, which more
 * instruction sets compare. */
static size_t count_from(const float *x, size_t n, uint32_t size)
{
    const int32_t least = (int32_t)size;
    uint32_t count = 0;
    for (size_t i = 0; i < n; i++) {
        count += (int32_t)(bits_of(x[i]) & ~SIGN) >= least;
    }
    return count;
}

static uint64_t mask_from(const float *restrict x, size_t n, uint32_t size)
{
    const int32_t least = (int32_t)size;
    uint8_t flags[FLAGS] = {0}, bytes[FLAGS / 8];
    uint64_t mask = 0;
    for (size_t i = 0; i < n; i++) {
        flags[i] = (int32_t)(bits_of(x[i]) & ~SIGN) >= least;
    }
    for (size_t i = 0; i < sizeof bytes; i++) {
        bytes[i] = bits_of_flags(flags + i * 8);
    }
    memcpy(&mask, bytes, sizeof mask);
    return mask;
}

#endif
