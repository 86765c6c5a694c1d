"""Golden values for src/sequential.rs: confidence sequences by betting, from confseq.

    pip install numpy==2.4.6 scipy==1.17.1 matplotlib multiprocess==0.70.19
    pip download confseq==0.0.11 --no-deps --no-binary :all: && tar xzf confseq-0.0.11.tar.gz
    PYTHONPATH=confseq-0.0.11/src python sequential.py     # writes sequential.json beside this file

confseq's `betting_cs` tries the means of a grid, so its ends are true to one step of it. It is called with the
truncation of src/sequential.rs (3/4 instead of 1/2) and the intersection over all times so far. Its compiled part is not
needed here, so it need not be built.
"""

import json
from pathlib import Path

import numpy as np

np.float_ = np.float64  # confseq 0.0.11 was written for NumPy 1
from confseq.betting import betting_cs
from confseq.betting_strategies import lambda_predmix_eb

random = np.random.default_rng(3)
BREAKS = 2000
laws = {
    "near .95": lambda n: random.uniform(0.9, 1, n),
    "uniform": lambda n: random.uniform(0, 1, n),
    "coin of .1": lambda n: (random.uniform(0, 1, n) < 0.1).astype(float),
    "two networks": lambda n: np.where(random.uniform(0, 1, n) < 0.5, 0.2, 0.9),
    "constant": lambda n: np.full(n, 0.3),
    "zeros": lambda n: np.zeros(n),
}
cases = []
for name, draw in laws.items():
    for alpha in (0.05, 0.2):
        x = draw(60).round(4)
        low, high = betting_cs(x, alpha=alpha, breaks=BREAKS, running_intersection=True, trunc_scale=3 / 4)
        cases.append({
            "name": name,
            "alpha": alpha,
            "values": x.tolist(),
            "intervals": [[n, low[n - 1], high[n - 1]] for n in (5, 20, 60)],
            "bets": lambda_predmix_eb(x, alpha=alpha / 2).tolist(),
        })
golden = {"grid": 1 / BREAKS, "cases": cases}
Path(__file__).with_name("sequential.json").write_text(json.dumps(golden) + "\n")
