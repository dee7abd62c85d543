/* Files that are plain, gzip or zstd: the same content whatever is asked for, and no part of one
 * that is cut or damaged is taken for the whole. */
#include "worker/data/packed_file.h"

#include "common/base/check.h"
#include "common/base/fs.h"
#include "common/base/rng.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

#include <cmocka.h>

enum { BYTES = 300000, KINDS = 3 };

static char path[] = "/tmp/rubato-packed-XXXXXX";
static uint8_t content[BYTES];

static int set_up(void **state)
{
    RUB_UNUSED(state);
    rub_rng_t rng;
    rub_rng_init(&rng, 1, 1);
    for (size_t i = 0; i < BYTES; i++) {
        content[i] = (uint8_t)('a' + rub_rng_below(&rng, 1 + i % 26));
    }
    const int fd = mkstemp(path);
    return fd < 0 || close(fd);
}

static int tear_down(void **state)
{
    RUB_UNUSED(state);
    return unlink(path);
}

/* A stream of content[from, to); kind 0: as it is. */
static size_t pack(int kind, size_t from, size_t to, uint8_t *out, size_t room)
{
    if (kind == 0) {
        memcpy(out, content + from, to - from);
        return to - from;
    }
    if (kind == 2) {
        const size_t n = ZSTD_compress(out, room, content + from, to - from, 3);
        assert_false(ZSTD_isError(n));
        return n;
    }
    z_stream z = {.next_in = content + from, .avail_in = (uInt)(to - from), .next_out = out};
    z.avail_out = (uInt)room;
    assert_int_equal(deflateInit2(&z, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, 0), Z_OK);
    assert_int_equal(deflate(&z, Z_FINISH), Z_STREAM_END);
    const size_t n = room - z.avail_out;
    deflateEnd(&z);
    return n;
}

/* Two streams behind each other, or the content as it is. */
static size_t write_kind(int kind)
{
    static uint8_t packed[2 * BYTES];
    size_t n = pack(kind, 0, BYTES / 3, packed, sizeof packed);
    n += pack(kind, BYTES / 3, BYTES, packed + n, sizeof packed - n);
    assert_int_equal(rub_fs_write(path, packed, n, NULL), 0);
    return n;
}

static void every_kind_has_the_same_content_from_any_place(void **state)
{
    RUB_UNUSED(state);
    static uint8_t read[BYTES];
    static const uint64_t places[] = {0, 1, BYTES - 7, BYTES / 3 - 5, 200000, BYTES, 5};
    for (int kind = 0; kind < KINDS; kind++) {
        rub_packed_file_t *file = NULL;
        rub_error_t err = {0};
        (void)write_kind(kind);
        assert_int_equal(rub_packed_file_open(path, &file, &err), 0);
        assert_int_equal(rub_packed_file_packed(file), kind > 0);
        assert_int_equal(rub_packed_file_read(file, read, BYTES, &err), 0);
        assert_memory_equal(read, content, BYTES);
        assert_int_equal(rub_packed_file_expect_end(file, &err), 0);
        for (size_t i = 0; i < RUB_COUNT_OF(places); i++) {
            const size_t left = BYTES - (size_t)places[i];
            const size_t n = left < 100000 ? left : 100000;
            assert_int_equal(rub_packed_file_seek(file, places[i], &err), 0);
            assert_int_equal(rub_packed_file_read(file, read, n, &err), 0);
            assert_memory_equal(read, content + places[i], n);
        }
        size_t got = 1;
        const int rc = rub_packed_file_seek(file, BYTES + 1, &err);
        assert_true(rc == RUB_EDATA || kind == 0); /* a plain file has places behind its end, */
        assert_int_equal(rub_packed_file_read_some(file, read, 1, &got, &err), 0);
        assert_int_equal(got, 0); /* with nothing in them */
        rub_packed_file_close(&file);
        rub_packed_file_close(&file);
    }
}

/* All of the file, whatever its length. */
static int read_all(rub_error_t *err)
{
    static uint8_t read[4 * BYTES]; /* damage may make more of it */
    rub_packed_file_t *file = NULL;
    size_t got = 0;
    int rc = rub_packed_file_open(path, &file, err);
    rc = rc ? rc : rub_packed_file_read_some(file, read, sizeof read, &got, err);
    rc = rc ? rc : rub_packed_file_expect_end(file, err);
    rub_packed_file_close(&file);
    return rc;
}

static void a_stream_that_is_cut_anywhere_is_refused(void **state)
{
    RUB_UNUSED(state);
    for (int kind = 1; kind < KINDS; kind++) {
        size_t n = write_kind(kind);
        const char *const words =
            kind == 1 ? "its gzip checksum is missing" : "its zstd stream's end";
        for (size_t cuts = 0; cuts < 24; cuts++) {
            n -= cuts < 16 ? 1 : 9973;
            rub_error_t err = {0};
            assert_int_equal(truncate(path, (off_t)n), 0);
            if (read_all(&err) != RUB_EDATA || strstr(err.message, words) == NULL) {
                fail_msg("cut at %zu: '%s'", n, err.message);
            }
        }
    }
}

static void a_damaged_stream_is_refused_with_its_place(void **state)
{
    RUB_UNUSED(state);
    for (int kind = 1; kind < KINDS; kind++) {
        const size_t n = write_kind(kind);
        char *packed = NULL;
        size_t bytes = 0;
        assert_int_equal(rub_fs_read(path, n, &packed, &bytes, NULL), 0);
        memset(packed + n / 2, 0xaa, 64);
        assert_int_equal(rub_fs_write(path, packed, n, NULL), 0);
        rub_error_t err = {0};
        if (read_all(&err) != RUB_EDATA || strstr(err.message, "damaged after byte ") == NULL) {
            fail_msg("kind %d: '%s'", kind, err.message);
        }
        free(packed);
    }
}

static void behind_gzip_anything_is_ignored_and_behind_zstd_refused(void **state)
{
    RUB_UNUSED(state);
    for (int kind = 1; kind < KINDS; kind++) {
        (void)write_kind(kind);
        FILE *const file = fopen(path, "ab");
        assert_non_null(file);
        (void)fputs("and so on", file);
        (void)fclose(file);
        rub_error_t err = {0};
        assert_int_equal(read_all(&err), kind == 1 ? 0 : RUB_EDATA);
    }
}

static void standard_input_is_read_and_has_no_places(void **state)
{
    RUB_UNUSED(state);
    static uint8_t read_back[BYTES];
    const int before = dup(STDIN_FILENO);
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    assert_int_equal(dup2(ends[0], STDIN_FILENO), STDIN_FILENO);
    static uint8_t packed[4096];
    const size_t n = pack(2, 0, 1000, packed, sizeof packed);
    assert_int_equal(write(ends[1], packed, n), n);
    close(ends[1]);
    rub_packed_file_t *file = NULL;
    rub_error_t err = {0};
    assert_int_equal(rub_packed_file_open("-", &file, &err), 0);
    assert_int_equal(rub_packed_file_read(file, read_back, 1000, &err), 0);
    assert_memory_equal(read_back, content, 1000);
    assert_int_equal(rub_packed_file_expect_end(file, &err), 0);
    assert_int_equal(rub_packed_file_seek(file, 10, &err), RUB_EDATA);
    rub_packed_file_close(&file);
    assert_int_equal(dup2(before, STDIN_FILENO), STDIN_FILENO);
    close(before);
    close(ends[0]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_kind_has_the_same_content_from_any_place),
        cmocka_unit_test(a_stream_that_is_cut_anywhere_is_refused),
        cmocka_unit_test(a_damaged_stream_is_refused_with_its_place),
        cmocka_unit_test(behind_gzip_anything_is_ignored_and_behind_zstd_refused),
        cmocka_unit_test(standard_input_is_read_and_has_no_places),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
