#!/usr/bin/python3
"""Writes codecs.h: float32 bits, and what NumPy (binary16) and PyTorch (bfloat16) make of them.

Finite values that overflow there are left out: we saturate. NaN is left out: any NaN will do.
Run: /usr/bin/python3 tests/golden/make_codecs.py > tests/golden/codecs.h
"""
import numpy as np
import torch

rng = np.random.default_rng(20260101)
bits = [0x00000000, 0x80000000, 0x00000001, 0x807FFFFF, 0x7F800000, 0xFF800000, 0x3F800000]
# Around every border of binary16: least subnormal and its half, least normal, greatest; ties.
for center in (2.0**-25, 2.0**-24, 3 * 2.0**-25, 2.0**-14, 65504.0, 1 + 2.0**-11, 1 + 3 * 2.0**-11,
               1 + 2.0**-8, 1 + 3 * 2.0**-8, 2.0**-126):
    middle = int(np.float32(center).view(np.uint32))
    bits += [middle - 1, middle, middle + 1]
bits += [int(b) for b in rng.integers(0, 2**32, 120)]
bits += [int(b) for b in rng.normal(0, 1, 60).astype(np.float32).view(np.uint32)]
bits += [int(b) for b in (rng.normal(0, 1, 60) * 1e-6).astype(np.float32).view(np.uint32)]

x = np.array(bits, dtype=np.uint32)
with np.errstate(over="ignore", under="ignore", invalid="ignore"):
    values = x.view(np.float32)
    half = values.astype(np.float16).view(np.uint16)
brain = torch.from_numpy(values.copy()).to(torch.bfloat16).view(torch.int16).numpy().view(np.uint16)

print("/* Made by make_codecs.py; do not edit. float32, binary16, bfloat16. */")
print("#include <stdint.h>\n")
print("static const struct {\n    uint32_t f32;\n    uint16_t f16, bf16;\n} golden_codecs[] = {")
for b, v, h, t in zip(x, values, half, brain):
    if np.isnan(v) or (np.isfinite(v) and ((h & 0x7FFF) == 0x7C00 or (t & 0x7FFF) == 0x7F80)):
        continue
    print(f"    {{0x{int(b):08x}, 0x{int(h):04x}, 0x{int(t):04x}}},")
print("};")
