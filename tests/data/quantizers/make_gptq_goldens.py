#!/usr/bin/env python3
"""Writes gptq.txt beside this file: what GPTQModel (CPU) makes of a matrix whose numbers come from a formula, with
documents that do too; gptq_test.cpp has the same formulas.

For every set of knobs a line of them, then the codes of all rows (two hexadecimal digits each), the scales (eight
hexadecimal digits of their float32), the zeros (two digits), the group of each column (two digits), and Σ of the losses.

Run: python tests/data/quantizers/make_gptq_goldens.py     (tests/parity/compare_gptq.py says how to install GPTQModel)
Made with Python 3.11.7, GPTQModel 7.7.0, torch 2.15.0 (CPU), numpy 2.4.6.
"""
import pathlib
import sys

import numpy as np

here = pathlib.Path(__file__).parent
sys.path.insert(0, str(here.parent.parent / "parity"))
from compare_gptq import with_gptqmodel  # noqa: E402

ROWS, COLS, TOKENS = 8, 160, [50, 90, 1, 200]


def noise(k):
    """-0.5 … 0.5 from whole numbers."""
    x = (k.astype(np.uint64) * 2654435761) & 0xFFFFFFFF
    x ^= x >> 16
    x = (x * 2246822519) & 0xFFFFFFFF
    x ^= x >> 13
    return ((x >> 8).astype(np.float32) / np.float32(2**24)) - np.float32(0.5)


def numbers(first, rows, cols):
    return noise(first + np.arange(rows * cols).reshape(rows, cols))


w = numbers(0, ROWS, COLS) * np.float32(0.125)
documents = []
for d, tokens in enumerate(TOKENS):
    x = numbers(1_000_000 * (d + 1), tokens, COLS)
    x[:, 1:] += x[:, :-1]  # neighbours go together
    x *= np.float32(2.0) ** (np.arange(COLS) % 5).astype(np.float32)
    x[:, 11] = 0
    documents.append(np.ascontiguousarray(x))

lines = []
for bits, group, symmetric, knobs in [
    (3, 64, 1, ""),
    (3, 64, 0, "act_order"),
    (4, 32, 1, "act_order"),
    (4, 64, 0, "act_order static_groups"),
    (3, 32, 0, "group_aware"),
    (4, 0, 0, ""),
    (3, 0, 1, "act_order"),
    (4, 64, 0, "mse"),
    (2, 32, 0, "act_order mse"),
    (8, 64, 0, "act_order"),
]:
    job = dict(
        bits=bits, group=group, symmetric=bool(symmetric), damp=0.01, block=128, mse=2.4 if "mse" in knobs else 0.0
    ) | {k: k in knobs for k in ["act_order", "static_groups", "group_aware"]}
    codes, scales, zeros, g_idx, loss, _ = with_gptqmodel(w, documents, job)
    digits = lambda all_: "".join(f"{int(v):02X}" for v in all_.ravel())
    floats = " ".join(f"{v:08X}" for v in np.ascontiguousarray(scales, dtype=np.float32).ravel().view(np.uint32))
    lines += [
        f"{bits} {group} {symmetric} {knobs or 'none'}", digits(codes), floats, digits(zeros), digits(g_idx), f"{loss:.9g}"
    ]
(here / "gptq.txt").write_text("\n".join(lines) + "\n")
