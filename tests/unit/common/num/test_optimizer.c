/* Optimizers against PyTorch's, and the rules that make their results repeatable. */
#include "common/base/check.h"
#include "common/num/optimizer.h"
#include "tests/golden/optimizers.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

static void twenty_steps_match_pytorch(void **state)
{
    (void)state;
    for (size_t c = 0; c < RUB_COUNT_OF(golden_cases); c++) {
        const rub_optimizer_t *optimizer = rub_optimizer_named(golden_cases[c].optimizer);
        float w[GOLDEN_WEIGHTS];
        float slots[2 * GOLDEN_WEIGHTS] = {0};
        assert_non_null(optimizer);
        memcpy(w, golden_start, sizeof w);
        for (uint64_t t = 1; t <= GOLDEN_STEPS; t++) {
            optimizer->apply(w, slots, GOLDEN_WEIGHTS, t, &golden_cases[c].hyper,
                             golden_gradients[t - 1]);
        }
        for (int i = 0; i < GOLDEN_WEIGHTS; i++) {
            const float want = golden_cases[c].end[i];
            const float bound = golden_cases[c].exact ? 0.0f : 1e-6f * fabsf(want);
            if (!(fabsf(w[i] - want) <= bound)) {
                fail_msg("%s: weight %d is %a, expected %a", golden_cases[c].name, i, (double)w[i],
                         (double)want);
            }
        }
    }
}

/* Unaligned starts and every length: bodies in vector registers and tails must do the same. */
static void a_weight_does_not_depend_on_its_place(void **state)
{
    (void)state;
    enum { N = 67 };
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.weight_decay = 0.01;
    for (uint32_t kind = 0; rub_optimizer_find(kind) != NULL; kind++) {
        const rub_optimizer_t *optimizer = rub_optimizer_find(kind);
        float w[N], g[N], slots[2 * N], whole[N];
        for (int i = 0; i < N; i++) {
            whole[i] = 1.0f + (float)i * 0.37f;
            g[i] = (float)(i % 5) * 0.11f - 0.2f;
        }
        g[7] = 1e-41f; /* denormal */
        memcpy(w, whole, sizeof w);
        memset(slots, 0, sizeof slots);
        optimizer->apply(whole, slots, N, 3, &hyper, g);
        for (size_t first = 0; first < N; first += 3) {
            const size_t n = N - first < 3 ? N - first : 3;
            float few[6] = {0};
            optimizer->apply(w + first, few, n, 3, &hyper, g + first);
        }
        assert_memory_equal(w, whole, sizeof w);
        optimizer->apply(w, slots, 0, 3, &hyper, g);
        assert_memory_equal(w, whole, sizeof w);
    }
}

/* Through the same door as one row, only together: what a row gets does not depend on the others.
 */
static void rows_together_get_the_bits_of_each_alone(void **state)
{
    (void)state;
    enum { ROWS = 5, N = 16 };
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.weight_decay = 0.01;
    for (uint32_t kind = 0; rub_optimizer_find(kind) != NULL; kind++) {
        const rub_optimizer_t *optimizer = rub_optimizer_find(kind);
        float together[ROWS][3 * N] = {{0}}, alone[ROWS][3 * N] = {{0}}, g[ROWS * N];
        float *rows[ROWS];
        assert_int_equal(optimizer->apply_rows == NULL, optimizer->needs_step);
        if (optimizer->needs_step) {
            continue;
        }
        for (size_t i = 0; i < ROWS * N; i++) {
            together[i / N][i % N] = alone[i / N][i % N] = 0.1f * (float)i;
            g[i] = (float)(i % 7) * 0.3f - 1.0f;
        }
        for (size_t r = 0; r < ROWS; r++) {
            rows[r] = together[ROWS - 1 - r];
            optimizer->apply(alone[ROWS - 1 - r], alone[ROWS - 1 - r] + N, N, 1, &hyper, g + r * N);
        }
        optimizer->apply_rows(rows, ROWS, N, &hyper, g);
        assert_memory_equal(together, alone, sizeof alone);
    }
}

static void infinities_and_nan_propagate(void **state)
{
    (void)state;
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    for (uint32_t kind = 0; rub_optimizer_find(kind) != NULL; kind++) {
        float w[2] = {1, 1}, slots[4] = {0};
        const float g[2] = {NAN, 0.5f};
        rub_optimizer_find(kind)->apply(w, slots, 2, 1, &hyper, g);
        assert_true(isnan(w[0]));
        assert_true(isfinite(w[1]));
    }
}

static void optimizers_are_found_by_number_and_name(void **state)
{
    (void)state;
    assert_string_equal(rub_optimizer_find(RUB_ADAM)->name, "adam");
    assert_int_equal(rub_optimizer_named("adagrad")->kind, RUB_ADAGRAD);
    assert_int_equal(rub_optimizer_find(RUB_ADAM)->slots, 2);
    assert_true(rub_optimizer_find(RUB_ADAM)->needs_step);
    assert_null(rub_optimizer_find(77));
    assert_null(rub_optimizer_named("lbfgs"));
}

static void powers_are_exact_where_they_can_be(void **state)
{
    (void)state;
    assert_true(rub_power(0.5, 10) == 0x1p-10);
    assert_true(rub_power(0.9, 0) == 1.0);
    assert_true(rub_power(0.9, 1) == 0.9);
    assert_true(fabs(rub_power(0.999, 1000) - pow(0.999, 1000)) < 1e-14);
    assert_true(rub_power(0.9, UINT64_MAX) == 0.0);
}

static void hyper_parameters_out_of_bounds_are_refused(void **state)
{
    (void)state;
    rub_error_t err;
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    assert_int_equal(rub_hyper_check(&hyper, &err), 0);
    const struct {
        double *place;
        double bad;
        const char *word;
    } cases[] = {
        {&hyper.lr, -0.1, "lr"},
        {&hyper.lr, NAN, "lr"},
        {&hyper.lr, 1e300, "lr"},
        {&hyper.epsilon, INFINITY, "epsilon"},
        {&hyper.weight_decay, -1, "weight_decay"},
        {&hyper.momentum, 1.0, "momentum"},
        {&hyper.beta1, -0.1, "beta1"},
        {&hyper.beta2, 1.0, "beta2"},
        {&hyper.beta2, 0.99999999999, "beta2"},
        {&hyper.beta1, NAN, "beta1"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(cases); i++) {
        rub_hyper_defaults(&hyper);
        *cases[i].place = cases[i].bad;
        assert_int_equal(rub_hyper_check(&hyper, &err), RUB_EINVAL);
        assert_non_null(strstr(err.message, cases[i].word));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_steps_match_pytorch),
        cmocka_unit_test(a_weight_does_not_depend_on_its_place),
        cmocka_unit_test(rows_together_get_the_bits_of_each_alone),
        cmocka_unit_test(infinities_and_nan_propagate),
        cmocka_unit_test(optimizers_are_found_by_number_and_name),
        cmocka_unit_test(powers_are_exact_where_they_can_be),
        cmocka_unit_test(hyper_parameters_out_of_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
