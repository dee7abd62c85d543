/* What each codec promises: lengths, bounds of loss, no bias, nothing lost with error feedback, and
 * the bit patterns of NumPy and PyTorch. */
#include "common/base/check.h"
#include "common/base/rng.h"
#include "common/num/codec.h"
#include "tests/golden/codecs.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 700, CANARY = 0xa5 };

static const rub_codec_t *named(const char *name)
{
    const rub_codec_t *codec = rub_codec_named(name);
    assert_non_null(codec);
    return codec;
}

/* Normal-like numbers with zeros, denormals and a few large ones among them. */
static void fill(float *x, size_t n, uint64_t stream)
{
    rub_rng_t rng;
    rub_rng_init(&rng, 7, stream);
    for (size_t i = 0; i < n; i++) {
        double sum = 0;
        for (int k = 0; k < 12; k++) {
            sum += rub_rng_unit(&rng);
        }
        x[i] = (float)((sum - 6) * 0.01);
        const uint64_t kind = rub_rng_below(&rng, 20);
        x[i] = kind == 0 ? 0.0F : kind == 1 ? 1e-41F : kind == 2 ? x[i] * 30 : x[i];
    }
}

static void an_unknown_number_or_name_is_no_codec(void **state)
{
    (void)state;
    assert_null(rub_codec_find(7));
    assert_null(rub_codec_find(255));
    assert_null(rub_codec_named("f64"));
    assert_null(rub_codec_named(""));
    for (uint32_t number = 0; number < 7; number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        assert_int_equal(codec->number, number);
        assert_ptr_equal(rub_codec_named(codec->name), codec);
        assert_int_equal(RUB_BLOCK % codec->dense_row, 0);
    }
}

static void places_that_do_not_ascend_are_refused(void **state)
{
    (void)state;
    enum { N = 100 };
    const rub_codec_t *codec = named("topk");
    float x[N];
    uint8_t bytes[64];
    fill(x, N, 1);
    assert_true(codec->row_bytes(N) <= sizeof(bytes));
    codec->encode(x, N, 0, 0, bytes);
    assert_int_equal(codec->decode(bytes, N, x), 0);
    uint8_t bad[64];
    memcpy(bad, bytes, sizeof(bad));
    bad[2] = bytes[0]; /* a place twice */
    bad[3] = bytes[1];
    assert_int_equal(codec->decode(bad, N, x), RUB_ESHAPE);
    memcpy(bad, bytes, sizeof(bad));
    bad[6] = N; /* the last of four: behind the row */
    bad[7] = 0;
    assert_int_equal(codec->decode(bad, N, x), RUB_ESHAPE);
}

/* Every length, odd places in memory, nothing written or needed beyond row_bytes. */
static void every_length_is_written_and_read_within_its_bytes(void **state)
{
    (void)state;
    static float x[MOST + 2], got[MOST + 2];
    static uint8_t bytes[4 * MOST + 16];
    fill(x, MOST + 2, 3);
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        for (size_t n = 0; n <= MOST; n++) {
            const size_t at = n % 5, room = codec->row_bytes(n);
            assert_true(room <= 4 * n + 8);
            memset(bytes, CANARY, sizeof bytes);
            codec->encode(x + n % 2, n, 1, n, bytes + at);
            for (size_t i = 0; i < sizeof bytes; i++) {
                if (i < at || i >= at + room) {
                    assert_int_equal(bytes[i], CANARY);
                }
            }
            got[n] = 77;
            assert_int_equal(codec->decode(bytes + at, n, got), 0);
            assert_true(got[n] == 77);
            for (size_t i = 0; i < n; i++) {
                assert_true(isfinite(got[i]));
            }
        }
    }
}

static void rows_are_encoded_each_on_its_own(void **state)
{
    (void)state;
    enum { N = 600, ROW = 256 };
    static float x[N], whole[N], one[ROW];
    static uint8_t bytes[4 * N];
    fill(x, N, 5);
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        size_t used = 0;
        for (size_t at = 0; at < N; at += ROW) {
            const size_t n = N - at < ROW ? N - at : ROW;
            codec->encode(x + at, n, 1, at, bytes + used);
            used += codec->row_bytes(n);
        }
        assert_int_equal(used, rub_codec_bytes(codec, N, ROW));
        assert_int_equal(rub_codec_decode(codec, bytes, N, ROW, whole), 0);
        codec->encode(x + ROW, ROW, 1, ROW, bytes);
        assert_int_equal(codec->decode(bytes, ROW, one), 0);
        assert_memory_equal(one, whole + ROW, sizeof(one));
    }
}

/* ---- values that are none ---- */

static void a_row_that_is_not_finite_stays_not_finite(void **state)
{
    (void)state;
    enum { N = 70 };
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    float x[N], got[N];
    uint8_t bytes[4 * N];
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        for (size_t b = 0; b < RUB_COUNT_OF(bad); b++) {
            for (size_t place = 0; place < N; place++) {
                fill(x, N, place);
                x[place] = bad[b];
                codec->encode(x, N, 1, place, bytes);
                assert_int_equal(codec->decode(bytes, N, got), 0);
                bool finite = true;
                for (size_t i = 0; i < N; i++) {
                    finite = finite && isfinite(got[i]);
                }
                assert_false(finite);
            }
        }
    }
}

static void finite_values_stay_finite_however_great_or_small(void **state)
{
    (void)state;
    static const float special[] = {FLT_MAX, -FLT_MAX,   FLT_MIN,  -1e-45F,   0.0F, -0.0F,
                                    1e38F,   3.3953e38F, 65520.0F, -65536.0F, 1.0F};
    float x[64], got[64];
    uint8_t bytes[256];
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        for (size_t n = 1; n <= 64; n++) {
            for (size_t a = 0; a < RUB_COUNT_OF(special); a++) {
                for (size_t i = 0; i < n; i++) {
                    x[i] = i % 3 ? special[a] : special[(a + i) % RUB_COUNT_OF(special)];
                }
                codec->encode(x, n, 1, a, bytes);
                assert_int_equal(codec->decode(bytes, n, got), 0);
                for (size_t i = 0; i < n; i++) {
                    assert_true(isfinite(got[i]));
                }
            }
        }
    }
}

/* ---- halves ---- */

static uint16_t half_of(const rub_codec_t *codec, float x)
{
    uint16_t half;
    uint8_t bytes[2];
    codec->encode(&x, 1, 0, 0, bytes);
    memcpy(&half, bytes, sizeof half);
    return half;
}

static float of_half(const rub_codec_t *codec, uint16_t half)
{
    float x;
    uint8_t bytes[2];
    memcpy(bytes, &half, sizeof half);
    assert_int_equal(codec->decode(bytes, 1, &x), 0);
    return x;
}

static void all_65536_halves_come_back(void **state)
{
    (void)state;
    const rub_codec_t *codecs[] = {named("f16"), named("bf16")};
    for (size_t c = 0; c < RUB_COUNT_OF(codecs); c++) {
        for (uint32_t half = 0; half < 65536; half++) {
            const float x = of_half(codecs[c], (uint16_t)half);
            const uint16_t back = half_of(codecs[c], x);
            if (isnan(x)) {
                assert_true(isnan(of_half(codecs[c], back)));
            } else {
                assert_int_equal(back, half);
            }
        }
    }
}

/* IEEE 754: binary16 is (-1)^s 2^(e-15) 1.f, or 2^-14 0.f, checked from the definition. */
static void a_binary16_means_what_ieee_says(void **state)
{
    (void)state;
    const rub_codec_t *f16 = named("f16");
    for (uint32_t half = 0; half < 0x7c00; half++) {
        const int exponent = (int)(half >> 10);
        const double fraction = (double)(half & 0x3ff) / 1024;
        const double want = exponent ? ldexp(1 + fraction, exponent - 15) : ldexp(fraction, -14);
        assert_true((double)of_half(f16, (uint16_t)half) == want);
        assert_true((double)of_half(f16, (uint16_t)(half | 0x8000)) == -want);
    }
    assert_true(of_half(f16, 0x7c00) == INFINITY);
    assert_true(of_half(f16, 0xfc00) == -INFINITY);
}

static void halves_are_those_of_numpy_and_pytorch(void **state)
{
    (void)state;
    const rub_codec_t *f16 = named("f16"), *bf16 = named("bf16");
    for (size_t i = 0; i < RUB_COUNT_OF(golden_codecs); i++) {
        float x;
        memcpy(&x, &golden_codecs[i].f32, sizeof x);
        if (half_of(f16, x) != golden_codecs[i].f16 || half_of(bf16, x) != golden_codecs[i].bf16) {
            fail_msg("%a: %04x and %04x, expected %04x and %04x", (double)x, half_of(f16, x),
                     half_of(bf16, x), golden_codecs[i].f16, golden_codecs[i].bf16);
        }
    }
}

static void beyond_the_greatest_half_stands_the_greatest(void **state)
{
    (void)state;
    const rub_codec_t *f16 = named("f16"), *bf16 = named("bf16");
    const float large[] = {65519.0F, 65520.0F, 1e6F, FLT_MAX};
    for (size_t i = 0; i < RUB_COUNT_OF(large); i++) {
        assert_true(of_half(f16, half_of(f16, large[i])) == 65504.0F);
        assert_true(of_half(f16, half_of(f16, -large[i])) == -65504.0F);
    }
    assert_int_equal(half_of(bf16, FLT_MAX), 0x7f7f);
    assert_int_equal(half_of(bf16, -FLT_MAX), 0xff7f);
}

/* ---- int8 ---- */

/* The mean of M draws has a standard deviation of at most scale / (2 sqrt(M)); 6 of these, over
 * 300 values, are seen once in a million runs, and the draws are always the same ones. */
static void the_mean_of_int8_is_the_value(void **state)
{
    (void)state;
    enum { N = 300, M = 4000 };
    static float x[N], got[N];
    static double sums[N];
    static uint8_t bytes[N + 4];
    const rub_codec_t *codec = named("int8");
    for (int size = 0; size < 3; size++) {
        const float factor = size == 0 ? 1.0F : size == 1 ? 1e-38F : 1e30F;
        fill(x, N, 9);
        double most = 0;
        for (size_t i = 0; i < N; i++) {
            x[i] *= factor;
            sums[i] = 0;
            most = fmax(most, (double)fabsf(x[i]));
        }
        for (uint64_t m = 0; m < M; m++) {
            codec->encode(x, N, 42, rub_codec_stream(m, 0), bytes);
            assert_int_equal(codec->decode(bytes, N, got), 0);
            for (size_t i = 0; i < N; i++) {
                sums[i] += (double)got[i];
            }
        }
        float scale;
        memcpy(&scale, bytes, sizeof scale);
        assert_true((double)scale <= fmax(most / 127 * 1.0001, (double)FLT_MIN));
        const double bound = 6 * (double)scale / (2 * sqrt(M));
        for (size_t i = 0; i < N; i++) {
            if (!(fabs(sums[i] / M - (double)x[i]) <= bound)) {
                fail_msg("value %zu is %g, its mean %g, bound %g", i, (double)x[i], sums[i] / M,
                         bound);
            }
        }
    }
}

static void int8_is_off_by_less_than_its_scale(void **state)
{
    (void)state;
    enum { N = 300 };
    static float x[N], got[N];
    static uint8_t bytes[N + 4];
    const rub_codec_t *codec = named("int8");
    for (uint64_t stream = 0; stream < 200; stream++) {
        float scale;
        fill(x, N, stream);
        codec->encode(x, N, 1, stream, bytes);
        assert_int_equal(codec->decode(bytes, N, got), 0);
        memcpy(&scale, bytes, sizeof scale);
        for (size_t i = 0; i < N; i++) {
            assert_true(fabsf(got[i] - x[i]) <= scale * 1.0001F);
        }
    }
}

/* The draws are those of common/base/rng.h: block i / 16 ..., low halves first. */
static void int8_draws_from_the_rows_own_philox_stream(void **state)
{
    (void)state;
    enum { N = 200 };
    static float x[N];
    static uint8_t bytes[N + 4];
    fill(x, N, 2);
    named("int8")->encode(x, N, 11, 13, bytes);
    float scale;
    memcpy(&scale, bytes, sizeof scale);
    for (size_t i = 0; i < N; i++) {
        uint32_t words[4];
        const size_t chunk = i / 128, place = i % 64;
        rub_philox(11, 13, chunk * 16 + place % 16, words);
        const uint32_t word = words[place / 16];
        const uint32_t sixteen = i % 128 < 64 ? word & 0xffff : word >> 16;
        const float v = x[i] / scale + (128.0F + (float)sixteen / 65536.0F);
        assert_int_equal((int8_t)bytes[4 + i], (int)floorf(v) - 128);
    }
}

static void other_rows_and_other_pushes_draw_anew(void **state)
{
    (void)state;
    assert_true(rub_codec_stream(1, 0) != rub_codec_stream(1, 1));
    assert_true(rub_codec_stream(1, 0) != rub_codec_stream(0, 1));
    assert_true(rub_codec_stream(5, 9) == rub_codec_stream(5, 9));
}

/* ---- error feedback ---- */

/* In each step, for each value: residual is total - sent in float32, to the bit; and over all steps
 * what was sent and what is kept make up what was given, but for that one rounding a step. */
static void residual_and_sent_are_the_total(void **state)
{
    (void)state;
    enum { N = 300, STEPS = 200 };
    static float rest[N], sent[N], total[N], x[N];
    static double given[N], gone[N], slack[N];
    static uint8_t bytes[4 * N];
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        if (!codec->feedback) {
            continue;
        }
        memset(rest, 0, sizeof rest);
        memset(given, 0, sizeof given);
        memset(gone, 0, sizeof gone);
        memset(slack, 0, sizeof slack);
        for (uint64_t step = 0; step < STEPS; step++) {
            fill(x, N, step);
            for (size_t i = 0; i < N; i++) {
                const double before = (double)rest[i];
                given[i] += (double)x[i];
                rest[i] += x[i];
                slack[i] += fabs((double)rest[i] - (before + (double)x[i]));
                total[i] = rest[i];
            }
            rub_codec_encode_rest(codec, rest, N, bytes, sent);
            float again[N];
            assert_int_equal(codec->decode(bytes, N, again), 0);
            assert_memory_equal(again, sent, sizeof again);
            for (size_t i = 0; i < N; i++) {
                const float want = total[i] - sent[i];
                assert_memory_equal(&rest[i], &want, sizeof want);
                const double off = fabs((double)rest[i] + (double)sent[i] - (double)total[i]);
                assert_true(off <= (double)fabsf(rest[i]) * 0x1p-24);
                if (number == RUB_CODEC_TOPK) {
                    assert_true(rest[i] + sent[i] == total[i]);
                    assert_true(off == 0);
                }
                slack[i] += off;
                gone[i] += (double)sent[i];
            }
        }
        for (size_t i = 0; i < N; i++) {
            assert_true(fabs(gone[i] + (double)rest[i] - given[i]) <= slack[i] + 1e-12);
        }
    }
}

/* What makes error feedback work: a row's residual is smaller than its total (Karimireddy 2019).
 * Normal values: Max (1960) gives 0.363 for one bit, 0.1175 for two; a tenth of ours are zeros. */
static void what_is_kept_is_smaller_than_what_was_there(void **state)
{
    (void)state;
    enum { N = 256 };
    static float x[N], sent[N];
    static uint8_t bytes[4 * N];
    static const double most[] = {
        [RUB_CODEC_2BIT] = 0.25, [RUB_CODEC_1BIT] = 0.55, [RUB_CODEC_TOPK] = 0.9};
    for (uint32_t number = 0; rub_codec_find(number); number++) {
        const rub_codec_t *codec = rub_codec_find(number);
        for (uint64_t salt = 0; codec->feedback && salt < 200; salt++) {
            const bool tails = salt % 2 == 1;
            double before = 0, after = 0;
            fill(x, N, salt);
            for (size_t i = 0; i < N; i++) {
                x[i] = tails ? x[i] : fmaxf(-0.03F, fminf(x[i], 0.03F));
                before += (double)x[i] * (double)x[i];
            }
            rub_codec_encode_rest(codec, x, N, bytes, sent);
            for (size_t i = 0; i < N; i++) {
                after += (double)x[i] * (double)x[i];
            }
            if (!(after < (tails ? 1 : most[number]) * before)) {
                fail_msg("%s keeps %.3f of row %d", codec->name, after / before, (int)salt);
            }
        }
    }
}

static void topk_sends_the_greatest_and_of_equals_the_first(void **state)
{
    (void)state;
    enum { N = 64 };
    float x[N] = {0}, got[N];
    uint8_t bytes[16];
    const rub_codec_t *codec = named("topk");
    x[9] = -2;
    x[20] = x[30] = x[40] = 1;
    codec->encode(x, N, 0, 0, bytes);
    assert_int_equal(codec->decode(bytes, N, got), 0);
    for (size_t i = 0; i < N; i++) {
        assert_true(got[i] == (i == 9 ? -2.0F : i == 20 ? 1.0F : 0.0F));
    }
}

static bool bits_above(float a, float b)
{
    uint32_t a_bits, b_bits;
    memcpy(&a_bits, &a, sizeof a_bits);
    memcpy(&b_bits, &b, sizeof b_bits);
    return a_bits > b_bits;
}

/* Many equal values, a few, none; zeros, values that are none; rows shorter and longer than what is
 * looked through at a time. */
static void topk_chooses_as_a_stable_sort_would(void **state)
{
    (void)state;
    enum { N = 1500 };
    static const size_t lengths[] = {1, 2, 31, 32, 33, 63, 64, 65, 255, 256, 300, N};
    static float x[N], want[N], got[N];
    static uint8_t bytes[6 * N];
    const rub_codec_t *codec = named("topk");
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        const size_t n = lengths[l], k = (n + 31) / 32;
        for (int kind = 0; kind < 4; kind++) {
            fill(x, n, 7 * l + (uint64_t)kind);
            for (size_t i = 0; i < n; i++) {
                x[i] = kind == 0   ? x[i]
                       : kind == 1 ? (float)(int)(x[i] * 8) /* ties */
                       : kind == 2 ? (i % 7 ? 0.5F : -0.5F)
                                   : (i % 50 == 3   ? INFINITY
                                      : i % 90 == 4 ? NAN
                                                    : 0.0F);
            }
            for (size_t i = 0; i < n; i++) {
                size_t before = 0; /* values that come first; by bits, as a NaN is the greatest */
                for (size_t j = 0; j < n; j++) {
                    const float a = fabsf(x[j]), b = fabsf(x[i]);
                    before += bits_above(a, b) || (!bits_above(b, a) && j < i);
                }
                want[i] = before < k ? x[i] : 0.0F;
            }
            codec->encode(x, n, 0, 0, bytes);
            assert_int_equal(codec->decode(bytes, n, got), 0);
            assert_memory_equal(want, got, n * sizeof *got);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_unknown_number_or_name_is_no_codec),
        cmocka_unit_test(places_that_do_not_ascend_are_refused),
        cmocka_unit_test(every_length_is_written_and_read_within_its_bytes),
        cmocka_unit_test(rows_are_encoded_each_on_its_own),
        cmocka_unit_test(a_row_that_is_not_finite_stays_not_finite),
        cmocka_unit_test(finite_values_stay_finite_however_great_or_small),
        cmocka_unit_test(all_65536_halves_come_back),
        cmocka_unit_test(a_binary16_means_what_ieee_says),
        cmocka_unit_test(halves_are_those_of_numpy_and_pytorch),
        cmocka_unit_test(beyond_the_greatest_half_stands_the_greatest),
        cmocka_unit_test(the_mean_of_int8_is_the_value),
        cmocka_unit_test(int8_is_off_by_less_than_its_scale),
        cmocka_unit_test(int8_draws_from_the_rows_own_philox_stream),
        cmocka_unit_test(other_rows_and_other_pushes_draw_anew),
        cmocka_unit_test(residual_and_sent_are_the_total),
        cmocka_unit_test(what_is_kept_is_smaller_than_what_was_there),
        cmocka_unit_test(topk_sends_the_greatest_and_of_equals_the_first),
        cmocka_unit_test(topk_chooses_as_a_stable_sort_would),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
