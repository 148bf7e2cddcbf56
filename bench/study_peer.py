#!/usr/bin/env python3
"""The study once more, written with Hugging Face transformers in bf16: how long some of its rows take, and its losses.

    python3 bench/study_peer.py --model FOLDER --run RUN [--rows 4]

FOLDER is the run's checkpoint as a Hugging Face folder (tests/parity/compare_with_transformers.py --save-folder makes
one of a GGUF file). Takes token ids and methods from RUN, keeps the full and every quantized model in memory, and
computes what `bitlens study` keeps of a row: losses, KL, most likely tokens and their margins, norms and kurtosis of the
residual stream, and the difference of the MLP outputs. Beside the time stand the mean losses of those rows and RUN's.

Made with torch 2.15.0, transformers 5.23.0, numpy 2.4.6.
"""
import argparse
import copy
import csv
import json
import pathlib
import sys
import time

import numpy
import torch
from transformers import AutoModelForCausalLM

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent / "tests" / "parity"))
from nll_with_pytorch import linear_layers, quantizer


class Watch:
    """Keeps the MLP outputs of a model's last row, of the full model statistics of its residual stream, and of the others
    how far their MLP outputs lie from the full model's."""

    def __init__(self, model, is_full):
        self.clear()
        for layer in model.model.layers:
            layer.mlp.register_forward_hook(lambda _, __, out: self.mlp_out.append(out[0]))
            if is_full:
                layer.post_attention_layernorm.register_forward_pre_hook(lambda _, x: self.keep(x[0][0], kurtosis=True))
                layer.mlp.register_forward_pre_hook(lambda _, x: self.keep(x[0][0], kurtosis=True))
                layer.register_forward_hook(lambda _, __, out: self.keep((out if torch.is_tensor(out) else out[0])[0]))

    def keep(self, x, kurtosis=False):
        x = x[1:].float()
        self.statistics.append(x.norm(dim=1).mean().item())
        if kurtosis:
            centred = x - x.mean(1, keepdim=True)
            self.statistics.append(((centred**4).mean(1) / (centred**2).mean(1) ** 2).mean().item())

    def clear(self):
        self.mlp_out, self.statistics, self.mse = [], [], []


def score(logits, ids, full):
    """Losses, most likely ids and margins of a model's logits and, beside those of the full model, KL(full ‖ this)."""
    log_p = torch.log_softmax(logits, 1)
    kept = {"nll": -log_p.gather(1, ids[1:, None])[:, 0], "top": logits.argmax(1)}
    first = (full or kept)["top"][:, None]
    kept["margin"] = logits.gather(1, first)[:, 0] - logits.scatter(1, first, -torch.inf).max(1).values
    if full:
        kept["kl"] = (full["p"] * (full["log_p"] - log_p)).sum(1)
    else:
        kept |= {"log_p": log_p, "p": log_p.exp()}
    return kept


@torch.no_grad()
def study_row(models, watches, ids):
    """Mean NLL of every model on one row."""
    losses, full = [], None
    for model, watch in zip(models, watches):
        watch.clear()
        kept = score(model(ids[None]).logits[0, :-1].float(), ids, full)
        losses.append(kept["nll"].mean().item())
        if full:
            outputs = zip(watches[0].mlp_out, watch.mlp_out)
            watch.mse = [(a[1:].float() - b[1:].float()).square().mean().item() for a, b in outputs]
        else:
            full = kept
    return losses


def main():
    arguments = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    arguments.add_argument("--model", type=pathlib.Path, required=True)
    arguments.add_argument("--run", type=pathlib.Path, required=True)
    arguments.add_argument("--rows", type=int, default=4)
    a = arguments.parse_args()

    ids = torch.from_numpy(numpy.load(a.run / "tokens.npz")["ids"].astype(numpy.int64))[: a.rows]
    with open(a.run / "examples.csv", newline="") as file:
        ours = list(csv.DictReader(file))[: a.rows]
    methods = json.loads((a.run / "manifest.json").read_text())["methods"]
    models = [AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.bfloat16).eval()]
    for method in methods:
        models.append(copy.deepcopy(models[0]))
        for layer in linear_layers(models[-1]):
            layer.weight.data = quantizer(method["spec"])(layer.weight.data.float()).bfloat16()
    watches = [Watch(model, model is models[0]) for model in models]

    study_row(models, watches, ids[0])  # caches, and kernels that are chosen at first use
    start = time.perf_counter()
    losses = numpy.array([study_row(models, watches, row) for row in ids])
    seconds = time.perf_counter() - start
    print(f"{len(ids)} rows of {len(models)} models in {seconds:.1f} s, {ids.numel() * len(models) / seconds:.0f} tokens/s")
    for name, found in zip(["full", *(m["name"] for m in methods)], losses.mean(0)):
        print(f"{name:12} mean loss {found:.4f}, the run's {numpy.mean([float(r[f'nll_{name}']) for r in ours]):.4f}")


if __name__ == "__main__":
    main()
