/* Gradients of chunks against PyTorch's in float64 (tests/golden/make_ratings.py) and against
 * differences of the loss itself; steps against AdaGrad's formula; refusals first. */
#include "tests/unit/worker/model/numbers.h"
#include "worker/model/rating_model.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

enum { USERS = 30, ITEMS = 40, WIDTH = 20, RATINGS = 300, NEGATIVES = 64 };

typedef struct example {
    char name[64], kind[32];
    rub_rating_spec_t spec;
    rub_rating_chunk_t chunk;
    float users[USERS * WIDTH], items[ITEMS * WIDTH], user_bias[USERS], item_bias[ITEMS];
    uint32_t user_rows[RATINGS], item_rows[RATINGS], negatives[NEGATIVES];
    uint32_t skips[RATINGS * NEGATIVES];
    size_t skip_starts[RATINGS + 1];
    float values[RATINGS];
    rub_rating_model_t *model;
    rub_rating_gradient_t gradient;
    rub_rating_loss_sum_t loss;
} example_t;

static rub_rating_spec_t spec_of(const char *kind, uint32_t width)
{
    return (rub_rating_spec_t){.kind = kind,
                               .width = width,
                               .chunk = RATINGS,
                               .negatives = NEGATIVES,
                               .user_rows = USERS,
                               .item_rows = ITEMS};
}

static void draw(uint64_t stream, uint32_t below, size_t n, uint32_t *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint32_t)label(stream, i, below);
    }
}

static void fill(uint64_t stream, size_t n, double more, float *out)
{
    for (size_t i = 0; i < n; i++) {
        out[i] = (float)(number(stream, i) + more);
    }
}

/* The spec is there: tables, chunk and model as make_ratings.py has them. */
static void set_up(example_t *e, size_t n, size_t m)
{
    rub_error_t err = {0};
    size_t n_skips = 0;
    if (rub_rating_model_new(&e->spec, &e->model, &err) != 0) {
        fail_msg("%s", err.message);
    }
    fill(0, USERS * e->spec.width, 0, e->users);
    fill(1, ITEMS * e->spec.width, 0, e->items);
    fill(2, USERS, 0, e->user_bias);
    fill(3, ITEMS, 0, e->item_bias);
    fill(8, n, 1, e->values);
    draw(4, USERS, n, e->user_rows);
    draw(5, ITEMS, n, e->item_rows);
    draw(6, ITEMS, m, e->negatives);
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j < m; j++) {
            if (label(7, i * m + j, 4) == 0) {
                e->skips[n_skips++] = (uint32_t)j;
            }
        }
        e->skip_starts[i + 1] = n_skips;
    }
    e->chunk = (rub_rating_chunk_t){.n = n,
                                    .users = e->user_rows,
                                    .items = e->item_rows,
                                    .values = e->values,
                                    .negatives = e->negatives,
                                    .n_negatives = m,
                                    .skip_starts = e->skip_starts,
                                    .skips = e->skips};
}

static bool has_user_bias(const example_t *e)
{
    return rub_rating_kind_named(e->spec.kind)->user_bias;
}

static rub_rating_tables_t tables_of(example_t *e)
{
    return (rub_rating_tables_t){.users = e->users,
                                 .items = e->items,
                                 .user_bias = has_user_bias(e) ? e->user_bias : NULL,
                                 .item_bias = e->item_bias};
}

static double loss_of(example_t *e)
{
    const rub_rating_tables_t tables = tables_of(e);
    e->loss = (rub_rating_loss_sum_t){0};
    rub_rating_model_gradient(e->model, &e->chunk, &tables, &e->gradient, &e->loss);
    return e->loss.sum;
}

/* Gradients of all rows, 0 where the chunk has none: vectors, and biases. */
static void spread(const uint32_t *rows, const float *gradients, size_t n, size_t width,
                   size_t n_rows, double *vectors, double *biases)
{
    memset(vectors, 0, n_rows * width * sizeof *vectors);
    memset(biases, 0, n_rows * sizeof *biases);
    for (size_t i = 0; i < n; i++) {
        const float *row = gradients + i * (width + 1);
        for (size_t k = 0; k < width; k++) {
            assert_true(vectors[rows[i] * width + k] == 0); /* each row once */
            vectors[rows[i] * width + k] = (double)row[k];
        }
        biases[rows[i]] = (double)row[width];
    }
}

typedef struct gradients {
    double users[USERS * WIDTH], items[ITEMS * WIDTH], user_bias[USERS], item_bias[ITEMS];
} gradients_t;

static void spread_all(const example_t *e, gradients_t *out)
{
    const rub_rating_gradient_t *g = &e->gradient;
    spread(g->user_rows, g->users, g->n_users, e->spec.width, USERS, out->users, out->user_bias);
    spread(g->item_rows, g->items, g->n_items, e->spec.width, ITEMS, out->items, out->item_bias);
}

static void refuse(const rub_rating_spec_t *spec, const char *words)
{
    rub_error_t err = {0};
    rub_rating_model_t *model = (rub_rating_model_t *)&err;
    assert_int_equal(rub_rating_model_new(spec, &model, &err), RUB_EINVAL);
    assert_null(model);
    if (!strstr(err.message, words)) {
        fail_msg("'%s' does not say '%s'", err.message, words);
    }
}

static void what_no_model_can_be_is_refused(void **state)
{
    (void)state;
    rub_rating_spec_t spec = spec_of("svd", 8);
    refuse(&spec, "model of ratings 'svd' is not known");
    spec = spec_of("mf", 0);
    refuse(&spec, "mf with a width of 0, expected 1 to 4096");
    spec = spec_of("mf", 4097);
    refuse(&spec, "mf with a width of 4097");
    spec = spec_of("mf_bpr", 8);
    spec.negatives = 0;
    refuse(&spec, "mf_bpr with 0 negatives, expected 1 to 4096");
    spec.negatives = RUB_RATING_NEGATIVES_LIMIT + 1;
    refuse(&spec, "mf_bpr with 4097 negatives");
    spec = spec_of("mf_logistic", 8);
    spec.l2 = -1;
    refuse(&spec, "mf_logistic with -1, expected 0 to 1e6");
    spec.l2 = 0;
    spec.confidence = NAN;
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
    assert_true(n_numbers == n || absolutes == 0);
    for (size_t i = 0; i < n; i++) {
        got_sum += rows[i];
        got_absolutes += fabs(rows[i]);
    }
    compare(e, "sum", got_sum, sum, 2e-6 * absolutes + 1e-12);
    compare(e, "sum of absolutes", got_absolutes, absolutes, 2e-6 * absolutes + 1e-12);
    for (size_t i = 0; i < n_places; i++) {
        size_t place = 0;
        double value = 0;
        assert_int_equal(fscanf(file, "%zu %lf", &place, &value), 2);
        compare(e, what, rows[place], value, 2e-6 * (1 + fabs(value)) + 1e-7 * absolutes);
    }
}

static void gradients_are_pytorchs(void **state)
{
    (void)state;
    static example_t e;
    static gradients_t g;
    FILE *file = fopen("tests/golden/ratings.txt", "r");
    size_t n = 0, m = 0, n_cases = 0;
    double loss = 0;
    assert_non_null(file);
    memset(&e, 0, sizeof e);
    while (fscanf(file, " case %63s %31s %u %lf %lf %lf %zu %zu loss %lf", e.name, e.kind,
                  &e.spec.width, &e.spec.l2, &e.spec.confidence, &e.spec.mean, &n, &m,
                  &loss) == 9) {
        const rub_rating_spec_t read = e.spec;
        e.spec = spec_of(e.kind, read.width);
        e.spec.l2 = read.l2;
        e.spec.confidence = read.confidence;
        e.spec.mean = read.mean;
        set_up(&e, n, m);
        compare(&e, "loss", loss_of(&e), loss, 2e-6 * loss);
        assert_int_equal(e.loss.ratings, n);
        spread_all(&e, &g);
        compare_rows(&e, file, "users", g.users, USERS * e.spec.width);
        compare_rows(&e, file, "items", g.items, ITEMS * e.spec.width);
        compare_rows(&e, file, "user_bias", g.user_bias, USERS);
        compare_rows(&e, file, "item_bias", g.item_bias, ITEMS);
        rub_rating_model_destroy(&e.model);
        n_cases++;
    }
    assert_true(feof(file));
    assert_int_equal(n_cases, 9);
    fclose(file);
}

/* ---- differences ---- */

/* scale: of mf the loss that is reported is twice the one that is stepped on. */
static void expect_slopes(example_t *e, float *numbers, const double *gradient, size_t n,
                          double scale)
{
    for (size_t i = 0; i < n; i += 1 + n / 40) {
        const float was = numbers[i], step = 1.0f / 256;
        numbers[i] = was + step;
        const double above = loss_of(e);
        numbers[i] = was - step;
        const double below = loss_of(e);
        numbers[i] = was;
        compare(e, "slope", gradient[i], scale * (above - below) / (2 * (double)step), 1e-3);
    }
}

static void gradients_are_slopes_of_the_loss(void **state)
{
    (void)state;
    static const char *const kinds[] = {"mf", "mf_bpr", "mf_logistic"};
    static example_t e;
    static gradients_t g;
    for (size_t k = 0; k < 3; k++) {
        const double scale = k == 0 ? 0.5 : 1;
        memset(&e, 0, sizeof e);
        snprintf(e.name, sizeof e.name, "%s", kinds[k]);
        e.spec = spec_of(kinds[k], 8);
        e.spec.confidence = k == 0 ? 0 : 0.5;
        set_up(&e, 40, 6);
        (void)loss_of(&e);
        spread_all(&e, &g);
        expect_slopes(&e, e.users, g.users, USERS * 8, scale);
        expect_slopes(&e, e.items, g.items, ITEMS * 8, scale);
        expect_slopes(&e, e.item_bias, g.item_bias, ITEMS, scale);
        if (has_user_bias(&e)) {
            expect_slopes(&e, e.user_bias, g.user_bias, USERS, scale);
        }
        rub_rating_model_destroy(&e.model);
    }
}

/* ---- steps ---- */

static void expect_step(const example_t *e, float got, float was, const double *gradient,
                        size_t width, size_t k, double sum)
{
    double square = 0;
    for (size_t i = 0; i < width; i++) {
        square += gradient[i] * gradient[i] / (double)width;
    }
    compare(e, "number", (double)got, (double)was - 0.5 * gradient[k] / (sqrt(sum + square) + 0.25),
            2e-6);
}

static void a_step_of_a_chunk_is_adagrads_on_touched_rows_alone(void **state)
{
    (void)state;
    static example_t e, before;
    static gradients_t g;
    static float user_sums[USERS * 2], item_sums[ITEMS * 2];
    memset(&e, 0, sizeof e);
    e.spec = spec_of("mf_logistic", 6);
    e.spec.l2 = 0.5;
    set_up(&e, 9, 5);
    (void)loss_of(&e);
    spread_all(&e, &g);
    before = e;
    for (int i = 0; i < 2 * USERS; i++) {
        user_sums[i] = (float)i;
    }
    rub_rating_tables_t tables = tables_of(&e);
    tables.user_sums = user_sums;
    tables.item_sums = item_sums;
    rub_rating_loss_sum_t loss = {0};
    rub_rating_model_train(e.model, &e.chunk, 0.5f, 0.25f, &tables, &loss);
    assert_int_equal(loss.ratings, 1);
    for (size_t u = 0; u < USERS; u++) {
        for (size_t k = 0; k < 6; k++) {
            expect_step(&e, e.users[u * 6 + k], before.users[u * 6 + k], g.users + u * 6, 6, k,
                        (double)(2 * u));
        }
        expect_step(&e, e.user_bias[u], before.user_bias[u], g.user_bias + u, 1, 0,
                    (double)(2 * u + 1));
    }
    for (size_t i = 0; i < ITEMS; i++) {
        for (size_t k = 0; k < 6; k++) {
            expect_step(&e, e.items[i * 6 + k], before.items[i * 6 + k], g.items + i * 6, 6, k, 0);
        }
        expect_step(&e, e.item_bias[i], before.item_bias[i], g.item_bias + i, 1, 0, 0);
    }
    rub_rating_model_destroy(&e.model);
}

static void each_rating_sees_what_the_one_before_has_changed(void **state)
{
    (void)state;
    static example_t together, alone;
    static float sums[4][ITEMS * 2];
    rub_rating_loss_sum_t loss = {0}, loss_alone = {0};
    memset(&together, 0, sizeof together);
    memset(sums, 0, sizeof sums);
    together.spec = spec_of("mf", 19);
    together.spec.l2 = 0.25;
    set_up(&together, 50, 1);
    alone = together;
    rub_rating_tables_t tables = tables_of(&together);
    tables.user_sums = sums[0];
    tables.item_sums = sums[1];
    rub_rating_model_train(together.model, &together.chunk, 0.25f, 0.125f, &tables, &loss);
    assert_int_equal(loss.ratings, 50);
    tables = tables_of(&alone);
    tables.user_sums = sums[2];
    tables.item_sums = sums[3];
    for (size_t i = 0; i < 50; i++) {
        rub_rating_chunk_t one = {.n = 1,
                                  .users = alone.user_rows + i,
                                  .items = alone.item_rows + i,
                                  .values = alone.values + i};
        rub_rating_model_train(alone.model, &one, 0.25f, 0.125f, &tables, &loss_alone);
    }
    assert_memory_equal(together.users, alone.users, sizeof together.users);
    assert_memory_equal(together.items, alone.items, sizeof together.items);
    assert_memory_equal(together.user_bias, alone.user_bias, sizeof together.user_bias);
    assert_memory_equal(sums[0], sums[2], sizeof sums[0]);
    assert_memory_equal(sums[1], sums[3], sizeof sums[0]);
    assert_true(loss.sum == loss_alone.sum);
    rub_rating_model_destroy(&together.model);
}

static void what_is_not_finite_comes_out_as_a_loss_that_is_not(void **state)
{
    (void)state;
    static const char *const kinds[] = {"mf", "mf_bpr", "mf_logistic"};
    static example_t e;
    for (size_t k = 0; k < 3; k++) {
        memset(&e, 0, sizeof e);
        e.spec = spec_of(kinds[k], 8);
        set_up(&e, 40, 6);
        e.users[e.user_rows[0] * 8] = NAN;
        assert_false(isfinite(loss_of(&e)));
        rub_rating_model_destroy(&e.model);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_no_model_can_be_is_refused),
        cmocka_unit_test(gradients_are_pytorchs),
        cmocka_unit_test(gradients_are_slopes_of_the_loss),
        cmocka_unit_test(a_step_of_a_chunk_is_adagrads_on_touched_rows_alone),
        cmocka_unit_test(each_rating_sees_what_the_one_before_has_changed),
        cmocka_unit_test(what_is_not_finite_comes_out_as_a_loss_that_is_not),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
