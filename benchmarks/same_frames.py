"""How well copies of videos are told from what only looks like them, by the measure of `extract`.

    python benchmarks/same_frames.py ../shared/wild OUT

CLIPS holds a clips.csv with the columns `file`, `label`, `generator`, `identity` and `crop` (w:h:x:y; empty: the whole
picture). The first six seconds of each row are cut to OUT/originals; of forty of them, drawn by chance, nine copies each are
made in OUT/copies; then the example `same_frames` compares all with all. Needs FFmpeg with libx264.
"""

import argparse
import csv
import os
import random
import subprocess
from pathlib import Path

HALF, DOUBLE = (f"scale=trunc(iw*{factor}/2)*2:trunc(ih*{factor}/2)*2" for factor in (0.5, 2))
X264 = ["-c:v", "libx264", "-preset", "veryfast", "-crf"]
COPIES = {
    "remux": ["-c", "copy", "-movflags", "frag_keyframe"],
    "crf18": [*X264, "18"],
    "crf28": [*X264, "28"],
    "crf35": [*X264, "35"],
    "double": ["-vf", DOUBLE, *X264, "23"],
    "half28": ["-vf", HALF, *X264, "28"],
    "half35": ["-vf", HALF, *X264, "35"],
    "trim": ["-ss", "0.5", *X264, "23"],
    "fps15": ["-r", "15", *X264, "23"],
}


def ffmpeg(source: Path, target: Path, options: list[str]) -> None:
    if not target.exists():
        part = target.with_suffix(".part.mp4")
        command = ["ffmpeg", "-v", "error", "-y", "-i", str(source), "-an", *options, str(part)]
        subprocess.run(command, check=True)
        os.replace(part, target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("clips", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    originals, copies = arguments.out / "originals", arguments.out / "copies"
    originals.mkdir(parents=True, exist_ok=True)
    copies.mkdir(exist_ok=True)
    with open(arguments.clips / "clips.csv", newline="") as table:
        rows = list(csv.DictReader(table))
    for i, row in enumerate(rows):
        name = f"{i:03}_{row['label']}_{row['generator'] or 'real'}_{row['identity']}.mp4"
        crop = f"crop={row['crop']}," if row["crop"] else ""
        options = ["-t", "6", "-vf", f"{crop}crop=trunc(iw/2)*2:trunc(ih/2)*2,format=yuv420p", *X264, "16"]
        ffmpeg(arguments.clips / row["file"], originals / name, options)
    chosen = sorted(originals.iterdir())
    random.Random(1).shuffle(chosen)
    for original in chosen[:40]:
        for kind, options in COPIES.items():
            ffmpeg(original, copies / f"{original.stem}@{kind}.mp4", options)
    example = ["cargo", "run", "--release", "-p", "dubito-data", "--example", "same_frames", "--", copies, originals]
    subprocess.run(example, check=True)


if __name__ == "__main__":
    main()
