/* The graph is walked from its input on as a chain: a node belongs to it that takes what the chain
 * has made so far. What only renames, reshapes or drops is passed over, and so are nodes beside the
 * chain, which compute shapes; each other node must be the model's next layer. Invariant: whatever
 * joins the chain with something else (a second branch, a normalisation that learnt from batches)
 * is a node that no layer is, and is refused by name, as is a graph that gives away what the chain
 * has not made; so what is taken computes the same.
 *
 * A dense layer is Gemm, or MatMul and an Add; a layer normalisation is LayerNormalization, or its
 * formula node by node as exporters write it below operator set 17. */
#include "cli/foreign_onnx.h"

#include "cli/network_onnx.h"
#include "common/base/check.h"
#include "common/base/error.h"

#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

typedef struct chain {
    const rub_onnx_reader_t *file;
    size_t place;          /* behind node */
    rub_onnx_node_t node;  /* the next one */
    bool has_node;         /* or the graph is over */
    rub_onnx_text_t value; /* what the chain has made */
    const rub_layer_t *layer;
    size_t layer_number; /* from 1; a list of layers counts flatten, this does not */
    rub_error_t *err;
} chain_t;

/* ---- walking ---- */

/* The next node is of that operator. */
static bool is(const chain_t *self, const char *operator_name)
{
    return self->has_node && rub_onnx_text_is(self->node.operator_name, operator_name);
}

static bool takes(const rub_onnx_node_t *node, rub_onnx_text_t value)
{
    for (unsigned i = 0; i < node->n_inputs; i++) {
        if (rub_onnx_text_same(node->inputs[i], value)) {
            return true;
        }
    }
    return false;
}

/* What a network makes of an example stays the same, number by number. (PyTorch puts a Pad of
 * nothing before an AveragePool.) */
static bool is_passed_over(const chain_t *self)
{
    static const char *const names[] = {"Identity", "Dropout",   "Flatten",
                                        "Reshape",  "Unsqueeze", "Squeeze"};
    for (size_t i = 0; i < RUB_COUNT_OF(names); i++) {
        if (is(self, names[i])) {
            return true;
        }
    }
    return is(self, "Pad") && self->node.n_inputs > 1 &&
           rub_onnx_reader_holds_zeros(self->file, self->node.inputs[1]);
}

/* To the next node that does something to the data. */
static int move(chain_t *self)
{
    int rc = 0;
    self->has_node = true;
    while ((rc = rub_onnx_reader_node(self->file, &self->place, &self->node, self->err)) > 0) {
        if (!takes(&self->node, self->value) || is(self, "Shape")) {
            continue;
        }
        if (!is_passed_over(self)) {
            break;
        }
        self->value = self->node.output;
    }
    self->has_node = rc > 0;
    return rc > 0 ? 0 : rc;
}

/* The node is done with. */
static int step(chain_t *self)
{
    self->value = self->node.output;
    return move(self);
}

static int shown(rub_onnx_text_t text)
{
    return text.bytes < 80 ? (int)text.bytes : 80;
}

static const char *at(rub_onnx_text_t text)
{
    return text.at ? text.at : "";
}

/* The node is not what stands in the model; wanted: what would have been. */
static int refuse(const chain_t *self, const char *wanted)
{
    if (!self->has_node) {
        return rub_fail(self->err, RUB_EDATA,
                        "its graph ends where the model has layer %zu (%s), expected %s",
                        self->layer_number, self->layer->kind->name, wanted);
    }
    return rub_fail(self->err, RUB_EDATA,
                    "its node '%.*s' (%.*s) stands where the model has layer %zu (%s), expected %s",
                    shown(self->node.name), at(self->node.name), shown(self->node.operator_name),
                    at(self->node.operator_name), self->layer_number, self->layer->kind->name,
                    wanted);
}

static int check_whole(const chain_t *self, const char *attribute, unsigned n, int64_t fallback,
                       int64_t wanted)
{
    rub_onnx_attribute_t found;
    const bool says = rub_onnx_node_says(&self->node, attribute, &found);
    bool same = says ? found.n == n : fallback == wanted;
    for (unsigned i = 0; i < found.n; i++) {
        same = same && found.values[i] == wanted;
    }
    char sentence[96];
    snprintf(sentence, sizeof sentence, "%s of %" PRId64, attribute, wanted);
    return same ? 0 : refuse(self, sentence);
}

static int check_real(const chain_t *self, const char *attribute, double fallback, double wanted)
{
    rub_onnx_attribute_t found;
    const double value =
        rub_onnx_node_says(&self->node, attribute, &found) ? (double)found.real : fallback;
    char sentence[96];
    snprintf(sentence, sizeof sentence, "%s of %g, not %g", attribute, wanted, value);
    return fabs(value - wanted) <= 1e-6 * fabs(wanted) ? 0 : refuse(self, sentence);
}

/* The node's input that is not the data: numbers that the graph holds, or nothing. */
static rub_onnx_text_t other_input(const chain_t *self)
{
    const rub_onnx_node_t *node = &self->node;
    uint64_t dims[RUB_ONNX_DIMS_LIMIT];
    unsigned n_dims = 0;
    const rub_onnx_text_t other = node->n_inputs != 2 ? (rub_onnx_text_t){0}
                                  : rub_onnx_text_same(node->inputs[0], self->value)
                                      ? node->inputs[1]
                                      : node->inputs[0];
    return rub_onnx_reader_holds(self->file, other, dims, &n_dims) ? other : (rub_onnx_text_t){0};
}

static rub_onnx_text_t input(const chain_t *self, unsigned i)
{
    return i < self->node.n_inputs ? self->node.inputs[i] : (rub_onnx_text_t){0};
}

/* ---- layers ---- */

static uint64_t elements(const rub_onnx_tensor_t *tensor)
{
    uint64_t n = 1;
    for (unsigned d = 0; d < tensor->n_dims; d++) {
        n *= tensor->dims[d];
    }
    return n;
}

/* Of a number for each place or unit: as many, in the same order, whether the graph has them as one
 * row, or with dims of 1 to be spread over the data. */
static int take_row(const chain_t *self, rub_onnx_text_t name, const rub_onnx_tensor_t *tensor,
                    float *values)
{
    rub_onnx_tensor_t as = *tensor;
    uint64_t dims[RUB_ONNX_DIMS_LIMIT], n = 1;
    unsigned n_dims = 0, n_wide = 0;
    if (rub_onnx_reader_holds(self->file, name, dims, &n_dims) && n_dims <= RUB_ONNX_DIMS_LIMIT) {
        for (unsigned d = 0; d < n_dims; d++) {
            n_wide += dims[d] > 1;
            n = dims[d] > 0 && n <= UINT64_MAX / dims[d] ? n * dims[d] : 0;
        }
        if (n_wide <= 1 && n == elements(tensor)) {
            as.n_dims = n_dims;
            memcpy(as.dims, dims, sizeof as.dims);
        }
    }
    return rub_onnx_reader_take(self->file, name, &as, values, self->err);
}

/* bias without a name: the graph may add it behind, or has none, and it is 0. */
static int take_bias(chain_t *self, rub_onnx_text_t bias, const rub_onnx_tensor_t *tensor,
                     float *values)
{
    int rc = 0;
    if (bias.bytes == 0 && is(self, "Add")) {
        bias = other_input(self);
        rc = bias.at ? step(self) : 0;
    }
    if (rc == 0 && bias.bytes > 0) {
        rc = take_row(self, bias, tensor, values);
    } else if (rc == 0) {
        memset(values, 0, (size_t)elements(tensor) * sizeof(*values));
    }
    return rc;
}

/* units x inputs as inputs x units. */
static rub_onnx_tensor_t transposed(const rub_onnx_tensor_t *tensor)
{
    rub_onnx_tensor_t out = *tensor;
    out.dims[0] = tensor->dims[1];
    out.dims[1] = tensor->dims[0];
    for (unsigned d = 0; d < RUB_ONNX_DIMS_LIMIT; d++) {
        out.sizes[d] = tensor->sizes[(d + 1) % RUB_ONNX_DIMS_LIMIT];
        out.strides[d] = tensor->strides[(d + 1) % RUB_ONNX_DIMS_LIMIT];
    }
    return out;
}

static int take_dense(chain_t *self, const rub_onnx_tensor_t *tensors, float *const *params)
{
    const bool is_gemm = is(self, "Gemm");
    rub_onnx_attribute_t found;
    const rub_onnx_text_t none = {0}, weights = input(self, 1),
                          bias = is_gemm ? input(self, 2) : none;
    int rc = (is_gemm || is(self, "MatMul")) && rub_onnx_text_same(input(self, 0), self->value)
                 ? 0
                 : refuse(self, "Gemm, or MatMul and Add");
    rc = rc || !is_gemm ? rc : check_real(self, "alpha", 1, 1);
    rc = rc || !is_gemm ? rc : check_real(self, "beta", 1, 1);
    rc = rc || !is_gemm ? rc : check_whole(self, "transA", 1, 0, 0);
    if (rc == 0) {
        const bool other_way =
            is_gemm && rub_onnx_node_says(&self->node, "transB", &found) && found.values[0] == 1;
        const rub_onnx_tensor_t rows = other_way ? tensors[0] : transposed(&tensors[0]);
        rc = rub_onnx_reader_take(self->file, weights, &rows, params[0], self->err);
    }
    rc = rc ? rc : step(self);
    return rc ? rc : take_bias(self, bias, &tensors[1], params[1]);
}

static int check_windows(const chain_t *self, int64_t kernel, int64_t stride, int64_t padding)
{
    int rc = check_whole(self, "kernel_shape", 2, kernel, kernel);
    rc = rc ? rc : check_whole(self, "strides", 2, 1, stride);
    rc = rc ? rc : check_whole(self, "pads", 4, 0, padding);
    rc = rc ? rc : check_whole(self, "dilations", 2, 1, 1);
    rub_onnx_attribute_t found;
    return rc || !rub_onnx_node_says(&self->node, "auto_pad", &found) || padding == 0
               ? rc
               : refuse(self, "pads instead of auto_pad");
}

static int take_conv(chain_t *self, const rub_onnx_tensor_t *tensors, float *const *params)
{
    enum { FILTERS, KERNEL, STRIDE, PADDING }; /* as worker/model/conv_layer.c has them */
    const double *arguments = self->layer->arguments;
    const rub_onnx_text_t weights = input(self, 1), bias = input(self, 2);
    int rc = is(self, "Conv") ? 0 : refuse(self, "Conv");
    rc = rc ? rc
            : check_windows(self, (int64_t)arguments[KERNEL], (int64_t)arguments[STRIDE],
                            (int64_t)arguments[PADDING]);
    rc = rc ? rc : check_whole(self, "group", 1, 1, 1);
    rc = rc ? rc : rub_onnx_reader_take(self->file, weights, &tensors[0], params[0], self->err);
    rc = rc ? rc : step(self);
    return rc ? rc : take_bias(self, bias, &tensors[1], params[1]);
}

static int pass_pool(chain_t *self, const char *operator_name)
{
    enum { SIZE, STRIDE }; /* as worker/model/pool_layer.c has them */
    const int64_t size = (int64_t)self->layer->arguments[SIZE],
                  told = (int64_t)self->layer->arguments[STRIDE];
    int rc = is(self, operator_name) ? 0 : refuse(self, operator_name);
    rc = rc ? rc : check_windows(self, size, told > 0 ? told : size, 0);
    rc = rc ? rc : check_whole(self, "ceil_mode", 1, 0, 0);
    return rc ? rc : step(self);
}

/* The formula: centred = x - mean(x), centred / sqrt(mean(centred^2) + epsilon). */
static int pass_formula(chain_t *self)
{
    static const char *const operators[] = {"Sub", "Pow", "ReduceMean", "Add", "Sqrt", "Div"};
    static const char wanted[] = "LayerNormalization, or the nodes of its formula";
    const rub_onnx_text_t x = self->value;
    rub_onnx_text_t centred = {0}, made = self->node.output;
    int rc = 0;
    for (size_t i = 0; i < RUB_COUNT_OF(operators) && rc == 0; i++) {
        do { /* constants stand in between */
            rc = rub_onnx_reader_node(self->file, &self->place, &self->node, self->err);
        } while (rc > 0 && !takes(&self->node, made));
        self->has_node = rc > 0;
        rc = rc < 0 ? rc : !is(self, operators[i]) ? refuse(self, wanted) : 0;
        if (rc == 0 && ((i == 0 && !rub_onnx_text_same(input(self, 0), x)) ||
                        (i == 5 && !rub_onnx_text_same(input(self, 0), centred)))) {
            rc = refuse(self, wanted);
        }
        if (rc == 0 && i == 3) { /* made + epsilon */
            const rub_onnx_tensor_t one = {.name = "epsilon", .n_dims = 1, .dims = {1}};
            const unsigned which = rub_onnx_text_same(input(self, 0), made) ? 1 : 0;
            float epsilon = 0;
            rc = take_row(self, input(self, which), &one, &epsilon);
            const double told = self->layer->arguments[0];
            rc = rc                                           ? rc
                 : fabs((double)epsilon - told) > 1e-6 * told ? refuse(self, "the same epsilon")
                                                              : 0;
        }
        made = self->node.output;
        centred = i == 0 ? made : centred;
    }
    return rc ? rc : step(self);
}

static int take_norm(chain_t *self, const rub_onnx_tensor_t *tensors, float *const *params)
{
    rub_onnx_text_t gain = input(self, 1), bias = input(self, 2);
    int rc = 0;
    if (is(self, "LayerNormalization")) {
        rc = check_real(self, "epsilon", 1e-5, self->layer->arguments[0]);
        rc = rc ? rc : step(self);
    } else if (is(self, "ReduceMean")) {
        bias = (rub_onnx_text_t){0};
        rc = pass_formula(self);
        rc = rc ? rc : is(self, "Mul") && other_input(self).at ? 0 : refuse(self, "Mul by a gain");
        gain = rc ? gain : other_input(self);
        rc = rc ? rc : step(self);
    } else {
        return refuse(self, "LayerNormalization, or the nodes of its formula");
    }
    rc = rc ? rc : take_row(self, gain, &tensors[0], params[0]);
    return rc ? rc : take_bias(self, bias, &tensors[1], params[1]);
}

static int pass_activation(chain_t *self, const rub_activation_t *activation)
{
    const char *const operator_name = rub_network_onnx_activation(activation);
    if (!operator_name) {
        return 0;
    }
    int rc = is(self, operator_name) ? 0 : refuse(self, operator_name);
    rc = rc ? rc : check_real(self, "alpha", 1, 1); /* elu's; others have none */
    return rc ? rc : step(self);
}

static int take_layer(chain_t *self, const rub_onnx_tensor_t *tensors, float *const *params)
{
    const rub_layer_kind_t *kind = self->layer->kind;
    int rc = 0;
    if (kind == &rub_conv_layer) {
        rc = take_conv(self, tensors, params);
    } else if (kind == &rub_dense_layer) {
        rc = take_dense(self, tensors, params);
    } else if (kind == &rub_norm_layer) {
        rc = take_norm(self, tensors, params);
    } else if (kind == &rub_max_pool_layer) {
        rc = pass_pool(self, "MaxPool");
    } else if (kind == &rub_avg_pool_layer) {
        rc = pass_pool(self, "AveragePool");
    } else {
        RUB_ASSERT(kind == &rub_dropout_layer || kind->is_activation);
    }
    return rc ? rc : pass_activation(self, self->layer->activation);
}

/* Behind the last layer: a softmax or nothing, and then what the graph gives away. */
static int end(chain_t *self)
{
    int rc = is(self, "Softmax") || is(self, "LogSoftmax") ? step(self) : 0;
    if (rc == 0 && self->has_node) {
        rc = rub_fail(self->err, RUB_EDATA,
                      "its node '%.*s' (%.*s) stands behind the model's last layer",
                      shown(self->node.name), at(self->node.name), shown(self->node.operator_name),
                      at(self->node.operator_name));
    }
    return rc || rub_onnx_reader_gives(self->file, self->value)
               ? rc
               : rub_fail(self->err, RUB_EDATA,
                          "its graph does not give away '%.*s', which its layers make",
                          shown(self->value), at(self->value));
}

static int open_chain(chain_t *self)
{
    uint64_t dims[RUB_ONNX_DIMS_LIMIT];
    unsigned n_dims = 0;
    const rub_shape_t in = self->layer->in;
    if (!rub_onnx_reader_input(self->file, &self->value, dims, &n_dims)) {
        return rub_fail(self->err, RUB_EDATA, "its graph has no input");
    }
    const bool has_places = in.height > 1 || in.width > 1;
    if (n_dims == 4 && has_places && dims[1] != 0 && dims[1] != in.channels) {
        return rub_fail(self->err, RUB_EDATA,
                        "its input '%.*s' has images of %" PRIu64
                        " channels, expected batch x %u channels x height x width",
                        shown(self->value), at(self->value), dims[1], in.channels);
    }
    return move(self);
}

int rub_foreign_onnx_take(const rub_onnx_reader_t *file, const rub_layer_t *layers, size_t n_layers,
                          const rub_onnx_tensor_t *tensors, float *const *params, rub_error_t *err)
{
    chain_t self = {.file = file, .layer = layers, .err = err};
    size_t table = 0;
    int rc = open_chain(&self);
    for (size_t i = 0; i < n_layers && rc == 0; i++) {
        self.layer = &layers[i];
        self.layer_number = i + 1;
        rc = take_layer(&self, &tensors[table], &params[table]);
        table += layers[i].kind->weights_name ? 2 : 0;
    }
    return rc ? rc : end(&self);
}
