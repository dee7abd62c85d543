/* The table of readers: what a format must offer to worker/data/dataset.c. */
#ifndef RUB_READER_H
#define RUB_READER_H

#include "worker/data/dataset.h"

#define RUB_READER_HEAD 16u /* bytes that sniffing sees, after decompression */

typedef struct rub_data_reader {
    const char *name;
    const char *summary;
    /* Is this the format? head: the first n_head <= RUB_READER_HEAD bytes of the features file.
     * NULL: its bytes do not say so, and it has no labels file. */
    bool (*sniff)(const uint8_t *head, size_t n_head);
    /* Fills n_examples, width, bytes or floats, and labels of a zeroed data set, which owns them
     * from then on, also on failure. Paths and limit_bytes are set. Whether labels lie in their
     * classes is the caller's check. */
    int (*read)(const rub_dataset_options_t *options, rub_dataset_t *dataset, rub_error_t *err);
} rub_data_reader_t;

#define RUB_READER(name, sniff, summary)                                                           \
    int rub_##name##_read(const rub_dataset_options_t *options, rub_dataset_t *dataset,            \
                          rub_error_t *err);
#include "worker/data/readers.def"
#undef RUB_READER
bool rub_idx_sniff(const uint8_t *head, size_t n_head);
bool rub_npy_sniff(const uint8_t *head, size_t n_head);

/* The table, n_readers_p rows. Static. */
const rub_data_reader_t *rub_data_readers(size_t *n_readers_p);

#endif
