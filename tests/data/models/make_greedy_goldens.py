#!/usr/bin/env python3
"""Makes greedy_tokens.json: what transformers generates greedily with the models of make_known_answers.py.

    python make_greedy_goldens.py        (writes greedy_tokens.json beside itself)

Made with Python 3.11, torch 2.15.0, transformers 5.23.0, gguf 0.19.0, numpy 2.4.6; the file names what it was made with.

Its cases have the names of known_answers.json, whose configurations, weights and ids (the prompt) are meant; others have "config" and
"parameters" of their own, as there. Each has 24 new "ids", the loss of each ("nll", nats) and its logit minus the next best ("margin").
Windows of 4 are far shorter than the texts. transformers keeps keys and values as it is used to, but where the length of a text decides how
it turns (dynamic, longrope): there each text is computed anew.
"""
import pathlib

import numpy as np
import torch

from make_goldens import make_model, parameters, write_json
from make_known_answers import KNOWN_ANSWERS, known_answer_formula


# With a head of their own: a scaled embedding foretells nothing but itself.
OTHERS = {f"{name}-untied": KNOWN_ANSWERS[name] | {"tie_word_embeddings": False} for name in ("gemma2", "gemma3", "gemma3-linear")}


def greedy(name, config):
    model = make_model(config, torch.float32, known_answer_formula).eval()
    ids = (7 * np.arange(12, dtype=np.int64) + 3) % 40
    rope = str(config.get("rope_parameters"))
    with torch.no_grad():
        prompt = torch.tensor(ids[None])
        made = model.generate(prompt, attention_mask=torch.ones_like(prompt), max_new_tokens=24, do_sample=False, num_beams=1, eos_token_id=None,
                              pad_token_id=0, use_cache="dynamic" not in rope and "longrope" not in rope, output_logits=True, return_dict_in_generate=True)
    logits = torch.cat(made.logits).double()
    best = logits.topk(2).values
    own = {"config": config, "parameters": parameters(model)} if name in OTHERS else {}
    return own | {"ids": made.sequences[0, len(ids):].tolist(), "nll": (torch.logsumexp(logits, 1) - best[:, 0]).tolist(),
            "margin": (best[:, 0] - best[:, 1]).tolist()}


def main():
    cases = {name: greedy(name, config) for name, config in (KNOWN_ANSWERS | OTHERS).items()}
    for name, case in cases.items():
        print(f"{name:16} least margin {min(case['margin']):.1e}, {len(set(case['ids']))} ids")
    write_json("greedy_tokens", {}, cases, pathlib.Path(__file__).name)


if __name__ == "__main__":
    main()
