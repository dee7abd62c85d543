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

/* Whole streams of "ab\n", spoilt at one place each: gzip of 23 bytes, and zstd of 16 with a
 * checksum. */
#define GZIP "\x1f\x8b\x08\0\0\0\0\0\x02\x03\x4b\x4c\xe2\x02\0"
#define GZIP_SUM "\x3e\x98\x4a\x01"
#define ZSTD "\x28\xb5\x2f\xfd\x24\x03"
#define ZSTD_RAW "\x19\0\0ab\n"

static void malformed_streams_are_refused_by_what_is_wrong(void **state)
{
    RUB_UNUSED(state);
#define BYTES_OF(text) text, sizeof(text) - 1
    static const struct {
        const char *bytes;
        size_t n;
        const char *words;
    } files[] = {
        {BYTES_OF("\x1f\x8b"), "truncated: its gzip checksum"},
        {BYTES_OF("\x1f\x8b\x08\0\0\0\0\0\x02"), "truncated: its gzip checksum"},
        {BYTES_OF("\x1f\x8b\x07\0\0\0\0\0\x02\x03"), "after byte 0 of its content: unknown comp"},
        {BYTES_OF("\x1f\x8b\x08\xe0\0\0\0\0\x02\x03"), "after byte 0 of its content: unknown head"},
        {BYTES_OF("\x1f\x8b\x08\x08\0\0\0\0\x02\x03name"), "truncated: its gzip checksum"},
        {BYTES_OF("\x1f\x8b\x08\x04\0\0\0\0\x02\x03\xff\xff"), "truncated: its gzip checksum"},
        {BYTES_OF("\x1f\x8b\x08\x02\0\0\0\0\x02\x03zz"), "after byte 0 of its content: header crc"},
        {BYTES_OF("\x1f\x8b\x08\0\0\0\0\0\x02\x03\x07"),
         "after byte 0 of its content: invalid blo"},
        {BYTES_OF("\x1f\x8b\x08\0\0\0\0\0\x02\x03\x01\x03\0\0\0"), "invalid stored block lengths"},
        {BYTES_OF("\x1f\x8b\x08\0\0\0\0\0\x02\x03\x05\xff\xff"), "too many length or distance"},
        {BYTES_OF("\x1f\x8b\x08\0\0\0\0\0\x02\x03\x03\x02\0\0"), "too far back"},
        {BYTES_OF(GZIP), "truncated: its gzip checksum"},
        {BYTES_OF(GZIP "\x3e\x98\x4a\x02\x03\0\0\0"), "of its content: incorrect data check"},
        {BYTES_OF(GZIP GZIP_SUM "\x04\0\0\0"), "of its content: incorrect length check"},
        {BYTES_OF(GZIP GZIP_SUM "\x03\0\0"), "truncated: its gzip checksum"},
        {BYTES_OF(GZIP GZIP_SUM "\x03\0\0\0" GZIP), "truncated: its gzip checksum"},
        {BYTES_OF(GZIP GZIP_SUM "\x03\0\0\0\x1f\x8b\x09\0"),
         "after byte 3 of its content: unknown compression"},
        {BYTES_OF("\x28\xb5\x2f\xfd"), "truncated: its zstd stream's end"},
        {BYTES_OF("\x28\xb5\x2f\xfd\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"),
         "after byte 0 of its content: "},
        {BYTES_OF("\x28\xb5\x2f\xfd\x08\x03" ZSTD_RAW), "after byte 0 of its content: Unsupported"},
        {BYTES_OF("\x28\xb5\x2f\xfd\x21\x63\x03" ZSTD_RAW), "content: Dictionary mismatch"},
        {BYTES_OF("\x28\xb5\x2f\xfd\0\xa8\x19\0\0"), "Frame requires too much memory"},
        {BYTES_OF(ZSTD ZSTD_RAW), "truncated: its zstd stream's end"},
        {BYTES_OF(ZSTD ZSTD_RAW "zzzz"), "doesn't match checksum"},
        {BYTES_OF(ZSTD "\x1f\0\0"), "of its content: "},
        {BYTES_OF(ZSTD "\x1d\0\0"
                       "abc"),
         "of its content: "},
        {BYTES_OF(ZSTD "\x19\0\0"
                       "ab"),
         "truncated: its zstd stream's end"},
        {BYTES_OF("\x50\x2a\x4d\x18\x05\0\0\0note"), "truncated: its zstd stream's end"},
        {BYTES_OF("\x50\x2a\x4d\x18\x04\0\0\0noteab\n"), "after byte 0 of its content: "},
    };
#undef BYTES_OF
    for (size_t i = 0; i < RUB_COUNT_OF(files); i++) {
        rub_error_t err = {0};
        assert_int_equal(rub_fs_write(path, files[i].bytes, files[i].n, NULL), 0);
        const int rc = read_all(&err);
        if (rc != RUB_EDATA || strstr(err.message, files[i].words) == NULL ||
            strstr(err.message, path) == NULL) {
            fail_msg("stream %zu: %d '%s', expected '%s'", i, rc, err.message, files[i].words);
        }
    }
}

static void the_streams_that_were_spoilt_were_good(void **state)
{
    RUB_UNUSED(state);
    static const char gzip[] = GZIP GZIP_SUM "\x03\0\0\0";
    rub_error_t err = {0};
    assert_int_equal(rub_fs_write(path, gzip, sizeof gzip - 1, NULL), 0);
    assert_int_equal(read_all(&err), 0);
    static const char zstd[] = "\x28\xb5\x2f\xfd\x20\x03" ZSTD_RAW; /* without a checksum */
    assert_int_equal(rub_fs_write(path, zstd, sizeof zstd - 1, NULL), 0);
    assert_int_equal(read_all(&err), 0);
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
        cmocka_unit_test(malformed_streams_are_refused_by_what_is_wrong),
        cmocka_unit_test(the_streams_that_were_spoilt_were_good),
        cmocka_unit_test(behind_gzip_anything_is_ignored_and_behind_zstd_refused),
        cmocka_unit_test(standard_input_is_read_and_has_no_places),
    };
    return cmocka_run_group_tests(tests, set_up, tear_down);
}
