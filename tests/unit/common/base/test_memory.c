/* alloc and arena: overflow is refused, alignment kept, a region is zero and aligned for huge
 * pages. */
#include "common/base/alloc.h"
#include "common/base/arena.h"
#include "include/rubato.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

static void products_that_overflow_are_refused(void **state)
{
    (void)state;
    uint32_t *items = NULL;
    size_t capacity = 0;
    assert_null(rub_calloc(SIZE_MAX / 2, 3));
    assert_null(rub_realloc_array(NULL, SIZE_MAX / 4, 8));
    assert_int_equal(rub_grow(&items, &capacity, SIZE_MAX / 2 + 2, sizeof(*items)), RUB_ENOMEM);
    assert_null(items);
    assert_int_equal(capacity, 0);
    assert_null(rub_region_alloc(SIZE_MAX));
}

static void grow_keeps_items_and_doubles(void **state)
{
    (void)state;
    uint32_t *items = NULL;
    size_t capacity = 0;
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(rub_grow(&items, &capacity, i + 1, sizeof(*items)), 0);
        items[i] = i;
    }
    assert_int_equal(capacity, 1024);
    for (uint32_t i = 0; i < 1000; i++) {
        assert_int_equal(items[i], i);
    }
    rub_free(items);
}

static void regions_are_zero_and_large_ones_huge_page_aligned(void **state)
{
    (void)state;
    const size_t sizes[] = {1, 4096, 5000, (512 << 10) - 1, 512 << 10, 2 << 20, (5 << 20) + 3};
    for (size_t i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        uint8_t *region = rub_region_alloc(sizes[i]);
        assert_non_null(region);
        assert_int_equal(region[0], 0);
        assert_int_equal(region[sizes[i] - 1], 0);
        region[0] = region[sizes[i] - 1] = 1;
        assert_int_equal((uintptr_t)region % (sizes[i] >= 512 << 10 ? 2 << 20 : 4096), 0);
        rub_region_free(region, sizes[i]);
    }
    rub_region_free(NULL, 4096);
}

static void a_region_used_up_from_its_front_gives_whole_huge_pages_back(void **state)
{
    (void)state;
    enum { HUGE = 2 << 20, BYTES = 4 * HUGE, STEP = 300000 };
    uint8_t *region = rub_region_alloc(BYTES);
    assert_non_null(region);
    memset(region, 7, BYTES);
    for (size_t done = STEP; done <= BYTES; done += STEP) {
        rub_region_drop(region, done - STEP, done);
        for (size_t at = 0; at < BYTES; at += 4096) { /* what is given back reads as zeros */
            assert_int_equal(region[at], at < done / HUGE * HUGE ? 0 : 7);
        }
    }
    rub_region_drop(NULL, 0, HUGE);
    rub_region_free(region, BYTES);
}

static void texts_are_copied_and_formatted(void **state)
{
    (void)state;
    char *copy = rub_strdup("shard");
    char *text = rub_sprintf("%s %d", copy, 3);
    assert_string_equal(text, "shard 3");
    rub_free(text);
    rub_free(copy);
    void *aligned = rub_alloc_aligned(64, 10);
    assert_int_equal((uintptr_t)aligned % 64, 0);
    rub_free(aligned);
}

static void arena_items_are_aligned_and_apart(void **state)
{
    (void)state;
    rub_arena_t arena;
    uint8_t *items[500];
    rub_arena_init(&arena);
    for (int turn = 0; turn < 3; turn++) {
        for (size_t i = 0; i < 500; i++) {
            items[i] = rub_arena_alloc(&arena, i);
            assert_non_null(items[i]);
            assert_int_equal((uintptr_t)items[i] % 16, 0);
            memset(items[i], (int)(i & 0xff), i);
        }
        for (size_t i = 1; i < 500; i++) {
            assert_int_equal(items[i][0], i & 0xff);
            assert_int_equal(items[i][i - 1], i & 0xff);
        }
        rub_arena_reset(&arena);
    }
    rub_arena_fini(&arena);
}

static void arena_refuses_what_overflows_and_takes_what_is_large(void **state)
{
    (void)state;
    rub_arena_t arena;
    rub_arena_init(&arena);
    rub_arena_reset(&arena); /* of an empty one */
    assert_null(rub_arena_alloc(&arena, SIZE_MAX));
    assert_null(rub_arena_calloc(&arena, SIZE_MAX / 2, 4));
    uint8_t *large = rub_arena_calloc(&arena, 1000, 1000);
    assert_non_null(large);
    assert_int_equal(large[999999], 0);
    assert_string_equal(rub_arena_strdup(&arena, "rank"), "rank");
    assert_non_null(rub_arena_copy(&arena, NULL, 0));
    rub_arena_fini(&arena);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(products_that_overflow_are_refused),
        cmocka_unit_test(grow_keeps_items_and_doubles),
        cmocka_unit_test(regions_are_zero_and_large_ones_huge_page_aligned),
        cmocka_unit_test(a_region_used_up_from_its_front_gives_whole_huge_pages_back),
        cmocka_unit_test(texts_are_copied_and_formatted),
        cmocka_unit_test(arena_items_are_aligned_and_apart),
        cmocka_unit_test(arena_refuses_what_overflows_and_takes_what_is_large),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
