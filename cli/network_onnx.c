/* Layers as nodes of ONNX.
 *
 * Here the channels of a place lie side by side, there each channel is an image of its own. Nothing
 * is transposed while the graph runs: parameters are written in the other order once. Data are an
 * image (N x C x H x W) until the first dense layer, in front of which stands a Flatten; the rows
 * of that layer's weights are written in the order that comes out of it, and so are gains and
 * biases of a layer normalisation. Invariant: `shape` is what the data in the making are, example
 * by example, however the network itself counts them.
 *
 * Dropout passes on what it gets when nothing is learnt, so it has no node. Gemm could take weights
 * as they are, but everybody's exporters write them transposed, with transB, and some importers
 * (OpenCV 4.6's) read nothing else. LayerNormalization is an operator from set 17 on; until then an
 * InstanceNormalization of one channel does it, which importers know better than its formula node
 * by node (OpenCV 4.6's divides nothing by what it must broadcast). */
#include "cli/network_onnx.h"

#include "cli/foreign_onnx.h"
#include "common/base/alloc.h"
#include "common/base/check.h"
#include "common/base/error.h"
#include "common/tensor/onnx_reader.h"
#include "worker/model/layer.h"
#include "worker/model/network.h"

#include <string.h>

enum { NAME_BYTES = 96 };

typedef struct writing {
    rub_onnx_t *onnx;
    const rub_model_t *model;
    const float *const *params;
    size_t table;      /* of the next layer with parameters */
    unsigned n_values; /* made by nodes so far */
    char value[NAME_BYTES];
    rub_shape_t shape;
    bool is_image; /* the data have four dimensions */
} writing_t;

static bool looks_at_places(const rub_layer_t *layer)
{
    return layer->kind == &rub_conv_layer || layer->kind == &rub_max_pool_layer ||
           layer->kind == &rub_avg_pool_layer;
}

/* ---- nodes ---- */

static rub_onnx_attribute_t number(const char *name, int64_t value)
{
    return (rub_onnx_attribute_t){.name = name, .kind = RUB_ONNX_WHOLE, .n = 1, .values = {value}};
}

static rub_onnx_attribute_t list(const char *name, unsigned n, int64_t a, int64_t b, int64_t c,
                                 int64_t d)
{
    return (rub_onnx_attribute_t){
        .name = name, .kind = RUB_ONNX_WHOLES, .n = n, .values = {a, b, c, d}};
}

/* Nodes are numbered; out gets the name of what this one makes. */
static void put(writing_t *self, const char *operator_name, const char *const *inputs, size_t n,
                char out[NAME_BYTES], const rub_onnx_attribute_t *attributes, size_t n_attributes)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "value%u", self->n_values++);
    rub_onnx_node(self->onnx, operator_name, inputs, n, name, attributes, n_attributes);
    memcpy(out, name, sizeof name);
}

/* The data go through a node that has no other input. */
static void pass(writing_t *self, const char *operator_name, const rub_onnx_attribute_t *attributes,
                 size_t n_attributes)
{
    const char *const inputs[] = {self->value};
    put(self, operator_name, inputs, 1, self->value, attributes, n_attributes);
}

/* y = a op b. */
static void combine(writing_t *self, const char *operator_name, const char *a, const char *b,
                    char out[NAME_BYTES])
{
    const char *const inputs[] = {a, b};
    put(self, operator_name, inputs, 2, out, NULL, 0);
}

const char *rub_network_onnx_activation(const rub_activation_t *activation)
{
    static const char *const operators[][2] = {
        {"relu", "Relu"}, {"sigmoid", "Sigmoid"}, {"tanh", "Tanh"}, {"elu", "Elu"}};
    size_t i = 0;
    if (activation == NULL || activation == rub_activation_none()) {
        return NULL;
    }
    while (i < RUB_COUNT_OF(operators) && strcmp(operators[i][0], activation->name) != 0) {
        i++;
    }
    RUB_ASSERT(i < RUB_COUNT_OF(operators)); /* a new activation is a new row */
    return operators[i][1];
}

/* ---- parameters ---- */

static const char *table_name(const writing_t *self, size_t which)
{
    return self->model->tables[self->table + which].name;
}

static void put_vector(writing_t *self, size_t which, uint64_t n)
{
    const rub_onnx_tensor_t tensor = {.name = table_name(self, which),
                                      .n_dims = 1,
                                      .dims = {n},
                                      .sizes = {n},
                                      .strides = {1},
                                      .values = self->params[self->table + which]};
    rub_onnx_tensor(self->onnx, &tensor);
}

/* A number for each of an example's, as the data lie. */
static void put_like_data(writing_t *self, size_t which)
{
    const uint64_t h = self->shape.height, w = self->shape.width, c = self->shape.channels;
    const rub_onnx_tensor_t image = {.name = table_name(self, which),
                                     .n_dims = 3,
                                     .dims = {c, h, w},
                                     .sizes = {c, h, w},
                                     .strides = {1, w * c, c},
                                     .values = self->params[self->table + which]};
    if (self->is_image) {
        rub_onnx_tensor(self->onnx, &image);
    } else {
        put_vector(self, which, h * w * c);
    }
}

/* ---- layers ---- */

static void put_conv(writing_t *self, const rub_layer_t *layer)
{
    enum { FILTERS, KERNEL, STRIDE, PADDING }; /* as worker/model/conv_layer.c has them */
    const uint64_t k = (uint64_t)layer->arguments[KERNEL], c = layer->in.channels,
                   f = layer->out.channels;
    const int64_t stride = (int64_t)layer->arguments[STRIDE],
                  padding = (int64_t)layer->arguments[PADDING];
    const rub_onnx_tensor_t weights = {.name = table_name(self, 0),
                                       .n_dims = 4,
                                       .dims = {f, c, k, k},
                                       .sizes = {f, c, k, k},
                                       .strides = {1, f, k * c * f, c * f},
                                       .values = self->params[self->table]};
    rub_onnx_tensor(self->onnx, &weights);
    put_vector(self, 1, f);
    const char *const inputs[] = {self->value, table_name(self, 0), table_name(self, 1)};
    const rub_onnx_attribute_t attributes[] = {
        list("kernel_shape", 2, (int64_t)k, (int64_t)k, 0, 0),
        list("strides", 2, stride, stride, 0, 0),
        list("pads", 4, padding, padding, padding, padding)};
    put(self, "Conv", inputs, 3, self->value, attributes, RUB_COUNT_OF(attributes));
}

static void put_pool(writing_t *self, const rub_layer_t *layer, const char *operator_name)
{
    enum { SIZE, STRIDE }; /* as worker/model/pool_layer.c has them */
    const int64_t size = (int64_t)layer->arguments[SIZE];
    const int64_t told = (int64_t)layer->arguments[STRIDE], stride = told > 0 ? told : size;
    const rub_onnx_attribute_t attributes[] = {list("kernel_shape", 2, size, size, 0, 0),
                                               list("strides", 2, stride, stride, 0, 0)};
    pass(self, operator_name, attributes, RUB_COUNT_OF(attributes));
}

static void put_dense(writing_t *self, const rub_layer_t *layer)
{
    const uint64_t h = self->shape.height, w = self->shape.width, c = self->shape.channels;
    const uint64_t m = layer->out.channels;
    const rub_onnx_attribute_t axis = number("axis", 1), transposed = number("transB", 1);
    if (self->is_image) {
        pass(self, "Flatten", &axis, 1);
        self->is_image = false;
    }
    const rub_onnx_tensor_t weights = {.name = table_name(self, 0),
                                       .n_dims = 2,
                                       .dims = {m, h * w * c},
                                       .sizes = {m, c, h, w},
                                       .strides = {1, m, w * c * m, c * m},
                                       .values = self->params[self->table]};
    rub_onnx_tensor(self->onnx, &weights);
    put_vector(self, 1, m);
    const char *const inputs[] = {self->value, table_name(self, 0), table_name(self, 1)};
    put(self, "Gemm", inputs, 3, self->value, &transposed, 1);
}

/* A vector of one number. */
static void put_one(writing_t *self, const char *name, float value)
{
    const rub_onnx_tensor_t tensor = {
        .name = name, .n_dims = 1, .dims = {1}, .sizes = {1}, .values = &value};
    rub_onnx_tensor(self->onnx, &tensor);
}

/* The data in another shape, which is a tensor called NAME/WHAT; 0 stands for the batch. */
static void reshape(writing_t *self, const char *what, const int64_t *shape, uint64_t n)
{
    char name[NAME_BYTES];
    snprintf(name, sizeof name, "%s/%s", table_name(self, 0), what);
    rub_onnx_wholes(self->onnx, name, shape, n);
    combine(self, "Reshape", self->value, name, self->value);
}

/* Over all numbers of an example: they become one channel, are normalised as such, and lie again as
 * they lay; then gain and bias. */
static void put_norm(writing_t *self, const rub_layer_t *layer)
{
    const int64_t h = self->shape.height, w = self->shape.width, c = self->shape.channels;
    const int64_t channel[] = {0, 1, h * w * c}, image[] = {0, c, h, w}, flat[] = {0, h * w * c};
    const rub_onnx_attribute_t epsilon = {
        .name = "epsilon", .kind = RUB_ONNX_REAL, .real = (float)layer->arguments[0]};
    char one[NAME_BYTES], zero[NAME_BYTES];
    snprintf(one, sizeof one, "%s/one", table_name(self, 0));
    snprintf(zero, sizeof zero, "%s/zero", table_name(self, 0));
    put_one(self, one, 1);
    put_one(self, zero, 0);
    put_like_data(self, 0);
    put_like_data(self, 1);
    reshape(self, "channel", channel, RUB_COUNT_OF(channel));
    const char *const inputs[] = {self->value, one, zero};
    put(self, "InstanceNormalization", inputs, 3, self->value, &epsilon, 1);
    if (self->is_image) {
        reshape(self, "image", image, RUB_COUNT_OF(image));
    } else {
        reshape(self, "flat", flat, RUB_COUNT_OF(flat));
    }
    combine(self, "Mul", self->value, table_name(self, 0), self->value);
    combine(self, "Add", self->value, table_name(self, 1), self->value);
}

/* What the data have become by now must be what the layer takes them for. */
static int check_places(const writing_t *self, const rub_layer_t *layer, size_t i, rub_error_t *err)
{
    const bool same = self->is_image && memcmp(&self->shape, &layer->in, sizeof layer->in) == 0;
    return same || !looks_at_places(layer)
               ? 0
               : rub_fail(err, RUB_ECONFIG,
                          "onnx: layer %zu (%s) takes as an image what was made flat before it", i,
                          layer->kind->name);
}

static int put_layer(writing_t *self, const rub_layer_t *layer, size_t i, rub_error_t *err)
{
    const int rc = check_places(self, layer, i, err);
    if (rc != 0) {
        return rc;
    }
    if (layer->kind == &rub_conv_layer) {
        put_conv(self, layer);
    } else if (layer->kind == &rub_max_pool_layer) {
        put_pool(self, layer, "MaxPool");
    } else if (layer->kind == &rub_avg_pool_layer) {
        put_pool(self, layer, "AveragePool");
    } else if (layer->kind == &rub_norm_layer) {
        put_norm(self, layer);
    } else if (layer->kind == &rub_dense_layer) {
        put_dense(self, layer);
    } else {
        RUB_ASSERT(layer->kind == &rub_dropout_layer || layer->kind->is_activation);
    }
    if (rub_network_onnx_activation(layer->activation) != NULL) {
        pass(self, rub_network_onnx_activation(layer->activation), NULL, 0);
    }
    self->table += layer->kind->weights_name != NULL ? 2 : 0;
    if (looks_at_places(layer) || layer->kind == &rub_dense_layer) {
        self->shape = layer->out;
    }
    return 0;
}

/* ---- all of it ---- */

/* as_image: of examples with places also where no layer looks at them. */
static int put_network(rub_onnx_t *onnx, const rub_model_t *model, const float *const *params,
                       bool as_image, rub_error_t *err)
{
    size_t n = 0;
    const rub_layer_t *layers = rub_network_layers(model, &n);
    writing_t self = {.onnx = onnx,
                      .model = model,
                      .params = params,
                      .value = "input",
                      .shape = layers[0].in, /* or the same, flat */
                      .is_image = as_image};
    int rc = 0;
    for (size_t i = 0; i < n; i++) {
        self.is_image = self.is_image || looks_at_places(&layers[i]);
    }
    const rub_shape_t in = layers[0].in;
    if (!self.is_image) {
        self.shape = (rub_shape_t){1, 1, (uint32_t)rub_shape_size(in)};
    }
    const uint64_t image[] = {in.channels, in.height, in.width}, flat = rub_shape_size(in);
    const uint64_t units = layers[n - 1].out.channels;
    rub_onnx_input(self.onnx, "input", self.is_image ? image : &flat, self.is_image ? 3 : 1);
    for (size_t i = 0; i < n && rc == 0; i++) {
        rc = put_layer(&self, &layers[i], i + 1, err);
    }
    if (rc == 0) {
        const char *const logits[] = {self.value};
        rub_onnx_node(self.onnx, "Softmax", logits, 1, "probabilities", NULL, 0);
        rub_onnx_output(self.onnx, "probabilities", &units, 1);
    }
    return rc;
}

static int no_graph(rub_error_t *err)
{
    return rub_fail(err, RUB_ENOMEM, "onnx: no memory for a graph");
}

int rub_network_write_onnx(const rub_model_t *model, const float *const *params, FILE *out,
                           rub_error_t *err)
{
    rub_onnx_t *onnx = rub_onnx_new();
    int rc = onnx ? put_network(onnx, model, params, false, err) : no_graph(err);
    rc = rc ? rc : rub_onnx_write(onnx, out, err);
    rub_onnx_destroy(&onnx);
    return rc;
}

/* ---- the way back ---- */

/* What the graph would hold, one tensor for each table, as it lies there. */
typedef struct layout {
    const rub_model_table_t *tables;
    size_t n_tables;
    rub_onnx_tensor_t *tensors;
} layout_t;

static void note(void *context, const rub_onnx_tensor_t *tensor)
{
    const layout_t *self = context;
    for (size_t t = 0; t < self->n_tables; t++) {
        if (strcmp(self->tables[t].name, tensor->name) == 0) {
            self->tensors[t] = *tensor;
            self->tensors[t].name = self->tables[t].name;
        }
    }
}

static bool takes_images(const rub_onnx_reader_t *file)
{
    uint64_t dims[RUB_ONNX_DIMS_LIMIT];
    unsigned n_dims = 0;
    rub_onnx_text_t name;
    return rub_onnx_reader_input(file, &name, dims, &n_dims) && n_dims == 4;
}

int rub_network_read_onnx(const rub_model_t *model, float *const *params, const char *path,
                          rub_error_t *err)
{
    uint64_t dims[RUB_ONNX_DIMS_LIMIT];
    unsigned n_dims = 0;
    size_t n_layers = 0;
    rub_onnx_reader_t *file = NULL;
    layout_t layout = {0};
    const rub_layer_t *layers = rub_network_layers(model, &n_layers);
    layout.tables = rub_model_tables(model, &layout.n_tables);
    layout.tensors = rub_calloc(layout.n_tables, sizeof(*layout.tensors));
    rub_onnx_t *onnx = rub_onnx_new();
    int rc = onnx && layout.tensors ? rub_onnx_reader_open(path, &file, err) : no_graph(err);
    if (rc == 0) {
        /* A file of ours calls parameters as the model does; of others the nodes say whose they
         * are, and an image may be made flat there channel by channel. */
        const bool is_ours =
            rub_onnx_reader_holds(file, rub_onnx_text(layout.tables[0].name), dims, &n_dims);
        rub_onnx_watch(onnx, note, &layout);
        rc = put_network(onnx, model, (const float *const *)params, !is_ours && takes_images(file),
                         err);
        if (rc == 0 && !is_ours) {
            rc = rub_foreign_onnx_take(file, layers, n_layers, layout.tensors, params, err);
        }
        for (size_t t = 0; rc == 0 && is_ours && t < layout.n_tables; t++) {
            rc = rub_onnx_reader_take(file, rub_onnx_text(layout.tables[t].name),
                                      &layout.tensors[t], params[t], err);
        }
    }
    rub_onnx_reader_close(&file);
    rub_onnx_destroy(&onnx);
    rub_free(layout.tensors);
    return rc;
}
