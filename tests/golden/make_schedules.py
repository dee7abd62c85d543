#!/usr/bin/python3
"""Writes tests/golden/schedules.h: learning rates by clock, as PyTorch's schedulers have them.

Needs PyTorch (Debian: python3-torch). Warm-up is LinearLR from 1/w, in front of the others by SequentialLR; the
inverses, which PyTorch leaves to a lambda, are such: of the square root (Vaswani et al., NeurIPS 2017, section 5.3) the rate is
greatest at the end of the warm-up and falls with the square root from there.

    /usr/bin/python3 tests/golden/make_schedules.py > tests/golden/schedules.h
"""
import warnings

import torch
from torch.optim import lr_scheduler as s

CLOCKS = 60
CASES = [  # schedule, lr, warmup_clocks, schedule_clocks, step_factor, lr_end
    ("CONSTANT", 0.3, 0, 0, 0.1, 0.0),
    ("CONSTANT", 0.3, 7, 0, 0.1, 0.0),
    ("STEP", 0.3, 0, 13, 0.1, 0.0),
    ("STEP", 0.3, 5, 10, 0.5, 0.0),
    ("COSINE", 0.3, 0, 40, 0.1, 0.0),
    ("COSINE", 0.3, 10, 37, 0.1, 0.02),
    ("LINEAR", 0.3, 0, 40, 0.1, 0.0),
    ("LINEAR", 0.3, 3, 50, 0.1, 0.03),
    ("INVERSE_SQRT", 0.3, 16, 0, 0.1, 0.0),
    ("INVERSE", 0.3, 6, 20, 0.1, 0.0),
]


def rates(kind, lr, warmup, length, factor, end):
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    then = {
        "CONSTANT": lambda: s.LambdaLR(optimizer, lambda t: 1.0),
        "STEP": lambda: s.StepLR(optimizer, length, factor),
        "COSINE": lambda: s.CosineAnnealingLR(optimizer, length, eta_min=end),
        "LINEAR": lambda: s.LinearLR(optimizer, 1.0, end / lr, length),
        "INVERSE": lambda: s.LambdaLR(optimizer, lambda t: 1 / (1 + t / length)),
        "INVERSE_SQRT": lambda: s.LambdaLR(optimizer, lambda t: (warmup / (warmup + t + 1)) ** 0.5),
    }[kind]()
    after = []
    for t in range(CLOCKS - warmup):
        at = min(t, length) if kind in ("COSINE", "LINEAR") else t  # CosineAnnealingLR would rise again
        closed = getattr(then, "_get_closed_form_lr", None)
        then.last_epoch = at
        after.append(closed()[0] if closed else then.get_lr()[0])
    if warmup == 0:
        return after
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)
    rise = s.LinearLR(optimizer, 1.0 / warmup, 1.0, max(warmup - 1, 1))
    before = []
    for t in range(warmup):
        rise.last_epoch = t
        before.append(rise._get_closed_form_lr()[0])
    return before + after


def main():
    warnings.simplefilter("ignore")
    print("/* Written by tests/golden/make_schedules.py with torch %s: do not edit. */" % torch.__version__)
    print("/* clang-format off */")
    print("#ifndef RUB_GOLDEN_SCHEDULES_H\n#define RUB_GOLDEN_SCHEDULES_H\n")
    print('#include "include/rubato.h"\n')
    print("enum { SCHEDULE_CLOCKS = %d };\n" % CLOCKS)
    print("static const struct {\n    rub_hyper_t hyper;\n    double rates[SCHEDULE_CLOCKS];")
    print("} golden_schedules[] = {")
    for case in CASES:
        kind, lr, warmup, length, factor, end = case
        print("    {{.lr = %r, .schedule = RUB_SCHEDULE_%s, .warmup_clocks = %d, .schedule_clocks = %d, "
              ".step_factor = %r, .lr_end = %r}," % (lr, kind, warmup, length, factor, end))
        print("     {%s}}," % ", ".join(repr(float(r)) for r in rates(*case)))
    print("};\n\n#endif")


main()
