#!/usr/bin/env python3
"""Writes tests/fixtures/formats/gptq.bin: small matrices quantized by GPTQModel.

    gptq_vectors.py [--output FILE]

Weights and inputs come from a generator of random numbers that tests/core/test_gptq.c has, too, so the file has only
results. GPTQModel is given the Hessian X^T X. It is unchanged, with one exception: scales are rounded to binary16, as
its files store them, before codes are chosen. Each case also has output errors tr(E H E^T): with this change, and of
the unchanged GPTQModel, whose scales are rounded afterwards.

The file, little-endian: u32 cases. For each case u32 bits, group (0: whole rows), symmetric, order (NB_ORDER_...), dead
(n: every n-th column has no inputs; 0: all have); f32 search; f64 error with the change, error without it; u8 code
[ROWS][COLUMNS], f16 scale [ROWS][groups], u8 zero [ROWS][groups], i32 group of each column [COLUMNS]. Then packing: u32
cases; for each u32 format (NB_FORMAT_...), bits, group, rows, columns; then the tensors into which GPTQModel or
compressed-tensors pack the codes 7 i % 2^bits, i = 0 ... rows columns - 1, the zeros 1 + (row + group) % (2^bits - 1)
and the scales 2^-4 (1 + group / 16): u32 codes, u32 zeros, f16 scales.

Needs torch, compressed-tensors and gptqmodel (tests/oracles/requirements-gptq.txt).
"""
import argparse
import os
import struct
from pathlib import Path

os.cpu_count = lambda: 8  # gptqmodel expects several

import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.helpers import pack_to_int32
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization import gptq as library
from gptqmodel.quantization.config import QuantizeConfig
from gptqmodel.quantization.quantizer import Quantizer
from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module

ROWS, COLUMNS, TOKENS, SEED, DAMPING = 32, 256, 384, 2463534242, 0.05
NATURAL, ACTIVATION, STATIC, GROUP_AWARE = range(4)
# bits, group, symmetric, order, search, dead
CASES = [
    (4, 128, 1, NATURAL, 0, 0), (4, 32, 0, NATURAL, 0, 0), (3, 64, 1, GROUP_AWARE, 0, 0),
    (2, 32, 0, GROUP_AWARE, 2.4, 0),
    (4, 0, 0, NATURAL, 0, 0), (8, 32, 1, STATIC, 0, 0), (4, 32, 0, ACTIVATION, 0, 0), (4, 128, 1, NATURAL, 2, 9),
    (3, 0, 1, ACTIVATION, 0, 0), (2, 64, 1, NATURAL, 2, 0), (3, 64, 0, STATIC, 2, 0), (4, 128, 0, GROUP_AWARE, 0, 0),
]
GPTQ, GPTQ_V2, COMPRESSED = range(3)
PACKED = [(GPTQ, 4, 32, 64, 64), (GPTQ_V2, 4, 64, 32, 64), (GPTQ_V2, 3, 32, 32, 64), (GPTQ, 2, 64, 32, 64),
          (GPTQ, 8, 32, 32, 64),
          (GPTQ_V2, 2, 32, 64, 64), (COMPRESSED, 4, 32, 64, 64), (COMPRESSED, 8, 64, 32, 64),
          (COMPRESSED, 2, 32, 32, 96)]


class Random:
    """xorshift32, as in tests/core/random.h."""
    def __init__(self, seed):
        self.state = seed

    def next(self):
        x = self.state
        x ^= x << 13 & 0xFFFFFFFF
        x ^= x >> 17
        x ^= x << 5 & 0xFFFFFFFF
        self.state = x
        return x

    def float(self):
        return np.float32(((self.next() >> 8) - (1 << 23)) / (1 << 23))


def matrix(random):
    """Sums of three numbers within -1 ... 1, divided by 32."""
    w = np.empty((ROWS, COLUMNS), np.float32)
    for i in range(ROWS * COLUMNS):
        w.flat[i] = (random.float() + random.float() + random.float()) / np.float32(32)
    return w


def hessian(random, dead):
    """Inputs are integers: three quarters of their neighbour plus a new number, times 1 to 5."""
    x = np.zeros((TOKENS, COLUMNS), np.int64)
    for t in range(TOKENS):
        last = 0
        for c in range(COLUMNS):
            last = (3 * last >> 2) + (random.next() >> 8) % 33 - 16
            x[t, c] = 0 if dead and c % dead == dead - 1 else last * (1 + c * 7 % 5)
    return (x.T @ x).astype(np.float32)


def quantize(w, h, bits, group, symmetric, order, search, alike):
    """codes, scales, zeros, groups of columns, weights; alike: with the change."""
    config = QuantizeConfig(bits=bits, group_size=group or -1, sym=bool(symmetric),
                            desc_act=order in (ACTIVATION, STATIC),
                            static_groups=order == STATIC, act_group_aware=order == GROUP_AWARE, damp_percent=DAMPING,
                            mse=float(search))
    linear = torch.nn.Linear(*w.shape[::-1], bias=False)
    linear.weight.data = torch.from_numpy(w.copy())
    task = library.GPTQ(linear, config)
    task.quantizer.configure(perchannel=True)
    task.H = torch.from_numpy(h.copy())
    task.finalize_hessian = lambda **_: None
    task.nsamples = TOKENS
    task.fallback = None
    plain = Quantizer.find_params
    if alike:
        def rounded(self, x, weight=False):
            plain(self, x, weight)
            self.scale = self.scale.half().float()
        Quantizer.find_params = rounded
    try:
        result = task.quantize()
    finally:
        Quantizer.find_params = plain
    q, scales, zeros, g_idx = result[:4]
    scales = scales.half().float()
    columns = g_idx.long()
    codes = torch.clamp(torch.round(q.float() / result[1][:, columns]) + zeros[:, columns], 0, 2**bits - 1)
    weights = scales[:, columns] * (codes - zeros[:, columns])
    codes, zeros = codes.numpy().astype(np.uint8), zeros.numpy().astype(np.uint8)
    return codes, scales.numpy(), zeros, g_idx.numpy(), weights.numpy()


def packed_by_gptqmodel(layout, bits, group, codes, scales, zeros):
    rows, columns = codes.shape
    g_idx = torch.arange(columns, dtype=torch.int32) // group
    linear = torch.nn.Linear(columns, rows, bias=False)
    linear.weight.data = scales[:, g_idx.long()] * (codes - zeros[:, g_idx.long()])
    layer = TorchLinear(bits=bits, group_size=group, sym=False, desc_act=False, in_features=columns, out_features=rows)
    layer.pack(linear, scales, zeros, g_idx)
    if layout == GPTQ:
        convert_gptq_v2_to_v1_format_module(layer,
                                            QuantizeConfig(bits=bits, group_size=group, sym=False, desc_act=False))
    return layer.qweight, layer.qzeros, layer.scales


def packed(layout, bits, group, rows, columns):
    most, groups, middle = 2**bits - 1, columns // group, 2**(bits - 1)
    codes = (torch.arange(rows * columns) * 7 % 2**bits).reshape(rows, columns).float()
    scales = (2**-4 * (1 + torch.arange(groups) / 16)).repeat(rows, 1)
    zeros = 1.0 + (torch.arange(rows)[:, None] + torch.arange(groups)) % most
    if layout == COMPRESSED:
        tensors = (pack_to_int32((codes - middle).to(torch.int8), bits),
                   pack_to_int32((zeros - middle).to(torch.int8), bits, packed_dim=0), scales.half())
    else:
        tensors = packed_by_gptqmodel(layout, bits, group, codes, scales, zeros)
    return struct.pack("<5I", layout, bits, group, rows, columns) + b"".join(
        tensor.contiguous().numpy().tobytes() for tensor in tensors)


def error(w, q, h):
    e = w.astype(np.float64) - q
    return float(np.einsum("ri,ij,rj->", e, h.astype(np.float64), e, optimize=True))


def main():
    parser = argparse.ArgumentParser()
    default = Path(__file__).resolve().parents[1] / "fixtures/formats/gptq.bin"
    parser.add_argument("--output", type=Path, default=default)
    out = bytearray(struct.pack("<I", len(CASES)))
    for bits, group, symmetric, order, search, dead in CASES:
        random = Random(SEED)
        w, h = matrix(random), hessian(random, dead)
        if dead:
            w[:, dead - 1::dead] = 0  # GPTQModel would set them to zero
        codes, scales, zeros, g_idx, alike = quantize(w, h, bits, group, symmetric, order, search, True)
        plain = error(w, quantize(w, h, bits, group, symmetric, order, search, False)[4], h)
        out += struct.pack("<5If2d", bits, group, symmetric, order, dead, search, error(w, alike, h), plain)
        out += codes.tobytes() + scales.astype(np.float16).tobytes()
        out += zeros.tobytes() + g_idx.astype(np.int32).tobytes()
        print(f"{bits} bits, group {group}, symmetric {symmetric}, order {order}, search {search}: "
              f"error {plain:.6g} as it is, {error(w, alike, h):.6g} with the change")
    out += struct.pack("<I", len(PACKED))
    for case in PACKED:
        out += packed(*case)
    path = parser.parse_args().output
    path.write_bytes(out)
    print(f"{path}: {len(out)} bytes")


if __name__ == "__main__":
    main()
