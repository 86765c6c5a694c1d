"""The canonical face of MediaPipe as Rust constants (`src/canonical.rs`).

    python convert.py canonical_face_model.obj | rustfmt --edition 2024 > ../src/canonical.rs

The file is mediapipe/modules/face_geometry/data/canonical_face_model.obj of MediaPipe's repository (Apache-2.0);
the npm package mind-ar 1.2.5 carries a copy at src/face-target/face-geometry. Vertices and triangles stay as they
are; texture coordinates are put in the order of the vertices and turned so that v points down.
"""

import sys

import numpy as np
from scipy.optimize import linear_sum_assignment

vertices, texture, triangles, texture_of = [], [], [], {}
for line in open(sys.argv[1]):
    kind, *rest = line.split() or [""]
    if kind == "v":
        vertices.append([float(x) for x in rest])
    elif kind == "vt":
        texture.append([float(x) for x in rest])
    elif kind == "f":
        corners = [[int(n) - 1 for n in corner.split("/")[:2]] for corner in rest]
        triangles.append([v for v, _ in corners])
        for v, t in corners:
            assert texture_of.setdefault(v, t) == t
vertices = np.array(vertices)
uv = np.array([[texture[texture_of[v]][0], 1 - texture[texture_of[v]][1]] for v in range(len(vertices))])
assert vertices.shape == (468, 3) and len(triangles) == 898
_, mirror = linear_sum_assignment(np.linalg.norm(vertices[:, None] - vertices[None] * [-1, 1, 1], axis=2))
assert (mirror[mirror] == np.arange(468)).all()

print("//! The canonical face: made by `geometry/convert.py`, not by hand.\n//!")
print("//! From MediaPipe's canonical_face_model.obj, Copyright 2020 The MediaPipe Authors, Apache-2.0.\n")
print("/// The 468 landmarks in centimetres: x to the picture's right, y up, z towards the viewer.")
print(f"pub(crate) const VERTICES: [[f32; 3]; 468] = {[[round(float(x), 5) for x in v] for v in vertices]};\n")
print("/// Where each lies in the face's texture, 0 to 1, v pointing down.")
print(f"pub(crate) const UV: [[f32; 2]; 468] = {[[round(float(x), 5) for x in v] for v in uv]};\n")
print("/// Triangles, counterclockwise seen from outside; those that close the eyes and the mouth are among them.")
print(f"pub(crate) const TRIANGLES: [[u16; 3]; 898] = {triangles};\n")
print("/// Each landmark's counterpart on the other side of the face.")
print(f"pub(crate) const MIRROR: [u16; 468] = {mirror.tolist()};")
