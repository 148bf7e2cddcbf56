#!/usr/bin/env python3
"""Writes mlx.txt beside this file: a small matrix as mlx.core.quantize stores it; lines as of compressed_tensors.txt.

Run: python tests/data/stored/write_mlx.py
Made with Python 3.11.7, mlx 0.32.4 (CPU), numpy 2.4.6.
"""
import hashlib
import json
import pathlib

import mlx.core as mx
import numpy as np

here = pathlib.Path(__file__).parent
types = {np.dtype("uint8"): "U8", np.dtype("uint32"): "U32", np.dtype("float32"): "F32", np.dtype("float16"): "F16"}
w = (((37 * np.arange(4 * 128) + 11) % 101) - 50).astype(np.float32).reshape(4, 128) / 64
cases = [dict(bits=b, group_size=64, mode="affine") for b in (2, 3, 4, 5, 6, 8)]
cases += [dict(bits=4, group_size=32, mode="affine"), dict(bits=4, group_size=32, mode="mxfp4")]
with open(here / "mlx.txt", "w", encoding="utf-8") as file:
    for case in cases:
        parts = mx.quantize(mx.array(w), **case)
        decoded = np.array(mx.dequantize(*parts, **case).astype(mx.float32)) + 0.0
        file.write(f"case mlx {json.dumps(case)}\n")
        for suffix, part in zip(("weight", "scales", "biases"), parts):
            a = np.array(part)
            file.write(f"{suffix} {types[a.dtype]} {json.dumps(list(a.shape)).replace(' ', '')} {a.tobytes().hex()}\n")
        file.write(f"decoded {hashlib.sha256(decoded.astype(np.float32).tobytes()).hexdigest()}\n")
