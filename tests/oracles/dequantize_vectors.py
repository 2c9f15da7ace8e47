#!/usr/bin/env python3
"""Writes tests/fixtures/formats/dequantize.bin: blocks of every tensor type and the F32 weights that they stand for.

    dequantize_vectors.py [--output FILE]

The weights are libgguf's (whose results are llama.cpp's), checked here against the numpy code of the package gguf. What
neither unpacks is written with numpy: F16 and BF16 are conversions, and Q8_1 and Q8_K (activations, never in a libgguf
row) are d q by the definition of their blocks in ggml-common.h.

Each type gets blocks of random bits with scales that are finite (among them the extremes: the largest, subnormal and
negative numbers, zero and minus zero), then blocks quantized from Gaussian weights. NaN is left out, since its sign and
payload are the processor's own.

The file: for each type u32 type, n_weights, n_bytes; the blocks, padded to 4 bytes; F32 [n_weights]. Little-endian.

Needs numpy, gguf and libgguf (tests/oracles/requirements.txt).
"""
import argparse
import struct
from pathlib import Path

import gguf
import libgguf
import numpy as np
from gguf import GGMLQuantizationType as T

SEED = 20240815
# type: byte offsets of the binary16 scales within a block (other scales are drawn below)
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q8_1: [0, 2],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.Q8_K: [],
    T.IQ4_NL: [0], T.IQ4_XS: [0], T.MXFP4: [],
}
EXTREMES = np.array([65504, -65504, 2**-24, -(2**-24), 1023 * 2**-24, 2**-14, 0.0, -0.0, 1.0, 1 / 3], np.float16)


def block_size(qtype):
    """(weights, bytes) of a block. For Q8_1 the package gguf still says 40 bytes; ggml-common.h has 36."""
    return (32, 36) if qtype == T.Q8_1 else gguf.GGML_QUANT_SIZES[qtype]


def random_scales(rng, n):
    """binary16, half of them ordinary weights' scales, a quarter any finite bits, a quarter extremes."""
    bits = rng.integers(0, 65536, n, dtype=np.uint16)
    bits = np.where((bits & 0x7C00) == 0x7C00, bits & 0x83FF, bits)
    ordinary = rng.normal(0, 0.01, n).astype(np.float16).view(np.uint16)
    extreme = rng.choice(EXTREMES, n).view(np.uint16)
    kind = rng.integers(0, 4, n)
    return np.where(kind < 2, ordinary, np.where(kind == 2, bits, extreme))


def random_blocks(rng, qtype, n):
    _, n_bytes = block_size(qtype)
    blocks = rng.integers(0, 256, (n, n_bytes), dtype=np.uint8)
    for at in SCALES[qtype]:
        blocks[:, at : at + 2] = random_scales(rng, n).view(np.uint8).reshape(n, 2)
    if qtype == T.Q8_K:
        blocks[:, :4] = rng.normal(0, 0.01, n).astype(np.float32).view(np.uint8).reshape(n, 4)
    if qtype == T.MXFP4:  # a power of two; 12 times it is finite
        blocks[:, 0] = np.minimum(blocks[:, 0], 252)
        blocks[:6, 0] = [0, 1, 2, 3, 127, 252]
    return blocks


def dequantize(qtype, blocks):
    """blocks [n, bytes of a block] -> F32 [n * weights of a block]"""
    n_weights, _ = block_size(qtype)
    if qtype == T.Q8_1:
        d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        return (d * blocks[:, 4:].view(np.int8)).astype(np.float32).ravel()
    if qtype == T.Q8_K:
        d = blocks[:, :4].copy().view(np.float32)
        return (d * blocks[:, 4:260].view(np.int8)).astype(np.float32).ravel()
    raw = libgguf.dequantize_rows_raw(int(qtype), blocks.tobytes(), len(blocks), n_weights)
    weights = np.frombuffer(raw, np.float32)
    other = gguf.quants.dequantize(blocks, qtype).ravel()
    assert np.array_equal(weights.view(np.uint32), other.view(np.uint32)), f"the two oracles differ on {qtype.name}"
    return weights


def vectors(rng, qtype):
    if qtype in (T.F32, T.F16, T.BF16):
        if qtype == T.F16:
            special = np.array([0, 0x8000, 1, 0x8001, 0x03FF, 0x0400, 0x7BFF, 0xFBFF, 0x7C00, 0xFC00], np.uint16)
            bits = rng.integers(0, 65536, 502, dtype=np.uint16)
            bits = np.concatenate([special, np.where((bits & 0x7C00) == 0x7C00, bits & 0x83FF, bits)])
            return bits, bits.view(np.float16).astype(np.float32)
        if qtype == T.BF16:
            special = np.array([0, 0x8000, 1, 0x8001, 0x007F, 0x0080, 0x7F7F, 0xFF7F, 0x7F80, 0xFF80], np.uint16)
            bits = rng.integers(0, 65536, 502, dtype=np.uint16)
            bits = np.concatenate([special, np.where((bits & 0x7F80) == 0x7F80, bits & 0x807F, bits)])
            return bits, (bits.astype(np.uint32) << 16).view(np.float32)
        values = rng.normal(0, 1, 64).astype(np.float32)
        return values, values

    n_weights, _ = block_size(qtype)
    n = 24 if n_weights == 32 else 6
    parts = [random_blocks(rng, qtype, n)]
    if qtype not in (T.Q8_1, T.Q8_K):
        gaussian = rng.normal(0, 0.02, (n // 3, n_weights)).astype(np.float32)
        parts.append(libgguf.quantize_rows(gaussian, int(qtype)))
    blocks = np.ascontiguousarray(np.concatenate(parts))
    return blocks, dequantize(qtype, blocks)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=Path(__file__).parent.parent / "fixtures/formats/dequantize.bin", type=Path)
    output = parser.parse_args().output
    rng = np.random.default_rng(SEED)
    data = b""
    for qtype in [T.F32, T.F16, T.BF16, *SCALES]:
        blocks, weights = vectors(rng, qtype)
        assert np.isfinite(weights).all() or qtype in (T.F16, T.BF16)
        raw = blocks.tobytes()
        data += struct.pack("<III", qtype, weights.size, len(raw)) + raw + bytes(-len(raw) % 4) + weights.tobytes()
    output.write_bytes(data)
    print(f"{output}: {len(data)} bytes")


if __name__ == "__main__":
    main()
