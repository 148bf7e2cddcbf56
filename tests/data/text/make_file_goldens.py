"""Trains tiny tokenizers on the text of training_text.py and writes them as the files of others' programs, with the ids that
those give.

    python make_file_goldens.py        (Python 3.11, sentencepiece 0.2.3, tiktoken 0.14.0, mistral_common 1.13.1)

Writes tiny_llama.model and tiny_gemma.model (SentencePiece, with a space before the text and with pieces of the user's own),
tiny_llama3.model (tiktoken's text), tiny_tekken.json, and file_goldens.jsonl: a text and its ids from each on every line.
"""

import base64
import io
import json
import pathlib

import sentencepiece
import tiktoken
from mistral_common.tokens.tokenizers.tekken import Tekkenizer

from make_tokenizer_files import BYTE, CONTROL, LLAMA3, NORMAL, TEKKEN, UNKNOWN, UNUSED, USER_DEFINED, fields, sentencepiece_model
from random_strings import AWKWARD, SENTENCEPIECE_PHRASES, random_strings
from training_text import LINES

HERE = pathlib.Path(__file__).parent


def sentencepiece_pieces():
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter(line for text in LINES for line in text.split("\n")), model_writer=out, model_type="bpe",
        vocab_size=700, byte_fallback=True, normalization_rule_name="identity", remove_extra_whitespaces=False,
        allow_whitespace_only_pieces=True, split_digits=True, character_coverage=0.98, minloglevel=2)
    pieces = []
    for field, message in fields(out.getvalue()):
        if field == 1:
            piece = dict(fields(message))
            pieces.append((piece[1].decode(), piece.get(2, 0.0), piece.get(3, NORMAL)))
    return pieces


def llama(pieces):
    """As trained, but for every seventh piece of several characters, which is unused."""
    changed = [(piece, score, UNUSED if kind == NORMAL and len(piece) > 1 and i % 7 == 0 else kind)
               for i, (piece, score, kind) in enumerate(pieces)]
    return sentencepiece_model(changed, {45: "<unk>", 46: "<s>", 47: "</s>"}, 1)


def gemma(pieces):
    """Other names, runs of blanks and line ends as pieces of the user's own, few different scores, no space in front."""
    names = {"<unk>": "<unk>", "<s>": "<bos>", "</s>": "<eos>"}
    own = ["\n" * n for n in range(1, 6)] + ["\u2581" * n for n in range(2, 7)] + ["<table>", "</td>", "\t\t"]
    known = {piece for piece in own}
    changed = [(names.get(piece, piece), float(-(i % 50)), kind) for i, (piece, _, kind) in enumerate(pieces) if piece not in known]
    changed[3:3] = [("<pad>", 0.0, CONTROL)] + [(piece, 0.0, USER_DEFINED) for piece in own]
    return sentencepiece_model(changed, {45: "<unk>", 46: "<bos>", 47: "<eos>", 48: "<pad>"}, 0)


def byte_ranks(pattern):
    """tiktoken's own trainer, which is meant to teach, is exact for a text of this size."""
    from tiktoken._educational import bpe_train
    return bpe_train("".join(LINES), 620, pattern, visualise=None)


def main():
    pieces = sentencepiece_pieces()
    assert sum(kind == BYTE for _, _, kind in pieces) == 256 and pieces[0][2] == UNKNOWN
    encoders = {}
    for name, model in {"llama": llama(pieces), "gemma": gemma(pieces)}.items():
        (HERE / f"tiny_{name}.model").write_bytes(model)
        encoders[name] = sentencepiece.SentencePieceProcessor(model_proto=model).encode
    ranks = byte_ranks(LLAMA3)
    (HERE / "tiny_llama3.model").write_text("".join(f"{base64.b64encode(token).decode()} {rank}\n" for token, rank in ranks.items()))
    encoders["llama3"] = tiktoken.Encoding("tiny", pat_str=LLAMA3, mergeable_ranks=ranks, special_tokens={}).encode_ordinary
    ranks = byte_ranks(TEKKEN)
    vocabulary = [{"rank": rank, "token_bytes": base64.b64encode(token).decode(), "token_str": None} for token, rank in ranks.items()]
    config = {"pattern": TEKKEN, "num_vocab_tokens": len(ranks), "default_vocab_size": 625, "default_num_special_tokens": 25, "version": "v3"}
    (HERE / "tiny_tekken.json").write_text(json.dumps({"config": config, "vocab": vocabulary}, separators=(",", ":")) + "\n")
    tekken = Tekkenizer.from_file(HERE / "tiny_tekken.json")
    encoders["tekken"] = lambda text: tekken.encode(text, bos=False, eos=False)
    short = [text for text in random_strings(2000, 11, SENTENCEPIECE_PHRASES) if len(text) <= 24][:110]
    with (HERE / "file_goldens.jsonl").open("w", encoding="ascii") as out:
        for text in AWKWARD + SENTENCEPIECE_PHRASES + short:
            line = {"text": text} | {name: encode(text) for name, encode in encoders.items()}
            out.write(json.dumps(line, separators=(",", ":")) + "\n")


main()
