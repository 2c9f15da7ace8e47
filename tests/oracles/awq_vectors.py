#!/usr/bin/env python3
"""Writes tests/fixtures/formats/awq.bin: the results of autoawq's own search for small matrices, and its packed codes.

    awq_vectors.py [--output FILE]

autoawq 0.2.7.post3 is called on the CPU, function by function: _search_best_scale (on a module that puts the outputs of
all matrices side by side), _compute_best_clip and WQLinear_GEMM. Its parts that need a data set, a graphics card or an
older transformers are left out. On a CPU its search has a bug: it saves the weights by Tensor.cpu(), which copies
nothing there, and then scales the same weights in place, so that each ratio starts from the result of the last one. The
module here gives it copies.

The file, little-endian. u32 cases; each: u32 bits, zero_point, duo_scaling, group, columns, matrices, rows of each;
F32 weights [matrices][rows][columns], H = sum x x' [columns][columns], mean |x| [columns]; then F32 scales [columns],
F64 ratio, F64 error summed over outputs, F64 the same for plain rounding, and for the first matrix, scaled, F32
clipping limits [rows][groups]. Then u32 columns, rows, group; u8 codes [rows][columns], F32 scales and u8 zeros
[rows][groups]; u32 qweight, qzeros, F16 scales as packed.

Needs numpy, torch and autoawq (tests/oracles/requirements.txt, requirements-gptq.txt).
"""
import argparse
import functools
import importlib.util
import os
import struct
import sys
import types
from pathlib import Path

import numpy as np
import torch

SEED = 20261129
CASES = [  # bits, zero_point, duo_scaling, group, columns, matrices, rows, tokens
    (4, True, True, 32, 64, 1, 64, 300), (3, True, False, 16, 64, 2, 64, 200), (4, False, True, 32, 64, 1, 64, 250),
]


def module_of(name, **parts):
    sys.modules[name] = types.ModuleType(name)
    for key, value in parts.items():
        setattr(sys.modules[name], key, value)
    return sys.modules[name]


@functools.cache
def autoawq():
    folder = importlib.util.find_spec("awq").submodule_search_locations[0]
    module_of("awq", __path__=[folder])
    module_of("awq.modules.linear", __path__=[os.path.join(folder, "modules/linear")], WQLinear_GEMM=None,
              WQLinear_GEMV=None, WQLinear_Marlin=None, WQLinear_GEMVFast=None)
    module_of("awq.utils.calib_data", get_calib_dataset=None)
    module_of("awq.quantize.scale", apply_scale=None, apply_clip=None)
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.quantize.quantizer import AwqQuantizer
    from awq.utils.packing_utils import dequantize_gemm
    return AwqQuantizer, WQLinear_GEMM, dequantize_gemm


class Together(torch.nn.Module):
    def __init__(self, linears):
        super().__init__()
        self.linears = torch.nn.ModuleList(linears)

    def forward(self, x):
        return torch.cat([linear(x) for linear in self.linears], -1)

    def state_dict(self, *args, **kwargs):
        return {key: value.clone() for key, value in super().state_dict(*args, **kwargs).items()}


def inputs(rng, tokens, columns):
    """Activations with a few large columns, as after a norm, and some correlated columns."""
    x = rng.normal(0, 1, (tokens, columns)) * np.exp(rng.normal(0, 1, columns))
    x += np.outer(rng.normal(0, 1, tokens), rng.normal(0, 0.5, columns))
    return torch.from_numpy(x.astype(np.float32))


def linear_of(weight):
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    linear.weight.data = weight.clone()
    return linear


def case(AwqQuantizer, rng, bits, zero_point, duo, group, columns, matrices, rows, tokens):
    x = inputs(rng, tokens, columns)
    weights = [torch.from_numpy(rng.normal(0, 0.1, (rows, columns)).astype(np.float32)) for _ in range(matrices)]
    q = AwqQuantizer.__new__(AwqQuantizer)
    q.w_bit, q.zero_point, q.duo_scaling, q.group_size = bits, zero_point, duo, group
    q.n_parallel_calib_samples, q.max_chunk_memory = None, 1 << 30
    together = Together([linear_of(w) for w in weights])
    history = []
    loss_of = q._compute_loss
    q._compute_loss = lambda *arguments: history.append(loss_of(*arguments)) or history[-1]
    scales = q._search_best_scale(together, together, list(together.linears), x, together)[2].numpy()
    ratio = int(np.argmin(history)) / 20
    numbers = tokens * rows * matrices
    plain = sum(float((x.double() @ (q.pseudo_quantize_tensor(w)[0] - w).double().T).square().sum()) for w in weights)
    error = min(history) * numbers
    assert error < plain and sorted(history)[1] * numbers > error * 1.0005, "the best ratio must be clear"
    assert all(((w.reshape(-1, group).amax(1) > 0) & (w.reshape(-1, group).amin(1) < 0)).all() for w in weights)
    scaled = weights[0] * torch.from_numpy(scales)
    limits = q._compute_best_clip(scaled, x / torch.from_numpy(scales)).squeeze(-1)
    print(f"{bits} bits: ratio {ratio}, error {error:.5g}, of plain rounding {plain:.5g}; clipped groups:",
          float((limits.flatten() < scaled.reshape(-1, group).abs().amax(1) * 0.999).float().mean()))
    xx = x.double().T @ x.double()
    out = struct.pack("<7I", bits, zero_point, duo, group, columns, matrices, rows)
    out += b"".join(w.numpy().tobytes() for w in weights) + xx.float().numpy().tobytes()
    out += x.abs().mean(0).numpy().tobytes() + scales.tobytes() + struct.pack("<3d", ratio, error, plain)
    return out + limits.float().numpy().tobytes()


def packed(WQLinear_GEMM, dequantize_gemm, rng):
    rows, columns, group = 32, 64, 32
    codes = rng.integers(0, 16, (rows, columns))
    zeros = rng.integers(0, 16, (rows, columns // group))
    scales = rng.uniform(0.001, 0.1, (rows, columns // group)).astype(np.float16).astype(np.float32)
    weight = (codes - zeros.repeat(group, 1)) * scales.repeat(group, 1)
    linear = linear_of(torch.from_numpy(weight.astype(np.float32)))
    made = WQLinear_GEMM.from_linear(linear, 4, group, False, torch.from_numpy(scales).T.contiguous(),
                                     torch.from_numpy(zeros.astype(np.float32)).T.contiguous())
    back = dequantize_gemm(made.qweight, made.qzeros, made.scales, 4, group).T.float().numpy()
    assert np.array_equal(back, weight.astype(np.float16).astype(np.float32))
    out = struct.pack("<3I", columns, rows, group) + codes.astype(np.uint8).tobytes() + scales.tobytes()
    out += zeros.astype(np.uint8).tobytes()
    return out + b"".join(t.numpy().tobytes() for t in (made.qweight, made.qzeros, made.scales))


def main():
    parser = argparse.ArgumentParser()
    default = Path(__file__).parent / "../fixtures/formats/awq.bin"
    parser.add_argument("--output", type=Path, default=default)
    torch.set_num_threads(1)
    AwqQuantizer, WQLinear_GEMM, dequantize_gemm = autoawq()
    out = struct.pack("<I", len(CASES))
    rng = np.random.default_rng(SEED)
    for kind in CASES:
        out += case(AwqQuantizer, rng, *kind)
    out += packed(WQLinear_GEMM, dequantize_gemm, rng)
    parser.parse_args().output.write_bytes(out)
    print(len(out), "bytes")


if __name__ == "__main__":
    with torch.no_grad():
        main()
