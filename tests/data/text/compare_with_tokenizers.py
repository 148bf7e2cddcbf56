"""Compares a tokenizing command with Hugging Face `tokenizers`, string by string. Made with Python 3.11, tokenizers 0.23.3.

    python compare_with_tokenizers.py TOKENIZER.json [--data FILE.jsonl.gz ...] [--random 20000] [--seed 1] -- COMMAND ...

COMMAND reads a JSON string a line and prints a JSON array of ids a line, as `bitlens tokenize --model MODEL` does. The
reference has `encode_special_tokens` set, so that the text of a special token is text there, too; non-special added tokens
are found in both. Exit code 1 if any string differs.
"""

import argparse
import gzip
import json
import subprocess
import sys
import tempfile

from tokenizers import Tokenizer, __version__

from random_strings import AWKWARD, random_strings


def texts(arguments):
    for path in arguments.data:
        opened = gzip.open(path, "rt", encoding="utf-8", newline="\n") if path.endswith(".gz") else open(path, encoding="utf-8")
        with opened as lines:
            for line in lines:
                yield json.loads(line)["text"]
    yield from AWKWARD
    yield from random_strings(arguments.random, arguments.seed)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("reference")
    parser.add_argument("--data", nargs="*", default=[])
    parser.add_argument("--random", type=int, default=20000)
    parser.add_argument("--seed", type=int, default=1)
    end = sys.argv.index("--") if "--" in sys.argv else parser.error("no -- COMMAND")
    arguments, command = parser.parse_args(sys.argv[1:end]), sys.argv[end + 1:]
    reference = Tokenizer.from_file(arguments.reference)
    reference.encode_special_tokens = True
    reference.no_truncation()
    reference.no_padding()

    with tempfile.TemporaryFile() as questions, tempfile.TemporaryFile() as answers:
        for text in texts(arguments):
            questions.write(json.dumps(text).encode() + b"\n")
        questions.seek(0)
        subprocess.run(command, stdin=questions, stdout=answers, check=True)
        questions.seek(0)
        answers.seek(0)
        strings = ids = different = 0
        for question in questions:
            text = json.loads(question)
            expected = reference.encode(text, add_special_tokens=False).ids
            found = json.loads(answers.readline() or "null")
            strings += 1
            ids += len(expected)
            if found != expected:
                different += 1
                if different <= 5:
                    print(f"string {strings}: {text[:200]!a}\n  expected {expected[:60]}\n  found    {(found or [])[:60]}")
        if answers.readline():
            sys.exit("the command printed more lines than it was asked for")
    print(f"tokenizers {__version__}, {arguments.reference}: {strings} strings, {ids} ids, {different} different")
    sys.exit(1 if different else 0)


main()
