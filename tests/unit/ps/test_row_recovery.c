/* Whatever was staged when, loading and replaying gives the same rows and the same counts of
 * pushes: deleted rows and those that came back included. */
#include "tests/unit/ps/eviction_fixture.h"

#include "common/base/error.h"
#include "common/base/rng.h"

enum { KEYS = 700, WIDTH = 64, RECORDS = 2000, CHUNKS = 64 };

typedef struct record {
    uint64_t lsn, clock; /* clock: of a push, or the tick */
    uint64_t keys[MOST];
    size_t n_keys;
    bool deletes;
} record_t;

/* A table with a journal that is never lost, and a store that takes chunks one by one. */
typedef struct world {
    rub_ptable_t *table;
    bool counting;                 /* rows are admitted by counts, not by a draw */
    uint8_t *counts, *next_counts; /* as of the redo point, and of the next one */
    size_t counts_bytes;
    record_t *journal;
    size_t n_journal;
    uint64_t lsn, redo, next_redo;
    staged_t store[CHUNKS];
    uint32_t to_stage; /* of the checkpoint under way; UINT32_MAX: none is */
    uint64_t clock;
    rub_rng_t rng;
    uint64_t n_deleted;
} world_t;

static rub_ptable_t *new_table(bool counting)
{
    const rub_eviction_t evict = {4, 0, 3};
    return counting ? counting_table(WIDTH, RUB_ADAGRAD, evict, 3)
                    : table_with(WIDTH, RUB_ADAGRAD, evict, 0.6);
}

/* Counts are of one moment, the redo point; chunks are of later ones. */
static void note_counts(world_t *world)
{
    uint32_t first, n_parts;
    const uint8_t *bytes;
    world->counts_bytes = rub_ptable_counts(world->table, &first, &n_parts, &bytes);
    rub_free(world->next_counts);
    world->next_counts = rub_alloc(world->counts_bytes + 1);
    memcpy(world->next_counts, bytes, world->counts_bytes);
}

static void apply(rub_ptable_t *table, const record_t *record)
{
    if (record->deletes) {
        rub_error_t err = {0};
        if (delete_keys(table, record->keys, record->n_keys, record->clock, record->lsn, &err) !=
            0) {
            fail_msg("%s", err.message);
        }
        return;
    }
    for (size_t i = 0; i < record->n_keys; i++) {
        push_at(table, record->keys[i], (float)(record->keys[i] % 13) - 5, record->clock,
                record->lsn);
    }
}

static record_t *new_record(world_t *world)
{
    assert_true(world->n_journal < RECORDS);
    record_t *record = &world->journal[world->n_journal++];
    *record = (record_t){.lsn = ++world->lsn, .clock = world->clock};
    return record;
}

static void work(world_t *world)
{
    const uint64_t hot = rub_rng_below(&world->rng, KEYS); /* some are in fashion */
    record_t *record = new_record(world);
    record->n_keys = 1 + rub_rng_below(&world->rng, 30);
    for (size_t i = 0; i < record->n_keys; i++) {
        record->keys[i] = (hot + rub_rng_below(&world->rng, 60)) % KEYS;
    }
    apply(world->table, record);
    if (rub_rng_below(&world->rng, 3) > 0) {
        return;
    }
    world->clock++;
    uint64_t keys[MOST], at = 0;
    size_t n;
    while ((n = sweep_to(world->table, world->clock, keys, &at)) > 0) {
        record = new_record(world);
        record->deletes = true;
        record->clock = at;
        record->n_keys = n;
        memcpy(record->keys, keys, n * sizeof *keys);
        apply(world->table, record);
        world->n_deleted += n;
    }
}

/* Stages and commits the next dirty chunk; the last one makes the redo point. */
static void checkpoint_step(world_t *world)
{
    if (world->to_stage == UINT32_MAX) {
        world->to_stage = 0;
        world->next_redo = world->lsn;
        if (world->counting) {
            note_counts(world);
        }
    }
    uint32_t chunk = world->to_stage;
    if (!rub_ptable_next_dirty(world->table, &chunk)) {
        world->redo = world->next_redo;
        world->to_stage = UINT32_MAX;
        rub_free(world->counts);
        world->counts = world->next_counts;
        world->next_counts = NULL;
        return;
    }
    assert_true(chunk < CHUNKS);
    rub_free(world->store[chunk].bytes);
    world->store[chunk] = stage(world->table, chunk, world->lsn);
    world->to_stage = chunk + 1;
}

static rub_ptable_t *recover(const world_t *world, bool backwards)
{
    rub_ptable_t *table = new_table(world->counting);
    rub_ptable_set_recovering(table, true);
    if (world->counts) {
        assert_int_equal(rub_ptable_take_counts(table, 0, RUB_PARTITIONS, world->counts,
                                                world->counts_bytes, NULL),
                         0);
    }
    for (size_t i = 0; i < CHUNKS; i++) {
        const staged_t staged = world->store[backwards ? CHUNKS - 1 - i : i];
        if (staged.bytes) {
            load(table, staged);
        }
    }
    for (size_t i = 0; i < world->n_journal; i++) {
        if (world->journal[i].lsn > world->redo) {
            apply(table, &world->journal[i]);
        }
    }
    rub_ptable_set_recovering(table, false);
    return table;
}

static void expect_equal(const rub_ptable_t *a, const rub_ptable_t *b)
{
    assert_int_equal(rub_ptable_rows(a), rub_ptable_rows(b));
    assert_int_equal(rub_ptable_digest(a), rub_ptable_digest(b));
    uint32_t first, n_parts;
    const uint8_t *bytes[2];
    const size_t n = rub_ptable_counts(a, &first, &n_parts, &bytes[0]);
    assert_int_equal(rub_ptable_counts(b, &first, &n_parts, &bytes[1]), n);
    assert_true(n == 0 || memcmp(bytes[0], bytes[1], n) == 0);
}

static void kills_at_any_moment_leave_the_same_rows(void **state)
{
    (void)state;
    uint64_t n_deleted = 0;
    for (uint64_t seed = 1; seed <= 12; seed++) {
        const bool counting = seed % 2 == 0;
        world_t world = {
            .table = new_table(counting), .counting = counting, .to_stage = UINT32_MAX};
        world.journal = rub_calloc(RECORDS, sizeof *world.journal);
        rub_rng_init(&world.rng, seed, 3);
        for (unsigned step = 0; step < 800; step++) {
            work(&world);
            if (rub_rng_below(&world.rng, 100) < 60) {
                checkpoint_step(&world);
            }
            if (rub_rng_below(&world.rng, 100) < 3) {
                rub_ptable_t *back = recover(&world, step % 2 == 0);
                expect_equal(world.table, back);
                rub_ptable_destroy(&world.table);
                world.table = back;
                world.to_stage = UINT32_MAX; /* what was under way is forgotten */
            }
        }
        rub_ptable_t *whole = new_table(counting); /* and from the very beginning */
        rub_ptable_set_recovering(whole, true);
        for (size_t i = 0; i < world.n_journal; i++) {
            apply(whole, &world.journal[i]);
        }
        expect_equal(world.table, whole);
        n_deleted += world.n_deleted;
        for (size_t i = 0; i < CHUNKS; i++) {
            rub_free(world.store[i].bytes);
        }
        rub_free(world.counts);
        rub_free(world.next_counts);
        rub_ptable_destroy(&whole);
        rub_ptable_destroy(&world.table);
        rub_free(world.journal);
    }
    assert_true(n_deleted > 10000);
}

/* A key that came back in another chunk is in the store twice when the process dies between the two
 * chunks. The next checkpoint rids the store of the old one, before the new one's row is deleted
 * and its record forgotten. */
static void a_row_that_was_deleted_does_not_rise_from_an_old_chunk(void **state)
{
    (void)state;
    const uint64_t key = 5;
    for (int order = 0; order <= 1; order++) {
        const rub_eviction_t policy = {1, 0, 1};
        rub_ptable_t *table = evicting(2, RUB_ADD, policy);
        push_at(table, key, 1, 0, 10);
        push_at(table, 6, 1, 90, 10);
        staged_t store[2] = {stage(table, 0, 10)};
        rub_ptable_destroy(&table);

        table = evicting(2, RUB_ADD, policy);
        rub_ptable_set_recovering(table, true);
        load(table, store[0]);
        assert_int_equal(delete_keys(table, &key, 1, 9, 20, NULL), 0);
        push_at(table, key, 4, 10, 30);
        store[1] = stage(table, 1, 35);
        rub_ptable_destroy(&table);

        table = evicting(2, RUB_ADD, policy);
        rub_ptable_set_recovering(table, true);
        load(table, store[order]);
        load(table, store[1 - order]);
        assert_int_equal(delete_keys(table, &key, 1, 9, 20, NULL), 0);
        push_at(table, key, 4, 10, 30);
        rub_ptable_set_recovering(table, false);
        assert_int_equal(rub_ptable_rows(table), 2);
        for (uint32_t chunk = 0; rub_ptable_next_dirty(table, &chunk); chunk++) {
            rub_free(store[chunk].bytes);
            store[chunk] = stage(table, chunk, 40);
        }
        assert_int_equal(delete_keys(table, &key, 1, 50, 50, NULL), 0);
        for (uint32_t chunk = 0; rub_ptable_next_dirty(table, &chunk); chunk++) {
            rub_free(store[chunk].bytes);
            store[chunk] = stage(table, chunk, 55);
        }
        rub_ptable_destroy(&table);

        float values[2];
        table = evicting(2, RUB_ADD, policy);
        rub_ptable_set_recovering(table, true);
        load(table, store[0]);
        load(table, store[1]);
        rub_ptable_set_recovering(table, false);
        assert_false(pull_key(table, key, values));
        assert_true(pull_key(table, 6, values));
        rub_ptable_destroy(&table);
        rub_free(store[0].bytes);
        rub_free(store[1].bytes);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_row_that_was_deleted_does_not_rise_from_an_old_chunk),
        cmocka_unit_test(kills_at_any_moment_leave_the_same_rows),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
