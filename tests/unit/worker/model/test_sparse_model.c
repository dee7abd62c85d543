/* Models of clicks against their definitions in float64, and gradients against finite differences
 * of these. */
#include "common/base/check.h"
#include "common/base/classes.h"
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
    float labels[ROWS];
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
        self->labels[i] = (float)(i % 2);
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
        loss += log(1 + exp(self->labels[i] != 0 ? -z : z));
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
    size_t expected_correct = 0;
    rub_sparse_figures_t figures, scored;
    rub_sparse_model_scores(w.model, params, &w.rows, scores);
    rub_sparse_model_gradient(w.model, params, &w.rows, gradients, &figures);
    for (size_t i = 0; i < ROWS; i++) {
        const double z = score_of(&w, i, weights, lines);
        assert_true(fabs((double)scores[i] - z) < 1e-5 * (1 + fabs(z)));
        expected_correct += (z > 0) == (w.labels[i] == 1);
    }
    assert_true(figures.own == (double)expected_correct);
    rub_sparse_model_figures(w.model, scores, w.labels, ROWS, &scored);
    assert_true(scored.loss == figures.loss);
    assert_true(scored.own == figures.own);
    assert_true(fabs(figures.loss - loss_of(&w, weights, lines)) < 1e-5 * figures.loss);
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

enum { CLASSES = 5 };

/* Linear and softmax regression, by their definitions: outputs 1 or CLASSES. */
static double regression_loss(const world_t *self, size_t outputs, const double *lines)
{
    double loss = 0;
    for (size_t i = 0; i < ROWS; i++) {
        double z[CLASSES], sum = 0;
        for (size_t k = 0; k < outputs; k++) {
            z[k] = lines[(PLACES - 1) * outputs + k];
            for (uint32_t e = self->starts[i]; e < self->starts[i + 1]; e++) {
                z[k] += lines[self->places[e] * outputs + k] *
                        (self->rows.values ? (double)self->values[e] : 1);
            }
            sum += exp(z[k]);
        }
        const double label = (double)self->labels[i];
        loss += outputs == 1 ? (z[0] - label) * (z[0] - label) / 2 : log(sum) - z[(size_t)label];
    }
    return loss;
}

static void check_regression(size_t outputs, bool with_values)
{
    world_t w;
    world_init(&w, 0, with_values);
    rub_sparse_model_destroy(&w.model);
    assert_int_equal(
        rub_sparse_model_new(outputs > 1 ? "softmax" : "linear", CLASSES, &w.model, NULL), 0);
    assert_int_equal(rub_sparse_model_outputs(w.model), outputs);
    float lines[PLACES * CLASSES], gradient[PLACES * CLASSES], scores[ROWS * CLASSES];
    double exact[PLACES * CLASSES], errors = 0;
    rub_rng_t rng;
    rub_rng_init(&rng, 22, outputs);
    for (size_t i = 0; i < PLACES * outputs; i++) {
        lines[i] = draw(&rng);
        exact[i] = (double)lines[i];
    }
    for (size_t i = 0; i < ROWS; i++) {
        w.labels[i] = outputs > 1 ? (float)rub_rng_below(&rng, CLASSES) : draw(&rng) * 9;
    }
    const float *const params[] = {lines};
    float *const gradients[] = {gradient};
    rub_sparse_figures_t figures, scored;
    memset(gradient, 0x7f, sizeof gradient);
    rub_sparse_model_gradient(w.model, params, &w.rows, gradients, &figures);
    rub_sparse_model_scores(w.model, params, &w.rows, scores);
    rub_sparse_model_figures(w.model, scores, w.labels, ROWS, &scored);
    assert_true(scored.loss == figures.loss && scored.own == figures.own);
    assert_true(fabs(figures.loss - regression_loss(&w, outputs, exact)) < 1e-5 * figures.loss);
    for (size_t i = 0; i < ROWS; i++) {
        size_t greatest = 0;
        for (size_t k = 1; k < outputs; k++) {
            greatest = scores[i * outputs + k] > scores[i * outputs + greatest] ? k : greatest;
        }
        errors += outputs > 1 ? greatest == (size_t)w.labels[i]
                              : fabs((double)scores[i] - (double)w.labels[i]);
    }
    assert_true(fabs(figures.own - errors) < 1e-5 * (1 + errors));
    for (size_t i = 0; i < PLACES * outputs; i++) {
        const double kept = exact[i], h = 1e-5;
        exact[i] = kept + h;
        const double above = regression_loss(&w, outputs, exact);
        exact[i] = kept - h;
        const double below = regression_loss(&w, outputs, exact);
        exact[i] = kept;
        const double slope = (above - below) / (2 * h) / ROWS;
        assert_true(fabs((double)gradient[i] - slope) < 1e-5 * (1 + fabs(slope)));
    }
    rub_sparse_model_destroy(&w.model);
}

static void linear_and_softmax_regression_are_their_definitions_and_gradients(void **state)
{
    RUB_UNUSED(state);
    check_regression(1, true);
    check_regression(1, false);
    check_regression(CLASSES, true);
    check_regression(CLASSES, false);
}

static void great_scores_of_classes_keep_loss_and_slopes_finite(void **state)
{
    RUB_UNUSED(state);
    const float scores[] = {-1e30f, 3e4f, 2e4f};
    float slopes[3];
    rub_sparse_figures_t figures = {0};
    rub_softmax_loss_add(scores, 3, 0, slopes, &figures);
    assert_true(isfinite(figures.loss) && figures.loss > 1e29);
    assert_true(slopes[0] == -1 && slopes[1] == 1);
    assert_true(figures.own == 0);
    rub_softmax_loss_add(scores, 3, 1, slopes, &figures);
    assert_true(figures.own == 1 && fabsf(slopes[1]) < 1e-30f);
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
    rub_sparse_figures_t figures;
    rub_sparse_model_gradient(w.model, params, &w.rows, gradients, &figures);
    assert_true(isfinite(figures.loss) && figures.loss > 1e5);
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
                                     "'wide_deep', 'deepfm', 'linear' or 'softmax'");
    assert_null(model);
    assert_int_equal(rub_sparse_model_new(NULL, 8, &model, &err), RUB_EINVAL);
    assert_int_equal(rub_sparse_model_new("fm", 0, &model, &err), RUB_EINVAL);
    assert_int_equal(rub_sparse_model_new("softmax", RUB_CLASSES_LIMIT + 1, &model, &err),
                     RUB_EINVAL);
    assert_non_null(strstr(err.message, "65537 classes, expected 1 to 65536"));
    assert_int_equal(rub_sparse_model_new("softmax", RUB_CLASSES_LIMIT, &model, &err), 0);
    rub_sparse_model_destroy(&model);
    assert_int_equal(rub_sparse_model_new("fm", RUB_FACTORS_LIMIT + 1, &model, &err), RUB_EINVAL);
    assert_string_equal(err.message, "model with 1025 factors, expected 1 to 1024");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(logistic_regression_is_its_definition_and_gradient),
        cmocka_unit_test(factorization_machines_are_rendles_sum_over_pairs),
        cmocka_unit_test(linear_and_softmax_regression_are_their_definitions_and_gradients),
        cmocka_unit_test(great_scores_of_classes_keep_loss_and_slopes_finite),
        cmocka_unit_test(great_scores_keep_loss_and_gradient_finite),
        cmocka_unit_test(tables_say_what_to_open),
        cmocka_unit_test(kinds_and_factors_outside_their_bounds_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
