"""Compares `bitlens tokenize` with the programs that the files of tokenizers are made for, string by string.

    python compare_with_tokenizers.py --bitlens PROGRAM --shared ../shared/data [--gemma MODEL.gguf] [--cl100k FILE.tiktoken]
                                      [--smollm2 MODEL.gguf] [--random 100000] [--seed 1] [--only WORD] [--texts OUT.jsonl]
    python compare_with_tokenizers.py --bitlens PROGRAM --pair KIND:REFERENCE TOKENIZER ... [--data FILE.jsonl.gz ...]

Made with Python 3.11, tokenizers 0.23.3, sentencepiece 0.2.3, tiktoken 0.14.0, mistral_common 1.13.1, gguf 0.19.0. KIND is one of
these programs' names. Of the shared files and those named it makes every form that a tokenizer is published in
(make_tokenizer_files.py), in a temporary folder. The texts are random strings, awkward ones, the documents of --data (C4 where
--shared is given), and for the three models of the paper its own rows, whose ids are the reference.

In tokenizers `encode_special_tokens` is set, so that the text of a special token is text there, too; added tokens that are not
special are found in both. Exit code 1 if any string differs.
"""

import argparse
import array
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import make_tokenizer_files
from random_strings import AWKWARD, SENTENCEPIECE_PHRASES, random_strings


def documents(path):
    opened = gzip.open(path, "rt", encoding="utf-8", newline="\n") if str(path).endswith(".gz") else open(path, encoding="utf-8")
    with opened as lines:
        for line in lines:
            yield json.loads(line)["text"]


def reference(kind, path):
    """A function from a list of texts to a list of lists of ids."""
    if kind == "tokenizers":
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(str(path))
        tokenizer.encode_special_tokens = True
        tokenizer.no_truncation()
        tokenizer.no_padding()
        return lambda texts: [e.ids for e in tokenizer.encode_batch_fast(texts, add_special_tokens=False)]
    if kind == "sentencepiece":
        from sentencepiece import SentencePieceProcessor
        return SentencePieceProcessor(model_file=str(path)).encode
    if kind == "tiktoken":
        encoding = make_tokenizer_files.tiktoken_encoding(path)
        return lambda texts: [encoding.encode_ordinary(text) for text in texts]
    if kind == "mistral_common":
        from mistral_common.tokens.tokenizers.tekken import Tekkenizer
        tokenizer = Tekkenizer.from_file(str(path))
        return lambda texts: [tokenizer.encode(text, bos=False, eos=False) for text in texts]
    sys.exit(f"{kind}: tokenizers, sentencepiece, tiktoken or mistral_common is expected")


def in_batches(texts, size=1000):
    batch = []
    for text in texts:
        batch.append(text)
        if len(batch) == size:
            yield batch
            batch = []
    if batch:
        yield batch


def compare(command, name, texts, expected):
    """How many of the texts get other ids from the command. `expected`: their ids, or a function as `reference` gives."""
    answers = subprocess.run(command, input="".join(json.dumps(text) + "\n" for text in texts).encode(), stdout=subprocess.PIPE, check=True).stdout.splitlines()
    if len(answers) != len(texts):
        sys.exit(f"{name}: {len(answers)} lines in answer to {len(texts)}")
    wanted = iter(expected) if isinstance(expected, list) else (ids for batch in in_batches(texts) for ids in expected(batch))
    ids = different = 0
    for text, answer, right in zip(texts, answers, wanted, strict=True):
        found = json.loads(answer)
        ids += len(right)
        if found != right:
            different += 1
            if different <= 5:
                at = next((i for i, (a, b) in enumerate(zip(found, right)) if a != b), min(len(found), len(right)))
                print(f"  {text[:200]!a}\n    from id {at} on: expected {right[at:at + 20]}\n    found {found[at:at + 20]}")
    print(f"{name}: {len(texts)} strings, {ids} ids, {different} different", flush=True)
    return different


def rows(shared, model, split):
    """The paper's ids, without the beginning of text."""
    with open(shared / "qerror" / model / f"awq3-{split}.npy", "rb") as file:
        header = file.read(128)
        assert header.startswith(b"\x93NUMPY") and b"'<i4'" in header and b"(1000, 512)" in header
        ids = array.array("i", file.read())
    first = 0 if model.startswith("Qwen") else 1
    return [ids[i * 512 + first:(i + 1) * 512].tolist() for i in range(1000)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bitlens", required=True, help="the command")
    parser.add_argument("--shared", type=pathlib.Path)
    parser.add_argument("--gemma", type=pathlib.Path, help="a GGUF file with Gemma's vocabulary")
    parser.add_argument("--smollm2", type=pathlib.Path, help="a GGUF file with SmolLM2's vocabulary")
    parser.add_argument("--cl100k", type=pathlib.Path, help="cl100k_base.tiktoken, the vocabulary of OLMo 2")
    parser.add_argument("--pair", nargs=2, action="append", default=[], metavar=("KIND:REFERENCE", "TOKENIZER"))
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--random", type=int, default=100000)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="comparisons with this word in their name")
    parser.add_argument("--texts", type=pathlib.Path, help="write the texts there, as JSONL")
    a = parser.parse_args()

    data = list(a.data)
    if a.shared:
        data.append(a.shared / "c4" / "c4-en-first1000.jsonl.gz")
    texts = [text for path in data for text in documents(path)]
    texts += AWKWARD + list(random_strings(a.random, a.seed, SENTENCEPIECE_PHRASES))
    if a.texts:
        a.texts.write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    with tempfile.TemporaryDirectory() as folder:
        cases = [(f"{tokenizer} as {pair}", *pair.split(":", 1), [tokenizer]) for pair, tokenizer in a.pair]
        papers = []
        if a.shared:
            made, papers = make_tokenizer_files.make_all(pathlib.Path(folder), a.shared, gemma=a.gemma, smollm2=a.smollm2, cl100k=a.cl100k)
            cases += made
        different = 0
        for name, kind, original, tokenizer in cases:
            if a.only in name:
                different += compare([a.bitlens, "tokenize", "--tokenizer", *map(str, tokenizer)], name, texts, reference(kind, original))
        for model, tokenizer in papers:
            for split in ("ctrl", "large"):
                name = f"{model}, {split}, as the paper's ids"
                if a.only not in name:
                    continue
                # A character that was cut at the last id is U+FFFD in the text, and no encoder can know what it was.
                pairs = [(text, ids) for text, ids in zip(documents(a.shared / "qerror" / f"{model}-awq3-{split}.jsonl.gz"), rows(a.shared, model, split))]
                whole = [(text, ids) for text, ids in pairs if not text.endswith("\ufffd")]
                print(f"{name}: {len(pairs) - len(whole)} of {len(pairs)} rows end in a cut character and are left out")
                different += compare([a.bitlens, "tokenize", "--tokenizer", *map(str, tokenizer)], name, [text for text, _ in whole], [ids for _, ids in whole])
    sys.exit(1 if different else 0)


main()
