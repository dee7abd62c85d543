/* A small convolutional network as ONNX: the bytes are walked as protobuf says, and what stands
 * there must be the network's nodes, and its parameters in the order of who puts channels first. */
#include "cli/network_onnx.h"
#include "common/base/alloc.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

enum { HEIGHT = 4, WIDTH = 3, CHANNELS = 2, FILTERS = 3, KERNEL = 2, UNITS = 2, TABLES_MOST = 8 };
enum { FLOAT = 1, INT64 = 7 }; /* of tensors */

/* ---- protobuf ---- */

typedef struct message {
    const uint8_t *at, *end;
} message_t;

typedef struct field {
    uint32_t number;
    uint64_t value;    /* of a varint */
    message_t message; /* of bytes, also of four without a length */
} field_t;

static uint64_t varint(message_t *self)
{
    uint64_t value = 0;
    for (unsigned shift = 0;; shift += 7) {
        assert_true(self->at < self->end);
        assert_true(shift < 64);
        value |= (uint64_t)(*self->at & 0x7f) << shift;
        if (!(*self->at++ & 0x80)) {
            return value;
        }
    }
}

static bool next(message_t *self, field_t *field)
{
    if (self->at == self->end) {
        return false;
    }
    const uint64_t key = varint(self);
    *field = (field_t){.number = (uint32_t)(key >> 3)};
    if ((key & 7) == 0) {
        field->value = varint(self);
        return true;
    }
    assert_true((key & 7) == 2 || (key & 7) == 5);
    const uint64_t bytes = (key & 7) == 2 ? varint(self) : 4;
    assert_true(bytes <= (uint64_t)(self->end - self->at));
    field->message = (message_t){self->at, self->at + bytes};
    self->at += bytes;
    return true;
}

/* The n-th field of that number; n may not be there: then false. */
static bool find(message_t message, uint32_t number, size_t n, field_t *field)
{
    while (next(&message, field)) {
        if (field->number == number && n-- == 0) {
            return true;
        }
    }
    return false;
}

static bool is_text(message_t message, const char *text)
{
    const size_t bytes = (size_t)(message.end - message.at);
    return bytes == strlen(text) && memcmp(message.at, text, bytes) == 0;
}

/* ---- a network ---- */

typedef struct fixture {
    rub_model_t *model;
    float *tables[TABLES_MOST];
    char *bytes;
    size_t n_bytes;
    message_t graph;
    rub_error_t err;
} fixture_t;

static int write_model(fixture_t *self, const char *layers)
{
    rub_model_spec_t spec;
    *self = (fixture_t){0};
    rub_model_spec_defaults(&spec);
    spec.kind = "sequential";
    spec.layers = layers;
    spec.n_inputs = HEIGHT * WIDTH * CHANNELS;
    spec.image = (rub_shape_t){HEIGHT, WIDTH, CHANNELS};
    spec.n_classes = UNITS;
    spec.max_batch = 1;
    assert_int_equal(rub_model_new(&spec, &self->model, &self->err), 0);
    size_t n = 0;
    const rub_model_table_t *tables = rub_model_tables(self->model, &n);
    assert_true(n <= TABLES_MOST);
    for (size_t t = 0; t < n; t++) {
        self->tables[t] = rub_calloc((size_t)tables[t].elements, sizeof(float));
        for (uint64_t i = 0; i < tables[t].elements; i++) {
            self->tables[t][i] = (float)(1000 * t + i);
        }
    }
    FILE *out = open_memstream(&self->bytes, &self->n_bytes);
    const int rc =
        rub_network_write_onnx(self->model, (const float *const *)self->tables, out, &self->err);
    assert_int_equal(fclose(out), 0);
    return rc;
}

static void open_fixture(fixture_t *self, const char *layers)
{
    assert_int_equal(write_model(self, layers), 0);
    const uint8_t *bytes = (const uint8_t *)self->bytes;
    const message_t model = {bytes, bytes + self->n_bytes};
    field_t field, version;
    assert_true(find(model, 1, 0, &field));
    assert_int_equal(field.value, 8); /* of the format */
    assert_true(find(model, 8, 0, &field));
    assert_true(find(field.message, 2, 0, &version));
    assert_int_equal(version.value, 13); /* of the operators */
    assert_true(find(model, 7, 0, &field));
    self->graph = field.message;
}

static void close_fixture(fixture_t *self)
{
    for (size_t t = 0; t < TABLES_MOST; t++) {
        rub_free(self->tables[t]);
    }
    rub_model_destroy(&self->model);
    free(self->bytes);
}

/* The dims of a tensor or, when there is none of that name, a failure; its numbers into values. */
static size_t tensor(const fixture_t *self, const char *name, uint64_t type, uint64_t dims[4],
                     void *values)
{
    field_t field, part;
    for (size_t i = 0; find(self->graph, 5, i, &field); i++) {
        size_t n = 0;
        if (!find(field.message, 8, 0, &part) || !is_text(part.message, name)) {
            continue;
        }
        for (; n < 4 && find(field.message, 1, n, &part); n++) {
            dims[n] = part.value;
        }
        assert_true(find(field.message, 2, 0, &part));
        assert_int_equal(part.value, type);
        assert_true(find(field.message, 9, 0, &part));
        memcpy(values, part.message.at, (size_t)(part.message.end - part.message.at));
        return n;
    }
    fail_msg("no tensor '%s'", name);
    return 0;
}

static void assert_value(const fixture_t *self, uint32_t which, const char *name,
                         const uint64_t *dims, size_t n)
{
    field_t field, part;
    assert_true(find(self->graph, which, 0, &field));
    assert_true(find(field.message, 1, 0, &part));
    assert_true(is_text(part.message, name));
    assert_true(find(field.message, 2, 0, &part));
    assert_true(find(part.message, 1, 0, &part));
    assert_true(find(part.message, 2, 0, &part));
    const message_t shape = part.message;
    for (size_t i = 0; i < n; i++) {
        assert_true(find(shape, 1, i + 1, &field));
        assert_true(find(field.message, 1, 0, &part));
        assert_int_equal(part.value, dims[i]);
    }
    assert_false(find(shape, 1, n + 1, &field));
}

/* ---- what is held ---- */

static const char convolutional[] =
    "conv: {filters: 3, kernel: 2, padding: 1}, relu, dropout: 0.5, "
    "max_pool: 2, layer_norm, flatten, dense: 2";

static void nodes_are_the_layers_in_order_each_on_what_was_made_before(void **state)
{
    (void)state;
    static const char *const operators[] = {
        "Conv", "Relu",    "MaxPool", "Reshape", "InstanceNormalization", "Reshape", "Mul",
        "Add",  "Flatten", "Gemm",    "Softmax"};
    const size_t n = sizeof operators / sizeof operators[0];
    const uint64_t image[] = {CHANNELS, HEIGHT, WIDTH}, units = UNITS;
    fixture_t f;
    field_t node, part, made;
    open_fixture(&f, convolutional);
    for (size_t i = 0; i < n; i++) {
        assert_true(find(f.graph, 1, i, &node));
        assert_true(find(node.message, 4, 0, &part));
        assert_true(is_text(part.message, operators[i]));
        assert_true(find(node.message, 1, 0, &part));
        for (size_t before = 0; i > 0 && before <= i; before++) {
            assert_true(before < i); /* or nobody has made it */
            assert_true(find(f.graph, 1, before, &node));
            assert_true(find(node.message, 2, 0, &made));
            if (made.message.end - made.message.at == part.message.end - part.message.at &&
                memcmp(made.message.at, part.message.at,
                       (size_t)(part.message.end - part.message.at)) == 0) {
                break;
            }
        }
    }
    assert_false(find(f.graph, 1, n, &node));
    assert_value(&f, 11, "input", image, 3);
    assert_value(&f, 12, "probabilities", &units, 1);
    close_fixture(&f);
}

static void windows_have_their_kernel_stride_and_padding(void **state)
{
    (void)state;
    static const int64_t expected[][4] = {{2, 2}, {1, 1}, {1, 1, 1, 1}};
    static const char *const names[] = {"kernel_shape", "strides", "pads"};
    fixture_t f;
    field_t node, attribute, part;
    open_fixture(&f, convolutional);
    assert_true(find(f.graph, 1, 0, &node));
    for (size_t a = 0; a < 3; a++) {
        assert_true(find(node.message, 5, a, &attribute));
        assert_true(find(attribute.message, 1, 0, &part));
        assert_true(is_text(part.message, names[a]));
        const size_t n = a == 2 ? 4 : 2;
        for (size_t i = 0; i < n; i++) {
            assert_true(find(attribute.message, 8, i, &part));
            assert_int_equal(part.value, expected[a][i]);
        }
        assert_false(find(attribute.message, 8, n, &part));
    }
    close_fixture(&f);
}

static void a_layer_is_normalised_as_one_channel_with_its_epsilon(void **state)
{
    (void)state;
    static const int64_t there[] = {0, 1, 12}, back[] = {0, 3, 2, 2};
    const float epsilon = 0.25f;
    int64_t values[4];
    uint64_t dims[4];
    fixture_t f;
    field_t node, part;
    open_fixture(&f, "conv: {filters: 3, kernel: 2, padding: 1}, max_pool: 2, layer_norm: 0.25, "
                     "dense: 2");
    assert_int_equal(tensor(&f, "layer1/gain/channel", INT64, dims, values), 1);
    assert_memory_equal(values, there, sizeof there);
    assert_int_equal(tensor(&f, "layer1/gain/image", INT64, dims, values), 1);
    assert_memory_equal(values, back, sizeof back);
    assert_true(find(f.graph, 1, 3, &node));
    assert_true(find(node.message, 5, 0, &part));
    assert_true(find(part.message, 2, 0, &part));
    assert_memory_equal(part.message.at, &epsilon, sizeof epsilon);
    close_fixture(&f);
}

static void parameters_are_written_channels_first(void **state)
{
    (void)state;
    enum { POOLED_HEIGHT = 2, POOLED_WIDTH = 2 }; /* of (4 + 2 - 2 + 1) x (3 + 2 - 2 + 1) */
    float values[256];
    uint64_t dims[4];
    fixture_t f;
    open_fixture(&f, convolutional);
    assert_int_equal(tensor(&f, "layer0/weights", FLOAT, dims, values), 4);
    const uint64_t conv[] = {FILTERS, CHANNELS, KERNEL, KERNEL};
    assert_memory_equal(dims, conv, sizeof conv);
    size_t i = 0;
    for (size_t k = 0; k < FILTERS; k++) {
        for (size_t c = 0; c < CHANNELS; c++) {
            for (size_t y = 0; y < KERNEL; y++) {
                for (size_t x = 0; x < KERNEL; x++, i++) {
                    const size_t from = ((y * KERNEL + x) * CHANNELS + c) * FILTERS + k;
                    assert_true(values[i] == f.tables[0][from]);
                }
            }
        }
    }
    assert_int_equal(tensor(&f, "layer1/gain", FLOAT, dims, values), 3);
    for (i = 0; i < FILTERS * POOLED_HEIGHT * POOLED_WIDTH; i++) {
        const size_t c = i / (POOLED_HEIGHT * POOLED_WIDTH),
                     place = i % (POOLED_HEIGHT * POOLED_WIDTH);
        assert_true(values[i] == f.tables[2][place * FILTERS + c]);
    }
    assert_int_equal(tensor(&f, "layer2/weights", FLOAT, dims, values), 2);
    assert_int_equal(dims[0], UNITS);
    assert_int_equal(dims[1], FILTERS * POOLED_HEIGHT * POOLED_WIDTH);
    for (i = 0; i < UNITS * dims[1]; i++) {
        const size_t unit = i / dims[1], row = i % dims[1];
        const size_t c = row / (POOLED_HEIGHT * POOLED_WIDTH),
                     place = row % (POOLED_HEIGHT * POOLED_WIDTH);
        assert_true(values[i] == f.tables[4][(place * FILTERS + c) * UNITS + unit]);
    }
    close_fixture(&f);
}

static void without_windows_examples_stay_flat_and_weights_are_transposed(void **state)
{
    (void)state;
    const uint64_t n = HEIGHT * WIDTH * CHANNELS;
    float values[256];
    uint64_t dims[4];
    fixture_t f;
    open_fixture(&f, "dense: 5, tanh, dense: 2");
    assert_value(&f, 11, "input", &n, 1);
    assert_int_equal(tensor(&f, "layer0/weights", FLOAT, dims, values), 2);
    for (size_t i = 0; i < 5 * n; i++) {
        assert_true(values[i] == f.tables[0][i % n * 5 + i / n]);
    }
    close_fixture(&f);
}

/* Written, and read into tables of zeros: the same numbers in the same places. */
static void read_back(const fixture_t *f, const char *layers)
{
    char path[] = "/tmp/rubato-onnx-XXXXXX";
    const int fd = mkstemp(path);
    fixture_t g;
    size_t n = 0;
    assert_true(fd >= 0 && write(fd, f->bytes, f->n_bytes) == (ssize_t)f->n_bytes);
    close(fd);
    assert_int_equal(write_model(&g, layers), 0);
    const rub_model_table_t *tables = rub_model_tables(g.model, &n);
    for (size_t t = 0; t < n; t++) {
        memset(g.tables[t], 0, (size_t)tables[t].elements * sizeof(float));
    }
    assert_int_equal(rub_network_read_onnx(g.model, g.tables, path, &g.err), 0);
    for (size_t t = 0; t < n; t++) {
        assert_memory_equal(g.tables[t], f->tables[t], (size_t)tables[t].elements * sizeof(float));
    }
    close_fixture(&g);
    /* Of other layers it is refused, with the name of what does not fit. */
    assert_int_equal(write_model(&g, "dense: 7, layer_norm, dense: 2"), 0);
    assert_int_equal(rub_network_read_onnx(g.model, g.tables, path, &g.err), RUB_EDATA);
    assert_non_null(strstr(g.err.message, "'layer"));
    assert_int_equal(truncate(path, (off_t)(f->n_bytes / 2)), 0);
    assert_int_equal(rub_network_read_onnx(g.model, g.tables, path, &g.err), RUB_EDATA);
    assert_non_null(strstr(g.err.message, "is no model of ONNX: protobuf ends"));
    close_fixture(&g);
    unlink(path);
}

static void parameters_are_read_back_to_where_they_were(void **state)
{
    static const char *const networks[] = {
        "conv: {filters: 3, kernel: 2}, layer_norm, relu, dense: 2",
        "conv: {filters: 3, kernel: 2, padding: 1}, max_pool: 2, dense: 4, layer_norm, dense: 2",
        "dense: 5, tanh, dense: 2"};
    (void)state;
    for (size_t i = 0; i < sizeof networks / sizeof networks[0]; i++) {
        fixture_t f;
        open_fixture(&f, networks[i]);
        read_back(&f, networks[i]);
        close_fixture(&f);
    }
}

static void an_image_out_of_what_was_made_flat_is_refused(void **state)
{
    (void)state;
    fixture_t f;
    assert_int_equal(write_model(&f, "dense: 4, max_pool: 1, dense: 2"), RUB_ECONFIG);
    assert_non_null(strstr(f.err.message, "onnx: layer 2 (max_pool) takes as an image"));
    assert_int_equal(f.n_bytes, 0);
    close_fixture(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(parameters_are_read_back_to_where_they_were),
        cmocka_unit_test(an_image_out_of_what_was_made_flat_is_refused),
        cmocka_unit_test(nodes_are_the_layers_in_order_each_on_what_was_made_before),
        cmocka_unit_test(windows_have_their_kernel_stride_and_padding),
        cmocka_unit_test(a_layer_is_normalised_as_one_channel_with_its_epsilon),
        cmocka_unit_test(parameters_are_written_channels_first),
        cmocka_unit_test(without_windows_examples_stay_flat_and_weights_are_transposed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
