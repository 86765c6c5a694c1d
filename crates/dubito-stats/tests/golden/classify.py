"""Golden values of dubito_stats::classify: scikit-learn's classifiers and components, OSCR anew with NumPy.

    python3 -m venv venv && venv/bin/pip install numpy scikit-learn
    venv/bin/python crates/dubito-stats/tests/golden/classify.py > crates/dubito-stats/tests/golden/classify.json
"""

import json
import sys

import numpy as np
import sklearn
from sklearn.decomposition import PCA
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import balanced_accuracy_score, roc_auc_score
from sklearn.neighbors import KNeighborsClassifier

random = np.random.default_rng(7)
ROWS, COLUMNS, CLASSES = 90, 5, 3
labels = random.integers(0, CLASSES, ROWS)
centres = random.normal(0, 1, (CLASSES, COLUMNS))
x = centres[labels] + random.normal(0, 1.2, (ROWS, COLUMNS))
weights = random.choice([0.5, 1.0, 2.0], ROWS)
train, test = np.arange(60), np.arange(60, ROWS)

logistic = []
for penalty in [0.1, 10.0]:
    model = LogisticRegression(C=1 / penalty, tol=1e-12, max_iter=100000)
    model.fit(x[train], labels[train], sample_weight=weights[train])
    logistic.append(
        {
            "penalty": penalty,
            "coefficients": np.c_[model.coef_, model.intercept_].tolist(),
            "probabilities": model.predict_proba(x[test]).tolist(),
        }
    )

neighbours = []
for k in [1, 5, 15]:
    model = KNeighborsClassifier(k, algorithm="brute").fit(x[train], labels[train])
    neighbours.append({"k": k, "probabilities": model.predict_proba(x[test]).tolist()})

pca = PCA(svd_solver="full").fit(x)

probabilities = np.array(logistic[1]["probabilities"])
predicted = probabilities.argmax(1)

# OSCR: a threshold for each score, the area by trapezoids; scores with ties.
known = random.normal(0.6, 0.2, 40).round(1)
unknown = random.normal(0.45, 0.2, 30).round(1)
right = random.random(40) < 0.7
points = [(0.0, 0.0)]
for threshold in sorted(set(known) | set(unknown), reverse=True):
    points.append((float((unknown >= threshold).mean()), float(((known >= threshold) & right).mean())))
area = sum((b[0] - a[0]) * (a[1] + b[1]) / 2 for a, b in zip(points, points[1:]))
# The same as a mean over pairs.
pairs = (known[:, None] > unknown) + 0.5 * (known[:, None] == unknown)
assert abs((pairs * right[:, None]).mean() - area) < 1e-12

json.dump(
    {
        "made_by": f"scikit-learn {sklearn.__version__}, NumPy {np.__version__}",
        "x": x.tolist(),
        "labels": labels.tolist(),
        "weights": weights.tolist(),
        "train": len(train),
        "logistic": logistic,
        "neighbours": neighbours,
        "pca": {
            "directions": pca.components_.tolist(),
            "variance": pca.explained_variance_.tolist(),
            "explained": pca.explained_variance_ratio_.tolist(),
            "projected": pca.transform(x).tolist(),
        },
        "judged": {
            "balanced_accuracy": balanced_accuracy_score(labels[test], predicted),
            "auroc": roc_auc_score(labels[test], probabilities, multi_class="ovr", average="macro"),
        },
        "oscr": {
            "known": known.tolist(),
            "unknown": unknown.tolist(),
            "right": right.tolist(),
            "points": points,
            "area": area,
        },
    },
    sys.stdout,
)
