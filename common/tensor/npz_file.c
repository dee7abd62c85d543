/* NumPy's .npz: a zip archive of .npy arrays, "NAME.npy" each (PKWARE's APPNOTE; numpy.savez).
 * Written without compression, since float32 weights hardly shrink, and without zip64, so below 4
 * GiB; read with and without compression, by the directory at the archive's end, whose sizes and
 * places are held against the file before they are believed. */
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/tensor/npy_header.h"
#include "common/tensor/tensor_file.h"

#include <inttypes.h>
#include <string.h>
#include <zlib.h>

#define LOCAL_MAGIC 0x04034b50u
#define ENTRY_MAGIC 0x02014b50u
#define END_MAGIC 0x06054b50u
#define SUFFIX ".npy"
#define DATE_1980 0x21u /* the first day that zip knows: equal weights make equal files */
enum { LOCAL_BYTES = 30, ENTRY_BYTES = 46, END_BYTES = 22, COMMENT_LIMIT = 65535 };
enum { VERSION = 20, STORED = 0, DEFLATED = 8 };
#define DEFLATE_RATIO 1040u /* it cannot shrink by more (zlib's technical notes) */
#define FILE_LIMIT ((size_t)64 << 30)

/* ---- writing ---- */

static uint32_t crc_of(uint32_t crc, const void *data, uint64_t n_bytes)
{
    return (uint32_t)crc32_z(crc, data, (z_size_t)n_bytes);
}

/* What a local header and an entry of the directory have in common, 26 bytes from the version on.
 */
static void put_common(uint8_t *out, const rub_tensor_t *tensor, uint32_t crc, uint64_t n_bytes)
{
    memset(out, 0, 26);
    rub_put_u16(out, VERSION);
    rub_put_u16(out + 8, DATE_1980);
    rub_put_u32(out + 10, crc);
    rub_put_u32(out + 14, (uint32_t)n_bytes);
    rub_put_u32(out + 18, (uint32_t)n_bytes);
    rub_put_u16(out + 22, (uint16_t)(strlen(tensor->name) + strlen(SUFFIX)));
}

typedef struct member {
    char header[RUB_NPY_HEADER_LIMIT];
    size_t header_bytes;
    uint8_t common[26];
    uint32_t at;
} member_t;

static void write_member(FILE *out, const rub_tensor_t *tensor, member_t *member)
{
    uint8_t magic[4];
    const uint64_t data_bytes = rub_tensor_bytes(tensor);
    member->header_bytes = rub_npy_header_write(tensor, member->header);
    const uint32_t crc =
        crc_of(crc_of(0, member->header, member->header_bytes), tensor->data, data_bytes);
    put_common(member->common, tensor, crc, member->header_bytes + data_bytes);
    rub_put_u32(magic, LOCAL_MAGIC);
    fwrite(magic, 1, sizeof magic, out);
    fwrite(member->common, 1, sizeof member->common, out);
    fprintf(out, "%s" SUFFIX, tensor->name);
    fwrite(member->header, 1, member->header_bytes, out);
    fwrite(tensor->data, 1, (size_t)data_bytes, out);
}

static void write_entry(FILE *out, const rub_tensor_t *tensor, const member_t *member)
{
    uint8_t entry[ENTRY_BYTES] = {0};
    rub_put_u32(entry, ENTRY_MAGIC);
    rub_put_u16(entry + 4, VERSION);
    memcpy(entry + 6, member->common, sizeof member->common);
    rub_put_u32(entry + 42, member->at);
    fwrite(entry, 1, sizeof entry, out);
    fprintf(out, "%s" SUFFIX, tensor->name);
}

static void write_end(FILE *out, size_t n, uint64_t at, uint64_t n_bytes)
{
    uint8_t end[END_BYTES] = {0};
    rub_put_u32(end, END_MAGIC);
    rub_put_u16(end + 8, (uint16_t)n);
    rub_put_u16(end + 10, (uint16_t)n);
    rub_put_u32(end + 12, (uint32_t)n_bytes);
    rub_put_u32(end + 16, (uint32_t)at);
    fwrite(end, 1, sizeof end, out);
}

int rub_npz_write(FILE *out, const rub_tensor_t *tensors, size_t n, const rub_tensor_note_t *notes,
                  size_t n_notes, rub_error_t *err)
{
    uint64_t whole = END_BYTES;
    (void)notes;
    (void)n_notes;
    for (size_t i = 0; i < n; i++) {
        whole += rub_tensor_bytes(&tensors[i]) + RUB_NPY_HEADER_LIMIT + LOCAL_BYTES + ENTRY_BYTES +
                 2 * (RUB_TENSOR_NAME_LIMIT + 4);
    }
    if (whole > UINT32_MAX || n > UINT16_MAX) {
        return rub_fail(err, RUB_ECONFIG,
                        "npz holds less than 4 GiB, not %zu tensors of %" PRIu64
                        " bytes together; safetensors holds more",
                        n, whole);
    }
    member_t *members = rub_calloc(n + 1, sizeof(*members));
    if (!members) {
        return rub_fail(err, RUB_ENOMEM, "no memory for %zu tensors", n);
    }
    uint64_t at = 0, directory = 0;
    for (size_t i = 0; i < n; i++) {
        const size_t name_bytes = strlen(tensors[i].name) + strlen(SUFFIX);
        members[i].at = (uint32_t)at;
        write_member(out, &tensors[i], &members[i]);
        at += LOCAL_BYTES + name_bytes + members[i].header_bytes + rub_tensor_bytes(&tensors[i]);
        directory += ENTRY_BYTES + name_bytes;
    }
    for (size_t i = 0; i < n; i++) {
        write_entry(out, &tensors[i], &members[i]);
    }
    write_end(out, n, at, directory);
    rub_free(members);
    return 0;
}

/* ---- reading ---- */

typedef struct archive {
    const uint8_t *data;
    uint64_t n_bytes;
} archive_t;

static int damaged(const char *what, uint64_t at, rub_error_t *err)
{
    return rub_fail(err, RUB_EDATA, "%s at byte %" PRIu64, what, at);
}

/* One member, inflated if need be: n_bytes at *data_p; *fresh_p: to be freed. */
static int unpack(const archive_t *self, const uint8_t *entry, const uint8_t **data_p,
                  size_t *n_bytes_p, uint8_t **fresh_p, rub_error_t *err)
{
    const uint32_t method = rub_get_u16(entry + 10);
    const uint64_t packed = rub_get_u32(entry + 20), n_bytes = rub_get_u32(entry + 24);
    const uint64_t local = rub_get_u32(entry + 42);
    *fresh_p = NULL;
    if (local + LOCAL_BYTES > self->n_bytes || rub_get_u32(self->data + local) != LOCAL_MAGIC) {
        return damaged("no member", local, err);
    }
    const uint64_t begin = local + LOCAL_BYTES + rub_get_u16(self->data + local + 26) +
                           rub_get_u16(self->data + local + 28);
    if (begin > self->n_bytes || packed > self->n_bytes - begin ||
        n_bytes > packed * DEFLATE_RATIO + 64 || (method == STORED && packed != n_bytes)) {
        return damaged("a member of an impossible size", local, err);
    }
    *n_bytes_p = (size_t)n_bytes;
    *data_p = self->data + begin;
    if (method == DEFLATED) {
        *fresh_p = rub_calloc((size_t)n_bytes + 1, 1);
        if (!*fresh_p) {
            return rub_fail(err, RUB_ENOMEM, "no memory for %" PRIu64 " bytes", n_bytes);
        }
        z_stream stream = {.next_in = (Bytef *)(uintptr_t)*data_p,
                           .avail_in = (uInt)packed,
                           .next_out = *fresh_p,
                           .avail_out = (uInt)n_bytes};
        const bool whole = inflateInit2(&stream, -MAX_WBITS) == Z_OK &&
                           inflate(&stream, Z_FINISH) == Z_STREAM_END && stream.avail_out == 0;
        (void)inflateEnd(&stream);
        *data_p = *fresh_p;
        if (!whole) {
            return damaged("a member that can not be decompressed", local, err);
        }
    } else if (method != STORED) {
        return damaged("a member of an unknown compression", local, err);
    }
    return crc_of(0, *data_p, n_bytes) == rub_get_u32(entry + 16)
               ? 0
               : damaged("a member that does not check", local, err);
}

static int take_member(const archive_t *self, const uint8_t *entry, rub_weights_t *weights,
                       rub_error_t *err)
{
    rub_tensor_t tensor = {0};
    const uint8_t *data = NULL;
    uint8_t *fresh = NULL;
    size_t n_bytes = 0, begin = 0;
    const size_t name_bytes = rub_get_u16(entry + 28), tail = strlen(SUFFIX);
    const char *name = (const char *)entry + ENTRY_BYTES;
    const bool array = name_bytes > tail && memcmp(name + name_bytes - tail, SUFFIX, tail) == 0;
    const size_t kept = array ? name_bytes - tail : name_bytes;
    if (kept > RUB_TENSOR_NAME_LIMIT || memchr(name, '\0', name_bytes)) {
        return rub_fail(err, RUB_EDATA, "a name of %zu bytes, expected at most %u", kept,
                        RUB_TENSOR_NAME_LIMIT);
    }
    memcpy(tensor.name, name, kept);
    int rc = unpack(self, entry, &data, &n_bytes, &fresh, err);
    rc = rc ? rc : rub_npy_header_read(data, n_bytes, &tensor, &begin, err);
    void *room = NULL;
    rc = rc ? rc : rub_tensors_add(weights, &tensor, &room, err);
    if (rc == 0) {
        memcpy(room, data + begin, (size_t)rub_tensor_bytes(&tensor));
    }
    rub_free(fresh);
    return rc;
}

/* The end's record stands last, or before a comment. */
static const uint8_t *find_end(const archive_t *self)
{
    for (uint64_t back = END_BYTES; back <= self->n_bytes && back <= END_BYTES + COMMENT_LIMIT;
         back++) {
        const uint8_t *at = self->data + self->n_bytes - back;
        if (rub_get_u32(at) == END_MAGIC && rub_get_u16(at + 20) == back - END_BYTES) {
            return at;
        }
    }
    return NULL;
}

static int take_all(const archive_t *self, rub_weights_t *weights, rub_error_t *err)
{
    const uint8_t *end = find_end(self);
    if (!end) {
        return rub_fail(err, RUB_EDATA, "it is no .npz: a zip archive's end is missing");
    }
    const uint32_t n = rub_get_u16(end + 10);
    const uint64_t stop = (uint64_t)(end - self->data);
    uint64_t at = rub_get_u32(end + 16);
    uint64_t left = self->n_bytes; /* the same member under a thousand names is none */
    for (uint32_t i = 0; i < n; i++) {
        if (at + ENTRY_BYTES > stop || rub_get_u32(self->data + at) != ENTRY_MAGIC) {
            return damaged("no entry of the directory", at, err);
        }
        const uint8_t *entry = self->data + at;
        at += ENTRY_BYTES + (uint64_t)rub_get_u16(entry + 28) + rub_get_u16(entry + 30) +
              rub_get_u16(entry + 32);
        if (at > stop) {
            return damaged("an entry of the directory that is cut off", at, err);
        }
        const uint64_t packed = rub_get_u32(entry + 20);
        const int rc = packed > left ? damaged("a member that lies where others do",
                                               rub_get_u32(entry + 42), err)
                                     : take_member(self, entry, weights, err);
        left -= packed;
        if (rc) {
            return rc;
        }
    }
    return 0;
}

int rub_npz_read(const char *path, rub_weights_t *weights, rub_error_t *err)
{
    char *data = NULL;
    size_t n_bytes = 0;
    int rc = rub_fs_read(path, FILE_LIMIT, &data, &n_bytes, err);
    if (rc == 0) {
        const archive_t archive = {(const uint8_t *)data, n_bytes};
        rc = take_all(&archive, weights, err);
    } else if (rc != RUB_ENOMEM) {
        rc = rub_wrap(err, RUB_EDATA, "it can not be read");
    }
    rub_free(data);
    return rc;
}
