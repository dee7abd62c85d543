/* Loss scaling: what float16 would lose is kept, what it can not hold is left out, and the scale
 * finds its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/check.h"
#include "worker/train/loss_scale.h"

#include <math.h>
#include <string.h>

static bool rounds(rub_loss_scale_t *scale, float *values, size_t n)
{
    float *const arrays[] = {values};
    bool fits = false;
    assert_int_equal(rub_loss_scale_round(scale, arrays, &n, 1, &fits, NULL), 0);
    return fits;
}

static void small_gradients_are_kept_to_eleven_bits(void **state)
{
    RUB_UNUSED(state);
    rub_loss_scale_t scale;
    float values[3000];
    rub_loss_scale_init(&scale);
    for (size_t i = 0; i < 3000; i++) {
        values[i] = 1e-9f * (float)(i + 1); /* unscaled, float16 would make most of them 0 */
    }
    assert_true(rounds(&scale, values, 3000));
    for (size_t i = 0; i < 3000; i++) {
        const float x = 1e-9f * (float)(i + 1);
        assert_true(fabsf(values[i] - x) <= x * 0x1p-11f || x * scale.scale < 0x1p-14f);
        assert_true(values[i] > 0 || x * scale.scale < 0x1p-24f);
    }
}

static void what_does_not_fit_halves_the_scale_until_it_does(void **state)
{
    RUB_UNUSED(state);
    rub_loss_scale_t scale;
    unsigned skipped = 0;
    rub_loss_scale_init(&scale);
    for (float value = 8; !rounds(&scale, &value, 1); value = 8) {
        skipped++;
    }
    assert_int_equal(skipped, 4); /* 8 x 65536 / 16 is 32768; twice that is beyond 65504 */
    assert_true(scale.scale == 4096);
    float edge[] = {65504.0f / 4096, 65519.0f / 4096};
    assert_true(rounds(&scale, edge, 2));
    assert_true(edge[1] == 65504.0f / 4096);
    float beyond = 65520.0f / 4096;
    assert_false(rounds(&scale, &beyond, 1));
}

static void the_scale_doubles_when_it_has_fit_for_long(void **state)
{
    RUB_UNUSED(state);
    rub_loss_scale_t scale;
    rub_loss_scale_init(&scale);
    for (uint32_t i = 0; i < RUB_LOSS_SCALE_GOOD; i++) {
        float value = 1e-3f;
        assert_true(scale.scale == RUB_LOSS_SCALE_FIRST);
        assert_true(rounds(&scale, &value, 1));
    }
    assert_true(scale.scale == 2 * RUB_LOSS_SCALE_FIRST);
    float value = NAN;
    assert_false(rounds(&scale, &value, 1));
    assert_int_equal(scale.n_good, 0);
}

static void nothing_helps_what_is_beyond_float16_unscaled(void **state)
{
    RUB_UNUSED(state);
    rub_loss_scale_t scale = {.scale = 1};
    float value = INFINITY;
    float *const arrays[] = {&value};
    const size_t n = 1;
    bool fits = true;
    rub_error_t err = {0};
    assert_int_equal(rub_loss_scale_round(&scale, arrays, &n, 1, &fits, &err), RUB_EDIVERGED);
    assert_non_null(strstr(err.message, "loss scale of 1"));
    assert_false(fits);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(small_gradients_are_kept_to_eleven_bits),
        cmocka_unit_test(what_does_not_fit_halves_the_scale_until_it_does),
        cmocka_unit_test(the_scale_doubles_when_it_has_fit_for_long),
        cmocka_unit_test(nothing_helps_what_is_beyond_float16_unscaled),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
