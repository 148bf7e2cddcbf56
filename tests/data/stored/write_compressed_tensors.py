#!/usr/bin/env python3
"""Writes compressed_tensors.txt beside this file: a small matrix as compressed-tensors stores it in each of its forms.

A case is a line of its name and its arguments of weights in JSON; a line for each tensor (suffix, type, shape, bytes in
hexadecimal digits); and the SHA-256 of what the package decodes it to, float32, zeros without a sign.

Run: python tests/data/stored/write_compressed_tensors.py
     python tests/data/stored/write_compressed_tensors.py OLD      adds what a package in folder OLD writes (0.11.0)
Made with Python 3.11.7, compressed-tensors 0.20.1 and 0.11.0, torch 2.15.0 (CPU).
"""
import hashlib
import json
import pathlib
import subprocess
import sys

here = pathlib.Path(__file__).parent
out_features, in_features = 10, 64
is_old = len(sys.argv) > 2 and sys.argv[1] == "--from"
if is_old:
    sys.path.insert(0, sys.argv[2])

import torch  # noqa: E402
import compressed_tensors  # noqa: E402
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme  # noqa: E402
from compressed_tensors.quantization.utils import calculate_qparams, generate_gparam  # noqa: E402

types = {torch.int8: "I8", torch.uint8: "U8", torch.int32: "I32", torch.int64: "I64", torch.float32: "F32",
         torch.float16: "F16", torch.bfloat16: "BF16", torch.float8_e4m3fn: "F8_E4M3"}


def matrix():
    i = torch.arange(out_features * in_features)
    w = (((37 * i + 11) % 101) - 50).to(torch.float32) / 64
    return w.reshape(out_features, in_features) * (1 + torch.arange(out_features)[:, None] / 8)


def qparams(w, args):
    """Scales and zeros by the package's own rule."""
    if args.strategy == "block":
        h, c = args.block_structure
        blocks = [[w[r:r + h, k:k + c] for k in range(0, w.shape[1], c)] for r in range(0, w.shape[0], h)]
        low = torch.tensor([[b.min() for b in row] for row in blocks])
        high = torch.tensor([[b.max() for b in row] for row in blocks])
    elif args.strategy in ("group", "tensor_group"):
        g = w.reshape(w.shape[0], -1, args.group_size)
        low, high = g.amin(-1), g.amax(-1)
    elif args.strategy == "channel":
        low, high = w.amin(-1, keepdim=True), w.amax(-1, keepdim=True)
    else:
        low, high = w.amin().reshape(1), w.amax().reshape(1)
    more = {}
    if args.strategy == "tensor_group":
        more["global_scale"] = generate_gparam(w.amin(), w.amax()).reshape(1)
    scale, zero = calculate_qparams(low.to(w.dtype), high.to(w.dtype), args, **more)
    return scale, zero, more.get("global_scale")


def show(file, name, args, tensors, decoded):
    file.write(f"case {name} {json.dumps(args)}\n")
    for suffix, t in sorted(tensors.items()):
        data = t.detach().reshape(-1).clone().view(torch.uint8)
        file.write(f"{suffix} {types[t.dtype]} {json.dumps(list(t.shape)).replace(' ', '')} "
                   f"{bytes(data.tolist()).hex()}\n")
    numbers = decoded.detach().to(torch.float32) + 0.0
    file.write(f"decoded {hashlib.sha256(numbers.contiguous().numpy().tobytes()).hexdigest()}\n")


def new_cases(file):
    from compressed_tensors.compressors import BaseCompressor
    ints = [dict(num_bits=b, type="int", symmetric=s, strategy="group", group_size=32)
            for b in range(1, 9) for s in (True, False) if b > 1 or s]
    ints += [dict(num_bits=4, type="int", symmetric=False, strategy="channel"),
             dict(num_bits=8, type="int", symmetric=True, strategy="channel"),
             dict(num_bits=3, type="int", symmetric=True, strategy="tensor"),
             dict(num_bits=4, type="int", symmetric=False, strategy="tensor")]
    cases = [("pack-quantized", a) for a in ints]
    cases += [("naive-quantized", dict(num_bits=8, type="int", symmetric=True, strategy="channel")),
              ("naive-quantized", dict(num_bits=8, type="int", symmetric=False, strategy="group", group_size=32)),
              ("int-quantized", dict(num_bits=4, type="int", symmetric=True, strategy="channel")),
              ("naive-quantized", dict(num_bits=8, type="float", strategy="tensor")),
              ("naive-quantized", dict(num_bits=8, type="float", strategy="channel")),
              ("float-quantized", dict(num_bits=8, type="float", strategy="group", group_size=16)),
              ("naive-quantized", dict(num_bits=8, type="float", strategy="block", block_structure=[4, 48])),
              ("mxfp8-quantized", dict(num_bits=8, type="float", strategy="group", group_size=32,
                                       scale_dtype="torch.uint8")),
              ("nvfp4-pack-quantized", dict(num_bits=4, type="float", strategy="tensor_group", group_size=16,
                                            scale_dtype="torch.float8_e4m3fn")),
              ("mxfp4-pack-quantized", dict(num_bits=4, type="float", strategy="group", group_size=32,
                                            scale_dtype="torch.uint8"))]
    for form, given in cases:
        w = matrix()
        args = QuantizationArgs(**given)
        scheme = QuantizationScheme(targets=["Linear"], weights=args)
        scale, zero, global_scale = qparams(w, args)
        state = {"weight": w, "weight_scale": scale}
        if not args.symmetric:
            state["weight_zero_point"] = zero.to(torch.int8)
        if global_scale is not None:
            state["weight_global_scale"] = global_scale
        compressor = BaseCompressor.get_value_from_registry(form)
        stored = compressor.compress(state, scheme)
        if form.startswith(("mxfp", "nvfp")):  # the package rounds what it decodes to bfloat16
            decoded = by_hand(stored)
        else:
            decoded = compressor.decompress(stored, scheme)["weight"]
        show(file, form, given, stored, decoded)


def by_hand(stored):
    from compressed_tensors.compressors.nvfp4.helpers import unpack_fp4_from_uint8
    scale = stored["weight_scale"]
    if scale.dtype == torch.uint8:
        scale = torch.exp2(scale.to(torch.float32) - 127)
    scale = scale.to(torch.float32)
    if "weight_global_scale" in stored:
        scale = scale / stored["weight_global_scale"]
    if "weight" in stored:
        values = stored["weight"].to(torch.float32)
    else:
        packed = stored["weight_packed"]
        values = unpack_fp4_from_uint8(packed, packed.shape[0], packed.shape[1] * 2, torch.float32)
    return (values.reshape(values.shape[0], scale.shape[1], -1) * scale[:, :, None]).reshape(values.shape)


def old_decoded(stored, args):
    """As the package does it, which refuses zeros in words (transformers unpacks them before)."""
    from compressed_tensors.compressors.quantized_compressors.pack_quantized import unpack_from_int32
    from compressed_tensors.quantization.lifecycle.forward import dequantize
    q = unpack_from_int32(stored["weight_packed"], args.num_bits, torch.Size((out_features, in_features)))
    zero = stored.get("weight_zero_point")
    if zero is not None:
        zero = unpack_from_int32(zero, args.num_bits, stored["weight_scale"].shape, packed_dim=0)
    return dequantize(x_q=q, scale=stored["weight_scale"], zero_point=zero, args=args,
                      g_idx=stored.get("weight_g_idx"))


def old_cases(file):
    from compressed_tensors.compressors import BaseCompressor
    for given in [dict(num_bits=b, type="int", symmetric=s, strategy="group", group_size=32)
                  for b in (3, 5, 6, 7) for s in (True, False)] + [
                      dict(num_bits=4, type="int", symmetric=False, strategy="group", group_size=32, actorder="group")]:
        w = matrix()
        args = QuantizationArgs(**given)
        g_idx = torch.arange(in_features, dtype=torch.int32) % 2 if args.actorder else None
        ordered = w if g_idx is None else w[:, torch.argsort(g_idx, stable=True)]
        scale, zero, _ = qparams(ordered, args)
        compressor = BaseCompressor.load_from_registry("pack-quantized")
        stored = compressor.compress_weight(weight=w, scale=scale, zero_point=zero.to(torch.int8), g_idx=g_idx,
                                            quantization_args=args)
        if args.symmetric:
            stored.pop("weight_zero_point", None)
        stored["weight_scale"] = scale
        if g_idx is not None:
            stored["weight_g_idx"] = g_idx
        decoded = old_decoded(stored, args)
        show(file, "pack-quantized-old", {k: v for k, v in given.items()}, stored, decoded)


if __name__ == "__main__":
    if is_old:
        assert compressed_tensors.__version__ == "0.11.0", compressed_tensors.__version__
        old_cases(sys.stdout)
    else:
        assert compressed_tensors.__version__ == "0.20.1", compressed_tensors.__version__
        with open(here / "compressed_tensors.txt", "w", encoding="utf-8") as file:
            new_cases(file)
            if len(sys.argv) == 2:
                file.write(subprocess.run([sys.executable, __file__, "--from", sys.argv[1]], check=True,
                                          capture_output=True, text=True).stdout)
