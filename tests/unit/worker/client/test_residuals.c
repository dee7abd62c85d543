/* Rows kept by key: against a plain array, and within the limit. */
#include "worker/client/residuals.h"

#include "common/base/rng.h"
#include "include/rubato.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>

#include <cmocka.h>

static void the_limit_holds_and_a_refusal_changes_nothing(void **state)
{
    (void)state;
    enum { LIMIT = 100000, ROW = 8 };
    rub_residuals_t *kept = rub_residuals_new(ROW, LIMIT);
    assert_non_null(kept);
    size_t n = 0;
    while (rub_residuals_reserve(kept, 1) == 0) {
        rub_residuals_put(kept, n * 977)[0] = (float)n;
        n++;
        assert_true(rub_residuals_bytes(kept) <= LIMIT);
        assert_true(n < 10000);
    }
    assert_int_equal(rub_residuals_reserve(kept, 1), RUB_ELIMIT);
    assert_int_equal(rub_residuals_reserve(kept, SIZE_MAX / 2), RUB_ELIMIT);
    assert_true(n > 1000);
    assert_int_equal(rub_residuals_rows(kept), n);
    assert_true(rub_residuals_find(kept, (n - 1) * 977)[0] == (float)(n - 1));
    assert_int_equal(rub_residuals_reserve(kept, 0), 0);
    rub_residuals_destroy(&kept);
    assert_null(kept);
    rub_residuals_destroy(&kept);
}

static void rows_stay_under_their_keys(void **state)
{
    (void)state;
    enum { KEYS = 500, ROW = 3, STEPS = 20000 };
    static float want[KEYS][ROW];
    static bool there[KEYS];
    rub_residuals_t *kept = rub_residuals_new(ROW, 1 << 20);
    rub_rng_t rng;
    rub_rng_init(&rng, 3, 4);
    assert_non_null(kept);
    assert_null(rub_residuals_find(kept, 0));
    for (int step = 0; step < STEPS; step++) {
        const uint64_t i = rub_rng_below(&rng, KEYS);
        const uint64_t key = i % 2 ? i : UINT64_MAX - i; /* every u64 is a key */
        const float *row = rub_residuals_find(kept, key);
        assert_int_equal(row != NULL, there[i]);
        if (row) {
            assert_memory_equal(row, want[i], sizeof(want[i]));
        }
        if (rub_rng_below(&rng, 4) == 0) {
            for (int k = 0; k < ROW; k++) {
                want[i][k] = (float)(step + k);
            }
            assert_int_equal(rub_residuals_reserve(kept, 1), 0);
            memcpy(rub_residuals_put(kept, key), want[i], sizeof(want[i]));
            there[i] = true;
        }
    }
    rub_residuals_destroy(&kept);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_limit_holds_and_a_refusal_changes_nothing),
        cmocka_unit_test(rows_stay_under_their_keys),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
