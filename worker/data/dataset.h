/* A labelled data set in memory: n examples of `width` features each, and one label per example.
 *
 * Image bytes stay bytes (a quarter of the memory and of the cache misses of float32) and become
 * numbers in [0, 1], byte / 255, when a batch is sliced. Formats are rows of a table
 * (worker/data/readers.def). Blind to the client and to models. A data set does not change once it
 * is open: any number of threads may read it. */
#ifndef RUB_DATASET_H
#define RUB_DATASET_H

#include "include/rubato.h"

#define RUB_DATASET_EXAMPLES_LIMIT UINT32_MAX        /* an order holds 32-bit numbers */
#define RUB_DATASET_WIDTH_LIMIT (1u << 20)           /* features of one example */
#define RUB_DATASET_BYTES_LIMIT (UINT64_C(64) << 30) /* unless the options say less */

typedef struct rub_dataset {
    size_t n_examples;  /* >= 1 */
    size_t width;       /* features of an example, >= 1; images are row-major */
    uint32_t image[3];  /* height, width and channels, whose product is width; 1, 1, width when the
                           file does not say (a reader leaves zeros then) */
    uint32_t n_classes; /* every label is in [0, n_classes) */
    uint8_t *bytes;     /* n_examples x width, or NULL: then floats has them */
    float *floats;      /* n_examples x width, finite, or NULL */
    int32_t *labels;    /* n_examples */
} rub_dataset_t;

typedef struct rub_dataset_options {
    const char *format;        /* a reader's name, or NULL: found from the first bytes, of arrays */
    const char *features_path; /* "train-images-idx3-ubyte.gz"; required */
    const char *labels_path;   /* "train-labels-idx1-ubyte.gz"; required, but of tables */
    uint32_t n_classes;        /* labels must be below it; 0: one more than the greatest label */
    /* One part of the examples alone: held_out of them, drawn by seed and number (0: there is one
     * part, of all), or the others. */
    double held_out;
    bool take_held_out;
    uint64_t held_out_seed;
    uint64_t limit_bytes;  /* of memory for the features; 0: RUB_DATASET_BYTES_LIMIT */
    const char *csv_label; /* csv and tsv: as of rub_csv_options_t */
    bool csv_header;
} rub_dataset_options_t;

void rub_dataset_options_defaults(rub_dataset_options_t *options);

/* Is the reader of that name one of tables, whose labels stand among the features? */
bool rub_dataset_is_table(const char *format);

/* Reads the whole data set; blocks on the files. On success *dataset_p is the caller's; on failure
 * it is NULL. RUB_EDATA names the file and the byte (of a table: line and column): missing, not a
 * regular file, unknown format, wrong type, truncated or damaged, longer than its header says, no
 * examples, counts of features and labels that differ, a label outside its classes, a feature that
 * is not finite, dimensions above the limits, no example in the part. RUB_EINVAL: a path is
 * missing, no such reader. RUB_ENOMEM. Offsets are counted after decompression. */
int rub_dataset_open(const rub_dataset_options_t *options, rub_dataset_t **dataset_p,
                     rub_error_t *err);
void rub_dataset_close(rub_dataset_t **dataset_p); /* NULL is fine */

/* Writes the features of one example as float32 to x[width]: bytes become byte / 255. */
void rub_dataset_features(const rub_dataset_t *dataset, size_t example, float *x);

#endif
