"""Makes corpus/: for every target of the fuzzers tiny valid files, named valid_*, and hostile ones, named after what is
wrong with them. Equal runs make equal files.

    python3 tests/fuzz/make_corpus.py
"""
import gzip
import hashlib
import json
import math
import shutil
import struct
import zlib
from base64 import b64encode
from pathlib import Path

CORPUS = Path(__file__).parent / "corpus"


def write(target, name, content):
    path = CORPUS / target / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content.encode() if isinstance(content, str) else content)


def floats(count):
    """Weights: small, different, all exact in float16."""
    return [((7 * i) % 16 - 8) / 32 for i in range(count)]


def product(shape):
    count = 1
    for n in shape:
        count *= n
    return count


# ---- A model of one layer: width 4, two heads of 2 and one of keys and values, MLP 4, 6 tokens, a tied head

NORMS = ["model.norm.weight", "model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight"]
LINEAR = {f"model.layers.0.self_attn.{name}_proj.weight": shape
          for name, shape in {"q": (4, 4), "k": (2, 4), "v": (2, 4), "o": (4, 4)}.items()}
LINEAR |= {f"model.layers.0.mlp.{name}_proj.weight": (4, 4) for name in ("gate", "up", "down")}
TENSORS = {"model.embed_tokens.weight": (6, 4)} | {name: (4,) for name in NORMS} | LINEAR
GGUF_NAMES = {"model.embed_tokens.weight": "token_embd.weight", "model.norm.weight": "output_norm.weight"}
for hf, gguf in [("input_layernorm", "attn_norm"), ("post_attention_layernorm", "ffn_norm"), ("self_attn.q_proj", "attn_q"),
                 ("self_attn.k_proj", "attn_k"), ("self_attn.v_proj", "attn_v"), ("self_attn.o_proj", "attn_output"),
                 ("mlp.gate_proj", "ffn_gate"), ("mlp.up_proj", "ffn_up"), ("mlp.down_proj", "ffn_down")]:
    GGUF_NAMES[f"model.layers.0.{hf}.weight"] = f"blk.0.{gguf}.weight"

CONFIG = {"architectures": ["LlamaForCausalLM"], "hidden_act": "silu", "hidden_size": 4, "intermediate_size": 4,
          "max_position_embeddings": 16, "model_type": "llama", "num_attention_heads": 2, "num_hidden_layers": 1,
          "num_key_value_heads": 1, "rms_norm_eps": 1e-05, "rope_theta": 10000.0, "tie_word_embeddings": True,
          "vocab_size": 6}

# ---- JSON that is hostile wherever JSON is read


def hostile_json(target):
    for name, content in {
        "empty.json": "",
        "nested_too_deep.json": "[" * 100,
        "nested_and_closed.json": '{"a":' * 65 + "1" + "}" * 65,
        "key_twice.json": '{"a": 1, "a": 2}',
        "nan.json": '{"a": NaN}',
        "number_beyond_double.json": '{"a": 1e999}',
        "lone_surrogate.json": r'{"a": "\ud800"}',
        "no_utf8.json": b'{"a": "\xff\xfe"}',
        "cut_short.json": '{"a": [1, 2',
        "bytes_after_the_end.json": "{} {}",
        "array_at_the_top.json": "[1]",
        "null.json": "null",
        "zero_byte.json": b'{"a": 1}\0',
    }.items():
        write(target, name, content)


# ---- GGUF

U8, I8, U16, I16, U32, I32, F32, BOOL, STRING, ARRAY, U64, I64, F64 = range(13)
CODES = dict(zip(range(13), ["<B", "<b", "<H", "<h", "<I", "<i", "<f", "<B", None, None, "<Q", "<q", "<d"]))


def g_string(text):
    raw = text.encode() if isinstance(text, str) else text
    return struct.pack("<Q", len(raw)) + raw


def g_value(kind, value):
    return g_string(value) if kind == STRING else struct.pack(CODES[kind], value)


def g_key(key, kind, value):
    return g_string(key) + struct.pack("<I", kind) + g_value(kind, value)


def g_array(key, kind, values, count=None):
    head = struct.pack("<IIQ", ARRAY, kind, len(values) if count is None else count)
    return g_string(key) + head + b"".join(g_value(kind, v) for v in values)


def g_file(values=(), tensors=(), version=3, values_count=None, tensor_count=None, magic=b"GGUF", unit=32):
    """Tensors: (name, dims with the contiguous one first, type, bytes) or the same with an offset."""
    head = magic + struct.pack("<IQQ", version, len(tensors) if tensor_count is None else tensor_count,
                               len(values) if values_count is None else values_count) + b"".join(values)
    data = b""
    for tensor in tensors:
        name, dims, kind, content = tensor[:4]
        offset = tensor[4] if len(tensor) > 4 else len(data)
        head += g_string(name) + struct.pack("<I", len(dims)) + b"".join(struct.pack("<Q", d) for d in dims)
        head += struct.pack("<IQ", kind, offset)
        data += content + bytes(-len(content) % unit)
    return head + bytes(-len(head) % unit) + data if tensors else head


def g_config(**other):
    keys = {"block_count": (U32, 1), "context_length": (U32, 16), "embedding_length": (U32, 4),
            "feed_forward_length": (U32, 4), "attention.head_count": (U32, 2), "attention.head_count_kv": (U32, 1),
            "attention.layer_norm_rms_epsilon": (F32, 1e-5), "rope.freq_base": (F32, 10000.0)}
    keys |= {key.replace("__", "."): value for key, value in other.items()}
    return [g_key("general.architecture", STRING, "llama")] + [g_key("llama." + k, *v) for k, v in keys.items() if v]


def g_tensors(skip=(), **other):
    all = []
    for name, shape in TENSORS.items():
        name = GGUF_NAMES[name]
        if name in skip:
            continue
        code, kind = ("<f", 0) if len(shape) == 1 else ("<e", 1)
        all.append((name, shape[::-1], kind, b"".join(struct.pack(code, x) for x in floats(product(shape)))))
    return all


def gguf_corpus():
    def put(name, content):
        write("gguf", name, content)

    put("valid_model.gguf", g_file(g_config(), g_tensors()))
    put("valid_model_version_2.gguf", g_file(g_config(), g_tensors(), version=2))
    block = bytes(range(18))
    wide = {"embedding_length": (U32, 32), "attention__head_count": (U32, 1), "attention__key_length": (U32, 32)}
    quantized = [("token_embd.weight", (32, 2), 8, bytes(range(34)) * 2)]
    quantized += [(n, (32,), 0, struct.pack("<32f", *floats(32))) for n in ("output_norm.weight", "blk.0.attn_norm.weight", "blk.0.ffn_norm.weight")]
    quantized += [(f"blk.0.attn_{n}.weight", (32, 32), 2, (struct.pack("<e", 0.25) + block[2:]) * 32) for n in ("q", "k", "v", "output")]
    quantized += [(f"blk.0.ffn_{n}.weight", (32, 4), 3, (struct.pack("<ee", 0.25, -1) + block[2:]) * 4) for n in ("gate", "up")]
    quantized += [("blk.0.ffn_down.weight", (4, 32), 30, struct.pack("<H", 0x3E80) * 128)]
    put("valid_quantized_model.gguf", g_file(g_config(**wide), quantized))
    put("every_kind_of_value.gguf", g_file([g_key(f"k{k}", k, 1) for k in CODES if CODES[k]] + [g_key("s", STRING, "text")]
        + [g_array(f"a{k}", k, [0, 1]) for k in CODES if CODES[k]] + [g_array("as", STRING, ["", "b", b"\xff"])]))
    put("every_block_type.gguf", g_file([], [(f"t{kind}", (256, 1), kind, bytes(range(1, 1 + size)) if size < 255 else bytes(size))
        for kind, size in {0: 1024, 1: 512, 2: 144, 3: 160, 6: 176, 7: 192, 8: 272, 10: 84, 11: 110, 12: 144, 13: 176, 14: 210, 30: 512}.items()]))
    model = g_file(g_config(), g_tensors())
    put("empty.gguf", b"")
    put("wrong_magic.gguf", g_file(magic=b"GGML"))
    put("big_endian.gguf", b"GGUF" + struct.pack(">IQQ", 3, 0, 0))
    put("version_1.gguf", g_file(version=1))
    put("version_4.gguf", g_file(version=4))
    put("cut_in_the_header.gguf", model[:20])
    put("cut_in_the_metadata.gguf", model[:100])
    put("last_tensor_cut_by_one_byte.gguf", model[:-32])
    put("2_to_the_64_minus_1_values.gguf", g_file(values_count=2**64 - 1))
    put("2_to_the_63_tensors.gguf", g_file(tensor_count=2**63))
    put("key_of_2_to_the_64_minus_1_bytes.gguf", g_file([struct.pack("<Q", 2**64 - 1)]))
    put("key_of_2_to_the_30_bytes.gguf", g_file([struct.pack("<Q", 2**30)]))
    put("empty_key.gguf", g_file([g_key("", U8, 1)]))
    put("control_characters_in_a_key.gguf", g_file([g_key("a\x1b[31mb", U8, 1)]))
    put("key_twice.gguf", g_file([g_key("a", U8, 1), g_key("a", U8, 2)]))
    put("string_no_utf8.gguf", g_file([g_key("a", STRING, b"\xc3(")]))
    put("bool_2.gguf", g_file([g_key("a", BOOL, 2)]))
    put("unknown_type_of_value.gguf", g_file([g_string("a") + struct.pack("<I", 13)]))
    put("array_of_arrays.gguf", g_file([g_string("a") + struct.pack("<IIQ", ARRAY, ARRAY, 1)]))
    put("array_of_2_to_the_61.gguf", g_file([g_array("a", U64, [], 2**61)]))
    put("array_of_2_to_the_30_strings.gguf", g_file([g_array("a", STRING, [], 2**30)]))
    put("one_of_several_parts.gguf", g_file([g_key("split.count", U16, 2)]))
    one = struct.pack("<f", 1)
    put("tensor_of_rank_0.gguf", g_file([], [("t", (), 0, one)]))
    put("tensor_of_rank_5.gguf", g_file([], [("t", (1,) * 5, 0, one)]))
    put("tensor_of_rank_2_to_the_32_minus_1.gguf", b"GGUF" + struct.pack("<IQQ", 3, 1, 0) + g_string("t") + b"\xff" * 4)
    put("tensor_without_elements.gguf", g_file([], [("t", (0, 2**62, 2**62), 0, b"")]))
    put("dimensions_whose_product_wraps.gguf", g_file([], [("t", (2**32, 2**32, 2), 0, b"")]))
    put("dimension_minus_1.gguf", g_file([], [("t", (2**64 - 1,), 0, b"")]))
    put("bytes_that_wrap.gguf", g_file([], [("t", (2**62, 1), 0, b"")]))
    put("row_that_cuts_a_block.gguf", g_file([], [("t", (33,), 2, bytes(36))]))
    put("unknown_type_of_tensor.gguf", g_file([], [("t", (1,), 4, one)]))
    put("type_minus_1.gguf", g_file([], [("t", (1,), 2**32 - 1, one)]))
    put("tensor_twice.gguf", g_file([], [("t", (1,), 0, one), ("t", (1,), 0, one)]))
    put("tensor_without_a_name.gguf", g_file([], [("", (1,), 0, one)]))
    put("offset_2_to_the_64_minus_1.gguf", g_file([], [("t", (1,), 0, one, 2**64 - 1)]))
    put("tensor_past_end.gguf", g_file([], [("t", (1,), 0, one, 32)]))
    put("tensors_overlap.gguf", g_file([], [("t", (1,), 0, one), ("u", (1,), 0, one, 0)]))
    put("hole_between_tensors.gguf", g_file([], [("t", (1,), 0, one), ("u", (1,), 0, one, 64)]) + bytes(64))
    for unit in (0, 3, 2**31):
        put(f"alignment_{unit}.gguf", g_file([g_key("general.alignment", U32, unit)], [("t", (1,), 0, one)]))
    put("alignment_3_without_tensors.gguf", g_file([g_key("general.alignment", U32, 3)]))
    put("alignment_of_another_type.gguf", g_file([g_key("general.alignment", U64, 32)], [("t", (1,), 0, one)]))

    put("no_architecture.gguf", g_file([]))
    put("unknown_architecture.gguf", g_file([g_key("general.architecture", STRING, "gpt-\x1b[2J")]))
    lies = {"heads_do_not_divide_width": {"attention__head_count": (U32, 3)}, "no_heads": {"attention__head_count": (U32, 0)},
            "more_kv_heads_than_heads": {"attention__head_count_kv": (U32, 4)}, "a_billion_layers": {"block_count": (U32, 10**9)},
            "layers_minus_1": {"block_count": (I32, -1)}, "no_layers": {"block_count": (U32, 0)},
            "epsilon_0": {"attention__layer_norm_rms_epsilon": (F32, 0.0)}, "theta_nan": {"rope__freq_base": (F32, float("nan"))},
            "rope_scaling_unknown": {"rope__scaling__type": (STRING, "ntk")}, "unknown_key": {"odd_key": (U32, 8)}, "experts": {"expert_count": (U32, 8)},
            "width_as_text": {"embedding_length": (STRING, "4")}, "sliding_window": {"attention__sliding_window": (U32, 4)},
            "head_count_2_to_the_40": {"attention__head_count": (U64, 2**40), "attention__key_length": (U64, 2**40)}}
    for name, lie in lies.items():
        put(f"config_{name}.gguf", g_file(g_config(vocab_size=(U32, 6), **lie)))
    one_pair = lambda name, *factors: (name, (len(factors),), 0, struct.pack(f"<{len(factors)}f", *factors))
    put("valid_model_with_divisors.gguf", g_file(g_config(), g_tensors() + [one_pair("rope_freqs.weight", 2)]))
    put("valid_model_with_a_bias.gguf", g_file(g_config(), g_tensors() + [("blk.0.attn_q.bias", (4,), 0, bytes(16))]))
    put("valid_model_of_yarn.gguf", g_file(g_config(rope__scaling__type=(STRING, "yarn"), rope__scaling__factor=(F32, 4.0)), g_tensors()))
    put("valid_model_of_longrope.gguf", g_file(g_config(rope__scaling__original_context_length=(U32, 8)),
        g_tensors() + [one_pair("rope_factors_long.weight", 4), one_pair("rope_factors_short.weight", 1)]))
    put("config_divisors_of_more_dimensions.gguf", g_file(g_config(), g_tensors() + [one_pair("rope_freqs.weight", 1, 2)]))
    put("config_divisor_0.gguf", g_file(g_config(), g_tensors() + [one_pair("rope_freqs.weight", 0)]))
    put("config_divisors_beside_a_factor.gguf", g_file(g_config(rope__scaling__factor=(F32, 4.0)), g_tensors() + [one_pair("rope_freqs.weight", 2)]))
    put("config_short_factors_alone.gguf", g_file(g_config(), g_tensors() + [one_pair("rope_factors_short.weight", 1)]))
    for name, family, lie in [
        ("gemma3_without_window", "gemma3", []), ("gemma3_window_0", "gemma3", [g_key("gemma3.attention.sliding_window", U32, 0)]),
        ("gemma3_pattern_of_more_layers", "gemma3", [g_key("gemma3.attention.sliding_window", U32, 4),
                                                     g_array("gemma3.attention.sliding_window_pattern", BOOL, [0, 1, 1])]),
        ("gemma2_cap_nan", "gemma2", [g_key("gemma2.attn_logit_softcapping", F32, float("nan"))]),
        ("gemma2_a_billion_layers", "gemma2", []), ("phi3_nothing_turns", "phi3", [g_key("phi3.rope.dimension_count", U32, 0)]),
        ("mixture_of_experts", "qwen3moe", []),
    ]:
        keys = [k.replace(b"llama", family.encode()) for k in g_config(vocab_size=(U32, 6), block_count=(U32, 10**9 if "billion" in name else 1), rope__freq_base=(F32, 1e6))[1:]]
        keys = [struct.pack("<Q", struct.unpack("<Q", k[:8])[0] + len(family) - 5) + k[8:] for k in keys]
        put(f"config_{name}.gguf", g_file([g_key("general.architecture", STRING, family)] + keys + lie))
    put("config_vocabulary_larger_than_the_embedding.gguf", g_file(g_config(vocab_size=(U32, 7)), g_tensors()))
    put("missing_tensor.gguf", g_file(g_config(), g_tensors(skip=["blk.0.attn_q.weight"])))
    put("tensor_of_no_layer.gguf", g_file(g_config(), g_tensors() + [("blk.7.attn_q.weight", (4, 4), 1, bytes(32))]))
    tensors = g_tensors()
    put("weight_nan.gguf", g_file(g_config(), [t[:3] + (b"\x00\x7e" + t[3][2:],) if t[0] == "blk.0.attn_q.weight" else t for t in tensors]))
    put("other_shape.gguf", g_file(g_config(), [(t[0], (8, 2)) + t[2:] if t[0] == "blk.0.attn_q.weight" else t for t in tensors]))


# ---- safetensors


def s_file(header, data=b"", length=None):
    raw = header.encode() if isinstance(header, str) else header
    return struct.pack("<Q", len(raw) if length is None else length) + raw + data


def s_tensors(tensors, metadata=None, **more):
    """tensors: name → (dtype, shape, bytes)."""
    header, data = {"__metadata__": metadata} if metadata else {}, b""
    for name, (kind, shape, content) in tensors.items():
        header[name] = {"dtype": kind, "shape": list(shape), "data_offsets": [len(data), len(data) + len(content)]}
        data += content
    return s_file(json.dumps(header, separators=(",", ":")), data, **more)


def s_model(names=TENSORS):
    return {n: ("F32", TENSORS[n], struct.pack(f"<{product(TENSORS[n])}f", *floats(product(TENSORS[n])))) for n in names}


def safetensors_corpus():
    def put(name, content):
        write("safetensors", name + ".safetensors", content)

    def entry(**other):
        return json.dumps({"t": {"dtype": "U8", "shape": [4], "data_offsets": [0, 4]} | other})

    put("valid", s_tensors(s_model(), {"format": "pt"}))
    half = {n: ("F16", s, struct.pack(f"<{product(s)}e", *floats(product(s)))) for n, s in TENSORS.items()}
    put("valid_float16", s_tensors(half))
    put("valid_bfloat16", s_tensors({n: ("BF16", s, struct.pack("<H", 0x3E80) * product(s)) for n, s in TENSORS.items()}))
    shards = [[n for n in TENSORS if ("self_attn" in n) == second] for second in (False, True)]
    put("first_shard", s_tensors(s_model(shards[0])))
    put("second_shard", s_tensors(s_model(shards[1])))
    every = {"BOOL": 8, "F4": 4, "F6_E2M3": 6, "F6_E3M2": 6, "U8": 8, "I8": 8, "F8_E5M2": 8, "F8_E4M3": 8, "F8_E8M0": 8,
             "I16": 16, "U16": 16, "F16": 16, "BF16": 16, "I32": 32, "U32": 32, "F32": 32, "C64": 64, "F64": 64, "I64": 64, "U64": 64}
    put("every_type", s_tensors({k: (k, (4,), bytes(range(bits // 2))) for k, bits in every.items()}))
    put("no_tensors", s_file("{}"))
    put("empty", b"")
    put("seven_bytes", b"\x08" + bytes(6))
    put("header_of_2_to_the_64_minus_1_bytes", s_file("{}", length=2**64 - 1))
    put("header_of_100_million_and_1_bytes", s_file("{}", length=100_000_001))
    put("header_longer_than_the_file", s_file("{}", length=3))
    put("header_of_no_bytes", s_file(""))
    put("header_begins_with_a_space", s_file(" {}"))
    put("header_is_an_array", s_file("[]"))
    put("header_no_utf8", s_file(b'{"\xff": 1}'))
    put("header_with_byte_order_mark", s_file("\ufeff{}"))
    put("header_nested_too_deep", s_file('{"a":' * 65))
    put("tensor_twice", s_file('{"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]},"t":{"dtype":"U8","shape":[4],"data_offsets":[0,4]}}', bytes(4)))
    put("tensor_is_a_number", s_file('{"t": 1}'))
    put("metadata_is_an_array", s_file('{"__metadata__": []}'))
    put("metadata_holds_a_number", s_file('{"__metadata__": {"a": 1}}'))
    put("name_empty", s_file(entry().replace('"t"', '""'), bytes(4)))
    put("name_with_zero_byte", s_file(entry().replace('"t"', '"a\\u0000b"'), bytes(4)))
    put("unknown_type", s_file(entry(dtype="F128"), bytes(4)))
    put("type_is_a_number", s_file(entry(dtype=8), bytes(4)))
    put("unknown_field", s_file(entry(strides=[1]), bytes(4)))
    put("no_shape", s_file('{"t": {"dtype": "U8", "data_offsets": [0, 4]}}', bytes(4)))
    put("shape_as_text", s_file(entry(shape="4"), bytes(4)))
    put("dimension_minus_1", s_file(entry(shape=[-1]), bytes(4)))
    put("dimension_1_5", s_file(entry(shape=[1.5]), bytes(4)))
    put("dimension_2_to_the_64", s_file(entry(shape=[2**64]), bytes(4)))
    put("dimensions_whose_product_wraps", s_file(entry(shape=[2**32, 2**32, 4]), bytes(4)))
    put("bits_that_wrap", s_file(entry(shape=[2**61 + 4]), bytes(4)))
    put("half_a_byte", s_file(entry(dtype="F4", shape=[1], data_offsets=[0, 0])))
    put("shape_of_more_bytes_than_the_offsets", s_file(entry(shape=[5]), bytes(5)))
    put("offsets_inverted", s_file(entry(data_offsets=[4, 0]), bytes(4)))
    put("offsets_negative", s_file(entry(data_offsets=[-4, 0]), bytes(4)))
    put("offsets_2_to_the_64_minus_1", s_file(entry(data_offsets=[2**64 - 5, 2**64 - 1]), bytes(4)))
    put("offsets_three", s_file(entry(data_offsets=[0, 4, 8]), bytes(4)))
    put("tensor_past_end", s_file(entry(data_offsets=[1, 5]), bytes(4)))
    put("last_tensor_short_by_one_byte", s_tensors(s_model())[:-1])
    put("hole_before_the_first", s_file(entry(data_offsets=[1, 5]), bytes(5)))
    put("bytes_after_the_last", s_file(entry(), bytes(5)))
    two = {n: {"dtype": "U8", "shape": [4], "data_offsets": [o, o + 4]} for n, o in {"t": 0, "u": 2}.items()}
    put("tensors_overlap", s_file(json.dumps(two), bytes(6)))
    two["u"] = two["t"]
    put("two_names_for_the_same_bytes", s_file(json.dumps(two), bytes(4)))
    model = s_model()
    q = "model.layers.0.self_attn.q_proj.weight"
    put("model_missing_tensor", s_tensors({n: t for n, t in model.items() if n != q}))
    put("model_other_shape", s_tensors(model | {q: ("F32", (2, 8), model[q][2])}))
    put("model_of_rank_0", s_tensors(model | {q: ("F32", (), bytes(4))}))
    put("model_of_integers", s_tensors(model | {q: ("I8", (4, 4), bytes(16))}))
    put("model_unknown_tensor", s_tensors(model | {"model.layers.1.extra": ("F32", (1,), bytes(4))}))
    put("model_qweight_without_config", s_tensors({n: t for n, t in model.items() if n != q} | {q.replace("weight", "qweight"): ("I32", (1, 4), bytes(16))}))
    put("model_weight_nan", s_tensors(model | {q: ("F32", (4, 4), struct.pack("<f", float("nan")) * 16)}))
    put("model_weight_infinite", s_tensors(model | {q: ("F32", (4, 4), struct.pack("<f", float("-inf")) * 16)}))
    put("model_head_beside_a_tied_one", s_tensors(model | {"lm_head.weight": ("F32", (6, 4), bytes(96))}))

    places = {n: "first.safetensors" for n in shards[0]} | {n: "second.safetensors" for n in shards[1]}
    write("safetensors_index", "valid.json", json.dumps({"metadata": {"total_size": 1}, "weight_map": places}))
    for name, lie in {"shard_outside_the_folder": "../../etc/passwd", "shard_with_absolute_path": "/etc/passwd", "shard_is_the_folder": ".",
                      "shard_without_a_name": "", "shard_with_zero_byte": "first\0.safetensors",
                      "shard_is_the_index": "model.safetensors.index.json", "tensor_in_the_other_shard": "first.safetensors"}.items():
        write("safetensors_index", name + ".json", json.dumps({"weight_map": places | {q: lie}}))
    write("safetensors_index", "shard_missing.json", json.dumps({"weight_map": places | {n: "third.safetensors" for n in shards[1]}}))
    write("safetensors_index", "shard_is_a_number.json", json.dumps({"weight_map": places | {q: 1}}))
    write("safetensors_index", "stale.json", json.dumps({"weight_map": {n: p for n, p in places.items() if n != q}}))
    write("safetensors_index", "map_is_an_array.json", '{"weight_map": []}')
    write("safetensors_index", "no_map.json", "{}")
    hostile_json("safetensors_index")


def config_corpus():
    write("config", "valid.json", json.dumps(CONFIG))
    write("config", "valid_of_transformers_5.json", json.dumps(
        {k: v for k, v in CONFIG.items() if k != "rope_theta"} | {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}, "layer_types": ["full_attention"], "head_dim": 2}))
    for name, lie in {
        "heads_do_not_divide_width": {"num_attention_heads": 3}, "no_heads": {"num_attention_heads": 0},
        "more_kv_heads_than_heads": {"num_key_value_heads": 4}, "no_kv_heads": {"num_key_value_heads": 0}, "a_billion_layers": {"num_hidden_layers": 10**9},
        "no_layers": {"num_hidden_layers": 0}, "layers_minus_1": {"num_hidden_layers": -1}, "layers_1_5": {"num_hidden_layers": 1.5},
        "layers_as_text": {"num_hidden_layers": "1"}, "layers_2_to_the_64": {"num_hidden_layers": 2**64},
        "vocabulary_smaller_than_the_embedding": {"vocab_size": 5}, "width_2_to_the_31": {"hidden_size": 2**31},
        "odd_head_dim": {"head_dim": 3}, "theta_0": {"rope_theta": 0}, "theta_as_text": {"rope_theta": "nan"},
        "epsilon_0": {"rms_norm_eps": 0}, "epsilon_negative": {"rms_norm_eps": -1e-5}, "epsilon_beyond_float": {"rms_norm_eps": 1e300},
        "rope_scaling_unknown": {"rope_scaling": {"rope_type": "ntk", "factor": 4.0}}, "two_thetas": {"rope_parameters": {"rope_theta": 5.0, "rope_type": "default"}},
        "partial_rotation": {"partial_rotary_factor": 0.5}, "attention_bias": {"attention_bias": True}, "sliding_window": {"use_sliding_window": True, "sliding_window": 4},
        "unknown_architecture": {"model_type": "mamba"}, "class_of_another_architecture": {"architectures": ["Qwen2ForCausalLM"]},
        "unknown_activation": {"hidden_act": "gelu"}, "unknown_key": {"odd_key": 8}, "experts": {"num_experts": 8}, "quantization_config": {"quantization_config": {"bits": 33}},
        "untied_without_a_head": {"tie_word_embeddings": False}, "tied_is_a_number": {"tie_word_embeddings": 1},
        "layer_of_another_kind": {"layer_types": ["chunked_attention"]}, "no_vocabulary": {"vocab_size": None},
    }.items():
        write("config", name + ".json", json.dumps({k: v for k, v in (CONFIG | lie).items() if v is not None}))
    # Of other families; what is taken has the tensors of llama.
    longrope = {"rope_type": "longrope", "short_factor": [1.0], "long_factor": [4.0], "original_max_position_embeddings": 8}
    llama3 = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0, "original_max_position_embeddings": 8}
    for family, name, lie in [
        ("mistral", "valid_mistral_usual_window", {}), ("mistral", "valid_mistral_without_window", {"sliding_window": None}),
        ("mistral", "mistral_window_0", {"sliding_window": 0}), ("mistral", "mistral_window_minus_1", {"sliding_window": -1}),
        ("mistral", "mistral_window_2_to_the_64", {"sliding_window": 2**64}),
        ("mistral", "mistral_mixed_layers", {"sliding_window": 4, "layer_types": ["full_attention"]}),
        ("ministral", "valid_ministral_listed_layers", {"sliding_window": 4, "layer_types": ["sliding_attention"]}),
        ("ministral", "ministral_more_types_than_layers", {"sliding_window": 4, "layer_types": ["sliding_attention"] * 2}),
        ("llama", "valid_scaled_linear", {"rope_scaling": {"type": "linear", "factor": 2}}),
        ("llama", "valid_scaled_dynamic", {"rope_scaling": {"type": "dynamic", "factor": 2}}),
        ("llama", "valid_scaled_llama3", {"rope_scaling": llama3}), ("llama", "valid_scaled_longrope", {"rope_scaling": longrope}),
        ("llama", "valid_scaled_yarn", {"rope_scaling": {"type": "yarn", "factor": 2, "beta_fast": None}}),
        ("llama", "factor_0", {"rope_scaling": {"type": "linear", "factor": 0}}), ("llama", "factor_minus_1", {"rope_scaling": {"type": "yarn", "factor": -1}}),
        ("llama", "factor_as_text", {"rope_scaling": {"type": "dynamic", "factor": "2"}}), ("llama", "no_factor", {"rope_scaling": {"type": "yarn"}}),
        ("llama", "stretched_from_nothing", {"rope_scaling": llama3 | {"original_max_position_embeddings": 0}}),
        ("llama", "low_above_high", {"rope_scaling": llama3 | {"low_freq_factor": 5.0}}),
        ("llama", "unknown_key_of_scaling", {"rope_scaling": llama3 | {"odd_key": 1}}),
        ("llama", "factors_of_more_dimensions", {"rope_scaling": longrope | {"long_factor": [1.0] * 1000}}),
        ("llama", "factor_of_a_dimension_0", {"rope_scaling": longrope | {"short_factor": [0]}}),
        ("llama", "scaling_is_an_array", {"rope_scaling": [1]}),
        ("qwen2", "qwen2_a_billion_layers_with_windows", {"use_sliding_window": True, "max_window_layers": 1, "num_hidden_layers": 10**9}),
        ("qwen2", "qwen2_without_biases", {"use_sliding_window": True, "max_window_layers": 2**63}),
        ("qwen3", "qwen3_usual_head_dim", {}), ("olmo2", "olmo2_without_its_norms", {}),
        ("gemma2", "gemma2_without_its_norms", {"head_dim": 2}), ("gemma2", "gemma2_cap_0", {"attn_logit_softcapping": 0}),
        ("gemma2", "gemma2_cap_negative", {"final_logit_softcapping": -30.0}), ("gemma2", "gemma2_scalar_0", {"query_pre_attn_scalar": 0}),
        ("gemma2", "gemma2_scalar_negative", {"query_pre_attn_scalar": -256}), ("gemma2", "gemma2_gelu_of_another_kind", {"hidden_activation": "gelu"}),
        ("gemma3_text", "gemma3_without_window", {"sliding_window": None, "rope_theta": 1e6}), ("gemma3_text", "gemma3_pattern_0", {"sliding_window_pattern": 0}),
        ("gemma3_text", "gemma3_flat_rope_parameters", {"rope_parameters": {"rope_type": "default", "rope_theta": 10000.0}}),
        ("gemma3_text", "gemma3_local_theta_0", {"rope_local_base_freq": 0}),
        ("gemma3", "gemma3_wraps_nothing", {}), ("gemma3", "gemma3_wraps_another", {"text_config": {"model_type": "llama"}}),
        ("gemma3", "gemma3_wraps_an_array", {"text_config": []}), ("gemma3", "gemma3_wraps_itself", {"text_config": {"text_config": {}}}),
        ("phi3", "valid_phi3_separate_tensors", {"partial_rotary_factor": 1}), ("phi3", "phi3_nothing_turns", {"partial_rotary_factor": 0}),
        ("phi3", "phi3_more_than_all_turns", {"partial_rotary_factor": 1.5}), ("phi3", "phi3_old_yarn_without_factors", {"rope_scaling": {"type": "yarn"}}),
    ]:
        write("config", name + ".json", json.dumps({k: v for k, v in CONFIG.items() if k not in ("architectures", "hidden_act")} | {"model_type": family} | lie))
    hostile_json("config")


# ---- Tokenizers

GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
QWEN2 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*"
          r"|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")
VOCABULARY = {"<s>": 0, "a": 1, "b": 2, "ab": 3, "\u0120": 4, "\u0120a": 5, "1": 6, "aab": 7}
TOKENIZER = {"version": "1.0", "truncation": None, "padding": None,
             "added_tokens": [{"id": 0, "content": "<s>", "single_word": False, "lstrip": False, "rstrip": False, "normalized": False, "special": True}],
             "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
             "post_processor": None, "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
             "model": {"type": "BPE", "vocab": VOCABULARY, "merges": ["a b", "\u0120 a", "a ab"]}}


def tokenizer_corpus():
    def put(name, **other):
        write("tokenizer_json", name + ".json", json.dumps(TOKENIZER | other, ensure_ascii=False))

    def model(**other):
        return {"model": TOKENIZER["model"] | other}

    def added(*tokens):
        return {"added_tokens": [TOKENIZER["added_tokens"][0] | t for t in tokens]}

    def split(regex, **other):
        step = {"type": "Split", "pattern": {"Regex": regex}, "behavior": "Isolated", "invert": False} | other
        return {"pre_tokenizer": {"type": "Sequence", "pretokenizers": [step, {"type": "ByteLevel", "add_prefix_space": False, "use_regex": False}]}}

    put("valid_gpt2")
    digits = {"type": "Sequence", "pretokenizers": [{"type": "Digits", "individual_digits": True}, TOKENIZER["pre_tokenizer"]]}
    put("valid_digits", pre_tokenizer=digits)
    put("valid_qwen2", **split(QWEN2), normalizer={"type": "NFC"}, **model(ignore_merges=True, merges=[["a", "b"], ["a", "ab"]]))
    template = {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>", "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}}],
                "pair": [], "special_tokens": {"<s>": {"id": "<s>", "ids": [0], "tokens": ["<s>"]}}}
    put("valid_bos", post_processor={"type": "Sequence", "processors": [{"type": "ByteLevel"}, template]})
    put("bos_twice", post_processor=template | {"single": template["single"][:1] * 2 + template["single"][1:]})
    put("bos_without_a_token", post_processor=template | {"special_tokens": {}})
    put("bos_of_an_id_that_is_none", post_processor=template | {"special_tokens": {"<s>": {"ids": [99]}}})
    put("bos_of_no_ids", post_processor=template | {"special_tokens": {"<s>": {"ids": []}}})
    put("merge_of_an_unknown_token", **model(merges=["a c"]))
    put("merge_into_an_unknown_token", **model(merges=["b a"]))
    put("merge_twice", **model(merges=["a b", "a b"]))
    put("merge_of_empty_parts", **model(vocab=VOCABULARY | {"": 8}, merges=[["", ""], ["a", ""]]))
    put("merge_of_one_part", **model(merges=["ab"]))
    put("merge_of_three_parts", **model(merges=["a a b"]))
    put("merge_is_a_number", **model(merges=[1]))
    put("merges_is_an_object", **model(merges={}))
    put("id_twice", **model(vocab=VOCABULARY | {"b": 1}))
    put("id_negative", **model(vocab=VOCABULARY | {"b": -1}))
    put("id_2_to_the_31", **model(vocab=VOCABULARY | {"b": 2**31}))
    put("id_is_text", **model(vocab=VOCABULARY | {"b": "2"}))
    put("id_largest", **model(vocab=VOCABULARY | {"b": 2**31 - 1}))
    put("vocabulary_empty", **model(vocab={}, merges=[]), added_tokens=[])
    put("vocabulary_is_an_array", **model(vocab=[]))
    put("token_outside_the_byte_alphabet", **model(vocab=VOCABULARY | {"\u4e2d": 8}))
    put("valid_unknown_token", **model(unk_token="<s>", fuse_unk=True))
    put("unknown_token_that_is_none", **model(unk_token="?"))
    put("byte_fallback_without_all_bytes", **model(byte_fallback=True, vocab=VOCABULARY | {"<0x0A>": 8}))
    put("dropout", **model(dropout=0.1))
    put("model_unigram", **model(type="Unigram"))
    put("model_unknown_key", **model(threads=4))
    put("model_missing", model=None)
    put("unknown_key", extra=1)
    put("added_overlap", **added({}, {"id": 8, "content": "<s><s>"}, {"id": 9, "content": "s>", "special": False}))
    put("added_twice", **added({}, {}))
    put("added_of_an_id_in_use", **added({"id": 1}))
    put("added_of_no_characters", **added({"id": 8, "content": ""}))
    put("added_of_1025_bytes", **added({"id": 8, "content": "x" * 1025}))
    put("valid_added_stripping_spaces", **added({"lstrip": True, "rstrip": True}, {"id": 8, "content": "it", "single_word": True, "normalized": True}))
    put("added_is_an_object", added_tokens={})
    put("pattern_unknown", **split(r"(a+)+$"))
    put("pattern_of_another_behavior", **split(GPT2, behavior="Removed"))
    put("valid_pattern_of_text", **split(GPT2, pattern={"String": " "}, behavior="MergedWithPrevious"))
    put("pattern_of_no_text", **split(GPT2, pattern={"String": ""}))
    put("pattern_of_text_inverted", **split(GPT2, pattern={"String": " "}, invert=True))
    put("valid_pattern_removed_with_invert", **split(GPT2, behavior="Removed", invert=True))
    put("pre_tokenizer_unknown", pre_tokenizer={"type": "Whitespace"})
    put("bytes_before_another_step", pre_tokenizer={"type": "Sequence", "pretokenizers": [TOKENIZER["pre_tokenizer"], digits["pretokenizers"][0]]})
    characters = model(vocab=VOCABULARY | {"\u2581": 8, "\u2581a": 9, "<0xC3>": 10, "<0xA9>": 11}, merges=["\u2581 a", "a b"], unk_token="<s>", fuse_unk=True,
                       byte_fallback=True)
    marks = {"type": "Replace", "pattern": {"String": " "}, "content": "\u2581"}
    metaspace = {"type": "Metaspace", "replacement": "\u2581"}
    put("valid_characters", **characters, pre_tokenizer=None, decoder=None,
        normalizer={"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "\u2581"}, marks]})
    put("valid_metaspace", **characters, pre_tokenizer=metaspace | {"prepend_scheme": "first", "split": True},
        decoder={"type": "Sequence", "decoders": [marks, {"type": "ByteFallback"}, {"type": "Fuse"}, {"type": "Strip", "content": " ", "start": 1, "stop": 0}]})
    put("metaspace_of_two_characters", **characters, pre_tokenizer=metaspace | {"replacement": "__"})
    put("metaspace_of_an_unknown_scheme", **characters, pre_tokenizer=metaspace | {"prepend_scheme": "last"})
    put("replace_of_a_pattern", **characters, pre_tokenizer=None, normalizer=marks | {"pattern": {"Regex": " +"}})
    put("prepend_of_a_number", **characters, pre_tokenizer=None, normalizer={"type": "Prepend", "prepend": 1})
    put("pre_tokenizer_of_nine_steps", pre_tokenizer={"type": "Sequence", "pretokenizers": [digits["pretokenizers"][0]] * 8 + [TOKENIZER["pre_tokenizer"]]})
    deep = TOKENIZER["pre_tokenizer"]
    for _ in range(25):
        deep = {"type": "Sequence", "pretokenizers": [deep]}
    put("valid_sequence_in_sequence", pre_tokenizer=deep)
    put("valid_sequence_without_steps", pre_tokenizer={"type": "Sequence", "pretokenizers": []})
    put("valid_prefix_space", pre_tokenizer=TOKENIZER["pre_tokenizer"] | {"add_prefix_space": True})
    put("normalizer_unknown", normalizer={"type": "Lowercase"})
    put("decoder_unknown", decoder={"type": "WordPiece"})
    hostile_json("tokenizer_json")

    for name, content in {"valid_text": {"bos_token": "<s>"}, "valid_object": {"bos_token": {"content": "<s>"}}, "valid_null": {"bos_token": None},
                          "valid_token_that_is_none": {"bos_token": "<|bos|>"}, "bos_is_a_number": {"bos_token": 1}, "bos_is_an_array": {"bos_token": []},
                          "bos_without_content": {"bos_token": {}}}.items():
        write("tokenizer_config", name + ".json", json.dumps(content))
    hostile_json("tokenizer_config")

    def vocabulary(tokens=VOCABULARY, types=None, merges=("a b", "\u0120 a", "a ab"), extra=(), **other):
        parts = {"model": g_key("tokenizer.ggml.model", STRING, "gpt2"), "pre": g_key("tokenizer.ggml.pre", STRING, "smollm"),
                 "tokens": g_array("tokenizer.ggml.tokens", STRING, list(tokens)),
                 "types": g_array("tokenizer.ggml.token_type", I32, [3] + [1] * (len(tokens) - 1) if types is None else types),
                 "merges": g_array("tokenizer.ggml.merges", STRING, list(merges))} | other
        return g_file([p for p in parts.values() if p] + list(extra))

    def put_gguf(name, content):
        write("tokenizer_gguf", name + ".gguf", content)

    put_gguf("valid", vocabulary(extra=[g_key("tokenizer.ggml.bos_token_id", U32, 0), g_key("tokenizer.ggml.add_bos_token", BOOL, 1)]))
    put_gguf("valid_qwen2", vocabulary(pre=g_key("tokenizer.ggml.pre", STRING, "qwen2"), types=[3, 1, 1, 1, 1, 1, 1, 1]))
    put_gguf("valid_every_kind_of_token", vocabulary(tokens=list(VOCABULARY) + ["?", "user", "[PAD1]"], types=[3] + [1] * 7 + [2, 4, 5]))
    put_gguf("model_unknown", vocabulary(model=g_key("tokenizer.ggml.model", STRING, "bert")))
    put_gguf("pre_missing", vocabulary(pre=None))
    put_gguf("whole_file_is_no_json", vocabulary(extra=[g_key("tokenizer.huggingface.json", STRING, "{")]))

    pieces = ["<unk>", "<s>", "<0xC3>", "<0xA9>", "\u2581", "a", "b", "\u2581a", "ab", "  ", "aab"]

    def sentencepiece(tokens=pieces, types=(2, 3, 6, 6, 1, 1, 1, 1, 1, 4, 5), scores=(0, 0, 0, 0, -5, -4, -3, -2, -1, 0, -6), merges=None, prefix=True, extra=()):
        return g_file([p for p in (g_key("tokenizer.ggml.model", STRING, "llama"), g_array("tokenizer.ggml.tokens", STRING, list(tokens)),
                                   g_array("tokenizer.ggml.token_type", I32, list(types)), g_array("tokenizer.ggml.scores", F32, list(scores)) if scores else None,
                                   g_key("tokenizer.ggml.add_space_prefix", BOOL, prefix), g_array("tokenizer.ggml.merges", STRING, merges) if merges else None) if p]
                      + list(extra))

    put_gguf("valid_sentencepiece", sentencepiece())
    put_gguf("valid_sentencepiece_frozen", sentencepiece(prefix=False))
    put_gguf("valid_sentencepiece_merges", sentencepiece(scores=[-1] * 11, merges=["\u2581 a", "a b"]))
    put_gguf("valid_sentencepiece_spaces", sentencepiece(extra=[g_key("tokenizer.ggml.remove_extra_whitespaces", BOOL, 1)]))
    put_gguf("scores_all_the_same", sentencepiece(scores=[-1] * 11))
    put_gguf("scores_missing", sentencepiece(scores=()))
    put_gguf("scores_of_another_number", sentencepiece(scores=[0] * 10))
    put_gguf("score_is_not_a_number", sentencepiece(scores=[float("nan")] * 11))
    put_gguf("byte_of_another_name", sentencepiece(types=[2, 3, 6, 6, 6, 1, 1, 1, 1, 4, 5]))
    put_gguf("type_7", sentencepiece(types=[7] * 11))
    put_gguf("unknown_is_not_there", sentencepiece(types=[3, 3, 6, 6, 1, 1, 1, 1, 1, 4, 5]))
    put_gguf("piece_no_utf8", sentencepiece(tokens=pieces[:-1] + [b"\xff"]))
    put_gguf("pre_unknown", vocabulary(pre=g_key("tokenizer.ggml.pre", STRING, "deepseek")))
    put_gguf("no_tokens", vocabulary(tokens=[], types=[], merges=[]))
    put_gguf("tokens_missing", g_file([g_key("tokenizer.ggml.model", STRING, "gpt2"), g_key("tokenizer.ggml.pre", STRING, "qwen2")]))
    put_gguf("tokens_are_numbers", g_file([g_key("tokenizer.ggml.model", STRING, "gpt2"), g_key("tokenizer.ggml.pre", STRING, "qwen2"), g_array("tokenizer.ggml.tokens", I32, [1])]))
    put_gguf("more_types_than_tokens", vocabulary(types=[1] * 9))
    put_gguf("type_6", vocabulary(types=[6] + [1] * 7))
    put_gguf("type_minus_1", vocabulary(types=[-1] + [1] * 7))
    put_gguf("valid_types_of_one_byte",
             g_file([g_key("tokenizer.ggml.model", STRING, "gpt2"), g_key("tokenizer.ggml.pre", STRING, "smollm"), g_array("tokenizer.ggml.tokens", STRING, ["a"]),
                     g_array("tokenizer.ggml.token_type", U8, [1]), g_array("tokenizer.ggml.merges", STRING, [])]))
    put_gguf("token_twice", vocabulary(tokens=["a", "b", "a"], merges=[]))
    put_gguf("token_no_utf8", vocabulary(tokens=["a", b"\xff"], merges=[]))
    put_gguf("added_token_no_utf8", vocabulary(tokens=[b"\xff", "a"], merges=[]))
    put_gguf("merge_without_space", vocabulary(merges=["ab"]))
    put_gguf("merge_of_an_unknown_token", vocabulary(merges=["a c"]))
    put_gguf("bos_of_an_id_that_is_none", vocabulary(extra=[g_key("tokenizer.ggml.bos_token_id", U32, 8)]))
    put_gguf("bos_minus_1", vocabulary(extra=[g_key("tokenizer.ggml.bos_token_id", I32, -1)]))
    put_gguf("bos_added_but_not_named", vocabulary(extra=[g_key("tokenizer.ggml.add_bos_token", BOOL, 1)]))
    put_gguf("space_before_the_text", vocabulary(extra=[g_key("tokenizer.ggml.add_space_prefix", BOOL, 1)]))


# ---- Tokenizers in other files


def p_varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def p_number(number, value):
    return p_varint(number << 3) + p_varint(value % 2**64)


def p_bytes(number, content):
    content = content.encode() if isinstance(content, str) else content
    return p_varint(number << 3 | 2) + p_varint(len(content)) + content


def p_float(number, value):
    return p_varint(number << 3 | 5) + struct.pack("<f", value)


NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def sp_piece(text, score=0.0, kind=NORMAL):
    return p_bytes(1, p_bytes(1, text) + p_float(2, score) + p_number(3, kind))


SP_PIECES = [sp_piece("<unk>", 0, UNKNOWN), sp_piece("<s>", 0, CONTROL), sp_piece("</s>", 0, CONTROL), sp_piece("a", -1), sp_piece("b", -2),
             sp_piece("ab", -3), sp_piece("\u2581", -4), sp_piece("\u2581a", -5), sp_piece("1", -6)]


def sp_model(pieces=SP_PIECES, trainer=p_number(3, 2), normalizer=p_bytes(1, "identity") + p_number(4, 0), more=b""):
    return b"".join(pieces) + p_bytes(2, trainer) + p_bytes(3, normalizer) + more


def sentencepiece_corpus():
    def put(name, content):
        write("tokenizer_sentencepiece", name + ".model", content)

    all_bytes = [sp_piece(f"<0x{b:02X}>", 0, BYTE) for b in range(256)]
    put("valid", sp_model())
    put("valid_byte_fallback", sp_model(SP_PIECES + all_bytes, p_number(3, 2) + p_number(35, 1)))
    put("valid_every_type", sp_model(SP_PIECES + [sp_piece("\n\n", 0, USER_DEFINED), sp_piece("aab", -7, UNUSED)]))
    put("valid_without_dummy_prefix", sp_model(normalizer=p_number(3, 0) + p_number(4, 0)))
    put("valid_defaults_of_the_normalizer", sp_model(normalizer=b""))
    put("valid_unknown_fields", sp_model(more=p_bytes(4, "x") + p_number(1000, 5) + p_float(77, 1.0) + p_varint(9 << 3 | 1) + bytes(8)))
    put("valid_no_score_and_no_type", sp_model([SP_PIECES[0], p_bytes(1, p_bytes(1, "a"))]))
    put("valid_equal_scores", sp_model([SP_PIECES[0]] + [sp_piece(text) for text in ["a", "b", "aa", "aaa", "ab", "\u2581"]]))
    put("empty", b"")
    put("json", b"{}")
    put("no_pieces", sp_model([]))
    put("no_trainer", b"".join(SP_PIECES))
    for name, number in [("unigram", 1), ("word", 3), ("char", 4), ("type_9", 9), ("type_minus_1", -1)]:
        put("model_" + name, sp_model(trainer=p_number(3, number)))
    put("whitespace_as_suffix", sp_model(trainer=p_number(3, 2) + p_number(24, 1)))
    put("charsmap", sp_model(normalizer=p_bytes(1, "nmt_nfkc") + p_bytes(2, "table")))
    put("spaces_not_escaped", sp_model(normalizer=p_number(5, 0)))
    put("byte_fallback_without_all_bytes", sp_model(SP_PIECES + all_bytes[:255], p_number(3, 2) + p_number(35, 1)))
    put("bytes_without_byte_fallback", sp_model(SP_PIECES + all_bytes[:1]))
    put("no_unknown", sp_model(SP_PIECES[1:]))
    put("two_unknown", sp_model(SP_PIECES + [sp_piece("<u>", 0, UNKNOWN)]))
    put("piece_twice", sp_model(SP_PIECES + [sp_piece("a", -9)]))
    put("piece_empty", sp_model(SP_PIECES + [sp_piece("")]))
    put("piece_no_utf8", sp_model(SP_PIECES + [sp_piece(b"\xff")]))
    put("piece_of_type_7", sp_model(SP_PIECES + [sp_piece("x", 0, 7)]))
    put("score_nan", sp_model(SP_PIECES + [sp_piece("x", float("nan"))]))
    put("score_infinite", sp_model(SP_PIECES + [sp_piece("x", float("-inf"))]))
    put("score_is_a_number", sp_model(SP_PIECES + [p_bytes(1, p_bytes(1, "x") + p_number(2, 1))]))
    put("type_beyond_int32", sp_model(trainer=p_number(3, 2**31)))
    put("bool_of_2", sp_model(normalizer=p_number(3, 2)))
    put("cut_short", sp_model()[:-3])
    put("length_beyond_the_file", b"\x0a\xff\xff\xff\xff\x0f")
    put("length_2_to_the_64", b"\x0a" + b"\xff" * 9 + b"\x01")
    put("varint_of_eleven_bytes", b"\x0a" + b"\x80" * 10 + b"\x01")
    put("field_0", sp_model() + b"\x00\x01")
    put("group", sp_model() + b"\x5b\x5c")
    put("type_6", sp_model() + b"\x5e")
    put("piece_longer_than_its_message", b"\x0a\x03\x0a\x09a")

    def add(name, content):
        write("tokenizer_added", name + ".json", json.dumps(content))

    def decoder(**tokens):
        return {"added_tokens_decoder": {key.strip("_"): token for key, token in tokens.items()}}

    add("valid_nothing", {})
    add("valid", {"bos_token": "<s>", "add_bos_token": False} | decoder(_9={"content": "<a>", "special": True}, _2={"content": "</s>", "special": True, "rstrip": True}))
    add("valid_every_flag", decoder(_9={"content": "<a>", "lstrip": True, "rstrip": True, "single_word": True, "normalized": True, "special": False}))
    add("valid_piece_that_is_found_whole", decoder(_5={"content": "ab"}))
    add("another_id", decoder(_3={"content": "b"}))
    add("id_in_use", decoder(_3={"content": "<a>"}))
    add("id_is_no_number", decoder(x={"content": "<a>"}))
    add("id_beyond_int32", decoder(_2147483648={"content": "<a>"}))
    add("id_negative", {"added_tokens_decoder": {"-1": {"content": "<a>"}}})
    add("token_without_content", decoder(_9={}))
    add("token_is_text", decoder(_9="<a>"))
    add("flag_is_a_number", decoder(_9={"content": "<a>", "lstrip": 1}))
    add("decoder_is_an_array", {"added_tokens_decoder": []})
    add("add_bos_is_a_number", {"add_bos_token": 1})
    hostile_json("tokenizer_added")


def ranks_corpus():
    tokens = [bytes([b]) for b in range(256)] + [b"ab", b"aa", b"aab", b"\xe4\xb8", b" a"]
    base64 = [b64encode(t).decode() for t in tokens]

    def put(name, lines, end="\n"):
        write("tokenizer_tiktoken", name + ".model", end.join(lines) + end)

    lines = [f"{t} {rank}" for rank, t in enumerate(base64)]
    put("valid", lines)
    put("valid_line_ends_of_windows", lines, "\r\n")
    put("valid_blank_lines", ["", *lines, ""])
    put("empty", [], "")
    put("bytes_missing", lines[:200])
    put("rank_twice", [*lines, f"{b64encode(b'xy').decode()} 260"])
    put("rank_left_out", [*lines, f"{b64encode(b'xy').decode()} 262"])
    put("rank_negative", [*lines, f"{b64encode(b'xy').decode()} -1"])
    put("rank_is_text", [*lines, f"{b64encode(b'xy').decode()} x"])
    put("rank_missing", [*lines, b64encode(b"xy").decode()])
    put("token_twice", [*lines, f"{base64[256]} 261"])
    put("token_empty", [*lines, " 261"])
    put("base64_of_other_signs", [*lines, "a-_= 261"])
    put("base64_cut_short", [*lines, "YWI 261"])
    put("base64_of_loose_bits", [*lines, "YWJ= 261"])
    put("zero_byte", [*lines, "\0"])

    config = {"pattern": TEKKEN, "num_vocab_tokens": 261, "default_vocab_size": 280, "default_num_special_tokens": 20, "version": "v3"}
    vocabulary = [{"rank": rank, "token_bytes": t, "token_str": None} for rank, t in enumerate(base64)]
    special = [{"rank": 0, "token_str": "<unk>", "is_control": True}, {"rank": 1, "token_str": "<s>", "is_control": True}]

    def tekken(name, **other):
        content = {"config": config, "vocab": vocabulary} | other
        write("tokenizer_tekken", name + ".json", json.dumps({key: value for key, value in content.items() if value is not None}))

    tekken("valid")
    tekken("valid_words", vocab=None, bpe_ranks="! 0 " + " ".join(base64))
    tekken("valid_special", special_tokens=special, config=config | {"version": "v13"})
    tekken("pattern_unknown", config=config | {"pattern": "(a+)+$"})
    tekken("size_missing", config={key: config[key] for key in config if key != "default_vocab_size"})
    tekken("size_negative", config=config | {"default_vocab_size": -1})
    tekken("size_of_the_special_ones_alone", config=config | {"default_vocab_size": 20})
    tekken("size_of_more_than_there_are", config=config | {"default_vocab_size": 282})
    tekken("size_2_to_the_31", config=config | {"default_vocab_size": 2**31})
    tekken("special_2_to_the_31_minus_2", config=config | {"default_vocab_size": 2**31 - 1, "default_num_special_tokens": 2**31 - 2})
    tekken("special_too_many", config=config | {"default_num_special_tokens": 1, "default_vocab_size": 261})
    tekken("special_missing", config=config | {"version": "v13"})
    tekken("special_of_another_rank", special_tokens=special[1:])
    tekken("special_twice", special_tokens=[special[0], special[0] | {"rank": 1}])
    tekken("vocabulary_is_text", vocab="x")
    tekken("token_of_another_rank", vocab=vocabulary[1:])
    tekken("token_is_no_base64", vocab=[vocabulary[0] | {"token_bytes": "x"}, *vocabulary[1:]])
    tekken("token_twice", vocab=[*vocabulary[:-1], vocabulary[-2] | {"rank": 260}])
    tekken("words_without_a_header", vocab=None, bpe_ranks=" ".join(base64))
    tekken("words_of_another_first", vocab=None, bpe_ranks="! 1 " + " ".join(base64))
    tekken("words_are_an_array", vocab=None, bpe_ranks=base64)
    hostile_json("tokenizer_tekken")

    write("tokenizer_vocabulary", "vocab.json", json.dumps(VOCABULARY))
    for name, content in {"valid": "#version: 0.2\na b\n\u0120 a\na ab\n", "valid_without_version": "a b", "valid_nothing": "", "version_in_the_middle": "a b\n#version: 0.2\n",
                          "three_parts": "a b c\n", "one_part": "ab\n", "blank_line": "a b\n\na ab\n", "merge_of_an_unknown_token": "a c\n",
                          "merge_into_an_unknown_token": "b b\n", "merge_twice": "a b\na b\n", "no_utf8": b"a \xff\n", "zero_byte": b"a b\0\n",
                          "gzip_cut_short": gzip.compress(b"a b\n" * 50, mtime=0)[:-9]}.items():
        write("tokenizer_merges", name + ".txt", content)


# ---- Arrays


def npy(descr="'<i4'", fortran="False", shape="(2, 3)", data=bytes(24), version=1, length=None, text=None):
    header = (text if text is not None else f"{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}").encode("latin-1")
    size = struct.pack("<H" if version == 1 else "<I", len(header) if length is None else length)
    return b"\x93NUMPY" + bytes([version, 0]) + size + header + data


def npy_corpus():
    def put(name, content):
        write("npy", name + ".npy", content)

    for descr, size in {"|b1": 1, "|i1": 1, "<i2": 2, "<i8": 8, "|u1": 1, "<u2": 2, "<u4": 4, "<u8": 8, "<f2": 2, "<f4": 4, "<f8": 8}.items():
        put(f"valid_{descr[1:]}", npy(f"'{descr}'", data=bytes(k % 2 for k in range(6 * size))))
    put("valid_i4", npy(data=bytes(range(24))))
    put("valid_fortran", npy(fortran="True", data=bytes(range(24))))
    put("valid_scalar", npy(shape="()", data=bytes(4)))
    put("valid_list", npy(shape="(6,)"))
    put("valid_no_elements", npy(shape="(0, 3)", data=b""))
    put("valid_no_elements_of_2_to_the_62_rows", npy(shape=f"({2**62}, 0)", data=b""))
    put("valid_version_2", npy(version=2))
    put("valid_version_3", npy(version=3))
    put("valid_nan", npy("'<f4'", data=struct.pack("<6I", 0x7FC00001, 0x7F800001, 0xFF800000, 0x80000000, 1, 0)))
    put("bool_255", npy("'|b1'", data=b"\xff" * 6))
    put("empty", b"")
    put("wrong_magic", b"\x93NUMPI\x01\x00")
    put("version_4", npy(version=4))
    put("version_1_1", b"\x93NUMPY\x01\x01\x00\x00")
    put("header_longer_than_the_file", npy(length=65535))
    put("header_of_2_to_the_32_minus_1_bytes", npy(version=2, length=2**32 - 1))
    put("header_cut", npy(text="{'descr': '<i4', 'fort", data=b""))
    put("header_empty", npy(text="", data=b""))
    put("header_code", npy(text="__import__('os').system('true')", data=b""))
    put("header_key_twice", npy(text="{'descr': '<i4', 'descr': '<i4', 'fortran_order': False, 'shape': ()}"))
    put("header_key_unknown", npy(text="{'descr': '<i4', 'fortran_order': False, 'shape': (), 'x': 1}"))
    put("header_key_missing", npy(text="{'descr': '<i4', 'shape': ()}"))
    put("text_after_the_dictionary", npy(text="{'descr': '<i4', 'fortran_order': False, 'shape': (2, 3)} 1"))
    put("objects", npy("'|O'", data=b"\x80\x04cos\nsystem\n."))
    put("records", npy("[('a', '<i4')]"))
    put("big_endian", npy("'>i4'"))
    put("unknown_type", npy("'<f16'"))
    put("text_type", npy("'<U3'"))
    put("dimension_negative", npy(shape="(-2, -3)"))
    put("dimension_2_to_the_64", npy(shape=f"({2**64},)"))
    put("dimension_is_text", npy(shape="('2',)"))
    put("dimension_1_5", npy(shape="(1.5, 4)"))
    put("dimensions_65", npy(shape="(" + "1, " * 65 + ")", data=bytes(4)))
    put("dimensions_whose_product_wraps", npy(shape=f"({2**32}, {2**32}, 6)"))
    put("shape_is_a_number", npy(shape="(6)"))
    put("data_short_by_one_byte", npy(data=bytes(23)))
    put("data_long_by_one_byte", npy(data=bytes(25)))
    put("order_is_a_number", npy(fortran="0"))


def deflate(data):
    pack = zlib.compressobj(9, zlib.DEFLATED, -15)
    return pack.compress(data) + pack.flush()


def zip_file(entries, comment=b"", **end):
    """Each entry is a dictionary with name and data; other keys overwrite a field, those with local_ in the local header."""
    out, directory = b"", b""
    for e in entries:
        raw, name = e["data"], e["name"].encode() if isinstance(e["name"], str) else e["name"]
        packed = deflate(raw) if e.get("method") == 8 else raw
        f = {"flags": 0, "method": 0, "crc": zlib.crc32(raw), "packed": len(packed), "size": len(raw), "offset": len(out), "extra": b"", "local_name": name} | e
        field = struct.pack("<HHIIII", f["flags"], f["method"], 0x210000, f["crc"], f["packed"] & 0xFFFFFFFF, f["size"] & 0xFFFFFFFF)
        out += struct.pack("<IH", 0x04034B50, 20) + field + struct.pack("<HH", len(f["local_name"]), 0) + f["local_name"] + f.get("stored", packed)
        directory += struct.pack("<IHH", 0x02014B50, 20, 20) + field + struct.pack("<HHHHHII", len(name), len(f["extra"]), 0, 0, 0, 0, f["offset"]) + name + f["extra"]
    f = {"disks": 0, "here": len(entries), "count": len(entries), "size": len(directory), "begin": len(out), "between": b""} | end
    return out + directory + f["between"] + struct.pack("<IIHHIIH", 0x06054B50, f["disks"], f["here"], f["count"], f["size"], f["begin"], len(comment)) + comment


def npz_corpus():
    def put(name, *entries, **end):
        write("npz", name + ".npz", zip_file([{"name": "a.npy", "data": npy()} | e for e in entries], **end))

    b = {"name": "b.npy"}
    put("valid", {}, b | {"data": npy("'<f4'")}, {"name": "note.txt", "data": b"no array"})
    put("valid_deflated", {"method": 8}, b | {"method": 8, "data": npy("'|u1'", shape="(64,)", data=bytes(64))})
    put("valid_of_no_arrays")
    put("valid_comment", {}, comment=b"made by hand")
    put("valid_zip64_field", {"size": 0xFFFFFFFF, "packed": 0xFFFFFFFF, "extra": struct.pack("<HHQQ", 1, 16, len(npy()), len(npy()))})
    whole = zip_file([{"name": "a.npy", "data": npy()}])
    write("npz", "empty.npz", b"")
    write("npz", "cut_by_one_byte.npz", whole[:-1])
    write("npz", "cut_in_the_middle.npz", whole[:60])
    write("npz", "bytes_after_the_end.npz", whole + b"x")
    write("npz", "bytes_before_the_start.npz", b"#!/bin/sh\n" + whole)
    put("array_that_is_none", {"data": b"GGUF"})
    put("wrong_checksum", {"crc": 1})
    put("wrong_checksum_deflated", {"crc": 1, "method": 8})
    put("encrypted", {"flags": 1})
    put("method_bzip2", {"method": 12})
    put("entry_twice", {}, {})
    put("entry_with_dots", {"name": "../a.npy"})
    put("valid_two_dots_in_a_name", {"name": "a..npy"})
    put("entry_not_said_to_be_utf8", {"name": "\u00e9.npy"})
    put("entry_with_absolute_path", {"name": "/a.npy"})
    put("entry_with_backslash", {"name": "..\\a.npy"})
    put("entry_with_zero_byte", {"name": "a\0.npy"})
    put("entry_no_utf8", {"name": b"\xff.npy", "flags": 0x800})
    put("entry_without_a_name", {"name": ""})
    put("entry_of_two_names", {"local_name": b"b.npy"})
    put("entry_past_end", {"offset": 2**31})
    put("entry_in_the_directory", {"offset": len(whole) - 30})
    put("entries_share_bytes", {}, b | {"offset": 0, "local_name": b"a.npy"})
    put("packed_size_past_end", {"packed": 2**31, "size": 2**31})
    put("stored_of_two_sizes", {"size": len(npy()) + 1})
    put("deflated_to_less", {"method": 8, "size": len(npy()) + 1})
    put("deflated_to_more", {"method": 8, "size": len(npy()) - 1})
    put("deflated_to_2_to_the_32_minus_2", {"method": 8, "size": 2**32 - 2})
    put("deflated_to_64_mebibytes_from_nothing", {"method": 8, "stored": b"", "packed": 0, "size": 2**26})
    put("deflated_damaged", {"method": 8, "stored": b"\xff" * 8, "packed": 8})
    put("deflated_cut", {"method": 8, "stored": deflate(npy())[:-4], "packed": len(deflate(npy())) - 4})
    bomb = npy("'|u1'", shape=f"({2**17},)", data=bytes(2**17))
    put("valid_bomb_of_128_kibibytes", {"method": 8, "data": bomb})
    put("zip_inside_zip", {"data": whole})
    put("count_too_large", {}, here=2, count=2)
    put("count_too_small", {}, b, here=1, count=1)
    put("several_disks", {}, disks=1)
    put("directory_past_end", {}, begin=2**31)
    put("directory_of_2_to_the_32_minus_2_bytes", {}, size=2**32 - 2)
    record = struct.pack("<IQHHIIQQQQ", 0x06064B50, 44, 45, 45, 0, 0, 2**63, 2**63, 2**64 - 1, 2**64 - 1)
    put("zip64_of_2_to_the_63_entries", {}, count=0xFFFF, here=0xFFFF, between=record + struct.pack("<IIQI", 0x07064B50, 0, len(whole) - 22, 1))
    put("zip64_without_a_record", {}, count=0xFFFF)
    put("extra_field_cut", {"extra": b"\x01\x00\x10\x00"})


# ---- Documents and texts


def documents_corpus():
    def put(name, content):
        write("documents", name, content)

    line = '{"text": "The first.", "id": "a", "topic": "news"}\n'
    put("valid.jsonl", line + '{"text": "The second.", "id": 2, "other": [1, {"a": null}]}\n')
    put("valid_byte_order_mark_and_crlf.jsonl", "\ufeff" + line.replace("\n", "\r\n"))
    put("valid_no_line_end.jsonl", line[:-1])
    put("valid_blank_lines.jsonl", "\n\n \t\n" + line + "\n" * 100)
    put("valid_no_documents.jsonl", "")
    put("valid_zero_and_combining_characters.jsonl", json.dumps({"text": "\0 e\u0301\u0327 \u202e<s>"}) + "\n")
    put("valid_ids.npy", npy(data=struct.pack("<6i", 0, 1, 2, 3, 4, 2**31 - 1)))
    put("valid_ids_fortran.npy", npy("'<i8'", fortran="True", data=struct.pack("<6q", *range(6))))
    put("ids_negative.npy", npy(data=struct.pack("<6i", 0, 1, 2, 3, 4, -1)))
    put("ids_2_to_the_31.npy", npy("'<i8'", data=struct.pack("<6q", 0, 1, 2, 3, 4, 2**31)))
    put("ids_of_rank_1.npy", npy(shape="(6,)"))
    put("ids_that_are_floats.npy", npy("'<f4'"))
    put("ids_of_2_to_the_62_rows_of_nothing.npy", npy(shape=f"({2**62}, 0)", data=b""))
    put("valid_numbers_in_other_keys.jsonl", '{"score": NaN, "range": [-Infinity, Infinity], "n": 1e999, "text": ""}\n')
    put("valid_surrogate_in_another_key.jsonl", '{"title": "\\ud83d", "\\udfff": [{"\\q": 0}], "text": ""}\n')
    put("valid_no_utf8_in_another_key.jsonl", b'{"author": "\xff", "text": ""}\n')
    put("valid_other_key_twice.jsonl", '{"n": 1, "n": {"m": 1, "m": 2}, "text": ""}\n')
    put("valid_long_number_as_id.jsonl", '{"text": "", "id": 123456789012345678901234567890, "topic": null}\n')
    put("valid_text_key_in_escapes.jsonl", '{"\\u0074ext": ""}\n')
    put("text_missing.jsonl", line + '{"id": "b"}\n')
    put("text_is_a_number.jsonl", '{"text": 1}\n')
    put("text_is_null.jsonl", '{"text": null}\n')
    put("text_is_nan.jsonl", '{"text": NaN}\n')
    put("text_twice_once_in_escapes.jsonl", '{"text": "", "\\u0074ext": ""}\n')
    put("id_with_lone_surrogate.jsonl", '{"text": "", "id": "\\udfff"}\n')
    put("id_number_beyond_double.jsonl", '{"text": "", "id": 1e999}\n')
    put("other_key_without_a_value.jsonl", '{"n": , "text": ""}\n')
    put("other_key_misspelled_word.jsonl", '{"n": nan, "text": ""}\n')
    put("other_key_string_never_closed.jsonl", '{"n": "\\", "text": ""}\n')
    put("other_key_brackets_crossed.jsonl", '{"n": [{]}, "text": ""}\n')
    put("other_key_nested_too_deep.jsonl", '{"n": ' + "[" * 64 + "]" * 64 + ', "text": ""}\n')
    put("id_is_an_array.jsonl", '{"text": "", "id": []}\n')
    put("line_is_an_array.jsonl", "[]\n")
    put("line_is_no_json.jsonl", line + "text\n")
    put("line_no_utf8.jsonl", line.encode() + b'{"text": "\xff"}\n')
    put("line_of_overlong_utf8.jsonl", b'{"text": "\xc0\x80"}\n')
    put("line_with_lone_surrogate.jsonl", '{"text": "\\udfff"}\n')
    put("line_nested_too_deep.jsonl", '{"text": ' + "[" * 100 + "\n")
    put("line_with_text_twice.jsonl", '{"text": "a", "text": "b"}\n')
    put("line_with_zero_byte.jsonl", b'{"text": "a"}\0\n')

    def pack(content):
        return gzip.compress(content.encode(), mtime=0)

    put("valid.jsonl.gz", pack(line * 3))
    put("valid_of_two_members.jsonl.gz", pack(line[:20]) + pack(line[20:] + line))
    put("valid_bomb_of_16_kibibytes.jsonl.gz", pack("\n" * 2**14))
    put("valid_bomb_of_objects.jsonl.gz", pack('{"text": "", "other": [' + "{}," * 1_400_000 + "{}]}"))
    put("valid_prompts.jsonl", '{"prompt": "Before ", "text": "the text."}\n{"text": "", "prompt": null}\n')
    put("gzip_header_only.jsonl.gz", b"\x1f\x8b")
    put("gzip_cut.jsonl.gz", pack(line * 3)[:-9])
    put("gzip_wrong_checksum.jsonl.gz", pack(line)[:-8] + bytes(4) + pack(line)[-4:])
    put("gzip_wrong_size.jsonl.gz", pack(line)[:-4] + b"\xff" * 4)
    put("gzip_bytes_after_the_end.jsonl.gz", pack(line) + b"more")
    put("gzip_inside_gzip.jsonl.gz", gzip.compress(pack(line), mtime=0))
    put("gzip_of_another_method.jsonl.gz", b"\x1f\x8b\x07" + pack(line)[3:])

    for name, content in {
        "valid_words": "It's a  bab, aaaa aab.\r\n\r\n 12 \t", "valid_empty": "", "valid_letters": "a" * 3000, "valid_spaces": " " * 3000, "valid_line_ends": "\n" * 1000 + "\r\n" * 500,
        "valid_marks": "a" + "\u0301\u0327" * 500, "valid_hangul": "\u1100\u1161\u11a7\u11a8" * 50, "valid_zero": "a\0b", "valid_special": "<|end|>a<|end|", "valid_byte_order_mark": "\ufeffa",
        "valid_planes": "\U0001F600\U0010FFFF\uFFFD\u0085\u3000\u17F0\u00BD", "valid_apostrophes": "'s'S'\u017f'll'LL'" * 20, "no_utf8": b"ab\xff", "cut_in_a_character": b"ab\xe4\xb8",
        "surrogate": b"\xed\xa0\x80", "overlong": b"\xc0\xaf", "above_10ffff": b"\xf4\x90\x80\x80"}.items():
        write("text", name + ".txt", content)


def questions_corpus():
    def put(name, content):
        write("choices", name + ".jsonl", content)

    def line(choices, answer, question="Which?"):
        return json.dumps({"text": question, "choices": choices, "answer": answer}, ensure_ascii=False) + "\n"

    put("valid", line(["a", "b"], 1) + line(["red", " blue"], "red", "Two: ") + line(["a", "b", "c"], "2"))
    put("valid_labels", line({"text": ["x", "y"], "label": ["A", "B"]}, "B") + line({"label": [1, 2], "text": ["x", "y"]}, 1))
    put("valid_thousand", line(["a"] * 1000, 999))
    put("valid_nothing", "")
    for name, choices, answer in [
            ("one", ["a"], 0), ("none", [], 0), ("thousand_and_one", ["a"] * 1001, 0), ("a_text", "a", 0), ("null", None, 0), ("a_number_among_them", ["a", 1], 0),
            ("an_empty_one", ["a", ""], 0), ("answer_beyond", ["a", "b"], 2), ("answer_minus_1", ["a", "b"], -1), ("answer_2_to_the_64", ["a", "b"], 2**64),
            ("answer_in_digits_beyond", ["a", "b"], "2"), ("answer_a_float", ["a", "b"], 0.0), ("answer_null", ["a", "b"], None), ("answer_a_list", ["a", "b"], [0]),
            ("answer_of_two", ["a", "a"], "a"), ("answer_and_place_differ", ["1", "2"], "1"), ("labels_missing", {"text": ["a", "b"]}, "A"), ("texts_missing", {"label": ["A", "B"]}, "A"),
            ("labels_fewer", {"text": ["a", "b"], "label": ["A"]}, "A"), ("labels_equal", {"text": ["a", "b"], "label": ["A", "A"]}, "A"),
            ("labels_of_another_kind", {"text": ["a", "b"], "label": ["A", None]}, "A"), ("label_unknown", {"text": ["a", "b"], "label": ["A", "B"]}, "C")]:
        put(name, line(choices, answer))
    put("question_of_spaces", line(["a", "b"], 0, " \u00a0"))
    put("choices_missing", '{"text": "Q", "answer": 0}')
    put("lone_surrogate", '{"text": "Q", "choices": ["a", "\\udfff"], "answer": 0}')
    put("no_utf8", b'{"text": "Q", "choices": ["a", "\xff"], "answer": 0}')
    put("nested_too_deep", '{"text": "Q", "answer": 0, "choices": ' + "[" * 63 + "]" * 63 + "}")

    def put(name, content):
        write("questions", name, content)

    header = "prop\tquestion\tpossible_answers\ts_pop\tid\n"
    row = 'sport\tWhat sport does A play?\t["golf", "Golf"]\t394\t1\n'
    other = 'color\tWhat color is "B"?\t["red\\t", "\\u00df\u03a3"]\t\t\n'
    quoted = '"sp""ort"\t"What\tis?"\t"[""golf"", ""\\\\""]"\t1\t1\n'
    put("valid.tsv", header + row + other)
    put("valid_byte_order_mark_and_crlf.tsv", ("\ufeff" + header + row).replace("\n", "\r\n"))
    put("valid_quoted.tsv", '"prop"\t' + header[5:] + quoted + row)
    put("valid_blank_lines.tsv", "\n \n" + header + "\n" + row + "\n\n")
    put("valid_quotes_that_are_text.tsv", header + '"r"\t"Q"\t["a"]\t1\t"\n')
    put("valid_two_columns.tsv", 'possible_answers\tquestion\n["a"]\tQ\n["b"]\tR\n')
    put("valid_no_utf8_in_another_column.tsv", b'question\tpossible_answers\tx\nQ\t["a"]\t\xff\n')
    put("valid_equal_questions.tsv", header + row * 40)
    put("valid_sigmas.tsv", header + row.replace('"golf"', '"' + "\u03a3'" * 2000 + '"'))
    line = '{"question": "Q", "possible_answers": ["a"], "s_pop": 1e3, "prop": 7, "id": null}\n'
    put("valid.jsonl", line + '{"question": "R", "possible_answers": "[\\"b\\"]", "s_pop": "2"}\n')
    put("valid_of_tables.tsv.gz", gzip.compress((header + row * 300).encode(), mtime=0))
    put("valid_bomb_of_answers.jsonl.gz", gzip.compress(('{"question": "Q", "possible_answers": ["a"' + ',"a"' * 400_000 + "]}").encode(), mtime=0))
    put("valid_bomb_of_questions.tsv.gz", gzip.compress(('question\tpossible_answers\n' + 'Q\t["a"]\n' * 50_000).encode(), mtime=0))
    put("valid_bomb_of_other_columns.tsv.gz", gzip.compress((header[:-1] + "".join(f"\t{i}" for i in range(3000)) + "\n" + (row[:-1] + "\t" * 3000 + "\n") * 50).encode(), mtime=0))
    for name, content in {
        "no_header": row, "header_alone": header, "blank_lines_alone": "\n\n", "empty": "", "no_tabs": "question\n", "commas": "question,possible_answers\n",
        "column_twice": header.replace("prop", "id") + row, "question_column_missing": header.replace("question", "q") + row, "answers_column_missing": header.replace("possible_", "") + row,
        "cell_missing": header + row[:-3] + "\n", "cell_too_many": header + row[:-1] + "\t\n", "question_empty": header + row.replace("What sport does A play?", ""),
        "question_of_spaces": header + row.replace("What sport does A play?", "\u2003"), "answers_no_json": header + row.replace("[", "("), "answers_cut": header + row.replace("]", ""),
        "answers_an_object": header + row.replace('["golf", "Golf"]', '{"a": "golf"}'), "answers_a_string": header + row.replace('["golf", "Golf"]', '"golf"'),
        "answers_none": header + row.replace('["golf", "Golf"]', "[]"), "answers_one_empty": header + row.replace("Golf", ""), "answers_one_a_number": header + row.replace('"Golf"', "7"),
        "answers_nested_too_deep": header + row.replace('["golf", "Golf"]', "[" * 100), "answers_lone_surrogate": header + row.replace("Golf", "\\ud800"),
        "popularity_minus_1": header + row.replace("394", "-1"), "popularity_nan": header + row.replace("394", "nan"), "popularity_1e999": header + row.replace("394", "1e999"),
        "popularity_of_letters": header + row.replace("394", "many"), "quotes_never_closed": header + quoted + '"' + row, "quotes_closed_in_a_cell": header + quoted + '"r"r' + row,
        "quotes_over_two_lines": header + quoted + row.replace("sport", '"sp\nort"', 1)}.items():
        put(name + ".tsv", content)
    put("no_utf8.tsv", (header + row).encode().replace(b"sport", b"\xff"))
    put("zero_byte_in_answers.tsv", header + row.replace("golf", "\0"))
    for name, content in {
        "array.jsonl": "[" + line + "]", "text_missing.jsonl": '{"possible_answers": ["a"]}', "answers_missing.jsonl": '{"question": "Q"}', "answers_null.jsonl": line.replace('["a"]', "null"),
        "answers_no_json_in_a_string.jsonl": line.replace('["a"]', '"a"'), "popularity_true.jsonl": line.replace("1e3", "true"), "popularity_beyond_double.jsonl": line.replace("1e3", "1e999"),
        "relation_an_array.jsonl": line.replace("7", "[7]"), "text_twice.jsonl": line.replace("{", '{"question": "P", ')}.items():
        put(name, content)
    put("gzip_cut.tsv.gz", gzip.compress((header + row).encode(), mtime=0)[:-9])
    put("gzip_inside_gzip.tsv.gz", gzip.compress(gzip.compress(b"", mtime=0), mtime=0))


# ---- Methods, overrides and runs


def recipes_corpus():
    for name, content in {
        "valid": "rtn2-g32,rtn8-row-sym,mine=nf4-g64-dq", "valid_none": "", "bits_1": "rtn1-g32", "bits_0": "nf0-g32", "bits_5_of_nf": "nf5-g32", "bits_33": "rtn33-g32", "bits_2_to_the_64": f"rtn{2**64}-g32",
        "bits_negative": "rtn-4-g32", "bits_with_leading_zero": "rtn04-g32", "no_group": "rtn4", "group_0": "rtn4-g0", "group_48": "rtn4-g48", "group_2_to_the_64": f"rtn4-g{2**64}", "flag_twice": "rtn4-row-sym-sym",
        "flag_of_the_other_kind": "nf4-row-sym", "flag_unknown": "rtn4-row-x", "name_twice": "rtn4-row,rtn4-row", "name_empty": "=rtn4-row", "name_full": "full=rtn4-row", "name_leaves_the_folder": "../x=rtn4-row",
        "name_with_markup": "<b>=rtn4-row", "name_no_utf8": b"\xff=rtn4-row", "two_names": "a=b=rtn4-row", "comma_at_the_end": "rtn4-row,", "only_hyphens": "-" * 50, "zero_byte": b"rtn4-row\0", "unknown": "int4-g128", "valid_options": "gptq3-g64-asym:damp=0.02,act_order=off,mine=awq4-g128:clip=off", "option_unknown": "gptq3-g64:x=1", "option_of_the_other_kind": "awq4-g64:damp=0.01", "option_twice": "gptq3-g64:damp=0.01,damp=0.02",
        "option_without_value": "gptq3-g64:damp", "option_empty": "gptq3-g64:", "option_beyond": "gptq3-g64:damp=1e999", "option_nan": "gptq3-g64:damp=nan", "orders_of_two_kinds": "gptq3-g64:group_aware=on", "folder_missing": "a=/nowhere/at/all"}.items():
        write("methods", name + ".txt", content)

    def rule(**other):
        return {"projection": "*", "layers": "*", "use": "full"} | other

    for name, rules in {
        "valid": [rule(use="rtn4-g32"), rule(projection="q_proj|down_proj", layers="0-1,2", use="full")], "valid_none": [], "rule_is_a_number": [1], "rules_is_an_object": {}, "projection_unknown": [rule(projection="lm_head")],
        "projection_empty": [rule(projection="")], "projection_missing": [{"layers": "*", "use": "full"}], "layer_3_of_0_to_2": [rule(layers="3")], "layers_backwards": [rule(layers="2-0")], "layers_negative": [rule(layers="-1")],
        "layers_2_to_the_64": [rule(layers=f"0-{2**64}")], "layers_2_to_the_64_minus_1": [rule(layers=f"0-{2**64 - 1}")], "layers_is_a_number": [rule(layers=1)], "layers_empty": [rule(layers="")], "use_unknown": [rule(use="int4")],
        "use_with_a_name": [rule(use="a=rtn4-row")], "use_null": [rule(use=None)], "unknown_key": [rule(comment="x")], "rule_without_effect": [rule(layers="0"), rule()]}.items():
        write("overrides", name + ".json", json.dumps({"rules": rules}))
    hostile_json("overrides")


QUANTIZED = {"kind": "quantized model", "layout": 1, "bitlens": "0.1.0", "method": "gptq3-g32", "format": "uniform3-g32", "layers": 1,
             "knobs": {"damp": 0.01}, "calibration": {"texts": 128}, "source": {"files": []}}


def compact(value):
    return json.dumps(value, separators=(",", ":"), sort_keys=True)


def quantized_manifest_corpus():
    def put(name, drop=None, **other):
        write("quantized_manifest", name + ".json", json.dumps({k: v for k, v in (QUANTIZED | other).items() if k != drop}))

    put("valid")
    put("valid_without_calibration", calibration=None)
    put("valid_layers_2_to_the_64_minus_1", layers=2**64 - 1)
    put("kind_of_a_run", kind="run")
    put("kind_missing", drop="kind")
    put("layout_2", layout=2)
    put("layout_as_text", layout="1")
    put("layers_minus_1", layers=-1)
    put("layers_1_5", layers=1.5)
    put("method_missing", drop="method")
    put("calibration_missing", drop="calibration")
    put("knobs_an_array", knobs=[])
    put("source_a_number", source=1)
    put("unknown_key", comment="x")
    hostile_json("quantized_manifest")


def published_awq_corpus():
    """Files as torch.save writes them, of a model of one layer: width 4, 2 heads of 2, 1 for keys and values, 4 in the MLP."""
    class tensor:
        def __init__(self, shape, storage="HalfStorage"):
            self.shape, self.storage = shape, storage

    def pickled(value):
        """Protocol 2, of which tensors are the calls that torch makes them by."""
        out, keys = bytearray(b"\x80\x02"), iter(range(100))

        def text(t):
            out.extend(b"X" + struct.pack("<I", len(t.encode())) + t.encode())

        def put(v):
            if isinstance(v, dict):
                out.extend(b"}(")
                for key, item in v.items():
                    put(key), put(item)
                out.extend(b"u")
            elif isinstance(v, (list, tuple)):
                out.extend(b"](" if isinstance(v, list) else b"(")
                for item in v:
                    put(item)
                out.extend(b"e" if isinstance(v, list) else b"t")
            elif isinstance(v, str):
                text(v)
            elif isinstance(v, bool):
                out.extend(b"\x88" if v else b"\x89")
            elif isinstance(v, int):
                out.extend(b"J" + struct.pack("<i", v))
            elif isinstance(v, bytes):  # as it stands
                out.extend(v)
            else:
                count = math.prod(v.shape)
                strides = [math.prod(v.shape[i + 1:]) for i in range(len(v.shape))]
                out.extend(b"ctorch._utils\n_rebuild_tensor_v2\n(")
                put(("storage", f"ctorch\n{v.storage}\n".encode(), str(next(keys)), "cpu", count))
                out.extend(b"Q")
                put(0), put(tuple(v.shape)), put(tuple(strides)), put(False)
                out.extend(b"ccollections\nOrderedDict\n)RtR")

        put(value)
        return bytes(out + b".")

    def file(name, value, drop=None, data=b"\x00\x3c\x00\x38", more=b""):
        entries = {"archive/data.pkl": value if isinstance(value, bytes) else pickled(value), "archive/version": b"3\n"}
        entries |= {f"archive/data/{i}": (data * 8)[:8] for i in range(8)}
        write("published_awq", name + ".pt", zip_file([{"name": n, "data": d} for n, d in entries.items() if n != drop]) + more)

    attention, mlp = "model.layers.0.self_attn.", "model.layers.0.mlp."
    norm, readers = "model.layers.0.input_layernorm", tuple(attention + p for p in ("q_proj", "k_proj", "v_proj"))
    down = (mlp + "up_proj", (mlp + "down_proj",), tensor((4,)))
    clip = (mlp + "gate_proj", tensor((4, 1, 1)))

    def cache(scale=((norm, readers, tensor((4,))), down), clips=(clip,)):
        return {"scale": list(scale), "clip": list(clips)}

    file("valid", cache())
    file("valid_empty", cache((), ()))
    file("layer_that_is_not_there", cache(((norm.replace("0", "1"), readers, tensor((4,))),)))
    file("layer_2_to_the_64", cache(((norm.replace("0", str(2**64)), readers, tensor((4,))),)))
    file("readers_of_two_inputs", cache(((norm, readers[:2], tensor((4,))),)))
    file("norm_of_another_input", cache((("model.layers.0.post_attention_layernorm", readers, tensor((4,))),)))
    file("part_unknown", cache(((attention + "x_proj", readers, tensor((4,))),)))
    file("scaled_twice", cache((down, down)))
    file("clipped_twice", cache((), (clip, clip)))
    file("scale_too_short", cache(((norm, readers, tensor((3,))),)))
    file("clip_of_five_rows", cache((), ((mlp + "gate_proj", tensor((5, 1, 1))),)))
    file("tensor_larger_than_its_storage", cache(((norm, readers, tensor((2**30,))),)))
    file("scale_zero", cache(), data=b"\0\0")
    file("scale_nan", cache(), data=b"\x00\x7e")
    file("scale_missing", {"clip": []})
    file("root_a_list", [])
    file("entry_a_text", {"scale": ["x"], "clip": []})
    file("call_of_system", b"\x80\x02cposix\nsystem\nX\x04\0\0\0true\x85R.")
    file("storage_unknown", cache(((norm, readers, tensor((4,), "UntypedStorage")),)))
    file("pickle_cut_short", pickled(cache())[:-9])
    file("pickle_of_marks", b"\x80\x02" + b"(" * 1000)
    file("pickle_that_holds_itself", b"\x80\x02]q\0h\0a.")
    file("no_pickle", cache(), drop="archive/data.pkl")
    file("storage_missing", cache(), drop="archive/data/0")
    file("bytes_after_the_end", cache(), more=b"x" * 70000)


def quantized_layer_corpus():
    order = struct.pack("<4i", 2, 0, 3, 1)

    def matrix(name, rows):
        """3 bits in chunks of 32 codes, one group a row."""
        return {name + ".codes": ("U8", (rows, 12), bytes(range(12 * rows))),
                name + ".scales": ("F32", (rows, 1), struct.pack(f"<{rows}f", *floats(rows))),
                name + ".zeros": ("U8", (rows, 1), bytes(r % 8 for r in range(rows)))}

    def put(name, tensors={}, drop=None, metadata={}, sha256=None):
        all_tensors = matrix("q_proj", 4) | matrix("k_proj", 2) | {"q_proj.order": ("I32", (4,), order), "fold.0": ("F32", (4,), struct.pack("<4f", 0.5, 1, 2, 4))} | tensors
        all_tensors = {n: t for n, t in sorted(all_tensors.items()) if n != drop}
        said = {"layer": "0", "manifest": hashlib.sha256(compact(QUANTIZED).encode()).hexdigest(), "q_proj.format": "uniform3-g32", "k_proj.format": "uniform3-g32"} | metadata
        said = {k: v for k, v in said.items() if k != drop}
        content = hashlib.sha256(compact(said).encode())
        for n, (kind, shape, data) in all_tensors.items():
            content.update(f"{n} {kind} ({', '.join(map(str, shape))})".encode() + data)
        if drop != "sha256":
            said["sha256"] = content.hexdigest() if sha256 is None else sha256
        write("quantized_layer", name + ".safetensors", s_tensors(all_tensors, said))

    def floats_of(*values):
        return ("F32", (len(values), 1), struct.pack(f"<{len(values)}f", *values))

    put("valid")
    put("valid_without_order", drop="q_proj.order")
    write("quantized_layer", "empty.safetensors", b"")
    write("quantized_layer", "no_metadata.safetensors", s_tensors(matrix("q_proj", 4)))
    put("hash_missing", drop="sha256")
    put("hash_of_other_bytes", sha256="0" * 64)
    put("layer_1", metadata={"layer": "1"})
    put("layer_missing", drop="layer")
    put("manifest_of_another_model", metadata={"manifest": "0" * 64})
    put("format_unknown", metadata={"q_proj.format": "uniform9-g32"})
    put("format_dense", metadata={"q_proj.format": "f32"})
    put("format_of_other_bits", metadata={"q_proj.format": "nf4-row"})
    put("format_missing", drop="q_proj.format")
    put("unknown_metadata", metadata={"comment": "x"})
    put("codes_missing", drop="q_proj.codes")
    put("scales_missing", drop="q_proj.scales")
    put("zeros_missing", drop="q_proj.zeros")
    put("codes_of_other_shape", {"q_proj.codes": ("U8", (12, 4), bytes(48))})
    put("codes_as_i8", {"q_proj.codes": ("I8", (4, 12), bytes(48))})
    put("scale_nan", {"k_proj.scales": floats_of(1, float("nan"))})
    put("scale_infinite", {"k_proj.scales": floats_of(1, float("inf"))})
    put("zero_8_of_3_bits", {"k_proj.zeros": ("U8", (2, 1), b"\x07\x08")})
    put("order_of_3_columns", {"q_proj.order": ("I32", (3,), order[:12])})
    put("order_as_u32", {"q_proj.order": ("U32", (4,), order)})
    put("order_names_a_column_twice", {"q_proj.order": ("I32", (4,), struct.pack("<4i", 2, 0, 2, 1))})
    put("order_names_column_4_of_4", {"q_proj.order": ("I32", (4,), struct.pack("<4i", 2, 0, 4, 1))})
    put("order_names_column_minus_1", {"q_proj.order": ("I32", (4,), struct.pack("<4i", 2, 0, -1, 1))})
    put("order_of_a_matrix_that_stays_full", {"o_proj.order": ("I32", (4,), order)})
    put("fold_of_3_columns", {"fold.0": ("F32", (3,), struct.pack("<3f", 1, 1, 1))})
    put("fold_by_0", {"fold.0": ("F32", (4,), struct.pack("<4f", 1, 0, 1, 1))})
    put("fold_by_nan", {"fold.0": ("F32", (4,), struct.pack("<4f", 1, float("nan"), 1, 1))})
    put("fold_4", {"fold.4": ("F32", (4,), struct.pack("<4f", 1, 1, 1, 1))})
    put("unknown_tensor", {"q_proj.bias": ("F32", (4,), bytes(16))})


METHOD = "rtn4-row"
EXAMPLES, POSITIONS = 12, 3
MANIFEST = {"bitlens": "0.1.0", "seed": 1, "first_position": False, "full": "GGUF, linear layers Q4_1", "methods": [{"name": METHOD, "spec": METHOD}]}
OF_DOCUMENTS = {"nll": "each variant", "error": "each method", "kl": "each method", "same_top": "each method", "entropy": "each variant", "bits_per_byte": "each variant", "growth_r": "full model"}
OF_LAYERS = dict.fromkeys(("norm_r", "norm_z", "norm_h", "kurtosis_r", "kurtosis_h", "top8_r"), "full model") | dict.fromkeys(("mse", "diff_r", "diff_attn", "diff_mlp"), "each method")
OF_POSITIONS = {"nll": "each variant", "kl": "each method", "top": "each variant", "margin": "each variant", "entropy": "each variant"}
MANIFEST["columns"] = [{"name": name, "of": of, "per": per, "unit": "", "meaning": ""} | ({"token_ids": True} if name == "top" else {})
                       for per, columns in (("document", OF_DOCUMENTS), ("layer", OF_LAYERS), ("position", OF_POSITIONS)) for name, of in columns.items()]


def example_rows():
    names = ["example", "id", "topic", "tokens", "bytes", "nll_full", *(f"{q}_{METHOD}" for q in ("nll", "error", "kl", "same_top")),
             *(q + "_l0" for q in ("norm_r", "norm_z", "norm_h", "kurtosis_r", "kurtosis_h", "top8_r")), *(f"{q}_{METHOD}_l0" for q in ("mse", "diff_r", "diff_attn", "diff_mlp")),
             "entropy_full", f"entropy_{METHOD}", "bits_per_byte_full", f"bits_per_byte_{METHOD}", "growth_r"]
    rows = []
    for i in range(EXAMPLES):
        full, error = 2 + i / 8, ((5 * i) % 12) / 16
        rows.append([i, f"doc-{i}", "news", POSITIONS + 1, "" if i == 3 else 9, full, full + error, error, error / 2, 0.5, 3 + i / 4, 3.5, 1 + i / 2, "" if i == 5 else 9 - i / 4, 4, 0.5,
                     0.25 * i, 0.1 + i / 50, 0.2, 0.3, 2 + i / 9, 2.5, "" if i == 3 else 1, "" if i == 3 else 1.5, 1])
    return names, rows


def csv_text(names, rows):
    return "".join(",".join(str(cell) for cell in row) + "\n" for row in [names, *rows])


def run_arrays():
    scored, count = f"({EXAMPLES}, {POSITIONS})", EXAMPLES * POSITIONS
    arrays = {"ids": npy(shape=f"({EXAMPLES}, {POSITIONS + 1})", data=struct.pack(f"<{count + EXAMPLES}i", *(3 * (k * k % 5) for k in range(count + EXAMPLES))))}
    for name in ("full", METHOD):
        for quantity in ("nll", "kl", "margin", "entropy"):
            if (name, quantity) != ("full", "kl"):
                arrays[f"{quantity}_{name}"] = npy("'<f4'", shape=scored, data=struct.pack(f"<{count}f", *(1 + (k % 7) / 4 for k in range(count))))
        arrays[f"top_{name}"] = npy(shape=scored, data=struct.pack(f"<{count}i", *(3 * (k % 5) for k in range(count))))
    words = [b" a", b"\xc3", b"\xa9\xe4", b"<b>", b"\xff"]
    ends = [sum(map(len, words[:k])) for k in range(6)]
    return arrays | {"token_ids": npy(shape="(5,)", data=struct.pack("<5i", *range(0, 15, 3))), "token_offsets": npy("'<i8'", shape="(6,)", data=struct.pack("<6q", *ends)),
                     "token_bytes": npy("'|u1'", shape=f"({ends[-1]},)", data=b"".join(words))}


def float32_corpus():
    """The first rows of the run once more."""
    names = ["example", "nll_full", f"nll_{METHOD}"]

    def float32(name, rows, columns=names):
        write("run_float32", name + ".csv", csv_text(columns, rows))

    rows = [[k, 1 + k / 8, 1.5 + k / 4] for k in range(3)]
    float32("valid", rows)
    float32("valid_rows_in_another_order", rows[::-1])
    float32("no_rows", [])
    float32("one_row", rows[:1])
    float32("example_of_no_run", rows + [[99, 1, 1]])
    float32("example_twice", rows + rows)
    float32("example_negative", [[-1, 1, 1]])
    float32("method_missing", [r[:2] for r in rows], names[:2])
    float32("column_of_no_method", [r + [1] for r in rows], names + ["nll_nf4-row"])
    float32("cell_nan", [[0, "nan", 1]])
    float32("numbers_near_the_largest_double", [[0, "1e308", "-1e308"], [1, "-1e308", "1e308"]])
    write("run_float32", "empty.csv", "")


def runs_corpus():
    def manifest(name, **other):
        write("run_manifest", name + ".json", json.dumps({k: v for k, v in (MANIFEST | other).items() if v is not None}))

    manifest("valid")
    manifest("valid_markup", full="<script>alert(1)</script>", note=["=1+1", {"\u202e": None}])
    manifest("valid_spec_with_markup", methods=[{"name": METHOD, "spec": "<b>"}])
    manifest("no_methods", methods=[])
    manifest("no_columns", columns=[])
    manifest("columns_missing", columns=None)
    manifest("columns_are_an_object", columns={})
    manifest("column_twice", columns=MANIFEST["columns"] + MANIFEST["columns"][:1])
    manifest("column_of_nobody", columns=[MANIFEST["columns"][0] | {"of": "nobody"}])
    manifest("column_name_that_leaves_the_folder", columns=MANIFEST["columns"] + [MANIFEST["columns"][0] | {"name": "../x"}])
    manifest("ids_of_a_layer", columns=[c | {"token_ids": True} for c in MANIFEST["columns"]])
    manifest("columns_ten_thousand_times", columns=MANIFEST["columns"] * 1000)
    manifest("no_seed", seed=None)
    manifest("seed_negative", seed=-1)
    manifest("first_position_is_a_number", first_position=1)
    manifest("methods_is_an_object", methods={})
    manifest("method_is_text", methods=[METHOD])
    manifest("method_twice", methods=MANIFEST["methods"] * 2)
    manifest("method_unknown", methods=[{"name": "nf4-row", "spec": "nf4-row"}])
    manifest("method_that_leaves_the_folder", methods=[{"name": "../../x", "spec": "rtn4-row"}])
    manifest("method_without_spec", methods=[{"name": METHOD}])
    hostile_json("run_manifest")

    names, rows = example_rows()

    def examples(name, content):
        write("run_examples", name + ".csv", content)

    def changed(column, cell, row=1):
        copy = [list(r) for r in rows]
        copy[row][names.index(column)] = cell
        return csv_text(names, copy)

    valid = csv_text(names, rows)
    examples("valid", valid)
    examples("valid_crlf_and_byte_order_mark", "\ufeff" + valid.replace("\n", "\r\n"))
    examples("valid_text_that_wants_out", changed("id", '"<script>,""=1+1""\n"').replace("news", "'=HYPERLINK(1)"))
    examples("no_examples", csv_text(names, []))
    examples("fewer_examples_than_tokens_npz", csv_text(names, rows[:2]))
    examples("header_empty", "\n")
    examples("empty", "")
    examples("column_twice", valid.replace("topic", "id", 1))
    examples("column_without_a_name", valid.replace("topic", "", 1))
    examples("column_missing", csv_text(names[1:], [r[1:] for r in rows]))
    examples("column_of_no_method", csv_text(names + ["nll_nf4-row"], [r + [1] for r in rows]))
    examples("row_too_short", valid + "1,2,3\n")
    examples("row_too_long", valid[:-1] + ",1\n")
    examples("cell_empty", changed("nll_full", ""))
    examples("cell_nan", changed("nll_full", "nan"))
    examples("cell_infinite", changed("norm_r_l0", "inf"))
    examples("cell_beyond_double", changed("norm_r_l0", "1e999"))
    examples("cell_is_text", changed("norm_r_l0", "big"))
    examples("cell_hexadecimal", changed("norm_r_l0", "0x10"))
    examples("cell_with_number_and_more", changed("norm_r_l0", "1 "))
    examples("cell_with_zero_byte", changed("norm_r_l0", "1\0"))
    examples("cell_largest_double", changed("norm_r_l0", "1.7976931348623157e308"))
    examples("numbers_near_the_largest_double", csv_text(names, [[c if n not in ("norm_r_l0", "norm_h_l0", f"mse_{METHOD}_l0") else f"{1 + i % 3}e308" if i % 3 == 0 else "-1e308" for n, c in zip(names, r)] for i, r in enumerate(rows)]))
    examples("count_negative", changed("tokens", "-4"))
    examples("count_2_to_the_64", changed("example", 2**64))
    examples("error_that_is_no_difference", changed(f"error_{METHOD}", "7"))
    examples("other_number_of_tokens", changed("tokens", 5))
    examples("quote_never_closed", changed("id", '"a'))
    examples("quote_inside_a_cell", changed("id", 'a"b'))
    examples("quote_then_text", changed("id", '"a"b'))
    examples("id_no_utf8", changed("id", "\udcff").encode("utf-8", "surrogateescape"))
    examples("all_equal", csv_text(names, [[i, "", "", POSITIONS + 1] + rows[0][4:] for i in range(EXAMPLES)]))

    def tokens(name, method=0, skip=None, **other):
        arrays = run_arrays() | other
        write("run_tokens", name + ".npz", zip_file([{"name": k + ".npy", "data": v, "method": method} for k, v in arrays.items() if k != skip]))

    count = EXAMPLES * POSITIONS
    scored = f"({EXAMPLES}, {POSITIONS})"
    tokens("valid")
    tokens("valid_deflated", method=8)
    tokens("array_missing", skip="token_ids", method=8)
    tokens("scores_missing", skip="top_full", method=8)
    tokens("ids_of_another_shape", method=8, ids=npy(shape="(4, 12)", data=bytes(4 * 48)))
    tokens("ids_of_rank_0", method=8, ids=npy(shape="()", data=bytes(4)))
    tokens("ids_of_no_tokens", method=8, ids=npy(shape=f"({EXAMPLES}, 0)", data=b""))
    tokens("ids_in_fortran_order", method=8, ids=npy(fortran="True", shape=f"({EXAMPLES}, {POSITIONS + 1})", data=bytes(4 * 48)))
    tokens("ids_without_bytes", method=8, ids=npy(shape=f"({EXAMPLES}, {POSITIONS + 1})", data=struct.pack("<48i", *([-7] * 48))))
    tokens("scores_of_another_type", method=8, nll_full=npy("'<f8'", shape=scored, data=bytes(8 * count)))
    tokens("scores_nan", method=8, **{f"nll_{METHOD}": npy("'<f4'", shape=scored, data=struct.pack("<f", float("nan")) * count)})
    tokens("scores_infinite", method=8, nll_full=npy("'<f4'", shape=scored, data=struct.pack("<f", float("inf")) * count))
    tokens("most_likely_without_bytes", method=8, top_full=npy(shape=scored, data=b"\x63" * 4 * count))
    tokens("token_ids_do_not_rise", method=8, token_ids=npy(shape="(5,)", data=bytes(20)))
    tokens("offsets_past_the_end", method=8, token_offsets=npy("'<i8'", shape="(6,)", data=struct.pack("<6q", 0, 1, 2, 3, 2**40, 9)))
    tokens("offsets_negative", method=8, token_offsets=npy("'<i8'", shape="(6,)", data=struct.pack("<6q", -1, 1, 2, 3, 4, 9)))
    tokens("offsets_fall", method=8, token_offsets=npy("'<i8'", shape="(6,)", data=struct.pack("<6q", 0, 5, 4, 6, 7, 9)))
    tokens("offsets_empty", method=8, token_offsets=npy("'<i8'", shape="(0,)", data=b""))
    write("run_tokens", "empty.npz", b"")

    def part(name, count=2, **other):
        full = ["document." + n for n, of in OF_DOCUMENTS.items() if of != "each method"] + ["layer." + n for n, of in OF_LAYERS.items() if of != "each method"]
        arrays = {n: npy("'<f8'", shape=f"(1, {count})", data=struct.pack(f"<{count}d", *range(count))) for n in full}
        arrays |= {f"position.{n}": npy("'<f4'", shape=f"({count}, {POSITIONS})", data=bytes(4 * count * POSITIONS)) for n in ("nll", "margin", "entropy")}
        arrays |= {"position.top": npy(shape=f"({count}, {POSITIONS})", data=bytes(4 * count * POSITIONS))} | other
        write("run_part", name + ".npz", zip_file([{"name": k + ".npy", "data": v} for k, v in arrays.items() if v]))

    part("valid")
    part("of_other_rows", count=3)
    part("array_missing", **{"position.top": None})
    part("of_another_type", **{"position.top": npy("'<i8'", shape=f"(2, {POSITIONS})", data=bytes(48))})
    part("of_another_shape", **{"layer.norm_r": npy("'<f8'", shape="(2, 1)", data=bytes(16))})
    part("with_kl_of_the_full_model", **{"position.kl": npy("'<f4'", shape="(2, 3)")})

    def part_of_rows(name, *numbers, count=2, **other):
        part(name, **{"rows": npy(shape=f"(1, {count})", data=struct.pack(f"<{len(numbers)}i", *numbers))} | other)

    part_of_rows("valid_rows_apart", 3, 7)
    part_of_rows("rows_from_another_first_one", 4, 7)
    part_of_rows("rows_fall", 3, 2)
    part_of_rows("row_twice", 3, 3)
    part_of_rows("row_negative", -3, 4)
    part_of_rows("row_beyond_the_documents", 3, EXAMPLES)
    part_of_rows("row_2_to_the_31_minus_1", 3, 2**31 - 1)
    part_of_rows("rows_fewer", 3, count=1)
    part_of_rows("rows_more", 3, 4, 5, count=3)
    part("rows_none", rows=npy(shape="(1, 0)", data=b""))
    part("rows_of_another_type", rows=npy("'<i8'", shape="(1, 2)", data=struct.pack("<2q", 3, 7)))
    part("rows_of_rank_1", rows=npy(shape="(2,)", data=struct.pack("<2i", 3, 7)))
    write("run_part", "empty.npz", b"")


LOCATED = {f"{METHOD}_patch_mlp_out": False, f"{METHOD}_restore_gate": False, f"{METHOD}_restore_l0": False, f"{METHOD}_only_q": False,
           "r_full_l0": True, f"z_frozen_{METHOD}_l0": True}
LOCATE_MANIFEST = {"bitlens": "1", "study": {}, "methods": [{"name": METHOD, "spec": METHOD}] + [
    {"name": name, "spec": "a variant"} | ({"ends_early": True} if ends else {}) for name, ends in LOCATED.items()],
    "columns": [{"name": name, "of": of, "per": "document", "unit": "nats per token", "meaning": ""} for name, of in (("nll", "each variant"), ("exit", "each early exit"))]}


# The document with the largest error, and its control.
LARGE, CTRL = 7, 8


def located_rows():
    """Every document but two."""
    names = ["example", "set", "nll_full", f"nll_{METHOD}", *(("exit_" if ends else "nll_") + name for name, ends in LOCATED.items())]
    return names, [[i, {LARGE: "large", CTRL: "ctrl"}.get(i, ""), 2 + i / 8, 2 + i / 8 + ((5 * i) % 12) / 16, *(2 + i / 8 + k / 4 for k in range(len(LOCATED)))] for i in range(EXAMPLES - 2)]


def located_corpus():
    names, rows = located_rows()

    def table(name, content):
        write("run_locate", name + ".csv", content)

    def changed(column, cell, row=1):
        copy = [list(r) for r in rows]
        copy[row][names.index(column)] = cell
        return csv_text(names, copy)

    valid = csv_text(names, rows)
    table("valid", valid)
    table("valid_rows_in_another_order", csv_text(names, rows[::-1]))
    table("valid_cells_empty", csv_text(names, [r[:4] + [""] * len(LOCATED) for r in rows]))
    table("valid_without_some_variants", csv_text(names[:5], [r[:5] for r in rows]))
    table("valid_no_rows", csv_text(names, []))
    table("empty", "")
    table("header_empty", "\n")
    table("only_examples", csv_text(names[:2], [r[:2] for r in rows]))
    table("example_of_no_study", changed("example", 99))
    table("example_twice", csv_text(names, rows + rows[:1]))
    table("example_negative", changed("example", -1))
    table("example_2_to_the_64", changed("example", 2**64))
    table("set_missing", csv_text(names[:1] + names[2:], [r[:1] + r[2:] for r in rows]))
    table("set_of_no_method", changed("set", "large"))
    table("set_unknown", changed("set", "<script>"))
    table("column_twice", csv_text(names + names[-1:], [r + r[-1:] for r in rows]))
    table("column_of_no_variant", csv_text(names + [f"nll_{METHOD}_restore_l1"], [r + [1] for r in rows]))
    table("column_that_wants_out", csv_text(names + ["<script>"], [r + [1] for r in rows]))
    table("exit_that_runs_to_the_end", valid.replace("exit_r_full_l0", "nll_r_full_l0"))
    table("full_model_missing", valid.replace("nll_full", "nll_none"))
    table("cell_nan", changed("nll_full", "nan"))
    table("cell_infinite", changed("exit_r_full_l0", "inf"))
    table("cell_beyond_the_largest", changed("nll_full", "1e81"))
    table("cell_with_number_and_more", changed("nll_full", "1 "))
    table("valid_losses_near_the_largest", csv_text(names, [r[:2] + [f"{'-' if (i + k) % 2 else ''}1e80" for k in range(len(r) - 2)] for i, r in enumerate(rows)]))
    table("row_too_short", valid + "1,2\n")

    def manifest(name, **other):
        write("run_locate_manifest", name + ".json", json.dumps({k: v for k, v in (LOCATE_MANIFEST | other).items() if v is not None}))

    methods, columns = LOCATE_MANIFEST["methods"], LOCATE_MANIFEST["columns"]
    manifest("valid")
    manifest("valid_more_variants_than_columns", methods=methods + [{"name": f"{METHOD}_only_v", "spec": "of a call that was killed"}])
    manifest("valid_a_thousand_variants_more", methods=methods + [{"name": f"v{k}", "spec": ""} for k in range(1000)])
    manifest("no_methods", methods=[])
    manifest("variant_missing", methods=methods[:-1])
    manifest("variant_twice", methods=methods * 2)
    manifest("exit_that_runs_to_the_end", methods=[{k: v for k, v in m.items() if k != "ends_early"} for m in methods])
    manifest("ends_early_is_text", methods=[m | {"ends_early": "yes"} for m in methods])
    manifest("no_columns", columns=[])
    manifest("columns_missing", columns=None)
    manifest("column_of_each_layer", columns=[c | {"per": "layer"} for c in columns])
    manifest("column_of_each_position", columns=[c | {"per": "position"} for c in columns])
    manifest("column_of_token_ids", columns=[c | {"token_ids": True} for c in columns])
    manifest("column_of_methods_alone", columns=[columns[0] | {"of": "each method"}, columns[1]])
    manifest("column_twice", columns=columns * 2)
    manifest("columns_a_thousand_times", columns=columns * 1000)
    hostile_json("run_locate_manifest")


# ---- Layers in the layouts of others, in short: see layer_in_short.hpp

TYPES = ["BOOL", "F4", "F6_E2M3", "F6_E3M2", "U8", "I8", "F8_E5M2", "F8_E4M3", "F8_E8M0", "F8_E4M3FNUZ", "F8_E5M2FNUZ", "I16", "U16", "F16", "BF16", "I32", "U32", "F32", "C64", "F64", "I64", "U64"]
SIZES = dict(zip(TYPES, [8, 4, 6, 6, 8, 8, 8, 8, 8, 8, 8, 16, 16, 16, 16, 32, 32, 32, 64, 64, 64, 64]))
LONG = dict(zip([256, 384, 512, 768, 1024, 2048, 4096, 8192, 2**31, 2**32, 2**58, 2**60, 2**61, 2**62, 2**63, 2**64 - 1], range(224, 240)))


def halves(*values):
    return struct.pack(f"<{len(values)}e", *values)


def singles(*values):
    return struct.pack(f"<{len(values)}f", *values)


def words(*values):
    return struct.pack(f"<{len(values)}I", *(v % 2**32 for v in values))


def some_bytes(count):
    return bytes((37 * i + 11) % 256 for i in range(count))


class stored_kind:
    """Layers of one kind. A layer: part → (type, shape, bytes), bytes that are missing are some or other."""

    def __init__(self, target, parts, layer, said):
        self.target, self.parts, self.layer, self.said = target, parts, layer, said

    def put(self, name, said=None, drop=(), layer=None, **other):
        tensors = {k: v for k, v in ((self.layer if layer is None else layer) | other).items() if k not in drop}
        said = self.said if said is None else said
        head = (said if isinstance(said, bytes) else json.dumps(said, separators=(",", ":")).encode() if said else b"") + b"\n" + bytes([len(tensors)])
        data = b""
        for part, (kind, shape, *content) in tensors.items():
            head += bytes([self.parts.index(part), TYPES.index(kind), len(shape), *(LONG.get(d, d) for d in shape)])
            size = product(shape) * SIZES[kind] // 8
            data += content[0] if content else some_bytes(size) if size <= 4096 else b""
        write(self.target, name + ".layer", head + data)

    def put_hostile(self, scales):
        """What goes wrong with tensors of any kind. scales: a part of floats."""
        for part, (kind, shape, *_) in self.layer.items():
            self.put(f"{part}_missing", drop=[part])
            self.put(f"{part}_of_floats_of_64_bits", **{part: ("F64", shape)})
            self.put(f"{part}_of_one_row_more", **{part: (kind, (shape[0] + 1 if shape else 1, *shape[1:]))})
            self.put(f"{part}_without_rows", **{part: (kind, (0, *shape[1:]))})
        rank = max(len(shape) for _, shape, *_ in self.layer.values())
        for dimension in (2**31, 2**61, 2**62, 2**63):
            empty = {p: (k, tuple(0 if i == 0 else dimension for i in range(len(s)))) for p, (k, s, *_) in self.layer.items()}
            self.put(f"all_of_0_rows_and_2_to_the_{dimension.bit_length() - 1}_columns", layer=empty)
            self.put(f"all_of_2_to_the_{dimension.bit_length() - 1}_rows_and_0_columns", layer={p: (k, tuple(0 if i == rank - 1 else dimension for i in range(len(s))) if len(s) == rank else (0,) * len(s)) for p, (k, s, *_) in self.layer.items()})
        self.put("all_of_0_rows_and_columns", layer={p: (k, (0,) * len(s)) for p, (k, s, *_) in self.layer.items()})
        kind, shape = self.layer[scales][:2]
        for word, bits in {"nan": {"F16": b"\0\x7e", "F32": b"\0\0\xc0\x7f"}, "infinite": {"F16": b"\0\x7c", "F32": b"\0\0\x80\x7f"}}.items():
            if kind in bits:
                self.put(f"{scales}_{word}", **{scales: (kind, shape, bits[kind] * product(shape))})
        if kind in ("F16", "F32"):
            self.put("weights_beyond_float", **{scales: ("F32", shape, b"\xff\xff\x7f\x7f" * product(shape))})
        self.put("no_tensors", layer={})


def gptq_layer(bits, groups=2, ins=32, outs=32, order=None, scale="F16", code_words=None, zero_words=None):
    """Tensors of GPTQ: 32 inputs, 32 outputs."""
    layer = {"g_idx": ("I32", (len(order),), words(*order))} if order is not None else {}
    return layer | {"scales": (scale, (groups, outs), (halves if scale == "F16" else singles)(*([0.25, 0.5] * (groups * outs // 2)))),
                    "qweight": ("I32", (code_words or ins * bits // 32, outs)), "qzeros": ("I32", (groups, zero_words or outs * bits // 32))}


def stored_corpus():
    gptq_parts = ["qweight", "qzeros", "scales", "g_idx"]
    in_order, apart = [i // 16 for i in range(32)], [i % 2 for i in range(32)]
    said = {"bits": 4, "group_size": 16, "quant_method": "gptq", "sym": False}

    gptq = stored_kind("stored_gptq", gptq_parts, gptq_layer(4, order=in_order), said)
    for bits, groups in {2: 1, 3: 2, 4: 2, 8: 2}.items():  # words of codes are more than groups
        gptq.put(f"valid_{bits}_bits", said | {"bits": bits}, layer=gptq_layer(bits, groups, order=[i * groups // 32 for i in range(32)]))
        gptq.put(f"valid_{bits}_bits_symmetric", said | {"bits": bits, "sym": True}, layer=gptq_layer(bits, groups))
        gptq.put(f"valid_{bits}_bits_of_version_2", said | {"bits": bits, "checkpoint_format": "gptq_v2"}, layer=gptq_layer(bits, groups, order=[i % groups for i in range(32)]))
    for bits in (3, 5, 6, 7):
        gptq.put(f"valid_{bits}_bits_planar", said | {"bits": bits, "checkpoint_format": "gptq_p"}, layer=gptq_layer(bits))
    for bits in (5, 6, 7):
        gptq.put(f"valid_{bits}_bits_of_8_outputs", said | {"bits": bits}, layer=gptq_layer(bits, outs=8, zero_words=bits))
        gptq.put(f"{bits}_bits_of_8_outputs_without_planes", said | {"bits": bits}, layer=gptq_layer(bits, outs=8, zero_words=2, order=in_order))
    for bits in (2, 4, 8):
        gptq.put(f"{bits}_bits_of_8_outputs_not_in_the_planes_that_are_said", said | {"bits": bits, "checkpoint_format": "gptq_p"}, layer=gptq_layer(bits, 1, outs=8, zero_words=(8 * bits + 31) // 32))
    gptq.put("valid_nothing_said", {})
    gptq.put("valid_one_group", said | {"group_size": -1}, layer=gptq_layer(4, 1))
    gptq.put("valid_short_last_group", said | {"group_size": 24}, layer=gptq_layer(4, 2))
    gptq.put("valid_swapped_thirds", said | {"bits": 3}, qzeros=("I32", (2, 3), words(*[(0x24924924 * 2**k + 0) for k in range(3)] * 2)), layer=gptq_layer(3))
    gptq.put("valid_groups_from_the_last", layer=gptq_layer(4, order=[i // 16 - 2 for i in range(32)]))
    gptq.put("group_size_0", said | {"group_size": 0})
    gptq.put("group_size_minus_2", said | {"group_size": -2})
    gptq.put("group_size_2_to_the_63_minus_1", said | {"group_size": 2**63 - 1})
    gptq.put("group_size_as_text", said | {"group_size": "32"})
    gptq.put("layout_unknown", said | {"checkpoint_format": "marlin"})
    gptq.put("codes_in_bytes", said | {"pack_dtype": "int8"})
    gptq.put("zeros_of_another_width", qzeros=("I32", (2, 5)))
    for name, order in {"group_of_too_many_inputs": [0] * 17 + [1] * 15, "group_2_of_2": [2] * 32, "group_minus_3_of_2": [-3] * 32, "group_2_to_the_31_minus_1": [2**31 - 1] * 32, "order_of_31_inputs": in_order[:31], "order_of_no_inputs": []}.items():
        gptq.put(name, layer=gptq_layer(4, order=order))
    gptq.put_hostile("scales")

    auto = stored_kind("stored_auto_round", gptq_parts, gptq_layer(4), {"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq", "bits": 4, "group_size": 16, "sym": True})
    for bits in (2, 3, 4, 5, 6, 7, 8):
        layer = gptq_layer(bits, 1 if bits == 2 else 2)
        auto.put(f"valid_{bits}_bits", auto.said | {"bits": bits}, layer=layer)
        auto.put(f"valid_{bits}_bits_zeros_as_they_are", auto.said | {"bits": bits, "packing_format": "auto_round", "sym": False}, layer=layer)
    awq = {"qweight": ("I32", (64, 4)), "qzeros": ("I32", (2, 4)), "scales": ("F16", (2, 32), halves(*[0.25, 0.5] * 32))}
    auto.put("valid_as_awq", auto.said | {"packing_format": "auto_round:auto_awq"}, layer=awq)
    auto.put("group_size_0", auto.said | {"group_size": 0})
    auto.put("layout_is_a_number", auto.said | {"packing_format": 1})
    auto.put_hostile("scales")

    gemm = stored_kind("stored_awq", ["qweight", "qzeros", "scales", "scaled_zeros"], awq, {"bits": 4, "group_size": 32, "quant_method": "awq"})
    gemv = {"qweight": ("I32", (16, 8)), "qzeros": ("I32", (16, 1)), "scales": ("F16", (16, 8), halves(*[0.25, 0.5] * 64))}
    fast = {"qweight": ("I16", (2, 128)), "scales": ("F16", (8, 8), halves(*[0.25, 0.5] * 32)), "scaled_zeros": ("F16", (8, 8), halves(*[-1, -2] * 32))}
    gemm.put("valid_gemm")
    gemm.put("valid_gemv", layer=gemv)
    gemm.put("valid_gemv_whole_rows", {"group_size": -1}, layer=gemv)
    gemm.put("valid_fast", layer=fast)
    gemm.put("valid_fast_zeros_called_otherwise", layer={"qzeros" if k == "scaled_zeros" else k: v for k, v in fast.items()})
    for form, layer in {"gemv": gemv, "fast": fast}.items():
        gemm.put(f"{form}_nothing_said", {}, layer=layer)
        for name, group in {"0": 0, "minus_2": -2, "48": 48, "2_to_the_63_minus_1": 2**63 - 1}.items():
            gemm.put(f"{form}_group_size_{name}", {"group_size": group}, layer=layer)
        for group in (-1, 32):
            called = "whole_rows" if group == -1 else "groups"
            gemm.put(f"{form}_without_inputs_in_{called}", {"group_size": group}, layer={p: (k, (s[0], 0)) for p, (k, s, *_) in layer.items()} if form == "gemv" else layer | {"qweight": ("I16", (2, 0))})
        stored_kind("stored_awq", gemm.parts, layer, gemm.said).put(f"{form}_without_zeros", drop=["qzeros", "scaled_zeros"])
    gemm.put_hostile("scales")

    qat = stored_kind("stored_efficient_qat", gptq_parts + ["weight"], gptq_layer(4, order=in_order, scale="F32"), {})
    qat.put("valid_2_bits", layer=gptq_layer(2, ins=64, order=[i // 32 for i in range(64)]))
    qat.put("valid_4_bits")
    qat.put("valid_4_bits_without_order", layer=gptq_layer(4))
    qat.put("valid_3_bits", layer=gptq_layer(3, order=in_order, code_words=4, zero_words=4))
    qat.put("valid_3_bits_without_order", layer=gptq_layer(3, code_words=4, zero_words=4))
    qat.put("valid_3_bits_said", {"bits": 3, "group_size": 16}, layer=gptq_layer(3, order=in_order, code_words=4, zero_words=4))
    qat.put("groups_apart", layer=gptq_layer(4, order=apart))
    qat.put("groups_that_do_not_divide", layer=gptq_layer(4, groups=3))
    qat.put("weight_beside_codes", weight=("F16", (32, 64)))
    qat.put_hostile("scales")

    def state(**other):
        return json.dumps({k: v for k, v in ({"quant_type": "nf4", "shape": [16, 8], "blocksize": 64, "dtype": "float16"} | other).items() if v is not None}).encode()

    def of_state(text, kind="nf4"):
        return {f"weight.quant_state.bitsandbytes__{kind}": ("U8", (len(text),), text)}

    levels = singles(*[k / 8 - 1 for k in range(16)])
    bnb_parts = ["weight", "weight.absmax", "weight.quant_map", "weight.quant_state.bitsandbytes__nf4", "weight.quant_state.bitsandbytes__fp4", "weight.nested_absmax", "weight.nested_quant_map", "SCB"]
    plain = {"weight.absmax": ("F32", (2,), singles(0.5, 2)), "weight.quant_map": ("F32", (16,), levels), "weight": ("U8", (64, 1))}
    nested = plain | {"weight.absmax": ("U8", (2,)), "weight.nested_absmax": ("F32", (1,), singles(0.5)), "weight.nested_quant_map": ("F32", (256,), singles(*[k / 128 - 1 for k in range(256)]))}
    bnb = stored_kind("stored_bitsandbytes", bnb_parts, of_state(state()) | plain, {})
    bnb.put("valid")
    bnb.put("valid_fp4", layer=of_state(state(quant_type="fp4"), "fp4") | plain)
    bnb.put("valid_nested", layer=of_state(state(nested_blocksize=256, nested_offset=0.25)) | nested)
    bnb.put("valid_odd_number", layer=of_state(state(shape=[3, 5])) | plain | {"weight": ("U8", (8, 1)), "weight.absmax": ("F32", (1,), singles(1))})
    bnb.put("valid_in_floats", layer=of_state(state()) | plain | {"weight": ("F16", (32, 1))})
    for name, text in {"state_empty": b"", "state_no_json": b"{", "type_of_the_other_part": state(quant_type="fp4"), "type_missing": state(quant_type=None), "shape_2_to_the_32_squared": state(shape=[2**32, 2**32]), "shape_2_to_the_63": state(shape=[2**63, 1]),
                       "shape_of_nothing": state(shape=[0, 8]), "shape_of_rank_1": state(shape=[128]), "shape_minus_1": state(shape=[-1, 8]), "shape_larger": state(shape=[2**20, 2**20]), "blocksize_0": state(blocksize=0), "blocksize_minus_1": state(blocksize=-1),
                       "blocksize_2_to_the_64_minus_1": state(blocksize=2**64 - 1), "blocksize_missing": state(blocksize=None)}.items():
        bnb.put(name, layer=plain | of_state(text))
    for name, text in {"nested_blocksize_0": state(nested_blocksize=0, nested_offset=0), "nested_blocksize_missing": state(nested_offset=0), "nested_offset_missing": state(nested_blocksize=256), "nested_offset_beyond_float": state(nested_blocksize=256, nested_offset=1e300), "nested_offset_as_text": state(nested_blocksize=256, nested_offset="0")}.items():
        bnb.put(name, layer=nested | of_state(text))
    bnb.put("nested_absmax_missing", layer=nested | of_state(state()), drop=["weight.nested_absmax"])
    bnb.put("two_states", layer=bnb.layer | of_state(state(quant_type="fp4"), "fp4"))
    bnb.put("llm_int8", layer={"weight": ("I8", (16, 8)), "SCB": ("F32", (16,))})
    bnb.put_hostile("weight.absmax")

    flute = stored_kind("stored_flute", ["weight", "scales", "tables", "tables2"], {"weight": ("I16", (32, 4)), "scales": ("F16", (128, 1), halves(*[0.25, 0.5] * 64)), "tables": ("F16", (16,), halves(*[k / 8 - 1 for k in range(16)]))}, {"template_id": 16, "num_bits": 4, "group_size": 4})
    flute.put("valid_4_bits")
    flute.put("valid_nothing_said", {})
    flute.put("valid_2_bits", {}, layer={"weight": ("I16", (32, 4)), "scales": ("F16", (256, 2), halves(*[0.25, 0.5] * 256)), "tables": ("F16", (4,), halves(-1, -0.5, 0.5, 1))})
    flute.put("valid_3_bits", {}, layer={"weight": ("I16", (96, 2)), "scales": ("F16", (512, 1), halves(*[0.25, 0.5] * 256)), "tables": ("F16", (8,), halves(*range(8)))})
    flute.put("valid_tiles_of_64", {"template_id": 0}, layer=flute.layer | {"weight": ("I16", (64, 4)), "scales": ("F16", (256, 1), halves(*[0.25, 0.5] * 128))})
    for name, number in {"minus_1": -1, "144": 144, "2_to_the_63": 2**63, "as_text": "0"}.items():
        flute.put(f"template_{name}", {"template_id": number})
    flute.put("odd_number_of_inputs", weight=("I16", (32, 3)))
    flute.put("table_of_another_size", tables=("F16", (8,)))
    flute.put_hostile("scales")

    def group(bits, **weights):
        return {"quant_method": "compressed-tensors", "format": "pack-quantized", "config_groups": {"g": {"targets": ["Linear"], "weights": {"num_bits": bits, "type": "int"} | weights}}}

    of_32 = {"strategy": "group", "group_size": 32}
    packed = {"weight_shape": ("I64", (2,), struct.pack("<2q", 8, 64)), "weight_scale": ("F16", (8, 2), halves(*[0.25, 0.5] * 8)), "weight_packed": ("I32", (8, 8))}
    compressed = stored_kind("stored_compressed", ["weight_packed", "weight_scale", "weight_zero_point", "weight_shape", "weight_g_idx"], packed, group(4, **of_32))
    compressed.put("valid_4_bits")
    compressed.put("valid_nothing_said", {})
    for bits in (1, 2, 3, 5, 6, 7, 8):
        compressed.put(f"valid_{bits}_bits", group(bits, **of_32) | {"version": "0.18.0"}, weight_packed=("I32", (8, 2 * bits)))
    compressed.put("valid_3_bits_of_older_packers", group(3, **of_32) | {"version": "0.10.0"}, weight_packed=("I32", (8, 7)))
    compressed.put("valid_channels", group(4, strategy="channel"), weight_scale=("BF16", (8, 1), b"\x80\x3e" * 8))
    compressed.put("valid_one_scale", group(4, strategy="tensor"), weight_scale=("F32", (1,), singles(0.5)))
    compressed.put("valid_blocks", group(4, strategy="block", block_structure=[4, 32]), weight_scale=("F16", (2, 2), halves(1, 2, 3, 4)))
    compressed.put("valid_zeros", weight_zero_point=("I32", (1, 2)))
    compressed.put("valid_zeros_in_bytes", weight_zero_point=("I8", (8, 2)))
    compressed.put("valid_order", weight_g_idx=("I32", (64,), words(*[i % 2 for i in range(64)])))
    compressed.put("valid_order_never_set", weight_g_idx=("I32", (64,), words(*[-1] * 64)))
    for name, shape in {"minus_1": (-1, 64), "0": (8, 0), "2_to_the_63_minus_1": (8, 2**63 - 1), "of_other_rows": (9, 64), "of_more_inputs": (8, 65), "of_fewer_inputs": (8, 8)}.items():
        compressed.put(f"shape_{name}", weight_shape=("I64", (2,), struct.pack("<2q", *shape)))
    for name, text in {"bits_of_another_group": group(8, **of_32), "bits_0": group(0), "bits_33": group(33), "group_size_0": group(4, group_size=0), "group_size_64": group(4, group_size=64), "float": group(4, type="float"), "type_unknown": group(4, type="uint"),
                       "blocks_of_2_to_the_64_minus_1": group(4, strategy="block", block_structure=[2**64 - 1, 2**64 - 1]), "blocks_of_0": group(4, strategy="block", block_structure=[0, 32]), "blocks_as_text": group(4, strategy="block", block_structure="4x32"), "blocks_as_other_text": group(4, strategy="block", block_structure="4x"),
                       "ignored": group(4) | {"ignore": ["re:.*up_proj"]}, "of_no_group": {"config_groups": {}}}.items():
        compressed.put(f"said_{name}", text)
    compressed.put("order_of_group_2", weight_g_idx=("I32", (64,), words(*[2] * 64)))
    compressed.put("zeros_of_floats", weight_zero_point=("F16", (8, 2)))
    compressed.put_hostile("weight_scale")

    nv = {"weight_packed": ("U8", (4, 16)), "weight_scale": ("F8_E4M3", (4, 2), b"\x38\x40" * 4), "weight_global_scale": ("F32", (1,), singles(2))}
    float4 = stored_kind("stored_float4", ["weight_packed", "weight_scale", "weight_global_scale", "weight", "weight_scale_2", "input_scale"], nv, {})
    float4.put("valid_nvfp4")
    float4.put("valid_nvfp4_said", group(4, type="float", strategy="tensor_group", group_size=16) | {"format": "nvfp4-pack-quantized"})
    float4.put("valid_mxfp4", layer={"weight_packed": ("U8", (4, 16)), "weight_scale": ("U8", (4, 1), b"\x7f\x80\x01\x00")})
    model_opt = {"weight": ("U8", (4, 16)), "weight_scale": nv["weight_scale"], "weight_scale_2": ("F32", (), singles(0.5))}
    float4.put("valid_modelopt", layer=model_opt)
    for name, number in {"0": 0, "minus_1": -1, "nan": math.nan, "infinite": math.inf, "denormal": 1e-45}.items():
        float4.put(f"global_scale_{name}", weight_global_scale=("F32", (1,), singles(number)))
    float4.put("global_scale_of_two", weight_global_scale=("F32", (2,), singles(1, 1)))
    float4.put("scale_nan", weight_scale=("F8_E4M3", (4, 2), b"\x7f" * 8))
    float4.put("exponent_255", layer={"weight_packed": ("U8", (4, 16)), "weight_scale": ("U8", (4, 1), b"\xff" * 4)})
    float4.put("exponent_254", layer={"weight_packed": ("U8", (4, 16)), "weight_scale": ("U8", (4, 1), b"\xfe" * 4)})
    float4.put("floats_of_6_bits", layer={"weight_packed": ("U8", (4, 24)), "weight_scale": ("U8", (4, 1))})
    float4.put("activations", input_scale=("F32", (1,)))
    float4.put_hostile("weight_scale")
    stored_kind("stored_float4", float4.parts, model_opt, {}).put("weight_scale_2_missing", drop=["weight_scale_2"])

    whole = stored_kind("stored_byte_codes", ["weight", "weight_scale", "weight_zero_point"], {"weight": ("I8", (4, 64)), "weight_scale": ("F16", (4, 2), halves(*[0.25, 0.5] * 4))}, {})
    whole.put("valid_int8")
    whole.put("valid_zeros", weight_zero_point=("I8", (4, 2)))
    whole.put("valid_one_scale", weight_scale=("F32", (), singles(0.5)))
    whole.put("valid_float8", weight=("F8_E4M3", (4, 64), some_bytes(256).replace(b"\x7f", b"\x7e").replace(b"\xff", b"\xfe")), weight_scale=("F32", (4, 1), singles(1, 2, 3, 4)))
    whole.put("valid_mxfp8", weight=("F8_E4M3", (4, 64), b"\x38\x40" * 128), weight_scale=("U8", (4, 2), b"\x7f\x80" * 4))
    whole.put("valid_blocks", group(8, strategy="block", block_structure=[2, 32]), weight_scale=("F16", (2, 2), halves(1, 2, 3, 4)))
    whole.put("valid_4_bits", group(4, **of_32), weight=("I8", (4, 64), bytes((i % 16 - 8) % 256 for i in range(256))))
    whole.put("code_8_of_4_bits", group(4, **of_32), weight=("I8", (4, 64), b"\x08" * 256))
    whole.put("float_nan", weight=("F8_E4M3", (4, 64), b"\x7f" * 256))
    whole.put("zeros_of_floats_of_8_bits", weight=("F8_E4M3", (4, 64), b"\x38" * 256), weight_zero_point=("I8", (4, 2)))
    whole.put("exponent_255", weight=("F8_E4M3", (4, 64), b"\x38" * 256), weight_scale=("U8", (4, 2), b"\xff" * 8))
    whole.put("exponent_254", weight=("F8_E4M3", (4, 64), b"\x7e" * 256), weight_scale=("U8", (4, 2), b"\xfe" * 8))
    whole.put("in_full_precision", weight=("F16", (4, 64)))
    whole.put_hostile("weight_scale")

    affine = {"weight": ("U32", (4, 8)), "scales": ("F16", (4, 2), halves(*[0.25, 0.5] * 4)), "biases": ("F16", (4, 2), halves(*[-1, -2] * 4))}
    mlx = stored_kind("stored_mlx", ["weight", "scales", "biases", "qbiases"], affine, {"bits": 4, "group_size": 32})
    for bits in (2, 3, 4, 5, 6, 8):
        mlx.put(f"valid_{bits}_bits", {"bits": bits, "group_size": 32}, weight=("U32", (4, 2 * bits)))
    mlx.put("valid_metal", layer={"qbiases" if k == "biases" else k: v for k, v in affine.items()})
    mlx.put("valid_mxfp4", {"mode": "mxfp4"}, layer={"weight": ("U32", (4, 8)), "scales": ("U8", (4, 2), b"\x7f\x80" * 4)})
    mlx.put("valid_of_a_thousand_layers", mlx.said | {f"model.layers.{i}.mlp.down_proj": {"bits": 8} for i in range(1000)})
    mlx.put("valid_of_this_layer", {"bits": 8, "group_size": 64, "model.layers.0.mlp.up_proj": {"bits": 4, "group_size": 32}})
    for name, text in {"bits_7": {"bits": 7, "group_size": 32}, "bits_0": {"bits": 0, "group_size": 32}, "bits_2_to_the_62": {"bits": 2**62, "group_size": 32}, "group_size_0": {"bits": 4, "group_size": 0}, "group_size_2_to_the_63_minus_1": {"bits": 4, "group_size": 2**63 - 1},
                       "bits_missing": {"group_size": 32}, "mode_unknown": {"bits": 4, "group_size": 32, "mode": "nvfp4"}, "mode_of_no_offsets": {"mode": "mxfp4"}}.items():
        mlx.put(f"said_{name}", text)
    mlx.put("exponent_255", {}, layer={"weight": ("U32", (4, 8)), "scales": ("U8", (4, 2), b"\xff" * 8)})
    mlx.put_hostile("scales")


# ---- What is said of quantized weights


def quantization_corpus():
    def put(name, said):
        write("quantization", name + ".json", json.dumps(said))

    def beside(name, said):
        put(name, {"quantization_config": said})

    group = {"targets": ["Linear"], "weights": {"num_bits": 4, "type": "int", "strategy": "group", "group_size": 128, "symmetric": True}}
    compressed = {"quant_method": "compressed-tensors", "format": "pack-quantized", "quantization_status": "compressed", "config_groups": {"group_0": group}, "ignore": ["lm_head", "re:.*self_attn.*"]}

    def grouped(**other):
        return compressed | {"config_groups": {"group_0": group | other}}

    beside("valid_gptq", {"quant_method": "gptq", "bits": 4, "group_size": 128, "desc_act": False, "sym": True})
    beside("valid_awq", {"quant_method": "awq", "bits": 4, "group_size": 128, "zero_point": True, "version": "gemm", "modules_to_not_convert": None})
    beside("valid_bitsandbytes", {"load_in_4bit": True, "bnb_4bit_quant_type": "nf4"})
    beside("valid_switched_off", {"load_in_4bit": False, "load_in_8bit": False})
    beside("compressed", compressed)
    beside("compressed_preset", compressed | {"config_groups": {"W4A16": ["Linear"], "unquantized": ["re:.*down_proj"]}})
    beside("compressed_preset_unknown", compressed | {"config_groups": {"W9A16": ["Linear"]}})
    beside("compressed_preset_of_activations", compressed | {"config_groups": {"FP8_DYNAMIC": ["Linear"]}})
    beside("compressed_activations", grouped(input_activations={"num_bits": 8, "type": "int", "dynamic": True, "strategy": "token"}))
    beside("compressed_activations_of_16_bits", grouped(input_activations={"num_bits": 16, "type": "float"}))
    beside("compressed_group_is_a_number", compressed | {"config_groups": {"group_0": 1}})
    beside("compressed_groups_are_a_list", compressed | {"config_groups": [group]})
    beside("compressed_no_targets", compressed | {"config_groups": {"group_0": {"weights": {"num_bits": 4}}}})
    beside("compressed_targets_of_numbers", grouped(targets=[1]))
    beside("compressed_blocks_2_to_the_64", grouped(weights={"strategy": "block", "block_structure": [2**64, 1]}))
    beside("compressed_blocks_as_text", grouped(weights={"strategy": "block", "block_structure": "99999999999x1"}))
    beside("compressed_kv_cache", compressed | {"kv_cache_scheme": {"num_bits": 8, "type": "float", "dynamic": False, "group_size": 16}})
    beside("compressed_sparse", compressed | {"sparsity_config": {"format": "sparse-24-bitmask"}})
    beside("compressed_frozen", compressed | {"quantization_status": "frozen"})
    beside("compressed_online_rotation", compressed | {"transform_config": {"config_groups": {"u": {"apply": [{"location": "input", "targets": ["Linear"]}]}}}})
    beside("compressed_rotation_without_location", compressed | {"transform_config": {"config_groups": {"u": {"apply": [{}]}}}})
    beside("compressed_pattern_no_end", compressed | {"ignore": ["re:("]})
    beside("compressed_1001_patterns", compressed | {"ignore": [f"re:a{i}" for i in range(1001)]})
    beside("compressed_patterns_that_grow", compressed | {"ignore": ["re:a{1900}" + "b" * i for i in range(30)]})
    beside("auto_round", {"quant_method": "auto-round", "packing_format": "auto_round:auto_gptq", "bits": 4, "group_size": 128, "sym": True, "extra_config": {"lm_head": {"bits": 16, "act_bits": 16}}})
    beside("auto_round_activations_of_a_layer", {"quant_method": "auto-round", "extra_config": {"lm_head": {"act_bits": 8}}})
    beside("auto_round_layers_in_a_list", {"quant_method": "auto-round", "extra_config": []})
    beside("auto_round_layout_unknown", {"quant_method": "auto-round", "packing_format": "auto_round:tritonv9"})
    beside("auto_round_rotation", {"quant_method": "auto-round", "rotation_config": {"kind": "hadamard"}})
    beside("modelopt", {"quant_method": "modelopt", "producer": {"name": "modelopt"}, "quantization": {"quant_algo": "NVFP4", "exclude_modules": ["lm_head"]}})
    beside("modelopt_algorithm_is_a_number", {"quant_method": "modelopt", "quant_algo": 4})
    beside("modelopt_producer_is_text", {"producer": "modelopt"})
    beside("method_is_a_number", {"quant_method": 4})
    beside("method_of_4096_letters", {"quant_method": "x" * 4096})
    beside("mlx_mode_is_null", {"bits": 4, "group_size": 64, "mode": None})
    beside("is_a_list", [1])
    beside("is_text", "gptq")
    put("of_a_model_within", {"text_config": {"quantization_config": {"quant_method": "gptq", "bits": 4}}})
    put("of_sixty_models_within", eval("{'llm_config':" * 60 + "{'quantization': 1}" + "}" * 60))
    put("mlx", {"quantization": {"bits": 4, "group_size": 64, "mode": "affine", "model.layers.0.mlp.up_proj": False}})
    put("beside_the_file", {"bits": 4, "group_size": 128, "version": "GEMM"})
    hostile_json("quantization")

    def pattern(name, text, *names):
        write("module_pattern", name + ".txt", "\n".join([text, *names]))

    name = "model.layers.10.mlp.up_proj"
    pattern("valid_names", r".*\.(?:up|gate)_proj$", name, name + "x", "")
    pattern("valid_layers", r"^model\.layers\.(?!10\.)\d{1,2}\.(?=mlp)[a-z_.]+?\b", name, "model.layers.9.mlp.up_proj")
    pattern("valid_set", r"[^\W\d]+[-.\]][]\\a-f]{2,}\Z", "ab-]\\a")
    pattern("valid_nothing", "", name)
    pattern("valid_repeated_repetitions", r"((a*)*)*b", "a" * 60)
    pattern("valid_ambiguous", r"(a|a|a)+(a|aa)+$", "a" * 60 + "b")
    pattern("valid_looks_within_looks", "".join("(?=.*" for _ in range(20)) + "x" + ")" * 20, "a" * 60)
    pattern("valid_looks_of_the_other_kind", "".join("(?!.*" for _ in range(20)) + "x" + ")" * 20, "a" * 60)
    pattern("valid_look_at_each_place", "(.(?=.*x))*$", "a" * 2000)
    pattern("valid_looks_that_repeat", "(?:(?=a*b)|(?!a*c)a)*c", "a" * 60)
    for called, text in {"group_open": "(", "group_closed": ")", "set_open": "[a", "range_backwards": "[z-a]", "range_of_a_class": r"[\d-z]", "repeats_nothing": "*", "repeats_a_repetition": "a**", "counts_backwards": "a{3,2}", "counts_2_to_the_64": f"a{{{2**64}}}",
                         "counts_within_counts": "((((a{9}){9}){9}){9}){9}", "optional_within_counts": "(a?){2000}", "nested_too_deep": "(" * 30 + ")" * 30, "look_behind": "(?<=a)b", "group_referred_to": r"(a)\1", "ends_with_a_backslash": "\\", "too_long": "a" * 2001, "a_thousand_ways": "|" * 1999}.items():
        pattern(called, text, name)


def gguf_parts_corpus():
    def part(k, count=2, values=(), tensors=(), number=U16):
        return g_file([*values, g_key("split.no", number, k), g_key("split.count", U16, count), g_key("split.tensors.count", I32, len(g_tensors()))], tensors)

    def put(name, *parts):
        write("gguf_parts", name + ".gguf", b"".join(parts))

    all = g_tensors()
    first, second = part(0, 2, g_config(), all[:5]), part(1, 2, (), all[5:])
    put("valid", first, second)
    put("valid_three", part(0, 3, g_config(), ()), part(1, 3, (), all[:1]), part(2, 3, (), all[1:]))
    put("valid_one", g_file(g_config(), all))
    put("second_missing", first)
    put("first_missing", second)
    put("second_first", second, first)
    put("first_twice", first, first)
    put("one_more_than_said", first, second, second)
    put("one_fewer_than_said", part(0, 3, g_config(), all[:5]), second)
    put("65535_said", part(0, 65535, g_config(), all[:5]), second)
    put("number_65535", part(65535, 2, g_config(), all[:5]), second)
    put("number_missing", g_file([*g_config(), g_key("split.count", U16, 2)], all[:5]), second)
    put("number_of_another_type", part(0, 2, g_config(), all[:5], F32), second)
    put("number_minus_1", part(-1, 2, g_config(), all[:5], I32), second)
    put("tensor_in_both", part(0, 2, g_config(), all[:6]), second)
    put("tensor_missing", first, part(1, 2, (), all[6:]))
    put("second_says_something_else", first, part(1, 2, [g_key("general.architecture", STRING, "gemma")], all[5:]))
    put("second_says_something_more", first, part(1, 2, [g_key("general.name", STRING, "x")], all[5:]))
    put("second_of_another_alignment", first, g_file([g_key("split.no", U16, 1), g_key("split.count", U16, 2), g_key("split.tensors.count", I32, len(all)), g_key("general.alignment", U32, 64)], all[5:], unit=64))
    put("second_cut", first, second[:-32])
    put("second_empty", first, b"GGUF")
    put("empty")


def gguf_blocks_corpus():
    kinds = {"F32": (0, 4, 8), "F16": (1, 2, 8), "Q4_0": (2, 18, 2), "Q4_1": (3, 20, 2), "Q5_0": (4, 22, 2), "Q5_1": (5, 24, 2), "Q8_0": (6, 34, 2), "Q2_K": (8, 84, 1), "Q3_K": (9, 110, 1), "Q4_K": (10, 144, 1), "Q5_K": (11, 176, 1), "Q6_K": (12, 210, 1), "IQ4_NL": (18, 18, 2), "IQ4_XS": (21, 136, 1), "BF16": (28, 2, 8), "MXFP4": (31, 17, 2)}
    scale = {"Q2_K": 80, "Q3_K": 108, "Q6_K": 208}  # where the 16 bits of a scale stand
    for name, (place, size, blocks) in kinds.items():
        for called, half in {"valid": b"\0\x34", "infinite": b"\0\x7c", "nan": b"\0\x7e", "denormal": b"\1\0", "largest": b"\xff\x7b"}.items():
            block = bytearray(i % 120 for i in range(size))
            at = scale.get(name, 0)
            if name == "MXFP4":
                block[0] = {"valid": 127, "infinite": 254, "nan": 255, "denormal": 0, "largest": 253}[called]
            elif name != "F32":
                block[at:at + 2] = half
                if name in ("Q4_1", "Q5_1", "Q4_K", "Q5_K", "Q2_K"):
                    block[at + 2:at + 4] = half
            write("gguf_blocks", f"{called}_{name}.blocks", bytes([place, 1]) + bytes(block) * (2 * blocks))
    write("gguf_blocks", "not_decoded.blocks", bytes([7, 0]) + bytes(36))
    write("gguf_blocks", "valid_nothing.blocks", bytes([2, 0]))


# ---- A run of questions: two seeds of twelve questions, answers of up to three tokens

QUESTIONS, SEEDS, GENERATED = 12, [633, 2], 3
ASKED = len(SEEDS) * QUESTIONS
QUESTION_COLUMNS = {"contains": "document", "exact": "document", "answer_nll": "document", "answer": "position", "nll": "position"}
QUESTION_MANIFEST = {"bitlens": "0.1.0", "kind": "questions", "full": "F32", "seeds": SEEDS, "shots": 15, "bucket_edges": None, "bucket_least": 4, "positions": GENERATED,
                     "keep": ["seed", "question", "answers", "popularity"], "methods": MANIFEST["methods"],
                     "columns": [{"name": name, "of": "each variant", "per": per, "unit": "", "meaning": ""} | ({"token_ids": True} if name == "answer" else {}) for name, per in QUESTION_COLUMNS.items()]}


def asked_rows():
    names = ["example", "id", "topic", "seed", "question", "answers", "popularity", "tokens", "bytes",
             *(f"{q}_{v}" for q in ("contains", "exact", "answer_nll") for v in ("full", METHOD))]
    rows = []
    for n in range(ASKED):
        i = n % QUESTIONS
        rows.append([i, f"q{i}", "sport", SEEDS[n // QUESTIONS], f"What is {i}?", '"[""a"", ""<b>""]"', "" if i == 3 else 0 if i == 4 else 10**(i % 5), 3 + n % 3, "",
                     int(i % 3 > 0), int(n % 3 == 1), int(i % 4 > 0), int(n % 4 == 1), 0.5 + n / 8, "" if n == 5 else 0.25 * n])
    return names, rows


def asked_arrays():
    scored = f"({ASKED}, {GENERATED})"
    ids = [3 * (k % 5) if k < 3 + n % 3 else -1 for n in range(ASKED) for k in range(5)]
    arrays = {"ids": npy(shape=f"({ASKED}, 5)", data=struct.pack(f"<{5 * ASKED}i", *ids))}
    for name in ("full", METHOD):
        ends = [(n + len(name)) % (GENERATED + 1) for n in range(ASKED)]
        arrays[f"answer_{name}"] = npy(shape=scored, data=struct.pack(f"<{ASKED * GENERATED}i", *(3 * ((n + k) % 5) if k < ends[n] else -1 for n in range(ASKED) for k in range(GENERATED))))
        arrays[f"nll_{name}"] = npy("'<f4'", shape=scored, data=struct.pack(f"<{ASKED * GENERATED}f", *(0.5 if k < ends[n] else math.nan for n in range(ASKED) for k in range(GENERATED))))
    return arrays | {k: v for k, v in run_arrays().items() if k.startswith("token_")}


def run_of_questions_corpus():
    names, rows = asked_rows()

    def examples(name, content):
        write("run_questions", name + ".csv", content)

    def changed(column, cell, question=1, seeds=SEEDS):
        copy = [list(r) for r in rows]
        for k, seed in enumerate(SEEDS):
            if seed in seeds:
                copy[k * QUESTIONS + question][names.index(column)] = cell
        return csv_text(names, copy)

    valid = csv_text(names, rows)
    examples("valid", valid)
    examples("valid_texts_that_want_out", changed("question", '"<script>,""=1+1""\n\x1b\u202e"').replace("sport", "'=HYPERLINK(1)"))
    examples("valid_popularities_of_all_sizes", changed("popularity", "5e-324").replace(",100,", ",1.7976931348623157e308,"))
    examples("valid_no_popularity", csv_text(names, [[c if n != "popularity" else "" for n, c in zip(names, r)] for r in rows]))
    examples("valid_answers_of_a_thousand", changed("answers", '"[' + '""a"", ' * 1000 + '""a""]"'))
    examples("no_rows", csv_text(names, []))
    examples("rows_of_one_seed", csv_text(names, rows[:QUESTIONS]))
    examples("rows_question_by_question", csv_text(names, [rows[k * QUESTIONS + i] for i in range(QUESTIONS) for k in range(len(SEEDS))]))
    examples("row_missing", csv_text(names, rows[:-1]))
    examples("seed_of_another", changed("seed", 7))
    examples("seed_as_a_float", changed("seed", "633.0", seeds=[633]))
    for column, cell in {"question": "Another?", "answers": '"[""b""]"', "popularity": 11, "id": "q", "topic": "color", "example": 99}.items():
        examples(f"seeds_differ_in_{column}", changed(column, cell, seeds=[2]))
    for name, cell in {"text": "a", "cut": '"[""a"""', "object": '"{""a"": 1}"', "none": "[]", "a_number_among_them": '"[""a"", 1]"', "nothing": "", "nested_too_deep": "[" * 100, "lone_surrogate": '"[""\\ud800""]"'}.items():
        examples("answers_" + name, changed("answers", cell))
    for name, cell in {"minus_1": -1, "nan": "nan", "infinite": "inf", "beyond_double": "1e999", "of_letters": "many", "and_more": "1 "}.items():
        examples("popularity_" + name, changed("popularity", cell))
    for name, cell in {"2": 2, "half": 0.5, "minus_0_point_1": -0.1, "empty": "", "nan": "nan"}.items():
        examples("mark_" + name, changed(f"exact_{METHOD}", cell))
    examples("loss_beyond_the_largest", changed("answer_nll_full", "1e81"))
    examples("valid_losses_near_the_largest", csv_text(names, [[c if n != "answer_nll_full" else "1e80" for n, c in zip(names, r)] for r in rows]))
    for column in ("seed", "answers", "popularity", "contains_full", f"exact_{METHOD}"):
        at = names.index(column)
        examples("without_" + column, csv_text(names[:at] + names[at + 1:], [r[:at] + r[at + 1:] for r in rows]))
    examples("empty", "")

    def manifest(name, **other):
        write("run_questions_manifest", name + ".json", json.dumps({k: v for k, v in (QUESTION_MANIFEST | other).items() if v is not None}))

    columns = QUESTION_MANIFEST["columns"]
    manifest("valid")
    manifest("valid_edges", bucket_edges=[-1e308, 0, 0.5, 2.8, 1e308])
    manifest("valid_bucket_of_1", bucket_least=1)
    manifest("valid_bucket_of_2_to_the_63", bucket_least=2**63)
    manifest("valid_shots_2_to_the_63", shots=2**63)
    manifest("of_no_kind", kind=None)
    manifest("of_another_kind", kind="study")
    manifest("kind_is_a_list", kind=["questions"])
    for key in ("full", "seeds", "shots", "bucket_least", "keep", "positions", "columns"):
        manifest(key + "_missing", **{key: None})
    for name, seeds in {"none": [], "twice": [633, 633], "in_another_order": SEEDS[::-1], "negative": [-1, 2], "text": ["633", "2"], "five": [1, 2, 3, 4, 5], "an_object": {"a": 1}}.items():
        manifest("seeds_" + name, seeds=seeds)
    for name, edges in {"none": [], "equal": [1, 1], "fall": [2, 1], "text": ["1"], "a_number": 3}.items():
        manifest("edges_" + name, bucket_edges=edges)
    manifest("bucket_of_0", bucket_least=0)
    manifest("bucket_negative", bucket_least=-1)
    manifest("shots_are_text", shots="15")
    manifest("positions_0", positions=0)
    manifest("positions_4", positions=4)
    manifest("positions_2_to_the_60", positions=2**60)
    manifest("keeps_no_answers", keep=["seed", "question", "popularity"])
    manifest("keeps_a_mark", keep=QUESTION_MANIFEST["keep"] + ["contains_full"])
    manifest("marks_of_methods_alone", columns=[c | {"of": "each method"} for c in columns])
    manifest("answers_are_numbers", columns=[{k: v for k, v in c.items() if k != "token_ids"} for c in columns])
    manifest("exact_missing", columns=[c for c in columns if c["name"] != "exact"])
    manifest("no_methods", methods=[])
    manifest("valid_method_that_ends_early", methods=[m | {"ends_early": True} for m in MANIFEST["methods"]])
    hostile_json("run_questions_manifest")

    def tokens(name, method=8, skip=None, **other):
        arrays = asked_arrays() | other
        write("run_questions_tokens", name + ".npz", zip_file([{"name": k + ".npy", "data": v, "method": method} for k, v in arrays.items() if k != skip]))

    count, scored = ASKED * GENERATED, f"({ASKED}, {GENERATED})"
    tokens("valid", method=0)
    tokens("valid_no_answers", answer_full=npy(shape=scored, data=b"\xff" * 4 * count))
    tokens("valid_losses_infinite", nll_full=npy("'<f4'", shape=scored, data=struct.pack("<f", float("inf")) * count))
    tokens("answers_missing", skip="answer_full")
    tokens("losses_missing", skip=f"nll_{METHOD}")
    tokens("answers_of_4_positions", answer_full=npy(shape=f"({ASKED}, 4)", data=bytes(4 * 4 * ASKED)))
    tokens("answers_behind_their_end", answer_full=npy(shape=scored, data=struct.pack("<3i", 0, -1, 3) * ASKED))
    tokens("answers_of_minus_2", answer_full=npy(shape=scored, data=struct.pack("<3i", 0, -2, -2) * ASKED))
    tokens("answers_without_bytes", answer_full=npy(shape=scored, data=struct.pack("<3i", 0, 7, -1) * ASKED))
    tokens("answers_as_floats", answer_full=npy("'<f4'", shape=scored, data=bytes(4 * count)))
    write("run_questions_tokens", "empty.npz", b"")


shutil.rmtree(CORPUS, ignore_errors=True)
for make in (gguf_corpus, gguf_parts_corpus, gguf_blocks_corpus, stored_corpus, quantization_corpus, safetensors_corpus, config_corpus, tokenizer_corpus, sentencepiece_corpus, ranks_corpus, npy_corpus, npz_corpus, documents_corpus, questions_corpus, recipes_corpus, quantized_manifest_corpus, quantized_layer_corpus, published_awq_corpus, runs_corpus, float32_corpus, located_corpus, run_of_questions_corpus):
    make()
