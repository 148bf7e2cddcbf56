#!/usr/bin/env python3
"""Tokens a second that a model is scored with: bitlens, Hugging Face transformers and llama.cpp, in turn.

    python3 bench/scoring_peers.py --model FOLDER --bitlens build/release/bin/bench_scoring [--llama-bench PATH
        --llama-model MODEL-F32.gguf]

FOLDER is a Hugging Face checkpoint; tests/parity/compare_with_transformers.py --save-folder makes one of a GGUF file,
whose weights transformers would otherwise keep packed. Peers: pip install torch transformers; llama.cpp from
https://github.com/ggml-org/llama.cpp, built with cmake -DGGML_NATIVE=ON (llama-bench, and a float32 copy of a GGUF
file by llama-quantize --allow-requantize IN OUT F32).
Rows of 512 ids; transformers scores one row at a time, its loss included; llama-bench processes prompts of 512 ids,
without any loss. Each line is the best of several rounds in which all take turns, since machines are shared and noisy.
"""

import argparse
import pathlib
import re
import subprocess
import time

import torch
from transformers import AutoModelForCausalLM

TOKENS = 512


def transformers_rate(model, rows):
    ids = torch.randint(0, model.config.vocab_size, (rows, TOKENS), generator=torch.Generator().manual_seed(1))
    start = time.perf_counter()
    with torch.no_grad():
        for row in ids:
            logits = model(row[None]).logits[0, :-1].float()
            torch.nn.functional.cross_entropy(logits, row[1:])
    return rows * TOKENS / (time.perf_counter() - start)


def bitlens_rates(program, model, words):
    out = subprocess.run([program, model, *words], check=True, capture_output=True, text=True).stdout
    return {f"bitlens, {name}": float(rate) for name, rate in re.findall(r"^(\S.*?) +(\d+) tokens/s", out, re.M)}


def llama_rate(program, model):
    out = subprocess.run([program, "-m", model, "-p", str(TOKENS), "-n", "0", "-b", str(TOKENS), "-ub", str(TOKENS),
                          "-t", str(torch.get_num_threads()), "-r", "3", "-o", "json"],
                         check=True, capture_output=True, text=True).stdout
    return float(re.search(r'"avg_ts": ([\d.]+)', out)[1])


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--model", required=True, type=pathlib.Path)
    parser.add_argument("--bitlens", required=True, help="the program bench_scoring")
    parser.add_argument("--words", nargs="+", default=["float32, full", "AMX tiles), full"], help="lines of bench_scoring")
    parser.add_argument("--llama-bench")
    parser.add_argument("--llama-model", type=pathlib.Path)
    parser.add_argument("--rows", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    peers = {f"transformers, {name}": AutoModelForCausalLM.from_pretrained(a.model, dtype=dtype).eval()
             for name, dtype in (("float32", torch.float32), ("bf16", torch.bfloat16))}
    best = {}
    for _ in range(a.rounds):
        rates = bitlens_rates(a.bitlens, a.model, a.words)
        rates |= {name: transformers_rate(model, a.rows) for name, model in peers.items()}
        if a.llama_bench:
            rates[f"llama.cpp, {a.llama_model.name}"] = llama_rate(a.llama_bench, a.llama_model)
        best = {name: max(rate, best.get(name, 0)) for name, rate in rates.items()}
    for name, rate in best.items():
        print(f"{name:58} {rate:8.0f} tokens/s")


if __name__ == "__main__":
    main()
