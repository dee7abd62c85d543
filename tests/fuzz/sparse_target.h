/* A file of a sparse format, whatever its bytes, ends in a whole data set or in a sentence. */
#ifndef RUB_SPARSE_TARGET_H
#define RUB_SPARSE_TARGET_H

#include "tests/fuzz/fuzz.h"
#include "worker/data/sparse_batch.h"

#include <math.h>

/* The set keeps what its header says, and a batch of all its examples names their keys. */
static inline void sparse_target_check(const rub_sparse_set_t *set)
{
    RUB_ASSERT(set->n_examples > 0);
    RUB_ASSERT(set->offsets[0] == 0);
    for (size_t i = 0; i < set->n_examples; i++) {
        RUB_ASSERT(set->labels[i] <= 1);
        RUB_ASSERT(set->offsets[i] <= set->offsets[i + 1]);
        RUB_ASSERT(set->offsets[i + 1] - set->offsets[i] <= set->greatest_row);
    }
    for (uint64_t e = 0; e < set->offsets[set->n_examples]; e++) {
        RUB_ASSERT(set->keys[e] <= set->greatest_key);
        RUB_ASSERT(set->values == NULL || isfinite(set->values[e]));
    }
    rub_sparse_batch_t *batch = rub_sparse_batch_new(set->n_examples);
    RUB_ASSERT(rub_sparse_batch_fill(batch, set, NULL, 0, set->n_examples, NULL) == 0);
    for (uint64_t e = 0; e < set->offsets[set->n_examples]; e++) {
        RUB_ASSERT(batch->keys[batch->places[e]] == set->keys[e]);
    }
    rub_sparse_batch_destroy(&batch);
}

static inline int sparse_target_run(const char *format, const uint8_t *data, size_t size)
{
    rub_sparse_options_t options;
    rub_sparse_options_defaults(&options);
    options.format = format;
    options.path = rub_fuzz_file(0, data, size);
    options.limit_bytes = 1 << 20;
    options.csv_header = size % 2 == 0;
    options.csv_words = "3-70000";
    rub_sparse_set_t *set = NULL;
    rub_error_t err = {0};
    if (rub_sparse_set_open(&options, &set, &err) != 0) {
        RUB_ASSERT(!set);
        RUB_ASSERT(err.message[0] != '\0');
        return 0;
    }
    sparse_target_check(set);
    rub_sparse_set_close(&set);
    return 0;
}

#endif
