/* Values in a codec, from anybody: {codec, values u16, values in a row, bytes}. The bytes are cut
 * or filled up to what so many values take, in a block of exactly that size, so that a sanitizer
 * sees one byte too far. What can be read is read the same twice, within its own array; and what is
 * finite goes round again: finite, and with error feedback nothing gets out of hand. */
#include "common/base/alloc.h"
#include "common/num/codec.h"
#include "common/num/kernels.h"
#include "tests/fuzz/fuzz.h"

#include <string.h>

static const float GUARD = 77;

static void go_round(const rub_codec_t *codec, float *x, size_t n)
{
    uint8_t *bytes = rub_alloc(codec->row_bytes(n) + 1);
    float *sent = rub_alloc((n + 1) * sizeof(*sent));
    RUB_ASSERT(bytes);
    RUB_ASSERT(sent);
    if (codec->feedback) {
        rub_codec_encode_rest(codec, x, n, bytes, sent);
        RUB_ASSERT(rub_all_finite(x, n));
    } else {
        codec->encode(x, n, 1, 2, bytes);
    }
    RUB_ASSERT(codec->decode(bytes, n, sent) == 0);
    RUB_ASSERT(rub_all_finite(sent, n));
    rub_free(sent);
    rub_free(bytes);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    rub_fuzz_input_t in = {data, size};
    const rub_codec_t *codec = rub_codec_find(rub_fuzz_byte(&in) % 8);
    const size_t n = rub_fuzz_byte(&in) | (size_t)rub_fuzz_byte(&in) << 8;
    const size_t row = 1 + rub_fuzz_byte(&in);
    if (!codec) {
        return 0;
    }
    const size_t n_bytes = rub_codec_bytes(codec, n, row);
    uint8_t *bytes = rub_calloc(n_bytes + (n_bytes == 0), 1);
    float *x = rub_alloc(2 * (n + 1) * sizeof(*x));
    RUB_ASSERT(bytes);
    RUB_ASSERT(x);
    memcpy(bytes, in.at, in.left < n_bytes ? in.left : n_bytes);
    float *again = x + n + 1;
    x[n] = GUARD;
    again[n] = GUARD;
    const int rc = rub_codec_decode(codec, bytes, n, row, x);
    RUB_ASSERT(rub_codec_decode(codec, bytes, n, row, again) == rc);
    RUB_ASSERT(x[n] == GUARD);
    RUB_ASSERT(again[n] == GUARD);
    if (rc == 0) {
        RUB_ASSERT(memcmp(x, again, n * sizeof(*x)) == 0);
        const bool finite = rub_all_finite(x, n);
        for (size_t at = 0; at < n && finite; at += row) {
            go_round(codec, x + at, n - at < row ? n - at : row);
        }
    }
    rub_free(x);
    rub_free(bytes);
    return 0;
}
