/* The histogram of gaps: exact where the bound is audited, lossless over the wire. */
#include "common/metrics/histogram.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void empty_says_zero(void **state)
{
    (void)state;
    rub_histogram_t h;
    size_t at = 0;
    uint64_t value;
    uint64_t count;
    rub_histogram_init(&h);
    assert_true(rub_histogram_quantile(&h, 0.5) == 0);
    assert_false(rub_histogram_next(&h, &at, &value, &count));
    rub_histogram_add_bin(&h, 99, 0);
    assert_true(h.count == 0 && h.max == 0);
}

static void small_gaps_are_exact(void **state)
{
    (void)state;
    rub_histogram_t h;
    rub_histogram_init(&h);
    for (uint64_t gap = 0; gap < 256; gap++) {
        rub_histogram_add(&h, gap);
    }
    assert_true(h.max == 255 && h.count == 256);
    assert_true(rub_histogram_quantile(&h, 0.0) == 0);
    assert_true(rub_histogram_quantile(&h, 0.5) == 127);
    assert_true(rub_histogram_quantile(&h, 1.0) == 255);
    assert_true(rub_histogram_quantile(&h, -3.0) == 0);
    assert_true(rub_histogram_quantile(&h, 9.0) == 255);
}

static void a_quantile_is_never_above_the_maximum(void **state)
{
    (void)state;
    rub_histogram_t h;
    rub_histogram_init(&h);
    rub_histogram_add_bin(&h, 0, 99);
    rub_histogram_add(&h, 300);
    assert_true(rub_histogram_quantile(&h, 0.99) == 0);
    assert_true(rub_histogram_quantile(&h, 0.995) == 300);
}

static void edges_of_octaves_fall_into_their_bins(void **state)
{
    (void)state;
    for (unsigned octave = 8; octave < 64; octave++) {
        const uint64_t low = UINT64_C(1) << octave;
        rub_histogram_t h;
        rub_histogram_init(&h);
        rub_histogram_add(&h, low - 1);
        rub_histogram_add(&h, low);
        rub_histogram_add(&h, low + (low - 1));
        rub_histogram_add(&h, UINT64_MAX);
        assert_true(rub_histogram_quantile(&h, 0.25) == low - 1);
        assert_true(rub_histogram_quantile(&h, 0.75) == low + (low - 1));
        assert_true(h.max == UINT64_MAX);
    }
}

static void pairs_rebuild_the_same_histogram(void **state)
{
    (void)state;
    rub_histogram_t h;
    rub_histogram_t copy;
    rub_histogram_init(&h);
    rub_histogram_init(&copy);
    for (uint64_t i = 0; i < 64; i++) {
        rub_histogram_add_bin(&h, (UINT64_C(1) << i) + i, i + 1);
    }
    size_t at = 0;
    size_t pairs = 0;
    uint64_t value;
    uint64_t count;
    while (rub_histogram_next(&h, &at, &value, &count)) {
        rub_histogram_add_bin(&copy, value, count);
        pairs++;
    }
    assert_memory_equal(&h, &copy, sizeof(h));
    assert_true(pairs > 0 && pairs <= 512); /* what a control message may hold */
}

static void merge_adds_and_stays_at_the_limit(void **state)
{
    (void)state;
    rub_histogram_t a;
    rub_histogram_t b;
    rub_histogram_init(&a);
    rub_histogram_init(&b);
    rub_histogram_add_bin(&a, 3, UINT64_MAX - 1);
    rub_histogram_add_bin(&b, 3, 5);
    rub_histogram_add_bin(&b, 1000, 1);
    rub_histogram_merge(&a, &b);
    assert_true(a.bins[3] == UINT64_MAX && a.count == UINT64_MAX && a.max == 1000);
    rub_histogram_merge(&b, &b);
    assert_true(b.bins[3] == 10 && b.count == 12);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(empty_says_zero),
        cmocka_unit_test(small_gaps_are_exact),
        cmocka_unit_test(a_quantile_is_never_above_the_maximum),
        cmocka_unit_test(edges_of_octaves_fall_into_their_bins),
        cmocka_unit_test(pairs_rebuild_the_same_histogram),
        cmocka_unit_test(merge_adds_and_stays_at_the_limit),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
