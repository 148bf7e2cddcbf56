#!/usr/bin/env python3
"""Makes the goldens of tests/models: tiny models whose weights follow from their names, run by transformers in float32.

    python make_goldens.py        (writes <family>.json and <family>.npz beside itself)

Made with Python 3.11, torch 2.15.0, transformers 5.23.0, gguf 0.19.0, numpy 2.4.6; the files name what they were made with.

The weights are not stored: element i of a tensor is a hash of the tensor's name and i, which the test computes too.
<family>.json is one object:
    made_with    {"command", "python", "torch", "transformers", "gguf", "numpy"}
    points       those that fire in every layer, in their order;   once   those that fire once, after the last layer
    cases        {name of the case: an object of
        config       its config.json
        type         of its tensors in the file: f32, f16 or bf16;   shards   in how many files
        parameters   [[name, shape]], with N for the number of the layer; a tied head is none
        ids          the text;   rows   the positions whose numbers are stored
        gguf         the same model as GGUF file, where the format can say it: metadata [[key, type, value]], the tensors' names
                     [[name here, name there]], which are stored in pairs, which with one added, and tensors of its own}}
<family>.npz has two arrays a case, the points of layer 0, of layer 1, …, then those that fire once, one behind the other:
<case>, the numbers of the stored rows; <case>_mean, one number a point: the mean of |x| over all rows.
"""
import json
import pathlib
import platform
import sys
import tempfile

import gguf
import numpy as np
import torch
import transformers

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "parity"))
from compare_with_transformers import ONCE, PER_LAYER, run_transformers  # noqa: E402
from gguf_models import OFFSET_NORMS, PAIRED, as_gguf_says, gguf_name, write_gguf  # noqa: E402

TYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16, "float32": torch.float32, "float16": torch.float16,
         "bfloat16": torch.bfloat16}
LLAMA, QWEN2, MISTRAL, MINISTRAL, QWEN3 = (f"{name}ForCausalLM" for name in ("Llama", "Qwen2", "Mistral", "Ministral", "Qwen3"))
GEMMA2, GEMMA3, OLMO2, PHI3 = (f"{name}ForCausalLM" for name in ("Gemma2", "Gemma3", "Olmo2", "Phi3"))


def model_type(model_class):
    return {GEMMA3: "gemma3_text"}.get(model_class, model_class.removesuffix("ForCausalLM").lower())


def config4(model_class, **sizes):
    """As transformers 4 writes it."""
    act = {"hidden_activation": "gelu_pytorch_tanh"} if "Gemma" in model_class else {"hidden_act": "silu"}
    if model_class == PHI3:
        act["pad_token_id"] = None  # its default is an id beyond small vocabularies
    return {"architectures": [model_class], "attention_dropout": 0.0, "bos_token_id": 1, "eos_token_id": 2, **act,
            "initializer_range": 0.02, "model_type": model_type(model_class), "rope_scaling": None, "use_cache": True,
            "transformers_version": "4.46.0", **sizes}


def config5(model_class, theta, **sizes):
    """As transformers 5 writes it."""
    act = {"hidden_activation": "gelu_pytorch_tanh"} if "Gemma" in model_class else {"hidden_act": "silu"}
    return {"architectures": [model_class], "bos_token_id": 1, "eos_token_id": 2, **act, "model_type": model_type(model_class),
            "pad_token_id": None, "rope_parameters": {"rope_theta": theta, "rope_type": "default"}, "transformers_version": "5.23.0", **sizes}


def sizes(d, ffn, layers, heads, kv_heads, vocabulary, context, head_dim=None, tied=False, eps=1e-6):
    explicit = {} if head_dim is None else {"head_dim": head_dim}
    return {"hidden_size": d, "intermediate_size": ffn, "num_hidden_layers": layers, "num_attention_heads": heads,
            "num_key_value_heads": kv_heads, "vocab_size": vocabulary, "max_position_embeddings": context, "tie_word_embeddings": tied,
            "rms_norm_eps": eps, **explicit}


def rope5(kind, theta, **settings):
    return {"rope_parameters": {"rope_type": kind, "rope_theta": theta, **settings}}


SLIDING, FULL = "sliding_attention", "full_attention"
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
    # scaling of the rotary embedding, texts longer than the original context, biases, explicit head_dim
    "llama_llama3": config4(LLAMA, **sizes(21, 25, 2, 3, 1, 31, 64, head_dim=12), torch_dtype="bfloat16", rope_theta=10000.0, attention_bias=False,
                            rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
                                          "original_max_position_embeddings": 16}),
    "llama_linear": config4(LLAMA, **sizes(24, 19, 2, 2, 2, 30, 32), torch_dtype="float16", rope_theta=10000.0, mlp_bias=True,
                            rope_scaling={"type": "linear", "factor": 4.0}),
    "llama_dynamic": config4(LLAMA, **sizes(24, 23, 2, 3, 3, 29, 8, tied=True), torch_dtype="float32", rope_theta=10000.0, attention_bias=True,
                             rope_scaling={"type": "dynamic", "factor": 2.0}),
    "llama_yarn": config5(LLAMA, 0, **sizes(18, 27, 2, 2, 1, 33, 64, head_dim=16), dtype="bfloat16",
                          **rope5("yarn", 10000.0, factor=4.0, original_max_position_embeddings=16)),
    "llama_yarn_finer": config5(LLAMA, 0, **sizes(27, 22, 2, 3, 1, 35, 64, head_dim=20), dtype="float32", attention_bias=True, mlp_bias=True,
                                **rope5("yarn", 100.0, factor=4.0, original_max_position_embeddings=8, truncate=False, attention_factor=1.3,
                                        beta_fast=2.0, beta_slow=0.5)),
    "llama_yarn_mscale": config5(LLAMA, 0, **sizes(20, 22, 2, 2, 2, 35, 64, tied=True), dtype="float16",
                                 **rope5("yarn", 500000.0, factor=8.0, original_max_position_embeddings=8, mscale=0.707, mscale_all_dim=1.0)),
    # windows from a layer on, and named layer by layer
    "qwen2_f32_window": config4(QWEN2, **sizes(21, 25, 3, 3, 1, 31, 64, head_dim=8), torch_dtype="float32", rope_theta=1000000.0,
                                use_sliding_window=True, sliding_window=4, max_window_layers=1),
    "qwen2_bf16_window": config5(QWEN2, 10000.0, **sizes(22, 17, 3, 1, 1, 29, 64, tied=True), dtype="bfloat16", use_sliding_window=True,
                                 sliding_window=3, max_window_layers=3, layer_types=[SLIDING, FULL, SLIDING]),
    "qwen2_f16_yarn": config4(QWEN2, **sizes(24, 26, 2, 4, 2, 34, 64), torch_dtype="float16", rope_theta=1000000.0, use_sliding_window=False,
                              sliding_window=32, max_window_layers=2,
                              rope_scaling={"type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}),
    # a window on all layers; Nemo's heads, longer than d / heads, and no window
    "mistral_f32_window": config4(MISTRAL, **sizes(24, 35, 2, 4, 2, 41, 64, eps=1e-5), torch_dtype="float32", rope_theta=10000.0,
                                  sliding_window=4),
    "mistral_bf16_shards": config5(MISTRAL, 1000000.0, **sizes(25, 31, 2, 5, 1, 33, 64, head_dim=8, eps=1e-5), dtype="bfloat16", sliding_window=None),
    "mistral_f16_odd": config4(MISTRAL, **sizes(27, 22, 3, 9, 3, 37, 64, head_dim=4, tied=True, eps=1e-5), torch_dtype="float16", rope_theta=10000.0,
                               sliding_window=1),
    "mistral_bf16_default": config4(MISTRAL, **sizes(18, 29, 2, 3, 3, 35, 64, eps=1e-5), torch_dtype="bfloat16", rope_theta=10000.0,
                                    rope_scaling={"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 2.0,
                                                  "original_max_position_embeddings": 8}),
    "ministral_f32_tied": config5(MINISTRAL, 100000000.0, **sizes(24, 35, 3, 4, 2, 41, 64, head_dim=12, tied=True), dtype="float32",
                                  sliding_window=4, layer_types=[FULL, SLIDING, SLIDING]),
    "ministral_bf16_shards": config5(MINISTRAL, 10000.0, **sizes(25, 31, 2, 5, 1, 33, 64, head_dim=8, eps=1e-5), dtype="bfloat16", sliding_window=3,
                                     layer_types=[SLIDING, FULL]),
    "ministral_f16_full": config5(MINISTRAL, 1000000.0, **sizes(20, 23, 2, 2, 2, 30, 64, head_dim=10), dtype="float16", sliding_window=3,
                                  layer_types=[FULL, FULL]),
    "ministral_bf16_odd": config4(MINISTRAL, **sizes(27, 22, 3, 9, 3, 37, 64, head_dim=4), torch_dtype="bfloat16", rope_theta=10000.0,
                                  sliding_window=5, layer_types=[SLIDING, SLIDING, SLIDING],
                                  rope_scaling={"type": "linear", "factor": 2.0}),
    # norms of every head of q and k
    "qwen3_f32_tied": config4(QWEN3, **sizes(24, 35, 2, 4, 2, 41, 64, head_dim=16, tied=True), torch_dtype="float32", rope_theta=1000000.0,
                              attention_bias=False, use_sliding_window=False, sliding_window=None, max_window_layers=2),
    "qwen3_bf16_shards": config5(QWEN3, 1000000.0, **sizes(25, 31, 2, 5, 1, 33, 64, head_dim=6), dtype="bfloat16", attention_bias=False,
                                 use_sliding_window=False, sliding_window=None, max_window_layers=2, layer_types=[FULL, FULL]),
    "qwen3_f16_window": config4(QWEN3, **sizes(20, 23, 3, 2, 2, 30, 64, head_dim=10), torch_dtype="float16", rope_theta=10000.0,
                                use_sliding_window=True, sliding_window=3, max_window_layers=2),
    "qwen3_bf16_odd": config4(QWEN3, **sizes(27, 22, 2, 9, 3, 37, 64, head_dim=8, tied=True), torch_dtype="bfloat16", rope_theta=1000000.0,
                              use_sliding_window=False, sliding_window=4096, max_window_layers=28,
                              rope_scaling={"rope_type": "yarn", "factor": 4.0, "original_max_position_embeddings": 8}),
    # norms before and after, soft caps, even layers with a window
    "gemma2_f32": config4(GEMMA2, **sizes(24, 35, 3, 4, 2, 41, 64, head_dim=8, tied=True), torch_dtype="float32", rope_theta=10000.0,
                          query_pre_attn_scalar=24, sliding_window=4, attn_logit_softcapping=2.0, final_logit_softcapping=3.0,
                          cache_implementation="hybrid"),
    "gemma2_bf16_shards": config5(GEMMA2, 10000.0, **sizes(25, 31, 2, 5, 1, 33, 64, head_dim=8, tied=True), dtype="bfloat16",
                                  query_pre_attn_scalar=8, sliding_window=3, attn_logit_softcapping=50.0, final_logit_softcapping=30.0,
                                  layer_types=[FULL, SLIDING]),
    "gemma2_f16_uncapped": config4(GEMMA2, **sizes(20, 23, 2, 2, 2, 30, 64, head_dim=10, eps=1e-5), torch_dtype="float16", rope_theta=500000.0,
                                   query_pre_attn_scalar=12, sliding_window=5, attn_logit_softcapping=None, final_logit_softcapping=None),
    "gemma2_bf16_odd": config5(GEMMA2, 10000.0, **sizes(27, 22, 2, 9, 3, 37, 64, head_dim=4, tied=True), dtype="bfloat16",
                               query_pre_attn_scalar=4, sliding_window=64, attn_logit_softcapping=1.0, final_logit_softcapping=1.0),
    # and norms of q and k, two bases of the rotary embedding
    "gemma3_f32": config4(GEMMA3, **sizes(24, 35, 3, 4, 2, 41, 64, head_dim=8, tied=True), torch_dtype="float32", rope_theta=1000000.0,
                          rope_local_base_freq=10000.0, query_pre_attn_scalar=24, sliding_window=4, sliding_window_pattern=2,
                          attn_logit_softcapping=None, final_logit_softcapping=None, cache_implementation="hybrid",
                          rope_scaling={"factor": 8.0, "rope_type": "linear"}),
    "gemma3_bf16_shards": config5(GEMMA3, 0, **sizes(15, 21, 7, 3, 1, 33, 64, head_dim=6, tied=True), dtype="bfloat16",
                                  query_pre_attn_scalar=6, sliding_window=3, attn_logit_softcapping=None, final_logit_softcapping=None,
                                  layer_types=[SLIDING] * 5 + [FULL, SLIDING],
                                  rope_parameters={FULL: {"rope_type": "linear", "factor": 8.0, "rope_theta": 1000000.0},
                                                   SLIDING: {"rope_type": "default", "rope_theta": 10000.0}}),
    "gemma3_f16": config5(GEMMA3, 0, **sizes(20, 23, 2, 2, 2, 30, 64, head_dim=10, eps=1e-5), dtype="float16",
                          query_pre_attn_scalar=10, sliding_window=5, layer_types=[FULL, SLIDING],
                          rope_parameters={FULL: {"rope_type": "default", "rope_theta": 1000000.0},
                                           SLIDING: {"rope_type": "default", "rope_theta": 100.0}}),
    "gemma3_bf16_odd": config4(GEMMA3, **sizes(27, 22, 2, 9, 3, 37, 64, head_dim=4, tied=True), torch_dtype="bfloat16",
                               query_pre_attn_scalar=4, sliding_window=2, sliding_window_pattern=6),
    # norms after attention and MLP only, and of all heads of q and k at once
    "olmo2_f32": config4(OLMO2, **sizes(24, 35, 2, 4, 4, 41, 64), torch_dtype="float32", rope_theta=500000.0, attention_bias=False),
    "olmo2_bf16_shards": config5(OLMO2, 500000.0, **sizes(25, 31, 2, 5, 1, 33, 64, head_dim=8), dtype="bfloat16", attention_bias=False),
    "olmo2_f16_scaled": config4(OLMO2, **sizes(20, 23, 3, 2, 2, 30, 64, eps=1e-5), torch_dtype="float16", rope_theta=10000.0,
                                rope_scaling={"rope_type": "linear", "factor": 4.0}),
    "olmo2_bf16_odd": config4(OLMO2, **sizes(27, 22, 2, 9, 3, 37, 64, head_dim=4, tied=True), torch_dtype="bfloat16", rope_theta=10000.0),
    # q, k, v in one tensor, gate and up in another; rotation of some dimensions; longrope on both sides of the original context
    "phi3_f32_window": config4(PHI3, **sizes(24, 35, 2, 4, 2, 41, 64, eps=1e-5), torch_dtype="float32", rope_theta=10000.0, sliding_window=4,
                               original_max_position_embeddings=64, resid_pdrop=0.0, embd_pdrop=0.0),
    "phi3_bf16_shards": config5(PHI3, 0, **sizes(40, 31, 2, 5, 1, 33, 64, tied=True, eps=1e-5), dtype="bfloat16", sliding_window=None,
                                original_max_position_embeddings=16,
                                **rope5("longrope", 10000.0, partial_rotary_factor=0.75, short_factor=[1.0, 1.25, 1.5],
                                        long_factor=[1.0, 2.0, 4.0])),
    "phi3_f16_short": config4(PHI3, **sizes(36, 23, 2, 3, 1, 30, 64, eps=1e-5), torch_dtype="float16", rope_theta=10000.0, sliding_window=None,
                              original_max_position_embeddings=32, partial_rotary_factor=1.0,
                              rope_scaling={"type": "longrope", "short_factor": [1.0, 1.1, 1.3, 1.5, 1.6, 1.9],
                                            "long_factor": [1.0, 2.0, 4.0, 8.0, 16.0, 20.0]}),
    "phi3_bf16_odd": config4(PHI3, **sizes(54, 22, 2, 9, 9, 37, 64, eps=1e-5), torch_dtype="bfloat16", rope_theta=10000.0, sliding_window=7,
                             original_max_position_embeddings=64, partial_rotary_factor=0.7),
}

def bits(name, count):
    """Element i: splitmix64(FNV-1a(name) + i)."""
    mask = (1 << 64) - 1
    h = 0xCBF29CE484222325
    for byte in name.encode():
        h = ((h ^ byte) * 0x100000001B3) & mask
    z = np.uint64(h) + np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def formula(name, shape, offset_norms):
    """24 bits as a number of [−1, 1), then the size that the kind of tensor asks for."""
    u = (bits(name, int(np.prod(shape))) >> np.uint64(40)).astype(np.float64) * 2.0**-23 - 1.0
    if name.endswith("norm.weight"):
        return 0.25 * u + (0.0 if offset_norms else 1.0)
    if name.endswith(".bias"):
        return 0.5 * u
    return u * np.sqrt(3.0 / shape[-1])


def weight(name, shape, dtype, offset_norms=False, formula=formula):
    return torch.tensor(formula(name, shape, offset_norms).astype(np.float32)).reshape(tuple(shape)).to(dtype).float()


def make_model(config, dtype, formula):
    with tempfile.TemporaryDirectory() as folder:
        pathlib.Path(folder, "config.json").write_text(json.dumps(config))
        parsed = transformers.AutoConfig.from_pretrained(folder)
    model = transformers.AutoModelForCausalLM.from_config(parsed, dtype=torch.float32)
    with torch.no_grad():
        for name, parameter in model.named_parameters():  # a tied head is not among them
            parameter.copy_(weight(name, parameter.shape, dtype, parsed.model_type.startswith("gemma"), formula))
    return model


def parameters(model):
    of_layers, others = {}, {}
    for name, p in model.named_parameters():
        if not name.startswith("model.layers."):
            others[name] = list(p.shape)
            continue
        _, _, _, rest = name.split(".", 3)
        assert of_layers.setdefault(f"model.layers.N.{rest}", list(p.shape)) == list(p.shape)
    return list((others | of_layers).items())


def as_gguf(model, truth, ids):
    """What write_gguf puts into the file, or None where a file cannot say what the model is."""
    said = transformers.AutoModelForCausalLM.from_config(as_gguf_says(model.config), dtype=torch.float32)
    said.load_state_dict(model.state_dict())
    if np.abs(run_transformers(said, ids[None])["logits"] - truth["logits"]).max() > 1e-6:
        return None
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder, "model.gguf")
        write_gguf(path, said)
        reader = gguf.GGUFReader(path)
        metadata = []
        for key, field in reader.fields.items():
            if not key.startswith("GGUF."):
                kinds = [gguf.GGUFValueType(k).name.lower() for k in field.types]
                metadata.append([key, kinds[-1] if len(kinds) == 1 else "[" + kinds[-1] + "]", field.contents()])
        arch = reader.fields["general.architecture"].contents()
        own = {t.name: t.data.tolist() for t in reader.tensors if t.name.startswith("rope_")}
    names = [[name, gguf_name(name.replace(".N.", ".0."), arch).replace("blk.0.", "blk.N.")] for name, _ in parameters(model)]
    return {"metadata": metadata, "names": names, "pairs": arch in PAIRED, "adds_one": arch in OFFSET_NORMS, "tensors": own}


def text(count, vocabulary):
    return (np.arange(count, dtype=np.int32) * 11 + 3) % vocabulary


def golden(name, config):
    kind = config.get("dtype", config.get("torch_dtype"))
    model = make_model(config, TYPES[kind], formula)
    ids = text(19 if name.startswith("llama_") and "rope_scaling" in config or "yarn" in name or "phi3" in name else 11, config["vocab_size"])
    points = {point: value[0] for point, value in run_transformers(model, ids[None]).items()}
    rows = [1, len(ids) // 2, len(ids) - 1]
    order = [f"{point}_l{k}" for k in range(config["num_hidden_layers"]) for point in PER_LAYER] + ONCE
    assert sorted(order) == sorted(points)
    case = {"config": config, "type": {torch.float32: "f32", torch.float16: "f16", torch.bfloat16: "bf16"}[TYPES[kind]],
            "shards": 3 if "shards" in name else 1, "parameters": parameters(model), "ids": ids.tolist(), "rows": rows,
            "gguf": as_gguf(model, {"logits": points["logits"][None]}, ids)}
    arrays = {name: np.concatenate([points[point][rows].ravel() for point in order]).astype(np.float32),
              f"{name}_mean": np.array([np.abs(points[point].astype(np.float64)).mean() for point in order])}
    return case, arrays


def write_json(name, heads, cases, script="make_goldens.py"):
    made_with = {"command": f"python {script}", "python": platform.python_version(), "torch": torch.__version__,
                 "transformers": transformers.__version__, "gguf": "0.19.0", "numpy": np.__version__}
    lines = [f' "{key}": {json.dumps(value)},' for key, value in ({"made_with": made_with} | heads).items()]
    of_cases = [f'  "{case}": {{\n' + ",\n".join(f'   "{key}": {json.dumps(value)}' for key, value in content.items()) + "\n  }"
                for case, content in cases.items()]
    (HERE / f"{name}.json").write_text("{\n" + "\n".join(lines) + '\n "cases": {\n' + ",\n".join(of_cases) + "\n }\n}\n")


def main():
    for family in dict.fromkeys(config["model_type"] for config in CASES.values()):
        cases, arrays = {}, {}
        for name, config in CASES.items():
            if config["model_type"] == family:
                cases[name], of_case = golden(name, config)
                arrays |= of_case
        write_json(family, {"points": PER_LAYER, "once": ONCE}, cases)
        np.savez_compressed(HERE / f"{family}.npz", **arrays)


if __name__ == "__main__":
    main()
