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

class Generator:
    """xoshiro256**, seeded by splitmix64, as core/random.hpp has it."""
    M = 2**64 - 1

    def __init__(self, seed):
        self.state = []
        for _ in range(4):
            seed = (seed + 0x9E3779B97F4A7C15) & self.M
            z = ((seed ^ (seed >> 30)) * 0xBF58476D1CE4E5B9) & self.M
            z = ((z ^ (z >> 27)) * 0x94D049BB133111EB) & self.M
            self.state.append(z ^ (z >> 31))

    def __call__(self):
        rotl = lambda x, k: ((x << k) | (x >> (64 - k))) & self.M
        s = self.state
        result = (rotl((s[1] * 5) & self.M, 7) * 9) & self.M
        t = (s[1] << 17) & self.M
        s[2] ^= s[0]
        s[3] ^= s[1]
        s[1] ^= s[2]
        s[0] ^= s[3]
        s[2] ^= t
        s[3] = rotl(s[3], 45)
        return result

    def below(self, n):
        while True:
            x = self()
            if x >= (2**64 - n) % n:
                return x % n


SEED = manifest["seed"]
pearson_of = lambda x, y: float(scipy.stats.pearsonr(x, y)[0])
spearman_of = lambda x, y: float(scipy.stats.spearmanr(x, y)[0])


def defined(x, y):
    both = np.flatnonzero(~np.isnan(x) & ~np.isnan(y))
    return both, x[both], y[both]


def correlations(x, y):
    _, x, y = defined(x, y)
    if len(x) < 3 or np.ptp(x) == 0:
        return None, None
    return spearman_of(x, y), pearson_of(x, y)


def leave_one_out(x, y):
    return [pearson_of(np.delete(x, i), np.delete(y, i)) for i in range(len(x))]


def robust(x, y):
    """Without a twentieth of the pairs, each time the one whose leaving out changes Pearson's r of the rest most."""
    rest, x, y = defined(x, y)
    influence, left_out = [w - pearson_of(x, y) for w in leave_one_out(x, y)], []
    for _ in range(max(1, len(x) // 20)):
        most = int(np.argmax(np.abs(np.array(leave_one_out(x, y)) - pearson_of(x, y))))
        left_out.append(int(rest[most]))
        rest, x, y = (np.delete(a, most) for a in (rest, x, y))
    return {"influence": influence, "left_out": left_out, "pearson_without": pearson_of(x, y), "spearman_without": spearman_of(x, y)}


def strongest(rhos):
    return max(range(len(rhos)), key=lambda k: -1 if rhos[k] is None else abs(rhos[k]))


shuffled = list(range(N))
random = Generator(SEED)
for i in range(N):
    j = i + random.below(N - i)
    shuffled[i], shuffled[j] = shuffled[j], shuffled[i]
choosing, testing = sorted(shuffled[: N // 2]), sorted(shuffled[N // 2 :])
random = Generator(SEED)
resamples = [[random.below(len(testing)) for _ in testing] for _ in range(1000)]
kurtosis_r[undefined] = np.nan
of_document = {"nll_full": nll_full, "entropy_full": document["entropy"]["full"],
               "bits_per_byte_full": document["bits_per_byte"]["full"], "growth_r": growth_r, "bytes_per_token": text_bytes / T}
recorded = {q: x[:, None] for q, x in of_document.items()} | {
    "norm_r": norm_r, "norm_z": norm_z, "norm_h": norm_h, "kurtosis_r": kurtosis_r, "kurtosis_h": kurtosis_h, "top8_r": top8_r}
expected["halves"] = {"choosing": choosing, "testing": testing}
for name, _ in METHODS:
    e, found = error[name], {}
    for q, values in recorded.items():
        every = [correlations(x, e) for x in values.T]
        half = [correlations(x[choosing], e[choosing])[0] if len(defined(x[choosing], e[choosing])[0]) >= 20 else None
                for x in values.T]
        layer, naive = strongest(half), strongest([s for s, _ in every])
        found[q] = {"layer": layer, "chosen_by": half[layer], "spearman": [s for s, _ in every], "pearson": [p for _, p in every],
                    "naive_layer": naive, "tested": correlations(values[testing, layer], e[testing])}
    best = max(found, key=lambda q: abs(found[q]["chosen_by"] or 0))
    x, y = recorded[best][testing, found[best]["layer"]], e[testing]
    found["best"] = best
    for kind, statistic in (("spearman", spearman_of), ("pearson", pearson_of)):
        found[f"best_{kind}_interval"] = [float(v) for v in np.quantile([statistic(x[r], y[r]) for r in resamples], [0.025, 0.975])]
    found["best_robust"] = robust(x, y)
    expected["methods"][name]["foretold"] = found
for (a, _), (b, _) in combinations(METHODS, 2):
    expected["pairs"][f"{a} {b}"]["robust"] = robust(error[a], error[b])

named = [i for i in range(N) if topics[i % 4]]
topic_names = sorted({topics[i % 4] for i in named}, key=lambda t: (-sum(topics[i % 4] == t for i in named), t.encode()))
group = np.array([topic_names.index(topics[i % 4]) for i in named])
for name, _ in METHODS:
    e = error[name][named]
    large = [i for i in sets_of(error[name])[1] if topics[i % 4]]
    per_topic = {}
    for t, topic in enumerate(topic_names):
        count, common = int((group == t).sum()), sum(topics[i % 4] == topic for i in large)
        drawn = scipy.stats.hypergeom(len(named), count, len(large))
        per_topic[topic] = {"documents": count, "large": common, "mean_error": float(e[group == t].mean()),
                            "share_large": common / len(large),
                            "chance": min(1.0, float(2 * min(drawn.sf(common - 1), drawn.cdf(common))))}
    h = lambda g: float(scipy.stats.kruskal(*(e[g == t] for t in range(len(topic_names))))[0])
    of, random, as_large = group.copy(), Generator(SEED), 1
    for _ in range(1000):
        for i in range(len(of), 1, -1):
            j = random.below(i)
            of[i - 1], of[j] = of[j], of[i - 1]
        as_large += h(of) >= h(group) * (1 - 1e-9)
    expected["methods"][name] |= {"topics": per_topic, "topics_h": h(group), "topics_chance": as_large / 1001}
    profile = np.quantile(diff[f"diff_r_{name}"], [0.25, 0.5, 0.75], axis=0)
    above = diff[f"diff_r_{name}"] > profile[2]
    expected["methods"][name] |= {"diff_r_quartiles": profile.tolist(), "parts_at": [
        None if not row[-1] else next(k for k in range(L) if row[k:].all()) for row in above]}
percentiles = {q: (100 * (scipy.stats.rankdata(x[:, -1]) - 0.5) / N).tolist() for q, x in recorded.items()}
expected["percentiles"] = {q: p for q, p in percentiles.items() if q in ("nll_full", "norm_r", "bytes_per_token")}

# Margins of a method that shrinks them; multiples of 1/64, which float32 holds. One is not a number, one infinite.
full = np.round(64 * rng.gamma(1.5, 1.2, size=(24, 10))) / 64
method = np.round(64 * ((0.8 + 0.2 * rng.random((24, 1))) * full - 0.1 + 0.6 * rng.normal(size=full.shape))) / 64
full[3, 2], method[5, 7] = np.nan, np.inf
finite = np.isfinite(full) & np.isfinite(method)
fit = scipy.stats.linregress(full[finite], method[finite])
line = fit.intercept + fit.slope * full[finite]
residual = float(np.sqrt(((method[finite] - line) ** 2).sum() / (finite.sum() - 2)))
writable = lambda a: [[float(x) if np.isfinite(x) else None for x in row] for row in a]
expected["margins"] = {
    "full": writable(full), "method": writable(method), "positions": int(finite.sum()), "intercept": float(fit.intercept),
    "slope": float(fit.slope), "residual": residual, "explained": float(fit.rvalue**2),
    "predicted_flips": float(scipy.stats.norm.cdf(-line / residual).mean()), "observed_flips": float((method[finite] < 0).mean()),
    "slopes": [float(scipy.stats.linregress(full[n][finite[n]], method[n][finite[n]]).slope) for n in range(len(full))]}
Path(expected_path).write_text(json.dumps(expected, indent=1) + "\n")
