/* Rows that a list of keys remembers, against rows that are sought each time. */
#include "tests/unit/ps/table_fixture.h"

#include "common/base/rng.h"

enum { KEYS = 3000, LIST = 500, LISTS = 4, ROUNDS = 12, WIDTH = 16 };

static uint64_t key_of(uint64_t place)
{
    return place * UINT64_C(0x9e3779b97f4a7c15) + 5;
}

typedef struct list {
    uint64_t keys[LIST];
    uint32_t places[LIST];
    rub_found_rows_t found;
} list_t;

static void draw(list_t *list, rub_rng_t *rng)
{
    for (size_t i = 0; i < LIST; i++) {
        list->keys[i] = key_of(rub_rng_below(rng, KEYS)); /* some of them twice */
    }
    list->found = (rub_found_rows_t){.rows = list->places};
}

static void expect_same(rub_ptable_t *table, rub_ptable_t *reference, list_t *list)
{
    static float got[LIST * WIDTH], want[LIST * WIDTH];
    uint8_t exists[(LIST + 7) / 8], expected[(LIST + 7) / 8];
    rub_rows_t rows = {.keys = (const uint8_t *)list->keys, .n_keys = LIST};
    rub_ptable_pull(reference, &rows, want, expected);
    rows.found = &list->found;
    rub_ptable_pull(table, &rows, got, exists);
    assert_memory_equal(got, want, sizeof(want));
    assert_memory_equal(exists, expected, sizeof(expected));
}

/* Pushes with and without, into two tables, while rows are born and the index grows. */
static void lists_that_remember(rub_optimizer_kind_t optimizer)
{
    static list_t lists[LISTS], others;
    static float values[LIST * WIDTH];
    rub_ptable_t *table = table_of(RUB_HASHED, WIDTH, optimizer);
    rub_ptable_t *reference = table_of(RUB_HASHED, WIDTH, optimizer);
    rub_rng_t rng;
    rub_rng_init(&rng, 7, (uint64_t)optimizer);
    for (uint64_t place = 0; place < KEYS / 2; place++) { /* the others are born in between */
        push_key(table, key_of(place), 0.5f, 1);
        push_key(reference, key_of(place), 0.5f, 1);
    }
    for (size_t i = 0; i < LISTS; i++) {
        draw(&lists[i], &rng);
    }
    for (uint64_t lsn = 1; lsn <= LISTS * ROUNDS; lsn++) {
        list_t *list = &lists[lsn % LISTS];
        expect_same(table, reference, list);
        for (size_t i = 0; i < LIST * WIDTH; i++) {
            values[i] = (float)rub_rng_below(&rng, 2001) / 1000.0f - 1.0f;
        }
        rub_push_view_t view = keys_push(list->keys, LIST, values, WIDTH);
        push(reference, view, lsn);
        view.rows.found = &list->found;
        push(table, view, lsn);
        assert_true(list->found.whole);
        expect_same(table, reference, list);
        draw(&others, &rng);
        push(table, keys_push(others.keys, LIST, values, WIDTH), lsn);
        push(reference, keys_push(others.keys, LIST, values, WIDTH), lsn);
        assert_int_equal(rub_ptable_digest(table), rub_ptable_digest(reference));
    }
    rub_ptable_destroy(&table);
    rub_ptable_destroy(&reference);
}

static void what_is_remembered_gives_what_is_sought(void **state)
{
    (void)state;
    lists_that_remember(RUB_ADAGRAD);
    lists_that_remember(RUB_ADAM); /* counts steps */
}

static void a_list_with_a_row_that_is_not_there_is_not_remembered(void **state)
{
    (void)state;
    static list_t list;
    static float values[LIST * WIDTH];
    rub_ptable_t *table = table_of(RUB_HASHED, WIDTH, RUB_ADD);
    rub_ptable_t *reference = table_of(RUB_HASHED, WIDTH, RUB_ADD);
    rub_rng_t rng;
    rub_rng_init(&rng, 8, 0);
    draw(&list, &rng);
    list.keys[LIST - 1] = key_of(KEYS); /* which no other place has */
    for (uint64_t i = 0; i < 5; i++) {
        expect_same(table, reference, &list);
        assert_false(list.found.whole);
        push(table, keys_push(list.keys, LIST - 5 + i, values, WIDTH), i + 1);
        push(reference, keys_push(list.keys, LIST - 5 + i, values, WIDTH), i + 1);
    }
    rub_ptable_destroy(&table);
    rub_ptable_destroy(&reference);
}

static void rows_one_behind_the_other_are_walked_along_and_not_remembered(void **state)
{
    (void)state;
    static list_t list;
    static float values[LIST * WIDTH];
    rub_ptable_t *table = table_of(RUB_HASHED, WIDTH, RUB_ADD);
    for (uint64_t i = 0; i < LIST; i++) {
        list.keys[i] = key_of(i);
    }
    list.found = (rub_found_rows_t){.rows = list.places};
    rub_push_view_t view = keys_push(list.keys, LIST, values, WIDTH);
    view.rows.found = &list.found;
    push(table, view, 1);
    push(table, view, 2);
    assert_false(list.found.whole);
    rub_ptable_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_remembered_gives_what_is_sought),
        cmocka_unit_test(a_list_with_a_row_that_is_not_there_is_not_remembered),
        cmocka_unit_test(rows_one_behind_the_other_are_walked_along_and_not_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
