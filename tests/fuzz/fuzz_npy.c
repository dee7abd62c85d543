/* NumPy arrays: two bytes say where the features end and the labels begin. A data set that opens is
 * whole. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/dataset.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2) {
        return 0;
    }
    const size_t wanted = (size_t)data[0] << 8 | data[1];
    const size_t left = size - 2;
    const size_t features = wanted < left ? wanted : left;
    rub_dataset_options_t options;
    rub_dataset_options_defaults(&options);
    options.format = "npy";
    options.features_path = rub_fuzz_file(0, data + 2, features);
    options.labels_path = rub_fuzz_file(1, data + 2 + features, left - features);
    options.limit_bytes = 1 << 20;
    rub_dataset_t *dataset = NULL;
    rub_error_t err = {0};
    if (rub_dataset_open(&options, &dataset, &err) != 0) {
        RUB_ASSERT(!dataset);
        RUB_ASSERT(err.message[0] != '\0');
        return 0;
    }
    for (size_t i = 0; i < dataset->n_examples; i++) {
        RUB_ASSERT((uint32_t)dataset->labels[i] < dataset->n_classes);
        for (size_t k = 0; dataset->floats && k < dataset->width; k++) {
            RUB_ASSERT(isfinite(dataset->floats[i * dataset->width + k]));
        }
    }
    rub_dataset_close(&dataset);
    return 0;
}
