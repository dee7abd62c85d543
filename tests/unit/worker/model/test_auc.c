/* Pairs counted by sorting against pairs counted one by one. */
#include "common/base/check.h"
#include "common/base/rng.h"
#include "worker/model/auc.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>

enum { MOST = 400 };

static void pairs_are_those_that_counting_finds(void **state)
{
    RUB_UNUSED(state);
    float scores[MOST];
    float labels[MOST];
    uint64_t items[MOST], scratch[MOST];
    rub_rng_t rng;
    rub_rng_init(&rng, 9, 0);
    const size_t counts[] = {0, 1, 2, 3, 50, MOST};
    for (size_t round = 0; round < 60; round++) {
        const size_t n = counts[round % RUB_COUNT_OF(counts)];
        const uint64_t values = 2 + rub_rng_below(&rng, 1000); /* few: many are equal */
        for (size_t i = 0; i < n; i++) {
            const double place = (double)rub_rng_below(&rng, values) - (double)(values / 2);
            scores[i] = (float)(place * 0.37);
            scores[i] = place == 0 && i % 2 ? -0.0f : scores[i];
            labels[i] = (float)(rub_rng_below(&rng, 3) == 0);
        }
        double ordered = 0, pairs = 0;
        for (size_t i = 0; i < n; i++) {
            for (size_t j = 0; j < n; j++) {
                if (labels[i] != 0 && labels[j] == 0) {
                    pairs++;
                    ordered += scores[i] > scores[j] ? 1 : scores[i] == scores[j] ? 0.5 : 0;
                }
            }
        }
        double found_ordered = -1, found_pairs = -1;
        rub_auc_pairs(scores, labels, n, items, scratch, &found_ordered, &found_pairs);
        assert_true(found_ordered == ordered);
        assert_true(found_pairs == pairs);
    }
}

static void bins_count_what_sorting_counts_but_for_scores_that_are_nearly_equal(void **state)
{
    (void)state;
    enum { N = 20000 };
    static float scores[N];
    static float labels[N];
    static uint64_t items[N], scratch[N];
    rub_rng_t rng;
    rub_rng_init(&rng, 5, 1);
    for (size_t i = 0; i < N; i++) {
        scores[i] = (float)(rub_rng_unit(&rng) * 8 - 4);
        labels[i] = (float)(rub_rng_unit(&rng) < 0.5 + scores[i] / 10);
    }
    double ordered = 0, pairs = 0, binned = 0, binned_pairs = 0;
    rub_auc_pairs(scores, labels, N, items, scratch, &ordered, &pairs);
    rub_auc_bins_t *bins = rub_auc_bins_new();
    rub_auc_bins_add(bins, scores, labels, 7777);
    rub_auc_bins_add(bins, scores + 7777, labels + 7777, N - 7777);
    rub_auc_bins_pairs(bins, &binned, &binned_pairs);
    rub_auc_bins_destroy(&bins);
    assert_true(binned_pairs == pairs);
    assert_true(fabs(binned - ordered) / pairs < 1e-4);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bins_count_what_sorting_counts_but_for_scores_that_are_nearly_equal),
        cmocka_unit_test(pairs_are_those_that_counting_finds),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
