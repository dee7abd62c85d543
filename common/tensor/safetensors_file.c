/* Safetensors: u64 length of the header, the header (JSON, padded with blanks so that what follows
 * is aligned to 8 bytes), and the tensors' bytes without a hole. An entry of the header says dtype,
 * shape and [begin, end) from the header's end; "__metadata__" is a map of strings.
 * https://github.com/huggingface/safetensors, "Format".
 *
 * Reading trusts no number: a tensor lies in the file, is as long as its shape says, and the header
 * is not larger than what the format allows. The file is read, not mapped: one that is cut
 * meanwhile is a sentence then, not SIGBUS. */
#include "common/tensor/tensor_file.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <inttypes.h>
#include <jansson.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define METADATA "__metadata__"
enum { LENGTH_BYTES = 8, ALIGNMENT = 8 };
#define HEADER_LIMIT UINT64_C(100000000) /* as the format has it */

/* ---- writing ---- */

static json_t *entry_of(const rub_tensor_t *tensor, uint64_t begin)
{
    json_t *shape = json_array();
    for (uint32_t i = 0; i < tensor->n_dims; i++) {
        json_array_append_new(shape, json_integer((json_int_t)tensor->shape[i]));
    }
    return json_pack("{s:s, s:o, s:[I, I]}", "dtype",
                     tensor->type == RUB_TENSOR_U64 ? "U64" : "F32", "shape", shape, "data_offsets",
                     (json_int_t)begin, (json_int_t)(begin + rub_tensor_bytes(tensor)));
}

static char *header_of(const rub_tensor_t *tensors, size_t n, const rub_tensor_note_t *notes,
                       size_t n_notes)
{
    json_t *root = json_object(), *metadata = json_object();
    uint64_t at = 0;
    bool whole = root && metadata;
    for (size_t i = 0; i < n_notes; i++) {
        whole =
            json_object_set_new(metadata, notes[i].name, json_string(notes[i].text)) == 0 && whole;
    }
    whole = json_object_set_new(root, METADATA, metadata) == 0 && whole;
    for (size_t i = 0; i < n; i++) {
        whole = json_object_set_new(root, tensors[i].name, entry_of(&tensors[i], at)) == 0 && whole;
        at += rub_tensor_bytes(&tensors[i]);
    }
    char *text = whole ? json_dumps(root, JSON_COMPACT) : NULL;
    json_decref(root);
    return text;
}

int rub_safetensors_write(FILE *out, const rub_tensor_t *tensors, size_t n,
                          const rub_tensor_note_t *notes, size_t n_notes, rub_error_t *err)
{
    uint8_t length[LENGTH_BYTES];
    char *header = header_of(tensors, n, notes, n_notes);
    if (!header) {
        return rub_fail(err, RUB_ECONFIG, "safetensors: a name that is not UTF-8, or no memory");
    }
    const size_t bytes = strlen(header);
    const size_t padding = (ALIGNMENT - bytes % ALIGNMENT) % ALIGNMENT;
    rub_put_u64(length, bytes + padding);
    fwrite(length, 1, sizeof length, out);
    fwrite(header, 1, bytes, out);
    fprintf(out, "%*s", (int)padding, "");
    for (size_t i = 0; i < n; i++) {
        fwrite(tensors[i].data, 1, (size_t)rub_tensor_bytes(&tensors[i]), out);
    }
    free(header);
    return 0;
}

/* ---- reading ---- */

typedef struct file {
    int fd;
    uint64_t data, data_bytes; /* behind the header: where, and how many */
} file_t;

/* The header as text; the caller's (rub_free). */
static int read_header(file_t *file, uint64_t file_bytes, char **text_p, size_t *bytes_p,
                       rub_error_t *err)
{
    uint8_t length[LENGTH_BYTES];
    if (file_bytes < LENGTH_BYTES) {
        return rub_fail(err, RUB_EDATA, "it has %" PRIu64 " bytes, expected at least %d",
                        file_bytes, LENGTH_BYTES);
    }
    const int rc = rub_fs_pread(file->fd, length, sizeof length, 0, err);
    const uint64_t header = rc ? 0 : rub_get_u64(length), rest = file_bytes - LENGTH_BYTES;
    if (rc) {
        return rc;
    }
    if (header > HEADER_LIMIT || header > rest) {
        return rub_fail(err, RUB_EDATA,
                        "it is no safetensors file: a header of %" PRIu64
                        " bytes in a file of %" PRIu64,
                        header, file_bytes);
    }
    *file = (file_t){file->fd, LENGTH_BYTES + header, rest - header};
    *bytes_p = (size_t)header;
    *text_p = rub_alloc((size_t)header + 1);
    return *text_p
               ? rub_fs_pread(file->fd, *text_p, (size_t)header, LENGTH_BYTES, err)
               : rub_fail(err, RUB_ENOMEM, "no memory for a header of %" PRIu64 " bytes", header);
}

static bool read_shape(const json_t *shape, rub_tensor_t *tensor)
{
    const size_t n = json_array_size(shape);
    uint64_t items = 1;
    if (!json_is_array(shape) || n < 1 || n > 2) {
        return false;
    }
    tensor->n_dims = (uint32_t)n;
    for (size_t i = 0; i < n; i++) {
        const json_int_t size = json_integer_value(json_array_get(shape, i));
        if (size <= 0 || (uint64_t)size > (UINT64_C(1) << 48) / items) {
            return false;
        }
        tensor->shape[i] = (uint64_t)size;
        items *= (uint64_t)size;
    }
    return true;
}

/* *left_p: bytes of the file's data that are in no tensor yet. */
static int take_entry(const file_t *file, const char *name, const json_t *entry, uint64_t *left_p,
                      rub_weights_t *weights, rub_error_t *err)
{
    rub_tensor_t tensor = {0};
    void *room = NULL;
    const char *dtype = json_string_value(json_object_get(entry, "dtype"));
    const json_t *offsets = json_object_get(entry, "data_offsets");
    const json_int_t begin = json_integer_value(json_array_get(offsets, 0));
    const json_int_t end = json_integer_value(json_array_get(offsets, 1));
    if (!dtype || (strcmp(dtype, "F32") != 0 && strcmp(dtype, "U64") != 0)) {
        return rub_fail(err, RUB_EDATA, "tensor '%s' is of type %s, expected F32 (or U64 of keys)",
                        name, dtype ? dtype : "?");
    }
    tensor.type = dtype[0] == 'U' ? RUB_TENSOR_U64 : RUB_TENSOR_F32;
    if (strlen(name) > RUB_TENSOR_NAME_LIMIT ||
        !read_shape(json_object_get(entry, "shape"), &tensor)) {
        return rub_fail(err, RUB_EDATA,
                        "tensor '%.80s': expected a name of at most %u bytes and a shape of one or "
                        "two dimensions, none 0",
                        name, RUB_TENSOR_NAME_LIMIT);
    }
    snprintf(tensor.name, sizeof tensor.name, "%s", name);
    if (begin < 0 || end < begin || (uint64_t)end > file->data_bytes ||
        (uint64_t)(end - begin) != rub_tensor_bytes(&tensor)) {
        return rub_fail(
            err, RUB_EDATA,
            "tensor '%s': its bytes are %lld to %lld of %" PRIu64 ", expected %" PRIu64 " of them",
            name, (long long)begin, (long long)end, file->data_bytes, rub_tensor_bytes(&tensor));
    }
    if (rub_tensor_bytes(&tensor) > *left_p) {
        return rub_fail(err, RUB_EDATA, "tensor '%s' lies where others do", name);
    }
    *left_p -= rub_tensor_bytes(&tensor);
    const int rc = rub_tensors_add(weights, &tensor, &room, err);
    return rc ? rc
              : rub_fs_pread(file->fd, room, (size_t)rub_tensor_bytes(&tensor),
                             file->data + (uint64_t)begin, err);
}

static int take_all(const file_t *file, json_t *root, rub_weights_t *weights, rub_error_t *err)
{
    int rc = 0;
    uint64_t left = file->data_bytes; /* the same bytes under a thousand names are not more */
    const char *name;
    json_t *entry;
    json_object_foreach(root, name, entry)
    {
        if (rc == 0 && strcmp(name, METADATA) != 0) {
            rc = take_entry(file, name, entry, &left, weights, err);
        }
    }
    return rc;
}

int rub_safetensors_read(const char *path, rub_weights_t *weights, rub_error_t *err)
{
    file_t file = {.fd = -1};
    char *header = NULL;
    json_t *root = NULL;
    json_error_t cause;
    uint64_t file_bytes = 0;
    size_t header_bytes = 0;
    int rc = rub_fs_open_regular(path, &file.fd, &file_bytes, err);
    rc = rc ? rc : read_header(&file, file_bytes, &header, &header_bytes, err);
    if (rc == 0) {
        root = json_loadb(header, header_bytes, JSON_REJECT_DUPLICATES, &cause);
        rc = json_is_object(root)
                 ? take_all(&file, root, weights, err)
                 : rub_fail(err, RUB_EDATA, "its header is no JSON object: %s", cause.text);
    }
    json_decref(root);
    rub_free(header);
    if (file.fd >= 0) {
        (void)close(file.fd);
    }
    return rc;
}
