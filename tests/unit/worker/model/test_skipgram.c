/* Steps against the formula of the header, pair by pair in float64, and against finite differences
 * of the loss. Small vocabularies, so that words come twice, and as negatives of their own pairs.
 */
#include "common/base/alloc.h"
#include "tests/unit/worker/model/numbers.h"
#include "worker/model/skipgram.h"

#include <math.h>
#include <string.h>

enum { WORDS_LIMIT = 100, ROWS = 23, OUT_ROWS = 29, WIDTH = 10, WINDOW = 4, NEGATIVES = 3 };

/* A text, its tables, and room for what the formula says. */
typedef struct example {
    uint32_t in_rows[WORDS_LIMIT], out_rows[WORDS_LIMIT];
    uint8_t before[WORDS_LIMIT], behind[WORDS_LIMIT];
    uint32_t negatives[4 * RUB_SKIPGRAM_SHARED];
    float in[ROWS * WIDTH], out[OUT_ROWS * WIDTH];
    double in_steps[ROWS * WIDTH], out_steps[OUT_ROWS * WIDTH];
    rub_skipgram_text_t text;
    rub_skipgram_t *model;
} example_t;

static uint32_t draw(uint64_t stream, uint64_t i, uint32_t n)
{
    return (uint32_t)label(stream, i, n);
}

static void set_up(example_t *e, size_t n_words)
{
    const rub_skipgram_spec_t spec = {.width = WIDTH, .window = WINDOW, .negatives = NEGATIVES};
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
    for (size_t i = 0; i < 4 * RUB_SKIPGRAM_SHARED; i++) {
        e->negatives[i] = draw(4, i, OUT_ROWS);
    }
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        e->in[i] = (float)number(5, i);
    }
    for (size_t i = 0; i < OUT_ROWS * WIDTH; i++) {
        e->out[i] = (float)number(6, i);
    }
    e->text =
        (rub_skipgram_text_t){n_words, e->in_rows, e->out_rows, e->before, e->behind, e->negatives};
    assert_int_equal(rub_skipgram_new(&spec, &e->model, &err), 0);
}

static double dot(const example_t *e, uint32_t in_row, uint32_t out_row)
{
    double sum = 0;
    for (size_t k = 0; k < WIDTH; k++) {
        sum += (double)e->in[in_row * WIDTH + k] * (double)e->out[out_row * WIDTH + k];
    }
    return sum;
}

/* One term of a pair's loss, label 1 or 0; its step is added to in_steps and out_steps. */
static double term(example_t *e, uint32_t in_row, uint32_t out_row, double target, double weight)
{
    const double score = dot(e, in_row, out_row);
    const double logistic = 1 / (1 + exp(-score));
    for (size_t k = 0; k < WIDTH; k++) {
        const double step = weight * (target - logistic);
        e->in_steps[in_row * WIDTH + k] += step * (double)e->out[out_row * WIDTH + k];
        e->out_steps[out_row * WIDTH + k] += step * (double)e->in[in_row * WIDTH + k];
    }
    return -weight * log(target > 0 ? logistic : 1 - logistic);
}

/* The formula, for the words of one block; returns its loss. */
static double formula(example_t *e, size_t block, uint64_t *pairs_p)
{
    const size_t first = block * RUB_SKIPGRAM_BLOCK;
    const uint32_t *negatives = e->negatives + block * RUB_SKIPGRAM_SHARED;
    double loss = 0;
    for (size_t j = first; j < e->text.n_words && j < first + RUB_SKIPGRAM_BLOCK; j++) {
        for (size_t i = j - e->before[j]; i <= j + e->behind[j]; i++) {
            if (i == j) {
                continue;
            }
            ++*pairs_p;
            loss += term(e, e->in_rows[i], e->out_rows[j], 1, 1);
            for (size_t k = 0; k < RUB_SKIPGRAM_SHARED; k++) {
                if (negatives[k] != e->out_rows[j]) {
                    loss += term(e, e->in_rows[i], negatives[k], 0,
                                 (double)NEGATIVES / RUB_SKIPGRAM_SHARED);
                }
            }
        }
    }
    return loss;
}

static void specs_outside_their_limits_are_refused(void **state)
{
    (void)state;
    rub_error_t err = {0};
    rub_skipgram_t *model = (rub_skipgram_t *)&err;
    const rub_skipgram_spec_t bad[] = {{0, 5, 5},    {4097, 5, 5}, {100, 0, 5},
                                       {100, 65, 5}, {100, 5, 0},  {100, 5, 65}};
    for (size_t i = 0; i < sizeof bad / sizeof bad[0]; i++) {
        assert_int_equal(rub_skipgram_new(&bad[i], &model, &err), RUB_EINVAL);
        assert_null(model);
    }
    assert_non_null(strstr(err.message, "negatives of 65, expected 1 to 64"));
}

/* Block by block: a block sees what those before it did. */
static void steps_are_those_of_the_formula_pair_by_pair(void **state)
{
    (void)state;
    const size_t lengths[] = {1, 2, 31, 32, 33, 70, WORDS_LIMIT};
    const float lr = 0.05f;
    for (size_t l = 0; l < sizeof lengths / sizeof lengths[0]; l++) {
        static example_t e, expected;
        rub_skipgram_loss_t loss = {0};
        double first_loss = 0;
        uint64_t first_pairs = 0;
        set_up(&e, lengths[l]);
        expected = e;
        for (size_t b = 0; b < rub_skipgram_blocks(lengths[l]); b++) {
            memset(expected.in_steps, 0, sizeof expected.in_steps);
            memset(expected.out_steps, 0, sizeof expected.out_steps);
            uint64_t pairs = 0;
            const double block_loss = formula(&expected, b, &pairs);
            first_loss = b == 0 ? block_loss : first_loss;
            first_pairs = b == 0 ? pairs : first_pairs;
            for (size_t i = 0; i < ROWS * WIDTH; i++) {
                expected.in[i] += (float)((double)lr * expected.in_steps[i]);
            }
            for (size_t i = 0; i < OUT_ROWS * WIDTH; i++) {
                expected.out[i] += (float)((double)lr * expected.out_steps[i]);
            }
        }
        rub_skipgram_train(e.model, &e.text, lr, e.in, e.out, &loss);
        for (size_t i = 0; i < ROWS * WIDTH; i++) {
            assert_true(fabsf(e.in[i] - expected.in[i]) < 1e-5f);
        }
        for (size_t i = 0; i < OUT_ROWS * WIDTH; i++) {
            assert_true(fabsf(e.out[i] - expected.out[i]) < 1e-5f);
        }
        assert_int_equal(loss.pairs, first_pairs); /* of 64 blocks the first is looked at */
        assert_true(fabs(loss.sum - first_loss) <= 1e-5 * first_loss);
        rub_skipgram_destroy(&e.model);
    }
}

static double loss_at(example_t *e, float *weight, float value)
{
    const float before = *weight;
    rub_skipgram_loss_t loss = {0};
    *weight = value;
    rub_skipgram_evaluate(e->model, &e->text, e->in, e->out, &loss);
    *weight = before;
    return loss.sum;
}

static void steps_go_against_the_slope_of_the_loss(void **state)
{
    (void)state;
    static example_t e, trained;
    rub_skipgram_loss_t loss = {0};
    set_up(&e, RUB_SKIPGRAM_BLOCK); /* one block: all steps at the same weights */
    trained = e;
    rub_skipgram_train(trained.model, &trained.text, 1.0f, trained.in, trained.out, &loss);
    for (size_t i = 0; i < (ROWS + OUT_ROWS) * WIDTH; i += 3) {
        const size_t at = i < ROWS * WIDTH ? i : i - ROWS * WIDTH;
        float *weight = i < ROWS * WIDTH ? &e.in[at] : &e.out[at];
        const float after = i < ROWS * WIDTH ? trained.in[at] : trained.out[at];
        const float h = 1.0f / 128;
        const double slope =
            (loss_at(&e, weight, *weight + h) - loss_at(&e, weight, *weight - h)) / (2 * (double)h);
        const double step = (double)after - (double)*weight;
        assert_true(fabs(step + slope) <= 2e-3 * fmax(1, fabs(slope)));
    }
    rub_skipgram_destroy(&e.model);
}

/* An evaluation looks at every block, and changes nothing. */
static void evaluation_adds_up_all_pairs(void **state)
{
    (void)state;
    static example_t e;
    rub_skipgram_loss_t loss = {0};
    double expected = 0;
    uint64_t pairs = 0;
    set_up(&e, WORDS_LIMIT);
    for (size_t b = 0; b < rub_skipgram_blocks(WORDS_LIMIT); b++) {
        expected += formula(&e, b, &pairs);
    }
    rub_skipgram_evaluate(e.model, &e.text, e.in, e.out, &loss);
    assert_int_equal(loss.pairs, pairs);
    assert_true(fabs(loss.sum - expected) <= 1e-5 * expected);
    rub_skipgram_destroy(&e.model);
}

static void a_weight_that_is_no_number_comes_out_as_the_loss(void **state)
{
    (void)state;
    static example_t e;
    rub_skipgram_loss_t loss = {0};
    set_up(&e, WORDS_LIMIT);
    e.in[e.in_rows[1] * WIDTH] = NAN;
    rub_skipgram_train(e.model, &e.text, 0.1f, e.in, e.out, &loss);
    assert_true(isnan(loss.sum));
    rub_skipgram_destroy(&e.model);
}

static void a_text_without_words_changes_nothing(void **state)
{
    (void)state;
    static example_t e, before;
    rub_skipgram_loss_t loss = {0};
    set_up(&e, 0);
    before = e;
    rub_skipgram_train(e.model, &e.text, 0.1f, e.in, e.out, &loss);
    assert_memory_equal(e.in, before.in, sizeof e.in);
    assert_memory_equal(e.out, before.out, sizeof e.out);
    assert_int_equal(loss.pairs, 0);
    rub_skipgram_destroy(&e.model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(specs_outside_their_limits_are_refused),
        cmocka_unit_test(steps_are_those_of_the_formula_pair_by_pair),
        cmocka_unit_test(steps_go_against_the_slope_of_the_loss),
        cmocka_unit_test(evaluation_adds_up_all_pairs),
        cmocka_unit_test(a_weight_that_is_no_number_comes_out_as_the_loss),
        cmocka_unit_test(a_text_without_words_changes_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
