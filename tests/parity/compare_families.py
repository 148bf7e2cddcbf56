#!/usr/bin/env python3
"""Random tiny models of every family: every hook point and the logits of `bitlens probe` against transformers in float32.

    python tests/parity/compare_families.py --bitlens build/release/bin/bitlens --seeds 1 2 3 [--models 4] [--families gemma2 phi3]

For every seed and family as many models as --models says: sizes, heads, windows, scaling of the rotary embedding, biases,
ties and storage drawn at random, texts often longer than windows and than the original context. transformers writes each as
a folder in one or several files; config.json then stands as transformers 5 writes it (form hf5) and as 4 did (hf4), and
gguf_models.py writes the model as GGUF where the format can hold it. Prints family × form × the largest difference as a share
of the tensor's largest value; exits with 1 if one exceeds 1e-4, or if a model is refused. --keep leaves the files of those.

Made with torch 2.15.0, transformers 5.23.0, gguf 0.19.0.
"""
import argparse
import copy
import json
import math
import pathlib
import shutil
import subprocess
import sys
import tempfile

import numpy as np
import torch
import transformers

from compare_with_transformers import ONCE, PER_LAYER, TOLERANCE, ratios_of, run_bitlens, run_transformers
from gguf_models import LARGE_GEMMAS, as_gguf_says, model_from_gguf, rope_of, write_gguf

FAMILIES = ["llama", "qwen2", "mistral", "ministral", "qwen3", "gemma2", "gemma3_text", "olmo2", "phi3"]
DTYPES = {"f32": torch.float32, "f16": torch.float16, "bf16": torch.bfloat16}


def pick(rng, *values):
    return values[rng.integers(len(values))]


def random_rope(rng, context, kinds):
    theta = pick(rng, 1e4, 5e5, 1e6, 12345.0)
    kind = pick(rng, *kinds)
    rope = {"rope_type": kind, "rope_theta": theta}
    if kind in ("linear", "dynamic"):
        rope["factor"] = pick(rng, 2.0, 4.0, 8.0)
    elif kind == "llama3":
        rope |= {"factor": pick(rng, 8.0, 32.0), "low_freq_factor": 1.0, "high_freq_factor": pick(rng, 2.0, 4.0),
                 "original_max_position_embeddings": context // 4}
    elif kind == "yarn":
        rope |= {"factor": pick(rng, 2.0, 4.0), "original_max_position_embeddings": context // 4}
        if rng.random() < 0.3:
            rope |= {"beta_fast": 24.0, "beta_slow": 2.0}
        if rng.random() < 0.3:
            rope["attention_factor"] = pick(rng, 1.0, 1.25)
        if rng.random() < 0.3:
            rope["truncate"] = False
        if rng.random() < 0.3:
            rope |= {"mscale": pick(rng, 1.0, 0.707), "mscale_all_dim": pick(rng, 1.0, 0.5)}
    return rope


def random_config(rng, family):
    """The settings of one model, as transformers 5 has them."""
    gemma = family.startswith("gemma")
    heads = pick(rng, 1, 2, 3, 4, 6)
    kv_heads = pick(rng, *(k for k in range(1, heads + 1) if heads % k == 0))
    head_dim = 2 * int(rng.integers(2, 10))
    width = heads * (head_dim if family == "phi3" else int(rng.integers(3, 14)))
    layers = int(rng.integers(2, 5))
    context = 4 * int(rng.integers(2, 13))
    window = pick(rng, 1, 2, 3, 5, 8, 200)
    config = {"model_type": family, "hidden_size": width, "intermediate_size": int(rng.integers(9, 60)), "num_hidden_layers": layers,
              "num_attention_heads": heads, "num_key_value_heads": kv_heads, "vocab_size": int(rng.integers(29, 80)),
              "max_position_embeddings": context, "rms_norm_eps": pick(rng, 1e-5, 1e-6), "tie_word_embeddings": bool(rng.integers(2)) or gemma,
              "pad_token_id": None, "bos_token_id": 1, "eos_token_id": 2}
    if family != "phi3":
        config["head_dim"] = head_dim
        if width % (2 * heads) == 0 and width // heads > 2 and family in ("llama", "mistral", "qwen2", "olmo2") and rng.random() < 0.3:
            del config["head_dim"]  # then it is width / heads
    config["rope_parameters"] = random_rope(rng, context, ("default", "linear", "dynamic", "llama3", "yarn"))
    slides = ["sliding_attention" if rng.integers(2) else "full_attention" for _ in range(layers)]
    if family == "llama":
        config |= {"attention_bias": bool(rng.integers(2)), "mlp_bias": bool(rng.integers(2))}
    elif family == "mistral":
        config["sliding_window"] = pick(rng, None, window)
    elif family == "ministral":
        config |= {"sliding_window": window, "layer_types": slides}
    elif family in ("qwen2", "qwen3"):
        first = int(rng.integers(0, layers + 1))
        config |= {"use_sliding_window": bool(rng.integers(2)), "sliding_window": window, "max_window_layers": first}
    elif gemma:
        config |= {"sliding_window": window, "query_pre_attn_scalar": pick(rng, head_dim, head_dim + 8), "hidden_activation": "gelu_pytorch_tanh"}
        if rng.integers(2):
            config["layer_types"] = slides
        if family == "gemma2":
            config |= {"attn_logit_softcapping": pick(rng, None, 2.0, 50.0), "final_logit_softcapping": pick(rng, None, 3.0, 30.0)}
        else:
            config |= {"num_hidden_layers": pick(rng, layers, 7)}
            if config["num_hidden_layers"] != layers:
                config.pop("layer_types", None)
            config["rope_parameters"] = {"full_attention": random_rope(rng, context, ("default", "linear")),
                                         "sliding_attention": {"rope_type": "default", "rope_theta": pick(rng, 1e4, 2e4)}}
        if rng.random() < 0.15:  # as deep as the models whose GGUF files are told by that
            config |= {"num_hidden_layers": dict(LARGE_GEMMAS)[family], "query_pre_attn_scalar": width // heads}
            config.pop("layer_types", None)
    elif family == "phi3":
        partial = pick(rng, 1.0, 0.75, 0.5)
        config |= {"sliding_window": pick(rng, None, window), "original_max_position_embeddings": context // pick(rng, 1, 2, 4)}
        config["rope_parameters"] = {"rope_type": pick(rng, "default", "longrope"), "rope_theta": 1e4, "partial_rotary_factor": partial}
        if int(head_dim * partial) % 2:
            config["rope_parameters"]["partial_rotary_factor"] = partial = 1.0
        if config["rope_parameters"]["rope_type"] == "longrope":
            pairs = int(head_dim * partial) // 2
            config["rope_parameters"] |= {"short_factor": (1 + 0.2 * rng.random(pairs)).round(3).tolist(),
                                          "long_factor": (1 + 20 * rng.random(pairs)).round(3).tolist()}
    return config


def random_model(rng, settings, dtype):
    """transformers' model in float32, its weights numbers of `dtype`."""
    settings = copy.deepcopy(settings)
    config = transformers.AutoConfig.for_model(**settings)
    model = transformers.AutoModelForCausalLM.from_config(config, dtype=torch.float32)
    with torch.no_grad():
        for name, p in model.named_parameters():
            values = torch.tensor(rng.standard_normal(tuple(p.shape)), dtype=torch.float32)
            if name.endswith("norm.weight"):
                values = 0.3 * values + (0.0 if config.model_type.startswith("gemma") else 1.0)
            elif name.endswith(".bias"):
                values = 0.5 * values
            elif "embed_tokens" not in name:
                values = 1.5 * values / math.sqrt(p.shape[-1])
            p.copy_(values.to(dtype).float())
    return model


def rounding(model, ids):
    """How far the logits of float32 lie from those of float64, as a share of the largest: what no two programs can be closer than.
    A stack of 62 layers of width 3 amplifies the last bit until nothing is left to compare."""
    logits = []
    for dtype in (torch.float32, torch.float64):
        other = copy.deepcopy(model).to(dtype)
        other.set_attn_implementation("eager")
        with torch.no_grad():
            logits.append([copy.deepcopy(other)(torch.tensor(row[None].astype(np.int64)), use_cache=False).logits.double() for row in ids])
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(*logits))


def as_transformers_4(config, rng):
    """config.json as the versions before 5 wrote it, or people did."""
    config = copy.deepcopy(config)
    rope = config.pop("rope_parameters")
    if "full_attention" in rope:
        config["rope_local_base_freq"] = rope["sliding_attention"]["rope_theta"]
        rope = rope["full_attention"]
    config["rope_theta"] = rope.pop("rope_theta")
    partial = rope.pop("partial_rotary_factor", None)
    if config["model_type"] == "phi3":
        config["partial_rotary_factor"] = partial
        rope.pop("original_max_position_embeddings", None)
    kind = rope.pop("rope_type")
    key = "rope_type" if config["model_type"] == "gemma3_text" else pick(rng, "type", "rope_type")  # transformers 5 passes over Gemma-3's "type"
    config["rope_scaling"] = None if kind == "default" else {key: kind} | rope
    config["torch_dtype"] = config.pop("dtype")
    config["transformers_version"] = "4.51.3"
    period = {"gemma2": 2, "gemma3_text": 6}.get(config["model_type"])
    usual = period and ["sliding_attention" if (k + 1) % period else "full_attention" for k in range(config["num_hidden_layers"])]
    if config["model_type"] in ("qwen2", "qwen3") or config.get("layer_types", ()) == usual:  # what other keys or the family say
        del config["layer_types"]
        if config["model_type"] == "gemma3_text":
            config["sliding_window_pattern"] = period
    config.pop("_sliding_window_pattern", None)
    return config


def write_folder(folder, model, dtype, shards):
    stored = copy.deepcopy(model).to(dtype)
    size = sum(p.numel() * p.element_size() for p in stored.parameters())
    stored.save_pretrained(folder, max_shard_size=max(size // 3, 1) if shards else "5GB")


class Table:
    """family × form → how many models, how many of them refused, the worst ratio and where."""

    def __init__(self):
        self.cells = {}

    def add(self, family, form, ratio, what):
        models, refused, worst, where = self.cells.get((family, form), (0, 0, -1.0, ""))
        if ratio is None:
            refused += 1
        elif not ratio <= worst:
            worst, where = ratio, what
        self.cells[family, form] = (models + 1, refused, worst, where)

    def print(self):
        print(f"{'family':12} {'form':5} {'models':>6} {'refused':>7} {'largest difference / largest value':>36}  where")
        for (family, form), (models, refused, worst, where) in self.cells.items():
            print(f"{family:12} {form:5} {models:6} {refused:7} {f'{worst:.2e}' if refused < models else '':>36}  {where}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--bitlens", default="build/release/bin/bitlens")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1])
    parser.add_argument("--models", type=int, default=4, help="of each family and seed (default: 4)")
    parser.add_argument("--families", nargs="+", default=FAMILIES)
    parser.add_argument("--points", nargs="+", default=PER_LAYER + ONCE)
    parser.add_argument("--keep", type=pathlib.Path, help="a folder for the models that differ or are refused")
    arguments = parser.parse_args()
    transformers.logging.set_verbosity_error()
    transformers.utils.logging.disable_progress_bar()

    table, failed = Table(), 0
    for seed in arguments.seeds:
        for family in arguments.families:
            rng = np.random.default_rng([seed, FAMILIES.index(family)])
            for number in range(arguments.models):
                while True:
                    settings = random_config(rng, family)
                    kind = pick(rng, *DTYPES)
                    model = random_model(rng, settings, DTYPES[kind])
                    ids = rng.integers(0, settings["vocab_size"], (2, int(rng.integers(4, 40))), dtype=np.int32)
                    noise = rounding(model, ids)
                    if noise <= TOLERANCE / 4:
                        break
                    print(f"{family}, seed {seed}, model {number}: drawn again, float32 is {noise:.1e} from float64 in transformers itself")
                with tempfile.TemporaryDirectory() as place:
                    place = pathlib.Path(place)
                    write_folder(place / "hf5", model, DTYPES[kind], bool(rng.integers(2)))
                    shutil.copytree(place / "hf5", place / "hf4")
                    config = json.loads((place / "hf5" / "config.json").read_text())
                    (place / "hf4" / "config.json").write_text(json.dumps(as_transformers_4(config, rng), indent=1))
                    forms = {form: (place / form, transformers.AutoModelForCausalLM.from_pretrained(place / form, dtype=torch.float32))
                             for form in ("hf5", "hf4")}
                    in_gguf = transformers.AutoModelForCausalLM.from_config(as_gguf_says(model.config), dtype=torch.float32)
                    in_gguf.load_state_dict(model.state_dict())
                    write_gguf(place / "model.gguf", in_gguf, kind)
                    forms["gguf"] = (place / "model.gguf", in_gguf)
                    truths = {form: run_transformers(oracle, ids) for form, (_, oracle) in forms.items()}
                    # the oracles among themselves: both spellings say one model, and the file reads back as what was written
                    for a, b in ((truths["hf5"], truths["hf4"]), (truths["gguf"], run_transformers(model_from_gguf(place / "model.gguf"), ids))):
                        if max(ratio for ratio, _ in ratios_of(a, b).values()) > 2e-5:
                            sys.exit(f"{family}, seed {seed}, model {number}: the oracles differ: {ratios_of(a, b)}\n{config}")
                    for form, (path, _) in forms.items():
                        what = f"seed {seed} model {number} ({kind}, {rope_of(model.config)['rope_type']}, T {ids.shape[1]})"
                        try:
                            truth = {name: v for name, v in truths[form].items() if {name, name.partition("_l")[0]} & set(arguments.points)}
                            ratios = ratios_of(run_bitlens(arguments.bitlens, path, ids, arguments.points), truth)
                            point = max(ratios, key=lambda p: ratios[p][0])
                            table.add(family, form, ratios[point][0], f"{what} {point} {ratios[point][1]}")
                            wrong = not ratios[point][0] <= TOLERANCE
                        except subprocess.CalledProcessError:
                            table.add(family, form, None, what)
                            wrong = True
                        failed += wrong
                        if wrong and arguments.keep:
                            arguments.keep.mkdir(parents=True, exist_ok=True)
                            shutil.copytree(place, arguments.keep / f"{family}_{seed}_{number}", dirs_exist_ok=True)
    print(f"transformers {transformers.__version__}, torch {torch.__version__}, seeds {arguments.seeds}, {arguments.models} models each")
    table.print()
    print(f"{failed} runs differ by more than {TOLERANCE:.0e} or are refused")
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
