/* Clipping: what is left alone, what is cut, and that a model's arrays count as one. */
#include "common/num/clip.h"

#include "common/base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void nothing_is_clipped_that_was_not_asked_for(void **state)
{
    (void)state;
    float g[3] = {1e30f, -3, 0.5f};
    const float before[3] = {1e30f, -3, 0.5f};
    float *const arrays[] = {g};
    const size_t n[] = {3};
    assert_true(rub_clip_gradients(&(rub_clip_t){0}, arrays, n, 1) == 0);
    assert_memory_equal(g, before, sizeof g);
    const double found = rub_clip_gradients(&(rub_clip_t){.norm = 1e31}, arrays, n, 1);
    assert_true(fabs(found / 1e30 - 1) < 1e-7);
    assert_memory_equal(g, before, sizeof g);
}

static void values_go_to_the_nearest_bound(void **state)
{
    (void)state;
    float g[6] = {2, -2, 0.5f, INFINITY, -INFINITY, NAN};
    float *const arrays[] = {g};
    const size_t n[] = {6};
    (void)rub_clip_gradients(&(rub_clip_t){.value = 1}, arrays, n, 1);
    assert_true(g[0] == 1 && g[1] == -1 && g[2] == 0.5f && g[3] == 1 && g[4] == -1);
    assert_true(isnan(g[5]));
}

/* Numbers of torch.nn.utils.clip_grad_norm_([3, 4], [12]), max_norm 6.5. */
static void arrays_have_one_norm_together(void **state)
{
    (void)state;
    float a[2] = {3, 4}, b[1] = {12};
    float *const arrays[] = {a, b};
    const size_t n[] = {2, 1};
    assert_true(rub_clip_gradients(&(rub_clip_t){.norm = 6.5}, arrays, n, 2) == 13);
    assert_true(fabsf(a[0] - 1.5f) < 1e-6f && fabsf(a[1] - 2) < 1e-6f && fabsf(b[0] - 6) < 1e-6f);
    assert_true(b[0] < 6); /* 6.5 / (13 + 1e-6) */
}

static void values_are_clipped_before_the_norm(void **state)
{
    (void)state;
    float g[2] = {100, 4};
    float *const arrays[] = {g};
    const size_t n[] = {2};
    assert_true(rub_clip_gradients(&(rub_clip_t){.value = 3, .norm = 1}, arrays, n, 1) ==
                sqrt(18.0));
    assert_true(g[0] == g[1]);
}

/* What is no number is not hidden: the push will be refused. */
static void a_nan_is_seen_by_who_pushes(void **state)
{
    (void)state;
    float g[2] = {NAN, 4};
    float *const arrays[] = {g};
    const size_t n[] = {2};
    assert_true(isnan(rub_clip_gradients(&(rub_clip_t){.norm = 1}, arrays, n, 1)));
    assert_true(isnan(g[0]) && g[1] == 4);
    g[0] = INFINITY;
    (void)rub_clip_gradients(&(rub_clip_t){.norm = 1}, arrays, n, 1);
    assert_true(isnan(g[0]));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_clipped_that_was_not_asked_for),
        cmocka_unit_test(values_go_to_the_nearest_bound),
        cmocka_unit_test(arrays_have_one_norm_together),
        cmocka_unit_test(values_are_clipped_before_the_norm),
        cmocka_unit_test(a_nan_is_seen_by_who_pushes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
