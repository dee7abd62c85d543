/* Every instruction set against plain C: the same bits, for every length and alignment that vector
 * code treats differently, and for values that round, overflow, underflow and are none. */
#include "common/num/loops.h"

#include "common/base/timing.h"
#include "common/num/optimizer.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

/* Loops: the optimizers by their numbers, and what else there is. */
enum { N = 150, SLOTS = 3, ROOM = SLOTS * N + 8, SPECIAL = 12 };
enum { ADD_INTO = RUB_OPTIMIZERS, LATE, CLAMP, SQUARES, SCALE, LOOPS };

static const float special[SPECIAL] = {0.0f,    -0.0f, FLT_MAX,  -FLT_MAX,  FLT_MIN, 1e-41f,
                                       -1e-45f, 1e30f, INFINITY, -INFINITY, NAN,     1.0f};

static const char *name_of(int which)
{
    return which == ADD_INTO  ? "add_into"
           : which == LATE    ? "adarevision, late"
           : which == CLAMP   ? "clamp"
           : which == SQUARES ? "sum_of_squares"
           : which == SCALE   ? "scale"
           : which == LOOPS   ? "all_finite"
                              : rub_optimizer_find((uint32_t)which)->name;
}

static float value(unsigned i)
{
    const uint32_t mixed = (i * UINT32_C(2654435761)) ^ (i << 7);
    return mixed % 11 == 0 ? special[mixed / 11 % 12]
                           : ((float)(mixed >> 8) / 8388608.0f - 1.0f) * 3.0f;
}

/* What a loop works on: weights, slots (optimizers keep most at or above zero), gradients. */
typedef struct arrays {
    float w[ROOM], slots[ROOM], g[ROOM];
} arrays_t;

static void fill(arrays_t *arrays, unsigned salt)
{
    for (unsigned i = 0; i < ROOM; i++) {
        arrays->w[i] = value(salt * 977 + i);
        arrays->slots[i] = fabsf(value(salt * 977 + 131 + i));
        arrays->g[i] = value(salt * 977 + 393 + i);
    }
}

/* What was applied since a late gradient's weights were read; as many as any test takes. */
static const float *since_read(void)
{
    enum { MOST = SPECIAL * SPECIAL * SPECIAL * SPECIAL };
    static float since[MOST];
    static bool filled;
    for (unsigned i = 0; i < MOST && !filled; i++) {
        since[i] = i % 2 == 1 ? value(i) : special[i / 7 % SPECIAL];
    }
    filled = true;
    return since;
}

static const rub_step_t scalars = {
    .lr = 0.01f,
    .decay = 0.1f,
    .epsilon = 1e-8f,
    .mu = 0.9f,
    .beta1 = 0.9f,
    .rest1 = 0.1f,
    .beta2 = 0.999f,
    .rest2 = 0.001f,
    .rate = 0.01f,
    .correction2 = 0.1f,
    .keep = 0.999f,
    .l1 = 0.5f,
    .l2 = 0.25f,
    .beta = 1.0f,
};

static void run(const rub_loops_t *loops, int which, float *w, float *slots, const float *g,
                size_t n)
{
    switch (which) {
    case ADD_INTO:
        loops->add_into(w, g, n);
        break;
    case LATE: {
        rub_step_t late = scalars;
        late.since = since_read();
        loops->step[RUB_ADAREVISION](w, slots, g, n, &late);
        break;
    }
    case CLAMP:
        loops->clamp(w, n, 1.5f);
        break;
    case SQUARES: {
        const double sum = loops->sum_of_squares(g, n);
        memcpy(slots, &sum, n > 1 ? sizeof(sum) : 0);
        break;
    }
    case SCALE:
        loops->scale(w, n, 0.3f);
        break;
    default:
        loops->step[which](w, slots, g, n, &scalars);
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
    static arrays_t want, got;
    for (size_t s = 1; rub_loops_at(s); s++) {
        const rub_loops_t *loops = rub_loops_at(s);
        for (size_t n = 0; n <= N; n++) {
            for (size_t at = 0; at < 4; at++) {
                for (int which = 0; which < LOOPS; which++) {
                    fill(&want, (unsigned)n);
                    got = want;
                    run(rub_loops_at(0), which, want.w + at, want.slots + at, want.g + at, n);
                    run(loops, which, got.w + at, got.slots + at, got.g + at, n);
                    if (!same(want.w, got.w, ROOM) || !same(want.slots, got.slots, ROOM) ||
                        !same(want.g, got.g, ROOM)) {
                        fail_msg("%s: %s differs from plain C at n %zu, offset %zu", loops->name,
                                 name_of(which), n, at);
                    }
                }
            }
        }
    }
}

/* Weight, gradient and two slots each take every special value with every other, and stand at every
 * place of a register. */
static void every_set_agrees_on_every_combination_of_special_values(void **state)
{
    (void)state;
    enum { ALL = SPECIAL * SPECIAL * SPECIAL * SPECIAL };
    static float w[2][ALL + 1], slots[2][SLOTS * ALL + 1], g[ALL + 1];
    for (size_t s = 1; rub_loops_at(s); s++) {
        for (int which = 0; which < LOOPS; which++) {
            for (size_t at = 0; at < 2; at++) {
                for (size_t i = 0; i <= ALL; i++) {
                    g[i] = special[i % SPECIAL];
                    w[0][i] = w[1][i] = special[i / SPECIAL % SPECIAL];
                }
                for (size_t i = 0; i <= SLOTS * ALL; i++) {
                    const size_t k = i / ALL, rest = i % ALL / (SPECIAL * SPECIAL);
                    const size_t pick = k == 0 ? rest : k == 1 ? rest / SPECIAL : i / 5;
                    slots[0][i] = slots[1][i] = special[pick % SPECIAL];
                }
                run(rub_loops_at(0), which, w[0] + at, slots[0] + at, g + at, ALL);
                run(rub_loops_at(s), which, w[1] + at, slots[1] + at, g + at, ALL);
                if (!same(w[0], w[1], ALL + 1) || !same(slots[0], slots[1], SLOTS * ALL + 1)) {
                    fail_msg("%s: %s differs from plain C", rub_loops_at(s)->name, name_of(which));
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

enum { ROWS = 7, STRIDE = 4 * 80 + 5 }; /* floats between two rows: weights, slots, and a gap */

/* One row comes twice, and takes two steps. */
static void many_rows_get_the_bits_of_one_after_the_other(void **state)
{
    (void)state;
    static const int places[ROWS] = {3, 0, 5, 5, 1, 3, 4};
    static float want[ROWS * STRIDE], got[ROWS * STRIDE], g[ROWS * 80];
    for (size_t s = 0; rub_loops_at(s); s++) {
        for (size_t n = 1; n <= 80; n++) {
            for (int which = 0; which < RUB_OPTIMIZERS; which++) {
                const bool counts = rub_optimizer_find((uint32_t)which)->needs_step;
                float *rows[ROWS];
                assert_int_equal(rub_loops_at(s)->step_rows[which] == NULL, counts);
                if (counts) {
                    continue;
                }
                for (unsigned i = 0; i < ROWS * STRIDE; i++) {
                    want[i] = got[i] = fabsf(value(i + (unsigned)n));
                }
                for (unsigned i = 0; i < ROWS * n; i++) {
                    g[i] = value(i * 3 + (unsigned)n);
                }
                rub_step_t late = scalars;
                for (int r = 0; r < ROWS; r++) {
                    float *w = want + places[r] * STRIDE;
                    rows[r] = got + places[r] * STRIDE;
                    late.since = n % 3 == 0 ? NULL : since_read() + (size_t)r * n;
                    rub_loops_at(0)->step[which](w, w + n, g + (size_t)r * n, n, &late);
                }
                late.since = n % 3 == 0 ? NULL : since_read();
                rub_loops_at(s)->step_rows[which](rows, ROWS, n, g, &late);
                if (!same(want, got, (size_t)ROWS * STRIDE)) {
                    fail_msg("%s: %s of rows differs from plain C at n %zu", rub_loops_at(s)->name,
                             name_of(which), n);
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

/* Nanoseconds of a call; the best of five, because the machine may do something else, too. */
static double time_ns(const rub_loops_t *loops, int which, size_t n)
{
    static _Alignas(64) float w[4096], slots[SLOTS * 4096], g[4096];
    const int calls = (int)(200000 / n) + 1;
    double best = INFINITY;
    bool finite = true;
    for (int turn = 0; turn < 5; turn++) {
        for (size_t i = 0; i < n; i++) { /* nothing overflows, and nothing is denormal */
            w[i] = slots[i] = slots[n + i] = slots[2 * n + i] = 1.0f;
            g[i] = 1e-6f * (float)(i + 1);
        }
        const uint64_t start_ns = rub_now_ns();
        for (int call = 0; call < calls; call++) {
            if (which == LOOPS) {
                finite = loops->all_finite(g, n) && finite;
            } else if (which != SCALE) { /* shrinking 200,000 times would end in denormals */
                run(loops, which, w, slots, g, n);
            } else {
                loops->scale(w, n, call % 2 ? 2.0f : 0.5f);
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
    print_message("million values/s (GB/s of arrays read), in the cache\n%-16s", "");
    for (size_t s = 0; rub_loops_at(s); s++) {
        for (size_t k = 0; k < 3; k++) {
            char head[24];
            snprintf(head, sizeof(head), "%s x%zu", rub_loops_at(s)->name, sizes[k]);
            print_message(" %15s", head);
        }
    }
    for (int which = 0; which <= LOOPS; which++) {
        const uint32_t arrays = which >= CLAMP      ? 1
                                : which == ADD_INTO ? 2
                                : which == LATE     ? 6
                                                : 2 + rub_optimizer_find((uint32_t)which)->slots;
        print_message("\n%-16s", name_of(which));
        for (size_t s = 0; rub_loops_at(s); s++) {
            for (size_t k = 0; k < 3; k++) {
                const double ns = time_ns(rub_loops_at(s), which, sizes[k]);
                const double values = (double)sizes[k] / ns * 1e3;
                print_message(" %8.0f (%4.0f)", values, values * arrays * 4e-3);
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
                        loops->step[RUB_ADAGRAD](rows[r], rows[r] + n, g + r * n, n, &scalars);
                    }
                }
                const uint64_t middle_ns = rub_now_ns();
                for (size_t call = 0; call < calls; call++) {
                    loops->step_rows[RUB_ADAGRAD](rows, ROWS, n, g, &scalars);
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
