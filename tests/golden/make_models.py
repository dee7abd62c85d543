#!/usr/bin/python3
"""Writes models.txt: losses and gradients of networks as PyTorch computes them, in float64.

Parameters, inputs and labels are not stored: both sides compute them, as multiples of 2^-24, from the same integer mix
(number() here, in tests/unit/worker/model/test_model_golden.c there). Run again after changing CASES:
    /usr/bin/python3 tests/golden/make_models.py > tests/golden/models.txt
"""
import re

import numpy as np
import torch

# name, kind, activation, inputs, hidden widths, classes, examples, scale of weights (a power of two)
CASES = [
    ("softmax", "softmax", "relu", 6, [], 4, 5, 0.5),
    ("softmax-one-example", "softmax", "relu", 3, [], 2, 1, 1.0),
    ("relu-1", "mlp", "relu", 7, [5], 3, 9, 0.5),
    ("relu-3", "mlp", "relu", 9, [8, 7, 6], 4, 16, 0.5),
    ("sigmoid-2", "mlp", "sigmoid", 5, [6, 4], 3, 8, 1.0),
    ("tanh-2", "mlp", "tanh", 5, [6, 4], 3, 8, 1.0),
    ("elu-2", "mlp", "elu", 5, [6, 4], 3, 8, 1.0),
    ("tanh-4-steep", "mlp", "tanh", 8, [16, 16, 16, 16], 5, 10, 4.0),
    ("fashion-mnist-relu", "mlp", "relu", 784, [256, 128], 10, 128, 0.0625),
    ("fashion-mnist-elu-odd", "mlp", "elu", 784, [61, 33], 10, 37, 0.0625),
]
# name, layers as a run file has them, image (height, width, channels), classes, examples, scale of weights
SEQUENTIAL = [
    ("conv", "conv: {filters: 3, kernel: 3}, relu, dense: 4", (7, 6, 2), 4, 5, 0.5),
    ("conv-padded-strided", "conv: {filters: 4, kernel: 5, stride: 2, padding: 2}, tanh, dense: 3", (9, 8, 3), 3, 6, 0.25),
    ("conv-deep", "conv: {filters: 4, kernel: 3, padding: 1}, elu, conv: {filters: 5, kernel: 2, stride: 2}, dense: 3",
     (6, 6, 1), 3, 9, 0.5),
    ("max-pool", "conv: {filters: 6, kernel: 3}, max_pool: 2, relu, dense: 5", (9, 9, 1), 5, 7, 0.5),
    ("max-pool-overlapping", "conv: {filters: 3, kernel: 2}, max_pool: {size: 3, stride: 2}, dense: 5", (8, 9, 2), 5, 7, 0.5),
    ("avg-pool", "avg_pool: 2, conv: {filters: 4, kernel: 2}, sigmoid, avg_pool: {size: 2, stride: 1}, dense: 3", (10, 9, 2),
     3, 6, 0.5),
    ("layer-norm", "dense: 9, layer_norm, relu, dense: 6, layer_norm: 0.1, dense: 4", (1, 1, 7), 4, 8, 0.5),
    ("layer-norm-image", "layer_norm, conv: {filters: 3, kernel: 3}, layer_norm, tanh, flatten, dense: 3", (6, 5, 2), 3, 5, 0.5),
    ("lenet", "conv: {filters: 8, kernel: 5}, relu, max_pool: 2, conv: {filters: 16, kernel: 5}, relu, max_pool: 2, dense: 32, "
     "relu, dense: 10", (28, 28, 1), 10, 20, 0.0625),
]
WHOLE = 64    # tables up to so many numbers are stored whole
SAMPLES = 16  # of larger ones so many, spread evenly
ACTIVATIONS = {"relu": torch.relu, "sigmoid": torch.sigmoid, "tanh": torch.tanh,
               "elu": torch.nn.functional.elu}


def mix64(x):
    x = x ^ (x >> np.uint64(30))
    x = x * np.uint64(0xBF58476D1CE4E5B9)
    x = x ^ (x >> np.uint64(27))
    x = x * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def number(stream, n):
    """n numbers in [-1, 1), multiples of 2^-23."""
    bits = mix64((np.uint64(stream + 1) << np.uint64(32)) + np.arange(n, dtype=np.uint64))
    return (bits >> np.uint64(40)).astype(np.float64) / 2.0**23 - 1.0


def labels(stream, n, n_classes):
    bits = mix64((np.uint64(stream + 1) << np.uint64(32)) + np.arange(n, dtype=np.uint64))
    return (bits % np.uint64(n_classes)).astype(np.int64)


def run(case):
    name, kind, activation, n_inputs, hidden, n_classes, n, scale = case
    widths = [n_inputs] + hidden + [n_classes]
    params = []
    for layer in range(len(widths) - 1):
        shape = (widths[layer], widths[layer + 1])
        weights = number(2 * layer, shape[0] * shape[1]).reshape(shape) * scale
        params += [weights, number(2 * layer + 1, shape[1]) * 0.25]
    params = [torch.tensor(p, dtype=torch.float64, requires_grad=True) for p in params]
    x = torch.tensor(number(1000, n * n_inputs).reshape(n, n_inputs), dtype=torch.float64)
    y = torch.tensor(labels(1001, n, n_classes))
    z = x
    for layer in range(len(widths) - 1):
        z = z @ params[2 * layer] + params[2 * layer + 1]
        if layer + 2 < len(widths):
            z = ACTIVATIONS[activation](z)
    shape = " ".join(str(w) for w in hidden)
    print(f"case {name} {kind} {activation} {n_inputs} {len(hidden)} {shape}{' ' if hidden else ''}"
          f"{n_classes} {n} {scale:.17g}")
    tell(z, y, params)


def tell(z, y, params):
    """Loss and gradients of these logits."""
    loss = torch.nn.functional.cross_entropy(z, y, reduction="mean")
    loss.backward()
    n, correct = len(y), int((z.argmax(dim=1) == y).sum())
    print(f"loss_sum {float(loss) * n:.12g} correct {correct}")
    for number_of_table, p in enumerate(params):
        g = p.grad.numpy().reshape(-1)
        at = np.arange(g.size)
        if g.size > WHOLE:
            at = np.linspace(0, g.size - 1, SAMPLES).astype(int)
        print(f"table {number_of_table} {g.size} {g.sum():.12g} {np.abs(g).sum():.12g} {at.size}")
        print(" ".join(f"{i} {g[i]:.10g}" for i in at))


def read_layers(text):
    """Name and arguments of each item."""
    for item in re.findall(r"(\w+)(?:: (?:\{(.*?)\}|([\d.]+)))?", text):
        named = {key: int(value) for key, value in re.findall(r"(\w+): (\d+)", item[1])}
        yield item[0], named, float(item[2]) if item[2] else None


def run_sequential(case):
    """z is n x height x width x channels throughout, as rubato lays it; torch's own functions want channels first."""
    name, text, image, n_classes, n, scale = case
    params = []

    def new(*shapes):
        for shape in shapes:
            values = number(len(params), int(np.prod(shape))).reshape(shape) * (0.25 if len(params) % 2 else scale)
            params.append(torch.tensor(values, dtype=torch.float64, requires_grad=True))
        return params[-len(shapes):]

    def first(tensor):
        return tensor.permute(0, 3, 1, 2)

    def last(tensor):
        return tensor.permute(0, 2, 3, 1)

    z = torch.tensor(number(1000, n * int(np.prod(image))).reshape(n, *image), dtype=torch.float64)
    y = torch.tensor(labels(1001, n, n_classes))
    for kind, named, value in read_layers(text):
        size = named.get("size", int(value or 0))
        if kind == "dense":
            z = z.reshape(n, -1)
            weights, bias = new((z.shape[1], int(value)), (int(value),))
            z = (z @ weights + bias).reshape(n, 1, 1, -1)
        elif kind == "conv":
            kernel = named.get("kernel", 3)
            weights, bias = new((kernel, kernel, z.shape[3], named["filters"]), (named["filters"],))
            z = last(torch.nn.functional.conv2d(first(z), weights.permute(3, 2, 0, 1), bias, named.get("stride", 1),
                                                named.get("padding", 0)))
        elif kind == "max_pool":
            z = last(torch.nn.functional.max_pool2d(first(z), size, named.get("stride")))
        elif kind == "avg_pool":
            z = last(torch.nn.functional.avg_pool2d(first(z), size, named.get("stride")))
        elif kind == "layer_norm":
            gain, bias = new(z.shape[1:], z.shape[1:])
            z = torch.nn.functional.layer_norm(z, z.shape[1:], gain, bias, value or 1e-5)
        elif kind != "flatten":
            z = ACTIVATIONS[kind](z)
    print(f"case {name} sequential none {int(np.prod(image))} 0 {n_classes} {n} {scale:.17g}")
    print("image", *image, "layers", text)
    tell(z.reshape(n, -1), y, params)


if __name__ == "__main__":
    for c in CASES:
        run(c)
    for c in SEQUENTIAL:
        run_sequential(c)
