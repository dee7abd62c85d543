/* Philox against Random123's known answers, and what is built on it. */
#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void expect_block(uint64_t seed, uint64_t stream, uint64_t counter, const uint32_t want[4])
{
    uint32_t got[4];
    rub_philox(seed, stream, counter, got);
    assert_memory_equal(got, want, sizeof(got));
}

static void philox_gives_random123s_known_answers(void **state)
{
    (void)state;
    const uint32_t zeros[4] = {0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8};
    const uint32_t ones[4] = {0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd};
    const uint32_t pi[4] = {0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1};
    expect_block(0, 0, 0, zeros);
    expect_block(UINT64_MAX, UINT64_MAX, UINT64_MAX, ones);
    expect_block(UINT64_C(0x299f31d0a4093822), UINT64_C(0x0370734413198a2e),
                 UINT64_C(0x85a308d3243f6a88), pi);
}

static void sequence_is_the_blocks_in_order(void **state)
{
    (void)state;
    rub_rng_t rng;
    rub_rng_init(&rng, 7, 9);
    for (uint64_t block = 0; block < 3; block++) {
        uint32_t words[4];
        rub_philox(7, 9, block, words);
        for (int i = 0; i < 4; i++) {
            assert_int_equal(rub_rng_u32(&rng), words[i]);
        }
    }
}

static void below_stays_below_and_reaches_everything(void **state)
{
    (void)state;
    rub_rng_t rng;
    rub_rng_init(&rng, 1, 2);
    unsigned seen[7] = {0};
    for (int i = 0; i < 7000; i++) {
        const uint64_t draw = rub_rng_below(&rng, 7);
        assert_true(draw < 7);
        seen[draw]++;
    }
    for (int i = 0; i < 7; i++) {
        assert_in_range(seen[i], 850, 1150);
    }
    assert_true(rub_rng_below(&rng, 1) == 0);
    const uint64_t large = (UINT64_C(1) << 63) + 1;
    for (int i = 0; i < 100; i++) {
        assert_true(rub_rng_below(&rng, large) < large);
    }
}

static void unit_is_in_the_half_open_interval(void **state)
{
    (void)state;
    rub_rng_t rng;
    rub_rng_init(&rng, 3, 4);
    double sum = 0;
    for (int i = 0; i < 10000; i++) {
        const double draw = rub_rng_unit(&rng);
        assert_true(draw >= 0.0);
        assert_true(draw < 1.0);
        sum += draw;
    }
    assert_true(sum > 4900 && sum < 5100);
}

static void shuffle_is_a_permutation_and_repeats_by_seed(void **state)
{
    (void)state;
    uint32_t first[100];
    uint32_t second[100];
    unsigned seen[100] = {0};
    for (uint32_t i = 0; i < 100; i++) {
        first[i] = second[i] = i;
    }
    rub_rng_t rng;
    rub_rng_init(&rng, 5, 6);
    rub_rng_shuffle_u32(&rng, first, 100);
    rub_rng_init(&rng, 5, 6);
    rub_rng_shuffle_u32(&rng, second, 100);
    assert_memory_equal(first, second, sizeof(first));
    for (int i = 0; i < 100; i++) {
        seen[first[i]]++;
    }
    for (int i = 0; i < 100; i++) {
        assert_int_equal(seen[i], 1);
    }
    rub_rng_shuffle_u32(&rng, first, 0);
    rub_rng_shuffle_u32(&rng, NULL, 0);
}

static void nonces_differ(void **state)
{
    (void)state;
    uint8_t a[16];
    uint8_t b[16];
    assert_int_equal(rub_random_nonce(a), 0);
    assert_int_equal(rub_random_nonce(b), 0);
    assert_memory_not_equal(a, b, sizeof(a));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(philox_gives_random123s_known_answers),
        cmocka_unit_test(sequence_is_the_blocks_in_order),
        cmocka_unit_test(below_stays_below_and_reaches_everything),
        cmocka_unit_test(unit_is_in_the_half_open_interval),
        cmocka_unit_test(shuffle_is_a_permutation_and_repeats_by_seed),
        cmocka_unit_test(nonces_differ),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
