#!/usr/bin/env python3
"""Writes tests/fixtures/formats/dequantize.bin: blocks of every tensor type, and the F32 weights that they stand for.

    dequantize_vectors.py [--output FILE]

The weights are libgguf's (whose results are llama.cpp's), checked against the numpy code of the package gguf, which has
all types but Q1_0. Types that neither package unpacks are computed with numpy: plain numbers are converted, and Q8_1
and Q8_K (activations, which libgguf does not have) are d q by the definition of their blocks in ggml-common.h.

Each type gets blocks of random bits with finite scales (also extreme ones: the largest, subnormal and negative numbers,
zero and minus zero), then blocks quantized from Gaussian weights. NaN is left out, since its sign and payload depend on
the processor. Types with a grid also get blocks with every entry of it.

The file: for each type u32 type, n_shown, n_weights, n_bytes; the blocks, padded to 4 bytes; F32 [n_shown], the first
weights; u32, the FNV-1a hash of the bytes of all weights. Little-endian.

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
Q2_0 = 42  # of ggml's newest types, which neither package knows: w = d (q - 1), from its ggml-quants.c
# type: byte offsets of the binary16 scales within a block (other scales are drawn below)
SCALES = {
    T.Q4_0: [0], T.Q4_1: [0, 2], T.Q5_0: [0], T.Q5_1: [0, 2], T.Q8_0: [0], T.Q8_1: [0, 2],
    T.Q2_K: [80, 82], T.Q3_K: [108], T.Q4_K: [0, 2], T.Q5_K: [0, 2], T.Q6_K: [208], T.Q8_K: [],
    T.IQ4_NL: [0], T.IQ4_XS: [0], T.MXFP4: [], T.NVFP4: [], T.Q1_0: [0], T.TQ1_0: [52], T.TQ2_0: [64],
    T.IQ2_XXS: [0], T.IQ2_XS: [0], T.IQ2_S: [0], T.IQ3_XXS: [0], T.IQ3_S: [0], T.IQ1_S: [0], T.IQ1_M: [], Q2_0: [0],
}
NUMBERS = {T.F32: "f4", T.F64: "f8", T.I8: "i1", T.I16: "i2", T.I32: "i4", T.I64: "i8"}
SHOWN = 512  # weights of a type, at most
EXTREMES = np.array([65504, -65504, 2**-24, -(2**-24), 1023 * 2**-24, 2**-14, 0.0, -0.0, 1.0, 1 / 3], np.float16)


def block_size(qtype):
    """(weights, bytes) of a block. For Q8_1 the package gguf still says 40 bytes; ggml-common.h has 36."""
    if qtype == Q2_0:
        return 64, 18
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
    if qtype == T.IQ1_M:  # the scale's four bits are the highest of four words
        d = random_scales(rng, n)
        for part in range(4):
            high = (d >> (4 * part) & 15) << 4
            blocks[:, 49 + 2 * part] = blocks[:, 49 + 2 * part] & 15 | high.astype(np.uint8)
    if qtype == T.NVFP4:
        blocks[: 256 // 4, :4] = np.arange(256, dtype=np.uint8).reshape(64, 4)
    return blocks


# Where the blocks of a type with a grid have the index of entry i: the byte with the low eight bits, the first of the
# bytes with the high bits, the number of high bits, and their shift.
PLACES = {
    T.IQ2_XXS: (lambda i: 2 + i // 4 * 8 + i % 4, 0, 0, None),
    T.IQ2_XS: (lambda i: 2 + 2 * i, 2, 1, lambda i: 16 * i + 8),
    T.IQ2_S: (lambda i: 2 + i, 66, 2, lambda i: 2 * i),
    T.IQ3_XXS: (lambda i: 2 + i, 0, 0, None),
    T.IQ3_S: (lambda i: 2 + i, 66, 1, lambda i: i),
    T.IQ1_S: (lambda i: 2 + i, 34, 3, lambda i: i // 4 * 16 + i % 4 * 3),
    T.IQ1_M: (lambda i: i, 32, 3, lambda i: 4 * i),
}


def all_entries(rng, qtype):
    """Blocks that have each entry of the type's grid once."""
    low_at, high_at, width, bit_of = PLACES[qtype]
    entries, weights = gguf.quants._type_traits[qtype].grid_shape
    blocks = random_blocks(rng, qtype, entries * weights // 256)
    for number in range(entries):
        i = number % (256 // weights)
        block = blocks[number // (256 // weights)]
        block[low_at(i)] = number & 255
        for k in range(width):
            at = bit_of(i) + k
            byte = high_at + at // 8
            block[byte] = int(block[byte]) & ~(1 << at % 8) | (number >> 8 + k & 1) << at % 8
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
    if qtype == Q2_0:
        d = blocks[:, :2].copy().view(np.float16).astype(np.float32)
        codes = blocks[:, 2:, None] >> np.arange(0, 8, 2) & 3
        return (d * (codes.reshape(-1, 64).astype(np.float32) - 1)).ravel()
    raw = libgguf.dequantize_rows_raw(int(qtype), blocks.tobytes(), len(blocks), n_weights)
    weights = np.frombuffer(raw, np.float32)
    if qtype == T.Q1_0:
        return weights
    other = gguf.quants.dequantize(blocks, qtype).ravel()
    assert np.array_equal(weights.view(np.uint32), other.view(np.uint32)), f"the two oracles differ on {qtype.name}"
    return weights


def vectors(rng, qtype):
    if qtype in NUMBERS and qtype != T.F32:
        values = rng.integers(0, 256, 64 * np.dtype(NUMBERS[qtype]).itemsize, dtype=np.uint8).view(NUMBERS[qtype])
        if qtype == T.F64:
            special = [0.0, -0.0, 2.0**-149, 3e-45, 1 + 2**-24, 1 + 3 * 2**-24, 1e38]
            values = np.concatenate([rng.normal(0, 1, 64), special])
        return values, values.astype(np.float32)
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
    n = 96 if n_weights == 64 else 24 if n_weights == 32 else 6
    parts = [random_blocks(rng, qtype, n)]
    if qtype not in (T.Q8_1, T.Q8_K, Q2_0):
        gaussian = rng.normal(0, 0.02, (n // 3, n_weights)).astype(np.float32)
        parts.append(libgguf.quantize_rows(gaussian, int(qtype)))
    if qtype in PLACES:
        parts.append(all_entries(rng, qtype))
    blocks = np.ascontiguousarray(np.concatenate(parts))
    return blocks, dequantize(qtype, blocks)


def fnv1a(data):
    """Fowler, Noll and Vo's hash, of 32 bits."""
    value = 0x811C9DC5
    for byte in data:
        value = (value ^ byte) * 0x01000193 & 0xFFFFFFFF
    return value


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=Path(__file__).parent.parent / "fixtures/formats/dequantize.bin", type=Path)
    output = parser.parse_args().output
    rng = np.random.default_rng(SEED)
    data = b""
    for qtype in [*NUMBERS, T.F16, T.BF16, *SCALES]:
        blocks, weights = vectors(rng, qtype)
        assert np.isfinite(weights).all() or qtype in (T.F16, T.BF16)
        raw = blocks.tobytes()
        data += struct.pack("<IIII", qtype, min(weights.size, SHOWN), weights.size, len(raw))
        data += raw + bytes(-len(raw) % 4)
        data += weights[:SHOWN].tobytes() + struct.pack("<I", fnv1a(weights.tobytes()))
    output.write_bytes(data)
    print(f"{output}: {len(data)} bytes")


if __name__ == "__main__":
    main()
