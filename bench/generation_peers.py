#!/usr/bin/env python3
"""Tokens a second that a model of the shapes of Qwen2.5-1.5B generates: bitlens, transformers and llama.cpp, in turn.

    python3 bench/generation_peers.py --bitlens build/release/bin/bench_generation [--words nf4 bf16 ...]
        [--layers 28] [--dtypes float32 bfloat16] [--llama-bench PATH --llama-models MODEL-Q4_0.gguf ...]

bitlens and transformers run random weights; pip install torch transformers. llama-bench is that of llama.cpp
(https://github.com/ggml-org/llama.cpp) or of ik_llama.cpp (https://github.com/ikawrakow/ik_llama.cpp), built with
cmake -DGGML_NATIVE=ON, and its models are files of Qwen2.5-1.5B. "one text" of bitlens stands beside transformers'
generate of one text and llama-bench's tg, "prompt" beside its pp. Each line is the best of several rounds in which all
take turns, since machines are shared and noisy.
"""

import argparse
import json
import pathlib
import re
import subprocess
import time

import torch
from transformers import AutoModelForCausalLM, Qwen2Config

PROMPT, TOKENS, TEXTS = 256, 12, (1, 16)


def random_model(layers, dtype):
    config = Qwen2Config(vocab_size=151936, hidden_size=1536, intermediate_size=8960, num_hidden_layers=layers,
                         num_attention_heads=12, num_key_value_heads=2, max_position_embeddings=4096,
                         rms_norm_eps=1e-6, tie_word_embeddings=True)
    return AutoModelForCausalLM.from_config(config, dtype=dtype).eval()


def seconds(work):
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


def transformers_rates(name, model):
    generator = torch.Generator().manual_seed(1)

    def generate(texts, prompt, tokens):
        ids = torch.randint(0, model.config.vocab_size, (texts, prompt), generator=generator)
        model.generate(ids, attention_mask=torch.ones_like(ids), do_sample=False, min_new_tokens=tokens,
                       max_new_tokens=tokens, pad_token_id=0)

    rates = {}
    for texts in TEXTS:
        begin = min(seconds(lambda: generate(texts, 4, 1)) for _ in range(2))
        rates[f"{name}, {texts} text{'s' if texts > 1 else ''}"] = \
            texts * TOKENS / (seconds(lambda: generate(texts, 4, 1 + TOKENS)) - begin)
    rates[f"{name}, prompt of {PROMPT}"] = PROMPT / seconds(lambda: generate(1, PROMPT, 1))
    return rates


def bitlens_rates(program, layers, words):
    out = subprocess.run([program, "--layers", str(layers), *words], check=True, capture_output=True, text=True).stdout
    rates = {f"bitlens {name}, 1 text": float(rate)
             for name, rate in re.findall(r"^(\S+) +one text +([\d.]+) tokens/s", out, re.M)}
    rates |= {f"bitlens {name}, {texts} texts": float(rate)
              for name, texts, rate in re.findall(r"^(\S+) +(\d+) texts +([\d.]+) tokens/s", out, re.M)}
    rates |= {f"bitlens {name}, prompt of {PROMPT}": float(rate)
              for name, rate in re.findall(r"^(\S+) +prompt of \d+: +([\d.]+) tokens/s", out, re.M)}
    return rates


def llama_rates(program, model):
    out = subprocess.run([program, "-m", model, "-p", str(PROMPT), "-n", str(TOKENS), "-t",
                          str(torch.get_num_threads()), "-r", "3", "-o", "json"],
                         check=True, capture_output=True, text=True).stdout
    name = f"llama-bench {model.stem}"
    return {f"{name}, {'1 text' if test['n_gen'] else 'prompt of ' + str(test['n_prompt'])}": test["avg_ts"]
            for test in json.loads(out)}


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bitlens", required=True, help="the program bench_generation")
    parser.add_argument("--words", nargs="*", default=[], help="parts of formats' names; all formats by default")
    parser.add_argument("--layers", type=int, default=28, help="of the random models")
    parser.add_argument("--dtypes", nargs="*", default=["float32", "bfloat16"], choices=["float32", "bfloat16"])
    parser.add_argument("--llama-bench")
    parser.add_argument("--llama-models", nargs="*", type=pathlib.Path, default=[])
    parser.add_argument("--rounds", type=int, default=2)
    a = parser.parse_args()
    if a.llama_models and not a.llama_bench:
        parser.error("--llama-models are run by --llama-bench")
    best = {}
    peers = {f"transformers {name}": random_model(a.layers, getattr(torch, name)) for name in a.dtypes}
    for _ in range(a.rounds):
        rates = bitlens_rates(a.bitlens, a.layers, a.words)
        for name, model in peers.items():
            rates |= transformers_rates(name, model)
        for model in a.llama_models:
            rates |= llama_rates(a.llama_bench, model)
        best = {name: max(rate, best.get(name, 0)) for name, rate in rates.items()}
    for name, rate in best.items():
        print(f"{name:58} {rate:8.2f} tokens/s")


if __name__ == "__main__":
    main()
