"""Every number of a run a second time, by numpy, and how far the two are apart.

    python run_with_numpy.py RUN [--command BITLENS --model PATH [--documents N]]

Columns of documents from the positions of tokens.npz, and the tables of summary.json from examples.csv and the ids. With a
model, columns of layers from what `bitlens probe` says of the first N documents. Prints the largest relative difference of
each column and table; fails beyond 1e-9, or 2e-6 where numbers were stored as float32. Intervals are not recomputed.
"""

import argparse
import csv
import json
import pathlib
import re
import subprocess
import sys
import tempfile

import numpy as np

EXACT, FLOAT32 = 1e-9, 2e-6


class Comparison:
    """Largest differences by name."""

    def __init__(self):
        self.failed = 0
        self.compared = 0

    def __call__(self, name, found, expected, tolerance=EXACT):
        found, expected = np.asarray(found, dtype=float), np.asarray(expected, dtype=float)
        assert found.shape == expected.shape, f"{name}: {found.shape} numbers, expected {expected.shape}"
        expected = np.where(np.isfinite(expected), expected, np.nan)  # what is not finite is not defined
        both = ~np.isnan(found) & ~np.isnan(expected)
        away = np.abs(found[both] - expected[both]) / np.maximum(np.abs(expected[both]), 1e-3)
        largest = away.max(initial=0.0)
        good = largest <= tolerance and np.array_equal(np.isnan(found), np.isnan(expected)) and found.size > 0
        self.compared += found.size
        self.failed += not good
        print(f"{'ok  ' if good else 'FAIL'} {name}: {found.size} numbers, {both.sum()} defined, {largest:.1e}")


class Run:
    def __init__(self, folder):
        self.manifest = json.loads((folder / "manifest.json").read_text())
        self.tables = json.loads((folder / "summary.json").read_text())["tables"]
        self.tokens = np.load(folder / "tokens.npz")
        with open(folder / "examples.csv", newline="") as file:
            rows = list(csv.DictReader(file))
        kept = self.manifest.get("keep", [])
        texts = {"id", "topic", *kept, *("'" + key for key in kept)}
        self.columns = {
            name: np.array([float(row[name]) if row[name] else np.nan for row in rows]) for name in rows[0] if name not in texts
        }
        self.methods = [m["name"] for m in self.manifest["methods"]]
        self.family = {m["name"]: re.split("[-0-9:/]", m["spec"])[0] for m in self.manifest["methods"]}
        self.first = 0 if self.manifest["first_position"] else 1
        self.layers = sum(name.startswith("norm_r_l") for name in self.columns)

    def __getitem__(self, name):
        return self.columns[name]

    def of_layers(self, name):
        return np.stack([self[f"{name}_l{k}"] for k in range(self.layers)])  # (L, N)


# Columns of documents.


def check_documents(run, compare):
    scored = run.tokens["nll_full"].shape[1]
    for m in ["full", *run.methods]:
        mean = lambda column: run.tokens[f"{column}_{m}"].astype(float).mean(axis=1)
        with np.errstate(invalid="ignore", over="ignore"):
            compare(f"nll_{m}", run[f"nll_{m}"], mean("nll"), FLOAT32)
            compare(f"entropy_{m}", run[f"entropy_{m}"], mean("entropy"), FLOAT32)
            compare(f"bits_per_byte_{m}", run[f"bits_per_byte_{m}"], run[f"nll_{m}"] * scored / (np.log(2) * run["bytes"]))
            if m == "full":
                continue
            compare(f"kl_{m}", run[f"kl_{m}"], mean("kl"), FLOAT32)
        compare(f"error_{m}", run[f"error_{m}"], run[f"nll_{m}"] - run["nll_full"])
        same = (run.tokens[f"top_{m}"] == run.tokens["top_full"]).mean(axis=1)
        compare(f"same_top_{m}", run[f"same_top_{m}"], same)
    norms = run.of_layers("norm_r")
    compare("growth_r", run["growth_r"], norms[-1] / norms[0])


# The statistics of tables. NaN: no number.


def pearson(x, y):
    both = ~np.isnan(x) & ~np.isnan(y)
    x, y = x[both], y[both]
    if len(x) < 3 or np.ptp(x) == 0 or np.ptp(y) == 0:
        return np.nan
    x, y = x - x.mean(), y - y.mean()
    return (x / np.linalg.norm(x)) @ (y / np.linalg.norm(y))


def ranks(x):
    return np.array([(x < v).sum() + ((x == v).sum() + 1) / 2 for v in x])


def spearman(x, y):
    both = ~np.isnan(x) & ~np.isnan(y)
    return pearson(ranks(x[both]), ranks(y[both]))


def mean_of(x):
    x = x[~np.isnan(x)]
    return x.mean() if len(x) else np.nan


def jaccard(a, b):
    return len(set(a) & set(b)) / len(set(a) | set(b)) if len(a) and len(b) else np.nan


def draw(items, count, seed):
    """xoshiro256** seeded by splitmix64, and the first `count` of a shuffle."""
    mask = 2**64 - 1
    state = []
    for _ in range(4):
        seed = (seed + 0x9E3779B97F4A7C15) & mask
        z = (seed ^ seed >> 30) * 0xBF58476D1CE4E5B9 & mask
        z = (z ^ z >> 27) * 0x94D049BB133111EB & mask
        state.append(z ^ z >> 31)
    rotated = lambda x, n: (x << n | x >> 64 - n) & mask

    def random():
        result = rotated(state[1] * 5 & mask, 7) * 9 & mask
        t = state[1] << 17 & mask
        state[2] ^= state[0]
        state[3] ^= state[1]
        state[1] ^= state[2]
        state[0] ^= state[3]
        state[2] ^= t
        state[3] = rotated(state[3], 45)
        return result

    pool = list(items)
    for i in range(count):
        n = len(pool) - i
        x = random()
        while x < 2**64 % n:
            x = random()
        pool[i], pool[i + x % n] = pool[i + x % n], pool[i]
    return pool[:count]


def error_sets(error, ids, seed):
    """The worst tenth, D_large and D_ctrl."""
    ranked = [i for i in np.argsort(-error, kind="stable") if not np.isnan(error[i])]
    tenth, upper = len(ranked) // 10, len(ranked) - len(ranked) // 2
    if tenth == 0 or error[ranked[tenth - 1]] == error[ranked[upper]]:
        return [], [], []
    grams = {}
    large = []
    for i in ranked[:upper]:
        if len(large) == tenth:
            break
        row = ids[i].tolist()
        grams[i] = {tuple(row[t : t + 5]) for t in range(max(1, len(row) - 4))}
        if all(len(grams[i] & grams[k]) <= 0.1 * len(grams[i] | grams[k]) for k in large):
            large.append(i)
    return ranked[:tenth], large, draw(ranked[upper:], len(large), seed)


def check_tables(run, compare):
    seed, count = run.manifest["seed"], len(run["nll_full"])
    error = {m: run[f"error_{m}"] for m in run.methods}
    sets = {m: error_sets(error[m], run.tokens["ids"], seed) for m in run.methods}
    over = lambda x, chosen: mean_of(x[chosen]) if len(chosen) else np.nan
    r, z, h = (run.of_layers(f"norm_{point}") for point in "rzh")
    kr, kh = (run.of_layers(f"kurtosis_{point}") for point in "rh")

    def methods(row):
        m = row["method"]
        e = error[m][~np.isnan(error[m])]
        return {
            "mean_error": e.mean(),
            "standard_error": e.std(ddof=1) / np.sqrt(len(e)),
            "median_error": np.median(e),
            "largest_error": e.max(),
            "perplexity_full": np.exp(mean_of(run["nll_full"])),
            "perplexity": np.exp(mean_of(run[f"nll_{m}"])),
            "mean_kl": mean_of(run[f"kl_{m}"]),
            "same_top": mean_of(run[f"same_top_{m}"]),
        }

    def method_correlation(row):
        a, b = row["first"], row["second"]
        assert row["families"] == ("same" if run.family[a] == run.family[b] else "different"), row
        return {"pearson": pearson(error[a], error[b]), "spearman": spearman(error[a], error[b])}

    def kl_correlation(row):
        m = row["method"]
        return {"pearson": pearson(error[m], run[f"kl_{m}"]), "spearman": spearman(error[m], run[f"kl_{m}"])}

    def error_sets_table(row):
        m = row["method"]
        worst, large, ctrl = sets[m]
        full, own = run["nll_full"], run[f"nll_{m}"]
        return {
            "tenth": len(worst),
            "large": len(large),
            "ctrl": len(ctrl),
            "error_large": over(error[m], large),
            "error_ctrl": over(error[m], ctrl),
            "perplexity_full_large": np.exp(over(full, large)),
            "perplexity_full_ctrl": np.exp(over(full, ctrl)),
            "perplexity_full_all": np.exp(mean_of(full)),
            "perplexity_large": np.exp(over(own, large)),
            "perplexity_ctrl": np.exp(over(own, ctrl)),
        }

    def overlap(row):
        a, b = sets[row["first"]], sets[row["second"]]
        common = len(a[0]) * len(b[0]) / count
        chance = common / (len(a[0]) + len(b[0]) - common) if common else np.nan
        return {"jaccard_worst": jaccard(a[0], b[0]), "chance": chance, "jaccard_large": jaccard(a[1], b[1])}

    def last_layer(row):
        e = error[row["method"]]
        return {
            "pearson_r": pearson(r[-1], e),
            "spearman_r": spearman(r[-1], e),
            "pearson_z": pearson(z[-1], e),
            "pearson_h": pearson(h[-1], e),
        }

    def layer_correlation(row):
        e, k = error[row["method"]], row["layer"]
        return {"pearson_r": pearson(r[k], e), "pearson_z": pearson(z[k], e), "pearson_h": pearson(h[k], e)}

    def set_means(row):
        _, large, ctrl = sets[row["method"]]
        numbers = {}
        for name, column in {"norm_r": r, "norm_h": h, "kurtosis_r": kr, "kurtosis_h": kh}.items():
            numbers[f"{name}_large"] = over(column[row["layer"]], large)
            numbers[f"{name}_ctrl"] = over(column[row["layer"]], ctrl)
        return numbers

    def mlp_error(row):
        mse, k = run[f"mse_{row['method']}_l{row['layer']}"], row["layer"]
        return {"mean_mse": mean_of(mse), "pearson_norm_h": pearson(h[k], mse)}

    expected = {
        "methods": methods,
        "method_correlation": method_correlation,
        "kl_correlation": kl_correlation,
        "error_sets": error_sets_table,
        "overlap": overlap,
        "last_layer": last_layer,
        "layer_correlation": layer_correlation,
        "set_means": set_means,
        "mlp_error": mlp_error,
    }
    rows_of = {name: len(run.methods) for name in ("methods", "kl_correlation", "error_sets", "last_layer")}
    rows_of |= {name: len(run.methods) * (len(run.methods) - 1) // 2 for name in ("method_correlation", "overlap")}
    rows_of |= {name: len(run.methods) * run.layers for name in ("layer_correlation", "set_means", "mlp_error")}
    for name, numbers_of in expected.items():
        found, wanted = [], []
        rows = run.tables[name]["rows"]
        assert len(rows) == rows_of[name], f"{name}: {len(rows)} rows, expected {rows_of[name]}"
        for row in rows:
            for key, number in numbers_of(row).items():
                found.append(np.nan if isinstance(row[key], dict) else row[key])
                wanted.append(number)
        if rows:
            compare(f"table {name}", found, wanted)
    print("not recomputed:", ", ".join(name for name in run.tables if name not in expected) or "nothing")


# Columns of layers, from the states themselves.


def check_layers(run, compare, command, model, documents):
    points = ["resid_mid", "resid_post", "mlp_in", "attn_out", "mlp_out"]
    some = slice(0, documents)

    def probe(folder, method):
        out = folder / "states.npz"
        subprocess.run(
            [command, "probe", "--model", model, "--data", folder / "ids.npy", "--method", method]
            + ["--points", ",".join(points), "--out", out],
            check=True,
            stdout=subprocess.DEVNULL,
        )
        return np.load(out)

    def kurtosis(x):
        x = x - x.mean(axis=-1, keepdims=True)
        return ((x**4).mean(axis=-1) / (x**2).mean(axis=-1) ** 2).mean(axis=-1)

    norm = lambda x: np.sqrt((x**2).sum(axis=-1))
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        np.save(folder / "ids.npy", run.tokens["ids"][some])
        full = {key: states[:, run.first :].astype(float) for key, states in probe(folder, "full").items()}
        expected = {name: [] for name in ("norm_r", "norm_z", "norm_h", "kurtosis_r", "kurtosis_h", "top8_r")}
        for k in range(run.layers):
            r, z, h = full[f"resid_mid_l{k}"], full[f"resid_post_l{k}"], full[f"mlp_in_l{k}"]
            expected["norm_r"].append(norm(r).mean(axis=1))
            expected["norm_z"].append(norm(z).mean(axis=1))
            expected["norm_h"].append(norm(h).mean(axis=1))
            expected["kurtosis_r"].append(kurtosis(r))
            expected["kurtosis_h"].append(kurtosis(h))
            expected["top8_r"].append((np.sort(r**2)[..., -8:].sum(axis=-1) / (r**2).sum(axis=-1)).mean(axis=1))
        for column, numbers in expected.items():
            compare(column, run.of_layers(column)[:, some], numbers)
        for method in run.manifest["methods"]:
            own = probe(folder, method["spec"])
            columns = {f"{kind}_{method['name']}": [] for kind in ("mse", "diff_r", "diff_attn", "diff_mlp")}
            mse, *relative = columns.values()
            for k in range(run.layers):
                for numbers, point in zip(relative, ("resid_mid", "attn_out", "mlp_out")):
                    states = full[f"{point}_l{k}"]
                    away = own[f"{point}_l{k}"][:, run.first :].astype(float) - states
                    numbers.append((norm(away) / norm(states)).mean(axis=1))
                mse.append((away**2).mean(axis=(1, 2)))  # of the last point, mlp_out
            for column, numbers in columns.items():
                compare(column, run.of_layers(column)[:, some], numbers)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=pathlib.Path)
    parser.add_argument("--command", type=pathlib.Path)
    parser.add_argument("--model", type=pathlib.Path)
    parser.add_argument("--documents", type=int, default=2)
    a = parser.parse_args()
    run, compare = Run(a.run), Comparison()
    check_documents(run, compare)
    check_tables(run, compare)
    if a.model:
        check_layers(run, compare, a.command, a.model, a.documents)
    print(f"{compare.compared} numbers, {compare.failed} columns and tables differ")
    sys.exit(compare.failed > 0)


if __name__ == "__main__":
    main()
