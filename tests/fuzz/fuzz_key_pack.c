/* Packed keys from anybody: {n u16, bytes}. What can be read ascends, and packs to what reads as
 * the same again; memory is of the exact size, so that a sanitizer sees one byte too far. */
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/wire/key_pack.h"
#include "tests/fuzz/fuzz.h"

static void pack_again(const uint8_t *keys, size_t n)
{
    const size_t n_bytes = rub_keys_packed_bytes(keys, n);
    if (n_bytes == 0) {
        return;
    }
    uint8_t *packed = rub_alloc(n_bytes), *again = rub_alloc(8 * n);
    RUB_ASSERT(packed);
    RUB_ASSERT(again);
    RUB_ASSERT(n_bytes < 8 * n);
    rub_keys_pack(keys, n, packed);
    RUB_ASSERT(rub_keys_unpack(packed, n_bytes, n, again) == 0);
    RUB_ASSERT(memcmp(keys, again, 8 * n) == 0);
    rub_free(again);
    rub_free(packed);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_fuzz_input_t in = {data, size};
    const size_t n = rub_fuzz_byte(&in) | (size_t)rub_fuzz_byte(&in) << 8;
    uint8_t *keys = rub_alloc(8 * n + (n == 0));
    RUB_ASSERT(keys);
    if (rub_keys_unpack(in.at, in.left, n, keys) == 0) {
        for (size_t i = 1; i < n; i++) {
            RUB_ASSERT(rub_get_u64(keys + 8 * i - 8) < rub_get_u64(keys + 8 * i));
        }
        pack_again(keys, n);
    }
    rub_free(keys);
    return 0;
}
