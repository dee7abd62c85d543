#!/usr/bin/python3
"""Writes models.txt: losses and gradients of feed-forward models as PyTorch computes them, in float64.

Parameters, inputs and labels are not stored: both sides compute them, as multiples of 2^-24, from the same integer mix
(number() here, in tests/unit/worker/model/test_model_golden.c there). Run again after changing CASES:
    /usr/bin/python3 tests/golden/make_models.py > tests/golden/models.txt
"""
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
    loss = torch.nn.functional.cross_entropy(z, y, reduction="mean")
    loss.backward()
    correct = int((z.argmax(dim=1) == y).sum())
    shape = " ".join(str(w) for w in hidden)
    print(f"case {name} {kind} {activation} {n_inputs} {len(hidden)} {shape}{' ' if hidden else ''}"
          f"{n_classes} {n} {scale:.17g}")
    print(f"loss_sum {float(loss) * n:.12g} correct {correct}")
    for number_of_table, p in enumerate(params):
        g = p.grad.numpy().reshape(-1)
        at = np.arange(g.size)
        if g.size > WHOLE:
            at = np.linspace(0, g.size - 1, SAMPLES).astype(int)
        print(f"table {number_of_table} {g.size} {g.sum():.12g} {np.abs(g).sum():.12g} {at.size}")
        print(" ".join(f"{i} {g[i]:.10g}" for i in at))


for c in CASES:
    run(c)
