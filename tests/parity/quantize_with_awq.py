#!/usr/bin/env python3
"""A whole model by AWQ's procedure restated in float32 with torch, beside what bitlens makes of it on the same ids.

    python3 quantize_with_awq.py --program build/release/bin/bitlens --model HF --ids IDS.npy --text held-out.txt
                                 --out DIR [--bits 3] [--group 64] [--windows 10] [--window 512] [--threads 2]

HF is a Hugging Face folder in float32, IDS.npy rows of token ids (int32). Block after block, each behind full ones: the
scales of all inputs, taken into the norm or the rows before them, then clips, then rounding; compare_awq.py has the
searches. DIR gets `restated`, the rounded weights and scaled norms as an ordinary folder in float32; `bitlens`, what
`bitlens quantize --methods awq3-g64` makes of the same ids, of which there are seconds unless it is there already; and
`held-out.txt`, the windows of the text on which `bitlens perplexity` measures both.

Printed per layer: the ratios of both; then, of matrices whose channels are scaled by the same ratios, groups whose
clips are equal (told by the groups' scales) and the share of equal weights. Then losses over the full model's, beside
round to nearest, and seconds of both. Ends with 1 where the error of bitlens is more than 2 % above the restatement's,
or where one of them is not below that of rounding to nearest.

Why clips differ: a group that is cut at both ends has the range -m ... m, whose zero lies half-way between two codes,
so that the last bit of m decides where it falls, and with it how good that clip is. Here both have scales of channels
of their own, equal but for their last bits; compare_awq.py searches both clips in the same ones.

Made with torch 2.15.0, transformers 5.23.0. Where other programs run on the same cores, set OMP_WAIT_POLICY=passive.
"""
import argparse
import json
import pathlib
import resource
import subprocess
import sys
import time

import numpy
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from compare_awq import (
    INPUTS,
    RATIOS,
    RatioCount,
    StoredLayer,
    Stopwatch,
    blocks_of,
    clipped,
    is_scaled,
    matrices_of,
    round_groups,
    scaled,
    scales_of,
    search_ratio,
    searches_of,
)


def scale_norm(norm, fold, offset):
    """What the norm gives, divided by the scales. It multiplies with offset + its weight."""
    norm.weight.data = (norm.weight.data + offset) / fold - offset
    if getattr(norm, "bias", None) is not None:
        norm.bias.data = norm.bias.data / fold


def shorter_ends(w, group):
    """The smaller one of max w and −min w of every group: both ends are cut of a range of less than twice that."""
    rows = w.reshape(w.shape[0], -1, group)
    return torch.minimum(rows.amax(-1), -rows.amin(-1))


def quantize(model, ids, bits, group, watch):
    """Weights of the model ← the restatement's. Returns of each layer {input: (ratio, losses, mean |input|)}, and
    {matrix: (scales of its groups, their shorter ends)}."""

    def rounded(w):
        return round_groups(w, bits, group, False)[0]

    found = []
    offset = int(model.config.model_type.startswith("gemma"))
    with watch("all"):
        for k, (layer, x, arguments, out, catch) in enumerate(blocks_of(model, ids)):
            searched, folds = {}, [None] * 4
            with watch("ratios"):
                for g, linears, seen, run in searches_of(layer, catch):
                    if is_scaled(layer, g):
                        magnitudes = seen.abs().reshape(-1, seen.shape[-1]).mean(0)
                        best, losses = search_ratio(linears, magnitudes, run, rounded)
                        searched[g] = best, losses, magnitudes
                        folds[g] = scales_of(magnitudes, best / RATIOS)
            if folds[0] is not None:
                scale_norm(layer.input_layernorm, folds[0], offset)
            if folds[2] is not None:
                norm = getattr(layer, "pre_feedforward_layernorm", layer.post_attention_layernorm)
                scale_norm(norm, folds[2], offset)
            for _, linear, g, _, rows in matrices_of(layer):
                linear.weight.data = scaled(linear.weight.data, folds, g, rows)
                if linear.bias is not None and rows is not None and folds[rows] is not None:
                    linear.bias.data = linear.bias.data / folds[rows]
            again = layer(x, **arguments)
            again = again[0] if isinstance(again, tuple) else again
            off = ((again - out).abs().max() / out.abs().max()).item()
            if not off < 1e-4:
                raise SystemExit(f"layer {k}: scaled, it gives something else: off by {off:.2g} of its largest output")
            grids = {}
            for name, linear, g, is_clipped, _ in matrices_of(layer):
                w = linear.weight.data
                if is_clipped:
                    with watch("clips"):
                        w = clipped(w, catch.x[INPUTS[g]], folds[g], bits, group, False)
                q, scale = round_groups(w, bits, group, False)
                grids[name] = scale, shorter_ends(linear.weight.data, group)
                linear.weight.data = q
            found.append((searched, grids))
            print(f"layer {k + 1} of {len(model.model.layers)}", file=sys.stderr, flush=True)
    return found


def compare(model, found, folder, bits, group):
    """Prints what is equal in the folder of bitlens and in the restatement."""
    ratios = RatioCount()
    left_out = ties = 0
    total = numpy.zeros(4, int)  # clips, equal clips, weights, equal weights
    for k, (layer, (searched, grids)) in enumerate(zip(model.model.layers, found)):
        stored = StoredLayer(folder, k, bits, group, False)
        line, other = [], set()
        for g, (best, losses, magnitudes) in searched.items():
            ours = stored.ratio(g, magnitudes)
            line.append(ratios.add(ours, best, losses))
            if ours != best:
                other.add(g)
        counts = numpy.zeros(4, int)
        for name, linear, g, is_clipped, rows in matrices_of(layer):
            if g in other or rows in other:
                left_out += 1
                continue
            scale, shorter = grids[name]
            groups, weights = stored.same(name, linear.weight.data, scale)
            counts += [groups.numel() * is_clipped, groups.sum().item() * is_clipped, weights.size, weights.sum()]
            narrower = torch.minimum(scale, stored.scales(name)) * (2**bits - 1)
            ties += (~groups & (narrower < 2 * shorter * (1 - 1e-3))).sum().item()
        total += counts
        print(
            f"layer {k}: ratios (bitlens/torch) {', '.join(line)}; clips {counts[1]} of {counts[0]},"
            f" weights {counts[3] / max(1, counts[2]):.3%} equal"
        )
    print(
        f"{ratios}; {left_out} matrices are in the scales of other"
        f" ratios; of the rest, clips: {total[1]} of {total[0]} equal ({total[1] / max(1, total[0]):.3%}), in {ties} of"
        f" the {total[0] - total[1]} others both ends are cut; weights: {total[3] / max(1, total[2]):.3%}"
    )


def run(program, *words):
    return subprocess.run([program, *map(str, words)], check=True, stdout=subprocess.PIPE, text=True).stdout


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", required=True)
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--text", required=True)
    parser.add_argument("--out", required=True, type=pathlib.Path)
    parser.add_argument("--bits", type=int, default=3)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--windows", type=int, default=10)
    parser.add_argument("--window", type=int, default=512)
    parser.add_argument("--threads", type=int, default=2)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    torch.set_grad_enabled(False)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    text = open(options.text, encoding="utf-8").read()
    ends = tokenizer(text, return_offsets_mapping=True)["offset_mapping"]
    last = options.windows * options.window + 16  # of which perplexity leaves out those that cutting may change
    if len(ends) <= last:
        parser.error(f"{options.text}: {len(ends)} tokens, more than {last} are expected")
    options.out.mkdir(exist_ok=True)
    (options.out / "held-out.txt").write_text(text[: ends[last][0]], encoding="utf-8")

    method = f"awq{options.bits}-g{options.group}"
    is_new = not (options.out / "bitlens" / method / "manifest.json").exists()
    begin, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    run(options.program, "quantize", "--model", options.model, "--methods", method, "--calibration", options.ids,
        "--threads", options.threads, "--out", options.out / "bitlens")
    wall, after = time.perf_counter() - begin, resource.getrusage(resource.RUSAGE_CHILDREN)
    cpu = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime

    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32).eval()
    watch = Stopwatch()
    ids = torch.tensor(numpy.load(options.ids).astype(numpy.int64))
    found = quantize(model, ids, options.bits, options.group, watch)
    model.save_pretrained(options.out / "restated")
    tokenizer.save_pretrained(options.out / "restated")
    compare(model, found, options.out / "bitlens" / method, options.bits, options.group)

    def losses(folder, *methods):
        words = ["--model", folder, "--text", options.out / "held-out.txt", "--window", options.window, "--json"]
        answer = json.loads(run(options.program, "perplexity", *words, "--threads", options.threads, *methods))
        if answer["windows"] != options.windows:
            raise SystemExit(f"{folder}: {answer['windows']} windows, {options.windows} are expected")
        return {row["name"]: row["nll"] for row in answer["methods"]}

    plain = f"rtn{options.bits}-g{options.group}"
    of_model = losses(options.model, "--methods", f"bitlens={options.out / 'bitlens' / method},{plain}")
    full, ours, nearest = of_model["full"], of_model["bitlens"], of_model[plain]
    theirs = losses(options.out / "restated")["full"]
    print(
        f"mean loss of {options.windows} windows of {options.window} tokens: full {full:.5f}, bitlens {ours:.5f}, torch"
        f" {theirs:.5f}, {plain} {nearest:.5f}"
    )
    print(
        f"error over the full model: bitlens {ours - full:.5f}, torch {theirs - full:.5f}, {plain} {nearest - full:.5f};"
        f" bitlens over torch {(ours - full) / (theirs - full):.4f}"
    )
    if is_new:
        print(
            f"bitlens quantize, {options.threads} threads: {wall:.1f} s ({cpu:.1f} s of all threads), reading the model"
            " and writing included"
        )
    print(watch)
    return 0 if ours - theirs <= 0.02 * abs(theirs - full) and max(ours, theirs) < nearest else 1


if __name__ == "__main__":
    sys.exit(main())
