/* Delay compensation of one gradient: formulas of Zheng et al. 2017, equations 10 and 14. */
#include "common/num/compensation.h"

#include "common/base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

enum { N = 37 };

static float value(size_t i, float scale)
{
    return scale * (float)((int)(i * 7919 % 101) - 50) / 50.0F;
}

static void fill(float g[N], float now[N], float seen[N])
{
    for (size_t i = 0; i < N; i++) {
        g[i] = value(i, 0.3F);
        now[i] = value(i + 5, 1.1F);
        seen[i] = value(3 * i + 1, 0.9F);
    }
}

static void expect_near(float got, double want)
{
    assert_true(fabs((double)got - want) <= 1e-6 * (1 + fabs(want)));
}

static void a_gradient_is_carried_to_the_weights_of_now(void **state)
{
    RUB_UNUSED(state);
    float g[N], now[N], seen[N], out[N];
    fill(g, now, seen);
    rub_compensate(out, g, now, seen, N, 0.7F);
    for (size_t i = 0; i < N; i++) {
        expect_near(out[i], g[i] + 0.7 * g[i] * g[i] * ((double)now[i] - seen[i]));
    }
}

/* The loss (w - 1)^2 a / 2 with a = lambda g^2 is what it assumes: then it is exact. */
static void it_is_exact_where_the_curvature_is_as_assumed(void **state)
{
    RUB_UNUSED(state);
    const float curvature = 0.25F, seen = 3, now = 5;
    const float g = curvature * (seen - 1);
    float out;
    rub_compensate(&out, &g, &now, &seen, 1, curvature / (g * g));
    expect_near(out, (double)curvature * (now - 1));
}

static void what_has_not_moved_stays_as_it_is(void **state)
{
    RUB_UNUSED(state);
    float g[N], now[N], seen[N], squares[N] = {0};
    fill(g, now, seen);
    for (size_t i = 0; i < N; i++) {
        float one, other;
        rub_compensate(&one, &g[i], &now[i], &now[i], 1, 0.5F);
        rub_compensate_adaptive(&other, &g[i], &now[i], &now[i], &squares[i], 1, 2);
        assert_true(one == g[i]);
        assert_true(other == g[i]);
    }
}

static void the_adaptive_one_divides_by_the_root_of_mean_squares(void **state)
{
    RUB_UNUSED(state);
    float g[N], now[N], seen[N], squares[N] = {0};
    double mean[N] = {0};
    for (int step = 0; step < 3; step++) {
        float out[N];
        fill(g, now, seen);
        rub_compensate_adaptive(out, g, now, step == 1 ? NULL : seen, squares, N, 2);
        for (size_t i = 0; i < N; i++) {
            mean[i] = 0.95 * mean[i] + 0.05 * g[i] * g[i];
            const double moved = step == 1 ? 0 : (double)now[i] - seen[i];
            expect_near(out[i], g[i] + 2 / sqrt(mean[i] + 1e-7) * g[i] * g[i] * moved);
        }
    }
}

static void it_may_be_done_in_place(void **state)
{
    RUB_UNUSED(state);
    float g[N], now[N], seen[N], out[N], squares[2][N] = {{0}};
    fill(g, now, seen);
    rub_compensate_adaptive(out, g, now, seen, squares[0], N, 2);
    rub_compensate_adaptive(g, g, now, seen, squares[1], N, 2);
    assert_memory_equal(out, g, sizeof(g));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_gradient_is_carried_to_the_weights_of_now),
        cmocka_unit_test(it_is_exact_where_the_curvature_is_as_assumed),
        cmocka_unit_test(what_has_not_moved_stays_as_it_is),
        cmocka_unit_test(the_adaptive_one_divides_by_the_root_of_mean_squares),
        cmocka_unit_test(it_may_be_done_in_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
