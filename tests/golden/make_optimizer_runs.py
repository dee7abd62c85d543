#!/usr/bin/python3
"""Writes tests/golden/optimizer_runs.h: where each optimizer's weights end after 100 steps, dense and sparse.

Needs NumPy and PyTorch (Debian: python3-numpy, python3-torch). Gradients are a hash of step and place, exact in
float32, so that the test computes them itself. Sparse: the weights are 6 rows of 4, and a row takes part in about a
third of the steps; a PyTorch optimizer passes over a parameter whose gradient is None, so each row is a parameter, with
moments and a step count of its own, as a row of ours has. Where PyTorch also takes sparse gradients (SGD without
momentum, Adagrad) both ways must agree. PyTorch works in float32; what it does not have (row-wise AdaGrad, FTRL, LAMB,
AdaRevision, whose gradients come late here) is taken by NumPy in float64, straight from the papers, and sums (add) in float32.

    /usr/bin/python3 tests/golden/make_optimizer_runs.py > tests/golden/optimizer_runs.h
"""
import numpy as np
import torch

STEPS, ROWS, WIDTH = 100, 6, 4
N = ROWS * WIDTH
DEFAULTS = dict(lr=0.01, momentum=0.9, beta1=0.9, beta2=0.999, epsilon=1e-8, weight_decay=0.0, rho=0.9, l1=0.0, l2=0.0,
                ftrl_beta=1.0)

CASES = [
    ("sgd", {"lr": 0.05, "weight_decay": 0.125}),
    ("add", {}),
    ("momentum", {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.0625}),
    ("nesterov", {"lr": 0.02, "momentum": 0.9}),
    ("nesterov", {"lr": 0.02, "momentum": 0.5, "weight_decay": 0.125}),
    ("adagrad", {"lr": 0.1, "epsilon": 1e-10, "weight_decay": 0.125}),
    ("rowwise_adagrad", {"lr": 0.1, "epsilon": 1e-8}),
    ("rowwise_adagrad", {"lr": 0.1, "epsilon": 1e-6, "weight_decay": 0.125}),
    ("rmsprop", {"lr": 0.01, "rho": 0.99}),
    ("rmsprop", {"lr": 0.005, "rho": 0.9, "epsilon": 1e-6, "weight_decay": 0.125}),
    ("adadelta", {"lr": 1.0, "rho": 0.9, "epsilon": 1e-6}),
    ("adadelta", {"lr": 0.5, "rho": 0.95, "epsilon": 1e-4, "weight_decay": 0.125}),
    ("adam", {"lr": 0.01, "weight_decay": 0.125}),
    ("adamw", {"lr": 0.01}),
    ("adamw", {"lr": 0.02, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0.25}),
    ("amsgrad", {"lr": 0.01}),
    ("amsgrad", {"lr": 0.02, "beta1": 0.8, "beta2": 0.9, "epsilon": 1e-6, "weight_decay": 0.125}),
    ("ftrl", {"lr": 0.1}),
    ("ftrl", {"lr": 0.25, "l1": 1.5, "l2": 0.5, "ftrl_beta": 0.5}),
    ("adarevision", {"lr": 0.1, "epsilon": 1e-8}),
    ("adarevision", {"lr": 0.2, "epsilon": 0.5, "weight_decay": 0.125}),
    ("lamb", {"lr": 0.01, "epsilon": 1e-6}),
    ("lamb", {"lr": 0.005, "beta1": 0.8, "beta2": 0.99, "epsilon": 1e-6, "weight_decay": 0.125}),
]


def mix(x):
    x = (x + 1) * 2654435761 & 0xFFFFFFFF
    x ^= x >> 15
    x = x * 2246822519 & 0xFFFFFFFF
    return x ^ x >> 13


def gradient(t):
    return np.array([(mix(t * N + i) >> 8) / 2.0**23 - 1.0 for i in range(N)], np.float32)


def touched(t, row):
    return mix(1000000 + t * ROWS + row) % 3 == 0


def start():
    return np.array([(1.0 + (mix(2000000 + i) >> 8) / 2.0**23) * (-1 if i % 2 else 1) for i in range(N)], np.float32)


def torch_optimizer(kind, params, h):
    o = torch.optim
    decay, betas = h["weight_decay"], (h["beta1"], h["beta2"])
    make = {
        "sgd": lambda: o.SGD(params, lr=h["lr"], weight_decay=decay, foreach=False),
        "momentum": lambda: o.SGD(params, lr=h["lr"], momentum=h["momentum"], weight_decay=decay, foreach=False),
        "nesterov": lambda: o.SGD(params, lr=h["lr"], momentum=h["momentum"], weight_decay=decay, nesterov=True,
                                  foreach=False),
        "adagrad": lambda: o.Adagrad(params, lr=h["lr"], eps=h["epsilon"], weight_decay=decay, foreach=False),
        "rmsprop": lambda: o.RMSprop(params, lr=h["lr"], alpha=h["rho"], eps=h["epsilon"], weight_decay=decay,
                                     foreach=False),
        "adadelta": lambda: o.Adadelta(params, lr=h["lr"], rho=h["rho"], eps=h["epsilon"], weight_decay=decay,
                                       foreach=False),
        "adam": lambda: o.Adam(params, lr=h["lr"], betas=betas, eps=h["epsilon"], weight_decay=decay, foreach=False),
        "adamw": lambda: o.AdamW(params, lr=h["lr"], betas=betas, eps=h["epsilon"], weight_decay=decay, foreach=False),
        "amsgrad": lambda: o.Adam(params, lr=h["lr"], betas=betas, eps=h["epsilon"], weight_decay=decay, amsgrad=True,
                                  foreach=False),
    }
    return make[kind]()


def by_torch(kind, h, sparse):
    params = [torch.tensor(row, requires_grad=True) for row in start().reshape(ROWS, WIDTH)]
    optimizer = torch_optimizer(kind, params, h)
    for t in range(STEPS):
        rows = gradient(t).reshape(ROWS, WIDTH)
        for r in range(ROWS):
            params[r].grad = torch.tensor(rows[r]) if not sparse or touched(t, r) else None
        optimizer.step()
    return np.concatenate([p.detach().numpy() for p in params])


def by_torch_sparse(kind, h):
    """One parameter with sparse gradients, where PyTorch has that; without decay, which it refuses for them."""
    w = torch.tensor(start().reshape(ROWS, WIDTH), requires_grad=True)
    optimizer = torch_optimizer(kind, [w], h)
    for t in range(STEPS):
        rows = [r for r in range(ROWS) if touched(t, r)]
        if rows:
            values = torch.tensor(gradient(t).reshape(ROWS, WIDTH)[rows])
            w.grad = torch.sparse_coo_tensor(torch.tensor([rows]), values, (ROWS, WIDTH))
            optimizer.step()
    return w.detach().numpy().reshape(N)


def step_add(w, s, g, h):
    w += g


def step_rowwise_adagrad(w, s, g, h):
    g = g + h["weight_decay"] * w
    s["sum"] = s.get("sum", 0.0) + np.mean(g * g)
    w -= h["lr"] * g / (np.sqrt(s["sum"]) + h["epsilon"])


def step_ftrl(w, s, g, h):
    """McMahan et al., KDD 2013, algorithm 1: the weight follows from z and n alone, once there was a gradient."""
    z, n = s.get("z", np.zeros(WIDTH)), s.get("n", np.zeros(WIDTH))
    sigma = (np.sqrt(n + g * g) - np.sqrt(n)) / h["lr"]
    z = z + g - sigma * w
    n = n + g * g
    w[:] = np.where(np.abs(z) <= h["l1"], 0.0,
                    -(z - np.sign(z) * h["l1"]) / ((h["ftrl_beta"] + np.sqrt(n)) / h["lr"] + h["l2"]))
    s["z"], s["n"] = z, n


def step_lamb(w, s, g, h):
    """You et al., ICLR 2020, algorithm 2, with phi(z) = z; a row is a tensor."""
    s["t"] = s.get("t", 0) + 1
    s["m"] = h["beta1"] * s.get("m", 0.0) + (1 - h["beta1"]) * g
    s["v"] = h["beta2"] * s.get("v", 0.0) + (1 - h["beta2"]) * g * g
    m, v = s["m"] / (1 - h["beta1"]**s["t"]), s["v"] / (1 - h["beta2"]**s["t"])
    u = m / (np.sqrt(v) + h["epsilon"]) + h["weight_decay"] * w
    norms = np.linalg.norm(w), np.linalg.norm(u)
    w -= h["lr"] * (norms[0] / norms[1] if min(norms) > 0 else 1.0) * u


def delay(t, row):
    """How many steps of its row a late gradient does not know: 0 to 6."""
    return mix(3000000 + t * ROWS + row) % 7


def step_adarevision(w, s, g, h):
    """McMahan and Streeter, NIPS 2014, AdaptiveRevision, but that z and z' begin at 0 and the root has an epsilon. s["read"]:
    the sums of gradients as the row's readers were given them, of all its steps; the reader of this gradient has s["late"]."""
    g = g + h["weight_decay"] * w
    sums = s.setdefault("read", [np.zeros(WIDTH)])
    back = sums[-1] - sums[max(0, len(sums) - 1 - s["late"])]
    z, most = s.get("z", 0.0), s.get("most", np.zeros(WIDTH))
    eta_old = h["lr"] / (np.sqrt(most) + h["epsilon"])
    z = z + g * g + 2 * g * back
    most = np.maximum(most, z)
    eta = h["lr"] / (np.sqrt(most) + h["epsilon"])
    w -= eta * g
    w += (eta_old - eta) * back
    sums.append(sums[-1] + g)
    s["z"], s["most"] = z, most


def by_numpy(step, h, sparse):
    kind = np.float32 if step is step_add else np.float64
    w = start().astype(kind).reshape(ROWS, WIDTH)
    state = [{} for _ in range(ROWS)]
    for t in range(STEPS):
        g = gradient(t).astype(kind).reshape(ROWS, WIDTH)
        for r in range(ROWS):
            if not sparse or touched(t, r):
                state[r]["late"] = delay(t, r)
                step(w[r], state[r], g[r], h)
    return w.reshape(N)


OWN = {"add": step_add, "adarevision": step_adarevision, "rowwise_adagrad": step_rowwise_adagrad, "ftrl": step_ftrl, "lamb": step_lamb}


def floats(values):
    return ", ".join(float(np.float32(v)).hex() + "f" for v in values)


def main():
    for kind, h in (("sgd", {"lr": 0.05}), ("adagrad", {"lr": 0.1})):
        h = dict(DEFAULTS, **h)
        assert np.allclose(by_torch(kind, h, True), by_torch_sparse(kind, h), rtol=1e-6, atol=0), kind
    print("/* Written by tests/golden/make_optimizer_runs.py with torch %s: do not edit. */" % torch.__version__)
    print("#ifndef RUB_GOLDEN_OPTIMIZER_RUNS_H\n#define RUB_GOLDEN_OPTIMIZER_RUNS_H\n")
    print('#include "include/rubato.h"\n')
    print("enum { RUN_STEPS = %d, RUN_ROWS = %d, RUN_WIDTH = %d, RUN_WEIGHTS = %d };\n" % (STEPS, ROWS, WIDTH, N))
    print("static const struct {\n    const char *optimizer;\n    rub_hyper_t hyper;")
    print("    float dense[RUN_WEIGHTS], sparse[RUN_WEIGHTS];\n} golden_runs[] = {")
    for kind, given in CASES:
        h = dict(DEFAULTS, **given)
        run = (lambda sparse: by_numpy(OWN[kind], h, sparse)) if kind in OWN else (
            lambda sparse: by_torch(kind, h, sparse))
        hyper = ", ".join(".%s = %r" % (k, h[k]) for k in DEFAULTS)
        print('    {"%s",\n     {%s},\n     {%s},\n     {%s}},' % (kind, hyper, floats(run(False)), floats(run(True))))
    print("};\n\n#endif")


main()
