#!/usr/bin/env python3
"""What bench_gptq measures, by PyTorch in float32: the Hessian of 16 documents of 512 tokens, the factor of its inverse
(factor, inverse, factor), and the columns of a matrix at 3 bits in groups of 64.

    python3 gptq_peers.py [WORD]...     WORD: part of a shape's name

Prints seconds, and for the factor also how far U is from the one in double, relative to its norm. Made with torch 2.15.0.
"""

import sys
import time

import torch

SHAPES = [
    ("SmolLM2-135M q", 576, 576),
    ("SmolLM2-135M gate", 1536, 576),
    ("SmolLM2-135M down", 576, 1536),
    ("Llama-3-8B q", 4096, 4096),
    ("Llama-3-8B gate", 14336, 4096),
    ("Llama-3-8B down", 4096, 14336),
]


def hessian(documents):
    h = torch.zeros(documents[0].shape[1], documents[0].shape[1])
    for x in documents:
        h.addmm_(x.T, x)
    return h * (2 / sum(len(x) for x in documents))


def factor(h):
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(h)), upper=True)


def columns(w, u, bits=3, group=64, block=128):
    w, largest = w.clone(), 2**bits - 1
    for first in range(0, w.shape[1], block):
        end = min(first + block, w.shape[1])
        here, errors = w[:, first:end].clone(), torch.empty(len(w), end - first)
        for i in range(end - first):
            if (first + i) % group == 0:
                weights = w[:, first + i : first + i + group]
                lo, hi = weights.amin(1).clamp(max=0), weights.amax(1).clamp(min=0)
                scale = (hi - lo) / largest
                zero = torch.round(-lo / scale)
            level = torch.clamp(torch.round(here[:, i] / scale) + zero, 0, largest)
            errors[:, i] = (here[:, i] - scale * (level - zero)) / u[first + i, first + i]
            here[:, i:] -= errors[:, i : i + 1] * u[first + i, first + i : end]
        w[:, end:] -= errors @ u[first:end, end:]


def timed(f, *arguments):
    best = float("inf")
    for _ in range(1 if arguments[0][0].shape[-1] > 2048 else 5):
        start = time.perf_counter()
        result = f(*arguments)
        best = min(best, time.perf_counter() - start)
    return result, best


def main():
    torch.manual_seed(1)
    for name, rows, cols in SHAPES:
        if len(sys.argv) > 1 and not any(word in name for word in sys.argv[1:]):
            continue
        sizes = 0.1 + torch.arange(cols) % 7
        documents = [torch.randn(512, cols) * sizes for _ in range(16)]
        for x in documents:
            x[:, 1:] += 0.5 * x[:, :-1].clone()
        h, took = timed(hessian, documents)
        print(f"{name:18} {rows:6} x {cols:5}  hessian  {took:9.4f} s", flush=True)
        h.diagonal().add_(0.01 * h.diagonal().mean())
        u, took = timed(factor, h)
        error = float("nan")
        if cols <= 4096:
            exact = factor(h.double())
            error = float((u - exact).norm() / exact.norm())
        print(f"{name:18} {rows:6} x {cols:5}  factor   {took:9.4f} s, error {error:.2g}", flush=True)
        _, took = timed(columns, torch.randn(rows, cols) * 0.02, u)
        print(f"{name:18} {rows:6} x {cols:5}  columns  {took:9.4f} s", flush=True)


if __name__ == "__main__":
    main()
