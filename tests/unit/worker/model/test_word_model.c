/* Steps against the formula of the header, term by term in float64, and against finite differences
 * of the loss. Small vocabularies, so that words come twice, and as negatives of their own pairs.
 */
#include "common/base/alloc.h"
#include "tests/unit/worker/model/numbers.h"
#include "worker/model/word_model.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

enum { WORDS_LIMIT = 100, ROWS = 23, OUT_ROWS = 29, WIDTH = 10, WINDOW = 4, NEGATIVES = 3 };

/* A text, its tables, and room for what the formula says. */
typedef struct example {
    uint32_t in_rows[WORDS_LIMIT], out_rows[WORDS_LIMIT];
    uint8_t before[WORDS_LIMIT], behind[WORDS_LIMIT];
    uint32_t negatives[4 * RUB_WORD_SHARED];
    float in[ROWS * WIDTH], out[OUT_ROWS * WIDTH];
    double in_steps[ROWS * WIDTH], out_steps[OUT_ROWS * WIDTH];
    rub_word_text_t text;
    rub_word_arrays_t arrays;
    rub_word_model_t *model;
} example_t;

static uint32_t draw(uint64_t stream, uint64_t i, uint32_t n)
{
    return (uint32_t)label(stream, i, n);
}

static const char *const kinds[] = {"skipgram", "cbow"};

static void set_up(example_t *e, const char *kind, size_t n_words)
{
    const rub_word_spec_t spec = {
        .kind = rub_word_kind_find(kind), .width = WIDTH, .window = WINDOW, .negatives = NEGATIVES};
    rub_error_t err = {0};
    memset(e, 0, sizeof *e);
    for (size_t i = 0; i < n_words; i++) {
        const size_t left = n_words - 1 - i;
        e->in_rows[i] = draw(1, i, ROWS);
        e->out_rows[i] = e->in_rows[i] + 6; /* the two tables number rows apart */
        e->before[i] = (uint8_t)draw(2, i, WINDOW + 1);
        e->behind[i] = (uint8_t)draw(3, i, WINDOW + 1);
        e->before[i] = e->before[i] <= i ? e->before[i] : (uint8_t)i;
        e->behind[i] = e->behind[i] <= left ? e->behind[i] : (uint8_t)left;
    }
    for (size_t i = 0; i < 4 * RUB_WORD_SHARED; i++) {
        e->negatives[i] = draw(4, i, OUT_ROWS);
    }
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        e->in[i] = (float)number(5, i);
    }
    for (size_t i = 0; i < OUT_ROWS * WIDTH; i++) {
        e->out[i] = (float)number(6, i);
    }
    e->text = (rub_word_text_t){.n_words = n_words,
                                .in_rows = e->in_rows,
                                .out_rows = e->out_rows,
                                .before = e->before,
                                .behind = e->behind,
                                .negatives = e->negatives};
    e->arrays = (rub_word_arrays_t){.in = e->in, .out = e->out};
    assert_int_equal(rub_word_model_new(&spec, &e->model, &err), 0);
}

/* One term of a loss, target 1 or 0, for a vector h against a row of `out`: its steps are added to
 * h_step and out_steps. */
static double term(example_t *e, const double *h, uint32_t out_row, double target, double weight,
                   double *h_step)
{
    const float *out = e->out + out_row * WIDTH;
    double score = 0;
    for (size_t k = 0; k < WIDTH; k++) {
        score += h[k] * (double)out[k];
    }
    const double logistic = 1 / (1 + exp(-score));
    for (size_t k = 0; k < WIDTH; k++) {
        const double step = weight * (target - logistic);
        h_step[k] += step * (double)out[k];
        e->out_steps[out_row * WIDTH + k] += step * h[k];
    }
    return -weight * log(target > 0 ? logistic : 1 - logistic);
}

/* What vector h costs as the neighbourhood of a word. */
static double terms(example_t *e, const double *h, uint32_t word, const uint32_t *negatives,
                    double *h_step)
{
    double loss = term(e, h, word, 1, 1, h_step);
    for (size_t k = 0; k < RUB_WORD_SHARED; k++) {
        if (negatives[k] != word) {
            loss += term(e, h, negatives[k], 0, (double)NEGATIVES / RUB_WORD_SHARED, h_step);
        }
    }
    return loss;
}

static double skipgram_terms(example_t *e, size_t j, const uint32_t *negatives, uint64_t *n_p)
{
    double loss = 0;
    for (size_t i = j - e->before[j]; i <= j + e->behind[j]; i++) {
        double h[WIDTH];
        for (size_t k = 0; k < WIDTH; k++) {
            h[k] = (double)e->in[e->in_rows[i] * WIDTH + k];
        }
        if (i != j) {
            ++*n_p;
            loss += terms(e, h, e->out_rows[j], negatives, e->in_steps + e->in_rows[i] * WIDTH);
        }
    }
    return loss;
}

static double cbow_terms(example_t *e, size_t j, const uint32_t *negatives, uint64_t *n_p)
{
    const size_t n = (size_t)e->before[j] + e->behind[j];
    double h[WIDTH] = {0}, h_step[WIDTH] = {0};
    for (size_t i = j - e->before[j]; i <= j + e->behind[j]; i++) {
        for (size_t k = 0; k < WIDTH && i != j; k++) {
            h[k] += (double)e->in[e->in_rows[i] * WIDTH + k] / (double)n;
        }
    }
    if (n == 0) {
        return 0;
    }
    ++*n_p;
    const double loss = terms(e, h, e->out_rows[j], negatives, h_step);
    for (size_t i = j - e->before[j]; i <= j + e->behind[j]; i++) {
        for (size_t k = 0; k < WIDTH && i != j; k++) {
            e->in_steps[e->in_rows[i] * WIDTH + k] += h_step[k]; /* undivided */
        }
    }
    return loss;
}

/* The formula, for the words of one block; returns its loss. */
static double formula(example_t *e, const char *kind, size_t block, uint64_t *n_terms_p)
{
    const size_t first = block * RUB_WORD_BLOCK;
    const uint32_t *negatives = e->negatives + block * RUB_WORD_SHARED;
    double loss = 0;
    for (size_t j = first; j < e->text.n_words && j < first + RUB_WORD_BLOCK; j++) {
        loss += strcmp(kind, "cbow") == 0 ? cbow_terms(e, j, negatives, n_terms_p)
                                          : skipgram_terms(e, j, negatives, n_terms_p);
    }
    return loss;
}

static void specs_outside_their_limits_are_refused(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_word_model_t *model = (rub_word_model_t *)&err;
    const uint32_t bad[][3] = {{0, 5, 5},    {4097, 5, 5}, {100, 0, 5},
                               {100, 65, 5}, {100, 5, 0},  {100, 5, 65}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        const rub_word_spec_t spec = {.kind = rub_word_kind_find(kinds[i % 2]),
                                      .width = bad[i][0],
                                      .window = bad[i][1],
                                      .negatives = bad[i][2]};
        assert_int_equal(rub_word_model_new(&spec, &model, &err), RUB_EINVAL);
        assert_null(model);
    }
    assert_null(rub_word_kind_find("glove"));
    assert_non_null(strstr(err.message, "cbow with negatives of 65, expected 1 to 64"));
}

/* Block by block: a block sees what those before it did. */
static void assert_steps_of_the_formula(const char *kind, size_t n_words)
{
    static example_t e, expected;
    const float lr = 0.05f;
    rub_word_loss_t loss = {0};
    double first_loss = 0;
    uint64_t first_terms = 0;
    set_up(&e, kind, n_words);
    expected = e;
    for (size_t b = 0; b < rub_word_blocks(n_words); b++) {
        memset(expected.in_steps, 0, sizeof expected.in_steps);
        memset(expected.out_steps, 0, sizeof expected.out_steps);
        uint64_t n_terms = 0;
        const double block_loss = formula(&expected, kind, b, &n_terms);
        first_loss = b == 0 ? block_loss : first_loss;
        first_terms = b == 0 ? n_terms : first_terms;
        for (size_t i = 0; i < ROWS * WIDTH; i++) {
            expected.in[i] += (float)((double)lr * expected.in_steps[i]);
        }
        for (size_t i = 0; i < OUT_ROWS * WIDTH; i++) {
            expected.out[i] += (float)((double)lr * expected.out_steps[i]);
        }
    }
    rub_word_model_train(e.model, &e.text, lr, &e.arrays, &loss);
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        assert_true(fabsf(e.in[i] - expected.in[i]) < 1e-5f);
    }
    for (size_t i = 0; i < OUT_ROWS * WIDTH; i++) {
        assert_true(fabsf(e.out[i] - expected.out[i]) < 1e-5f);
    }
    assert_int_equal(loss.n_terms, first_terms); /* of 64 blocks the first is looked at */
    assert_true(fabs(loss.sum - first_loss) <= 1e-5 * first_loss);
    rub_word_model_destroy(&e.model);
}

static void steps_are_those_of_the_formula_term_by_term(void **state)
{
    (void)state;
    const size_t lengths[] = {1, 2, 31, 32, 33, 70, WORDS_LIMIT};
    for (size_t i = 0; i < 2 * sizeof lengths / sizeof lengths[0]; i++) {
        assert_steps_of_the_formula(kinds[i % 2], lengths[i / 2]);
    }
}

static double loss_at(example_t *e, float *weight, float value)
{
    const float before = *weight;
    rub_word_loss_t loss = {0};
    *weight = value;
    rub_word_model_evaluate(e->model, &e->text, &e->arrays, &loss);
    *weight = before;
    return loss.sum;
}

/* One block: all steps at the same weights. Two neighbours for each word, so that a step of cbow's
 * `in` is twice the slope everywhere: undivided. */
static void assert_steps_against_the_slope(const char *kind, double in_factor)
{
    static example_t e, trained;
    rub_word_loss_t loss = {0};
    set_up(&e, kind, RUB_WORD_BLOCK);
    for (size_t i = 0; i < RUB_WORD_BLOCK; i++) {
        e.before[i] = i == 0 ? 0 : i == RUB_WORD_BLOCK - 1 ? 2 : 1;
        e.behind[i] = (uint8_t)(2 - e.before[i]);
    }
    e.text.before = e.before;
    e.text.behind = e.behind;
    trained = e;
    trained.arrays = (rub_word_arrays_t){.in = trained.in, .out = trained.out};
    rub_word_model_train(trained.model, &trained.text, 1.0f, &trained.arrays, &loss);
    for (size_t i = 0; i < (ROWS + OUT_ROWS) * WIDTH; i += 3) {
        const bool is_in = i < ROWS * WIDTH;
        const size_t at = is_in ? i : i - ROWS * WIDTH;
        float *weight = is_in ? &e.in[at] : &e.out[at];
        const float after = is_in ? trained.in[at] : trained.out[at];
        const float h = 1.0f / 128;
        const double slope = (is_in ? in_factor : 1) *
                             (loss_at(&e, weight, *weight + h) - loss_at(&e, weight, *weight - h)) /
                             (2 * (double)h);
        const double step = (double)after - (double)*weight;
        assert_true(fabs(step + slope) <= 2e-3 * fmax(1, fabs(slope)));
    }
    rub_word_model_destroy(&e.model);
}

static void steps_go_against_the_slope_of_the_loss(void **state)
{
    (void)state;
    assert_steps_against_the_slope("skipgram", 1);
    assert_steps_against_the_slope("cbow", 2);
}

/* An evaluation looks at every block, and changes nothing. */
static void evaluation_adds_up_all_terms(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        static example_t e;
        rub_word_loss_t loss = {0};
        double expected = 0;
        uint64_t n_terms = 0;
        set_up(&e, kinds[i], WORDS_LIMIT);
        for (size_t b = 0; b < rub_word_blocks(WORDS_LIMIT); b++) {
            expected += formula(&e, kinds[i], b, &n_terms);
        }
        rub_word_model_evaluate(e.model, &e.text, &e.arrays, &loss);
        assert_int_equal(loss.n_terms, n_terms);
        assert_true(fabs(loss.sum - expected) <= 1e-5 * expected);
        rub_word_model_destroy(&e.model);
    }
}

static void a_weight_that_is_no_number_comes_out_as_the_loss(void **state)
{
    (void)state;
    for (size_t i = 0; i < 2; i++) {
        static example_t e;
        rub_word_loss_t loss = {0};
        set_up(&e, kinds[i], WORDS_LIMIT);
        e.in[e.in_rows[1] * WIDTH] = NAN;
        rub_word_model_train(e.model, &e.text, 0.1f, &e.arrays, &loss);
        assert_true(isnan(loss.sum));
        rub_word_model_destroy(&e.model);
    }
}

static void a_text_without_words_or_without_neighbours_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < 4; i++) {
        static example_t e, before;
        rub_word_loss_t loss = {0};
        set_up(&e, kinds[i % 2], i < 2 ? 0 : 40);
        memset(e.before, 0, sizeof e.before);
        memset(e.behind, 0, sizeof e.behind);
        before = e;
        rub_word_model_train(e.model, &e.text, 0.1f, &e.arrays, &loss);
        assert_memory_equal(e.in, before.in, sizeof e.in);
        assert_memory_equal(e.out, before.out, sizeof e.out);
        assert_int_equal(loss.n_terms, 0);
        rub_word_model_destroy(&e.model);
    }
}

/* ---- PyTorch's numbers ---- */

enum { GOLDEN_WORDS = 32, GOLDEN_ROWS = 12, GOLDEN_OUT = 15, GOLDEN_GRAMS = 20, GOLDEN_WIDTH = 7 };

/* The steps that a table took from what number(stream) made it at first. */
static void compare_steps(FILE *file, const float *table, uint64_t stream, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double step = 0;
        assert_int_equal(fscanf(file, "%lf", &step), 1);
        assert_true(fabs((double)table[i] - number(stream, i) - step) < 1e-5 * (1 + fabs(step)));
    }
}

static void fill_table(float *table, uint64_t stream, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        table[i] = (float)number(stream, i);
    }
}

static void compare_case(FILE *file, const char *kind, bool has_grams, uint64_t n_terms, double sum)
{
    static float in[GOLDEN_ROWS * GOLDEN_WIDTH], out[GOLDEN_OUT * GOLDEN_WIDTH];
    static float grams[GOLDEN_GRAMS * GOLDEN_WIDTH];
    uint32_t in_rows[GOLDEN_WORDS], out_rows[GOLDEN_WORDS], negatives[RUB_WORD_SHARED];
    uint32_t gram_rows[4 * GOLDEN_ROWS];
    uint8_t before[GOLDEN_WORDS], behind[GOLDEN_WORDS];
    size_t first_gram[GOLDEN_ROWS + 1] = {0};
    const rub_word_spec_t spec = {
        .kind = rub_word_kind_find(kind), .width = GOLDEN_WIDTH, .window = 3, .negatives = 4};
    rub_word_model_t *model = NULL;
    rub_word_loss_t loss = {0};
    rub_error_t err = {0};
    for (size_t i = 0; i < GOLDEN_WORDS; i++) {
        const uint32_t left = GOLDEN_WORDS - 1 - (uint32_t)i, far = draw(4, i, 4);
        in_rows[i] = draw(1, i, GOLDEN_ROWS);
        out_rows[i] = draw(2, i, GOLDEN_OUT);
        before[i] = (uint8_t)(draw(3, i, 4) < i ? draw(3, i, 4) : i);
        behind[i] = (uint8_t)(far < left ? far : left);
    }
    for (size_t i = 0; i < RUB_WORD_SHARED; i++) {
        negatives[i] = draw(5, i, GOLDEN_OUT);
    }
    for (size_t i = 0; i < GOLDEN_ROWS; i++) {
        first_gram[i + 1] = first_gram[i] + draw(6, i, 4);
    }
    for (size_t i = 0; i < 4 * GOLDEN_ROWS; i++) {
        gram_rows[i] = draw(7, i, GOLDEN_GRAMS);
    }
    fill_table(in, 10, GOLDEN_ROWS * GOLDEN_WIDTH);
    fill_table(out, 11, GOLDEN_OUT * GOLDEN_WIDTH);
    fill_table(grams, 12, GOLDEN_GRAMS * GOLDEN_WIDTH);
    const rub_word_text_t text = {.n_words = GOLDEN_WORDS,
                                  .in_rows = in_rows,
                                  .out_rows = out_rows,
                                  .before = before,
                                  .behind = behind,
                                  .negatives = negatives,
                                  .first_gram = has_grams ? first_gram : NULL,
                                  .grams = gram_rows};
    const rub_word_arrays_t arrays = {.in = in, .out = out, .grams = has_grams ? grams : NULL};
    assert_int_equal(rub_word_model_new(&spec, &model, &err), 0);
    rub_word_model_train(model, &text, 1.0f, &arrays, &loss);
    assert_int_equal(loss.n_terms, n_terms);
    assert_true(fabs(loss.sum - sum) <= 1e-6 * sum);
    compare_steps(file, in, 10, GOLDEN_ROWS * GOLDEN_WIDTH);
    compare_steps(file, out, 11, GOLDEN_OUT * GOLDEN_WIDTH);
    compare_steps(file, grams, 12, GOLDEN_GRAMS * GOLDEN_WIDTH);
    rub_word_model_destroy(&model);
}

static void losses_and_steps_are_pytorchs_with_and_without_ngrams(void **state)
{
    (void)state;
    char kind[16];
    int has_grams = 0, cases = 0;
    uint64_t n_terms = 0;
    double sum = 0;
    FILE *file = fopen("tests/golden/words.txt", "r");
    assert_non_null(file);
    while (fscanf(file, " case %15s %d %" SCNu64 " %lf", kind, &has_grams, &n_terms, &sum) == 4) {
        compare_case(file, kind, has_grams, n_terms, sum);
        cases++;
    }
    assert_int_equal(cases, 4);
    fclose(file);
}

static void a_word_without_a_row_is_the_mean_of_its_ngrams(void **state)
{
    (void)state;
    const float grams[] = {1, 2, 3, 4, 5, 6}, row[] = {10, 20};
    const uint32_t rows[] = {2, 0, 2};
    float out[2] = {7, 7};
    rub_word_compose(NULL, grams, rows, 2, 2, out);
    assert_true(out[0] == 3 && out[1] == 4);
    rub_word_compose(row, grams, rows, 3, 2, out);
    assert_true(out[0] == 5.25f && out[1] == 8.5f);
    rub_word_compose(row, NULL, NULL, 0, 2, out);
    assert_true(out[0] == 10 && out[1] == 20);
    rub_word_compose(NULL, NULL, NULL, 0, 2, out);
    assert_true(out[0] == 0 && out[1] == 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs_outside_their_limits_are_refused),
        cmocka_unit_test(steps_are_those_of_the_formula_term_by_term),
        cmocka_unit_test(steps_go_against_the_slope_of_the_loss),
        cmocka_unit_test(losses_and_steps_are_pytorchs_with_and_without_ngrams),
        cmocka_unit_test(a_word_without_a_row_is_the_mean_of_its_ngrams),
        cmocka_unit_test(evaluation_adds_up_all_terms),
        cmocka_unit_test(a_weight_that_is_no_number_comes_out_as_the_loss),
        cmocka_unit_test(a_text_without_words_or_without_neighbours_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
