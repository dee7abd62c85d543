/* Rank correlation against values by hand, and analogies against a plain search. */
#include "tests/unit/worker/model/numbers.h"

#include "worker/model/word_score.h"

#include <math.h>
#include <string.h>

static double rho_of(const double *x, const double *y, size_t n)
{
    double rho = 7;
    assert_int_equal(rub_spearman(x, y, n, &rho, NULL), 0);
    return rho;
}

static void ranks_are_correlated_and_equal_ones_share_theirs(void **state)
{
    (void)state;
    const double x[] = {1, 2, 3, 4, 5}, up[] = {10, 20, 30, 1e6, 1e7}, down[] = {5, 4, 3, 2, 1};
    const double ties[] = {1, 2, 2, 3, 3}, flat[] = {4, 4, 4, 4, 4};
    assert_true(fabs(rho_of(x, up, 5) - 1) < 1e-12);
    assert_true(fabs(rho_of(x, down, 5) + 1) < 1e-12);
    /* Ranks 1, 2.5, 2.5, 4.5, 4.5: 9 / sqrt(10 * 9). */
    assert_true(fabs(rho_of(x, ties, 5) - 9 / sqrt(90)) < 1e-12);
    assert_true(rho_of(x, flat, 5) == 0);
}

static void the_nearest_of_all_rows_but_the_three_is_the_answer(void **state)
{
    (void)state;
    enum { ROWS = 1500, WIDTH = 7, N = 130 }; /* more than a block of each */
    static float rows[ROWS * WIDTH];
    static uint32_t questions[N][4], answers[N];
    for (size_t i = 0; i < ROWS * WIDTH; i++) {
        rows[i] = (float)number(1, i);
    }
    memset(rows + 40 * WIDTH, 0, WIDTH * sizeof *rows); /* has no direction */
    rub_rows_normalize(rows, ROWS, WIDTH);
    for (uint32_t q = 0; q < N; q++) {
        for (uint32_t k = 0; k < 4; k++) {
            questions[q][k] = (q * 37 + k * 401) % ROWS;
        }
    }
    assert_int_equal(rub_analogies_answer(rows, ROWS, WIDTH, questions[0], 4, N, answers, NULL), 0);
    for (size_t q = 0; q < N; q++) {
        double best = -INFINITY, answered = 0;
        for (uint32_t row = 0; row < ROWS; row++) {
            const uint32_t *asked = questions[q];
            double cosine = 0;
            for (size_t k = 0; k < WIDTH; k++) {
                cosine += (double)rows[row * WIDTH + k] *
                          ((double)rows[asked[1] * WIDTH + k] - (double)rows[asked[0] * WIDTH + k] +
                           (double)rows[asked[2] * WIDTH + k]);
            }
            const bool allowed = row != asked[0] && row != asked[1] && row != asked[2];
            best = allowed && cosine > best ? cosine : best;
            answered = row == answers[q] ? cosine : answered;
        }
        assert_true(best - answered < 1e-5);
        assert_true(answers[q] != questions[q][0] && answers[q] != questions[q][1]);
        assert_true(answers[q] != questions[q][2]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(ranks_are_correlated_and_equal_ones_share_theirs),
        cmocka_unit_test(the_nearest_of_all_rows_but_the_three_is_the_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
