/* Graphs of ONNX, of anybody's: the numbers that one holds (its initializers, and constants of its
 * nodes) by name, and its nodes in their order. What they mean, who calls knows. Blocks on the file
 * while it is opened; does not change afterwards. */
#ifndef RUB_ONNX_READER_H
#define RUB_ONNX_READER_H

#include "common/tensor/onnx_file.h"

#include <stdbool.h>
#include <string.h>

typedef struct rub_onnx_reader rub_onnx_reader_t;

/* Reads a file whole. RUB_EDATA: it can not be read, is no message of protobuf, or has no graph;
 * RUB_ENOMEM. *self_p is the caller's, NULL on failure. */
int rub_onnx_reader_open(const char *path, rub_onnx_reader_t **self_p, rub_error_t *err);
void rub_onnx_reader_close(rub_onnx_reader_t **self_p); /* NULL is fine */

/* A text of the file's, not terminated; at NULL: there is none. Borrowed from the reader. */
typedef struct rub_onnx_text {
    const char *at;
    size_t bytes;
} rub_onnx_text_t;

static inline rub_onnx_text_t rub_onnx_text(const char *text)
{
    return (rub_onnx_text_t){text, strlen(text)};
}
bool rub_onnx_text_is(rub_onnx_text_t self, const char *text);
bool rub_onnx_text_same(rub_onnx_text_t a, rub_onnx_text_t b); /* none is like nothing */

/* Whether the graph holds numbers of that name, and then their dims; *n_dims_p is one above
 * RUB_ONNX_DIMS_LIMIT for more than that. A graph that is damaged holds none. */
bool rub_onnx_reader_holds(const rub_onnx_reader_t *self, rub_onnx_text_t name,
                           uint64_t dims[RUB_ONNX_DIMS_LIMIT], unsigned *n_dims_p);
/* Whether it holds numbers of that name, of any type, and all of them are 0. */
bool rub_onnx_reader_holds_zeros(const rub_onnx_reader_t *self, rub_onnx_text_t name);
/* The way back of rub_onnx_tensor: the numbers called name into values, as the tensor's sizes and
 * strides say where they lie there (tensor->values is not looked at; its name is who asks, for
 * sentences). RUB_EDATA names it: there is none, of other dims, not float32, with too few or too
 * many numbers, or one that is not finite. */
int rub_onnx_reader_take(const rub_onnx_reader_t *self, rub_onnx_text_t name,
                         const rub_onnx_tensor_t *tensor, float *values, rub_error_t *err);

#define RUB_ONNX_INPUTS_LIMIT 6u

/* All borrowed from the reader. */
typedef struct rub_onnx_node {
    rub_onnx_text_t operator_name, name;
    rub_onnx_text_t inputs[RUB_ONNX_INPUTS_LIMIT]; /* of more, the first ones */
    unsigned n_inputs;
    rub_onnx_text_t output; /* the first */
    rub_onnx_text_t message;
} rub_onnx_node_t;

/* The node behind *place_p, which begins at 0 and is moved on. 1: there is one; 0: no more;
 * RUB_EDATA. */
int rub_onnx_reader_node(const rub_onnx_reader_t *self, size_t *place_p, rub_onnx_node_t *node,
                         rub_error_t *err);
/* The node's attribute of that name, whatever kind it has there: *found gets what of values (of a
 * list the first RUB_ONNX_DIMS_LIMIT), n and real it says. False: the node does not say. */
bool rub_onnx_node_says(const rub_onnx_node_t *node, const char *name, rub_onnx_attribute_t *found);

/* The graph's first input that is no initializer: its name and dims, 0 for those that are not said.
 * False: there is none. */
bool rub_onnx_reader_input(const rub_onnx_reader_t *self, rub_onnx_text_t *name_p,
                           uint64_t dims[RUB_ONNX_DIMS_LIMIT], unsigned *n_dims_p);
/* Whether the graph gives what is called so away. */
bool rub_onnx_reader_gives(const rub_onnx_reader_t *self, rub_onnx_text_t name);

#endif
