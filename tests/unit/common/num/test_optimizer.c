/* Optimizers against PyTorch's, and the rules that make their results repeatable. */
#include "common/base/check.h"
#include "common/num/optimizer.h"
#include "common/num/power.h"
#include "tests/golden/optimizer_runs.h"
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
            rub_optimizer_apply(optimizer, w, slots, GOLDEN_WEIGHTS, t, &golden_cases[c].hyper,
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

/* The gradients that make_optimizer_runs.py draws. */
static uint32_t mix(uint32_t x)
{
    x = (x + 1) * UINT32_C(2654435761);
    x ^= x >> 15;
    x *= UINT32_C(2246822519);
    return x ^ x >> 13;
}

static float uniform(uint32_t x)
{
    return (float)(mix(x) >> 8) / 8388608.0f;
}

/* A row's sums of gradients behind each of its steps, for late ones. */
typedef struct past {
    float sums[RUN_STEPS + 1][RUN_WIDTH];
    uint32_t n;
} past_t;

/* What was applied to the row in the steps that a gradient does not know. */
static void since_read(past_t *past, const float *slots, uint32_t late, float *since)
{
    memcpy(past->sums[past->n], slots, sizeof past->sums[0]);
    const uint32_t read = past->n > late ? past->n - late : 0;
    for (uint32_t i = 0; i < RUN_WIDTH; i++) {
        since[i] = past->sums[past->n][i] - past->sums[read][i];
    }
    past->n++;
}

static void run(const rub_optimizer_t *optimizer, const rub_hyper_t *hyper, bool sparse,
                float rows[RUN_ROWS][RUN_WIDTH])
{
    float slots[RUN_ROWS][4 * RUN_WIDTH] = {{0}};
    uint64_t steps[RUN_ROWS] = {0};
    past_t pasts[RUN_ROWS] = {{.n = 0}};
    for (uint32_t i = 0; i < RUN_WEIGHTS; i++) {
        rows[i / RUN_WIDTH][i % RUN_WIDTH] =
            (1.0f + uniform(UINT32_C(2000000) + i)) * (i % 2 ? -1.0f : 1.0f);
    }
    for (uint32_t t = 0; t < RUN_STEPS; t++) {
        for (uint32_t r = 0; r < RUN_ROWS; r++) {
            if (sparse && mix(UINT32_C(1000000) + t * RUN_ROWS + r) % 3 != 0) {
                continue;
            }
            float g[RUN_WIDTH];
            for (uint32_t i = 0; i < RUN_WIDTH; i++) {
                g[i] = uniform(t * RUN_WEIGHTS + r * RUN_WIDTH + i) - 1.0f;
            }
            float since[RUN_WIDTH];
            since_read(&pasts[r], slots[r], mix(UINT32_C(3000000) + t * RUN_ROWS + r) % 7, since);
            rub_optimizer_apply_late(optimizer, rows[r], slots[r], RUN_WIDTH, ++steps[r], hyper, g,
                                     since);
        }
    }
}

static void expect_close(const char *name, const char *kind, const float rows[RUN_ROWS][RUN_WIDTH],
                         const float *want)
{
    for (int i = 0; i < RUN_WEIGHTS; i++) {
        const float got = rows[i / RUN_WIDTH][i % RUN_WIDTH];
        if (!(fabsf(got - want[i]) <= 1e-6f * fmaxf(1.0f, fabsf(want[i])))) {
            fail_msg("%s, %s: weight %d is %.9g, expected %.9g", name, kind, i, (double)got,
                     (double)want[i]);
        }
    }
}

static void hundred_steps_match_pytorch_on_dense_and_sparse_gradients(void **state)
{
    (void)state;
    uint32_t seen = 0;
    for (size_t c = 0; c < RUB_COUNT_OF(golden_runs); c++) {
        const rub_optimizer_t *optimizer = rub_optimizer_named(golden_runs[c].optimizer);
        float rows[RUN_ROWS][RUN_WIDTH];
        assert_non_null(optimizer);
        seen |= UINT32_C(1) << optimizer->kind;
        run(optimizer, &golden_runs[c].hyper, false, rows); /* of lamb a row is a tensor */
        expect_close(optimizer->name, "dense", rows, golden_runs[c].dense);
        run(optimizer, &golden_runs[c].hyper, true, rows);
        expect_close(optimizer->name, "sparse", rows, golden_runs[c].sparse);
    }
    for (uint32_t kind = 0; rub_optimizer_find(kind) != NULL; kind++) {
        assert_true((seen >> kind & 1) != 0); /* a new optimizer has a run of its own */
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
        float w[N], g[N], slots[3 * N], whole[N];
        if (optimizer->row_slots > 0 || optimizer->needs_whole) {
            continue; /* what a weight gets depends on its row */
        }
        for (int i = 0; i < N; i++) {
            whole[i] = 1.0f + (float)i * 0.37f;
            g[i] = (float)(i % 5) * 0.11f - 0.2f;
        }
        g[7] = 1e-41f; /* denormal */
        memcpy(w, whole, sizeof w);
        memset(slots, 0, sizeof slots);
        rub_optimizer_apply(optimizer, whole, slots, N, 3, &hyper, g);
        for (size_t first = 0; first < N; first += 3) {
            const size_t n = N - first < 3 ? N - first : 3;
            float few[9] = {0};
            rub_optimizer_apply(optimizer, w + first, few, n, 3, &hyper, g + first);
        }
        assert_memory_equal(w, whole, sizeof w);
        rub_optimizer_apply(optimizer, w, slots, 0, 3, &hyper, g);
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
        float together[ROWS][4 * N] = {{0}}, alone[ROWS][4 * N] = {{0}}, g[ROWS * N];
        float since[ROWS * N];
        float *rows[ROWS];
        if (optimizer->needs_step) {
            continue;
        }
        for (size_t i = 0; i < ROWS * N; i++) {
            together[i / N][i % N] = alone[i / N][i % N] = 0.1f * (float)i;
            g[i] = (float)(i % 7) * 0.3f - 1.0f;
        }
        for (size_t r = 0; r < ROWS; r++) {
            rows[r] = together[ROWS - 1 - r];
            rub_optimizer_apply(optimizer, alone[ROWS - 1 - r], alone[ROWS - 1 - r] + N, N, 1,
                                &hyper, g + r * N);
        }
        rub_optimizer_apply_rows(optimizer, rows, ROWS, N, &hyper, g, NULL);
        assert_memory_equal(together, alone, sizeof alone);
        for (size_t r = 0; r < ROWS; r++) {
            rub_optimizer_apply_late(optimizer, alone[ROWS - 1 - r], alone[ROWS - 1 - r] + N, N, 1,
                                     &hyper, g + r * N, g + (ROWS - 1 - r) * N);
            memcpy(since + r * N, g + (ROWS - 1 - r) * N, N * sizeof *g);
        }
        rub_optimizer_apply_rows(optimizer, rows, ROWS, N, &hyper, g, since);
        assert_memory_equal(together, alone, sizeof alone);
    }
}

static void adarevision_without_delays_is_adagrad(void **state)
{
    (void)state;
    enum { N = 37 };
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.weight_decay = 0.01;
    float w[3][N], slots[3][3 * N] = {{0}}, g[N];
    const float none[N] = {0};
    for (uint32_t i = 0; i < N; i++) {
        w[0][i] = w[1][i] = w[2][i] = 1 + uniform(i);
    }
    for (uint32_t t = 0; t < 100; t++) {
        for (uint32_t i = 0; i < N; i++) {
            g[i] = uniform(t * N + i) - 1;
        }
        rub_optimizer_apply(rub_optimizer_named("adagrad"), w[0], slots[0], N, 1, &hyper, g);
        rub_optimizer_apply(rub_optimizer_named("adarevision"), w[1], slots[1], N, 1, &hyper, g);
        rub_optimizer_apply_late(rub_optimizer_named("adarevision"), w[2], slots[2], N, 1, &hyper,
                                 g, none);
    }
    assert_memory_equal(w[0], w[1], sizeof w[0]);
    assert_memory_equal(w[0], w[2], sizeof w[0]);
    assert_memory_equal(slots[1], slots[2], sizeof slots[1]);
}

/* g g + 2 g b is what the second of two gradients of one reader adds to the square of their sum. */
static void a_late_gradient_is_revised_to_one_step_of_the_sum(void **state)
{
    (void)state;
    const rub_optimizer_t *optimizer = rub_optimizer_named("adarevision");
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.lr = 0.5;
    float w = 0, slots[3] = {0}, both = 0, fresh[3] = {0};
    const float first = 3, second = 1, sum = 4;
    rub_optimizer_apply(optimizer, &w, slots, 1, 1, &hyper, &first);
    rub_optimizer_apply_late(optimizer, &w, slots, 1, 1, &hyper, &second, &first);
    rub_optimizer_apply(optimizer, &both, fresh, 1, 1, &hyper, &sum);
    assert_true(fabsf(w - both) < 1e-6f);
    assert_true(slots[0] == 4 && slots[1] == 16 && slots[2] == 16);
    const float against = -2;
    rub_optimizer_apply_late(optimizer, &w, slots, 1, 1, &hyper, &against, &sum);
    assert_true(slots[1] == 4); /* (4 - 2)^2: a rate never rises again */
    assert_true(slots[2] == 16);
}

static void infinities_and_nan_propagate(void **state)
{
    (void)state;
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    for (uint32_t kind = 0; rub_optimizer_find(kind) != NULL; kind++) {
        const rub_optimizer_t *optimizer = rub_optimizer_find(kind);
        float w[2] = {1, 1}, slots[6] = {0};
        const float g[2] = {NAN, 0.5f};
        rub_optimizer_apply(optimizer, w, slots, 2, 1, &hyper, g);
        assert_true(isnan(w[0]));
        assert_int_equal(isfinite(w[1]) != 0, optimizer->row_slots == 0 && !optimizer->needs_whole);
    }
}

static void a_row_of_one_accumulator_has_just_that(void **state)
{
    (void)state;
    const rub_optimizer_t *optimizer = rub_optimizer_named("rowwise_adagrad");
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.epsilon = 0;
    float w[3] = {0}, slots[2] = {0, -1};
    const float g[3] = {1, 2, 4};
    assert_int_equal(rub_optimizer_floats(optimizer, 64), 65);
    rub_optimizer_apply(optimizer, w, slots, 3, 1, &hyper, g);
    assert_true(slots[0] == 7.0f);
    assert_true(slots[1] == -1.0f);
    assert_true(w[2] == 4 * w[0]); /* one rate for all */
}

static void lamb_is_no_tables_and_steps_by_its_weights_norm(void **state)
{
    (void)state;
    const rub_optimizer_t *optimizer = rub_optimizer_named("lamb");
    rub_hyper_t hyper;
    rub_error_t err = {0};
    rub_hyper_defaults(&hyper);
    hyper.lr = 0.5;
    assert_int_equal(rub_optimizer_check(optimizer, &hyper, &err), 0);
    assert_int_equal(rub_optimizer_check_table(optimizer, RUB_DENSE, &hyper, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "optimizer lamb takes norms of whole tensors"));
    assert_int_equal(
        rub_optimizer_check_table(rub_optimizer_named("adam"), RUB_DENSE, &hyper, &err), 0);
    float w[2] = {3, -4}, slots[4] = {0};
    const float g[2] = {1, -1e-4f};
    rub_optimizer_apply(optimizer, w, slots, 2, 1, &hyper, g);
    /* u is (1, -1) in the first step, |w| 5, |u| the root of 2 */
    const float length = 0.5f * 5 / sqrtf(2);
    assert_true(fabsf(w[0] - (3 - length)) < 1e-3f);
    assert_true(fabsf(w[1] - (-4 + length)) < 1e-3f);
    float zeros[2] = {0}, fresh[4] = {0};
    rub_optimizer_apply(optimizer, zeros, fresh, 2, 1, &hyper, g);
    assert_true(fabsf(zeros[0] + 0.5f) < 1e-3f); /* nothing to trust: lr u */
}

static void ftrl_keeps_weights_of_little_gradient_at_zero(void **state)
{
    (void)state;
    const rub_optimizer_t *optimizer = rub_optimizer_named("ftrl");
    rub_hyper_t hyper;
    rub_hyper_defaults(&hyper);
    hyper.l1 = 1;
    float w[3] = {0}, slots[6] = {0};
    const float g[3] = {0.5f, -2, 0};
    rub_optimizer_apply(optimizer, w, slots, 3, 1, &hyper, g);
    assert_true(w[0] == 0.0f && w[2] == 0.0f);
    assert_true(w[1] > 0.0f);
    rub_optimizer_apply(optimizer, w, slots, 3, 2, &hyper, g);
    assert_true(w[0] == 0.0f); /* |z| is l1 by now, not above */
    rub_optimizer_apply(optimizer, w, slots, 3, 3, &hyper, g);
    assert_true(w[0] < 0.0f);
}

static void optimizers_are_found_by_number_and_name(void **state)
{
    (void)state;
    assert_string_equal(rub_optimizer_find(RUB_ADAM)->name, "adam");
    assert_int_equal(rub_optimizer_named("adagrad")->kind, RUB_ADAGRAD);
    assert_int_equal(rub_optimizer_find(RUB_ADAM)->slots, 2);
    assert_true(rub_optimizer_find(RUB_ADAM)->needs_step);
    assert_int_equal(rub_optimizer_named("ftrl")->kind, RUB_FTRL);
    assert_int_equal(rub_optimizer_find(RUB_AMSGRAD)->slots, 3);
    for (uint32_t kind = 0; rub_optimizer_find(kind) != NULL; kind++) {
        assert_ptr_equal(rub_optimizer_named(rub_optimizer_find(kind)->name),
                         rub_optimizer_find(kind));
    }
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
    const rub_optimizer_t *sgd = rub_optimizer_find(RUB_SGD), *ftrl = rub_optimizer_find(RUB_FTRL);
    assert_int_equal(rub_optimizer_check(sgd, &hyper, &err), 0);
    assert_int_equal(rub_optimizer_check(ftrl, &hyper, &err), 0);
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
        {&hyper.rho, 1.0, "rho"},
        {&hyper.l1, -1, "l1"},
        {&hyper.l2, NAN, "l2"},
        {&hyper.ftrl_beta, INFINITY, "ftrl_beta"},
    };
    for (size_t i = 0; i < RUB_COUNT_OF(cases); i++) {
        rub_hyper_defaults(&hyper);
        *cases[i].place = cases[i].bad;
        assert_int_equal(rub_optimizer_check(sgd, &hyper, &err), RUB_EINVAL);
        assert_non_null(strstr(err.message, cases[i].word));
    }
    rub_hyper_defaults(&hyper);
    hyper.lr = 0;
    assert_int_equal(rub_optimizer_check(sgd, &hyper, &err), 0);
    assert_int_equal(rub_optimizer_check(ftrl, &hyper, &err), RUB_EINVAL);
    assert_string_equal(err.message, "lr is 0, ftrl divides by it: must be above 0");
    const rub_optimizer_t *adarevision = rub_optimizer_find(RUB_ADAREVISION);
    rub_hyper_defaults(&hyper);
    hyper.epsilon = 1e-60; /* 0 in float32 */
    assert_int_equal(rub_optimizer_check(sgd, &hyper, &err), 0);
    assert_int_equal(rub_optimizer_check(adarevision, &hyper, &err), RUB_EINVAL);
    assert_string_equal(err.message, "epsilon is 1e-60, adarevision divides by it before a "
                                     "weight's first gradient: must be above 0");
    rub_hyper_defaults(&hyper);
    hyper.delay = RUB_DELAY_COMPENSATES;
    assert_int_equal(rub_optimizer_check(adarevision, &hyper, &err), RUB_EINVAL);
    assert_string_equal(err.message, "adarevision with delay: it makes up for late gradients by "
                                     "itself, from the gradient as it came");
}

/* A peer that knows five optimizers gets, for one of them, what it always got. */
static void what_an_optimizer_does_not_use_is_trimmed_and_changes_nothing(void **state)
{
    (void)state;
    for (uint32_t kind = 0; rub_optimizer_find(kind) != NULL; kind++) {
        const rub_optimizer_t *optimizer = rub_optimizer_find(kind);
        float w[2][5] = {{1, 2, 3, 4, 5}, {1, 2, 3, 4, 5}}, slots[2][15] = {{0}};
        const float g[5] = {0.5f, -0.25f, 1, 2, 0};
        rub_hyper_t whole, trimmed;
        rub_hyper_defaults(&whole);
        whole.l1 = whole.l2 = 0.125;
        trimmed = whole;
        rub_optimizer_trim(optimizer, &trimmed);
        assert_true(kind > RUB_ADAM || (trimmed.rho == 0 && trimmed.l1 == 0 && trimmed.l2 == 0 &&
                                        trimmed.ftrl_beta == 0));
        assert_int_equal(rub_optimizer_check(optimizer, &trimmed, NULL), 0);
        rub_optimizer_apply(optimizer, w[0], slots[0], 5, 1, &whole, g);
        rub_optimizer_apply(optimizer, w[1], slots[1], 5, 1, &trimmed, g);
        assert_memory_equal(w[0], w[1], sizeof w[0]);
        assert_memory_equal(slots[0], slots[1], sizeof slots[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(twenty_steps_match_pytorch),
        cmocka_unit_test(hundred_steps_match_pytorch_on_dense_and_sparse_gradients),
        cmocka_unit_test(a_weight_does_not_depend_on_its_place),
        cmocka_unit_test(rows_together_get_the_bits_of_each_alone),
        cmocka_unit_test(adarevision_without_delays_is_adagrad),
        cmocka_unit_test(a_late_gradient_is_revised_to_one_step_of_the_sum),
        cmocka_unit_test(infinities_and_nan_propagate),
        cmocka_unit_test(a_row_of_one_accumulator_has_just_that),
        cmocka_unit_test(lamb_is_no_tables_and_steps_by_its_weights_norm),
        cmocka_unit_test(ftrl_keeps_weights_of_little_gradient_at_zero),
        cmocka_unit_test(optimizers_are_found_by_number_and_name),
        cmocka_unit_test(powers_are_exact_where_they_can_be),
        cmocka_unit_test(hyper_parameters_out_of_bounds_are_refused),
        cmocka_unit_test(what_an_optimizer_does_not_use_is_trimmed_and_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
