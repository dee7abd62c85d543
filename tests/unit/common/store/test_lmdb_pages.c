/* What the walk lets through, LMDB can read without touching what is not there, and what is read is
 * what was written. */
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/store/lmdb_pages.h"
#include "common/store/lmdb_store.h"

#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { CHUNKS = 600, LARGEST = 9000, FLIPS = 400 };

typedef struct place {
    char folder[64], path[80];
    uint8_t *data; /* the file as it was written */
    size_t bytes;
} place_t;

static size_t content_of(uint32_t chunk, uint8_t out[LARGEST])
{
    const size_t n = chunk % 7 == 0 ? LARGEST - chunk : 10 + chunk % 100;
    for (size_t i = 0; i < n; i++) {
        out[i] = (uint8_t)(chunk * 31 + i * 7);
    }
    return n;
}

/* Chunks of all kinds, some written several times and some deleted, so that pages are free. */
static void fill(const place_t *place)
{
    static uint8_t bytes[LARGEST];
    rub_store_t *store = NULL;
    assert_int_equal(rub_store_open(place->folder, &store, NULL), 0);
    for (int round = 0; round < 4; round++) {
        assert_int_equal(rub_store_begin(store, NULL), 0);
        for (uint32_t chunk = 0; chunk < CHUNKS; chunk += round == 0 ? 1 : 3) {
            const size_t n = content_of(chunk, bytes);
            rub_store_put_chunk(store, 1, chunk, bytes, n);
        }
        rub_store_put_chunk(store, 2, (uint32_t)round, bytes, LARGEST);
        rub_store_delete_chunk(store, 2, (uint32_t)round - 1);
        rub_store_put_state(store, "core", bytes, 300);
        assert_int_equal(rub_store_commit(store, NULL), 0);
    }
    rub_store_close(&store);
}

static int setup(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    snprintf(place->folder, sizeof(place->folder), "/tmp/rub-pages-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->path, sizeof(place->path), "%s/data.mdb", place->folder);
    fill(place);
    char *data = NULL;
    assert_int_equal(rub_fs_read(place->path, 1 << 30, &data, &place->bytes, NULL), 0);
    place->data = (uint8_t *)data;
    *state = place;
    return 0;
}

static int teardown(void **state)
{
    place_t *place = *state;
    assert_int_equal(rub_fs_remove_tree(place->folder, NULL), 0);
    rub_free(place->data);
    free(place);
    return 0;
}

static void write_at(const place_t *place, size_t offset, const void *data, size_t bytes)
{
    const int fd = open(place->path, O_WRONLY);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, data, bytes, (off_t)offset), bytes);
    close(fd);
}

static int walk(const place_t *place, rub_pages_report_t *report, rub_error_t *err)
{
    const rub_pages_visit_t visit = {0};
    return rub_pages_walk(place->path, &visit, report, err);
}

static void whole_file_has_every_page_in_use_or_free(void **state)
{
    const place_t *place = *state;
    rub_pages_report_t report;
    assert_int_equal(walk(place, &report, NULL), 0);
    assert_int_equal(report.n_values, CHUNKS + 3); /* the last of table 2, the core, the format */
    assert_int_equal(report.n_faults, 0);
    assert_true(report.n_free > 0);
    assert_int_equal(report.n_used + report.n_free, report.n_pages);
}

static void file_that_is_empty_or_not_there_is_whole(void **state)
{
    const place_t *place = *state;
    rub_pages_report_t report;
    assert_int_equal(truncate(place->path, 0), 0);
    assert_int_equal(walk(place, &report, NULL), 0);
    assert_int_equal(unlink(place->path), 0);
    assert_int_equal(walk(place, &report, NULL), 0);
}

static void file_cut_short_is_refused(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    for (size_t bytes = place->bytes - 4096; bytes > 0;
         bytes = bytes > 9000 ? bytes * 2 / 3 : bytes / 2) {
        write_at(place, 0, place->data, place->bytes);
        assert_int_equal(truncate(place->path, (off_t)bytes), 0);
        rub_pages_report_t report;
        /* Pages that nobody uses may be missing. */
        const int rc = walk(place, &report, &err);
        assert_true(rc == RUB_ECORRUPT || (rc == 0 && bytes + 8 * 4096 > place->bytes));
    }
    assert_non_null(strstr(err.message, "it ends before its second page"));
}

static void page_of_another_version_is_refused_and_named(void **state)
{
    const place_t *place = *state;
    rub_error_t err = {0};
    const uint8_t two = 2;
    write_at(place, 16 + 4, &two, 1);
    assert_int_equal(walk(place, NULL, &err), RUB_ECORRUPT);
    assert_non_null(strstr(err.message, "LMDB data version 2, this program reads 1"));
}

static void collect(void *context, const rub_error_t *fault)
{
    RUB_UNUSED(fault);
    ++*(size_t *)context;
}

static void walk_goes_on_behind_a_fault_when_asked_to(void **state)
{
    const place_t *place = *state;
    size_t n = 0;
    rub_pages_report_t report;
    const rub_pages_visit_t visit = {.context = &n, .fault = collect};
    size_t broken = 0;
    for (size_t page = 2; page < place->bytes / 4096 && broken < 3; page++) {
        const uint8_t *at = place->data + page * 4096;
        if (rub_get_u16(at + 10) == 2 && rub_get_u64(at) == page) { /* leaves, perhaps old ones */
            const uint8_t odd = 0x7f;
            write_at(place, page * 4096 + 8 + 2, &odd, 1);
            broken += 1;
        }
    }
    assert_int_equal(broken, 3);
    const int rc = rub_pages_walk(place->path, &visit, &report, NULL);
    assert_int_equal(n, report.n_faults);
    assert_int_equal(rc, n > 0 ? RUB_ECORRUPT : 0);
}

/* ---- any flip ---- */

typedef struct reading {
    uint32_t n;
} reading_t;

static int compare_chunk(void *context, uint32_t table, uint32_t chunk, const void *bytes,
                         size_t n_bytes, rub_error_t *err)
{
    reading_t *reading = context;
    static uint8_t expected[LARGEST];
    RUB_UNUSED(err);
    if (table == 1) {
        assert_int_equal(n_bytes, content_of(chunk, expected));
        assert_memory_equal(bytes, expected, n_bytes);
        reading->n++;
    }
    return 0;
}

/* True when all is read and right; false when something is refused. Anything else fails, or dies.
 */
static bool reads_right(const place_t *place)
{
    rub_store_t *store = NULL;
    rub_error_t err = {0};
    reading_t reading = {0};
    int rc = rub_store_open(place->folder, &store, &err);
    rc = rc ? rc : rub_store_each_chunk(store, compare_chunk, &reading, &err);
    if (rc == 0) {
        assert_int_equal(reading.n, CHUNKS);
        static const uint8_t more[5000];
        assert_int_equal(rub_store_begin(store, NULL), 0); /* and it can be written to */
        rub_store_put_chunk(store, 3, 1, more, sizeof(more));
        rc = rub_store_commit(store, &err);
        assert_int_equal(rc, 0);
    }
    rub_store_close(&store);
    assert_true(rc == 0 || rc == RUB_ECORRUPT);
    assert_true(rc == 0 || strstr(err.message, "data.mdb") != NULL);
    return rc == 0;
}

static void no_flipped_bit_kills_the_reader_or_serves_bad_data(void **state)
{
    const place_t *place = *state;
    uint32_t refused = 0;
    for (uint64_t i = 0; i < FLIPS; i++) {
        const uint64_t draw = rub_mix64(i);
        /* half of them where the structure is: metas, and the beginnings of pages */
        size_t at = (size_t)(draw >> 8) % place->bytes;
        at = i % 4 == 0   ? at % 8192 % 200 + (at & 4096)
             : i % 4 == 1 ? at / 4096 * 4096 + at % 64
                          : at;
        const uint8_t flipped = (uint8_t)(place->data[at] ^ 1u << (draw % 8));
        assert_int_equal(truncate(place->path, 0), 0);
        write_at(place, 0, place->data, place->bytes);
        write_at(place, at, &flipped, 1);
        refused += !reads_right(place);
    }
    assert_true(refused > FLIPS / 5);
    printf("%u of %d flips were refused, the others hit what nobody uses\n", refused, FLIPS);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(whole_file_has_every_page_in_use_or_free),
        TEST(file_that_is_empty_or_not_there_is_whole),
        TEST(file_cut_short_is_refused),
        TEST(page_of_another_version_is_refused_and_named),
        TEST(walk_goes_on_behind_a_fault_when_asked_to),
        TEST(no_flipped_bit_kills_the_reader_or_serves_bad_data),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
