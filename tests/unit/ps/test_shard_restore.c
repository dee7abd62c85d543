/* A snapshot becomes the stores of a new job on any number of shards, and a replay finds every
 * difference. */
#include "common/base/error.h"
#include "common/wire/placement.h"
#include "common/wire/table_schema.h"
#include "ps/open_store.h"
#include "ps/shard_internal.h"
#include "ps/shard_replay.h"
#include "ps/snapshot_part.h"
#include "ps/stored_weights.h"
#include "ps/warm_snapshot.h"
#include "tests/unit/ps/fold_fixture.h"

enum { PARTS = 2, PERIODS = 6, NEW_JOB = 91 };

typedef struct place {
    char folder[64];
    rub_manifest_t manifest;
    rub_manifest_part_t parts[PARTS];
    rub_manifest_rank_t ranks[2];
    rub_error_t err;
} place_t;

static rub_table_view_t table_view(uint32_t id)
{
    return id == DENSE
               ? (rub_table_view_t){.id = DENSE, .name = "dense", .elements = 2 * RUB_BLOCK}
               : (rub_table_view_t){.id = LEDGER, .name = "ledger", .kind = RUB_HASHED, .width = 2};
}

/* Work of two ranks on shard `shard` of two, and the part of it below clock PERIODS. knows_ledger:
 * else its view does not have that table yet. */
static void make_part(place_t *place, uint32_t shard, bool knows_ledger)
{
    const rub_table_view_t dense = table_view(DENSE), ledger = table_view(LEDGER);
    rub_placement_t blocks, keys;
    fx_t fx;
    assert_int_equal(rub_placement_init(&blocks, &dense, PARTS, NULL), 0);
    assert_int_equal(rub_placement_init(&keys, &ledger, PARTS, NULL), 0);
    fx_open(&fx, 2, 4);
    rub_shard_destroy(&fx.shard); /* opened as shard 0 of 1: once more, as what it is to be */
    for (size_t i = 0; i < fx.n_journal; i++) {
        rub_free(fx.journal[i].bytes);
    }
    fx.n_journal = 0;
    fx.sync_lsn = 0;
    fx_forget_sent(&fx);
    fx.config.shard = shard;
    fx.config.n_shards = PARTS;
    fx.n_tables = knows_ledger ? 2 : 1;
    fx.version = knows_ledger ? 5 : 1;
    fx_new_shard(&fx);
    assert_int_equal(rub_shard_open(fx.shard, 1, fx.now, NULL), 0);
    fx_view(&fx);
    fx_hello(&fx, 100, 0, 1);
    fx_hello(&fx, 101, 1, 1);
    uint64_t seqs[2] = {1, 1};
    for (uint64_t clock = 0; clock < PERIODS + 1; clock++) {
        for (uint32_t rank = 0; rank < 2; rank++) {
            const uint64_t block = rub_placement_shard_of_block(&blocks, 0) == shard ? 0 : 1;
            fx_push_block(&fx, 100 + rank, seqs[rank]++, clock, block,
                          0.01F * (float)(rank + clock + 1));
            for (uint64_t key = clock * 40; key < clock * 40 + 60; key++) {
                if (knows_ledger && rub_placement_shard_of_key(&keys, key) == shard) {
                    fx_push(&fx, 100 + rank, seqs[rank]++, clock, key, (float)(rank + 1));
                }
            }
            fx_say(&fx, 100 + rank, RUB_MSG_CLOCK, seqs[rank]++, clock + 1);
        }
    }
    assert_int_equal(rub_shard_done(fx.shard, 1), PERIODS + 1);
    const rub_fold_rank_t ranks[] = {{0, 1, PERIODS}, {1, 1, PERIODS}};
    const rub_fold_cut_t cut = {.pin_lsn = 1, .ranks = ranks, .n_ranks = 2};
    rub_fold_result_t result;
    if (ff_fold(&fx, place->folder, &cut, &result, &place->err) != 0) {
        fail_msg("%s", place->err.message);
    }
    place->parts[shard] =
        (rub_manifest_part_t){result.n_bytes, result.hash, result.rows, result.digest};
    fx_close(&fx);
}

static int setup(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    snprintf(place->folder, sizeof(place->folder), "/tmp/rub-restore-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    place->ranks[0] = (rub_manifest_rank_t){0, 1, PERIODS};
    place->ranks[1] = (rub_manifest_rank_t){1, 1, PERIODS};
    place->manifest = (rub_manifest_t){.number = 1,
                                       .job = JOB,
                                       .n_workers = 2,
                                       .n_shards = PARTS,
                                       .staleness = 4,
                                       .seed = 5,
                                       .parts = place->parts,
                                       .ranks = place->ranks,
                                       .n_ranks = 2};
    make_part(place, 0, true);
    make_part(place, 1, true);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    place_t *place = *state;
    (void)rub_fs_remove_tree(place->folder, NULL);
    free(place);
    return 0;
}

static rub_restore_job_t job_of(const place_t *place, uint32_t n_shards, uint32_t n_workers)
{
    return (rub_restore_job_t){.snapshot = place->folder,
                               .manifest = &place->manifest,
                               .job = NEW_JOB,
                               .n_shards = n_shards,
                               .n_workers = n_workers,
                               .staleness = 4,
                               .clock = PERIODS};
}

static void expect_no_difference(const rub_shard_t *a, const rub_shard_t *b)
{
    rub_buf_t sentence;
    bool differs = true;
    rub_buf_init(&sentence);
    assert_int_equal(rub_replay_compare(a, b, &differs, &sentence, NULL), 0);
    rub_buf_u8(&sentence, 0);
    if (differs) {
        fail_msg("%s", (const char *)sentence.data);
    }
    rub_buf_fini(&sentence);
}

static void rows_are_neither_lost_nor_doubled_on_any_number_of_shards(void **state)
{
    place_t *place = *state;
    const uint32_t numbers[] = {1, 2, 3, 5};
    const uint64_t rows = place->parts[0].rows + place->parts[1].rows;
    const uint64_t digest = place->parts[0].digest + place->parts[1].digest;
    assert_true(rows > 200);
    for (size_t i = 0; i < RUB_COUNT_OF(numbers); i++) {
        char store[100];
        uint64_t rows_there = 0, digest_there = 0;
        snprintf(store, sizeof(store), "%s/stores-%u", place->folder, numbers[i]);
        const rub_restore_job_t job = job_of(place, numbers[i], 3);
        for (uint32_t shard = 0; shard < numbers[i]; shard++) {
            rub_restored_t restored = {0};
            if (rub_restore_shard(&job, shard, store, &restored, &place->err) != 0) {
                fail_msg("%s", place->err.message);
            }
            rows_there += restored.rows;
            digest_there += restored.digest;
        }
        assert_int_equal(rows_there, rows);
        assert_true(digest_there == digest);
    }
}

static void a_table_that_one_part_does_not_know_yet_is_restored(void **state)
{
    place_t *place = *state;
    for (uint32_t late = 0; late < PARTS; late++) {
        const rub_restore_job_t job = job_of(place, 1, 2);
        rub_shard_t *core = NULL;
        make_part(place, late, false);
        make_part(place, 1 - late, true);
        if (rub_restore_core(&job, 0, &core, &place->err) != 0) {
            fail_msg("part %u: %s", late, place->err.message);
        }
        assert_int_equal(rub_shard_rows(core), place->parts[0].rows + place->parts[1].rows);
        assert_true(rub_shard_digest(core) == place->parts[0].digest + place->parts[1].digest);
        rub_shard_destroy(&core);
    }
}

static int drop_record(void *context, uint64_t lsn, rub_record_type_t type, const rub_span_t *parts,
                       size_t n_parts)
{
    RUB_UNUSED(context);
    RUB_UNUSED(lsn);
    RUB_UNUSED(type);
    RUB_UNUSED(parts);
    RUB_UNUSED(n_parts);
    return 0;
}

static size_t much_room(void *context)
{
    RUB_UNUSED(context);
    return 1u << 20;
}

static void a_restored_store_opens_at_the_clock_of_the_cut(void **state)
{
    place_t *place = *state;
    const rub_restore_job_t job = job_of(place, 3, 4);
    rub_restored_t restored = {0};
    rub_shard_store_t store;
    rub_log_t log;
    char folder[100];
    rub_log_init(&log, stderr, RUB_LOG_ERROR, "test");
    snprintf(folder, sizeof(folder), "%s/stores", place->folder);
    assert_int_equal(rub_restore_shard(&job, 2, folder, &restored, &place->err), 0);
    assert_int_equal(rub_restore_shard(&job, 2, folder, &restored, &place->err), RUB_EREFUSED);
    assert_int_equal(rub_shard_store_open(folder, 2, 8u << 20, "me:1", &store, &place->err), 0);
    const rub_shard_config_t config = {
        .shard = 2, .n_shards = 3, .durability = RUB_DURABILITY_JOURNAL, .limit_bytes = 1u << 30};
    const rub_shard_effects_t effects = {.journal = drop_record, .journal_room = much_room};
    rub_shard_t *shard = rub_shard_new(&config, &effects);
    if (rub_shard_store_recover(&store, shard, 2, &log, &place->err) != 0) {
        fail_msg("%s", place->err.message);
    }
    assert_true(rub_shard_digest(shard) == restored.digest);
    assert_int_equal(rub_shard_minimum(shard), PERIODS); /* of places that nobody has taken yet */
    assert_int_equal(rub_shard_done(shard, 3), PERIODS);
    rub_shard_destroy(&shard);
    rub_shard_store_close(&store);
}

static void what_is_restored_is_what_was_folded(void **state)
{
    place_t *place = *state;
    const rub_restore_job_t job = job_of(place, 1, 2);
    rub_shard_t *once = NULL, *stored = NULL;
    rub_restored_t restored;
    char store[100], folder[120];
    snprintf(store, sizeof(store), "%s/store", place->folder);
    snprintf(folder, sizeof(folder), "%s/shard-0", store);
    assert_int_equal(rub_restore_core(&job, 0, &once, &place->err), 0);
    assert_int_equal(rub_restore_shard(&job, 0, store, &restored, &place->err), 0);
    char journal[140];
    snprintf(journal, sizeof(journal), "%s/journal", folder);
    assert_int_equal(rub_fs_mkdirs(journal, NULL), 0);
    assert_int_equal(rub_replay_stored(folder, 0, 1, &stored, &place->err), 0);
    expect_no_difference(once, stored);
    uint32_t shard = 9, n_shards = 9;
    assert_int_equal(rub_replay_whose(folder, &shard, &n_shards, &place->err), 0);
    assert_int_equal(shard, 0);
    assert_int_equal(n_shards, 1);
    rub_shard_destroy(&once);
    rub_shard_destroy(&stored);
}

static void a_row_that_differs_is_named(void **state)
{
    place_t *place = *state;
    const rub_restore_job_t job = job_of(place, 1, 2);
    rub_shard_t *a = NULL, *b = NULL;
    bool differs = false;
    rub_buf_t sentence;
    rub_buf_init(&sentence);
    assert_int_equal(rub_restore_core(&job, 0, &a, &place->err), 0);
    place->parts[1] = place->parts[0]; /* a job of one part only: the other's rows are missing */
    place->manifest.n_shards = 1;
    assert_int_equal(rub_restore_core(&job, 0, &b, &place->err), 0);
    assert_int_equal(rub_replay_compare(a, b, &differs, &sentence, NULL), 0);
    rub_buf_u8(&sentence, 0);
    assert_true(differs);
    assert_non_null(strstr((const char *)sentence.data, "is only in what was replayed"));
    rub_buf_fini(&sentence);
    rub_shard_destroy(&a);
    rub_shard_destroy(&b);
}

static void a_part_that_is_not_the_manifests_is_refused(void **state)
{
    place_t *place = *state;
    const rub_restore_job_t job = job_of(place, 1, 2);
    rub_shard_t *core = NULL;
    place->parts[1].hash ^= 1;
    assert_int_equal(rub_restore_core(&job, 0, &core, &place->err), RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "is not the part that the manifest means"));
    assert_null(core);
    place->parts[1].hash ^= 1;
    char path[100], aside[100];
    snprintf(path, sizeof(path), "%s/shard-1", place->folder);
    snprintf(aside, sizeof(aside), "%s/aside", place->folder);
    assert_int_equal(rename(path, aside), 0);
    assert_int_equal(rub_restore_core(&job, 0, &core, &place->err), RUB_ESTORE);
    assert_int_equal(rename(aside, path), 0);
}

static void weights_at_rest_are_the_rows_of_all_parts_in_the_order_of_their_keys(void **state)
{
    place_t *place = *state;
    rub_weights_t weights, again;
    rub_weights_init(&weights);
    if (rub_weights_from_snapshot(place->folder, &place->manifest, &weights, &place->err) != 0) {
        fail_msg("%s", place->err.message);
    }
    const rub_weight_table_t *dense = rub_weights_find(&weights, "dense");
    const rub_weight_table_t *ledger = rub_weights_find(&weights, "ledger");
    assert_non_null(dense);
    assert_true(dense->dense);
    assert_int_equal(dense->n_rows, 2 * RUB_BLOCK);
    assert_non_null(ledger);
    assert_int_equal(ledger->width, 2);
    assert_int_equal(ledger->n_rows, place->parts[0].rows + place->parts[1].rows - 2);
    for (uint64_t i = 0; i < ledger->n_rows; i++) {
        assert_int_equal(ledger->keys[i],
                         i); /* each period pushed 60 keys from 40 times its clock on */
    }

    /* The same out of stores, of another number of shards. */
    const rub_restore_job_t job = job_of(place, 3, 2);
    char *folders[3], store[100];
    snprintf(store, sizeof(store), "%s/stores-at-rest", place->folder);
    for (uint32_t shard = 0; shard < 3; shard++) {
        rub_restored_t restored = {0};
        assert_int_equal(rub_restore_shard(&job, shard, store, &restored, &place->err), 0);
        folders[2 - shard] = rub_sprintf("%s/shard-%u", store, shard);
    }
    rub_weights_init(&again);
    if (rub_weights_from_stores(folders, 3, &again, &place->err) != 0) {
        fail_msg("%s", place->err.message);
    }
    const rub_weight_table_t *other = rub_weights_find(&again, "ledger");
    assert_int_equal(other->n_rows, ledger->n_rows);
    assert_memory_equal(other->values, ledger->values, (size_t)ledger->n_rows * 2 * sizeof(float));
    assert_memory_equal(rub_weights_find(&again, "dense")->values, dense->values,
                        2 * RUB_BLOCK * sizeof(float));
    rub_weights_fini(&again);

    /* One of them is not enough. */
    rub_weights_init(&again);
    assert_int_equal(rub_weights_from_stores(folders, 2, &again, &place->err), RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "of 3, of 2 stores together"));
    rub_weights_fini(&again);
    for (size_t i = 0; i < 3; i++) {
        rub_free(folders[i]);
    }
    rub_weights_fini(&weights);
}

static void weights_become_a_snapshot_that_is_restored_as_any_other(void **state)
{
    place_t *place = *state;
    rub_weights_t weights, again;
    char folder[100], path[120];
    rub_manifest_part_t part;
    rub_weights_init(&weights);
    rub_weights_init(&again);
    assert_int_equal(
        rub_weights_from_snapshot(place->folder, &place->manifest, &weights, &place->err), 0);
    snprintf(folder, sizeof(folder), "%s/warm", place->folder);
    assert_int_equal(rub_fs_mkdirs(folder, &place->err), 0);
    rub_table_view_t schemas[] = {table_view(DENSE), table_view(LEDGER)};
    rub_manifest_t manifest = place->manifest;
    manifest.n_shards = 1;
    manifest.n_ranks = 0;
    manifest.parts = &part;
    if (rub_warm_part_write(folder, &manifest, schemas, 2, &weights, &part, &place->err) != 0) {
        fail_msg("%s", place->err.message);
    }
    if (rub_weights_from_snapshot(folder, &manifest, &again, &place->err) != 0) {
        fail_msg("%s", place->err.message);
    }
    for (size_t t = 0; t < weights.n_tables; t++) {
        const rub_weight_table_t *one = &weights.tables[t];
        const rub_weight_table_t *other = rub_weights_find(&again, one->name);
        assert_int_equal(other->n_rows, one->n_rows);
        assert_memory_equal(other->values, one->values,
                            (size_t)one->n_rows * one->width * sizeof(float));
    }
    /* Another shape is no one's. */
    schemas[0].elements += RUB_BLOCK;
    snprintf(path, sizeof(path), "%s/shard-0", folder);
    assert_int_equal(
        rub_warm_part_write(folder, &manifest, schemas, 2, &weights, &part, &place->err),
        RUB_ECORRUPT);
    schemas[0].elements -= RUB_BLOCK;
    schemas[1].width++;
    assert_int_equal(
        rub_warm_part_write(folder, &manifest, schemas, 2, &weights, &part, &place->err),
        RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "rows 2 wide, expected 3"));
    assert_true(rub_fs_exists(path)); /* the one that was whole */
    rub_weights_fini(&again);
    rub_weights_fini(&weights);
}

static void push_once(rub_shard_t *core, uint64_t key, uint64_t lsn)
{
    uint8_t bytes[8];
    const float values[2] = {1, 1};
    rub_put_u64(bytes, key);
    const rub_push_view_t push = {
        .rows = {.keys = bytes, .n_keys = 1}, .values = values, .n_values = 2};
    assert_int_equal(rub_ptable_push(rub_shard_table(core, LEDGER), &push, lsn, NULL), 0);
}

static void counts_of_keys_without_rows_go_along(void **state)
{
    place_t *place = *state;
    enum { KEY = 123456789, SHARDS = 3 };
    char folder[100], path[120];
    rub_weights_t weights;
    rub_manifest_part_t part;
    rub_shard_t *core = NULL;
    rub_part_head_t head = {.n_shards = 1, .job = JOB};
    rub_table_view_t schema = table_view(LEDGER);
    rub_placement_t keys;
    rub_weights_init(&weights);
    schema.admit_count = 3;
    schema.admit_counters = RUB_ADMIT_COUNTERS_LEAST;
    snprintf(folder, sizeof(folder), "%s/counts", place->folder);
    assert_int_equal(rub_fs_mkdirs(folder, &place->err), 0);
    rub_manifest_t manifest = place->manifest;
    manifest.n_shards = 1;
    manifest.n_ranks = 0;
    manifest.parts = &part;
    assert_int_equal(rub_weights_from_snapshot(place->folder, &place->manifest, &weights, NULL), 0);
    assert_int_equal(rub_warm_part_write(folder, &manifest, &schema, 1, &weights, &part, NULL), 0);
    rub_restore_job_t job = job_of(place, 1, 2);
    job.snapshot = folder;
    job.manifest = &manifest;
    assert_int_equal(rub_restore_core(&job, 0, &core, &place->err), 0);
    const uint64_t rows = rub_shard_rows(core);
    push_once(core, KEY, 2);
    push_once(core, KEY, 3);
    assert_int_equal(rub_shard_rows(core), rows);
    snprintf(path, sizeof(path), "%s/shard-0", folder);
    assert_int_equal(rub_fs_remove_tree(path, NULL), 0);
    assert_int_equal(
        rub_part_write(path, core, &head, NULL, &part.n_bytes, &part.hash, &place->err), 0);
    rub_shard_destroy(&core);

    job.n_shards = SHARDS;
    assert_int_equal(rub_placement_init(&keys, &schema, SHARDS, NULL), 0);
    const uint32_t shard = rub_placement_shard_of_key(&keys, KEY);
    assert_int_equal(rub_restore_core(&job, shard, &core, &place->err), 0);
    const uint64_t own = rub_shard_rows(core);
    push_once(core, KEY, 4);
    assert_int_equal(rub_shard_rows(core), own + 1);
    rub_shard_destroy(&core);
    rub_weights_fini(&weights);
}

static void weights_of_a_damaged_snapshot_are_refused(void **state)
{
    place_t *place = *state;
    rub_weights_t weights;
    char path[100];
    rub_weights_init(&weights);
    place->parts[1].rows++;
    assert_int_equal(
        rub_weights_from_snapshot(place->folder, &place->manifest, &weights, &place->err),
        RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "not those that its manifest counts"));
    rub_weights_fini(&weights);
    place->parts[1].rows--;

    snprintf(path, sizeof(path), "%s/shard-1", place->folder);
    FILE *file = fopen(path, "r+");
    assert_non_null(file);
    assert_int_equal(fseek(file, -1000, SEEK_END), 0);
    assert_int_equal(fputs("?", file) == EOF, 0);
    assert_int_equal(fclose(file), 0);
    rub_weights_init(&weights);
    assert_int_equal(
        rub_weights_from_snapshot(place->folder, &place->manifest, &weights, &place->err),
        RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "does not check"));
    rub_weights_fini(&weights);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_part_that_is_not_the_manifests_is_refused, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_row_that_differs_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(rows_are_neither_lost_nor_doubled_on_any_number_of_shards,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(a_table_that_one_part_does_not_know_yet_is_restored, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(a_restored_store_opens_at_the_clock_of_the_cut, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(what_is_restored_is_what_was_folded, setup, teardown),
        cmocka_unit_test_setup_teardown(
            weights_at_rest_are_the_rows_of_all_parts_in_the_order_of_their_keys, setup, teardown),
        cmocka_unit_test_setup_teardown(weights_become_a_snapshot_that_is_restored_as_any_other,
                                        setup, teardown),
        cmocka_unit_test_setup_teardown(counts_of_keys_without_rows_go_along, setup, teardown),
        cmocka_unit_test_setup_teardown(weights_of_a_damaged_snapshot_are_refused, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
