import sys

import numpy as np
import pandas as pd

run = sys.argv[1]
examples = pd.read_csv(f"{run}/examples.csv")
tokens = np.load(f"{run}/tokens.npz")
errors = examples.filter(regex="^error_")  # nats per token, a column per method
print(errors.corr(method="spearman"))
method = errors.columns[0].removeprefix("error_")
loss = tokens[f"nll_{method}"] - tokens["nll_full"]  # (documents, tokens − 1), NaN after the end of a shorter one

assert np.allclose(np.nanmean(loss, axis=1), errors.iloc[:, 0], atol=1e-5)
print(examples.filter(regex=r"^norm_r_l\d+$").corrwith(errors.iloc[:, 0]))  # layer by layer

ids, offsets, text = (tokens[f"token_{name}"] for name in ("ids", "offsets", "bytes"))
pieces = {i: text[a:b].tobytes().decode(errors="replace") for i, a, b in zip(ids, offsets, offsets[1:])}
worst = errors.iloc[:, 0].idxmax()
for t in (-loss[worst]).argsort()[:5]:  # the five tokens that lost most in the worst document
    print(f"{loss[worst, t]:.2f}", repr(pieces[tokens["ids"][worst, t + 1]]), "after", repr(pieces[tokens["ids"][worst, t]]))
