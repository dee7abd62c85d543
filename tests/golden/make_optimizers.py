#!/usr/bin/python3
"""Writes tests/golden/optimizers.h: 20 steps of each optimizer, as PyTorch takes them in float32.

Needs NumPy and PyTorch (Debian: python3-numpy, python3-torch). sgd, momentum and add are plain sums and products and
are taken by NumPy in float32, in the order of our loops (PyTorch fuses multiply-adds); both must agree to 1e-6.

    /usr/bin/python3 tests/golden/make_optimizers.py > tests/golden/optimizers.h
"""
import numpy as np
import torch

STEPS, N = 20, 7
f32 = np.float32

CASES = [  # name, optimizer, lr, momentum, beta1, beta2, epsilon, weight_decay
    ("sgd", "sgd", 0.05, 0.0, 0.9, 0.999, 1e-8, 0.0),
    ("sgd with weight decay", "sgd", 0.05, 0.0, 0.9, 0.999, 1e-8, 0.125),
    ("add", "add", 0.05, 0.0, 0.9, 0.999, 1e-8, 0.0),
    ("momentum", "momentum", 0.05, 0.9, 0.9, 0.999, 1e-8, 0.0),
    ("momentum with weight decay", "momentum", 0.05, 0.5, 0.9, 0.999, 1e-8, 0.125),
    ("adagrad", "adagrad", 0.1, 0.0, 0.9, 0.999, 1e-10, 0.0),
    ("adagrad with weight decay", "adagrad", 0.1, 0.0, 0.9, 0.999, 1e-10, 0.125),
    ("adam", "adam", 0.01, 0.0, 0.9, 0.999, 1e-8, 0.0),
    ("adam with weight decay", "adam", 0.01, 0.0, 0.8, 0.99, 1e-6, 0.125),
]


def start():
    rng = np.random.default_rng(11)
    w = rng.uniform(1.0, 3.0, N).astype(f32) * np.where(np.arange(N) % 2, f32(-1), f32(1))
    g = rng.normal(0.0, 1.0, (STEPS, N)).astype(f32)
    g[3, 2] = 0.0
    return w.astype(f32), g


def with_torch(kind, w0, gradients, lr, momentum, beta1, beta2, epsilon, decay):
    w = torch.tensor(w0, requires_grad=True)
    make = {
        "sgd": lambda: torch.optim.SGD([w], lr=lr, weight_decay=decay, foreach=False),
        "momentum": lambda: torch.optim.SGD([w], lr=lr, momentum=momentum, weight_decay=decay, foreach=False),
        "adagrad": lambda: torch.optim.Adagrad([w], lr=lr, eps=epsilon, weight_decay=decay, foreach=False),
        "adam": lambda: torch.optim.Adam([w], lr=lr, betas=(beta1, beta2), eps=epsilon, weight_decay=decay,
                                         foreach=False),
    }
    optimizer = make[kind]()
    for g in gradients:
        w.grad = torch.tensor(g)
        optimizer.step()
    return w.detach().numpy()


def with_numpy(kind, w0, gradients, lr, momentum, decay):
    w, v = w0.copy(), np.zeros(N, f32)
    lr, mu, decay = f32(lr), f32(momentum), f32(decay)
    for g in gradients:
        if kind == "add":
            w = w + g
            continue
        g = g + decay * w
        v = mu * v + g if kind == "momentum" else g
        w = w - lr * v
    return w


def floats(values):
    return ", ".join(float(v).hex() + "f" for v in values)


def main():
    w0, gradients = start()
    print("/* Written by tests/golden/make_optimizers.py with torch %s: do not edit. */" % torch.__version__)
    print("#ifndef RUB_GOLDEN_OPTIMIZERS_H\n#define RUB_GOLDEN_OPTIMIZERS_H\n")
    print('#include "include/rubato.h"\n')
    print("enum { GOLDEN_STEPS = %d, GOLDEN_WEIGHTS = %d };\n" % (STEPS, N))
    print("static const float golden_start[GOLDEN_WEIGHTS] = {%s};\n" % floats(w0))
    print("static const float golden_gradients[GOLDEN_STEPS][GOLDEN_WEIGHTS] = {")
    for g in gradients:
        print("    {%s}," % floats(g))
    print("};\n")
    print("static const struct {\n    const char *name, *optimizer;\n    rub_hyper_t hyper;")
    print("    int exact; /* same operations in the same order: equal bits */")
    print("    float end[GOLDEN_WEIGHTS];\n} golden_cases[] = {")
    for name, kind, lr, momentum, beta1, beta2, epsilon, decay in CASES:
        if kind in ("sgd", "add", "momentum"):
            end = with_numpy(kind, w0, gradients, lr, momentum, decay)
            if kind != "add":
                other = with_torch(kind, w0, gradients, lr, momentum, beta1, beta2, epsilon, decay)
                assert np.allclose(end, other, rtol=1e-6, atol=0), (name, end, other)
        else:
            end = with_torch(kind, w0, gradients, lr, momentum, beta1, beta2, epsilon, decay)
        exact = int(kind in ("sgd", "add", "momentum"))
        print('    {"%s", "%s", {.lr = %r, .momentum = %r, .beta1 = %r, .beta2 = %r, .epsilon = %r, '
              '.weight_decay = %r}, %d,\n     {%s}},'
              % (name, kind, lr, momentum, beta1, beta2, epsilon, decay, exact, floats(end)))
    print("};\n\n#endif")


main()
