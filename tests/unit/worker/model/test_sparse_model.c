/* Models of clicks against their definitions in float64, and gradients against finite differences
 * of these. */
#include "common/base/check.h"
#include "common/base/rng.h"
#include "worker/model/sparse_model.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 7, PLACES = 12, ENTRIES = ROWS * (PLACES - 1), FACTORS_MOST = 19 };

typedef struct world {
    rub_sparse_model_t *model;
    uint32_t factors; /* 0: logistic */
    uint32_t starts[ROWS + 1], places[ENTRIES];
    float values[ENTRIES];
    uint8_t labels[ROWS];
    rub_sparse_rows_t rows;
    float weights[PLACES], factor_lines[PLACES * FACTORS_MOST];
    float weight_gradient[PLACES], factor_gradient[PLACES * FACTORS_MOST];
} world_t;

static float draw(rub_rng_t *rng)
{
    return (float)(rub_rng_unit(rng) * 2 - 1);
}

/* Row 0 has no feature; the others some, in no order. */
static void world_init(world_t *self, uint32_t factors, bool with_values)
{
    *self = (world_t){.factors = factors};
    rub_rng_t rng;
    rub_rng_init(&rng, 21, factors);
    uint32_t n = 0;
    for (uint32_t i = 0; i < ROWS; i++) {
        self->starts[i] = n;
        self->labels[i] = i % 2;
        for (uint32_t p = 0; i > 0 && p < PLACES - 1; p++) {
            if (rub_rng_below(&rng, 3) > 0) {
                self->values[n] = draw(&rng) * 2;
                self->places[n++] = (p * 5 + i) % (PLACES - 1);
            }
        }
    }
    self->starts[ROWS] = n;
    for (size_t i = 0; i < PLACES; i++) {
        self->weights[i] = draw(&rng);
    }
    for (size_t i = 0; i < RUB_COUNT_OF(self->factor_lines); i++) {
        self->factor_lines[i] = draw(&rng) * 0.5f;
    }
    self->rows = (rub_sparse_rows_t){.n = ROWS,
                                     .starts = self->starts,
                                     .places = self->places,
                                     .values = with_values ? self->values : NULL,
                                     .labels = self->labels,
                                     .n_places = PLACES};
    assert_int_equal(rub_sparse_model_new(factors > 0 ? "fm" : "logistic",
                                          factors > 0 ? factors : 1, &self->model, NULL),
                     0);
}

/* Rendle's equation 1, pair by pair. weights, lines: as the model's, in float64. */
static double score_of(const world_t *self, size_t row, const double *weights, const double *lines)
{
    double z = weights[PLACES - 1];
    for (uint32_t a = self->starts[row]; a < self->starts[row + 1]; a++) {
        const double x = self->rows.values ? (double)self->values[a] : 1;
        z += weights[self->places[a]] * x;
        for (uint32_t b = a + 1; b < self->starts[row + 1]; b++) {
            const double y = self->rows.values ? (double)self->values[b] : 1;
            for (uint32_t f = 0; f < self->factors; f++) {
                z += lines[self->places[a] * self->factors + f] *
                     lines[self->places[b] * self->factors + f] * x * y;
            }
        }
    }
    return z;
}

static double loss_of(const world_t *self, const double *weights, const double *lines)
{
    double loss = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const double z = score_of(self, i, weights, lines);
        loss += log(1 + exp(self->labels[i] ? -z : z));
    }
    return loss;
}

static double slope_at(const world_t *self, double *weights, double *lines, double *at)
{
    const double kept = *at, h = 1e-5;
    *at = kept + h;
    const double above = loss_of(self, weights, lines);
    *at = kept - h;
    const double below = loss_of(self, weights, lines);
    *at = kept;
    return (above - below) / (2 * h) / ROWS;
}

static void check(uint32_t factors, bool with_values)
{
    world_t w;
    world_init(&w, factors, with_values);
    double weights[PLACES], lines[PLACES * FACTORS_MOST];
    for (size_t i = 0; i < PLACES; i++) {
        weights[i] = (double)w.weights[i];
    }
    for (size_t i = 0; i < RUB_COUNT_OF(lines); i++) {
        lines[i] = (double)w.factor_lines[i];
    }
    const float *const params[] = {w.weights, w.factor_lines};
    float *const gradients[] = {w.weight_gradient, w.factor_gradient};
    memset(w.weight_gradient, 0x7f, sizeof w.weight_gradient); /* what was there must not matter */
    memset(w.factor_gradient, 0x7f, sizeof w.factor_gradient);
    float scores[ROWS];
    double loss = 0;
    size_t correct = 0, expected_correct = 0;
    rub_sparse_model_scores(w.model, params, &w.rows, scores);
    rub_sparse_model_gradient(w.model, params, &w.rows, gradients, &loss, &correct);
    for (size_t i = 0; i < ROWS; i++) {
        const double z = score_of(&w, i, weights, lines);
        assert_true(fabs((double)scores[i] - z) < 1e-5 * (1 + fabs(z)));
        expected_correct += (z > 0) == (w.labels[i] == 1);
    }
    assert_int_equal(correct, expected_correct);
    double scored_loss = 0;
    size_t scored_correct = 0;
    rub_sparse_loss(scores, w.labels, ROWS, &scored_loss, &scored_correct);
    assert_true(scored_loss == loss);
    assert_int_equal(scored_correct, correct);
    assert_true(fabs(loss - loss_of(&w, weights, lines)) < 1e-5 * loss);
    for (size_t i = 0; i < PLACES; i++) {
        const double slope = slope_at(&w, weights, lines, &weights[i]);
        assert_true(fabs((double)w.weight_gradient[i] - slope) < 2e-6);
    }
    for (size_t i = 0; i < (PLACES - 1) * factors; i++) {
        const double slope = slope_at(&w, weights, lines, &lines[i]);
        assert_true(fabs((double)w.factor_gradient[i] - slope) < 2e-6);
    }
    rub_sparse_model_destroy(&w.model);
}

static void logistic_regression_is_its_definition_and_gradient(void **state)
{
    RUB_UNUSED(state);
    check(0, true);
    check(0, false);
}

static void factorization_machines_are_rendles_sum_over_pairs(void **state)
{
    RUB_UNUSED(state);
    check(1, true);
    check(8, true);
    check(8, false);
    check(19, true);
}

static void great_scores_keep_loss_and_gradient_finite(void **state)
{
    RUB_UNUSED(state);
    world_t w;
    world_init(&w, 0, false);
    for (size_t i = 0; i < PLACES; i++) {
        w.weights[i] = i % 2 ? 1e6f : -1e6f;
    }
    const float *const params[] = {w.weights};
    float *const gradients[] = {w.weight_gradient};
    double loss = 0;
    size_t correct = 0;
    rub_sparse_model_gradient(w.model, params, &w.rows, gradients, &loss, &correct);
    assert_true(isfinite(loss) && loss > 1e5);
    for (size_t i = 0; i < PLACES; i++) {
        assert_true(isfinite(w.weight_gradient[i]));
    }
    rub_sparse_model_destroy(&w.model);
}

static void tables_say_what_to_open(void **state)
{
    RUB_UNUSED(state);
    rub_sparse_model_t *model = NULL;
    size_t n_tables = 0;
    assert_int_equal(rub_sparse_model_new("fm", 12, &model, NULL), 0);
    const rub_sparse_table_t *tables = rub_sparse_model_tables(model, &n_tables);
    assert_int_equal(n_tables, 2);
    assert_string_equal(tables[0].name, "linear/weights");
    assert_int_equal(tables[0].width, 1);
    assert_int_equal(rub_sparse_lines(&tables[0], 5), 5);
    assert_string_equal(tables[1].name, "fm/factors");
    assert_int_equal(tables[1].width, 12);
    assert_int_equal(rub_sparse_lines(&tables[1], 5), 4);
    rub_sparse_model_destroy(&model);
    assert_null(model);
    rub_sparse_model_destroy(&model);
}

static void kinds_and_factors_outside_their_bounds_are_refused(void **state)
{
    RUB_UNUSED(state);
    rub_error_t err = {0};
    rub_sparse_model_t *model = (rub_sparse_model_t *)&err;
    assert_int_equal(rub_sparse_model_new("mlp", 8, &model, &err), RUB_EINVAL);
    assert_string_equal(err.message, "sparse model 'mlp' is not known, expected 'logistic', 'fm', "
                                     "'wide_deep' or 'deepfm'");
    assert_null(model);
    assert_int_equal(rub_sparse_model_new(NULL, 8, &model, &err), RUB_EINVAL);
    assert_int_equal(rub_sparse_model_new("fm", 0, &model, &err), RUB_EINVAL);
    assert_int_equal(rub_sparse_model_new("fm", RUB_FACTORS_LIMIT + 1, &model, &err), RUB_EINVAL);
    assert_string_equal(err.message, "model with 1025 factors, expected 1 to 1024");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logistic_regression_is_its_definition_and_gradient),
        cmocka_unit_test(factorization_machines_are_rendles_sum_over_pairs),
        cmocka_unit_test(great_scores_keep_loss_and_gradient_finite),
        cmocka_unit_test(tables_say_what_to_open),
        cmocka_unit_test(kinds_and_factors_outside_their_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
