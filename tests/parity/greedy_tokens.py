#!/usr/bin/env python3
"""Compares the tokens of `bitlens generate` with those that transformers generates greedily in float32.

    python tests/parity/greedy_tokens.py --model FOLDER --bitlens build/release/bin/bitlens --texts c4.jsonl.gz

FOLDER is a Hugging Face folder (compare_with_transformers.py --save-folder makes one of a GGUF file). Prompts are the beginnings of
the first texts, --prompts of them, from 16 to 400 tokens long; each is given as text to both, whose ids must agree. bitlens generates
--tokens tokens as it runs prompts of a file, side by side, and after every --single-th prompt by itself too. transformers reads prompt
and new tokens at once, and must find each of them the most likely one where it stands, which then is what it generates; after every
--single-th prompt it generates by itself too. With --method nf4-g64, or another that nll_with_pytorch.py
has written out, all linear layers of the blocks are quantized on either side.

Where transformers finds another token, and the two within 1e-4 of each other, that is a tie, shown and set apart. Anything else is an error,
and the exit code 1. Also prints by how much losses differ at most. --lengths, such as 5 12, makes prompts of other lengths; --part 0 4 takes every fourth prompt from the first on, so that several processes of
one thread each (--threads 1) can share the work.

Needs: torch, transformers, numpy.
"""
import argparse
import gzip
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

from nll_with_pytorch import quantizer

TIE = 1e-4


def prompts_of(path, tokenizer, lengths):
    """The first `length` tokens of a text each, as text."""
    opened = gzip.open(path, "rt", encoding="utf-8") if str(path).endswith(".gz") else open(path, encoding="utf-8")
    prompts, wanted = [], list(lengths)
    with opened as lines:
        for line in lines:
            if len(prompts) == len(wanted):
                break
            ids = tokenizer.encode(json.loads(line)["text"], add_special_tokens=False)
            if len(ids) < wanted[len(prompts)]:
                continue
            text = tokenizer.decode(ids[:wanted[len(prompts)]], clean_up_tokenization_spaces=False)
            if text and "\ufffd" not in text:
                prompts.append(text)
    if len(prompts) < len(wanted):
        sys.exit(f"{path}: {len(prompts)} of {len(wanted)} prompts are long enough")
    return prompts


def run_bitlens(arguments, prompts):
    with tempfile.TemporaryDirectory() as folder:
        file = pathlib.Path(folder, "prompts.jsonl")
        file.write_text("".join(json.dumps({"text": text}) + "\n" for text in prompts), encoding="utf-8")
        return lines_of(arguments, ["--prompts", file])


def lines_of(arguments, options):
    command = [arguments.bitlens, "generate", "--model", arguments.model, "--method", arguments.method, "--tokens",
               str(arguments.tokens), *(["--threads", str(arguments.threads)] if arguments.threads else []), *options]
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True, encoding="utf-8")
    return [json.loads(line) for line in done.stdout.splitlines()]


def judge(model, prompt, ids):
    """Of each new token: the one that transformers finds most likely in its place, by how much, and the loss of ours."""
    with torch.no_grad():
        logits = model(torch.tensor([prompt + ids])).logits[0, len(prompt) - 1:-1].double()
    own = logits[torch.arange(len(ids)), ids]
    return logits.argmax(1).tolist(), (logits.max(1).values - own).tolist(), (torch.logsumexp(logits, 1) - own).tolist()


def generated(model, prompt, tokens):
    with torch.no_grad():
        ids = torch.tensor([prompt])
        made = model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=tokens, do_sample=False, num_beams=1, eos_token_id=None,
                              pad_token_id=0)
    return made[0, len(prompt):].tolist()


class Comparison:
    def __init__(self, name):
        self.name, self.prompts, self.tokens, self.loss, self.ties, self.wrong = name, 0, 0, 0.0, [], []

    def add(self, number, ours, judged):
        self.prompts += 1
        for i, (id, loss, margin, best, behind, their_loss) in enumerate(zip(ours["ids"], ours["loss"], ours["margin"], *judged)):
            self.tokens += 1
            self.loss = max(self.loss, abs(loss - their_loss))
            if id != best:
                what = f"prompt {number}, new token {i}: {id} here by {margin:.1e}, {best} there by {behind:.1e}"
                (self.ties if behind < TIE else self.wrong).append(what)

    def report(self):
        print(f"{self.name}: {self.prompts} prompts, {self.tokens} tokens, {self.tokens - len(self.ties) - len(self.wrong)} the same, "
              f"{len(self.ties)} ties, {len(self.wrong)} others; losses within {self.loss:.1e}")
        for kind, all_of_kind in (("tie", self.ties), ("differs", self.wrong)):
            for what in all_of_kind:
                print(f"  {kind}: {what}")
        return not self.wrong


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--bitlens", default="build/release/bin/bitlens")
    parser.add_argument("--texts", required=True)
    parser.add_argument("--method", default="full")
    parser.add_argument("--prompts", type=int, default=200)
    parser.add_argument("--lengths", type=int, nargs=2, default=[16, 400])
    parser.add_argument("--tokens", type=int, default=64)
    parser.add_argument("--single", type=int, default=20)
    parser.add_argument("--part", type=int, nargs=2, default=[0, 1])
    parser.add_argument("--threads", type=int)
    arguments = parser.parse_args()
    if arguments.threads:
        torch.set_num_threads(arguments.threads)

    tokenizer = transformers.AutoTokenizer.from_pretrained(arguments.model)
    lengths = np.linspace(*arguments.lengths, arguments.prompts).round().astype(int).tolist()
    first, parts = arguments.part
    prompts = prompts_of(arguments.texts, tokenizer, lengths)[first::parts]
    ours = run_bitlens(arguments, prompts)
    model = transformers.AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    model.generation_config.eos_token_id = None
    if arguments.method != "full":
        rounded = quantizer(arguments.method)
        for layer in model.model.layers:
            for module in layer.modules():
                if isinstance(module, torch.nn.Linear):
                    module.weight.data = rounded(module.weight.data)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, {arguments.model}, {arguments.method}, {len(prompts)} prompts of "
          f"{lengths[0]} to {lengths[-1]} tokens, {arguments.tokens} new ones")
    together, alone, steps = Comparison("side by side"), Comparison("alone"), [0, 0]
    for number, text in enumerate(prompts):
        ids = tokenizer.encode(text, add_special_tokens=False)
        if ours[number]["prompt_tokens"] != len(ids) or len(ours[number]["ids"]) != arguments.tokens:
            sys.exit(f"prompt {number}: {ours[number]['prompt_tokens']} and {len(ours[number]['ids'])} tokens here, {len(ids)} and "
                     f"{arguments.tokens} there")
        together.add(number, ours[number], judge(model, ids, ours[number]["ids"]))
        if number % arguments.single == 0:
            line = lines_of(arguments, [f"--prompt={text}"])[0]
            alone.add(number, line, judge(model, ids, line["ids"]))
            steps[0] += 1
            steps[1] += generated(model, ids, arguments.tokens) == ours[number]["ids"]
        if number % 10 == 9:
            print(f"{number + 1} prompts", file=sys.stderr, flush=True)
    agree = [together.report(), alone.report()]
    print(f"generated by transformers itself, step by step: {steps[1]} of {steps[0]} texts are the same")
    sys.exit(0 if all(agree) and (steps[0] == steps[1] or together.ties) else 1)


if __name__ == "__main__":
    main()
