"""Make arrays.npz, arrays_packed.npz and arrays.csv: the same six items of two samples, written by NumPy; and
zstd.parquet, packed as polars does.

Usage: python arrays.py   (needs numpy and pyarrow)
The arrays are of many kinds on purpose: text as U and S, big-endian, unsigned, half and single precision
would not be equal to the CSV's digits, so every probability is a multiple of 1/1024.
"""

import csv
import pathlib

import numpy as np
import pyarrow
import pyarrow.parquet

here = pathlib.Path(__file__).parent
rng = np.random.default_rng(7)
items, samples = 6, 2
rows = items * samples
at = np.repeat(np.arange(items), samples)
columns = {
    "item": np.array([f"frame é{i}" for i in at]),  # U
    "label": (at >= 3),  # bool
    "p_fake": (rng.integers(0, 1025, rows) / 1024).astype(np.float16),
    "sample": np.tile(np.arange(samples), items).astype(">u2"),
    "frame": (at % 3).astype(np.int64),
    "video": np.array([b"real" if i < 3 else b"swapped" for i in at]),  # S
    "identity": np.array([f"id{i // 3}" for i in at]).astype(">U4"),
    "fold": (at // 3).astype(np.float32),
    "unused": rng.normal(size=(rows, 3)),
}
np.savez(here / "arrays.npz", **columns)
np.savez_compressed(here / "arrays_packed.npz", **columns)
with open(here / "arrays.csv", "w", newline="") as file:
    writer = csv.writer(file, lineterminator="\n")
    names = [name for name in columns if name != "unused"]
    writer.writerow(names)
    for row in range(rows):
        cells = [columns[name][row] for name in names]
        cells = [c.decode() if isinstance(c, bytes) else c for c in cells]
        cells[names.index("fold")] = int(columns["fold"][row])
        cells[names.index("label")] = ["real", "fake"][int(columns["label"][row])]
        writer.writerow([str(float(c)) if isinstance(c, np.floating) else c for c in cells])
pyarrow.parquet.write_table(
    pyarrow.table({"label": ["real"] * 50, "p_fake": [0.5] * 50}), here / "zstd.parquet", compression="zstd"
)
