"""Trains three tiny tokenizers on the text below and writes them with the ids that they give.

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

HERE = pathlib.Path(__file__).parent
QWEN2 = (r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+"
         r"|\s+(?!\S)|\s+")
TEXT = """The weights of a model are numbers, and most of them are small. When a number is stored in three bits there are
only eight places where it can go, and the nearest of them is seldom quite right. What a document pays for this depends
on the document: a recipe is not a proof, and a list of prices isn't a poem. We'll measure it, token by token.
A residual is what is left after everything else has been taken away. It grows from layer to layer, like a bill that
nobody reads. They've said that large residuals are safe; you'd want to see the figures before you're sure.
In 2024 it cost 17.50, in 2025 it cost 18.25, and by 2031 it might be 1,000 or nothing.
    for (int i = 0; i < rows; ++i) {
        sum += scale[i] * (code[i] - zero[i]);
    }

Das Gewicht eines Modells ist eine Zahl. Die Straße ist lang, der Zug fährt später, und niemand weiß, warum.
Le modèle a été réduit à trois bits, et la différence est à peine visible. Où est passée l'erreur?
La pregunta más difícil es también la más corta: ¿por qué?
Вес модели это число. Ошибка растёт от слоя к слою.
模型的权重是数字。误差一层一层地增长。
モデルの重みは数である。
모델의 가중치는 숫자이다.
وزن النموذج رقم صغير.
मॉडल का भार एक संख्या है।
Done!!! Really??? (yes) ... -- == >= <= != 🙂 👍 🚀

\t tabs \t and   wide    gaps\r\n\r\nand line ends\n\n\nof every kind
"""
LINES = [TEXT[i : i + 400] for i in range(0, len(TEXT), 400)]


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
