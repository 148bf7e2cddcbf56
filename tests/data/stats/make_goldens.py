#!/usr/bin/env python3
"""Writes goldens.txt beside this file: inputs and what numpy and scipy say about them.

Run: python tests/data/stats/make_goldens.py      (made with Python 3.11, numpy 2.4.6, scipy 1.17.1)
Every line is: name, number of values, values (shortest decimals that read back to the same double).
"""
import pathlib
import sys

import numpy as np
import scipy
from scipy import stats

random = np.random.default_rng(20250612)
lines = []


def put(name, values):
    values = np.atleast_1d(np.asarray(values, dtype=np.float64)).ravel()
    lines.append(" ".join([name, str(values.size), *(repr(float(v)) for v in values)]))


# Pairs with heavy tails and ties.
x = np.round(random.standard_t(3, 301), 2)
y = np.round(0.6 * x + random.standard_normal(301), 1)
put("x", x)
put("y", y)
put("mean_x", x.mean())
put("variance_x", x.var())
put("kurtosis_x", stats.kurtosis(x, fisher=False))
put("pearson", stats.pearsonr(x, y).statistic)
put("spearman", stats.spearmanr(x, y).statistic)
put("ranks_y", stats.rankdata(y))
put("quantile_at", [0, 0.025, 0.25, 0.5, 0.777, 1])
put("quantile_x", np.quantile(x, [0, 0.025, 0.25, 0.5, 0.777, 1]))

# Histogram and density.
edges = np.array([-3.0, -1.0, -0.5, 0.25, 1.0, 4.0])
put("edges", edges)
put("histogram_x", np.histogram(x, edges)[0])
iqr = np.subtract(*np.quantile(x, [0.75, 0.25]))
bandwidth = 0.9 * min(x.std(ddof=1), iqr / 1.34) * len(x) ** -0.2
at = np.linspace(-5, 5, 17)
put("bandwidth_x", bandwidth)
put("density_at", at)
put("density_x", stats.gaussian_kde(x, bw_method=bandwidth / x.std(ddof=1))(at))

# Activations (T, d) = (5, 67) with one massive token, exact in float32.
r = (random.standard_normal((5, 67)) * np.array([80.0, 1, 2, 1, 0.5])[:, None]).astype(np.float32)
r[0, 7] = 3000
r64 = r.astype(np.float64)
other = (r64 + random.standard_normal(r.shape) * 0.1).astype(np.float32)
put("r", r)
put("other", other)
put("row_norms", np.linalg.norm(r64, axis=1))
put("mean_squared_difference", ((r64 - other.astype(np.float64)) ** 2).mean())
put("kurtosis_per_token", stats.kurtosis(r64, axis=1, fisher=False).mean())
put("kurtosis_flat", stats.kurtosis(r64.ravel(), fisher=False))
flat = r64.ravel()
put("kurtosis_llmc", (((flat - flat.mean()) / (flat.std(ddof=1) + 1e-8)) ** 4).mean())

pathlib.Path(__file__).with_name("goldens.txt").write_text("\n".join(lines) + "\n")
print("python", sys.version.split()[0], "numpy", np.__version__, "scipy", scipy.__version__)
