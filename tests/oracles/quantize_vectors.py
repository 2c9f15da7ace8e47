#!/usr/bin/env python3
"""Writes tests/fixtures/formats/quantize.bin: rows of F32 and their quantized blocks.

    quantize_vectors.py [--output FILE]

Blocks of GGUF's types are made by libgguf (whose bytes are llama.cpp's), those of NF4, FP4 and LLM.int8() by
bitsandbytes. Rows of LLM.int8() are written as Q8_0 in which each block has the row's scale, SCB / 127 as binary16.

Importance matrices are of several kinds: nearly even, with a long tail, with zeros here and there and in a whole group,
with a few huge numbers.

The file, little-endian: u32 rows, types; F32 [rows][256]. For each type u32 type (256 is added for int8), bytes of a
row, rows shown; their blocks, padded to 4 bytes; u32, the FNV-1a hash of all rows' blocks; for NF4 and FP4 another, of
the F32 that they stand for, without the sign of zeros. Then double quantization: u32 n; F32 absmax [n], u8 code [n],
F32 absmax once more [n].
Then with importance, for which two rows are joined: u32 matrices, types; F32 [matrices][512]; for each type the same as
above. Row i has matrix i modulo their number.

Needs numpy, libgguf, torch and bitsandbytes (tests/oracles/requirements.txt).
"""
import argparse
import struct
from pathlib import Path

import bitsandbytes.functional as bnb
import bitsandbytes.nn
import libgguf
import numpy as np
import torch
from gguf import GGMLQuantizationType as T

from dequantize_vectors import Q2_0, fnv1a

SEED = 20260411
COLUMNS, PLAIN_ROWS = 256, 24
NF4, FP4, INT8 = 60, 61, T.Q8_0 + 256
KINDS = [T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q8_0, T.IQ4_NL, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K,
         T.F16, T.BF16, NF4, FP4, INT8, T.IQ4_XS, T.MXFP4, T.NVFP4, T.TQ1_0, T.TQ2_0, T.Q1_0, Q2_0]
GRIDS = [T.IQ3_S, T.IQ3_XXS, T.IQ2_S, T.IQ1_M, T.IQ2_XS, T.IQ2_XXS, T.IQ1_S]  # the last three only with importance
KINDS += GRIDS[:4]
WEIGHTED = [T.Q4_0, T.Q4_1, T.Q5_0, T.Q5_1, T.Q2_K, T.Q3_K, T.Q4_K, T.Q5_K, T.Q6_K, T.IQ4_NL, T.IQ4_XS, *GRIDS]


def special_rows(rng):
    i = np.arange(COLUMNS)
    normal = rng.normal(0, 0.02, COLUMNS)
    huge = rng.normal(0, 1e-3, COLUMNS)
    huge[77] = -1e4
    lone = np.zeros(COLUMNS)
    lone[200] = 0.5
    islands = np.where(i // 16 % 3 == 0, 0, normal)
    return [
        np.zeros(COLUMNS), np.full(COLUMNS, 0.37), np.full(COLUMNS, -2.0), huge,
        rng.normal(0, 1e-18, COLUMNS), rng.normal(0, 1e-30, COLUMNS), rng.normal(0, 1e-41, COLUMNS),
        rng.normal(0, 1e30, COLUMNS), -np.abs(normal), np.abs(normal) + 0.1, np.where(i % 2, 1.0, -1.0), lone, islands,
        rng.integers(-8, 9, COLUMNS) / 16,  # ties
        i / 16 - 5, normal,
    ]


def plain_rows(rng):
    """Rows like weights: some nearly normal, some with long tails, most of them already rounded to fewer bits."""
    rows = [rng.normal(0, 0.03, (PLAIN_ROWS // 2, COLUMNS)), rng.laplace(0, 0.02, (PLAIN_ROWS // 2, COLUMNS))]
    rows = np.concatenate(rows).astype(np.float32)
    rows[::3] = rows[::3].astype(np.float16)
    rows[1::3] = torch.from_numpy(rows[1::3]).bfloat16().float().numpy()
    return rows


def four_bits(rows, kind):
    """Blocks of bitsandbytes' absmax and codes, and the weights that they stand for."""
    packed, state = bnb.quantize_4bit(torch.from_numpy(rows), blocksize=64, quant_type=kind)
    blocks = np.concatenate([state.absmax.numpy()[:, None].view(np.uint8), packed.numpy().reshape(-1, 32)], 1)
    state.shape = torch.Size((rows.size // 64, 64))  # with AVX-512 it misplaces the blocks of longer rows
    weights = bnb.dequantize_4bit(packed, state).numpy()
    return blocks.reshape(len(rows), -1), weights + np.float32(0)  # FP4's zero has a sign on some processors


def int8(rows):
    with np.errstate(over="ignore"):
        parameters = bitsandbytes.nn.Int8Params(torch.from_numpy(rows), requires_grad=False).to("cpu")
        codes, absmax = parameters.CB.numpy(), parameters.SCB.numpy()
        d = (absmax / np.float32(127)).astype(np.float16)
    d = np.repeat(d[:, None], COLUMNS // 32, 1)[..., None].view(np.uint8)
    blocks = np.concatenate([d, codes.reshape(len(rows), -1, 32).view(np.uint8)], 2)
    return blocks.reshape(len(rows), -1)


def q2_0(rows):
    """Rounds like ggml's quantize_row_q2_0_ref: codes of x / max|x|, ties away from zero."""
    x = rows.reshape(-1, 64)
    most = np.abs(x).max(1, keepdims=True)
    with np.errstate(divide="ignore", over="ignore", invalid="ignore"):
        scaled = x * np.where(most > 0, np.float32(1) / most, np.float32(0))
        d = most.astype(np.float16)
    rounded = np.sign(scaled) * np.floor(np.abs(scaled.astype(np.float64)) + 0.5)
    codes = np.where(np.isfinite(scaled), rounded + 1, 1).astype(np.uint8).reshape(-1, 16, 4)
    packed = codes[..., 0] | codes[..., 1] << 2 | codes[..., 2] << 4 | codes[..., 3] << 6
    return np.concatenate([d.view(np.uint8), packed], 1).reshape(len(rows), -1)


def iq3_s_in_place(blocks, rows):
    """libgguf, like llama.cpp, does not advance in codes and signs if 32 weights are zeros, so the rest is
    misplaced."""
    blocks = blocks.reshape(-1, 110)
    for block, x in zip(blocks, rows.reshape(-1, 8, 32)):
        codes, signs, at = block[2:66].copy().reshape(8, 8), block[74:106].copy().reshape(8, 4), 0
        for group in range(8):
            is_zero = not x[group].any()
            block[2 + 8 * group : 10 + 8 * group] = 0 if is_zero else codes[at]
            block[74 + 4 * group : 78 + 4 * group] = 0 if is_zero else signs[at]
            at += not is_zero
    return blocks.reshape(len(rows), -1)


def gguf_blocks(rows, kind, importance=None):
    if kind == Q2_0:
        return q2_0(rows)
    if kind in GRIDS:  # if squares overflow, libgguf ends the process
        rows = np.where(np.abs(rows).max(1, keepdims=True) > 1e9, np.float32(0), rows)
    blocks = libgguf.quantize_rows(rows, int(kind), imatrix=importance).view(np.uint8)
    if kind == T.MXFP4:  # an exponent below E8M0's range: u8 of a negative float, which C leaves undefined
        blocks[np.abs(rows).max(1) < 2.0**-127] = 0
    if kind == T.IQ3_S:
        blocks = iq3_s_in_place(blocks, rows)
    return blocks


def importance_rows(rng):
    holes = np.where(rng.random(2 * COLUMNS) < 0.1, 0, rng.lognormal(0, 1, 2 * COLUMNS))
    holes[32:64] = 0
    spikes = np.where(rng.random(2 * COLUMNS) < 0.02, 1e6, 1)
    return np.array([rng.uniform(0.5, 1, 2 * COLUMNS), rng.lognormal(0, 2, 2 * COLUMNS), holes, spikes], np.float32)


def weighted(rows, importance):
    """The blocks of each type with importance, as in the file."""
    data = struct.pack("<II", len(importance), len(WEIGHTED)) + importance.tobytes()
    for kind in WEIGHTED:
        blocks = [gguf_blocks(row[None], kind, importance[i % len(importance)]) for i, row in enumerate(rows)]
        blocks = np.concatenate(blocks)
        data += struct.pack("<III", kind, blocks.shape[1], 2) + blocks[-2:].tobytes()
        data += bytes(-len(data) % 4) + struct.pack("<I", fnv1a(blocks.tobytes()))
    return data


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=Path(__file__).parent.parent / "fixtures/formats/quantize.bin", type=Path)
    output = parser.parse_args().output
    torch.set_num_threads(1)
    rng = np.random.default_rng(SEED)
    special = special_rows(rng)
    with np.errstate(under="ignore"):
        rows = np.concatenate([np.array(special, np.float32), plain_rows(rng)])
    data = struct.pack("<II", len(rows), len(KINDS)) + rows.tobytes()
    for kind in KINDS:
        weights = None
        if kind in (NF4, FP4):
            blocks, weights = four_bits(rows, "nf4" if kind == NF4 else "fp4")
        else:
            blocks = int8(rows) if kind == INT8 else gguf_blocks(rows, kind)
        shown = 0 if kind in (T.F16, T.BF16) else len(special) if kind in KINDS[: KINDS.index(INT8) + 1] else 2
        data += struct.pack("<III", kind, blocks.shape[1], shown) + blocks[:shown].tobytes()
        data += bytes(-len(data) % 4) + struct.pack("<I", fnv1a(blocks.tobytes()))
        if weights is not None:
            data += struct.pack("<I", fnv1a(weights.tobytes()))

    tensor = torch.from_numpy(rng.normal(0, 0.05, (600, 64)).astype(np.float32))
    absmax = bnb.quantize_4bit(tensor, blocksize=64, quant_type="nf4")[1].absmax.numpy()
    state = bnb.quantize_4bit(tensor, blocksize=64, quant_type="nf4", compress_statistics=True)[1]
    # torch adds in an order of its own; here the mean is the nearest F32 whatever the order
    assert state.offset.item() == np.float32(absmax.astype(np.float64).mean()), "take another seed"
    twice = bnb.dequantize_blockwise(state.absmax, state.state2) + state.offset
    data += struct.pack("<I", absmax.size) + absmax.tobytes() + state.absmax.numpy().tobytes() + twice.numpy().tobytes()
    data += weighted(rows.reshape(-1, 2 * COLUMNS), importance_rows(rng))
    output.write_bytes(data)
    print(f"{output}: {len(data)} bytes")


if __name__ == "__main__":
    main()
