/* Varints between sorted keys, as search engines keep their posting lists (Witten, Moffat & Bell,
 * Managing Gigabytes, chapter 3). Byte-aligned, since a key costs a nanosecond or two that way and
 * one more bit saved would cost more than its way over a wire.
 *
 * Invariant: reading looks at no byte behind n_bytes and writes no key behind n, whatever it reads;
 * a key that would be above 2^64 - 1 is refused, so what is read ascends. */
#include "common/wire/key_pack.h"

#include "common/base/bytes.h"
#include "include/rubato.h"

enum { MORE = 0x80, VARINT_BITS = 7, LAST_SHIFT = 63 }; /* the tenth byte holds one bit */

static size_t varint_bytes(uint64_t x)
{
    size_t n = 1;
    while (x >= MORE) {
        x >>= VARINT_BITS;
        n++;
    }
    return n;
}

static size_t filled_up(size_t n_bytes)
{
    return (n_bytes + 7) / 8 * 8;
}

size_t rub_keys_packed_bytes(const uint8_t *keys, size_t n)
{
    size_t total = 0;
    uint64_t next = 0; /* the least that the key may be */
    for (size_t i = 0; i < n; i++) {
        const uint64_t key = rub_get_u64(keys + 8 * i);
        if (key < next || (i > 0 && next == 0)) {
            return 0;
        }
        total += varint_bytes(key - next);
        next = key + 1; /* 0 behind the greatest */
    }
    total = filled_up(total);
    return total < 8 * n ? total : 0;
}

void rub_keys_pack(const uint8_t *keys, size_t n, uint8_t *out)
{
    uint8_t *at = out;
    uint64_t next = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t key = rub_get_u64(keys + 8 * i);
        uint64_t x = key - next;
        for (; x >= MORE; x >>= VARINT_BITS) {
            *at++ = (uint8_t)(x | MORE);
        }
        *at++ = (uint8_t)x;
        next = key + 1;
    }
    while ((at - out) % 8 != 0) {
        *at++ = 0;
    }
}

/* One varint of more than a byte; the place behind it, or NULL. */
static const uint8_t *read_long(const uint8_t *at, const uint8_t *end, uint64_t *x_p)
{
    uint64_t x = 0;
    for (unsigned shift = 0; at < end && shift <= LAST_SHIFT; shift += VARINT_BITS) {
        const uint8_t byte = *at++;
        if (shift == LAST_SHIFT && byte > 1) {
            return NULL;
        }
        x |= (uint64_t)(byte & (MORE - 1)) << shift;
        if (byte < MORE) {
            *x_p = x;
            return at;
        }
    }
    return NULL;
}

int rub_keys_unpack(const uint8_t *in, size_t n_bytes, size_t n, uint8_t *out)
{
    const uint8_t *at = in, *end = in + n_bytes;
    uint64_t next = 0;
    for (size_t i = 0; i < n; i++) {
        uint64_t x = 0;
        if (at < end && *at < MORE) {
            x = *at++;
        } else {
            at = read_long(at, end, &x);
            if (!at) {
                return RUB_ESHAPE;
            }
        }
        if (x > UINT64_MAX - next || (i > 0 && next == 0)) {
            return RUB_ESHAPE;
        }
        rub_put_u64(out + 8 * i, next + x);
        next += x + 1;
    }
    if (end - at >= 8) {
        return RUB_ESHAPE;
    }
    for (; at < end; at++) {
        if (*at != 0) {
            return RUB_ESHAPE;
        }
    }
    return 0;
}
