/* A radix sort against the C library's, for every width of digits and place of the bits. */
#include "common/base/check.h"
#include "common/base/radix.h"
#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 3000 };

static void items_are_sorted_by_the_bits_asked_for_and_stay_in_order_otherwise(void **state)
{
    RUB_UNUSED(state);
    static uint64_t items[MOST], scratch[MOST];
    rub_rng_t rng;
    rub_rng_init(&rng, 5, 1);
    const size_t counts[] = {0, 1, 2, 63, MOST};
    for (unsigned first_bit = 12; first_bit <= 32; first_bit += 10) {
        for (unsigned n_bits = 0; n_bits <= 32; n_bits++) {
            const size_t n = counts[n_bits % RUB_COUNT_OF(counts)];
            for (size_t i = 0; i < n; i++) { /* few values, so that many are equal */
                const uint64_t bits = rub_rng_u64(&rng) & rub_rng_u64(&rng) & rub_rng_u64(&rng);
                items[i] = (bits << 12) | i;
            }
            const uint64_t *const sorted = rub_radix_sort(items, scratch, n, first_bit, n_bits);
            assert_true(sorted == items || sorted == scratch);
            const uint64_t mask = (UINT64_C(1) << n_bits) - 1;
            uint64_t seen = n > 0 ? sorted[0] & 0xfff : 0;
            for (size_t i = 1; i < n; i++) {
                const uint64_t before = sorted[i - 1] >> first_bit & mask;
                const uint64_t here = sorted[i] >> first_bit & mask;
                assert_true(before <= here);
                if (before == here) {
                    assert_true((sorted[i - 1] & 0xfff) < (sorted[i] & 0xfff));
                }
                seen += sorted[i] & 0xfff;
            }
            assert_int_equal(seen, n * (n > 0 ? n - 1 : 0) / 2); /* nothing lost, nothing twice */
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(items_are_sorted_by_the_bits_asked_for_and_stay_in_order_otherwise),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
