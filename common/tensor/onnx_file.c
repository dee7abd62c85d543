/* The few messages of onnx.proto that a chain of layers needs, written by hand: a message of
 * protobuf is fields one behind the other, each a key (number << 3 | wire type) and a varint, or a
 * length and as many bytes. Numbers below are those of onnx.proto (IR version 8), pinned there.
 *
 * A layer is Gemm (input, weights, bias) and its function. Gemm could take the weights as they are,
 * but everybody's exporters write them transposed, with transB, and some importers (OpenCV 4.6's)
 * read nothing else. */
#include "common/tensor/onnx_file.h"

#include "common/base/alloc.h"
#include "common/base/bytes.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <string.h>

enum { IR_VERSION = 8, OPERATOR_SET = 13, FLOAT = 1, NAME_BYTES = 80 };
enum { VARINT = 0, BYTES = 2 };
enum { MODEL_IR = 1, MODEL_PRODUCER = 2, MODEL_VERSION = 3, MODEL_GRAPH = 7, MODEL_OPSET = 8 };
enum { OPSET_VERSION = 2 };
enum { GRAPH_NODE = 1, GRAPH_NAME = 2, GRAPH_TENSOR = 5, GRAPH_INPUT = 11, GRAPH_OUTPUT = 12 };
enum { NODE_INPUT = 1, NODE_OUTPUT = 2, NODE_NAME = 3, NODE_OPERATOR = 4, NODE_ATTRIBUTE = 5 };
enum { ATTRIBUTE_NAME = 1, ATTRIBUTE_INT = 3, ATTRIBUTE_TYPE = 20, TYPE_INT = 2 };
enum { TENSOR_DIMS = 1, TENSOR_TYPE = 2, TENSOR_NAME = 8, TENSOR_RAW = 9 };
enum { VALUE_NAME = 1, VALUE_TYPE = 2, TYPE_TENSOR = 1, SHAPED_TYPE = 1, SHAPED_SHAPE = 2 };
enum { SHAPE_DIM = 1, DIM_VALUE = 1, DIM_NAME = 2 };
#define FILE_LIMIT (UINT64_C(2) << 30)
#define OVERHEAD_BYTES 1024u /* of a layer, beside its numbers */

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

typedef struct writing {
    rub_buf_t graph, message, part, smaller, smallest;
} writing_t;

static void put_node(writing_t *self, const char *operator_name, const char *const *inputs,
                     size_t n_inputs, const char *output)
{
    for (size_t i = 0; i < n_inputs; i++) {
        put_text(&self->message, NODE_INPUT, inputs[i]);
    }
    put_text(&self->message, NODE_OUTPUT, output);
    put_text(&self->message, NODE_NAME, output);
    put_text(&self->message, NODE_OPERATOR, operator_name);
    if (n_inputs > 1) {
        put_text(&self->part, ATTRIBUTE_NAME, "transB");
        put_number(&self->part, ATTRIBUTE_INT, 1);
        put_number(&self->part, ATTRIBUTE_TYPE, TYPE_INT);
        put_message(&self->message, NODE_ATTRIBUTE, &self->part);
    }
    put_message(&self->graph, GRAPH_NODE, &self->message);
}

/* A vector (columns 1), or a matrix with its rows as columns. */
static void put_tensor(writing_t *self, const rub_weight_table_t *table, uint64_t columns)
{
    const uint64_t n = table->n_rows, n_rows = n / columns;
    if (columns > 1) {
        put_number(&self->message, TENSOR_DIMS, columns);
    }
    put_number(&self->message, TENSOR_DIMS, n_rows);
    put_number(&self->message, TENSOR_TYPE, FLOAT);
    put_text(&self->message, TENSOR_NAME, table->name);
    put_varint(&self->message, TENSOR_RAW << 3 | BYTES);
    put_varint(&self->message, n * sizeof(float));
    uint8_t *values = rub_buf_extend(&self->message, (size_t)n * sizeof(float));
    for (uint64_t i = 0; values && i < n; i++) {
        const float *from = &table->values[i % n_rows * columns + i / n_rows];
        memcpy(values + i * sizeof(float), from, sizeof(float));
    }
    put_message(&self->graph, GRAPH_TENSOR, &self->message);
}

/* "batch" x width of float32. */
static void put_value(writing_t *self, uint32_t field, const char *name, uint64_t width)
{
    put_text(&self->smallest, DIM_NAME, "batch");
    put_message(&self->smaller, SHAPE_DIM, &self->smallest);
    put_number(&self->smallest, DIM_VALUE, width);
    put_message(&self->smaller, SHAPE_DIM, &self->smallest);
    put_number(&self->part, SHAPED_TYPE, FLOAT);
    put_message(&self->part, SHAPED_SHAPE, &self->smaller);
    put_message(&self->smaller, TYPE_TENSOR, &self->part); /* a type now */
    put_text(&self->message, VALUE_NAME, name);
    put_message(&self->message, VALUE_TYPE, &self->smaller);
    put_message(&self->graph, field, &self->message);
}

static void put_layer(writing_t *self, const rub_onnx_layer_t *layer, size_t i, bool last)
{
    char input[NAME_BYTES], product[NAME_BYTES], output[NAME_BYTES];
    snprintf(input, sizeof input, "output%zu", i - 1);
    snprintf(product, sizeof product, "product%zu", i);
    snprintf(output, sizeof output, "output%zu", i);
    const char *const inputs[] = {i == 0 ? "input" : input, layer->weights->name,
                                  layer->bias->name};
    const char *const functions[] = {product};
    put_node(self, "Gemm", inputs, 3, product);
    put_node(self, layer->function, functions, 1, last ? "probabilities" : output);
}

static int check(const rub_onnx_layer_t *layers, size_t n, rub_error_t *err)
{
    uint64_t bytes = 0, given = 0;
    for (size_t i = 0; i < n; i++) {
        const uint64_t out = layers[i].bias->n_rows, in = layers[i].weights->n_rows / out;
        if (in * out != layers[i].weights->n_rows || (i > 0 && in != given)) {
            return rub_fail(err, RUB_ECONFIG,
                            "onnx: '%s' has %" PRIu64 " numbers, expected %" PRIu64 " x %" PRIu64,
                            layers[i].weights->name, layers[i].weights->n_rows, i > 0 ? given : in,
                            out);
        }
        given = out;
        bytes += (layers[i].weights->n_rows + out) * sizeof(float) + OVERHEAD_BYTES;
    }
    return n >= 1 && n <= RUB_ONNX_LAYERS_LIMIT && bytes < FILE_LIMIT
               ? 0
               : rub_fail(err, RUB_ECONFIG,
                          "onnx: %zu layers of %" PRIu64 " bytes, expected 1 to %u and below 2 GiB",
                          n, bytes, RUB_ONNX_LAYERS_LIMIT);
}

static void put_graph(writing_t *self, const rub_onnx_layer_t *layers, size_t n)
{
    const rub_onnx_layer_t *first = &layers[0], *last = &layers[n - 1];
    for (size_t i = 0; i < n; i++) {
        put_layer(self, &layers[i], i, i + 1 == n);
    }
    put_text(&self->graph, GRAPH_NAME, "rubato");
    for (size_t i = 0; i < n; i++) {
        put_tensor(self, layers[i].weights, layers[i].bias->n_rows);
        put_tensor(self, layers[i].bias, 1);
    }
    put_value(self, GRAPH_INPUT, "input", first->weights->n_rows / first->bias->n_rows);
    put_value(self, GRAPH_OUTPUT, "probabilities", last->bias->n_rows);
}

int rub_onnx_write(FILE *out, const rub_onnx_layer_t *layers, size_t n, rub_error_t *err)
{
    writing_t self;
    rub_buf_t model;
    int rc = check(layers, n, err);
    if (rc) {
        return rc;
    }
    rub_buf_t *const buffers[] = {&self.graph,   &self.message,  &self.part,
                                  &self.smaller, &self.smallest, &model};
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        rub_buf_init(buffers[i]);
    }
    put_graph(&self, layers, n);
    put_number(&model, MODEL_IR, IR_VERSION);
    put_text(&model, MODEL_PRODUCER, "rubato");
    put_text(&model, MODEL_VERSION, rub_version());
    put_number(&self.message, OPSET_VERSION, OPERATOR_SET);
    put_message(&model, MODEL_OPSET, &self.message);
    put_message(&model, MODEL_GRAPH, &self.graph);
    if (model.failed) {
        rc = rub_fail(err, RUB_ENOMEM, "onnx: no memory for the model");
    } else {
        fwrite(model.data, 1, model.bytes, out);
    }
    for (size_t i = 0; i < sizeof buffers / sizeof buffers[0]; i++) {
        rub_buf_fini(buffers[i]);
    }
    return rc;
}
