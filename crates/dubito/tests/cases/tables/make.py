"""Makes the binary inputs beside it: python make.py (pandas, pyarrow, polars, duckdb; nothing of it runs in a test)."""

import gzip
import io
import struct
import zipfile

import duckdb
import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

N = 20
label = ["real", "fake"] * (N // 2)
p = [0.1 + 0.04 * i for i in range(N)]
item = [f"v{i:02}" for i in range(N)]
who = [f"p{i % 5}" for i in range(N)]
generator = [None if l == "real" else "swap" for l in label]
frame = pd.DataFrame({"item": item, "label": label, "p_fake": p, "identity": who, "generator": generator})

for codec in ["gzip", "lz4", "brotli", "snappy", "zstd"]:
    pq.write_table(pa.Table.from_pandas(frame), f"scores_{codec}.parquet", compression=codec)
odd = frame.copy()
odd["label"] = odd["label"].map({"real": 0.0, "fake": 1.0})
odd["identity"] = odd["identity"].astype("category")
odd["note"] = None
odd.index = range(5, 5 + N)
odd.to_parquet("pandas.parquet")
odd.to_csv("pandas.csv")
table = pa.table({
    "item": pa.array(item, pa.large_string()),
    "label": pa.array([l == "fake" for l in label]),
    "p_fake": pa.array(p, pa.float64()).cast(pa.decimal128(10, 8), safe=False),
    "identity": pa.array(who, pa.string_view()),
    "generator": pa.array(generator).dictionary_encode(),
})
pq.write_table(table, "types.parquet", compression="zstd")
pl.from_pandas(frame).with_columns(pl.col("label").cast(pl.Categorical)).write_parquet("polars.parquet")
duckdb.sql("copy (select *, null as note from frame) to 'duckdb.parquet' (format parquet, codec 'zstd')")

manifest = pd.read_csv("filtered.csv", index_col=0)
manifest["identity"] = [float(i % 4) for i in range(len(manifest))]
manifest["donor"] = [np.nan if l == "real" else (i + 1) % 4 for i, l in enumerate(manifest["label"])]
manifest["label"] = manifest["label"].astype("category")
manifest.to_parquet("manifest_floats.parquet", compression="gzip")

text = "item,label,p_fake\n" + "".join(f"{a},{b},{c}\n" for a, b, c in zip(item, label, p))
for name in ["utf-16-le", "utf-16-be", "utf-32-le", "utf-32-be"]:
    open(f"{name}.csv", "wb").write("\ufeff".encode(name) + text.encode(name))
    open(f"{name}_without_mark.csv", "wb").write(text.encode(name))
open("cp1252.csv", "wb").write((text + "café,real,0.2\n").encode("cp1252"))
packed = gzip.compress(text.encode(), mtime=0)
open("cut.csv.gz", "wb").write(packed[: len(packed) * 2 // 3])
open("behind.csv.gz", "wb").write(packed + b"something that is no member")


def npy(kind: str, rows: int) -> bytes:
    head = f"{{'descr': '{kind}', 'fortran_order': False, 'shape': ({rows},), }}".encode()
    head += b" " * (63 - (10 + len(head)) % 64) + b"\n"
    return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(head)) + head


# 40 million rows of nothing in 350 KB (packed once more), and 1.25 billion declared where there are none.
bomb = io.BytesIO()
with zipfile.ZipFile(bomb, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
    for name, kind, size in [("label", "|i1", 1), ("p_fake", "<f8", 8)]:
        with archive.open(f"{name}.npy", "w") as entry:
            entry.write(npy(kind, 40_000_000))
            for _ in range(40):
                entry.write(bytes(1_000_000 * size))
open("bomb.npz.gz", "wb").write(gzip.compress(bomb.getvalue(), mtime=0))
with zipfile.ZipFile("declared.npz", "w", zipfile.ZIP_DEFLATED) as archive:
    for name, kind in [("label", "|i1"), ("p_fake", "<f8")]:
        archive.writestr(zipfile.ZipInfo(f"{name}.npy"), npy(kind, 1_250_000_000) + bytes(1000))
frame.to_excel("book.xlsx", index=False)
