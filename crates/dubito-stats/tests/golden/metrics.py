"""Golden values for tests/golden.rs, from libraries that share no code with this crate.

    python -m venv .venv && . .venv/bin/activate
    pip install numpy==2.4.6 scipy==1.17.1 scikit-learn==1.9.1 torch==2.15.0 \
        torchmetrics==1.9.0 torch-uncertainty==0.13.0 netcal==1.4.0 lightning rich torchvision
    pip install --no-deps uncertainty-calibration==0.1.4
    python metrics.py            # writes metrics.json beside this file

| metric | from |
|---|---|
| accuracy, balanced_accuracy, f1, mcc, auroc, average_precision, nll | scikit-learn |
| eer | scipy.optimize.brentq on scikit-learn's ROC, interpolated |
| eer_deepfakebench | the expression of DeepfakeBench on scikit-learn's ROC |
| tpr_at_fpr | scikit-learn's ROC |
| cllr, cllr_min | the cross-entropies of Brummer and du Preez 2006, in NumPy; the second after scikit-learn's IsotonicRegression with both classes of equal weight |
| brier | scikit-learn (binary: brier_score_loss; otherwise summed) |
| ece, mce | the loop of Guo et al. 2017, checked against torchmetrics and netcal where nothing lies on an edge of a bin |
| rms | the same loop, checked against torchmetrics |
| rms_debiased | uncertainty-calibration's unbiased_square_ce (the library of Kumar et al. 2019) |
| ece_debiased | 2 ECE - E ECE', with scipy.stats.foldnorm, checked against the simulation of uncertainty-calibration |
| ece_adaptive, ece_classwise, ks, uce, avu, Murphy's parts | NumPy, written from the papers |
| eaurc | aurc less that of the same errors, sorted last |
| aurc, aurc_trapezoid | torch-uncertainty's risk-coverage curve; with ties the mean over all orders of the ties |
| augrc | the closed form of Traub et al. 2024 with scikit-learn's AUROC, checked against torch-uncertainty's curve |
| total_variance | NumPy |
| decomposition | scipy.stats.entropy |
| interval of a proportion | scipy.stats.binomtest(...).proportion_ci(method="wilson") |
"""

import itertools
import json
import warnings
from pathlib import Path

import numpy as np
import scipy.stats
from calibration.utils import normal_debiased_ce, unbiased_square_ce
from scipy.optimize import brentq
import torch
from netcal.metrics import ECE, MCE
from sklearn import metrics as sk
from sklearn.isotonic import IsotonicRegression
from torch_uncertainty.metrics.classification import AURC
from torchmetrics.functional.classification import (
    binary_calibration_error,
    multiclass_auroc,
    multiclass_calibration_error,
)

warnings.filterwarnings("ignore")
rng = np.random.default_rng(20240607)
BINS = 15


def cllr(y, p):
    """Class-balanced cross-entropy in bits."""
    p = np.clip(np.asarray(p, float), np.finfo(float).eps, None)
    q = np.clip(1 - np.asarray(p, float), np.finfo(float).eps, None)
    return 0.5 * (-np.log2(p[y == 1]).mean() - np.log2(q[y == 0]).mean())


def cllr_min(y, p):
    """The same after isotonic regression on these items."""
    weights = np.where(y == 1, 1 / (y == 1).sum(), 1 / (y == 0).sum())
    return cllr(y, IsotonicRegression().fit(p, y, sample_weight=weights).predict(p))


def guo(confidence, happened, bins, norm):
    """ECE or MCE by the loop of Guo et al. 2017: `confidence > low` and `confidence <= high`."""
    gaps, edges = [], np.linspace(0, 1, bins + 1)
    for low, high in zip(edges[:-1], edges[1:]):
        inside = (confidence > low) & (confidence <= high)
        if low == 0:
            inside |= confidence == 0
        if inside.any():
            gaps.append((abs(happened[inside].mean() - confidence[inside].mean()), inside.mean()))
    if norm == "max":
        return max(g for g, _ in gaps)
    if norm == "l2":
        return np.sqrt(sum(g**2 * w for g, w in gaps))
    return sum(g * w for g, w in gaps)


def calibration(confidence, happened, bins, norm, torchmetrics_value):
    """From the loop, checked against torchmetrics and netcal where no confidence is on an edge."""
    value = guo(confidence, happened, bins, norm)
    if not np.isclose(confidence * bins, np.round(confidence * bins), atol=1e-9).any():
        theirs = float(torchmetrics_value())
        assert abs(theirs - value) < 1e-6, (theirs, value)  # torchmetrics computes in f32
        if len(np.unique(happened)) == 2 and norm != "l2":  # netcal asks for both
            theirs = (ECE if norm == "l1" else MCE)(bins).measure(confidence, happened.astype(int))
            assert abs(theirs - value) < 1e-6, (theirs, value)
    return value


def bins_of(confidence, happened, bins):
    """The items of each bin that holds some, as pairs."""
    edges = np.linspace(0, 1, bins + 1)
    which = np.maximum(np.searchsorted(edges, confidence, side="left"), 1)
    return [list(zip(confidence[which == b], happened[which == b])) for b in range(1, bins + 1) if (which == b).any()]


def rms_debiased(confidence, happened):
    return np.sqrt(max(unbiased_square_ce(bins_of(confidence, happened, BINS)), 0.0))


def ece_debiased(confidence, happened):
    """Kumar et al.'s L1 estimator with its expectation instead of its simulation."""
    bins, n = bins_of(confidence, happened, BINS), len(confidence)
    plain = expected = 0.0
    for b in bins:
        p, y = np.array(b).T
        gap, sd = abs(y.mean() - p.mean()), np.sqrt(y.mean() * (1 - y.mean()) / len(y))
        plain += len(y) / n * gap
        expected += len(y) / n * (scipy.stats.foldnorm.mean(gap / sd, scale=sd) if sd > 0 else gap)
    if min(len(b) for b in bins) > 1:
        np.random.seed(0)
        simulated = normal_debiased_ce(bins, resamples=10000)
        assert abs(simulated - (2 * plain - expected)) < 5e-3, (simulated, 2 * plain - expected)
    return max(2 * plain - expected, 0.0)


def adaptive_ece(confidence, happened):
    """Bins between the k/15 sample quantiles, closed on the right."""
    values, counts = np.unique(confidence, return_counts=True)
    reached = np.cumsum(counts) * BINS  # in whole numbers, so that a quantile is never off by a rounding
    edges = [values[np.searchsorted(reached, k * len(confidence))] for k in range(1, BINS)]
    which = np.searchsorted(edges, confidence, side="left")
    gaps = [abs((happened - confidence)[which == b].sum()) for b in range(BINS)]
    return sum(gaps) / len(confidence)


def ks(confidence, happened):
    values = np.unique(confidence)
    return max(abs((happened - confidence)[confidence <= v].sum()) for v in values) / len(confidence)


def murphy(p, y):
    edges = np.linspace(0, 1, BINS + 1)
    which = np.maximum(np.searchsorted(edges, p, side="left"), 1)
    reliability = resolution = variance = covariance = 0.0
    for b in np.unique(which):
        f, o = p[which == b], y[which == b]
        reliability += len(f) * (f.mean() - o.mean()) ** 2
        resolution += len(f) * (o.mean() - y.mean()) ** 2
        variance += ((f - f.mean()) ** 2).sum()
        covariance += ((f - f.mean()) * (o - o.mean())).sum()
    n = len(p)
    parts = reliability / n, resolution / n, y.mean() * (1 - y.mean()), (variance - 2 * covariance) / n
    assert abs(parts[0] - parts[1] + parts[2] + parts[3] - sk.brier_score_loss(y, p)) < 1e-9
    return parts


def equal_error_rate(y, p):
    fpr, tpr, _ = sk.roc_curve(y, p, drop_intermediate=False)
    # Along the ROC's own length, since both rates have vertical or horizontal stretches.
    way = fpr + tpr
    at = brentq(lambda w: np.interp(w, way, fpr) + np.interp(w, way, tpr) - 1, 0, 2, xtol=1e-14)
    return np.interp(at, way, fpr)


def deepfakebench_eer(y, p):
    fpr, tpr, _ = sk.roc_curve(y, p, pos_label=1)
    fnr = 1 - tpr
    return fpr[np.nanargmin(np.absolute(fnr - fpr))]


def tpr_at(y, p, target):
    if (y == 0).sum() < 3 / target - 1e-6:
        return None
    fpr, tpr, _ = sk.roc_curve(y, p, drop_intermediate=False)
    return tpr[fpr <= target].max()


def risk_coverage(probs, labels):
    """torch-uncertainty's error rate at each coverage 1/n..n/n."""
    metric = AURC()
    metric.update(torch.tensor(probs), torch.tensor(labels))
    return metric.partial_compute().double().numpy()


def aurc(probs, labels):
    """Mean selective risk, and the generalised risk by the paper's closed form.

    Without ties straight from torch-uncertainty's curve. With ties of few items every order of the ties
    is tried and averaged; of many, the expected number of errors after each item is used, since the
    mean of a cumulative sum is the cumulative sum of the means.
    """
    top = probs.max(1)
    wrong = (probs.argmax(1) != labels).astype(float)
    n = len(labels)
    if len(np.unique(top)) == n:
        curve = risk_coverage(probs, labels)
        mean_risk = curve.mean()
        metric = AURC()
        metric.update(torch.tensor(probs), torch.tensor(labels))
        trapezoid = float(metric.compute()) if n > 1 else None
        # Their mean of the generalised risks counts each error's own step whole; the integral half.
        generalised = (curve * np.arange(1, n + 1) / n).mean() - wrong.sum() / (2 * n * n)
    else:
        order = np.argsort(-top, kind="stable")
        blocks = [list(g) for _, g in itertools.groupby(order, key=lambda i: top[i])]
        expected = np.concatenate([np.full(len(b), wrong[b].mean()) for b in blocks])
        if n <= 8:
            # Every order of the ties, one by one.
            every = [np.concatenate(o) for o in itertools.product(*(itertools.permutations(b) for b in blocks))]
            curves = [np.cumsum(wrong[o]) / np.arange(1, n + 1) for o in every]
            mean_risk = np.mean([c.mean() for c in curves])
        else:
            mean_risk = (np.cumsum(expected) / np.arange(1, n + 1)).mean()
        curve = np.cumsum(expected) / np.arange(1, n + 1)
        trapezoid = np.trapezoid(curve, dx=1 / (n - 1)) if n > 1 else None
        generalised = None
    if trapezoid is not None:
        assert abs(trapezoid - np.trapezoid(curve, dx=1 / (n - 1))) < 1e-6  # they compute in f32
        trapezoid = np.trapezoid(curve, dx=1 / (n - 1))
    best = (np.cumsum(np.sort(wrong)) / np.arange(1, n + 1)).mean()
    accuracy = 1 - wrong.mean()
    if 0 < wrong.sum() < n:
        closed = (1 - sk.roc_auc_score(1 - wrong, top)) * accuracy * (1 - accuracy) + (1 - accuracy) ** 2 / 2
    else:
        closed = (1 - accuracy) ** 2 / 2
    if generalised is not None:
        assert abs(generalised - closed) < 1e-6, (generalised, closed)
    return mean_risk, closed, trapezoid, mean_risk - best


def auroc_or_none(y, score):
    return float(sk.roc_auc_score(y, score)) if 0 < np.sum(y) < len(y) else None


def aupr_or_none(y, score):
    return float(sk.average_precision_score(y, score)) if 0 < np.sum(y) < len(y) else None


def case(name, probs, labels, positive, uncertainties):
    probs, labels = np.asarray(probs, dtype=float), np.asarray(labels)
    n, classes = probs.shape
    top, predicted = probs.max(1), probs.argmax(1)
    right = (predicted == labels).astype(float)
    present = np.unique(labels)
    names = ["real", "fake"] if positive is not None else [f"c{k}" for k in range(classes)]
    tensor, target = torch.tensor(probs), torch.tensor(labels)
    want = {
        "accuracy": sk.accuracy_score(labels, predicted),
        "balanced_accuracy": sk.balanced_accuracy_score(labels, predicted) if len(present) > 1 else None,
        "nll": sk.log_loss(labels, probs, labels=range(classes)),
    }

    want["mcc"] = sk.matthews_corrcoef(labels, predicted) if len(present) > 1 and len(set(predicted)) > 1 else None
    for metric, norm in [("ece_top15", "l1"), ("mce_top15", "max"), ("rms_top15", "l2")]:
        want[metric] = calibration(
            top, right, BINS, norm, lambda: multiclass_calibration_error(tensor, target, classes, BINS, norm)
        )
    want["ece_top15_debiased"] = ece_debiased(top, right)
    want["rms_top15_debiased"] = rms_debiased(top, right)
    want["ece_adaptive15"] = adaptive_ece(top, right)
    want["ks_calibration"] = ks(top, right)
    want["ece_classwise15"] = np.mean(
        [guo(probs[:, k], (labels == k).astype(float), BINS, "l1") for k in range(classes)]
    )
    entropy = np.minimum(np.asarray(uncertainties["total"]) / np.log(classes), 1)
    want["uce15"] = guo(entropy, 1 - right, BINS, "l1")
    certain = entropy <= 0.5
    want["avu"] = ((right == 1) & certain).mean() + ((right == 0) & ~certain).mean()
    # The area under all thresholds: each step from one entropy to the next is a rectangle.
    steps = np.unique(np.concatenate([[0.0], entropy, [1.0]]))
    at = [((right == 1) == (entropy <= t)).mean() for t in steps[:-1]]
    want["avu_area"] = (np.diff(steps) * at).sum()
    want["aurc"], want["augrc"], want["aurc_trapezoid"], want["eaurc"] = aurc(probs, labels)
    second = np.sort(probs, axis=1)[:, -2]
    # Of two classes 2 top - 1, so that it is tied where the largest probability is.
    margin = 2 * top - 1 if classes == 2 else top - second
    want["max_probability"], want["margin"] = top.mean(), margin.mean()
    variance = probs * (1 - probs)
    want["total_variance"] = (variance[:, 1] if classes == 2 else variance.sum(1)).mean()
    # These items have no samples.
    for unknown in ["aleatoric_variance", "between_frames_variance", "epistemic_variance", "variation_ratio", "epistemic_jackknife"]:
        want[unknown] = None
    if positive is not None:
        y = (labels == positive).astype(int)
        p = probs[:, positive]
        want["auroc"] = auroc_or_none(y, p)
        want["average_precision"] = float(sk.average_precision_score(y, p)) if 0 < y.sum() < n else None
        want["brier"] = sk.brier_score_loss(y, p)
        for part, value in zip(["reliability", "resolution", "uncertainty", "within_bins"], murphy(p, y)):
            want[f"brier_{part}"] = value
        want["f1"] = sk.f1_score(y, predicted == positive) if y.sum() > 0 else None
        two = 0 < y.sum() < n
        want["eer"] = equal_error_rate(y, p) if two else None
        want["eer_deepfakebench"] = deepfakebench_eer(y, p) if two else None
        want["tpr_at_fpr1pct"] = tpr_at(y, p, 0.01) if two else None
        want["cllr"] = cllr(y, p) if two else None
        want["cllr_min"] = cllr_min(y, p) if two else None
        want["tpr_at_fpr01pct"] = tpr_at(y, p, 0.001) if two else None
        want["ece_pos15_debiased"] = ece_debiased(p, y.astype(float))
        for metric, norm in [("rms_pos15", "l2"), ("mce_pos15", "max")]:
            want[metric] = calibration(
                p, y.astype(float), BINS, norm,
                lambda: binary_calibration_error(torch.tensor(p), torch.tensor(y), BINS, norm),
            )
        want["ece_pos15"] = calibration(
            p, y.astype(float), BINS, "l1", lambda: binary_calibration_error(torch.tensor(p), torch.tensor(y), BINS, "l1")
        )
    else:
        each = [auroc_or_none(labels == k, probs[:, k]) for k in range(classes)]
        defined = [a for a in each if a is not None]
        want["auroc"] = float(np.mean(defined)) if defined else None
        if len(present) == classes:
            macro = sk.roc_auc_score(labels, probs, multi_class="ovr") if classes > 2 else want["auroc"]
            assert abs(macro - want["auroc"]) < 1e-12
            theirs = float(multiclass_auroc(tensor, target, classes))
            assert abs(theirs - want["auroc"]) < 1e-6
        want["f1_macro"] = (
            sk.f1_score(labels, predicted, labels=present, average="macro") if len(present) > 1 else None
        )
        for k, value in enumerate(each):
            want[f"auroc_c{k}"] = value
            want[f"average_precision_c{k}"] = aupr_or_none(labels == k, probs[:, k])
        precisions = [
            sk.average_precision_score(labels == k, probs[:, k]) for k in range(classes) if each[k] is not None
        ]
        want["average_precision"] = float(np.mean(precisions)) if precisions else None
        want["brier"] = float(((probs - np.eye(classes)[labels]) ** 2).sum(1).mean())
        if len(present) == classes:
            assert abs(want["brier"] - sk.brier_score_loss(labels, probs, scale_by_half=False, labels=range(classes))) < 1e-12
    wrong = 1 - right
    for field, values in uncertainties.items():
        want[field] = float(np.mean(values))
        if field != "between_frames":
            want[f"misclassification_auroc_{field}"] = auroc_or_none(wrong, values)
            want[f"misclassification_aupr_{field}"] = aupr_or_none(wrong, values)
    for field, values in [("max_probability", -top), ("margin", -margin)]:
        want[f"misclassification_auroc_{field}"] = auroc_or_none(wrong, values)
        want[f"misclassification_aupr_{field}"] = aupr_or_none(wrong, values)
    return {
        "name": name,
        "classes": names,
        "positive": positive,
        "probs": probs.tolist(),
        "labels": labels.tolist(),
        **{k: np.asarray(v, dtype=float).tolist() for k, v in uncertainties.items()},
        "want": {k: None if v is None else float(v) for k, v in want.items()},
    }


def video(name, shape, sharpness, mode="random"):
    """Samples [samples, frames, classes] of one video with its decomposition by scipy."""
    samples, frames, classes = shape
    if mode == "random":
        p = rng.dirichlet(np.full(classes, sharpness), size=(samples, frames))
    elif mode == "copies":  # every frame the same
        p = np.repeat(rng.dirichlet(np.full(classes, sharpness), size=(samples, 1)), frames, axis=1)
    else:  # one network, copied
        p = np.repeat(rng.dirichlet(np.full(classes, sharpness), size=(1, frames)), samples, axis=0)
    h = scipy.stats.entropy(p, axis=-1)  # [samples, frames], nats
    m_t = p.mean(1)
    h_t = scipy.stats.entropy(m_t, axis=-1)
    m = m_t.mean(0)
    total = float(scipy.stats.entropy(m))
    return {
        "name": name,
        "probs": p.tolist(),
        "want": {
            "probs": m.tolist(),
            "total": total,
            "aleatoric": float(h.mean()),
            "between_frames": float((h_t - h.mean(1)).mean()),
            "epistemic": float(total - h_t.mean()),
        },
    }


def items(n, classes, informative, round_to=None, prior=None):
    """Labels, probabilities that know something of them, and uncertainties of the four kinds."""
    labels = rng.choice(classes, size=n, p=prior)
    logits = rng.normal(size=(n, classes)) + informative * np.eye(classes)[labels]
    probs = np.exp(logits) / np.exp(logits).sum(1, keepdims=True)
    # Few digits keep the file small; `round_to` makes ties (and, with 15, values on the edges of bins).
    whole = np.floor(probs * (round_to or 10_000))
    whole[:, -1] = (round_to or 10_000) - whole[:, :-1].sum(1)
    probs = whole / (round_to or 10_000)
    parts = np.round(rng.gamma(0.7, 0.1, size=(3, n)), 2 if round_to else 4)
    uncertainties = {
        "total": np.round(parts.sum(0), 5), "aleatoric": parts[0], "between_frames": parts[1], "epistemic": parts[2],
    }
    return probs, labels, uncertainties


def main():
    cases = []

    def add(name, made, positive):
        cases.append(case(name, made[0], made[1], positive, made[2]))

    add("binary random", items(160, 2, 1.0), 1)
    add("binary positive is class 0", items(90, 2, 1.0), 0)
    add("binary tied", items(150, 2, 0.7, round_to=8), 1)
    add("binary tied on the edges of the bins", items(150, 2, 0.7, round_to=15), 1)
    add("binary imbalanced", items(330, 2, 1.0, prior=[0.95, 0.05]), 1)
    add("binary tiny tied", items(7, 2, 0.3, round_to=4), 1)
    add("binary worse than chance", items(80, 2, -1.5), 1)
    probs, labels, parts = items(40, 2, 1.0)
    add("binary all real", (probs, np.zeros(40, dtype=int), parts), 1)
    add("binary all fake", (probs, np.ones(40, dtype=int), parts), 1)
    add("binary no errors", (probs, probs.argmax(1), parts), 1)
    add("binary only errors", (probs, 1 - probs.argmax(1), parts), 1)
    add("binary one item", tuple([probs[:1], np.array([1]), {k: v[:1] for k, v in parts.items()}]), 1)
    sure = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0], [0.0, 1.0], [0.25, 0.75]])
    add("binary sure and wrong", (sure, np.array([0, 1, 1, 1, 0]), {k: v[:5] for k, v in parts.items()}), 1)
    flat = np.full((6, 2), 0.5)
    add("binary all the same", (flat, np.array([0, 1, 1, 0, 1, 1]), {k: np.full(6, 0.1) for k in parts}), 1)
    add("multiclass random", items(110, 5, 1.0), None)
    add("multiclass tied", items(100, 3, 0.7, round_to=4), None)
    add("multiclass imbalanced", items(180, 4, 1.0, prior=[0.9, 0.05, 0.03, 0.02]), None)
    probs, labels, parts = items(60, 4, 1.0, prior=[0.4, 0.3, 0.3, 0.0])
    add("multiclass one class absent", (probs, labels, parts), None)
    probs, labels, parts = items(30, 3, 1.0)
    add("multiclass one class only", (probs, np.full(30, 2), parts), None)
    add("two classes, none positive", items(50, 2, 1.0), None)

    # Too many items for a file: tests make them by the same formula.
    i = np.arange(8000)
    u, v = (i * 0.6180339887498949) % 1, (i * 0.7548776662466927) % 1
    labels = (i % 5 < 2).astype(int)
    p = np.floor(np.where(labels == 1, 1 - u * v, u * v) * 2000) / 2000
    parts = {"total": v * 0.5, "aleatoric": u * 0.25, "between_frames": u * 0, "epistemic": u * v * 0.25}
    formula = case("formula", np.stack([1 - p, p], 1), labels, 1, parts)
    cases.append({key: formula[key] for key in ["name", "classes", "positive", "want"]} | {"formula_items": len(i)})

    videos = [
        video("random", (10, 8, 2), 0.6),
        video("many classes", (7, 5, 6), 0.3),
        video("one sample", (1, 9, 3), 1.0),
        video("one frame", (12, 1, 2), 0.5),
        video("one sample, one frame", (1, 1, 2), 0.5),
        video("sure", (6, 6, 2), 0.02),
        video("same frames", (8, 32, 2), 0.5, "copies"),
        video("same networks", (9, 4, 3), 0.5, "networks"),
    ]
    wilson = []
    for events, count in [(0, 1), (1, 1), (0, 12), (5, 12), (12, 12), (499, 1000)]:
        ci = scipy.stats.binomtest(events, count).proportion_ci(0.95, method="wilson")
        wilson.append({"events": events, "count": count, "low": float(ci.low), "high": float(ci.high)})

    path = Path(__file__).with_suffix(".json")

    def short(value):
        """Twelve digits: enough for 1e-6, and the probabilities still sum to 1."""
        if isinstance(value, float):
            return float(f"{value:.12g}")
        if isinstance(value, list):
            return [short(v) for v in value]
        if isinstance(value, dict):
            return {k: short(v) for k, v in value.items()}
        return value

    # Inputs keep all their digits: ties must stay ties.
    for c in cases + videos:
        c["want"] = short(c["want"])
    path.write_text(json.dumps({"cases": cases, "videos": videos, "wilson": wilson}, separators=(",", ":")) + "\n")
    print(f"{path.name}: {len(cases)} cases, {len(videos)} videos, {path.stat().st_size} bytes")


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
