/* Reading the messages of onnx.proto that hold numbers: a model's graph, its tensors, and of each
 * name, dims, type and data (as bytes, which everybody writes, or as a packed list of floats).
 *
 * Invariant: a message is a span of the file, and nothing outside of it is looked at; lengths are
 * believed only as far as the span goes. Fields that are not known are passed over, as protobuf
 * says. Numbers of fields: onnx.proto (IR version 8). */
#include "common/tensor/onnx_reader.h"

#include "common/base/alloc.h"
#include "common/base/error.h"
#include "common/base/fs.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

enum { VARINT = 0, EIGHT_BYTES = 1, BYTES = 2, FOUR_BYTES = 5 };
enum { MODEL_GRAPH = 7, GRAPH_TENSOR = 5, FLOAT = 1 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_FLOATS = 4, TENSOR_NAME = 8, TENSOR_RAW = 9 };
#define FILE_LIMIT ((size_t)2 << 30)

typedef struct message {
    const uint8_t *at, *end;
} message_t;

typedef struct field {
    uint32_t number;
    uint64_t value;    /* of a varint */
    message_t message; /* of bytes */
} field_t;

struct rub_onnx_reader {
    uint8_t *file;
    message_t graph;
};

static bool take_varint(message_t *self, uint64_t *value_p)
{
    *value_p = 0;
    for (unsigned shift = 0; shift < 64 && self->at < self->end; shift += 7) {
        *value_p |= (uint64_t)(*self->at & 0x7f) << shift;
        if (!(*self->at++ & 0x80)) {
            return true;
        }
    }
    return false;
}

/* 1: a field; 0: the message is over; RUB_EDATA: it is none. */
static int next(message_t *self, field_t *field)
{
    uint64_t key = 0, bytes = 0;
    if (self->at == self->end) {
        return 0;
    }
    if (!take_varint(self, &key)) {
        return RUB_EDATA;
    }
    *field = (field_t){.number = (uint32_t)(key >> 3)};
    switch (key & 7) {
    case VARINT:
        return take_varint(self, &field->value) ? 1 : RUB_EDATA;
    case EIGHT_BYTES:
        bytes = 8;
        break;
    case FOUR_BYTES:
        bytes = 4;
        break;
    case BYTES:
        if (!take_varint(self, &bytes)) {
            return RUB_EDATA;
        }
        break;
    default:
        return RUB_EDATA;
    }
    if (bytes > (uint64_t)(self->end - self->at)) {
        return RUB_EDATA;
    }
    field->message = (message_t){self->at, self->at + bytes};
    self->at += bytes;
    return 1;
}

int rub_onnx_reader_open(const char *path, rub_onnx_reader_t **self_p, rub_error_t *err)
{
    rub_error_t cause = {0};
    char *file = NULL;
    size_t bytes = 0;
    *self_p = NULL;
    rub_onnx_reader_t *self = rub_calloc(1, sizeof(*self));
    if (!self) {
        return rub_fail(err, RUB_ENOMEM, "no memory for '%s'", path);
    }
    int rc = rub_fs_read(path, FILE_LIMIT, &file, &bytes, &cause);
    if (rc) {
        rc = rub_fail(err, rc == RUB_ENOMEM ? RUB_ENOMEM : RUB_EDATA, "%s", cause.message);
        rub_free(self);
        return rc;
    }
    self->file = (uint8_t *)file;
    message_t model = {self->file, self->file + bytes};
    field_t field;
    int code = 0;
    while ((code = next(&model, &field)) > 0) {
        if (field.number == MODEL_GRAPH && field.message.at) {
            self->graph = field.message;
        }
    }
    if (code < 0 || !self->graph.at) {
        rc = rub_fail(err, RUB_EDATA, "'%s' is no model of ONNX: %s at byte %zu", path,
                      code < 0 ? "protobuf ends" : "there is no graph",
                      (size_t)(model.at - self->file));
        rub_onnx_reader_close(&self);
    }
    *self_p = self;
    return rc;
}

void rub_onnx_reader_close(rub_onnx_reader_t **self_p)
{
    if (*self_p) {
        rub_free((*self_p)->file);
        rub_free(*self_p);
        *self_p = NULL;
    }
}

/* A tensor as it stands in the file. */
typedef struct found {
    uint64_t dims[RUB_ONNX_DIMS_LIMIT], type;
    unsigned n_dims; /* one above the limit: too many */
    message_t name, data;
} found_t;

static void add_dim(found_t *self, uint64_t dim)
{
    if (self->n_dims < RUB_ONNX_DIMS_LIMIT) {
        self->dims[self->n_dims] = dim;
    }
    self->n_dims += self->n_dims <= RUB_ONNX_DIMS_LIMIT;
}

static int parse(message_t message, found_t *self)
{
    field_t field;
    int code = 0;
    *self = (found_t){0};
    while ((code = next(&message, &field)) > 0) {
        uint64_t dim = 0;
        if (field.number == TENSOR_DIMS && !field.message.at) {
            add_dim(self, field.value);
        } else if (field.number == TENSOR_DIMS) {
            while (field.message.at < field.message.end) {
                if (!take_varint(&field.message, &dim)) {
                    return RUB_EDATA;
                }
                add_dim(self, dim);
            }
        } else if (field.number == TENSOR_TYPE) {
            self->type = field.value;
        } else if (field.number == TENSOR_NAME) {
            self->name = field.message;
        } else if (field.number == TENSOR_RAW || field.number == TENSOR_FLOATS) {
            self->data = field.message;
        }
    }
    return code;
}

static bool is_named(const found_t *self, const char *name)
{
    const size_t n = strlen(name);
    return self->name.at && (size_t)(self->name.end - self->name.at) == n &&
           memcmp(self->name.at, name, n) == 0;
}

static int find(const rub_onnx_reader_t *self, const char *name, found_t *found, rub_error_t *err)
{
    message_t graph = self->graph;
    field_t field;
    int code = 0;
    while ((code = next(&graph, &field)) > 0) {
        if (field.number == GRAPH_TENSOR && field.message.at) {
            code = parse(field.message, found);
            if (code < 0) {
                break;
            }
            if (is_named(found, name)) {
                return 0;
            }
        }
    }
    return code < 0 ? rub_fail(err, RUB_EDATA, "its graph is damaged before byte %zu",
                               (size_t)(graph.at - self->file))
                    : rub_fail(err, RUB_EDATA,
                               "its graph has no numbers called '%s' (only graphs that 'rubato "
                               "export' wrote, of the same layers, are read)",
                               name);
}

/* "[3, 2, 5, 5]" */
static const char *text_of(const uint64_t *dims, unsigned n, char out[96])
{
    size_t used = (size_t)snprintf(out, 96, "[");
    for (unsigned d = 0; d < n && d < RUB_ONNX_DIMS_LIMIT && used < 96; d++) {
        used += (size_t)snprintf(out + used, 96 - used, "%s%" PRIu64, d ? ", " : "", dims[d]);
    }
    snprintf(out + (used < 95 ? used : 94), 2, "]");
    return out;
}

int rub_onnx_reader_take(const rub_onnx_reader_t *self, const rub_onnx_tensor_t *tensor,
                         float *values, rub_error_t *err)
{
    found_t found;
    const int rc = find(self, tensor->name, &found, err);
    if (rc) {
        return rc;
    }
    uint64_t n = 1;
    bool same = found.n_dims == tensor->n_dims;
    for (unsigned d = 0; d < tensor->n_dims; d++) {
        same = same && found.dims[d] == tensor->dims[d];
        n *= tensor->dims[d];
    }
    if (!same) {
        char has[96], wants[96];
        return rub_fail(err, RUB_EDATA, "'%s' is %s, the model's is %s", tensor->name,
                        text_of(found.dims, found.n_dims, has),
                        text_of(tensor->dims, tensor->n_dims, wants));
    }
    const uint64_t bytes = found.data.at ? (uint64_t)(found.data.end - found.data.at) : 0;
    if (found.type != FLOAT || bytes != n * sizeof(float)) {
        return rub_fail(err, RUB_EDATA,
                        "'%s' has %" PRIu64 " bytes of type %" PRIu64 ", expected %" PRIu64
                        " of type 1 (float32)",
                        tensor->name, bytes, found.type, n * sizeof(float));
    }
    for (uint64_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, found.data.at + i * sizeof(float), sizeof value);
        if (!isfinite(value)) {
            return rub_fail(err, RUB_EDATA,
                            "'%s' has a number that is not finite, its %" PRIu64 "-th",
                            tensor->name, i + 1);
        }
        values[rub_onnx_place(tensor, i)] = value;
    }
    return 0;
}
