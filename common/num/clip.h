/* Clipping of gradients, by whoever computed them, before they are pushed. What is clipped is one
 * push: all gradients of a batch, of all its tables, before codecs and before they are cut into
 * messages, so that neither shards nor messages change the result. */
#ifndef RUB_CLIP_H
#define RUB_CLIP_H

#include <stddef.h>

typedef struct rub_clip {
    double value; /* each value into [-value, value]; 0: as it is */
    double norm;  /* the whole's L2 norm to at most this; 0: as it is. After value */
} rub_clip_t;

/* Clips arrays[0..n_arrays), of n[a] values each, as one gradient. The norm is added up in float64
 * in a fixed order: the same bits on every host. As in PyTorch the factor is
 * norm / (norm found + 1e-6) where that is below 1. NaN stays NaN, and makes the norm one that
 * clips nothing; infinities become NaN by norm. Returns the norm that was found, 0 when no norm was
 * asked for. */
double rub_clip_gradients(const rub_clip_t *self, float *const *arrays, const size_t *n,
                          size_t n_arrays);

#endif
