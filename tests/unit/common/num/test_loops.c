/* Every instruction set against plain C: the same bits, for every length and alignment that vector
 * code treats differently, and for values that round, overflow, underflow and are none. */
#include "common/num/loops.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 150, ROOM = N + 8, ARRAYS = 4 };

static float value(unsigned i)
{
    static const float special[] = {0.0f,    -0.0f, FLT_MAX,  -FLT_MAX,  FLT_MIN, 1e-41f,
                                    -1e-45f, 1e30f, INFINITY, -INFINITY, NAN,     1.0f};
    const uint32_t mixed = (i * UINT32_C(2654435761)) ^ (i << 7);
    return mixed % 11 == 0 ? special[mixed / 11 % 12]
                           : ((float)(mixed >> 8) / 8388608.0f - 1.0f) * 3.0f;
}

/* Weights, two slots (which optimizers keep at or above zero), gradients. */
static void fill(float arrays[ARRAYS][ROOM], unsigned salt)
{
    for (unsigned a = 0; a < ARRAYS; a++) {
        for (unsigned i = 0; i < ROOM; i++) {
            const float x = value(salt * 977 + a * 131 + i);
            arrays[a][i] = a == 1 || a == 2 ? fabsf(x) : x;
        }
    }
}

static void run(const rub_loops_t *loops, int which, float arrays[ARRAYS][ROOM], size_t at,
                size_t n)
{
    static const rub_adam_step_t adam = {0.9f, 0.999f, 0.1f, 0.001f, 0.01f, 0.1f, 0.01f, 1e-8f};
    float *w = arrays[0] + at, *a = arrays[1] + at, *b = arrays[2] + at, *g = arrays[3] + at;
    switch (which) {
    case 0:
        loops->add_into(w, g, n);
        break;
    case 1:
        loops->scale(w, n, 0.3f);
        break;
    case 2:
        loops->sgd(w, g, n, 0.01f, 0.1f);
        break;
    case 3:
        loops->momentum(w, a, g, n, 0.01f, 0.1f, 0.9f);
        break;
    case 4:
        loops->adagrad(w, a, g, n, 0.01f, 0.1f, 1e-8f);
        break;
    default:
        loops->adam(w, a, b, g, n, &adam);
        break;
    }
}

/* A NaN is a NaN: which payload comes out is no instruction set's promise. */
static bool same(const float *x, const float *y, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        if (memcmp(&x[i], &y[i], sizeof(float)) != 0 && !(isnan(x[i]) && isnan(y[i]))) {
            return false;
        }
    }
    return true;
}

static void every_set_gives_the_bits_of_plain_c(void **state)
{
    (void)state;
    static float want[ARRAYS][ROOM], got[ARRAYS][ROOM];
    for (size_t s = 1; rub_loops_at(s); s++) {
        const rub_loops_t *loops = rub_loops_at(s);
        for (size_t n = 0; n <= N; n++) {
            for (size_t at = 0; at < 4; at++) {
                for (int which = 0; which < 6; which++) {
                    fill(want, (unsigned)n);
                    memcpy(got, want, sizeof(want));
                    run(rub_loops_at(0), which, want, at, n);
                    run(loops, which, got, at, n);
                    if (!same(&want[0][0], &got[0][0], (size_t)ARRAYS * ROOM)) {
                        fail_msg("%s: loop %d differs from plain C at n %zu, offset %zu",
                                 loops->name, which, n, at);
                    }
                }
            }
        }
    }
}

static void every_set_finds_the_value_that_is_none(void **state)
{
    (void)state;
    static const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t s = 0; rub_loops_at(s); s++) {
        float x[N + 2];
        for (size_t n = 0; n <= N; n++) {
            for (size_t i = 0; i < N + 2; i++) {
                x[i] = i % 2 ? FLT_MAX : -1e-42f;
            }
            x[0] = NAN; /* outside */
            x[n + 1] = INFINITY;
            assert_true(rub_loops_at(s)->all_finite(x + 1, n));
            for (size_t i = 1; i <= n; i++) {
                const float good = x[i];
                x[i] = bad[i % 4];
                assert_false(rub_loops_at(s)->all_finite(x + 1, n));
                x[i] = good;
            }
        }
    }
}

static void the_fastest_is_one_of_them(void **state)
{
    (void)state;
    size_t n = 0;
    while (rub_loops_at(n)) {
        n++;
    }
    assert_ptr_equal(rub_loops(), rub_loops_at(n - 1));
    print_message("this CPU runs %s\n", rub_loops()->name);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_gives_the_bits_of_plain_c),
        cmocka_unit_test(every_set_finds_the_value_that_is_none),
        cmocka_unit_test(the_fastest_is_one_of_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
