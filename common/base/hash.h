/* Mixing. Values are part of placement and stored data: pinned for ever. */
#ifndef RUB_HASH_H
#define RUB_HASH_H

#include <stddef.h>
#include <stdint.h>

/* A bijection on 64 bits with full avalanche (the finaliser of SplitMix64, Steele et al. 2014). */
static inline uint64_t rub_mix64(uint64_t x)
{
    x ^= x >> 30;
    x *= UINT64_C(0xbf58476d1ce4e5b9);
    x ^= x >> 27;
    x *= UINT64_C(0x94d049bb133111eb);
    return x ^ x >> 31;
}

/* Hash of a byte string (FNV-1a, then rub_mix64): for names, not for bulk data. */
uint64_t rub_hash_bytes(const void *data, size_t bytes);

#endif
