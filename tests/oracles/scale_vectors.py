#!/usr/bin/env python3
"""Writes tests/fixtures/train/scales.bin: gradients of the scales of quantized blocks, by PyTorch's autograd.

    scale_vectors.py [--output FILE]

A weight is w = d s q + m z, with the integers s and z of its group and its code's number q, which are constant. q, s
and z come from the package gguf's dequantizers, by replacing a block's other numbers with 1 or 0, so this script has no
layouts of codes. Numbers are rounded to the block's types by torch's half() and round(), whose gradient is the identity
(the straight-through estimator, Bengio et al. 2013).

The file, little-endian; of each type: u32 type, parameters, weights, bytes of a block; the block, padded to 4 bytes;
F32 its parameters (d, m, all s, all z), the gradient of the weights, the gradient of the parameters; F32 changed
parameters, and the weights for them after rounding.

Needs numpy, torch and gguf (tests/oracles/requirements.txt).
"""
import argparse
import struct
from pathlib import Path

import gguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T
from gguf.quants import dequantize

Q2_0 = 42  # newer than the package: w = d (q - 1), four codes a byte, the first in the lowest bits
# type: bytes of d; of m; of s and z, and the values of these bytes if all s and z are 1; groups, range of s
TYPES = {
    T.Q4_0: (0, None, None, b"", 0, None),
    T.Q4_1: (0, 2, None, b"", 0, None),
    T.Q5_0: (0, None, None, b"", 0, None),
    T.Q5_1: (0, 2, None, b"", 0, None),
    T.Q8_0: (0, None, None, b"", 0, None),
    T.Q2_K: (80, 82, 0, b"\x11" * 16, 16, (0, 15)),
    T.Q3_K: (108, None, 96, b"\x11" * 8 + b"\xaa" * 4, 16, (-32, 31)),
    T.Q4_K: (0, 2, 4, b"\x01" * 8 + b"\x11" * 4, 8, (0, 63)),
    T.Q5_K: (0, 2, 4, b"\x01" * 8 + b"\x11" * 4, 8, (0, 63)),
    T.Q6_K: (208, None, 192, b"\x01" * 16, 16, (-128, 127)),
    T.IQ4_NL: (0, None, None, b"", 0, None),
    T.IQ4_XS: (0, None, 2, b"\xaa\xaa" + b"\x11" * 4, 8, (-32, 31)),
    T.TQ2_0: (64, None, None, b"", 0, None),
    Q2_0: (0, None, None, b"", 0, None),
}


class Rounded(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, least, most, whole):
        x = x.clamp(least, most)
        return x.round() if whole else x.to(torch.float16).to(x.dtype)

    @staticmethod
    def backward(ctx, gradient):
        return gradient, None, None, None


def sizes(kind):
    return (64, 18) if kind == Q2_0 else gguf.GGML_QUANT_SIZES[kind]


def weights_of(kind, block):
    if kind == Q2_0:
        codes = block[2:, None] >> np.array([0, 2, 4, 6], np.uint8) & 3
        return block[:2].view(np.float16).astype(np.float32) * (codes.reshape(-1).astype(np.float32) - 1)
    return dequantize(block[None], kind).reshape(-1)


def replaced(block, *parts):
    block = block.copy()
    for at, data in parts:
        if at is not None:
            block[at : at + len(data)] = np.frombuffer(data, np.uint8)
    return block


def half(x):
    return np.float16(x).tobytes()


def case(rng, kind):
    d_at, m_at, wholes_at, ones, groups, limits = TYPES[kind]
    n, size = sizes(kind)
    block = rng.integers(0, 256, size, dtype=np.uint8)
    block = replaced(block, (d_at, half(rng.normal(0, 0.01))), (m_at, half(rng.normal(0, 0.01))))
    shape = (max(groups, 1), n // max(groups, 1))
    numbers = lambda *parts: weights_of(kind, replaced(block, *parts)).reshape(shape).astype(np.float64)
    one, zero = half(1), half(0)
    q = numbers((d_at, one), (m_at, zero), (wholes_at, ones))
    sq = numbers((d_at, one), (m_at, zero))
    largest = np.abs(q).argmax(1)[:, None]
    s = (np.take_along_axis(sq, largest, 1) / np.take_along_axis(q, largest, 1))[:, 0]
    assert (s[:, None] * q == sq).all() and (groups or (s == 1).all())
    values = [block[d_at : d_at + 2].view(np.float16)]
    if m_at is not None:
        unit = numbers((d_at, zero), (m_at, one), (wholes_at, ones))  # 1 or -1
        z = (numbers((d_at, zero), (m_at, one)) / unit)[:, 0]
        values.append(block[m_at : m_at + 2].view(np.float16))
    if groups:
        values += [s] + ([z] if m_at is not None else [])
    values = np.concatenate([v.astype(np.float64) for v in values])

    def weights(p):
        halves = 1 if m_at is None else 2
        d, rest = Rounded.apply(p[0], -65504, 65504, False), p[halves:]
        scales = Rounded.apply(rest[:groups], *limits, True)[:, None] if groups else 1
        w = d * scales * torch.tensor(q)
        if m_at is None:
            return w
        m = Rounded.apply(p[1], -65504, 65504, False)
        minima = Rounded.apply(rest[groups:], 0, limits[1], True)[:, None] if groups else 1
        return w + m * minima * torch.tensor(unit)

    p = torch.tensor(values, requires_grad=True)
    w = weights(p)
    np.testing.assert_allclose(w.detach().numpy().reshape(-1), weights_of(kind, block), rtol=1e-5, atol=1e-7)
    gradient = torch.tensor(rng.normal(0, 1, shape).astype(np.float32).astype(np.float64))
    (gradient * w).sum().backward()
    changed = values * (1 + rng.normal(0, 0.05, values.shape))
    if groups:
        changed[-1], changed[-2], changed[-3], changed[-4] = -1000, 1000, 3.5, 2.5  # beyond the ends, and two ties
    if kind == T.Q8_0:
        changed[0] = 1e6
    changed = changed.astype(np.float32)
    written = weights(torch.tensor(changed.astype(np.float64))).numpy()
    out = struct.pack("<4I", int(kind), len(values), n, size) + block.tobytes() + bytes(-size % 4)
    for x in (values, gradient.numpy(), p.grad.numpy(), changed, written):
        out += x.astype(np.float32).tobytes()
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=Path(__file__).parent / "../fixtures/train/scales.bin")
    path = parser.parse_args().output
    rng = np.random.default_rng(1)
    path.write_bytes(b"".join(case(rng, kind) for kind in TYPES))
    print(f"{path.name}: {path.stat().st_size} bytes")


if __name__ == "__main__":
    main()
