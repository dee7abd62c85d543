/* The header of an IDX file: two zero bytes, a type, the number of dimensions, and their sizes. */
#ifndef RUB_IDX_HEADER_H
#define RUB_IDX_HEADER_H

#include "worker/data/packed_file.h"

enum { RUB_IDX_UBYTE = 0x08, RUB_IDX_INT32 = 0x0c, RUB_IDX_FLOAT32 = 0x0d };

typedef struct rub_idx_header {
    uint8_t type;
    uint8_t n_dimensions;
    uint64_t n_examples;
    uint64_t width;    /* product of the other dimensions, 1 if there is none */
    uint32_t image[3]; /* these, of two or three of them: height, width, channels; else zeros */
} rub_idx_header_t;

/* A big-endian number. */
static inline uint32_t rub_idx_u32(const uint8_t *p)
{
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | (uint32_t)p[3];
}

/* Reads it from the file's beginning. RUB_EDATA: not IDX, cut off, no examples, a width above
 * RUB_DATASET_WIDTH_LIMIT. */
int rub_idx_header_read(rub_packed_file_t *file, const char *path, rub_idx_header_t *header,
                        rub_error_t *err);

#endif
