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
import contextlib
import json
import re
import sys
import time

import numpy
import torch
from safetensors import safe_open
from transformers import AutoModelForCausalLM

RATIOS = 20
INPUTS = ["attn", "o", "mlp", "down"]  # by their numbers


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
    x = x.reshape(x.shape[0], -1, group).transpose(0, 1)
    best = []
    for rows in w.split(256):
        rows = rows.reshape(rows.shape[0], -1, group)
        largest = rows.abs().amax(-1, keepdim=True)
        found, least = largest.clone(), torch.full_like(largest, 1e9)
        for i in range(10):
            m = largest * (1 - i / 20)
            q, _ = round_groups(torch.clamp(rows, -m, m), bits, group, symmetric)
            change = x @ (q - rows).permute(1, 2, 0)  # of the outputs, (groups, tokens, rows)
            error = change.pow(2).mean(1).T.unsqueeze(-1)
            better = error < least
            least = torch.where(better, error, least)
            found = torch.where(better, m, found)
        best.append(found.squeeze(-1))
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


def blocks_of(model, ids, count=None):
    """Of each of the first blocks, behind full ones: itself, its states and the other arguments of its call, what it
    gives, and the inputs that it was seen with."""
    layers = model.model.layers[:count]
    first, arguments = [], []

    def note(module, args, kwargs):
        kwargs = dict(kwargs)
        states = args[0] if args else kwargs.pop("hidden_states")
        if not arguments:
            first.append(states)
        arguments.append(kwargs)

    hooks = [layer.register_forward_pre_hook(note, with_kwargs=True) for layer in layers]
    model.model(ids, use_cache=False)
    for hook in hooks:
        hook.remove()
    x = first.pop()
    for layer, kwargs in zip(layers, arguments):
        catch = Catch(layer)
        out = layer(x, **kwargs)
        out = out[0] if isinstance(out, tuple) else out
        catch.close()
        yield layer, x, kwargs, out, catch
        x = out


def is_scaled(layer, g):
    """Whether something before input g takes the inverse of its scales: a norm, or rows of v that no heads share."""
    if g == 1:
        return layer.self_attn.v_proj.weight.shape == layer.self_attn.o_proj.weight.shape
    return g == 3 or hasattr(layer, "input_layernorm")


def matrices_of(layer):
    """(name, linear layer, number of its input, whether its groups are clipped, number of the input that its rows give
    if they do)."""
    attention, mlp = layer.self_attn, layer.mlp
    return [
        ("q_proj", attention.q_proj, 0, False, None),
        ("k_proj", attention.k_proj, 0, False, None),
        ("v_proj", attention.v_proj, 0, True, 1),
        ("o_proj", attention.o_proj, 1, True, None),
        ("gate_proj", mlp.gate_proj, 2, True, None),
        ("up_proj", mlp.up_proj, 2, True, 3),
        ("down_proj", mlp.down_proj, 3, True, None),
    ]


def scaled(w, folds, of_input, of_rows):
    """w in the scales of channels that were found for its input and for what it gives."""
    if folds[of_input] is not None:
        w = w * folds[of_input]
    if of_rows is not None and folds[of_rows] is not None:
        w = w / folds[of_rows].reshape(-1, 1)
    return w


def clipped(w, x, fold, bits, group, symmetric):
    """w within the clips that are found on the input x of its unscaled columns."""
    m = search_clips(w, x if fold is None else x / fold, bits, group, symmetric)
    m = m.repeat_interleave(group or w.shape[1], 1)[:, : w.shape[1]]
    return torch.clamp(w, -m, m)


class StoredLayer:
    """What bitlens made of a layer."""

    def __init__(self, folder, k, bits, group, symmetric):
        self.file = safe_open(f"{folder}/layer-{k:04}.safetensors", "pt")
        self.bits, self.group, self.symmetric, self.layer = bits, group, symmetric, k
        self.folds = [self.file.get_tensor(f"fold.{g}") if f"fold.{g}" in self.file.keys() else None for g in range(4)]

    def ratio(self, g, magnitudes):
        """Which of the ratios gave the scales of input g."""
        if self.folds[g] is None:
            return 0
        every = [scales_of(magnitudes, i / RATIOS) for i in range(RATIOS)]
        far, ratio = min(((s / self.folds[g]).log().abs().max().item(), i) for i, s in enumerate(every))
        if far > 1e-3:
            raise SystemExit(f"layer {self.layer}, input {g}: the fold is that of no ratio: off by {far:.2g}")
        return ratio

    def scales(self, name):
        return self.file.get_tensor(name + ".scales")

    def same(self, name, q, scale):
        """Of a matrix: which groups have the scales `scale`, and which weights are those of q."""
        stored = self.scales(name)
        groups = ((scale / stored).log().abs() < 1e-3) | (scale == stored)
        codes = codes_of(self.file, name, self.bits, q.shape[1]).astype(numpy.float32)
        width = self.group or q.shape[1]
        spread = numpy.repeat(stored.numpy(), width, 1)
        if self.symmetric:
            zeros = 2.0 ** (self.bits - 1)
        else:
            zeros = numpy.repeat(self.file.get_tensor(name + ".zeros").numpy().astype(numpy.float32), width, 1)
        weights = numpy.abs(spread * (codes - zeros) - q.numpy()) < 1e-3 * spread
        return groups, weights


class RatioCount:
    """Ratios of bitlens beside those of the restatement."""

    def __init__(self):
        self.inputs = self.same = self.near = 0

    def add(self, ours, best, losses):
        """One more input, as text: both ratios, and what each loses where they differ."""
        self.inputs += 1
        self.same += ours == best
        self.near += abs(ours - best) <= 1
        text = f"{ours / RATIOS:.2f}/{best / RATIOS:.2f}"
        return text if ours == best else f"{text} (losses {losses[ours]:.6g}, {losses[best]:.6g})"

    def __str__(self):
        return f"ratios: {self.same} of {self.inputs} equal, {self.near} equal or neighbours"


class Stopwatch:
    """Seconds of the clock and of all threads, by what they were spent on."""

    def __init__(self):
        self.spent = {}

    @contextlib.contextmanager
    def __call__(self, what):
        wall, cpu = time.perf_counter(), time.process_time()
        yield
        before = self.spent.get(what, (0, 0))
        self.spent[what] = before[0] + time.perf_counter() - wall, before[1] + time.process_time() - cpu

    def __str__(self):
        spent = [f"{what} {wall:.1f} s ({cpu:.1f} s of all threads)" for what, (wall, cpu) in self.spent.items()]
        return f"torch, {torch.get_num_threads()} threads: {', '.join(spent)}"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--ids", required=True)
    parser.add_argument("--quantized", required=True)
    parser.add_argument("--layers", type=int)
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
    clips = "clip=off" not in (found[5] or "") and not options.no_clips

    def rounded(w):
        return round_groups(w, bits, group, symmetric)[0]

    torch.set_grad_enabled(False)
    model = AutoModelForCausalLM.from_pretrained(options.model, dtype=torch.float32)
    model.eval()
    ids = torch.tensor(numpy.load(options.ids).astype(numpy.int64))
    ratios = RatioCount()
    groups = groups_same = weights = codes_same = 0
    watch = Stopwatch()
    for k, (layer, _, _, _, catch) in enumerate(blocks_of(model, ids, options.layers)):
        stored = StoredLayer(options.quantized, k, bits, group, symmetric)
        line = []
        for g, linears, seen, run in searches_of(layer, catch):
            if not is_scaled(layer, g):
                continue
            with watch("ratios"):
                magnitudes = seen.abs().reshape(-1, seen.shape[-1]).mean(0)
                best, losses = search_ratio(linears, magnitudes, run, rounded)
            line.append(ratios.add(stored.ratio(g, magnitudes), best, losses))
        # Clips and codes, with the scales of channels that bitlens found.
        for name, linear, g, is_clipped, rows in matrices_of(layer):
            w = scaled(linear.weight.data, stored.folds, g, rows)
            if is_clipped and clips:
                with watch("clips"):
                    w = clipped(w, catch.x[INPUTS[g]], stored.folds[g], bits, group, symmetric)
            q, scale = round_groups(w, bits, group, symmetric)
            equal_groups, equal_weights = stored.same(name, q, scale)
            if is_clipped and clips:
                groups += scale.numel()
                groups_same += equal_groups.sum().item()
            weights += w.numel()
            codes_same += equal_weights.sum()
        print(f"layer {k}: ratios (bitlens/torch) {', '.join(line)}", flush=True)
    print(
        f"{ratios}; clips: {groups_same} of {groups} equal"
        f" ({100 * groups_same / max(1, groups):.3f} %); weights: {100 * codes_same / weights:.3f} % equal"
    )
    print(watch)
    return 0 if ratios.same >= 0.95 * ratios.inputs and ratios.near == ratios.inputs and groups_same >= 0.99 * groups else 1


if __name__ == "__main__":
    sys.exit(main())
