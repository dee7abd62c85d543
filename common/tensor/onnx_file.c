/* The few messages of onnx.proto that a graph needs, written by hand: a message of protobuf is
 * fields one behind the other, each a key (number << 3 | wire type) and a varint, or a length and
 * as many bytes. Numbers below are those of onnx.proto (IR version 8), pinned there.
 *
 * Invariant: what is in the making is in the buffers, and a buffer that has failed makes the whole
 * fail; a graph that has become too large takes no more numbers, so that its size is known and its
 * memory bounded. */
#include "common/tensor/onnx_file.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <string.h>

enum { IR_VERSION = 8, OPERATOR_SET = 13, FLOAT = 1, INT64 = 7 };
enum { VARINT = 0, BYTES = 2, FOUR_BYTES = 5 };
enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OPERATOR = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_FLOAT = 2, ATTRIBUTE_INT = 3, ATTRIBUTE_INTS = 8 };
enum { ATTRIBUTE_TYPE = 20, TYPE_FLOAT = 1, TYPE_INT = 2, TYPE_INTS = 7 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, SHAPED_TYPE = 1, SHAPED_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME = 2 };
#define FILE_LIMIT (UINT64_C(2) << 30)

/* ---- protobuf ---- */

static void put_varint(rub_buf_t *out, uint64_t value)
{
    for (; value > 0x7f; value >>= 7) {
        rub_buf_u8(out, (uint8_t)(value | 0x80));
    }
    rub_buf_u8(out, (uint8_t)value);
}

static void put_number(rub_buf_t *out, uint32_t field, uint64_t value)
{
    put_varint(out, field << 3 | VARINT);
    put_varint(out, value);
}

static void put_bytes(rub_buf_t *out, uint32_t field, const void *data, size_t bytes)
{
    put_varint(out, field << 3 | BYTES);
    put_varint(out, bytes);
    rub_buf_append(out, data, bytes);
}

static void put_text(rub_buf_t *out, uint32_t field, const char *text)
{
    put_bytes(out, field, text, strlen(text));
}

/* The message in inner becomes a field of out; inner is empty then. */
static void put_message(rub_buf_t *out, uint32_t field, rub_buf_t *inner)
{
    put_bytes(out, field, inner->data, inner->bytes);
    out->failed = out->failed || inner->failed;
    rub_buf_reset(inner);
}

/* ---- onnx.proto ---- */

struct rub_onnx {
    rub_buf_t graph, message, part, smaller, smallest;
    uint64_t tensor_bytes;
    rub_onnx_watch_fn *watch; /* or NULL */
    void *context;
};

rub_onnx_t *rub_onnx_new(void)
{
    rub_onnx_t *self = rub_calloc(1, sizeof(*self));
    if (self) {
        rub_buf_init(&self->graph);
        rub_buf_init(&self->message);
        rub_buf_init(&self->part);
        rub_buf_init(&self->smaller);
        rub_buf_init(&self->smallest);
    }
    return self;
}

void rub_onnx_destroy(rub_onnx_t **self_p)
{
    rub_onnx_t *self = *self_p;
    *self_p = NULL;
    if (self) {
        rub_buf_fini(&self->graph);
        rub_buf_fini(&self->message);
        rub_buf_fini(&self->part);
        rub_buf_fini(&self->smaller);
        rub_buf_fini(&self->smallest);
        rub_free(self);
    }
}

void rub_onnx_watch(rub_onnx_t *self, rub_onnx_watch_fn *watch, void *context)
{
    self->watch = watch;
    self->context = context;
}

static void put_attribute(rub_onnx_t *self, const rub_onnx_attribute_t *attribute)
{
    static const uint32_t types[] = {TYPE_INT, TYPE_INTS, TYPE_FLOAT};
    const bool is_list = attribute->kind == RUB_ONNX_WHOLES;
    put_text(&self->part, ATTRIBUTE_NAME, attribute->name);
    if (attribute->kind == RUB_ONNX_REAL) {
        put_varint(&self->part, ATTRIBUTE_FLOAT << 3 | FOUR_BYTES);
        rub_buf_append(&self->part, &attribute->real, sizeof attribute->real);
    } else {
        for (unsigned i = 0; i < attribute->n; i++) {
            put_number(&self->part, is_list ? ATTRIBUTE_INTS : ATTRIBUTE_INT,
                       (uint64_t)attribute->values[i]);
        }
    }
    put_number(&self->part, ATTRIBUTE_TYPE, types[attribute->kind]);
    put_message(&self->message, NODE_ATTRIBUTE, &self->part);
}

void rub_onnx_node(rub_onnx_t *self, const char *operator_name, const char *const *inputs,
                   size_t n_inputs, const char *output, const rub_onnx_attribute_t *attributes,
                   size_t n_attributes)
{
    for (size_t i = 0; i < n_inputs; i++) {
        put_text(&self->message, NODE_INPUT, inputs[i]);
    }
    put_text(&self->message, NODE_OUTPUT, output);
    put_text(&self->message, NODE_NAME, output);
    put_text(&self->message, NODE_OPERATOR, operator_name);
    for (size_t i = 0; i < n_attributes; i++) {
        put_attribute(self, &attributes[i]);
    }
    put_message(&self->graph, GRAPH_NODE, &self->message);
}

size_t rub_onnx_place(const rub_onnx_tensor_t *tensor, uint64_t i)
{
    uint64_t place = 0;
    for (unsigned d = RUB_ONNX_DIMS_LIMIT; d-- > 0;) {
        const uint64_t size = tensor->sizes[d] > 0 ? tensor->sizes[d] : 1;
        place += i % size * tensor->strides[d];
        i /= size;
    }
    return (size_t)place;
}

void rub_onnx_tensor(rub_onnx_t *self, const rub_onnx_tensor_t *tensor)
{
    uint64_t n = 1, walked = 1;
    for (unsigned d = 0; d < RUB_ONNX_DIMS_LIMIT; d++) {
        n *= d < tensor->n_dims ? tensor->dims[d] : 1;
        walked *= tensor->sizes[d] > 0 ? tensor->sizes[d] : 1;
    }
    RUB_ASSERT(n == walked);
    if (self->watch) {
        self->watch(self->context, tensor);
        return;
    }
    self->tensor_bytes += n * sizeof(float);
    if (self->tensor_bytes >= FILE_LIMIT) {
        return;
    }
    for (unsigned d = 0; d < tensor->n_dims; d++) {
        put_number(&self->message, TENSOR_DIMS, tensor->dims[d]);
    }
    put_number(&self->message, TENSOR_TYPE, FLOAT);
    put_text(&self->message, TENSOR_NAME, tensor->name);
    put_varint(&self->message, TENSOR_RAW << 3 | BYTES);
    put_varint(&self->message, n * sizeof(float));
    uint8_t *values = rub_buf_extend(&self->message, (size_t)n * sizeof(float));
    for (uint64_t i = 0; values && i < n; i++) {
        memcpy(values + i * sizeof(float), &tensor->values[rub_onnx_place(tensor, i)],
               sizeof(float));
    }
    put_message(&self->graph, GRAPH_TENSOR, &self->message);
}

void rub_onnx_wholes(rub_onnx_t *self, const char *name, const int64_t *values, uint64_t n)
{
    put_number(&self->message, TENSOR_DIMS, n);
    put_number(&self->message, TENSOR_TYPE, INT64);
    put_text(&self->message, TENSOR_NAME, name);
    put_bytes(&self->message, TENSOR_RAW, values, (size_t)n * sizeof(*values));
    put_message(&self->graph, GRAPH_TENSOR, &self->message);
}

/* "batch" x dims of float32. */
static void put_value(rub_onnx_t *self, uint32_t field, const char *name, const uint64_t *dims,
                      unsigned n_dims)
{
    put_text(&self->smallest, DIM_NAME, "batch");
    put_message(&self->smaller, SHAPE_DIM, &self->smallest);
    for (unsigned d = 0; d < n_dims; d++) {
        put_number(&self->smallest, DIM_VALUE, dims[d]);
        put_message(&self->smaller, SHAPE_DIM, &self->smallest);
    }
    put_number(&self->part, SHAPED_TYPE, FLOAT);
    put_message(&self->part, SHAPED_SHAPE, &self->smaller);
    put_message(&self->smaller, TYPE_TENSOR, &self->part); /* a type now */
    put_text(&self->message, VALUE_NAME, name);
    put_message(&self->message, VALUE_TYPE, &self->smaller);
    put_message(&self->graph, field, &self->message);
}

void rub_onnx_input(rub_onnx_t *self, const char *name, const uint64_t *dims, unsigned n_dims)
{
    put_value(self, GRAPH_INPUT, name, dims, n_dims);
}

void rub_onnx_output(rub_onnx_t *self, const char *name, const uint64_t *dims, unsigned n_dims)
{
    put_value(self, GRAPH_OUTPUT, name, dims, n_dims);
}

int rub_onnx_write(rub_onnx_t *self, FILE *out, rub_error_t *err)
{
    rub_buf_t model;
    int rc = 0;
    rub_buf_init(&model);
    put_text(&self->graph, GRAPH_NAME, "rubato");
    put_number(&model, MODEL_IR, IR_VERSION);
    put_text(&model, MODEL_PRODUCER, "rubato");
    put_text(&model, MODEL_VERSION, rub_version());
    put_number(&self->message, OPSET_VERSION, OPERATOR_SET);
    put_message(&model, MODEL_OPSET, &self->message);
    if (self->tensor_bytes >= FILE_LIMIT || self->graph.bytes + model.bytes + 16 >= FILE_LIMIT) {
        rc = rub_fail(err, RUB_ECONFIG,
                      "onnx: parameters of %" PRIu64 " bytes, expected a file below 2 GiB",
                      self->tensor_bytes);
    } else {
        put_message(&model, MODEL_GRAPH, &self->graph);
        rc = model.failed ? rub_fail(err, RUB_ENOMEM, "onnx: no memory for the model") : 0;
    }
    if (rc == 0) {
        fwrite(model.data, 1, model.bytes, out);
    }
    rub_buf_fini(&model);
    return rc;
}
