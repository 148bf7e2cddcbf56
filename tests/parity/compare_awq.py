#!/usr/bin/env python3
"""AWQ's procedure restated in float32 with torch, beside what bitlens made of the same model and token ids.

    compare_awq.py --model FOLDER --ids IDS.npy --quantized DIR [--layers N] [--threads N]

FOLDER is a Hugging Face folder in float32, IDS.npy rows of token ids (int32), DIR the folder that
`bitlens quantize --model FOLDER --methods awq3-g64 --calibration IDS.npy --out …` wrote; bits, group and knobs are
read from its manifest. Printed per layer: the ratios of both, the share of clips that are equal (told by the scales of
the groups, with bitlens' scales of channels applied in both), the share of equal codes, and seconds of the restatement.
Ends with 1 unless ratios are equal in at least 95 % of the inputs and neighbours in the rest, and clips in 99 %.

Written against torch 2.15.0 and transformers 5.23.0.
"""
import argparse
import json
import re
import sys
import time

import numpy
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

RATIOS = 20


def round_groups(w, bits, group, symmetric):
    """Q(w) of llm-awq, and AutoAWQ's for symmetric grids; also the scales of the groups."""
    rows = w.reshape(-1, group or w.shape[-1])
    if symmetric:
        most = 2 ** (bits - 1) - 1
        scale = rows.abs().amax(1, keepdim=True).clamp(min=1e-5) / most
        q = torch.clamp(torch.round(rows / scale), -most - 1, most) * scale
    else:
        most = 2**bits - 1
        lo, hi = rows.amin(1, keepdim=True), rows.amax(1, keepdim=True)
        scale = (hi - lo).clamp(min=1e-5) / most
        zero = (-torch.round(lo / scale)).clamp(0, most)
        q = (torch.clamp(torch.round(rows / scale) + zero, 0, most) - zero) * scale
    return q.reshape(w.shape), scale.reshape(w.shape[0], -1)


def scales_of(magnitudes, ratio):
    s = magnitudes.pow(ratio).clamp(min=1e-4)
    return s / (s.max() * s.min()).sqrt()


def search_ratio(linears, magnitudes, run, rounded):
    """The ratio with the smallest mean squared difference of what run() gives, and its loss."""
    full = run()
    weights = [linear.weight.data for linear in linears]
    best, least, losses = None, float("inf"), []
    for i in range(RATIOS):
        s = scales_of(magnitudes, i / RATIOS)
        for linear, w in zip(linears, weights):
            linear.weight.data = rounded(w * s) / s
        loss = (full - run()).float().pow(2).mean().item()
        losses.append(loss)
        if loss < least:
            best, least = i, loss
    for linear, w in zip(linears, weights):
        linear.weight.data = w
    if best is None:
        raise SystemExit("no ratio has a finite loss")
    return best, losses


def search_clips(w, x, bits, group, symmetric):
    """The largest |w| of every group that is used, (out, groups)."""
    group = group or w.shape[1]
    x = x.reshape(-1, x.shape[-1])
    x = x[:: max(1, x.shape[0] // 512)]
    x = x.reshape(1, x.shape[0], -1, group)
    batch = 256 if w.shape[0] % 256 == 0 else 64 if w.shape[0] % 64 == 0 else w.shape[0]
    best = []
    for rows in w.split(batch):
        rows = rows.reshape(rows.shape[0], 1, -1, group)
        largest = rows.abs().amax(-1, keepdim=True)
        found, least = largest.clone(), torch.full_like(largest, 1e9)
        full = (x * rows).sum(-1)
        for i in range(10):
            m = largest * (1 - i / 20)
            cut = torch.clamp(rows, -m, m)
            q, _ = round_groups(cut.reshape(rows.shape[0], -1), bits, group, symmetric)
            error = ((x * q.reshape(rows.shape)).sum(-1) - full).pow(2).mean(1).reshape(least.shape)
            better = error < least
            least = torch.where(better, error, least)
            found = torch.where(better, m, found)
        best.append(found.reshape(rows.shape[0], -1))
    return torch.cat(best)


class Catch:
    """Inputs of modules, and the arguments of attention."""

    def __init__(self, layer):
        self.x, self.arguments = {}, {}
        self.hooks = [
            layer.self_attn.register_forward_pre_hook(self.keep_arguments, with_kwargs=True),
            layer.mlp.register_forward_pre_hook(lambda m, a: self.x.update(mlp=a[0])),
            layer.self_attn.o_proj.register_forward_pre_hook(lambda m, a: self.x.update(o=a[0])),
            layer.mlp.down_proj.register_forward_pre_hook(lambda m, a: self.x.update(down=a[0])),
        ]

    def keep_arguments(self, module, args, kwargs):
        kwargs = dict(kwargs)
        self.x["attn"] = args[0] if args else kwargs.pop("hidden_states")
        self.arguments = kwargs

    def close(self):
        for hook in self.hooks:
            hook.remove()


def searches_of(layer, catch):
    """Of each input: its number, the linear layers that read it, what it was, and what runs to the inspected output."""
    attention, mlp, x = layer.self_attn, layer.mlp, catch.x
    return [
        (0, [attention.q_proj, attention.k_proj, attention.v_proj], x["attn"],
         lambda: attention(x["attn"], **catch.arguments)[0]),
        (1, [attention.o_proj], x["o"], lambda: attention.o_proj(x["o"])),
        (2, [mlp.gate_proj, mlp.up_proj], x["mlp"], lambda: mlp(x["mlp"])),
        (3, [mlp.down_proj], x["down"], lambda: mlp.down_proj(x["down"])),
    ]


def codes_of(file, name, bits, cols):
    """Codes of a stored matrix, as include/bitlens/formats/code_chunk.hpp lays 32 of them out."""
    stored = file.get_tensor(name + ".codes").numpy()
    chunks = stored.reshape(stored.shape[0], -1, 4 * bits)
    codes = numpy.zeros((*chunks.shape[:2], 32), numpy.uint8)
    first = done = 0
    for width in (8, 4, 2, 1):
        if not bits & width:
            continue
        part = chunks[:, :, first : first + 4 * width]
        if width == 1:
            part = numpy.unpackbits(part, axis=2, bitorder="little")
        else:
            shifts = range(0, 8, width)
            part = numpy.concatenate([part >> shift & (1 << width) - 1 for shift in shifts], axis=2)
        codes |= part << done
        first += 4 * width
        done += width
    return codes.reshape(stored.shape[0], -1)[:, :cols]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--quantized", required=True)
    parser.add_argument("--layers", type=int, default=10**9)
    parser.add_argument("--threads", type=int)
    parser.add_argument("--no-clips", action="store_true", help="of the searches, that of the ratios alone")
    options = parser.parse_args()
    if options.threads:
        torch.set_num_threads(options.threads)
    manifest = json.load(open(f"{options.quantized}/manifest.json", encoding="utf-8"))
    found = re.fullmatch(r"awq(\d)-(g(\d+)|row)(-sym)?(:.*)?", manifest["method"])
    if not found:
        raise SystemExit(f"{options.quantized}: the method is {manifest['method']}, awq is expected")
    bits, group, symmetric = int(found[1]), int(found[3] or 0), bool(found[4])
    clips = "clip=off" not in (found[5] or "")

    def rounded(w):
        return round_groups(w, bits, group, symmetric)[0]

    torch.set_grad_enabled(False)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model.eval()
    ids = torch.tensor(numpy.load(options.ids).astype(numpy.int64))
    layers = model.model.layers[: options.layers]
    states = {}

    class Stop(Exception):
        pass

    def stop(module, args, kwargs):
        states["x"] = args[0] if args else kwargs["hidden_states"]
        raise Stop

    per_layer = []  # what each block is called with beside its states

    def note(module, args, kwargs):
        per_layer.append({k: v for k, v in kwargs.items() if k != "hidden_states"})

    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    model.model(ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    hook = layers[0].register_forward_pre_hook(stop, with_kwargs=True)
    try:
        model.model(ids, use_cache=False)
    except Stop:
        pass
    hook.remove()
    x = states["x"]

    inputs = same = near = groups = groups_same = weights = codes_same = 0
    seconds = {"ratios": 0.0, "clips": 0.0}
    cpu = {"ratios": 0.0, "clips": 0.0}
    for k, layer in enumerate(layers):
        attention, mlp = layer.self_attn, layer.mlp
        catch = Catch(layer)
        out = layer(x, **per_layer[k])
        x = out[0] if isinstance(out, tuple) else out
        catch.close()
        file = safe_open(f"{options.quantized}/layer-{k:04}.safetensors", "pt")
        folds = [file.get_tensor(f"fold.{g}") if f"fold.{g}" in file.keys() else None for g in range(4)]

        jobs = searches_of(layer, catch)
        has_norm = hasattr(layer, "input_layernorm")
        line = []
        for g, linears, seen, run in jobs:
            if g == 1 and attention.v_proj.weight.shape != attention.o_proj.weight.shape:
                continue
            if g in (0, 2) and not has_norm:
                continue
            begin, cpu_begin = time.perf_counter(), time.process_time()
            magnitudes = seen.abs().reshape(-1, seen.shape[-1]).mean(0)
            best, losses = search_ratio(linears, magnitudes, run, rounded)
            seconds["ratios"] += time.perf_counter() - begin
            cpu["ratios"] += time.process_time() - cpu_begin
            if folds[g] is None:
                ours = 0
            else:
                of_ratio = [scales_of(magnitudes, i / RATIOS) for i in range(RATIOS)]
                far, ours = min(((s / folds[g]).log().abs().max().item(), i) for i, s in enumerate(of_ratio))
                if far > 1e-3:
                    raise SystemExit(f"layer {k}, input {g}: the fold is that of no ratio: off by {far:.2g}")
            inputs += 1
            same += ours == best
            near += abs(ours - best) <= 1
            line.append(f"{ours / RATIOS:.2f}/{best / RATIOS:.2f}")
            if ours != best:
                line[-1] += f" (losses {losses[ours]:.6g}, {losses[best]:.6g})"
        # Clips and codes, with the scales of channels that bitlens found.
        one = [torch.ones(1) if f is None else f for f in folds]
        for name, linear, g, seen, rows in [
            ("q_proj", attention.q_proj, 0, None, None),
            ("k_proj", attention.k_proj, 0, None, None),
            ("v_proj", attention.v_proj, 0, catch.x["attn"], folds[1]),
            ("o_proj", attention.o_proj, 1, catch.x["o"], None),
            ("gate_proj", mlp.gate_proj, 2, catch.x["mlp"], None),
            ("up_proj", mlp.up_proj, 2, catch.x["mlp"], folds[3]),
            ("down_proj", mlp.down_proj, 3, catch.x["down"], None),
        ]:
            w = linear.weight.data * one[g]
            if rows is not None:
                w = w / rows.reshape(-1, 1)
            stored = file.get_tensor(name + ".scales")
            if seen is not None and clips and not options.no_clips:
                begin, cpu_begin = time.perf_counter(), time.process_time()
                m = search_clips(w, seen / one[g], bits, group, symmetric)
                seconds["clips"] += time.perf_counter() - begin
                cpu["clips"] += time.process_time() - cpu_begin
                width = group or w.shape[1]
                m = m.repeat_interleave(width, 1)[:, : w.shape[1]]
                w = torch.clamp(w, -m, m)
            q, scale = round_groups(w, bits, group, symmetric)
            equal = ((scale / stored).log().abs() < 1e-3) | (scale == stored)
            if seen is not None and clips and not options.no_clips:
                groups += equal.numel()
                groups_same += equal.sum().item()
            codes = codes_of(file, name, bits, w.shape[1]).astype(numpy.float32)
            zeros = 2.0 ** (bits - 1) if symmetric else file.get_tensor(name + ".zeros").numpy().astype(numpy.float32)
            spread = stored.repeat_interleave(group or w.shape[1], 1).numpy()
            if not symmetric:
                zeros = numpy.repeat(zeros, group or w.shape[1], 1)
            difference = numpy.abs(spread * (codes - zeros) - q.numpy())
            weights += codes.size
            codes_same += (difference < 1e-3 * spread).sum()
        print(f"layer {k}: ratios (bitlens/torch) {', '.join(line)}", flush=True)
    print(
        f"ratios: {same} of {inputs} equal, {near} equal or neighbours; clips: {groups_same} of {groups} equal"
        f" ({100 * groups_same / max(1, groups):.3f} %); weights: {100 * codes_same / weights:.3f} % equal"
    )
    print(
        f"torch, {torch.get_num_threads()} threads: ratios {seconds['ratios']:.1f} s ({cpu['ratios']:.1f} s of all"
        f" threads), clips {seconds['clips']:.1f} s ({cpu['clips']:.1f} s)"
    )
    return 0 if same >= 0.95 * inputs and near == inputs and groups_same >= 0.99 * groups else 1


if __name__ == "__main__":
    sys.exit(main())
