#!/usr/bin/env python3
"""Chooses the shots of questions as the library does, by lists alone: prints the numbers that tests/text/few_shots_test.cpp asserts.

    python3 tests/parity/few_shots.py --data ../shared/data/popqa.tsv
    python3 tests/parity/few_shots.py --data popqa.tsv --seed 1 --row 7     the rows of the shots of one question

Needs nothing besides Python.
"""
import argparse

MASK = 2**64 - 1


class Generator:
    """xoshiro256** seeded by splitmix64."""

    def __init__(self, seed):
        self.state = []
        for _ in range(4):
            seed = z = (seed + 0x9E3779B97F4A7C15) & MASK
            z = ((z ^ (z >> 30)) * 0xBF58476D1CE4E5B9) & MASK
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & MASK
            self.state.append(z ^ (z >> 31))

    def __call__(self):
        def rotated(x, k):
            return (x << k | x >> (64 - k)) & MASK
        s = self.state
        result = (rotated(s[1] * 5 & MASK, 7) * 9) & MASK
        t = (s[1] << 17) & MASK
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotated(s[3], 45)
        return result

    def below(self, n):
        while True:
            x = self()
            if x >= 2**64 % n:
                return x % n


def shots_of(questions, seed, row, shots=15):
    """questions: (relation, text) each."""
    first = {}
    for r, (_, text) in enumerate(questions):
        first.setdefault(text, r)
    if any(relation for relation, _ in questions):
        relations = {}
        for r, (relation, _) in enumerate(questions):
            relations.setdefault(relation, []).append(r)
        members = list(relations.values())
    else:
        members = [[r] for r in range(len(questions))]

    def order(rows):
        texts = {first[questions[r][1]] for r in rows}
        return (texts.pop() if len(texts) == 1 else len(questions), rows[0])

    text = questions[row][1]
    others = [[r for r in sorted(rows, key=lambda r: (first[questions[r][1]], r)) if questions[r][1] != text]
              for rows in sorted(members, key=order) if row not in rows]
    others = [rows for rows in others if rows]
    random = Generator(Generator(seed)() ^ row)
    chosen = []
    for i in range(shots):
        j = i + random.below(len(others) - i)
        others[i], others[j] = others[j], others[i]
        chosen.append(others[i][random.below(len(others[i]))])
    return chosen


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--data", required=True, help="popqa.tsv, whose cells are not quoted")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--row", type=int)
    a = parser.parse_args()
    with open(a.data, encoding="utf-8") as lines:
        header = next(lines).rstrip("\n").split("\t")
        cells = [line.rstrip("\n").split("\t") for line in lines]
    questions = [(c[header.index("prop")], c[header.index("question")]) for c in cells]
    if a.row is not None:
        print(*shots_of(questions, a.seed, a.row), sep=", ")
        return
    # Relations of 3, 1, 4 and 2 questions, of which some have the text of others.
    small = [("a", "1"), ("b", "2"), ("a", "3"), ("c", "4"), ("c", "1"), ("c", "5"), ("c", "4"), ("d", "1"), ("a", "3"), ("d", "1")]
    for seed in (0, 633):
        print(seed, [shots_of(small, seed, row, 2) for row in range(len(small))])
    alone = [("", text) for _, text in small]
    print("none:", [shots_of(alone, 1, row, 4) for row in range(len(small))])
    for seed in (1, 2, 633):
        for row in (0, 1817, 3635):
            print(seed, row, shots_of(questions, seed, row))


if __name__ == "__main__":
    main()
