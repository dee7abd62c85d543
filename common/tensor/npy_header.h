/* The header of an array in NumPy's format, for .npy and for the members of .npz. */
#ifndef RUB_NPY_HEADER_H
#define RUB_NPY_HEADER_H

#include "include/rubato.h"

#define RUB_NPY_DIMENSIONS_LIMIT 8u
#define RUB_NPY_HEADER_LIMIT 65536u /* bytes of one that is read */
#define RUB_NPY_WRITTEN_LIMIT 1024u /* of one that is written */

typedef struct rub_npy_header {
    char kind; /* 'b', 'u', 'i' or 'f' as NumPy has them */
    size_t item_bytes;
    bool big_endian;
    unsigned n_dimensions;
    uint64_t shape[RUB_NPY_DIMENSIONS_LIMIT];
    uint64_t n_items; /* the product of the shape, at most 2^40 */
    uint64_t bytes;   /* of the header itself: the items begin there */
} rub_npy_header_t;

/* The next so many bytes of the array, or a failure that is passed on. */
typedef int rub_npy_source_t(void *context, void *data, size_t bytes, rub_error_t *err);

/* Reads a header from the array's beginning. RUB_EDATA names subject ("data file 'x'") and the
 * byte: no NumPy magic; a version other than 1 to 3; no dictionary of descr, fortran_order and
 * shape; items that are no bool, integer of 1 to 8 bytes, or float of 4 or 8; Fortran order; too
 * many dimensions, or too large ones. RUB_ENOMEM; what the source says. */
int rub_npy_header_read(rub_npy_header_t *self, const char *subject, rub_npy_source_t *source,
                        void *context, rub_error_t *err);

/* Writes the header of little-endian items (kind, item_bytes, n_dimensions and shape are looked
 * at); returns its bytes, a multiple of 64. */
size_t rub_npy_header_write(const rub_npy_header_t *self, char out[RUB_NPY_WRITTEN_LIMIT]);

#endif
