"""What every benchmark here needs: an environment for the peers, our example programs, the line of results."""

import importlib.util
import json
import os
import subprocess
import sys
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def environment(name, packages):
    """The Python that has `packages`: this one, or that of the virtual environment `.venv/NAME`, made and filled where it is
    missing."""
    if all(importlib.util.find_spec(package.replace("-", "_")) for package in packages):
        return Path(sys.executable)
    folder = ROOT / ".venv" / name
    python = folder / "bin" / "python"
    stamp = folder / "packages.json"
    if not stamp.exists() or json.loads(stamp.read_text()) != packages:
        venv.create(folder, with_pip=True, clear=True)
        subprocess.run([python, "-m", "pip", "install", "--quiet", *packages], check=True)
        stamp.write_text(json.dumps(packages))
    return python


def example(crate, name, features=()):
    """Builds an example program of a crate for release, with features; gives its path."""
    command = ["cargo", "build", "--release", "--quiet", "-p", crate, "--example", name, "--features", ",".join(features)]
    subprocess.run(command, cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "examples" / name


def dubito():
    """Builds the command for release; gives its path."""
    subprocess.run(["cargo", "build", "--release", "--quiet", "-p", "dubito"], cwd=ROOT, check=True)
    return Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release" / "dubito"


def measured(command):
    """Seconds and peak resident MiB of a command and its children, what it printed, and its seconds of processor time."""
    timed = (
        "import resource, subprocess, sys; done = subprocess.run(sys.argv[1:], stdout=subprocess.PIPE,"
        " stderr=subprocess.DEVNULL, text=True); used = resource.getrusage(resource.RUSAGE_CHILDREN);"
        " print(used.ru_maxrss / 1024, used.ru_utime + used.ru_stime); print(done.stdout); sys.exit(done.returncode)"
    )
    begun = time.perf_counter()
    done = subprocess.run([sys.executable, "-c", timed, *map(str, command)], check=True, stdout=subprocess.PIPE, text=True)
    seconds = time.perf_counter() - begun
    used, printed = done.stdout.split("\n", 1)
    memory, processor = map(float, used.split())
    return seconds, memory, printed.strip(), processor


def report(name, ours, peer, unit, lower_is_better=False):
    """Prints one comparison; a ratio above 1 means that ours is better."""
    ratio = peer / ours if lower_is_better else ours / peer
    print(json.dumps({"name": name, "ours": round(ours, 3), "peer": round(peer, 3), "unit": unit, "ratio": round(ratio, 3)}))
    sys.stdout.flush()
