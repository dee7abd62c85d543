/* A shard's folder is opened whole or not at all: store and journal must belong together. */
#include "tests/unit/ps/shard_fixture.h"

#include "ps/open_store.h"

#include <unistd.h>

typedef struct place {
    char folder[64];
    rub_shard_store_t store;
    fx_t fx; /* whose checkpoint is in the store */
    rub_shard_t *shard;
    rub_error_t err;
} place_t;

static int no_journal(void *context, uint64_t lsn, rub_record_type_t type, const rub_span_t *parts,
                      size_t n_parts)
{
    RUB_UNUSED(context);
    RUB_UNUSED(lsn);
    RUB_UNUSED(type);
    RUB_UNUSED(parts);
    RUB_UNUSED(n_parts);
    return 0;
}

static void open_folder(place_t *place)
{
    assert_int_equal(
        rub_shard_store_open(place->folder, 0, 64 * 1024, "me:1", &place->store, &place->err), 0);
}

/* An exact checkpoint of some work, as the storage thread commits it. */
static int setup(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    snprintf(place->folder, sizeof(place->folder), "/tmp/rub-open-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    fx_open(&place->fx, 1, 4);
    fx_push(&place->fx, 100, 1, 0, 7, 1.0F);
    fx_tick(&place->fx, 1000);
    assert_true(place->fx.state_staged);
    open_folder(place);
    const uint8_t incarnation[8] = {1};
    rub_store_t *lmdb = place->store.lmdb;
    assert_int_equal(rub_store_begin(lmdb, NULL), 0);
    for (size_t i = 0; i < place->fx.n_staged; i++) {
        const fx_chunk_t *chunk = &place->fx.staged[i];
        rub_store_put_chunk(lmdb, chunk->table, chunk->chunk, chunk->bytes, chunk->n_bytes);
    }
    rub_store_put_state(lmdb, RUB_STATE_CORE, place->fx.next_state, place->fx.n_next_state);
    rub_store_put_state(lmdb, RUB_STATE_INCARNATION, incarnation, sizeof(incarnation));
    assert_int_equal(rub_store_commit(lmdb, NULL), 0);
    const rub_shard_effects_t effects = {.journal = no_journal};
    place->shard = rub_shard_new(&place->fx.config, &effects);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    place_t *place = *state;
    char command[100];
    rub_shard_destroy(&place->shard);
    fx_close(&place->fx);
    rub_shard_store_close(&place->store);
    snprintf(command, sizeof(command), "rm -rf %s", place->folder);
    assert_int_equal(system(command), 0);
    free(place);
    return 0;
}

static void append(place_t *place, uint64_t lsn)
{
    const uint8_t bytes[8] = {0};
    const rub_span_t part = {bytes, sizeof(bytes)};
    assert_int_equal(rub_journal_append(place->store.journal, lsn, RUB_RECORD_SYNC, &part, 1, NULL),
                     0);
    assert_int_equal(rub_journal_write(place->store.journal, NULL), 0);
}

static int recover(place_t *place)
{
    rub_shard_store_close(&place->store);
    open_folder(place);
    return rub_shard_store_recover(&place->store, place->shard, 0, NULL, &place->err);
}

static void store_and_its_journal_come_back_together(void **state)
{
    place_t *place = *state;
    append(place, place->fx.next_redo);
    assert_int_equal(recover(place), 0);
    assert_true(rub_shard_digest(place->shard) == rub_shard_digest(place->fx.shard));
    assert_true(rub_shard_lsn(place->shard) == place->fx.next_redo);
}

static void journal_that_is_gone_is_corruption(void **state)
{
    place_t *place = *state;
    assert_int_equal(recover(place), RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "ends at lsn 0"));
}

static void journal_that_ends_before_the_redo_point_is_corruption(void **state)
{
    place_t *place = *state;
    append(place, place->fx.next_redo - 1);
    assert_int_equal(recover(place), RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "its store needs it"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(store_and_its_journal_come_back_together, setup, teardown),
        cmocka_unit_test_setup_teardown(journal_that_is_gone_is_corruption, setup, teardown),
        cmocka_unit_test_setup_teardown(journal_that_ends_before_the_redo_point_is_corruption,
                                        setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
