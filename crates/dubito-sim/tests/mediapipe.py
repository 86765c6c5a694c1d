"""Does MediaPipe take simulated subjects for faces, and do its landmarks lie where they truly are?

    pip install mediapipe==0.10.21
    python mediapipe.py PATH_OF_THE_EXAMPLE_frames

Two subjects of each tone of the Monk scale, 8 frames each, one second apart. A frame counts as detected when both
BlazeFace (short range) and FaceMesh (static image mode, no tracking from frame to frame) find one face. The
error of a frame is the mean distance of the 468 landmarks from the truth in the picture, divided by the true
distance of the middles of the two eyes.
"""

import json
import subprocess
import sys
import tempfile

# This file's name must not hide the package.
sys.path.pop(0)
import mediapipe as mp  # noqa: E402
import numpy as np  # noqa: E402

WIDTH, HEIGHT, STEP, FRAMES = 640, 480, 25, 8
frames = detected = meshed = 0
errors, by_landmark, offsets, lines = [], [], [], []
solutions = mp.solutions
with solutions.face_detection.FaceDetection(model_selection=0) as detector, solutions.face_mesh.FaceMesh(
    static_image_mode=True, max_num_faces=1
) as mesher:
    for tone in range(1, 11):
        for seed in (100 + tone, 200 + tone):
            found, wrong = 0, []
            with tempfile.NamedTemporaryFile(suffix=".jsonl") as truth:
                command = [sys.argv[1], str(seed), str(tone), str(STEP * (FRAMES - 1) + 1), str(WIDTH), str(HEIGHT),
                           truth.name, str(STEP)]
                raw = subprocess.run(command, check=True, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL).stdout
                truths = [np.array(json.loads(line)["landmarks"]) for line in open(truth.name)]
            pictures = np.frombuffer(raw, np.uint8).reshape(-1, HEIGHT, WIDTH, 3)
            for picture, true in zip(pictures, truths, strict=True):
                frames += 1
                face = detector.process(picture).detections
                mesh = mesher.process(picture).multi_face_landmarks
                detected += bool(face)
                meshed += bool(mesh)
                found += bool(face and mesh)
                if mesh:
                    points = np.array([[p.x * WIDTH, p.y * HEIGHT] for p in mesh[0].landmark[:468]])
                    middle = lambda a, b: (true[a, :2] + true[b, :2]) / 2
                    distance = np.linalg.norm(middle(33, 133) - middle(362, 263))
                    error = np.linalg.norm(points - true[:, :2], axis=1) / distance
                    wrong.append(error.mean())
                    by_landmark.append(error)
                    offsets.append((points - true[:, :2])[152] / distance)
            errors += wrong
            lines.append(f"tone {tone:2} seed {seed}: {found}/{len(truths)} frames, error {np.mean(wrong) if wrong else np.nan:.3f}")
print("\n".join(lines))
print(f"detected {detected}/{frames} ({detected / frames:.1%}), meshed {meshed}/{frames} ({meshed / frames:.1%})")
print(f"landmark error in interocular distances: mean {np.mean(errors):.4f}, worst frame {np.max(errors):.4f}")
worst = np.mean(by_landmark, axis=0)
print("worst landmarks:", [(int(i), round(float(worst[i]), 3)) for i in np.argsort(-worst)[:12]])
for name, ids in dict(eyes=[33, 133, 159, 145, 362, 263, 386, 374], brows=[70, 63, 105, 66, 107], lips=[61, 291, 0, 17, 13, 14],
                      nose=[1, 4, 98, 327], oval=[10, 152, 234, 454, 172, 397, 54, 284]).items():
    print(f"  {name}: {worst[ids].mean():.3f}")
print("MediaPipe's chin from the true one (right, down):", np.mean(offsets, axis=0).round(3).tolist())
