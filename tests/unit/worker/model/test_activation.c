/* The exponential against libm in float64, activations at their edges, and the loss at its own. */
#include "common/num/exponential.h"
#include "worker/model/activation.h"
#include "worker/model/cross_entropy.h"

#include "common/base/check.h"
#include "common/base/timing.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <string.h>

#include <cmocka.h>

static void compare(const char *what, float x, double got, double want)
{
    if (!(fabs(got - want) <= 4e-7 * fabs(want))) {
        fail_msg("%s(%.9g) is %.9g, expected %.9g", what, (double)x, got, want);
    }
}

static void exponentials_keep_their_relative_bound(void **state)
{
    RUB_UNUSED(state);
    for (int i = -870000; i <= 880000; i += 7) {
        const float x = (float)i * 1e-4f;
        const double d = (double)x;
        compare("exp", x, (double)rub_exp(x), exp(d));
        compare("expm1", x, (double)rub_expm1(x), expm1(d));
        compare("logistic", x, (double)rub_logistic(x), 1 / (1 + exp(-d)));
        compare("tanh", x, (double)rub_tanh(x), tanh(d));
    }
    for (float x = 1e-30f; x < 1; x *= 1.7f) {
        compare("expm1", x, (double)rub_expm1(x), expm1((double)x));
        compare("expm1", -x, (double)rub_expm1(-x), expm1((double)-x));
        compare("tanh", x, (double)rub_tanh(x), tanh((double)x));
        compare("tanh", -x, (double)rub_tanh(-x), tanh((double)-x));
    }
}

static void exponentials_end_gently_and_keep_nan(void **state)
{
    RUB_UNUSED(state);
    assert_true(isfinite(rub_exp(INFINITY)));
    assert_true(rub_exp(INFINITY) > 1e38f);
    assert_true(rub_exp(-INFINITY) < 1e-37f);
    assert_true(rub_exp(0.0f) == 1.0f);
    assert_true(rub_expm1(0.0f) == 0.0f);
    assert_true(rub_expm1(-1e30f) == -1.0f);
    assert_true(rub_tanh(-INFINITY) == -1.0f);
    assert_true(rub_tanh(1e30f) == 1.0f);
    assert_true(rub_tanh(0.0f) == 0.0f);
    assert_true(rub_logistic(1000.0f) == 1.0f);
    assert_true(rub_logistic(-1000.0f) < 1e-37f);
    assert_true(isnan(rub_exp(NAN)));
    assert_true(isnan(rub_expm1(NAN)));
    assert_true(isnan(rub_tanh(NAN)));
    assert_true(isnan(rub_logistic(NAN)));
}

/* One number alone and the same among 66 others: bodies and tails of vectorised loops agree. */
static void activations_do_not_depend_on_the_place_in_a_row(void **state)
{
    RUB_UNUSED(state);
    enum { WIDTH = 67 };
    size_t n;
    const rub_activation_t *table = rub_activations(&n);
    assert_int_equal(n, 4);
    for (size_t a = 0; a < n; a++) {
        float row[WIDTH], bias[WIDTH];
        for (size_t j = 0; j < WIDTH; j++) {
            row[j] = (float)j * 0.31f - 10.0f;
            bias[j] = 0.125f;
        }
        table[a].forward(row, bias, 1, WIDTH);
        for (size_t j = 0; j < WIDTH; j++) {
            float one = (float)j * 0.31f - 10.0f;
            table[a].forward(&one, bias, 1, 1);
            assert_memory_equal(&one, &row[j], sizeof one);
        }
    }
}

static void backward_sums_the_bias_gradient_over_rows(void **state)
{
    RUB_UNUSED(state);
    const rub_activation_t *relu = rub_activation_find("relu");
    float delta[6] = {1, 2, 3, 4, 5, 6};
    const float y[6] = {1, 0, 2, 0, 0, 3};
    const float want[6] = {1, 0, 3, 0, 0, 6};
    float bias_gradient[3] = {9, 9, 9};
    relu->backward(delta, y, bias_gradient, 2, 3);
    assert_memory_equal(delta, want, sizeof want);
    assert_true(bias_gradient[0] == 1 && bias_gradient[1] == 0 && bias_gradient[2] == 9);
}

static void unknown_activations_are_not_found(void **state)
{
    RUB_UNUSED(state);
    assert_null(rub_activation_find("gelu"));
    assert_null(rub_activation_find(""));
}

static void losses_of_huge_logits_are_finite(void **state)
{
    RUB_UNUSED(state);
    float logits[6] = {1e4f, -1e4f, 0, -1e30f, 1e30f, 5};
    float again[6];
    memcpy(again, logits, sizeof logits);
    const float bias[3] = {0, 0, 0};
    const int32_t labels[2] = {0, 1};
    float bias_gradient[3];
    double loss = -1, evaluated = -1;
    size_t correct = 0;
    rub_cross_entropy_gradient(logits, bias, labels, 2, 3, bias_gradient, &loss, &correct);
    assert_true(fabs(loss) < 1e-6);
    assert_int_equal(correct, 2);
    for (size_t i = 0; i < 6; i++) {
        assert_true(fabsf(logits[i]) < 1e-6f);
    }
    rub_cross_entropy(again, bias, labels, 2, 3, &evaluated, &correct);
    assert_memory_equal(&evaluated, &loss, sizeof loss);
    assert_int_equal(correct, 2);
}

static void of_equal_logits_the_first_is_the_guess(void **state)
{
    RUB_UNUSED(state);
    const float bias[4] = {0.5f, 0.5f, 0.5f, 0.5f};
    float logits[8] = {0};
    const int32_t labels[2] = {0, 3};
    double loss = 0;
    size_t correct = 0;
    rub_cross_entropy(logits, bias, labels, 2, 4, &loss, &correct);
    assert_int_equal(correct, 1);
    assert_true(fabs(loss - 2 * log(4)) < 1e-6);
}

static void activations_are_timed(void **state)
{
    RUB_UNUSED(state);
    enum { ROWS = 128, WIDTH = 256 };
    static float z[ROWS * WIDTH], bias[WIDTH];
    size_t n;
    const rub_activation_t *table = rub_activations(&n);
    for (size_t a = 0; a < n; a++) {
        uint64_t best_ns = UINT64_MAX;
        for (int i = 0; i < 20; i++) {
            const uint64_t start_ns = rub_now_ns();
            table[a].forward(z, bias, ROWS, WIDTH);
            const uint64_t ns = rub_now_ns() - start_ns;
            best_ns = ns < best_ns ? ns : best_ns;
        }
        print_message("%-8s forward: %.2f ns per unit\n", table[a].name,
                      (double)best_ns / (ROWS * WIDTH));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(exponentials_keep_their_relative_bound),
        cmocka_unit_test(exponentials_end_gently_and_keep_nan),
        cmocka_unit_test(activations_do_not_depend_on_the_place_in_a_row),
        cmocka_unit_test(backward_sums_the_bias_gradient_over_rows),
        cmocka_unit_test(unknown_activations_are_not_found),
        cmocka_unit_test(losses_of_huge_logits_are_finite),
        cmocka_unit_test(of_equal_logits_the_first_is_the_guess),
        cmocka_unit_test(activations_are_timed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
