#!/usr/bin/python3
"""Writes onnx/*.onnx and onnx.txt: networks as other programs export them, and what they make of some examples.

PyTorch's exporter writes most of them; those that it would write otherwise are put together by python3-onnx. Inputs are not
stored: both sides compute them (number() of make_models.py and of tests/unit/worker/model/numbers.h). Run again after changing it:
    /usr/bin/python3 tests/golden/make_foreign_onnx.py
"""
import io
import os
import sys
import warnings

import numpy as np
import onnx
import torch
from onnx import helper, numpy_helper
from torch import nn

sys.path.insert(0, os.path.dirname(__file__))
from make_models import number  # noqa: E402

HERE = os.path.dirname(os.path.abspath(__file__))
N = 4


class Viewed(nn.Module):
    """view() computes its shape beside the chain; LayerNorm below operator set 17 is its formula; no last bias."""

    def __init__(self):
        super().__init__()
        self.conv, self.norm = nn.Conv2d(2, 3, 3, stride=2, padding=1), nn.LayerNorm(5)
        self.dense, self.last = nn.Linear(3 * 2 * 2, 5), nn.Linear(5, 3, bias=False)

    def forward(self, x):
        x = torch.max_pool2d(torch.relu(self.conv(x)), 2)
        x = x.view(x.size(0), -1)
        return torch.log_softmax(self.last(self.norm(torch.tanh(self.dense(x)))), 1)


class Sum(nn.Module):
    """A branch around a layer."""

    def __init__(self):
        super().__init__()
        self.first, self.second = nn.Linear(6, 6), nn.Linear(6, 6)

    def forward(self, x):
        return self.second(torch.relu(self.first(x)) + x)


# file, module, operator set, layers as a run file has them, image (height, width, channels), classes
EXPORTED = [
    ("torch-mlp", nn.Sequential(nn.Flatten(), nn.Linear(4 * 3 * 2, 6), nn.ReLU(), nn.Dropout(0.2), nn.Linear(6, 3)), 14,
     "dense: 6, relu, dropout: 0.2, dense: 3", (4, 3, 2), 3),
    ("torch-cnn", Viewed(), 14,
     "conv: {filters: 3, kernel: 3, stride: 2, padding: 1}, relu, max_pool: 2, dense: 5, tanh, layer_norm, dense: 3", (8, 7, 2), 3),
    ("torch-17", nn.Sequential(nn.LayerNorm([2, 5, 4], eps=1e-3), nn.Conv2d(2, 4, 2, bias=False), nn.ELU(), nn.AvgPool2d(2, 1),
                               nn.Sigmoid(), nn.Flatten(), nn.LayerNorm(4 * 3 * 2), nn.Linear(24, 4), nn.Softmax(1)), 17,
     "layer_norm: 1e-3, conv: {filters: 4, kernel: 2}, elu, avg_pool: {size: 2, stride: 1}, sigmoid, layer_norm, dense: 4",
     (5, 4, 2), 4),
    ("torch-sum", Sum(), 14, "dense: 6, relu, dense: 6", (1, 1, 6), 6),
]


def matmul_model():
    """As tf2onnx and others write dense layers: MatMul, Add; here with constants as nodes, and of no fixed batch."""
    rng = np.random.default_rng(3)
    w, b = rng.standard_normal((6, 4), np.float32), rng.standard_normal((1, 4), np.float32)
    v, c = rng.standard_normal((4, 3), np.float32), rng.standard_normal(3, np.float32)
    nodes = [helper.make_node("Constant", [], ["c"], value=numpy_helper.from_array(c)),
             helper.make_node("MatMul", ["x", "w"], ["a"]), helper.make_node("Add", ["b", "a"], ["d"]),
             helper.make_node("Tanh", ["d"], ["e"]), helper.make_node("Identity", ["e"], ["f"]),
             helper.make_node("Gemm", ["f", "v", "c"], ["g"]), helper.make_node("Softmax", ["g"], ["y"])]
    floats = onnx.TensorProto.FLOAT
    graph = helper.make_graph(nodes, "g", [helper.make_tensor_value_info("x", floats, ["n", 6])],
                              [helper.make_tensor_value_info("y", floats, ["n", 3])],
                              [numpy_helper.from_array(a, n) for a, n in ((w, "w"), (b, "b"), (v, "v"))])
    x = number(1000, N * 6).reshape(N, 6)
    z = np.tanh(x @ w.astype(float) + b) @ v + c
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)]), np.exp(z) / np.exp(z).sum(1, keepdims=True)


def write(text, name, model, layers, image, classes, probabilities):
    onnx.checker.check_model(model, full_check=True)
    with open(os.path.join(HERE, "onnx", name + ".onnx"), "wb") as file:
        file.write(model.SerializeToString())
    text.append(f"case {name} {image[0]} {image[1]} {image[2]} {classes} {N}\n{layers}\n" +
                "\n".join(" ".join(f"{p:.9g}" for p in row) for row in probabilities))


def main():
    warnings.filterwarnings("ignore")
    os.makedirs(os.path.join(HERE, "onnx"), exist_ok=True)
    text = []
    for i, (name, module, operators, layers, image, classes) in enumerate(EXPORTED):
        torch.manual_seed(i)
        for p in module.parameters():
            nn.init.normal_(p, std=0.5)
        h, w, c = image
        x = torch.tensor(number(1000, N * h * w * c).reshape(N, h, w, c).transpose(0, 3, 1, 2).astype(np.float32).copy())
        x = x.reshape(N, -1) if h == w == 1 else x
        out = io.BytesIO()
        module.eval()
        with torch.no_grad():
            y = module(x).double()
        torch.onnx.export(module, x, out, opset_version=operators, input_names=["x"], dynamic_axes={"x": {0: "n"}})
        is_softmax = isinstance(module, nn.Sequential) and isinstance(module[-1], nn.Softmax)
        write(text, name, onnx.load_from_string(out.getvalue()), layers, image, classes,
              (y if is_softmax else torch.softmax(y, 1)).tolist())
    model, y = matmul_model()
    write(text, "matmul", model, "dense: 4, tanh, dense: 3", (1, 1, 6), 3, y)
    with open(os.path.join(HERE, "onnx.txt"), "w") as file:
        file.write("\n".join(text) + "\n")


if __name__ == "__main__":
    main()
