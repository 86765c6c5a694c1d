"""Faces: frames per second of detection, tracking and the mesh at 640 x 480, beside MediaPipe's FaceMesh.

    python benchmarks/face.py [VIDEO] [--rounds 5]

VIDEO (by default ../shared/faces/pulse.mp4) is decoded and scaled once by FFmpeg; both sides read the same raw
frames into memory before the clock starts, and follow one face (ours up to eight). MediaPipe is installed into
.venv/face. The sides run in turn; the median of the rounds counts. Their mean landmarks are compared too, so
that a fast wrong answer does not pass.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

import common

WIDTH, HEIGHT = 640, 480

PEER = """
import json, sys, time
import mediapipe, numpy
frames = numpy.fromfile(sys.argv[1], numpy.uint8).reshape(-1, int(sys.argv[3]), int(sys.argv[2]), 3)
with mediapipe.solutions.face_mesh.FaceMesh(static_image_mode=False, refine_landmarks=False) as mesher:
    mesher.process(numpy.zeros_like(frames[0]))
    faces, points = 0, []
    begun = time.perf_counter()
    for frame in frames:
        for face in mesher.process(frame).multi_face_landmarks or []:
            faces += 1
            points.append([[p.x, p.y] for p in face.landmark])
    seconds = time.perf_counter() - begun
mean = numpy.mean(points, (0, 1)) * [int(sys.argv[2]), int(sys.argv[3])]
print(json.dumps({"frames": len(frames), "seconds": seconds, "faces": faces, "mean": mean.tolist()}))
"""


def last_json(command, **options):
    done = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, **options)
    return json.loads(done.stdout.splitlines()[-1])


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("video", nargs="?", default=common.ROOT.parent / "shared" / "faces" / "pulse.mp4", type=Path)
    parser.add_argument("--rounds", type=int, default=5, help="times each side runs; the median counts")
    arguments = parser.parse_args()
    if not arguments.video.exists():
        sys.exit(f"{arguments.video}: no such file; give a video of a face")
    python = common.environment("face", ["mediapipe==0.10.21"])
    program = common.example("dubito-face", "track_raw")

    with tempfile.TemporaryDirectory() as folder:
        raw = Path(folder) / "frames.rgb"
        scale = f"scale={WIDTH}:{HEIGHT},setsar=1"
        decode = ["ffmpeg", "-v", "error", "-i", arguments.video, "-vf", scale, "-f", "rawvideo", "-pix_fmt", "rgb24", raw]
        subprocess.run(decode, check=True)
        rates, burn = ([], []), []
        for round_ in range(arguments.rounds):
            with raw.open("rb") as frames:
                ours = last_json([program, str(WIDTH), str(HEIGHT)], stdin=frames)
            with raw.open("rb") as frames:
                by_burn = last_json([program, str(WIDTH), str(HEIGHT), "burn"], stdin=frames)
            burn.append(by_burn["frames"] / by_burn["seconds"])
            peer = last_json([python, "-c", PEER, raw, str(WIDTH), str(HEIGHT)])
            for side, result in zip(rates, (ours, peer)):
                side.append(result["frames"] / result["seconds"])
            print(f"round {round_}: ours {rates[0][-1]:.1f}, MediaPipe {rates[1][-1]:.1f} frames/s; "
                  f"faces {ours['faces']} and {peer['faces']}, mean landmark {ours['mean']} and {peer['mean']}", flush=True)
            apart = max(abs(a - b) for a, b in zip(ours["mean"], peer["mean"]))
            if apart > 3 or abs(ours["faces"] - peer["faces"]) > 0.02 * peer["frames"]:
                sys.exit("the two sides do not see the same faces")
    median = [statistics.median(side) for side in rates]
    common.report("detect, track and mesh, 640x480, one face", *median, "frames/s")
    common.report("the same, the networks run by burn on the CPU", statistics.median(burn), median[1], "frames/s")


if __name__ == "__main__":
    main()
