#!/usr/bin/env python3
"""Makes the inputs of scores.toml that are not written by hand, and prints their AUROC: python3 make.py"""
import csv, json, math, random
from fractions import Fraction

def auroc(rows):
    pos = [s for s, y in rows if y]
    neg = [s for s, y in rows if not y]
    return sum(1.0 if p > n else 0.5 if p == n else 0.0 for p in pos for n in neg) / len(pos) / len(neg)

def write(name, header, rows):
    with open(name, "w", newline="") as f:
        w = csv.writer(f, lineterminator="\n")
        w.writerow(header)
        w.writerows(rows)

r = random.Random(6)
label = [i % 2 for i in range(40)]
draw = [r.gauss(0.8 * y, 1) for y in label]

# Logits beyond what exp takes, at both ends.
for name, start in [("logits_of_800.csv", 800), ("logits_of_minus_5000.csv", -5000)]:
    write(name, ["item", "label", "p_fake"], [[f"v{i}", y, f"{start + s:.4f}"] for i, (y, s) in enumerate(zip(label, draw))])
    print(name, auroc([(start + round(s, 4), y) for y, s in zip(label, draw)]))

# Probabilities down to the smallest number that there is.
p = [f"{10 ** (-250 + 20 * s):.6e}" for s in draw]
write("p_of_1e-250.csv", ["item", "label", "p_fake"], [[f"v{i}", y, v] for i, (y, v) in enumerate(zip(label, p))])
print("p_of_1e-250.csv", auroc([(float(v), y) for y, v in zip(label, p)]))

# Logits of three classes of which one is real.
rows, ranked = [], []
for i, (y, s) in enumerate(zip(label, draw)):
    a, b, c = -60 - s, 10.0, 5 + s / 7
    rows.append([f"v{i}", ["real", ["swap", "talk"][i // 2 % 2]][y], f"{a:.4f}", f"{b:.4f}", f"{c:.4f}"])
    a, b, c = (float(v) for v in rows[-1][2:])
    ranked.append((max(b, c) + math.log(math.exp(b - max(b, c)) + math.exp(c - max(b, c))) - a, y))
write("three_logits.csv", ["item", "label", "prob_real", "prob_swap", "prob_talk"], rows)
print("three_logits.csv", auroc(ranked))

# P(real) and P(fake) both given: P(fake) is 1, P(real) tells.
real = [f"{10 ** (-30 - 3 * s):.6e}" for s in draw]
write("real_tells.csv", ["item", "label", "prob_real", "prob_fake"], [[f"v{i}", y, v, 1] for i, (y, v) in enumerate(zip(label, real))])
print("real_tells.csv", auroc([(-float(v), y) for y, v in zip(label, real)]))

# Five samples of each item, tiny ones; in shuffled rows.
rows, means = [], []
for i, (y, s) in enumerate(zip(label, draw)):
    samples = [float(f"{10 ** (-24 + s + r.gauss(0, 0.3)):.6e}") for _ in range(5)]
    means.append((sum(map(Fraction, samples)), y))
    rows += [[f"v{i}", y, k, v] for k, v in enumerate(samples)]
r.shuffle(rows)
write("samples.csv", ["item", "label", "sample", "p_fake"], rows)
print("samples.csv", auroc(means))

# Logits of samples about 50: the mean of P(real) tells.
rows, means = [], []
for i, (y, s) in enumerate(zip(label, draw)):
    samples = [round(50 + s + r.gauss(0, 0.3), 4) for _ in range(5)]
    means.append((-sum(math.exp(-v) for v in samples), y))
    rows += [[f"v{i}", y, k, v] for k, v in enumerate(samples)]
write("sampled_logits.csv", ["item", "label", "sample", "logit"], rows)
print("sampled_logits.csv", auroc(means))

# Videos of frames, tiny probabilities.
rows, means = [], []
for i, (y, s) in enumerate(zip(label, draw)):
    frames = [float(f"{10 ** (-26 + s + r.gauss(0, 0.3)):.6e}") for _ in range(4)]
    means.append((sum(map(Fraction, frames)), y))
    rows += [[f"v{i}", k, y, v] for k, v in enumerate(frames)]
write("frames.csv", ["video", "frame", "label", "p_fake"], rows)
print("frames.csv", auroc(means))

# A split to choose on: logits about 98.
rows = [[f"v{i}", y, f"{98 + draw[i % 40] / 10 + i / 1e4:.5f}", "val" if i % 2 else "test"] for i, y in enumerate((label[k // 2 % 40] for k in range(160)))]
write("splits.csv", ["item", "label", "logit", "split"], rows)

# Names that are no names of files, as columns and as a column of detectors.
names = ["=HYPERLINK(1)", "+1", "@x", "a/b", "a\\b", "a b", "A_b", "..", "CON", "x" * 300, "x" * 301, "🦊", "🐺", "dot.", "Dot."]
rows = [[f"v{i}", label[i], n, f"{1 / (1 + math.exp(-draw[i] - k / 9)):.5f}"] for i in range(10) for k, n in enumerate(names)]
write("names.csv", ["item", "label", "detector", "p_fake"], rows)
print(len(names), "names")
write("wide_names.csv", ["item", "label", "prob_a b", "prob_a_b", "prob_A_B", "prob_" + "y" * 260], [[f"v{i}", label[i]] + [f"{0.1 + 0.02 * i + 0.01 * k:.2f}" for k in range(4)] for i in range(10)])

# Probabilities a hair outside of 0 to 1.
for name, at, v in [("above.csv", 3, "1.0000001"), ("below.csv", 5, "-1e-300"), ("far.csv", 4, "1.01")]:
    write(name, ["item", "label", "p_fake"], [[f"v{i}", label[i], v if i == at else f"{0.1 * (i % 7) + 0.1:.2f}"] for i in range(10)])
