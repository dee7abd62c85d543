/* First touch is a function of the address, not of the order. */
#include "common/base/check.h"
#include "common/num/initializer.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

enum { N = 10000 };

static rub_initializer_t make(rub_init_kind_t kind, double scale)
{
    return (rub_initializer_t){.kind = kind, .scale = scale, .seed = 7, .table = 99};
}

static void ranges_can_be_cut_anywhere(void **state)
{
    (void)state;
    static float whole[N], cut[N];
    for (int kind = RUB_INIT_ZEROS; kind <= RUB_INIT_NORMAL; kind++) {
        const rub_initializer_t init = make((rub_init_kind_t)kind, 0.5);
        rub_initializer_fill_range(&init, 1000, N, whole);
        for (size_t at = 0, n = 1; at < N; at += n, n = n % 13 + 1) {
            n = N - at < n ? N - at : n;
            rub_initializer_fill_range(&init, 1000 + at, n, cut + at);
        }
        assert_memory_equal(whole, cut, sizeof whole);
    }
}

static void rows_begin_alike_whatever_their_width(void **state)
{
    (void)state;
    float narrow[5], wide[64];
    for (int kind = RUB_INIT_ZEROS; kind <= RUB_INIT_NORMAL; kind++) {
        const rub_initializer_t init = make((rub_init_kind_t)kind, 0.5);
        rub_initializer_fill_row(&init, UINT64_MAX, 5, narrow);
        rub_initializer_fill_row(&init, UINT64_MAX, 64, wide);
        assert_memory_equal(narrow, wide, sizeof narrow);
    }
}

static void moments_are_those_asked_for(void **state)
{
    (void)state;
    static float x[N];
    const struct {
        rub_init_kind_t kind;
        double deviation, bound;
    } cases[] = {{RUB_INIT_UNIFORM, 0.1 / 1.7320508, 0.1}, {RUB_INIT_NORMAL, 0.1, 0.6}};
    for (size_t c = 0; c < RUB_COUNT_OF(cases); c++) {
        const rub_initializer_t init = make(cases[c].kind, 0.1);
        double sum = 0, squares = 0;
        rub_initializer_fill_range(&init, 0, N, x);
        for (int i = 0; i < N; i++) {
            assert_true(fabs(x[i]) <= cases[c].bound);
            sum += x[i];
            squares += (double)x[i] * x[i];
        }
        assert_true(fabs(sum / N) < 4 * cases[c].deviation / 100);
        assert_true(fabs(sqrt(squares / N) / cases[c].deviation - 1) < 0.04);
    }
}

static void seed_table_and_key_all_matter(void **state)
{
    (void)state;
    const rub_initializer_t init = make(RUB_INIT_NORMAL, 1);
    rub_initializer_t seed = init, table = init;
    float x[4], y[4];
    seed.seed++;
    table.table++;
    rub_initializer_fill_row(&init, 5, 4, x);
    rub_initializer_fill_row(&seed, 5, 4, y);
    assert_memory_not_equal(x, y, sizeof x);
    rub_initializer_fill_row(&table, 5, 4, y);
    assert_memory_not_equal(x, y, sizeof x);
    rub_initializer_fill_row(&init, 6, 4, y);
    assert_memory_not_equal(x, y, sizeof x);
    rub_initializer_fill_row(&init, 0, 4, x);
    rub_initializer_fill_range(&init, 0, 4, y);
    assert_memory_not_equal(x, y, sizeof x);
}

/* Pinned: unpushed rows of an old job must look the same to a new program. */
static void values_are_pinned(void **state)
{
    (void)state;
    float x[2], constant[3];
    const rub_initializer_t uniform = make(RUB_INIT_UNIFORM, 1);
    const rub_initializer_t two = make(RUB_INIT_CONSTANT, 2);
    rub_initializer_fill_row(&uniform, 1, 2, x);
    const float want[2] = {-0x1.dc5008p-2f, -0x1.1981d8p-1f};
    assert_memory_equal(x, want, sizeof x);
    rub_initializer_fill_range(&two, 5, 3, constant);
    assert_true(constant[0] == 2.0f && constant[2] == 2.0f);
}

static void bad_scales_and_kinds_are_refused(void **state)
{
    (void)state;
    rub_error_t err;
    assert_int_equal(rub_initializer_check(4, 1, &err), RUB_EINVAL);
    assert_int_equal(rub_initializer_check(RUB_INIT_NORMAL, -1, &err), RUB_EINVAL);
    assert_int_equal(rub_initializer_check(RUB_INIT_UNIFORM, NAN, &err), RUB_EINVAL);
    assert_int_equal(rub_initializer_check(RUB_INIT_CONSTANT, 1e300, &err), RUB_EINVAL);
    assert_int_equal(rub_initializer_check(RUB_INIT_CONSTANT, -1, &err), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranges_can_be_cut_anywhere),
        cmocka_unit_test(rows_begin_alike_whatever_their_width),
        cmocka_unit_test(moments_are_those_asked_for),
        cmocka_unit_test(seed_table_and_key_all_matter),
        cmocka_unit_test(values_are_pinned),
        cmocka_unit_test(bad_scales_and_kinds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
