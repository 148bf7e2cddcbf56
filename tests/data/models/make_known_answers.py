#!/usr/bin/env python3
"""Makes known_answers.json: whole models whose numbers can be computed by hand of any program, with no file of weights.

    python make_known_answers.py        (writes known_answers.json beside itself)

Made with Python 3.11, torch 2.15.0, transformers 5.23.0, gguf 0.19.0, numpy 2.4.6; the file names what it was made with.

Its cases are those of make_goldens.py, with weights by `known_answer_formula` and, instead of arrays, "answers": the number of parameters,
the first five logits of the last position, where its largest stands, Σ|logit| of all, and the means over all positions but
the first of ‖resid_mid‖, ‖mlp_in‖ and ‖mlp_out‖ in every layer.
"""
import numpy as np
import torch

from make_goldens import (FULL, GEMMA2, GEMMA3, LLAMA, MINISTRAL, MISTRAL, OLMO2, PHI3, QWEN2, QWEN3, SLIDING, as_gguf, bits, config5, make_model, parameters,
                          rope5, run_transformers, sizes, write_json)

MINISTRAL3 = "Ministral3ForCausalLM"
# d, d_ff, layers, heads, key heads, vocabulary, context
KNOWN = (32, 48, 3, 4, 2, 40, 64)
CAPS = {"attn_logit_softcapping": 5.0, "final_logit_softcapping": 3.0}
NO_CAPS = {"attn_logit_softcapping": None, "final_logit_softcapping": None}
GEMMA_LAYERS = {"query_pre_attn_scalar": 24, "sliding_window": 4, "layer_types": [SLIDING, FULL, SLIDING]}


def gemma3_rope(**full):
    return {"rope_parameters": {FULL: {"rope_type": "default", "rope_theta": 1e6, **full}, SLIDING: {"rope_type": "default", "rope_theta": 1e4}}}


KNOWN_ANSWERS = {
    "llama": config5(LLAMA, 1e4, **sizes(*KNOWN, eps=1e-5)),
    "llama-tied-hd16": config5(LLAMA, 1e4, **sizes(*KNOWN, head_dim=16, tied=True, eps=1e-5)),
    "llama-llama3": config5(LLAMA, 0, **sizes(*KNOWN, eps=1e-5), **rope5("llama3", 1e4, factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0,
                                                                        original_max_position_embeddings=16)),
    "llama-linear": config5(LLAMA, 0, **sizes(*KNOWN, eps=1e-5), **rope5("linear", 1e4, factor=4.0)),
    "llama-dynamic": config5(LLAMA, 0, **sizes(*KNOWN[:-1], 8, eps=1e-5), **rope5("dynamic", 1e4, factor=2.0)),
    "llama-yarn": config5(LLAMA, 0, **sizes(*KNOWN, eps=1e-5), **rope5("yarn", 1e4, factor=4.0, original_max_position_embeddings=16)),
    "llama-bias": config5(LLAMA, 1e4, **sizes(*KNOWN, eps=1e-5), attention_bias=True, mlp_bias=True),
    "qwen2": config5(QWEN2, 1e6, **sizes(*KNOWN)),
    "qwen2-window": config5(QWEN2, 1e6, **sizes(*KNOWN), use_sliding_window=True, sliding_window=4, max_window_layers=1),
    "mistral": config5(MISTRAL, 1e4, **sizes(*KNOWN, eps=1e-5), sliding_window=4),
    "mistral-nemo": config5(MISTRAL, 1e6, **sizes(*KNOWN, head_dim=16, eps=1e-5), sliding_window=None),
    "ministral": config5(MINISTRAL, 1e8, **sizes(*KNOWN, head_dim=16, eps=1e-5), sliding_window=4, layer_types=[FULL, SLIDING, SLIDING]),
    "ministral3": config5(MINISTRAL3, 0, **sizes(*KNOWN, head_dim=16, eps=1e-5), sliding_window=None,
                          **rope5("yarn", 1e6, factor=4.0, original_max_position_embeddings=8, beta_fast=32.0, beta_slow=1.0, mscale=1.0,
                                  mscale_all_dim=1.0, llama_4_scaling_beta=0.1)),
    "qwen3": config5(QWEN3, 1e6, **sizes(*KNOWN, head_dim=16, tied=True)),
    "gemma2": config5(GEMMA2, 1e4, **sizes(*KNOWN, head_dim=16, tied=True), **GEMMA_LAYERS, **CAPS),
    "gemma3": config5(GEMMA3, 0, **sizes(*KNOWN, head_dim=16, tied=True), **GEMMA_LAYERS, **NO_CAPS) | gemma3_rope(),
    "gemma3-linear": config5(GEMMA3, 0, **sizes(*KNOWN, head_dim=16, tied=True), **GEMMA_LAYERS, **NO_CAPS)
                     | gemma3_rope(rope_type="linear", factor=8.0),
    "olmo2": config5(OLMO2, 5e5, **sizes(*KNOWN)),
    "phi3": config5(PHI3, 1e4, **sizes(*KNOWN, eps=1e-5), sliding_window=4, original_max_position_embeddings=64),
    "phi3-longrope": config5(PHI3, 0, **sizes(*KNOWN, eps=1e-5), sliding_window=None, original_max_position_embeddings=16,
                             **rope5("longrope", 1e4, partial_rotary_factor=0.75, short_factor=[1.0, 1.25, 1.5], long_factor=[1.0, 2.0, 4.0])),
}


def known_answer_formula(name, shape, offset_norms):
    """20 bits as a number of [−0.5, 0.5), one more for a norm."""
    v = (bits(name, int(np.prod(shape))) >> np.uint64(44)).astype(np.float64) * 2.0**-20 - 0.5
    return v + 1.0 if name.endswith("norm.weight") and not offset_norms else v


def known_answer(config):
    model = make_model(config, torch.float32, known_answer_formula)
    ids = (7 * np.arange(12, dtype=np.int32) + 3) % 40
    points = {point: value[0].astype(np.float64) for point, value in run_transformers(model, ids[None]).items()}

    def norms(point):
        return [float(np.linalg.norm(points[f"{point}_l{k}"][1:], axis=1).mean()) for k in range(config["num_hidden_layers"])]

    last = points["logits"][-1]
    answers = {"parameters": sum(p.numel() for p in model.parameters()), "logits": last[:5].tolist(), "largest": int(last.argmax()),
               "sum": float(np.abs(points["logits"]).sum()), "resid_mid": norms("resid_mid"), "mlp_in": norms("mlp_in"), "mlp_out": norms("mlp_out")}
    return {"config": config, "type": "f32", "shards": 1, "parameters": parameters(model), "ids": ids.tolist(),
            "gguf": as_gguf(model, {"logits": points["logits"][None]}, ids), "answers": answers}


def main():
    write_json("known_answers", {}, {name: known_answer(config) for name, config in KNOWN_ANSWERS.items()}, "make_known_answers.py")


if __name__ == "__main__":
    main()
