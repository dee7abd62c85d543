/* Kernels against the obvious loop, for every length and alignment that vector code treats
 * differently. */
#include "common/num/kernels.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void one_bad_value_is_found_wherever_it_stands(void **state)
{
    (void)state;
    float x[80];
    const float bad[] = {NAN, -NAN, INFINITY, -INFINITY};
    for (size_t n = 0; n < 70; n++) {
        for (size_t i = 0; i < 80; i++) {
            x[i] = i % 2 ? FLT_MAX : -1e-42f;
        }
        x[0] = NAN; /* outside: the range starts at 1, unaligned to a register */
        x[n + 1] = INFINITY;
        assert_true(rub_all_finite(x + 1, n));
        for (size_t i = 0; i < n; i++) {
            const float good = x[i + 1];
            x[i + 1] = bad[i % 4];
            assert_false(rub_all_finite(x + 1, n));
            x[i + 1] = good;
        }
    }
}

static void add_and_scale_do_each_value_once(void **state)
{
    (void)state;
    for (size_t n = 0; n < 70; n++) {
        float x[72], y[72];
        for (size_t i = 0; i < 72; i++) {
            x[i] = (float)i;
            y[i] = 0.5f;
        }
        rub_add_into(x + 1, y + 1, n);
        rub_scale(x + 1, n, 2.0f);
        for (size_t i = 0; i < 72; i++) {
            const float want = i >= 1 && i <= n ? ((float)i + 0.5f) * 2.0f : (float)i;
            assert_true(x[i] == want);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(one_bad_value_is_found_wherever_it_stands),
        cmocka_unit_test(add_and_scale_do_each_value_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
