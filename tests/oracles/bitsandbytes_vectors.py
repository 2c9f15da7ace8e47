#!/usr/bin/env python3
"""Writes small F32 matrices quantized by bitsandbytes on a CPU: NF4, FP4, double quantization and int8 rows.

    bitsandbytes_vectors.py [OUTPUT = tests/fixtures/formats/bitsandbytes.bin]

The file, little-endian, every part padded with zeros to a multiple of 4 bytes; n = rows x columns, b = ceil(n / 64):
    F32[256]          the numbers that codes of 8 bits stand for, in order
    u32               how many matrices there are, then for each
      u32, u32, u32   rows, columns, and whether it fits F16
      F32[n]          the weights
      absmaxes        as below, b of them
      u8[ceil(n / 2)] codes of NF4, the first of a pair in the upper four bits; of an odd n the last lower four bits
                      are the code of a weight of zero
      u8[ceil(n / 2)] codes of FP4
      F32[rows], i8[n]   SCB and CB of the weights as they are
      F32[rows], i8[n]   the same of the weights rounded to F16 before, which LLM.int8() does; only if they fit it
    u32, absmaxes     how many, and those of no matrix: more than a block of them
    u32               how many other block sizes, then for each
      u32             the block size, then u8[ceil(n / 2)] codes and F32 absmax of the first matrix as NF4, and as FP4;
                      and the same of the fourth matrix, whose last block is short
    where absmaxes are F32[b] absmax, F32 offset, u8[b] nested codes, F32[ceil(b / 256)] nested absmax, F32[b] the
    absmax that the nested codes stand for.

Nothing is written unless the functions below, which describe bitsandbytes' computation, agree with it in every bit. All
is F32, and each operation is rounded; weights of 16 bits are converted to F32 first. Blocks follow each other through
the matrix row by row, also across the ends of rows.

Sources: bitsandbytes 0.50.2, backends/default/ops.py (quantize_4bit, int8_vectorwise_quant), functional.py
(quantize_4bit, create_dynamic_map), csrc/cpu_ops.cpp (quantize_cpu_impl). Its kernels for graphics cards differ: in
ties, in the signs of zero, in blocks of zeros, and in the map of 8 bits, which they search to the end.
"""
import os
import struct
import sys

import bitsandbytes.functional as theirs
import numpy as np
import torch

F32 = np.float32
NF4 = theirs.get_4bit_type("nf4", "cpu").numpy()
FP4 = theirs.get_4bit_type("fp4", "cpu").numpy()
# FP4's codes in the order of their values. The order of the two zeros is that of torch.argsort: positive numbers that
# are rounded to zero get code 8, all others code 0.
OTHERS = (32, 128, 4096)  # block sizes
FP4_ORDER = np.array([11, 10, 13, 12, 15, 14, 9, 0, 8, 1, 6, 7, 4, 5, 2, 3])


def dynamic_map():
    """+-10^(i - 6) times the middles of 2^i equal parts of 0.1 ... 1, for i = 0 ... 6; 0; and 1 (Dettmers 2016)."""
    numbers = [F32(0), F32(1)]
    for i in range(7):
        edges = torch.linspace(0.1, 1, 2**i + 1, dtype=torch.float32).numpy()
        middles = (edges[:-1] + edges[1:]) / F32(2)
        numbers += [*(F32(10.0 ** (i - 6)) * middles), *(F32(-(10.0 ** (i - 6))) * middles)]
    return np.sort(np.array(numbers, F32))


def quantized(weights, numbers, order, block=64):
    """codes[n], absmax[b]. The code's place in the order is the number of midpoints between neighbouring values that
    are less than w / absmax, so that a midpoint itself gets the lower value. In a whole block w is multiplied by 1 /
    max(absmax, 1e-38), and absmax is stored as it is, even zero. In a shorter block at the end w is divided, and absmax
    is at least 1e-38."""
    middles = (numbers[order[:-1]] + numbers[order[1:]]) / F32(2)
    codes, absmax = [], []
    for at in range(0, weights.size, block):
        w = weights[at : at + block]
        most = np.abs(w).max()
        least = max(most, F32(1e-38))
        scaled = w * (F32(1) / least) if len(w) == block else w / least
        codes.append(order[np.searchsorted(middles, np.clip(scaled, F32(-1), F32(1)), side="left")])
        absmax.append(most if len(w) == block else least)
    return np.concatenate(codes).astype(np.uint8), np.array(absmax, F32)


def packed(codes, zero):
    pairs = np.append(codes, [zero] * (len(codes) % 2)).astype(np.uint8)
    return pairs[::2] << 4 | pairs[1::2]


def doubled(absmax):
    """offset, codes[b], nested absmax, and the absmax these stand for. The mean is subtracted, and x / nested absmax,
    in blocks of 256, is rounded to the nearest of 65536 steps from -1 to 1. The code is the number of midpoints between
    neighbouring values that are less than that step. A block of zeros has codes 0 (whose value is not zero, but it is
    multiplied by zero). The offset is torch's mean, whose order of additions depends on the machine and its threads;
    for the absmaxes here it equals the exact mean, rounded once."""
    numbers = dynamic_map()
    offset = F32(absmax.astype(np.float64).mean())
    middles = F32(0.5) * (numbers[:-1] + numbers[1:])
    steps = F32(-1) + F32(2) * np.arange(65536, dtype=F32) / F32(65535)
    table = np.searchsorted(middles, steps, side="left").astype(np.uint8)
    codes, nested = np.zeros(len(absmax), np.uint8), []
    for at in range(0, len(absmax), 256):
        x = absmax[at : at + 256] - offset
        nested.append(np.abs(x).max())
        if nested[-1] > 0:
            scaled = np.clip(x * (F32(1) / nested[-1]), F32(-1), F32(1))
            step = ((scaled + F32(1)) * F32(0.5) * F32(65535) + F32(0.5)).astype(np.uint16)  # towards zero
            codes[at : at + 256] = table[step]
    nested = np.array(nested, F32)
    return offset, codes, nested, numbers[codes] * np.repeat(nested, 256)[: len(codes)] + offset


def int8_rows(weights):
    """SCB[rows], CB[rows][columns]: w ((1 / SCB) 127) with three roundings, to the nearest, ties to even; zeros where
    (1 / SCB) 127 is infinite (the conversion is undefined in C, and gives zero on x86)."""
    scales = np.abs(weights).max(1).astype(F32)
    with np.errstate(divide="ignore", over="ignore"):
        factors = (F32(1) / scales * F32(127))[:, None]
    return scales, np.rint(weights.astype(F32) * np.where(np.isfinite(factors), factors, 0)).astype(np.int8)


def same(ours, library):
    for a, b in zip(ours, library, strict=True):
        b = b.numpy().reshape(np.shape(a))
        if not np.array_equal(np.asarray(a), b):
            raise SystemExit(f"bitsandbytes computes differently: {np.count_nonzero(a != b)} of {np.size(a)} differ")


def bytes_of(array):
    data = np.ascontiguousarray(array).tobytes()
    return data + bytes(-len(data) % 4)


def absmaxes(absmax):
    ours = doubled(absmax)
    mean = torch.from_numpy(absmax).mean()
    codes, state = theirs.quantize_blockwise(torch.from_numpy(absmax) - mean, blocksize=256)
    again = theirs.dequantize_blockwise(codes, state)
    same(ours, (mean, codes, state.absmax, again + mean))
    return b"".join(bytes_of(a) for a in (absmax, *ours))


def matrix(weights):
    whole = torch.from_numpy(weights)
    out = absmaxes(quantized(weights.reshape(-1), NF4, np.arange(16))[1])
    for name, numbers, order in (("nf4", NF4, np.arange(16)), ("fp4", FP4, FP4_ORDER)):
        codes, absmax = quantized(weights.reshape(-1), numbers, order)
        zero = order[np.searchsorted((numbers[order[:-1]] + numbers[order[1:]]) / F32(2), F32(0))]
        codes = packed(codes, zero)
        library, state = theirs.quantize_4bit(whole, quant_type=name)
        same((codes, absmax), (library, state.absmax))
        library, state = theirs.quantize_4bit(whole, quant_type=name, compress_statistics=True)
        offset, nested_codes, nested, _ = doubled(absmax)
        same((codes, nested_codes, offset, nested), (library, state.absmax, state.offset, state.state2.absmax))
        out += bytes_of(codes)
    with np.errstate(over="ignore"):
        halves = weights.astype(np.float16)
    fits = bool(np.isfinite(halves).all())
    for form in [weights, halves][: 1 + fits]:
        scales, codes = int8_rows(form)
        library = theirs.int8_vectorwise_quant(torch.from_numpy(form.copy()))
        same((codes, scales), library[:2])
        out += bytes_of(scales) + bytes_of(codes)
    return struct.pack("<3I", *weights.shape, fits) + bytes_of(weights) + out


def in_blocks(weights, block):
    out = b""
    for name, numbers, order in (("nf4", NF4, np.arange(16)), ("fp4", FP4, FP4_ORDER)):
        codes, absmax = quantized(weights.reshape(-1), numbers, order, block)
        codes = packed(codes, 0)
        library, state = theirs.quantize_4bit(torch.from_numpy(weights), quant_type=name, blocksize=block)
        same((codes, absmax), (library, state.absmax))
        out += bytes_of(codes) + bytes_of(absmax)
    return out


def ties(numbers, order):
    """The midpoints between values, for an absmax of 1, and the numbers next to them."""
    middles = (numbers[order[:-1]] + numbers[order[1:]]) / F32(2)
    around = [np.nextafter(middles, F32(-2)), middles, np.nextafter(middles, F32(2)), numbers, [-0.0, 0.0, 1e-30]]
    return np.concatenate(around).astype(F32)


def matrices(seed):
    random = np.random.default_rng(seed)
    plain = random.standard_normal((16, 256)).astype(F32)
    plain[1] *= 1e-6
    plain[2] = 0.75
    plain[3] = -0.75
    plain[4, 64:128] = 0
    plain[5] = 0
    plain[6, 10] = 40  # an outlier
    plain[7] = np.resize((np.arange(-20, 20) + F32(0.5)) / 32, 256)  # ties of int8
    plain[7, 0] = 127 / 32
    for row, (numbers, order) in enumerate([(NF4, np.arange(16)), (FP4, FP4_ORDER)], 8):
        plain[row] = np.resize(np.append(ties(numbers, order), F32(1)), 256)
        plain[row, ::64] = 1
    extreme = random.standard_normal((4, 128)).astype(F32)
    extreme[0] *= F32(1e37) / 4
    extreme[0, 5] = 3e38  # 1 / absmax is subnormal
    extreme[1] *= F32(1e-37)
    extreme[2] *= F32(1e-41)  # all subnormal
    extreme[3, 64:] *= F32(2) ** -126
    return [plain, extreme, random.standard_normal((3, 192)).astype(F32),
            random.standard_normal((3, 50)).astype(F32),  # blocks begin within rows, the last is short
            np.append(F32(0.37), ties(NF4, np.arange(16))[:62] * F32(0.37)).reshape(3, 21),  # where division matters
            np.zeros((1, 65), F32), np.full((2, 64), -3, F32)]


def agreeable(make):
    """The matrices of the first seed for which torch's mean of absmaxes equals the exact mean, rounded once."""
    for seed in range(1000):
        made = make(seed)
        rows = made if isinstance(made, list) else [made]
        means = [quantized(m.reshape(-1), NF4, np.arange(16))[1] if m.ndim == 2 else m for m in rows]
        if all(F32(m.astype(np.float64).mean()) == torch.from_numpy(m).mean().numpy() for m in means):
            return made
    raise SystemExit("no seed's mean is rounded once")


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/formats/bitsandbytes.bin")
    same([dynamic_map()], [theirs.create_dynamic_map()])
    all_of_them = agreeable(matrices)
    many = agreeable(lambda seed: (0.02 + 0.01 * np.abs(np.random.default_rng(seed).standard_normal(700))).astype(F32))
    with open(output, "wb") as out:
        out.write(bytes_of(dynamic_map()) + struct.pack("<I", len(all_of_them)))
        for m in all_of_them:
            out.write(matrix(m))
        out.write(struct.pack("<I", len(many)) + absmaxes(many))
        out.write(struct.pack("<I", len(OTHERS)))
        for block in OTHERS:
            out.write(struct.pack("<I", block) + in_blocks(all_of_them[0], block) + in_blocks(all_of_them[3], block))
    print(f"{output}: {os.path.getsize(output)} bytes, {len(all_of_them)} matrices")


if __name__ == "__main__":
    main()
