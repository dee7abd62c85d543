/* Which rows a table names to be deleted or does not admit, and that they are gone then. */
#include "tests/unit/ps/eviction_fixture.h"

#include "common/base/error.h"

#include <math.h>

/* ---- refusals ---- */

static void expect_schema_refusal(rub_table_view_t schema, const char *sentence)
{
    rub_error_t err = {0};
    assert_int_equal(rub_ptable_schema_check(&schema, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, sentence));
}

static void policies_that_can_not_be_are_refused(void **state)
{
    (void)state;
    rub_table_view_t schema = schema_of(RUB_HASHED, 4, RUB_SGD);
    schema.evict_idle_clocks = 5;
    expect_schema_refusal(schema, "evict.sweep_clocks is 0, 1 to 1048576");
    schema.evict_sweep_clocks = (UINT64_C(1) << 20) + 1;
    expect_schema_refusal(schema, "evict.sweep_clocks is 1048577, 1 to 1048576");
    schema.evict_sweep_clocks = 1;
    assert_int_equal(rub_ptable_schema_check(&schema, NULL), 0);
    schema.evict_idle_clocks = (UINT64_C(1) << 30) + 1;
    expect_schema_refusal(schema, "evict.idle_clocks is 1073741825, at most 1073741824");
    schema.evict_idle_clocks = 0;
    schema.evict_norm = -1;
    expect_schema_refusal(schema, "evict.norm is -1, must be finite and at least 0");
    schema.evict_norm = INFINITY;
    expect_schema_refusal(schema, "evict.norm is inf, must be finite and at least 0");
    rub_table_view_t dense = schema_of(RUB_DENSE, 4, RUB_SGD);
    dense.evict_norm = 1;
    dense.evict_sweep_clocks = 1;
    expect_schema_refusal(dense, "it is dense, rows of hashed tables are evicted");
}

static void deletes_that_no_shard_would_write_are_corruption(void **state)
{
    (void)state;
    rub_error_t err = {0};
    const uint64_t key = 7, other = 8;
    rub_ptable_t *plain = table_of(RUB_HASHED, 2, RUB_ADD);
    push_at(plain, key, 1, 0, 1);
    assert_int_equal(delete_keys(plain, &key, 1, 9, 2, &err), RUB_ECORRUPT);
    assert_string_equal(err.message, "delete of 1 rows of 'weights', which deletes none");
    assert_false(rub_ptable_evicts(plain));
    assert_true(rub_ptable_swept(plain) == UINT64_MAX);
    rub_ptable_destroy(&plain);

    rub_ptable_t *table = evicting(2, RUB_ADD, (rub_eviction_t){3, 0, 1});
    push_at(table, key, 1, 0, 1);
    assert_int_equal(delete_keys(table, &other, 1, 9, 2, &err), RUB_ECORRUPT);
    assert_string_equal(err.message,
                        "delete of key 8 of 'weights' at tick 9: there is no such row");
    assert_int_equal(delete_keys(table, &key, 1, 3, 2, &err), RUB_ECORRUPT);
    assert_string_equal(err.message, "delete of key 7 of 'weights' at tick 3: neither idle for so "
                                     "long nor as short as the policy says");
    assert_int_equal(rub_ptable_rows(table), 1);
    /* Of a fold, in which records are missing, they are not. */
    assert_int_equal(rub_ptable_delete(table, (const uint8_t *)&other, 1, 9, 2, true, &err), 0);
    assert_int_equal(rub_ptable_delete(table, (const uint8_t *)&key, 1, 3, 2, true, &err), 0);
    assert_int_equal(rub_ptable_rows(table), 1);
    assert_int_equal(rub_ptable_delete(table, (const uint8_t *)&key, 1, 4, 2, true, &err), 0);
    assert_int_equal(rub_ptable_rows(table), 0);
    rub_ptable_destroy(&table);
}

/* ---- who is named ---- */

static void a_row_may_be_idle_for_so_many_clocks_and_not_one_more(void **state)
{
    (void)state;
    uint64_t keys[MOST], at = 0;
    rub_ptable_t *table = evicting(2, RUB_ADD, (rub_eviction_t){3, 0, 1});
    push_at(table, 1, 1, 0, 1);
    push_at(table, 2, 1, 0, 2);
    push_at(table, 2, 1, 2, 3);
    push_at(table, 3, 1, 9, 4);                         /* by a worker that is ahead */
    push_at(table, 3, 1, 1, 5);                         /* and by one that is not */
    assert_int_equal(sweep_to(table, 3, keys, &at), 0); /* periods 1 and 2 went without a push */
    assert_int_equal(sweep_to(table, 4, keys, &at), 1);
    assert_int_equal(keys[0], 1);
    assert_int_equal(at, 4);
    assert_int_equal(evict_to(table, 5, 6), 1);
    assert_int_equal(evict_to(table, 6, 7), 1);
    assert_int_equal(evict_to(table, 12, 8), 0);
    assert_int_equal(evict_to(table, 13, 9), 1);
    assert_int_equal(rub_ptable_rows(table), 0);
    rub_ptable_destroy(&table);
}

static void short_rows_are_named_once_their_period_is_over(void **state)
{
    (void)state;
    rub_table_view_t schema = schema_of(RUB_HASHED, 4, RUB_ADD);
    schema.init = RUB_INIT_ZEROS;
    schema.evict_norm = 1;
    schema.evict_sweep_clocks = 1;
    rub_ptable_t *table;
    assert_int_equal(rub_ptable_new(&schema, SEED, 0, 1, &table, NULL), 0);
    push_at(table, 1, 0.5F, 0, 1);  /* a norm of 1 */
    push_at(table, 2, 0.49F, 0, 2); /* below */
    push_at(table, 3, 0.1F, 2, 3);
    assert_int_equal(evict_to(table, 1, 4), 1);
    assert_int_equal(evict_to(table, 2, 5), 0);
    assert_int_equal(evict_to(table, 3, 6), 1);
    float values[4];
    assert_true(pull_key(table, 1, values));
    assert_false(pull_key(table, 2, values));
    assert_int_equal(evict_to(table, 1000, 7), 0);
    rub_ptable_destroy(&table);
}

static void each_row_is_looked_at_once_in_so_many_clocks(void **state)
{
    (void)state;
    enum { ROWS = 3000 };
    static const uint64_t sweeps[] = {1, 7, 1024, 1500};
    for (size_t s = 0; s < 4; s++) {
        const uint64_t clocks = sweeps[s];
        rub_ptable_t *table = evicting(1, RUB_ADD, (rub_eviction_t){1, 0, clocks});
        for (uint64_t key = 0; key < ROWS; key++) {
            push_at(table, key, 1, 0, key + 1);
        }
        assert_int_equal(evict_to(table, 1, ROWS + 1), 0);
        size_t most = 0, all = 0;
        for (uint64_t tick = 2; tick < clocks + 2; tick++) {
            const size_t n = evict_to(table, tick, ROWS + tick);
            most = n > most ? n : most;
            all += n;
        }
        assert_int_equal(all, ROWS);
        assert_true(most < 2 * ROWS / clocks + 20);
        rub_ptable_destroy(&table);
    }
}

static void a_turn_looks_at_a_bounded_number_of_rows_and_the_next_goes_on(void **state)
{
    (void)state;
    enum { ROWS = 20000, BUDGET = 1000 };
    rub_ptable_t *table = evicting(1, RUB_ADD, (rub_eviction_t){100, 0, 1});
    for (uint64_t key = 0; key < ROWS; key++) {
        push_at(table, key, 1, 0, key + 1);
    }
    uint64_t keys[MOST], at = 0;
    size_t turns = 0;
    while (rub_ptable_swept(table) < 1) {
        size_t rows_left = BUDGET;
        assert_int_equal(rub_ptable_sweep(table, 1, keys, MOST, &at, &rows_left), 0);
        turns++;
    }
    assert_true(turns >= ROWS / (2 * BUDGET));
    assert_true(turns <= ROWS / BUDGET + 1);
    rub_ptable_destroy(&table);
}

/* Looks that end early, since keys have no more room, count like all others. */
static void rows_that_are_deleted_are_rows_that_were_looked_at(void **state)
{
    (void)state;
    enum { ROWS = 20000, BUDGET = 1000, AT_ONCE = 8, OF_PARTITION = 64 };
    rub_ptable_t *table = evicting(1, RUB_ADD, (rub_eviction_t){2, 0, 1});
    for (uint64_t key = 0; key < ROWS; key++) {
        push_at(table, key, 1, 0, key + 1);
    }
    uint64_t keys[AT_ONCE], at = 0;
    size_t turns = 0;
    for (uint64_t lsn = ROWS + 1; rub_ptable_swept(table) < 3; lsn++, turns++) {
        size_t rows_left = BUDGET, deleted = 0, n;
        while ((n = rub_ptable_sweep(table, 3, keys, AT_ONCE, &at, &rows_left)) > 0) {
            assert_int_equal(delete_keys(table, keys, n, at, lsn, NULL), 0);
            deleted += n;
        }
        assert_true(deleted <= BUDGET + OF_PARTITION);
    }
    assert_int_equal(rub_ptable_rows(table), 0);
    assert_true(turns > ROWS / BUDGET);
    rub_ptable_destroy(&table);
}

static void who_is_late_or_looks_twice_names_the_same_rows(void **state)
{
    (void)state;
    const rub_eviction_t policy = {2, 0, 4};
    rub_ptable_t *prompt = evicting(2, RUB_ADD, policy);
    rub_ptable_t *late = evicting(2, RUB_ADD, policy);
    for (uint64_t key = 0; key < 500; key++) {
        push_at(prompt, key, 1, key % 5, key + 1);
        push_at(late, key, 1, key % 5, key + 1);
    }
    for (uint64_t tick = 1; tick < 10; tick++) {
        (void)evict_to(prompt, tick, 600 + tick);
    }
    (void)evict_to(late, 9, 700);
    assert_int_equal(rub_ptable_digest(prompt), rub_ptable_digest(late));
    assert_int_equal(rub_ptable_rows(prompt), rub_ptable_rows(late));
    assert_true(rub_ptable_rows(prompt) < 500);
    rub_ptable_destroy(&prompt);
    rub_ptable_destroy(&late);
}

/* ---- what is left of them ---- */

static void a_deleted_row_begins_anew_slots_and_steps_included(void **state)
{
    (void)state;
    static const rub_optimizer_kind_t kinds[] = {RUB_ADD, RUB_ADAGRAD, RUB_ADAM, RUB_MOMENTUM};
    static const uint32_t widths[] = {1, 3, 8, 64};
    for (size_t k = 0; k < 4; k++) {
        for (size_t w = 0; w < 4; w++) {
            rub_ptable_t *table = evicting(widths[w], kinds[k], (rub_eviction_t){1, 0, 1});
            float first[64], once[64], again[64];
            assert_false(pull_key(table, 5, first));
            push_at(table, 5, 1, 0, 1);
            assert_true(pull_key(table, 5, once));
            push_at(table, 5, 2, 0, 2);
            push_at(table, 6, 2, 0, 3);
            assert_int_equal(evict_to(table, 2, 4), 2);
            assert_false(pull_key(table, 5, again));
            assert_memory_equal(first, again, widths[w] * sizeof(float));
            push_at(table, 5, 1, 2, 5);
            assert_true(pull_key(table, 5, again));
            assert_memory_equal(once, again, widths[w] * sizeof(float));
            assert_int_equal(rub_ptable_rows(table), 1);
            rub_ptable_destroy(&table);
        }
    }
}

static void places_are_used_again(void **state)
{
    (void)state;
    rub_ptable_t *table = evicting(8, RUB_ADD, (rub_eviction_t){1, 0, 1});
    size_t memory = 0;
    uint64_t lsn = 0;
    for (uint64_t clock = 0; clock < 60; clock++) {
        for (uint64_t i = 0; i < 300; i++) {
            push_at(table, clock * 1000 + i, 1, clock, ++lsn);
        }
        (void)evict_to(table, clock + 1, ++lsn);
        assert_true(rub_ptable_rows(table) <= 600);
        memory = clock == 5 ? rub_ptable_memory_bytes(table) : memory;
    }
    assert_true(rub_ptable_memory_bytes(table) <= memory + (8 << 10)); /* of the index */
    rub_ptable_destroy(&table);
}

/* Under a memory limit a table that forgets goes on: what the deleted rows leave is no growth. Nor
 * is it after a restart, which finds the room in all of the chunks. */
static void room_of_deleted_rows_is_there_for_new_ones(void **state)
{
    (void)state;
    enum { ROWS = 3000, DELETED = ROWS / 2, MOST_CHUNKS = 4 };
    uint64_t keys[DELETED];
    static float values[8 * DELETED];
    rub_ptable_t *tables[2];
    tables[0] = evicting(8, RUB_ADD, (rub_eviction_t){1, 0, 1});
    for (uint64_t key = 0; key < ROWS; key++) {
        push_at(tables[0], key, 1, key % 2 * 5, key + 1);
    }
    (void)evict_to(tables[0], 5, ROWS + 1);
    assert_int_equal(rub_ptable_rows(tables[0]), DELETED);
    for (uint64_t i = 0; i < DELETED; i++) {
        keys[i] = ROWS + i;
    }
    const rub_push_view_t new_ones = keys_push(keys, DELETED, values, 8);
    assert_int_equal(rub_ptable_push_check(tables[0], &new_ones, 0, NULL), 0);
    staged_t chunks[MOST_CHUNKS];
    const size_t n_chunks = sweep(tables[0], ROWS + 2, chunks, MOST_CHUNKS);
    assert_true(n_chunks > 1);
    tables[1] = evicting(8, RUB_ADD, (rub_eviction_t){1, 0, 1});
    rub_ptable_set_recovering(tables[1], true);
    for (size_t i = 0; i < n_chunks; i++) {
        load(tables[1], chunks[i]);
        rub_free(chunks[i].bytes);
    }
    rub_ptable_set_recovering(tables[1], false);
    const uint64_t of_index = 16 * DELETED;
    assert_int_equal(rub_ptable_push_check(tables[1], &new_ones, of_index, NULL), 0);
    for (size_t i = 0; i < 2; i++) {
        const size_t before = rub_ptable_memory_bytes(tables[i]);
        push(tables[i], new_ones, ROWS + 3);
        assert_true(rub_ptable_memory_bytes(tables[i]) <= before + i * of_index);
        rub_ptable_destroy(&tables[i]);
    }
}

static void rows_that_were_remembered_are_looked_for_again(void **state)
{
    (void)state;
    enum { KEYS = 40 };
    uint64_t keys[KEYS];
    uint32_t rows[KEYS];
    float values[2 * KEYS], got[2 * KEYS];
    uint8_t exists[KEYS / 8];
    rub_found_rows_t found = {.rows = rows, .table = 3};
    rub_ptable_t *table = evicting(2, RUB_ADD, (rub_eviction_t){1, 0, 1});
    for (uint64_t i = 0; i < KEYS; i++) {
        keys[i] = i * 7919 % 101;
        values[2 * i] = values[2 * i + 1] = (float)i;
    }
    for (uint64_t clock = 0; clock < 6; clock++) {
        rub_push_view_t view = keys_push(keys, KEYS, values, 2);
        view.rows.found = &found;
        view.clock = 3 * clock;
        push(table, view, 10 * clock + 1);
        rub_ptable_pull(table, &view.rows, got, exists);
        assert_int_equal(exists[0] & exists[KEYS / 8 - 1], 0xff);
        for (uint64_t i = 0; clock == 2 && i < 50; i++) { /* others take their places */
            push_at(table, 1000 + i, 1, 3 * clock + 3, 10 * clock + 2);
        }
        if (clock % 2 == 1) {
            assert_true(evict_to(table, 3 * clock + 2, 10 * clock + 5) >= KEYS);
            rub_ptable_pull(table, &view.rows, got, exists);
            assert_int_equal(exists[0] | exists[KEYS / 8 - 1], 0);
        }
    }
    rub_ptable_destroy(&table);
}

/* ---- who is admitted ---- */

static void new_rows_are_admitted_by_a_draw_of_key_and_clock(void **state)
{
    (void)state;
    enum { ROWS = 4000 };
    rub_table_view_t schema = schema_of(RUB_HASHED, 2, RUB_ADD);
    rub_error_t err = {0};
    schema.admit_probability = 1.5;
    assert_int_equal(rub_ptable_schema_check(&schema, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "admit_probability is 1.5, must be 0 to 1"));
    schema.admit_probability = 0.25;
    rub_ptable_t *tables[2];
    for (int i = 0; i < 2; i++) {
        assert_int_equal(rub_ptable_new(&schema, SEED, 0, 1, &tables[i], NULL), 0);
    }
    uint64_t keys[ROWS];
    float values[2 * ROWS], got[2], first[2];
    for (uint64_t i = 0; i < ROWS; i++) {
        keys[i] = i;
        values[2 * i] = values[2 * i + 1] = (float)(i + 1);
    }
    for (uint64_t clock = 0; clock < 3; clock++) {
        rub_push_view_t together = keys_push(keys, ROWS, values, 2);
        together.clock = clock;
        push(tables[0], together, clock + 1);
        for (uint64_t i = ROWS; i > 0; i--) { /* whatever the messages are */
            push_at(tables[1], i - 1, (float)i, clock, clock + 1);
        }
        assert_int_equal(rub_ptable_digest(tables[0]), rub_ptable_digest(tables[1]));
        const double expected = ROWS * (1 - pow(0.75, (double)clock + 1));
        assert_true(fabs((double)rub_ptable_rows(tables[0]) - expected) < 150);
    }
    assert_int_equal(rub_ptable_not_admitted(tables[0]), rub_ptable_not_admitted(tables[1]));
    assert_true(rub_ptable_not_admitted(tables[0]) > ROWS);
    for (uint64_t i = 0; i < ROWS; i++) { /* whoever is in has all pushes from then on */
        rub_initializer_fill_row(rub_ptable_initializer(tables[0]), i, 2, first);
        const bool in = pull_key(tables[0], i, got);
        const double pushes = ((double)got[0] - (double)first[0]) / (double)(i + 1);
        assert_true(in ? pushes > 0.9 && pushes < 3.1 : pushes == 0);
    }
    rub_ptable_set_recovering(tables[1],
                              false); /* what a replay passed over is not counted again */
    assert_int_equal(rub_ptable_not_admitted(tables[1]), 0);
    rub_ptable_destroy(&tables[0]);
    rub_ptable_destroy(&tables[1]);
}

static void new_rows_are_admitted_by_the_nth_push(void **state)
{
    (void)state;
    enum { ROWS = 500, COUNT = 3 };
    rub_ptable_t *table = counting_table(2, RUB_ADD, (rub_eviction_t){2, 0, 1}, COUNT);
    float got[2], first[2];
    for (uint64_t clock = 0; clock < COUNT + 1; clock++) {
        for (uint64_t key = 0; key < ROWS; key++) {
            push_at(table, key, 1, clock, clock + 1);
            assert_int_equal(pull_key(table, key, got), clock + 1 >= COUNT);
        }
    }
    assert_int_equal(rub_ptable_not_admitted(table), (COUNT - 1) * ROWS);
    assert_true(pull_key(table, 7, got)); /* has what it was admitted with, and what came behind */
    rub_initializer_fill_row(rub_ptable_initializer(table), 7, 2, first);
    assert_float_equal(got[0] - first[0], 2, 1e-5);
    push_at(table, 8, 1, 9, 9); /* it was deleted, but is known */
    assert_true(evict_to(table, 9, 10) > 0);
    assert_false(pull_key(table, 7, got));
    push_at(table, 7, 1, 10, 11);
    assert_true(pull_key(table, 7, got));
    rub_ptable_destroy(&table);
}

static void rows_that_were_put_need_no_counting(void **state)
{
    (void)state;
    const float values[2] = {1, 2};
    float got[2];
    rub_ptable_t *table = counting_table(2, RUB_ADD, (rub_eviction_t){1, 0, 1}, 5);
    assert_int_equal(rub_ptable_put(table, 7, values, 2, 1, NULL), 0);
    assert_int_equal(evict_to(table, 9, 10), 1);
    push_at(table, 7, 1, 10, 11);
    assert_true(pull_key(table, 7, got));
    assert_int_equal(rub_ptable_not_admitted(table), 0);
    rub_ptable_destroy(&table);
}

static void counts_that_can_not_be_are_refused(void **state)
{
    (void)state;
    rub_error_t err = {0};
    const uint8_t cells[64] = {0x04};
    rub_table_view_t schema = schema_of(RUB_HASHED, 2, RUB_ADD);
    schema.admit_count = 16;
    assert_int_equal(rub_ptable_schema_check(&schema, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "admit_count is 16, must be 0 to 15"));
    schema.admit_count = 3;
    schema.admit_counters = 1000;
    assert_int_equal(rub_ptable_schema_check(&schema, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "admit_counters is 1000, 131072 to 67108864"));
    schema.admit_counters = RUB_ADMIT_COUNTERS_LEAST;
    schema.admit_probability = 0.5;
    assert_int_equal(rub_ptable_schema_check(&schema, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "rows are admitted by one of them"));
    schema.admit_probability = 0;
    schema.kind = RUB_DENSE;
    schema.elements = 8;
    assert_int_equal(rub_ptable_schema_check(&schema, &err), RUB_EINVAL);
    assert_non_null(strstr(err.message, "admit_count: it is dense"));

    rub_ptable_t *table = counting_table(2, RUB_ADD, (rub_eviction_t){0}, 3);
    assert_int_equal(rub_ptable_take_counts(table, 0, 1, cells, 64, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "a count is above 3"));
    assert_int_equal(rub_ptable_take_counts(table, 0, 2, cells, 64, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "counts of 2 partitions from 0 on in 64 bytes"));
    assert_int_equal(rub_ptable_take_counts(table, 1024, 1, cells, 64, &err), RUB_ECORRUPT);
    rub_ptable_destroy(&table);
    table = evicting(2, RUB_ADD, (rub_eviction_t){0});
    assert_int_equal(rub_ptable_take_counts(table, 0, 1, cells, 64, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "counts no pushes"));
    rub_ptable_destroy(&table);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(policies_that_can_not_be_are_refused),
        cmocka_unit_test(deletes_that_no_shard_would_write_are_corruption),
        cmocka_unit_test(a_row_may_be_idle_for_so_many_clocks_and_not_one_more),
        cmocka_unit_test(short_rows_are_named_once_their_period_is_over),
        cmocka_unit_test(each_row_is_looked_at_once_in_so_many_clocks),
        cmocka_unit_test(a_turn_looks_at_a_bounded_number_of_rows_and_the_next_goes_on),
        cmocka_unit_test(rows_that_are_deleted_are_rows_that_were_looked_at),
        cmocka_unit_test(who_is_late_or_looks_twice_names_the_same_rows),
        cmocka_unit_test(a_deleted_row_begins_anew_slots_and_steps_included),
        cmocka_unit_test(places_are_used_again),
        cmocka_unit_test(room_of_deleted_rows_is_there_for_new_ones),
        cmocka_unit_test(rows_that_were_remembered_are_looked_for_again),
        cmocka_unit_test(new_rows_are_admitted_by_a_draw_of_key_and_clock),
        cmocka_unit_test(new_rows_are_admitted_by_the_nth_push),
        cmocka_unit_test(rows_that_were_put_need_no_counting),
        cmocka_unit_test(counts_that_can_not_be_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
