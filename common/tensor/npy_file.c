/* NumPy's .npy, version 1.0: magic, version, u16 length of the header, the header (a Python
 * dictionary as text, padded with blanks and ended by a line feed so that the data begin at a
 * multiple of 64), the data. NumPy's documentation, numpy.lib.format. */
#include "common/tensor/npy_header.h"

#include "common/base/error.h"
#include "common/tensor/tensor_file.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};
enum { PREFIX_BYTES = 10, ALIGNMENT = 64 };

size_t rub_npy_header_write(const rub_tensor_t *tensor, char out[RUB_NPY_HEADER_LIMIT])
{
    char shape[64], text[RUB_NPY_HEADER_LIMIT];
    if (tensor->n_dims == 1) {
        snprintf(shape, sizeof shape, "(%" PRIu64 ",)", tensor->shape[0]);
    } else {
        snprintf(shape, sizeof shape, "(%" PRIu64 ", %" PRIu64 ")", tensor->shape[0],
                 tensor->shape[1]);
    }
    const int n =
        snprintf(text, sizeof text, "{'descr': '%s', 'fortran_order': False, 'shape': %s, }",
                 tensor->type == RUB_TENSOR_U64 ? "<u8" : "<f4", shape);
    const size_t whole = (PREFIX_BYTES + (size_t)n + 1 + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    memcpy(out, magic, sizeof magic);
    out[6] = 1;
    out[7] = 0;
    out[8] = (char)((whole - PREFIX_BYTES) & 0xff);
    out[9] = (char)((whole - PREFIX_BYTES) >> 8);
    memcpy(out + PREFIX_BYTES, text, (size_t)n);
    memset(out + PREFIX_BYTES + n, ' ', whole - PREFIX_BYTES - (size_t)n);
    out[whole - 1] = '\n';
    return whole;
}

/* What stands behind 'key': in the dictionary; NULL: nothing does. */
static const char *value_of(const char *header, const char *key)
{
    const char *at = strstr(header, key);
    if (!at) {
        return NULL;
    }
    at += strlen(key);
    while (*at == ' ' || *at == ':') {
        at++;
    }
    return at;
}

static bool read_shape(const char *at, rub_tensor_t *tensor)
{
    uint64_t items = 1;
    tensor->n_dims = 0;
    if (!at || *at++ != '(') {
        return false;
    }
    for (; *at != ')'; at += strspn(at, ", ")) {
        char *end = NULL;
        const unsigned long long size = strtoull(at, &end, 10);
        if (end == at || tensor->n_dims == 2 || size == 0 || size > (UINT64_C(1) << 48) / items) {
            return false;
        }
        tensor->shape[tensor->n_dims++] = size;
        items *= size;
        at = end;
    }
    return tensor->n_dims > 0;
}

int rub_npy_header_read(const uint8_t *data, size_t n_bytes, rub_tensor_t *tensor, size_t *begin_p,
                        rub_error_t *err)
{
    char header[RUB_NPY_HEADER_LIMIT];
    if (n_bytes < PREFIX_BYTES || memcmp(data, magic, sizeof magic) != 0 || data[6] != 1) {
        return rub_fail(err, RUB_EDATA, "'%s' is no .npy array of version 1", tensor->name);
    }
    const size_t length = (size_t)data[8] | (size_t)data[9] << 8;
    if (length >= sizeof header || length > n_bytes - PREFIX_BYTES) {
        return rub_fail(err, RUB_EDATA, "'%s': a header of %zu bytes, expected less than %zu",
                        tensor->name, length, sizeof header);
    }
    memcpy(header, data + PREFIX_BYTES, length);
    header[length] = '\0';
    const char *type = value_of(header, "'descr'");
    const char *order = value_of(header, "'fortran_order'");
    if (!type || (strncmp(type, "'<f4'", 5) != 0 && strncmp(type, "'<u8'", 5) != 0)) {
        return rub_fail(err, RUB_EDATA, "'%s': expected an array of float32 ('<f4') or u64 ('<u8')",
                        tensor->name);
    }
    if (!order || strncmp(order, "False", 5) != 0 ||
        !read_shape(value_of(header, "'shape'"), tensor)) {
        return rub_fail(err, RUB_EDATA,
                        "'%s': expected one or two dimensions, none 0, rows one behind the other",
                        tensor->name);
    }
    tensor->type = type[2] == 'u' ? RUB_TENSOR_U64 : RUB_TENSOR_F32;
    *begin_p = PREFIX_BYTES + length;
    if (n_bytes - *begin_p != rub_tensor_bytes(tensor)) {
        return rub_fail(err, RUB_EDATA, "'%s': %zu bytes of data, expected %" PRIu64, tensor->name,
                        n_bytes - *begin_p, rub_tensor_bytes(tensor));
    }
    return 0;
}

int rub_npy_write(FILE *out, const rub_tensor_t *tensors, size_t n, const rub_tensor_note_t *notes,
                  size_t n_notes, rub_error_t *err)
{
    char header[RUB_NPY_HEADER_LIMIT];
    (void)notes;
    (void)n_notes;
    if (n != 1) {
        return rub_fail(err, RUB_ECONFIG, "npy holds one tensor, not %zu", n);
    }
    fwrite(header, 1, rub_npy_header_write(tensors, header), out);
    fwrite(tensors->data, 1, (size_t)rub_tensor_bytes(tensors), out);
    return 0;
}
