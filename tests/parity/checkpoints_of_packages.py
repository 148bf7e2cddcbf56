#!/usr/bin/env python3
"""Tiny random models in low bits, written by other packages and by bitlens: what the packages make of the files, and what bitlens does.

    python tests/parity/checkpoints_of_packages.py --bitlens build/release/bin/bitlens [--only WORD]... [--keep FOLDER]

Every kind of file that an installed package can write, of a Llama or a Qwen of two layers. The logits of `bitlens probe` are
compared with those of transformers in float32 on the weights that the package's own code unpacks from its file, with the
stored scales as float32: most kernels of these packages compute in half precision, or round activations. Where a kernel of
theirs computes in float32, its logits are what is compared. Packages that are absent are named and left out. Prints
kind × the largest difference of logits, and exits with 1 if one exceeds 1e-4 of the largest logit, or where a file is
refused. Kinds that end in "of bitlens" are files that `bitlens quantize` writes. --only: kinds that have every WORD in them.
--keep leaves the files there.

Made with torch 2.15.0, transformers 5.23.0, GPTQModel 7.7.0, autoawq 0.2.7.post3, bitsandbytes 0.50.2, compressed-tensors 0.20.1, llmcompressor
0.14.0.1, auto-round 0.16.1, mlx 0.32.4 and mlx-lm 0.32.2, gguf 0.19.0, ik-llama-cpp-python 0.1.5. GPTQModel needs
GPTQMODEL_CPU_WORKERS=2 where there are fewer than three cores; bitsandbytes multiplies in bfloat16 where the processor has
instructions for that, which is switched off here.
"""
import argparse
import contextlib
import copy
import importlib
import io
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import traceback

import numpy as np
import torch
import transformers

from compare_families import random_model
from compare_with_transformers import TOLERANCE, run_bitlens

VOCABULARY = 160
BASE = {"num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2, "vocab_size": VOCABULARY,
        "max_position_embeddings": 128, "rms_norm_eps": 1e-6, "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2,
        "tie_word_embeddings": False}
ROPE = {"rope_type": "default", "rope_theta": 1e6}  # what mlx-lm takes it to be, who does not look where transformers 5 writes it
MODELS = {
    "llama": {"model_type": "llama", "hidden_size": 64, "intermediate_size": 96},
    "qwen2": {"model_type": "qwen2", "hidden_size": 128, "intermediate_size": 192, "tie_word_embeddings": True, "rope_parameters": ROPE},
    "qwen3": {"model_type": "qwen3", "hidden_size": 96, "intermediate_size": 160, "head_dim": 32, "rope_parameters": ROPE},
    "wide": {"model_type": "llama", "hidden_size": 256, "intermediate_size": 512},
    "odd": {"model_type": "llama", "hidden_size": 80, "intermediate_size": 112},  # rows that blocks of 64 do not divide
}
MODULES = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")


def tiny(name, dtype=torch.float16):
    """A model whose weights are numbers of that type, in float32."""
    return random_model(np.random.default_rng([7, list(MODELS).index(name)]), BASE | MODELS[name], dtype)


def write_full(folder, model, dtype=torch.float16):
    """Its folder, with a tokenizer, which some packages ask for: a word of every id."""
    from tokenizers import Tokenizer, models, pre_tokenizers

    copy.deepcopy(model).to(dtype).save_pretrained(folder)
    words = Tokenizer(models.WordLevel({f"w{i}": i for i in range(VOCABULARY)}, unk_token="w0"))
    words.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(tokenizer_object=words, bos_token="w1", eos_token="w2", pad_token="w2").save_pretrained(folder)
    return str(folder)


def logits_of(model, ids):
    model.set_attn_implementation("eager")
    with torch.no_grad():
        return model.eval()(torch.tensor(ids.astype(np.int64)), use_cache=False).logits.float().numpy()


def tensors_of(folder):
    from safetensors.torch import load_file

    return {name: value for file in sorted(pathlib.Path(folder).glob("*.safetensors")) for name, value in load_file(file).items()}


def with_weights(config, state, ids):
    """The logits of a dense model of those weights, by name."""
    dense = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    if config.tie_word_embeddings:
        state = state | {"lm_head.weight": state["model.embed_tokens.weight"]}
    dense.load_state_dict({name: value.float() for name, value in state.items()}, strict=True)
    return logits_of(dense, ids)


def rest_of(tensors, layers):
    """The tensors that belong to none of these linear layers; a bias belongs to none."""
    return {n: v for n, v in tensors.items() if n.endswith(".bias") or not any(n.startswith(layer + ".") for layer in layers)}


def unpacked(module):
    """The weight of a linear layer of GPTQModel or auto-round, by its own code, from scales in float32."""
    module = module.float()
    if type(module).__name__.startswith("Awq"):
        from gptqmodel.quantization.awq.utils.packing_utils import dequantize_gemm

        return dequantize_gemm(module.qweight, module.qzeros, module.scales, module.bits, module.group_size).T
    if hasattr(module, "dequantize_weight"):
        return module.dequantize_weight().T
    module.bias = None
    with torch.no_grad():
        return module(torch.eye(module.infeatures)).T


def write_by_bitlens(program, folder, model, method, form):
    """The path of what `bitlens quantize` writes of a model."""
    subprocess.run([program, "quantize", "--model", model, "--methods", method, "--format", form, "--scales", "f16", "--out", folder / "ours"], check=True)
    return folder / "ours" / (f"{method}.gguf" if form == "gguf" else f"{method}-{form}")


# ---- Packages: each yields (kind, f), where f(folder, ids) writes the file and returns its path and the package's logits.
# `bitlens` is the command. ----


def gptqmodel(bitlens):
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
    def case(family, dtype=torch.float16, **settings):
        def run(folder, ids):
            full = write_full(folder / "full", tiny(family, dtype), dtype)
            draw = np.random.default_rng(3)
            calibration = [draw.integers(3, VOCABULARY, 64).tolist() for _ in range(16)]
            model = GPTQModel.load(full, QuantizeConfig(act_group_aware=False, **settings))
            model.quantize(calibration, batch_size=1)
            out = str(folder / "out")
            model.save(out)
            return out, logits_of_loaded(family, out, settings.get("method"), ids, 14 + settings.get("lm_head", False))

        return run

    def logits_of_loaded(family, out, method, ids, count=14):
        backend = BACKEND.AWQ_TORCH if method == "awq" else BACKEND.TORCH
        loaded = GPTQModel.load(str(out), backend=backend, dtype=torch.float16).model
        layers = {name: m for name, m in loaded.named_modules() if name.endswith((*MODULES, "lm_head")) and hasattr(m, "scales")}
        assert len(layers) == count, len(layers)
        state = rest_of(tensors_of(out), layers) | {f"{name}.weight": unpacked(m) for name, m in layers.items()}
        return with_weights(tiny(family).config, state, ids)

    def written(family, method, form):
        def run(folder, ids):
            out = write_by_bitlens(bitlens, folder, write_full(folder / "full", tiny(family)), method, form)
            return out, logits_of_loaded(family, out, form, ids)

        return run

    for method, form in (("rtn2-g32", "gptq_v2"), ("rtn3-g32", "gptq_v2"), ("rtn3-g32-sym", "gptq"), ("rtn4-g32", "gptq_v2"), ("rtn4-g64-sym", "gptq"),
                         ("rtn8-row", "gptq_v2"), ("rtn4-g32", "awq"), ("rtn4-g64", "awq")):
        yield f"{method} as {form} of bitlens", written("qwen2", method, form)

    for form in ("gptq", "gptq_v2"):
        for bits in (2, 3, 4, 8):
            for sym in (True, False):
                yield f"{form} {bits} bits{'' if sym else ' asym'}", case("llama", bits=bits, group_size=32, sym=sym, desc_act=False, format=form)
        yield f"{form} 4 bits desc_act", case("qwen2", bits=4, group_size=32, sym=True, desc_act=True, format=form)
        yield f"{form} 3 bits asym desc_act", case("llama", bits=3, group_size=32, sym=False, desc_act=True, format=form)
        yield f"{form} 4 bits rows", case("qwen3", bits=4, group_size=-1, sym=False, desc_act=False, format=form)
    yield "gptq 4 bits static groups", case("qwen3", bits=4, group_size=32, sym=True, desc_act=True, static_groups=True, format="gptq")
    yield "gptq 4 bits of bfloat16", case("llama", torch.bfloat16, bits=4, group_size=64, sym=True, desc_act=True, format="gptq")
    yield "gptq 4 bits with head", case("qwen3", bits=4, group_size=32, sym=False, desc_act=False, format="gptq", lm_head=True)
    yield "gptq dynamic", case("llama", bits=4, group_size=32, sym=False, desc_act=False, format="gptq",
                               dynamic={r".*down_proj.*": {"bits": 8}, r".*\.1\.self_attn\.q_proj.*": {"bits": 2}})
    for bits in (3, 5, 6, 7):
        for sym in (True, False):
            yield f"gptq_p {bits} bits{'' if sym else ' asym'}", case("llama", bits=bits, group_size=32, sym=sym, desc_act=not sym, format="gptq_p")
    for bits in (2, 3, 4, 5, 6, 7, 8):
        yield f"awq gemm {bits} bits", case("wide", bits=bits, group_size=32, sym=False, desc_act=False, method="awq", format="gemm")
    for form in ("gemv", "gemv_fast", "llm-awq"):
        yield f"awq {form}", case("wide", bits=4, group_size=64, sym=False, desc_act=False, method="awq", format=form)


def autoawq(_):
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.modules.linear.gemv import WQLinear_GEMV
    from awq.modules.linear.gemv_fast import WQLinear_GEMVFast
    from safetensors.torch import save_file

    def case(packer, version, family, group):
        """Its packers need no graphics card, unlike its loaders: the truth is what was packed."""
        def run(folder, ids):
            model = tiny(family)
            state, tensors = dict(model.state_dict()), {}
            for name, linear in model.named_modules():
                if not name.endswith(MODULES):
                    continue
                w = linear.weight.data.reshape(linear.out_features, -1, group)
                low, high = w.amin(-1).clamp(max=0), w.amax(-1).clamp(min=0)
                scales = ((high - low) / 15).half().float()
                zeros = torch.round(-low / scales).clamp(0, 15)
                codes = torch.round(w / scales[..., None] + zeros[..., None]).clamp(0, 15)
                linear.weight.data = (scales[..., None] * (codes - zeros[..., None])).reshape(linear.weight.shape)
                moved = (scales * zeros).half().float() if version == "gemv_fast" else scales * zeros
                state[f"{name}.weight"] = (scales[..., None] * codes - moved[..., None]).reshape(linear.weight.shape)
                if version == "gemm":
                    scales, zeros = scales.T.contiguous(), zeros.T.contiguous()
                packed = packer.from_linear(linear, 4, group, scales=scales, zeros=zeros)
                tensors |= {f"{name}.{part}": value.contiguous() for part, value in packed.named_buffers()}
            tensors |= {n: v.contiguous() for n, v in rest_of(state, {n[:-len(".qweight")] for n in tensors if n.endswith(".qweight")}).items()
                        if n not in tensors and not (n == "lm_head.weight" and model.config.tie_word_embeddings)}
            model.config.quantization_config = {"quant_method": "awq", "bits": 4, "group_size": group, "zero_point": True, "version": version}
            model.config.save_pretrained(folder)
            save_file(tensors, folder / "model.safetensors")
            state = {n: v for n, v in state.items() if n != "lm_head.weight" or not model.config.tie_word_embeddings}
            return folder, with_weights(tiny(family).config, state, ids)

        return run

    for packer, version in ((WQLinear_GEMM, "gemm"), (WQLinear_GEMV, "gemv"), (WQLinear_GEMVFast, "gemv_fast")):
        yield version, case(packer, version, "wide", 64)
        yield f"{version} g128", case(packer, version, "wide", 128)
        yield f"{version} of Qwen2", case(packer, version, "qwen2", 64)


def bitsandbytes(bitlens):
    import bitsandbytes.nn.modules
    from bitsandbytes.backends.default.ops import _dequantize_4bit_compute

    bitsandbytes.nn.modules.has_avx512bf16 = lambda: False

    def case(family, kind, nested, storage=torch.uint8, dtype=torch.float32):
        def run(folder, ids):
            full = write_full(folder / "full", tiny(family))
            config = transformers.BitsAndBytesConfig(load_in_4bit=True, bnb_4bit_quant_type=kind, bnb_4bit_use_double_quant=nested,
                                                     bnb_4bit_compute_dtype=torch.float32, bnb_4bit_quant_storage=storage)
            transformers.AutoModelForCausalLM.from_pretrained(full, quantization_config=config, dtype=dtype, device_map="cpu").save_pretrained(
                folder / "out")
            return folder / "out", logits_of_loaded(family, folder / "out", family != "odd" and dtype == torch.float32, ids)

        return run

    def logits_of_loaded(family, out, by_kernel, ids):
        loaded = transformers.AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32, device_map="cpu")
        layers = {name: m for name, m in loaded.named_modules() if isinstance(m, bitsandbytes.nn.Linear4bit)}
        assert len(layers) == 14, len(layers)
        for module in layers.values():
            module.weight.quant_state.dtype = torch.float32
        if by_kernel:
            return logits_of(loaded, ids)
        # The kernel takes a block that crosses the end of a row for another one, and all else stays in the 16 bits of the file:
        # then the package's code without kernels says the weights.
        state = rest_of(tensors_of(out), layers)
        for name, module in layers.items():
            q = module.weight.quant_state
            scales = bitsandbytes.functional.dequantize_blockwise(q.absmax, q.state2) + q.offset if q.nested else q.absmax
            state[f"{name}.weight"] = _dequantize_4bit_compute(module.weight.view(torch.uint8).reshape(-1), scales.float(), q.code, q.blocksize,
                                                               tuple(q.shape), torch.float32)
        return with_weights(tiny(family).config, state, ids)

    def written(family, method):
        def run(folder, ids):
            out = write_by_bitlens(bitlens, folder, write_full(folder / "full", tiny(family), torch.float32), method, "bnb")
            return out, logits_of_loaded(family, out, True, ids)

        return run

    yield "nf4-g64 as bnb of bitlens", written("qwen2", "nf4-g64")
    yield "nf4-g32 as bnb of bitlens", written("qwen3", "nf4-g32")
    for kind in ("nf4", "fp4"):
        for nested in (False, True):
            yield f"{kind}{' nested' if nested else ''}", case("qwen2", kind, nested)
    yield "nf4 blocks across rows", case("odd", "nf4", False)
    yield "nf4 stored as bfloat16", case("qwen2", "nf4", True, torch.bfloat16, torch.bfloat16)
    yield "nf4 stored as float32", case("qwen2", "nf4", False, torch.float32, torch.float16)


def unpacked_by_compressed_tensors(folder):
    """The weights, by the package's own unpacking."""
    from compressed_tensors.compressors import BaseCompressor
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    from compressed_tensors.quantization import QuantizationScheme

    said = json.loads((folder / "config.json").read_text())["quantization_config"]
    groups = list(said["config_groups"].values())
    tensors = tensors_of(folder)
    layers = {n.rsplit(".", 1)[0] for n in tensors if n.endswith(".weight_scale")}
    state = rest_of(tensors, layers)
    for layer in layers:
        by_name = [g for g in groups if any(t.startswith("re:") and re.match(t[3:], layer) for t in g["targets"])]
        group = (by_name + groups)[0]
        scheme = QuantizationScheme(**{k: v for k, v in group.items() if k != "format"})
        form = group.get("format") or said["format"]
        stored = {n[len(layer) + 1:]: v for n, v in tensors.items() if n.startswith(layer + ".") and not n.endswith(".bias")}
        scale = stored["weight_scale"]
        if "fp4" in form:  # the package rounds what it decodes to bfloat16
            scale = torch.exp2(scale.float() - 127) if scale.dtype == torch.uint8 else scale.float()
            if "weight_global_scale" in stored:
                scale = scale / stored["weight_global_scale"]
            packed = stored["weight_packed"]
            codes = unpack_fp4_from_uint8(packed, packed.shape[0], packed.shape[1] * 2, torch.float32)
            state[layer + ".weight"] = (codes.reshape(*scale.shape, -1) * scale[..., None]).reshape(codes.shape)
        else:
            stored["weight_scale"] = scale.float()
            state[layer + ".weight"] = BaseCompressor.get_value_from_registry(form).decompress(stored, scheme)["weight"]
    return state


def llmcompressor(bitlens):
    from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
    from llmcompressor import oneshot
    from llmcompressor.modifiers.quantization import GPTQModifier, QuantizationModifier

    def mixed(folder, ids):
        model = transformers.AutoModelForCausalLM.from_pretrained(write_full(folder / "full", tiny("llama")), dtype=torch.float16)
        first = QuantizationArgs(num_bits=8, type="int", symmetric=False, strategy="channel")
        second = QuantizationArgs(num_bits=4, type="int", symmetric=True, strategy="group", group_size=16)
        oneshot(model=model, recipe=QuantizationModifier(ignore=["lm_head", "re:.*1.self_attn.o_proj"], config_groups={
            "group_0": QuantizationScheme(targets=["re:.*down_proj"], weights=first),
            "group_1": QuantizationScheme(targets=["re:.*(q|k|v|o|gate|up)_proj"], weights=second)}))
        model.save_pretrained(folder / "out", save_compressed=True)
        return folder / "out", with_weights(tiny("llama").config, unpacked_by_compressed_tensors(folder / "out"), ids)

    yield "two groups and a layer in full", mixed

    def case(family, scheme=None, modifier=QuantizationModifier, actorder=None, **weights):
        def run(folder, ids):
            model = transformers.AutoModelForCausalLM.from_pretrained(write_full(folder / "full", tiny(family)), dtype=torch.float16)
            given = {"scheme": scheme, "targets": "Linear"} if scheme else {"config_groups": {"group_0": QuantizationScheme(
                targets=["Linear"], weights=QuantizationArgs(actorder=actorder, **weights))}}
            settings = {}
            if modifier is GPTQModifier:
                import datasets

                draw = np.random.default_rng(3)
                rows = [{"input_ids": draw.integers(3, VOCABULARY, 64).tolist(), "attention_mask": [1] * 64} for _ in range(16)]
                settings = {"dataset": datasets.Dataset.from_list(rows), "max_seq_length": 64, "num_calibration_samples": 16}
            oneshot(model=model, recipe=modifier(ignore=["lm_head"], **given), **settings)
            out = folder / "out"
            model.save_pretrained(out, save_compressed=True)
            return out, with_weights(tiny(family).config, unpacked_by_compressed_tensors(out), ids)

        return run

    def written(family, method):
        def run(folder, ids):
            out = write_by_bitlens(bitlens, folder, write_full(folder / "full", tiny(family)), method, "compressed-tensors")
            return out, with_weights(tiny(family).config, unpacked_by_compressed_tensors(out), ids)

        return run

    for method in ("rtn4-g32-sym", "rtn4-g32", "rtn3-g32", "rtn5-row-sym", "rtn8-g32"):
        yield f"{method} as compressed-tensors of bitlens", written("qwen3", method)
    for bits in (2, 3, 4, 5, 8):
        for symmetric in (True, False):
            yield (f"pack-quantized int{bits} g32{'' if symmetric else ' asym'}",
                   case("qwen3", num_bits=bits, type="int", symmetric=symmetric, strategy="group", group_size=32))
    for symmetric in (True, False):
        yield (f"pack-quantized int4 channel{'' if symmetric else ' asym'}",
               case("llama", num_bits=4, type="int", symmetric=symmetric, strategy="channel"))
    for order in ("group", "weight", "static"):
        yield (f"pack-quantized int4 g32 GPTQ actorder {order}",
               case("llama", modifier=GPTQModifier, actorder=order, num_bits=4, type="int", symmetric=True, strategy="group", group_size=32))
    yield "W8A16", case("wide", scheme="W8A16")
    yield "NVFP4A16", case("qwen2", scheme="NVFP4A16")
    yield "MXFP4A16", case("llama", scheme="MXFP4A16")
    yield "MXFP8A16", case("llama", scheme="MXFP8A16")
    yield "fp8 channel", case("llama", num_bits=8, type="float", symmetric=True, strategy="channel")


def auto_round(_):
    from auto_round import AutoRound

    def case(family, form, bits, symmetric, group=32, iterations=0):
        def run(folder, ids):
            full = write_full(folder / "full", tiny(family))
            more = {}
            if iterations:
                draw = np.random.default_rng(3)
                more = {"dataset": [torch.tensor(draw.integers(3, VOCABULARY, (1, 64))) for _ in range(8)], "seqlen": 64, "nsamples": 8}
            rounds = AutoRound(full, scheme=f"W{bits}A16", bits=bits, group_size=group, sym=symmetric, iters=iterations, device_map="cpu",
                               disable_opt_rtn=True, **more)
            out = folder / "out"
            rounds.quantize_and_save(str(out), format=form)
            found = [p.parent for p in out.rglob("config.json")]
            return found[0], with_weights(tiny(family).config, weights_by_auto_round(found[0]), ids)

        return run

    for bits in (2, 3, 4, 8):
        for symmetric in (True, False):
            yield f"auto_round {bits} bits{'' if symmetric else ' asym'}", case("llama", "auto_round", bits, symmetric)
    yield "auto_round 4 bits asym, tuned", case("llama", "auto_round", 4, False, 32, 8)
    yield "auto_round:auto_gptq 4 bits asym", case("qwen3", "auto_round:auto_gptq", 4, False)
    yield "auto_round:auto_awq 4 bits asym", case("qwen2", "auto_round:auto_awq", 4, False)
    yield "auto_gptq 4 bits asym", case("qwen2", "auto_gptq", 4, False)
    yield "auto_awq 4 bits asym", case("qwen2", "auto_awq", 4, False)


def weights_by_auto_round(folder):
    """From the modules that transformers and auto-round make of the folder."""
    loaded = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float16, device_map="cpu")
    layers = {name: m for name, m in loaded.named_modules() if name.endswith(MODULES) and hasattr(m, "scales")}
    assert len(layers) == 14, len(layers)
    state = rest_of(tensors_of(folder), layers)
    state |= {f"{name}.weight": unpacked(m) for name, m in layers.items()}
    return state


def mlx_lm(_):
    import mlx.core as mx
    import mlx_lm
    from mlx_lm.convert import convert

    def case(family, mode, bits, group, dtype=torch.float16, **more):
        def run(folder, ids):
            convert(write_full(folder / "full", tiny(family), dtype), str(folder / "out"), quantize=True, q_bits=bits, q_group_size=group, q_mode=mode, **more)
            model, _ = mlx_lm.load(str(folder / "out"))
            model.set_dtype(mx.float32)
            return folder / "out", np.array(model(mx.array(ids)))

        return run

    for bits in (2, 3, 4, 5, 6, 8):
        yield f"affine {bits} bits g32", case("llama", "affine", bits, 32)
    yield "affine 4 bits g64", case("qwen2", "affine", 4, 64, torch.bfloat16)
    yield "affine 4 bits g128", case("wide", "affine", 4, 128)
    yield "affine mixed_3_6", case("llama", "affine", 3, 32, quant_predicate="mixed_3_6")
    yield "mxfp4", case("qwen3", "mxfp4", 4, 32)


def gguf(bitlens):
    from gguf_models import gguf_name, model_from_gguf, write_gguf

    gguf = importlib.import_module("gguf")

    def case(family, name):
        def run(folder, ids):
            path = folder / "model.gguf"
            kind = gguf.GGMLQuantizationType[name]
            write_gguf(folder / "full.gguf", tiny(family), "f32")
            write_again(folder / "full.gguf", path, matrix=lambda values: (gguf.quantize(values, kind), kind))
            return path, logits_of(model_from_gguf(path), ids)

        return run

    def written(family, method):
        def run(folder, ids):
            write_gguf(folder / "full.gguf", tiny(family), "f32")
            add_vocabulary(folder / "full.gguf", folder / "with.gguf")
            path = write_by_bitlens(bitlens, folder, folder / "with.gguf", method, "gguf")
            return path, logits_of(model_from_gguf(path), ids)

        return run

    for method in ("rtn4-g32-sym", "rtn8-g32-sym", "rtn5-g64-sym"):
        yield f"{method} as gguf of bitlens", written("wide", method)
    for name in ("F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "MXFP4"):
        yield name, case("llama" if name != "Q4_1" else "qwen3", name)


def ik_llama_cpp(_):
    from gguf_models import model_from_gguf, write_gguf

    import ik_llama_cpp

    program = pathlib.Path(ik_llama_cpp.__file__).parent / "bin" / "llama-quantize"

    def case(name):
        def run(folder, ids):
            write_gguf(folder / "full.gguf", tiny("wide"), "f32")
            model, decoded = folder / "model.gguf", folder / "decoded.gguf"
            add_vocabulary(folder / "full.gguf", folder / "with.gguf")
            subprocess.run([program, "--pure", folder / "with.gguf", model, name, "2"], check=True, stdout=sys.stderr)
            subprocess.run([program, "--allow-requantize", model, decoded, "F32", "2"], check=True, stdout=sys.stderr)
            return model, logits_of(model_from_gguf(decoded), ids)

        return run

    for name in ("Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL", "IQ4_XS", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"):
        yield name, case({"Q2_K": "Q2_K", "Q3_K": "Q3_K_M", "Q4_K": "Q4_K_M", "Q5_K": "Q5_K_M"}.get(name, name))


def write_again(source, target, matrix=lambda values: (values, None), add=lambda writer: None):
    """A GGUF file of float32 once more: matrices as `matrix` gives them and their type, metadata with what `add` adds."""
    gguf = importlib.import_module("gguf")
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    for key, field in reader.fields.items():
        if not key.startswith("GGUF.") and key != "general.architecture":
            writer.add_key_value(key, field.contents(), field.types[0], sub_type=field.types[-1] if len(field.types) > 1 else None)
    add(writer)
    for tensor in reader.tensors:
        values = np.array(tensor.data, np.float32).reshape([int(n) for n in tensor.shape][::-1])
        values, kind = matrix(values) if values.ndim > 1 else (values, None)
        writer.add_tensor(tensor.name, values, raw_dtype=kind)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def add_vocabulary(source, target):
    """llama.cpp opens no file without a tokenizer."""
    gguf = importlib.import_module("gguf")

    def add(writer):
        writer.add_tokenizer_model("llama")
        writer.add_token_list([f"w{i}" for i in range(VOCABULARY)])
        writer.add_token_scores([0.0] * VOCABULARY)
        writer.add_token_types([gguf.TokenType.NORMAL] * VOCABULARY)

    write_again(source, target, add=add)


PACKAGES = {f.__name__: f for f in (gptqmodel, autoawq, bitsandbytes, llmcompressor, auto_round, mlx_lm, gguf, ik_llama_cpp)}


@contextlib.contextmanager
def quiet(log):
    """What packages print, and their kernels, goes into a file."""
    sys.stdout.flush()
    sys.stderr.flush()
    kept = [os.dup(1), os.dup(2)]
    with open(log, "ab") as file:
        for stream in (1, 2):
            os.dup2(file.fileno(), stream)
        try:
            yield
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            for stream, number in zip(kept, (1, 2)):
                os.dup2(stream, number)
                os.close(stream)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bitlens", default="build/release/bin/bitlens")
    parser.add_argument("--only", action="append", default=[])
    parser.add_argument("--keep", type=pathlib.Path)
    arguments = parser.parse_args()
    transformers.utils.logging.disable_progress_bar()
    ids = np.random.default_rng(1).integers(3, VOCABULARY, (2, 24), dtype=np.int32)
    wrong, done = 0, 0
    with tempfile.TemporaryDirectory() as place:
        log = pathlib.Path(place, "log")
        print(f"{'package':14} {'kind':44} {'largest difference':>18} {'of':>7}")
        for package, cases in PACKAGES.items():
            try:
                with quiet(log):
                    cases = list(cases(arguments.bitlens))
            except ImportError as error:
                print(f"{package:14} left out: {error}", flush=True)
                continue
            for kind, run in cases:
                if not all(word in f"{package} {kind}" for word in arguments.only):
                    continue
                folder = pathlib.Path(arguments.keep or place, f"{package} {kind}".replace(" ", "_").replace(":", "_"))
                shutil.rmtree(folder, ignore_errors=True)
                folder.mkdir(parents=True)
                try:
                    with quiet(log):
                        path, theirs = run(folder, ids)
                except Exception as error:
                    print(f"{package:14} {kind:44} is not written: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}", flush=True)
                    traceback.print_exc(file=open(folder / "why.txt", "w"))
                    continue
                done += 1
                with quiet(log):
                    refusal = subprocess.run([arguments.bitlens, "inspect", path], capture_output=True, text=True).stdout
                try:
                    ours = run_bitlens(arguments.bitlens, path, ids, ["logits"])["logits"]
                except subprocess.CalledProcessError:
                    wrong += 1
                    why = [line for line in refusal.splitlines() if line.startswith("refused") and "tokenizer" not in line]
                    print(f"{package:14} {kind:44} refused: {' '.join(why[:1])}", flush=True)
                    continue
                difference, largest = float(np.abs(ours - theirs).max()), float(np.abs(theirs).max())
                is_wrong = not difference <= TOLERANCE * max(largest, 1)
                wrong += is_wrong
                print(f"{package:14} {kind:44} {difference:18.2e} {largest:7.2f}{'  <-- differs' if is_wrong else ''}", flush=True)
                if not arguments.keep:
                    shutil.rmtree(folder)
    print(f"{done} files, {wrong} of them differ by more than {TOLERANCE:.0e} of the largest logit or are refused")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
