/* Networks as ONNX (IR version 8, operator set 13): what runtimes of other people execute. The
 * graph takes "input", batch x inputs of the first layer, and gives "probabilities". */
#ifndef RUB_ONNX_FILE_H
#define RUB_ONNX_FILE_H

#include "common/num/weights.h"

#include <stdio.h>

#define RUB_ONNX_LAYERS_LIMIT 256u

/* y = f(x W + b). */
typedef struct rub_onnx_layer {
    const rub_weight_table_t *weights; /* dense, n_in x n_out, row by row */
    const rub_weight_table_t *bias;    /* dense, n_out */
    const char *function;              /* ONNX's operator: "Relu", "Softmax" */
} rub_onnx_layer_t;

/* Writes n >= 1 layers, each of which takes what the one before gives. Errors of writing show when
 * the stream is closed. RUB_ECONFIG: layers that do not fit together, more than
 * RUB_ONNX_LAYERS_LIMIT, a file above 2 GiB, which protobuf cannot be; RUB_ENOMEM. */
int rub_onnx_write(FILE *out, const rub_onnx_layer_t *layers, size_t n, rub_error_t *err);

#endif
