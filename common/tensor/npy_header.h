/* The header of an array in NumPy's format, for .npy and for the members of .npz. Pure. */
#ifndef RUB_NPY_HEADER_H
#define RUB_NPY_HEADER_H

#include "common/tensor/tensor.h"

#define RUB_NPY_HEADER_LIMIT 1024u /* bytes of one that is written or read */

/* Writes the header of the tensor; returns its bytes, a multiple of 64. */
size_t rub_npy_header_write(const rub_tensor_t *tensor, char out[RUB_NPY_HEADER_LIMIT]);

/* Reads type and shape from a whole array of n_bytes; the data begin at *begin_p. tensor->name is
 * set: errors say it. RUB_EDATA: no array of version 1, another type than float32 or u64, more than
 * two dimensions or none, a size of 0, columns first, more or less data than the shape says. */
int rub_npy_header_read(const uint8_t *data, size_t n_bytes, rub_tensor_t *tensor, size_t *begin_p,
                        rub_error_t *err);

#endif
