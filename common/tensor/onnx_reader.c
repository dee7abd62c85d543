/* Reading the messages of onnx.proto: a model's graph, its tensors, of each name, dims, type and
 * data (as bytes, which everybody writes, or as a packed list of floats), its nodes, what goes in
 * and what comes out.
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
enum { MODEL_GRAPH = 7, GRAPH_NODE = 1, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { FLOAT = 1, ELSEWHERE = 1 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_FLOATS = 4, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { TENSOR_LOCATION = 14 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OPERATOR = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_FLOAT = 2, ATTRIBUTE_INT = 3, ATTRIBUTE_TENSOR = 5 };
enum { ATTRIBUTE_INTS = 8, VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, SHAPED_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1 };
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

static rub_onnx_text_t text(message_t message)
{
    return (rub_onnx_text_t){(const char *)message.at, (size_t)(message.end - message.at)};
}

bool rub_onnx_text_same(rub_onnx_text_t a, rub_onnx_text_t b)
{
    return a.at && b.at && a.bytes == b.bytes && memcmp(a.at, b.at, a.bytes) == 0;
}

bool rub_onnx_text_is(rub_onnx_text_t self, const char *other)
{
    return rub_onnx_text_same(self, rub_onnx_text(other));
}

/* The first field of that number that holds bytes. */
static bool find_message(message_t message, uint32_t number, message_t *found)
{
    field_t field;
    while (next(&message, &field) > 0) {
        if (field.number == number && field.message.at) {
            *found = field.message;
            return true;
        }
    }
    return false;
}

/* ---- tensors ---- */

/* A tensor as it stands in the file. */
typedef struct found {
    uint64_t dims[RUB_ONNX_DIMS_LIMIT], type, location;
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
        } else if (field.number == TENSOR_LOCATION) {
            self->location = field.value;
        } else if (field.number == TENSOR_NAME) {
            self->name = field.message;
        } else if (field.number == TENSOR_RAW || field.number == TENSOR_FLOATS) {
            self->data = field.message;
        }
    }
    return code;
}

/* The tensor of a node that is a constant of that name. 1: there; 0: it is another node. */
static int parse_constant(message_t message, rub_onnx_text_t name, found_t *found)
{
    message_t output, operator_name, attribute, tensor;
    if (!find_message(message, NODE_OUTPUT, &output) || !rub_onnx_text_same(text(output), name) ||
        !find_message(message, NODE_OPERATOR, &operator_name) ||
        !rub_onnx_text_is(text(operator_name), "Constant") ||
        !find_message(message, NODE_ATTRIBUTE, &attribute) ||
        !find_message(attribute, ATTRIBUTE_TENSOR, &tensor)) {
        return 0;
    }
    return parse(tensor, found) < 0 ? RUB_EDATA : 1;
}

/* 1: there; 0: nobody is called so; RUB_EDATA, with the byte in *place_p. */
static int find(const rub_onnx_reader_t *self, rub_onnx_text_t name, found_t *found,
                size_t *place_p)
{
    message_t graph = self->graph;
    field_t field;
    int code = 0;
    while ((code = next(&graph, &field)) > 0) {
        int is_it = 0;
        if (field.number == GRAPH_TENSOR && field.message.at) {
            is_it = parse(field.message, found);
            is_it = is_it < 0 ? is_it : rub_onnx_text_same(text(found->name), name);
        } else if (field.number == GRAPH_NODE && field.message.at) {
            is_it = parse_constant(field.message, name, found);
        }
        if (is_it) {
            code = is_it;
            break;
        }
    }
    *place_p = (size_t)(graph.at - self->file);
    return code;
}

bool rub_onnx_reader_holds(const rub_onnx_reader_t *self, rub_onnx_text_t name,
                           uint64_t dims[RUB_ONNX_DIMS_LIMIT], unsigned *n_dims_p)
{
    found_t found;
    size_t place = 0;
    if (find(self, name, &found, &place) <= 0) {
        return false;
    }
    memcpy(dims, found.dims, sizeof found.dims);
    *n_dims_p = found.n_dims;
    return true;
}

bool rub_onnx_reader_holds_zeros(const rub_onnx_reader_t *self, rub_onnx_text_t name)
{
    found_t found;
    size_t place = 0;
    if (find(self, name, &found, &place) <= 0 || found.data.at == found.data.end) {
        return false;
    }
    while (found.data.at < found.data.end && *found.data.at == 0) {
        found.data.at++;
    }
    return found.data.at == found.data.end;
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

int rub_onnx_reader_take(const rub_onnx_reader_t *self, rub_onnx_text_t name,
                         const rub_onnx_tensor_t *tensor, float *values, rub_error_t *err)
{
    found_t found;
    size_t place = 0;
    const int code = find(self, name, &found, &place);
    const int bytes_shown = name.bytes < 80 ? (int)name.bytes : 80;
    if (code < 0) {
        return rub_fail(err, RUB_EDATA, "its graph is damaged before byte %zu", place);
    }
    if (code == 0) {
        return rub_fail(err, RUB_EDATA, "its graph has no numbers called '%.*s'", bytes_shown,
                        name.at ? name.at : "");
    }
    uint64_t n = 1;
    bool same = found.n_dims == tensor->n_dims;
    for (unsigned d = 0; d < tensor->n_dims; d++) {
        same = same && found.dims[d] == tensor->dims[d];
        n *= tensor->dims[d];
    }
    if (!same) {
        char has[96], wants[96];
        const bool other_name = !rub_onnx_text_is(name, tensor->name);
        return rub_fail(err, RUB_EDATA, "'%.*s' is %s, the model's%s%s%s is %s", bytes_shown,
                        name.at, text_of(found.dims, found.n_dims, has), other_name ? " '" : "",
                        other_name ? tensor->name : "", other_name ? "'" : "",
                        text_of(tensor->dims, tensor->n_dims, wants));
    }
    if (found.location == ELSEWHERE) {
        return rub_fail(err, RUB_EDATA,
                        "'%.*s' has its numbers in another file, expected them in this one",
                        bytes_shown, name.at);
    }
    const uint64_t bytes = found.data.at ? (uint64_t)(found.data.end - found.data.at) : 0;
    if (found.type != FLOAT || bytes != n * sizeof(float)) {
        return rub_fail(err, RUB_EDATA,
                        "'%.*s' has %" PRIu64 " bytes of type %" PRIu64 ", expected %" PRIu64
                        " of type 1 (float32)",
                        bytes_shown, name.at, bytes, found.type, n * sizeof(float));
    }
    for (uint64_t i = 0; i < n; i++) {
        float value;
        memcpy(&value, found.data.at + i * sizeof(float), sizeof value);
        if (!isfinite(value)) {
            return rub_fail(err, RUB_EDATA,
                            "'%.*s' has a number that is not finite, its %" PRIu64 "-th",
                            bytes_shown, name.at, i + 1);
        }
        values[rub_onnx_place(tensor, i)] = value;
    }
    return 0;
}

/* ---- nodes ---- */

int rub_onnx_reader_node(const rub_onnx_reader_t *self, size_t *place_p, rub_onnx_node_t *node,
                         rub_error_t *err)
{
    message_t graph = {self->graph.at + *place_p, self->graph.end};
    field_t field;
    int code = 0;
    *node = (rub_onnx_node_t){0};
    while ((code = next(&graph, &field)) > 0 && !(field.number == GRAPH_NODE && field.message.at)) {
    }
    *place_p = (size_t)(graph.at - self->graph.at);
    if (code > 0) {
        message_t message = field.message;
        node->message = text(message);
        while ((code = next(&message, &field)) > 0) {
            const rub_onnx_text_t said = text(field.message);
            if (field.number == NODE_INPUT && said.at) {
                if (node->n_inputs < RUB_ONNX_INPUTS_LIMIT) {
                    node->inputs[node->n_inputs++] = said;
                }
            } else if (field.number == NODE_OUTPUT && !node->output.at) {
                node->output = said;
            } else if (field.number == NODE_OPERATOR) {
                node->operator_name = said;
            } else if (field.number == NODE_NAME) {
                node->name = said;
            }
        }
        code = code < 0 || !node->operator_name.at || !node->output.at ? RUB_EDATA : 1;
    }
    return code < 0 ? rub_fail(err, RUB_EDATA, "its graph is damaged before byte %zu",
                               (size_t)(graph.at - self->file))
                    : code;
}

static void add_value(rub_onnx_attribute_t *found, uint64_t value)
{
    if (found->n < RUB_ONNX_DIMS_LIMIT) {
        found->values[found->n++] = (int64_t)value;
    }
}

bool rub_onnx_node_says(const rub_onnx_node_t *node, const char *name, rub_onnx_attribute_t *found)
{
    const uint8_t *const bytes = (const uint8_t *)node->message.at;
    message_t message = {bytes, bytes + node->message.bytes}, called;
    field_t field;
    *found = (rub_onnx_attribute_t){.name = name};
    while (next(&message, &field) > 0) {
        if (field.number != NODE_ATTRIBUTE || !field.message.at ||
            !find_message(field.message, ATTRIBUTE_NAME, &called) ||
            !rub_onnx_text_is(text(called), name)) {
            continue;
        }
        message_t attribute = field.message;
        while (next(&attribute, &field) > 0) {
            uint64_t value = 0;
            if (field.number == ATTRIBUTE_FLOAT && field.message.at &&
                field.message.end - field.message.at == sizeof found->real) {
                memcpy(&found->real, field.message.at, sizeof found->real);
            } else if ((field.number == ATTRIBUTE_INT || field.number == ATTRIBUTE_INTS) &&
                       !field.message.at) {
                add_value(found, field.value);
            } else if (field.number == ATTRIBUTE_INTS) {
                while (take_varint(&field.message, &value)) {
                    add_value(found, value);
                }
            }
        }
        return true;
    }
    return false;
}

/* ---- what goes in, and what comes out ---- */

/* Dims of a ValueInfo, 0 for those that have a name or nothing. */
static void parse_shape(message_t value, found_t *found)
{
    message_t type, tensor, shape;
    field_t field, dim;
    if (!find_message(value, VALUE_TYPE, &type) || !find_message(type, TYPE_TENSOR, &tensor) ||
        !find_message(tensor, SHAPED_SHAPE, &shape)) {
        return;
    }
    while (next(&shape, &field) > 0) {
        if (field.number == SHAPE_DIM && field.message.at) {
            uint64_t size = 0;
            while (next(&field.message, &dim) > 0) {
                size = dim.number == DIM_VALUE && !dim.message.at ? dim.value : size;
            }
            add_dim(found, size);
        }
    }
}

bool rub_onnx_reader_input(const rub_onnx_reader_t *self, rub_onnx_text_t *name_p,
                           uint64_t dims[RUB_ONNX_DIMS_LIMIT], unsigned *n_dims_p)
{
    message_t graph = self->graph, name;
    field_t field;
    while (next(&graph, &field) > 0) {
        found_t shape = {0};
        if (field.number == GRAPH_INPUT && field.message.at &&
            find_message(field.message, VALUE_NAME, &name) &&
            !rub_onnx_reader_holds(self, text(name), dims, n_dims_p)) {
            parse_shape(field.message, &shape);
            *name_p = text(name);
            memcpy(dims, shape.dims, sizeof shape.dims);
            *n_dims_p = shape.n_dims;
            return true;
        }
    }
    return false;
}

bool rub_onnx_reader_gives(const rub_onnx_reader_t *self, rub_onnx_text_t name)
{
    message_t graph = self->graph, output;
    field_t field;
    while (next(&graph, &field) > 0) {
        if (field.number == GRAPH_OUTPUT && field.message.at &&
            find_message(field.message, VALUE_NAME, &output) &&
            rub_onnx_text_same(text(output), name)) {
            return true;
        }
    }
    return false;
}
