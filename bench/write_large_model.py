"""Writes a model of the shape of Llama-3.1-70B or Mistral-Nemo-12B with random weights: to measure what large models cost.

    python3 write_large_model.py --shape 70b --layers 2 FOLDER            # real widths, few layers: 7.6 GB
    python3 write_large_model.py --shape 70b --real-layers 1 FOLDER       # 80 layers, those from the second on holes of the file: 5.9 GB
    python3 write_large_model.py --shape 70b --real-layers 0 FOLDER       # nothing but headers on disk: for `bitlens inspect`

A Hugging Face folder of bf16 shards with an index, without a tokenizer: run it on token ids (`--ids` writes some as NPY). Weights are
normal with a deviation of 1/sqrt(columns), so that states stay of the size that they have; those of the residual stream's two writers are
divided by sqrt(2 · layers). A layer that is a hole of the file reads as zeros, takes no disk, and hands its input on. Needs numpy.
"""
import argparse
import json
import math
import pathlib
import struct

import numpy as np

SHAPES = {
    "70b": {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "hidden_size": 8192, "intermediate_size": 28672,
            "num_hidden_layers": 80, "num_attention_heads": 64, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 128256,
            "rms_norm_eps": 1e-05, "rope_theta": 500000.0, "max_position_embeddings": 131072,
            "rope_scaling": {"factor": 8.0, "high_freq_factor": 4.0, "low_freq_factor": 1.0,
                             "original_max_position_embeddings": 8192, "rope_type": "llama3"}},
    "nemo": {"model_type": "mistral", "architectures": ["MistralForCausalLM"], "hidden_size": 5120, "intermediate_size": 14336,
             "num_hidden_layers": 40, "num_attention_heads": 32, "num_key_value_heads": 8, "head_dim": 128, "vocab_size": 131072,
             "rms_norm_eps": 1e-05, "rope_theta": 1000000.0, "max_position_embeddings": 131072, "sliding_window": None},
}
COMMON = {"hidden_act": "silu", "attention_bias": False, "mlp_bias": False, "tie_word_embeddings": False, "torch_dtype": "bfloat16"}
SHARD_BYTES = 5_000_000_000
PIECE = 1 << 22  # numbers made at once


def tensors_of(config):
    """(name, shape, deviation) in the order of the files; a deviation of 0 stands for ones."""
    width, ffn, dim = config["hidden_size"], config["intermediate_size"], config["head_dim"]
    heads, kv_heads = config["num_attention_heads"] * dim, config["num_key_value_heads"] * dim
    writer = 1 / math.sqrt(2 * config["num_hidden_layers"])
    yield "model.embed_tokens.weight", (config["vocab_size"], width), 1.0
    for k in range(config["num_hidden_layers"]):
        yield f"model.layers.{k}.input_layernorm.weight", (width,), 0
        for name, rows, cols, factor in (("self_attn.q_proj", heads, width, 1), ("self_attn.k_proj", kv_heads, width, 1),
                                         ("self_attn.v_proj", kv_heads, width, 1), ("self_attn.o_proj", width, heads, writer)):
            yield f"model.layers.{k}.{name}.weight", (rows, cols), factor / math.sqrt(cols)
        yield f"model.layers.{k}.post_attention_layernorm.weight", (width,), 0
        for name, rows, cols, factor in (("gate_proj", ffn, width, 1), ("up_proj", ffn, width, 1), ("down_proj", width, ffn, writer)):
            yield f"model.layers.{k}.mlp.{name}.weight", (rows, cols), factor / math.sqrt(cols)
    yield "model.norm.weight", (width,), 0
    yield "lm_head.weight", (config["vocab_size"], width), 1 / math.sqrt(width)


def bf16_bytes(numbers):
    bits = numbers.view(np.uint32)
    return ((bits + (0x7FFF + (bits >> 16 & 1))) >> 16).astype("<u2").tobytes()


def write_numbers(file, count, deviation, random):
    for first in range(0, count, PIECE):
        size = min(PIECE, count - first)
        numbers = np.ones(size, np.float32) if deviation == 0 else random.standard_normal(size, np.float32) * np.float32(deviation)
        file.write(bf16_bytes(numbers))


def is_hole(name, real_layers):
    if real_layers == 0:
        return True
    parts = name.split(".")
    return parts[1] == "layers" and int(parts[2]) >= real_layers


def write_model(folder, config, real_layers, seed):
    shards, size = [[]], 0
    for tensor in tensors_of(config):
        tensor_bytes = 2 * math.prod(tensor[1])
        if size + tensor_bytes > SHARD_BYTES:
            shards.append([])
            size = 0
        shards[-1].append(tensor)
        size += tensor_bytes
    random = np.random.Generator(np.random.SFC64(seed))
    places, total = {}, 0
    for number, tensors in enumerate(shards, 1):
        name = f"model-{number:05}-of-{len(shards):05}.safetensors"
        header, end = {}, 0
        for tensor, shape, _ in tensors:
            begin, end = end, end + 2 * math.prod(shape)
            header[tensor] = {"dtype": "BF16", "shape": shape, "data_offsets": [begin, end]}
            places[tensor] = name
        text = json.dumps(header, separators=(",", ":")).encode()
        text += b" " * (-len(text) % 8)
        with open(folder / name, "wb") as file:
            file.write(struct.pack("<Q", len(text)) + text)
            for tensor, shape, deviation in tensors:
                count = math.prod(shape)
                if is_hole(tensor, real_layers):
                    file.seek(2 * count, 1)
                else:
                    write_numbers(file, count, deviation, random)
            file.truncate(8 + len(text) + end)  # a hole may be last
        total += end
    index = {"metadata": {"total_size": total}, "weight_map": places}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index, indent=2))
    (folder / "config.json").write_text(json.dumps(config, indent=2))
    print(f"{folder}: {config['num_hidden_layers']} layers, {len(shards)} shards, {total / 1e9:.1f} GB")


def main():
    arguments = argparse.ArgumentParser()
    arguments.add_argument("folder", type=pathlib.Path)
    arguments.add_argument("--shape", choices=SHAPES, default="70b")
    arguments.add_argument("--layers", type=int, help="as many as the model has, if not given")
    arguments.add_argument("--real-layers", type=int, help="layers from this one on are holes of the file")
    arguments.add_argument("--ids", type=pathlib.Path, help="NPY of random token ids to write beside")
    arguments.add_argument("--rows", type=int, default=4)
    arguments.add_argument("--tokens", type=int, default=64)
    arguments.add_argument("--seed", type=int, default=1)
    a = arguments.parse_args()
    config = COMMON | SHAPES[a.shape]
    if a.layers is not None:
        config["num_hidden_layers"] = a.layers
    a.folder.mkdir(parents=True, exist_ok=True)
    write_model(a.folder, config, config["num_hidden_layers"] if a.real_layers is None else a.real_layers, a.seed)
    if a.ids is not None:
        ids = np.random.default_rng(a.seed).integers(config["vocab_size"], size=(a.rows, a.tokens), dtype=np.int32)
        np.save(a.ids, ids)


if __name__ == "__main__":
    main()
