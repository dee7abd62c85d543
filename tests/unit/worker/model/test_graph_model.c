/* Gradients of chunks against PyTorch's in float64 (tests/golden/make_graphs.py) and against
 * differences of the loss itself; steps against AdaGrad's formula; refusals first. */
#include "tests/unit/worker/model/numbers.h"
#include "worker/model/graph_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { ENTITIES = 40, RELATIONS = 5, ROOM = 4096, TRIPLES = 200, NEGATIVES = 64 };

typedef struct example {
    char name[64], kind[32];
    rub_graph_spec_t spec;
    rub_graph_chunk_t chunk;
    float entities[ROOM], relations[ROOM];
    uint32_t heads[TRIPLES], relation_rows[TRIPLES], tails[TRIPLES], negatives[NEGATIVES];
    rub_graph_model_t *model;
    rub_graph_gradient_t gradient;
    rub_graph_loss_sum_t loss;
} example_t;

static rub_graph_spec_t spec_of(const char *kind, uint32_t width)
{
    return (rub_graph_spec_t){.kind = kind,
                              .width = width,
                              .gamma = 4,
                              .chunk = TRIPLES,
                              .negatives = NEGATIVES,
                              .entity_rows = ENTITIES,
                              .relation_rows = RELATIONS};
}

static void draw(uint64_t stream, uint32_t below, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint32_t)label(stream, i, below);
    }
}

/* The spec is there: tables, chunk and model as make_graphs.py has them. */
static void set_up(example_t *e, size_t n, size_t n_negatives, bool heads)
{
    rub_error_t err = {0};
    if (rub_graph_model_new(&e->spec, &e->model, &err) != 0) {
        fail_msg("%s", err.message);
    }
    const size_t width = e->spec.width;
    const size_t relation_width =
        rub_graph_relation_width(rub_graph_model_kind(e->model), e->spec.width);
    for (size_t i = 0; i < ENTITIES * width; i++) {
        e->entities[i] = (float)number(0, i);
    }
    for (size_t i = 0; i < RELATIONS * relation_width; i++) {
        e->relations[i] = (float)(3 * number(1, i));
    }
    draw(2, ENTITIES, n, e->heads);
    draw(3, RELATIONS, n, e->relation_rows);
    draw(4, ENTITIES, n, e->tails);
    draw(5, ENTITIES, n_negatives, e->negatives);
    e->chunk = (rub_graph_chunk_t){n,           e->heads, e->relation_rows, e->tails, e->negatives,
                                   n_negatives, heads};
}

static double loss_of(example_t *e)
{
    e->loss = (rub_graph_loss_sum_t){0};
    rub_graph_model_gradient(e->model, &e->chunk, e->entities, e->relations, &e->gradient,
                             &e->loss);
    return e->loss.sum;
}

/* The gradients of all rows, 0 where the chunk has none. */
static void spread(const uint32_t *rows, const float *gradients, size_t n, size_t width,
                   double *out, size_t n_out)
{
    memset(out, 0, n_out * sizeof *out);
    for (size_t i = 0; i < n; i++) {
        for (size_t k = 0; k < width; k++) {
            assert_true(out[rows[i] * width + k] == 0); /* each row once */
            out[rows[i] * width + k] = (double)gradients[i * width + k];
        }
    }
}

static void refuse(const rub_graph_spec_t *spec, const char *words)
{
    rub_error_t err = {0};
    rub_graph_model_t *model = (rub_graph_model_t *)&err;
    assert_int_equal(rub_graph_model_new(spec, &model, &err), RUB_EINVAL);
    assert_null(model);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
}

static void what_no_model_can_be_is_refused(void **state)
{
    (void)state;
    rub_graph_spec_t spec = spec_of("transe", 8);
    refuse(&spec, "graph model 'transe' is not known");
    spec = spec_of("rotate", 7);
    refuse(&spec, "rotate with a width of 7, expected an even number");
    spec = spec_of("distmult", 0);
    refuse(&spec, "distmult with a width of 0, expected 1 or more");
    spec = spec_of("complex", 8);
    spec.negatives = 0;
    refuse(&spec, "complex with 0 negatives, expected 1 to 4096");
    spec.negatives = RUB_GRAPH_NEGATIVES_LIMIT + 1;
    refuse(&spec, "complex with 4097 negatives");
    spec = spec_of("transe_l1", 8);
    spec.gamma = -1;
    refuse(&spec, "transe_l1 with -1, expected 0 to 1e6");
    spec.gamma = NAN;
    refuse(&spec, "expected 0 to 1e6");
}

/* ---- goldens ---- */

static void compare(const example_t *e, const char *what, double got, double want, double bound)
{
    if (!(fabs(got - want) <= bound)) {
        fail_msg("%s: %s is %.9g, expected %.9g within %.2g", e->name, what, got, want, bound);
    }
}

static void compare_rows(const example_t *e, FILE *file, const char *what, const double *rows,
                         size_t n)
{
    char name[32];
    size_t n_numbers = 0, n_places = 0;
    double sum = 0, absolutes = 0, got_sum = 0, got_absolutes = 0;
    assert_int_equal(
        fscanf(file, " %31s %zu %lf %lf %zu", name, &n_numbers, &sum, &absolutes, &n_places), 5);
    assert_string_equal(name, what);
    assert_int_equal(n_numbers, n);
    for (size_t i = 0; i < n; i++) {
        got_sum += rows[i];
        got_absolutes += fabs(rows[i]);
    }
    compare(e, what, got_absolutes, absolutes, 2e-5 * absolutes);
    compare(e, what, got_sum, sum, 2e-5 * absolutes);
    for (size_t i = 0; i < n_places; i++) {
        size_t at = 0;
        double want = 0;
        assert_int_equal(fscanf(file, "%zu %lf", &at, &want), 2);
        assert_true(at < n);
        compare(e, what, rows[at], want, 2e-6 + 2e-5 * fabs(want));
    }
}

static void losses_and_gradients_are_pytorchs(void **state)
{
    (void)state;
    static example_t e;
    static double rows[ROOM];
    size_t cases = 0;
    FILE *file = fopen("tests/golden/graphs.txt", "r");
    assert_non_null(file);
    while (true) {
        size_t n = 0, m = 0;
        int heads = 0;
        double loss = 0;
        memset(&e, 0, sizeof e);
        e.spec = spec_of(e.kind, 0);
        const int fields =
            fscanf(file, " case %63s %31s %u %lf %lf %lf %zu %zu %d", e.name, e.kind, &e.spec.width,
                   &e.spec.gamma, &e.spec.temperature, &e.spec.regularization, &n, &m, &heads);
        if (fields != 9) {
            assert_true(feof(file));
            break;
        }
        assert_int_equal(fscanf(file, " loss %lf", &loss), 1);
        set_up(&e, n, m, heads);
        compare(&e, "loss", loss_of(&e), loss, 1e-5 * loss);
        assert_int_equal(e.loss.triples, n);
        const size_t width = e.spec.width;
        const size_t narrow = rub_graph_relation_width(rub_graph_model_kind(e.model), e.spec.width);
        spread(e.gradient.entity_rows, e.gradient.entities, e.gradient.n_entities, width, rows,
               ENTITIES * width);
        compare_rows(&e, file, "entities", rows, ENTITIES * width);
        spread(e.gradient.relation_rows, e.gradient.relations, e.gradient.n_relations, narrow, rows,
               RELATIONS * narrow);
        compare_rows(&e, file, "relations", rows, RELATIONS * narrow);
        rub_graph_model_destroy(&e.model);
        cases++;
    }
    assert_int_equal(cases, 30);
    fclose(file);
}

/* ---- differences ---- */

static void expect_slopes(example_t *e, float *numbers, const double *gradient, size_t n)
{
    const float step = 0x1p-9f;
    for (size_t i = 0; i < n; i += 7) {
        const float was = numbers[i];
        numbers[i] = was + step;
        const double above = loss_of(e);
        numbers[i] = was - step;
        const double below = loss_of(e);
        numbers[i] = was;
        const double slope = (above - below) / (2 * (double)step) / (double)e->chunk.n;
        compare(e, "slope", gradient[i], slope, 2e-4);
    }
}

static void gradients_are_slopes_of_the_loss(void **state)
{
    (void)state;
    static const char *const kinds[] = {"transe_l1", "transe_l2", "distmult", "complex", "rotate"};
    static example_t e;
    static double entities[ROOM], relations[ROOM];
    for (size_t k = 0; k < 5; k++) {
        for (int heads = 0; heads < 2; heads++) {
            memset(&e, 0, sizeof e);
            snprintf(e.name, sizeof e.name, "%s", kinds[k]);
            e.spec = spec_of(kinds[k], 8);
            set_up(&e, 20, 6, heads);
            (void)loss_of(&e);
            const size_t narrow = rub_graph_relation_width(rub_graph_model_kind(e.model), 8);
            spread(e.gradient.entity_rows, e.gradient.entities, e.gradient.n_entities, 8, entities,
                   ENTITIES * 8);
            spread(e.gradient.relation_rows, e.gradient.relations, e.gradient.n_relations, narrow,
                   relations, RELATIONS * narrow);
            expect_slopes(&e, e.entities, entities, ENTITIES * 8);
            expect_slopes(&e, e.relations, relations, RELATIONS * narrow);
            rub_graph_model_destroy(&e.model);
        }
    }
}

/* ---- steps ---- */

static void a_step_is_adagrads_on_touched_rows_alone(void **state)
{
    (void)state;
    static example_t e;
    static double gradient[ROOM];
    static float entities[ROOM], relations[ROOM], sums[ENTITIES], relation_sums[RELATIONS];
    memset(&e, 0, sizeof e);
    e.spec = spec_of("rotate", 6);
    set_up(&e, 9, 5, true);
    (void)loss_of(&e);
    spread(e.gradient.entity_rows, e.gradient.entities, e.gradient.n_entities, 6, gradient,
           ENTITIES * 6);
    for (int i = 0; i < ENTITIES; i++) {
        sums[i] = (float)i;
    }
    memcpy(entities, e.entities, sizeof entities);
    memcpy(relations, e.relations, sizeof relations);
    const rub_graph_tables_t tables = {entities, sums, relations, relation_sums};
    rub_graph_loss_sum_t loss = {0};
    rub_graph_model_train(e.model, &e.chunk, 0.5f, 0.25f, &tables, &loss);
    assert_int_equal(loss.triples, 1);
    for (size_t row = 0; row < ENTITIES; row++) {
        double square = 0;
        for (size_t k = 0; k < 6; k++) {
            square += gradient[row * 6 + k] * gradient[row * 6 + k] / 6;
        }
        compare(&e, "accumulator", (double)sums[row], (double)row + square,
                1e-6 * (double)(row + 1));
        for (size_t k = 0; k < 6; k++) {
            const size_t at = row * 6 + k;
            const double wanted =
                (double)e.entities[at] - 0.5 / (sqrt((double)row + square) + 0.25) * gradient[at];
            compare(&e, "row", (double)entities[at], wanted, 1e-6);
            assert_true(square > 0 || entities[at] == e.entities[at]);
        }
    }
    assert_true(relation_sums[e.relation_rows[0]] > 0);
    rub_graph_model_destroy(&e.model);
}

static void a_chunk_of_fewer_triples_and_a_number_that_is_none_come_through(void **state)
{
    (void)state;
    static example_t e;
    memset(&e, 0, sizeof e);
    e.spec = spec_of("transe_l2", 8);
    set_up(&e, 1, 1, false);
    assert_true(isfinite(loss_of(&e)));
    e.negatives[0] = e.tails[0]; /* the only negative is the triple's own tail */
    const double alone = loss_of(&e);
    assert_true(isfinite(alone) && alone > 0);
    e.entities[e.heads[0] * 8] = NAN;
    assert_true(isnan(loss_of(&e)));
    rub_graph_model_destroy(&e.model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_model_can_be_is_refused),
        cmocka_unit_test(losses_and_gradients_are_pytorchs),
        cmocka_unit_test(gradients_are_slopes_of_the_loss),
        cmocka_unit_test(a_step_is_adagrads_on_touched_rows_alone),
        cmocka_unit_test(a_chunk_of_fewer_triples_and_a_number_that_is_none_come_through),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
