/* First touch: what a weight is before anybody pushed to it, as a pure function of (seed, table,
 * key or element). Order of first touch, number of shards, restarts and the cutting of ranges do
 * not matter. Philox draws; a normal is the sum of twelve uniforms, so no libm is involved and the
 * values are the same bits on every host. */
#ifndef RUB_INITIALIZER_H
#define RUB_INITIALIZER_H

#include "include/rubato.h"

typedef struct rub_initializer {
    rub_init_kind_t kind;
    double scale;   /* constant: the value; uniform: half width; normal: standard deviation */
    uint64_t seed;  /* of the job */
    uint64_t table; /* rub_hash_bytes of the table's name */
} rub_initializer_t;

/* RUB_EINVAL: unknown kind, or a scale that is not finite in float32, or below 0 for uniform and
 * normal. */
int rub_initializer_check(uint32_t kind, double scale, rub_error_t *err);

/* Elements [first, first + count) of a dense table into out (count floats). */
void rub_initializer_fill_range(const rub_initializer_t *self, uint64_t first, size_t count,
                                float *out);

/* The row of key in a hashed table into out (width floats). A row's first w weights do not depend
 * on width. */
void rub_initializer_fill_row(const rub_initializer_t *self, uint64_t key, uint32_t width,
                              float *out);

#endif
