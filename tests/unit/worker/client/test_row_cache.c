/* The cache of rows: what is found is what was put there, no older than asked for, within the
 * memory that was given. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/hash.h"
#include "worker/client/row_cache.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

enum { WIDTH = 3 };

static void put(rub_row_cache_t *cache, uint64_t key, uint64_t version, uint64_t as_of_ms,
                float first)
{
    const float values[WIDTH] = {first, first + 1, first + 2};
    const rub_cached_row_t row = {
        .key = key, .version = version, .as_of_ms = as_of_ms, .values = values, .exists = 1};
    rub_row_cache_put(cache, &row, 0);
}

/* The first value of the row; -1: it is missing. */
static float look(rub_row_cache_t *cache, uint64_t key, uint64_t oldest_ms)
{
    float values[WIDTH] = {-1, -1, -1};
    uint8_t exists = 7;
    uint32_t missing = 7;
    const size_t n = rub_row_cache_take(cache, &key, 1, oldest_ms, values, &exists, &missing);
    if (n == 1) {
        assert_int_equal(missing, 0);
        assert_int_equal(exists, 7); /* as it was */
        assert_true(values[0] == -1);
        return -1;
    }
    assert_int_equal(n, 0);
    assert_int_equal(exists, 1);
    assert_true(values[1] == values[0] + 1 && values[2] == values[0] + 2);
    return values[0];
}

static void what_was_never_put_is_missing(void **state)
{
    RUB_UNUSED(state);
    rub_row_cache_t *cache = rub_row_cache_new(WIDTH, 4096);
    assert_non_null(cache);
    const uint64_t keys[] = {0, 1, UINT64_MAX, 1};
    float values[4 * WIDTH] = {0};
    uint32_t missing[4];
    assert_int_equal(rub_row_cache_take(cache, keys, 4, 0, values, NULL, missing), 4);
    for (uint32_t i = 0; i < 4; i++) {
        assert_int_equal(missing[i], i);
    }
    assert_int_equal(rub_row_cache_take(cache, keys, 0, 0, values, NULL, missing), 0);
    rub_row_cache_destroy(&cache);
    assert_null(cache);
    rub_row_cache_destroy(&cache);
}

static void a_row_that_is_too_old_is_missing(void **state)
{
    RUB_UNUSED(state);
    rub_row_cache_t *cache = rub_row_cache_new(WIDTH, 4096);
    put(cache, 5, 1, 1000, 50);
    assert_true(look(cache, 5, 1000) == 50);
    assert_true(look(cache, 5, 1001) == -1);
    assert_true(look(cache, 5, 0) == 50);
    put(cache, 5, 1, 1200, 50); /* asked for again, and nothing had changed */
    assert_true(look(cache, 5, 1200) == 50);
    put(cache, 5, 2, 1100, 60); /* asked for earlier, answered later */
    assert_true(look(cache, 5, 1200) == 60);
    rub_row_cache_destroy(&cache);
}

static void an_older_version_never_takes_a_newer_ones_place(void **state)
{
    RUB_UNUSED(state);
    rub_row_cache_t *cache = rub_row_cache_new(WIDTH, 4096);
    put(cache, 5, 9, 1000, 90);
    put(cache, 5, 8, 2000, 80);
    assert_true(look(cache, 5, 0) == 90);
    assert_true(look(cache, 5, 1500) == -1); /* the older version's time is not the newer one's */
    put(cache, 5, 9, 2000, 91);
    assert_true(look(cache, 5, 1500) == 91);
    rub_row_cache_destroy(&cache);
}

static void a_cleared_cache_has_no_row_and_takes_new_ones(void **state)
{
    RUB_UNUSED(state);
    rub_row_cache_t *cache = rub_row_cache_new(WIDTH, 4096);
    put(cache, 5, 9, 1000, 90);
    rub_row_cache_clear(cache);
    assert_int_equal(rub_row_cache_rows(cache), 0);
    assert_true(look(cache, 5, 0) == -1);
    put(cache, 5, 1, 1000, 10); /* versions before do not count any more */
    assert_true(look(cache, 5, 0) == 10);
    rub_row_cache_destroy(&cache);
}

static void hits_and_misses_of_one_call_stand_where_they_belong(void **state)
{
    RUB_UNUSED(state);
    enum { N = 100 };
    rub_row_cache_t *cache = rub_row_cache_new(WIDTH, 1 << 16);
    uint64_t keys[N];
    float values[N * WIDTH];
    uint8_t exists[N];
    uint32_t missing[N];
    for (uint32_t i = 0; i < N; i++) {
        keys[i] = rub_mix64(i);
        if (i % 3 != 0) {
            put(cache, keys[i], 1, 1, (float)i);
        }
    }
    memset(exists, 7, sizeof(exists));
    const size_t n = rub_row_cache_take(cache, keys, N, 0, values, exists, missing);
    assert_int_equal(n, (N + 2) / 3);
    for (uint32_t i = 0; i < n; i++) {
        assert_int_equal(missing[i], 3 * i);
    }
    for (uint32_t i = 0; i < N; i++) {
        assert_int_equal(exists[i], i % 3 != 0 ? 1 : 7);
        assert_true(i % 3 == 0 || values[i * WIDTH] == (float)i);
    }
    rub_row_cache_destroy(&cache);
}

static void memory_stays_within_the_limit(void **state)
{
    RUB_UNUSED(state);
    const uint32_t widths[] = {1, 2, 3, 16, 64, 1000};
    for (size_t w = 0; w < RUB_COUNT_OF(widths); w++) {
        const size_t least = rub_row_cache_least_bytes(widths[w]);
        const size_t limits[] = {
            least, least + 1, 2 * least, 10 * least, 1 << 20, 3 << 20, ((size_t)8 << 20) + 12345};
        float *values = rub_calloc(widths[w], sizeof(*values));
        for (size_t l = 0; l < RUB_COUNT_OF(limits); l++) {
            rub_row_cache_t *cache = rub_row_cache_new(widths[w], limits[l]);
            assert_non_null(cache);
            const size_t rows = rub_row_cache_limit_rows(cache);
            assert_true(rows >= 1);
            for (uint64_t key = 0; key < 2 * rows + 10; key++) {
                const rub_cached_row_t row = {.key = key, .values = values, .as_of_ms = 1};
                rub_row_cache_put(cache, &row, 0);
            }
            assert_int_equal(rub_row_cache_rows(cache), rows);
            assert_true(rub_row_cache_bytes(cache) <= limits[l]);
            if (limits[l] >= 100 * least) { /* and makes use of it */
                assert_true(rub_row_cache_bytes(cache) > limits[l] / 10 * 6);
            }
            rub_row_cache_destroy(&cache);
        }
        rub_free(values);
    }
}

static void rows_that_are_wanted_survive_a_scan_of_rows_that_are_not(void **state)
{
    RUB_UNUSED(state);
    rub_row_cache_t *cache = rub_row_cache_new(WIDTH, 1 << 14);
    const uint64_t rows = rub_row_cache_limit_rows(cache), hot = rows / 4;
    for (uint64_t key = 0; key < hot; key++) {
        put(cache, key, 1, 1, (float)key);
    }
    for (uint64_t key = 1000; key < 1000 + 10 * rows; key++) {
        put(cache, key, 1, 1, 0);
        const uint64_t asked = key % hot;
        assert_true(look(cache, asked, 0) == (float)asked);
    }
    assert_int_equal(rub_row_cache_rows(cache), rows);
    rub_row_cache_destroy(&cache);
}

static void rows_that_are_too_old_give_way_first(void **state)
{
    RUB_UNUSED(state);
    rub_row_cache_t *cache = rub_row_cache_new(WIDTH, 1 << 12);
    const uint64_t rows = rub_row_cache_limit_rows(cache), old = rows / 2;
    for (uint64_t key = 0; key < rows; key++) {
        put(cache, key, 1, key < old ? 100 : 200, (float)key);
        (void)look(cache, key, 0); /* all are wanted */
    }
    for (uint64_t key = rows; key < rows + old; key++) {
        const float values[WIDTH] = {(float)key};
        const rub_cached_row_t row = {.key = key, .as_of_ms = 300, .values = values, .exists = 1};
        rub_row_cache_put(cache, &row, 200);
    }
    for (uint64_t key = 0; key < rows; key++) {
        assert_true(look(cache, key, 0) == (key < old ? -1 : (float)key));
    }
    rub_row_cache_destroy(&cache);
}

/* Against an array that remembers what was put last under each key. */
static void what_is_found_after_much_replacing_is_always_what_was_put_last(void **state)
{
    RUB_UNUSED(state);
    enum { KEYS = 3000, STEPS = 200000 };
    static float last[KEYS];
    rub_row_cache_t *cache = rub_row_cache_new(WIDTH, 40000);
    assert_true(rub_row_cache_limit_rows(cache) < KEYS / 2);
    for (size_t i = 0; i < KEYS; i++) {
        last[i] = -1;
    }
    size_t hits = 0;
    for (uint64_t step = 0; step < STEPS; step++) {
        const uint64_t draw = rub_mix64(step + 1);
        const uint64_t key = draw % KEYS;
        if (draw >> 40 & 1) {
            last[key] = (float)(step % 100000);
            put(cache, key, step, step, last[key]);
        } else {
            const float found = look(cache, key, 0);
            assert_true(found == -1 || found == last[key]);
            hits += found != -1;
        }
    }
    assert_true(hits > STEPS / 10);
    rub_row_cache_destroy(&cache);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_never_put_is_missing),
        cmocka_unit_test(a_row_that_is_too_old_is_missing),
        cmocka_unit_test(an_older_version_never_takes_a_newer_ones_place),
        cmocka_unit_test(a_cleared_cache_has_no_row_and_takes_new_ones),
        cmocka_unit_test(hits_and_misses_of_one_call_stand_where_they_belong),
        cmocka_unit_test(memory_stays_within_the_limit),
        cmocka_unit_test(rows_that_are_wanted_survive_a_scan_of_rows_that_are_not),
        cmocka_unit_test(rows_that_are_too_old_give_way_first),
        cmocka_unit_test(what_is_found_after_much_replacing_is_always_what_was_put_last),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
