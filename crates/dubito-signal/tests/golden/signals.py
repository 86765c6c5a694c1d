"""Makes signals.json: what NumPy and SciPy make of the traces that tests/golden.rs computes by the same formula.

    python signals.py        (NumPy, SciPy)

CHROM and POS are written down from their papers (de Haan and Jeanne 2013; Wang et al. 2017), as rPPG-Toolbox and pyVHR
have them, with Dubito's conventions: band 0.7 to 4 Hz, second order, windows of 1.6 s, waves positive with more blood.
"""
import json
from pathlib import Path

import numpy as np
import scipy
from scipy import signal


def traces(frames, rate):
    """Colours [32, frames, 3]: light that wanders, motion, and a pulse whose strength differs by region."""
    t = np.arange(frames) / rate
    r = np.arange(32)[:, None, None]
    base = np.array([150.0, 110.0, 90.0])
    depth = np.array([0.33, 0.77, 0.53]) * 0.006
    pulse = np.sin(2 * np.pi * 1.3 * t + 0.02 * r[..., 0])[..., None] + 0.3 * np.sin(4 * np.pi * 1.3 * t)[None, :, None]
    light = 0.03 * np.sin(2 * np.pi * 0.21 * t + 0.3 * r[..., 0])[..., None]
    motion = 0.004 * np.sin(2 * np.pi * 2.9 * t * t / (t[-1] + 1) + r[..., 0])[..., None] * np.array([1.0, 0.8, 0.9])
    odd = 0.002 * np.sin(37.7 * t[None, :, None] * (1 + 0.1 * np.arange(3)) + r)
    return base * (1 + light + motion + odd - depth * pulse * (1 + 0.1 * (r % 5)))


def band_pass(x, rate, order=2, low=0.7, high=4.0):
    b, a = signal.butter(order, [low, high], "bandpass", fs=rate)
    return signal.filtfilt(b, a, x)


def chrom_window(c, rate):
    n = c / c.mean(0) - 1
    x = band_pass(3 * n[:, 0] - 2 * n[:, 1], rate)
    y = band_pass(1.5 * n[:, 0] + n[:, 1] - 1.5 * n[:, 2], rate)
    return x - np.std(x) / np.std(y) * y


def chrom(c, rate, seconds=1.6):
    n, length = len(c), int(np.ceil(seconds * rate))
    hann = 0.5 - 0.5 * np.cos(2 * np.pi * (np.arange(length) + 0.5) / length)
    total, weight = np.zeros(n), np.zeros(n)
    for begin in [*range(0, n - length, -(-length // 2)), n - length]:
        total[begin : begin + length] += hann * chrom_window(c[begin : begin + length], rate)
        weight[begin : begin + length] += hann
    return total / weight


def pos(c, rate, seconds=1.6):
    n, length = len(c), int(np.ceil(seconds * rate))
    project = np.array([[0, 1, -1], [-2, 1, 1]])
    h = np.zeros(n)
    for end in range(length, n + 1):
        s = project @ (c[end - length : end] / c[end - length : end].mean(0)).T
        p = s[0] + np.std(s[0]) / np.std(s[1]) * s[1]
        h[end - length : end] += p - p.mean()
    return -h


def green(c):
    return 1 - c[:, 1] / c[:, 1].mean()


def detrend(x, lam):
    n = len(x)
    d = np.diff(np.eye(n), 2, axis=0)
    return x - np.linalg.solve(np.eye(n) + lam**2 * d.T @ d, x)


def spectrum(wave, rate):
    nfft = 1 << (8 * len(wave) - 1).bit_length()
    return signal.periodogram(wave, rate, "boxcar", nfft=nfft, detrend="constant")


def peak(wave, rate):
    f, p = spectrum(wave, rate)
    inside = np.flatnonzero((f >= 0.7) & (f <= 4.0))
    k = inside[np.argmax(p[inside])]
    second, first, _ = np.polyfit([-1, 0, 1], np.log(p[k - 1 : k + 2]), 2)
    return (k - first / (2 * second)) * f[1]


def snr(wave, rate, at, half_width):
    f, p = spectrum(wave, rate)
    inside = (f >= 0.7) & (f <= 4.0)
    near = (abs(f - at) <= half_width) | (abs(f - 2 * at) <= half_width)
    return p[inside & near].sum() / p[inside & ~near].sum()


def ppg_map(colours, rate, omega, start):
    scale = lambda v: 255 * (v - v.min()) / (v.max() - v.min())
    waves = [chrom_window(c[start : start + omega], rate) for c in colours]
    powers = [signal.periodogram(w, rate, "boxcar", nfft=2 * omega, detrend="constant")[1][:omega] for w in waves]
    return np.array([scale(w) for w in waves] + [scale(p) for p in powers])


out = {"numpy": np.__version__, "scipy": scipy.__version__, "cases": [], "filters": [], "maps": []}
for frames, rate in [(150, 30.0), (137, 25.0), (70, 12.5)]:
    colours = traces(frames, rate)
    c = colours[3]
    wave = band_pass(chrom(c, rate), rate)
    at = peak(wave, rate)
    out["cases"].append({
        "frames": frames, "rate": rate, "region": 3, "colours": c[:3].tolist(),
        "chrom": chrom(c, rate).tolist(), "pos": pos(c, rate).tolist(), "green": green(c).tolist(),
        "chrom_filtered": wave.tolist(), "detrended": detrend(green(c), 100.0).tolist(),
        "peak": at, "snr": snr(wave, rate, at, max(0.1, rate / frames)),
        "power": spectrum(wave, rate)[1][:40].tolist(),
    })
for order, low, high, rate in [(1, 0.75, 3.0, 30.0), (2, 0.7, 4.0, 25.0), (3, 0.7, 2.5, 29.97), (4, 0.5, 8.0, 60.0)]:
    b, a = signal.butter(order, [low, high], "bandpass", fs=rate)
    x = np.cos(0.05 * np.arange(90) ** 1.3) + 0.02 * np.arange(90)
    out["filters"].append({
        "order": order, "low": low, "high": high, "rate": rate, "b": b.tolist(), "a": a.tolist(),
        "filtered": signal.filtfilt(b, a, x).tolist(),
    })
for omega, start in [(64, 11), (128, 0)]:
    m = ppg_map(traces(150, 30.0), 30.0, omega, start)
    rows = [0, 13, 31, 32, 45, 63]
    out["maps"].append({"omega": omega, "start": start, "rows": rows, "values": m[rows].tolist(), "sum": m.sum()})
text = json.dumps(out, separators=(",", ":"))
short = lambda v: float(f"{v:.12g}") if isinstance(v, float) else v
walk = lambda v: {k: walk(x) for k, x in v.items()} if isinstance(v, dict) else [walk(x) for x in v] if isinstance(v, list) else short(v)
(Path(__file__).parent / "signals.json").write_text(json.dumps(walk(json.loads(text)), separators=(",", ":")) + "\n")
