#!/usr/bin/env python3
"""Prints what Python says of letters and answers: the numbers that tests/text/answer_marks_test.cpp asserts.

    python3 tests/parity/answer_marks.py --data ../shared/data/popqa.tsv

The mark of containment is that of the program published with PopQA, the other that of SQuAD. Needs nothing besides Python; made with
3.11, whose Unicode is 14.
"""
import argparse
import json
import re
import string

# Letters that have case, and what is near them; all were assigned long before Unicode 14, or stay unassigned.
RANGES = [(0x20, 0x58F), (0x10A0, 0x10FF), (0x13A0, 0x13FD), (0x1C90, 0x1CBF), (0x1D2C, 0x1DBF), (0x1E00, 0x1FFE), (0x2010, 0x206F),
          (0x2100, 0x218B), (0x24B6, 0x24E9), (0x2C00, 0x2D2D), (0xA640, 0xA69D), (0xAB30, 0xABBF), (0xFB00, 0xFB17), (0xFE10, 0xFE55),
          (0xFF01, 0xFF5A), (0x10400, 0x104FB), (0x118A0, 0x118DF), (0x1E900, 0x1E943), (0x1F130, 0x1F189)]


def normalized(text):
    text = "".join(c for c in text.lower() if c not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", text).split())


def contains(text, answers):
    return any(a in text or a.lower() in text or a.capitalize() in text for a in answers)


def matches(text, answers):
    return normalized(text) in [normalized(a) for a in answers]


class Checksum:
    """FNV-1a of 64 bits."""

    def __init__(self):
        self.value = 0xCBF29CE484222325

    def add(self, text):
        for byte in text.encode():
            self.value = (self.value ^ byte) * 0x100000001B3 % 2**64


def add_all(checksum, text):
    for made in (text.lower(), text.capitalize(), normalized(text)):
        checksum.add(made + "\n")


def ascii_upper(text):
    return "".join(chr(ord(c) - 32) if "a" <= c <= "z" else c for c in text)


def made_up(alias, kind):
    return [" " + alias, " the " + alias.lower() + ".", " It is " + alias.capitalize() + ", I think", ascii_upper(alias),
            "x" + alias + "y", alias.replace(".", "") + "!"][kind]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="popqa.tsv, whose cells are not quoted")
    with open(parser.parse_args().data, encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        answers = [json.loads(line.rstrip("\n").split("\t")[header.index("possible_answers")]) for line in lines]

    letters = Checksum()
    for first, last in RANGES:
        for c in map(chr, range(first, last + 1)):
            for text in (c, c + "ABΣ", "a" + c + "Σ", "aΣ" + c + "b", "the" + c + "an a" + c):
                add_all(letters, text)
    print(f"letters: {letters.value:#018x}")

    aliases = Checksum()
    for all_of_one in answers:
        for alias in all_of_one:
            add_all(aliases, alias)
    print(f"{sum(map(len, answers))} aliases: {aliases.value:#018x}")

    contained = matched = 0
    marks = Checksum()
    for row, mine in enumerate(answers):
        for k in range(12):
            others = mine if k % 2 == 0 else answers[(31 * row + 17 * k) % len(answers)]
            text = made_up(others[(row + k) % len(others)], k // 2)
            marked = contains(text, mine), matches(text, mine)
            contained += marked[0]
            matched += marked[1]
            marks.add("".join(str(int(m)) for m in marked))
    print(f"{12 * len(answers)} texts: {contained} contain an answer, {matched} match one: {marks.value:#018x}")


if __name__ == "__main__":
    main()
