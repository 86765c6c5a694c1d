"""Golden values for tests/decide.rs, from libraries that share no code with this crate or, where no library has
the method, from a plain NumPy implementation of the paper below.

    python -m venv .venv && . .venv/bin/activate
    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 statsmodels==0.15.0 mapie==1.6.0 lir==1.3.1
    pip install --no-deps confidenceinterval==1.0.5
    python decide.py            # writes decide.json beside this file

| what | from |
|---|---|
| unseen: AUROC, average precision, FPR at 95 % TPR | scikit-learn |
| correlations | SciPy; p-values from all pairings (itertools), Kendall's without ties from SciPy's exact method |
| conformal LAC | MAPIE 1.6.0, SplitConformalClassifier, agrees with NumPy wherever it accepts the items |
| conformal APS, randomised APS, Mondrian, per cluster | NumPy from Romano et al. 2020, Sadinle et al. 2019 (MAPIE's APS subtracts its own random numbers) |
| coverage interval | scipy.stats.betabinom |
| learn then test, conformal risk control | NumPy and scipy.stats.binom, recounting at each threshold |
| Clopper-Pearson | scipy.stats.binomtest(...).proportion_ci(method="exact") |
| logistic LR | scikit-learn LogisticRegression without penalty, class_weight="balanced" |
| isotonic LR, Cllr, Cllr_min, ELUB (to its step) | lir 1.3.1 (Apache-2.0) |
| empirical cross-entropy | NumPy from Ramos et al. 2013, with scikit-learn's IsotonicRegression |
| DeLong, Obuchowski | NumPy from the papers, every pair compared; DeLong's variance of one AUROC also from confidenceinterval (MIT) |
| McNemar, Holm | statsmodels; mid-p from scipy.stats.binom |
| cluster-robust difference of accuracies | statsmodels OLS on a constant, cov_type="cluster" |
| smallest detectable difference | scipy.stats.norm |
"""

import itertools
import json
import math
import warnings
from pathlib import Path

import numpy as np
import scipy.stats as st
import statsmodels.api as sm
from confidenceinterval.delong import delong_roc_variance
from lir.algorithms.bayeserror import elub
from lir.algorithms.isotonic_regression import IsotonicCalibrator
from lir.data.models import LLRData
from lir.metrics import cllr, cllr_min
from mapie.classification import SplitConformalClassifier
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.isotonic import IsotonicRegression
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import average_precision_score, roc_auc_score, roc_curve
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20150101)


def binary(n, share, digits, shift=1.0):
    """Two detectors' scores of the same items, rounded to make ties; both classes have two items or more."""
    y = (rng.random(n) < share).astype(int)
    y[:2], y[2:4] = 1, 0
    rng.shuffle(y)
    common = rng.normal(size=n) + shift * y
    a = 1 / (1 + np.exp(-(common + 0.7 * rng.normal(size=n))))
    b = 1 / (1 + np.exp(-(0.6 * common + 0.9 * rng.normal(size=n))))
    return y, a.round(digits), b.round(digits)


CASES = {
    "random": binary(60, 0.5, 4),
    "tied": binary(60, 0.5, 1),
    "imbalanced": binary(80, 0.06, 3),
    "mostly positive": binary(80, 0.95, 2),
    "tiny": binary(4, 0.5, 3),
    "backwards": binary(30, 0.5, 3, shift=-1.5),
    "two values": binary(40, 0.4, 0),
}


# --- unseen ---------------------------------------------------------------------------------------------

def unseen(y, s):
    fpr, tpr, _ = roc_curve(y, s, drop_intermediate=False)
    return {
        "auroc": roc_auc_score(y, s),
        "average_precision": average_precision_score(y, s),
        "fpr_at_95_tpr": fpr[tpr >= 0.95].min(),
    }


def correlations(x, y):
    functions = {
        "pearson": lambda a, b: st.pearsonr(a, b)[0],
        "spearman": lambda a, b: st.spearmanr(a, b)[0],
        "kendall": lambda a, b: st.kendalltau(a, b)[0],
    }
    out = {}
    for name, f in functions.items():
        seen = f(x, y)
        all_ = np.array([f(x, np.array(p)) for p in itertools.permutations(y)])
        p = np.mean(np.abs(all_) >= abs(seen) - 1e-9)
        if name == "kendall" and len(set(x)) == len(x) and len(set(y)) == len(y):
            assert abs(p - st.kendalltau(x, y, method="exact")[1]) < 1e-9
        out[name] = [seen, p]
    return out


CORRELATIONS = []
for n, digits in [(3, 3), (4, 3), (5, 3), (6, 1), (6, 3), (7, 1)]:
    x, y = rng.random(n).round(digits), rng.random(n).round(digits)
    CORRELATIONS.append({"x": x.tolist(), "y": y.tolist(), "want": correlations(x, y)})


# --- conformal ------------------------------------------------------------------------------------------

class Given(ClassifierMixin, BaseEstimator):
    """A classifier whose input is its output."""

    def __init__(self, classes=3):
        self.classes = classes
        self.classes_ = np.arange(classes)

    def fit(self, x, y):
        self.fitted_ = True
        return self

    def predict_proba(self, x):
        return x

    def predict(self, x):
        return x.argmax(1)

    def __sklearn_is_fitted__(self):
        return True


def simplex(n, k, digits):
    logits = rng.normal(size=(n, k)) * 1.5
    p = np.exp(logits)
    p = (p / p.sum(1, keepdims=True)).round(digits)
    p[:, -1] = 1 - p[:, :-1].sum(1)
    p = np.abs(p.round(digits))
    y = np.array([rng.choice(k, p=row / row.sum()) for row in p])
    return p, y


def aps(p, at, label, u):
    return p[at][p[at] >= p[at, label]].sum() - u[at] * p[at, label]


def threshold(scores, alpha):
    k = math.ceil((len(scores) + 1) * (1 - alpha) - 1e-9)
    return np.sort(scores)[k - 1] if k <= len(scores) else math.inf


def conformal(n, m, k, digits, alpha):
    p, y = simplex(n, k, digits)
    q, _ = simplex(m, k, digits)
    lac = 1 - p[np.arange(n), y]
    lac_sets = (1 - q) <= threshold(lac, alpha)
    if n > 1 / alpha:  # MAPIE refuses fewer, although one less has a threshold
        mapie = SplitConformalClassifier(Given(k), confidence_level=1 - alpha, conformity_score="lac", prefit=True)
        mapie.conformalize(p, y)
        assert (mapie.predict_set(q)[1][:, :, 0] == lac_sets).all()
    out = {"probs": p.tolist(), "labels": y.tolist(), "new": q.tolist(), "classes": k, "alpha": alpha}
    out["lac"] = lac_sets.astype(int).tolist()
    zero, zero_new = np.zeros(n), np.zeros(m)
    scores = np.array([aps(p, i, y[i], zero) for i in range(n)])
    out["aps_threshold"] = threshold(scores, alpha) if math.isfinite(threshold(scores, alpha)) else None
    new = np.array([[aps(q, i, c, zero_new) for c in range(k)] for i in range(m)])
    out["aps_scores"] = new.tolist()
    by_label = [threshold(lac[y == c], alpha) for c in range(k)]
    out["lac_by_label"] = [t if math.isfinite(t) else None for t in by_label]
    clusters = np.arange(n) // 3
    worst = np.array([lac[clusters == c].max() for c in range(clusters.max() + 1)])
    t = threshold(worst, alpha)
    out["lac_worst"] = t if math.isfinite(t) else None
    return out


CONFORMAL = [
    conformal(50, 12, 3, 4, 0.1),
    conformal(39, 12, 2, 3, 0.05),
    conformal(29, 12, 4, 2, 0.1),
    conformal(30, 10, 3, 1, 0.2),
    conformal(9, 6, 3, 3, 0.1),
    conformal(8, 6, 3, 3, 0.1),
]
COVERAGE = []
for n, m, alpha, level in [(50, 100, 0.1, 0.95), (19, 7, 0.05, 0.9), (200, 1000, 0.2, 0.99), (1000, 1, 0.1, 0.95)]:
    k = math.ceil((n + 1) * (1 - alpha) - 1e-9)
    d = st.betabinom(m, k, n + 1 - k)
    COVERAGE.append([n, m, alpha, level, d.ppf((1 - level) / 2) / m, d.ppf((1 + level) / 2) / m])


# --- guarantee ------------------------------------------------------------------------------------------

def hb(losses, alpha):
    n, mean = len(losses), np.mean(losses)
    if n == 0 or mean >= alpha:
        return 1.0
    h = (mean * math.log(mean / alpha) if mean > 0 else 0) + (1 - mean) * math.log((1 - mean) / (1 - alpha))
    return min(math.exp(-n * h), math.e * st.binom.cdf(math.ceil(np.sum(losses) - 1e-9), n, alpha), 1)


def losses_at(t, doubt, wrong, clusters):
    """Share wrong of the answered items, of each cluster that has one."""
    out = []
    for c in np.unique(clusters):
        answered = (clusters == c) & (doubt <= t)
        if answered.any():
            out.append(wrong[answered].mean())
    return np.array(out)


def learn_then_test(doubt, wrong, clusters, alpha, delta, grid):
    n = len(np.unique(clusters))
    independent = n == len(doubt)
    fewest = lambda d: math.ceil(math.log(d) / math.log(1 - alpha) - 1e-9)
    if grid is None:
        for count in (4, 3, 2, 1):
            starts = [fewest(delta / count) * 2**j for j in range(count)]
            if starts[-1] <= n or count == 1:
                break
    else:
        starts = [0]
    level, best = delta / len(starts), None
    for start in starts:
        for t in sorted(set(doubt if grid is None else grid)):
            losses = losses_at(t, doubt, wrong, clusters)
            if len(losses) < start:
                continue
            if independent:
                p = st.binom.cdf(round(losses.sum()), len(losses), alpha) if len(losses) else 1.0
            else:
                p = hb(losses, alpha)
            if p > level:
                break
            best = t if best is None else max(best, t)
    return best


def risk_control(doubt, wrong, clusters, alpha):
    ids, best = np.unique(clusters), None
    for t in sorted(set(doubt)):
        loss = sum((wrong & (doubt <= t))[clusters == c].mean() for c in ids)
        if (loss + 1) / (len(ids) + 1) <= alpha + 1e-12:
            best = t
        else:
            break
    return best


def guarantee(n, per, digits, alpha, delta, hard):
    doubt = rng.random(n).round(digits)
    wrong = rng.random(n) < hard * doubt**2
    clusters = np.arange(n) // per
    grid = np.linspace(0.3, 1, 8).round(3)
    out = {
        "doubt": doubt.tolist(), "wrong": wrong.astype(int).tolist(), "clusters": clusters.tolist(),
        "alpha": alpha, "delta": delta, "grid": grid.tolist(),
        "test": learn_then_test(doubt, wrong, clusters, alpha, delta, None),
        "test_grid": learn_then_test(doubt, wrong, clusters, alpha, delta, grid),
        "control": risk_control(doubt, wrong, clusters, alpha),
    }
    t = 0.7
    losses = losses_at(t, doubt, wrong, clusters)
    out["risk_at_07"] = losses.mean()
    if per == 1:
        ci = st.binomtest(int(losses.sum()), len(losses)).proportion_ci(0.95, "exact")
        out["interval_at_07"] = [ci.low, ci.high]
    else:  # where the p-value passes 2.5 %
        grid_ = lambda lo, hi, f: brent(lambda a: f(a) - 0.025, lo, hi)
        mean = losses.mean()
        # Bentkus' bound jumps nowhere in alpha: the sum is fixed.
        high = grid_(mean + 1e-9, 1 - 1e-12, lambda a: hb(losses, a))
        low = 1 - grid_(1 - mean + 1e-9, 1 - 1e-12, lambda a: hb(1 - losses, a))
        out["interval_at_07"] = [low, high]
    return out


def brent(f, lo, hi):
    import scipy.optimize as so

    return so.brentq(f, lo, hi, xtol=1e-13)


GUARANTEE = [
    guarantee(300, 1, 3, 0.1, 0.1, 0.6),
    guarantee(300, 1, 1, 0.1, 0.1, 0.5),
    guarantee(250, 1, 3, 0.05, 0.1, 0.3),
    guarantee(60, 1, 2, 0.2, 0.2, 0.8),
    guarantee(300, 3, 3, 0.2, 0.1, 0.5),
    guarantee(280, 2, 2, 0.15, 0.2, 0.3),
    guarantee(20, 1, 2, 0.01, 0.05, 0.1),
    guarantee(100, 1, 2, 0.05, 0.1, 3.0),
]


# --- forensic -------------------------------------------------------------------------------------------

def pav_log10(llr, y):
    """Isotonic likelihood ratios by scikit-learn."""
    w = np.where(y == 1, 0.5 / (y == 1).sum(), 0.5 / (y == 0).sum())
    p = IsotonicRegression().fit(llr, y, sample_weight=w).predict(llr)
    with np.errstate(divide="ignore"):
        return np.log10(p) - np.log10(1 - p)


def cross_entropy(llr, y, odds):
    o = 10**odds
    p = o / (1 + o)
    with np.errstate(divide="ignore", over="ignore"):
        return p * np.log2(1 + 1 / (10.0 ** llr[y == 1] * o)).mean() + (1 - p) * np.log2(1 + 10.0 ** llr[y == 0] * o).mean()


def elub_exact(llr, y):
    """The first threshold at which the system costs more, on a fine grid beside each value."""
    def upper(hits, others):
        edges = np.unique(np.concatenate([[0.0], hits[hits > 0], others[others > 0], [np.log10(len(others) + 1) + 1]]))
        for t in edges:
            nxt = edges[edges > t].min() if (edges > t).any() else np.inf
            share, alarms = (hits > t).sum() / (len(hits) + 1), ((others > t).sum() + 1) / (len(others) + 1)
            with np.errstate(divide="ignore"):
                most = np.log10(share / alarms)
            if most <= t:
                return t
            if most < nxt:
                return most
    return -upper(-llr[y == 0], -llr[y == 1]), upper(llr[y == 1], llr[y == 0])


def forensic(name, y, s, prior):
    s = np.clip(s, 0.001, 0.999)
    logit = np.log(s) - np.log1p(-s)
    out = {"name": name, "posterior": s.tolist(), "fake": y.tolist(), "prior": prior}
    llr = (logit - math.log(prior / (1 - prior))) / math.log(10)
    out["plain"] = llr.tolist()
    separable = logit[y == 1].min() >= logit[y == 0].max() or logit[y == 0].min() >= logit[y == 1].max()
    if separable:
        out["logistic"] = None
    else:
        fit = LogisticRegression(C=np.inf, class_weight="balanced", tol=1e-12, max_iter=10000, solver="newton-cholesky")
        fit.fit(logit[:, None], y)
        out["logistic"] = [fit.coef_[0, 0], fit.intercept_[0]]
    new = np.linspace(0.003, 0.997, 15).round(4)
    iso = IsotonicCalibrator().fit(logit, y)
    with np.errstate(divide="ignore"):
        values = iso.transform(np.log(new) - np.log1p(-new))
    out["new"], out["pav"] = new.tolist(), [v if math.isfinite(v) else math.copysign(99, v) for v in values.tolist()]
    data = LLRData(features=llr, labels=y)
    out["cllr"], out["cllr_min"] = cllr(data), cllr_min(data)
    step = 0.0005
    lir_bounds = elub(llr.copy(), y, step_size=step)
    out["elub"] = list(elub_exact(llr, y))
    assert np.allclose(lir_bounds, out["elub"], atol=2 * step + 1e-9), (name, lir_bounds, out["elub"])
    odds = np.array([-2, -0.5, 0, 0.7, 2.5])
    ideal = pav_log10(llr, y)
    assert abs(cross_entropy(ideal, y, 0.0) - out["cllr_min"]) < 1e-9
    prior_p = 10**odds / (1 + 10**odds)
    out["odds"] = odds.tolist()
    out["ece"] = [
        [cross_entropy(llr, y, o), cross_entropy(ideal, y, o), st.entropy([q, 1 - q], base=2)]
        for o, q in zip(odds, prior_p)
    ]
    out["misleading"] = [np.mean(llr[y == 1] < 0), np.mean(llr[y == 0] > 0)]
    out["tippett"] = [[t, np.mean(llr[y == 1] >= t), np.mean(llr[y == 0] >= t)] for t in np.unique(llr)[:10]]
    return out


FORENSIC = [forensic(name, y, a, prior) for (name, (y, a, b)), prior in zip(CASES.items(), [0.5, 0.5, 0.3, 0.9, 0.5, 0.2, 0.5])]
y = np.array([0] * 6 + [1] * 5)
FORENSIC.append(forensic("separated", y, np.concatenate([np.linspace(0.02, 0.4, 6), np.linspace(0.6, 0.99, 5)]).round(3), 0.5))


# --- compare --------------------------------------------------------------------------------------------

def clustered_auroc(scores, y, clusters):
    """Obuchowski 1997, with every pair compared: AUROCs and their covariance matrix."""
    ids = np.unique(clusters)
    pos, neg = y == 1, y == 0
    m, n = pos.sum(), neg.sum()
    aurocs, sums10, sums01 = [], [], []
    for s in scores:
        psi = (s[pos][:, None] > s[neg][None]) + 0.5 * (s[pos][:, None] == s[neg][None])
        theta = psi.mean()
        v10, v01 = psi.mean(1), psi.mean(0)
        aurocs.append(theta)
        sums10.append([v10[clusters[pos] == c].sum() - (clusters[pos] == c).sum() * theta for c in ids])
        sums01.append([v01[clusters[neg] == c].sum() - (clusters[neg] == c).sum() * theta for c in ids])
    a, b = np.array(sums10), np.array(sums01)
    i10, i01, i = len(np.unique(clusters[pos])), len(np.unique(clusters[neg])), len(ids)
    s10, s01, s11 = i10 / ((i10 - 1) * m) * a @ a.T, i01 / ((i01 - 1) * n) * b @ b.T, i / (i - 1) * a @ b.T
    return aurocs, s10 / m + s01 / n + (s11 + s11.T) / (m * n)


def delong(scores, y):
    """DeLong, DeLong and Clarke-Pearson 1988, with every pair compared."""
    pos, neg = y == 1, y == 0
    v10, v01 = [], []
    for s in scores:
        psi = (s[pos][:, None] > s[neg][None]) + 0.5 * (s[pos][:, None] == s[neg][None])
        v10.append(psi.mean(1))
        v01.append(psi.mean(0))
    return [v.mean() for v in v10], np.cov(v10) / pos.sum() + np.cov(v01) / neg.sum()


def comparison(aurocs, cov):
    d = aurocs[0] - aurocs[1]
    se = math.sqrt(max(cov[0][0] + cov[1][1] - 2 * cov[0][1], 0))
    return {
        "values": aurocs,
        "errors": np.sqrt(np.maximum(np.diag(cov), 0)).tolist(),
        "error": se,
        "p": 2 * st.norm.sf(abs(d) / se) if se > 1e-12 else None,
        "interval": list(st.norm.interval(0.9, d, se)) if se > 1e-12 else None,
        "smallest": (st.norm.ppf(0.975) + st.norm.ppf(0.8)) * se,
    }


def compare(name, y, a, b):
    n = len(y)
    out = {"name": name, "first": a.tolist(), "second": b.tolist(), "positive": y.tolist()}
    dl = delong([a, b], y)
    ob = clustered_auroc([a, b], y, np.arange(n))
    assert np.allclose(dl[1], ob[1])
    for s, value, variance in zip([a, b], dl[0], np.diag(dl[1])):
        assert np.allclose(delong_roc_variance(y, s), [value, variance])
    out["delong"] = comparison(*dl)
    clusters = rng.integers(0, max(2, n // 4), n) if n > 8 else np.array([0, 1, 0, 1] if len(set(y[::2])) > 1 else [0, 0, 1, 1])
    enough = len(np.unique(clusters[y == 1])) > 1 and len(np.unique(clusters[y == 0])) > 1
    out["clusters"] = clusters.tolist()
    out["clustered"] = comparison(*clustered_auroc([a, b], y, clusters)) if enough else None
    ca, cb = (a > 0.5) == y, (b > 0.5) == y
    table = [[(ca & cb).sum(), (ca & ~cb).sum()], [(~ca & cb).sum(), (~ca & ~cb).sum()]]
    exact = mcnemar(table, exact=True)
    k, t = min(table[0][1], table[1][0]), table[0][1] + table[1][0]
    mid = min(1.0, 2 * st.binom.cdf(k, t, 0.5) - st.binom.pmf(k, t, 0.5)) if t else 1.0
    out["mcnemar"] = [int(table[0][1]), int(table[1][0]), float(exact.pvalue), mid]
    d = ca.astype(float) - cb.astype(float)
    if d.std() > 0:
        # HC1-like factors out: statsmodels' cluster covariance without its small-sample correction, times C/(C-1).
        fit = sm.OLS(d, np.ones(n)).fit(cov_type="cluster", cov_kwds={"groups": clusters, "use_correction": False})
        c = len(np.unique(clusters))
        out["accuracy"] = [ca.mean(), cb.mean(), fit.bse[0] * math.sqrt(c / (c - 1))]
    else:
        out["accuracy"] = [ca.mean(), cb.mean(), 0.0]
    return out


COMPARE = [compare(name, *case) for name, case in CASES.items()]
HOLM = []
for p in [rng.random(7).round(3) ** 2, np.array([0.01, 0.04, 0.03, 0.005]), np.array([0.02, 0.02, 0.5, 1.0]), np.array([0.03])]:
    HOLM.append([p.tolist(), multipletests(p, method="holm")[1].tolist()])


def plain(x):
    """NumPy's numbers as Python's."""
    if isinstance(x, dict):
        return {k: plain(v) for k, v in x.items()}
    if isinstance(x, (list, tuple)):
        return [plain(v) for v in x]
    return x.item() if isinstance(x, np.generic) else x


golden = {
    "unseen": [
        {"name": name, "unseen": y.tolist(), "doubt": a.tolist(), "want": unseen(y, a)} for name, (y, a, b) in CASES.items()
    ],
    "correlations": CORRELATIONS,
    "conformal": CONFORMAL,
    "coverage": COVERAGE,
    "guarantee": GUARANTEE,
    "forensic": FORENSIC,
    "compare": COMPARE,
    "holm": HOLM,
}
text = json.dumps(plain(golden), allow_nan=False, separators=(",", ":"))
Path(__file__).with_suffix(".json").write_text(text + "\n")
print(len(text), "bytes")
for g in GUARANTEE:
    print(g["test"], g["test_grid"], g["control"], g["interval_at_07"])
