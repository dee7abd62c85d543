/* The sketch: never too low, seldom too high, the same on any number of shards. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "common/base/hash.h"
#include "common/wire/placement.h"
#include "common/wire/table_schema.h"
#include "ps/push_counts.h"

enum { MOST = 4, KEYS = 20000 };

static uint64_t hash_of(uint64_t key)
{
    return rub_mix64(key + 1);
}

static void no_count_is_too_low_and_few_are_too_high(void **state)
{
    (void)state;
    rub_push_counts_t counts;
    size_t n_early = 0;
    assert_int_equal(
        rub_push_counts_init(&counts, MOST, RUB_ADMIT_COUNTERS_LEAST, 0, RUB_PARTITIONS), 0);
    assert_int_equal(rub_push_counts_bytes(&counts), RUB_ADMIT_COUNTERS_LEAST / 2);
    assert_int_equal(rub_push_counts_used(&counts), 0);
    for (uint32_t round = 1; round <= MOST; round++) {
        for (uint64_t key = 0; key < KEYS; key++) {
            const bool in = rub_push_counts_add(&counts, hash_of(key));
            assert_true(in || round < MOST);
            n_early += in && round < MOST;
        }
    }
    assert_true(n_early < KEYS / 20); /* 6.5 counters for each key */
    assert_int_equal(rub_push_counts_size(&counts), RUB_ADMIT_COUNTERS_LEAST);
    assert_true(rub_push_counts_used(&counts) >
                RUB_ADMIT_COUNTERS_LEAST / 3); /* 1 - exp(-4 / 6.5) */
    assert_true(rub_push_counts_used(&counts) < RUB_ADMIT_COUNTERS_LEAST / 2);
    for (uint64_t key = 0; key < KEYS; key++) {
        assert_true(rub_push_counts_add(&counts, hash_of(key))); /* and it stays */
    }
    rub_push_counts_fini(&counts);
    assert_int_equal(rub_push_counts_bytes(&counts), 0);
}

static void counts_do_not_depend_on_who_has_which_partition(void **state)
{
    (void)state;
    enum { CUT = 300 };
    rub_push_counts_t whole, parts[2], back;
    assert_int_equal(rub_push_counts_init(&whole, MOST, 1 << 18, 0, RUB_PARTITIONS), 0);
    assert_int_equal(rub_push_counts_init(&parts[0], MOST, 1 << 18, 0, CUT), 0);
    assert_int_equal(rub_push_counts_init(&parts[1], MOST, 1 << 18, CUT, RUB_PARTITIONS - CUT), 0);
    for (uint64_t i = 0; i < 2 * KEYS; i++) {
        const uint64_t hash = hash_of(i % 3 ? i : i / 7);
        const bool in = rub_push_counts_add(&whole, hash);
        assert_int_equal(rub_push_counts_add(&parts[hash >> 54 >= CUT], hash), in);
    }
    assert_int_equal(rub_push_counts_init(&back, MOST, 1 << 18, 0, RUB_PARTITIONS), 0);
    for (int i = 0; i < 2; i++) {
        const rub_push_counts_t *part = &parts[i];
        assert_int_equal(rub_push_counts_take(&back, part->first_part, part->n_parts, part->cells,
                                              rub_push_counts_bytes(part), NULL),
                         0);
    }
    assert_memory_equal(back.cells, whole.cells, rub_push_counts_bytes(&whole));
    rub_push_counts_fini(&whole);
    rub_push_counts_fini(&back);
    rub_push_counts_fini(&parts[0]);
    rub_push_counts_fini(&parts[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(no_count_is_too_low_and_few_are_too_high),
        cmocka_unit_test(counts_do_not_depend_on_who_has_which_partition),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
