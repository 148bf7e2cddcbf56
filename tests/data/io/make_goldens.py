"""Files of other programs that our readers must read alike, and our writers write alike.

Made with numpy 2.4.6, safetensors 0.8.0, gguf 0.19.0 (Python 3.11) by
    python tests/data/io/make_goldens.py
into the folder of this script. Rerunning it gives the same bytes (the date in a zip file apart).
"""
import pathlib

import gguf
import numpy as np
from safetensors.numpy import save_file

HERE = pathlib.Path(__file__).parent
rng = np.random.default_rng(3)

# --- blocks of every GGUF type that is decoded, and what the gguf package makes of them -------------------------------
T = gguf.GGMLQuantizationType
HALVES = {  # where the f16 numbers of a block stand; the rest of a block may be any bytes
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q2_K: [80, 82], T.Q3_K: [108],
    T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.IQ4_NL: [0], T.IQ4_XS: [0], T.MXFP4: [],
}
arrays = {}
for kind, places in HALVES.items():
    elements, size = gguf.GGML_QUANT_SIZES[kind]
    count = 4
    blocks = rng.integers(0, 256, (count, size), dtype=np.uint8)
    for place in places:
        halves = (rng.standard_normal(count) / 64).astype("<f2")
        blocks[:, place:place + 2] = halves.view(np.uint8).reshape(count, 2)
    arrays[f"{kind.name}_blocks"] = blocks
    arrays[f"{kind.name}_values"] = gguf.quants.dequantize(blocks, kind).astype("<f4").reshape(count, elements)
np.savez(HERE / "gguf_blocks.npz", **arrays)

# --- arrays as numpy writes them; the tests make the same values by the same formula ----------------------------------
NUMBERS = {"b1": "?", "i1": "<i1", "i2": "<i2", "i4": "<i4", "i8": "<i8", "u1": "<u1", "u2": "<u2", "u4": "<u4",
           "u8": "<u8", "f2": "<f2", "f4": "<f4", "f8": "<f8"}
for name, dtype in NUMBERS.items():
    np.save(HERE / f"array_{name}.npy", (np.arange(6) % 2 if name == "b1" else np.arange(6)).astype(dtype).reshape(2, 3))
np.save(HERE / "array_scalar.npy", np.array(2.5, dtype="<f8"))
np.save(HERE / "array_empty.npy", np.zeros((0, 3), dtype="<f4"))
np.save(HERE / "array_long.npy", np.arange(5, dtype="<i4"))
np.save(HERE / "array_fortran.npy", np.asfortranarray(np.arange(24, dtype="<i4").reshape(2, 3, 4)))
with open(HERE / "array_version_2.npy", "wb") as file:
    np.lib.format.write_array(file, np.arange(6, dtype="<i4").reshape(2, 3), version=(2, 0))
with open(HERE / "array_version_3.npy", "wb") as file:
    np.lib.format.write_array(file, np.arange(6, dtype="<i4").reshape(2, 3), version=(3, 0))
np.savez_compressed(HERE / "deflated.npz", zeros=np.zeros((100, 7), dtype="<f4"), count=np.arange(1000, dtype="<i8"))

# --- safetensors ------------------------------------------------------------------------------------------------------
save_file({"model.norm.weight": np.arange(5, dtype="<f4"), "a": np.arange(6, dtype="<f2").reshape(2, 3),
           "ids": np.arange(4, dtype="<i8").reshape(4, 1), "empty": np.zeros((0, 4), dtype="<f4"),
           "scalar": np.array(7, dtype="<i4"), "mask": np.array([True, False, True])},
          HERE / "arrays.safetensors", metadata={"format": "pt"})

# --- a GGUF file with every kind of metadata --------------------------------------------------------------------------
w = gguf.GGUFWriter(HERE / "every_kind.gguf", "llama")
w.add_uint8("kind.u8", 200)
w.add_int8("kind.i8", -100)
w.add_uint16("kind.u16", 60000)
w.add_int16("kind.i16", -30000)
w.add_uint32("kind.u32", 4000000000)
w.add_int32("kind.i32", -2000000000)
w.add_float32("kind.f32", 0.1)
w.add_bool("kind.bool", True)
w.add_string("kind.string", "grüße")
w.add_uint64("kind.u64", 2**63 + 5)
w.add_int64("kind.i64", -2**62)
w.add_float64("kind.f64", 0.1)
w.add_array("kind.strings", ["a", "ü", "long piece of text"])
w.add_array("kind.floats", [0.5, 1.5])
w.add_array("kind.ints", [3, -4])
w.add_tensor("f32.weight", np.arange(6, dtype="<f4").reshape(2, 3))
w.add_tensor("f16.weight", np.arange(8, dtype="<f2").reshape(2, 4))
w.add_tensor("q4.weight", arrays["Q4_K_blocks"].reshape(2, 288), raw_dtype=T.Q4_K)
w.write_header_to_file()
w.write_kv_data_to_file()
w.write_tensors_to_file()
w.close()
