"""Golden features of videos: decompositions and moments over frames, from their definitions with NumPy and SciPy.

    python3 -m venv venv && venv/bin/pip install numpy scipy
    venv/bin/python crates/dubito-report/tests/golden/manifold.py > crates/dubito-report/tests/golden/manifold.json
"""

import json
import sys

import numpy as np
from scipy.stats import skew

random = np.random.default_rng(11)
PEOPLE, FRAMES, SAMPLES = 4, 5, 6
GENERATORS = ["mouth", "swap"]


def entropy(p):
    p = np.stack([1 - p, p])
    return -(p * np.log(p)).sum(0)


def jackknife(p):
    """Of samples along the last axis."""
    n = p.shape[-1]
    information = lambda q: entropy(q.mean(-1)) - entropy(q).mean(-1)
    left = [information(np.delete(p, t, -1)) for t in range(n)]
    return n * information(p) - (n - 1) * np.mean(left, 0)


def moments(x):
    m, c = x.mean(), x - x.mean()
    return {
        "mean": m,
        "sd": x.std(),
        "skewness": skew(x),
        "q10": np.quantile(x, 0.1),
        "median": np.median(x),
        "q90": np.quantile(x, 0.9),
        "lag1": (c[:-1] * c[1:]).sum() / (c**2).sum(),
    }


lines, features = ["item,label,p_fake,sample,frame,video,generator,identity,fold"], {}
for person in range(PEOPLE):
    for generator in GENERATORS:
        video = f"{person}_{generator}"
        # Skewed frames, a few samples on the other side of one half.
        p = 1 / (1 + np.exp(-(random.gamma(1.5, 0.5, (FRAMES, 1)) - 0.5 + random.normal(0, 0.5, (FRAMES, SAMPLES)))))
        for frame in range(FRAMES):
            for sample in range(SAMPLES):
                lines.append(
                    f"{video}#{frame},fake,{p[frame, sample]!r},{sample},{frame},{video},{generator},{person},{person % 2}"
                    .replace("np.float64(", "").replace(")", "")
                )
        by_sample, mean = p.mean(0), p.mean()
        all = {
            "total": entropy(mean),
            "aleatoric": entropy(p).mean(),
            "between_frames": entropy(by_sample).mean() - entropy(p).mean(),
            "epistemic": entropy(mean) - entropy(by_sample).mean(),
            "margin": abs(2 * mean - 1),
            "total_variance": mean * (1 - mean),
            "aleatoric_variance": (p * (1 - p)).mean(),
            "between_frames_variance": p.var(0).mean(),
            "epistemic_variance": by_sample.var(),
            "variation_ratio": min((by_sample > 0.5).mean(), (by_sample <= 0.5).mean()),
            "epistemic_jackknife": jackknife(by_sample[None])[0],
            "p": mean,
            "p_logit": np.log(mean / (1 - mean)),
        }
        frame_mean = p.mean(1)
        series = {
            "total": entropy(frame_mean),
            "aleatoric": entropy(p).mean(1),
            "p": frame_mean,
            "epistemic": entropy(frame_mean) - entropy(p).mean(1),
            "frame_epistemic_variance": p.var(1),
        }
        for name, x in series.items():
            for moment, value in moments(x).items():
                if not (moment == "mean" and name in ["aleatoric", "p"]):
                    all[f"{name}_{moment}"] = value
        ratio = np.minimum((p > 0.5).mean(1), (p <= 0.5).mean(1))
        for name, x in {"frame_variation_ratio": ratio, "frame_epistemic_jackknife": jackknife(p)}.items():
            all[f"{name}_mean"], all[f"{name}_sd"] = x.mean(), x.std()
        features[video] = {name: float(value) for name, value in all.items()}

# A video-level variation ratio may be the same for all: then it is no feature.
names = [n for n in features["0_swap"] if len({round(f[n], 12) for f in features.values()}) > 1]
json.dump({"csv": "\n".join(lines) + "\n", "names": names, "features": features}, sys.stdout)
