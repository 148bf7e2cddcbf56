#!/usr/bin/env python3
"""GPTQ of random matrices by bitlens and by GPTQModel, code by code.

    python3 compare_gptq.py --program build/release/tests/parity/gptq_of_npy [--seed 1] [--gguf MODEL.gguf]
                            [--shape ROWSxCOLUMNS] [--only WORD]... [--itself]

Both get the same float32 weights and inputs, and each makes its own Hessian. Matrices: random weights, inputs with
correlated columns of very different sizes, and one column that is always zero; with --gguf also the query and down
projections of a layer of a model, with --shape a random one of that shape alone. A line for every set of knobs: the
share of equal codes and of codes that differ by one, whether scales and zeros agree, and both losses. --only: lines
that have every WORD in them. --itself: also the share of codes that GPTQModel shares with itself when it sees the same
documents in the reverse order. Ends with 1 where fewer than --least of the codes of a matrix are equal.

Why codes differ: both round in float32 and sum in different orders, so a weight that stands in the middle between two
levels may go to either, and what comes after it in its row follows. On a symmetric grid this is common: the least weight
-a of a group lies at -a/scale = -(2^bits - 1)/2, the middle, whenever its column is the first of a block. GPTQModel
differs from itself too, if less often: only its sums over documents are then others.

Made with GPTQModel 7.7.0, torch 2.15.0, numpy 2.4.6. GPTQModel needs no graphics card for this; where pip finds no wheels
for all that it depends on, `pip install --no-deps gptqmodel pypcre logbar tokenicer device-smi threadpoolctl defuser
datasets pyarrow dill pandas multiprocess xxhash torchao` beside torch and transformers is enough.
"""

import argparse
import itertools
import json
import pathlib
import subprocess
import sys
import tempfile
import time

import numpy as np
import torch
from gptqmodel import __version__ as version
from gptqmodel.quantization import QuantizeConfig
from gptqmodel.quantization.gptq import GPTQ


def with_gptqmodel(w, documents, job):
    """codes (out, in), scales and zeros (out, groups), g_idx (in), loss, seconds of Hessian and of the rest."""
    config = QuantizeConfig(
        bits=job["bits"],
        group_size=job["group"] or -1,
        sym=job["symmetric"],
        desc_act=job["act_order"],
        static_groups=job["static_groups"],
        act_group_aware=job["group_aware"],
        damp_percent=job["damp"],
        mse=job["mse"],
        fallback=None,
    )
    layer = torch.nn.Linear(w.shape[1], w.shape[0], bias=False)
    layer.weight.data = torch.from_numpy(w.copy())
    run = GPTQ(layer, config)
    run.quantizer.configure(perchannel=True)
    start = time.perf_counter()
    for x in documents:
        run.add_batch(torch.from_numpy(x)[None], None)
    middle = time.perf_counter()
    with torch.inference_mode():
        q, scales, zeros, g_idx, _, loss, *_ = run.quantize(blocksize=job["block"])
    end = time.perf_counter()
    scales, zeros, g_idx = scales.numpy(), zeros.numpy(), g_idx.numpy()
    codes = np.rint(q.numpy() / scales[:, g_idx]) + zeros[:, g_idx]
    tokens = sum(len(x) for x in documents)
    return codes.astype(int), scales, zeros, g_idx, loss * tokens, (middle - start, end - middle)


def with_bitlens(program, folder, job):
    answer = json.loads(subprocess.run([program], input=json.dumps(job) + "\n", text=True, capture_output=True, check=True).stdout)
    if "refused" in answer:
        sys.exit(answer["refused"])
    read = lambda name: np.load(folder / f"{name}.npy")
    return read("codes").astype(int), read("scales"), read("zeros"), read("g_idx"), answer["loss"], answer


def random_matrix(random, rows, cols):
    w = (random.standard_normal((rows, cols)) * 0.02).astype(np.float32)
    sizes = np.exp(random.standard_normal(cols)) * np.where(random.random(cols) < 0.01, 30, 1)
    mix = np.eye(cols) + random.standard_normal((cols, cols)) * 0.5 / np.sqrt(cols)
    documents = []
    for tokens in random.integers(20, 400, max(12, cols // 48)):  # some four tokens a column
        x = random.standard_normal((tokens, cols)) @ mix * sizes
        x[:, 7] = 0
        documents.append(x.astype(np.float32))
    return w, documents


def matrices(arguments, random):
    if arguments.shape:
        yield "random", *random_matrix(random, *map(int, arguments.shape.split("x")))
        return
    yield "random", *random_matrix(random, 192, 576)
    yield "random, a short last group", *random_matrix(random, 64, 400)
    if arguments.gguf:
        import gguf

        tensors = {t.name: t for t in gguf.GGUFReader(arguments.gguf).tensors}
        for name in ["blk.11.attn_q.weight", "blk.11.ffn_down.weight"]:
            t = tensors[name]
            w = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
            yield name, w, random_matrix(random, 1, w.shape[1])[1]


KNOBS = [
    ("unsorted", dict()),
    ("sorted", dict(act_order=True)),
    ("sorted, static groups", dict(act_order=True, static_groups=True)),
    ("group-aware", dict(group_aware=True)),
    ("sorted, mse 2.4", dict(act_order=True, mse=2.4)),
]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--gguf")
    parser.add_argument("--shape", metavar="ROWSxCOLUMNS")
    parser.add_argument("--least", type=float, default=0.999)
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--itself", action="store_true")
    arguments = parser.parse_args()
    print(f"GPTQModel {version}, torch {torch.__version__}, numpy {np.__version__}, seed {arguments.seed}")
    worst = 1.0
    for name, w, documents in matrices(arguments, np.random.default_rng(arguments.seed)):
        with tempfile.TemporaryDirectory() as folder:
            folder = pathlib.Path(folder)
            np.save(folder / "w.npy", w)
            for i, x in enumerate(documents):
                np.save(folder / f"x{i}.npy", x)
            for (knobs, changed), bits, symmetric in itertools.product(KNOBS, [3, 4], [True, False]):
                title = f"{name:26} {w.shape[0]:4} x {w.shape[1]:4}  {bits} bits {'sym ' if symmetric else 'asym'} {knobs:22}"
                if not all(word in title for word in arguments.only):
                    continue
                job = dict(
                    w=str(folder / "w.npy"), x=[str(folder / f"x{i}.npy") for i in range(len(documents))],
                    out=str(folder), bits=bits, group=64 if bits == 3 else 128, symmetric=symmetric, damp=0.01, block=128,
                    act_order=False, static_groups=False, group_aware=False, mse=0.0,
                ) | changed
                codes, scales, zeros, g_idx, loss, took = with_gptqmodel(w, documents, job)
                ours, our_scales, our_zeros, our_g_idx, our_loss, answer = with_bitlens(arguments.program, folder, job)
                if not np.array_equal(g_idx, our_g_idx):
                    sys.exit(f"{name}, {knobs}: other groups")
                equal = np.mean(codes == ours)
                one = np.mean(abs(codes - ours) == 1)
                moved = np.mean(abs(our_scales / scales - 1) < 1e-4)
                worst = min(worst, equal)
                itself = ""
                if arguments.itself:
                    again = with_gptqmodel(w, documents[::-1], job)[0]
                    itself = f" ({np.mean(codes == again):.5%} itself)"
                print(
                    f"{title} equal {equal:.5%}{itself}, by one {one:.5%}; scales {moved:.3%}, zeros {np.mean(zeros == our_zeros):.3%};"
                    f" loss {loss:.6g} {our_loss:.6g}; seconds {sum(took):.3f}"
                    f" {answer['factor_seconds'] + answer['quantize_seconds']:.3f}",
                    flush=True,
                )
    print(f"least share of equal codes: {worst:.5%}")
    sys.exit(worst < arguments.least)


if __name__ == "__main__":
    main()
