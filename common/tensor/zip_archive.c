/* Reading a zip archive.
 *
 * Why: NumPy keeps several arrays in one file as a zip archive (numpy.savez), and zlib knows the
 * compression but not the archive. Idea: the directory stands at the archive's end and says where
 * each member begins; what stands before the members themselves is not believed beyond the length
 * of its own fields. Invariants: every place that is read was held against the file's length; no
 * member claims more content than deflate can have made of its bytes, so whoever makes room for it
 * is not lied to; a member is whole when its length and its CRC are those of the directory.
 * Archives above 4 GiB (zip64) are read; those in several parts or encrypted are not.
 * Reference: PKWARE, APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12, 4.3.14, 4.3.16, 4.5.3. */
#include "common/tensor/zip_archive.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

enum { STORED = 0, DEFLATED = 8, ENCRYPTED = 1 };
enum { END_BYTES = 22, END64_BYTES = 56, LOCATOR_BYTES = 20, ENTRY_BYTES = 46, LOCAL_BYTES = 30 };
enum { BUFFER_BYTES = 64 * 1024 };
#define DIRECTORY_LIMIT ((uint64_t)64 << 20)
#define COMMENT_LIMIT 65535u
#define DEFLATE_RATIO 1040u /* it cannot shrink by more (zlib's technical notes) */
#define DEFLATE_LEAST 64u   /* bytes of content that cost none, generously */

struct rub_zip_archive {
    int fd;
    uint64_t file_bytes;
    uint8_t *directory; /* its bytes: the entries' names lie there */
    rub_zip_entry_t *entries;
    size_t n_entries;

    rub_zip_entry_t member; /* what is read now: */
    uint64_t begins;
    bool inflating;
    uint64_t at, read; /* packed bytes, and bytes of the content, so far */
    uint32_t crc_so_far;
    z_stream z;
    uint8_t buffer[BUFFER_BYTES];
};

static int damaged(uint64_t at, const char *why, rub_error_t *err)
{
    return rub_fail(err, RUB_EDATA, "byte %" PRIu64 ": %s", at, why);
}

static int read_at(const rub_zip_archive_t *self, uint64_t at, void *data, size_t bytes,
                   rub_error_t *err)
{
    if (at > self->file_bytes || bytes > self->file_bytes - at) {
        return damaged(at, "the archive is cut, or no archive", err);
    }
    return rub_fs_pread(self->fd, data, bytes, at, err);
}

/* ---- the directory ---- */

typedef struct directory {
    uint64_t begins, bytes, n_entries;
} directory_t;

/* The record at the archive's end, or before the comment there, whose length it says. */
static int find_end(const rub_zip_archive_t *self, uint64_t *at_p, rub_error_t *err)
{
    static const uint64_t most = END_BYTES + COMMENT_LIMIT;
    const size_t n = (size_t)(self->file_bytes < most ? self->file_bytes : most);
    uint8_t *const tail = rub_alloc(n + 1);
    int rc = tail ? 0 : rub_fail(err, RUB_ENOMEM, "no memory for %zu bytes", n);
    rc = rc ? rc : read_at(self, self->file_bytes - n, tail, n, err);
    for (size_t i = n >= END_BYTES ? n - END_BYTES + 1 : 0; rc == 0 && i-- > 0;) {
        if (memcmp(tail + i, "PK\5\6", 4) == 0 && rub_get_u16(tail + i + 20) == n - END_BYTES - i) {
            *at_p = self->file_bytes - n + i;
            rub_free(tail);
            return 0;
        }
    }
    rub_free(tail);
    return rc ? rc : damaged(self->file_bytes, "the archive ends without a directory", err);
}

static int find_directory(const rub_zip_archive_t *self, directory_t *found, rub_error_t *err)
{
    uint8_t end[END64_BYTES];
    uint64_t at = 0;
    int rc = find_end(self, &at, err);
    rc = rc ? rc : read_at(self, at, end, END_BYTES, err);
    if (rc != 0) {
        return rc;
    }
    *found = (directory_t){.n_entries = rub_get_u16(end + 10),
                           .bytes = rub_get_u32(end + 12),
                           .begins = rub_get_u32(end + 16)};
    if (found->begins == UINT32_MAX || found->n_entries == UINT16_MAX) {
        static const char without[] = "a large archive without its directory";
        if (at < LOCATOR_BYTES) {
            return damaged(at, without, err);
        }
        rc = read_at(self, at - LOCATOR_BYTES, end, LOCATOR_BYTES, err);
        if (rc == 0 && memcmp(end, "PK\6\7", 4) != 0) {
            rc = damaged(at - LOCATOR_BYTES, without, err);
        }
        at = rub_get_u64(end + 8);
        rc = rc ? rc : read_at(self, at, end, END64_BYTES, err);
        if (rc == 0 && memcmp(end, "PK\6\6", 4) != 0) {
            rc = damaged(at, without, err);
        }
        found->n_entries = rub_get_u64(end + 32);
        found->bytes = rub_get_u64(end + 40);
        found->begins = rub_get_u64(end + 48);
    }
    if (rc == 0 && (found->bytes > DIRECTORY_LIMIT || found->begins > self->file_bytes ||
                    found->bytes > self->file_bytes - found->begins)) {
        rc = damaged(at, "the directory lies outside the file", err);
    }
    if (rc == 0 && found->n_entries > found->bytes / ENTRY_BYTES) {
        rc = damaged(at, "the directory is too short for its entries", err);
    }
    return rc;
}

/* Fields of 32 bits that were too small have their values in the extra field of id 1, in this
 * order. */
static bool widen(const uint8_t *extra, size_t bytes, uint64_t *const fields[3])
{
    while (bytes >= 4) {
        const size_t n = rub_get_u16(extra + 2);
        if (n > bytes - 4) {
            return false;
        }
        size_t used = 0;
        for (int i = 0; rub_get_u16(extra) == 1 && i < 3; i++) {
            if (*fields[i] == UINT32_MAX) {
                if (n - used < 8) {
                    return false;
                }
                *fields[i] = rub_get_u64(extra + 4 + used);
                used += 8;
            }
        }
        extra += 4 + n;
        bytes -= 4 + n;
    }
    return true;
}

/* The entry at `at`, of which `left` bytes are there; returns its length, 0: it is damaged. */
static size_t read_entry(const uint8_t *at, size_t left, rub_zip_entry_t *entry)
{
    if (left < ENTRY_BYTES || memcmp(at, "PK\1\2", 4) != 0) {
        return 0;
    }
    const size_t name = rub_get_u16(at + 28);
    const size_t extra = rub_get_u16(at + 30);
    const size_t comment = rub_get_u16(at + 32);
    const size_t bytes = ENTRY_BYTES + name + extra + comment;
    *entry = (rub_zip_entry_t){.name = (const char *)at + ENTRY_BYTES,
                               .name_bytes = name,
                               .flags = rub_get_u16(at + 8),
                               .method = rub_get_u16(at + 10),
                               .crc = rub_get_u32(at + 16),
                               .packed_bytes = rub_get_u32(at + 20),
                               .bytes = rub_get_u32(at + 24),
                               .local = rub_get_u32(at + 42)};
    return bytes <= left &&
                   widen(at + ENTRY_BYTES + name, extra,
                         (uint64_t *const[]){&entry->bytes, &entry->packed_bytes, &entry->local})
               ? bytes
               : 0;
}

static int read_directory(rub_zip_archive_t *self, rub_error_t *err)
{
    directory_t directory = {0};
    int rc = find_directory(self, &directory, err);
    if (rc != 0) {
        return rc;
    }
    self->directory = rub_alloc((size_t)directory.bytes + 1);
    self->entries = rub_calloc((size_t)directory.n_entries + 1, sizeof *self->entries);
    if (self->directory == NULL || self->entries == NULL) {
        return rub_fail(err, RUB_ENOMEM, "no memory for a directory of %" PRIu64 " bytes",
                        directory.bytes);
    }
    rc = read_at(self, directory.begins, self->directory, (size_t)directory.bytes, err);
    for (size_t at = 0; rc == 0 && self->n_entries < directory.n_entries;) {
        const size_t bytes = read_entry(self->directory + at, (size_t)directory.bytes - at,
                                        &self->entries[self->n_entries]);
        if (bytes == 0) {
            return damaged(directory.begins + at, "the archive's directory is damaged", err);
        }
        at += bytes;
        self->n_entries++;
    }
    return rc;
}

int rub_zip_archive_open(const char *path, rub_zip_archive_t **self_p, rub_error_t *err)
{
    *self_p = NULL;
    rub_zip_archive_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu bytes", sizeof *self);
    }
    int rc = rub_fs_open_regular(path, &self->fd, &self->file_bytes, err);
    rc = rc ? rc : read_directory(self, err);
    if (rc != 0) {
        rub_zip_archive_close(&self);
    }
    *self_p = self;
    return rc;
}

static void end_member(rub_zip_archive_t *self)
{
    if (self->inflating) {
        inflateEnd(&self->z);
    }
    self->inflating = false;
}

void rub_zip_archive_close(rub_zip_archive_t **self_p)
{
    rub_zip_archive_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    end_member(self);
    if (self->fd >= 0) {
        close(self->fd);
    }
    rub_free(self->directory);
    rub_free(self->entries);
    rub_free(self);
    *self_p = NULL;
}

const rub_zip_entry_t *rub_zip_archive_entries(const rub_zip_archive_t *self, size_t *n_p)
{
    *n_p = self->n_entries;
    return self->entries;
}

uint64_t rub_zip_archive_bytes(const rub_zip_archive_t *self)
{
    return self->file_bytes;
}

/* ---- a member ---- */

static int bad_member(const rub_zip_entry_t *entry, uint64_t at, const char *why, rub_error_t *err)
{
    return rub_fail(err, RUB_EDATA, "member '%.*s', byte %" PRIu64 ": %s", (int)entry->name_bytes,
                    entry->name, at, why);
}

static int locate(rub_zip_archive_t *self, const rub_zip_entry_t *entry, rub_error_t *err)
{
    uint8_t local[LOCAL_BYTES];
    if (entry->flags & ENCRYPTED || (entry->method != STORED && entry->method != DEFLATED)) {
        return rub_fail(err, RUB_EDATA, "member '%.*s' has compression %u%s, expected 0 or 8",
                        (int)entry->name_bytes, entry->name, entry->method,
                        entry->flags & ENCRYPTED ? " and is encrypted" : "");
    }
    const int rc = read_at(self, entry->local, local, sizeof local, err);
    if (rc != 0) {
        return rc;
    }
    if (memcmp(local, "PK\3\4", 4) != 0) {
        return bad_member(entry, entry->local, "expected the header of a member", err);
    }
    self->begins = entry->local + LOCAL_BYTES + rub_get_u16(local + 26) + rub_get_u16(local + 28);
    if (self->begins > self->file_bytes || entry->packed_bytes > self->file_bytes - self->begins) {
        return bad_member(entry, entry->local, "it goes on behind the archive's end", err);
    }
    /* Packed bytes are at most those of the file, so nothing overflows. */
    const bool possible = entry->method == STORED
                              ? entry->bytes == entry->packed_bytes
                              : entry->bytes <= entry->packed_bytes * DEFLATE_RATIO + DEFLATE_LEAST;
    return possible ? 0 : bad_member(entry, entry->local, "it is of an impossible size", err);
}

int rub_zip_archive_begin(rub_zip_archive_t *self, const rub_zip_entry_t *entry, rub_error_t *err)
{
    end_member(self);
    const int rc = locate(self, entry, err);
    if (rc != 0) {
        return rc;
    }
    self->member = *entry;
    self->at = self->read = 0;
    self->crc_so_far = (uint32_t)crc32(0, NULL, 0);
    self->z = (z_stream){0};
    self->inflating = entry->method == DEFLATED && inflateInit2(&self->z, -MAX_WBITS) == Z_OK;
    return entry->method == STORED || self->inflating
               ? 0
               : rub_fail(err, RUB_ENOMEM, "no memory to decompress");
}

static int inflate_some(rub_zip_archive_t *self, void *data, size_t bytes, size_t *got_p,
                        rub_error_t *err)
{
    z_stream *const z = &self->z;
    z->next_out = data;
    z->avail_out = (uInt)bytes;
    while (z->avail_out > 0) {
        const uint64_t left = self->member.packed_bytes - self->at;
        if (z->avail_in == 0 && left > 0) {
            const size_t n = left < BUFFER_BYTES ? (size_t)left : BUFFER_BYTES;
            const int rc = read_at(self, self->begins + self->at, self->buffer, n, err);
            if (rc != 0) {
                return rc;
            }
            self->at += n;
            z->next_in = self->buffer;
            z->avail_in = (uInt)n;
        }
        const int code = inflate(z, Z_NO_FLUSH);
        if (code != Z_OK) {
            break; /* its end, or damage: whoever counts bytes will say so */
        }
    }
    *got_p = bytes - z->avail_out;
    return 0;
}

int rub_zip_archive_read(rub_zip_archive_t *self, void *data, size_t bytes, rub_error_t *err)
{
    size_t got = 0;
    int rc = 0;
    if (bytes > self->member.bytes - self->read) {
        return rub_fail(err, RUB_EDATA, "member '%.*s' ends at byte %" PRIu64 ", expected %" PRIu64,
                        (int)self->member.name_bytes, self->member.name, self->member.bytes,
                        self->read + bytes);
    }
    if (self->inflating) {
        while (rc == 0 && got < bytes) {
            const size_t left = bytes - got;
            size_t n = 0;
            rc =
                inflate_some(self, (uint8_t *)data + got, left < 1 << 30 ? left : 1 << 30, &n, err);
            got += n;
            if (rc == 0 && n == 0) {
                rc = bad_member(&self->member, self->begins + self->at - self->z.avail_in,
                                "what is compressed is damaged", err);
            }
        }
    } else {
        rc = read_at(self, self->begins + self->read, data, bytes, err);
    }
    if (rc == 0) {
        self->read += bytes;
        self->crc_so_far = (uint32_t)crc32_z(self->crc_so_far, data, bytes);
    }
    return rc;
}

int rub_zip_archive_expect_end(const rub_zip_archive_t *self, rub_error_t *err)
{
    if (self->read != self->member.bytes) {
        return rub_fail(err, RUB_EDATA,
                        "member '%.*s' goes on after byte %" PRIu64
                        ", where its header says it ends",
                        (int)self->member.name_bytes, self->member.name, self->read);
    }
    return self->member.crc == self->crc_so_far
               ? 0
               : rub_fail(err, RUB_EDATA,
                          "member '%.*s' has checksum %08" PRIx32 ", expected %08" PRIx32,
                          (int)self->member.name_bytes, self->member.name, self->crc_so_far,
                          self->member.crc);
}
