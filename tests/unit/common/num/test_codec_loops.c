/* Every instruction set against plain C, to the bit, over lengths, alignments and values that
 * vector code treats differently; and how fast each is. */
#include "common/base/timing.h"
#include "common/num/codec.h"
#include "common/num/codec_loops.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 300, ROOM = N + 8, LOOPS = 3, SPEED_VALUES = 32768, SPEED_ROUNDS = 60, COARSE = 3 };

static const char *const names[LOOPS] = {"bf16", "f16", "int8"};

static float value(unsigned i)
{
    static const float special[] = {0.0F,     -0.0F,    FLT_MAX,  -FLT_MAX,  FLT_MIN, 1e-41F,
                                    -1e-45F,  1e30F,    INFINITY, -INFINITY, NAN,     1.0F,
                                    65519.9F, 65520.0F, 6e-8F,    2.98e-8F,  6.1e-5F, -6.09e-5F};
    const uint32_t mixed = (i * UINT32_C(2654435761)) ^ (i << 7);
    return mixed % 7 == 0 ? special[mixed / 7 % 18] : ((float)(mixed >> 8) / 8388608.0F - 1.0F);
}

static void encode(const rub_codec_loops_t *loops, int which, const float *x, size_t n,
                   uint8_t *out)
{
    switch (which) {
    case 0:
        loops->to_bf16(x, n, out);
        break;
    case 1:
        loops->to_f16(x, n, out);
        break;
    default:
        loops->to_int8(x, n, 1.0F / 127, 5, n, out);
        break;
    }
}

static void decode(const rub_codec_loops_t *loops, int which, const uint8_t *in, size_t n, float *x)
{
    switch (which) {
    case 0:
        loops->from_bf16(in, n, x);
        break;
    case 1:
        loops->from_f16(in, n, x);
        break;
    default:
        loops->from_int8(in, n, 1.0F / 127, x);
        break;
    }
}

static void every_set_encodes_as_plain_c(void **state)
{
    (void)state;
    float x[ROOM];
    uint8_t want[2 * ROOM], got[2 * ROOM];
    const rub_codec_loops_t *plain = rub_codec_loops_at(0);
    for (size_t s = 1; rub_codec_loops_at(s); s++) {
        for (size_t n = 0; n <= N; n++) {
            for (int which = 0; which < LOOPS; which++) {
                for (unsigned i = 0; i < ROOM; i++) {
                    const float v = value((unsigned)n * 31 + i);
                    x[i] = which == 2 ? fmaxf(-1.0F, fminf(1.0F, isnan(v) ? 0.3F : v)) : v;
                }
                memset(want, 1, sizeof want);
                memset(got, 1, sizeof got);
                const size_t at = n % 4;
                encode(plain, which, x + at, n, want + at);
                encode(rub_codec_loops_at(s), which, x + at, n, got + at);
                if (memcmp(want, got, sizeof want) != 0) {
                    fail_msg("%s: to %s differs from plain C at n %zu", rub_codec_loops_at(s)->name,
                             names[which], n);
                }
                assert_int_equal(plain->greatest(x + at, n),
                                 rub_codec_loops_at(s)->greatest(x + at, n));
            }
        }
    }
}

/* All 65536 patterns, in runs of every length up to 65. */
static void every_set_decodes_as_plain_c(void **state)
{
    (void)state;
    const rub_codec_loops_t *plain = rub_codec_loops_at(0);
    for (size_t s = 1; rub_codec_loops_at(s); s++) {
        for (int which = 0; which < LOOPS; which++) {
            uint32_t pattern = 0;
            for (size_t n = 1; pattern < 65536; n = n % 65 + 1) {
                uint8_t in[2 * 65 + 1];
                float want[65], got[65];
                for (size_t i = 0; i < n; i++, pattern++) {
                    in[1 + 2 * i] = (uint8_t)pattern;
                    in[2 + 2 * i] = (uint8_t)(pattern >> 8);
                }
                decode(plain, which, in + 1, n, want);
                decode(rub_codec_loops_at(s), which, in + 1, n, got);
                if (memcmp(want, got, n * sizeof(float)) != 0) {
                    fail_msg("%s: from %s differs from plain C before %x",
                             rub_codec_loops_at(s)->name, names[which], pattern);
                }
            }
        }
    }
}

/* What the coarse codecs do, value by value as codec.h says it. */
typedef struct coarse {
    uint8_t one[N / 8 + 2], two[N / 4 + 2];
    double above[RUB_CODEC_LANES], below[RUB_CODEC_LANES], sizes[RUB_CODEC_LANES];
    double low[RUB_CODEC_LANES], high[RUB_CODEC_LANES];
    size_t n_above, n_high, n_counted;
    uint64_t mask; /* of the first 64 */
    float from_one[ROOM], from_two[ROOM];
} coarse_t;

static void by_definition(const float *x, size_t n, double border, uint32_t size, coarse_t *out)
{
    memset(out, 0, sizeof *out);
    for (size_t i = 0; i < n; i++) {
        const double v = (double)x[i], large = fabs(v);
        const bool up = x[i] >= 0, is_high = large > border;
        uint32_t bits;
        memcpy(&bits, &x[i], sizeof bits);
        out->above[i % RUB_CODEC_LANES] += up ? v : 0;
        out->below[i % RUB_CODEC_LANES] += up ? 0 : v;
        out->sizes[i % RUB_CODEC_LANES] += large;
        out->low[i % RUB_CODEC_LANES] += is_high ? 0 : large;
        out->high[i % RUB_CODEC_LANES] += is_high ? large : 0;
        out->n_above += up;
        out->n_high += is_high;
        out->n_counted += (bits & 0x7fffffff) >= size;
        out->mask |= i < 64 && (bits & 0x7fffffff) >= size ? UINT64_C(1) << i : 0;
        out->one[i / 8] |= (uint8_t)(up << i % 8);
        out->two[i / 4] |= (uint8_t)(((x[i] < 0) | is_high << 1) << i % 4 * 2);
        out->from_one[i] = up ? 3.0F : -2.0F;
        out->from_two[i] = (is_high ? -5.0F : 0.25F) * (x[i] < 0 ? -1.0F : 1.0F);
    }
}

static void by_loops(const rub_codec_loops_t *loops, const float *x, size_t n, double border,
                     uint32_t size, coarse_t *out)
{
    memset(out, 0, sizeof *out);
    memset(out->one, 0xff, (n + 7) / 8); /* what stood there is no matter */
    memset(out->two, 0xff, (n + 3) / 4);
    out->n_above = loops->to_1bit(x, n, out->one, out->above, out->below);
    loops->sum_sizes(x, n, out->sizes);
    out->n_high = loops->to_2bit(x, n, border, out->two, out->low, out->high);
    out->n_counted = loops->count_from(x, n, size);
    out->mask = loops->mask_from(x, n < 64 ? n : 64, size);
    loops->from_1bit(out->one, n, 3.0F, -2.0F, out->from_one);
    loops->from_2bit(out->two, n, 0.25F, -5.0F, out->from_two);
}

/* Sums that hold a NaN have one, of whatever payload. */
static void expect_sums(const double *want, const double *got, const char *name, size_t n)
{
    for (int i = 0; i < RUB_CODEC_LANES; i++) {
        if (memcmp(&want[i], &got[i], sizeof want[i]) != 0 && !(isnan(want[i]) && isnan(got[i]))) {
            fail_msg("%s: sum %d is %g, expected %g, at n %zu", name, i, got[i], want[i], n);
        }
    }
}

static void every_set_makes_the_coarse_codecs_as_they_are_defined(void **state)
{
    (void)state;
    for (size_t s = 0; rub_codec_loops_at(s); s++) {
        const rub_codec_loops_t *loops = rub_codec_loops_at(s);
        for (size_t n = 0; n <= N; n++) {
            float x[ROOM];
            static coarse_t want, got;
            const double border = n % 5 == 4 ? NAN : 0.4;
            const uint32_t size = n % 3 == 0 ? 0x7f800000 : 0x3f000000 + (uint32_t)n;
            for (unsigned i = 0; i < ROOM; i++) {
                const float v = value((unsigned)n * 57 + i);
                x[i] = n % 2 == 0 && isnan(v) ? 0.7F : v; /* sums without a NaN, too */
            }
            by_definition(x + n % 4, n, border, size, &want);
            by_loops(loops, x + n % 4, n, border, size, &got);
            expect_sums(want.above, got.above, loops->name, n);
            expect_sums(want.below, got.below, loops->name, n);
            expect_sums(want.sizes, got.sizes, loops->name, n);
            expect_sums(want.low, got.low, loops->name, n);
            expect_sums(want.high, got.high, loops->name, n);
            assert_memory_equal(want.one, got.one, sizeof want.one);
            assert_memory_equal(want.two, got.two, sizeof want.two);
            assert_memory_equal(want.from_one, got.from_one, sizeof want.from_one);
            assert_memory_equal(want.from_two, got.from_two, sizeof want.from_two);
            assert_int_equal(want.n_above, got.n_above);
            assert_int_equal(want.n_high, got.n_high);
            assert_int_equal(want.n_counted, got.n_counted);
            assert_int_equal(want.mask, got.mask);
        }
    }
}

static void tell_coarse_speeds(const rub_codec_loops_t *loops, float *x, uint8_t *bytes)
{
    static const char *const what[COARSE] = {"1bit", "2bit", "count"};
    for (int which = 0; which < COARSE; which++) {
        double sums[2][RUB_CODEC_LANES] = {{0}};
        size_t counted = 0;
        const uint64_t began = rub_now_us();
        for (int round = 0; round < SPEED_ROUNDS; round++) {
            if (which == 0) {
                counted += loops->to_1bit(x, SPEED_VALUES, bytes, sums[0], sums[1]);
            } else if (which == 1) {
                loops->sum_sizes(x, SPEED_VALUES, sums[0]);
                counted += loops->to_2bit(x, SPEED_VALUES, 0.5, bytes, sums[0], sums[1]);
            } else {
                counted += loops->count_from(x, SPEED_VALUES, 0x3f000000);
            }
        }
        const uint64_t encoded = rub_now_us();
        for (int round = 0; round < SPEED_ROUNDS && which < 2; round++) {
            if (which == 0) {
                loops->from_1bit(bytes, SPEED_VALUES, 0.75F, 0.25F, x);
            } else {
                loops->from_2bit(bytes, SPEED_VALUES, 0.25F, 0.75F, x);
            }
        }
        const double bytes_done = 4.0 * SPEED_VALUES * SPEED_ROUNDS;
        assert_true(counted > 0);
        print_message("%-7s %-5s encodes %6.2f", loops->name, what[which],
                      bytes_done / (double)(encoded - began + 1) / 1e3);
        if (which < 2) {
            print_message(", decodes %6.2f",
                          bytes_done / (double)(rub_now_us() - encoded + 1) / 1e3);
        }
        print_message(" GB/s of float32\n");
    }
}

static void the_fastest_is_one_of_them(void **state)
{
    (void)state;
    static float x[SPEED_VALUES];
    static uint8_t bytes[2 * SPEED_VALUES];
    size_t n_sets = 0;
    for (unsigned i = 0; i < SPEED_VALUES; i++) {
        x[i] = (float)(i % 1000) / 1000;
    }
    for (; rub_codec_loops_at(n_sets); n_sets++) {
        const rub_codec_loops_t *loops = rub_codec_loops_at(n_sets);
        for (int which = 0; which < LOOPS; which++) {
            uint64_t took[2];
            for (int way = 0; way < 2; way++) {
                const uint64_t began = rub_now_us();
                for (int round = 0; round < SPEED_ROUNDS; round++) {
                    if (way == 0) {
                        encode(loops, which, x, SPEED_VALUES, bytes);
                    } else {
                        decode(loops, which, bytes, SPEED_VALUES, x);
                    }
                }
                took[way] = rub_now_us() - began + 1;
            }
            const double bytes_done = 4.0 * SPEED_VALUES * SPEED_ROUNDS;
            print_message("%-7s %-5s encodes %6.2f, decodes %6.2f GB/s of float32\n", loops->name,
                          names[which], bytes_done / (double)took[0] / 1e3,
                          bytes_done / (double)took[1] / 1e3);
        }
    }
    for (size_t s = 0; s < n_sets; s++) {
        tell_coarse_speeds(rub_codec_loops_at(s), x, bytes);
    }
    assert_ptr_equal(rub_codec_loops(), rub_codec_loops_at(n_sets - 1));
}

/* Whole codecs, as a session and a shard use them, with the fastest set; rows of a dense table. */
static void speeds_of_codecs_are_told(void **state)
{
    (void)state;
    static float x[SPEED_VALUES], sent[4096];
    static uint8_t bytes[4 * SPEED_VALUES];
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        const size_t row = codec->dense_row ? codec->dense_row : 256,
                     row_bytes = codec->row_bytes(row);
        uint64_t took[2] = {0};
        for (int round = 0; round < SPEED_ROUNDS / 4; round++) {
            for (unsigned i = 0; i < SPEED_VALUES; i++) {
                x[i] = value(i * 7 + 1) > 0 ? (float)(i % 1000) / 1000 : -(float)(i % 777) / 1000;
            }
            const uint64_t began = rub_now_us();
            for (size_t i = 0; i < SPEED_VALUES / row; i++) {
                if (codec->feedback) {
                    rub_codec_encode_rest(codec, x + i * row, row, bytes + i * row_bytes, sent);
                } else {
                    codec->encode(x + i * row, row, 1, i, bytes + i * row_bytes);
                }
            }
            const uint64_t encoded = rub_now_us();
            for (size_t i = 0; i < SPEED_VALUES / row; i++) {
                assert_int_equal(codec->decode(bytes + i * row_bytes, row, x + i * row), 0);
            }
            took[0] += encoded - began;
            took[1] += rub_now_us() - encoded;
        }
        const double bytes_done = 4.0 * SPEED_VALUES * (SPEED_ROUNDS / 4);
        print_message("%-5s rows of %4zu: encodes%s %6.2f, decodes %6.2f GB/s of float32\n",
                      codec->name, row, codec->feedback ? " and keeps the rest" : "",
                      bytes_done / (double)(took[0] + 1) / 1e3,
                      bytes_done / (double)(took[1] + 1) / 1e3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_encodes_as_plain_c),
        cmocka_unit_test(every_set_decodes_as_plain_c),
        cmocka_unit_test(every_set_makes_the_coarse_codecs_as_they_are_defined),
        cmocka_unit_test(the_fastest_is_one_of_them),
        cmocka_unit_test(speeds_of_codecs_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
