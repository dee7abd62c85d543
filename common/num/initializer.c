/* First-touch values as pure functions. A missing row must look the same to a reader today and to
 * the push that creates it tomorrow, on whatever shard, in whatever piece of a range: so each value
 * is addressed, never drawn in sequence.
 *
 * Addressing: Philox (seed, stream, counter). A dense table is one stream (its name's hash), a
 * hashed row is a stream of its own. A uniform takes one 32-bit word (four to a counter), a normal
 * twelve words (three counters): the sum of twelve uniforms minus 6 has mean 0 and variance 1
 * (Irwin-Hall), bounded by 6, and needs no logarithm, whose last bit differs between hosts. Pinned
 * for ever: changing it would change what unpushed rows are. */
#include "common/num/initializer.h"

#include "common/base/error.h"
#include "common/base/hash.h"
#include "common/base/rng.h"

#include <math.h>

int rub_initializer_check(uint32_t kind, double scale, rub_error_t *err)
{
    if (kind > RUB_INIT_NORMAL) {
        return rub_fail(err, RUB_EINVAL, "initializer %u is unknown, known are 0..%u", kind,
                        (unsigned)RUB_INIT_NORMAL);
    }
    if (!isfinite(scale) || !isfinite((float)scale)) {
        return rub_fail(err, RUB_EINVAL, "init_scale is %g, must be a finite float32", scale);
    }
    if ((kind == RUB_INIT_UNIFORM || kind == RUB_INIT_NORMAL) && scale < 0.0) {
        return rub_fail(err, RUB_EINVAL, "init_scale is %g, must be >= 0", scale);
    }
    return 0;
}

/* Words are cut to 24 bits: 2u - 1 is then exact in float32, and the product rounds once. */
static void fill_uniform(uint64_t seed, uint64_t stream, uint64_t first, size_t count, float scale,
                         float *out)
{
    uint32_t words[4];
    for (size_t i = 0; i < count; i++) {
        const uint64_t place = first + i;
        if (i == 0 || place % 4 == 0) {
            rub_philox(seed, stream, place / 4, words);
        }
        const int32_t centred = (int32_t)(words[place % 4] >> 8) - (INT32_C(1) << 23);
        out[i] = (float)centred * 0x1p-23f * scale;
    }
}

/* The sum of twelve words is below 2^36: exact in float64. Half a unit per word centres it on 0. */
static void fill_normal(uint64_t seed, uint64_t stream, uint64_t first, size_t count, double scale,
                        float *out)
{
    uint32_t words[4];
    for (size_t i = 0; i < count; i++) {
        uint64_t sum = 0;
        for (uint64_t part = 0; part < 3; part++) {
            rub_philox(seed, stream, (first + i) * 3 + part, words);
            sum += (uint64_t)words[0] + words[1] + words[2] + words[3];
        }
        const double unit = ((double)sum + 6.0) * 0x1p-32 - 6.0;
        out[i] = (float)(unit * scale);
    }
}

static void fill(const rub_initializer_t *self, uint64_t stream, uint64_t first, size_t count,
                 float *out)
{
    switch (self->kind) {
    case RUB_INIT_UNIFORM:
        fill_uniform(self->seed, stream, first, count, (float)self->scale, out);
        break;
    case RUB_INIT_NORMAL:
        fill_normal(self->seed, stream, first, count, self->scale, out);
        break;
    case RUB_INIT_CONSTANT:
    case RUB_INIT_ZEROS: {
        const float value = self->kind == RUB_INIT_CONSTANT ? (float)self->scale : 0.0f;
        for (size_t i = 0; i < count; i++) {
            out[i] = value;
        }
        break;
    }
    }
}

void rub_initializer_fill_range(const rub_initializer_t *self, uint64_t first, size_t count,
                                float *out)
{
    fill(self, self->table, first, count, out);
}

void rub_initializer_fill_row(const rub_initializer_t *self, uint64_t key, uint32_t width,
                              float *out)
{
    /* The odd constant keeps key 0 (a fixed point of the mixer) away from the dense stream. */
    const uint64_t stream = self->table ^ rub_mix64(key + UINT64_C(0x9e3779b97f4a7c15));
    fill(self, stream, 0, width, out);
}
