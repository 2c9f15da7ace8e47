#!/usr/bin/env python3
"""Writes tests/fixtures/formats/simulated.bin: matrices, rounded to simulated grids.

    simulated_vectors.py [--output FOLDER]

Uniform grids come from torch.ao's observers with scales in binary16, and the nearest logarithmic levels are found by
trying all, as in primitive_vectors.py; values are computed by numpy as s (q - z). For codebooks and for ranges with the
least squared error only the least error is known: that of the best codebook of each group, by dynamic programming, and
that of the best of all ends, with scales in binary16. Bits are counted by the formulas in nibble_quantize.h.

The file, little-endian: u32 cases; each: u32 grid (0: uniform, 1: log, 2: codebook), bits, group (0: a row), whole,
symmetric, squared error; u32 rows, columns; F32 x; F64 bits; F32 values if they are known, otherwise F64 the least
error of each group.

Needs numpy and torch (tests/oracles/requirements.txt).
"""
import argparse
import struct
from pathlib import Path

import numpy as np
from primitive_vectors import F16, f32, grid, least_error, levels_of

SEED = 20261129
UNIFORM, LOG, CODEBOOK = range(3)
CASES = [  # grid, bits, group, whole, symmetric, squared error
    (UNIFORM, 4, 32, 0, 1, 0), (UNIFORM, 4, 32, 0, 0, 0), (UNIFORM, 3, 0, 0, 1, 0), (UNIFORM, 2, 0, 1, 0, 0),
    (UNIFORM, 8, 0, 1, 1, 0), (UNIFORM, 3, 64, 0, 1, 1), (UNIFORM, 3, 64, 0, 0, 1), (UNIFORM, 2, 0, 1, 1, 1),
    (LOG, 4, 32, 0, 1, 0), (LOG, 3, 0, 0, 1, 0), (LOG, 5, 0, 1, 1, 0), (CODEBOOK, 3, 32, 0, 1, 0),
    (CODEBOOK, 4, 0, 0, 1, 0), (CODEBOOK, 2, 0, 1, 1, 0),
]


def matrix(rng):
    rows = rng.normal(0, 0.05, (4, 128)).astype(f32)
    rows[1, :32] = np.abs(rows[1, :32]) + f32(0.01)  # on one side of zero
    rows[2, 32:64] = 0
    rows[3, 70] = 1  # an outlier
    return rows


def uniform(parts, bits, symmetric):
    signed = symmetric
    scales, zeros, codes = grid(parts, bits, symmetric, signed, 0, F16, parts.shape[1])
    return scales[:, None] * (codes.reshape(parts.shape) - zeros[:, None]).astype(f32)


def least_square(x, bits, symmetric):
    """The least squared error of all ends that are fractions of the range of the numbers."""
    lowest, span = (-(1 << bits - 1) if symmetric else 0), (1 << bits) - 1
    x, tried, least = x.astype(float), np.arange(1, 101) / 100, np.inf
    for a in tried:
        for b in [a] if symmetric else tried:
            low, high = min(x.min(), 0) * a, max(x.max(), 0) * b
            step = np.float16(2 * max(-low, high) / span if symmetric else (high - low) / span).astype(float)
            if not step:
                return 0.0
            zero = 0 if symmetric else np.clip(-np.rint(low / step), 0, span)
            codes = np.clip(np.rint(x / step) + zero, lowest, lowest + span)
            least = min(least, np.square((codes - zero) * step - x).sum())
    return least


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "../fixtures/formats")
    rng = np.random.default_rng(SEED)
    out = bytearray(struct.pack("<I", len(CASES)))
    for kind, bits, group, whole, symmetric, square in CASES:
        x = matrix(rng)
        parts = x.reshape(1, -1) if whole else x.reshape(-1, group or x.shape[1])
        more = {UNIFORM: 16 + (0 if symmetric else bits), LOG: 8, CODEBOOK: 16 << bits}[kind]
        out += struct.pack("<8I", kind, bits, group, whole, symmetric, square, *x.shape) + x.tobytes()
        out += struct.pack("<d", x.size * bits + len(parts) * more)
        if kind == CODEBOOK:
            out += b"".join(struct.pack("<d", least_error(p, np.ones_like(p), 1 << bits)) for p in parts)
        elif square:
            out += b"".join(struct.pack("<d", least_square(p, bits, symmetric)) for p in parts)
        elif kind == LOG:
            out += b"".join(levels_of(p, bits)[1].tobytes() for p in parts)
        else:
            out += uniform(parts, bits, symmetric).astype(f32).tobytes()
    (parser.parse_args().output / "simulated.bin").write_bytes(out)


if __name__ == "__main__":
    main()
