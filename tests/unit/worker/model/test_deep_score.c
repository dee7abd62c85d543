/* Deep models of clicks against their definition in float64: scores, and gradients of all four
 * tables against finite differences; and what can not be built. */
#include "common/base/check.h"
#include "common/base/rng.h"
#include "worker/model/deep_score.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

enum { ROWS = 6, FIELDS = 3, FACTORS = 2, UNITS = 4, PLACES = 8, ENTRIES = ROWS * FIELDS };
enum { WEIGHTS, LINES, HIDDEN, HIDDEN_BIAS, LAST, LAST_BIAS, TABLES };
static const size_t sizes[TABLES] = {
    PLACES, (PLACES - 1) * FACTORS, FIELDS *FACTORS *UNITS, UNITS, UNITS, 1};
enum { MOST = FIELDS * FACTORS * UNITS };

typedef struct world {
    bool pairs; /* deepfm */
    rub_sparse_model_t *model;
    rub_deep_score_t *deep;
    uint32_t starts[ROWS + 1], places[ENTRIES];
    float values[ENTRIES];
    float labels[ROWS];
    rub_sparse_rows_t rows;
    float params[TABLES][MOST], gradients[TABLES][MOST];
    double exact[TABLES][MOST];
} world_t;

static const uint32_t hidden[] = {UNITS};
static const rub_deep_spec_t small = {.n_fields = FIELDS,
                                      .factors = FACTORS,
                                      .hidden = hidden,
                                      .n_hidden = 1,
                                      .activation = "tanh",
                                      .max_rows = ROWS};

static void world_init(world_t *self, bool pairs, bool with_values)
{
    rub_rng_t rng;
    *self = (world_t){.pairs = pairs};
    rub_rng_init(&rng, 31, pairs);
    for (uint32_t e = 0; e < ENTRIES; e++) {
        self->places[e] = (uint32_t)rub_rng_below(&rng, PLACES - 1);
        self->values[e] = (float)(rub_rng_unit(&rng) * 4 - 2);
    }
    for (uint32_t i = 0; i <= ROWS; i++) {
        self->starts[i] = i * FIELDS;
    }
    for (size_t i = 0; i < ROWS; i++) {
        self->labels[i] = (float)(i % 2);
    }
    for (size_t t = 0; t < TABLES; t++) {
        for (size_t i = 0; i < sizes[t]; i++) {
            self->params[t][i] = (float)(rub_rng_unit(&rng) * 2 - 1);
            self->exact[t][i] = (double)self->params[t][i];
        }
    }
    self->rows = (rub_sparse_rows_t){.n = ROWS,
                                     .starts = self->starts,
                                     .places = self->places,
                                     .values = with_values ? self->values : NULL,
                                     .labels = self->labels,
                                     .n_places = PLACES};
    assert_int_equal(
        rub_sparse_model_new(pairs ? "deepfm" : "wide_deep", FACTORS, &self->model, NULL), 0);
    assert_int_equal(rub_deep_score_new(&small, &self->deep, NULL), 0);
}

static void world_fini(world_t *self)
{
    rub_sparse_model_destroy(&self->model);
    rub_deep_score_destroy(&self->deep);
}

/* x v of an entry's number f. */
static double embedded(const world_t *self, uint32_t entry, size_t f)
{
    const double x = self->rows.values ? (double)self->values[entry] : 1;
    return x * self->exact[LINES][self->places[entry] * FACTORS + f];
}

static double score_of(const world_t *self, size_t row)
{
    const uint32_t first = self->starts[row];
    double z = self->exact[WEIGHTS][PLACES - 1] + self->exact[LAST_BIAS][0];
    for (uint32_t e = first; e < first + FIELDS; e++) {
        z += (self->rows.values ? (double)self->values[e] : 1) *
             self->exact[WEIGHTS][self->places[e]];
        for (uint32_t other = e + 1; self->pairs && other < first + FIELDS; other++) {
            for (size_t f = 0; f < FACTORS; f++) {
                z += embedded(self, e, f) * embedded(self, other, f);
            }
        }
    }
    for (size_t u = 0; u < UNITS; u++) {
        double sum = self->exact[HIDDEN_BIAS][u];
        for (uint32_t i = 0; i < FIELDS * FACTORS; i++) {
            sum += embedded(self, first + i / FACTORS, i % FACTORS) *
                   self->exact[HIDDEN][i * UNITS + u];
        }
        z += tanh(sum) * self->exact[LAST][u];
    }
    return z;
}

static double mean_loss(const world_t *self)
{
    double loss = 0;
    for (size_t i = 0; i < ROWS; i++) {
        const double z = score_of(self, i);
        loss += log(1 + exp(self->labels[i] != 0 ? -z : z)) / ROWS;
    }
    return loss;
}

static void check(bool pairs, bool with_values)
{
    world_t w;
    world_init(&w, pairs, with_values);
    const float *const sparse[] = {w.params[WEIGHTS], w.params[LINES]};
    const float *const dense[] = {w.params[HIDDEN], w.params[HIDDEN_BIAS], w.params[LAST],
                                  w.params[LAST_BIAS]};
    float *const sparse_gradients[] = {w.gradients[WEIGHTS], w.gradients[LINES]};
    float *const dense_gradients[] = {w.gradients[HIDDEN], w.gradients[HIDDEN_BIAS],
                                      w.gradients[LAST], w.gradients[LAST_BIAS]};
    float more[ROWS], own[ROWS], slopes[ROWS];
    rub_sparse_figures_t figures;
    size_t expected = 0;
    memset(w.gradients, 0x7f, sizeof w.gradients); /* what was there must not matter */
    rub_deep_score_rows(w.deep, dense, w.params[LINES], NULL, &w.rows, more);
    rub_sparse_model_scores(w.model, sparse, &w.rows, own);
    rub_sparse_model_gradient_with(w.model, sparse, &w.rows, more, slopes, sparse_gradients,
                                   &figures);
    rub_deep_score_step(w.deep, dense, NULL, &w.rows, slopes, dense_gradients, w.gradients[LINES]);
    for (size_t i = 0; i < ROWS; i++) {
        const double z = score_of(&w, i);
        assert_true(fabs((double)(own[i] + more[i]) - z) < 1e-5 * (1 + fabs(z)));
        expected += (z > 0) == (w.labels[i] == 1);
    }
    assert_true(figures.own == (double)expected);
    assert_true(fabs(figures.loss / ROWS - mean_loss(&w)) < 1e-6);
    const double h = 1e-5;
    for (size_t t = 0; t < TABLES; t++) {
        for (size_t i = 0; i < sizes[t]; i++) {
            const double kept = w.exact[t][i];
            w.exact[t][i] = kept + h;
            const double above = mean_loss(&w);
            w.exact[t][i] = kept - h;
            const double below = mean_loss(&w);
            w.exact[t][i] = kept;
            const double want = (above - below) / (2 * h), got = (double)w.gradients[t][i];
            if (!(fabs(got - want) < 2e-6 + 1e-5 * fabs(want))) {
                fail_msg("table %zu[%zu]: %.9g, expected %.9g", t, i, got, want);
            }
        }
    }
    world_fini(&w);
}

static void wide_and_deep_is_its_definition_and_gradient(void **state)
{
    RUB_UNUSED(state);
    check(false, false);
    check(false, true);
}

static void deepfm_is_its_definition_and_gradient(void **state)
{
    RUB_UNUSED(state);
    check(true, false);
    check(true, true);
}

static void scores_of_many_rows_come_in_slices(void **state)
{
    RUB_UNUSED(state);
    world_t w;
    world_init(&w, false, true);
    rub_deep_spec_t spec = small;
    rub_deep_score_t *narrow = NULL;
    const float *const dense[] = {w.params[HIDDEN], w.params[HIDDEN_BIAS], w.params[LAST],
                                  w.params[LAST_BIAS]};
    float scores[ROWS], sliced[ROWS];
    spec.max_rows = 4;
    assert_int_equal(rub_deep_score_new(&spec, &narrow, NULL), 0);
    rub_deep_score_rows(w.deep, dense, w.params[LINES], NULL, &w.rows, scores);
    rub_deep_score_rows(narrow, dense, w.params[LINES], NULL, &w.rows, sliced);
    for (size_t i = 0; i < ROWS; i++) {
        assert_true(fabsf(scores[i] - sliced[i]) < 1e-6f);
    }
    rub_deep_score_destroy(&narrow);
    world_fini(&w);
}

/* Three fields 1, 2 and 3 wide, whose lines stand one table behind the other, are six fields of one
 * number each, at the same places of the array. */
static void fields_of_own_widths_are_as_many_fields_of_one_number(void **state)
{
    RUB_UNUSED(state);
    enum { WIDE = 6, LINES_OF = 3, NUMBERS = LINES_OF * WIDE };
    static const rub_field_lines_t fields[FIELDS] = {
        {1, 0}, {2, LINES_OF - 2 * LINES_OF}, {3, 3 * LINES_OF - 3 * 2 * LINES_OF}};
    world_t w;
    world_init(&w, false, true);
    rub_deep_spec_t spec = small;
    spec.n_inputs = WIDE;
    rub_deep_score_t *own = NULL, *single = NULL;
    assert_int_equal(rub_deep_score_new(&spec, &own, NULL), 0);
    spec.n_inputs = 0;
    spec.n_fields = WIDE;
    spec.factors = 1;
    assert_int_equal(rub_deep_score_new(&spec, &single, NULL), 0);
    const float *const dense[] = {w.params[HIDDEN], w.params[HIDDEN_BIAS], w.params[LAST],
                                  w.params[LAST_BIAS]};
    uint32_t starts[ROWS + 1] = {0}, places[ROWS * WIDE];
    float values[ROWS * WIDE], lines[NUMBERS], got[ROWS], want[ROWS];
    for (size_t i = 0; i < NUMBERS; i++) {
        lines[i] = (float)i / 7 - 1;
    }
    for (uint32_t e = 0, n = 0; e < ENTRIES; e++) {
        const uint32_t field = e % FIELDS;
        w.places[e] = field * LINES_OF + e % 2 + (e == 7); /* three lines each */
        for (uint32_t f = 0; f < fields[field].width; f++, n++) {
            places[n] = (uint32_t)(fields[field].shift + w.places[e] * fields[field].width) + f;
            values[n] = w.values[e];
            starts[e / FIELDS + 1] = n + 1;
        }
    }
    const rub_sparse_rows_t rows = {
        .n = ROWS, .starts = starts, .places = places, .values = values, .n_places = NUMBERS + 1};
    rub_deep_score_rows(own, dense, lines, fields, &w.rows, got);
    rub_deep_score_rows(single, dense, lines, NULL, &rows, want);
    assert_memory_equal(got, want, sizeof got);
    float slopes[2][ROWS], dense_gradients[2][4][MOST], line_gradients[2][NUMBERS] = {{0}};
    for (size_t i = 0; i < ROWS; i++) {
        slopes[0][i] = slopes[1][i] = (float)i - 2;
    }
    for (size_t side = 0; side < 2; side++) {
        float *const of[] = {dense_gradients[side][0], dense_gradients[side][1],
                             dense_gradients[side][2], dense_gradients[side][3]};
        rub_deep_score_step(side ? single : own, dense, side ? NULL : fields,
                            side ? &rows : &w.rows, slopes[side], of, line_gradients[side]);
    }
    assert_memory_equal(line_gradients[0], line_gradients[1], sizeof line_gradients[0]);
    assert_memory_equal(dense_gradients[0][0], dense_gradients[1][0], WIDE * UNITS * sizeof(float));
    rub_deep_score_destroy(&own);
    rub_deep_score_destroy(&single);
    world_fini(&w);
}

static void expect_refused(rub_deep_spec_t spec, const char *words)
{
    rub_error_t err = {0};
    rub_deep_score_t *self = (rub_deep_score_t *)&err; /* must be set to NULL */
    assert_int_equal(rub_deep_score_new(&spec, &self, &err), RUB_EINVAL);
    assert_null(self);
    assert_non_null(strstr(err.message, words));
}

static void what_can_not_be_is_refused(void **state)
{
    RUB_UNUSED(state);
    static const uint32_t none[] = {0};
    rub_deep_spec_t spec = small;
    spec.n_fields = 0;
    expect_refused(spec, "0 fields, expected 1 to 4096");
    spec = small;
    spec.factors = 0;
    expect_refused(spec, "0 factors, expected 1 to 1024");
    spec.factors = RUB_FACTORS_LIMIT;
    spec.n_fields = RUB_FIELDS_LIMIT;
    expect_refused(spec, "4096 fields of 1024 factors, expected at most 1048576 numbers");
    spec = small;
    spec.n_inputs = (1u << 20) + 1;
    expect_refused(spec, "3 fields of 1048577 numbers together, expected at most 1048576");
    spec = small;
    spec.max_rows = 0;
    expect_refused(spec, "0 rows per batch");
    spec = small;
    spec.hidden = none;
    expect_refused(spec, "0 units in a hidden layer");
    spec = small;
    spec.n_hidden = RUB_MODEL_HIDDEN_LIMIT + 1;
    expect_refused(spec, "65 hidden layers");
    spec = small;
    spec.activation = "conv";
    expect_refused(spec, "activation 'conv' is not known");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(wide_and_deep_is_its_definition_and_gradient),
        cmocka_unit_test(deepfm_is_its_definition_and_gradient),
        cmocka_unit_test(scores_of_many_rows_come_in_slices),
        cmocka_unit_test(fields_of_own_widths_are_as_many_fields_of_one_number),
        cmocka_unit_test(what_can_not_be_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
