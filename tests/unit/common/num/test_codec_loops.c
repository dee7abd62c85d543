/* Every instruction set against plain C, to the bit, over lengths, alignments and values that
 * vector code treats differently; and how fast each is. */
#include "common/base/timing.h"
#include "common/num/codec_loops.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 300, ROOM = N + 8, LOOPS = 3, SPEED_VALUES = 32768, SPEED_ROUNDS = 60 };

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
    assert_ptr_equal(rub_codec_loops(), rub_codec_loops_at(n_sets - 1));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_encodes_as_plain_c),
        cmocka_unit_test(every_set_decodes_as_plain_c),
        cmocka_unit_test(the_fastest_is_one_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
