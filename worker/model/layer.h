/* Layers of a network, as a table. A kind is a row of worker/model/layer.c: its name and arguments,
 * as run files write them, what it makes of a shape, and its two passes. The network
 * (worker/model/network.h) owns the memory and the order.
 *
 * Numbers are float32; an example is height x width x channels, channels innermost (a flat one is 1
 * x 1 x n), and a batch is examples one behind the other. Layers do not allocate, do not fail once
 * they have their shape, and draw nothing but what (seed, batch, place) say. One thread. */
#ifndef RUB_LAYER_H
#define RUB_LAYER_H

#include "worker/model/activation.h"
#include "worker/model/model.h"

#define RUB_LAYER_ARGUMENTS 4u

typedef struct rub_layer rub_layer_t;
typedef struct rub_layer_kind rub_layer_kind_t;

typedef struct rub_layer_argument {
    const char *name; /* NULL: no more arguments */
    double least, most;
    double fallback; /* NAN: it must be given */
    bool whole;      /* a whole number */
} rub_layer_argument_t;

/* An item of a list of layers. */
typedef struct rub_layer_spec {
    const rub_layer_kind_t *kind;
    double arguments[RUB_LAYER_ARGUMENTS]; /* within their bounds */
} rub_layer_spec_t;

/* What dropout draws from. */
typedef struct rub_layer_draw {
    uint64_t seed, batch;
} rub_layer_draw_t;

/* The arrays of a layer's parameters, or of their gradients: NULL for a kind without. */
typedef struct rub_layer_params {
    const float *weights, *bias;
} rub_layer_params_t;

typedef struct rub_layer_gradients {
    float *weights, *bias; /* overwritten whole */
} rub_layer_gradients_t;

struct rub_layer_kind {
    const char *name;
    rub_layer_argument_t
        arguments[RUB_LAYER_ARGUMENTS]; /* the first may stand alone: "dense: 256" */
    const char *weights_name;           /* "weights", "gain"; NULL: a kind without parameters */
    bool is_shape_only;                 /* no pass at all: flatten */
    bool is_activation;                 /* goes into the layer before, when that has parameters */
    /* self->in and the arguments are set. Sets out, weights, bias_elements, fans, gradient_flops,
     * and how much scratch and how many places it wants for max_batch examples. RUB_EINVAL: the
     * shape does not suit; the sentence begins with the fact. */
    int (*shape)(rub_layer_t *self, size_t max_batch, rub_error_t *err);
    /* Passes n examples on; returns where they are: self->output, or x itself. draw NULL:
     * evaluation. */
    const float *(*forward)(rub_layer_t *self, rub_layer_params_t params, const float *x, size_t n,
                            const rub_layer_draw_t *draw);
    /* delta: gradient with respect to what the last forward returned, spoilt; x: what that was
     * given. below: overwritten with the gradient with respect to x, or NULL when nobody wants it.
     */
    void (*backward)(rub_layer_t *self, rub_layer_params_t params, const float *x, size_t n,
                     float *delta, rub_layer_gradients_t gradients, float *below);
};

struct rub_layer {
    const rub_layer_kind_t *kind;
    double arguments[RUB_LAYER_ARGUMENTS];
    rub_shape_t in, out;
    /* Of kinds with parameters: what stands behind the bias. Never NULL there. */
    const rub_activation_t *activation;
    bool is_last;   /* the loss adds its bias, and has written the bias's gradient */
    unsigned place; /* in the network: keeps the draws of two layers apart */

    /* Set by shape. */
    uint64_t weights_elements, bias_elements;
    double fan_in, fan_out;  /* of weights that are drawn; 0: they begin at 1 (gains) */
    double gradient_flops;   /* forward, weights' gradient and gradient below, of an example */
    size_t scratch_elements; /* float32 */
    size_t n_places;

    /* The network's, of these sizes; output: max_batch x the size of out. NULL where 0. */
    float *output, *scratch;
    uint32_t *places;
};

/* NULL when there is none of that name. Static. */
const rub_layer_kind_t *rub_layer_kind_find(const char *name);
/* The whole table. Static. */
const rub_layer_kind_t *const *rub_layer_kinds(size_t *n_kinds_p);

extern const rub_layer_kind_t rub_dense_layer, rub_conv_layer, rub_max_pool_layer,
    rub_avg_pool_layer;
extern const rub_layer_kind_t rub_dropout_layer, rub_norm_layer, rub_flatten_layer;
extern const rub_layer_kind_t rub_relu_layer, rub_sigmoid_layer, rub_tanh_layer, rub_elu_layer;

/* Numbers of an example. At most 2^60: sides are checked by who makes a shape. */
static inline uint64_t rub_shape_size(rub_shape_t shape)
{
    return (uint64_t)shape.height * shape.width * shape.channels;
}

#endif
