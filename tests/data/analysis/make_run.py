"""Makes a run folder of made-up numbers as `bitlens study` leaves it, and what numpy and scipy say of it.

    python make_run.py run expected.json          # the golden: 40 documents, 6 layers; numpy 2.4.6, scipy 1.17.1
    python make_run.py big - 256 30 512           # something to look at: documents, layers, tokens

One hidden number per document, its hardness, drives errors up, norms of r down and norms of h up, as the paper has it.
Document 0 is full of characters that want to leave their place in a page; documents 3 and 7 are near-duplicates.
"""
import csv
import json
import sys
from itertools import combinations
from pathlib import Path

import numpy as np
import scipy.stats

folder, expected_path = Path(sys.argv[1]), sys.argv[2]
N, L, TOKENS = (int(x) for x in sys.argv[3:6]) if len(sys.argv) > 3 else (40, 6, 24)
METHODS = [("rtn3-g64", "rtn3-g64"), ("nf3-g64", "nf3-g64"), ("mine", "rtn4-g64")]
rng = np.random.default_rng(20)
hardness = rng.normal(size=N)
T = TOKENS - 1

words = [b"The", b" cat", b" sat", b" on", b" a", b" mat", b".", b"\n", b" caf", b"\xc3", b"\xa9", b" 2", b"+", b" of",
         b" \xe4\xb8\xad\xe6", b"\x96\x87", b" and", b" the", b" rain", b" in", b" Spain", b",", b" fell", b" again"]
hostile = [b"<script>alert(1)</script>", b"\xe2\x80\xaeevil", b"\x00\x1b[31m", b"\xff\xfe", b"</div>&\"'"]
vocabulary = words + hostile  # id = place · 3, so that ids have gaps
ids = rng.integers(0, len(words), size=(N, TOKENS)).astype(np.int32)
ids[0, : len(hostile)] = np.arange(len(words), len(vocabulary))
ids[7] = ids[3]
hardness[[3, 7]] = [2.5, 2.45]
ids *= 3

nll_full_t = rng.gamma(2, 1.5, size=(N, T)).astype(np.float32)
top_full = (rng.integers(0, len(words), size=(N, T)) * 3).astype(np.int32)
arrays = {"ids": ids, "nll_full": nll_full_t, "top_full": top_full, "margin_full": np.ones((N, T), np.float32)}
nll_full = nll_full_t.astype(np.float64).mean(1)
columns = {"nll_full": nll_full}
nll, error, kl, mse = {}, {}, {}, {}
layers = np.arange(L)[None, :]
growth = np.exp(2.5 * layers / L)
norm_r = 12 * growth * np.exp(-0.12 * hardness[:, None] * layers / L + 0.05 * rng.normal(size=(N, L)))
norm_z = norm_r * np.exp(0.03 + 0.02 * rng.normal(size=(N, L)))
norm_h = 20 * (1 + layers / L) * np.exp(0.1 * hardness[:, None] * layers / L + 0.04 * rng.normal(size=(N, L)))
kurtosis_r = 30 * growth * np.exp(-0.3 * hardness[:, None] + 0.1 * rng.normal(size=(N, L)))
kurtosis_h = 8 * np.exp(-0.1 * hardness[:, None] + 0.1 * rng.normal(size=(N, L))) * np.ones((1, L))
for k, (name, _) in enumerate(METHODS):
    size = (0.30, 0.25, 0.06)[k]
    shift = size * np.exp(0.5 * hardness + 0.25 * rng.normal(size=N))
    per_token = (nll_full_t + shift[:, None] * (1 + 1.5 * rng.normal(size=(N, T)))).astype(np.float32)
    arrays[f"nll_{name}"] = per_token
    arrays[f"kl_{name}"] = np.abs(per_token - nll_full_t)
    changed = rng.random(size=(N, T)) < 0.1
    arrays[f"top_{name}"] = np.where(changed, np.roll(top_full, 1, 1), top_full).astype(np.int32)
    arrays[f"margin_{name}"] = np.ones((N, T), np.float32)
    nll[name] = per_token.astype(np.float64).mean(1)
    error[name] = nll[name] - nll_full
    kl[name] = np.abs(error[name]) * 1.1 + 0.01 * rng.random(N)
    mse[name] = size * 1e-3 * growth * (norm_h / 20) ** 2 * np.exp(0.1 * rng.normal(size=(N, L)))

# What newer runs hold besides, drawn last so that the numbers above stay what they were.
entropy_t = rng.gamma(2, 1.2, size=(N, T)).astype(np.float32)
arrays["entropy_full"] = entropy_t
text_bytes = 100 * np.ones(N, int)
document = {"entropy": {"full": entropy_t.astype(np.float64).mean(1)},
            "bits_per_byte": {"full": nll_full * T / np.log(2) / text_bytes}}
growth_r = norm_r[:, -1] / norm_r[:, 0]
top8_r = 0.3 + 0.4 / (1 + np.exp(-hardness[:, None] - 0.1 * rng.normal(size=(N, L))))
diff = {}
for k, (name, _) in enumerate(METHODS):
    arrays[f"entropy_{name}"] = (entropy_t * (1.1 + 0.05 * rng.normal(size=(N, T)))).astype(np.float32)
    document["entropy"][name] = arrays[f"entropy_{name}"].astype(np.float64).mean(1)
    document["bits_per_byte"][name] = nll[name] * T / np.log(2) / text_bytes
    size = (0.30, 0.25, 0.06)[k]
    for q in ("diff_r", "diff_attn", "diff_mlp"):
        diff[f"{q}_{name}"] = size * (1 + layers / L) * np.exp(0.2 * hardness[:, None] + 0.1 * rng.normal(size=(N, L)))

ids_of = lambda i: "=HYPERLINK(1)" if i == 0 else f"doc-{i}"
topics = ["Science & Tech.", "<b>Food</b>", "", "Literature, \"quoted\""]
with_layers = {"norm_r": norm_r, "norm_z": norm_z, "norm_h": norm_h, "kurtosis_r": kurtosis_r, "kurtosis_h": kurtosis_h,
               "top8_r": top8_r} | {f"mse_{m}": mse[m] for m, _ in METHODS} | diff
names = ["example", "id", "topic", "tokens", "bytes", "nll_full"] + [f"{q}_{m}" for q in ("nll", "error", "kl", "same_top") for m, _ in METHODS]
names += [f"{q}_{v}" for q in document for v in document[q]] + ["growth_r"] + [f"{q}_l{k}" for q in with_layers for k in range(L)]
folder.mkdir(exist_ok=True)
undefined = (5, 2)  # document, layer whose kurtosis of r does not exist
with open(folder / "examples.csv", "w", newline="", encoding="utf-8") as file:
    out = csv.writer(file, lineterminator="\n")
    out.writerow(names)
    for i in range(N):
        row = [2 * i, ("'" if i == 0 else "") + ids_of(i), topics[i % 4], TOKENS, text_bytes[i], repr(float(nll_full[i]))]
        for table in (nll, error, kl):
            row += [repr(float(table[m][i])) for m, _ in METHODS]
        row += [repr(float((arrays[f"top_{m}"][i] == top_full[i]).mean())) for m, _ in METHODS]
        row += [repr(float(values[i])) for q in document.values() for values in q.values()] + [repr(float(growth_r[i]))]
        for q, values in with_layers.items():
            row += ["" if q == "kurtosis_r" and (i, k) == undefined else repr(float(values[i, k])) for k in range(L)]
        out.writerow(row)

used = np.unique(np.concatenate([a.ravel() for n, a in arrays.items() if n == "ids" or n.startswith("top_")]))
pieces = [vocabulary[i // 3] for i in used]
arrays["token_ids"] = used.astype(np.int32)
arrays["token_offsets"] = np.concatenate([[0], np.cumsum([len(p) for p in pieces])]).astype(np.int64)
arrays["token_bytes"] = np.frombuffer(b"".join(pieces), np.uint8)
np.savez(folder / "tokens.npz", **arrays)
OF = {"full": "full model", "methods": "each method", "all": "each variant"}
declared = [("nll", "document", "all"), ("error", "document", "methods"), ("kl", "document", "methods"), ("same_top", "document", "methods"),
            ("entropy", "document", "all"), ("bits_per_byte", "document", "all"), ("growth_r", "document", "full"),
            *[(q, "layer", "full") for q in ("norm_r", "norm_z", "norm_h", "kurtosis_r", "kurtosis_h", "top8_r")],
            *[(q, "layer", "methods") for q in ("mse", "diff_r", "diff_attn", "diff_mlp")],
            ("nll", "position", "all"), ("kl", "position", "methods"), ("top", "position", "all"), ("margin", "position", "all"),
            ("entropy", "position", "all")]
columns = [{"name": n, "per": p, "of": OF[o], "unit": "", "meaning": ""} | ({"token_ids": True} if n == "top" else {})
           for n, p, o in declared]
manifest = {"bitlens": "0.1.0", "seed": 1, "first_position": False, "full": "GGUF, Q4_1 and F32", "tokens": TOKENS,
            "methods": [{"name": n, "spec": s} for n, s in METHODS], "examples": "all", "overrides": None, "columns": columns,
            "model": {"architecture": "llama", "layers": L, "files": [{"name": "<model>.gguf", "sha256": "00ff"}]}}
(folder / "manifest.json").write_text(json.dumps(manifest, indent=2) + "\n")
if expected_path == "-":
    sys.exit()


def grams(row):
    return {tuple(row[j : j + 5]) for j in range(len(row) - 4)}


def jaccard(a, b):
    return len(a & b) / len(a | b)


def sets_of(e):
    ranked = sorted(range(N), key=lambda i: -e[i])
    large = []
    for i in ranked[: N - N // 2]:
        if len(large) < N // 10 and all(jaccard(grams(ids[i]), grams(ids[j])) <= 0.1 for j in large):
            large.append(i)
    return ranked[: N // 10], large


expected = {"methods": {}, "pairs": {}}
for name, _ in METHODS:
    e = error[name]
    worst, large = sets_of(e)
    expected["methods"][name] = {
        "mean_error": float(e.mean()),
        "standard_error": float(e.std(ddof=1) / np.sqrt(N)),
        "median_error": float(np.median(e)),
        "largest_error": float(e.max()),
        "perplexity": float(np.exp(nll[name].mean())),
        "perplexity_full": float(np.exp(nll_full.mean())),
        "perplexity_full_large": float(np.exp(nll_full[large].mean())),
        "worst": worst,
        "large": large,
        "error_large": float(e[large].mean()),
        "kl_pearson": float(scipy.stats.pearsonr(e, kl[name])[0]),
        "r": [float(scipy.stats.pearsonr(norm_r[:, k], e)[0]) for k in range(L)],
        "z": [float(scipy.stats.pearsonr(norm_z[:, k], e)[0]) for k in range(L)],
        "h": [float(scipy.stats.pearsonr(norm_h[:, k], e)[0]) for k in range(L)],
        "spearman_r": float(scipy.stats.spearmanr(norm_r[:, -1], e)[0]),
        "mse": [float(scipy.stats.pearsonr(norm_h[:, k], mse[name][:, k])[0]) for k in range(L)],
        "mean_mse": [float(x) for x in mse[name].mean(0)],
        "norm_r_large": [float(x) for x in norm_r[large].mean(0)],
        "kurtosis_r_large": [float(np.mean([kurtosis_r[i, k] for i in large if (i, k) != undefined])) for k in range(L)],
    }
for (a, _), (b, _) in combinations(METHODS, 2):
    worst = [set(sets_of(error[m])[0]) for m in (a, b)]
    large = [set(sets_of(error[m])[1]) for m in (a, b)]
    expected["pairs"][f"{a} {b}"] = {
        "pearson": float(scipy.stats.pearsonr(error[a], error[b])[0]),
        "spearman": float(scipy.stats.spearmanr(error[a], error[b])[0]),
        "jaccard_worst": jaccard(*worst),
        "jaccard_large": jaccard(*large),
    }
Path(expected_path).write_text(json.dumps(expected, indent=1) + "\n")
