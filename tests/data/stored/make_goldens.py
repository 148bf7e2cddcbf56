#!/usr/bin/env python3
"""Writes bitsandbytes.safetensors, efficient_qat.safetensors and flute.safetensors beside this file: small layers as
these packages store them, each with its weights by their arithmetic in float32 as LAYER.expected.

Run: TORCHDYNAMO_DISABLE=1 python tests/data/stored/make_goldens.py EFFICIENTQAT FLUTE
with jaxtyping installed and folders that hold quantize/int_linear_real.py of EfficientQAT and flute/utils.py, flute/packbits_utils.py of FLUTE.
Made with Python 3.11.7, torch 2.15.0 (CPU), bitsandbytes 0.50.2, EfficientQAT 78fd3fb, FLUTE 9eb83a1 (0.4.2).
"""
import importlib.util
import pathlib
import sys
import types

import torch
from bitsandbytes.backends.default.ops import _dequantize_4bit_compute
from bitsandbytes.functional import dequantize_blockwise, quantize_4bit
from safetensors.torch import save_file

here = pathlib.Path(__file__).parent
torch.manual_seed(24)


def module(name, path=None, **members):
    """One of that name for others to import: read from a file, or with these members."""
    if path:
        spec = importlib.util.spec_from_file_location(name, path)
        made = importlib.util.module_from_spec(spec)
    else:
        made = types.ModuleType(name)
    made.__dict__.update(members)
    sys.modules[name] = made
    if path:
        spec.loader.exec_module(made)
    return made


def bitsandbytes():
    tensors = {}
    for name, shape, kind, block, nested, storage in [
        ("plain", (4, 128), "nf4", 64, False, torch.uint8),
        ("fp4", (4, 128), "fp4", 64, False, torch.uint8),
        ("uneven", (7, 100), "nf4", 64, False, torch.uint8),  # blocks cross the ends of rows
        ("odd", (5, 33), "fp4", 64, False, torch.uint8),  # half a byte is left over
        ("short", (16, 32), "nf4", 128, False, torch.uint8),  # a block has four rows
        ("nested", (65, 128), "nf4", 32, True, torch.uint8),  # 260 blocks, of 256 and 4
        ("half", (3, 96), "nf4", 32, False, torch.float16),
        ("brain", (3, 96), "fp4", 64, True, torch.bfloat16),
        ("single", (2, 192), "nf4", 64, True, torch.float32),
    ]:
        w = torch.randn(shape) * 0.05
        packed, state = quantize_4bit(
            w, blocksize=block, compress_statistics=nested, quant_type=kind, quant_storage=storage
        )
        tensors[name + ".weight"] = packed.clone()
        for part, tensor in state.as_dict(packed=True).items():
            tensors[f"{name}.weight.{part}"] = tensor.clone()
        # Not dequantize_4bit: its kernel for the CPU takes blocks that cross the end of a row for others.
        scales = dequantize_blockwise(state.absmax, state.state2) + state.offset if nested else state.absmax
        expected = _dequantize_4bit_compute(
            packed.view(torch.uint8).reshape(-1), scales, state.code, block, shape, torch.float32
        )
        assert (expected - w).abs().max() < 0.2 * w.abs().max()
        tensors[name + ".expected"] = expected.clone()
    save_file(tensors, here / "bitsandbytes.safetensors")


def efficient_qat(source):
    module("quantize")
    module("quantize.triton_utils")
    module("quantize.triton_utils.kernels", dequant_dim0=None, dequant_dim1=None)
    module("quantize.utils", get_named_linears=None, set_op_by_name=None)
    real = module("int_linear_real", source / "quantize" / "int_linear_real.py")
    tensors = {}
    for bits, out, inputs, group, trained in [(2, 16, 64, 32, False), (3, 24, 44, 22, True), (4, 16, 32, 16, True)]:
        name = f"b{bits}"
        groups = inputs // group
        codes = torch.randint(0, 2**bits, (out, inputs))
        zeros = torch.randint(0, 2**bits, (groups, out)).float()
        scales = (torch.rand(groups, out) * 0.05 + 0.01).half().float()
        by_input = lambda x: x.repeat_interleave(group, dim=0).T
        linear = torch.nn.Linear(inputs, out, bias=False)
        linear.weight.data = by_input(scales) * (codes - by_input(zeros))
        layer = real.QuantLinear(bits, group, inputs, out, False)
        layer.pack(linear, scales, zeros)
        if trained:
            scales = scales * (1 + torch.rand(groups, out) * 0.01)
        tensors |= {f"{name}.{part}": tensor for part, tensor in layer.state_dict().items()}
        tensors[name + ".scales"] = scales if trained else layer.scales.data
        tensors[name + ".expected"] = (by_input(scales) * (codes - by_input(zeros))).contiguous()
    save_file(tensors, here / "efficient_qat.safetensors")


def flute(source):
    package = module("flute", TEMPLATE_CONFIGS={}, qgemm=None)
    package.__path__ = [str(source / "flute")]
    package.packbits_utils = module("flute.packbits_utils", source / "flute" / "packbits_utils.py")
    utils = module("flute.utils", source / "flute" / "utils.py")
    tensors = {}
    for name, bits, tile, out, inputs, group in [
        ("b2", 2, 32, 256, 4, 2),
        ("b2_tiles_of_64", 2, 64, 512, 4, 4),
        ("b3", 3, 32, 1024, 4, 2),
        ("b4", 4, 32, 256, 4, 4),
        ("b4_tiles_of_64", 4, 64, 256, 4, 2),
    ]:
        codes = torch.randint(0, 2**bits, (out, inputs), dtype=torch.uint8)
        dtype = torch.bfloat16 if bits == 4 else torch.float16
        table = torch.linspace(-1, 1, 2**bits).to(dtype)
        scales = (torch.rand(out, inputs // group) * 0.05 + 0.01).to(dtype)
        pack = {2: utils._pack_2bit, 3: utils._pack_3bit, 4: utils._pack_4bit}[bits]
        tensors[name + ".weight"] = pack(codes.T.contiguous(), tile_P=tile)
        tensors[name + ".scales"] = scales
        tensors[name + ".tables"] = table
        tensors[name + ".tables2"] = utils.make_qmap2_from_qmap(table)
        tensors[name + ".expected"] = table.float()[codes.long()] * scales.float().repeat_interleave(group, dim=1)
    save_file(tensors, here / "flute.safetensors")


bitsandbytes()
efficient_qat(pathlib.Path(sys.argv[1]))
flute(pathlib.Path(sys.argv[2]))
