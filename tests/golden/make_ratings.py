#!/usr/bin/python3
"""Writes ratings.txt: losses and gradients of factorizations of ratings as PyTorch computes them, in float64.

Rows and chunks are not stored: both sides compute them from the same integer mix (number() and labels() here, those of
tests/unit/worker/model/numbers.h there). Run again after changing CASES:
    /usr/bin/python3 tests/golden/make_ratings.py > tests/golden/ratings.txt
"""
import torch

from make_models import labels, number

# name, kind, width, l2, confidence, mean, ratings, negatives
CASES = [(f"{kind}{name}", kind, width, l2, confidence, 0.5, n, m) for kind in ("mf", "mf_bpr", "mf_logistic")
         for name, width, l2, confidence, n, m in (("", 6, 0.0, 0.0, 5, 4), ("-regularized", 19, 0.125, 0.0, 40, 7),
                                                   ("-weighted", 8, 0.25, 0.0 if kind == "mf" else 1.5, 300, 33))]
USERS, ITEMS = 30, 40


def skipped(n, m):
    """Of each rating, its chunk's negatives that do not count: as the test draws them."""
    return torch.tensor(labels(7, n * m, 4).reshape(n, m) == 0)


def run(name, kind, width, l2, confidence, mean, n, m):
    shapes = ((USERS, width), (ITEMS, width), (USERS,), (ITEMS,))
    tables = []
    for stream, shape in enumerate(shapes):
        size = shape[0] * (shape[1] if len(shape) > 1 else 1)
        tables.append(torch.tensor(number(stream, size).reshape(shape), requires_grad=True))
    p, q, b_user, b_item = tables
    users, items, negatives = (torch.tensor(labels(stream, count, below)) for stream, count, below in
                               ((4, n, USERS), (5, n, ITEMS), (6, m, ITEMS)))
    values = torch.tensor(number(8, n)) + 1
    counts = (~skipped(n, m)).double()
    scores = (p[users] * q[items]).sum(1) + b_item[items]
    regularized = p[users].square().sum(1) + q[items].square().sum(1) + b_item[items].square()
    if kind != "mf_bpr":
        scores = scores + b_user[users]
        regularized = regularized + b_user[users].square()
    c = 1 + confidence * values
    if kind == "mf":
        losses = (values - mean - scores).square()
        total = losses.sum() / 2
    else:
        others = p[users] @ q[negatives].T + b_item[negatives]
        share = counts / counts.sum(1, keepdim=True).clamp(min=1)
        softplus = torch.nn.functional.softplus
        if kind == "mf_bpr":
            losses = c * (share * softplus(others - scores.unsqueeze(1))).sum(1)
        else:
            others = others + b_user[users].unsqueeze(1)
            losses = c * softplus(-scores) + (share * softplus(others)).sum(1)
        total = losses.sum()
        regularized = regularized + share @ (q[negatives].square().sum(1) + b_item[negatives].square())
    (total + l2 / 2 * regularized.sum()).backward()
    print(f"case {name} {kind} {width} {l2:g} {confidence:g} {mean:g} {n} {m}")
    print(f"loss {losses.sum().item():.12g}")
    for what, table in zip(("users", "items", "user_bias", "item_bias"), tables):
        g = torch.zeros(1) if table.grad is None else table.grad
        g = g.numpy().reshape(-1)
        places = range(0, g.size, max(1, g.size // 24))
        print(f"{what} {g.size} {g.sum():.12g} {abs(g).sum():.12g} {len(places)}")
        print(" ".join(f"{i} {g[i]:.10g}" for i in places))


if __name__ == "__main__":
    for case in CASES:
        run(*case)
