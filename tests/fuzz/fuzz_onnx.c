/* Models of ONNX: what is taken from one is finite, and as large as the model wanted it. */
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
        if (rub_onnx_reader_take(reader, &wanted[t], values, &err) != 0) {
            RUB_ASSERT(err.message[0] != '\0');
            continue;
        }
        for (size_t i = 0; i < MOST; i++) {
            RUB_ASSERT(isfinite(values[i]));
        }
    }
    rub_onnx_reader_close(&reader);
    return 0;
}
