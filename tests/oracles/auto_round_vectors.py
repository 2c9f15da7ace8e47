#!/usr/bin/env python3
"""Writes tests/fixtures/train/auto_round.bin: AutoRound (Cheng et al. 2024) on a small layer, by the library
auto-round.

    auto_round_vectors.py [--output FILE]

The layer is transformers' LlamaDecoderLayer in F32. The library's WrapperLinear rounds its matrices and has their
parameters; its SignSGD and torch's LinearLR update them. The loop around these follows the library's (algorithms/
quantization/sign_round/quantizer.py: quantize_block), with all windows in each batch, so that their order does not
matter. The library does not have the grids of GGUF's Q4_1 and Q8_0; for them the rounding of nibble_train.h is written
here for autograd.

Weights and inputs are random numbers, which the test generates in the same way (tests/core/random.h) from the seed 1 +
the case's number: the layer's tensors in nibble's order, norms 1 + r / 4, matrices r / 4; then the exact inputs r, and
the inputs of the rounded layer, which are the exact ones + r / 32.

The file, little-endian. u32 width, heads, kv_heads, head_size, hidden; F32 rope_base, epsilon; u32 windows, window,
steps, cases. Each case: u32 type of GGUF (0: F32), bits, group, symmetric, least_zero; F64 losses [steps]; of each
matrix: i8 signs of the gradients of the first step with respect to V [rows, columns], A [rows, groups], B [rows,
groups], or 2 if it is too near zero to be sure; and u8 codes [rows, columns] of the step with the least loss.

Needs auto-round, numpy, torch and transformers (tests/oracles/requirements.txt).
"""
import argparse
import struct
from pathlib import Path

import numpy as np
import torch
from auto_round.algorithms.quantization.sign_round.sign_sgd import SignSGD
from auto_round.data_type.utils import round_ste
from auto_round.wrapper import WrapperLinear
from transformers import LlamaConfig
from transformers.models.llama.modeling_llama import LlamaDecoderLayer, LlamaRotaryEmbedding

from train import Random

WIDTH, HEADS, KV_HEADS, HEAD, HIDDEN = 32, 4, 2, 8, 64
BASE, EPSILON = 10000.0, 1e-5
WINDOWS, WINDOW, STEPS = 4, 24, 20
F32, Q4_0, Q4_1, Q8_0, Q5_0 = 0, 2, 3, 8, 6
# type, bits, group, symmetric, least zero point
CASES = [(Q4_0, 4, 32, 1, 0), (F32, 4, 32, 0, 0), (F32, 2, 0, 0, 1), (F32, 3, 32, 1, 0), (Q4_1, 4, 32, 0, 0),
         (Q8_0, 8, 32, 1, 0), (Q5_0, 5, 32, 1, 0)]
MIDDLES = {Q4_0: 8, Q5_0: 16, Q8_0: 128}


class Half(torch.autograd.Function):
    """Rounds to binary16. The gradient passes straight through, in F32. In binary16 (as when a tensor is converted) it
    would be mostly noise, because a scale's gradient is a difference of two nearly equal numbers."""

    @staticmethod
    def forward(_, x):
        return x.half().float()

    @staticmethod
    def backward(_, gradient):
        return gradient


half = Half.apply


def symmetric(w, v, low, high, most):
    s = half(torch.where(high < -low, -low, -high) / (most + 1))[:, None]
    return s * torch.clamp(round_ste(w / s + v), -most - 1, most), s, 0


def with_zero(w, v, low, high, most):
    s = half((high - low) / (2 * most + 1))[:, None]
    z = round_ste(-low[:, None] / s)
    return s * (torch.clamp(round_ste(w / s + v) + z, 0, 2 * most + 1) - z), s, z


def with_minimum(w, v, low, high, most):
    s, b = half((high - low) / (2 * most + 1))[:, None], half(low)[:, None]
    return s * torch.clamp(round_ste((w - b) / s + v), 0, 2 * most + 1) + b, s, b


def by_magnitude(w, v, low, high, most):
    s = half(torch.where(high < -low, -low, high) / most)[:, None]
    return s * torch.clamp(round_ste(w / s + v), -most, most), s, 0


def in_f32(rule, library):
    """A rounding with the library's signature. If the library has the same rounding, the results must be equal."""
    def function(tensor, bits, v, min_scale, max_scale, tensor_min, tensor_max, **others):
        args = (tensor.reshape(v.shape), v, tensor_min * min_scale, tensor_max * max_scale, 2 ** (bits - 1) - 1)
        values, s, z = rule(*args)
        if library:
            its = library(tensor, bits=bits, v=v, min_scale=min_scale, max_scale=max_scale, tensor_min=tensor_min,
                          tensor_max=tensor_max, **others)[0]
            assert torch.equal(values.reshape(tensor.shape), its)
        return values.reshape(tensor.shape), s, z
    return function


def layer_of(config, seed):
    random = Random(seed)
    layer = LlamaDecoderLayer(config, 0)
    a, f = layer.self_attn, layer.mlp
    tensors = [layer.input_layernorm.weight, a.q_proj.weight, a.k_proj.weight, a.v_proj.weight, a.o_proj.weight,
               layer.post_attention_layernorm.weight, f.gate_proj.weight, f.up_proj.weight, f.down_proj.weight]
    with torch.no_grad():
        for w in tensors:
            r = random.floats(w.shape) / 4
            w.copy_((1 + r if w.dim() == 1 else r).float())
    exact = random.floats((WINDOWS, WINDOW, WIDTH)).float()
    inputs = exact + random.floats(exact.shape).float() / 32
    for w in tensors:
        w.requires_grad_(False)
    matrices = [(a, "q_proj"), (a, "k_proj"), (a, "v_proj"), (a, "o_proj"), (f, "gate_proj"), (f, "up_proj"),
                (f, "down_proj")]
    return layer, matrices, exact, inputs


def wrap(linear, kind, bits, group, is_symmetric):
    linear.bits, linear.group_size, linear.sym, linear.data_type = bits, group or -1, bool(is_symmetric), "int"
    linear.scale_dtype, linear.act_bits = torch.float16, 16
    wrapper = WrapperLinear(linear, enable_torch_compile=False)
    own = {Q4_1: with_minimum, Q8_0: by_magnitude}.get(kind)
    library = None if own else wrapper.weight_quant_func
    wrapper.weight_quant_func = in_f32(own or (symmetric if is_symmetric else with_zero), library)
    return wrapper


def signs(gradient):
    small = gradient.abs() < 1e-4 * gradient.square().mean().sqrt()
    return torch.where(small, torch.tensor(2.0), torch.sign(gradient)).numpy().astype(np.int8).tobytes()


def codes_of(wrapper, kind, bits, is_symmetric):
    p = wrapper.params
    values, scale, zero = wrapper._qdq_weight(p["value"], p["min_scale"], p["max_scale"])
    values, scale = values.reshape(p["value"].shape), scale.reshape(-1, 1)
    if kind == Q4_1:
        codes = (values - zero) / scale
    elif is_symmetric:
        codes = values / scale + MIDDLES.get(kind, 2 ** (bits - 1))
    else:
        codes = values / scale + zero.reshape(-1, 1)
    return codes.detach().round().numpy().astype(np.uint8)


def case(config, seed, kind, bits, group, is_symmetric, least_zero):
    layer, matrices, exact, inputs = layer_of(config, seed)
    positions = LlamaRotaryEmbedding(config)(exact, torch.arange(WINDOW)[None])
    mask = torch.full((WINDOW, WINDOW), -torch.inf).triu(1)[None, None]
    run = lambda x: layer(x, attention_mask=mask, position_embeddings=positions)
    target = run(exact).detach()
    wrappers = []
    for owner, name in matrices:
        wrappers.append(wrap(getattr(owner, name), kind, bits, group, is_symmetric))
        setattr(owner, name, wrappers[-1])
    groups = [{"params": [p for w in wrappers for p in w.params.values()], "lr": torch.tensor(1 / STEPS)}]
    optimizer = SignSGD(groups, lr=torch.tensor(1 / STEPS), weight_decay=0)
    schedule = torch.optim.lr_scheduler.LinearLR(optimizer, start_factor=1.0, end_factor=0.0, total_iters=STEPS)
    losses, best, first = [], None, b""
    for step in range(STEPS):
        loss = torch.nn.functional.mse_loss(run(inputs), target)
        losses.append(loss.item())
        optimizer.zero_grad()
        (1000 * loss).backward()  # as the library does: gradients of binary16 would be too small
        if step == 0:
            first = [b"".join(signs(w.params[p].grad) for p in ("value", "min_scale", "max_scale")) for w in wrappers]
        if loss.item() <= min(losses):
            best = [codes_of(w, kind, bits, is_symmetric) for w in wrappers]
        optimizer.step()
        schedule.step()
    print(kind, bits, group, is_symmetric, "losses", losses[0], min(losses))
    if least_zero:
        assert all((w._qdq_weight(*w.params.values())[2] >= least_zero).all() for w in wrappers)
    out = struct.pack("<5I", kind, bits, group, is_symmetric, least_zero) + struct.pack(f"<{STEPS}d", *losses)
    return out + b"".join(f + c.tobytes() for f, c in zip(first, best))


def main():
    parser = argparse.ArgumentParser()
    default = Path(__file__).parent / "../fixtures/train/auto_round.bin"
    parser.add_argument("--output", type=Path, default=default)
    path = parser.parse_args().output
    torch.set_num_threads(1)
    config = LlamaConfig(vocab_size=8, hidden_size=WIDTH, intermediate_size=HIDDEN, num_hidden_layers=1,
                         num_attention_heads=HEADS, num_key_value_heads=KV_HEADS, head_dim=HEAD, rms_norm_eps=EPSILON,
                         rope_theta=BASE, attn_implementation="eager")
    sizes = WIDTH, HEADS, KV_HEADS, HEAD, HIDDEN, BASE, EPSILON, WINDOWS, WINDOW, STEPS
    out = struct.pack("<5I2f4I", *sizes, len(CASES))
    path.write_bytes(out + b"".join(case(config, 1 + i, *c) for i, c in enumerate(CASES)))


if __name__ == "__main__":
    main()
