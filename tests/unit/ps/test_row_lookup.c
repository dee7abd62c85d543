/* Rows found by walking along them, against rows found one key at a time. */
#include "tests/unit/ps/table_fixture.h"

#include "common/base/rng.h"

enum { KEYS = 3000, LIST = 700, LISTS = 60 };

static uint64_t key_of(uint64_t place)
{
    return place * UINT64_C(0x9e3779b97f4a7c15) + 5;
}

/* Stretches in the order in which rows were made, of any length; between them a jump, back to a key
 * that was there, or to one that is new. */
static size_t draw_list(rub_rng_t *rng, uint64_t known, uint64_t *keys)
{
    size_t n = 0;
    while (n < LIST) {
        uint64_t place = rub_rng_below(rng, known);
        const uint64_t length = 1 + rub_rng_below(rng, rub_rng_below(rng, 3) ? 8 : 400);
        for (uint64_t i = 0; i < length && n < LIST && place < KEYS; i++, place++) {
            keys[n++] = key_of(place);
        }
    }
    return n;
}

static void push_one_by_one(rub_ptable_t *table, const uint64_t *keys, size_t n,
                            const float *values, uint32_t width, uint64_t lsn)
{
    for (size_t i = 0; i < n; i++) {
        push(table, keys_push(&keys[i], 1, values + i * width, width), lsn);
    }
}

static void expect_same_rows(const rub_ptable_t *table, const rub_ptable_t *reference,
                             const uint64_t *keys, size_t n, uint32_t width)
{
    static float got[LIST * 64], want[64];
    uint8_t exists[(LIST + 7) / 8];
    const rub_rows_t rows = {.keys = (const uint8_t *)keys, .n_keys = n};
    rub_ptable_pull(table, &rows, got, exists);
    for (size_t i = 0; i < n; i++) {
        const bool stored = pull_key(reference, keys[i], want);
        assert_int_equal(exists[i / 8] >> (i % 8) & 1, stored);
        assert_memory_equal(&got[i * width], want, width * sizeof(float));
    }
    if (n % 8 != 0) {
        assert_int_equal(exists[n / 8] >> (n % 8), 0);
    }
}

static void lists_of(uint32_t width, rub_optimizer_kind_t optimizer)
{
    static float values[LIST * 64];
    uint64_t keys[LIST];
    rub_ptable_t *table = table_of(RUB_HASHED, width, optimizer);
    rub_ptable_t *reference = table_of(RUB_HASHED, width, optimizer);
    rub_rng_t rng;
    rub_rng_init(&rng, width, (uint64_t)optimizer);
    for (uint64_t turn = 1; turn <= LISTS; turn++) {
        const uint64_t known = 200 + (KEYS - 200) * turn / LISTS;
        size_t n = draw_list(&rng, known, keys);
        for (size_t i = 0; i < n * width; i++) {
            values[i] = (float)rub_rng_below(&rng, 2001) / 1000.0f - 1.0f;
        }
        push(table, keys_push(keys, n, values, width), turn);
        push_one_by_one(reference, keys, n, values, width, turn);
        assert_int_equal(rub_ptable_rows(table), rub_ptable_rows(reference));
        assert_int_equal(rub_ptable_digest(table), rub_ptable_digest(reference));
        n = draw_list(&rng, known, keys) - turn % 9;
        expect_same_rows(table, reference, keys, n, width);
    }
    rub_ptable_destroy(&table);
    rub_ptable_destroy(&reference);
}

static void any_order_of_keys_gives_what_one_key_at_a_time_gives(void **state)
{
    (void)state;
    static const uint32_t widths[] = {1, 3, 8, 16, 33, 64};
    for (size_t w = 0; w < RUB_COUNT_OF(widths); w++) {
        for (uint32_t kind = RUB_SGD; kind <= RUB_FTRL; kind++) {
            lists_of(widths[w], (rub_optimizer_kind_t)kind);
        }
    }
}

/* Chunk 0 holds keys 1..N as they came, and another, newer chunk one of them. */
static void a_row_that_another_chunk_owns_is_not_walked_over(void **state)
{
    (void)state;
    enum { N = 200, MOVED = 150 };
    uint64_t keys[N];
    float values[2 * N], got[2 * N], touch[2];
    for (size_t i = 0; i < N; i++) {
        keys[i] = i + 1;
        values[2 * i] = values[2 * i + 1] = 1.0f;
    }
    rub_ptable_t *before = table_of(RUB_HASHED, 2, RUB_ADD);
    push_key(before, 1, 0.0f, 1);
    const staged_t base = stage(before, 0, 1);
    rub_ptable_t *writer = table_of(RUB_HASHED, 2, RUB_ADD);
    rub_ptable_set_recovering(writer, true);
    load(writer, base);
    push_key(writer, keys[MOVED], 8.0f, 50);
    const staged_t newer = stage(writer, 1, 50);
    push(before, keys_push(keys, N, values, 2), 40);
    const staged_t older = stage(before, 0, 45);

    rub_ptable_t *table = table_of(RUB_HASHED, 2, RUB_ADD);
    rub_ptable_set_recovering(table, true);
    load(table, older);
    load(table, newer);
    rub_ptable_set_recovering(table, false);
    assert_int_equal(rub_ptable_rows(table), N);
    push(table, keys_push(keys, N, values, 2), 60);
    const rub_rows_t rows = {.keys = (const uint8_t *)keys, .n_keys = N};
    rub_ptable_pull(table, &rows, got, NULL);
    rub_ptable_t *empty = table_of(RUB_HASHED, 2, RUB_ADD);
    for (size_t i = 0; i < N; i++) {
        assert_false(pull_key(empty, keys[i], touch));
        const float want = i == MOVED ? touch[0] + 8.0f + 1.0f : touch[0] + 1.0f + 1.0f;
        assert_true(got[2 * i] == want);
    }
    rub_free(base.bytes);
    rub_free(newer.bytes);
    rub_free(older.bytes);
    rub_ptable_destroy(&empty);
    rub_ptable_destroy(&table);
    rub_ptable_destroy(&writer);
    rub_ptable_destroy(&before);
}

/* Redo of a list that was pushed in order: rows of the chunk as it was stored are passed over, the
 * others are stepped, with the gradients that are theirs. */
static void a_replay_passes_over_what_the_store_has(void **state)
{
    (void)state;
    enum { N = 8000 }; /* several chunks */
    uint64_t *keys = rub_alloc(N * sizeof(*keys));
    float *values = rub_alloc(2 * N * sizeof(*values)), *got = rub_alloc(2 * N * sizeof(*got));
    float *want = rub_alloc(2 * N * sizeof(*want));
    for (size_t i = 0; i < N; i++) {
        keys[i] = key_of(i);
        values[2 * i] = values[2 * i + 1] = (float)(i % 100);
    }
    const rub_rows_t rows = {.keys = (const uint8_t *)keys, .n_keys = N};
    rub_ptable_t *live = table_of(RUB_HASHED, 2, RUB_ADD);
    push(live, keys_push(keys, N, values, 2), 1);
    const staged_t zero = stage(live, 0, 1);
    push(live, keys_push(keys, N, values, 2), 2);
    const staged_t one = stage(live, 1, 2);
    push(live, keys_push(keys, N, values, 2), 3);
    rub_ptable_pull(live, &rows, want, NULL);

    rub_ptable_t *table = table_of(RUB_HASHED, 2, RUB_ADD);
    rub_ptable_set_recovering(table, true);
    load(table, zero);
    load(table, one);
    for (uint64_t lsn = 1; lsn <= 3; lsn++) {
        push(table, keys_push(keys, N, values, 2), lsn);
    }
    rub_ptable_set_recovering(table, false);
    rub_ptable_pull(table, &rows, got, NULL);
    assert_memory_equal(got, want, 2 * N * sizeof(*got));
    rub_free(zero.bytes);
    rub_free(one.bytes);
    rub_free(keys);
    rub_free(values);
    rub_free(got);
    rub_free(want);
    rub_ptable_destroy(&table);
    rub_ptable_destroy(&live);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_keys_gives_what_one_key_at_a_time_gives),
        cmocka_unit_test(a_row_that_another_chunk_owns_is_not_walked_over),
        cmocka_unit_test(a_replay_passes_over_what_the_store_has),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
