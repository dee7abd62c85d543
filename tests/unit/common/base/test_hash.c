/* Placement and stored data depend on these numbers: they are pinned against published ones. */
#include "common/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

static void crc32c_of_the_check_string_is_the_published_one(void **state)
{
    (void)state;
    uint8_t zeros[32] = {0};
    assert_int_equal(rub_crc32c(0, "123456789", 9), 0xe3069283u);
    assert_int_equal(rub_crc32c(0, zeros, sizeof(zeros)), 0x8a9136aau); /* RFC 3720, B.4 */
    assert_int_equal(rub_crc32c(0, zeros, 0), 0);
}

static void crc32c_in_any_pieces_is_the_same(void **state)
{
    (void)state;
    /* Short pieces never reach the three streams, so this also holds the fast path against the slow
     * one. */
    static uint8_t data[3 * 3 * 1024 + 77];
    for (size_t i = 0; i < sizeof(data); i++) {
        data[i] = (uint8_t)rub_mix64(i);
    }
    const size_t sizes[] = {1, 7, 8, 1023, 3071, 3072, 3073, 6144, 9216, sizeof(data) - 3};
    for (size_t s = 0; s < sizeof(sizes) / sizeof(sizes[0]); s++) {
        for (size_t start = 0; start < 3; start++) {
            uint32_t pieces = 0;
            for (size_t i = 0; i < sizes[s]; i++) {
                pieces = rub_crc32c(pieces, data + start + i, 1);
            }
            assert_int_equal(rub_crc32c(0, data + start, sizes[s]), pieces);
        }
    }
}

static void mix64_and_hash_bytes_are_pinned(void **state)
{
    (void)state;
    assert_true(rub_mix64(0) == 0);
    /* SplitMix64's first output for seed 0. */
    assert_true(rub_mix64(UINT64_C(0x9e3779b97f4a7c15)) == UINT64_C(0xe220a8397b1dcdaf));
    assert_true(rub_hash_bytes("", 0) == rub_mix64(UINT64_C(0xcbf29ce484222325)));
    assert_true(rub_hash_bytes("a", 1) == rub_mix64(UINT64_C(0xaf63dc4c8601ec8c)));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(crc32c_of_the_check_string_is_the_published_one),
        cmocka_unit_test(crc32c_in_any_pieces_is_the_same),
        cmocka_unit_test(mix64_and_hash_bytes_are_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
