#!/usr/bin/env python3
"""Files as llm-awq publishes them, for a model of 2 layers: width 64, 4 heads of 16, 2 for keys and values, 160 in the MLP.

Made with torch 2.15.0:  python3 make_goldens.py
Channel c of scale n is (1 + (7 c + n) mod 56) / 8; clip of row r, group g of a matrix is (1 + (3 r + 5 g) mod 48) / 16:
numbers that float16 and bfloat16 hold.
"""
import torch


def scale(n, width, dtype):
    return ((1 + (7 * torch.arange(width) + n) % 56) / 8).to(dtype)


def clip(rows, groups, dtype):
    r, g = torch.arange(rows).reshape(-1, 1, 1), torch.arange(groups).reshape(1, -1, 1)
    return ((1 + (3 * r + 5 * g) % 48) / 16).to(dtype)


def cache(dtype):
    scales, clips = [], []
    for k in range(2):
        layer = f"model.layers.{k}."
        attention, mlp = layer + "self_attn.", layer + "mlp."
        scales += [
            (layer + "input_layernorm", tuple(attention + p for p in ("q_proj", "k_proj", "v_proj")), scale(3 * k, 64, dtype)),
            (layer + "post_attention_layernorm", (mlp + "gate_proj", mlp + "up_proj"), scale(3 * k + 1, 64, dtype)),
            (mlp + "up_proj", (mlp + "down_proj",), scale(3 * k + 2, 160, dtype)),
        ]
        clips += [(attention + "v_proj", clip(32, 2, dtype)), (attention + "o_proj", clip(64, 2, dtype)),
                  (mlp + "gate_proj", clip(160, 2, dtype)), (mlp + "up_proj", clip(160, 2, dtype))]
    clips += [("model.layers.1.mlp.down_proj", clip(64, 5, dtype))]
    return {"scale": scales, "clip": clips}


torch.save(cache(torch.float16), "float16.pt")
torch.save(cache(torch.bfloat16), "bfloat16.pt", pickle_protocol=4)
torch.save(cache(torch.float32), "float32.pt")
