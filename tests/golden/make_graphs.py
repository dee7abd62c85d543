#!/usr/bin/python3
"""Writes graphs.txt: losses and gradients of graph embeddings as PyTorch computes them, in float64.

Rows and chunks are not stored: both sides compute them from the same integer mix (number() and labels() here, those of
tests/unit/worker/model/numbers.h there). Run again after changing CASES:
    /usr/bin/python3 tests/golden/make_graphs.py > tests/golden/graphs.txt
"""
import torch

from make_models import labels, number

# name, kind, width, gamma, temperature, regularization, triples, negatives, heads are corrupted
CASES = [(f"{kind}-{'heads' if heads else 'tails'}{name}", kind, width, gamma, temperature, regularization, n, m, heads)
         for kind in ("transe_l1", "transe_l2", "distmult", "complex", "rotate")
         for name, width, gamma, temperature, regularization, n, m in (
             ("", 6, 3.0, 0.0, 0.0, 5, 4), ("-adversarial", 10, 6.0, 1.5, 0.0, 9, 7),
             ("-regularized", 8, 1.0, 0.5, 0.125, 150, 33))
         for heads in (False, True)]
ENTITIES, RELATIONS = 40, 5


def query(kind, known, relation, heads):
    sign = -1 if heads else 1
    if kind.startswith("transe"):
        return known + sign * relation
    if kind == "distmult":
        return known * relation
    a, b = known.chunk(2, 1)
    if kind == "rotate":
        c, d = relation.cos(), sign * relation.sin()
    else:
        c, d = relation.chunk(2, 1)
        d = sign * d
    return torch.cat((a * c - b * d, a * d + b * c), 1)


def similarity(kind, gamma, q, e):
    if kind in ("distmult", "complex"):
        return (q * e).sum(-1)
    difference = q - e
    if kind == "transe_l1":
        return gamma - difference.abs().sum(-1)
    if kind == "transe_l2":
        return gamma - difference.norm(dim=-1)
    re, im = difference.chunk(2, -1)
    return gamma - (re.square() + im.square()).sqrt().sum(-1)


def run(name, kind, width, gamma, temperature, regularization, n, m, heads):
    relation_width = width // 2 if kind == "rotate" else width
    entities = torch.tensor(number(0, ENTITIES * width).reshape(ENTITIES, width), requires_grad=True)
    relations = torch.tensor(number(1, RELATIONS * relation_width).reshape(RELATIONS, relation_width) * 3, requires_grad=True)
    h, r, t, negatives = (torch.tensor(labels(stream, count, below)) for stream, count, below in
                          ((2, n, ENTITIES), (3, n, RELATIONS), (4, n, ENTITIES), (5, m, ENTITIES)))
    known, asked = (t, h) if heads else (h, t)
    q = query(kind, entities[known], relations[r], heads)
    right = similarity(kind, gamma, q, entities[asked])
    counts = negatives.unsqueeze(0) != asked.unsqueeze(1)
    # Where query and point are one, a distance has no derivative; such a pair does not count.
    points = torch.where(counts.unsqueeze(2), entities[negatives].unsqueeze(0), q.detach().unsqueeze(1) + 1)
    wrong = similarity(kind, gamma, q.unsqueeze(1), points)
    weights = torch.softmax(torch.where(counts, temperature * wrong.detach(), torch.tensor(-torch.inf).double()), 1)
    against = -(weights * torch.nn.functional.logsigmoid(-wrong)).sum(1)
    losses = (against - torch.nn.functional.logsigmoid(right)) / 2
    total = losses.mean()
    if regularization:
        cubes = entities[h].abs().pow(3).sum(1) + entities[t].abs().pow(3).sum(1)
        cubes = cubes + (0 if kind == "rotate" else relations[r].abs().pow(3).sum(1))
        total = total + regularization * cubes.mean()
    total.backward()
    print(f"case {name} {kind} {width} {gamma:g} {temperature:g} {regularization:g} {n} {m} {int(heads)}")
    print(f"loss {losses.sum().item():.12g}")
    for rows, gradient in (("entities", entities.grad), ("relations", relations.grad)):
        g = gradient.numpy().reshape(-1)
        places = range(0, g.size, max(1, g.size // 24))
        print(f"{rows} {g.size} {g.sum():.12g} {abs(g).sum():.12g} {len(places)}")
        print(" ".join(f"{i} {g[i]:.10g}" for i in places))


if __name__ == "__main__":
    for case in CASES:
        run(*case)
