/* Vocabularies of bags of words, plain or gzip; the first byte says weight and kind of words. Of
 * one that opens, the features of any text ascend, are words, and are finite. */
#include "tests/fuzz/fuzz.h"
#include "worker/data/bag_of_words.h"

#include <math.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size == 0) {
        return 0;
    }
    const rub_bag_spec_t spec = {.weight = (rub_bag_weight_t)(data[0] % 4u),
                                 .spaces = data[0] % 8u > 3};
    const rub_bag_feature_t *features = NULL;
    rub_bag_t *bag = NULL;
    rub_error_t err = {0};
    size_t n = 0;
    if (rub_bag_open(&spec, rub_fuzz_file(0, data + 1, size - 1), &bag, &err) != 0) {
        RUB_ASSERT(!bag);
        RUB_ASSERT(err.message[0] != '\0');
        return 0;
    }
    RUB_ASSERT(rub_bag_size(bag) > 0);
    RUB_ASSERT(rub_bag_features(bag, (const char *)data, size, &features, &n, &err) == 0);
    for (size_t i = 0; i < n; i++) {
        RUB_ASSERT(features[i].index > (i == 0 ? 0 : features[i - 1].index));
        RUB_ASSERT(features[i].index <= rub_bag_size(bag));
        RUB_ASSERT(isfinite(features[i].value));
    }
    rub_bag_destroy(&bag);
    return 0;
}
