/* NumPy's files: .npy, one array, and .npz, a zip archive of them, "NAME.npy" each (numpy.savez).
 * Archives are written without compression, since float32 weights hardly shrink, and without zip64,
 * so below 4 GiB; read as common/tensor/zip_archive.h reads them, a member at a time. PKWARE,
 * APPNOTE.TXT 6.3. */
#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/fs.h"
#include "common/tensor/npy_header.h"
#include "common/tensor/tensor_file.h"
#include "common/tensor/zip_archive.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>
#include <zlib.h>

#define LOCAL_MAGIC 0x04034b50u
#define ENTRY_MAGIC 0x02014b50u
#define END_MAGIC 0x06054b50u
#define SUFFIX ".npy"
#define DATE_1980 0x21u /* the first day that zip knows: equal weights make equal files */
enum { LOCAL_BYTES = 30, ENTRY_BYTES = 46, END_BYTES = 22, VERSION = 20 };

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
    char header[RUB_NPY_WRITTEN_LIMIT];
    size_t header_bytes;
    uint8_t common[26];
    uint32_t at;
} member_t;

static size_t write_header(const rub_tensor_t *tensor, char out[RUB_NPY_WRITTEN_LIMIT])
{
    const rub_npy_header_t header = {.kind = tensor->type == RUB_TENSOR_U64 ? 'u' : 'f',
                                     .item_bytes = rub_tensor_item_bytes(tensor->type),
                                     .n_dimensions = tensor->n_dims,
                                     .shape = {tensor->shape[0], tensor->shape[1]}};
    return rub_npy_header_write(&header, out);
}

static void write_member(FILE *out, const rub_tensor_t *tensor, member_t *member)
{
    uint8_t magic[4];
    const uint64_t data_bytes = rub_tensor_bytes(tensor);
    member->header_bytes = write_header(tensor, member->header);
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
        whole += rub_tensor_bytes(&tensors[i]) + RUB_NPY_WRITTEN_LIMIT + LOCAL_BYTES + ENTRY_BYTES +
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

int rub_npy_write(FILE *out, const rub_tensor_t *tensors, size_t n, const rub_tensor_note_t *notes,
                  size_t n_notes, rub_error_t *err)
{
    char header[RUB_NPY_WRITTEN_LIMIT];
    (void)notes;
    (void)n_notes;
    if (n != 1) {
        return rub_fail(err, RUB_ECONFIG, "npy holds one tensor, not %zu", n);
    }
    fwrite(header, 1, write_header(tensors, header), out);
    fwrite(tensors->data, 1, (size_t)rub_tensor_bytes(tensors), out);
    return 0;
}

/* ---- reading ---- */

static int read_member(void *context, void *data, size_t bytes, rub_error_t *err)
{
    return rub_zip_archive_read(context, data, bytes, err);
}

static int set_name(rub_tensor_t *tensor, const rub_zip_entry_t *entry, rub_error_t *err)
{
    const size_t n = entry->name_bytes, tail = strlen(SUFFIX);
    const bool array = n > tail && memcmp(entry->name + n - tail, SUFFIX, tail) == 0;
    const size_t kept = array ? n - tail : n;
    if (kept > RUB_TENSOR_NAME_LIMIT || memchr(entry->name, '\0', n)) {
        return rub_fail(
            err, RUB_EDATA,
            "member '%.*s' has a name of %zu bytes, expected at most %u, none of them 0",
            kept < 40 ? (int)kept : 40, entry->name, kept, RUB_TENSOR_NAME_LIMIT);
    }
    memcpy(tensor->name, entry->name, kept);
    tensor->name[kept] = '\0';
    return 0;
}

/* What a model needs of all that arrays may be; n_bytes: of the header and the items. */
static int set_shape(rub_tensor_t *tensor, const rub_npy_header_t *header, uint64_t n_bytes,
                     rub_error_t *err)
{
    const bool values = header->kind == 'f' && header->item_bytes == 4;
    const bool keys = header->kind == 'u' && header->item_bytes == 8;
    if ((!values && !keys) || header->big_endian) {
        return rub_fail(
            err, RUB_EDATA,
            "array '%s' has items of '%c%c%zu', expected float32 ('<f4') or u64 ('<u8')",
            tensor->name, header->big_endian ? '>' : '<', header->kind, header->item_bytes);
    }
    if (header->n_dimensions < 1 || header->n_dimensions > 2 || header->n_items == 0) {
        return rub_fail(err, RUB_EDATA,
                        "array '%s' has %u dimensions and %" PRIu64
                        " items, expected one or two, none of them 0",
                        tensor->name, header->n_dimensions, header->n_items);
    }
    tensor->type = keys ? RUB_TENSOR_U64 : RUB_TENSOR_F32;
    tensor->n_dims = header->n_dimensions;
    tensor->shape[0] = header->shape[0];
    tensor->shape[1] = header->n_dimensions > 1 ? header->shape[1] : 0;
    if (n_bytes - header->bytes != rub_tensor_bytes(tensor)) {
        return rub_fail(err, RUB_EDATA,
                        "array '%s' has %" PRIu64 " bytes of data, expected %" PRIu64, tensor->name,
                        n_bytes - header->bytes, rub_tensor_bytes(tensor));
    }
    return 0;
}

static int take_member(rub_zip_archive_t *archive, const rub_zip_entry_t *entry,
                       rub_weights_t *weights, rub_error_t *err)
{
    rub_tensor_t tensor = {0};
    rub_npy_header_t header;
    char subject[RUB_TENSOR_NAME_LIMIT + 16];
    void *room = NULL;
    int rc = set_name(&tensor, entry, err);
    snprintf(subject, sizeof subject, "array '%s'", tensor.name);
    rc = rc ? rc : rub_zip_archive_begin(archive, entry, err);
    rc = rc ? rc : rub_npy_header_read(&header, subject, read_member, archive, err);
    rc = rc ? rc : set_shape(&tensor, &header, entry->bytes, err);
    rc = rc ? rc : rub_tensors_add(weights, &tensor, &room, err);
    rc = rc ? rc : rub_zip_archive_read(archive, room, (size_t)rub_tensor_bytes(&tensor), err);
    return rc ? rc : rub_zip_archive_expect_end(archive, err);
}

int rub_npz_read(const char *path, rub_weights_t *weights, rub_error_t *err)
{
    rub_zip_archive_t *archive = NULL;
    size_t n = 0;
    int rc = rub_zip_archive_open(path, &archive, err);
    const rub_zip_entry_t *entries = rc ? NULL : rub_zip_archive_entries(archive, &n);
    uint64_t left = rc ? 0 : rub_zip_archive_bytes(archive);
    for (size_t i = 0; rc == 0 && i < n; i++) {
        /* The same member under a thousand names is none. */
        rc = entries[i].packed_bytes > left
                 ? rub_fail(err, RUB_EDATA, "member '%.*s' lies where others do at byte %" PRIu64,
                            (int)entries[i].name_bytes, entries[i].name, entries[i].local)
                 : take_member(archive, &entries[i], weights, err);
        left -= rc ? 0 : entries[i].packed_bytes;
    }
    rub_zip_archive_close(&archive);
    return rc;
}

/* ---- one array ---- */

typedef struct array_file {
    int fd;
    uint64_t at, bytes;
} array_file_t;

static int read_array(void *context, void *data, size_t bytes, rub_error_t *err)
{
    array_file_t *self = context;
    if (bytes > self->bytes - self->at) {
        return rub_fail(err, RUB_EDATA, "it ends at byte %" PRIu64 ", expected %" PRIu64,
                        self->bytes, self->at + bytes);
    }
    const int rc = rub_fs_pread(self->fd, data, bytes, self->at, err);
    self->at += bytes;
    return rc;
}

int rub_npy_weights_read(const char *path, rub_weights_t *weights, rub_error_t *err)
{
    array_file_t file = {.fd = -1};
    rub_tensor_t tensor = {.name = "array"};
    rub_npy_header_t header;
    void *room = NULL;
    int rc = rub_fs_open_regular(path, &file.fd, &file.bytes, err);
    rc = rc ? rc : rub_npy_header_read(&header, "it", read_array, &file, err);
    rc = rc ? rc : set_shape(&tensor, &header, file.bytes, err);
    rc = rc ? rc : rub_tensors_add(weights, &tensor, &room, err);
    rc = rc ? rc : read_array(&file, room, (size_t)rub_tensor_bytes(&tensor), err);
    if (file.fd >= 0) {
        (void)close(file.fd);
    }
    return rc == RUB_EIO ? rub_wrap(err, RUB_EDATA, "array") : rc;
}
