"""Indexing: seconds to list 100,000 files of FaceForensics++'s shape, beside os.walk and pandas doing the same.

    python benchmarks/index.py [--files 100000] [--rounds 5]

The tree of empty files is made once in a temporary folder. Ours is the whole command `dubito data index`, its start
included; the peer is a Python process that walks the tree, takes each file's size, tells label, generator, target,
donor and compression from its path, and writes Parquet with pandas (installed into .venv/index), its start included
too. The sides run in turn; the median of the rounds counts. Their numbers of real and fake videos must be equal.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import common

METHODS = ["Deepfakes", "Face2Face", "FaceSwap", "NeuralTextures", "FaceShifter"]
COMPRESSIONS = ["raw", "c23", "c40"]

PEER = """
import os, sys
import pandas
root, rows = sys.argv[1], []
for folder, _, files in os.walk(root):
    parts = os.path.relpath(folder, root).split(os.sep)
    if len(parts) != 4 or parts[3] != "videos":
        continue
    for name in files:
        stem, ending = os.path.splitext(name)
        if ending != ".mp4":
            continue
        path = os.path.join(folder, name)
        target, _, donor = stem.partition("_")
        fake = parts[0] == "manipulated_sequences"
        rows.append((os.path.relpath(path, root), "fake" if fake else "real", parts[1].lower() if fake else "real",
                     "ffpp-" + target, "ffpp-" + donor if donor else None, parts[2], os.stat(path).st_size))
columns = ["path", "label", "generator", "identity", "donor", "compression", "bytes"]
frame = pandas.DataFrame(rows, columns=columns).sort_values("path")
frame.to_parquet(sys.argv[2])
print(len(rows), (frame.label == "fake").sum())
"""


def make_tree(root, files):
    """About so many empty videos: originals and fakes by each method at each compression."""
    made = 0
    for compression in COMPRESSIONS:
        originals = root / "original_sequences" / "youtube" / compression / "videos"
        originals.mkdir(parents=True)
        for i in range(1000):
            (originals / f"{i:03}.mp4").touch()
            made += 1
    each = (files - made) // (len(METHODS) * len(COMPRESSIONS))
    for method in METHODS:
        for compression in COMPRESSIONS:
            folder = root / "manipulated_sequences" / method / compression / "videos"
            folder.mkdir(parents=True)
            for k in range(each):
                i = k % 1000
                (folder / f"{i:03}_{(i + 1 + k // 1000) % 1000:03}.mp4").touch()
                made += 1
    return made


def timed(command):
    begun = time.perf_counter()
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE)
    return time.perf_counter() - begun, done.stdout.decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--files", type=int, default=100_000)
    parser.add_argument("--rounds", type=int, default=5, help="times each side runs; the median counts")
    arguments = parser.parse_args()
    python = common.environment("index", ["pandas", "pyarrow"])
    program = common.dubito()

    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "ffpp"
        made = make_tree(root, arguments.files)
        times = [], []
        for round_ in range(arguments.rounds):
            ours, said = timed([program, "data", "index", root, "-o", Path(folder) / "ours.parquet", "--json"])
            peer, counted = timed([python, "-c", PEER, root, Path(folder) / "peer.parquet"])
            rows = json.loads(said)["rows"]
            theirs, fakes = map(int, counted.split())
            print(f"round {round_}: ours {ours:.2f} s, pandas {peer:.2f} s; {rows} and {theirs} rows", flush=True)
            if not rows == theirs == made:
                sys.exit(f"the two sides do not see the same files: {rows} and {theirs} of {made}")
            times[0].append(ours)
            times[1].append(peer)
        check = [python, "-c", "import pandas, sys; print((pandas.read_parquet(sys.argv[1]).label == 'fake').sum())"]
        if int(timed([*check, Path(folder) / "ours.parquet"])[1]) != fakes:
            sys.exit("the two sides do not agree on what is fake")
    median = [statistics.median(side) for side in times]
    common.report(f"index {made} files", *median, "s", lower_is_better=True)


if __name__ == "__main__":
    main()
