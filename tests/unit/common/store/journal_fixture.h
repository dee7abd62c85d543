/* A journal in a folder of its own, with records whose content follows from their lsn, and hands
 * that spoil its files. */
#ifndef RUB_TEST_JOURNAL_FIXTURE_H
#define RUB_TEST_JOURNAL_FIXTURE_H

#include "common/base/check.h"
#include "common/base/crc32c.h"
#include "common/base/fs.h"
#include "common/base/hash.h"
#include "common/store/journal_file.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

enum { SEGMENT = 64 * 1024, HEADER = 72 };

typedef struct place {
    char folder[64];
    char journal[80];
} place_t;

static inline int setup(void **state)
{
    place_t *place = calloc(1, sizeof(*place));
    snprintf(place->folder, sizeof(place->folder), "/tmp/rub-journal-XXXXXX");
    assert_non_null(mkdtemp(place->folder));
    snprintf(place->journal, sizeof(place->journal), "%s/journal", place->folder);
    *state = place;
    return 0;
}

static inline void each_file(const char *folder, void (*visit)(const char *path, void *context),
                             void *context)
{
    DIR *dir = opendir(folder);
    for (struct dirent *e = dir ? readdir(dir) : NULL; e; e = readdir(dir)) {
        if (e->d_name[0] != '.') {
            char path[400];
            snprintf(path, sizeof(path), "%s/%s", folder, e->d_name);
            visit(path, context);
        }
    }
    if (dir) {
        closedir(dir);
    }
}

static inline void remove_file(const char *path, void *context)
{
    RUB_UNUSED(context);
    unlink(path);
}

static inline int teardown(void **state)
{
    place_t *place = *state;
    each_file(place->journal, remove_file, NULL);
    rmdir(place->journal);
    rmdir(place->folder);
    free(place);
    return 0;
}

/* ---- records whose content follows from their lsn ---- */

static inline size_t size_of(uint64_t lsn)
{
    return (size_t)(lsn * 37 % 3000);
}

static inline void content_of(uint64_t lsn, uint8_t *out)
{
    for (size_t i = 0; i < size_of(lsn); i++) {
        out[i] =
            (uint8_t)(rub_mix64(lsn * 4096 + i) | 1); /* no zero bytes: every torn byte shows */
    }
}

static inline void append(rub_journal_t *journal, uint64_t lsn)
{
    uint8_t bytes[3000];
    content_of(lsn, bytes);
    const size_t cut = size_of(lsn) / 3;
    const rub_span_t parts[2] = {{bytes, cut}, {bytes + cut, size_of(lsn) - cut}};
    rub_error_t err = {0};
    assert_int_equal(rub_journal_append(journal, lsn, 1, parts, 2, &err), 0);
    assert_int_equal(rub_journal_write(journal, &err), 0);
}

static inline rub_journal_t *reopen(const place_t *place)
{
    rub_journal_t *journal = NULL;
    rub_error_t err = {0};
    const int rc = rub_journal_open(place->journal, SEGMENT, &journal, &err);
    if (rc) {
        print_error("%s\n", err.message);
    }
    assert_int_equal(rc, 0);
    return journal;
}

static inline void write_records(const place_t *place, uint64_t first, uint64_t last)
{
    rub_journal_t *journal = reopen(place);
    rub_journal_redo_of_boot(journal, 77); /* whatever came before `first` is stored elsewhere */
    assert_int_equal(rub_journal_replay(journal, first, NULL, NULL, NULL, NULL), 0);
    for (uint64_t lsn = first; lsn <= last; lsn++) {
        assert_int_equal(rub_journal_prepare(journal, NULL), 0);
        append(journal, lsn);
    }
    rub_journal_close(&journal);
}

typedef struct seen {
    uint64_t first, last, n;
} seen_t;

static inline int check_record(void *context, uint64_t lsn, uint8_t type, const void *payload,
                               size_t bytes, rub_error_t *err)
{
    RUB_UNUSED(err);
    seen_t *seen = context;
    uint8_t expected[3000];
    assert_int_equal(type, 1);
    assert_int_equal(bytes, size_of(lsn));
    assert_int_equal((uintptr_t)payload % 8, 0);
    content_of(lsn, expected);
    assert_memory_equal(payload, expected, bytes);
    if (seen->n > 0) {
        assert_true(lsn == seen->last + 1);
    }
    seen->first = seen->n ? seen->first : lsn;
    seen->last = lsn;
    seen->n++;
    return 0;
}

/* Replays all; returns the code. */
static inline int replay(const place_t *place, uint64_t from, seen_t *seen, uint64_t *torn,
                         rub_error_t *err)
{
    rub_journal_t *journal = NULL;
    *seen = (seen_t){0};
    int rc = rub_journal_open(place->journal, SEGMENT, &journal, err);
    rc = rc ? rc : rub_journal_replay(journal, from, check_record, seen, torn, err);
    rub_journal_close(&journal);
    return rc;
}

/* ---- files ---- */

static inline void segment_path(const place_t *place, uint64_t number, char out[160])
{
    snprintf(out, 160, "%s/%016" PRIx64 ".seg", place->journal, number);
}

static inline void patch(const char *path, long offset, const void *bytes, size_t n)
{
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pwrite(fd, bytes, n, offset), (ssize_t)n);
    close(fd);
}

static inline void flip(const char *path, long offset)
{
    uint8_t byte = 0;
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, &byte, 1, offset), 1);
    byte ^= 4;
    assert_int_equal(pwrite(fd, &byte, 1, offset), 1);
    close(fd);
}

/* Changes one u64 of a segment's header, whose checksum fits again. */
static inline void set_header(const place_t *place, uint64_t number, size_t offset, uint64_t value)
{
    char path[160];
    segment_path(place, number, path);
    uint8_t header[HEADER];
    const int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    assert_int_equal(pread(fd, header, HEADER, 0), HEADER);
    rub_put_u64(header + offset, value);
    rub_put_u32(header + 12, 0);
    rub_put_u32(header + 12, rub_crc32c(0, header, HEADER));
    assert_int_equal(pwrite(fd, header, HEADER, 0), HEADER);
    close(fd);
}

/* As if the segment had been written before the last boot of the host. */
static inline void set_boot(const place_t *place, uint64_t number, uint64_t boot)
{
    set_header(place, number, 56, boot);
}

static inline long offset_of(uint64_t first,
                             uint64_t lsn) /* in a segment that begins with record first */
{
    long at = HEADER;
    for (uint64_t i = first; i < lsn; i++) {
        at += (long)RUB_JOURNAL_FRAME(size_of(i));
    }
    return at;
}

#endif
