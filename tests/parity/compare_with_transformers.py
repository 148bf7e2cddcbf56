#!/usr/bin/env python3
"""Compares every hook point of every layer, and the logits, with Hugging Face transformers in float32.

    python tests/parity/compare_with_transformers.py --model MODEL.gguf --bitlens build/release/bin/bitlens
    python tests/parity/compare_with_transformers.py --model FOLDER --bitlens build/release/bin/bitlens
    python tests/parity/compare_with_transformers.py --save-folder FOLDER --model MODEL.gguf   # the same model as a folder

A GGUF file is decoded by the Python package gguf and put into transformers' own model class; a folder is loaded by
transformers. The command `bitlens probe` runs the same ids. The largest difference of a tensor must stay within 1e-4 of
its largest value. Needs: torch, transformers, safetensors, numpy, gguf (for GGUF).
"""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

TOLERANCE = 1e-4
PER_LAYER = ["resid_pre", "attn_in", "attn_q", "attn_k", "attn_v", "attn_heads", "attn_out", "resid_mid", "mlp_in", "mlp_gate_in", "mlp_gate", "mlp_up",
             "mlp_act", "mlp_out", "resid_post"]
ONCE = ["final_norm", "logits"]


def gguf_field(reader, key):
    return reader.fields[key].contents()


def model_from_gguf(path):
    """transformers' Llama or Qwen2 with the weights of a GGUF file, decoded here; llama's q and k rows are put back in order."""
    import gguf

    reader = gguf.GGUFReader(path)
    arch = gguf_field(reader, "general.architecture")
    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    heads = gguf_field(reader, f"{arch}.attention.head_count")
    kv_heads = gguf_field(reader, f"{arch}.attention.head_count_kv")
    width = gguf_field(reader, f"{arch}.embedding_length")
    head_dim = gguf_field(reader, f"{arch}.attention.key_length") if f"{arch}.attention.key_length" in reader.fields else width // heads
    config_class, model_class = {"llama": (transformers.LlamaConfig, transformers.LlamaForCausalLM),
                                 "qwen2": (transformers.Qwen2Config, transformers.Qwen2ForCausalLM)}[arch]
    config = config_class(
        hidden_size=width, intermediate_size=gguf_field(reader, f"{arch}.feed_forward_length"),
        num_hidden_layers=gguf_field(reader, f"{arch}.block_count"), num_attention_heads=heads, num_key_value_heads=kv_heads,
        head_dim=head_dim, vocab_size=tensors["token_embd.weight"].shape[0],
        max_position_embeddings=gguf_field(reader, f"{arch}.context_length"),
        rms_norm_eps=gguf_field(reader, f"{arch}.attention.layer_norm_rms_epsilon"),
        rope_parameters={"rope_type": "default", "rope_theta": gguf_field(reader, f"{arch}.rope.freq_base")},
        tie_word_embeddings="output.weight" not in tensors)
    names = {"attn_norm": "input_layernorm", "ffn_norm": "post_attention_layernorm", "attn_q": "self_attn.q_proj",
             "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj"}
    state = {"model.embed_tokens.weight": tensors["token_embd.weight"], "model.norm.weight": tensors["output_norm.weight"]}
    state["lm_head.weight"] = tensors.get("output.weight", tensors["token_embd.weight"])
    for name, values in tensors.items():
        if not name.startswith("blk."):
            continue
        _, layer, part, kind = name.split(".")
        if arch == "llama" and part in ("attn_q", "attn_k"):
            values = values.reshape(-1, head_dim // 2, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
        state[f"model.layers.{layer}.{names[part]}.{kind}"] = values
    model = model_class(config)
    model.load_state_dict({k: torch.tensor(np.asarray(v, dtype=np.float32)) for k, v in state.items()}, strict=True)
    return model


def listen(model):
    """Hooks on the model's own modules; returns the dictionary that a forward pass fills."""
    seen = {}

    def keep(name, value):
        seen[name] = value.detach().float().numpy().copy()

    for k, layer in enumerate(model.model.layers):
        def before(name, module, pick=lambda a: a[0], k=k):
            module.register_forward_pre_hook(
                lambda _, args, kwargs, n=f"{name}_l{k}": keep(n, pick(args) if args else kwargs["hidden_states"]), with_kwargs=True)

        def after(name, module, k=k):
            module.register_forward_hook(lambda _, a, out, n=f"{name}_l{k}": keep(n, out[0] if isinstance(out, tuple) else out))

        before("resid_pre", layer)
        after("attn_in", layer.input_layernorm)
        after("attn_q", layer.self_attn.q_proj)
        after("attn_k", layer.self_attn.k_proj)
        after("attn_v", layer.self_attn.v_proj)
        before("attn_heads", layer.self_attn.o_proj)
        after("attn_out", layer.self_attn.o_proj)
        before("resid_mid", layer.post_attention_layernorm)
        after("mlp_in", layer.post_attention_layernorm)
        before("mlp_gate_in", layer.mlp.gate_proj)
        after("mlp_gate", layer.mlp.act_fn)
        after("mlp_up", layer.mlp.up_proj)
        before("mlp_act", layer.mlp.down_proj)
        after("mlp_out", layer.mlp.down_proj)
        after("resid_post", layer)
    model.model.norm.register_forward_hook(lambda _, a, out: keep("final_norm", out))
    return seen


def run_transformers(model, ids):
    """All points of all rows, as arrays (rows, tokens, width)."""
    model = model.float().eval()
    model.set_attn_implementation("eager")
    for layer in model.model.layers:  # one module may serve all layers: give each its own, so that each is heard alone
        layer.mlp.act_fn = type(layer.mlp.act_fn)() if isinstance(layer.mlp.act_fn, torch.nn.Module) else torch.nn.SiLU()
    seen = listen(model)
    rows = []
    with torch.no_grad():
        for row in ids:
            logits = model(torch.tensor(row[None].astype(np.int64))).logits
            seen["logits"] = logits.float().numpy()
            rows.append({name: value.reshape(1, len(row), -1) for name, value in seen.items()})
    return {name: np.concatenate([row[name] for row in rows]) for name in rows[0]}


def compare(ours, truth, layers):
    """Prints one line a point, the worst layer of each; returns the worst ratio of all."""
    worst_of_all = 0.0
    print(f"{'point':12} {'largest difference / largest value':>36}  layer")
    for point in PER_LAYER + ONCE:
        names = [point] if point in ONCE else [f"{point}_l{k}" for k in range(layers)]
        ratios = []
        for name in names:
            a, b = ours[name], truth[name]
            if a.shape != b.shape:
                sys.exit(f"{name}: shape {a.shape} here, {b.shape} there")
            ratios.append(float(np.abs(a.astype(np.float64) - b).max() / np.abs(b).max()))
        k = int(np.argmax(ratios))
        print(f"{point:12} {ratios[k]:36.2e}  {'' if point in ONCE else k}")
        worst_of_all = max(worst_of_all, *ratios)
    return worst_of_all


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
    layers, vocabulary = model.config.num_hidden_layers, model.config.vocab_size
    if arguments.arrays:
        ours = np.load(arguments.arrays)
        ids = ours["ids"].reshape(1, -1)
    else:
        ids = np.random.default_rng(1).integers(0, vocabulary, (arguments.rows, arguments.tokens), dtype=np.int32)
        with tempfile.TemporaryDirectory() as folder:
            data, out = pathlib.Path(folder, "ids.npy"), pathlib.Path(folder, "points.npz")
            np.save(data, ids)
            subprocess.run([arguments.bitlens, "probe", "--model", arguments.model, "--data", data, "--points",
                            ",".join(PER_LAYER + ONCE), "--out", out], check=True)
            ours = dict(np.load(out))
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {arguments.model}, ids {ids.shape}")
    worst = compare(ours, run_transformers(model, ids), layers)
    print(f"worst {worst:.2e}, allowed {TOLERANCE:.0e}")
    sys.exit(0 if worst <= TOLERANCE else 1)


if __name__ == "__main__":
    main()
