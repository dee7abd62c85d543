/* Reading a file that may be gzip.
 *
 * Why: data sets come compressed as often as not, and zlib's gzread reads both kinds alike; but it
 * reports trouble in three ways (a negative count, a short count, gzerror), and a truncated stream
 * looks like a short file. Here each becomes one sentence with the file and the offset. Invariant:
 * memory in use never exceeds twice what has really been read (plus one block), whatever a header
 * claims. Reference: zlib.h, gzread and gzerror. */
#include "worker/data/zlib_file.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#define FIRST_BLOCK ((size_t)1 << 20)
#define GZREAD_LIMIT ((size_t)1 << 30) /* gzread counts in int */

struct rub_zlib_file {
    const char *path;
    gzFile stream;
    uint64_t offset; /* bytes read so far */
};

int rub_zlib_file_open(const char *path, rub_zlib_file_t **file_p, rub_error_t *err)
{
    int rc = 0;
    rub_zlib_file_t *file = NULL;
    *file_p = NULL;
    /* NONBLOCK: opening a named pipe must not wait for a writer. It means nothing for regular
     * files. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) {
        rc = rub_fail_errno(err, RUB_EDATA, errno, "data file '%s' cannot be opened", path);
        goto out;
    }
    struct stat status;
    if (fstat(fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        rc = rub_fail(err, RUB_EDATA, "data file '%s' is not a regular file", path);
        goto out;
    }
    file = rub_calloc(1, sizeof *file);
    if (file == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
        goto out;
    }
    file->path = path;
    file->stream = gzdopen(fd, "rb");
    if (file->stream == NULL) {
        rc = rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for decompression", path);
        goto out;
    }
    fd = -1; /* the stream owns it */
    gzbuffer(file->stream, 256u * 1024u);
    *file_p = file;
    file = NULL;
out:
    if (fd >= 0) {
        close(fd);
    }
    rub_zlib_file_close(&file);
    return rc;
}

void rub_zlib_file_close(rub_zlib_file_t **file_p)
{
    rub_zlib_file_t *file = *file_p;
    if (file == NULL) {
        return;
    }
    if (file->stream != NULL) {
        gzclose_r(file->stream);
    }
    rub_free(file);
    *file_p = NULL;
}

int rub_zlib_file_read_some(rub_zlib_file_t *file, void *data, size_t bytes, size_t *got_p,
                            rub_error_t *err)
{
    uint8_t *at = data;
    size_t got = 0;
    *got_p = 0;
    while (got < bytes) {
        const size_t want = bytes - got < GZREAD_LIMIT ? bytes - got : GZREAD_LIMIT;
        const int n = gzread(file->stream, at + got, (unsigned)want);
        if (n > 0) {
            got += (size_t)n;
            file->offset += (uint64_t)n;
            continue;
        }
        int code = Z_OK;
        const char *text = gzerror(file->stream, &code);
        if (code == Z_ERRNO) {
            return rub_fail_errno(err, RUB_EDATA, errno,
                                  "data file '%s' cannot be read at byte %" PRIu64, file->path,
                                  file->offset);
        }
        /* Z_BUF_ERROR is a compressed stream that stops: to us the file just ends here. */
        if (code != Z_OK && code != Z_STREAM_END && code != Z_BUF_ERROR) {
            return rub_fail(err, RUB_EDATA,
                            "data file '%s' is damaged after byte %" PRIu64 " of its content: %s",
                            file->path, file->offset, text);
        }
        break;
    }
    *got_p = got;
    return 0;
}

static int ends_too_early(const rub_zlib_file_t *file, uint64_t expected, rub_error_t *err)
{
    return rub_fail(
        err, RUB_EDATA, "data file '%s' ends at byte %" PRIu64 ", expected %s%" PRIu64 " bytes",
        file->path, file->offset, gzdirect(file->stream) ? "" : "(decompressed) ", expected);
}

int rub_zlib_file_read(rub_zlib_file_t *file, void *data, size_t bytes, rub_error_t *err)
{
    const uint64_t expected = file->offset + bytes;
    size_t got = 0;
    const int rc = rub_zlib_file_read_some(file, data, bytes, &got, err);
    if (rc != 0) {
        return rc;
    }
    return got == bytes ? 0 : ends_too_early(file, expected, err);
}

int rub_zlib_file_read_new(rub_zlib_file_t *file, size_t bytes, void **data_p, rub_error_t *err)
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
        rc = rub_zlib_file_read_some(file, data + have, capacity - have, &got, err);
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

int rub_zlib_file_seek(rub_zlib_file_t *file, uint64_t offset, rub_error_t *err)
{
    if (offset > INT64_MAX || gzseek(file->stream, (z_off_t)offset, SEEK_SET) != (z_off_t)offset) {
        return rub_fail(err, RUB_EDATA, "data file '%s' cannot be read from byte %" PRIu64,
                        file->path, offset);
    }
    file->offset = offset;
    return 0;
}

bool rub_zlib_file_packed(const rub_zlib_file_t *file)
{
    return gzdirect(file->stream) == 0;
}

int rub_zlib_file_expect_end(rub_zlib_file_t *file, rub_error_t *err)
{
    const uint64_t expected = file->offset;
    uint8_t extra;
    size_t got = 0;
    const int rc = rub_zlib_file_read_some(file, &extra, 1, &got, err);
    if (rc != 0) {
        return rc;
    }
    if (got > 0) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' goes on after byte %" PRIu64
                        ", where its header says it ends",
                        file->path, expected);
    }
    int code = Z_OK;
    gzerror(file->stream, &code);
    if (code == Z_BUF_ERROR) {
        return rub_fail(err, RUB_EDATA, "data file '%s' is truncated: its gzip checksum is missing",
                        file->path);
    }
    return 0;
}
