/* Hashing of names. */
#include "common/base/hash.h"

uint64_t rub_hash_bytes(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
    return rub_mix64(hash);
}
