/* Reading a file that may be compressed.
 *
 * Why: readers want so many bytes, or a sentence that says why they cannot be had: file and offset.
 * Invariant: memory in use never exceeds twice what has really been read (plus one block), whatever
 * a header claims; a stream that is cut is never a file that ends. What decompresses is in
 * worker/data/unpacker.h. */
#include "worker/data/packed_file.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "worker/data/unpacker.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>

#define FIRST_BLOCK ((size_t)1 << 20)
#define SKIP_BYTES ((size_t)64 << 10)

struct rub_packed_file {
    const char *path;
    rub_unpacker_t *unpacker;
    uint64_t offset; /* bytes read so far */
};

static int open_path(const char *path, int *fd_p, rub_error_t *err)
{
    if (strcmp(path, "-") == 0) {
        *fd_p = fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 0);
        return *fd_p >= 0 ? 0 : rub_fail_errno(err, RUB_EDATA, errno, "standard input is not open");
    }
    uint64_t bytes = 0;
    const int rc = rub_fs_open_regular(path, fd_p, &bytes, err);
    return rc ? rub_wrap(err, RUB_EDATA, "data file '%s'", path) : 0;
}

int rub_packed_file_open(const char *path, rub_packed_file_t **file_p, rub_error_t *err)
{
    int fd = -1;
    *file_p = NULL;
    int rc = open_path(path, &fd, err);
    if (rc != 0) {
        return rc;
    }
    rub_packed_file_t *file = rub_calloc(1, sizeof *file);
    if (file == NULL) {
        close(fd);
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
    }
    file->path = path;
    rc = rub_unpacker_open(path, fd, &file->unpacker, err);
    if (rc != 0) {
        rub_packed_file_close(&file);
    }
    *file_p = file;
    return rc;
}

void rub_packed_file_close(rub_packed_file_t **file_p)
{
    rub_packed_file_t *file = *file_p;
    if (file == NULL) {
        return;
    }
    rub_unpacker_close(&file->unpacker);
    rub_free(file);
    *file_p = NULL;
}

int rub_packed_file_read_some(rub_packed_file_t *file, void *data, size_t bytes, size_t *got_p,
                              rub_error_t *err)
{
    uint8_t *const at = data;
    size_t got = 0;
    int rc = 0;
    while (rc == 0 && got < bytes) {
        size_t n = 0;
        rc = rub_unpacker_next(file->unpacker, at + got, bytes - got, &n, err);
        got += n;
        file->offset += n;
        if (n == 0) {
            break;
        }
    }
    *got_p = rc == 0 ? got : 0;
    return rc;
}

static int ends_too_early(const rub_packed_file_t *file, uint64_t expected, rub_error_t *err)
{
    return rub_fail(
        err, RUB_EDATA, "data file '%s' ends at byte %" PRIu64 ", expected %s%" PRIu64 " bytes",
        file->path, file->offset,
        rub_unpacker_packing(file->unpacker) == RUB_PLAIN ? "" : "(decompressed) ", expected);
}

int rub_packed_file_read(rub_packed_file_t *file, void *data, size_t bytes, rub_error_t *err)
{
    const uint64_t expected = file->offset + bytes;
    size_t got = 0;
    const int rc = rub_packed_file_read_some(file, data, bytes, &got, err);
    if (rc != 0) {
        return rc;
    }
    return got == bytes ? 0 : ends_too_early(file, expected, err);
}

int rub_packed_file_read_new(rub_packed_file_t *file, size_t bytes, void **data_p, rub_error_t *err)
{
    const uint64_t expected = file->offset + bytes;
    uint8_t *data = NULL;
    size_t have = 0;
    size_t capacity = bytes < FIRST_BLOCK ? bytes : FIRST_BLOCK;
    int rc = 0;
    *data_p = NULL;
    while (true) {
        uint8_t *larger = rub_realloc_array(data, capacity, 1);
        if (larger == NULL) {
            rc = rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for %zu bytes", file->path,
                          capacity);
            goto out;
        }
        data = larger;
        size_t got = 0;
        rc = rub_packed_file_read_some(file, data + have, capacity - have, &got, err);
        if (rc != 0) {
            goto out;
        }
        have += got;
        if (have < capacity) {
            rc = ends_too_early(file, expected, err);
            goto out;
        }
        if (have == bytes) {
            break;
        }
        capacity = capacity < bytes / 2 ? capacity * 2 : bytes;
    }
    *data_p = data;
    data = NULL;
out:
    rub_free(data);
    return rc;
}

static int skip_to(rub_packed_file_t *file, uint64_t offset, rub_error_t *err)
{
    uint8_t *const skipped = rub_alloc(SKIP_BYTES);
    int rc = skipped ? 0 : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", file->path);
    while (rc == 0 && file->offset < offset) {
        const uint64_t left = offset - file->offset;
        const size_t want = left < SKIP_BYTES ? (size_t)left : SKIP_BYTES;
        rc = rub_packed_file_read(file, skipped, want, err);
    }
    rub_free(skipped);
    return rc;
}

int rub_packed_file_seek(rub_packed_file_t *file, uint64_t offset, rub_error_t *err)
{
    const bool plain = !rub_packed_file_packed(file);
    int rc = 0;
    if (offset == file->offset) {
        return 0;
    }
    if (plain || offset < file->offset) {
        rc = rub_unpacker_seek(file->unpacker, plain ? offset : 0, err);
        file->offset = plain ? offset : 0;
    }
    return rc ? rc : skip_to(file, offset, err);
}

bool rub_packed_file_packed(const rub_packed_file_t *file)
{
    return rub_unpacker_packing(file->unpacker) != RUB_PLAIN;
}

int rub_packed_file_expect_end(rub_packed_file_t *file, rub_error_t *err)
{
    const uint64_t expected = file->offset;
    uint8_t extra;
    size_t got = 0;
    const int rc = rub_packed_file_read_some(file, &extra, 1, &got, err);
    if (rc != 0) {
        return rc;
    }
    if (got > 0) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' goes on after byte %" PRIu64
                        ", where its header says it ends",
                        file->path, expected);
    }
    if (rub_unpacker_cut(file->unpacker)) {
        const bool gzip = rub_unpacker_packing(file->unpacker) == RUB_GZIP;
        return rub_fail(err, RUB_EDATA, "data file '%s' is truncated: its %s is missing",
                        file->path, gzip ? "gzip checksum" : "zstd stream's end");
    }
    return 0;
}
