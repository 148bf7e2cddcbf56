#!/usr/bin/env python3
"""Compares every hook point of every layer, and the logits, with Hugging Face transformers in float32.

    python tests/parity/compare_with_transformers.py --model MODEL.gguf --bitlens build/release/bin/bitlens
    python tests/parity/compare_with_transformers.py --model FOLDER --bitlens build/release/bin/bitlens
    python tests/parity/compare_with_transformers.py --save-folder FOLDER --model MODEL.gguf   # the same model as a folder

A GGUF file is decoded by the Python package gguf and put into transformers' own model class (gguf_models.py); a folder is
loaded by transformers. The command `bitlens probe` runs the same ids. The largest difference of a tensor must stay within 1e-4 of
its largest value. Needs: torch, transformers, safetensors, numpy, gguf (for GGUF).
"""
import argparse
import copy
import functools
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

from gguf_models import model_from_gguf

TOLERANCE = 1e-4
PER_LAYER = ["resid_pre", "attn_in", "attn_q", "attn_k", "attn_v", "attn_heads", "attn_proj_out", "attn_out", "resid_mid", "mlp_in",
             "mlp_gate_in", "mlp_gate", "mlp_up", "mlp_act", "mlp_down_out", "mlp_out", "resid_post"]
ONCE = ["final_norm", "logits"]


def places(layer, config):
    """{point: (module of the layer, whether its input is meant, which columns)}."""
    attention, mlp, every = layer.self_attn, layer.mlp, slice(None)
    found = {"resid_pre": (layer, True, every), "attn_heads": (attention.o_proj, True, every), "attn_proj_out": (attention.o_proj, False, every),
             "mlp_in": (mlp, True, every), "mlp_act": (mlp.down_proj, True, every), "mlp_down_out": (mlp.down_proj, False, every),
             "resid_post": (layer, False, every)}
    if hasattr(attention, "qkv_proj"):  # Phi-3: q, k, v and gate, up are parts of one product
        query, key = config.num_attention_heads * attention.head_dim, config.num_key_value_heads * attention.head_dim
        found |= {"attn_in": (attention.qkv_proj, True, every), "attn_q": (attention.qkv_proj, False, slice(query)),
                  "attn_k": (attention.qkv_proj, False, slice(query, query + key)), "attn_v": (attention.qkv_proj, False, slice(query + key, None)),
                  "mlp_gate_in": (mlp.gate_up_proj, True, every), "mlp_gate": (mlp.activation_fn, False, every),
                  "mlp_up": (mlp.gate_up_proj, False, slice(config.intermediate_size, None))}
    else:
        found |= {"attn_in": (attention.q_proj, True, every), "attn_q": (attention.q_proj, False, every), "attn_k": (attention.k_proj, False, every),
                  "attn_v": (attention.v_proj, False, every), "mlp_gate_in": (mlp.gate_proj, True, every), "mlp_gate": (mlp.act_fn, False, every),
                  "mlp_up": (mlp.up_proj, False, every)}
    if hasattr(layer, "post_feedforward_layernorm"):  # norms behind attention and MLP: their outputs are what is added
        found |= {"attn_out": (layer.post_attention_layernorm, False, every), "mlp_out": (layer.post_feedforward_layernorm, False, every),
                  "resid_mid": (getattr(layer, "pre_feedforward_layernorm", mlp), True, every)}
    else:
        found |= {"attn_out": (attention, False, every), "mlp_out": (mlp, False, every), "resid_mid": (layer.post_attention_layernorm, True, every)}
    return found


def separate_activations(model):
    """One module may serve all layers: each gets its own, so that each is heard alone."""
    for layer in model.model.layers:
        name = "act_fn" if hasattr(layer.mlp, "act_fn") else "activation_fn"
        setattr(layer.mlp, name, copy.deepcopy(getattr(layer.mlp, name)))


def pass_through(module, is_input, f):
    """f(the module's input or output) at every run; what it returns takes the place, but for None."""
    def output(out):
        if not isinstance(out, tuple):
            return f(out)
        other = f(out[0])
        return None if other is None else (other, *out[1:])

    if is_input:
        module.register_forward_pre_hook(lambda _, args: f(args[0]))
    else:
        module.register_forward_hook(lambda _, args, out: output(out))


def listen(model):
    """Hooks on the model's own modules; returns the dictionary that a forward pass fills."""
    seen = {}

    def keep(name, columns, value):
        seen[name] = value.detach()[..., columns].float().numpy().copy()

    separate_activations(model)
    for k, layer in enumerate(model.model.layers):
        for point, (module, is_input, columns) in places(layer, model.config).items():
            pass_through(module, is_input, functools.partial(keep, f"{point}_l{k}", columns))
    pass_through(model.model.norm, False, functools.partial(keep, "final_norm", slice(None)))
    return seen


def run_transformers(model, ids):
    """All points of all rows, as arrays (rows, tokens, width). Every row by a model that has seen no other text: rotary
    scaling by length remembers the longest."""
    model = model.float().eval()
    model.set_attn_implementation("eager")
    rows = []
    for row in ids:
        fresh = copy.deepcopy(model)
        seen = listen(fresh)
        with torch.no_grad():
            seen["logits"] = fresh(torch.tensor(row[None].astype(np.int64)), use_cache=False).logits.float().numpy()
        rows.append({name: value.reshape(1, len(row), -1) for name, value in seen.items()})
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def ratios_of(ours, truth):
    """{point: (largest difference / largest value, layer)}, of the worst layer."""
    worst = {}
    for name, b in truth.items():
        a = ours[name]
        if a.shape != b.shape:
            sys.exit(f"{name}: shape {a.shape} here, {b.shape} there")
        point, _, layer = name.partition("_l") if name != "logits" else (name, "", "")
        ratio = float(np.abs(a.astype(np.float64) - b).max() / np.abs(b).max())
        if not ratio <= worst.get(point, (-1.0, ""))[0]:
            worst[point] = (ratio, layer)
    return worst


def run_bitlens(program, model, ids, points=tuple(PER_LAYER + ONCE)):
    """The same arrays from `bitlens probe`."""
    with tempfile.TemporaryDirectory() as folder:
        data, out = pathlib.Path(folder, "ids.npy"), pathlib.Path(folder, "points.npz")
        np.save(data, ids)
        subprocess.run([program, "probe", "--model", model, "--data", data, "--points", ",".join(points), "--out", out], check=True,
                       stdout=subprocess.DEVNULL)
        return dict(np.load(out))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--bitlens", default="build/release/bin/bitlens")
    parser.add_argument("--arrays", help="an NPZ that bitlens probe wrote before, with an array `ids`, instead of running it")
    parser.add_argument("--rows", type=int, default=1)
    parser.add_argument("--tokens", type=int, default=512)
    parser.add_argument("--save-folder", help="only save the model here as Hugging Face folder, in float32")
    arguments = parser.parse_args()

    is_gguf = arguments.model.endswith(".gguf")
    model = model_from_gguf(arguments.model) if is_gguf else transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32)
    if arguments.save_folder:
        model.save_pretrained(arguments.save_folder)
        return
    if arguments.arrays:
        ours = dict(np.load(arguments.arrays))
        ids = ours.pop("ids").reshape(1, -1)
    else:
        ids = np.random.default_rng(1).integers(0, model.config.vocab_size, (arguments.rows, arguments.tokens), dtype=np.int32)
        ours = run_bitlens(arguments.bitlens, arguments.model, ids)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {arguments.model}, ids {ids.shape}")
    ratios = ratios_of(ours, run_transformers(model, ids))
    print(f"{'point':13} {'largest difference / largest value':>36}  layer")
    for point in PER_LAYER + ONCE:
        print(f"{point:13} {ratios[point][0]:36.2e}  {ratios[point][1]}")
    worst = max(ratio for ratio, _ in ratios.values())
    print(f"worst {worst:.2e}, allowed {TOLERANCE:.0e}")
    sys.exit(0 if worst <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
