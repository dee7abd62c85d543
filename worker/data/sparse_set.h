/* A sparse labelled data set in memory: of each example the features that are not zero, as keys and
 * values, and its label: whether it was a click (1) or not (0), a class, or any number.
 *
 * Rows lie one behind the other (compressed sparse rows). Keys are what the file calls features, or
 * hashes of what it says; 32 bits are enough for both and half the memory of 64. Formats are rows
 * of a table (worker/data/sparse_readers.def). Blind to the client and to models. A data set does
 * not change once it is open: any number of threads may read it. */
#ifndef RUB_SPARSE_SET_H
#define RUB_SPARSE_SET_H

#include "include/rubato.h"

#define RUB_SPARSE_EXAMPLES_LIMIT UINT32_MAX /* an order holds 32-bit numbers */
#define RUB_SPARSE_ROW_LIMIT (1u << 20)      /* features of one example */
#define RUB_SPARSE_HASH_BITS_MOST 32u
#define RUB_SPARSE_HASH_BITS_LEAST 4u
#define RUB_SPARSE_OWN_MOST (1u << 16) /* columns with keys of their own */

typedef struct rub_sparse_set {
    size_t n_examples;   /* >= 1 */
    uint64_t *offsets;   /* n_examples + 1: entries of example i are offsets[i] to offsets[i + 1] */
    uint32_t *keys;      /* offsets[n_examples] */
    float *values;       /* as many, finite; NULL: all are 1 */
    float *labels;       /* n_examples, finite; what they may be, the options say */
    size_t greatest_row; /* entries of the longest row */
    uint32_t greatest_key;
    size_t examples_room, entries_room;            /* for readers, while the set grows */
    size_t keys_region_bytes, values_region_bytes; /* 0: not in a region of its own */
    bool fixed;                                    /* room does not grow */
    uint32_t n_own, hash_bits; /* as the options said: what a key is made of (below) */
} rub_sparse_set_t;

typedef enum {
    RUB_LABELS_TWO,     /* 1, and 0 or -1, which is read as 0 */
    RUB_LABELS_CLASSES, /* whole numbers from 0 to n_classes - 1 */
    RUB_LABELS_NUMBERS, /* any that a float32 has */
} rub_sparse_labels_t;

typedef struct rub_sparse_options {
    const char *format; /* a reader's name; required */
    const char *path;   /* of the files, as worker/data/data_files.h reads it; required */
    /* Hashed features fall on keys below 2^hash_bits; formats whose features are numbers take no
     * notice. 20 */
    uint32_t hash_bits;
    uint64_t limit_bytes; /* of memory for the features; 64 GiB, also for 0 */
    /* csv and tsv: the column of the label, and those of words, by number from 1 ("3", "4-9"), by
     * name where there is a header, or "all"; several with commas between. "1", "", true */
    const char *csv_label, *csv_words;
    bool csv_header;            /* the first line has names */
    rub_sparse_labels_t labels; /* RUB_LABELS_TWO */
    uint32_t n_classes;         /* of RUB_LABELS_CLASSES */
    /* One part of the examples alone: held_out of them, by draws of seed and number (0: there is
     * one part, of all), or the others. The two make up the whole, for the same seed and files. */
    double held_out;
    bool take_held_out;
    uint64_t held_out_seed;
    /* Names of n_own columns, all different, each of which has keys of its own: of column i they
     * are i << hash_bits and its hashes, of all others n_own << hash_bits and theirs. Borrowed
     * while the set is read. Without a header columns are called by their numbers, from 1. criteo:
     * "I1" to "C26"; libsvm has none. NULL, 0 */
    const char *const *own;
    uint32_t n_own;
    /* So many features must every example have, as a network's inputs have their places. 0: any */
    uint32_t n_fields;
} rub_sparse_options_t;

void rub_sparse_options_defaults(rub_sparse_options_t *options);

/* Reads all files, one behind the other; blocks. On success *set_p is the caller's; on failure it
 * is NULL. RUB_EDATA names the file, the line and the column (from 1, in bytes) and what was
 * expected there; or what is wrong with a file as a whole: missing, not a regular file, damaged,
 * truncated, no examples, above the limits. RUB_EINVAL: no path, no such reader, hash_bits outside
 * 4 to 32 (less the bits that number own columns), own columns of a format without any. RUB_ENOMEM.
 */
int rub_sparse_set_open(const rub_sparse_options_t *options, rub_sparse_set_t **set_p,
                        rub_error_t *err);
void rub_sparse_set_close(rub_sparse_set_t **set_p); /* NULL is fine */

/* Is the word the name of one of these formats? */
bool rub_sparse_format_known(const char *format);

#endif
