"""Trains three tiny tokenizers on the text of training_text.py and writes them with the ids that they give.

    python make_goldens.py SMOLLM2_TOKENIZER.json        (Python 3.11, tokenizers 0.23.3)

Writes tiny_*.json and goldens.jsonl beside this file. Each line of goldens.jsonl has a text and, for each tokenizer and
that of SmolLM2, which is not in the tree, its ids: "plain" with the text of special tokens as text
(`encode_special_tokens`), "special" with special tokens found, given only where it differs.
"""

import json
import pathlib
import sys

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

from random_strings import AWKWARD, random_strings
from training_text import LINES

HERE = pathlib.Path(__file__).parent
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")


def trained(pre_tokenizer, normalizer, size, alphabet, special):
    tokenizer = Tokenizer(models.BPE())
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.pre_tokenizer = pre_tokenizer
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=size, initial_alphabet=alphabet, special_tokens=special, show_progress=False)
    tokenizer.train_from_iterator(LINES, trainer)
    return tokenizer


def smollm():
    """Special tokens in the vocabulary; some bytes have no token and are dropped."""
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    rule = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), pre_tokenizers.ByteLevel(add_prefix_space=False)])
    return trained(rule, None, 600, alphabet[:225], ["<|endoftext|>", "<|im_start|>", "<|im_end|>"])


def qwen2():
    """NFC; added tokens after the vocabulary: special, raw, normalized; a template that begins every text."""
    rule = pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(QWEN2), "isolated"), pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    tokenizer = trained(rule, normalizers.NFC(), 600, sorted(pre_tokenizers.ByteLevel.alphabet()), [])
    tokenizer.add_special_tokens([AddedToken(t, special=True, normalized=False) for t in ["<|endoftext|>", "<|im_start|>", "<|im_end|>"]])
    tokenizer.add_tokens([AddedToken("<tool_call>", normalized=False), AddedToken("</tool_call>", normalized=False),
                          AddedToken("<|endof", normalized=False), AddedToken("cafe\u0301", normalized=True),
                          AddedToken("the ", normalized=True)])
    begin = tokenizer.token_to_id("<|im_start|>")
    tokenizer.post_processor = processors.Sequence([
        processors.ByteLevel(trim_offsets=False),
        processors.TemplateProcessing(single="<|im_start|> $A", pair="$A $B", special_tokens=[("<|im_start|>", begin)]),
    ])
    return tokenizer


def whole_words():
    """GPT-2's rule alone; words that are tokens are not merged, and some can be had in no other way."""
    tokenizer = trained(pre_tokenizers.ByteLevel(add_prefix_space=False), None, 500, sorted(pre_tokenizers.ByteLevel.alphabet()), [])
    file = json.loads(tokenizer.to_str())
    file["model"]["ignore_merges"] = True
    for word in ["\u0120quartz", "zephyr", "\u0120hello", "hello"]:
        file["model"]["vocab"][word] = len(file["model"]["vocab"])
    file["model"]["merges"] = [" ".join(merge) for merge in file["model"]["merges"]]
    return Tokenizer.from_str(json.dumps(file)), file


def main():
    tokenizers = {}
    for name, tokenizer in {"smollm": smollm(), "qwen2": qwen2()}.items():
        tokenizers[name] = tokenizer, json.loads(tokenizer.to_str())
    tokenizers["whole_words"] = whole_words()
    for name, (_, file) in tokenizers.items():
        (HERE / f"tiny_{name}.json").write_text(json.dumps(file, ensure_ascii=False) + "\n", encoding="utf-8")
    tokenizers["smollm2"] = Tokenizer.from_file(sys.argv[1]), None
    more = [" quartz zephyr hello", "quartzes hello hellos", "cafe\u0301 caf\u00e9 the cafe\u0301<tool_call>the end"]
    short = [text for text in random_strings(1000, seed=7) if len(text) <= 30][:300]
    with (HERE / "goldens.jsonl").open("w", encoding="ascii") as out:
        for text in AWKWARD + more + short:
            line = {"text": text}
            for name, (tokenizer, _) in tokenizers.items():
                tokenizer.encode_special_tokens = True
                line[name] = {"plain": tokenizer.encode(text, add_special_tokens=False).ids}
                tokenizer.encode_special_tokens = False
                special = tokenizer.encode(text, add_special_tokens=False).ids
                if special != line[name]["plain"]:
                    line[name]["special"] = special
            out.write(json.dumps(line, separators=(",", ":")) + "\n")


main()
