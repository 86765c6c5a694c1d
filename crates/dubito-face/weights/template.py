"""The mean frontal face mesh, and the mesh's triangles, as Rust constants (`src/topology.rs`).

    pip install mediapipe==0.10.21
    python template.py DIR_OF_FACE_VIDEOS | rustfmt --edition 2024 > ../src/topology.rs

The mean: up to 12 frames of every video are meshed by MediaPipe's own FaceMesh, the meshes are brought onto
each other by similarity transforms (generalised Procrustes), averaged with their mirror images, weighted so
that every video counts alike, and scaled so that the face oval's larger side is 1 and its box is centred in
the unit square. The triangles: MediaPipe's FACEMESH_TESSELATION lists each as three edges; those of the eyes'
and the mouth's openings, which it leaves out, are added as strips between the two lids and lips.
"""

import inspect
import re
import subprocess
import sys
from pathlib import Path

import mediapipe as mp
import numpy as np
from scipy.optimize import linear_sum_assignment

connections = mp.solutions.face_mesh_connections


def ring(edges):
    """A closed list of points from unordered edges."""
    around = {}
    for a, b in edges:
        around.setdefault(a, []).append(b)
        around.setdefault(b, []).append(a)
    path = [min(around)]
    while True:
        onward = [p for p in around[path[-1]] if p not in path]
        if not onward:
            return path
        path.append(min(onward) if len(path) == 1 else onward[0])


def triangles():
    """The tessellation's triangles. Its source lists each as three edges in a row; the set forgets the order."""
    numbers = [int(n) for n in re.findall(r"\d+", inspect.getsource(connections).split("FACEMESH_TESSELATION")[1])]
    edges = list(zip(numbers[0::2], numbers[1::2]))
    assert set(edges) == set(connections.FACEMESH_TESSELATION) and len(edges) == 2556
    found = [tuple(sorted({p for edge in edges[i:i + 3] for p in edge})) for i in range(0, len(edges), 3)]
    assert all(len(t) == 3 for t in found)
    return sorted(found)


def mirror_images(mean):
    """Each point's counterpart: the pairing in which the points lie closest to each other's mirror image."""
    for _ in range(10):
        _, mirror = linear_sum_assignment(abs(mean[:, None] + mean.conjugate()[None]))
        mean = mean - ((mean + mean[mirror]) / 2).real.mean()
    assert (mirror[mirror] == np.arange(468)).all(), "the mirror images are not pairs"
    return mirror, mean


def frames(path):
    def probe(entry):
        command = ["ffprobe", "-v", "error", "-select_streams", "v:0", "-show_entries", entry, "-of", "csv=p=0", path]
        return subprocess.check_output(command, text=True).strip().split(",")

    width, height = (int(v) for v in probe("stream=width,height")[:2])
    seconds = float(probe("format=duration")[0])
    command = ["ffmpeg", "-v", "error", "-i", path, "-vf", f"fps={12 / min(seconds, 60):.4f}", "-frames:v", "12",
               "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    raw = np.frombuffer(subprocess.check_output(command), np.uint8)
    return raw.reshape(-1, height, width, 3)


def onto(points, target):
    """`points` moved by the similarity that brings them closest to `target`, as complex numbers."""
    a, b = points - points.mean(), target - target.mean()
    return a * (np.vdot(a, b) / np.vdot(a, a)) + target.mean()


if __name__ == "__main__":
    videos = sorted(p for p in Path(sys.argv[1]).iterdir() if p.suffix in (".mp4", ".mov"))
    meshes, weights = [], []
    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1) as mesher:
        for video in videos:
            found = []
            for frame in frames(str(video)):
                result = mesher.process(frame).multi_face_landmarks
                if result:
                    height, width = frame.shape[:2]
                    points = np.array([[p.x * width, p.y * height] for p in result[0].landmark])
                    found.append(points[:, 0] + 1j * points[:, 1])
            print(f"{video.name}: {len(found)} meshes", file=sys.stderr)
            meshes += found
            weights += [1 / len(found)] * len(found)
    meshes, weights = np.array(meshes), np.array(weights) / sum(weights)

    mean = meshes[0]
    for _ in range(10):
        mean = (weights[:, None] * np.array([onto(m, mean) for m in meshes])).sum(0)
        mean = (mean - mean.mean()) / abs(mean - mean.mean()).mean()
    upright = mean[263] - mean[33]
    mean *= abs(upright) / upright
    mirror, mean = mirror_images(mean - ((mean[33] + mean[263]) / 2).real)
    mean = (mean - mean[mirror].conjugate()) / 2
    oval = ring(connections.FACEMESH_FACE_OVAL)
    low = complex(mean[oval].real.min(), mean[oval].imag.min())
    high = complex(mean[oval].real.max(), mean[oval].imag.max())
    side = max((high - low).real, (high - low).imag)
    mean = (mean - (low + high) / 2) / side + 0.5 + 0.5j

    faces = triangles()
    opening = lambda upper, lower: [t for i in range(len(upper) - 1) for t in
                                    ((upper[i], upper[i + 1], lower[i]), (upper[i + 1], lower[i + 1], lower[i]))
                                    if len(set(t)) == 3]
    right = opening([33, 246, 161, 160, 159, 158, 157, 173, 133], [33, 7, 163, 144, 145, 153, 154, 155, 133])
    left = opening([263, 466, 388, 387, 386, 385, 384, 398, 362], [263, 249, 390, 373, 374, 380, 381, 382, 362])
    mouth = opening([78, 191, 80, 81, 82, 13, 312, 311, 310, 415, 308], [78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308])
    faces += right + left + mouth
    # All the same way round as seen in the picture.
    def wind(t):
        a, b, c = mean[list(t)]
        return t if ((b - a).conjugate() * (c - a)).imag > 0 else (t[0], t[2], t[1])
    faces = [wind(t) for t in faces]
    print(f"{len(faces)} triangles", file=sys.stderr)

    print("//! The face mesh's constants: made by `weights/template.py`, not by hand.\n//!")
    print("//! Topology: MediaPipe's `FACEMESH_TESSELATION`, Copyright 2021 The MediaPipe Authors, Apache-2.0.\n")
    print("/// The mesh's triangles, as indices of its 468 points, all clockwise as seen in a picture of a frontal")
    print("/// face (the y axis points down). The last 46 close the eyes and the mouth.")
    print(f"pub const TRIANGLES: [[u16; 3]; {len(faces)}] = {[list(map(int, t)) for t in faces]};\n")
    print("/// The mean frontal face: x (to the right) and y (down) of the 468 points. The larger side of the face")
    print("/// oval's box is 1 and its centre (0.5, 0.5).")
    print(f"pub const MEAN_FACE: [[f32; 2]; 468] = {[[round(float(p.real), 5), round(float(p.imag), 5)] for p in mean]};\n")
    print("/// Each point's counterpart on the other side of the face.")
    print(f"pub const MIRROR: [u16; 468] = {mirror.tolist()};")
