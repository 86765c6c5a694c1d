"""Scores: reading a large file and computing every metric, beside pandas with scikit-learn and torchmetrics.

    python benchmarks/analyze.py [--rows 10000000] [--items 1000000] [--samples 50] [--rounds 2] [--only reduced]

Makes two Parquet files in a temporary folder, once: ROWS items, each reduced already from 20 samples (`item`, `label`,
`p_mean`, `expected_entropy`, `samples`), and ITEMS x SAMPLES raw rows (`item`, `label`, `sample`, `p_fake`). Ours is
what `dubito analyze FILE --resamples 0` does, built for release: it reads, checks, computes all of its metrics, and
writes metrics.json, tables, figures and the report. It is run as the example `analyze` of dubito-report, which calls the
same functions as the command and needs no tensors built; `--command` runs the command itself. The peer reads the same file with pandas and
computes those of the metrics that scikit-learn and torchmetrics have, and the entropies with NumPy. The numbers that
both give are compared first, so that a fast wrong answer does not pass. The sides run in turn, each as a process of
its own; the median of the rounds counts. Memory is that of the largest process. Processor time says less than seconds where
a side uses several cores, but other work on the machine hardly changes it.
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
import json, sys, numpy, pandas, torch, torchmetrics
from sklearn import metrics
def entropy(p):
    p = numpy.clip(p, 1e-300, 1)
    q = numpy.clip(1 - p, 1e-300, 1)
    return -(p * numpy.log(p) + q * numpy.log(q))
table = pandas.read_parquet(sys.argv[1])
if "p_mean" in table:
    y, p, aleatoric = table["label"].to_numpy(), table["p_mean"].to_numpy(), table["expected_entropy"].to_numpy()
else:
    table["entropy"] = entropy(table["p_fake"].to_numpy())
    items = table.groupby("item", sort=False).agg({"label": "first", "p_fake": "mean", "entropy": "mean"})
    y, p, aleatoric = items["label"].to_numpy(), items["p_fake"].to_numpy(), items["entropy"].to_numpy()
called = (p > .5).astype(y.dtype)
top = numpy.maximum(p, 1 - p)
wrong = called != y
total = entropy(p)
tp, ty = torch.from_numpy(p), torch.from_numpy(y.astype("int64"))
confident = lambda norm: float(torchmetrics.functional.calibration_error(tp, ty, task="binary", n_bins=15, norm=norm))
fpr, tpr, _ = metrics.roc_curve(y, p)
fnr = 1 - tpr
order = numpy.argsort(-top, kind="stable")
risk = numpy.cumsum(wrong[order]) / numpy.arange(1, len(p) + 1)
out = {
    "accuracy": metrics.accuracy_score(y, called), "balanced_accuracy": metrics.balanced_accuracy_score(y, called),
    "f1": metrics.f1_score(y, called), "mcc": metrics.matthews_corrcoef(y, called),
    "auroc": metrics.roc_auc_score(y, p), "average_precision": metrics.average_precision_score(y, p),
    "eer_deepfakebench": fpr[numpy.nanargmin(numpy.abs(fnr - fpr))],
    "tpr_at_fpr1pct": tpr[fpr <= .01].max(), "tpr_at_fpr01pct": tpr[fpr <= .001].max(),
    "nll": metrics.log_loss(y, p), "brier": metrics.brier_score_loss(y, p),
    "ece_pos15": confident("l1"), "rms_pos15": confident("l2"), "mce_pos15": confident("max"),
    "aurc": risk.mean(), "total": total.mean(), "aleatoric": aleatoric.mean(), "epistemic": (total - aleatoric).mean(),
}
for name, doubt in {"total": total, "aleatoric": aleatoric, "epistemic": total - aleatoric, "max_probability": -top}.items():
    out[f"misclassification_auroc_{name}"] = metrics.roc_auc_score(wrong, doubt)
    out[f"misclassification_aupr_{name}"] = metrics.average_precision_score(wrong, doubt)
print(json.dumps({name: float(value) for name, value in out.items()}))
"""

# Numbers on which both sides must agree. The positive-class errors are left to each side's bin edges, the
# area under the risk curve to the order of its ties.
AGREE = ["accuracy", "balanced_accuracy", "f1", "mcc", "auroc", "average_precision", "nll", "brier", "total", "aleatoric",
         "misclassification_auroc_total", "misclassification_aupr_max_probability"]


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
    overall = ours["groups"][0]["metrics"]
    for name in AGREE:
        if abs(overall[name]["value"] - peer[name]) > 1e-6:
            sys.exit(f"the two sides differ: {name} is {overall[name]['value']} and {peer[name]}")


if __name__ == "__main__":
    main()
