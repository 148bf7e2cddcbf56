#!/usr/bin/env python3
"""A whole model by GPTQModel's quantizer, beside what bitlens makes of it on the same token ids.

    bitlens quantize --model HF --methods gptq3-g64 --calibration ids.npy --out ours
    python3 quantize_with_gptqmodel.py HF ids.npy --bits 3 --group 64 --out theirs [--modules ours/gptq3-g64/modules.csv]
    bitlens perplexity --model HF --text held-out.txt --methods ours=ours/gptq3-g64
    bitlens perplexity --model theirs --text held-out.txt

Walks over the blocks of a Llama as GPTQModel does with true_sequential: q, k, v, then o, then gate and up, then down, each
against what it reads behind the quantized ones before it; sorted columns, symmetric, damp 0.01. Writes the rounded weights
as an ordinary folder in float32. --modules: loss of each linear layer over bitlens' own, which should be 1 within a hundredth.

Made with GPTQModel 7.7.0, torch 2.15.0, transformers 5.23.0; see compare_gptq.py for how to install the first.
"""

import argparse
import csv
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
    parser.add_argument("--out", required=True)
    parser.add_argument("--modules")
    arguments = parser.parse_args()
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

        for k, block in enumerate(model.model.layers):
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
                        ratios.append((mine / (loss * tokens), k, name))
            states = [run(block, x, turn) for x, turn in zip(states, turns)]
            print(f"layer {k + 1} of {len(model.model.layers)}, {time.perf_counter() - start:.0f} s", flush=True)
    model.save_pretrained(arguments.out)
    AutoTokenizer.from_pretrained(arguments.model).save_pretrained(arguments.out)
    if ratios:
        ratios.sort()
        inside = np.mean([abs(r - 1) <= 0.01 for r, *_ in ratios])
        print(f"loss of bitlens over GPTQModel's: median {ratios[len(ratios) // 2][0]:.5f}, least {ratios[0]}, most {ratios[-1]}, {inside:.3f} within 0.01")


main()
