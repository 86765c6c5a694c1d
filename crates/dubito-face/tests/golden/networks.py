"""Golden outputs of the three published models on images made by a formula, by ai-edge-litert.

    pip install ai-edge-litert==2.3.0 numpy
    python networks.py ../../../../../shared/weights > networks.json

`synthetic_face` is a face of ellipses; `src/tests.rs` draws the same pixels. Outputs are given whole for the
mesh, and for the detectors every 23rd value, with the mean magnitude of all.
"""

import json
import sys
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def synthetic_face(size: int, shift: int) -> np.ndarray:
    """A face of ellipses in integer arithmetic, [size, size, 3] of 0..255, moved right by `shift` pixels."""
    y, x = np.mgrid[0:size, 0:size].astype(np.int64)
    # Coordinates in thousandths of the picture.
    u, v = (x - shift) * 1000 // size, y * 1000 // size
    inside = lambda cx, cy, rx, ry: (u - cx) ** 2 * ry * ry + (v - cy) ** 2 * rx * rx <= rx * rx * ry * ry
    image = np.stack([60 + u * 60 // 1000, 80 + v * 40 // 1000, 110 + (x * 7 + y * 13) % 17], -1)
    shade = (u - 500) // 12
    skin = np.stack([205 - abs(shade), 160 - abs(shade), 135 - abs(shade)], -1)
    parts = [
        (500, 520, 240, 330, skin),
        (500, 240, 230, 110, (60, 40, 30)),
        (400, 440, 55, 14, (70, 45, 35)), (600, 440, 55, 14, (70, 45, 35)),
        (400, 490, 42, 20, (240, 240, 240)), (600, 490, 42, 20, (240, 240, 240)),
        (400, 490, 18, 19, (40, 30, 25)), (600, 490, 18, 19, (40, 30, 25)),
        (500, 590, 40, 55, (190, 140, 118)), (482, 630, 10, 7, (90, 50, 45)), (518, 630, 10, 7, (90, 50, 45)),
        (500, 720, 85, 28, (165, 70, 75)), (500, 718, 70, 5, (90, 30, 35)),
    ]
    for cx, cy, rx, ry, colour in parts:
        image = np.where(inside(cx, cy, rx, ry)[..., None], colour, image)
    return np.clip(image, 0, 255).astype(np.uint8)


if __name__ == "__main__":
    models = {
        "short_range": ("face_detection_short_range", 128),
        "full_range": ("face_detection_full_range", 192),
        "face_mesh": ("face_landmark", 192),
    }
    golden = {}
    for name, (file, size) in models.items():
        interpreter = Interpreter(str(Path(sys.argv[1]) / f"{file}.tflite"), num_threads=1)
        interpreter.allocate_tensors()
        golden[name] = []
        for shift in (0, size // 10):
            pixels = synthetic_face(size, shift).astype(np.float32)
            image = pixels / 255.0 if name == "face_mesh" else pixels / 127.5 - 1.0
            interpreter.set_tensor(interpreter.get_input_details()[0]["index"], image[None].astype(np.float32))
            interpreter.invoke()
            outputs = []
            for detail in interpreter.get_output_details():
                values = interpreter.get_tensor(detail["index"]).reshape(-1)
                step = 1 if name == "face_mesh" else 23
                outputs.append({"step": step, "length": len(values), "mean_magnitude": float(abs(values).mean()),
                                "values": [float(f"{v:.7g}") for v in values[::step]]})
            golden[name].append({"shift": shift, "outputs": outputs})
    json.dump(golden, sys.stdout, separators=(",", ":"))
