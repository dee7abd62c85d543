/* Placement and stored data depend on these numbers: they are pinned against published ones. */
#include "common/base/hash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>

#include <cmocka.h>

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
        cmocka_unit_test(mix64_and_hash_bytes_are_pinned),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
