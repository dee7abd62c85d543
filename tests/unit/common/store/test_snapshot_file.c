/* A snapshot's file is believed only when every byte of it checks, and each thing that can be wrong
 * has its sentence. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/fs.h"
#include "common/store/snapshot_file.h"
#include "common/store/snapshot_manifest.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

typedef struct place {
    char folder[64], path[80];
    char *data; /* of the file that write_file made */
    size_t n_bytes;
    uint64_t hash;
    rub_error_t err;
} place_t;

static int setup(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    snprintf(place->folder, sizeof(place->folder), "/tmp/rub-snapshot-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->path, sizeof(place->path), "%s/part", place->folder);
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    place_t *place = *state;
    (void)rub_fs_remove_tree(place->folder, NULL);
    rub_free(place->data);
    free(place);
    return 0;
}

/* Blocks of 5, 5 and 40 bytes in sections 1, 2, 2. */
static void write_file(place_t *place, char first)
{
    rub_snapshot_writer_t *writer = NULL;
    char small[5] = {first, 'b', 'c', 'd', 'e'}, other[5] = "fghij", large[40];
    uint64_t n_bytes = 0;
    memset(large, 'x', sizeof(large));
    assert_int_equal(rub_snapshot_writer_open(place->path, RUB_SNAPSHOT_PART, &writer, &place->err),
                     0);
    assert_int_equal(rub_snapshot_writer_put(writer, 1, small, 5, &place->err), 0);
    assert_int_equal(rub_snapshot_writer_put(writer, 2, other, 5, &place->err), 0);
    assert_int_equal(rub_snapshot_writer_put(writer, 2, large, 40, &place->err), 0);
    assert_int_equal(rub_snapshot_writer_finish(writer, &n_bytes, &place->hash, &place->err), 0);
    rub_snapshot_writer_close(&writer);
    rub_free(place->data);
    assert_int_equal(rub_fs_read(place->path, 1 << 20, &place->data, &place->n_bytes, NULL), 0);
    assert_int_equal(place->n_bytes, n_bytes);
}

static void put_back(place_t *place, const void *data, size_t n_bytes)
{
    assert_int_equal(rub_fs_write(place->path, data, n_bytes, NULL), 0);
}

static int visit(void *context, uint32_t section, const uint8_t *payload, size_t n_bytes,
                 rub_error_t *err)
{
    char *seen = context;
    RUB_UNUSED(err);
    assert_int_equal((uintptr_t)payload % 8, 0);
    snprintf(seen + strlen(seen), 100, "%u:%zu:%c ", section, n_bytes, payload[0]);
    return 0;
}

static int read_it(place_t *place)
{
    place->err = (rub_error_t){0};
    return rub_snapshot_file_read(place->path, RUB_SNAPSHOT_PART, NULL, NULL, NULL, NULL,
                                  &place->err);
}

static void expect_sentence(place_t *place, int code, const char *words)
{
    assert_int_equal(read_it(place), code);
    if (!strstr(place->err.message, words)) {
        fail_msg("'%s' is not in: %s", words, place->err.message);
    }
}

static void what_was_written_is_read_in_order(void **state)
{
    place_t *place = *state;
    char seen[300] = "", making[100];
    uint64_t n_bytes = 0, hash = 0;
    write_file(place, 'a');
    assert_int_equal(rub_snapshot_file_read(place->path, RUB_SNAPSHOT_PART, visit, seen, &n_bytes,
                                            &hash, &place->err),
                     0);
    assert_string_equal(seen, "1:5:a 2:5:f 2:40:x ");
    assert_int_equal(n_bytes, place->n_bytes);
    assert_true(hash == place->hash);
    snprintf(making, sizeof(making), "%s.new", place->path);
    assert_false(rub_fs_exists(making));
}

static void each_kind_of_wrong_file_is_named(void **state)
{
    place_t *place = *state;
    expect_sentence(place, RUB_ESTORE, "cannot open");
    put_back(place, "", 0);
    expect_sentence(place, RUB_ECORRUPT, "is not a snapshot's file");
    put_back(place, "a text of somebody else's", 25);
    expect_sentence(place, RUB_ECORRUPT, "is not a snapshot's file");
    write_file(place, 'a');
    put_back(place, place->data, 20);
    expect_sentence(place, RUB_ECORRUPT, "cut off at offset 20");
    char *copy = rub_alloc(place->n_bytes + 8);
    memcpy(copy, place->data, place->n_bytes);
    memset(copy + place->n_bytes, 0, 8);
    put_back(place, copy, place->n_bytes + 8);
    expect_sentence(place, RUB_ECORRUPT, "goes on behind its end");
    rub_put_u32(copy + 8, 2);
    rub_put_u32(copy + 28, rub_crc32c(0, copy, 28));
    put_back(place, copy, place->n_bytes);
    expect_sentence(place, RUB_ECORRUPT, "format version 2, this program reads 1");
    rub_free(copy);
    put_back(place, place->data, place->n_bytes);
    assert_int_equal(rub_snapshot_file_read(place->path, RUB_SNAPSHOT_MANIFEST, NULL, NULL, NULL,
                                            NULL, &place->err),
                     RUB_ECORRUPT);
    assert_non_null(strstr(place->err.message, "is not a snapshot's manifest"));
}

static void every_flipped_bit_is_found(void **state)
{
    place_t *place = *state;
    write_file(place, 'a');
    for (size_t bit = 0; bit < place->n_bytes * 8; bit++) {
        place->data[bit / 8] = (char)(place->data[bit / 8] ^ 1 << bit % 8);
        put_back(place, place->data, place->n_bytes);
        if (read_it(place) != RUB_ECORRUPT) {
            fail_msg("bit %zu of byte %zu: %s", bit % 8, bit / 8, place->err.message);
        }
        place->data[bit / 8] = (char)(place->data[bit / 8] ^ 1 << bit % 8);
    }
}

static void every_shortened_file_is_found(void **state)
{
    place_t *place = *state;
    write_file(place, 'a');
    for (size_t n = 0; n < place->n_bytes; n++) {
        put_back(place, place->data, n);
        assert_int_equal(read_it(place), RUB_ECORRUPT);
    }
}

static void swapped_blocks_are_found(void **state)
{
    place_t *place = *state;
    write_file(place, 'a');
    char first[32];
    memcpy(first, place->data + 32, 32); /* head of 24 bytes, 5 padded to 8 */
    memcpy(place->data + 32, place->data + 64, 32);
    memcpy(place->data + 64, first, 32);
    put_back(place, place->data, place->n_bytes);
    expect_sentence(place, RUB_ECORRUPT, "damaged at offset 32");
}

static void the_hash_tells_files_apart(void **state)
{
    place_t *place = *state;
    write_file(place, 'a');
    const uint64_t a = place->hash;
    write_file(place, 'b');
    assert_true(a != place->hash);
    write_file(place, 'a');
    assert_true(a == place->hash);
}

static void what_was_not_finished_leaves_no_file(void **state)
{
    place_t *place = *state;
    rub_snapshot_writer_t *writer = NULL;
    char making[100];
    snprintf(making, sizeof(making), "%s.new", place->path);
    assert_int_equal(rub_snapshot_writer_open(place->path, RUB_SNAPSHOT_PART, &writer, &place->err),
                     0);
    assert_int_equal(rub_snapshot_writer_put(writer, 0, "", 0, &place->err), RUB_EINVAL);
    assert_int_equal(rub_snapshot_writer_put(writer, 1, "a", 1, &place->err), 0);
    assert_true(rub_fs_exists(making));
    rub_snapshot_writer_close(&writer);
    assert_false(rub_fs_exists(making));
    assert_false(rub_fs_exists(place->path));
    snprintf(place->path, sizeof(place->path), "%s/no/folder", place->folder);
    assert_int_equal(rub_snapshot_writer_open(place->path, RUB_SNAPSHOT_PART, &writer, &place->err),
                     RUB_ESTORE);
}

/* ---- the manifest ---- */

static void manifest_comes_back_as_it_was(void **state)
{
    place_t *place = *state;
    rub_manifest_part_t parts[2] = {{100, 7, 3, 9}, {200, 8, 4, 10}};
    rub_manifest_rank_t ranks[3] = {{0, 1, 5}, {1, 1, 5}, {2, 4, 3}};
    rub_span_t states[2] = {{"first", 5}, {"second", 6}};
    const rub_manifest_t manifest = {.number = 12,
                                     .time_ms = 1234567,
                                     .job = 77,
                                     .n_workers = 3,
                                     .n_shards = 2,
                                     .staleness = 4,
                                     .reduce = 1,
                                     .seed = 99,
                                     .parts = parts,
                                     .ranks = ranks,
                                     .n_ranks = 3,
                                     .states = states,
                                     .n_states = 2};
    rub_manifest_t *read = NULL;
    assert_int_equal(rub_manifest_read(place->folder, &read, &place->err), RUB_ECONFIG);
    assert_int_equal(rub_manifest_write(place->folder, &manifest, &place->err), 0);
    assert_int_equal(rub_manifest_read(place->folder, &read, &place->err), 0);
    assert_int_equal(read->number, 12);
    assert_int_equal(read->time_ms, 1234567);
    assert_int_equal(read->job, 77);
    assert_int_equal(read->n_workers, 3);
    assert_int_equal(read->staleness, 4);
    assert_int_equal(read->reduce, 1);
    assert_int_equal(read->seed, 99);
    assert_memory_equal(read->parts, parts, sizeof(parts));
    assert_int_equal(read->n_ranks, 3);
    assert_memory_equal(read->ranks, ranks, sizeof(ranks));
    assert_int_equal(read->n_states, 2);
    assert_int_equal(read->states[1].bytes, 6);
    assert_memory_equal(read->states[1].data, "second", 6);
    rub_manifest_destroy(&read);
}

/* Counts that a checksum does not protect, since whoever wrote them made the checksum too. */
static void manifest_that_makes_no_sense_is_refused(void **state)
{
    place_t *place = *state;
    rub_buf_t job;
    for (int wrong = 0; wrong < 5; wrong++) {
        rub_snapshot_writer_t *writer = NULL;
        rub_manifest_t *read = NULL;
        uint64_t n_bytes = 0, hash = 0;
        rub_buf_init(&job);
        rub_buf_u64(&job, 1);
        rub_buf_u64(&job, 1);
        rub_buf_u64(&job, 1);
        rub_buf_u32(&job, 1);
        rub_buf_u32(&job, wrong == 0 ? 0 : wrong == 1 ? 2000000000 : 1);
        rub_buf_u64(&job, 4); /* staleness */
        rub_buf_u32(&job, 0); /* reduce */
        for (int i = 0; i < 5; i++) {
            rub_buf_u64(&job, 0); /* seed, a part */
        }
        rub_buf_u32(&job, wrong == 2 ? 4000000000 : 0);
        rub_buf_u32(&job, wrong == 3 ? 4000000000 : 0);
        char path[100];
        snprintf(path, sizeof(path), "%s/manifest", place->folder);
        assert_int_equal(rub_snapshot_writer_open(path, RUB_SNAPSHOT_MANIFEST, &writer, NULL), 0);
        assert_int_equal(rub_snapshot_writer_put(writer, 1, job.data, job.bytes, NULL), 0);
        assert_int_equal(rub_snapshot_writer_finish(writer, &n_bytes, &hash, NULL), 0);
        rub_snapshot_writer_close(&writer);
        const int rc = rub_manifest_read(place->folder, &read, &place->err);
        assert_int_equal(rc, wrong < 4 ? RUB_ECORRUPT : 0); /* the last one is all right */
        rub_manifest_destroy(&read);
        rub_buf_fini(&job);
    }
}

static int count_bytes(void *context, uint32_t section, const uint8_t *payload, size_t n_bytes,
                       rub_error_t *err)
{
    RUB_UNUSED(err);
    assert_int_equal(section, 1 + *(uint64_t *)context % 3);
    assert_int_equal(payload[0], n_bytes % 251);
    assert_int_equal(payload[n_bytes - 1], n_bytes % 251);
    *(uint64_t *)context += n_bytes;
    return 0;
}

/* Written past the page cache in whole megabytes, and an end of any length. */
static void large_blocks_come_back_wherever_the_buffer_ended(void **state)
{
    place_t *place = *state;
    static uint8_t payload[3 << 20];
    static const size_t sizes[] = {(1 << 20) - 56, 1, 4096, 3 << 20, (1 << 20) - 24, 700001, 9};
    rub_snapshot_writer_t *writer = NULL;
    uint64_t n_bytes = 0, read_bytes = 0, hash = 0, total = 0;
    assert_int_equal(rub_snapshot_writer_open(place->path, RUB_SNAPSHOT_PART, &writer, NULL), 0);
    for (size_t i = 0; i < RUB_COUNT_OF(sizes); i++) {
        memset(payload, (int)(sizes[i] % 251), sizes[i]);
        assert_int_equal(
            rub_snapshot_writer_put(writer, (uint32_t)(1 + total % 3), payload, sizes[i], NULL), 0);
        total += sizes[i];
    }
    assert_int_equal(rub_snapshot_writer_finish(writer, &n_bytes, &place->hash, NULL), 0);
    rub_snapshot_writer_close(&writer);
    total = 0;
    assert_int_equal(rub_snapshot_file_read(place->path, RUB_SNAPSHOT_PART, count_bytes, &total,
                                            &read_bytes, &hash, &place->err),
                     0);
    assert_int_equal(read_bytes, n_bytes);
    assert_int_equal(hash, place->hash);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(each_kind_of_wrong_file_is_named, setup, teardown),
        cmocka_unit_test_setup_teardown(every_flipped_bit_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(every_shortened_file_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(swapped_blocks_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_not_finished_leaves_no_file, setup, teardown),
        cmocka_unit_test_setup_teardown(what_was_written_is_read_in_order, setup, teardown),
        cmocka_unit_test_setup_teardown(large_blocks_come_back_wherever_the_buffer_ended, setup,
                                        teardown),
        cmocka_unit_test_setup_teardown(the_hash_tells_files_apart, setup, teardown),
        cmocka_unit_test_setup_teardown(manifest_that_makes_no_sense_is_refused, setup, teardown),
        cmocka_unit_test_setup_teardown(manifest_comes_back_as_it_was, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
