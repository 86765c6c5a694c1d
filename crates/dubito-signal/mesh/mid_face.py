"""Makes src/mid_face.rs: the mesh of the mid-face and its places in the canonical rectangle.

    python mesh/mid_face.py        (NumPy and SciPy; reads ../dubito-face/src/topology.rs)

The landmarks are chosen by hand: from below the eyes to above the upper lip, from cheek to cheek. They are
triangulated once (Delaunay, in the mean frontal face), one half mirrored onto the other. The outline goes onto the
rectangle's sides by its length; inside, each point is the mean of its neighbours, weighted by 1 / length (Tutte 1963:
no triangle folds).
"""
import re
from pathlib import Path

import numpy as np
from scipy.spatial import Delaunay

HERE = Path(__file__).parent
# The person's right half (the picture's left). Corner to corner: upper side, outer side, lower side.
UPPER = [116, 111, 117, 118, 119, 120, 121, 128, 245, 193, 168]
OUTER = [116, 123, 147]
LOWER = [147, 187, 207, 216, 92, 165, 167, 164]
INSIDE = [50, 101, 100, 36, 142, 205, 206, 203, 126, 129, 114, 217, 174, 198, 236, 196, 3, 122, 51, 134, 220, 98, 97]
MIDDLE = [6, 197, 195, 5, 1, 2]
WIDTH, HEIGHT = 2.0, 1.0

text = (HERE / "../../dubito-face/src/topology.rs").read_text()
block = lambda name: text.split(f"pub const {name}")[1].split("= [")[1].split("];\n")[0]
mean = np.array([[float(v) for v in m] for m in re.findall(r"\[([\d.]+), ([\d.]+)\]", block("MEAN_FACE"))])
mirror = [int(v) for v in re.findall(r"\d+", block("MIRROR"))]

half = list(dict.fromkeys(UPPER + OUTER + LOWER + INSIDE + MIDDLE))
outline = UPPER[::-1] + OUTER[1:] + LOWER[1:]  # from the middle above, round the outside, to the middle below


def inside(point, polygon):
    crossed = False
    for (ax, ay), (bx, by) in zip(polygon, np.roll(polygon, -1, 0)):
        if (ay <= point[1]) != (by <= point[1]) and point[0] < ax + (point[1] - ay) / (by - ay) * (bx - ax):
            crossed = not crossed
    return crossed


polygon = mean[outline]
triangles = []
for simplex in Delaunay(mean[half]).simplices:
    t = [half[i] for i in simplex]
    a, b, c = mean[t]
    area = (b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])
    if abs(area) < 1e-5 or not inside(mean[t].mean(0), polygon):
        continue
    t = t if area > 0 else [t[0], t[2], t[1]]
    triangles += [t, [mirror[t[0]], mirror[t[2]], mirror[t[1]]]]

points = sorted({i for t in triangles for i in t})
assert set(half) <= set(points), set(half) - set(points)
index = {p: k for k, p in enumerate(points)}

# The outline on the rectangle.
fixed = {}


def side(chain, start, end):
    lengths = np.r_[0, np.cumsum(np.hypot(*np.diff(mean[chain], axis=0).T))]
    for p, s in zip(chain, lengths / lengths[-1]):
        u, v = np.array(start) + s * (np.array(end) - np.array(start))
        fixed[p] = (u, v)
        fixed[mirror[p]] = (WIDTH - u, v)


side(UPPER, (0, 0), (WIDTH / 2, 0))
side(OUTER, (0, 0), (0, HEIGHT))
side(LOWER, (0, HEIGHT), (WIDTH / 2, HEIGHT))

matrix, right = np.zeros((len(points),) * 2), np.zeros((len(points), 2))
for p in points:
    k = index[p]
    if p in fixed:
        matrix[k, k], right[k] = 1, fixed[p]
        continue
    for q in {q for t in triangles if p in t for q in t} - {p}:
        w = 1 / np.hypot(*(mean[p] - mean[q]))
        matrix[k, k] += w
        matrix[k, index[q]] -= w
place = np.linalg.solve(matrix, right)


def area(t):
    a, b, c = place[[index[p] for p in t]]
    return ((b[0] - a[0]) * (c[1] - a[1]) - (b[1] - a[1]) * (c[0] - a[0])) / 2


# Three points of one side of the rectangle make no triangle of it.
triangles = [t for t in triangles if abs(area(t)) > 1e-12]
areas = [area(t) for t in triangles]
assert min(areas) > 1e-4 and abs(sum(areas) - WIDTH * HEIGHT) < 1e-9, (min(areas), sum(areas))
if __name__ == "__main__":
    lines = [
        "//! The mid-face mesh's constants: made by `mesh/mid_face.py`, not by hand.",
        "",
        "/// The landmarks (MediaPipe's numbers) and where each lies in the canonical rectangle, 0 to 2 across and 0 to 1",
        "/// down.",
        f"pub(crate) const POINTS: [(u16, [f32; 2]); {len(points)}] = [",
        *[f"    ({p}, [{place[index[p]][0]:.6}, {place[index[p]][1]:.6}])," for p in points],
        "];",
        "",
        "/// The triangles, as indices into [`POINTS`], clockwise as seen in a picture of a frontal face.",
        f"pub(crate) const TRIANGLES: [[u8; 3]; {len(triangles)}] = [",
        *[f"    [{', '.join(str(index[p]) for p in t)}]," for t in triangles],
        "];",
    ]
    out = "\n".join(lines) + "\n"
    out = re.sub(r"\[(-?\d+(?:\.\d+)?(?:e-?\d+)?), (-?\d+(?:\.\d+)?(?:e-?\d+)?)\]\),", lambda m: f"[{float(m[1]) + 0.0:.5f}, {float(m[2]) + 0.0:.5f}]),", out)
    (HERE / "../src/mid_face.rs").write_text(out)
