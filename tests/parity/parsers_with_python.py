#!/usr/bin/env python3
"""Reads random files, valid and damaged, with the parsers of the library and with Python's, and compares.

    python3 tests/parity/parsers_with_python.py --program build/release/tests/parity/print_parsed --count 5000 --seed 1

References: numpy (NPY, NPZ), safetensors, gguf, and Python's json. Where both take a file, its content must be equal: names,
types, shapes, metadata, every byte of the numbers, and the decoded numbers of GGUF blocks. Where one takes what the other
refuses, the refusal must be one of those below, each with its reason. Exits with 1 otherwise and keeps the file.
Made with numpy 2.4.6, safetensors 0.8.0, gguf 0.19.0.
"""

import argparse
import collections
import hashlib
import io
import json
import pathlib
import random
import re
import signal
import struct
import subprocess
import sys
import tempfile
import warnings
import zipfile

import gguf
import numpy as np
import safetensors
import safetensors.numpy

# What the library refuses although the reference takes it: (words of the refusal, why).
STRICTER = {
    "npy": [
        (r"does not fit the \d+ bytes of data", "numpy leaves bytes after the array unread"),
        (r"is no type that is read here", "strings, dates, complex numbers and aliases of types are not read"),
        (r"is big-endian", "big-endian numbers are not read"),
        (r"array of records", "records are not read"),
        (r"header: ", "numpy takes any Python literal as header: comments, other white space, +5"),
    ],
    "npz": [
        (r"does not fit the \d+ bytes of data", "numpy leaves bytes after the array unread"),
        (r"header: ", "numpy takes any Python literal as header"),
        (r"name: not allowed", "names that are no UTF-8 or leave the folder"),
        (r"name: UTF-8 is expected", "zipfile takes a name that is not said to be UTF-8 for code page 437"),
        (r"local header", "zipfile does not compare the local header with the directory"),
        (r"bytes are needed at offset", "zipfile reads past the end of a field as if nothing were there"),
        (r"zip64 (locator|end record)", "zipfile passes over zip64 records that are damaged"),
        (r"overlaps another entry", "two entries share bytes"),
        (r"central directory: |too short for a zip file|no end of a central directory", "bytes before, between or after the parts of the file"),
        (r"compressed data|size: ", "zipfile stops at the stated size"),
        (r"occurs twice", "numpy reads the last of two entries of one name"),
        (r"magic: this is no NPY file", "numpy gives an entry that is no array as bytes"),
        (r"extra field", "zipfile passes over extra fields that it does not know"),
        (r"in several parts", "zipfile does not look at the numbers of disks"),
    ],
    "safetensors": [
        (r"header: it must begin with \{", "the format says so; the reference takes spaces first"),
    ],
    "gguf": [
        (r"offset \d+ is expected", "gguf does not compare the offsets of tensors with each other"),
        (r"padding (before|after) the data", "gguf does not need the last padding"),
        (r"array of arrays", "arrays of arrays, which the format allows and no model has"),
        (r"bool that is neither", "gguf takes any byte as a bool"),
        (r"no UTF-8|bytes of UTF-8", "gguf leaves strings as bytes; names longer than ggml's 63 bytes; control characters"),
        (r"split\.count", "one part of a model"),
        (r"at most 4 dimensions", "ggml has four dimensions"),
        (r"layout of type Q2_0", "a type whose layout is not fixed"),
        (r"bytes are needed|are not in a file of|a string of at most 2\^30 bytes", "gguf reads past the end as if nothing were there"),
        (r"cut a block", "gguf rounds down"),
        (r"less than 2\^63 elements", "a dimension beyond 2^63 beside one of 0"),
    ],
    "json": [
        (r"no valid JSON", "Python takes NaN, Infinity, lone surrogates, and numbers beyond double"),
        (r"occurs twice", "Python takes the last of two equal keys"),
    ],
}
# What the reference refuses although the library takes it: (words of the reference, why).
LAXER = {
    "npy": [],
    "npz": [
        (r"zip file version", "zipfile trusts the version that an entry says it needs; here flags and method decide"),
    ],
    "safetensors": [],
    "gguf": [
        (r"Q8_1", "its blocks have 36 bytes in ggml and here, 40 in the Python package; no file stores it"),
        (r"array is too big", "numpy has no array whose shape overflows, even if one dimension is 0"),
    ],
    "json": [],
}

# ---- Valid files

NPY_TYPES = ["?", "i1", "i2", "i4", "i8", "u1", "u2", "u4", "u8", "f2", "f4", "f8"]


def random_name(rng, longest=12):
    letters = "abcXYZ019._-/ é中😀\"\\"
    return "".join(rng.choice(letters) for _ in range(rng.randint(1, longest)))


def random_shape(rng, most=4, largest=5):
    return tuple(rng.randint(0 if rng.random() < 0.1 else 1, largest) for _ in range(rng.randint(0, most)))


def random_array(rng, types=NPY_TYPES):
    dtype, shape = np.dtype(rng.choice(types)), random_shape(rng)
    raw = rng.randbytes(int(np.prod(shape)) * dtype.itemsize)
    if dtype == np.bool_:
        raw = bytes(b & 1 for b in raw)
    array = np.frombuffer(raw, dtype).reshape(shape)
    return np.asfortranarray(array) if rng.random() < 0.3 else array


def valid_npy(rng):
    to = io.BytesIO()
    version = rng.choice([(1, 0), (2, 0), (3, 0)])
    types = NPY_TYPES if rng.random() < 0.9 else [">i4", ">f8", "c8", "S3", "U2", "M8[s]", "i4,f4"]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        np.lib.format.write_array(to, random_array(rng, types), version=version)
    return to.getvalue()


def valid_npz(rng):
    to = io.BytesIO()
    names = {re.sub(r"[/\\]", "_", random_name(rng)).replace("..", "_") for _ in range(rng.randint(0, 4))} - {"file"}
    rng.choice([np.savez, np.savez_compressed])(to, **{name: random_array(rng) for name in sorted(names)})
    return to.getvalue()


SAFETENSORS_BITS = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8,
                    "F8_E8M0": 8, "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32,
                    "F64": 64, "I64": 64, "U64": 64, "C64": 64}


def safetensors_parts(rng):
    """Header (a dictionary) and data."""
    header, data = {}, b""
    if rng.random() < 0.5:
        header["__metadata__"] = {random_name(rng): random_name(rng) for _ in range(rng.randint(0, 3))}
    for _ in range(rng.randint(0, 5)):
        kind, shape = rng.choice(list(SAFETENSORS_BITS)), random_shape(rng)
        bits = SAFETENSORS_BITS[kind] * int(np.prod(shape, dtype=np.int64))
        if bits % 8:
            continue
        header[random_name(rng)] = {"dtype": kind, "shape": list(shape), "data_offsets": [len(data), len(data) + bits // 8]}
        data += rng.randbytes(bits // 8)
    names = list(header)
    size = {name: header[name]["data_offsets"] if name != "__metadata__" else None for name in names}
    used = sum(b - a for a, b in filter(None, size.values()))
    if used != len(data):  # a name drawn twice leaves a hole
        return safetensors_parts(rng)
    return header, data


def safetensors_file(text, data):
    return struct.pack("<Q", len(text)) + text + data


def valid_safetensors(rng):
    header, data = safetensors_parts(rng)
    text = json.dumps(header, ensure_ascii=rng.random() < 0.5, separators=rng.choice([(",", ":"), (", ", ": ")])).encode()
    return safetensors_file(text + b" " * rng.choice([0, -len(text) % 8]), data)


GGUF_CODES = "BbHhIif?..Qqd"
GGUF_ARRAY, GGUF_STRING = 9, 8
GGUF_TYPES = [t for t in gguf.GGMLQuantizationType if t in gguf.GGML_QUANT_SIZES and t.name != "Q8_1"]


def gguf_text(raw):
    return struct.pack("<Q", len(raw)) + raw


def gguf_number(rng, kind):
    code = GGUF_CODES[kind]
    raw = bytes([rng.randint(0, 1)]) if code == "?" else rng.randbytes(struct.calcsize(code))
    return raw


def gguf_payload(rng, kind):
    return gguf_text(random_name(rng).encode()) if kind == GGUF_STRING else gguf_number(rng, kind)


def valid_gguf(rng):
    unit = rng.choice([8, 16, 32, 64]) if rng.random() < 0.3 else 32
    scalars = [k for k in range(13) if k != GGUF_ARRAY]
    values = {}
    if unit != 32:
        values[b"general.alignment"] = struct.pack("<II", 4, unit)
    for _ in range(rng.randint(0, 6)):
        kind = rng.choice(scalars)
        if rng.random() < 0.4:
            count = rng.randint(0, 5)
            body = struct.pack("<IIQ", GGUF_ARRAY, kind, count) + b"".join(gguf_payload(rng, kind) for _ in range(count))
        else:
            body = struct.pack("<I", kind) + gguf_payload(rng, kind)
        values[random_name(rng).encode()] = body
    tensors, data = [], b""
    for name in {random_name(rng) for _ in range(rng.randint(0, 4))}:
        kind = rng.choice(GGUF_TYPES)
        elements, size = gguf.GGML_QUANT_SIZES[kind]
        dims = [elements * rng.randint(1, 2)] + [rng.randint(1, 3) for _ in range(rng.randint(0, 3))]
        blocks = int(np.prod(dims)) // elements
        tensors.append(gguf_text(name.encode()) + struct.pack(f"<I{len(dims)}QIQ", len(dims), *dims, int(kind), len(data)))
        data += rng.randbytes(blocks * size)
        data += bytes(-len(data) % unit)
    head = b"GGUF" + struct.pack("<IQQ", rng.choice([2, 3]), len(tensors), len(values))
    head += b"".join(gguf_text(key) + body for key, body in values.items()) + b"".join(tensors)
    return head + bytes(-len(head) % unit) + data if tensors else head


def json_value(rng, depth=0):
    kind = rng.randint(0, 7 if depth < 4 else 5)
    if kind == 0:
        return rng.choice([None, True, False])
    if kind == 1:
        return rng.randint(-2**63, 2**64 - 1)
    if kind == 2:
        return struct.unpack("<d", rng.randbytes(7) + bytes([rng.randint(0, 0x7E)]))[0]
    if kind == 3:
        return rng.randint(-10, 10)
    if kind in (4, 5):
        return random_name(rng)
    if kind == 6:
        return [json_value(rng, depth + 1) for _ in range(rng.randint(0, 4))]
    return {random_name(rng): json_value(rng, depth + 1) for _ in range(rng.randint(0, 4))}


def valid_json(rng):
    indent = rng.choice([None, 1])
    return json.dumps(json_value(rng), ensure_ascii=rng.random() < 0.5, indent=indent, allow_nan=False).encode()


VALID = {"npy": valid_npy, "npz": valid_npz, "safetensors": valid_safetensors, "gguf": valid_gguf, "json": valid_json}

# ---- Damaged files

PIECES = [b"", b"0", b"-1", b"1", b"2", b"18446744073709551615", b"1.0", b"1e3", b",", b":", b" ", b"\n", b"\t", b"\r", b"\x0b",
          b"\x0c", b"{", b"}", b"[", b"]", b"(", b")", b'"', b"'", b"null", b"true", b"False", b"True", b"NaN", b"\\u0041",
          b"\\ud800", b"\\n", b"\xff", b"\xc3\xa9", b"\0", b"+", b"L", b"_", b"F32", b"<f4", b"#", b"/**/"]


def damage_bytes(rng, raw):
    """One random change."""
    raw = bytearray(raw)
    at = rng.randrange(len(raw) + 1)
    kind = rng.randint(0, 6)
    if kind == 0 and raw:
        raw[at % len(raw)] ^= 1 << rng.randint(0, 7)
    elif kind == 1 and raw:
        raw[at % len(raw)] = rng.choice([0, 1, 2, 0x7F, 0x80, 0xFF, rng.randint(0, 255)])
    elif kind == 2:
        del raw[at:]
    elif kind == 3:
        raw += rng.randbytes(rng.randint(1, 9)) if rng.random() < 0.5 else bytes(rng.randint(1, 40))
    elif kind == 4:
        end = min(len(raw), at + rng.randint(1, 16))
        del raw[at:end]
    elif kind == 5:
        end = min(len(raw), at + rng.randint(1, 16))
        raw[at:at] = raw[at:end]
    else:
        raw[at:at + rng.choice([1, 2, 4, 8])] = struct.pack("<Q", rng.choice([0, 1, 2**31, 2**32 - 1, 2**63, 2**64 - 1]))[:rng.choice([1, 2, 4, 8])]
    return bytes(raw)


def damage_text(rng, raw):
    """Puts a piece of the grammar somewhere, or instead of something, or takes one away."""
    tokens = [m.span() for m in re.finditer(rb"[A-Za-z0-9_.+-]+|\s+|.", raw, re.S)]
    if not tokens:
        return rng.choice(PIECES)
    begin, end = rng.choice(tokens)
    how = rng.randint(0, 2)
    if how == 0:
        return raw[:begin] + rng.choice(PIECES) + raw[begin:]
    if how == 1:
        return raw[:begin] + rng.choice(PIECES) + raw[end:]
    other = raw[slice(*rng.choice(tokens))]
    return raw[:begin] + other + raw[end:]


def damage_npy(rng, raw):
    wide = raw[6] > 1
    begin = 12 if wide else 10
    length = struct.unpack_from("<I" if wide else "<H", raw, 8)[0]
    text = damage_text(rng, raw[begin:begin + length])
    return raw[:8] + struct.pack("<I" if wide else "<H", len(text)) + text + raw[begin + length:]


def damage_safetensors(rng, raw):
    length = struct.unpack_from("<Q", raw)[0]
    return safetensors_file(damage_text(rng, raw[8:8 + length]), raw[8 + length:])


def damage_json(rng, raw):
    return damage_text(rng, raw)


STRUCTURED = {"npy": damage_npy, "safetensors": damage_safetensors, "json": damage_json}


def random_file(rng, kind):
    raw = VALID[kind](rng)
    for _ in range(rng.choice([0, 1, 1, 1, 1, 2])):
        if kind in STRUCTURED and rng.random() < 0.7:
            try:
                raw = STRUCTURED[kind](rng, raw)
            except (struct.error, IndexError):
                pass  # what was damaged before has no such header
        else:
            raw = damage_bytes(rng, raw)
    return raw

# ---- The references, in the words of print_parsed


def sha256(raw):
    return hashlib.sha256(raw).hexdigest()


def describe_array(array):
    raw = (array != 0 if array.dtype == np.bool_ else array).tobytes()
    if array.dtype == np.bool_:
        raw = np.ascontiguousarray(array).view(np.uint8).astype(bool).tobytes()
    return {"type": array.dtype.str, "shape": list(array.shape), "sha256": sha256(raw)}


def read_npy(path):
    return describe_array(np.lib.format.read_array(open(path, "rb"), allow_pickle=False, max_header_size=2**20))


def read_npz(path):
    with np.load(path, allow_pickle=False, max_header_size=2**20) as file:
        if not isinstance(file, np.lib.npyio.NpzFile):
            raise ValueError("no zip file")
        return {name.removesuffix(".npy"): describe_array(np.lib.format.read_array(file.zip.open(name)))
                for name in file.zip.namelist() if name.endswith(".npy")}


def read_safetensors(path):
    raw = pathlib.Path(path).read_bytes()
    tensors = {name: {"type": t["dtype"], "shape": list(t["shape"]), "sha256": sha256(t["data"])}
               for name, t in safetensors.deserialize(raw)}
    with safetensors.safe_open(path, "numpy") as file:
        return {"metadata": file.metadata() or {}, "tensors": tensors}


GGUF_NAMES = dict(zip(range(13), ["u8", "i8", "u16", "i16", "u32", "i32", "f32", "bool", "string", "array", "u64", "i64", "f64"]))


def gguf_number_value(kind, part):
    if kind == GGUF_STRING:
        return sha256(bytes(part))
    if kind in (6, 12):
        with np.errstate(all="ignore"):
            return int(part.astype(np.float64).view(np.uint64)[0])
    return bool(part[0]) if kind == 7 else int(part[0])


def describe_field(field):
    kinds = [int(t) for t in field.types]
    element = kinds[-1]
    parts = [field.parts[i] for i in field.data]
    if kinds[0] != GGUF_ARRAY:
        return {"type": GGUF_NAMES[element], "element": GGUF_NAMES[element], "value": gguf_number_value(element, parts[0])}
    if len(kinds) == 1:  # an empty array
        element = int(field.parts[3][0])
    return {"type": "array", "element": GGUF_NAMES[element], "value": [gguf_number_value(element, p) for p in parts]}


def read_gguf(path):
    reader = gguf.GGUFReader(path)
    fields = {name: describe_field(f) for name, f in reader.fields.items() if not (name.startswith("GGUF.") and f.offset < 24)}
    tensors = {}
    for t in reader.tensors:
        if t.tensor_type.name == "Q8_1":
            raise ValueError("Q8_1")
        shape = [int(d) for d in t.shape[::-1]]
        tensors[t.name] = {"type": t.tensor_type.name, "shape": shape, "sha256": sha256(t.data.tobytes())}
        if t.tensor_type.name in DECODED:
            with np.errstate(all="ignore"):
                tensors[t.name]["decoded"] = gguf.dequantize(t.data, t.tensor_type).astype(np.float32)
    return {"metadata": fields, "tensors": tensors}


DECODED = {"F32", "F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0", "Q2_K", "Q3_K", "Q4_K", "Q5_K", "Q6_K", "IQ4_NL"}


def read_json(path):
    return {"value": json.loads(pathlib.Path(path).read_bytes().decode())}


READERS = {"npy": read_npy, "npz": read_npz, "safetensors": read_safetensors, "gguf": read_gguf, "json": read_json}


def stop(*_):
    raise TimeoutError("the reference takes longer than two seconds")


def reference(kind, path):
    """Its content, or the error as {"refused": text}."""
    signal.setitimer(signal.ITIMER_REAL, 2)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return READERS[kind](path)
    except (Exception, SystemExit) as e:
        return {"refused": f"{type(e).__name__}: {e}"}
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)


# ---- The comparison


def equal(ours, theirs):
    if isinstance(theirs, np.ndarray):
        return ours == sha256(theirs.tobytes())
    if isinstance(ours, dict) and isinstance(theirs, dict):
        return ours.keys() == theirs.keys() and all(equal(ours[k], theirs[k]) for k in ours)
    if isinstance(ours, list) and isinstance(theirs, list):
        return len(ours) == len(theirs) and all(map(equal, ours, theirs))
    if isinstance(ours, float) and isinstance(theirs, int):
        return ours == float(theirs)  # an integer beyond 64 bits
    return type(ours) is type(theirs) and ours == theirs


def judge(kind, ours, theirs):
    """What became of one file, and whether that is as it should be."""
    refused, refused_there = "refused" in ours, "refused" in theirs
    if refused and refused_there:
        return "both refuse", True
    if not refused and not refused_there:
        return ("both take it, equal", True) if equal(ours, theirs) else ("BOTH TAKE IT, DIFFERENT", False)
    table, text = (STRICTER, ours["refused"]) if refused else (LAXER, theirs["refused"])
    who = "refused here" if refused else "taken here"
    for words, why in table[kind]:
        if re.search(words, text):
            return f"{who}: {why}", True
    return f"{who.upper()}: {text.split(chr(10))[0][-150:]}", False


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--program", default="build/release/tests/parity/print_parsed")
    parser.add_argument("--count", type=int, default=5000, help="files of each kind")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--kinds", default=",".join(VALID))
    parser.add_argument("--keep", type=pathlib.Path, default="different", help="the folder for files that differ")
    arguments = parser.parse_args()
    signal.signal(signal.SIGALRM, stop)

    good = True
    for kind in arguments.kinds.split(","):
        rng = random.Random(f"{kind} {arguments.seed}")
        outcomes = collections.Counter()
        with tempfile.TemporaryDirectory() as folder:
            paths = [pathlib.Path(folder, f"{i}.{kind}") for i in range(arguments.count)]
            for path in paths:
                path.write_bytes(random_file(rng, kind))
            done = subprocess.run([arguments.program], input="\n".join(map(str, paths)), text=True, stdout=subprocess.PIPE)
            answers = done.stdout.splitlines()
            if done.returncode != 0 or len(answers) != len(paths):
                sys.exit(f"{kind}: print_parsed ended with {done.returncode} after {len(answers)} of {len(paths)} files")
            for path, answer in zip(paths, answers):
                outcome, is_good = judge(kind, json.loads(answer), reference(kind, path))
                outcomes[outcome] += 1
                if not is_good:
                    arguments.keep.mkdir(exist_ok=True)
                    (arguments.keep / path.name).write_bytes(path.read_bytes())
                    print(f"{arguments.keep / path.name}: {outcome}")
                    good = False
        print(f"\n{kind}, {arguments.count} files")
        for outcome, count in outcomes.most_common():
            print(f"{count:7} {outcome}")
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
