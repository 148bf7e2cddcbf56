"""transformers' models as GGUF files and back, with the Python package gguf.

`write_gguf` lays a model out as llama.cpp's converter does: names, rows of q and k in pairs for `llama`, 1 + γ for Gemma's
norms, fused tensors of Phi-3 as they are, divisors of rotary frequencies, metadata. `model_from_gguf` does the reverse by
itself, from what the file says. What the format cannot say, `as_gguf_says` takes out of a configuration: a model that was
written is to be compared with a model of that one.
"""
import copy
import math

import numpy as np
import torch
import transformers

ARCHITECTURES = {"llama": "llama", "mistral": "llama", "ministral": "llama", "ministral3": "mistral3", "qwen2": "qwen2", "qwen3": "qwen3",
                 "gemma2": "gemma2", "gemma3_text": "gemma3", "olmo2": "olmo2", "phi3": "phi3"}
PAIRED = ("llama", "mistral3")  # rows of q and k are stored as (0, E/2, 1, E/2 + 1, …)
OFFSET_NORMS = ("gemma2", "gemma3")  # 1 + γ is stored
LARGE_GEMMAS = (("gemma2", 46), ("gemma3_text", 62))  # told by their depth: queries scaled by d / heads instead of head_dim
ONCE = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight", "lm_head.weight": "output.weight"}


def parts(arch):
    """{module of a layer: its name in the file}."""
    fused = {"self_attn.qkv_proj": "attn_qkv", "mlp.gate_up_proj": "ffn_up"} if arch == "phi3" else {}
    norms = {"input_layernorm": "attn_norm", "post_attention_layernorm": "ffn_norm"}
    if arch in ("gemma2", "gemma3", "olmo2"):
        norms |= {"post_attention_layernorm": "post_attention_norm", "pre_feedforward_layernorm": "ffn_norm",
                  "post_feedforward_layernorm": "post_ffw_norm"}
    apart = {} if fused else {"self_attn.q_proj": "attn_q", "self_attn.k_proj": "attn_k", "self_attn.v_proj": "attn_v",
                              "self_attn.q_norm": "attn_q_norm", "self_attn.k_norm": "attn_k_norm", "mlp.gate_proj": "ffn_gate",
                              "mlp.up_proj": "ffn_up"}
    return {"self_attn.o_proj": "attn_output", "mlp.down_proj": "ffn_down"} | fused | apart | norms


def gguf_name(name, arch):
    if name in ONCE:
        return ONCE[name]
    _, _, layer, rest = name.split(".", 3)
    part, kind = rest.rsplit(".", 1)
    return f"blk.{layer}.{parts(arch)[part]}.{kind}"


def head_dim_of(config):
    return getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads


def rope_of(config):
    """The rotary parameters of layers that see everything."""
    rope = config.rope_parameters
    return rope.get("full_attention", rope)


def llama3_divisors(rope, dims):
    f = rope["rope_theta"] ** (-np.arange(0, dims, 2) / dims)
    turns = rope["original_max_position_embeddings"] * f / (2 * math.pi)  # of the original context
    low, high, factor = rope["low_freq_factor"], rope["high_freq_factor"], rope["factor"]
    smooth = np.clip((turns - low) / (high - low), 0, 1)
    return (1 / ((1 - smooth) / factor + smooth)).astype(np.float32)


def longrope_magnitude(rope, config):
    if rope.get("attention_factor") is not None:
        return rope["attention_factor"]
    original = rope.get("original_max_position_embeddings") or config.original_max_position_embeddings
    scale = config.max_position_embeddings / original
    return 1.0 if scale <= 1 else math.sqrt(1 + math.log(scale) / math.log(original))


def as_gguf_says(config):
    """The configuration without what a GGUF file cannot hold: windows outside of Gemma and Phi-3, scaling by the text's length,
    yarn's finer settings, the scale of Gemma's queries."""
    config = copy.deepcopy(config)
    family = config.model_type
    if family in ("mistral", "ministral", "qwen2", "qwen3"):
        config.sliding_window = 1 << 20  # Ministral's class wants a number
        if family != "mistral":
            config.layer_types = ["full_attention"] * config.num_hidden_layers
            config.use_sliding_window = False
    if rope_of(config)["rope_type"] == "dynamic":
        config.rope_parameters = {"rope_type": "default", "rope_theta": rope_of(config)["rope_theta"]}
    if rope_of(config)["rope_type"] == "yarn":
        rope_of(config).pop("truncate", None)
        if rope_of(config).get("mscale") and rope_of(config).get("mscale_all_dim"):
            rope_of(config)["mscale"] = 1.0
    if family.startswith("gemma"):
        large = (family, config.num_hidden_layers) in LARGE_GEMMAS
        config.query_pre_attn_scalar = config.hidden_size // config.num_attention_heads if large else head_dim_of(config)
        if family == "gemma2":  # absent means 50 and 30
            config.attn_logit_softcapping = config.attn_logit_softcapping or 50.0
            config.final_logit_softcapping = config.final_logit_softcapping or 30.0
    return config


def add_rope(writer, config, dims):
    import gguf

    rope = rope_of(config)
    kind = rope["rope_type"]
    writer.add_rope_freq_base(rope["rope_theta"])
    writer.add_rope_dimension_count(dims)
    if kind == "linear":
        writer.add_rope_scaling_type(gguf.RopeScalingType.LINEAR)
        writer.add_rope_scaling_factor(rope["factor"])
    elif kind == "yarn":
        writer.add_rope_scaling_type(gguf.RopeScalingType.YARN)
        writer.add_rope_scaling_factor(rope["factor"])
        writer.add_rope_scaling_orig_ctx_len(rope["original_max_position_embeddings"])
        if rope.get("attention_factor") is not None:
            writer.add_rope_scaling_yarn_attn_factor(rope["attention_factor"])
        if rope.get("beta_fast") is not None:
            writer.add_rope_scaling_yarn_beta_fast(rope["beta_fast"])
        if rope.get("beta_slow") is not None:
            writer.add_rope_scaling_yarn_beta_slow(rope["beta_slow"])
        if rope.get("mscale_all_dim"):
            writer.add_rope_scaling_yarn_log_mul(rope["mscale_all_dim"])
        if config.model_type == "ministral3":
            writer.add_attn_temperature_scale(rope["llama_4_scaling_beta"])
    elif kind == "llama3":
        writer.add_tensor("rope_freqs.weight", llama3_divisors(rope, dims))
    elif kind == "longrope":
        writer.add_rope_scaling_orig_ctx_len(config.original_max_position_embeddings)
        writer.add_rope_scaling_attn_factors(longrope_magnitude(rope, config))
        writer.add_tensor("rope_factors_long.weight", np.asarray(rope["long_factor"], np.float32))
        writer.add_tensor("rope_factors_short.weight", np.asarray(rope["short_factor"], np.float32))


def write_gguf(path, model, kind="f32"):
    """The model in a GGUF file, matrices as f32, f16 or bf16."""
    import gguf

    config = model.config
    arch = ARCHITECTURES[config.model_type]
    head_dim = head_dim_of(config)
    rope = rope_of(config)
    dims = int(head_dim * rope.get("partial_rotary_factor", 1.0))
    writer = gguf.GGUFWriter(str(path), arch)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    if head_dim * config.num_attention_heads != config.hidden_size or arch.startswith("gemma"):
        writer.add_key_length(head_dim)
        writer.add_value_length(head_dim)
    writer.add_vocab_size(config.vocab_size)
    add_rope(writer, config, dims)
    if arch in ("gemma2", "gemma3", "phi3") and config.sliding_window is not None:
        writer.add_sliding_window(config.sliding_window)
    if arch in ("gemma2", "gemma3"):
        every = [not kind.startswith("full") for kind in config.layer_types]
        period = {"gemma2": 2, "gemma3": 6}[arch]
        if every != [(k + 1) % period != 0 for k in range(len(every))]:
            writer.add_sliding_window_pattern(every)
    if arch == "gemma2":
        writer.add_attn_logit_softcapping(config.attn_logit_softcapping)
        writer.add_final_logit_softcapping(config.final_logit_softcapping)
    if arch == "gemma3":
        if config.final_logit_softcapping:
            writer.add_final_logit_softcapping(config.final_logit_softcapping)
        writer.add_rope_freq_base_swa(config.rope_parameters["sliding_attention"]["rope_theta"])
    for name, value in model.named_parameters():  # a tied head is not among them
        value = value.detach().float().numpy()
        part = name.split(".")[-2]
        if arch in PAIRED and part in ("q_proj", "k_proj"):
            value = value.reshape(-1, 2, head_dim // 2, *value.shape[1:]).swapaxes(1, 2).reshape(value.shape)
        if arch in OFFSET_NORMS and name.endswith("norm.weight"):
            value = value + np.float32(1)
        if value.ndim == 1 or kind == "f32":
            writer.add_tensor(gguf_name(name, arch), np.ascontiguousarray(value))
        elif kind == "f16":
            writer.add_tensor(gguf_name(name, arch), value.astype(np.float16))
        else:
            packed = gguf.quantize(value, gguf.GGMLQuantizationType.BF16)
            writer.add_tensor(gguf_name(name, arch), packed, raw_dtype=gguf.GGMLQuantizationType.BF16)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def rope_from_gguf(get, tensors, dims, head_dim):
    rope = {"rope_type": "default", "rope_theta": get("rope.freq_base", 10000.0)}
    factor = get("rope.scaling.factor", 0) or 1.0
    kind = get("rope.scaling.type", "linear" if factor != 1 else "none")
    if "rope_factors_long.weight" in tensors:
        rope |= {"rope_type": "longrope", "long_factor": tensors["rope_factors_long.weight"].tolist(),
                 "short_factor": tensors["rope_factors_short.weight"].tolist(), "factor": 1.0,
                 "original_max_position_embeddings": get("rope.scaling.original_context_length"),
                 "attention_factor": get("rope.scaling.attn_factor")}
    elif kind == "linear" and factor != 1:
        rope |= {"rope_type": "linear", "factor": factor}
    elif kind == "yarn":
        rope |= {"rope_type": "yarn", "factor": factor, "original_max_position_embeddings": get("rope.scaling.original_context_length")}
        for key, name in {"attention_factor": "yarn_attn_factor", "beta_fast": "yarn_beta_fast", "beta_slow": "yarn_beta_slow"}.items():
            if get(f"rope.scaling.{name}") is not None:
                rope[key] = get(f"rope.scaling.{name}")
        if get("rope.scaling.yarn_log_multiplier"):
            rope |= {"mscale": 1.0, "mscale_all_dim": get("rope.scaling.yarn_log_multiplier")}
    if get("attention.temperature_scale") is not None:
        rope["llama_4_scaling_beta"] = get("attention.temperature_scale")
    if dims != head_dim:
        rope["partial_rotary_factor"] = dims / head_dim
    return rope


def model_from_gguf(path):
    """transformers' own class with the weights of a GGUF file, in float32."""
    import gguf

    reader = gguf.GGUFReader(path)
    arch = reader.fields["general.architecture"].contents()

    def get(key, otherwise=None):
        field = reader.fields.get(f"{arch}.{key}")
        return otherwise if field is None else field.contents()

    tensors = {t.name: gguf.dequantize(t.data, t.tensor_type) for t in reader.tensors}
    heads, width, layers = get("attention.head_count"), get("embedding_length"), get("block_count")
    head_dim = get("attention.key_length", width // heads)
    dims = get("rope.dimension_count", head_dim)
    family = {"llama": "llama", "mistral3": "ministral3", "gemma3": "gemma3_text"}.get(arch, arch)
    settings = {
        "model_type": family, "hidden_size": width, "intermediate_size": get("feed_forward_length"), "num_hidden_layers": layers,
        "num_attention_heads": heads, "num_key_value_heads": get("attention.head_count_kv", heads), "head_dim": head_dim,
        "vocab_size": tensors["token_embd.weight"].shape[0], "max_position_embeddings": get("context_length"),
        "rms_norm_eps": get("attention.layer_norm_rms_epsilon"), "tie_word_embeddings": "output.weight" not in tensors,
        "attention_bias": "blk.0.attn_output.bias" in tensors, "mlp_bias": "blk.0.ffn_down.bias" in tensors, "pad_token_id": None, "bos_token_id": None, "eos_token_id": None}
    rope = rope_from_gguf(get, tensors, dims, head_dim)
    if family in ("gemma2", "gemma3_text"):
        pattern = get("attention.sliding_window_pattern", {"gemma2": 2, "gemma3_text": 6}[family])
        slides = pattern if isinstance(pattern, list) else [(k + 1) % pattern != 0 for k in range(layers)]
        settings |= {"layer_types": ["sliding_attention" if s else "full_attention" for s in slides],
                     "sliding_window": get("attention.sliding_window") or None,
                     "query_pre_attn_scalar": width // heads if (family, layers) in LARGE_GEMMAS else head_dim,
                     "attn_logit_softcapping": get("attn_logit_softcapping", 50.0) if family == "gemma2" else None,
                     "final_logit_softcapping": get("final_logit_softcapping", 30.0 if family == "gemma2" else None)}
    if family == "gemma3_text":
        rope = {"full_attention": rope, "sliding_attention": {"rope_type": "default", "rope_theta": get("rope.freq_base_swa", 10000.0)}}
    if family == "phi3":
        settings |= {"sliding_window": get("attention.sliding_window") or None}
        if "original_max_position_embeddings" in rope:
            settings["original_max_position_embeddings"] = rope["original_max_position_embeddings"]
    if "blk.0.attn_qkv.weight" not in tensors and family == "phi3":
        raise SystemExit(f"{path}: q, k and v of Phi-3 apart, which this script does not put together")

    names = {theirs: ours for ours, theirs in parts(arch).items()}
    state = {ours: tensors[theirs] for ours, theirs in ONCE.items() if theirs in tensors}
    state.setdefault("lm_head.weight", tensors["token_embd.weight"])
    for name, values in tensors.items():
        if not name.startswith("blk."):
            continue
        _, layer, part, kind = name.split(".")
        if arch in PAIRED and part in ("attn_q", "attn_k"):
            values = values.reshape(-1, head_dim // 2, 2, *values.shape[1:]).swapaxes(1, 2).reshape(values.shape)
        state[f"model.layers.{layer}.{names[part]}.{kind}"] = values
    if arch in OFFSET_NORMS:
        state = {name: v - np.float32(1) if name.endswith("norm.weight") else v for name, v in state.items()}

    config = transformers.AutoConfig.for_model(**settings, rope_parameters=rope)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    model.load_state_dict({k: torch.tensor(np.asarray(v, dtype=np.float32)) for k, v in state.items()}, strict=True)
    if "rope_freqs.weight" in tensors:  # whatever rule gave the divisors, they are what counts
        model.model.rotary_emb.inv_freq /= torch.tensor(tensors["rope_freqs.weight"])
    return model
