/* Models of ONNX: what is taken from one is finite, and as large as the model wanted it; nodes, and
 * what they say, lie within the file, and there is an end of them. */
#include "common/tensor/onnx_reader.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    enum { MOST = 6 };
    rub_onnx_reader_t *reader = NULL;
    rub_error_t err = {0};
    const char *path = rub_fuzz_file(0, data, size);
    if (rub_onnx_reader_open(path, &reader, &err) != 0) {
        RUB_ASSERT(err.message[0] != '\0');
        RUB_ASSERT(!reader);
        return 0;
    }
    static const rub_onnx_tensor_t wanted[] = {
        {.name = "w", .n_dims = 2, .dims = {2, 3}, .sizes = {2, 3}, .strides = {1, 2}},
        {.name = "b", .n_dims = 1, .dims = {2}, .sizes = {2}, .strides = {1}},
    };
    for (size_t t = 0; t < RUB_COUNT_OF(wanted); t++) {
        float values[MOST] = {0};
        if (rub_onnx_reader_take(reader, rub_onnx_text(wanted[t].name), &wanted[t], values, &err) !=
            0) {
            RUB_ASSERT(err.message[0] != '\0');
            continue;
        }
        for (size_t i = 0; i < MOST; i++) {
            RUB_ASSERT(isfinite(values[i]));
        }
    }
    size_t place = 0, before = 0;
    int code = 0;
    rub_onnx_node_t node;
    while ((code = rub_onnx_reader_node(reader, &place, &node, &err)) > 0) {
        rub_onnx_attribute_t found;
        RUB_ASSERT(place > before);
        RUB_ASSERT(place <= size);
        before = place;
        RUB_ASSERT(node.output.bytes + node.operator_name.bytes < size);
        RUB_ASSERT(node.n_inputs <= RUB_ONNX_INPUTS_LIMIT);
        if (rub_onnx_node_says(&node, "pads", &found)) {
            RUB_ASSERT(found.n <= RUB_ONNX_DIMS_LIMIT);
        }
    }
    RUB_ASSERT(code == 0 || err.message[0] != '\0');
    uint64_t dims[RUB_ONNX_DIMS_LIMIT];
    unsigned n_dims = 0;
    rub_onnx_text_t input;
    if (rub_onnx_reader_input(reader, &input, dims, &n_dims)) {
        RUB_ASSERT(n_dims <= RUB_ONNX_DIMS_LIMIT + 1);
        rub_onnx_reader_gives(reader, input);
    }
    rub_onnx_reader_close(&reader);
    return 0;
}
