/* A snapshot may be read years later, on another machine, from a copy of a copy. So nothing in it
 * is believed before its checksum has been seen, each thing that can be wrong with a file has a
 * sentence of its own, and a file that was cut off can not be taken for a short one: the end says
 * how many blocks there are, and nothing may follow it.
 *
 * Invariant: a file that bears its final name is whole and on the platter; what is being written
 * ends in ".new". Blocks are numbered, so one that was swapped with another of the same bytes'
 * length does not check out. */
#include "common/store/snapshot_file.h"

#include "common/base/alloc.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/hash.h"

#include <errno.h>
#include <fcntl.h>
#include <libgen.h>
#include <stdio.h>
#include <unistd.h>

static const uint8_t magic[8] = {'R', 'U', 'B', 'S', 'N', 'A', 'P', '\n'};
enum { VERSION = 1, HEAD_BYTES = 32, BLOCK_HEAD_BYTES = 24, END_SECTION = 0, END_BYTES = 16 };
enum { BUFFER_BYTES = 1 << 20, ALIGNMENT = 4096 };

static uint64_t hash_more(uint64_t hash, uint32_t crc, uint64_t n_bytes)
{
    return rub_mix64(hash ^ ((uint64_t)crc << 32 ^ n_bytes)) + n_bytes;
}

/* Of head (its last 4 bytes are the CRC's place) and payload. */
static uint32_t block_crc(const uint8_t *head, size_t head_bytes, const void *payload,
                          size_t n_bytes)
{
    return rub_crc32c(rub_crc32c(0, head, head_bytes - 4), payload, n_bytes);
}

/* ---- writing ---- */

struct rub_snapshot_writer {
    char *path, *making;
    int fd;
    uint64_t n_blocks, hash;
    uint64_t flushed; /* bytes of the file */
    uint8_t *buffer;  /* behind them */
    size_t used;
    bool direct; /* past the page cache: nobody reads it soon, and others need their pages */
};

/* Some file systems open a file so and then refuse to write; and the end is of any length. */
static void stop_direct(rub_snapshot_writer_t *self)
{
    const int flags = fcntl(self->fd, F_GETFL);
    if (flags >= 0) {
        (void)fcntl(self->fd, F_SETFL, flags & ~O_DIRECT);
    }
    self->direct = false;
}

static int flush(rub_snapshot_writer_t *self, rub_error_t *err)
{
    if (self->direct && self->used % ALIGNMENT != 0) {
        stop_direct(self);
    }
    int rc = rub_fs_pwrite(self->fd, self->buffer, self->used, self->flushed, err);
    if (rc && self->direct) {
        stop_direct(self);
        rc = rub_fs_pwrite(self->fd, self->buffer, self->used, self->flushed, err);
    }
    if (rc) {
        return rub_wrap(err, rc == RUB_ENOSPC ? rc : RUB_ESTORE, "cannot write %s", self->path);
    }
    self->flushed += self->used;
    self->used = 0;
    return 0;
}

static int append(rub_snapshot_writer_t *self, const void *data, size_t n_bytes, rub_error_t *err)
{
    const uint8_t *from = data;
    int rc = 0;
    while (n_bytes > 0 && !rc) {
        const size_t room = BUFFER_BYTES - self->used;
        const size_t n = n_bytes < room ? n_bytes : room;
        memcpy(self->buffer + self->used, from, n);
        self->used += n;
        from += n;
        n_bytes -= n;
        rc = self->used == BUFFER_BYTES ? flush(self, err) : 0;
    }
    return rc;
}

static int open_file(rub_snapshot_writer_t *self, rub_error_t *err)
{
    const int flags = O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC;
    self->fd = open(self->making, flags | O_DIRECT, 0666);
    self->direct = self->fd >= 0;
    if (self->fd < 0 && errno == EINVAL) {
        self->fd = open(self->making, flags, 0666);
    }
    return self->fd >= 0
               ? 0
               : rub_fail_errno(err, errno == ENOSPC || errno == EDQUOT ? RUB_ENOSPC : RUB_ESTORE,
                                errno, "cannot make %s", self->making);
}

int rub_snapshot_writer_open(const char *path, rub_snapshot_kind_t kind,
                             rub_snapshot_writer_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_snapshot_writer_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory to write %s", path);
    }
    self->fd = -1;
    self->path = rub_strdup(path);
    self->making = rub_sprintf("%s.new", path);
    self->buffer = rub_alloc_aligned(ALIGNMENT, BUFFER_BYTES);
    int rc = self->path && self->making && self->buffer
                 ? open_file(self, err)
                 : rub_fail(err, RUB_ENOMEM, "no memory to write %s", path);
    if (rc) {
        goto out;
    }
    uint8_t head[HEAD_BYTES] = {0};
    memcpy(head, magic, sizeof(magic));
    rub_put_u32(head + 8, VERSION);
    rub_put_u32(head + 12, kind);
    rub_put_u32(head + HEAD_BYTES - 4, rub_crc32c(0, head, HEAD_BYTES - 4));
    rc = append(self, head, sizeof(head), err);
    self->hash = kind;
    *self_p = self;
    self = NULL;
out:
    rub_snapshot_writer_close(&self);
    return rc;
}

static int put_block(rub_snapshot_writer_t *self, uint32_t section, const void *payload,
                     size_t n_bytes, rub_error_t *err)
{
    static const uint8_t zeros[8] = {0};
    uint8_t head[BLOCK_HEAD_BYTES] = {0};
    rub_put_u32(head, (uint32_t)n_bytes);
    rub_put_u32(head + 4, section);
    rub_put_u64(head + 8, self->n_blocks);
    const uint32_t crc = block_crc(head, sizeof(head), payload, n_bytes);
    rub_put_u32(head + BLOCK_HEAD_BYTES - 4, crc);
    int rc = append(self, head, sizeof(head), err);
    rc = rc ? rc : append(self, payload, n_bytes, err);
    rc = rc ? rc : append(self, zeros, (8 - n_bytes % 8) % 8, err);
    self->n_blocks++;
    if (section != END_SECTION) {
        self->hash = hash_more(self->hash, crc, n_bytes);
    }
    return rc;
}

int rub_snapshot_writer_put(rub_snapshot_writer_t *self, uint32_t section, const void *payload,
                            size_t n_bytes, rub_error_t *err)
{
    if (section == END_SECTION) {
        return rub_fail(err, RUB_EINVAL, "section 0 of %s is its end", self->path);
    }
    if (n_bytes > RUB_SNAPSHOT_BLOCK_LIMIT) {
        return rub_fail(err, RUB_ELIMIT, "%s: a block of %zu bytes, at most %u", self->path,
                        n_bytes, RUB_SNAPSHOT_BLOCK_LIMIT);
    }
    return put_block(self, section, payload, n_bytes, err);
}

static int sync_parent(const char *path, rub_error_t *err)
{
    char *copy = rub_strdup(path);
    if (!copy) {
        return rub_fail(err, RUB_ENOMEM, "no memory to sync the folder of %s", path);
    }
    const int rc = rub_fs_sync_folder(dirname(copy), err);
    rub_free(copy);
    return rc ? rub_wrap(err, RUB_ESTORE, "cannot finish %s", path) : 0;
}

int rub_snapshot_writer_finish(rub_snapshot_writer_t *self, uint64_t *n_bytes_p, uint64_t *hash_p,
                               rub_error_t *err)
{
    uint8_t end[END_BYTES];
    rub_put_u64(end, self->n_blocks);
    rub_put_u64(end + 8, self->hash);
    int rc = put_block(self, END_SECTION, end, sizeof(end), err);
    rc = rc ? rc : flush(self, err);
    if (rc) {
        return rc;
    }
    if (fdatasync(self->fd) != 0) {
        return rub_fail_errno(err, errno == ENOSPC ? RUB_ENOSPC : RUB_ESTORE, errno,
                              "cannot sync %s", self->making);
    }
    if (rename(self->making, self->path) != 0) {
        return rub_fail_errno(err, RUB_ESTORE, errno, "cannot rename %s", self->making);
    }
    rub_free(self->making);
    self->making = NULL; /* nothing is left to be removed */
    *n_bytes_p = self->flushed;
    *hash_p = self->hash;
    return sync_parent(self->path, err);
}

void rub_snapshot_writer_close(rub_snapshot_writer_t **self_p)
{
    rub_snapshot_writer_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    if (self->fd >= 0) {
        (void)close(self->fd);
        if (self->making) {
            (void)unlink(self->making);
        }
    }
    rub_free(self->buffer);
    rub_free(self->path);
    rub_free(self->making);
    rub_free(self);
}

/* ---- reading ---- */

typedef struct source {
    const char *path;
    int fd;
    uint64_t at; /* of the next byte */
    uint8_t *payload;
    size_t capacity;
    uint64_t n_blocks, hash;
} source_t;

/* Reads up to bytes; *got_p less: the file ends. */
static int take(source_t *self, void *data, size_t bytes, size_t *got_p, rub_error_t *err)
{
    size_t got = 0;
    while (got < bytes) {
        const ssize_t n = read(self->fd, (uint8_t *)data + got, bytes - got);
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return rub_fail_errno(err, RUB_ESTORE, errno, "cannot read %s at offset %llu",
                                  self->path, (unsigned long long)(self->at + got));
        }
        got += n > 0 ? (size_t)n : 0;
    }
    self->at += got;
    *got_p = got;
    return 0;
}

static int cut_off(const source_t *self, rub_error_t *err)
{
    return rub_fail(err, RUB_ECORRUPT,
                    "%s is cut off at offset %llu, in block %llu: its end is missing", self->path,
                    (unsigned long long)self->at, (unsigned long long)self->n_blocks);
}

static int read_head(source_t *self, rub_snapshot_kind_t kind, rub_error_t *err)
{
    static const char *const kinds[] = {"?", "a shard's part of a snapshot",
                                        "a snapshot's manifest"};
    uint8_t head[HEAD_BYTES];
    size_t got = 0;
    const int rc = take(self, head, sizeof(head), &got, err);
    if (rc) {
        return rc;
    }
    if (got < sizeof(magic) || memcmp(head, magic, sizeof(magic)) != 0) {
        return rub_fail(err, RUB_ECORRUPT, "%s is not a snapshot's file", self->path);
    }
    if (got < sizeof(head)) {
        return cut_off(self, err);
    }
    if (rub_crc32c(0, head, HEAD_BYTES - 4) != rub_get_u32(head + HEAD_BYTES - 4)) {
        return rub_fail(err, RUB_ECORRUPT, "%s is damaged at offset 0: the header does not check",
                        self->path);
    }
    if (rub_get_u32(head + 8) != VERSION) {
        return rub_fail(err, RUB_ECORRUPT, "%s has format version %u, this program reads %d",
                        self->path, rub_get_u32(head + 8), VERSION);
    }
    if (rub_get_u32(head + 12) != (uint32_t)kind) {
        return rub_fail(err, RUB_ECORRUPT, "%s is not %s", self->path, kinds[kind]);
    }
    self->hash = kind;
    return 0;
}

static int make_room(source_t *self, size_t bytes, rub_error_t *err)
{
    if (bytes <= self->capacity) {
        return 0;
    }
    rub_free(self->payload);
    self->capacity = 0;
    self->payload = rub_alloc_aligned(64, bytes);
    if (!self->payload) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a block of %zu bytes of %s", bytes,
                        self->path);
    }
    self->capacity = bytes;
    return 0;
}

/* Reads and checks one block. */
static int read_block(source_t *self, uint32_t *section_p, size_t *n_bytes_p, rub_error_t *err)
{
    uint8_t head[BLOCK_HEAD_BYTES];
    const unsigned long long at = self->at, number = self->n_blocks;
    size_t got = 0;
    int rc = take(self, head, sizeof(head), &got, err);
    if (rc || got < sizeof(head)) {
        return rc ? rc : cut_off(self, err);
    }
    const uint32_t n_bytes = rub_get_u32(head);
    const size_t padded = ((size_t)n_bytes + 7) / 8 * 8;
    if (n_bytes > RUB_SNAPSHOT_BLOCK_LIMIT || rub_get_u64(head + 8) != number) {
        return rub_fail(err, RUB_ECORRUPT,
                        "%s is damaged at offset %llu: the head of block %llu makes no sense",
                        self->path, at, number);
    }
    rc = make_room(self, padded, err);
    rc = rc ? rc : take(self, self->payload, padded, &got, err);
    if (rc || got < padded) {
        return rc ? rc : cut_off(self, err);
    }
    const uint32_t crc = block_crc(head, sizeof(head), self->payload, n_bytes);
    bool zeros = true;
    for (size_t i = n_bytes; i < padded; i++) {
        zeros = zeros && self->payload[i] == 0;
    }
    if (crc != rub_get_u32(head + BLOCK_HEAD_BYTES - 4) || !zeros) {
        return rub_fail(err, RUB_ECORRUPT,
                        "%s is damaged at offset %llu: block %llu (%u bytes) does not check",
                        self->path, at, number, n_bytes);
    }
    *section_p = rub_get_u32(head + 4);
    *n_bytes_p = n_bytes;
    if (*section_p != END_SECTION) {
        self->hash = hash_more(self->hash, crc, n_bytes);
        self->n_blocks++;
    }
    return 0;
}

static int check_end(source_t *self, size_t n_bytes, rub_error_t *err)
{
    if (n_bytes != END_BYTES || rub_get_u64(self->payload) != self->n_blocks ||
        rub_get_u64(self->payload + 8) != self->hash) {
        return rub_fail(err, RUB_ECORRUPT,
                        "%s has %llu blocks up to offset %llu, but its end does not match them",
                        self->path, (unsigned long long)self->n_blocks,
                        (unsigned long long)self->at);
    }
    uint8_t more = 0;
    size_t got = 0;
    const uint64_t end = self->at;
    const int rc = take(self, &more, 1, &got, err);
    if (rc == 0 && got > 0) {
        return rub_fail(err, RUB_ECORRUPT, "%s goes on behind its end at offset %llu", self->path,
                        (unsigned long long)end);
    }
    return rc;
}

static int read_blocks(source_t *self, rub_snapshot_visit_t visit, void *context, rub_error_t *err)
{
    for (;;) {
        uint32_t section = 0;
        size_t n_bytes = 0;
        int rc = read_block(self, &section, &n_bytes, err);
        if (rc == 0 && section == END_SECTION) {
            return check_end(self, n_bytes, err);
        }
        rc = rc == 0 && visit ? visit(context, section, self->payload, n_bytes, err) : rc;
        if (rc) {
            return rc;
        }
    }
}

int rub_snapshot_file_read(const char *path, rub_snapshot_kind_t kind, rub_snapshot_visit_t visit,
                           void *context, uint64_t *n_bytes_p, uint64_t *hash_p, rub_error_t *err)
{
    source_t self = {.path = path, .fd = open(path, O_RDONLY | O_CLOEXEC)};
    if (self.fd < 0) {
        return rub_fail_errno(err, RUB_ESTORE, errno, "cannot open %s", path);
    }
    int rc = read_head(&self, kind, err);
    rc = rc ? rc : read_blocks(&self, visit, context, err);
    (void)close(self.fd);
    rub_free(self.payload);
    if (n_bytes_p) {
        *n_bytes_p = self.at;
    }
    if (hash_p) {
        *hash_p = self.hash;
    }
    return rc;
}
