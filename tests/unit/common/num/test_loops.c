/* Every instruction set against plain C: the same bits, for every length and alignment that vector
 * code treats differently, and for values that round, overflow, underflow and are none. */
#include "common/num/loops.h"

#include "common/base/timing.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 150, ROOM = N + 8, ARRAYS = 4, SPECIAL = 12, LOOPS = 6 };

static const float special[SPECIAL] = {0.0f,    -0.0f, FLT_MAX,  -FLT_MAX,  FLT_MIN, 1e-41f,
                                       -1e-45f, 1e30f, INFINITY, -INFINITY, NAN,     1.0f};
static const char *const names[LOOPS] = {"add_into", "scale", "sgd", "momentum", "adagrad", "adam"};

static float value(unsigned i)
{
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

/* w: weights, a and b: slots, g: gradients. */
static void run(const rub_loops_t *loops, int which, float *w, float *a, float *b, const float *g,
                size_t n)
{
    static const rub_adam_step_t adam = {0.9f, 0.999f, 0.1f, 0.001f, 0.01f, 0.1f, 0.01f, 1e-8f};
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
                for (int which = 0; which < LOOPS; which++) {
                    fill(want, (unsigned)n);
                    memcpy(got, want, sizeof(want));
                    run(rub_loops_at(0), which, want[0] + at, want[1] + at, want[2] + at,
                        want[3] + at, n);
                    run(loops, which, got[0] + at, got[1] + at, got[2] + at, got[3] + at, n);
                    if (!same(&want[0][0], &got[0][0], (size_t)ARRAYS * ROOM)) {
                        fail_msg("%s: %s differs from plain C at n %zu, offset %zu", loops->name,
                                 names[which], n, at);
                    }
                }
            }
        }
    }
}

/* Weight, slots and gradient each take every special value with every other, and stand at every
 * place of a register. */
static void every_set_agrees_on_every_combination_of_special_values(void **state)
{
    (void)state;
    enum { ALL = SPECIAL * SPECIAL * SPECIAL * SPECIAL };
    static float want[ARRAYS][ALL + 1], got[ARRAYS][ALL + 1];
    for (size_t s = 1; rub_loops_at(s); s++) {
        for (int which = 0; which < LOOPS; which++) {
            for (size_t at = 0; at < 2; at++) {
                for (size_t i = 0; i <= ALL; i++) {
                    size_t rest = i;
                    for (size_t a = 0; a < ARRAYS; a++, rest /= SPECIAL) {
                        want[a][i] = got[a][i] = special[rest % SPECIAL];
                    }
                }
                run(rub_loops_at(0), which, want[0] + at, want[1] + at, want[2] + at, want[3] + at,
                    ALL);
                run(rub_loops_at(s), which, got[0] + at, got[1] + at, got[2] + at, got[3] + at,
                    ALL);
                for (size_t a = 0; a < ARRAYS; a++) {
                    if (!same(want[a], got[a], ALL + 1)) {
                        fail_msg("%s: %s differs from plain C in array %zu", rub_loops_at(s)->name,
                                 names[which], a);
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

enum { ROWS = 7, STRIDE = 3 * 80 + 5 }; /* floats between two rows: weights, slots, and a gap */

/* As run, of many rows; kinds are numbered as there. */
static void run_rows(const rub_loops_t *loops, int which, float *const *rows, const float *g,
                     size_t n)
{
    switch (which) {
    case 0:
        loops->add_into_rows(rows, ROWS, n, g);
        break;
    case 2:
        loops->sgd_rows(rows, ROWS, n, g, 0.01f, 0.1f);
        break;
    case 3:
        loops->momentum_rows(rows, ROWS, n, g, 0.01f, 0.1f, 0.9f);
        break;
    default:
        loops->adagrad_rows(rows, ROWS, n, g, 0.01f, 0.1f, 1e-8f);
    }
}

/* One row comes twice, and takes two steps. */
static void many_rows_get_the_bits_of_one_after_the_other(void **state)
{
    (void)state;
    static const int kinds[] = {0, 2, 3, 4}, places[ROWS] = {3, 0, 5, 5, 1, 3, 4};
    static float want[ROWS * STRIDE], got[ROWS * STRIDE], g[ROWS * 80];
    for (size_t s = 0; rub_loops_at(s); s++) {
        for (size_t n = 1; n <= 80; n++) {
            for (size_t k = 0; k < 4; k++) {
                float *rows[ROWS];
                for (unsigned i = 0; i < ROWS * STRIDE; i++) {
                    want[i] = got[i] = fabsf(value(i + (unsigned)n));
                }
                for (unsigned i = 0; i < ROWS * n; i++) {
                    g[i] = value(i * 3 + (unsigned)n);
                }
                for (int r = 0; r < ROWS; r++) {
                    float *w = want + places[r] * STRIDE;
                    rows[r] = got + places[r] * STRIDE;
                    run(rub_loops_at(0), kinds[k], w, w + n, NULL, g + (size_t)r * n, n);
                }
                run_rows(rub_loops_at(s), kinds[k], rows, g, n);
                if (!same(want, got, (size_t)ROWS * STRIDE)) {
                    fail_msg("%s: %s of rows differs from plain C at n %zu", rub_loops_at(s)->name,
                             names[kinds[k]], n);
                }
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

/* Nanoseconds of a call; the best of ten, because the machine may do something else, too. which:
 * LOOPS: all_finite. */
static double time_ns(const rub_loops_t *loops, int which, float arrays[ARRAYS][4096], size_t n)
{
    const int calls = (int)(400000 / n) + 1;
    double best = INFINITY;
    bool finite = true;
    for (int turn = 0; turn < 10; turn++) {
        for (size_t i = 0; i < n; i++) { /* nothing overflows, and nothing is denormal */
            arrays[0][i] = arrays[1][i] = arrays[2][i] = 1.0f;
            arrays[3][i] = 1e-6f * (float)(i + 1);
        }
        const uint64_t start_ns = rub_now_ns();
        for (int call = 0; call < calls; call++) {
            if (which == LOOPS) {
                finite = loops->all_finite(arrays[3], n) && finite;
            } else if (which != 1) { /* shrinking 400,000 times would end in denormals */
                run(loops, which, arrays[0], arrays[1], arrays[2], arrays[3], n);
            } else {
                loops->scale(arrays[0], n, call % 2 ? 2.0f : 0.5f);
            }
        }
        best = fmin(best, (double)(rub_now_ns() - start_ns) / calls);
    }
    assert_true(finite);
    return best;
}

/* Printed for people, and for docs/performance.md; no machine must be fast. */
static void speeds_are_told(void **state)
{
    (void)state;
    static const size_t sizes[] = {16, 64, 4096};
    static const int arrays_used[LOOPS + 1] = {2, 1, 2, 3, 3, 4, 1}; /* written ones count once */
    static _Alignas(64) float arrays[ARRAYS][4096];
    print_message("million values/s (GB/s of arrays read), in the cache\n%-12s", "");
    for (size_t s = 0; rub_loops_at(s); s++) {
        for (size_t k = 0; k < 3; k++) {
            char head[24];
            snprintf(head, sizeof(head), "%s x%zu", rub_loops_at(s)->name, sizes[k]);
            print_message(" %15s", head);
        }
    }
    for (int which = 0; which <= LOOPS; which++) {
        print_message("\n%-12s", which == LOOPS ? "all_finite" : names[which]);
        for (size_t s = 0; rub_loops_at(s); s++) {
            for (size_t k = 0; k < 3; k++) {
                const double ns = time_ns(rub_loops_at(s), which, arrays, sizes[k]);
                const double values = (double)sizes[k] / ns * 1e3;
                print_message(" %8.0f (%4.0f)", values, values * arrays_used[which] * 4e-3);
            }
        }
    }
    print_message("\n");
}

/* The same for AdaGrad's rows of a table that fits a cache, called one by one and together. */
static void speeds_of_rows_are_told(void **state)
{
    (void)state;
    static const size_t widths[] = {1, 8, 16, 32, 64};
    static _Alignas(64) float table[ROWS * 256], g[ROWS * 64];
    float *rows[ROWS];
    for (size_t i = 0; i < ROWS; i++) {
        rows[i] = table + 256 * i;
    }
    for (size_t i = 0; i < ROWS * 64; i++) {
        g[i] = 1e-6f * (float)(i + 1);
    }
    print_message("adagrad, ns a row: one by one, together\n");
    for (size_t s = 0; rub_loops_at(s); s++) {
        const rub_loops_t *loops = rub_loops_at(s);
        for (size_t w = 0; w < sizeof(widths) / sizeof(widths[0]); w++) {
            const size_t n = widths[w], calls = 20000;
            double one = INFINITY, all = INFINITY;
            for (int turn = 0; turn < 5; turn++) {
                const uint64_t begin_ns = rub_now_ns();
                for (size_t call = 0; call < calls; call++) {
                    for (size_t r = 0; r < ROWS; r++) {
                        loops->adagrad(rows[r], rows[r] + n, g + r * n, n, 0.01f, 0.0f, 1e-8f);
                    }
                }
                const uint64_t middle_ns = rub_now_ns();
                for (size_t call = 0; call < calls; call++) {
                    loops->adagrad_rows(rows, ROWS, n, g, 0.01f, 0.0f, 1e-8f);
                }
                one = fmin(one, (double)(middle_ns - begin_ns) / (double)(calls * ROWS));
                all = fmin(all, (double)(rub_now_ns() - middle_ns) / (double)(calls * ROWS));
            }
            print_message("%s x%zu: %.1f, %.1f\n", loops->name, n, one, all);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_gives_the_bits_of_plain_c),
        cmocka_unit_test(every_set_agrees_on_every_combination_of_special_values),
        cmocka_unit_test(every_set_finds_the_value_that_is_none),
        cmocka_unit_test(many_rows_get_the_bits_of_one_after_the_other),
        cmocka_unit_test(the_fastest_is_one_of_them),
        cmocka_unit_test(speeds_are_told),
        cmocka_unit_test(speeds_of_rows_are_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
