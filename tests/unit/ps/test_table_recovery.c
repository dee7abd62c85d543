/* Write-back and redo: whatever was staged when, loading and replaying gives the same rows. */
#include "tests/unit/ps/table_fixture.h"

#include "common/base/rng.h"

static void staging_cleans_and_touching_soils(void **state)
{
    (void)state;
    rub_ptable_t *table = table_of(RUB_HASHED, 4, RUB_ADAGRAD);
    staged_t chunks[64];
    uint32_t chunk = 0;
    assert_false(rub_ptable_next_dirty(table, &chunk));
    assert_int_equal(rub_ptable_dirty_bytes(table), 0);
    for (uint64_t key = 0; key < 10000; key++) {
        push_key(table, key, 1.0f, key + 1);
    }
    const size_t bound = rub_ptable_dirty_bytes(table);
    const size_t n = sweep(table, 10000, chunks, 64);
    size_t bytes = 0;
    assert_true(n > 2);
    for (size_t i = 0; i < n; i++) {
        uint32_t id;
        assert_int_equal(rub_chunk_table_id(chunks[i].bytes, chunks[i].n_bytes, &id, NULL), 0);
        assert_int_equal(id, 3);
        bytes += chunks[i].n_bytes;
        rub_free(chunks[i].bytes);
    }
    assert_true(bytes <= bound);
    assert_false(rub_ptable_dirty(table));
    push_key(table, 9999, 1.0f, 10001);
    assert_true(rub_ptable_dirty(table));
    assert_int_equal(sweep(table, 10001, chunks, 64), 1);
    rub_free(chunks[0].bytes);
    rub_ptable_destroy(&table);
}

static void a_row_born_after_its_chunk_was_staged_takes_every_record(void **state)
{
    (void)state;
    rub_ptable_t *live = table_of(RUB_HASHED, 2, RUB_MOMENTUM);
    rub_ptable_t *again = table_of(RUB_HASHED, 2, RUB_MOMENTUM);
    push_key(live, 1, 1.0f, 10);
    const staged_t old = stage(live, 0, 15); /* lsn of the copying, above the last touch */
    push_key(live, 2, 1.0f, 16);             /* born in chunk 0, which the store knows without it */
    push_key(live, 1, 2.0f, 17);

    rub_ptable_set_recovering(again, true);
    load(again, old);
    push_key(again, 1, 1.0f, 10); /* passed over: in the chunk already */
    push_key(again, 2, 1.0f, 16);
    push_key(again, 1, 2.0f, 17);
    rub_ptable_set_recovering(again, false);
    assert_int_equal(rub_ptable_digest(live), rub_ptable_digest(again));

    /* The newborn went into a chunk of its own: were it put into chunk 0, a later recovery would
     * believe lsn 15. */
    uint32_t chunk = 0;
    assert_true(rub_ptable_next_dirty(again, &chunk));
    chunk++;
    assert_true(rub_ptable_next_dirty(again, &chunk));
    const staged_t newborn = stage(again, chunk, 20);
    rub_chunk_table_id(newborn.bytes, newborn.n_bytes, &chunk, NULL);

    rub_ptable_t *third = table_of(RUB_HASHED, 2, RUB_MOMENTUM);
    rub_ptable_set_recovering(third, true);
    load(third, newborn);
    load(third, old);
    push_key(third, 1, 1.0f, 10);
    push_key(third, 2, 1.0f, 16); /* passed over: its chunk has lsn 20 */
    push_key(third, 1, 2.0f, 17);
    rub_ptable_set_recovering(third, false);
    assert_int_equal(rub_ptable_digest(live), rub_ptable_digest(third));
    rub_free(old.bytes);
    rub_free(newborn.bytes);
    rub_ptable_destroy(&live);
    rub_ptable_destroy(&again);
    rub_ptable_destroy(&third);
}

/* Chunk 1 of a table whose chunk 0 was loaded: where a recovery puts key 5. */
static staged_t chunk_one_with_key(uint64_t key, float value, staged_t chunk_zero, uint64_t lsn)
{
    rub_ptable_t *table = table_of(RUB_HASHED, 2, RUB_ADD);
    rub_ptable_set_recovering(table, true);
    load(table, chunk_zero);
    push_key(table, key, value, lsn);
    const staged_t staged = stage(table, 1, lsn);
    rub_ptable_destroy(&table);
    return staged;
}

static void a_key_found_twice_belongs_to_the_greater_lsn(void **state)
{
    (void)state;
    rub_ptable_t *other = table_of(RUB_HASHED, 2, RUB_ADD);
    push_key(other, 1, 1.0f, 1);
    const staged_t base = stage(other, 0, 1);
    const staged_t chunk_one = chunk_one_with_key(5, 8.0f, base, 50);
    float got[2], touch[2];
    pull_key(other, 5, touch);
    for (int newer_is_zero = 0; newer_is_zero <= 1; newer_is_zero++) {
        rub_ptable_t *writer = table_of(RUB_HASHED, 2, RUB_ADD);
        push_key(writer, 1, 1.0f, 1);
        push_key(writer, 5, 4.0f, 40);
        const staged_t chunk_zero = stage(writer, 0, newer_is_zero ? 60 : 45);
        for (int order = 0; order <= 1; order++) {
            rub_ptable_t *table = table_of(RUB_HASHED, 2, RUB_ADD);
            rub_ptable_set_recovering(table, true);
            load(table, order ? chunk_one : chunk_zero);
            load(table, order ? chunk_zero : chunk_one);
            rub_ptable_set_recovering(table, false);
            assert_int_equal(rub_ptable_rows(table), 2);
            assert_true(pull_key(table, 5, got));
            assert_true(got[0] == touch[0] + (newer_is_zero ? 4.0f : 8.0f));
            const uint64_t digest = rub_ptable_digest(table);

            /* Staged again and loaded again, the dead row is gone. */
            staged_t staged[4];
            push_key(table, 1, 0.0f, 70);
            push_key(table, 5, 0.0f, 71);
            assert_int_equal(digest, rub_ptable_digest(table));
            const size_t n = sweep(table, 71, staged, 4);
            rub_ptable_t *last = table_of(RUB_HASHED, 2, RUB_ADD);
            for (size_t i = 0; i < n; i++) {
                load(last, staged[i]);
                rub_free(staged[i].bytes);
            }
            assert_int_equal(rub_ptable_rows(last), 2);
            assert_int_equal(rub_ptable_digest(last), digest);
            rub_ptable_destroy(&last);
            rub_ptable_destroy(&table);
        }
        rub_free(chunk_zero.bytes);
        rub_ptable_destroy(&writer);
    }
    rub_free(base.bytes);
    rub_free(chunk_one.bytes);
    rub_ptable_destroy(&other);
}

static int load_patched(staged_t good, size_t offset, uint8_t xor, size_t n_bytes)
{
    rub_ptable_t *table = table_on(RUB_HASHED, 2, RUB_SGD, 0, 2);
    uint8_t *bytes = rub_alloc(good.n_bytes);
    rub_error_t err;
    memcpy(bytes, good.bytes, good.n_bytes);
    bytes[offset] ^= xor;
    const int rc = rub_ptable_load(table, bytes, n_bytes, &err);
    rub_free(bytes);
    rub_ptable_destroy(&table);
    return rc;
}

static void damaged_chunks_are_refused(void **state)
{
    (void)state;
    rub_ptable_t *table = table_on(RUB_HASHED, 2, RUB_SGD, 0, 2);
    rub_ptable_t *dense = table_of(RUB_DENSE, 10, RUB_SGD);
    uint64_t key = 0;
    while (rub_placement_shard_of_key(
               &(rub_placement_t){.salt = rub_hash_bytes("weights", 7), .n_shards = 2}, key) != 0) {
        key++;
    }
    push_key(table, key, 1.0f, 1);
    const staged_t good = stage(table, 0, 1);
    rub_error_t err;
    assert_int_equal(load_patched(good, 0, 0, good.n_bytes), 0);
    assert_int_equal(load_patched(good, 0, 1, good.n_bytes), RUB_ECORRUPT);    /* magic */
    assert_int_equal(load_patched(good, 4, 2, good.n_bytes), RUB_ECORRUPT);    /* version */
    assert_int_equal(load_patched(good, 8, 1, good.n_bytes), RUB_ECORRUPT);    /* table */
    assert_int_equal(load_patched(good, 15, 255, good.n_bytes), RUB_ECORRUPT); /* chunk number */
    assert_int_equal(load_patched(good, 16, 1, good.n_bytes), RUB_ECORRUPT);   /* lsn 0 */
    assert_int_equal(load_patched(good, 24, 3, good.n_bytes), RUB_ECORRUPT);   /* rows */
    assert_int_equal(load_patched(good, 28, 4, good.n_bytes), RUB_ECORRUPT);   /* row bytes */
    assert_int_equal(load_patched(good, 0, 0, good.n_bytes - 1), RUB_ECORRUPT);
    assert_int_equal(load_patched(good, 0, 0, 7), RUB_ECORRUPT);
    assert_int_equal(rub_ptable_load(table, good.bytes, good.n_bytes, &err), RUB_ECORRUPT);
    assert_int_equal(rub_ptable_load(dense, good.bytes, good.n_bytes, &err), RUB_ECORRUPT);
    rub_ptable_t *other = table_on(RUB_HASHED, 2, RUB_SGD, 1, 2);
    assert_int_equal(rub_ptable_load(other, good.bytes, good.n_bytes, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "not of shard 1"));
    rub_free(good.bytes);
    rub_ptable_destroy(&table);
    rub_ptable_destroy(&dense);
    rub_ptable_destroy(&other);
}

/* The store's checksum stands before this; a chunk that passes it by mistake must still not break
 * the process. */
static void any_bytes_are_loaded_or_refused(void **state)
{
    (void)state;
    rub_ptable_t *writer = table_of(RUB_HASHED, 2, RUB_ADAM);
    rub_rng_t rng;
    int refused = 0;
    rub_rng_init(&rng, 8, 0);
    for (uint64_t key = 0; key < 20; key++) {
        push_key(writer, key, 1.0f, key + 1);
    }
    const staged_t good = stage(writer, 0, 20);
    for (int turn = 0; turn < 2000; turn++) {
        rub_ptable_t *table = table_of(RUB_HASHED, 2, RUB_ADAM);
        const size_t n_bytes = turn % 4 ? good.n_bytes : rub_rng_below(&rng, good.n_bytes);
        uint8_t *bytes = rub_alloc(n_bytes);
        memcpy(bytes, good.bytes, n_bytes);
        for (int flips = 0; flips < 3 && n_bytes > 0; flips++) {
            const size_t range = n_bytes < 60 ? n_bytes : 60; /* the header and the first rows */
            bytes[rub_rng_below(&rng, range)] ^= (uint8_t)(1u << rub_rng_below(&rng, 8));
        }
        const int rc = rub_ptable_load(table, bytes, n_bytes, NULL);
        assert_true(rc == 0 || rc == RUB_ECORRUPT);
        refused += rc != 0;
        (void)rub_ptable_digest(table);
        rub_free(bytes);
        rub_ptable_destroy(&table);
    }
    assert_true(refused > 1000);
    rub_free(good.bytes);
    rub_ptable_destroy(&writer);
}

/* ---- a whole life with crashes: a journal, a store of chunks, a fuzzy checkpoint ---- */

enum { LIFE = 4000, WIDTH = 4, KEYS = 3000, STORE = 64, BLOCKS = 9 };
enum { TABLE_ELEMENTS = (BLOCKS - 1) * RUB_BLOCK + 100 };

typedef struct life {
    rub_table_kind_t kind;
    rub_optimizer_kind_t optimizer;
    rub_ptable_t *table;
    rub_rng_t rng;
    struct {
        uint64_t key; /* or block */
        float value;
    } journal[LIFE + 1];   /* index = lsn */
    staged_t store[STORE]; /* index = chunk */
    uint64_t redo;
    bool checkpointing;
    uint64_t begin;
    uint32_t next_chunk;
} life_t;

static void life_apply(life_t *life, rub_ptable_t *table, uint64_t lsn)
{
    static float block[RUB_BLOCK];
    const uint64_t key = life->journal[lsn].key;
    if (life->kind == RUB_HASHED) {
        push_key(table, key, life->journal[lsn].value, lsn);
        return;
    }
    for (size_t i = 0; i < RUB_BLOCK; i++) {
        block[i] = life->journal[lsn].value;
    }
    push(table, range_push(key * RUB_BLOCK, key + 1 < BLOCKS ? RUB_BLOCK : 100, block), lsn);
}

/* One more chunk of the checkpoint under way; each is committed at once, the redo point when all
 * are. */
static void life_checkpoint(life_t *life, uint64_t lsn)
{
    if (!life->checkpointing) {
        life->checkpointing = true;
        life->begin = lsn;
        life->next_chunk = 0;
    }
    if (!rub_ptable_next_dirty(life->table, &life->next_chunk)) {
        life->checkpointing = false;
        life->redo = life->begin;
        return;
    }
    const uint32_t chunk = life->next_chunk++;
    assert_true(chunk < STORE);
    rub_free(life->store[chunk].bytes);
    life->store[chunk] = stage(life->table, chunk, lsn);
}

static rub_ptable_t *life_table(const life_t *life)
{
    return table_of(life->kind, life->kind == RUB_HASHED ? WIDTH : TABLE_ELEMENTS, life->optimizer);
}

static void life_crash(life_t *life, uint64_t lsn)
{
    rub_ptable_t *table = life_table(life);
    const uint32_t turn = (uint32_t)rub_rng_below(&life->rng, STORE);
    rub_ptable_set_recovering(table, true);
    for (uint32_t i = 0; i < STORE; i++) {
        const staged_t chunk = life->store[(i + turn) % STORE];
        if (chunk.bytes != NULL) {
            load(table, chunk);
        }
    }
    for (uint64_t l = life->redo + 1; l <= lsn; l++) {
        life_apply(life, table, l);
    }
    rub_ptable_set_recovering(table, false);
    assert_int_equal(rub_ptable_digest(table), rub_ptable_digest(life->table));
    assert_int_equal(rub_ptable_rows(table), rub_ptable_rows(life->table));
    rub_ptable_destroy(&life->table);
    life->table = table;
    life->checkpointing = false;
}

static void live(rub_table_kind_t kind, rub_optimizer_kind_t optimizer, uint64_t seed)
{
    static life_t life;
    life = (life_t){.kind = kind, .optimizer = optimizer};
    life.table = life_table(&life);
    rub_rng_init(&life.rng, seed, 0);
    rub_ptable_t *never_crashed = life_table(&life);
    const uint64_t lsns = kind == RUB_HASHED ? LIFE : LIFE / 10;
    for (uint64_t lsn = 1; lsn <= lsns; lsn++) {
        const uint64_t bound = kind == RUB_DENSE ? BLOCKS : 1 + KEYS * lsn / lsns;
        life.journal[lsn].key = rub_rng_below(&life.rng, bound);
        life.journal[lsn].value = (float)rub_rng_below(&life.rng, 100) / 50.0f - 1.0f;
        life_apply(&life, life.table, lsn);
        life_apply(&life, never_crashed, lsn);
        if (rub_rng_below(&life.rng, 20) == 0) {
            life_checkpoint(&life, lsn);
        }
        if (rub_rng_below(&life.rng, 100) == 0) {
            life_crash(&life, lsn);
        }
    }
    assert_int_equal(rub_ptable_digest(life.table), rub_ptable_digest(never_crashed));
    for (size_t i = 0; i < STORE; i++) {
        rub_free(life.store[i].bytes);
    }
    rub_ptable_destroy(&life.table);
    rub_ptable_destroy(&never_crashed);
}

static void crashes_at_any_point_of_a_fuzzy_checkpoint_lose_nothing(void **state)
{
    (void)state;
    for (uint64_t seed = 0; seed < 4; seed++) {
        live(RUB_HASHED, RUB_ADAM, seed);
        live(RUB_HASHED, RUB_ADD, seed);
        live(RUB_DENSE, RUB_MOMENTUM, seed);
        live(RUB_DENSE, RUB_ADAM, seed);
    }
    live(RUB_HASHED, RUB_ROWWISE_ADAGRAD, 1);
    live(RUB_DENSE, RUB_AMSGRAD, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(staging_cleans_and_touching_soils),
        cmocka_unit_test(a_row_born_after_its_chunk_was_staged_takes_every_record),
        cmocka_unit_test(a_key_found_twice_belongs_to_the_greater_lsn),
        cmocka_unit_test(damaged_chunks_are_refused),
        cmocka_unit_test(any_bytes_are_loaded_or_refused),
        cmocka_unit_test(crashes_at_any_point_of_a_fuzzy_checkpoint_lose_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
