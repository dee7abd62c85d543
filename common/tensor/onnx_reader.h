/* The numbers that a graph of ONNX holds (its initializers), by name: what common/tensor/onnx_file
 * wrote, or others in the same names. Nodes are passed over. Blocks on the file; does not change
 * once it is open. */
#ifndef RUB_ONNX_READER_H
#define RUB_ONNX_READER_H

#include "common/tensor/onnx_file.h"

typedef struct rub_onnx_reader rub_onnx_reader_t;

/* Reads a file whole. RUB_EDATA: it can not be read, is no message of protobuf, or has no graph;
 * RUB_ENOMEM. *self_p is the caller's, NULL on failure. */
int rub_onnx_reader_open(const char *path, rub_onnx_reader_t **self_p, rub_error_t *err);
void rub_onnx_reader_close(rub_onnx_reader_t **self_p); /* NULL is fine */

/* The way back of rub_onnx_tensor: the numbers of that name into values, as its sizes and strides
 * say where they lie there (tensor->values is not looked at). RUB_EDATA names it: there is none, of
 * other dims, not float32, with too few or too many numbers, or one that is not finite. */
int rub_onnx_reader_take(const rub_onnx_reader_t *self, const rub_onnx_tensor_t *tensor,
                         float *values, rub_error_t *err);

#endif
