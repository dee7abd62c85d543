/* Name hashing and CRC32C.
 *
 * CRC32C guards every journal record and stored chunk, so it runs over all bytes that are pushed.
 * The portable version is the definition: one table look-up per byte. The fast one uses the crc32
 * instruction of SSE4.2 on three independent streams, because the instruction has a latency of
 * three cycles and a throughput of one (Gopal et al., "Fast CRC computation using the CRC32
 * instruction", Intel 2011). Streams are joined by linearity: the state after A|B is the state
 * after A, moved over |B| zero bytes, xor the state of B alone; moving by n bytes is a product with
 * x^(8n) mod P: one carry-less multiplication and one more crc32.
 *
 * The table is const: CRC is linear, so entry n is the xor of the entries of n's bits and the
 * compiler computes it. */
#include "common/base/hash.h"

#include <string.h>

/* Entries of the single bits: bit i moved through eight steps of the reflected polynomial
 * 0x82f63b78. */
#define BIT(n, i, entry) (((n) >> (i)) % 2 * UINT32_C(entry))
#define ENTRY(n)                                                                                   \
    (BIT(n, 0, 0xf26b8303) ^ BIT(n, 1, 0xe13b70f7) ^ BIT(n, 2, 0xc79a971f) ^                       \
     BIT(n, 3, 0x8ad958cf) ^ BIT(n, 4, 0x105ec76f) ^ BIT(n, 5, 0x20bd8ede) ^                       \
     BIT(n, 6, 0x417b1dbc) ^ BIT(n, 7, 0x82f63b78))
#define ROW4(n) ENTRY(n), ENTRY((n) + 1), ENTRY((n) + 2), ENTRY((n) + 3)
#define ROW16(n) ROW4(n), ROW4((n) + 4), ROW4((n) + 8), ROW4((n) + 12)
#define ROW64(n) ROW16(n), ROW16((n) + 16), ROW16((n) + 32), ROW16((n) + 48)

static const uint32_t CRC_TABLE[256] = {ROW64(0), ROW64(64), ROW64(128), ROW64(192)};

uint64_t rub_hash_bytes(const void *data, size_t bytes)
{
    const uint8_t *p = data;
    uint64_t hash = UINT64_C(0xcbf29ce484222325);
    for (size_t i = 0; i < bytes; i++) {
        hash = (hash ^ p[i]) * UINT64_C(0x100000001b3);
    }
    return rub_mix64(hash);
}

static uint32_t crc32c_portable(uint32_t state, const uint8_t *p, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        state = state >> 8 ^ CRC_TABLE[(state ^ p[i]) & 0xff];
    }
    return state;
}

#if defined(__x86_64__)
#include <immintrin.h>

enum { STREAM_BYTES = 1024 };

static inline uint64_t load64(const uint8_t *p)
{
    uint64_t v;
    memcpy(&v, p, sizeof(v));
    return v;
}

/* The state moved over zero bytes; factor is x^(8 * bytes - 33) mod P, reflected: the product of
 * two reflected polynomials stands one bit too high, and the crc32 that reduces it multiplies by
 * x^32. */
__attribute__((target("sse4.2,pclmul"))) static uint32_t moved(uint64_t state, uint32_t factor)
{
    const __m128i product = _mm_clmulepi64_si128(_mm_cvtsi64_si128((long long)state),
                                                 _mm_cvtsi64_si128((long long)factor), 0);
    return (uint32_t)_mm_crc32_u64(0, (uint64_t)_mm_cvtsi128_si64(product));
}

__attribute__((target("sse4.2,pclmul"))) static uint32_t
crc32c_sse42(uint32_t start, const uint8_t *p, size_t bytes)
{
    uint64_t state = start;
    for (; bytes >= 3 * STREAM_BYTES; bytes -= 3 * STREAM_BYTES, p += 3 * STREAM_BYTES) {
        uint64_t second = 0;
        uint64_t third = 0;
        for (size_t i = 0; i < STREAM_BYTES; i += 8) {
            state = _mm_crc32_u64(state, load64(p + i));
            second = _mm_crc32_u64(second, load64(p + STREAM_BYTES + i));
            third = _mm_crc32_u64(third, load64(p + 2 * STREAM_BYTES + i));
        }
        state = moved(state, UINT32_C(0xa51b6135)) ^ moved(second, UINT32_C(0x170076fa)) ^ third;
    }
    for (; bytes >= 8; bytes -= 8, p += 8) {
        state = _mm_crc32_u64(state, load64(p));
    }
    for (; bytes > 0; bytes--, p++) {
        state = _mm_crc32_u8((uint32_t)state, *p);
    }
    return (uint32_t)state;
}
#endif

uint32_t rub_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#if defined(__x86_64__)
    if (__builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul")) {
        return ~crc32c_sse42(~crc, data, bytes);
    }
#endif
    return ~crc32c_portable(~crc, data, bytes);
}
