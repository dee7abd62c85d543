/* An array of NumPy: a .npy file, plain, gzip or zstd, or a member of a .npz archive. Its header is
 * read when it is opened, its items in order. One thread; blocks on the file. */
#ifndef RUB_NPY_ARRAY_H
#define RUB_NPY_ARRAY_H

#include "common/tensor/npy_header.h"
#include "common/tensor/zip_archive.h"
#include "worker/data/packed_file.h"

typedef struct rub_npy_array {
    const char *path; /* as it was told: for sentences */
    rub_npy_header_t header;
    uint64_t offset; /* of the next byte, from the beginning of the .npy */
    char *file_path; /* the rest: inside */
    rub_packed_file_t *file;
    rub_zip_archive_t *archive; /* one of the two */
} rub_npy_array_t;

/* path: "x.npy", "x.npz" (with one array) or "x.npz:name" (with or without ".npy"). Keeps path
 * until close. RUB_EDATA names the file and the byte: it cannot be read, or is damaged; there is no
 * such member, or more than one and no name (the sentence has one); what rub_npy_header_read
 * refuses. RUB_ENOMEM. The caller's (rub_npy_array_close), also on failure. */
int rub_npy_array_open(rub_npy_array_t *self, const char *path, rub_error_t *err);
void rub_npy_array_close(rub_npy_array_t *self);

/* The next n items as they are, little-endian. RUB_EDATA: the file ends before, or is damaged. */
int rub_npy_array_read(rub_npy_array_t *self, void *items, size_t n, rub_error_t *err);
/* All items were read: the file must end here. */
int rub_npy_array_expect_end(rub_npy_array_t *self, rub_error_t *err);

/* Item i of what was read: any kind, as the nearest float64; and of all but 'f', as an integer
 * (values above 2^63 - 1 as that). */
double rub_npy_array_number(const rub_npy_array_t *self, const void *items, size_t i);
int64_t rub_npy_array_integer(const rub_npy_array_t *self, const void *items, size_t i);

/* Its first dimension counts examples; the others together are an example's features, two of them
 * an image's height and width, three its height, width and channels. */
typedef struct rub_npy_examples {
    size_t n, width;
    uint32_t image[3]; /* zeros: no image */
} rub_npy_examples_t;
/* RUB_EDATA: no examples or no features, or more than worker/data/dataset.h allows. */
int rub_npy_array_examples(const rub_npy_array_t *self, rub_npy_examples_t *examples,
                           rub_error_t *err);

/* Does the word name an array: ".npy", ".npz" or ".npz:name"? *file_bytes_p: how much of it is the
 * name of the file. */
bool rub_npy_path(const char *path, size_t *file_bytes_p);

#endif
