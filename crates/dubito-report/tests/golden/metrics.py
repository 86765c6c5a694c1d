"""Make metrics.json from predictions.csv with NumPy and scikit-learn, sharing no code with the crate.

Usage: python metrics.py   (needs numpy, pandas, scikit-learn)
predictions.csv is made by the test `golden_predictions_are_those_of_the_generator` and is checked by it.
"""

import json
import pathlib

import numpy as np
import pandas as pd
from sklearn.metrics import average_precision_score, brier_score_loss, log_loss, roc_auc_score

here = pathlib.Path(__file__).parent
rows = pd.read_csv(here / "predictions.csv")
rows["y"] = (rows.label == "fake").astype(int)
rows["control"] = rows.control.fillna("")


def entropy(p):
    p = np.stack([p, 1 - p])
    with np.errstate(divide="ignore", invalid="ignore"):
        return -np.where(p > 0, p * np.log(p), 0).sum(0)


def spread(p):
    """Variances by the law of total variance, votes and jackknife of P(fake), [samples, frames]."""
    of_sample = p.mean(1)
    information = lambda p: entropy(p.mean()) - entropy(p).mean()
    samples = len(of_sample)
    left_out = [information(np.delete(of_sample, sample)) for sample in range(samples)]
    votes = (of_sample > 0.5).sum()
    return dict(
        total_variance=p.mean() * (1 - p.mean()), aleatoric_variance=(p * (1 - p)).mean(),
        between_frames_variance=p.var(1).mean(), epistemic_variance=of_sample.var(),
        variation_ratio=min(votes, samples - votes) / samples,
        epistemic_jackknife=samples * information(of_sample) - (samples - 1) * np.mean(left_out),
    )


def frame(group):
    p = group.p_fake.to_numpy()
    total, aleatoric = entropy(p.mean()), entropy(p).mean()
    return dict(
        p=p.mean(), total=total, aleatoric=aleatoric, between_frames=0.0, epistemic=total - aleatoric,
        **spread(p[:, None]),
    )


def video(group):
    p = group.pivot(index="sample", columns="frame", values="p_fake").to_numpy()
    total, within, sample = entropy(p.mean()), entropy(p).mean(), entropy(p.mean(1)).mean()
    return dict(
        p=p.mean(), total=total, aleatoric=within, between_frames=sample - within, epistemic=total - sample, **spread(p)
    )


def scored(key, reduce):
    out = []
    for _, group in rows.groupby(key, sort=True):
        first = group.iloc[0]
        out.append(dict(y=first.y, generator=first.generator, control=first.control, **reduce(group)))
    return pd.DataFrame(out)


def ece(confidence, happened):
    bins = np.clip(np.ceil(confidence * 15) - 1, 0, 14)
    return sum(abs((happened - confidence)[bins == b].sum()) for b in range(15)) / len(confidence)


def metrics(items):
    p, y = items.p.to_numpy(), items.y.to_numpy()
    said = (p > 0.5).astype(int)
    right = said == y
    both = len(set(y)) == 2
    top = np.maximum(p, 1 - p)
    out = {
        "accuracy": right.mean(),
        "auroc": roc_auc_score(y, p) if both else None,
        "average_precision": average_precision_score(y, p) if both else None,
        "nll": log_loss(y, p, labels=[0, 1]),
        "brier": brier_score_loss(y, p, pos_label=1),
        "ece_top15": ece(top, right.astype(float)),
        "ece_pos15": ece(p, y.astype(float)),
        "false_alarm_rate": said[y == 0].mean() if (y == 0).any() else None,
        "miss_rate": 1 - said[y == 1].mean() if (y == 1).any() else None,
    }
    for name in [
        "total", "aleatoric", "between_frames", "epistemic", "total_variance", "aleatoric_variance",
        "between_frames_variance", "epistemic_variance", "variation_ratio", "epistemic_jackknife",
    ]:
        out[name] = items[name].mean()
    for name in ["total", "aleatoric", "epistemic"]:
        wrong = ~right
        out["misclassification_auroc_" + name] = (
            roc_auc_score(wrong, items[name]) if 0 < wrong.sum() < len(wrong) else None
        )
    return {name: None if value is None else float(value) for name, value in out.items()}


groups = []
for level, items in [("frame", scored("item", frame)), ("video", scored("video", video))]:
    def add(by, chosen):
        groups.append(dict(by=by, level=level, items=len(chosen), metrics=metrics(chosen)))

    add({}, items)
    add({"generator": "real"}, items[(items.y == 0) & (items.control == "")])
    for name in ["face-swap", "mouth"]:
        fakes = (items.y == 1) & (items.generator == name)
        add({"generator": name}, items[fakes])
        add({"generator": name, "against": "real"}, items[fakes | (items.y == 0)])
        add({"control": name}, items[(items.y == 0) & (items.control == name)])
(here / "metrics.json").write_text(json.dumps(groups, indent=1) + "\n")
