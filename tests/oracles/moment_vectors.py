#!/usr/bin/env python3
"""Writes tests/fixtures/train/moments.bin: AdamW with moments in 8 bits, as bitsandbytes keeps them.

    moment_vectors.py [--output FILE]

Dettmers et al. 2022, "8-bit Optimizers via Block-wise Quantization": the values of the codes come from bitsandbytes'
create_dynamic_map, and a step is its optimizer_update_8bit_blockwise_pytorch, the reference of its kernels. (That file
imports triton for the kernels, which needs a graphics card; a stub of that name is enough. quantize_blockwise on the
CPU is no oracle: for 3 of 100 second moments its value is not the nearest.) A second moment that is not 0 and would get
code 0 gets code 1; this is nibble's own rule (src/train/moments.h).

The file, little-endian: F32 numbers [256] of first moments, then of second ones; u32 n, steps; F32 rate, beta1, beta2,
epsilon, decay; after the first step, and again after the last one: F32 magnitudes of the first moments [blocks], and of
the second ones; u8 codes of the first moments [n], and of the second ones; F32 weights [n]. Weights are r / 4 of the
generator of tests/core/random.h with the seed SEED, and then, in each step, each gradient is r / 2^k, with k the next
integer modulo 13; it is 0 if k is 12.

Needs numpy, torch and bitsandbytes (tests/oracles/requirements.txt).
"""
import argparse
import struct
import sys
from pathlib import Path
from unittest.mock import MagicMock

import numpy as np
import torch
from bitsandbytes.functional import create_dynamic_map

from train import Random

sys.modules.update({"triton": MagicMock(), "triton.language": MagicMock()})
from bitsandbytes.backends.triton.kernels_optim import optimizer_update_8bit_blockwise_pytorch

N, STEPS, SEED, BLOCK = 1100, 10, 5, 256
RATE, BETA1, BETA2, EPSILON, DECAY = 0.01, 0.9, 0.95, 1e-8, 0.1


def f32(x):
    return float(np.float32(x))


def gradients(random):
    out = []
    for _ in range(N):
        r, k = random.floats((1,)).item(), random.integer() % 13
        out.append(0 if k == 12 else r / 2**k)
    return torch.tensor(out, dtype=torch.float32)


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--output", type=Path, default=Path(__file__).parents[1] / "fixtures/train/moments.bin")
    output = args.parse_args().output
    maps = create_dynamic_map(signed=True), create_dynamic_map(signed=False)
    out = b"".join(m.numpy().astype("<f4").tobytes() for m in maps)
    out += struct.pack("<2I5f", N, STEPS, RATE, BETA1, BETA2, EPSILON, DECAY)
    random = Random(SEED)
    w = random.floats((N,)).float() / 4
    blocks = -(-N // BLOCK)
    codes = [torch.full((N,), int((m == 0).nonzero()[0]), dtype=torch.uint8) for m in maps]
    most = [torch.zeros(blocks) for _ in maps]
    is_above = torch.zeros(N, dtype=torch.bool)  # the second moments that are not 0
    for step in range(1, STEPS + 1):
        g = gradients(random)
        optimizer_update_8bit_blockwise_pytorch(
            w, g, codes[0], codes[1], f32(BETA1), f32(BETA2), 0.0, 0.0, f32(EPSILON), step, f32(RATE), maps[0], maps[1],
            most[0], most[1], f32(DECAY), 1.0, False, optimizer_name="adam")
        is_above |= g != 0
        codes[1][(codes[1] == 0) & is_above] = 1
        if step in (1, STEPS):
            out += b"".join(x.numpy().astype("<f4").tobytes() for x in most)
            out += b"".join(x.numpy().tobytes() for x in codes) + w.numpy().astype("<f4").tobytes()
    output.write_bytes(out)
    print(f"{output}: {len(out)} bytes")


main()
