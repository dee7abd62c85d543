/* Distances between a vector and many points, and their gradients, once for each instruction set,
 * all compiled from the same lines (distance_loops_source.h) as loops.h's are: every set gives the
 * same bits. Models call it where a distance is no matrix product.
 *
 *     l1:       sum over k of |q_k - p_k|
 *     modulus:  sum over k of |q_k - p_k| of complex numbers: the first half of a vector holds real
 *               parts, the second half the imaginary ones
 *
 * float32, 4-byte aligned, arrays do not overlap; any n, any width (of modulus: even). What is not
 * finite comes out as not finite. */
#ifndef RUB_DISTANCE_LOOPS_H
#define RUB_DISTANCE_LOOPS_H

#include <stddef.h>

/* out[j] = distance of query (width) and point j; points stand in columns: width x n. */
typedef void rub_distance_fn(const float *query, const float *columns, size_t n, size_t width,
                             float *out);
/* The gradient of sum over j of factors[j] x distance j is added to that of the query (width) and
 * to those of the points (n x width); points stand in rows: n x width. Where two numbers are equal
 * the derivative of l1's term is 1 or -1, that of modulus's is 0. */
typedef void rub_distance_gradient_fn(const float *query, const float *rows, const float *factors,
                                      size_t n, size_t width, float *query_gradient,
                                      float *row_gradients);

typedef struct rub_distance_loops {
    const char *name; /* "plain", "avx2", "avx512" */
    rub_distance_fn *l1, *modulus;
    rub_distance_gradient_fn *l1_gradient, *modulus_gradient;
} rub_distance_loops_t;

/* The fastest that this CPU runs. Static; any thread. */
const rub_distance_loops_t *rub_distance_loops(void);
/* All that this CPU runs, plain first; NULL behind the last. */
const rub_distance_loops_t *rub_distance_loops_at(size_t i);

#endif
