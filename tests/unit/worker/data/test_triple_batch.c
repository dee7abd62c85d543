/* Batches of triples: rows stand for what the triples say, sides take turns, and draws follow from
 * seed, epoch and place. */
#include "worker/data/triple_batch.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

enum { ENTITIES = 50, RELATIONS = 4, TRIPLES = 90, CHUNK = 8, UNIFORM = 5, FROM_CHUNK = 3 };

typedef struct example {
    rub_triple_t triples[TRIPLES];
    uint32_t order[TRIPLES], entities[ENTITIES], relations[RELATIONS];
    rub_triple_batch_t *batch;
} example_t;

static void set_up(example_t *e, uint64_t seed)
{
    const rub_negative_plan_t plan = {.seed = seed,
                                      .n_entities = ENTITIES,
                                      .chunk = CHUNK,
                                      .uniform = UNIFORM,
                                      .from_chunk = FROM_CHUNK};
    for (uint32_t i = 0; i < TRIPLES; i++) {
        e->triples[i] = (rub_triple_t){i * 7 % ENTITIES, i % RELATIONS, (i * 13 + 5) % ENTITIES};
        e->order[i] = (i * 11 + 3) % TRIPLES;
    }
    memset(e->entities, 0xff, sizeof e->entities);
    memset(e->relations, 0xff, sizeof e->relations);
    e->batch = rub_triple_batch_new(&plan, 30, RELATIONS);
    assert_non_null(e->batch);
}

static void fill(example_t *e, uint64_t epoch, size_t first, size_t count)
{
    rub_triple_batch_fill(e->batch, e->triples, e->order, epoch, first, count, e->entities,
                          e->relations);
}

static void rows_stand_for_the_triples_and_each_key_once(void **state)
{
    (void)state;
    example_t e;
    set_up(&e, 1);
    fill(&e, 0, 16, 30);
    const rub_triple_batch_t *b = e.batch;
    assert_int_equal(b->n, 30);
    assert_int_equal(b->n_chunks, 4);
    for (size_t i = 0; i < b->n; i++) {
        const rub_triple_t *triple = &e.triples[e.order[16 + i]];
        assert_int_equal(b->entities[b->heads[i]], triple->head);
        assert_int_equal(b->entities[b->tails[i]], triple->tail);
        assert_int_equal(b->relation_keys[b->relations[i]], triple->relation);
    }
    for (size_t i = 0; i < b->n_entities; i++) {
        for (size_t j = 0; j < i; j++) {
            assert_true(b->entities[i] != b->entities[j]);
        }
    }
    for (size_t i = 0; i < ENTITIES; i++) {
        assert_int_equal(e.entities[i], RUB_NO_WORD);
    }
    for (size_t i = 0; i < RELATIONS; i++) {
        assert_int_equal(e.relations[i], RUB_NO_WORD);
    }
    rub_triple_batch_destroy(&e.batch);
}

static void negatives_are_rows_and_the_chunks_own_stand_on_the_corrupted_side(void **state)
{
    (void)state;
    example_t e;
    set_up(&e, 2);
    fill(&e, 3, 8, 27);
    const rub_triple_batch_t *b = e.batch;
    for (size_t c = 0; c < b->n_chunks; c++) {
        const size_t first = c * CHUNK, end = first + CHUNK < b->n ? first + CHUNK : b->n;
        const uint32_t *side = b->corrupts_heads[c] ? b->heads : b->tails;
        const uint32_t *negatives = b->negatives + c * (UNIFORM + FROM_CHUNK);
        for (size_t j = 0; j < UNIFORM + FROM_CHUNK; j++) {
            bool own = false;
            assert_true(negatives[j] < b->n_entities);
            for (size_t i = first; i < end; i++) {
                own = own || side[i] == negatives[j];
            }
            assert_true(j < UNIFORM || own);
        }
    }
    rub_triple_batch_destroy(&e.batch);
}

static void sides_take_turns_from_chunk_to_chunk_and_from_epoch_to_epoch(void **state)
{
    (void)state;
    example_t e;
    set_up(&e, 3);
    for (uint64_t epoch = 0; epoch < 2; epoch++) {
        for (size_t first = 0; first < 48; first += 24) {
            fill(&e, epoch, first, 24);
            for (size_t c = 0; c < e.batch->n_chunks; c++) {
                assert_int_equal(e.batch->corrupts_heads[c], (first / CHUNK + c + epoch) % 2);
            }
        }
    }
    rub_triple_batch_destroy(&e.batch);
}

static void draws_follow_from_seed_epoch_and_place(void **state)
{
    (void)state;
    example_t a, b;
    uint64_t drawn[4 * (UNIFORM + FROM_CHUNK)];
    const size_t n = sizeof drawn / sizeof *drawn;
    set_up(&a, 5);
    set_up(&b, 6);
    fill(&a, 0, 0, 30);
    for (size_t i = 0; i < n; i++) {
        drawn[i] = a.batch->entities[a.batch->negatives[i]];
    }
    fill(&a, 1, 0, 30);
    fill(&a, 0, 30, 30);
    fill(&a, 0, 0, 30);
    size_t other_seed = 0;
    fill(&b, 0, 0, 30);
    for (size_t i = 0; i < n; i++) {
        assert_int_equal(drawn[i], a.batch->entities[a.batch->negatives[i]]);
        other_seed += drawn[i] != b.batch->entities[b.batch->negatives[i]];
    }
    assert_true(other_seed > n / 2);
    rub_triple_batch_destroy(&a.batch);
    rub_triple_batch_destroy(&b.batch);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_stand_for_the_triples_and_each_key_once),
        cmocka_unit_test(negatives_are_rows_and_the_chunks_own_stand_on_the_corrupted_side),
        cmocka_unit_test(sides_take_turns_from_chunk_to_chunk_and_from_epoch_to_epoch),
        cmocka_unit_test(draws_follow_from_seed_epoch_and_place),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
