/* The keys that a measurement asks for. */
#include "cli/key_draw.h"
#include "common/base/check.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

enum { RANKS = 100, DRAWS = 200000 };

static void zipf_draws_each_rank_as_often_as_the_law_says(void **state)
{
    RUB_UNUSED(state);
    rub_zipf_t zipf;
    uint64_t counter = 0;
    double sum = 0;
    static unsigned seen[RANKS + 1];
    memset(seen, 0, sizeof(seen));
    rub_zipf_init(&zipf, RANKS, RUB_ZIPF_EXPONENT);
    for (unsigned i = 0; i < DRAWS; i++) {
        const uint64_t rank = rub_zipf_draw(&zipf, 7, 1, &counter);
        assert_in_range(rank, 1, RANKS);
        seen[rank]++;
    }
    for (unsigned k = 1; k <= RANKS; k++) {
        sum += pow(k, -RUB_ZIPF_EXPONENT);
    }
    for (unsigned k = 1; k <= RANKS; k++) {
        const double expected = DRAWS * pow(k, -RUB_ZIPF_EXPONENT) / sum;
        /* five standard deviations of a count */
        assert_true(fabs(seen[k] - expected) < 5 * sqrt(expected));
    }
    assert_true(counter < DRAWS * 1.2); /* few are drawn again */
}

static void zipf_of_one_rank_is_that_rank(void **state)
{
    RUB_UNUSED(state);
    rub_zipf_t zipf;
    uint64_t counter = 0;
    rub_zipf_init(&zipf, 1, RUB_ZIPF_EXPONENT);
    for (unsigned i = 0; i < 100; i++) {
        assert_int_equal(rub_zipf_draw(&zipf, 1, 0, &counter), 1);
    }
}

static void every_draw_is_a_row_of_the_table(void **state)
{
    RUB_UNUSED(state);
    static const uint64_t sizes[] = {1, 2, 3, 1000, 1u << 20, 999999937};
    uint64_t keys[500];
    for (int kind = RUB_DRAW_ORDERED; kind <= RUB_DRAW_ZIPF; kind++) {
        for (size_t s = 0; s < RUB_COUNT_OF(sizes); s++) {
            rub_key_draw((rub_key_draw_kind_t)kind, sizes[s], 3, 4, keys, RUB_COUNT_OF(keys));
            for (size_t i = 0; i < RUB_COUNT_OF(keys); i++) {
                assert_true(keys[i] < sizes[s]);
            }
        }
    }
}

static void ordered_draws_go_round(void **state)
{
    RUB_UNUSED(state);
    const uint64_t expected[] = {0, 1, 2, 0, 1, 2, 0};
    uint64_t keys[7];
    rub_key_draw(RUB_DRAW_ORDERED, 3, 1, 1, keys, 7);
    assert_memory_equal(keys, expected, sizeof(keys));
}

static void draws_follow_from_seed_and_stream(void **state)
{
    RUB_UNUSED(state);
    uint64_t keys[4][64];
    for (int kind = RUB_DRAW_UNIFORM; kind <= RUB_DRAW_ZIPF; kind++) {
        rub_key_draw((rub_key_draw_kind_t)kind, 1u << 20, 1, 1, keys[0], 64);
        rub_key_draw((rub_key_draw_kind_t)kind, 1u << 20, 1, 1, keys[1], 64);
        rub_key_draw((rub_key_draw_kind_t)kind, 1u << 20, 1, 2, keys[2], 64);
        rub_key_draw((rub_key_draw_kind_t)kind, 1u << 20, 2, 1, keys[3], 64);
        assert_memory_equal(keys[0], keys[1], sizeof(keys[0]));
        assert_memory_not_equal(keys[0], keys[2], sizeof(keys[0]));
        assert_memory_not_equal(keys[0], keys[3], sizeof(keys[0]));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(zipf_draws_each_rank_as_often_as_the_law_says),
        cmocka_unit_test(zipf_of_one_rank_is_that_rank),
        cmocka_unit_test(every_draw_is_a_row_of_the_table),
        cmocka_unit_test(ordered_draws_go_round),
        cmocka_unit_test(draws_follow_from_seed_and_stream),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
