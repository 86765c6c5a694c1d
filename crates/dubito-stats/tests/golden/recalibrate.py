"""Golden values for tests/recalibrate.rs, from libraries that share no code with this crate.

    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 netcal==1.4.0 betacal==1.1.0
    python recalibrate.py            # writes recalibrate.json beside this file

| method | from | checked against, to the precision of its optimiser |
|---|---|---|
| temperature | scipy.optimize.brentq on the derivative of the log loss | netcal's TemperatureScaling |
| Platt | scipy.optimize.root on the gradient, with Platt's targets | scikit-learn's sigmoid calibration |
| beta | the same, at the edge of a, b >= 0 with the Karush-Kuhn-Tucker conditions | betacal |
| isotonic | scikit-learn's IsotonicRegression | |
| histogram | NumPy | netcal's HistogramBinning |
"""

import json
import warnings
from pathlib import Path

import numpy as np
from betacal import BetaCalibration
from netcal.binning import HistogramBinning
from netcal.scaling import TemperatureScaling
from scipy.optimize import brentq, root
from scipy.special import expit, log_softmax, softmax
from sklearn.calibration import _SigmoidCalibration
from sklearn.isotonic import IsotonicRegression

warnings.filterwarnings("ignore")
rng = np.random.default_rng(7)
EPS = np.finfo(float).eps
GRID = np.array([0, 1e-9, 0.01, 1 / 15, 0.2, 0.31, 0.5, 0.6, 0.77, 0.9, 14 / 15, 0.999, 1])


def logs(p):
    return np.log(np.maximum(p, EPS)), np.log(np.maximum(1 - p, EPS))


def temperature(probs, labels):
    z = np.log(np.maximum(probs, EPS))

    def derivative(s):
        return ((softmax(s * z, axis=1) * z).sum(1) - z[np.arange(len(labels)), labels]).sum()

    return 1 / brentq(derivative, 1e-2, 1e2, xtol=1e-15, rtol=1e-14)


def logistic(x, target, start):
    """Where the gradient of the log loss is 0."""
    gradient = lambda w: x.T @ (expit(x @ w) - target)
    hessian = lambda w: (x * (expit(x @ w) * (1 - expit(x @ w)))[:, None]).T @ x
    found = root(gradient, start, jac=hessian, method="hybr", options={"xtol": 1e-13})
    assert np.abs(gradient(found.x)).max() < 1e-6, gradient(found.x)
    assert np.abs(found.x).max() < 100, "told apart without an error"
    return found.x


def platt(p, y, grid):
    a, b = logs(p)
    x = np.stack([a - b, np.ones_like(p)], 1)
    hits, others = y.sum(), (1 - y).sum()
    target = np.where(y == 1, (hits + 1) / (hits + 2), 1 / (others + 2))
    w = logistic(x, target, np.array([1.0, 0.0]))
    ga, gb = logs(grid)
    ours = expit((ga - gb) * w[0] + w[1])
    theirs = _SigmoidCalibration().fit(a - b, y).predict(ga - gb)
    assert np.abs(ours - theirs).max() < 1e-3, (ours, theirs)
    return ours


def beta(p, y, grid):
    a, b = logs(p)
    x = np.stack([a, -b, np.ones_like(p)], 1)
    try:
        full = logistic(x, y, np.array([1.0, 1.0, 0.0]))
    except AssertionError:  # few items may be told apart by a curve that is not allowed
        full = np.full(3, -1.0)
    if full[0] < 0 or full[1] < 0:
        for drop in (0, 1):
            keep = [k for k in range(3) if k != drop]
            part = logistic(x[:, keep], y, np.array([0.5, 0.0]))
            full = np.insert(part, drop, 0.0)
            outward = x[:, drop] @ (expit(x @ full) - y)
            if full.min(initial=0, where=[True, True, False]) >= 0 and outward >= 0:
                break
        else:
            raise AssertionError("no corner satisfies the conditions")
    ga, gb = logs(grid)
    ours = expit(full[0] * ga - full[1] * gb + full[2])
    theirs = BetaCalibration("abm").fit(p, y).predict(np.clip(grid, EPS, 1 - EPS))
    inner = (grid > 0.005) & (grid < 0.995)
    assert np.abs(ours - theirs)[inner].max() < 2e-3, (ours, theirs)
    return ours


def isotonic(p, y, grid):
    return IsotonicRegression(out_of_bounds="clip").fit(p, y).predict(grid)


def histogram(p, y, grid):
    edges = np.linspace(0, 1, 16)
    bin_of = lambda v: np.maximum(np.searchsorted(edges, v, side="left"), 1) - 1
    values = np.array([y[bin_of(p) == b].mean() if (bin_of(p) == b).any() else (b + 0.5) / 15 for b in range(15)])
    on_edge = np.isclose(p * 15, np.round(p * 15)).any()
    if not on_edge and len(set(bin_of(p))) == 15:
        theirs = HistogramBinning(15).fit(p, y).transform(grid)
        inner = ~np.isclose(grid * 15, np.round(grid * 15))
        assert np.abs(values[bin_of(grid)] - theirs)[inner].max() < 1e-9
    return values[bin_of(grid)]


MAPS = {"platt": platt, "beta": beta, "isotonic": isotonic, "histogram": histogram}


def case(name, probs, labels, methods=tuple(MAPS)):
    """What each method makes of a grid of probability vectors."""
    n, classes = probs.shape
    if classes == 2:
        grid = np.stack([1 - GRID, GRID], 1)
    else:
        grid = rng.dirichlet(np.full(classes, 0.7), size=9).round(4)
        grid[:, 0] = 1 - grid[:, 1:].sum(1)
        grid = np.vstack([grid, np.eye(classes)])
    t = temperature(probs, labels)
    want = {"temperature": softmax(np.log(np.maximum(grid, EPS)) / t, axis=1)}
    if classes == 2:
        inner = (GRID > 0.005) & (GRID < 0.995)
        theirs = np.ravel(TemperatureScaling().fit(probs[:, 1], labels).transform(GRID[inner]))
        assert np.abs(theirs - want["temperature"][inner, 1]).max() < 1e-2, (theirs, want["temperature"][inner, 1])
    for method in methods:
        if classes == 2:
            p = MAPS[method](probs[:, 1], (labels == 1).astype(float), grid[:, 1])
            want[method] = np.stack([1 - p, p], 1)
        else:
            each = [MAPS[method](probs[:, k], (labels == k).astype(float), grid[:, k]) for k in range(classes)]
            each = np.stack(each, 1)
            sums = each.sum(1, keepdims=True)
            want[method] = np.where(sums > 0, each / np.where(sums > 0, sums, 1), 1 / classes)
    return {
        "name": name,
        "probs": probs.tolist(),
        "labels": labels.tolist(),
        "temperature": t,
        "grid": grid.tolist(),
        "want": {k: [[float(f"{x:.11g}") for x in row] for row in v] for k, v in want.items()},
    }


def binary(n, sharpness, shift=0.0, digits=4, prior=0.5, skew=0.0):
    """Probabilities that are too sharp (or shifted, or skewed) by known amounts."""
    labels = (rng.random(n) < prior).astype(int)
    logit = rng.normal(size=n) * 1.3 + 1.2 * (2 * labels - 1)
    logit = sharpness * logit + shift + skew * np.abs(logit)
    p = expit(logit).round(digits)
    return np.stack([1 - p, p], 1), labels


def main():
    cases = [
        case("too sure", *binary(150, 2.5)),
        case("too timid and shifted", *binary(120, 0.4, shift=0.8)),
        case("tied", *binary(140, 1.5, digits=1)),
        case("imbalanced", *binary(200, 1.5, prior=0.1)),
        case("skewed", *binary(160, 0.6, skew=0.9)),
        case("few", np.array([[0.9, 0.1], [0.7, 0.3], [0.45, 0.55], [0.6, 0.4], [0.2, 0.8]]), np.array([0, 1, 0, 1, 1])),
    ]
    # The more it says fake above one half, the less it is: an edge of beta calibration.
    p = np.concatenate([rng.uniform(0.02, 0.5, 80), rng.uniform(0.5, 0.98, 80)]).round(4)
    labels = (rng.random(160) < np.where(p < 0.5, 0.1 + 1.4 * p, 0.85 - 0.5 * (p - 0.5))).astype(int)
    cases.append(case("falling above one half", np.stack([1 - p, p], 1), labels))
    labels = rng.integers(0, 3, 150)
    logits = 2.2 * (rng.normal(size=(150, 3)) + 1.2 * np.eye(3)[labels])
    probs = np.exp(log_softmax(logits, axis=1)).round(4)
    probs[:, 0] = 1 - probs[:, 1:].sum(1)
    probs = np.clip(probs, 0, 1)
    cases.append(case("three classes", probs, labels))
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps({"cases": cases}, separators=(",", ":")) + "\n")
    print(f"{path.name}: {len(cases)} cases, {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
