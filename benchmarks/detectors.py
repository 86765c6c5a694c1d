"""Detectors side by side: what each learns of the forge's classes from real faces, and what it costs, beside PyTorch.

    python benchmarks/detectors.py ../shared/faces [--dubito PATH] [--work FOLDER]

The command behind the table in docs/DETECTORS.md. It forges the videos of a folder, cuts faces from them once for the blind
detectors and once, in windows of consecutive frames, for the biological ones, and then for each detector and seed trains
(one detector for each fold of people), predicts the people left out, and analyzes. One training on all classes gives both
views: the classes, and real against fake. Every step's time and memory are kept in FOLDER/steps.json; stopped, the same
command goes on from there. Writes FOLDER/table.md.

Where torch and torchvision can be imported, the same architecture is trained and asked by PyTorch for a few steps at the same
size and batch, on as many threads, to compare the speed.
"""

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import time
from pathlib import Path

import common

BIOLOGICAL = ["fakecatcher", "motion"]
# First guesses of seconds for each thousand crops trained at 64 pixels, until there are measurements: the time left
# depends on them at the beginning alone.
GUESS = {"resnet18": 25, "mobilenet_v2": 25, "mobilenet_v3_small": 10, "efficientnet_b0": 40, "fakecatcher": 5}
METRICS = [("accuracy", "accuracy"), ("auroc", "AUROC"), ("ece_top15_debiased", "calibration error"),
           ("misclassification_auroc_total", "doubt finds errors")]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("faces", nargs="?", type=Path, help="folder of real face videos; without it people are simulated")
    parser.add_argument("--dubito", type=Path, help="the program [default: built for release]")
    parser.add_argument("--work", type=Path, default=common.ROOT / "benchmarks" / "out" / "detectors")
    parser.add_argument("--detectors", default="resnet18,mobilenet_v2,efficientnet_b0,fakecatcher")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--frames", type=int, default=8, help="frames of each video for the blind detectors")
    parser.add_argument("--size", type=int, default=128, help="side of the crops in pixels")
    parser.add_argument("--windows", default="2x72", help="windows of consecutive frames for the biological detectors")
    parser.add_argument("--forged", type=int, default=144, help="frames of each forged video, one after the other")
    parser.add_argument("--epochs", type=int, default=6, help="most epochs of the blind detectors; the biological ones keep their recipe's")
    parser.add_argument("--freeze", default="resnet18=stem", help="DETECTOR=STAGE, by commas")
    parser.add_argument("--weights", default="", help="DETECTOR=FILE to begin from, by commas")
    parser.add_argument("--set", default=["fakecatcher:signal.omega=64", "fakecatcher:signal.step=8"], action="append",
                        help="DETECTOR:KEY=VALUE of a recipe")
    parser.add_argument("--task", default="multiclass")
    parser.add_argument("--samples", type=int, default=20, help="posterior samples of each frame")
    parser.add_argument("--people", type=int, default=24, help="people to simulate where there is no folder")
    parser.add_argument("--crf", type=int, default=23, help="how much the forged videos are compressed")
    parser.add_argument("--raw", action="store_true", help="lossless videos: nothing of a pulse is lost to an encoder")
    parser.add_argument("--no-peer", action="store_true", help="leave PyTorch out")
    parser.add_argument("--peer", metavar="NAME", help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.peer:
        return peer(arguments.peer, arguments.size)
    names = arguments.detectors.split(",")
    arguments.freeze, arguments.weights = pairs(arguments.freeze), pairs(arguments.weights)
    work = arguments.work.resolve()
    work.mkdir(parents=True, exist_ok=True)
    steps = Steps(work, arguments.dubito or common.dubito())
    plan(steps, arguments, names, work)
    steps.run()
    table = table_of(steps, arguments, names, work)
    (work / "table.md").write_text(table)
    print(table)
    print(work / "table.md")


def pairs(text):
    return dict(pair.split("=", 1) for pair in text.split(",") if pair)


def plan(steps, arguments, names, work):
    """Every command of the benchmark in order, with a guess of its seconds."""
    faces = arguments.faces
    people = arguments.people
    raw = ["--raw"] if arguments.raw else []
    written = raw or ["--crf", arguments.crf]
    if faces is None:
        faces = work / "people"
        steps.add("simulate", ["simulate", "--subjects", people, "--frames", arguments.forged, *raw, "-o", faces], people * arguments.forged / 20)
    biological = [name for name in names if name in BIOLOGICAL]
    blind = [name for name in names if name not in BIOLOGICAL]
    # Biological detectors need every frame; blind ones do with a few, taken by `extract`.
    forged = arguments.forged if biological else arguments.frames
    every = 1 if biological else 4
    videos = 12 * people
    steps.add("forge", ["forge", faces, "--frames", forged, "--every", every, "--donors", 1, "--controls", 2, *written, "-o", work / "forged"],
              videos * forged / 40)
    manifest = work / "forged" / "manifest.parquet"
    size = ["--size", arguments.size]
    if blind:
        steps.add("extract", ["extract", manifest, "--frames", arguments.frames, *size, "-o", work / "clips"], videos * forged / 150)
    if biological:
        sampling = ["--sampling", f"windows:{arguments.windows}"]
        steps.add("extract windows", ["extract", manifest, *sampling, *size, "-o", work / "windows"], videos * forged / 120)
    crops = videos * arguments.frames / 2
    for name in names:
        clips = work / ("windows" if name in BIOLOGICAL else "clips") / "manifest.parquet"
        options = ["--recipe", name, "--task", arguments.task]
        options += [] if name in BIOLOGICAL else ["--epochs", arguments.epochs]
        for flag, chosen in [("--freeze", arguments.freeze), ("--weights", arguments.weights)]:
            options += [flag, chosen[name]] if name in chosen else []
        for change in arguments.set:
            of, key = change.split(":", 1)
            options += ["--set", key] if of == name else []
        for seed in range(arguments.seeds):
            folder = work / name / f"seed{seed}"
            guess = 3 * crops * arguments.epochs * GUESS.get(name, 50) / 1000 * (arguments.size / 64) ** 2
            steps.add(f"{name} seed {seed} train", ["train", clips, *options, "--seed", seed, "-o", folder / "runs"], guess)
            predict = ["predict", clips, "--run", folder / "runs", "--samples", arguments.samples, "--seed", seed, "-o", folder]
            steps.add(f"{name} seed {seed} predict", predict, guess / arguments.epochs / 2)
            analyze = ["analyze", folder / "predictions.parquet", "--seed", seed, "-o", folder]
            steps.add(f"{name} seed {seed} analyze", analyze, 5)
        if name in TORCHVISION and not arguments.no_peer:
            command = [sys.executable, __file__, "--peer", name, "--size", arguments.size]
            steps.add(f"{name} PyTorch", command, 30, ours=False)


class Steps:
    """Commands with their time, memory and output, each run once."""

    def __init__(self, work, dubito):
        self.path, self.dubito = work / "steps.json", Path(dubito).resolve()
        self.known = json.loads(self.path.read_text()) if self.path.exists() else {}
        self.planned = []

    def add(self, name, command, guess, ours=True):
        command = [str(word) for word in command]
        full = [str(self.dubito), *command, "--json"] if ours else command
        self.planned.append((name, command, full, guess))

    def __getitem__(self, name):
        return self.known.get(name, {})

    def done(self, name, command):
        """A step counts as done where its command was the same, and was when those before it were done."""
        return self[name].get("command") == command and self[name].get("done", False)

    def run(self):
        stale, renewed = False, set()
        for i, (name, command, full, guess) in enumerate(self.planned):
            # What a step before made anew, those after it make anew (the program itself keeps what is the same).
            shared, series = name.split()[0] in ("simulate", "forge", "extract"), name.rsplit(" ", 1)[0]
            if self.done(name, command) and not stale and series not in renewed:
                continue
            stale = stale or shared
            renewed.add(series)
            print(f"[{i + 1}/{len(self.planned)}] {name}: {self.left(i)}", flush=True)
            same = self[name].get("command") == command and not self[name].get("done", False)
            before = self[name].get("seconds", 0.0) if same else 0.0
            entry = {"command": command, "guess": guess, "seconds": before, "done": False}
            begun = time.perf_counter()
            process = subprocess.Popen(full, stdout=subprocess.PIPE, text=True)
            try:
                entry["printed"] = process.stdout.read().strip()
                _, status, usage = os.wait4(process.pid, 0)
            except KeyboardInterrupt:
                process.kill()
                process.wait()
                self.write(name, {**entry, "seconds": before + time.perf_counter() - begun})
                sys.exit("stopped; the same command goes on from here")
            entry["seconds"] = round(before + time.perf_counter() - begun, 2)
            entry["peak_mib"] = round(usage.ru_maxrss / 1024)
            entry["done"] = status == 0
            self.write(name, entry)
            if status != 0:
                sys.exit(f"{name} failed; its command:\n{' '.join(full)}")

    def write(self, name, entry):
        self.known[name] = entry
        temporary = self.path.with_suffix(".new")
        temporary.write_text(json.dumps(self.known, indent=1) + "\n")
        temporary.replace(self.path)

    def left(self, i):
        """Guessed time of what is left, by how the guesses before held."""
        ours = [(self[name]["seconds"], guess) for name, command, _, guess in self.planned[:i] if self.done(name, command)]
        factor = sum(s for s, _ in ours) / max(sum(g for _, g in ours), 1e-9) if ours else 1.0
        minutes = factor * sum(guess for name, command, _, guess in self.planned[i:] if not self.done(name, command)) / 60
        return f"about {minutes:.0f} min left"


def table_of(steps, arguments, names, work):
    """The table: a line for each detector, means over the seeds."""
    task = {"task": arguments.task} if arguments.task != "binary" else None
    lines = ["| detector | parameters | accuracy of the classes | " + " | ".join(title for _, title in METRICS)
             + " | training, images/s | PyTorch | prediction, images/s | PyTorch | peak MiB | PyTorch |",
             "|" + "---|" * (len(METRICS) + 9)]
    notes = []
    for name in names:
        folders = [work / name / f"seed{seed}" for seed in range(arguments.seeds)]
        metrics = [json.loads((folder / "metrics.json").read_text())["groups"] for folder in folders]
        level = "video"
        overall = [group(groups, {}, level) for groups in metrics]
        several = [group(groups, task, level) for groups in metrics] if task else []
        cells = [over_seeds([g.get(metric) for g in overall]) for metric, _ in METRICS]
        classes = over_seeds([g.get("accuracy") for g in several]) if task else "-"
        lows = [g["auroc"]["low"] for g in overall if g.get("auroc", {}).get("low") is not None]
        if not lows or statistics.mean(lows) <= 0.5:
            notes.append(f"{name}: not above chance on real against fake (the AUROC's interval holds .5)")
        trained = [statistics_of(folder / "runs") for folder in folders]
        seconds = [steps[f"{name} seed {seed} train"]["seconds"] for seed in range(arguments.seeds)]
        predicted = [steps[f"{name} seed {seed} predict"]["seconds"] for seed in range(arguments.seeds)]
        frames = [overall_frames(groups) for groups in metrics]
        peer_of = json.loads(steps[f"{name} PyTorch"].get("printed") or "{}")
        why = peer_of.get("missing", "not in torchvision" if name not in TORCHVISION else "not run")
        rates = [f"{sum(t['crops'] for t in trained) / sum(seconds):.1f}", number(peer_of.get("train"), why),
                 f"{sum(frames) / sum(predicted):.1f}", number(peer_of.get("predict"), why),
                 str(max(steps[f"{name} seed {seed} train"]["peak_mib"] for seed in range(arguments.seeds))),
                 str(steps[f"{name} PyTorch"].get("peak_mib")) if "train" in peer_of else why]
        lines.append(f"| `{name}` | {trained[0]['parameters'] / 1e6:.2f} M | {classes} | " + " | ".join(cells + rates) + " |")
    total = sum(steps[name]["seconds"] for name, *_ in steps.planned)
    lines += ["", f"Videos; {arguments.seeds} seed(s): the mean over the seeds, in brackets the mean of the ends of the 95 % intervals "
              "(bootstrapped over people), after ± the standard deviation over the seeds. Accuracy, AUROC and what follows are of "
              "real against fake; the calibration error is debiased; the last is the AUROC of the total uncertainty for finding "
              "the detector's own errors.",
              "", f"Crops of {arguments.size} pixels, {arguments.frames} of each video, windows {arguments.windows} for the biological "
              f"detectors;{' lossless videos;' if arguments.raw else f' CRF {arguments.crf};'} at most {arguments.epochs} epochs of the blind ones; frozen: {', '.join(f'{n} up to {s}' for n, s in arguments.freeze.items()) or 'nothing'}; begun from weights: "
              f"{', '.join(arguments.weights) or 'none'}. Our images/s are those of the whole command (all folds, reading, "
              f"validation; of prediction {arguments.samples} samples of each frame), PyTorch's of training and of single passes of the whole network on "
              f"pictures in memory, at the same size, batches of 32, {os.cpu_count()} threads. All steps took {total / 60:.0f} min."]
    lines += ["", *notes] if notes else []
    return "\n".join(lines) + "\n"


def group(groups, by, level):
    for each in groups:
        if each["by"] == by and each["level"] == level:
            return each["metrics"]
    return {}


def overall_frames(groups):
    """Frames that were predicted."""
    return max((g["items"] for g in groups if g["level"] == "frame"), default=0)


def over_seeds(estimates):
    """`mean (low to high) ± deviation` of estimates, or why there is none."""
    known = [e for e in estimates if e and e.get("value") is not None]
    if not known:
        reasons = [e.get("undefined_because") for e in estimates if e]
        return reasons[0] if reasons else "undefined"
    mean = statistics.mean(e["value"] for e in known)
    ends = [(e["low"], e["high"]) for e in known if e.get("low") is not None]
    text = f"{mean:.3f}"
    if ends:
        text += f" ({statistics.mean(low for low, _ in ends):.3f} to {statistics.mean(high for _, high in ends):.3f})"
    if len(known) > 1:
        text += f" ± {statistics.stdev(e['value'] for e in known):.3f}"
    return text


def number(value, otherwise):
    return f"{value:.1f}" if value is not None else otherwise


def statistics_of(runs):
    """Crops trained on over all folds and epochs, and the parameters of one detector."""
    crops = parameters = 0
    for card in sorted(runs.glob("*/model_card.md")):
        found = re.search(r"\| training \| (\d+) crops, (\d+) epochs", card.read_text())
        crops += int(found[1]) * int(found[2])
        with open(card.parent / "weights.safetensors", "rb") as file:
            header = json.loads(file.read(int.from_bytes(file.read(8), "little")))
        parameters = 0
        for name, tensor in header.items():
            if name != "__metadata__" and "running_" not in name and "num_batches" not in name:
                count = 1
                for side in tensor["shape"]:
                    count *= side
                parameters += count
    return {"crops": crops, "parameters": parameters}


TORCHVISION = ["resnet18", "mobilenet_v2", "mobilenet_v3_small", "efficientnet_b0", "efficientnet_b4"]


def peer(name, size, batch=32, steps=3):
    """PyTorch's images/s for the same architecture; one JSON object."""
    try:
        import torch
        import torchvision
    except ImportError as error:
        print(json.dumps({"missing": f"no {error.name}"}))
        return
    torch.set_num_threads(os.cpu_count())
    net = getattr(torchvision.models, name)(num_classes=10)
    optimiser = torch.optim.AdamW(net.parameters(), lr=1e-4)
    x, y = torch.randn(batch, 3, size, size), torch.arange(batch) % 10

    def train():
        optimiser.zero_grad()
        torch.nn.functional.cross_entropy(net(x), y).backward()
        optimiser.step()

    def predict():
        with torch.inference_mode():
            net(x)

    def rate(what):
        what()  # Warms up.
        times = []
        for _ in range(steps):
            begun = time.perf_counter()
            what()
            times.append(time.perf_counter() - begun)
        return batch / statistics.median(times)

    net.train()
    training = rate(train)
    net.eval()
    print(json.dumps({"train": training, "predict": rate(predict)}))


if __name__ == "__main__":
    main()
