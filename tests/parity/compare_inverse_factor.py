#!/usr/bin/env python3
"""inverse_factor beside PyTorch's three steps (factor, inverse, factor), of damped Hessians of random inputs.

    python3 compare_inverse_factor.py --program build/release/tests/parity/gptq_of_npy [--widths 576 1536 4096]

Prints the condition number up to 2048 columns, and the error of U relative to its norm, against the same steps in double.
bench_gptq and gptq_peers.py take the time. Made with torch 2.15.0, numpy 2.4.6.
"""

import argparse
import json
import pathlib
import subprocess
import tempfile

import numpy as np
import torch


def three_steps(h):
    return torch.linalg.cholesky(torch.cholesky_inverse(torch.linalg.cholesky(torch.from_numpy(h))), upper=True).numpy()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--widths", type=int, nargs="+", default=[576, 1536, 4096])
    arguments = parser.parse_args()
    random = np.random.default_rng(0)
    for n in arguments.widths:
        tokens = 8192
        sizes = np.exp(random.standard_normal(n)) * np.where(random.random(n) < 0.01, 30, 1)
        shared = random.standard_normal((tokens, 32)) @ random.standard_normal((32, n))
        x = (random.standard_normal((tokens, n)) * 0.3 + shared) * sizes
        h = 2 / tokens * x.T @ x
        h[np.diag_indices(n)] += 0.01 * np.mean(np.diag(h))
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            np.save(folder / "h.npy", h)
            job = json.dumps({"h": str(folder / "h.npy"), "out": str(folder)}) + "\n"
            subprocess.run([arguments.program], input=job, text=True, stdout=subprocess.DEVNULL, check=True)
            ours = np.load(folder / "u.npy")
        exact, single = three_steps(h), three_steps(h.astype(np.float32))
        error = lambda u: np.linalg.norm(u - exact) / np.linalg.norm(exact)
        condition = f"{np.linalg.cond(h):.2g}" if n <= 2048 else "?"
        print(
            f"{n:5} columns, condition {condition:7}  inverse_factor {error(ours):.2g}, PyTorch in float32 {error(single):.2g}",
            flush=True,
        )


if __name__ == "__main__":
    main()
