#!/usr/bin/env python3
"""Writes tests/fixtures/formats/primitives.bin, the expected results of uniform grids, logarithmic levels and Lloyd-Max
codebooks, and ranges.bin, those of range observers.

    primitive_vectors.py [--output FOLDER]

Scales and zeros of uniform grids come from torch.ao's observers (each row is a group), codes from the formula in numpy.
The zero of an unsigned symmetric grid is the middle code, 2^(bits-1), as in torch's quint8 and in GPTQ's and AWQ's
folders. The nearest levels are found by trying all. Codebooks from a given start are scikit-learn's; the least error of
any codebook comes from dynamic programming (Wu 1991). Ranges: torch.ao's min-max and moving average; numpy's
percentiles; the least squared error of all ends, tried on the numbers themselves; and the divergence of the histogram
computed as Migacz (2017) describes it, with scipy. The choice of onnxruntime is printed as well: it uses other bins,
truncates counts to integers and adds the remainder to the last level, so its ends differ.

The files, little-endian. primitives.bin: u32 grids; each: u32 bits, symmetric, signed, narrow, scale type, group, rows,
columns; F32 x; F32 scales, i32 zeros, i16 codes. u32 sets of levels; each: u32 bits, n; F32 x; i32 top; F32 values. u32
codebooks; each: u32 entries, n; F32 x, importance; F32 start, scikit-learn's entries; F64 its error, the least error.
ranges.bin: u32 observers; each: u32 pieces, columns; F32 x; F32 min, max, moving min, moving max; F32 percentile of
magnitudes, low and high percentile, all of 99; for symmetric and asymmetric grids of 8 and 4 bits F64 the least mean
square; F32 end by divergence for 8 and 4 bits.

Needs numpy, scipy, scikit-learn, torch and onnxruntime (tests/oracles/requirements.txt).
"""
import argparse
import struct
import warnings
from pathlib import Path

import numpy as np
import torch
from onnxruntime.quantization.calibrate import HistogramCollector
from scipy.stats import entropy
from sklearn.cluster import KMeans
from torch.ao.quantization import observer as ao

SEED = 20261128
F32, F16, BF16 = 0, 1, 30
BINS = 2048
f32 = np.float32


# ---- uniform grids --------------------------------------------------------------------------------------------------

GRIDS = [  # bits, symmetric, signed, narrow, scale type, group (0: a tensor)
    (8, 1, 1, 0, F32, 64), (8, 1, 1, 1, F32, 64), (8, 0, 1, 0, F32, 64), (8, 0, 0, 0, F32, 0), (8, 1, 0, 0, F32, 0),
    (4, 0, 0, 0, F16, 32), (4, 1, 0, 0, F16, 16), (4, 1, 1, 1, BF16, 16), (3, 0, 0, 0, F32, 16), (2, 0, 1, 0, F32, 16),
    (2, 1, 1, 0, F32, 16), (5, 0, 0, 0, BF16, 64), (6, 1, 1, 0, F32, 32), (7, 0, 1, 0, F16, 0),
]


def rows_of(rng):
    rows = rng.normal(0, 0.05, (4, 64)).astype(f32)
    rows[1, :32] = np.abs(rows[1, :32]) + f32(0.01)  # on one side of zero
    rows[2, 16:32] = -np.abs(rows[2, 16:32])
    rows[3, :32] = 0
    rows[3, 40] = 3  # an outlier
    return rows


def grid(x, bits, symmetric, signed, narrow, scale_type, group):
    low = (-(1 << bits - 1) if signed else 0) + narrow
    high = (1 << bits - (1 if signed else 0)) - 1
    parts = x.reshape(1, -1) if group == 0 else x.reshape(-1, group)
    scheme = torch.per_channel_symmetric if symmetric else torch.per_channel_affine
    watch = ao.PerChannelMinMaxObserver(0, dtype=torch.qint8 if signed else torch.quint8, qscheme=scheme,
                                        quant_min=low, quant_max=high)
    watch(torch.from_numpy(parts))
    scales, zeros = (t.numpy() for t in watch.calculate_qparams())
    zeros = np.full_like(zeros, 0 if signed else 1 << bits - 1) if symmetric else zeros
    stored = {F32: torch.float32, F16: torch.float16, BF16: torch.bfloat16}[scale_type]
    if scale_type != F32:
        scales = torch.from_numpy(scales).to(stored).float().numpy()
        if not symmetric:
            smallest = np.minimum(parts.min(1), 0).astype(f32)
            zeros = np.clip(low - np.rint(smallest / scales), low, high)
    nothing = ~parts.any(1)
    scales = np.where(nothing, f32(1), scales).astype(f32)
    zeros = np.where(nothing & (not symmetric), low, zeros)
    codes = np.clip(np.rint(parts / scales[:, None]) + zeros[:, None], low, high)
    return scales, zeros.astype(np.int32), codes.astype(np.int16)


# ---- levels ---------------------------------------------------------------------------------------------------------

def levels_of(x, bits):
    powers = 2.0 ** np.arange(-160, 128)
    largest = np.abs(x).max().astype(float)
    near = np.abs(powers - largest)
    top = int(np.arange(-160, 128)[near == near.min()].max()) if largest else 0  # the larger of two
    sizes = 2.0 ** (top - np.arange((1 << bits - 1) - 1))
    levels = np.concatenate([sizes, -sizes, [0.0]])  # the first of two that are equally near
    chosen = levels[np.abs(x.astype(float)[:, None] - levels).argmin(1)]
    return top, chosen.astype(f32)


def level_sets(rng):
    x = rng.normal(0, 1, 96).astype(f32)
    ties = np.array([3, 1.5, 0.75, 1, -6, -3, 0.375, 0.1875, 0, -0.0, 0.09375, 5.9999995, 6, 4], f32)
    tiny = np.array([1e-38, 3e-39, -2e-40, 1e-42, 1e-45, 0], f32)
    return [(2, x), (3, x), (4, x * 1e6), (8, x * x * x), (4, ties), (3, ties), (5, tiny), (4, np.zeros(8, f32))]


# ---- codebooks ------------------------------------------------------------------------------------------------------

def least_error(x, w, k):
    """The least error of all partitions of the sorted numbers into k runs."""
    order = np.argsort(x)
    x, w = x[order].astype(float), w[order].astype(float)
    sums = [np.concatenate([[0], np.cumsum(v)]) for v in (w, w * x, w * x * x)]

    def cost(i, j):  # the cost of the run i ... j - 1, for arrays i
        a, b, c = (s[j] - s[i] for s in sums)
        return np.where(a > 0, c - b * b / np.where(a > 0, a, 1), 0)

    best = np.array([0.0] + [cost(np.array([0]), j)[0] for j in range(1, len(x) + 1)])
    for _ in range(1, k):
        best = np.array([0.0] + [(best[:j] + cost(np.arange(j), j)).min() for j in range(1, len(x) + 1)])
    return best[-1]


def codebooks(rng):
    plain, tails = rng.normal(0, 1, 256).astype(f32), rng.laplace(0, 1, 300).astype(f32)
    weights = rng.exponential(1, 300).astype(f32)
    few = np.repeat(np.array([-1, 0.5, 0.75, 2], f32), 8)
    return [(4, plain, np.ones(256, f32)), (16, plain, np.ones(256, f32)), (8, tails, weights),
            (16, tails, weights), (8, few, np.ones(32, f32))]


def codebook(entries, x, w):
    start = np.quantile(x, (np.arange(entries) + 0.5) / entries).astype(f32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        means = KMeans(entries, init=start.astype(float)[:, None], n_init=1, max_iter=300, tol=0, algorithm="lloyd")
        means.fit(x.astype(float)[:, None], sample_weight=w.astype(float))
    return start, np.sort(means.cluster_centers_[:, 0]).astype(f32), means.inertia_, least_error(x, w, entries)


# ---- ranges ---------------------------------------------------------------------------------------------------------

def mean_square(x, low, high, bits, symmetric):
    span = (1 << bits) - (2 if symmetric else 1)
    scale = (high - low) / span
    zero = span / 2 if symmetric else np.rint(-low / scale)
    codes = np.clip(np.rint(x / scale) + zero, 0, span)
    return np.square((codes - zero) * scale - x).mean()


def least_mean_square(x, bits, symmetric):
    x = x.astype(float)
    tried = np.arange(1, 201) / 200
    if symmetric:
        return min(mean_square(x, -np.abs(x).max() * t, np.abs(x).max() * t, bits, True) for t in tried)
    low, high = min(x.min(), 0), max(x.max(), 0)
    coarse = np.arange(1, 51) / 50
    return min(mean_square(x, low * a, high * b, bits, False) for a in coarse for b in coarse)


def end_by_divergence(x, bits):
    size, levels = np.abs(x).astype(float).ravel(), 1 << bits - 1
    reach = 2.0 ** np.ceil(np.log2(size.max()))
    width = reach / BINS
    places = np.maximum(np.ceil(size / width).astype(int) - 1, 0)
    bins = np.bincount(places, minlength=BINS).astype(float)
    last, least, best = places.max() + 1, np.inf, 0
    for end in range(last, levels - 1, -1):
        if not bins[end - 1]:
            continue
        p, q = bins[:end].copy(), np.zeros(end)
        p[-1] += bins[end:].sum()
        for level in range(levels):
            run = slice(end * level // levels, end * (level + 1) // levels)
            filled = bins[run] > 0
            if filled.any():
                q[run] = np.where(filled, bins[run].sum() / filled.sum(), 0)
        value = entropy(p, q)
        if value < least * (1 - 1e-9):  # of two equal ones the farther
            least, best = value, end
    return best * width


def onnx_end(x, bits):
    made = HistogramCollector("entropy", True, 3328, 1 << bits, 99, None)
    hist, edges = np.histogram(x, 3328, range=(-np.abs(x).max(), np.abs(x).max()))
    edges = edges.astype(f32)
    low, high = made.get_entropy_threshold((hist, edges, x.min(), x.max()), 1 << bits)
    return max(-low, high)


def moving(pieces):
    """torch.ao's observer. A library may add its F32 in another order, so they are compared with a tolerance."""
    a, b = ao.MinMaxObserver(), ao.MovingAverageMinMaxObserver(averaging_constant=0.01)
    for piece in pieces:
        a(torch.from_numpy(piece))
        b(torch.from_numpy(piece))
    return [float(v) for v in (a.min_val, a.max_val, b.min_val, b.max_val)]


def observed(rng):
    both = rng.laplace(0, 0.4, (8, 384)).astype(f32)
    both[5, 7], both[6, 9] = 13, -9
    x = rng.normal(0, 1, (6, 384))
    return [both, (x * (1 + np.tanh(0.8 * x)) / 2).astype(f32)]  # the second as after an activation function


def main():
    parser = argparse.ArgumentParser()
    default = Path(__file__).parent / "../fixtures/formats"
    parser.add_argument("--output", type=Path, default=default)
    out, rng = bytearray(), np.random.default_rng(SEED)
    rows = rows_of(rng)
    out += struct.pack("<I", len(GRIDS))
    for kind in GRIDS:
        out += struct.pack("<8I", *kind, *rows.shape) + rows.tobytes()
        out += b"".join(part.tobytes() for part in grid(rows, *kind))
    sets = level_sets(rng)
    out += struct.pack("<I", len(sets))
    for bits, x in sets:
        x = x.astype(f32)
        top, values = levels_of(x, bits)
        out += struct.pack("<2I", bits, len(x)) + x.tobytes() + struct.pack("<i", top) + values.tobytes()
    books = codebooks(rng)
    out += struct.pack("<I", len(books))
    for entries, x, w in books:
        start, fitted, error, least = codebook(entries, x, w)
        out += struct.pack("<2I", entries, len(x)) + x.tobytes() + w.tobytes() + start.tobytes() + fitted.tobytes()
        out += struct.pack("<2d", error, least)
        print(f"codebook of {entries}: error {error:.6g}, least {least:.6g}")
    output = parser.parse_args().output
    (output / "primitives.bin").write_bytes(out)
    seen = observed(rng)
    out = struct.pack("<I", len(seen))
    for x in seen:
        out += struct.pack("<2I", *x.shape) + x.tobytes() + struct.pack("<4f", *moving(x))
        ends = [np.percentile(np.abs(x), 99, method="higher"), np.percentile(x, 0.5, method="lower"),
                np.percentile(x, 99.5, method="higher")]
        out += struct.pack("<3f", *ends)
        out += struct.pack("<4d", *(least_mean_square(x, bits, kind) for kind in (True, False) for bits in (8, 4)))
        for bits in (8, 4):
            end, other = end_by_divergence(x, bits), onnx_end(x, bits)
            print(f"divergence, {bits} bits: {end:.5g}, onnxruntime's {other:.5g}")
            out += struct.pack("<f", end)
    (output / "ranges.bin").write_bytes(out)


if __name__ == "__main__":
    main()
