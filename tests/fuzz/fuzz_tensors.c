/* Files of tensors: .npz when the first byte is odd, else safetensors. What opens is whole: tables
 * with a name each, values that are finite, keys that ascend. */
#include "common/tensor/tensor_file.h"
#include "tests/fuzz/fuzz.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    rub_weights_t weights;
    rub_error_t err = {0};
    const char *path = rub_fuzz_file(0, data + 1, size - 1);
    rub_weights_init(&weights);
    const rub_tensor_format_t *format =
        rub_tensor_format_named(data[0] % 2 != 0 ? "npz" : "safetensors");
    if (rub_tensor_file_read(format, path, &weights, &err) != 0) {
        RUB_ASSERT(err.message[0] != '\0');
    } else {
        RUB_ASSERT(weights.n_tables > 0);
        for (size_t t = 0; t < weights.n_tables; t++) {
            const rub_weight_table_t *table = &weights.tables[t];
            for (uint64_t i = 0; i < table->n_rows * table->width; i++) {
                RUB_ASSERT(isfinite(table->values[i]));
            }
            for (uint64_t i = 1; !table->dense && i < table->n_rows; i++) {
                RUB_ASSERT(table->keys[i - 1] < table->keys[i]);
            }
        }
    }
    rub_weights_fini(&weights);
    return 0;
}
