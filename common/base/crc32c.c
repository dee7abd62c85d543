/* CRC32C guards every journal record and stored chunk, so it runs over all bytes that are pushed.
 * The portable version is the definition: one table look-up per byte. The fast one uses the crc32
 * instruction of SSE4.2 on three independent streams, because the instruction has a latency of
 * three cycles and a throughput of one (Gopal et al., "Fast CRC computation using the CRC32
 * instruction", Intel 2011). Streams are joined by linearity: the state after A|B is the state
 * after A, moved over |B| zero bytes, xor the state of B alone; moving by n bytes is a product with
 * x^(8n) mod P: one carry-less multiplication and one more crc32. With AVX-512's carry-less
 * multiplication 256 bytes are folded at a time onto the 256 that follow (Gopal et al., "Fast CRC
 * computation for generic polynomials using PCLMULQDQ", Intel 2009) until 64 are left, which have
 * the CRC of all before them.
 *
 * The table is const: CRC is linear, so entry n is the xor of the entries of n's bits and the
 * compiler computes it. */
#include "common/base/crc32c.h"

#include "common/base/copy_through.h"

#include <stdbool.h>
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

/* far * x^(8 * distance) + near mod P, in each lane of 128 bits; factors: x^(8 * distance + 32) and
 * x^(8 * distance - 32) mod P, reflected and one bit up, for a lane's lower and upper half. */
__attribute__((target("avx512f,vpclmulqdq"))) static inline __m512i
folded(__m512i far, __m512i near, __m512i factors)
{
    const __m512i low = _mm512_clmulepi64_epi128(far, factors, 0x00);
    const __m512i high = _mm512_clmulepi64_epi128(far, factors, 0x11);
    return _mm512_ternarylogic_epi64(low, high, near, 0x96); /* xor of three */
}

__attribute__((target("avx512f,vpclmulqdq,sse4.2,pclmul"))) static uint32_t
crc32c_avx512(uint32_t start, const uint8_t *p, size_t bytes)
{
    if (bytes < 1024) {
        return crc32c_sse42(start, p, bytes);
    }
    const __m512i by_256 = _mm512_broadcast_i32x4(_mm_set_epi64x(0xb9e02b86, 0xdcb17aa4));
    const __m512i by_64 = _mm512_broadcast_i32x4(_mm_set_epi64x(0x9e4addf8, 0x740eef02));
    __m512i x[4];
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_loadu_si512(p + 64 * i);
    }
    /* A state is what stands xor'ed on the next four bytes. */
    x[0] = _mm512_xor_si512(x[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)start)));
    for (p += 256, bytes -= 256; bytes >= 256; p += 256, bytes -= 256) {
        for (int i = 0; i < 4; i++) {
            x[i] = folded(x[i], _mm512_loadu_si512(p + 64 * i), by_256);
        }
    }
    for (int i = 1; i < 4; i++) {
        x[i] = folded(x[i - 1], x[i], by_64);
    }
    uint8_t rest[64];
    _mm512_storeu_si512(rest, x[3]);
    return crc32c_sse42(crc32c_sse42(0, rest, sizeof(rest)), p, bytes);
}

/* The same with each line written as it is read, to an address that is a multiple of 64; bytes is a
 * multiple of 256, at least 1024. While the memory takes the stores, the folding goes on. */
__attribute__((target("avx512f,vpclmulqdq,sse4.2,pclmul"))) static uint32_t
crc32c_avx512_copy(uint32_t start, uint8_t *out, const uint8_t *p, size_t bytes)
{
    const __m512i by_256 = _mm512_broadcast_i32x4(_mm_set_epi64x(0xb9e02b86, 0xdcb17aa4));
    const __m512i by_64 = _mm512_broadcast_i32x4(_mm_set_epi64x(0x9e4addf8, 0x740eef02));
    __m512i x[4];
    for (int i = 0; i < 4; i++) {
        x[i] = _mm512_loadu_si512(p + 64 * i);
        _mm512_stream_si512((__m512i *)(void *)(out + 64 * i), x[i]);
    }
    x[0] = _mm512_xor_si512(x[0], _mm512_zextsi128_si512(_mm_cvtsi32_si128((int)start)));
    for (size_t at = 256; at < bytes; at += 256) {
        for (int i = 0; i < 4; i++) {
            const __m512i line = _mm512_loadu_si512(p + at + 64 * i);
            _mm512_stream_si512((__m512i *)(void *)(out + at + 64 * i), line);
            x[i] = folded(x[i], line, by_256);
        }
    }
    for (int i = 1; i < 4; i++) {
        x[i] = folded(x[i - 1], x[i], by_64);
    }
    uint8_t rest[64];
    _mm512_storeu_si512(rest, x[3]);
    return crc32c_sse42(0, rest, sizeof(rest));
}
#endif

static uint32_t by_table(uint32_t crc, const void *data, size_t bytes)
{
    return ~crc32c_portable(~crc, data, bytes);
}

#if defined(__x86_64__)
static uint32_t by_sse42(uint32_t crc, const void *data, size_t bytes)
{
    return ~crc32c_sse42(~crc, data, bytes);
}

static uint32_t by_avx512(uint32_t crc, const void *data, size_t bytes)
{
    return ~crc32c_avx512(~crc, data, bytes);
}

static bool has_sse42(void)
{
    return __builtin_cpu_supports("sse4.2") && __builtin_cpu_supports("pclmul");
}

static bool has_avx512(void)
{
    return has_sse42() && __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("vpclmulqdq");
}
#endif

rub_crc32c_way_t rub_crc32c_way(size_t i)
{
#if defined(__x86_64__)
    if (i == 1) {
        return has_sse42() ? by_sse42 : NULL;
    }
    if (i == 2) {
        return has_avx512() ? by_avx512 : NULL;
    }
#endif
    return i == 0 ? by_table : NULL;
}

uint32_t rub_crc32c(uint32_t crc, const void *data, size_t bytes)
{
#if defined(__x86_64__)
    if (has_avx512()) {
        return by_avx512(crc, data, bytes);
    }
    if (has_sse42()) {
        return by_sse42(crc, data, bytes);
    }
#endif
    return by_table(crc, data, bytes);
}

uint32_t rub_crc32c_copy(uint32_t crc, void *to, const void *from, size_t bytes)
{
    uint8_t *out = to;
    const uint8_t *in = from;
#if defined(__x86_64__)
    const size_t head = (64 - (uintptr_t)out % 64) % 64;
    if (bytes >= 2048 && has_avx512()) {
        const size_t whole = (bytes - head) / 256 * 256;
        crc = rub_crc32c(crc, in, head);
        memcpy(out, in, head);
        crc = ~crc32c_avx512_copy(~crc, out + head, in + head, whole);
        out += head + whole;
        in += head + whole;
        bytes -= head + whole;
    }
#endif
    rub_copy_through(out, in, bytes);
    return rub_crc32c(crc, in, bytes);
}
