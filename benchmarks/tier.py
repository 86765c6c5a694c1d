"""The forge's standard tier: how well a small ResNet-18 tells each generator's fakes of people it never saw.

    python benchmarks/tier.py OUT [--seed 0] [--subjects 24] [--program target/debug/dubito]

Runs what `dubito demo` runs, with its settings, on simulated people, but leaves no generator out: simulate, forge, extract,
train, predict, analyze, each into OUT and resumed there. Prints docs/FORGE.md's table as Markdown and a JSON line for each
generator, and ends with exit code 1 where one lies outside .75 to .95. FFmpeg is kept out of use, so that every machine
has the same videos. Without --program the command is built for development, in which its dependencies are optimised.
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

import common

LOW, HIGH = 0.75, 0.95


def group(metrics, **by):
    """The group of videos that is described so."""
    found = [g for g in metrics["groups"] if g["by"] == by and g["level"] == "video"]
    if len(found) != 1:
        sys.exit(f"metrics.json has {len(found)} groups {by} of videos, expected one")
    return found[0]["metrics"]


def interval(estimate):
    """A value with its interval."""
    return "{value:.3f} ({low:.3f} to {high:.3f})".format(**estimate)


def percent(estimate):
    """A rate."""
    return "none" if estimate["value"] is None else f"{100 * estimate['value']:.0f} %"


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out", type=Path)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--subjects", type=int, default=24)
    parser.add_argument("--program", type=Path, help="the command `dubito`; built for development without it")
    arguments = parser.parse_args()
    program = arguments.program
    if program is None:
        subprocess.run(["cargo", "build", "--quiet", "-p", "dubito"], cwd=common.ROOT, check=True)
        program = Path(os.environ.get("CARGO_TARGET_DIR", common.ROOT / "target")) / "debug" / "dubito"
    out = arguments.out
    seed = ["--seed", arguments.seed]

    def run(*words):
        subprocess.run([program, *map(str, words), "-q"], check=True, env=os.environ | {"DUBITO_FFMPEG": "none"})

    run("simulate", "--subjects", arguments.subjects, "--frames", 12, "--frame-rate", 6, "--width", 480, "--height", 360, *seed,
        "-o", out / "people")
    run("forge", out / "people", "--frames", 12, "--every", 1, "--donors", 1, "--controls", 2, *seed, "-o", out / "forged")
    run("extract", out / "forged" / "manifest.parquet", "--frames", 12, "--min-frames", 8, "--size", 112, "-o", out / "clips")
    run("train", out / "clips" / "manifest.parquet", "--recipe", "demo", "--task", "multiclass", *seed, "-o", out / "runs")
    run("predict", out / "clips" / "manifest.parquet", "--run", out / "runs", "--samples", 50, *seed, "-o", out / "predictions")
    run("analyze", out / "predictions" / "predictions.parquet", "-o", out / "report")

    metrics = json.loads((out / "report" / "metrics.json").read_text())
    names = sorted({g["by"]["generator"] for g in metrics["groups"] if g["by"].get("against") == "untouched"})
    print("| generator | AUROC, fakes against untouched reals | against null controls too | null controls called fake |")
    print("|---|---|---|---|")
    outside = []
    for name in names:
        against = group(metrics, generator=name, against="untouched")["auroc"]
        with_controls = group(metrics, generator=name, against="real")["auroc"]
        controls = group(metrics, control=name)["false_alarm_rate"]
        print(f"| `{name}` | {interval(against)} | {interval(with_controls)} | {percent(controls)} |")
        if not LOW <= against["value"] <= HIGH:
            outside.append(name)
    for name in names:
        print(json.dumps({"name": f"tier {name}", **group(metrics, generator=name, against="untouched")["auroc"]}))
    if outside:
        sys.exit(f"outside {LOW} to {HIGH}: {', '.join(outside)}")


if __name__ == "__main__":
    main()
