/* A network as a graph of ONNX: what other runtimes execute. */
#ifndef RUB_NETWORK_ONNX_H
#define RUB_NETWORK_ONNX_H

#include "worker/model/activation.h"
#include "worker/model/model.h"

#include <stdio.h>

/* Writes the model (of any kind in worker/model/model.h) with these parameters (params as of
 * rub_model_predict). The graph takes "input" and gives "probabilities", batch x units of the last
 * layer. Input is batch x features; of a network that convolves or pools batch x channels x height
 * x width. Errors of writing show when the stream is closed. RUB_ECONFIG: a layer that looks at an
 * image stands behind one that made it flat, or the file would not be below 2 GiB; RUB_ENOMEM. */
int rub_network_write_onnx(const rub_model_t *model, const float *const *params, FILE *out,
                           rub_error_t *err);

/* The way back: fills params (a model's tables, each with its elements) from a file that was
 * written of such a model, or by another program of the same layers (cli/foreign_onnx.h). RUB_EDATA
 * names what is not as the model has it; RUB_ECONFIG as above; RUB_ENOMEM. Blocks on the file. */
int rub_network_read_onnx(const rub_model_t *model, float *const *params, const char *path,
                          rub_error_t *err);

/* The operator that an activation is; NULL for none. Static. */
const char *rub_network_onnx_activation(const rub_activation_t *activation);

#endif
