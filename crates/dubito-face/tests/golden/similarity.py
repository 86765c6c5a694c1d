"""Golden similarity transforms by scikit-image.

    pip install scikit-image==0.26.0
    python similarity.py > similarity.json
"""

import json
import sys

import numpy as np
from skimage.transform import SimilarityTransform

cases = []
for case, (count, noise) in enumerate([(2, 0.0), (3, 0.0), (18, 2.0), (18, 40.0), (5, 300.0)]):
    i = np.arange(count)
    source = np.stack([100 + 80 * np.sin(1.7 * i + case), 120 + 90 * np.cos(2.3 * i + 2 * case)], 1)
    turn, scale = 0.4 * case - 0.7, 0.3 + 0.45 * case
    rotation = scale * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    target = source @ rotation.T + [30 - 10 * case, 5 * case] + noise * np.stack([np.sin(5.1 * i), np.cos(3.3 * i)], 1)
    matrix = SimilarityTransform.from_estimate(source, target).params[:2]
    cases.append({"source": source.tolist(), "target": target.tolist(), "matrix": matrix.tolist()})
json.dump(cases, sys.stdout)
