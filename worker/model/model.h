/* Models: what a batch's gradient is, and which parameter tables it needs.
 *
 * A model owns no parameters. It declares tables (name, size, initialisation), is handed their
 * values, and writes gradients of the same shapes; where values come from and gradients go is the
 * caller's business. Kinds of models are rows of a table (rub_model_kinds). Blind to the client and
 * to data sets.
 *
 * Numbers: float32, row-major; losses are added up in float64. With one BLAS thread
 * (rub_model_threads), equal inputs give equal bits on processors of the same BLAS core
 * (rub_model_blas); no libm function is on the way to a gradient. A model object belongs to one
 * thread at a time; many objects may work at once. After rub_model_new nothing allocates, and
 * nothing blocks. */
#ifndef RUB_MODEL_H
#define RUB_MODEL_H

#include "include/rubato.h"

#define RUB_MODEL_HIDDEN_LIMIT 64u       /* hidden layers */
#define RUB_MODEL_WIDTH_LIMIT (1u << 20) /* inputs, classes, units of a layer */
#define RUB_MODEL_BATCH_LIMIT (1u << 20) /* examples */
#define RUB_MODEL_TABLE_LIMIT (1u << 30) /* float32 in one table */

typedef struct rub_model rub_model_t;

/* Of an example: row-major, the channels of a place side by side. Flat: 1 x 1 x n. */
typedef struct rub_shape {
    uint32_t height, width, channels;
} rub_shape_t;

typedef struct rub_model_spec {
    const char *kind;       /* a row of rub_model_kinds: "softmax", "mlp", "sequential" */
    uint32_t n_inputs;      /* features of an example */
    rub_shape_t image;      /* their shape; all 0: flat */
    uint32_t n_classes;     /* >= 2 */
    const uint32_t *hidden; /* n_hidden widths, from input to output; softmax has none */
    uint32_t n_hidden;
    const char *activation; /* of hidden layers: "relu", "sigmoid", "tanh", "elu" */
    const char *layers;     /* of sequential: a list of layers (worker/model/layer_list.h); borrowed
                               until return */
    uint32_t max_batch;     /* examples of the largest gradient */
} rub_model_spec_t;

/* softmax, relu, batches of 128; inputs and classes are the caller's to set. */
void rub_model_spec_defaults(rub_model_spec_t *spec);

/* A parameter table that the model needs. Dense; weights of layer l are [inputs of l x units of l],
 * so that y = x W + b; of a convolution [height x width x channels of a window x filters]. Layers
 * are numbered by those that have parameters. */
typedef struct rub_model_table {
    char name[64];     /* "layer0/weights", "layer0/bias", "layer1/gain" */
    uint64_t elements; /* float32 */
    rub_init_kind_t
        init; /* uniform weights (He or Glorot bound, by the activation), zero biases, gains of 1 */
    double init_scale;
} rub_model_table_t;

/* Builds a model with workspace for max_batch examples; borrows the spec until return. *model_p is
 * the caller's; NULL on failure. RUB_EINVAL: unknown kind or activation, a width, depth or batch
 * outside its limits, hidden layers for softmax, a list of layers that can not be (the sentence
 * says which item). RUB_ENOMEM. */
int rub_model_new(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err);
void rub_model_destroy(rub_model_t **model_p); /* NULL is fine */

/* The tables, in the order in which params and gradients list them: weights and bias of each layer,
 * from the input on. Borrowed for the model's life. */
const rub_model_table_t *rub_model_tables(const rub_model_t *model, size_t *n_tables_p);

/* What dropout draws in the gradients that follow is a function of these two (0 and 0 at first):
 * equal for equal batches, whoever computes them. */
void rub_model_draw(rub_model_t *model, uint64_t seed, uint64_t batch);

/* Gradient of the mean loss (softmax cross-entropy) over n examples.
 * params[t], gradients[t]: elements of table t, 4-byte aligned (64 is faster); gradients are
 * overwritten whole and must not overlap params or x. x: n x n_inputs. labels: n. *loss_sum_p: sum
 * of losses over the n examples; *correct_p: how many have their label as the greatest logit (of
 * equal ones the first); both may be NULL. RUB_EINVAL, and nothing was written: n is 0 or above
 * max_batch, a label is not a class. Values that are not finite are no error here: they come out as
 * a loss that is not finite. */
int rub_model_gradient(rub_model_t *model, const float *const *params, const float *x,
                       const int32_t *labels, size_t n, float *const *gradients, double *loss_sum_p,
                       size_t *correct_p, rub_error_t *err);

/* Loss and hits alone, for any n (in slices of max_batch); n = 0 gives 0 and 0. Errors as above. */
int rub_model_evaluate(rub_model_t *model, const float *const *params, const float *x,
                       const int32_t *labels, size_t n, double *loss_sum_p, size_t *correct_p,
                       rub_error_t *err);

/* What the model makes of n examples, for any n: probabilities of the classes, each row's sum 1; n
 * rows of as many as the last table, a bias, has elements (n_classes at least). The forward pass of
 * rub_model_evaluate. */
void rub_model_predict(rub_model_t *model, const float *const *params, const float *x, size_t n,
                       float *probabilities);

/* Floating-point operations of one example's gradient (the BLAS part), for reports. */
double rub_model_gradient_flops(const rub_model_t *model);

/* ---- the table of kinds ---- */

typedef struct rub_model_kind {
    const char *name;
    const char *summary;
    int (*open)(const rub_model_spec_t *spec, rub_model_t **model_p, rub_error_t *err);
    void (*close)(rub_model_t *model); /* frees it; not NULL */
    /* n in 1..max_batch, labels checked; the outputs are never NULL. NULL gradients: evaluate. */
    void (*run)(rub_model_t *model, const float *const *params, const float *x,
                const int32_t *labels, size_t n, float *const *gradients, double *loss_sum_p,
                size_t *correct_p);
    /* n in 1..max_batch. */
    void (*predict)(rub_model_t *model, const float *const *params, const float *x, size_t n,
                    float *probabilities);
} rub_model_kind_t;

/* All kinds; static. */
const rub_model_kind_t *rub_model_kinds(size_t *n_kinds_p);

/* What every kind's object begins with; filled by open, read by model.c. */
struct rub_model {
    const rub_model_kind_t *kind;
    uint32_t n_classes;
    uint32_t n_inputs;
    uint32_t max_batch;
    const rub_model_table_t *tables;
    size_t n_tables;
    double gradient_flops;
    uint64_t draw_seed, draw_batch; /* rub_model_draw */
};

/* ---- BLAS ---- */

/* Sets how many threads BLAS uses, for the whole process (OpenBLAS knows no narrower place); n
 * >= 1. Call it before the first gradient, from one thread, and never before a fork: its pool does
 * not survive one. */
void rub_model_threads(unsigned n);

/* The BLAS that computes here, for the record of a run: "OpenBLAS 0.3.21 ..., core Haswell, 1
 * thread". Equal bits need an equal core and number of threads. Terminated, cut at out_bytes. */
void rub_model_blas(char *out, size_t out_bytes);

#endif
