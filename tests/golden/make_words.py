#!/usr/bin/python3
"""Writes words.txt: the loss and the steps (lr 1) of a block of words as PyTorch computes them, in float64.

Vectors and text are not stored: both sides compute them from the same integer mix (number() and labels() here, those of
tests/unit/worker/model/numbers.h there). Run again after changing CASES:
    /usr/bin/python3 tests/golden/make_words.py > tests/golden/words.txt
"""
import torch

from make_models import labels, number

CASES = [(kind, grams) for kind in ("skipgram", "cbow") for grams in (False, True)]
WORDS, ROWS, OUT_ROWS, GRAMS, WIDTH, WINDOW, NEGATIVES, SHARED = 32, 12, 15, 20, 7, 3, 4, 64


def mean(parts):
    """The mean, each part of which has the gradient of the whole: how word2vec and fastText step."""
    total = torch.stack(parts).sum(0)
    return total.detach() / len(parts) + total - total.detach()


def run(kind, has_grams):
    tables = [torch.tensor(number(10 + i, n * WIDTH).reshape(n, WIDTH), requires_grad=True)
              for i, n in enumerate((ROWS, OUT_ROWS, GRAMS))]
    word, gram = tables[0], tables[2]
    out = tables[1]
    text, words = labels(1, WORDS, ROWS), labels(2, WORDS, OUT_ROWS)
    before, behind = labels(3, WORDS, WINDOW + 1), labels(4, WORDS, WINDOW + 1)
    negatives = labels(5, SHARED, OUT_ROWS)
    counts, ids = labels(6, ROWS, 4), labels(7, 4 * ROWS, GRAMS)
    firsts = [int(sum(counts[:r])) for r in range(ROWS + 1)]

    def vector(i):
        parts = [word[text[i]]]
        if has_grams:
            parts += [gram[g] for g in ids[firsts[text[i]]:firsts[text[i] + 1]]]
        return mean(parts)

    loss, n_terms = torch.zeros((), dtype=torch.float64), 0
    for j in range(WORDS):
        near = [vector(i) for i in range(max(0, j - before[j]), min(WORDS, j + behind[j] + 1)) if i != j]
        for h in near if kind == "skipgram" else [mean(near)] if near else []:
            n_terms += 1
            loss = loss - torch.nn.functional.logsigmoid(h @ out[words[j]])
            for n in negatives:
                if n != words[j]:
                    loss = loss - NEGATIVES / SHARED * torch.nn.functional.logsigmoid(-h @ out[n])
    loss.backward()
    print(f"case {kind} {int(has_grams)} {n_terms} {loss.item():.12g}")
    for table in tables:
        steps = torch.zeros_like(table) if table.grad is None else -table.grad
        print(" ".join(f"{value:.8g}" for value in steps.flatten().tolist()))


if __name__ == "__main__":
    for case in CASES:
        run(*case)
