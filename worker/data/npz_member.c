/* Reading a zip archive.
 *
 * Why: NumPy keeps several arrays in one file as a zip archive (numpy.savez), and zlib knows the
 * compression but not the archive. Idea: the directory stands at the archive's end and says where
 * each member begins; what stands before the members themselves is not believed beyond the length
 * of its own fields. Invariants: every place that is read was held against the file's length; a
 * member is whole when its length and its CRC are those of the directory. Archives above 4 GiB
 * (zip64) are read; those in several parts or encrypted are not.
 * Reference: PKWARE, APPNOTE.TXT 6.3, sections 4.3.7, 4.3.12, 4.3.14, 4.3.16, 4.5.3. */
#include "worker/data/npz_member.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

enum { STORED = 0, DEFLATED = 8, ENCRYPTED = 1 };
enum { END_BYTES = 22, END64_BYTES = 56, LOCATOR_BYTES = 20, ENTRY_BYTES = 46, LOCAL_BYTES = 30 };
enum { BUFFER_BYTES = 64 * 1024 };
#define DIRECTORY_LIMIT ((uint64_t)64 << 20)
#define COMMENT_LIMIT 65535u

struct rub_npz_member {
    const char *path;
    int fd;
    uint64_t file_bytes;
    uint64_t begins, packed_bytes, bytes; /* of the member; bytes: of its content */
    uint32_t crc;
    bool deflated, inflating;
    uint64_t at, read; /* packed bytes, and bytes of the content, so far */
    uint32_t crc_so_far;
    z_stream z;
    uint8_t buffer[BUFFER_BYTES];
};

static int damaged(const rub_npz_member_t *self, uint64_t at, const char *why, rub_error_t *err)
{
    return rub_fail(err, RUB_EDATA, "data file '%s', byte %" PRIu64 ": %s", self->path, at, why);
}

static int read_at(const rub_npz_member_t *self, uint64_t at, void *data, size_t bytes,
                   rub_error_t *err)
{
    if (at > self->file_bytes || bytes > self->file_bytes - at) {
        return damaged(self, at, "the archive is cut, or no archive", err);
    }
    size_t done = 0;
    while (done < bytes) {
        const ssize_t n = pread(self->fd, (uint8_t *)data + done, bytes - done, (off_t)(at + done));
        if (n < 0 && errno == EINTR) {
            continue;
        }
        if (n <= 0) {
            return rub_fail_errno(err, RUB_EDATA, n < 0 ? errno : EIO,
                                  "data file '%s' cannot be read at byte %" PRIu64, self->path,
                                  at + done);
        }
        done += (size_t)n;
    }
    return 0;
}

/* ---- the directory ---- */

typedef struct directory {
    uint64_t begins, bytes, n_entries;
} directory_t;

/* The record at the archive's end; a comment may follow it. */
static int find_end(const rub_npz_member_t *self, uint64_t *at_p, rub_error_t *err)
{
    static const uint64_t most = END_BYTES + COMMENT_LIMIT;
    const size_t n = (size_t)(self->file_bytes < most ? self->file_bytes : most);
    uint8_t *const tail = rub_alloc(n + 1);
    int rc = tail ? 0 : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", self->path);
    rc = rc ? rc : read_at(self, self->file_bytes - n, tail, n, err);
    for (size_t i = n >= END_BYTES ? n - END_BYTES + 1 : 0; rc == 0 && i-- > 0;) {
        if (memcmp(tail + i, "PK\5\6", 4) == 0) {
            *at_p = self->file_bytes - n + i;
            rub_free(tail);
            return 0;
        }
    }
    rub_free(tail);
    return rc ? rc : damaged(self, self->file_bytes, "the archive ends without a directory", err);
}

static int find_directory(const rub_npz_member_t *self, directory_t *found, rub_error_t *err)
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
        if (at < LOCATOR_BYTES) {
            return damaged(self, at, "a large archive without its directory", err);
        }
        rc = read_at(self, at - LOCATOR_BYTES, end, LOCATOR_BYTES, err);
        if (rc == 0 && memcmp(end, "PK\6\7", 4) != 0) {
            rc = damaged(self, at - LOCATOR_BYTES, "a large archive without its directory", err);
        }
        at = rub_get_u64(end + 8);
        rc = rc ? rc : read_at(self, at, end, END64_BYTES, err);
        if (rc == 0 && memcmp(end, "PK\6\6", 4) != 0) {
            rc = damaged(self, at, "a large archive without its directory", err);
        }
        found->n_entries = rub_get_u64(end + 32);
        found->bytes = rub_get_u64(end + 40);
        found->begins = rub_get_u64(end + 48);
    }
    if (rc == 0 && (found->bytes > DIRECTORY_LIMIT || found->begins > self->file_bytes ||
                    found->bytes > self->file_bytes - found->begins)) {
        rc = damaged(self, at, "the directory lies outside the file", err);
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

typedef struct entry {
    const char *name;
    size_t name_bytes, bytes; /* bytes: of the entry itself */
    unsigned flags, method;
    uint32_t crc;
    uint64_t packed, unpacked, local;
} entry_t;

/* The entry at `at`, of which `left` bytes are there. */
static bool read_entry(const uint8_t *at, size_t left, entry_t *entry)
{
    if (left < ENTRY_BYTES || memcmp(at, "PK\1\2", 4) != 0) {
        return false;
    }
    const size_t name = rub_get_u16(at + 28);
    const size_t extra = rub_get_u16(at + 30);
    const size_t comment = rub_get_u16(at + 32);
    *entry = (entry_t){.name = (const char *)at + ENTRY_BYTES,
                       .name_bytes = name,
                       .bytes = ENTRY_BYTES + name + extra + comment,
                       .flags = rub_get_u16(at + 8),
                       .method = rub_get_u16(at + 10),
                       .crc = rub_get_u32(at + 16),
                       .packed = rub_get_u32(at + 20),
                       .unpacked = rub_get_u32(at + 24),
                       .local = rub_get_u32(at + 42)};
    return entry->bytes <= left &&
           widen(at + ENTRY_BYTES + name, extra,
                 (uint64_t *const[]){&entry->unpacked, &entry->packed, &entry->local});
}

static bool has_name(const entry_t *entry, const char *name)
{
    static const char suffix[] = ".npy";
    const size_t n = strlen(name);
    return (entry->name_bytes == n && memcmp(entry->name, name, n) == 0) ||
           (entry->name_bytes == n + 4 && memcmp(entry->name, name, n) == 0 &&
            memcmp(entry->name + n, suffix, 4) == 0);
}

static int no_such_member(const rub_npz_member_t *self, const char *name, uint64_t n_entries,
                          const entry_t *some, rub_error_t *err)
{
    if (name[0] != '\0' || n_entries == 0) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s' has no array '%s' among its %" PRIu64 " members",
                        self->path, name, n_entries);
    }
    const size_t n = some->name_bytes;
    const bool npy = n > 4 && memcmp(some->name + n - 4, ".npy", 4) == 0;
    return rub_fail(err, RUB_EDATA,
                    "data file '%s' has %" PRIu64
                    " members, expected the name of one behind a colon, as ':%.*s'",
                    self->path, n_entries, (int)(npy ? n - 4 : n), some->name);
}

static int choose(rub_npz_member_t *self, const directory_t *directory, const uint8_t *bytes,
                  const char *name, entry_t *chosen, rub_error_t *err)
{
    size_t at = 0;
    bool found = false;
    entry_t entry = {.name = ""};
    for (uint64_t i = 0; i < directory->n_entries && !found; i++) {
        if (!read_entry(bytes + at, (size_t)directory->bytes - at, &entry)) {
            return damaged(self, directory->begins + at, "the archive's directory is damaged", err);
        }
        at += entry.bytes;
        found = name[0] != '\0' ? has_name(&entry, name) : directory->n_entries == 1;
    }
    *chosen = entry;
    return found ? 0 : no_such_member(self, name, directory->n_entries, &entry, err);
}

static int locate(rub_npz_member_t *self, const entry_t *entry, rub_error_t *err)
{
    uint8_t local[LOCAL_BYTES];
    if (entry->flags & ENCRYPTED || (entry->method != STORED && entry->method != DEFLATED)) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s': member '%.*s' has compression %u%s, expected 0 or 8",
                        self->path, (int)entry->name_bytes, entry->name, entry->method,
                        entry->flags & ENCRYPTED ? " and is encrypted" : "");
    }
    const int rc = read_at(self, entry->local, local, sizeof local, err);
    if (rc != 0) {
        return rc;
    }
    if (memcmp(local, "PK\3\4", 4) != 0) {
        return damaged(self, entry->local, "expected a member of the archive", err);
    }
    self->begins = entry->local + LOCAL_BYTES + rub_get_u16(local + 26) + rub_get_u16(local + 28);
    self->packed_bytes = entry->packed;
    self->bytes = entry->unpacked;
    self->crc = entry->crc;
    self->deflated = entry->method == DEFLATED;
    if (self->begins > self->file_bytes || entry->packed > self->file_bytes - self->begins ||
        (!self->deflated && entry->packed != entry->unpacked)) {
        return damaged(self, entry->local, "a member goes on behind the archive's end", err);
    }
    return 0;
}

static int open_archive(rub_npz_member_t *self, const char *name, rub_error_t *err)
{
    struct stat status;
    self->fd = open(self->path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (self->fd < 0) {
        return rub_fail_errno(err, RUB_EDATA, errno, "data file '%s' cannot be opened", self->path);
    }
    if (fstat(self->fd, &status) != 0 || !S_ISREG(status.st_mode)) {
        return rub_fail(err, RUB_EDATA, "data file '%s' is not a regular file", self->path);
    }
    self->file_bytes = (uint64_t)status.st_size;
    directory_t directory = {0};
    entry_t entry = {0};
    int rc = find_directory(self, &directory, err);
    if (rc != 0) {
        return rc;
    }
    uint8_t *const bytes = rub_alloc((size_t)directory.bytes + 1);
    rc = bytes ? 0 : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", self->path);
    rc = rc ? rc : read_at(self, directory.begins, bytes, (size_t)directory.bytes, err);
    rc = rc ? rc : choose(self, &directory, bytes, name, &entry, err);
    rc = rc ? rc : locate(self, &entry, err);
    rub_free(bytes);
    if (rc == 0 && self->deflated) {
        self->inflating = inflateInit2(&self->z, -MAX_WBITS) == Z_OK;
        rc = self->inflating ? 0
                             : rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", self->path);
    }
    return rc;
}

int rub_npz_member_open(const char *path, const char *name, rub_npz_member_t **self_p,
                        rub_error_t *err)
{
    *self_p = NULL;
    rub_npz_member_t *self = rub_calloc(1, sizeof *self);
    if (self == NULL) {
        return rub_fail(err, RUB_ENOMEM, "data file '%s': no memory", path);
    }
    self->path = path;
    self->fd = -1;
    self->crc_so_far = (uint32_t)crc32(0, NULL, 0);
    const int rc = open_archive(self, name != NULL ? name : "", err);
    if (rc != 0) {
        rub_npz_member_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_npz_member_close(rub_npz_member_t **self_p)
{
    rub_npz_member_t *self = *self_p;
    if (self == NULL) {
        return;
    }
    if (self->inflating) {
        inflateEnd(&self->z);
    }
    if (self->fd >= 0) {
        close(self->fd);
    }
    rub_free(self);
    *self_p = NULL;
}

/* ---- the content ---- */

static int inflate_some(rub_npz_member_t *self, void *data, size_t bytes, size_t *got_p,
                        rub_error_t *err)
{
    z_stream *const z = &self->z;
    z->next_out = data;
    z->avail_out = (uInt)bytes;
    while (z->avail_out > 0) {
        const uint64_t left = self->packed_bytes - self->at;
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

int rub_npz_member_read(rub_npz_member_t *self, void *data, size_t bytes, rub_error_t *err)
{
    size_t got = 0;
    int rc = 0;
    if (bytes > self->bytes - self->read) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s': an array ends at byte %" PRIu64 " of %" PRIu64, self->path,
                        self->bytes, self->read + bytes);
    }
    if (self->deflated) {
        while (rc == 0 && got < bytes) {
            const size_t left = bytes - got;
            size_t n = 0;
            rc =
                inflate_some(self, (uint8_t *)data + got, left < 1 << 30 ? left : 1 << 30, &n, err);
            got += n;
            if (rc == 0 && n == 0) {
                rc = damaged(self, self->begins + self->at - self->z.avail_in,
                             "a compressed array is damaged", err);
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

int rub_npz_member_expect_end(rub_npz_member_t *self, rub_error_t *err)
{
    if (self->read != self->bytes) {
        return rub_fail(err, RUB_EDATA,
                        "data file '%s': an array goes on after byte %" PRIu64
                        ", where its header says it ends",
                        self->path, self->read);
    }
    return self->crc == self->crc_so_far
               ? 0
               : rub_fail(err, RUB_EDATA,
                          "data file '%s': an array has checksum %08" PRIx32
                          ", expected %08" PRIx32,
                          self->path, self->crc_so_far, self->crc);
}
