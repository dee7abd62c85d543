/* Parameters out of graphs that other programs wrote (PyTorch's exporter, tf2onnx and their like):
 * found by the nodes, since everybody has names of his own. */
#ifndef RUB_FOREIGN_ONNX_H
#define RUB_FOREIGN_ONNX_H

#include "common/tensor/onnx_reader.h"
#include "worker/model/layer.h"

/* Fills params from the file's graph, which must be these layers one behind the other: the same
 * windows, activations and shapes in the same order. tensors: for each table of params, how it
 * would lie in a graph of ours. A bias that the graph lacks is 0. RUB_EDATA names the node, or the
 * numbers, and what the model has in their place. */
int rub_foreign_onnx_take(const rub_onnx_reader_t *file, const rub_layer_t *layers, size_t n_layers,
                          const rub_onnx_tensor_t *tensors, float *const *params, rub_error_t *err);

#endif
