#!/usr/bin/env python3
"""Writes tests/fixtures/formats/int8.bin: SmoothQuant's scales by torchao, W8A8's codes and scales by
compressed-tensors, and LLM.int8()'s parts by bitsandbytes.

    int8_vectors.py [--output FILE]

torchao's SmoothQuantObserver adds 1.2e-7 to the maxima, so its scales are compared with a tolerance.
compressed-tensors' own dequantization of its codes must give scale times code. bitsandbytes finds outliers in a matrix
by its numbers, so the outlier columns have large numbers here.

The file, little-endian. u32 columns, matrices, rows; F32 weights [matrices][rows][columns], max |x| [columns]; u32
alphas; each: F32 alpha, scales [columns]. u32 rows, columns, tensors; F32 x [rows][columns]; each: u32 scale type; F32
scales [rows], i8 codes [rows][columns]. u32 ranges; each: F32 low, high, u32 symmetric, F32 scale, i32 zero. u32 rows,
columns, outliers; u32 list; F32 w [rows][columns]; F32 most [rows], i8 codes [rows][columns], F16 kept
[rows][outliers].

Needs numpy, torch, torchao, compressed-tensors and bitsandbytes (tests/oracles/requirements.txt,
requirements-gptq.txt).
"""
import argparse
import struct
from pathlib import Path

import bitsandbytes.functional as bnb
import numpy as np
import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from compressed_tensors.quantization.utils.helpers import calculate_qparams
from torchao.prototype.smoothquant.core import SmoothQuantObserver

SEED = 20261130
F32, F16, BF16 = 0, 1, 30


def f32(x):
    return torch.from_numpy(np.asarray(x, np.float32))


def smooth(rng):
    columns, rows = 24, 8
    weights = f32(rng.normal(0, 0.1, (2, rows, columns)) * np.exp(rng.normal(0, 0.5, columns)))
    x = f32(rng.normal(0, 1, (50, columns)) * np.exp(rng.normal(0, 1.5, columns)))
    out = struct.pack("<3I", columns, 2, rows) + weights.numpy().tobytes() + x.abs().amax(0).numpy().tobytes()
    alphas = (0.5, 0.8, 0.0, 1.0)
    out += struct.pack("<I", len(alphas))
    for alpha in alphas:
        watch = SmoothQuantObserver(weights.reshape(-1, columns), alpha)
        watch(x)
        out += struct.pack("<f", alpha) + watch.calculate_qparams()[0].numpy().tobytes()
    return out


def rows_of_8_bits(rng):
    x = f32(rng.normal(0, 0.05, (6, 64)))
    x[2] *= 100
    x[3, :] = 0
    x[4] = f32(np.arange(64) - 32) / 127.5  # ties
    kinds = ((F32, torch.float32), (F16, torch.float16), (BF16, torch.bfloat16))
    out = struct.pack("<3I", *x.shape, len(kinds)) + x.numpy().tobytes()
    args = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="channel")
    for number, kind in kinds:
        scale, zero = calculate_qparams(x.amin(1, keepdim=True), x.amax(1, keepdim=True), args)
        scale = scale.to(kind).float()
        scale[3] = 1
        codes = quantize(x, scale, zero, args, dtype=torch.int8)
        assert torch.equal(dequantize(codes, scale, zero, args, dtype=torch.float32), codes.float() * scale)
        out += struct.pack("<I", number) + scale.numpy().tobytes() + codes.numpy().tobytes()
    return out


def ranges():
    cases = [(-3.0, 5.0), (0.0, 7.5), (-1.25, 0.0), (-0.17, 12.0), (2.0, 3.0)]
    out = struct.pack("<I", 2 * len(cases))
    for low, high in cases:
        for symmetric in (False, True):
            args = QuantizationArgs(num_bits=8, type="int", symmetric=symmetric, strategy="tensor")
            scale, zero = calculate_qparams(f32(low), f32(high), args)
            out += struct.pack("<2fIfi", low, high, symmetric, float(scale), int(zero))
    return out


def outliers(rng):
    listed = [3, 17, 18, 39]
    w = rng.normal(0, 1, (5, 40))
    w[:, listed] = np.sign(w[:, listed]) * (6.5 + np.abs(w[:, listed]))
    w = f32(np.where(np.abs(w) > 5, w, np.clip(w, -5, 5)))
    w[2, [i for i in range(40) if i not in listed]] = 0
    codes, most, found = bnb.int8_vectorwise_quant(w.half(), threshold=6.0)
    assert found.tolist() == listed
    out = struct.pack("<3I", *w.shape, len(listed)) + np.array(listed, np.uint32).tobytes() + w.numpy().tobytes()
    return out + most.float().numpy().tobytes() + codes.numpy().tobytes() + w[:, listed].half().numpy().tobytes()


def main():
    parser = argparse.ArgumentParser()
    default = Path(__file__).parent / "../fixtures/formats/int8.bin"
    parser.add_argument("--output", type=Path, default=default)
    rng = np.random.default_rng(SEED)
    out = smooth(rng) + rows_of_8_bits(rng) + ranges() + outliers(rng)
    parser.parse_args().output.write_bytes(out)
    print(len(out), "bytes")


main()
