/* An array of NumPy: a .npy file, plain, gzip or zstd, or a member of a .npz archive. Its header is
 * read when it is opened, its items in order. One thread; blocks on the file. */
#ifndef RUB_NPY_ARRAY_H
#define RUB_NPY_ARRAY_H

#include "worker/data/npz_member.h"
#include "worker/data/packed_file.h"

#define RUB_NPY_DIMENSIONS_LIMIT 8u
#define RUB_NPY_HEADER_LIMIT 65536u

typedef struct rub_npy_array {
    const char *path; /* as it was told: for sentences */
    char kind;        /* 'b', 'u', 'i' or 'f' as NumPy has them */
    size_t item_bytes;
    bool big_endian;
    unsigned n_dimensions;
    uint64_t shape[RUB_NPY_DIMENSIONS_LIMIT];
    uint64_t n_items; /* the product of the shape, below 2^63 / item_bytes */
    uint64_t offset;  /* of the next byte, from the beginning of the .npy */
    char *file_path;  /* the rest: inside */
    rub_packed_file_t *file;
    rub_npz_member_t *member;
} rub_npy_array_t;

/* path: "x.npy", "x.npz" (with one array) or "x.npz:name". Keeps path until close. RUB_EDATA names
 * the file and the byte: it cannot be read, or is damaged; no NumPy magic; a version other than 1
 * to 3; a header that is no dictionary of descr, fortran_order and shape; items that are no bool,
 * integer of 1 to 8 bytes, or float of 4 or 8; Fortran order; too many dimensions. RUB_ENOMEM. The
 * caller's (rub_npy_array_close), also on failure. */
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

/* Does the word name an array: ".npy", ".npz" or ".npz:name"? *file_bytes_p: how much of it is the
 * name of the file. */
bool rub_npy_path(const char *path, size_t *file_bytes_p);

#endif
