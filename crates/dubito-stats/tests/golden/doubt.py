"""Golden values for tests/doubt.rs: measures of doubt, rules from frames to videos, thresholds.

    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 torch==2.15.0 torch-uncertainty==0.13.0
    python doubt.py            # writes doubt.json beside this file

| what | from |
|---|---|
| variances | numpy.var of the probabilities, law of total variance |
| variation ratio | scipy.stats.mode, checked against torch-uncertainty |
| jackknifed mutual information | scipy.stats.entropy, leaving out each sample in turn |
| median, log-odds, top-k, majority | NumPy and scipy.stats (gmean, trim) |
| thresholds | scikit-learn's roc_curve |
"""

import json
from pathlib import Path

import numpy as np
import scipy.stats
import torch
from scipy.special import expit, logit
from sklearn.metrics import roc_curve
from torch_uncertainty.metrics.classification import VariationRatio

rng = np.random.default_rng(11)


def rounded(p, digits=4):
    p = p.round(digits)
    p[..., 0] = 1 - p[..., 1:].sum(-1)
    return np.clip(p, 0, 1)


def information(p):
    return scipy.stats.entropy(p.mean(0)) - scipy.stats.entropy(p, axis=1).mean()


def video(name, samples, frames, classes, alpha):
    p = rounded(rng.dirichlet(np.full(classes, alpha), size=(samples, frames)))
    m_t, m = p.mean(1), p.mean((0, 1))
    over = (lambda v: v[..., 1]) if classes == 2 else (lambda v: v.sum(-1))
    votes = m_t.argmax(1)
    ratio = 1 - scipy.stats.mode(votes).count / samples
    metric = VariationRatio(probabilistic=False)
    metric.update(torch.tensor(m_t)[:, None, :])
    assert abs(float(metric.compute()) - ratio) < 1e-6
    two = np.sort(m)[::-1]
    want = {
        "total_variance": over(m * (1 - m)),
        "aleatoric_variance": over((p * (1 - p)).mean((0, 1))),
        "between_frames_variance": over(p.var(1).mean(0)),
        "epistemic_variance": over(m_t.var(0)),
        "variation_ratio": ratio,
        "max_probability": two[0],
        "margin": two[0] - two[1],
    }
    assert abs(want["total_variance"] - sum(v for k, v in want.items() if k.endswith("variance") and "total" not in k)) < 1e-12
    one = p[:, 0]
    jackknife = None
    if samples > 1:
        left_out = [information(np.delete(one, t, axis=0)) for t in range(samples)]
        jackknife = samples * information(one) - (samples - 1) * np.mean(left_out)
    return {"name": name, "probs": p.tolist(), "want": {k: float(v) for k, v in want.items()}, "jackknife": jackknife}


def rules(name, frames, classes, alpha, positive):
    p = rounded(rng.dirichlet(np.full(classes, alpha), size=frames), 3)
    renormalise = lambda v: v / v.sum()

    def top(k):
        if positive is None:
            return renormalise(np.sort(p, axis=0)[::-1][:k].mean(0))
        fake = np.sort(p[:, positive])[::-1][:k].mean()
        return np.array([1 - fake, fake]) if positive == 1 else np.array([fake, 1 - fake])

    floored = np.maximum(p, np.finfo(float).eps)
    geometric = renormalise(scipy.stats.gmean(floored, axis=0))
    if classes == 2 and p.min() > 0:
        assert abs(expit(logit(p[:, 1]).mean()) - geometric[1]) < 1e-9
    want = {
        "mean": p.mean(0),
        "median": renormalise(np.median(p, axis=0)),
        "log_odds": geometric,
        "top3": top(3),
        "top_share": top(max(1, int(np.ceil(round(0.1 * frames, 9))))),
        "majority": np.bincount(p.argmax(1), minlength=classes) / frames,
    }
    return {"name": name, "classes": classes, "positive": positive, "frames": p.tolist(), "want": {k: v.tolist() for k, v in want.items()}}


def thresholds(name, n, digits, fpr):
    labels = rng.integers(0, 2, n)
    p = expit(rng.normal(size=n) + 1.2 * labels - 0.6).round(digits)
    rates, tprs, at = roc_curve(labels, p, drop_intermediate=False)
    best = np.argmax(np.round(tprs - rates, 12))
    last = np.nonzero(rates <= fpr)[0][-1]
    enough = (labels == 0).sum() >= 3 / fpr - 1e-6
    return {
        "name": name, "p": p.tolist(), "labels": labels.tolist(), "fpr": fpr,
        "youden": float(at[best]), "youden_tpr": float(tprs[best]), "youden_fpr": float(rates[best]),
        "at_fpr": float(at[last]) if enough and np.isfinite(at[last]) else None,
        "at_fpr_tpr": float(tprs[last]), "at_fpr_fpr": float(rates[last]),
    }


def main():
    found = {
        "videos": [
            video("binary", 10, 6, 2, 0.6),
            video("five classes", 7, 5, 5, 0.4),
            video("one frame", 12, 1, 3, 0.7),
            video("one sample", 1, 8, 2, 0.7),
            video("one sample, one frame", 1, 1, 4, 0.7),
            video("sure", 9, 3, 2, 0.05),
        ],
        "rules": [
            rules("binary", 25, 2, 0.8, 1),
            rules("binary, class 0 is fake", 30, 2, 0.8, 0),
            rules("even", 8, 2, 0.5, 1),
            rules("one frame", 1, 2, 0.8, 1),
            rules("four classes", 21, 4, 0.5, None),
            rules("sure", 12, 2, 0.02, 1),
        ],
        "thresholds": [
            thresholds("many", 220, 5, 0.05),
            thresholds("tied", 200, 1, 0.1),
            thresholds("few negatives", 80, 3, 0.01),
        ],
    }
    path = Path(__file__).with_suffix(".json")
    path.write_text(json.dumps(found, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
