/* The float32 loops that shards and clients share. Each is written so that gcc and clang vectorise
 * it at -O3, and so that the value of an element does not depend on its place: one operation per
 * element, no reassociation. */
#include "common/num/kernels.h"

#include <stdint.h>
#include <string.h>

/* IEEE 754: a float32 is NaN or infinite when its exponent bits are all ones. Adding one to the
 * exponent field of such a number carries into bit 31, of no other: OR the sums, look at that bit
 * once. */
bool rub_all_finite(const float *x, size_t n)
{
    uint32_t seen = 0;
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        seen |= (bits & UINT32_C(0x7f800000)) + UINT32_C(0x00800000);
    }
    return (seen >> 31) == 0;
}

void rub_add_into(float *restrict into, const float *restrict x, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        into[i] += x[i];
    }
}

void rub_scale(float *x, size_t n, float factor)
{
    for (size_t i = 0; i < n; i++) {
        x[i] *= factor;
    }
}
