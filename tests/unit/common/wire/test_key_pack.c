/* Packed keys: every list comes back, or is not packed; hostile bytes are refused; what a key costs
 * in bytes and time. */
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/rng.h"
#include "common/base/timing.h"
#include "common/wire/key_pack.h"
#include "include/rubato.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { MOST = 32768, CANARY = 0xa5 };

static uint8_t keys[8 * MOST], packed[8 * MOST + 16], got[8 * MOST + 8];

static size_t fill(const uint64_t *list, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        rub_put_u64(keys + 8 * i, list[i]);
    }
    return rub_keys_packed_bytes(keys, n);
}

static void refused(const char *bytes, size_t n_bytes, size_t n)
{
    uint8_t *exact = calloc(1, n_bytes > 0 ? n_bytes : 1); /* so that a sanitizer sees more */
    assert_non_null(exact);
    memcpy(exact, bytes, n_bytes);
    assert_int_equal(rub_keys_unpack(exact, n_bytes, n, got), RUB_ESHAPE);
    free(exact);
}

static void bytes_that_are_no_list_are_refused(void **state)
{
    RUB_UNUSED(state);
    refused("", 0, 1);                                              /* none there */
    refused("\x05\x00\x00\x00\x00\x00\x00\x00", 8, 9);              /* fewer than said */
    refused("\x80\x80\x80\x80\x80\x80\x80\x80", 8, 1);              /* never ends */
    refused("\x05\x80", 2, 2);                                      /* ends in the middle */
    refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x02", 10, 1);     /* 65 bits */
    refused("\x80\x80\x80\x80\x80\x80\x80\x80\x80\x80\x01", 11, 1); /* eleven bytes */
    refused("\x05\x00\x00\x00\x00\x00\x00\x00\x00", 9, 1);          /* eight zeros behind */
    refused("\x05\x00\x00\x01\x00\x00\x00\x00", 8, 1);              /* something behind */
    /* 2^64 - 1, and one more; 2^64 - 2, and two more */
    refused("\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01\x00\x00\x00\x00\x00\x00", 16, 2);
    refused("\xfe\xff\xff\xff\xff\xff\xff\xff\xff\x01\x01\x00\x00\x00\x00\x00", 16, 2);
}

static void lists_that_do_not_ascend_or_would_not_shrink_are_not_packed(void **state)
{
    RUB_UNUSED(state);
    assert_int_equal(fill((uint64_t[]){3, 2, 9}, 3), 0);
    assert_int_equal(fill((uint64_t[]){3, 3, 9}, 3), 0);
    assert_int_equal(fill((uint64_t[]){UINT64_MAX, 0, 1}, 3), 0);
    assert_int_equal(fill((uint64_t[]){UINT64_MAX, UINT64_MAX, UINT64_MAX}, 3), 0);
    assert_int_equal(fill((uint64_t[]){5}, 1), 0); /* eight bytes either way */
    assert_int_equal(fill((uint64_t[]){0, UINT64_C(1) << 62, UINT64_MAX}, 3), 0);
    assert_int_equal(fill(NULL, 0), 0);
    assert_int_equal(fill((uint64_t[]){0, 1}, 2), 8);
    assert_int_equal(fill((uint64_t[]){UINT64_MAX - 1, UINT64_MAX}, 2), 0); /* 11, filled up */
}

static void every_sorted_list_comes_back_within_its_bytes(void **state)
{
    RUB_UNUSED(state);
    rub_rng_t rng;
    rub_rng_init(&rng, 3, 0);
    for (unsigned bits = 1; bits < 62; bits++) {
        for (size_t n = 1; n < 200; n += 1 + n / 7) {
            uint64_t key = rub_rng_below(&rng, UINT64_C(1) << bits);
            for (size_t i = 0; i < n; i++) {
                rub_put_u64(keys + 8 * i, key);
                key += 1 + rub_rng_below(&rng, (UINT64_C(1) << bits) / n + 1);
            }
            const size_t n_bytes = rub_keys_packed_bytes(keys, n);
            assert_int_equal(n_bytes % 8, 0);
            if (n_bytes == 0) {
                assert_true(bits > 7 || n == 1);
                continue;
            }
            assert_true(n_bytes < 8 * n);
            memset(packed, CANARY, n_bytes + 8);
            memset(got, CANARY, 8 * n + 8);
            rub_keys_pack(keys, n, packed);
            assert_int_equal(rub_keys_unpack(packed, n_bytes, n, got), 0);
            assert_memory_equal(got, keys, 8 * n);
            for (size_t i = 0; i < 8; i++) {
                assert_int_equal(packed[n_bytes + i], CANARY);
                assert_int_equal(got[8 * n + i], CANARY);
            }
        }
    }
}

/* One key in so many, sorted: bytes and nanoseconds of each. */
static void what_a_key_costs(void **state)
{
    RUB_UNUSED(state);
    static const uint64_t apart[] = {1, 10, 100, 1000, 100000, 10000000};
    rub_rng_t rng;
    rub_rng_init(&rng, 5, 0);
    printf("%12s %8s %9s %9s\n", "one key in", "bytes", "pack ns", "unpack ns");
    for (size_t a = 0; a < RUB_COUNT_OF(apart); a++) {
        uint64_t key = 0;
        for (size_t i = 0; i < MOST; i++) {
            key += 1 + (apart[a] > 1 ? rub_rng_below(&rng, 2 * apart[a] - 1) : 0);
            rub_put_u64(keys + 8 * i, key);
        }
        uint64_t pack_us = UINT64_MAX, unpack_us = UINT64_MAX;
        size_t n_bytes = 0;
        for (int turn = 0; turn < 5; turn++) {
            const uint64_t began_us = rub_now_us();
            n_bytes = rub_keys_packed_bytes(keys, MOST);
            rub_keys_pack(keys, MOST, packed);
            const uint64_t half_us = rub_now_us();
            assert_int_equal(rub_keys_unpack(packed, n_bytes, MOST, got), 0);
            const uint64_t end_us = rub_now_us();
            pack_us = half_us - began_us < pack_us ? half_us - began_us : pack_us;
            unpack_us = end_us - half_us < unpack_us ? end_us - half_us : unpack_us;
        }
        assert_memory_equal(got, keys, sizeof(keys));
        printf("%12llu %8.2f %9.2f %9.2f\n", (unsigned long long)apart[a], (double)n_bytes / MOST,
               (double)pack_us * 1e3 / MOST, (double)unpack_us * 1e3 / MOST);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(bytes_that_are_no_list_are_refused),
        cmocka_unit_test(lists_that_do_not_ascend_or_would_not_shrink_are_not_packed),
        cmocka_unit_test(every_sorted_list_comes_back_within_its_bytes),
        cmocka_unit_test(what_a_key_costs),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
