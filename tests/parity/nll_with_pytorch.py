#!/usr/bin/env python3
"""The NLLs of a study again, by PyTorch alone: quantization, model and scores in a few lines each.

    python3 nll_with_pytorch.py --gguf MODEL.gguf --run RUN [--rows 256]       (or --model FOLDER)

Reads the token ids and method names of a finished run folder (tokens.npz, manifest.json), loads the same model with
transformers in float32, quantizes the linear layers of the blocks with the definitions written out below, scores every
token, and compares with the run's examples.csv (means of rows) and tokens.npz. A GGUF file is decoded and put into
transformers' class by gguf_models.py, whatever the family. Exits with 1 if the NLL of any row differs by more than --tolerance.

Made with torch 2.15.0, transformers 5.23.0, gguf 0.19.0, numpy 2.4.6.
"""

import argparse
import csv
import json
import pathlib
import re
import sys

import numpy
import torch
from transformers import AutoModelForCausalLM

from gguf_models import model_from_gguf

NF4 = [-1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635,
       -0.18477343022823334, -0.09105003625154495, 0.0, 0.07958029955625534, 0.16093020141124725,
       0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941, 0.7229568362236023, 1.0]
NF3 = [-1.0, -0.47862908531009669, -0.21714178000118030, 0.0, 0.16093014438029081, 0.33791513671312802,
       0.56261688796998518, 1.0]


def in_groups(weight, group):
    return weight.reshape(-1, group if group else weight.shape[1])


def round_to_nearest(weight, bits, group, symmetric):
    """GPTQ's grid: the range holds 0; scale, then rounding, then the zero point."""
    x = in_groups(weight, group)
    top = 2**bits - 1
    low, high = x.amin(1).clamp(max=0), x.amax(1).clamp(min=0)
    if symmetric:
        high = torch.maximum(low.abs(), high)
        low = torch.where(low < 0, -high, low)
    empty = (low == 0) & (high == 0)
    low, high = torch.where(empty, -torch.ones_like(low), low), torch.where(empty, torch.ones_like(high), high)
    scale = ((high - low) / top)[:, None]
    zero = torch.full_like(scale, 2 ** (bits - 1)) if symmetric else torch.round(-low[:, None] / scale)
    code = (torch.round(x / scale) + zero).clamp(0, top)
    return (scale * (code - zero)).reshape(weight.shape)


def normal_float(weight, table, group):
    """Nearest of `table` in units of the group's largest magnitude; ties go to the lower code. bitsandbytes (NF4)
    multiplies by the reciprocal, FLUTE (NF3) divides; weights that were 4-bit before lie on borders often enough for
    that to show."""
    x = in_groups(weight, group)
    levels = torch.tensor(table, dtype=torch.float32)
    borders = (levels[:-1] + levels[1:]) / 2
    largest = x.abs().amax(1, keepdim=True)
    scaled = x * (1 / largest) if table is NF4 else x / largest
    code = torch.bucketize(scaled, borders, right=False)
    return (levels[code] * largest).reshape(weight.shape)


def quantizer(spec):
    parts = re.fullmatch(r"(rtn|nf)(\d)-(g\d+|row)(-sym)?", spec)
    if not parts:
        sys.exit(f"{spec}: its definition is not written out here")
    kind, bits, group, symmetric = parts.groups()
    group = 0 if group == "row" else int(group[1:])
    if kind == "rtn":
        return lambda w: round_to_nearest(w, int(bits), group, bool(symmetric))
    return lambda w: normal_float(w, {3: NF3, 4: NF4}[int(bits)], group)


def linear_layers(model):
    return [m for layer in model.model.layers for m in layer.modules() if isinstance(m, torch.nn.Linear)]


def token_nll(logits, ids):
    """−log p(next token) of the positions that have a next one. Shapes: logits (1, T, vocabulary), ids (T)."""
    return torch.nn.functional.cross_entropy(logits[0, :-1].double(), ids[1:], reduction="none")


def mean_nll(logits, ids):
    return token_nll(logits, ids).mean().item()


@torch.no_grad()
def row_nll(model, ids):
    ids = ids.to(model.device)
    return token_nll(model(ids[None], use_cache=False).logits, ids).cpu().numpy()


def command_line(description):
    arguments = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    model = arguments.add_mutually_exclusive_group(required=True)
    model.add_argument("--gguf", type=pathlib.Path)
    model.add_argument("--model", type=pathlib.Path, help="Hugging Face folder")
    arguments.add_argument("--run", type=pathlib.Path, required=True)
    arguments.add_argument("--rows", type=int)
    arguments.add_argument("--tolerance", type=float, default=1e-4)
    return arguments


def load_model(a):
    model = model_from_gguf(a.gguf) if a.gguf else AutoModelForCausalLM.from_pretrained(a.model, dtype=torch.float32)
    model.set_attn_implementation("eager")  # the others leave soft caps out
    return model.eval()


def read_table(path):
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def read_run(folder):
    """ids (rows, T), the rows of examples.csv, and {name: spec} of the variants, full first."""
    ids = torch.from_numpy(numpy.load(folder / "tokens.npz")["ids"].astype(numpy.int64))
    manifest = json.loads((folder / "manifest.json").read_text())
    if manifest["overrides"]:
        sys.exit(f"{folder}: overrides are not read here")
    return ids, read_table(folder / "examples.csv"), {"full": None} | {m["name"]: m["spec"] for m in manifest["methods"]}


def main():
    arguments = command_line(__doc__)
    arguments.add_argument("--methods", help="comma-separated names, full among them (default: all)")
    arguments.add_argument("--device", default="cpu", help="where the model runs (default: cpu); weights are quantized on the CPU")
    a = arguments.parse_args()

    ids, ours, specs = read_run(a.run)
    tokens = numpy.load(a.run / "tokens.npz")
    ids = ids[: a.rows]
    if a.methods:
        specs = {name: specs[name] for name in a.methods.split(",")}

    model = load_model(a)
    stored = [m.weight.detach().clone() for m in linear_layers(model)]
    model.to(a.device)
    worst = 0.0
    for name, spec in specs.items():
        for layer, weight in zip(linear_layers(model), stored):
            layer.weight.data = (weight if spec is None else quantizer(spec)(weight)).to(a.device)
        truth = [row_nll(model, row) for row in ids]
        differences = [abs(nll.mean() - float(ours[n][f"nll_{name}"])) for n, nll in enumerate(truth)]
        of_tokens = numpy.abs(numpy.array(truth) - tokens[f"nll_{name}"][: len(ids)]).max()
        print(f"{name}: {len(ids)} rows, mean {numpy.mean(truth):.4f} nats, largest difference of a row {max(differences):.2e}, of a token "
              f"{of_tokens:.2e}", flush=True)
        worst = max(worst, *differences)
    return int(worst > a.tolerance)


if __name__ == "__main__":
    sys.exit(main())
