/* Every instruction set against plain C, bit for bit, and plain C against libm in float64. */
#include "common/num/logistic_loops.h"

#include "common/base/timing.h"

#include <float.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { N = 150, ROOM = N + 8, SPECIAL = 12 };

static const float special[SPECIAL] = {0.0f,    -0.0f, FLT_MAX,  -FLT_MAX,  FLT_MIN, 1e-41f,
                                       -1e-45f, 90.0f, INFINITY, -INFINITY, NAN,     -90.0f};

static void fill(float *x)
{
    for (unsigned i = 0; i < ROOM; i++) {
        const uint32_t mixed = (i * UINT32_C(2654435761)) ^ (i << 7);
        x[i] = mixed % 7 == 0 ? special[mixed / 7 % SPECIAL]
                              : ((float)(mixed >> 8) / 8388608.0f - 1.0f) * 20.0f;
    }
}

static void every_set_gives_the_bits_of_plain_c(void **state)
{
    (void)state;
    const rub_logistic_loops_t *plain = rub_logistic_loops_at(0);
    for (size_t s = 1; rub_logistic_loops_at(s) != NULL; s++) {
        for (size_t offset = 0; offset < 4; offset++) {
            for (size_t n = 0; n <= N; n += n < 40 ? 1 : 11) {
                float expected[ROOM], x[ROOM], terms[ROOM] = {0}, expected_terms[ROOM] = {0};
                fill(expected);
                fill(x);
                plain->exponentials(x + offset, n, 0.5f, 0.7f, expected_terms + offset);
                rub_logistic_loops_at(s)->exponentials(x + offset, n, 0.5f, 0.7f, terms + offset);
                plain->residual(expected + offset, n, 1.0f, 0.3f);
                rub_logistic_loops_at(s)->residual(x + offset, n, 1.0f, 0.3f);
                for (size_t i = 0; i < ROOM; i++) { /* a NaN's bits are nobody's business */
                    assert_true(isnan(x[i]) ? isnan(expected[i])
                                            : memcmp(&x[i], &expected[i], sizeof x[i]) == 0);
                    assert_true(isnan(terms[i])
                                    ? isnan(expected_terms[i])
                                    : memcmp(&terms[i], &expected_terms[i], sizeof x[i]) == 0);
                }
            }
        }
    }
}

static void softmaxes_have_the_bits_of_plain_c_and_weigh_residuals(void **state)
{
    (void)state;
    for (size_t s = 0; rub_logistic_loops_at(s) != NULL; s++) {
        const rub_logistic_loops_t *plain = rub_logistic_loops_at(0),
                                   *it = rub_logistic_loops_at(s);
        for (size_t n = 0; n <= N; n += n < 40 ? 1 : 11) {
            float x[ROOM], expected[ROOM], weights[ROOM], greatest = -INFINITY;
            double sum = 0;
            for (size_t i = 0; i < ROOM; i++) {
                expected[i] = x[i] = (float)(i * 37 % 101) / 9 - 5;
                weights[i] = (float)(i * 53 % 97) / 96;
            }
            for (size_t i = 0; i < n; i++) {
                greatest = x[1 + i] > greatest ? x[1 + i] : greatest;
                sum += (double)weights[1 + i];
            }
            assert_true(it->greatest(x + 1, n) == greatest);
            assert_true(it->sum(weights + 1, n) == plain->sum(weights + 1, n));
            assert_true(fabs((double)it->sum(weights + 1, n) - sum) <= 1e-6 * sum);
            plain->weighted_residual(expected, weights, n, 0.3f, 0.25f);
            it->weighted_residual(x, weights, n, 0.3f, 0.25f);
            assert_memory_equal(x, expected, sizeof(x)); /* and nothing behind the n-th */
            for (size_t i = 0; i < n; i++) {
                float alone = (float)(i * 37 % 101) / 9 - 5;
                it->residual(&alone, 1, 0.0f, 0.3f);
                assert_true(x[i] == alone * (weights[i] * 0.25f));
            }
        }
        float nans[40];
        for (size_t i = 0; i < 40; i++) {
            nans[i] = i == 7 || i == 35 ? (float)i : NAN;
        }
        assert_true(it->greatest(nans, 40) == 35 && it->greatest(nans, 35) == 7);
        assert_true(it->greatest(nans + 8, 20) == -INFINITY);
        assert_true(isnan(it->sum(nans, 40)));
    }
}

static void residuals_are_those_of_the_formula(void **state)
{
    (void)state;
    for (int i = -300; i <= 300; i++) {
        for (int target = 0; target <= 1; target++) {
            float x = (float)i / 8;
            const double logistic = 1 / (1 + exp(-(double)x));
            rub_logistic_loops()->residual(&x, 1, (float)target, 0.5f);
            assert_true(fabs((double)x - 0.5 * (target - logistic)) <= 2e-7);
        }
    }
    float nan = NAN;
    rub_logistic_loops()->residual(&nan, 1, 0.0f, 1.0f);
    assert_true(isnan(nan));
}

static void exponentials_are_those_of_the_formula(void **state)
{
    (void)state;
    for (int i = -200; i <= 200; i++) {
        const float x = (float)i / 8;
        float term = 0;
        rub_logistic_loops()->exponentials(&x, 1, 2.0f, 0.5f, &term);
        const double wanted = exp(0.5 * ((double)x - 2));
        assert_true(fabs((double)term - wanted) <= 2e-6 * wanted);
    }
    float nan = NAN, term = 0;
    rub_logistic_loops()->exponentials(&nan, 1, 0.0f, 1.0f, &term);
    assert_true(isnan(term));
}

static void speeds_are_printed(void **state)
{
    (void)state;
    static float x[4096];
    for (size_t s = 0; rub_logistic_loops_at(s) != NULL; s++) {
        const uint64_t began_us = rub_now_us();
        for (int r = 0; r < 300; r++) {
            rub_logistic_loops_at(s)->residual(x, 4096, 1.0f, 0.3f);
        }
        const double us = (double)(rub_now_us() - began_us) + 1;
        printf("residual, %s: %.2f values/ns\n", rub_logistic_loops_at(s)->name,
               300 * 4096 / us / 1e3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_set_gives_the_bits_of_plain_c),
        cmocka_unit_test(softmaxes_have_the_bits_of_plain_c_and_weigh_residuals),
        cmocka_unit_test(residuals_are_those_of_the_formula),
        cmocka_unit_test(exponentials_are_those_of_the_formula),
        cmocka_unit_test(speeds_are_printed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
