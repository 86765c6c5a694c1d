"""Scores: reading a large file and computing every metric, beside pandas with scikit-learn and torchmetrics.

    python benchmarks/analyze.py [--rows 10000000] [--items 1000000] [--samples 50] [--rounds 2] [--only reduced]

Makes two Parquet files in a temporary folder, once: ROWS items, each reduced already from 20 samples (`item`, `label`,
`p_mean`, `expected_entropy`, `samples`), and ITEMS x SAMPLES raw rows (`item`, `label`, `sample`, `p_fake`). Ours is
what `dubito analyze FILE --resamples 0` does, built for release: it reads, checks, computes all of its metrics, and
writes metrics.json, tables, figures and the report. It is run as the example `analyze` of dubito-report, which calls the
same functions as the command and needs no tensors built; `--command` runs the command itself.

The peer reads the same file with pandas and computes every metric that metrics.json defines for it, of the same groups (all
items, the reals, the fakes): scikit-learn those that it has (accuracy, balanced accuracy, F1, MCC, log loss, Brier score, ROC,
average precision, isotonic regression), torchmetrics the calibration errors, NumPy the rest from one order and one set of
bins, PyTorch what is taken over samples. It relies on the rows of an item lying side by side, equally many, which of ours
only the jackknife needs; it checks no probability, draws no figure and writes no report. Each number that ours defines must be the peer's to 1e-6,
and the peer must compute no others, so that neither a fast wrong answer nor a padded peer passes.

The sides run in turn, each as a process of its own, the start of the interpreter and its imports included; the median of the
rounds counts. Memory is that of the largest process. Processor time says less than seconds where a side uses several cores,
but other work on the machine hardly changes it.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common

MAKE = """
import sys, numpy, pyarrow, pyarrow.parquet
folder, rows, items, samples = sys.argv[1], *map(int, sys.argv[2:])
random = numpy.random.default_rng(1)
def write(name, columns):
    pyarrow.parquet.write_table(pyarrow.table(columns), f"{folder}/{name}.parquet", row_group_size=1 << 20)
def entropy(p):
    return -(p * numpy.log(p) + (1 - p) * numpy.log1p(-p))
label = (random.random(rows) < .5).astype("int8")
p = 1 / (1 + numpy.exp(-random.normal(1.5 * (2 * label - 1), 2)))
p = numpy.clip(p, 1e-6, 1 - 1e-6)
share = random.random(rows)
write("reduced", {"item": numpy.arange(rows), "label": label, "p_mean": p, "expected_entropy": entropy(p) * share,
                  "samples": numpy.full(rows, 20, "int32")})
label = (random.random(items) < .5).astype("int8")
centre = random.normal(1.5 * (2 * label - 1), 2)
logit = numpy.repeat(centre, samples) + random.normal(0, .7, items * samples)
write("raw", {"item": numpy.repeat(numpy.arange(items), samples), "label": numpy.repeat(label, samples),
              "sample": numpy.tile(numpy.arange(samples, dtype="int32"), items), "p_fake": 1 / (1 + numpy.exp(-logit))})
"""

PEER = """
import json, sys, numpy, pandas, torch
from sklearn import isotonic, metrics
from torchmetrics.functional import calibration_error

BINS = 15


def entropy(p):
    p, q = numpy.clip(p, 1e-300, 1), numpy.clip(1 - p, 1e-300, 1)
    return -(p * numpy.log(p) + q * numpy.log(q))


def of_samples(table):
    # The rows of an item lie side by side: as a matrix [items, samples]. PyTorch uses all cores.
    samples = int(table["sample"].max()) + 1
    names = table["item"].to_numpy().reshape(-1, samples)
    assert (names == names[:, :1]).all()
    p = torch.from_numpy(table["p_fake"].to_numpy().reshape(-1, samples))
    entropies = lambda p: torch.special.entr(p) + torch.special.entr(1 - p)
    doubt, mean = entropies(p), p.mean(1)
    aleatoric, squares = doubt.mean(1), p.square().mean(1)
    votes = (p > .5).sum(1)
    without_one = entropies((p.sum(1, keepdim=True) - p) / (samples - 1))
    without_one -= (doubt.sum(1, keepdim=True) - doubt) / (samples - 1)
    means = {
        "aleatoric_variance": mean - squares, "epistemic_variance": squares - mean.square(),
        "variation_ratio": torch.minimum(votes, samples - votes) / samples,
        "epistemic_jackknife": samples * (entropies(mean) - aleatoric) - (samples - 1) * without_one.mean(1),
    }
    means = {name: value.numpy() for name, value in means.items()}
    return table["label"].to_numpy()[::samples], mean.numpy(), aleatoric.numpy(), means


def calibration(confidence, happened):
    # ECE, RMS and MCE of torchmetrics; what it does not have, from the same bins.
    tensors = torch.from_numpy(confidence), torch.from_numpy(happened.astype("int64"))
    error = lambda norm: float(calibration_error(*tensors, task="binary", n_bins=BINS, norm=norm, validate_args=False))
    at = numpy.minimum((confidence * BINS).astype("int64"), BINS - 1)
    count = numpy.bincount(at, minlength=BINS)
    events, sums = (numpy.bincount(at, weights, BINS)[count > 0] for weights in (happened, confidence))
    count = count[count > 0]
    return error("l1"), error("l2"), error("max"), count, events / count, sums / count


def ece_debiased(count, rate, mean):
    gap, deviation = numpy.abs(rate - mean), numpy.sqrt(rate * (1 - rate) / count)
    sure = deviation == 0
    z = gap / numpy.where(sure, 1, deviation)
    erf = torch.special.erf(torch.from_numpy(z / 2**.5)).numpy()
    folded = numpy.where(sure, gap, deviation * (2 / numpy.pi)**.5 * numpy.exp(-z * z / 2) + gap * erf)
    return max((count * (2 * gap - folded)).sum() / count.sum(), 0)


def rms_debiased(count, rate, mean):
    variance = rate * (1 - rate) / numpy.maximum(count - 1, 1)
    squared = numpy.where(count > 1, (rate - mean)**2 - variance, 0)
    return max((count * squared).sum() / count.sum(), 0)**.5


def two_classes(y, p, called):
    fpr, tpr, _ = metrics.roc_curve(y, p)
    fnr = 1 - tpr
    fake = y == 1
    order = numpy.argsort(p)
    ideal, fake_in_order = isotonic.isotonic_regression(y[order]), fake[order]
    odds = (y == 0).sum() / fake.sum()
    of_fakes, of_reals = ideal[fake_in_order], ideal[~fake_in_order]
    return {
        "balanced_accuracy": metrics.balanced_accuracy_score(y, called), "mcc": metrics.matthews_corrcoef(y, called),
        "auroc": metrics.auc(fpr, tpr), "average_precision": metrics.average_precision_score(y, p),
        "eer": numpy.interp(0, fpr - fnr, fpr), "eer_deepfakebench": fpr[numpy.argmin(numpy.abs(fnr - fpr))],
        "tpr_at_fpr1pct": tpr[fpr <= .01].max(), "tpr_at_fpr01pct": tpr[fpr <= .001].max(),
        "cllr": -(numpy.log2(p[fake]).mean() + numpy.log2(1 - p[~fake]).mean()) / 2,
        "cllr_min": (numpy.log2(1 + (1 - of_fakes) / of_fakes / odds).mean()
                     + numpy.log2(1 + of_reals / (1 - of_reals) * odds).mean()) / 2,
        "false_alarm_rate": called[~fake].mean(), "miss_rate": 1 - called[fake].mean(),
    }


def every_metric(y, p, aleatoric, means):
    called = (p > .5).astype(y.dtype)
    wrong, top, total = called != y, numpy.maximum(p, 1 - p), entropy(p)
    epistemic, certainty = numpy.maximum(total - aleatoric, 0), total / numpy.log(2)
    count, errors = len(y), wrong.sum()
    out = {
        "accuracy": metrics.accuracy_score(y, called), "nll": metrics.log_loss(y, p, labels=[0, 1]),
        "brier": metrics.brier_score_loss(y, p, labels=[0, 1]),
        "max_probability": top.mean(), "margin": 2 * top.mean() - 1, "total": total.mean(), "aleatoric": aleatoric.mean(),
        "epistemic": epistemic.mean(), "total_variance": (p * (1 - p)).mean(),
        "avu": ((certainty <= .5) != wrong).mean(), "avu_area": numpy.where(wrong, certainty, 1 - certainty).mean(),
    }
    out |= {name: value.mean() for name, value in means.items()}
    # Bins.
    ece, rms, mce, *bins = calibration(top, ~wrong)
    out |= {"ece_top15": ece, "rms_top15": rms, "mce_top15": mce,
            "ece_top15_debiased": ece_debiased(*bins), "rms_top15_debiased": rms_debiased(*bins)}
    ece, rms, mce, *bins = calibration(p, y == 1)
    out |= {"ece_pos15": ece, "rms_pos15": rms, "mce_pos15": mce, "ece_pos15_debiased": ece_debiased(*bins)}
    sizes, rates, confidences = bins
    rate = (y == 1).mean()
    parts = {"reliability": (sizes * (rates - confidences)**2).sum() / count,
             "resolution": (sizes * (rates - rate)**2).sum() / count, "uncertainty": rate * (1 - rate)}
    parts["within_bins"] = out["brier"] - parts["reliability"] + parts["resolution"] - parts["uncertainty"]
    out |= {f"brier_{name}": value for name, value in parts.items()}
    one_norm = lambda confidence, happened: float(calibration_error(
        torch.from_numpy(confidence), torch.from_numpy(happened.astype("int64")), task="binary", n_bins=BINS,
        validate_args=False))
    out["ece_classwise15"] = (ece + one_norm(1 - p, y == 0)) / 2
    out["uce15"] = one_norm(numpy.minimum(certainty, 1), wrong)
    # One order by confidence.
    order = numpy.argsort(top)
    confidence, wrong_in_order = top[order], wrong[order]
    kept = numpy.cumsum(wrong_in_order[::-1])
    risk = kept / numpy.arange(1, count + 1)
    best = numpy.arange(1, errors + 1)
    edges = -(-numpy.arange(BINS) * count // BINS)
    gaps = ~wrong_in_order - confidence
    out |= {
        "aurc": risk.mean(), "aurc_trapezoid": numpy.trapezoid(risk) / (count - 1),
        "eaurc": risk.mean() - (best / (count - errors + best)).sum() / count,
        "augrc": (kept.sum() - errors / 2) / count**2,
        "ks_calibration": numpy.abs(numpy.cumsum(gaps)).max() / count,
        "ece_adaptive15": numpy.abs(numpy.add.reduceat(gaps, edges)).sum() / count,
    }
    doubts = {"total": total, "aleatoric": aleatoric, "epistemic": epistemic, "max_probability": -top}
    for name, doubt in doubts.items():
        out[f"misclassification_auroc_{name}"] = metrics.roc_auc_score(wrong, doubt)
        out[f"misclassification_aupr_{name}"] = metrics.average_precision_score(wrong, doubt)
    for metric in "auroc", "aupr":  # of two classes the margin is 2 max - 1
        out[f"misclassification_{metric}_margin"] = out[f"misclassification_{metric}_max_probability"]
    classes = numpy.unique(y)
    if len(classes) == 2:
        out |= two_classes(y, p, called)
    else:
        out["miss_rate" if classes[0] == 1 else "false_alarm_rate"] = errors / count
    if 1 in classes:
        out["f1"] = metrics.f1_score(y, called)
    return {name: float(value) for name, value in out.items()}


table = pandas.read_parquet(sys.argv[1])
if "p_mean" in table:
    y, p, aleatoric, means = *(table[name].to_numpy() for name in ("label", "p_mean", "expected_entropy")), {}
else:
    y, p, aleatoric, means = of_samples(table)
groups = {"all": slice(None), "real": y == 0, "fake": y == 1}
print(json.dumps({
    name: every_metric(y[of], p[of], aleatoric[of], {name: value[of] for name, value in means.items()})
    for name, of in groups.items()
}))
"""

# The groups that both give, by what metrics.json calls them.
GROUPS = {"all": {}, "real": {"generator": "real"}, "fake": {"generator": "fake"}}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="items of the reduced file")
    parser.add_argument("--items", type=int, default=1_000_000, help="items of the raw file")
    parser.add_argument("--samples", type=int, default=50, help="samples of each of them")
    parser.add_argument("--rounds", type=int, default=2, help="times each side runs; the median counts")
    parser.add_argument("--only", choices=["reduced", "raw"], help="one of the two files")
    parser.add_argument("--command", action="store_true", help="build and run the whole command")
    arguments = parser.parse_args()
    python = common.environment("analyze", ["torch", "torchmetrics", "scikit-learn", "pandas", "pyarrow"])
    ours_is = [common.dubito(), "analyze", "--resamples", "0", "-q", "-o"] if arguments.command else [
        common.example("dubito-report", "analyze")]
    with tempfile.TemporaryDirectory() as folder:
        sizes = [str(n) for n in (arguments.rows, arguments.items, arguments.samples)]
        subprocess.run([python, "-c", MAKE, folder, *sizes], check=True)
        names = {
            "reduced": f"every metric of {arguments.rows:,} reduced items, Parquet",
            "raw": f"every metric of {arguments.items:,} items x {arguments.samples} raw samples, Parquet",
        }
        for file, title in names.items():
            if arguments.only not in (None, file):
                continue
            path, out = Path(folder) / f"{file}.parquet", Path(folder) / file
            seconds, memory, processor = ([], []), ([], []), ([], [])
            for round_ in range(arguments.rounds):
                ours = common.measured([*ours_is, out, path])
                peer = common.measured([python, "-c", PEER, path])
                for side, result in zip((0, 1), (ours, peer)):
                    seconds[side].append(result[0])
                    memory[side].append(result[1])
                    processor[side].append(result[3])
                print(f"round {round_} {file}: ours {ours[0]:.1f} s, {ours[1]:.0f} MiB; "
                      f"peer {peer[0]:.1f} s, {peer[1]:.0f} MiB", flush=True)
                agree(json.loads((out / "metrics.json").read_text()), json.loads(peer[2]))
            common.report(title, *map(statistics.median, seconds), "s", lower_is_better=True)
            common.report(f"{title}: processor time", *map(statistics.median, processor), "s", lower_is_better=True)
            common.report(f"{title}: peak memory", *map(statistics.median, memory), "MiB", lower_is_better=True)


def agree(ours, peer):
    """Every number that ours defines must be the peer's too, to 1e-6: a wrong one or one left out stops the benchmark."""
    for name, by in GROUPS.items():
        metrics = next(group["metrics"] for group in ours["groups"] if group["by"] == by)
        for metric, estimate in metrics.items():
            value, other = estimate["value"], peer[name].get(metric)
            # Of items there is nothing between frames.
            if value is None or metric.startswith("between_frames"):
                continue
            if other is None or not abs(value - other) <= 1e-6:
                sys.exit(f"the two sides differ: {metric} of {name} is {value} and {other}")
        more = [metric for metric in peer[name] if metrics[metric]["value"] is None]
        if more:
            sys.exit(f"the peer computes more than ours: {more} of {name}")


if __name__ == "__main__":
    main()
