#!/usr/bin/env python3
"""Writes nf4.txt and rtn.txt beside this file.

nf4.txt: small awkward matrices and what bitsandbytes (CPU) makes of them, with and without nested scales.
rtn.txt: the same matrices by the formulas of GPTQ's quantizer in numpy, float32 after every operation.
Floats are written as the eight hexadecimal digits of their float32.

Run: python tests/data/quantizers/make_goldens.py
Made with Python 3.11.7, torch 2.15.0 (CPU), bitsandbytes 0.50.2, numpy 2.4.6.
"""
import pathlib
import sys

import bitsandbytes
import numpy as np
import torch
from bitsandbytes.functional import dequantize_blockwise, quantize_4bit

here = pathlib.Path(__file__).parent
random = np.random.default_rng(4)


def bits(a):
    return " ".join(f"{v:08X}" for v in np.asarray(a, dtype=np.float32).ravel().view(np.uint32))


def matrices():
    yield "normal", random.standard_normal((6, 128)) * 0.02
    heavy = random.standard_t(2, (3, 192)) * 0.05
    yield "heavy_tails", heavy
    yield "bfloat16", torch.from_numpy(heavy.astype(np.float32)).bfloat16().float().numpy()
    table = bitsandbytes.functional.get_4bit_type("nf4", device="cpu").numpy()
    middle = (table[:-1] + table[1:]) / 2
    around = np.concatenate([np.nextafter(middle, np.float32(-2)), middle, np.nextafter(middle, np.float32(2)), table])
    ties = np.zeros((2, 64), dtype=np.float32)
    ties[0, : around.size] = around  # 1 is among them: the scale is exactly 1
    ties[1] = ties[0] * np.float32(0.125)
    yield "ties", ties
    awkward = np.zeros((8, 64))
    awkward[1] = 0.1  # constant
    awkward[2, 5] = -3.0  # one weight
    awkward[3] = np.abs(random.standard_normal(64))  # no negative one
    awkward[4] = -np.abs(random.standard_normal(64))
    awkward[5] = random.standard_normal(64) * 1e37
    awkward[6] = random.standard_normal(64) * 1e-37
    awkward[7, ::2] = -0.0
    yield "awkward", awkward
    yield "subnormal", random.standard_normal((2, 64)) * 2e-39


def rtn(row, bit_count, group_size, symmetric):
    one = np.float32
    largest = one(2**bit_count - 1)
    codes, scales, zeros = [], [], []
    for first in range(0, row.size, group_size):
        x = row[first : first + group_size]
        lo, hi = min(x.min(), one(0)), max(x.max(), one(0))
        if symmetric:
            hi = max(abs(lo), hi)
            if lo < 0:
                lo = -hi
        if lo == 0 and hi == 0:
            lo, hi = one(-1), one(1)
        scale = one((hi - lo) / largest)
        zero = one((largest + 1) / 2) if symmetric else np.rint(-lo / scale)
        codes += list(np.clip(np.rint(x / scale) + zero, 0, largest).astype(int))
        scales.append(scale)
        zeros.append(int(zero))
    return codes, scales, zeros


nf4, uniform = [], []
for name, w in matrices():
    w = np.ascontiguousarray(w, dtype=np.float32)
    head = f"{name} {w.shape[0]} {w.shape[1]}"
    packed, state = quantize_4bit(torch.from_numpy(w), blocksize=64, quant_type="nf4", compress_statistics=False)
    bytes_ = packed.numpy().ravel()
    codes = np.stack([bytes_ >> 4, bytes_ & 15], axis=1).ravel()
    _, nested = quantize_4bit(torch.from_numpy(w), blocksize=64, quant_type="nf4", compress_statistics=True)
    decoded = dequantize_blockwise(nested.absmax, nested.state2) + nested.offset
    nf4.append(f"{head}\n{bits(w)}\n{''.join(f'{c:X}' for c in codes)}\n{bits(state.absmax)}\n{bits(decoded)}")
    if name == "subnormal":
        continue  # there the original divides by scales that have no digits left
    for bit_count, group_size, symmetric in [(2, 32, 0), (3, 64, 0), (3, 32, 1), (4, 96, 0), (4, 64, 1), (8, 64, 0)]:
        rows = [rtn(row, bit_count, group_size, symmetric) for row in w]
        codes, scales, zeros = (np.concatenate([row[k] for row in rows]) for k in range(3))
        uniform.append(
            f"{name} {bit_count} {group_size} {symmetric}\n"
            f"{''.join(f'{int(c):02X}' for c in codes)}\n{bits(scales)}\n{''.join(f'{int(z):02X}' for z in zeros)}"
        )

(here / "nf4.txt").write_text("\n".join(nf4) + "\n")
(here / "rtn.txt").write_text("\n".join(uniform) + "\n")
print("python", sys.version.split()[0], "torch", torch.__version__, "numpy", np.__version__)
