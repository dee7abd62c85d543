/* The float32 loops that cost time, once for each instruction set. All of them are compiled from
 * the same lines (loops_source.h): the operations on a value are the same, in the same order, each
 * rounded as IEEE 754 says, so every set gives the same bits and a fleet may mix hosts. Private to
 * common/num and its tests. */
#ifndef RUB_LOOPS_H
#define RUB_LOOPS_H

#include <stdbool.h>
#include <stddef.h>

typedef struct rub_adam_step {
    float beta1, beta2, rest1, rest2; /* rest = 1 - beta */
    float rate;                       /* lr / (1 - beta1^t) */
    float correction2;                /* sqrt(1 - beta2^t) */
    float decay, epsilon;
} rub_adam_step_t;

/* w: n weights; g: n gradients; other arrays: n slots. 4-byte aligned, without overlap; any n. */
typedef struct rub_loops {
    const char *name; /* "plain", "avx2", "avx512" */
    bool (*all_finite)(const float *x, size_t n);
    void (*add_into)(float *into, const float *x, size_t n);
    void (*scale)(float *x, size_t n, float factor);
    void (*sgd)(float *w, const float *g, size_t n, float lr, float decay);
    void (*momentum)(float *w, float *v, const float *g, size_t n, float lr, float decay, float mu);
    void (*adagrad)(float *w, float *sum, const float *g, size_t n, float lr, float decay,
                    float epsilon);
    void (*adam)(float *w, float *m, float *v, const float *g, size_t n,
                 const rub_adam_step_t *step);
    /* Rows of n weights with their slots behind them, wherever they stand: one step each, in order,
     * with n_rows x n gradients that stand one behind the other. The loop above does the same to a
     * row. A row may come more than once; otherwise rows do not overlap. */
    void (*add_into_rows)(float *const *rows, size_t n_rows, size_t n, const float *g);
    void (*sgd_rows)(float *const *rows, size_t n_rows, size_t n, const float *g, float lr,
                     float decay);
    void (*momentum_rows)(float *const *rows, size_t n_rows, size_t n, const float *g, float lr,
                          float decay, float mu);
    void (*adagrad_rows)(float *const *rows, size_t n_rows, size_t n, const float *g, float lr,
                         float decay, float epsilon);
} rub_loops_t;

/* The fastest that this CPU runs. Static; any thread. */
const rub_loops_t *rub_loops(void);

/* All that this CPU runs, plain first; NULL behind the last. */
const rub_loops_t *rub_loops_at(size_t i);

#endif
