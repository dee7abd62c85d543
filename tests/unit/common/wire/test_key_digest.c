/* Digests of key lists: pinned, and different for lists that differ in anything. */
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/wire/key_digest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

static rub_key_digest_t digest_of(const uint64_t *keys, size_t n)
{
    uint8_t bytes[8 * 20 + 1];
    for (size_t i = 0; i < n; i++) {
        rub_put_u64(bytes + 1 + 8 * i, keys[i]);
    }
    return rub_key_digest_of(bytes + 1, n); /* at any address */
}

static void assert_differ(const uint64_t *a, size_t n_a, const uint64_t *b, size_t n_b)
{
    const rub_key_digest_t x = digest_of(a, n_a), y = digest_of(b, n_b);
    assert_true(x.words[0] != y.words[0]);
    assert_true(x.words[1] != y.words[1]);
}

static void lists_that_differ_in_order_length_or_one_key_have_other_digests(void **state)
{
    RUB_UNUSED(state);
    assert_differ((uint64_t[]){1, 2}, 2, (uint64_t[]){2, 1}, 2);
    assert_differ((uint64_t[]){1, 2, 3, 4}, 4, (uint64_t[]){3, 4, 1, 2}, 4);
    assert_differ((uint64_t[]){1, 2}, 2, (uint64_t[]){1, 2, 0}, 3);
    assert_differ((uint64_t[]){0}, 1, (uint64_t[]){0, 0}, 2);
    assert_differ((uint64_t[]){0}, 0, (uint64_t[]){0}, 1);
    assert_differ((uint64_t[]){5, 6, 7}, 3, (uint64_t[]){5, 6, 8}, 3);
    assert_differ((uint64_t[]){5, 6, 7}, 3, (uint64_t[]){4, 6, 7}, 3);
}

/* Lists so long that every lane has keys: any two of them change places. */
static void no_two_keys_of_a_long_list_may_change_places(void **state)
{
    RUB_UNUSED(state);
    enum { N = 19 };
    uint64_t keys[N], swapped[N];
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = i;
    }
    for (size_t i = 0; i < N; i++) {
        for (size_t k = i + 1; k < N; k++) {
            memcpy(swapped, keys, sizeof(keys));
            swapped[i] = keys[k];
            swapped[k] = keys[i];
            assert_differ(keys, N, swapped, N);
        }
        assert_differ(keys, N, keys, i);
    }
}

static int by_word(const void *a, const void *b)
{
    const uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Runs of small numbers, which real keys are: neither half of a digest repeats. */
static void lists_of_small_keys_do_not_meet_in_either_half(void **state)
{
    RUB_UNUSED(state);
    enum { FIRSTS = 64, STEPS = 8, LENGTHS = 4, ALL = FIRSTS * STEPS * LENGTHS };
    static uint64_t words[2][ALL];
    size_t at = 0;
    for (uint64_t first = 0; first < FIRSTS; first++) {
        for (uint64_t step = 1; step <= STEPS; step++) {
            for (size_t n = 2; n < 2 + LENGTHS; n++) {
                uint64_t keys[8];
                for (size_t i = 0; i < n; i++) {
                    keys[i] = first + i * step;
                }
                const rub_key_digest_t digest = digest_of(keys, n);
                words[0][at] = digest.words[0];
                words[1][at++] = digest.words[1];
            }
        }
    }
    for (size_t half = 0; half < 2; half++) {
        qsort(words[half], ALL, sizeof(uint64_t), by_word);
        for (size_t i = 1; i < ALL; i++) {
            assert_true(words[half][i - 1] != words[half][i]);
        }
    }
}

static void a_digest_is_pinned_and_comes_back_from_the_wire(void **state)
{
    RUB_UNUSED(state);
    const rub_key_digest_t digest = digest_of((uint64_t[]){1, 2, 3}, 3);
    uint8_t wire[RUB_KEY_DIGEST_BYTES];
    rub_key_digest_write(&digest, wire);
    const rub_key_digest_t back = rub_key_digest_read(wire);
    assert_true(rub_key_digest_equal(&digest, &back));
    assert_true(digest.words[0] == UINT64_C(0x9b95f9505e845c2d));
    assert_true(digest.words[1] == UINT64_C(0xa816c5d30eed250c));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lists_that_differ_in_order_length_or_one_key_have_other_digests),
        cmocka_unit_test(no_two_keys_of_a_long_list_may_change_places),
        cmocka_unit_test(lists_of_small_keys_do_not_meet_in_either_half),
        cmocka_unit_test(a_digest_is_pinned_and_comes_back_from_the_wire),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
