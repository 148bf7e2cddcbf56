#!/usr/bin/env python3
"""A whole model by GPTQModel's quantizer, beside what bitlens makes of it on the same token ids.

    bitlens quantize --model HF --methods gptq3-g64 --calibration ids.npy --out ours
    python3 quantize_with_gptqmodel.py HF ids.npy --bits 3 --group 64 --out theirs [--modules ours/gptq3-g64/modules.csv]
    bitlens perplexity --model HF --text held-out.txt --methods ours=ours/gptq3-g64
    bitlens perplexity --model theirs --text held-out.txt
    python3 quantize_with_gptqmodel.py HF ids.npy --layers 1 --modules ours/gptq3-g64/modules.csv    # one block alone

Walks over the blocks of a Llama as GPTQModel does with true_sequential: q, k, v, then o, then gate and up, then down, each
against what it reads behind the quantized ones before it; sorted columns, symmetric, damp 0.01. --out: the rounded weights
as an ordinary folder in float32. --modules: the loss of each linear layer in bitlens over that here. In layer 0 both walks read
the same ids, and these are 1 within a hundredth; deeper, each reads what its own codes made of the ids, and they part.
Ends with 1 where one of layer 0 is further off.

Made with GPTQModel 7.7.0, torch 2.15.0, transformers 5.23.0; see compare_gptq.py for how to install the first.
"""

import argparse
import csv
import sys
import time

import numpy as np
import torch
from gptqmodel.quantization import QuantizeConfig
from gptqmodel.quantization.gptq import GPTQ
from transformers import AutoModelForCausalLM, AutoTokenizer

SUBSETS = [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"], ["mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"]]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model")
    parser.add_argument("ids")
    parser.add_argument("--bits", type=int, default=3)
    parser.add_argument("--group", type=int, default=64)
    parser.add_argument("--layers", type=int, help="only the first of them; then nothing is written")
    parser.add_argument("--out")
    parser.add_argument("--modules")
    arguments = parser.parse_args()
    if bool(arguments.out) == bool(arguments.layers):
        parser.error("one of --out and --layers is expected")
    model = AutoModelForCausalLM.from_pretrained(arguments.model, dtype=torch.float32).eval()
    documents = [torch.from_numpy(row.astype(np.int64))[None] for row in np.load(arguments.ids)]
    ours = {}
    if arguments.modules:
        for row in csv.DictReader(open(arguments.modules)):
            ours[int(row["layer"]), row["module"]] = float(row["loss"])
    start = time.perf_counter()
    ratios = []
    with torch.inference_mode():
        states = [model.model.embed_tokens(ids) for ids in documents]
        turns = [model.model.rotary_emb(x, torch.arange(x.shape[1])[None]) for x in states]

        def run(block, x, turn):
            mask = torch.full((x.shape[1], x.shape[1]), float("-inf")).triu(1)[None, None]
            y = block(x, attention_mask=mask, position_embeddings=turn)
            return y[0] if isinstance(y, tuple) else y

        for k, block in enumerate(model.model.layers[: arguments.layers]):
            of_layer = {}
            for subset in SUBSETS:
                modules = {name: block.get_submodule(name) for name in subset}
                quantizers = {}
                for name, module in modules.items():
                    config = QuantizeConfig(bits=arguments.bits, group_size=arguments.group, sym=True, desc_act=True, static_groups=False, act_group_aware=False,
                                            damp_percent=0.01, mse=0.0, fallback=None)
                    quantizers[name] = GPTQ(module, config)
                    quantizers[name].quantizer.configure(perchannel=True)
                hooks = [module.register_forward_hook(lambda m, x, y, q=quantizers[name]: q.add_batch(x[0].detach(), y.detach())) for name, module in modules.items()]
                for x, turn in zip(states, turns):
                    run(block, x, turn)
                for hook in hooks:
                    hook.remove()
                for name, module in modules.items():
                    q, _, _, _, _, loss, *_ = quantizers[name].quantize(blocksize=128)
                    module.weight.data = q.to(torch.float32)
                    if ours:
                        mine = ours[k, name.split(".")[1]]
                        tokens = sum(ids.shape[1] for ids in documents)
                        of_layer[name.split(".")[1]] = mine / (loss * tokens)
            states = [run(block, x, turn) for x, turn in zip(states, turns)]
            losses = "".join(f", {name} {ratio:.5f}" for name, ratio in of_layer.items())
            print(f"layer {k}, {time.perf_counter() - start:.0f} s{losses}", flush=True)
            ratios.append(of_layer)
    if arguments.out:
        model.save_pretrained(arguments.out)
        AutoTokenizer.from_pretrained(arguments.model).save_pretrained(arguments.out)
    if not ours:
        return 0
    every = sorted((ratio, k, name) for k, of_layer in enumerate(ratios) for name, ratio in of_layer.items())
    first = sorted((ratio, k, name) for ratio, k, name in every if k == 0)
    for title, some in [("layer 0", first), (f"{len(ratios)} layers", every)][: len(ratios)]:
        inside = sum(abs(ratio - 1) <= 0.01 for ratio, *_ in some)
        print(f"loss of bitlens over GPTQModel's, {title}: {inside} of {len(some)} within 0.01 of 1; median {some[len(some) // 2][0]:.5f}, least {some[0]}, most {some[-1]}")
    return int(not all(abs(ratio - 1) <= 0.01 for ratio, *_ in first))


if __name__ == "__main__":
    sys.exit(main())
