/* The loops over float32 that are not optimizers. Each takes the widest registers that the CPU has;
 * tails use the same operations as bodies, so that a value does not depend on its place. Arrays are
 * 4-byte aligned and do not overlap; any n. */
#ifndef RUB_KERNELS_H
#define RUB_KERNELS_H

#include <stdbool.h>
#include <stddef.h>

/* True when no value is NaN or infinite. Reads all of x, without branches in between. */
bool rub_all_finite(const float *x, size_t n);

/* into[i] += x[i] */
void rub_add_into(float *into, const float *x, size_t n);

/* x[i] *= factor */
void rub_scale(float *x, size_t n, float factor);

#endif
