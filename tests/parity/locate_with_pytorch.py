#!/usr/bin/env python3
"""Every number of `bitlens locate` again, by PyTorch: transformers' own modules, with hooks that keep, overwrite and score.

    python3 locate_with_pytorch.py --gguf MODEL.gguf --run RUN [--rows 16]     (or --model FOLDER)

Reads RUN/locate.csv and the ids of RUN/tokens.npz, loads the same model with transformers in float32, quantizes as
nll_with_pytorch.py does, runs the variant that each column stands for, and compares every number of the first --rows
located documents. Exits with 1 if one differs by more than --tolerance (nats), or if a column means nothing here.
L layers, m a method:

    nll_full, nll_m                  the model as it is stored; the method in every linear layer of the blocks
    nll_m_patch_<point>              the point of layers ⌊L/2⌋ … L − 1 overwritten with the full model's, at all positions
    nll_m_patch_<point>_from_l<k>    … of layers k … L − 1
    nll_m_patch_<point>_l<A>-<B>     … of layers A … B
    nll_m_restore_late               the last max(1, ⌊0.18 L⌋) layers not quantized
    nll_m_restore_from_l<k>          layers k … L − 1 not quantized
    nll_m_restore_l<k>, _only_l<k>   layer k alone not quantized; alone quantized
    nll_m_restore_<p>, _only_<p>     the projection p of all layers not quantized; alone quantized
    exit_r_m_l<k>, exit_z_m_l<k>     −log softmax(U·φ(state)), state: after the attention of layer k, after the layer
    exit_r_frozen_m_l<k>, …          φ divides by the root mean square of the last layer's output, not by the state's own

Made with torch 2.15.0, transformers 5.23.0, gguf 0.19.0, numpy 2.4.6. A document of 256 tokens of SmolLM2-135M takes
2 to 3 seconds of processor time for each variant, and 0.4 for each early exit.
"""

import dataclasses
import functools
import math
import sys

import torch

from compare_with_transformers import pass_through, places, separate_activations
from nll_with_pytorch import command_line, load_model, mean_nll, quantizer, read_run, read_table

PROJECTIONS = ["q", "k", "v", "o", "gate", "up", "down"]
STATES = {"r": "resid_mid", "z": "resid_post"}
POINTS = ["mlp_out", "mlp_gate", "mlp_up", "attn_out", "mlp_gate_in"]


@dataclasses.dataclass(frozen=True)
class Variant:
    quantized: frozenset = frozenset()  # (layer, projection)
    point: str = ""  # overwritten with the full model's in `layers`
    layers: range = range(0)


@dataclasses.dataclass(frozen=True)
class Exit:
    state: str  # r, z
    frozen: bool
    layer: int


def columns_of(method, layers):
    """{column: (variant, exit or None: at the end)} of all that can be asked of a method, or of "full". Names are made
    here and looked up by whoever has one, so that a method may be called anything."""
    every = range(layers)
    all_linear = frozenset((k, p) for k in every for p in PROJECTIONS)
    whole = Variant(frozenset() if method == "full" else all_linear)
    found = {f"nll_{method}": (whole, None)}
    for k in every:
        for state in "rz":
            found[f"exit_{state}_{method}_l{k}"] = whole, Exit(state, False, k)
            found[f"exit_{state}_frozen_{method}_l{k}"] = whole, Exit(state, True, k)
    if method == "full":
        return found

    def patched(name, point, where):
        found[f"nll_{method}_patch_{point}{name}"] = dataclasses.replace(whole, point=point, layers=where), None

    def restored(name, linear):
        found[f"nll_{method}_restore_{name}"] = Variant(all_linear - linear), None

    def alone(name, linear):
        found[f"nll_{method}_only_{name}"] = Variant(frozenset(linear)), None

    def of_layers(where):
        return {(k, p) for k in where for p in PROJECTIONS}

    for point in POINTS:
        patched("", point, range(layers // 2, layers))
        for k in every:
            patched(f"_from_l{k}", point, range(k, layers))
            for last in range(k, layers):
                patched(f"_l{k}-{last}", point, range(k, last + 1))
    restored("late", of_layers(range(layers - max(1, layers * 18 // 100), layers)))
    for k in every:
        restored(f"from_l{k}", of_layers(range(k, layers)))
        restored(f"l{k}", of_layers([k]))
        alone(f"l{k}", of_layers([k]))
    for p in PROJECTIONS:
        of_projection = {(k, p) for k in every}
        restored(p, of_projection)
        alone(p, of_projection)
    return found


class Located:
    """A model of transformers, each of its linear layers as stored and quantized by one method, and hooks on its modules."""

    def __init__(self, model):
        self.model = model
        self.layers = len(model.model.layers)
        self.linear = {(k, name.rpartition(".")[2].removesuffix("_proj")): module
                       for k, layer in enumerate(model.model.layers)
                       for name, module in layer.named_modules() if isinstance(module, torch.nn.Linear)}
        assert {p for _, p in self.linear} == set(PROJECTIONS) and len(self.linear) == self.layers * len(PROJECTIONS)
        self.stored = {key: module.weight.detach() for key, module in self.linear.items()}
        self.keep, self.kept, self.overwrite = set(), {}, {}
        separate_activations(model)
        for k, layer in enumerate(model.model.layers):
            for point, (module, is_input, _) in places(layer, model.config).items():
                pass_through(module, is_input, functools.partial(self.passes, point, k))

    def passes(self, name, k, value):  # what is returned takes the value's place; None leaves it
        if name in self.keep:
            self.kept[name, k] = value
        other = self.overwrite.pop((name, k), None)
        assert other is None or other.shape == value.shape
        return other

    def quantize(self, spec):
        quantized = quantizer(spec) if spec else lambda weight: weight
        self.quantized = {key: quantized(weight) for key, weight in self.stored.items()}

    def run(self, ids, variant, keep, overwrite):
        """logits, and what was kept."""
        for key, module in self.linear.items():
            module.weight.data = (self.quantized if key in variant.quantized else self.stored)[key]
        self.keep, self.kept, self.overwrite = keep, {}, overwrite
        logits = self.model(ids[None], use_cache=False).logits
        assert not self.overwrite, f"never passed: {sorted(self.overwrite)}"
        return logits, self.kept

    def exit_nll(self, ids, states, at):
        state, last, norm = states[STATES[at.state], at.layer], states[STATES["z"], self.layers - 1], self.model.model.norm
        if at.frozen:
            gamma = norm(torch.ones_like(state[:1, :1])) * math.sqrt(1 + self.model.config.rms_norm_eps)  # whatever the family stores
            normed = gamma * (state * torch.rsqrt(last.pow(2).mean(-1, keepdim=True) + self.model.config.rms_norm_eps))
        else:
            normed = norm(state)
        logits = self.model.lm_head(normed)
        cap = getattr(self.model.config, "final_logit_softcapping", None)
        return mean_nll(cap * torch.tanh(logits / cap) if cap else logits, ids)

    @torch.no_grad()
    def document(self, ids, columns):
        """{column: nats per token} of the columns ({name: (variant, exit)}) of one method; each variant runs once."""
        values = {}
        variants = dict.fromkeys(variant for variant, _ in columns.values())
        points = {variant.point for variant in variants if variant.point}
        full = self.run(ids, Variant(), points, {})[1] if points else {}
        for variant in variants:
            asked = {name: at for name, (v, at) in columns.items() if v == variant}
            overwrite = {(variant.point, k): full[variant.point, k] for k in variant.layers}
            logits, states = self.run(ids, variant, set(STATES.values()) if any(asked.values()) else set(), overwrite)
            for name, at in asked.items():
                values[name] = self.exit_nll(ids, states, at) if at else mean_nll(logits, ids)
        return values


def main():
    a = command_line(__doc__).parse_args()
    ids, documents, specs = read_run(a.run)
    row_of = {document["example"]: n for n, document in enumerate(documents)}
    table = read_table(a.run / "locate.csv")
    names = [name for name in table[0] if name not in ("example", "set")]
    table = [row for row in table if any(row[name] for name in names)][: a.rows]

    located = Located(load_model(a))
    known = {method: columns_of(method, located.layers) for method in specs}
    unknown = [name for name in names if not any(name in columns for columns in known.values())]
    for name in unknown:
        print(f"FAIL {name}: means nothing here")
    largest = {name: [] for name in names if name not in unknown}
    for method, spec in specs.items():
        columns = {name: known[method][name] for name in names if name in known[method]}
        if not columns:
            continue
        located.quantize(spec)
        for n, row in enumerate(table):
            asked = {name: column for name, column in columns.items() if row[name]}
            for name, value in located.document(ids[row_of[row["example"]]], asked).items():
                largest[name].append(abs(value - float(row[name])))
            print(f"{method}: {n + 1} of {len(table)} documents", file=sys.stderr, end="\r", flush=True)
        print(file=sys.stderr)

    failed = len(unknown)
    for name, differences in largest.items():
        good = bool(differences) and all(d <= a.tolerance for d in differences)
        failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}: {len(differences)} documents, "
              f"largest difference {max(differences, default=0):.1e} nats")
    print(f"{len(names)} columns, {failed} of them differ by more than {a.tolerance:g} or cannot be compared")
    return int(failed > 0 or not names)


if __name__ == "__main__":
    sys.exit(main())
