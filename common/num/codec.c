/* The table of codecs, and those of 16 and 8 bits a value (codec_few.c has those of fewer).
 *
 * Invariant: what a codec writes for a row is a function of the row's values and, for int8, of the
 * draws (seed, stream) alone; row_bytes(n) does not depend on values, so that lengths are checked
 * before anything is read. A row that is not finite is marked in its scale. */
#include "common/num/codec.h"

#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "common/num/codec_few.h"
#include "common/num/codec_loops.h"

#include <float.h>
#include <math.h>
#include <string.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "codecs copy values as they lie");

static size_t bytes_f32(size_t n)
{
    return 4 * n;
}

static void encode_f32(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out)
{
    RUB_UNUSED(seed);
    RUB_UNUSED(stream);
    if (n > 0) {
        memcpy(out, x, 4 * n);
    }
}

static int decode_f32(const uint8_t *in, size_t n, float *x)
{
    if (n > 0) {
        memcpy(x, in, 4 * n);
    }
    return 0;
}

static size_t bytes_half(size_t n)
{
    return 2 * n;
}

static void encode_f16(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out)
{
    RUB_UNUSED(seed);
    RUB_UNUSED(stream);
    rub_codec_loops()->to_f16(x, n, out);
}

static int decode_f16(const uint8_t *in, size_t n, float *x)
{
    rub_codec_loops()->from_f16(in, n, x);
    return 0;
}

static void encode_bf16(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out)
{
    RUB_UNUSED(seed);
    RUB_UNUSED(stream);
    rub_codec_loops()->to_bf16(x, n, out);
}

static int decode_bf16(const uint8_t *in, size_t n, float *x)
{
    rub_codec_loops()->from_bf16(in, n, x);
    return 0;
}

static size_t bytes_int8(size_t n)
{
    return n > 0 ? 4 + n : 0;
}

/* Not below the least normal number, where scales would be coarse: there the draws do the work. Not
 * so great that 127 of it are none. */
static float scale_of(float greatest)
{
    float scale = greatest / 127.0F;
    scale = scale < FLT_MIN ? FLT_MIN : scale;
    while (!isfinite(127.0F * scale) && isfinite(greatest)) {
        scale = nextafterf(scale, 0.0F);
    }
    return scale;
}

static void encode_int8(const float *x, size_t n, uint64_t seed, uint64_t stream, uint8_t *out)
{
    if (n == 0) {
        return;
    }
    const rub_codec_loops_t *loops = rub_codec_loops();
    const uint32_t bits = loops->greatest(x, n);
    float greatest;
    memcpy(&greatest, &bits, sizeof greatest);
    const float scale = isfinite(greatest) ? scale_of(greatest) : NAN;
    memcpy(out, &scale, sizeof scale);
    if (isfinite(scale)) {
        loops->to_int8(x, n, scale, seed, stream, out + 4);
    } else {
        memset(out + 4, 0, n);
    }
}

static int decode_int8(const uint8_t *in, size_t n, float *x)
{
    if (n > 0) {
        float scale;
        memcpy(&scale, in, sizeof scale);
        rub_codec_loops()->from_int8(in + 4, n, scale, x);
    }
    return 0;
}

/* dense_row of bf16 and f16 is without meaning: their values are independent. */
static const rub_codec_t codecs[] = {
    {.number = RUB_CODEC_F32,
     .name = "f32",
     .dense_row = RUB_BLOCK,
     .for_pulls = true,
     .row_bytes = bytes_f32,
     .encode = encode_f32,
     .decode = decode_f32},
    {.number = RUB_CODEC_F16,
     .name = "f16",
     .dense_row = RUB_BLOCK,
     .for_pulls = true,
     .row_bytes = bytes_half,
     .encode = encode_f16,
     .decode = decode_f16},
    {.number = RUB_CODEC_BF16,
     .name = "bf16",
     .dense_row = RUB_BLOCK,
     .for_pulls = true,
     .row_bytes = bytes_half,
     .encode = encode_bf16,
     .decode = decode_bf16},
    {.number = RUB_CODEC_INT8,
     .name = "int8",
     .dense_row = 256,
     .by_row = true,
     .random = true,
     .row_bytes = bytes_int8,
     .encode = encode_int8,
     .decode = decode_int8},
    {.number = RUB_CODEC_2BIT,
     .name = "2bit",
     .dense_row = 256,
     .by_row = true,
     .feedback = true,
     .row_bytes = rub_2bit_bytes,
     .encode = rub_2bit_encode,
     .decode = rub_2bit_decode},
    {.number = RUB_CODEC_1BIT,
     .name = "1bit",
     .dense_row = 256,
     .by_row = true,
     .feedback = true,
     .row_bytes = rub_1bit_bytes,
     .encode = rub_1bit_encode,
     .decode = rub_1bit_decode},
    {.number = RUB_CODEC_TOPK,
     .name = "topk",
     .dense_row = RUB_BLOCK,
     .by_row = true,
     .feedback = true,
     .row_bytes = rub_topk_bytes,
     .encode = rub_topk_encode,
     .decode = rub_topk_decode},
};

const rub_codec_t *rub_codec_find(uint32_t number)
{
    for (size_t i = 0; i < RUB_COUNT_OF(codecs); i++) {
        if (codecs[i].number == number) {
            return &codecs[i];
        }
    }
    return NULL;
}

const rub_codec_t *rub_codec_named(const char *name)
{
    for (size_t i = 0; i < RUB_COUNT_OF(codecs); i++) {
        if (strcmp(codecs[i].name, name) == 0) {
            return &codecs[i];
        }
    }
    return NULL;
}

size_t rub_codec_bytes(const rub_codec_t *codec, size_t n, size_t row)
{
    return codec->by_row ? n / row * codec->row_bytes(row) + codec->row_bytes(n % row)
                         : codec->row_bytes(n);
}

int rub_codec_decode(const rub_codec_t *codec, const uint8_t *in, size_t n, size_t row, float *x)
{
    if (!codec->by_row) {
        return codec->decode(in, n, x);
    }
    while (n > 0) {
        const size_t few = n < row ? n : row;
        const int rc = codec->decode(in, few, x);
        if (rc != 0) {
            return rc;
        }
        in += codec->row_bytes(few);
        x += few;
        n -= few;
    }
    return 0;
}

void rub_codec_encode_rest(const rub_codec_t *codec, float *x, size_t n, uint8_t *out, float *sent)
{
    codec->encode(x, n, 0, 0, out);
    const int rc = codec->decode(out, n, sent);
    RUB_ASSERT(rc == 0);
    for (size_t i = 0; i < n; i++) {
        x[i] -= sent[i];
    }
}

uint64_t rub_codec_stream(uint64_t push_stream, uint64_t row)
{
    return rub_mix64(push_stream ^ rub_mix64(row + UINT64_C(0x9E3779B97F4A7C15)));
}
