/* Archives: members of both kinds and sizes, and every refusal with its byte. */
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/tensor/zip_archive.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include <cmocka.h>

#include "tests/unit/common/tensor/zip_files.h"

static char path[64];

static int make_path(void **state)
{
    RUB_UNUSED(state);
    (void)snprintf(path, sizeof path, "/tmp/rubato-zip-XXXXXX");
    const int fd = mkstemp(path);
    return fd < 0 || close(fd) != 0;
}

static int remove_path(void **state)
{
    RUB_UNUSED(state);
    return access(path, F_OK) == 0 ? unlink(path) : 0;
}

enum { SHORT_BYTES = 90, LONG_BYTES = 110 };
static uint8_t content[LONG_BYTES]; /* of "long", and of "short" so far as that goes */

/* "short" is deflated, "long" stored, with its sizes and its place in 64 bits. */
static void make_archive(rub_zip_file_t *self)
{
    for (size_t i = 0; i < sizeof content; i++) {
        content[i] = (uint8_t)(i * i / 7);
    }
    *self = (rub_zip_file_t){.n = 0};
    rub_zip_add(self, "short", content, SHORT_BYTES, true, false);
    rub_zip_add(self, "long", content, LONG_BYTES, false, true);
}

static void members_of_both_kinds_are_read_in_any_order(void **state)
{
    RUB_UNUSED(state);
    rub_zip_file_t archive;
    rub_zip_archive_t *opened = NULL;
    uint8_t read[LONG_BYTES];
    size_t n = 0;
    make_archive(&archive);
    rub_zip_write(&archive, path);
    assert_int_equal(rub_zip_archive_open(path, &opened, NULL), 0);
    const rub_zip_entry_t *const entries = rub_zip_archive_entries(opened, &n);
    assert_int_equal(n, 2);
    assert_memory_equal(entries[1].name, "long", 4);
    static const size_t order[] = {1, 0, 0, 1};
    for (size_t i = 0; i < RUB_COUNT_OF(order); i++) {
        const rub_zip_entry_t *const entry = &entries[order[i]];
        assert_int_equal(entry->bytes, order[i] == 0 ? SHORT_BYTES : LONG_BYTES);
        assert_int_equal(rub_zip_archive_begin(opened, entry, NULL), 0);
        assert_int_equal(rub_zip_archive_read(opened, read, 5, NULL), 0);
        if (i != 1) { /* which is left for another one */
            assert_int_equal(rub_zip_archive_read(opened, read + 5, entry->bytes - 5, NULL), 0);
            assert_int_equal(rub_zip_archive_expect_end(opened, NULL), 0);
            assert_memory_equal(read, content, entry->bytes);
        }
    }
    rub_zip_archive_close(&opened);
}

/* Reads SHORT_BYTES of that member. */
static void assert_member_refused(size_t member, int code, const char *words)
{
    rub_zip_archive_t *archive = NULL;
    rub_error_t err = {0};
    uint8_t read[SHORT_BYTES];
    size_t n = 0;
    int rc = rub_zip_archive_open(path, &archive, &err);
    if (rc == 0) {
        const rub_zip_entry_t *const entries = rub_zip_archive_entries(archive, &n);
        rc = rub_zip_archive_begin(archive, &entries[member], &err);
        rc = rc ? rc : rub_zip_archive_read(archive, read, sizeof read, &err);
        rc = rc ? rc : rub_zip_archive_expect_end(archive, &err);
    }
    rub_zip_archive_close(&archive);
    if (rc != code || strstr(err.message, words) == NULL) {
        fail_msg("%s '%s', expected '%s'", rub_error_name(rc), err.message, words);
    }
}

/* Byte `at` of the archive becomes another one. */
static void spoil(size_t at, const char *words)
{
    rub_zip_file_t archive;
    make_archive(&archive);
    rub_zip_write(&archive, path);
    archive.bytes[at] ^= 0x41;
    assert_int_equal(rub_fs_write(path, archive.bytes, archive.n, NULL), 0);
    assert_member_refused(0, RUB_EDATA, words);
}

static void damaged_archives_are_refused(void **state)
{
    RUB_UNUSED(state);
    rub_zip_file_t archive;
    make_archive(&archive);
    const size_t directory = archive.n;
    const size_t end = directory + archive.n_directory;
    rub_zip_write(&archive, path);
    assert_member_refused(1, RUB_EDATA, "goes on after byte 90"); /* it is longer */
    spoil(end, "the archive ends without a directory");
    spoil(end + 20, "the archive ends without a directory"); /* of its comment, another length */
    spoil(directory, "the archive's directory is damaged");
    spoil(end + 19, "the directory lies outside the file");
    spoil(end + 10, "the directory is too short for its entries");
    spoil(directory + 10, "has compression 73, expected 0 or 8");
    spoil(directory + 8, "and is encrypted");
    spoil(directory + 16, "has checksum ");
    spoil(directory + 45, "the archive is cut");
    spoil(directory + 21, "it goes on behind the archive's end");
    spoil(directory + 27, "it is of an impossible size"); /* a gigabyte in a hundred bytes */
    spoil(0, "byte 0: expected the header of a member");
    spoil(60, "member 'short' has checksum");
    assert_int_equal(truncate(path, (off_t)end), 0);
    assert_member_refused(0, RUB_EDATA, "the archive ends without a directory");
    assert_int_equal(truncate(path, 0), 0);
    assert_member_refused(0, RUB_EDATA, "the archive ends without a directory");
    unlink(path);
    assert_member_refused(0, RUB_EIO, "cannot be opened");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_of_both_kinds_are_read_in_any_order),
        cmocka_unit_test(damaged_archives_are_refused),
    };
    return cmocka_run_group_tests(tests, make_path, remove_path);
}
