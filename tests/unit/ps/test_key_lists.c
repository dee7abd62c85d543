/* Key lists of a connection: what is not known is not found, what was used longest ago gives way,
 * and what is borrowed outlives that. */
#include "common/base/check.h"
#include "ps/key_lists.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { N = 3 };

typedef struct lists {
    rub_key_lists_t *lists;
    rub_key_list_t *forgotten;
} lists_t;

static int setup(void **state)
{
    static lists_t self;
    self = (lists_t){.lists = rub_key_lists_new()};
    assert_non_null(self.lists);
    *state = &self;
    return 0;
}

static int teardown(void **state)
{
    lists_t *self = *state;
    rub_key_lists_destroy(&self->lists, &self->forgotten);
    rub_key_lists_throw_away(&self->forgotten);
    assert_null(self->forgotten);
    return 0;
}

static void keys_of(uint64_t first, uint64_t keys[N])
{
    for (uint64_t i = 0; i < N; i++) {
        keys[i] = first * 100 + i;
    }
}

static void tell(lists_t *self, uint64_t first, size_t limit_lists, uint64_t now_ms)
{
    uint64_t keys[N];
    keys_of(first, keys);
    rub_key_lists_tell(self->lists, (const uint8_t *)keys, N, limit_lists * rub_key_list_bytes(N),
                       now_ms, &self->forgotten);
}

static const uint8_t *find(lists_t *self, uint64_t first, uint64_t now_ms)
{
    uint64_t keys[N];
    keys_of(first, keys);
    const rub_key_digest_t digest = rub_key_digest_of((const uint8_t *)keys, N);
    rub_found_rows_t *rows;
    const uint8_t *found = rub_key_lists_find(self->lists, &digest, N, now_ms, &rows);
    if (found) {
        assert_memory_equal(found, keys, sizeof(keys));
    }
    return found;
}

static void a_digest_that_was_not_told_is_not_answered_with_another_list(void **state)
{
    lists_t *self = *state;
    assert_null(find(self, 1, 0));
    tell(self, 1, 9, 0);
    assert_null(find(self, 2, 0));
    assert_non_null(find(self, 1, 0));
}

static void a_digest_stands_for_as_many_keys_as_were_told(void **state)
{
    lists_t *self = *state;
    uint64_t keys[N];
    rub_found_rows_t *rows;
    keys_of(1, keys);
    tell(self, 1, 9, 0);
    const rub_key_digest_t digest = rub_key_digest_of((const uint8_t *)keys, N);
    assert_null(rub_key_lists_find(self->lists, &digest, N - 1, 0, &rows));
    assert_null(rub_key_lists_find(self->lists, &digest, N + 1, 0, &rows));
}

static void what_was_used_longest_ago_gives_way(void **state)
{
    lists_t *self = *state;
    for (uint64_t i = 1; i <= 3; i++) {
        tell(self, i, 3, 0);
    }
    assert_non_null(find(self, 1, 0));
    tell(self, 2, 3, 0); /* told again is used */
    tell(self, 4, 3, 0);
    assert_null(find(self, 3, 0));
    assert_non_null(find(self, 1, 0));
    assert_non_null(find(self, 2, 0));
    assert_non_null(find(self, 4, 0));
    assert_int_equal(rub_key_lists_bytes(self->lists), 3 * rub_key_list_bytes(N));
}

static void a_list_that_is_longer_than_the_limit_is_not_remembered(void **state)
{
    lists_t *self = *state;
    tell(self, 1, 1, 0);
    tell(self, 2, 0, 0);
    assert_null(find(self, 2, 0));
    assert_non_null(find(self, 1, 0));
}

static void a_limit_that_fell_makes_older_ones_give_way(void **state)
{
    lists_t *self = *state;
    for (uint64_t i = 1; i <= 5; i++) {
        tell(self, i, 5, 0);
    }
    tell(self, 6, 2, 0);
    assert_int_equal(rub_key_lists_bytes(self->lists), 2 * rub_key_list_bytes(N));
    assert_non_null(find(self, 5, 0));
    assert_non_null(find(self, 6, 0));
}

static void what_was_borrowed_stays_until_it_is_thrown_away(void **state)
{
    lists_t *self = *state;
    uint64_t keys[N];
    keys_of(1, keys);
    tell(self, 1, 1, 0);
    const uint8_t *borrowed = find(self, 1, 0);
    tell(self, 2, 1, 0);
    assert_null(find(self, 1, 0));
    assert_memory_equal(borrowed, keys, sizeof(keys)); /* a sanitizer sees what is freed */
    rub_key_lists_throw_away(&self->forgotten);
    assert_non_null(find(self, 2, 0));
}

static void lists_that_nobody_uses_are_forgotten(void **state)
{
    lists_t *self = *state;
    tell(self, 1, 9, 1000);
    tell(self, 2, 9, 2000);
    tell(self, 3, 9, 3000);
    assert_non_null(find(self, 1, 4000));
    rub_key_lists_forget_unused(self->lists, 2500, &self->forgotten);
    assert_null(find(self, 2, 5000));
    assert_non_null(find(self, 1, 5000));
    assert_non_null(find(self, 3, 5000));
    rub_key_lists_forget_unused(self->lists, 6000, &self->forgotten);
    assert_int_equal(rub_key_lists_bytes(self->lists), 0);
    tell(self, 4, 9, 7000);
    assert_non_null(find(self, 4, 7000));
}

/* Two keys side by side that are the digest's own constants hide what stood before them. */
static void twins_of(uint64_t one[16], uint64_t other[16])
{
    for (uint64_t i = 0; i < 16; i++) {
        one[i] = other[i] = i;
    }
    one[8] = other[8] = UINT64_C(0x8ebc6af09c88c6e3);
    one[9] = other[9] = UINT64_C(0x589965cc75374cc3);
    other[0] = 77;
}

static void a_digest_of_two_lists_that_were_told_is_of_neither(void **state)
{
    enum { LONG = 16, LIMIT = 1 << 20 };
    lists_t *self = *state;
    uint64_t one[LONG], other[LONG];
    rub_found_rows_t *rows;
    twins_of(one, other);
    const rub_key_digest_t digest = rub_key_digest_of((const uint8_t *)one, LONG);
    const rub_key_digest_t same = rub_key_digest_of((const uint8_t *)other, LONG);
    assert_true(rub_key_digest_equal(&digest, &same));
    rub_key_lists_tell(self->lists, (const uint8_t *)one, LONG, LIMIT, 0, &self->forgotten);
    assert_non_null(rub_key_lists_find(self->lists, &digest, LONG, 0, &rows));
    rub_key_lists_tell(self->lists, (const uint8_t *)other, LONG, LIMIT, 0, &self->forgotten);
    assert_null(rub_key_lists_find(self->lists, &digest, LONG, 0, &rows));
    rub_key_lists_tell(self->lists, (const uint8_t *)one, LONG, LIMIT, 0, &self->forgotten);
    assert_null(rub_key_lists_find(self->lists, &digest, LONG, 0, &rows));
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_digest_that_was_not_told_is_not_answered_with_another_list),
        TEST(a_digest_stands_for_as_many_keys_as_were_told),
        TEST(what_was_used_longest_ago_gives_way),
        TEST(a_list_that_is_longer_than_the_limit_is_not_remembered),
        TEST(a_limit_that_fell_makes_older_ones_give_way),
        TEST(what_was_borrowed_stays_until_it_is_thrown_away),
        TEST(lists_that_nobody_uses_are_forgotten),
        TEST(a_digest_of_two_lists_that_were_told_is_of_neither),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
