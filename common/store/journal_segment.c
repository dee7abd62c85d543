/* The journal's files. Appending to fresh pages costs several times more than writing over old
 * ones, so segments are filled with zeros ahead of need and used again when their records are no
 * longer wanted.
 *
 * Invariant: whatever a segment held in an earlier life never reads as a record of this one. Hence
 * numbers are never used twice, a frame's CRC begins with the segment's number and covers the lsn,
 * and lsns only rise.
 *
 * Records are copied into a shared mapping where that is possible: half the cost of a write, and
 * the page cache keeps them for a killed process just the same. But a sync, the kernel's own
 * write-back included, takes from every page the permission to be written, and to get it back is a
 * fault of the page: 1.9 s per GB with pages of 4 KiB, more than a write costs, 0.1 with huge ones.
 * Pre-writing by 2 MiB at multiples of 2 MiB lets the page cache have huge ones, where the kernel
 * can (ext4 since 6.16); how many faults a mapping took when it was made tells. A segment that has
 * no huge ones is written with pwritev the next time when it was synced while it was in use, and
 * mapped anew when it was mapped for longer than the kernel leaves dirty pages alone (30 s). The
 * beginning of the file is left out and pre-written alone, because the header is synced alone: its
 * neighbours go with it, as far as the page cache has them in one piece. */
#include "common/store/journal_segment.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/crc32c.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/base/mutant.h"
#include "common/base/timing.h"
#include "common/store/journal_file.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/magic.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <sys/vfs.h>
#include <unistd.h>

static const uint8_t magic[8] = {'R', 'U', 'B', 'J', 'R', 'N', 'L', '\n'};
enum {
    SEGMENT_VERSION = 1,
    ZEROS_BYTES = 2 * 1024 * 1024, /* a huge page */
    MAPPED_LIMIT_MS = 20 * 1000,
    BYTES_PER_FAULT = 32 * 1024 /* of a mapping, at least: its faults cost no more than pwritev */
};

/* magic 8 | version u32 | crc u32 of all the rest | number | previous | previous_end | base_lsn |
 * bytes | boot | fresh */
static void header_write(const rub_segment_t *self, uint8_t out[RUB_SEGMENT_HEADER_BYTES])
{
    memcpy(out, magic, sizeof(magic));
    rub_put_u32(out + 8, SEGMENT_VERSION);
    rub_put_u32(out + 12, 0);
    rub_put_u64(out + 16, self->number);
    rub_put_u64(out + 24, self->previous);
    rub_put_u64(out + 32, self->previous_end);
    rub_put_u64(out + 40, self->base_lsn);
    rub_put_u64(out + 48, self->bytes);
    rub_put_u64(out + 56, self->boot);
    rub_put_u64(out + 64, self->fresh);
    rub_put_u32(out + 12, rub_crc32c(0, out, RUB_SEGMENT_HEADER_BYTES));
}

static bool all_zero(const uint8_t *data, size_t bytes)
{
    for (size_t i = 0; i < bytes; i++) {
        if (data[i]) {
            return false;
        }
    }
    return true;
}

/* A header of zeros, or one of ours that does not check out, may be a torn write; anything else is
 * not ours. */
static int header_read(rub_segment_t *self, uint8_t in[RUB_SEGMENT_HEADER_BYTES], rub_error_t *err)
{
    if (all_zero(in, RUB_SEGMENT_HEADER_BYTES)) {
        return 0;
    }
    if (memcmp(in, magic, sizeof(magic)) != 0) {
        return rub_fail(err, RUB_ECORRUPT, "%s: not a segment of a journal", self->path);
    }
    const uint32_t crc = rub_get_u32(in + 12);
    rub_put_u32(in + 12, 0);
    if (rub_crc32c(0, in, RUB_SEGMENT_HEADER_BYTES) != crc) {
        return 0;
    }
    if (rub_get_u32(in + 8) != SEGMENT_VERSION) {
        return rub_fail(err, RUB_ECORRUPT, "%s: format version %u, this program reads %d",
                        self->path, rub_get_u32(in + 8), SEGMENT_VERSION);
    }
    if (rub_get_u64(in + 16) != self->number) {
        return 0; /* the header of an earlier life: the one that belongs here never reached the
                     platter */
    }
    if (rub_get_u64(in + 48) < RUB_SEGMENT_HEADER_BYTES ||
        rub_get_u64(in + 48) > RUB_JOURNAL_SEGMENT_MAX) {
        return rub_fail(err, RUB_ECORRUPT, "%s: its header says %llu bytes, expected %u to %u",
                        self->path, (unsigned long long)rub_get_u64(in + 48),
                        RUB_SEGMENT_HEADER_BYTES, RUB_JOURNAL_SEGMENT_MAX);
    }
    self->previous = rub_get_u64(in + 24);
    self->previous_end = rub_get_u64(in + 32);
    self->base_lsn = rub_get_u64(in + 40);
    self->bytes = rub_get_u64(in + 48);
    self->boot = rub_get_u64(in + 56);
    self->fresh = rub_get_u64(in + 64) != 0;
    self->last_lsn = self->base_lsn;
    self->whole = true;
    return 0;
}

static rub_segment_t *segment_new(const char *path)
{
    rub_segment_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return NULL;
    }
    self->fd = -1;
    self->path = rub_strdup(path);
    if (!self->path) {
        rub_segment_close(&self);
    }
    return self;
}

static void unmap(rub_segment_t *self)
{
    if (self->map) {
        (void)munmap(self->map, self->mapped_bytes);
        self->map = NULL;
    }
}

void rub_segment_close(rub_segment_t **self_p)
{
    rub_segment_t *self = *self_p;
    *self_p = NULL;
    if (!self) {
        return;
    }
    unmap(self);
    if (self->fd >= 0) {
        (void)close(self->fd);
    }
    rub_free(self->path);
    rub_free(self);
}

/* Writing over a page must neither ask for space nor move it: other file systems copy on write, and
 * a full disk would end the process with SIGBUS instead of ENOSPC. */
static bool writes_in_place(int fd)
{
    struct statfs system;
    return fstatfs(fd, &system) == 0 &&
           (system.f_type == EXT4_SUPER_MAGIC || system.f_type == XFS_SUPER_MAGIC ||
            system.f_type == TMPFS_MAGIC);
}

bool rub_segment_map_is_stale(const rub_segment_t *self)
{
    return self->map && !self->faults_are_cheap &&
           rub_now_ms() - self->mapped_ms >= MAPPED_LIMIT_MS;
}

/* Page faults of this thread, ever. */
static uint64_t n_faults(void)
{
    struct rusage usage;
    return getrusage(RUSAGE_THREAD, &usage) == 0 ? (uint64_t)(usage.ru_minflt + usage.ru_majflt)
                                                 : 0;
}

void rub_segment_map(rub_segment_t *self)
{
    const bool synced = atomic_exchange(&self->synced, false) && !self->faults_are_cheap;
    if (synced || rub_segment_map_is_stale(self)) {
        unmap(self);
    }
    if (synced || self->map || self->bytes <= RUB_SEGMENT_MAPPED_ABOVE ||
        !writes_in_place(self->fd)) {
        return;
    }
    const uint64_t bytes = self->bytes - RUB_SEGMENT_MAPPED_FROM;
    void *map =
        mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, self->fd, RUB_SEGMENT_MAPPED_FROM);
    if (map == MAP_FAILED) {
        return;
    }
    /* All pages at once, here and not under a shard's hands. */
    const uint64_t faults = n_faults();
    if (madvise(map, bytes, MADV_POPULATE_WRITE) != 0) {
        (void)munmap(map, bytes);
        return;
    }
    self->map = map;
    self->mapped_bytes = bytes;
    self->mapped_ms = rub_now_ms();
    self->faults_are_cheap = (n_faults() - faults) * BYTES_PER_FAULT <= bytes;
}

/* A quota and a file size limit are a lack of space to us too. */
static int space_code(int errno_value)
{
    return errno_value == ENOSPC || errno_value == EDQUOT || errno_value == EFBIG ? RUB_ENOSPC
                                                                                  : RUB_ESTORE;
}

/* How much is pre-written at once there: up to where the page cache's next huge page begins. */
static size_t zeros_at(const rub_segment_t *self, uint64_t at)
{
    const uint64_t next = at < RUB_SEGMENT_MAPPED_FROM ? RUB_SEGMENT_MAPPED_FROM
                                                       : at + ZEROS_BYTES - at % ZEROS_BYTES;
    return (next < self->bytes ? next : self->bytes) - at;
}

static int fill_with_zeros(rub_segment_t *self, rub_error_t *err)
{
    /* First the space, in one piece and all or nothing; then the pages, so that later writes find
     * them. File systems that cannot reserve fail in the second step instead. */
    const int failure = posix_fallocate(self->fd, 0, (off_t)self->bytes);
    if (failure && failure != EINVAL && failure != EOPNOTSUPP) {
        return rub_fail_errno(err, space_code(failure), failure, "cannot reserve %zu bytes for %s",
                              (size_t)self->bytes, self->path);
    }
    uint8_t *zeros = rub_calloc(1, ZEROS_BYTES);
    if (!zeros) {
        return rub_fail(err, RUB_ENOMEM, "no memory to pre-write %s", self->path);
    }
    int rc = 0;
    for (uint64_t at = 0; at < self->bytes && !rc;) {
        const ssize_t n = pwrite(self->fd, zeros, zeros_at(self, at), (off_t)at);
        if (n > 0) {
            at += (uint64_t)n;
        } else if (n == 0 || errno != EINTR) {
            rc = rub_fail_errno(err, n ? space_code(errno) : RUB_ENOSPC, n ? errno : ENOSPC,
                                "cannot pre-write %s", self->path);
        }
    }
    if (!rc && fdatasync(self->fd) != 0) {
        rc = rub_fail_errno(err, space_code(errno), errno, "cannot sync %s", self->path);
    }
    rub_free(zeros);
    return rc;
}

int rub_segment_make(const char *path, uint64_t bytes, rub_segment_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_segment_t *self = segment_new(path);
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %s", path);
    }
    self->bytes = bytes;
    self->fresh = true;
    self->fd = open(path, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (self->fd < 0) {
        const int rc = rub_fail_errno(err, space_code(errno), errno, "cannot make %s", path);
        rub_segment_close(&self);
        return rc;
    }
    const int rc = fill_with_zeros(self, err);
    if (rc) {
        (void)unlink(path);
        rub_segment_close(&self);
        return rc;
    }
    *self_p = self;
    return 0;
}

int rub_segment_read_at(const rub_segment_t *self, uint64_t offset, uint8_t *data, uint64_t bytes,
                        rub_error_t *err)
{
    uint64_t got = 0;
    while (got < bytes) {
        const ssize_t n = pread(self->fd, data + got, bytes - got, (off_t)(offset + got));
        if (n == 0) {
            break;
        }
        if (n < 0 && errno != EINTR) {
            return rub_fail_errno(err, RUB_ESTORE, errno, "cannot read %s at %zu", self->path,
                                  (size_t)(offset + got));
        }
        got += n > 0 ? (uint64_t)n : 0;
    }
    memset(data + got, 0, bytes - got);
    return 0;
}

static int open_with(const char *path, uint64_t number, int flags, rub_segment_t **self_p,
                     rub_error_t *err)
{
    *self_p = NULL;
    rub_segment_t *self = segment_new(path);
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %s", path);
    }
    int rc = 0;
    struct stat status;
    self->fd = open(path, flags | O_CLOEXEC);
    if (self->fd < 0 || fstat(self->fd, &status) != 0) {
        rc = rub_fail_errno(err, RUB_ESTORE, errno, "cannot open %s", path);
        goto out;
    }
    self->bytes = (uint64_t)status.st_size;
    self->number = number;
    if (number) {
        uint8_t header[RUB_SEGMENT_HEADER_BYTES];
        rc = rub_segment_read_at(self, 0, header, sizeof(header), err);
        rc = rc ? rc : header_read(self, header, err);
    }
    self->end = RUB_SEGMENT_HEADER_BYTES;
    if (rc == 0) {
        *self_p = self;
        self = NULL;
    }
out:
    rub_segment_close(&self);
    return rc;
}

int rub_segment_open(const char *path, uint64_t number, rub_segment_t **self_p, rub_error_t *err)
{
    return open_with(path, number, O_RDWR, self_p, err);
}

int rub_segment_open_to_read(const char *path, uint64_t number, rub_segment_t **self_p,
                             rub_error_t *err)
{
    return open_with(path, number, O_RDONLY, self_p, err);
}

int rub_segment_rename(rub_segment_t *self, const char *path, rub_error_t *err)
{
    char *copy = rub_strdup(path);
    if (!copy) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %s", path);
    }
    if (rename(self->path, path) != 0) {
        const int rc = rub_fail_errno(err, space_code(errno), errno, "cannot rename %s to %s",
                                      self->path, path);
        rub_free(copy);
        return rc;
    }
    rub_free(self->path);
    self->path = copy;
    return 0;
}

int rub_segment_take(rub_segment_t *self, const char *path, rub_error_t *err)
{
    uint8_t header[RUB_SEGMENT_HEADER_BYTES];
    header_write(self, header);
    /* Header first: a file that bears the name of a segment has its header, unless the power
     * failed. */
    const int rc = rub_fs_pwrite(self->fd, header, sizeof(header), 0, err);
    if (rc) {
        return rub_wrap(err, rc == RUB_ENOSPC ? rc : RUB_ESTORE, "%s", self->path);
    }
    self->whole = true;
    self->end = RUB_SEGMENT_HEADER_BYTES;
    self->last_lsn = self->base_lsn;
    atomic_store(&self->dirty, true);
    atomic_store(&self->header_dirty, true);
    return rub_segment_rename(self, path, err);
}

int rub_segment_sync_header(rub_segment_t *self, rub_error_t *err)
{
    uint8_t header[RUB_SEGMENT_HEADER_BYTES];
    struct iovec piece = {header, sizeof(header)};
    header_write(self, header); /* what stands there, once more: its page alone is waited for */
    ssize_t n = 0;
    do {
        n = pwritev2(self->fd, &piece, 1, 0, RWF_DSYNC);
    } while (n < 0 && errno == EINTR);
    if (n == (ssize_t)sizeof(header)) {
        return 0;
    }
    /* A file system that knows no such write, or a full disk that takes no further one. Any other
     * failure is told here and once only: a sync behind it would find nothing wrong. */
    const bool other_way = n >= 0 || errno == EOPNOTSUPP || errno == ENOSYS || errno == EINVAL ||
                           space_code(errno) == RUB_ENOSPC;
    return other_way && fdatasync(self->fd) == 0
               ? 0
               : rub_fail_errno(err, RUB_ESTORE, errno, "cannot sync %s", self->path);
}

int rub_segment_unlink(rub_segment_t *self, rub_error_t *err)
{
    return unlink(self->path) == 0
               ? 0
               : rub_fail_errno(err, RUB_ESTORE, errno, "cannot remove %s", self->path);
}

int rub_segment_read(const rub_segment_t *self, uint8_t **data_p, rub_error_t *err)
{
    *data_p = NULL;
    uint8_t *data = rub_alloc_aligned(64, self->bytes);
    if (!data) {
        return rub_fail(err, RUB_ENOMEM, "no memory to read %s (%zu bytes)", self->path,
                        (size_t)self->bytes);
    }
    const int rc = rub_segment_read_at(self, 0, data, self->bytes, err);
    if (rc) {
        rub_free(data);
        return rc;
    }
    *data_p = data;
    return 0;
}

/* ---- frames: u32 payload bytes | u32 crc | u64 lsn | u8 type | 7 zeros | payload, padded with
 * zeros to 8 ---- */

uint32_t rub_frame_begin(uint8_t out[RUB_FRAME_HEADER_BYTES], uint64_t segment, uint64_t lsn,
                         uint8_t type, uint32_t payload_bytes)
{
    uint8_t seed[8];
    rub_put_u64(seed, RUB_MUTANT(STALE_SEGMENT) ? 0 : segment);
    rub_put_u32(out, payload_bytes);
    rub_put_u32(out + 4, 0);
    rub_put_u64(out + 8, lsn);
    memset(out + 16, 0, 8);
    out[16] = type;
    uint32_t crc = rub_crc32c(0, seed, sizeof(seed));
    crc = rub_crc32c(crc, out, 4);
    return rub_crc32c(crc, out + 8, 16);
}

void rub_frame_set_crc(uint8_t frame[RUB_FRAME_HEADER_BYTES], uint32_t crc)
{
    rub_put_u32(frame + 4, crc);
}

bool rub_frame_plausible(const uint8_t *at, uint64_t left, uint64_t after_lsn, rub_framed_t *record)
{
    if (left < RUB_FRAME_HEADER_BYTES || at[16] == 0 || !all_zero(at + 17, 7)) {
        return false;
    }
    *record = (rub_framed_t){
        .lsn = rub_get_u64(at + 8),
        .type = at[16],
        .payload = at + RUB_FRAME_HEADER_BYTES,
        .payload_bytes = rub_get_u32(at),
        .frame_bytes = rub_frame_bytes(rub_get_u32(at)),
    };
    return (record->lsn > after_lsn || RUB_MUTANT(STALE_SEGMENT)) && record->frame_bytes <= left;
}

bool rub_frame_valid(const uint8_t *at, uint64_t left, uint64_t segment, uint64_t after_lsn,
                     rub_framed_t *record)
{
    if (!rub_frame_plausible(at, left, after_lsn, record)) {
        return false;
    }
    uint8_t expected[RUB_FRAME_HEADER_BYTES];
    uint32_t crc =
        rub_frame_begin(expected, segment, record->lsn, record->type, record->payload_bytes);
    crc = rub_crc32c(crc, record->payload, record->frame_bytes - RUB_FRAME_HEADER_BYTES);
    return crc == rub_get_u32(at + 4);
}
