#!/usr/bin/env python3
"""Makes the goldens of tests/models: tiny models whose weights follow from their names, run by transformers in float32.

    python make_goldens.py        (writes <case>/config.json and <case>/golden.npz beside itself)

Made with Python 3.11, torch 2.15.0, transformers 5.23.0, numpy 2.4.6.

The weights are not stored: element i of a tensor is a hash of the tensor's name and i, which the test computes too.
"""
import json
import pathlib
import sys

import numpy as np
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "parity"))
from compare_with_transformers import run_transformers  # noqa: E402

TOKENS = 7


def config4(model_class, **sizes):
    """As transformers 4 writes it."""
    return {"architectures": [model_class], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
            "initializer_range": 0.02, "model_type": "llama" if model_class.startswith("Llama") else "qwen2",
            "rope_scaling": None, "use_cache": True, "transformers_version": "4.46.0", **sizes}


def config5(model_class, theta, **sizes):
    """As transformers 5 writes it."""
    return {"architectures": [model_class], "bos_token_id": 1, "eos_token_id": 2, "hidden_act": "silu",
            "model_type": "llama" if model_class.startswith("Llama") else "qwen2", "pad_token_id": None,
            "rope_parameters": {"rope_theta": theta, "rope_type": "default"}, "transformers_version": "5.23.0", **sizes}


LLAMA, QWEN2 = "LlamaForCausalLM", "Qwen2ForCausalLM"
CASES = {
    # grouped heads, tied head, odd d_ff and vocabulary
    "llama_f32_tied": config4(LLAMA, hidden_size=24, intermediate_size=35, num_hidden_layers=2, num_attention_heads=4,
                              num_key_value_heads=2, vocab_size=41, max_position_embeddings=64, rms_norm_eps=1e-5,
                              rope_theta=10000.0, tie_word_embeddings=True, torch_dtype="float32", attention_bias=False,
                              mlp_bias=False, pretraining_tp=1),
    # heads longer than d / heads, one key head, untied head, shards
    "llama_bf16_shards": config5(LLAMA, 100000.0, hidden_size=24, intermediate_size=32, num_hidden_layers=2,
                                 num_attention_heads=3, num_key_value_heads=1, head_dim=10, vocab_size=33,
                                 max_position_embeddings=64, rms_norm_eps=1e-6, tie_word_embeddings=False, dtype="bfloat16",
                                 attention_bias=False, mlp_bias=False),
    # a key head for every head, no grouping mentioned at all, as the first Llama had it
    "llama_f16": config4(LLAMA, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4, vocab_size=40,
                         max_position_embeddings=64, rms_norm_eps=1e-5, tie_word_embeddings=False, torch_dtype="float16"),
    # heads shorter than d / heads, an odd width, tied, 16-bit
    "llama_bf16_odd": config5(LLAMA, 500000.0, hidden_size=27, intermediate_size=31, num_hidden_layers=3, num_attention_heads=9,
                              num_key_value_heads=3, head_dim=4, vocab_size=37, max_position_embeddings=64, rms_norm_eps=1e-5,
                              tie_word_embeddings=True, dtype="bfloat16", attention_bias=False, mlp_bias=False),
    "qwen2_f32_tied": config4(QWEN2, hidden_size=24, intermediate_size=35, num_hidden_layers=2, num_attention_heads=4,
                              num_key_value_heads=2, vocab_size=41, max_position_embeddings=64, rms_norm_eps=1e-6,
                              rope_theta=1000000.0, tie_word_embeddings=True, torch_dtype="float32", use_sliding_window=False,
                              sliding_window=32, max_window_layers=1),
    "qwen2_bf16_shards": config5(QWEN2, 1000000.0, hidden_size=30, intermediate_size=44, num_hidden_layers=2,
                                 num_attention_heads=5, num_key_value_heads=1, vocab_size=33, max_position_embeddings=64,
                                 rms_norm_eps=1e-6, tie_word_embeddings=False, dtype="bfloat16", use_sliding_window=False,
                                 sliding_window=None, layer_types=["full_attention"] * 2),
    "qwen2_f16": config4(QWEN2, hidden_size=32, intermediate_size=48, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=4, vocab_size=40, max_position_embeddings=64, rms_norm_eps=1e-6, rope_theta=10000.0,
                         tie_word_embeddings=False, torch_dtype="float16", use_sliding_window=False),
    "qwen2_bf16_odd": config5(QWEN2, 10000.0, hidden_size=42, intermediate_size=29, num_hidden_layers=3, num_attention_heads=7,
                              num_key_value_heads=7, vocab_size=37, max_position_embeddings=64, rms_norm_eps=1e-6,
                              tie_word_embeddings=True, dtype="bfloat16", use_sliding_window=False, sliding_window=None),
}


def uniform(name, count):
    """Element i: 24 bits of splitmix64(FNV-1a(name) + i), as a number of [−1, 1)."""
    mask = (1 << 64) - 1
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & mask
    z = np.uint64(h) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z ^= z >> np.uint64(31)
    return (z >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0


def weight(name, shape, dtype):
    u = uniform(name, int(np.prod(shape)))
    if name.endswith("norm.weight"):
        values = 1.0 + 0.25 * u
    elif name.endswith(".bias"):
        values = 0.5 * u
    else:
        values = u * np.sqrt(3.0 / shape[-1])
    return torch.tensor(values.astype(np.float32)).reshape(tuple(shape)).to(dtype).float()


def main():
    for case, config in CASES.items():
        folder = HERE / case
        folder.mkdir(exist_ok=True)
        (folder / "config.json").write_text(json.dumps(config, indent=2) + "\n")
        parsed = transformers.AutoConfig.from_pretrained(folder)
        model = transformers.AutoModelForCausalLM.from_config(parsed, dtype=torch.float32)
        dtype = getattr(torch, config.get("dtype", config.get("torch_dtype")))
        state = {name: weight(name, value.shape, dtype) for name, value in model.state_dict().items()}
        if config["tie_word_embeddings"]:
            state["lm_head.weight"] = state["model.embed_tokens.weight"]
        model.load_state_dict(state, strict=True)
        ids = (np.arange(TOKENS, dtype=np.int32) * 11 + 3) % config["vocab_size"]
        points = run_transformers(model, ids[None])
        np.savez(folder / "golden.npz", ids=ids, **{name: value[0] for name, value in sorted(points.items())})


if __name__ == "__main__":
    main()
