#!/usr/bin/env python3
"""Makes locate_goldens.json: where errors arise in tiny models, by transformers in float32.

    python make_locate_goldens.py        (writes locate_goldens.json beside itself)

Made with Python 3.11, torch 2.15.0, transformers 5.23.0, numpy 2.4.6; the file names what it was made with.

What a column means, and how it is computed: tests/parity/locate_with_pytorch.py. The file is one object:
    made_with    {"command", "python", "torch", "transformers", "numpy"}
    models       a list of
        name         of the model
        config       its config.json
        type         of its tensors: "float32". The weights are not stored: they follow from the tensors' names and shapes as
                     in make_goldens.py, the head's own only where the config does not tie it
        documents    the ids of each document, all of one length; all but the first are scored
        methods      the specs of the methods, which are their names too
        columns      {column as in locate.csv: [a number for each document, nats per token]}: of every method the patches
                     (of the upper half, from a layer on, of a range), restored and quantized layers and projections; early
                     exits of the full model and of every method, at all layers, both states, φ fresh and frozen
"""
import json
import pathlib
import platform
import re
import sys

import numpy as np
import torch
import transformers

from make_goldens import LLAMA, QWEN2, config4, weight

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent.parent / "parity"))
from locate_with_pytorch import POINTS, PROJECTIONS, Located, columns_of  # noqa: E402

DOCUMENTS, TOKENS = 3, 24
METHODS = ["rtn3-row", "nf3-g32"]
CONFIGS = {
    # two late layers, grouped heads, tied head
    "llama": config4(LLAMA, hidden_size=32, intermediate_size=64, num_hidden_layers=12, num_attention_heads=4,
                     num_key_value_heads=2, vocab_size=61, max_position_embeddings=64, rms_norm_eps=1e-5, rope_theta=10000.0,
                     tie_word_embeddings=True, torch_dtype="float32", attention_bias=False, mlp_bias=False, pretraining_tp=1),
    # an odd number of layers, too few for 18 % to be one; biases, a head of its own
    "qwen2": config4(QWEN2, hidden_size=64, intermediate_size=96, num_hidden_layers=5, num_attention_heads=4,
                     num_key_value_heads=4, vocab_size=50, max_position_embeddings=64, rms_norm_eps=1e-6, rope_theta=1000000.0,
                     tie_word_embeddings=False, torch_dtype="float32", use_sliding_window=False, sliding_window=32,
                     max_window_layers=1),
}


def names_of(method, layers):
    """Columns that are kept: every kind, the ends and the middle of each curve."""
    names = [f"nll_{method}"]
    names += [f"exit_{state}_{method}_l{k}" for state in ("r", "r_frozen", "z", "z_frozen") for k in range(layers)]
    if method == "full":
        return names
    for point in POINTS:
        names += [f"nll_{method}_patch_{point}{where}" for where in ("", f"_from_l{layers - 2}", f"_l1-{layers // 2}")]
    names.append(f"nll_{method}_restore_late")
    for k in (0, layers // 2, layers - 1):
        names += [f"nll_{method}_{kind}_l{k}" for kind in ("restore_from", "restore", "only")]
    names += [f"nll_{method}_{kind}_{p}" for kind in ("restore", "only") for p in PROJECTIONS]
    return names


def tiny_model(config):
    kind = {LLAMA: transformers.LlamaConfig, QWEN2: transformers.Qwen2Config}[config["architectures"][0]]
    model = transformers.AutoModelForCausalLM.from_config(kind.from_dict(config), dtype=torch.float32).eval()
    state = {name: weight(name, value.shape, torch.float32) for name, value in model.state_dict().items()}
    if config["tie_word_embeddings"]:
        state["lm_head.weight"] = state["model.embed_tokens.weight"]
    model.load_state_dict(state, strict=True)
    return model


def golden(name, config):
    located = Located(tiny_model(config))
    documents = np.random.default_rng(1).integers(0, config["vocab_size"], (DOCUMENTS, TOKENS))
    columns = {}
    for method in ["full", *METHODS]:
        known = columns_of(method, located.layers)
        located.quantize(None if method == "full" else method)
        wanted = {column: known[column] for column in names_of(method, located.layers)}
        rows = [located.document(torch.from_numpy(ids), wanted) for ids in documents]
        columns |= {column: [round(row[column], 9) for row in rows] for column in wanted}
    return {"name": name, "config": config, "type": "float32", "documents": documents.tolist(), "methods": METHODS,
            "columns": columns}


def written(value):
    """JSON with one line for each list of numbers."""
    return re.sub(r"\[[^][{}]*\]", lambda flat: re.sub(r"\s+", " ", flat[0]).replace("[ ", "[").replace(" ]", "]"),
                  json.dumps(value, indent=1))


def main():
    made_with = {"command": "python make_locate_goldens.py", "python": platform.python_version(), "torch": torch.__version__,
                 "transformers": transformers.__version__, "numpy": np.__version__}
    goldens = {"made_with": made_with, "models": [golden(name, config) for name, config in CONFIGS.items()]}
    (HERE / "locate_goldens.json").write_text(written(goldens) + "\n")


if __name__ == "__main__":
    main()
