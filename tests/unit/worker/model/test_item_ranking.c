/* Figures of rankings against a plain sort, and by hand where the answer is known. */
#include "tests/unit/worker/model/numbers.h"
#include "worker/model/item_ranking.h"

#include <math.h>
#include <string.h>

enum { ITEMS = 60, MOST = 20 };

static bool among(const uint32_t *items, size_t n, uint32_t item)
{
    for (size_t i = 0; i < n; i++) {
        if (items[i] == item) {
            return true;
        }
    }
    return false;
}

static void figures_by_hand_are_met(void **state)
{
    (void)state;
    /* Places of candidates: item 4 first, then 1, 0 and 2 together, 5 last; 3 is known. */
    const float scores[] = {2, 3, 2, 9, 4, 1};
    const uint32_t known[] = {3, 3}, wanted[] = {0, 1, 1, 3};
    rub_item_ranks_t sums = {0};
    rub_item_ranking_add(scores, 6, known, 2, wanted, 4, 2, &sums);
    assert_true(sums.users == 1);
    assert_true(sums.precision == 0.5); /* item 1 in place 2; item 0 in place 3.5 */
    assert_true(sums.recall == 0.5);
    assert_true(fabs(sums.ndcg - (1 / log2(3)) / (1 + 1 / log2(3))) < 1e-12);
    assert_true(fabs(sums.auc - (1.5 + 2) / 6) < 1e-12); /* against 2, 4 and 5 */
}

static void who_wants_nothing_or_all_is_left_out(void **state)
{
    (void)state;
    const float scores[] = {1, 2};
    const uint32_t both[] = {0, 1};
    rub_item_ranks_t sums = {0};
    rub_item_ranking_add(scores, 2, both, 1, NULL, 0, 1, &sums);
    rub_item_ranking_add(scores, 2, both, 1, both, 1, 1, &sums);     /* known */
    rub_item_ranking_add(scores, 2, both, 1, both + 1, 1, 1, &sums); /* no other candidate */
    assert_true(sums.users == 0);
    assert_true(sums.auc == 0);
}

static void a_model_that_says_the_same_of_all_is_in_the_middle(void **state)
{
    (void)state;
    const float scores[ITEMS] = {0};
    const uint32_t wanted[] = {3, 50};
    rub_item_ranks_t sums = {0};
    rub_item_ranking_add(scores, ITEMS, NULL, 0, wanted, 2, 10, &sums);
    assert_true(sums.precision == 0);
    assert_true(fabs(sums.auc - 0.5) < 1e-12);
    const float none[] = {NAN, 1, 2};
    sums = (rub_item_ranks_t){0};
    rub_item_ranking_add(none, 3, NULL, 0, wanted, 0, 1, &sums);
    rub_item_ranking_add(none, 3, NULL, 0, (const uint32_t[]){0}, 1, 1, &sums);
    assert_true(sums.users == 1);
    assert_true(sums.auc == 0);
}

/* Draws a user: scores with ties, what is known and what is wanted, ascending. */
static size_t draw(uint64_t stream, uint32_t part, uint32_t *items)
{
    size_t n = 0;
    for (uint32_t i = 0; i < ITEMS && n < MOST; i++) {
        if (label(stream, i, part) == 0) {
            items[n++] = i;
        }
    }
    return n;
}

static void figures_are_those_of_counting_pairs(void **state)
{
    (void)state;
    for (uint64_t u = 0; u < 40; u++) {
        float scores[ITEMS];
        uint32_t known[MOST], wanted[MOST];
        for (uint32_t i = 0; i < ITEMS; i++) {
            scores[i] = (float)label(3 * u, i, 25);
        }
        const size_t n_known = draw(3 * u + 1, 6, known), n_wanted = draw(3 * u + 2, 7, wanted);
        double ordered = 0, pairs = 0, hits = 0;
        size_t n = 0;
        for (size_t w = 0; w < n_wanted; w++) {
            double place = 1;
            if (among(known, n_known, wanted[w])) {
                continue;
            }
            n++;
            for (uint32_t i = 0; i < ITEMS; i++) {
                if (i == wanted[w] || among(known, n_known, i)) {
                    continue;
                }
                const float a = scores[wanted[w]], b = scores[i];
                place += b > a ? 1 : b == a ? 0.5 : 0;
                if (!among(wanted, n_wanted, i)) {
                    pairs++;
                    ordered += a > b ? 1 : a == b ? 0.5 : 0;
                }
            }
            hits += place <= 5;
        }
        rub_item_ranks_t sums = {0};
        rub_item_ranking_add(scores, ITEMS, known, n_known, wanted, n_wanted, 5, &sums);
        assert_true(sums.users == (n > 0));
        assert_true(n == 0 || fabs(sums.auc - ordered / pairs) < 1e-12);
        assert_true(n == 0 || fabs(sums.recall - hits / (double)n) < 1e-12);
        assert_true(fabs(sums.precision - hits / 5) < 1e-12);
    }
}

static void the_best_are_the_best_candidates_in_their_order(void **state)
{
    (void)state;
    const float scores[] = {1, 5, 3, 5, 9, 0};
    const uint32_t known[] = {4};
    uint32_t best[6];
    assert_int_equal(rub_item_ranking_best(scores, 6, known, 1, 3, best), 3);
    assert_int_equal(best[0], 1);
    assert_int_equal(best[1], 3);
    assert_int_equal(best[2], 2);
    assert_int_equal(rub_item_ranking_best(scores, 6, known, 1, 6, best), 5);
    assert_int_equal(best[4], 5);
}

static void scores_are_products_and_biases(void **state)
{
    (void)state;
    const float users[] = {1, 2, 0, -1}, items[] = {1, 1, 2, 0, 0, 3}, bias[] = {0.5f, 0, 1};
    const float expected[] = {3.5f, 2, 7, -0.5f, 0, -2};
    float scores[6];
    rub_item_ranking_scores(users, 2, items, bias, 3, 2, scores);
    assert_memory_equal(scores, expected, sizeof expected);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(figures_by_hand_are_met),
        cmocka_unit_test(who_wants_nothing_or_all_is_left_out),
        cmocka_unit_test(a_model_that_says_the_same_of_all_is_in_the_middle),
        cmocka_unit_test(figures_are_those_of_counting_pairs),
        cmocka_unit_test(the_best_are_the_best_candidates_in_their_order),
        cmocka_unit_test(scores_are_products_and_biases),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
