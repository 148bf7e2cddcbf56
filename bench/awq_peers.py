#!/usr/bin/env python3
"""What bench_awq measures, by PyTorch in float32: AWQ of one block as tests/parity/compare_awq.py restates it, beside
bench_awq on as many threads, in turn.

    python3 bench/awq_peers.py --bitlens build/release/bin/bench_awq [--documents 64] [--rounds 1] [WORD]...

WORD: part of a model's name. Each line is the best of the rounds, since machines are shared and noisy. PyTorch's
statistics are a pass through the block that keeps the inputs of its linear layers and the means of their magnitudes;
its scales are the outputs of attention, MLP and W_down at 20 ratios, of all documents in one batch; its clips include
the rounding. Of all together also the seconds of cores, which others on the machine change less. Peers: pip install
torch transformers numpy safetensors. Made with torch 2.15.0, transformers 5.23.0.
"""

import argparse
import pathlib
import re
import resource
import subprocess
import sys
import time

import torch
from transformers import AutoModelForCausalLM, LlamaConfig

sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "parity"))
import compare_awq  # noqa: E402

BITS, GROUP, TOKENS = 3, 64, 512
SHAPES = [("SmolLM2-135M", 576, 9, 3, 1536), ("Qwen2.5-0.5B", 896, 14, 2, 4864)]


def random_block(width, heads, kv_heads, ffn_width):
    config = LlamaConfig(
        hidden_size=width, num_attention_heads=heads, num_key_value_heads=kv_heads, intermediate_size=ffn_width,
        num_hidden_layers=1, vocab_size=4,
    )
    model = AutoModelForCausalLM.from_config(config, dtype=torch.float32).model.eval()
    for w in model.layers[0].parameters():
        w.data = torch.randn(w.shape) / w.shape[1] ** 0.5 if w.dim() == 2 else 1 + 0.1 * torch.randn(w.shape)
    return model


def arguments_of(model, x):
    """What the block is called with beside its states."""
    found = {}
    hook = model.layers[0].register_forward_pre_hook(
        lambda module, args, kwargs: found.update({k: v for k, v in kwargs.items() if k != "hidden_states"}),
        with_kwargs=True,
    )
    model(inputs_embeds=x[:1], use_cache=False)
    hook.remove()
    return found


def seconds_of(f):
    start = time.perf_counter()
    result = f()
    return result, time.perf_counter() - start


def cpu_seconds():
    return resource.getrusage(resource.RUSAGE_SELF).ru_utime  # as bench_awq counts them


def with_torch(model, x):
    layer, arguments = model.layers[0], arguments_of(model, x)
    core_start = cpu_seconds()

    def look():
        catch = compare_awq.Catch(layer)
        layer(x, **arguments)
        catch.close()
        return catch, {name: seen.abs().reshape(-1, seen.shape[-1]).mean(0) for name, seen in catch.x.items()}

    def rounded(w):
        return compare_awq.round_groups(w, BITS, GROUP, False)[0]

    (catch, magnitudes), statistics = seconds_of(look)
    names = ["attn", "o", "mlp", "down"]

    def search():
        found = [torch.ones(1)] * 4
        for g, linears, _, run in compare_awq.searches_of(layer, catch):
            if g != 1:  # queries are grouped
                best, _ = compare_awq.search_ratio(linears, magnitudes[names[g]], run, rounded)
                found[g] = compare_awq.scales_of(magnitudes[names[g]], best / compare_awq.RATIOS)
        return found

    found, scales = seconds_of(search)

    def clip():
        for g, linears, seen, _ in compare_awq.searches_of(layer, catch):
            for linear in linears:
                w = linear.weight.data * found[g]
                if linear is layer.mlp.up_proj:
                    w = w / found[3].reshape(-1, 1)
                if linear not in (layer.self_attn.q_proj, layer.self_attn.k_proj):
                    m = compare_awq.search_clips(w, seen / found[g], BITS, GROUP, False).repeat_interleave(GROUP, 1)
                    w = torch.clamp(w, -m, m)
                rounded(w)

    _, clips = seconds_of(clip)
    core_seconds = cpu_seconds() - core_start
    return {"statistics": statistics, "scales": scales, "clips": clips, "all": statistics + scales + clips,
            "all, core seconds": core_seconds}


def with_bitlens(program, documents, name):
    out = subprocess.run([program, str(documents), name], check=True, capture_output=True, text=True).stdout
    print(out, end="", flush=True)
    found = {}
    for phase, took, cores in re.findall(r"tokens  (.*?) +([\d.]+) s .*?(?:([\d.]+) core seconds)?$", out, re.M):
        found[phase] = float(took)
        if cores:
            found[phase + ", core seconds"] = float(cores)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bitlens", required=True, help="the program bench_awq")
    parser.add_argument("--documents", type=int, default=64)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument("words", nargs="*", metavar="WORD")
    a = parser.parse_args()
    torch.manual_seed(1)
    torch.set_grad_enabled(False)
    for name, *shape in SHAPES:
        if a.words and not any(word in name for word in a.words):
            continue
        model = random_block(*shape)
        x = torch.randn(a.documents, TOKENS, shape[0]) * torch.randn(shape[0]).exp()
        ours, torchs = {}, {}
        for _ in range(a.rounds):
            for best, found in (ours, with_bitlens(a.bitlens, a.documents, name)), (torchs, with_torch(model, x)):
                best.update({phase: min(took, best.get(phase, took)) for phase, took in found.items()})
        print(f"{name}, {a.documents} x {TOKENS} tokens, {torch.get_num_threads()} threads of PyTorch")
        for phase, took in ours.items():
            peer = torchs[phase.replace(", all ratios", "")]  # PyTorch runs all
            print(f"  {phase:30} {took:9.3f} s   PyTorch {peer:9.3f} s   {peer / took:6.2f} times", flush=True)


if __name__ == "__main__":
    main()
