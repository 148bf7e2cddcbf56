"""Makes split_goldens.jsonl: strings, and for each rule of split.hpp the bytes of the pieces that its regular expression cuts
them into. Made with Python 3.11, tokenizers 0.23.3.

    python make_split_goldens.py
"""

import json
import random
import re
from pathlib import Path

from tokenizers import Regex, pre_tokenizers

from random_strings import AWKWARD, random_strings

HERE = Path(__file__).parent
# Letters of each case and of none, marks, numbers, contractions, what joins runs; two letters that are newer than Unicode 15.
ALPHABET = "aAbB\u01c5\u02b0\u00aa\u3042\u00e9\u4e2d\u0301\u0303\u093e '\u2019/\n\r\t  .-19\u00b2\u017fsSlLvVeErReEdDmMtT\u00a0\u1c89\U00010d4e_"


def strings():
    yield from AWKWARD
    yield from random_strings(60, 3)
    draw = random.Random(5)
    for _ in range(400):
        yield "".join(draw.choice(ALPHABET) for _ in range(draw.randrange(1, 14)))


def main():
    source = (HERE / "../../../include/bitlens/text/split.hpp").read_text(encoding="utf-8")
    patterns = dict(re.findall(r'\{split_rule::\w+, "([^"]+)",\s*R"\((.*?)\)"\}', source, re.S))
    splits = {name: pre_tokenizers.Split(Regex(pattern), "isolated") for name, pattern in patterns.items()}
    with open(HERE / "split_goldens.jsonl", "w", encoding="utf-8", newline="\n") as out:
        for text in strings():
            if len(text) > 200:
                continue
            pieces = {name: [len(piece.encode()) for piece, _ in split.pre_tokenize_str(text)] for name, split in splits.items()}
            out.write(json.dumps({"text": text} | pieces, separators=(",", ":")) + "\n")


main()
