/* Losses and gradients against PyTorch's (tests/golden/make_models.py), which computed them in
 * float64.
 *
 * OpenBLAS sums in another order on each family of processors, and a batch that saturates its units
 * (tanh-4-steep) is badly conditioned in float: how far ours may be off is measured, not guessed.
 * Beside 1e-5, an element may differ by the most that its table changes when the last bit of every
 * input and parameter does. That this stays narrow is checked, too. */
#include "tests/unit/worker/model/numbers.h"

#include "common/base/check.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ROUNDING_DRAWS = 4 };

typedef struct golden_case {
    char name[64], kind[32], activation[32], layers[256];
    uint32_t hidden[8];
    rub_model_spec_t spec;
    unsigned n;
    double scale;
} golden_case_t;

/* 0 at the end of the file. */
static int read_case(FILE *file, golden_case_t *c)
{
    if (fscanf(file, " case %63s %31s %31s %u %u", c->name, c->kind, c->activation,
               &c->spec.n_inputs, &c->spec.n_hidden) != 5) {
        assert_true(feof(file));
        return 0;
    }
    assert_true(c->spec.n_hidden <= RUB_COUNT_OF(c->hidden));
    for (uint32_t l = 0; l < c->spec.n_hidden; l++) {
        assert_int_equal(fscanf(file, "%u", &c->hidden[l]), 1);
    }
    assert_int_equal(fscanf(file, "%u %u %lf", &c->spec.n_classes, &c->n, &c->scale), 3);
    c->spec.image = (rub_shape_t){0, 0, 0};
    if (strcmp(c->kind, "sequential") == 0) {
        rub_shape_t *image = &c->spec.image;
        assert_int_equal(fscanf(file, " image %u %u %u layers %255[^\n]", &image->height,
                                &image->width, &image->channels, c->layers),
                         4);
    }
    c->spec.layers = c->layers;
    c->spec.kind = c->kind;
    c->spec.activation = c->activation;
    c->spec.hidden = c->hidden;
    c->spec.max_batch = c->n;
    return 1;
}

/* Every number one step up or down, by a deterministic coin. */
static void shake(float *numbers, size_t n, uint64_t stream)
{
    for (size_t i = 0; i < n; i++) {
        numbers[i] = nextafterf(numbers[i], number(stream, i) < 0 ? -INFINITY : INFINITY);
    }
}

static void compare(const char *name, const char *what, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound)) {
        fail_msg("%s: %s is %.9g, expected %.9g within %.2g", name, what, got, want, bound);
    }
}

/* What one step of every input and parameter makes of the gradients in f: of each table the
 * greatest change of an element, over some draws of the directions. */
static void measure_rounding(const golden_case_t *c, const fixture_t *f, double *changes)
{
    for (size_t t = 0; t < f->n_tables; t++) {
        changes[t] = 0;
    }
    for (uint64_t draw = 0; draw < ROUNDING_DRAWS; draw++) {
        fixture_t g = fixture_new(&c->spec, c->n, c->scale);
        for (size_t t = 0; t < g.n_tables; t++) {
            shake(g.params[t], (size_t)g.tables[t].elements, 2000 + draw * TEST_TABLES + t);
        }
        shake(g.x, c->n * c->spec.n_inputs, 3000 + draw);
        rub_error_t err = {0};
        double loss = 0;
        size_t correct = 0;
        assert_int_equal(fixture_gradient(&g, &loss, &correct, &err), 0);
        for (size_t t = 0; t < g.n_tables; t++) {
            for (size_t i = 0; i < (size_t)g.tables[t].elements; i++) {
                changes[t] =
                    fmax(changes[t], fabs((double)g.gradients[t][i] - (double)f->gradients[t][i]));
            }
        }
        fixture_fini(&g);
    }
}

/* One table: its sum and samples, within 1e-5 of the table's mean magnitude and of the sample, and
 * within what rounding makes of it. */
static void check_table(FILE *file, const golden_case_t *c, const fixture_t *f,
                        const double *changes)
{
    size_t t, elements, n_samples;
    double sum, magnitude;
    assert_int_equal(
        fscanf(file, " table %zu %zu %lf %lf %zu", &t, &elements, &sum, &magnitude, &n_samples), 5);
    assert_true(t < f->n_tables);
    assert_int_equal(elements, f->tables[t].elements);
    const double mean = magnitude / (double)elements;
    if (changes[t] > 1e-3 * mean) {
        fail_msg("%s: rounding changes %s by %.2g, expected at most 1e-3 of the mean, %.2g",
                 c->name, f->tables[t].name, changes[t], mean);
    }
    double got_sum = 0;
    for (size_t i = 0; i < elements; i++) {
        got_sum += (double)f->gradients[t][i];
    }
    compare(c->name, f->tables[t].name, got_sum, sum, 1e-5 * magnitude + changes[t]);
    for (size_t s = 0; s < n_samples; s++) {
        size_t i;
        double want;
        assert_int_equal(fscanf(file, "%zu %lf", &i, &want), 2);
        assert_true(i < elements);
        compare(c->name, f->tables[t].name, (double)f->gradients[t][i], want,
                1e-5 * (mean + fabs(want)) + changes[t]);
    }
}

static void gradients_equal_those_of_pytorch(void **state)
{
    RUB_UNUSED(state);
    FILE *file = fopen("tests/golden/models.txt", "r");
    assert_non_null(file);
    golden_case_t c = {0};
    size_t n_cases = 0;
    while (read_case(file, &c)) {
        fixture_t f = fixture_new(&c.spec, c.n, c.scale);
        rub_error_t err = {0};
        double want_loss, loss = 0;
        size_t want_correct, correct = 0;
        assert_int_equal(fscanf(file, " loss_sum %lf correct %zu", &want_loss, &want_correct), 2);
        assert_int_equal(fixture_gradient(&f, &loss, &correct, &err), 0);
        compare(c.name, "loss", loss, want_loss, 2e-6 * (1 + want_loss));
        assert_int_equal(correct, want_correct);
        double changes[TEST_TABLES];
        measure_rounding(&c, &f, changes);
        for (size_t t = 0; t < f.n_tables; t++) {
            check_table(file, &c, &f, changes);
        }
        fixture_fini(&f);
        n_cases++;
    }
    fclose(file);
    assert_true(n_cases >= 19);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(gradients_equal_those_of_pytorch)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
