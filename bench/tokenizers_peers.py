#!/usr/bin/env python3
"""Megabytes of English web text a second that tokenizers encode on one core: bitlens and the programs that the files are made
for, in turn.

    python3 bench/tokenizers_peers.py --bitlens build/release/bin/bench_tokenizers --shared ../shared/data [--gemma MODEL.gguf]
        [--cl100k FILE.tiktoken]

The texts are the C4 documents of --shared, one at a time. Peers: pip install tokenizers sentencepiece tiktoken mistral_common
gguf. Each number is the best of several rounds in which all take turns, since machines are shared and noisy.
"""

import argparse
import csv
import gzip
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time

os.environ["TOKENIZERS_PARALLELISM"] = "false"
os.environ["RAYON_NUM_THREADS"] = "1"
sys.path.insert(0, str(pathlib.Path(__file__).parent.parent / "tests" / "data" / "text"))
import make_tokenizer_files  # noqa: E402


def encoder(kind, path):
    if kind == "tokenizers":
        from tokenizers import Tokenizer
        tokenizer = Tokenizer.from_file(str(path))
        return lambda text: tokenizer.encode(text, add_special_tokens=False)
    if kind == "sentencepiece":
        from sentencepiece import SentencePieceProcessor
        return SentencePieceProcessor(model_file=str(path)).encode
    if kind == "tiktoken":
        return make_tokenizer_files.tiktoken_encoding(path).encode_ordinary
    from mistral_common.tokens.tokenizers.tekken import Tekkenizer
    tokenizer = Tekkenizer.from_file(str(path))
    return lambda text: tokenizer.encode(text, bos=False, eos=False)


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--bitlens", required=True, help="the program bench_tokenizers")
    parser.add_argument("--shared", required=True, type=pathlib.Path)
    parser.add_argument("--gemma", type=pathlib.Path)
    parser.add_argument("--cl100k", type=pathlib.Path)
    parser.add_argument("--rounds", type=int, default=3)
    a = parser.parse_args()
    path = a.shared / "c4" / "c4-en-first1000.jsonl.gz"
    with gzip.open(path, "rt", encoding="utf-8", newline="\n") as lines:
        texts = [json.loads(line)["text"] for line in lines]
    megabytes = sum(len(text.encode()) for text in texts) / 1e6
    with tempfile.TemporaryDirectory() as folder:
        cases, _ = make_tokenizer_files.make_all(pathlib.Path(folder), a.shared, gemma=a.gemma, cl100k=a.cl100k)
        print(f"{'':44} {'bitlens':>8} {'peer':>8}   MB/s")
        for name, kind, original, (tokenizer, *options) in cases:
            encode = encoder(kind, original)
            ours = theirs = 0
            for _ in range(a.rounds):
                out = subprocess.run([a.bitlens, path, *options, tokenizer], check=True, capture_output=True, text=True).stdout
                ours = max(ours, float(next(csv.DictReader(out.splitlines()))["encode_MB_s"]))
                start = time.process_time()
                for text in texts:
                    encode(text)
                theirs = max(theirs, megabytes / (time.process_time() - start))
            print(f"{name:44} {ours:8.1f} {theirs:8.1f}   {kind}", flush=True)


main()
