"""Makes, of vocabularies that are at hand, every form that a tokenizer is published in. Used by the scripts beside this one; needs
tokenizers, and for the others' own forms sentencepiece, tiktoken, mistral_common and gguf.

    python make_tokenizer_files.py OUT SHARED [--gemma MODEL.gguf] [--cl100k FILE.tiktoken]
"""

import argparse
import base64
import json
import pathlib
import struct

QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
LLAMA3 = QWEN2.replace(r"|\p{N}|", r"|\p{N}{1,3}|")
TEKKEN = (r"[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]*[\p{Ll}\p{Lm}\p{Lo}\p{M}]+"
          r"|[^\r\n\p{L}\p{N}]?[\p{Lu}\p{Lt}\p{Lm}\p{Lo}\p{M}]+[\p{Ll}\p{Lm}\p{Lo}\p{M}]*|\p{N}"
          r"| ?[^\s\p{L}\p{N}]+[\r\n/]*|\s*[\r\n]+|\s+(?!\S)|\s+")

# ---- Protocol buffers

NORMAL, UNKNOWN, CONTROL, USER_DEFINED, UNUSED, BYTE = range(1, 7)


def varint(value):
    out = bytearray()
    while value >= 0x80:
        out.append(value & 0x7F | 0x80)
        value >>= 7
    return bytes(out) + bytes([value])


def number(field, value):
    return varint(field << 3) + varint(value % 2**64)


def text(field, value):
    value = value.encode() if isinstance(value, str) else value
    return varint(field << 3 | 2) + varint(len(value)) + value


def fields(message):
    """(field, value) of a message of varints, floats and bytes."""
    at = 0

    def read():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 0x7F) << shift
            shift += 7
            if byte < 0x80:
                return value

    while at < len(message):
        tag = read()
        if tag & 7 == 0:
            yield tag >> 3, read()
        elif tag & 7 == 5:
            yield tag >> 3, struct.unpack_from("<f", message, at)[0]
            at += 4
        else:
            size = read()
            yield tag >> 3, message[at:at + size]
            at += size


def sentencepiece_pieces(path):
    """(text, score, type) of a tokenizer.model."""
    for field, message in fields(path.read_bytes()):
        if field == 1:
            piece = dict(fields(message))
            yield piece[1].decode(), piece.get(2, 0.0), piece.get(3, NORMAL)


def sentencepiece_model(pieces, names, dummy_prefix, extra_spaces_go=0):
    """A ModelProto of type BPE, with byte fallback where pieces are bytes. `names`: the fields of trainer_spec that name pieces."""
    out = b"".join(text(1, text(1, piece) + varint(2 << 3 | 5) + struct.pack("<f", score) + number(3, kind)) for piece, score, kind in pieces)
    ids = {piece: i for i, (piece, _, _) in enumerate(pieces)}
    trainer = number(3, 2) + number(4, len(pieces)) + number(35, any(kind == BYTE for _, _, kind in pieces))
    trainer += b"".join(number(field - 5, ids[name]) + text(field, name) for field, name in names.items())
    return out + text(2, trainer) + text(3, text(1, "identity") + text(2, b"") + number(3, dummy_prefix) + number(4, extra_spaces_go) + number(5, 1))


def changed_models(pieces):
    """(name, ModelProto): what no published BPE model is, but the format allows."""
    names = {45: "<unk>", 46: "<s>", 47: "</s>"}

    def model(change=lambda i, piece, score, kind: (piece, score, kind), dummy_prefix=1, extra_spaces_go=0):
        return sentencepiece_model([change(i, *piece) for i, piece in enumerate(pieces)], names, dummy_prefix, extra_spaces_go)

    own = {"the", "ing", "\u2581\u2581", "\n", "ab", "a", "\u2581t", "\u00e9", "Hel"}
    yield "extra spaces go", model(extra_spaces_go=1)
    yield "extra spaces go, none in front", model(dummy_prefix=0, extra_spaces_go=1)
    yield "none in front", model(dummy_prefix=0)
    yield "no byte fallback", model(lambda i, p, s, k: (p, s, NORMAL if k == BYTE else k))
    yield "user-defined", model(lambda i, p, s, k: (p, s, USER_DEFINED if p in own and k == NORMAL else k))
    yield "every second unused", model(lambda i, p, s, k: (p, s, UNUSED if k == NORMAL and i % 2 == 0 else k))
    yield "equal scores", model(lambda i, p, s, k: (p, 0.0, k))
    yield "three scores", model(lambda i, p, s, k: (p, -float(i % 3), k))
    yield "characters that are no pieces", model(lambda i, p, s, k: (f"\ue000xyz{i}" if k == NORMAL and len(p) < 3 and i % 3 == 0 else p, s, k))


# ---- Merges that follow from tokens


def merges_of(ranks):
    """All pairs that make a token together, by the rank of that, then of the left and of the right one."""
    found = []
    for token, rank in ranks.items():
        for cut in range(1, len(token)):
            left, right = ranks.get(token[:cut]), ranks.get(token[cut:])
            if left is not None and right is not None:
                found.append((rank, left, right, token[:cut], token[cut:]))
    found.sort()
    return [(left, right) for _, _, _, left, right in found]


def byte_alphabet():
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    other = iter(range(256, 512))
    return {b: chr(b) if b in printable else chr(next(other)) for b in range(256)}


ALPHABET = byte_alphabet()


def in_alphabet(token):
    return "".join(ALPHABET[b] for b in token)


# ---- Forms


def write_byte_level(path, ranks, first, pattern, special, ignore_merges, bos=None):
    """tokenizer.json of byte-level BPE. `ranks`: bytes → rank; its id is rank + first. `special`: text → id."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, processors
    vocabulary = {in_alphabet(token): rank + first for token, rank in ranks.items()} | special
    merges = [(in_alphabet(left), in_alphabet(right)) for left, right in merges_of(ranks)]
    tokenizer = Tokenizer(models.BPE(vocabulary, merges, ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(pattern), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in special])
    if bos:
        tokenizer.post_processor = processors.Sequence([
            processors.ByteLevel(trim_offsets=False),
            processors.TemplateProcessing(single=f"{bos}:0 $A:0", pair=f"{bos}:0 $A:0 {bos}:1 $B:1", special_tokens=[(bos, special[bos])]),
        ])
    tokenizer.save(str(path))
    return path


def write_characters(path, pieces, layout):
    """tokenizer.json of SentencePiece BPE: layout legacy, first (Metaspace) or gemma."""
    from tokenizers import AddedToken, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors
    ids = {piece: i for i, (piece, _, _) in enumerate(pieces)}
    can_merge = {piece: score for piece, score, kind in pieces if kind in (NORMAL, USER_DEFINED)}
    # Gemma's runs of blanks and line ends are merged like other tokens there, and added tokens besides.
    merges = [(-can_merge[piece[:cut] + piece[cut:]], ids[piece], ids[piece[:cut]], piece[:cut], piece[cut:])
              for piece in can_merge for cut in range(1, len(piece)) if piece[:cut] in can_merge and piece[cut:] in can_merge]
    merges.sort()
    tokenizer = Tokenizer(models.BPE(ids, [merge[3:] for merge in merges], unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    bos = "<bos>" if layout == "gemma" else "<s>"
    if layout == "legacy":
        tokenizer.normalizer = normalizers.Sequence([normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")])
    if layout == "first":
        tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(replacement="\u2581", prepend_scheme="first", split=False)
    if layout == "gemma":
        tokenizer.normalizer = normalizers.Replace(" ", "\u2581")
        tokenizer.pre_tokenizer = pre_tokenizers.Split(" ", "merged_with_previous")
    strip = [] if layout == "gemma" else [decoders.Strip(" ", 1, 0)]
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.ByteFallback(), decoders.Fuse(), *strip])
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{bos}:0 $A:0", pair=f"{bos}:0 $A:0 {bos}:1 $B:1", special_tokens=[(bos, ids[bos])])
    for piece, _, kind in pieces:
        if kind in (CONTROL, UNKNOWN):
            tokenizer.add_special_tokens([AddedToken(piece, special=True, normalized=False)])
    tokenizer.add_tokens([AddedToken(piece, special=False, normalized=False) for piece, _, kind in pieces if kind == USER_DEFINED])
    tokenizer.save(str(path))
    return path


def tiktoken_ranks(path):
    return {base64.b64decode(token): int(rank) for token, rank in (line.split() for line in path.read_bytes().splitlines() if line)}


def tiktoken_encoding(path):
    """With Llama 3's pattern, which is that of cl100k_base, too: both have up to three digits."""
    import tiktoken
    return tiktoken.Encoding(path.name, pat_str=LLAMA3, mergeable_ranks=tiktoken_ranks(path), special_tokens={})


def tekken_ranks(path):
    file = json.loads(path.read_text())
    config = file["config"]
    tokens = file["bpe_ranks"].split()[2:] if "bpe_ranks" in file else [entry["token_bytes"] for entry in file["vocab"]]
    count = config["default_vocab_size"] - config["default_num_special_tokens"]
    return {base64.b64decode(token): rank for rank, token in enumerate(tokens[:count])}


def gguf_pieces(path):
    from gguf import GGUFReader
    keys = GGUFReader(path).fields
    tokens, scores, kinds = (keys["tokenizer.ggml." + key].contents() for key in ("tokens", "scores", "token_type"))
    pieces = []
    for token, score, kind in zip(tokens, scores, kinds):
        kind = UNKNOWN if token == "<unk>" else kind
        pieces.append((token.replace(" ", "\u2581") if kind == USER_DEFINED else token, score, kind))
    return pieces


def mistral_files():
    """The files that mistral_common brings along, by name."""
    import mistral_common
    folder = pathlib.Path(mistral_common.__file__).parent / "data"
    return {path.name: path for path in folder.iterdir()}


def make_all(out, shared, gemma=None, smollm2=None, cl100k=None):
    """[(name, kind of reference, reference, [tokenizer, options …])], [(model of the paper, [tokenizer, …])]."""
    tokenizers = shared / "tokenizers"
    cases = []

    def add(name, kind, original, tokenizer=None, *options):
        cases.append((name, kind, original, [tokenizer or original, *options]))

    llama2 = tokenizers / "llama-2" / "tokenizer.model"
    add("llama-2, tokenizer.model", "sentencepiece", llama2)
    add("llama-2, GGUF", "sentencepiece", llama2, tokenizers / "llama-2" / "ggml-vocab-llama-spm.gguf")
    pieces = list(sentencepiece_pieces(llama2))
    for layout in ("legacy", "first"):
        add(f"llama-2, tokenizer.json, {layout}", "tokenizers", write_characters(out / f"llama-2-{layout}.json", pieces, layout))
    for number_of, (name, model) in enumerate(changed_models(pieces)):
        path = out / f"llama-2-changed-{number_of}.model"
        path.write_bytes(model)
        add(f"llama-2, changed: {name}", "sentencepiece", path)
    files = mistral_files()
    for name in ("tokenizer.model.v1", "mistral_instruct_tokenizer_240323.model.v3"):
        add(f"mistral, {name}", "sentencepiece", files[name])

    llama3 = tokenizers / "llama-3" / "tokenizer.model"
    add("llama-3, tokenizer.model", "tiktoken", llama3)
    special = {"<|begin_of_text|>": 128000, "<|end_of_text|>": 128001}
    add("llama-3, tokenizer.json", "tokenizers", write_byte_level(out / "llama-3.json", tiktoken_ranks(llama3), 0, LLAMA3, special, True, "<|begin_of_text|>"))
    tekken = tokenizers / "mistral-nemo" / "tekken_240718.json"
    add("mistral-nemo, tekken.json of words", "mistral_common", files["tekken_240718.json"], tekken)
    for name in ("tekken_240718.json", "tekken_240911.json"):
        add(f"mistral-nemo, {name} of a list", "mistral_common", files[name])
    special = {"<unk>": 0, "<s>": 1, "</s>": 2} | {f"<SPECIAL_{i}>": i for i in range(3, 1000)}
    add("mistral-nemo, tokenizer.json", "tokenizers", write_byte_level(out / "mistral-nemo.json", tekken_ranks(tekken), 1000, TEKKEN, special, False, "<s>"))

    qwen = tokenizers / "qwen2.5"
    folder = out / "qwen2.5"
    folder.mkdir()
    for name in ("vocab.json", "merges.txt"):
        (folder / name).write_bytes((qwen / name).read_bytes())
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "Qwen2Tokenizer"}))
    qwen_json = write_qwen2(out / "qwen2.5.json", qwen)
    plain = write_qwen2(out / "qwen2.5-plain.json", qwen, added=False)
    add("qwen2.5, vocab.json and merges.txt", "tokenizers", plain, folder)
    add("qwen2.5, --pre qwen2", "tokenizers", plain, qwen, "--pre", "qwen2")
    add("qwen2.5, tokenizer.json", "tokenizers", qwen_json)
    smol = tokenizers / "smollm2" / "tokenizer.json"
    add("smollm2, tokenizer.json", "tokenizers", smol)
    if smollm2:
        add("smollm2, GGUF", "tokenizers", smol, smollm2)
    if cl100k:
        add("cl100k, tiktoken file", "tiktoken", cl100k)
        add("cl100k, tokenizer.json as OLMo 2", "tokenizers", write_byte_level(out / "cl100k.json", tiktoken_ranks(cl100k), 0, LLAMA3, {"<|endoftext|>": 100257}, False))
    if gemma:
        pieces = gguf_pieces(gemma)
        model = out / "gemma.model"
        model.write_bytes(sentencepiece_model(pieces, {45: "<unk>", 46: "<bos>", 47: "<eos>", 48: "<pad>"}, 0))
        add("gemma, GGUF", "sentencepiece", model, gemma)
        add("gemma, tokenizer.model", "sentencepiece", model)
        add("gemma, tokenizer.json", "tokenizers", write_characters(out / "gemma.json", pieces, "gemma"))
    papers = [("Meta-Llama-3-8B", [llama3]), ("Mistral-Nemo-Base-2407", [tekken]), ("Qwen2.5-7B", [folder])]
    return cases, papers


SPECIAL = ["<|endoftext|>", "<|im_start|>", "<|im_end|>", "<|object_ref_start|>", "<|object_ref_end|>", "<|box_start|>",
           "<|box_end|>", "<|quad_start|>", "<|quad_end|>", "<|vision_start|>", "<|vision_end|>", "<|vision_pad|>",
           "<|image_pad|>", "<|video_pad|>"]
ADDED = ["<tool_call>", "</tool_call>", "<|fim_prefix|>", "<|fim_middle|>", "<|fim_suffix|>", "<|fim_pad|>",
         "<|repo_name|>", "<|file_sep|>"]


def write_qwen2(path, folder, added=True):
    """The tokenizer.json of Qwen2.5 from its vocab.json and merges.txt, as Hugging Face converts them."""
    from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers
    tokenizer = Tokenizer(models.BPE.from_file(str(folder / "vocab.json"), str(folder / "merges.txt")))
    tokenizer.normalizer = normalizers.NFC()
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence([
        pre_tokenizers.Split(Regex(QWEN2), "isolated"),
        pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
    ])
    tokenizer.decoder = decoders.ByteLevel()
    if added:
        tokenizer.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in SPECIAL])
        tokenizer.add_tokens([AddedToken(name, special=False, normalized=False) for name in ADDED])
    tokenizer.save(str(path))
    return path


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=pathlib.Path)
    parser.add_argument("shared", type=pathlib.Path)
    parser.add_argument("--gemma", type=pathlib.Path)
    parser.add_argument("--cl100k", type=pathlib.Path)
    a = parser.parse_args()
    a.out.mkdir(parents=True, exist_ok=True)
    for name, kind, original, tokenizer in make_all(a.out, a.shared, gemma=a.gemma, cl100k=a.cl100k)[0]:
        print(f"{name}: {tokenizer[0]} ({kind})")


if __name__ == "__main__":
    main()
