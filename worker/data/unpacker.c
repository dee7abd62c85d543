/* Decompressing what is read.
 *
 * Why: data sets come compressed as often as not, by several programs, and from pipes, whose first
 * bytes can be looked at only once; so one buffer stands between the file and whatever decodes it.
 * Invariants: a stream that stops in its middle is never taken for a file that ends; memory does
 * not depend on what a file claims (Zstandard windows above 128 MiB are refused, as zstd does
 * itself). Several compressed streams behind each other are one content, as gzip and zstd have it;
 * what follows the last gzip stream and is none is ignored, as gzip does.
 * References: zlib.h, inflate; zstd.h, ZSTD_decompressStream. */
#include "worker/data/unpacker.h"

#include "common/base/alloc.h"
#include "common/base/error.h"

#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>
#include <zstd.h>

enum { BUFFER_BYTES = 256 * 1024, GZIP_ONLY = 16 + MAX_WBITS, MAGIC_BYTES = 4 };

struct rub_unpacker {
    const char *path;
    int fd;
    rub_packing_t packing;
    z_stream inflater;
    ZSTD_DCtx *zstd;
    size_t at, end;  /* of the buffer: what is not decoded yet */
    uint64_t offset; /* of the content: what comes next */
    bool ended;      /* nothing follows the buffer */
    bool within;     /* a compressed stream has begun and not ended */
    bool cut;
    uint8_t buffer[BUFFER_BYTES];
};

static int read_file(rub_unpacker_t *self, void *data, size_t bytes, size_t *got_p,
                     rub_error_t *err)
{
    ssize_t n = 0;
    do {
        n = read(self->fd, data, bytes);
    } while (n < 0 && errno == EINTR);
    *got_p = n > 0 ? (size_t)n : 0;
    self->ended = n == 0;
    return n >= 0
               ? 0
               : rub_fail_errno(err, RUB_EDATA, errno, "data file '%s' cannot be read", self->path);
}

/* At least `want` bytes in the buffer, unless the file ends before. */
static int fill(rub_unpacker_t *self, size_t want, rub_error_t *err)
{
    int rc = 0;
    memmove(self->buffer, self->buffer + self->at, self->end - self->at);
    self->end -= self->at;
    self->at = 0;
    while (rc == 0 && self->end < want && !self->ended) {
        size_t got = 0;
        rc = read_file(self, self->buffer + self->end, sizeof self->buffer - self->end, &got, err);
        self->end += got;
    }
    return rc;
}

static bool is_gzip(const uint8_t *head, size_t n)
{
    return n >= 2 && head[0] == 0x1f && head[1] == 0x8b;
}

/* A frame, or one of those that carry notes and are skipped. */
static bool is_zstd(const uint8_t *head, size_t n)
{
    const bool frame = n >= 4 && memcmp(head, "\x28\xb5\x2f\xfd", 4) == 0;
    const bool notes =
        n >= 4 && (head[0] & 0xf0) == 0x50 && memcmp(head + 1, "\x2a\x4d\x18", 3) == 0;
    return frame || notes;
}

static int begin(rub_unpacker_t *self, rub_error_t *err)
{
    const int rc = fill(self, MAGIC_BYTES, err);
    if (rc != 0) {
        return rc;
    }
    bool whole = true;
    if (is_gzip(self->buffer, self->end)) {
        whole = inflateInit2(&self->inflater, GZIP_ONLY) == Z_OK;
        self->packing = whole ? RUB_GZIP : RUB_PLAIN; /* plain: there is nothing to undo */
    } else if (is_zstd(self->buffer, self->end)) {
        self->zstd = ZSTD_createDCtx();
        self->packing = RUB_ZSTD;
        whole = self->zstd != NULL;
    }
    self->within = self->packing != RUB_PLAIN;
    return whole ? 0
                 : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for decompression",
                            self->path);
}

int rub_unpacker_open(const char *path, int fd, rub_unpacker_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_unpacker_t *self = rub_alloc(sizeof *self);
    if (self == NULL) {
        close(fd);
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
    }
    memset(self, 0, offsetof(rub_unpacker_t, buffer));
    self->path = path;
    self->fd = fd;
    const int rc = begin(self, err);
    if (rc != 0) {
        rub_unpacker_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_unpacker_close(rub_unpacker_t **self_p)
{
    rub_unpacker_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->packing == RUB_GZIP) {
        inflateEnd(&self->inflater);
    }
    ZSTD_freeDCtx(self->zstd);
    close(self->fd);
    rub_free(self);
    *self_p = NULL;
}

rub_packing_t rub_unpacker_packing(const rub_unpacker_t *self)
{
    return self->packing;
}

bool rub_unpacker_cut(const rub_unpacker_t *self)
{
    return self->cut;
}

static int damaged(const rub_unpacker_t *self, const char *why, rub_error_t *err)
{
    return rub_fail(err, RUB_EDATA,
                    "data file '%s' is damaged after byte %" PRIu64 " of its content: %s",
                    self->path, self->offset, why);
}

static int inflate_some(rub_unpacker_t *self, void *data, size_t bytes, size_t *got_p,
                        rub_error_t *err)
{
    z_stream *const z = &self->inflater;
    z->next_in = self->buffer + self->at;
    z->avail_in = (uInt)(self->end - self->at);
    z->next_out = data;
    z->avail_out = (uInt)bytes;
    const int code = inflate(z, Z_NO_FLUSH);
    self->at = self->end - z->avail_in;
    *got_p = bytes - z->avail_out;
    if (code == Z_STREAM_END) {
        self->within = false;
        return 0;
    }
    if (code == Z_MEM_ERROR) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory for decompression", self->path);
    }
    return code == Z_OK || code == Z_BUF_ERROR
               ? 0
               : damaged(self, z->msg != NULL ? z->msg : "it is no gzip", err);
}

static int zstd_some(rub_unpacker_t *self, void *data, size_t bytes, size_t *got_p,
                     rub_error_t *err)
{
    ZSTD_inBuffer in = {self->buffer, self->end, self->at};
    ZSTD_outBuffer out = {data, bytes, 0};
    const size_t left = ZSTD_decompressStream(self->zstd, &out, &in);
    self->at = in.pos;
    *got_p = out.pos;
    if (ZSTD_isError(left)) {
        return damaged(self, ZSTD_getErrorName(left), err);
    }
    self->within = left != 0;
    return 0;
}

/* Behind a compressed stream: does another one begin? */
static int begin_another(rub_unpacker_t *self, rub_error_t *err)
{
    const int rc = fill(self, MAGIC_BYTES, err);
    if (rc != 0) {
        return rc;
    }
    const uint8_t *const head = self->buffer + self->at;
    const size_t n = self->end - self->at;
    if (self->packing == RUB_GZIP) {
        self->within = is_gzip(head, n) && inflateReset(&self->inflater) == Z_OK;
        return 0;
    }
    self->within = n > 0; /* what is no frame is damage: zstd says so */
    return 0;
}

static int unpack(rub_unpacker_t *self, void *data, size_t bytes, size_t *got_p, rub_error_t *err)
{
    int rc = 0;
    while (rc == 0 && *got_p == 0) {
        if (!self->within) {
            rc = begin_another(self, err);
            if (rc != 0 || !self->within) {
                return rc;
            }
        }
        if (self->at == self->end) {
            rc = fill(self, 1, err);
        }
        const size_t before = self->end - self->at;
        if (rc == 0) {
            rc = self->packing == RUB_GZIP ? inflate_some(self, data, bytes, got_p, err)
                                           : zstd_some(self, data, bytes, got_p, err);
        }
        const bool moved = *got_p > 0 || self->end - self->at < before || !self->within;
        if (rc == 0 && !moved) {
            self->cut = true; /* all is decoded, and the stream has not ended */
            return 0;
        }
    }
    return rc;
}

static int read_plain(rub_unpacker_t *self, void *data, size_t bytes, size_t *got_p,
                      rub_error_t *err)
{
    const size_t held = self->end - self->at;
    if (held == 0) {
        return self->ended ? 0 : read_file(self, data, bytes, got_p, err);
    }
    *got_p = held < bytes ? held : bytes;
    memcpy(data, self->buffer + self->at, *got_p);
    self->at += *got_p;
    return 0;
}

int rub_unpacker_next(rub_unpacker_t *self, void *data, size_t bytes, size_t *got_p,
                      rub_error_t *err)
{
    const size_t most = (size_t)1 << 30; /* zlib counts in unsigned */
    const size_t want = bytes < most ? bytes : most;
    *got_p = 0;
    if (bytes == 0 || self->cut) {
        return 0;
    }
    const int rc = self->packing == RUB_PLAIN ? read_plain(self, data, want, got_p, err)
                                              : unpack(self, data, want, got_p, err);
    self->offset += *got_p;
    return rc;
}

int rub_unpacker_seek(rub_unpacker_t *self, uint64_t offset, rub_error_t *err)
{
    if (offset > INT64_MAX || lseek(self->fd, (off_t)offset, SEEK_SET) < 0) {
        return rub_fail(err, RUB_EDATA, "data file '%s' cannot be read from another byte on",
                        self->path);
    }
    self->at = self->end = 0;
    self->offset = offset;
    self->ended = self->cut = false;
    self->within = self->packing != RUB_PLAIN;
    if (self->packing == RUB_GZIP) {
        inflateReset(&self->inflater);
    } else if (self->packing == RUB_ZSTD) {
        ZSTD_DCtx_reset(self->zstd, ZSTD_reset_session_only);
    }
    return 0;
}
