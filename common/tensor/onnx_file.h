/* Graphs of ONNX (IR version 8, operator set 13): what runtimes of other people execute. Made node
 * by node; who calls knows what the operators mean. One thread; nothing blocks but the last write.
 */
#ifndef RUB_ONNX_FILE_H
#define RUB_ONNX_FILE_H

#include "include/rubato.h"

#include <stdio.h>

#define RUB_ONNX_DIMS_LIMIT 4u

typedef struct rub_onnx rub_onnx_t;

typedef enum { RUB_ONNX_WHOLE, RUB_ONNX_WHOLES, RUB_ONNX_REAL } rub_onnx_kind_t;

/* A whole number, a list of them, or a float32. */
typedef struct rub_onnx_attribute {
    const char *name;
    rub_onnx_kind_t kind;
    unsigned n; /* 1 unless it is a list */
    int64_t values[RUB_ONNX_DIMS_LIMIT];
    float real;
} rub_onnx_attribute_t;

/* Numbers that the graph holds, as ONNX wants them out of an array that lies otherwise: a walk over
 * sizes, the last one fastest, in steps of strides. The sizes' product is that of the dims. */
typedef struct rub_onnx_tensor {
    const char *name;
    unsigned n_dims;
    uint64_t dims[RUB_ONNX_DIMS_LIMIT];
    uint64_t sizes[RUB_ONNX_DIMS_LIMIT], strides[RUB_ONNX_DIMS_LIMIT];
    const float *values;
} rub_onnx_tensor_t;

/* Where the tensor's i-th number lies in that array. */
size_t rub_onnx_place(const rub_onnx_tensor_t *tensor, uint64_t i);

/* An empty graph. The caller's; NULL when memory is short. */
rub_onnx_t *rub_onnx_new(void);
/* Tensors are not appended from now on: watch hears of each instead, before rub_onnx_tensor
 * returns. For whoever wants to know which there are, and how they lie. */
typedef void rub_onnx_watch_fn(void *context, const rub_onnx_tensor_t *tensor);
void rub_onnx_watch(rub_onnx_t *self, rub_onnx_watch_fn *watch, void *context);
void rub_onnx_destroy(rub_onnx_t **self_p); /* NULL is fine */

/* Appends the node that makes `output` out of inputs, which were made before. Nothing is kept. What
 * fails, fails rub_onnx_write. */
void rub_onnx_node(rub_onnx_t *self, const char *operator_name, const char *const *inputs,
                   size_t n_inputs, const char *output, const rub_onnx_attribute_t *attributes,
                   size_t n_attributes);
void rub_onnx_tensor(rub_onnx_t *self, const rub_onnx_tensor_t *tensor);
/* A vector of n int64: what a Reshape takes. */
void rub_onnx_wholes(rub_onnx_t *self, const char *name, const int64_t *values, uint64_t n);
/* The graph's input, and its output: batches of float32, each example with these dims. */
void rub_onnx_input(rub_onnx_t *self, const char *name, const uint64_t *dims, unsigned n_dims);
void rub_onnx_output(rub_onnx_t *self, const char *name, const uint64_t *dims, unsigned n_dims);

/* Writes the graph as a model; self is to be destroyed then. Errors of writing show when the stream
 * is closed. RUB_ECONFIG: a file of 2 GiB or more, which protobuf cannot be; RUB_ENOMEM. */
int rub_onnx_write(rub_onnx_t *self, FILE *out, rub_error_t *err);

#endif
