#!/usr/bin/env python3
"""Writes tests/fixtures/train/rounding.bin: training by PyTorch with weights rounded in the forward pass.

    train_rounding.py [--output FILE]

Gradients pass each rounding unchanged, by the straight-through estimator (Bengio et al. 2013): x + (round(x) -
x).detach(). For LSQ (Esser et al. 2020) this gives the step's gradient of the paper's equation 3; torch's own fake
quantization with a learned scale must agree with it. Steps' gradients are scaled as in the paper's section 2.2.

Two parts, little-endian. First matrices, one for each grid: u32 count; each: u32 method, type, levels, has_minima;
i32 group; u32 rows, columns; u32 steps; F32 steps as the type stores them [steps], then the minima; i8 codes [rows,
columns]; u8 [rows, columns]: 1 if dw = dW, 0 if dw = 0; F32 ds [steps], dz [steps]. The inputs come from the generator
of tests/core/random.h with the seed 1 + the grid's number: w = r / 4 [rows, columns], s = (1.1 + r) / (2 levels)
[steps], z = (1 + r) / 8 [steps], if there are minima, and dW = r [rows, columns].

Then whole models, as in train.py and with the same generator. Steps whose rate is 0 do not change. Each model: u32
seed; the shape as in train.py; F32 share, temperature; u32 sequences, length; i32 tokens, targets; u32 tensors; for
each a rounding: u32 method, type, levels, has_minima; i32 group; F32 rate; u32 steps (with minima); F32 steps, by LSQ's
rule, and 0.9 times that with minima; then how inputs and gradients are rounded: u32 inputs, input_levels, input_minima,
frozen; F32 average, rate; u32 gradient_bits, seed; then F64 loss; F32 gradients of all tensors' weights, and of their
steps; the optimizer as in train.py; u32 n; F64 losses [n], norms [n]; F32 weights of all tensors after n steps, and
their steps. Gradients and weights have only every thirteenth number of a tensor (EVERY).

Needs numpy, torch and transformers (tests/oracles/requirements.txt).
"""
import argparse
import math
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch.nn.utils import parametrize
from transformers import LlamaConfig, LlamaForCausalLM

from train import Random, STEPS, SEQUENCES, floats, in_double, loss_of, parameters, steady

PLAIN, LEARNED, ABSMEAN, TOKENS, AVERAGE = 0, 1, 2, 3, 4
OF_TYPE, ROW, TENSOR = 0, -1, -2
F32 = 0
EVERY = 13
DRAWS = 4
FEW = 3  # steps if inputs are rounded, which are many more numbers

# type: (name, columns of a group, groups of a superblock, least, most, the largest code of a scale, minima), as in GGUF
TYPES = {
    8: ("Q8_0", 32, 1, -127, 127, 0, False), 2: ("Q4_0", 32, 1, -8, 7, 0, False), 3: ("Q4_1", 32, 1, 0, 15, 0, True),
    6: ("Q5_0", 32, 1, -16, 15, 0, False), 7: ("Q5_1", 32, 1, 0, 31, 0, True), 35: ("TQ2_0", 256, 1, -1, 1, 0, False),
    42: ("Q2_0", 64, 1, -1, 2, 0, False), 10: ("Q2_K", 16, 16, 0, 3, 15, True), 11: ("Q3_K", 16, 16, -4, 3, 31, False),
    12: ("Q4_K", 32, 8, 0, 15, 63, True), 13: ("Q5_K", 32, 8, 0, 31, 63, True),
    14: ("Q6_K", 16, 16, -32, 31, 127, False),
}


def straight(x, y):
    return x + (y - x).detach()


def half(x):
    return x.float().half().double()


class Grid:
    def __init__(self, method, kind, levels, minima, group, shape):
        self.header = struct.pack("<4Ii", method, kind, levels, minima, group)
        self.method, self.kind, self.levels, self.group = method, kind, levels, group
        self.rows, self.columns = shape
        if kind == F32:
            self.least = 0 if minima else -(levels // 2)
            self.most, self.minima, self.codes, self.tile = self.least + levels - 1, bool(minima), 0, 1
            base = self.columns
        else:
            _, base, self.tile, self.least, self.most, self.codes, self.minima = TYPES[kind]
        if method == ABSMEAN:
            self.most = 1
        self.width = {OF_TYPE: base, ROW: self.columns, TENSOR: self.rows * self.columns}.get(group, group)
        self.steps = self.rows * self.columns // self.width

    def hold(self, s, z):
        """The steps and minima as the type stores them."""
        if self.kind == F32:
            return s, z
        if not self.codes:
            return straight(s, half(s)), None if z is None else straight(z, half(z))

        def codes(x, least):
            x = x.reshape(-1, self.tile)
            unit = half(x.amax(1, keepdim=True) / self.codes)
            return straight(x, unit * (x / unit).round().clamp(least, self.codes)).reshape(-1)

        return codes(s, 1), None if z is None else codes(z, 0)

    def rule(self, w):
        """The initial steps and minima."""
        w = w.reshape(-1, self.width)
        if self.minima:
            low, high = w.amin(1).clamp(max=0), w.amax(1).clamp(min=0)
            return (high - low) / self.most, -low
        mean = w.abs().mean(1)
        return (mean if self.method == ABSMEAN else 2 * mean / math.sqrt(self.most)), None

    def round(self, w, s, z, seen=None):
        shape = w.shape
        w = w.reshape(-1, self.width)
        if self.method == ABSMEAN:
            s = self.rule(w)[0].detach()
            held = self.hold(s, None)[0][:, None]
            q = (w / held).round().clamp(self.least, self.most)
            if seen is not None:
                seen += [held[:, 0], None, q, w / held]
            return straight(w, q * held).reshape(shape)
        gain = 1 / math.sqrt(self.width * self.most)
        s, z = (None if x is None else straight(x * gain, x) for x in (s, z))
        s, z = (None if x is None else x[:, None] for x in self.hold(s, z))
        place = w / s if z is None else (w + z) / s
        q = place.clamp(self.least, self.most)
        q = straight(q, q.round())
        if seen is not None:
            seen += [s[:, 0], None if z is None else z[:, 0], q, place]
        return (q * s if z is None else q * s - z).reshape(shape)


def check_against_torch(grid, w, s, d):
    """Compares with torch's own fake quantization with learned scales, for grids without minima and with F32 steps for
    rows. It clips after rounding, the paper before it: numbers within half a step beyond the grid's ends are not
    compared."""
    w, s = (x.detach().clone().requires_grad_() for x in (w, s))
    place = (w / s[:, None]).detach()
    d = torch.where((place.round() == place.round().clamp(grid.least, grid.most)) & (place != place.clamp(
        grid.least, grid.most)), 0.0, d)
    ours = grid.round(w, s, None)
    ours.backward(d)
    x, scale = (y.detach().float().requires_grad_() for y in (w, s))
    gain = 1 / math.sqrt(grid.width * grid.most)
    out = torch._fake_quantize_learnable_per_channel_affine(x, scale, torch.zeros_like(scale), 0, grid.least, grid.most,
                                                            gain)
    out.backward(d.float())
    assert torch.allclose(out.double(), ours, atol=1e-6) and torch.allclose(x.grad.double(), w.grad)
    assert torch.allclose(scale.grad.double(), s.grad, rtol=1e-4, atol=1e-5), (scale.grad, s.grad)


def matrix(number, method, kind, levels, minima, group, shape):
    grid, random = Grid(method, kind, levels, minima, group, shape), Random(1 + number)
    w = (random.floats(shape) / 4).float().double().requires_grad_()
    span = grid.most - grid.least + 1
    s = ((1.1 + random.floats((grid.steps,))) / (2 * span)).float().double().requires_grad_()
    z = ((1 + random.floats((grid.steps,))) / 8).float().double().requires_grad_() if grid.minima else None
    d, seen = random.floats(shape).float().double(), []
    rounded = grid.round(w, s, z, seen)
    rounded.backward(d)
    held, low, q, place = seen
    if method == LEARNED and kind == F32 and not minima and grid.width == shape[1]:
        check_against_torch(grid, w, s, d)
    margin = ((place - place.floor()) - 0.5).abs().min().item()
    ends = min((place - end).abs().min().item() for end in (grid.least, grid.most))
    print(TYPES.get(kind, ("F32",))[0], "method", method, "levels", levels, "group", group, "margins", margin, ends)
    assert min(margin, ends) > 2e-6
    kept = w.grad.reshape(-1) == d.reshape(-1)
    assert bool(((w.grad.reshape(-1) == 0) | kept).all())
    out = grid.header + struct.pack("<3I", *shape, grid.steps) + floats([held] + ([low] if low is not None else []))
    out += q.detach().round().reshape(-1).numpy().astype(np.int8).tobytes()
    out += kept.numpy().astype(np.uint8).tobytes()
    if method == LEARNED:
        out += floats([s.grad] + ([z.grad] if z is not None else []))
    return out


def random_bits(seed, place):
    """src/base/random_bits.h, for one place or an array of places."""
    with np.errstate(over="ignore"):
        z = np.uint64(seed) + (np.uint64(place) + np.uint64(1)) * np.uint64(0x9E3779B97F4A7C15)
        z = (z ^ z >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ z >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
        return z ^ z >> np.uint64(31)


class Signals(torch.nn.Module):
    """Rounds a matrix's inputs, and the gradients of its results (DoReFa, Zhou et al. 2016, equation 12)."""

    def __init__(self, settings, number):
        super().__init__()
        self.inputs, levels, self.minima, self.frozen, self.average, _, self.bits, self.seed = settings
        self.least = 0 if self.minima else -((levels - 1) // 2)
        self.most = levels - 1 if self.minima else (levels - 1) // 2
        self.id, self.step, self.own, self.range = number + 1, 0, None, None

    def covering(self, low, high):
        low, high = low.clamp(max=0), high.clamp(min=0)
        s = (high - low if self.minima else torch.maximum(high, -low)) / self.most
        return s, (-low / s).round().clamp(0, self.most) * s if self.minima else torch.zeros_like(s)

    def observe(self, x):
        low, high = x.amin().clamp(max=0), x.amax().clamp(min=0)
        if self.inputs == LEARNED and self.own is None:
            first = 0.9 * (high - low) / self.most if self.minima else 2 * x.abs().mean() / math.sqrt(self.most)
            low = -0.9 * low if self.minima else torch.zeros(())
            self.own = torch.nn.Parameter(torch.stack([first, low]).float().double())
        if self.inputs == AVERAGE and self.step < self.frozen:
            keep = 0 if self.range is None else self.average
            old = (low, high) if self.range is None else self.range
            self.range = (keep * old[0] + (1 - keep) * low, keep * old[1] + (1 - keep) * high)

    def input(self, x):
        if self.inputs == PLAIN:
            return x
        self.observe(x.detach())
        if self.inputs == TOKENS:
            s, z = self.covering(x.detach().amin(-1, keepdim=True), x.detach().amax(-1, keepdim=True))
            return straight(x, ((x + z) / s).round().clamp(self.least, self.most) * s - z)
        if self.inputs == AVERAGE:
            s, z = self.covering(*self.range)
        else:
            gain = 1 / math.sqrt(x.shape[-1] * self.most)
            s, z = straight(self.own * gain, self.own)
            z = z if self.minima else 0
        q = ((x + z) / s).clamp(self.least, self.most)
        return straight(q, q.round()) * s - z

    def gradient(self, d):
        if not self.bits:
            return d
        key = random_bits(random_bits(random_bits(self.seed, self.step), 0), self.id)
        bits = random_bits(key, np.arange(d.numel(), dtype=np.uint64)) >> np.uint64(40)
        noise = torch.from_numpy(bits.astype(np.float64) / 2**24 - 0.5).reshape(d.shape)
        r, k = d.abs().amax(-1, keepdim=True), 2**self.bits - 1
        place = k * (d / (2 * r.clamp(min=1e-300)) + 0.5)
        return 2 * r * ((place + noise).round().clamp(0, k) / k - 0.5)

    def watch(self, module):
        module.register_forward_pre_hook(lambda _, args: (self.input(args[0]),))
        module.register_forward_hook(lambda _, args, out: out.register_hook(self.gradient) and None)


class Rounded(torch.nn.Module):
    def __init__(self, grid, w):
        super().__init__()
        self.grid = grid
        s, z = grid.rule(w.detach())
        if z is not None:
            # otherwise the least and the largest weight are at the grid's ends, where rounding decides
            s, z = s * 0.9, z * 0.9
        self.s = torch.nn.Parameter(s.float().double(), requires_grad=grid.method == LEARNED)
        self.z = torch.nn.Parameter(z.float().double()) if z is not None else None

    def own(self):
        return [x for x in (self.s, self.z) if x is not None]

    def forward(self, w):
        return self.grid.round(w, self.s, self.z)


def some(tensors):
    return b"".join(floats([t.reshape(-1)[::EVERY]]) for t in tensors)


def model(seed, steps_done, length, tied, share, temperature, rate, choose, signals, disturbed=0):
    config = LlamaConfig(vocab_size=40, hidden_size=64, intermediate_size=96, num_hidden_layers=1,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=16, max_position_embeddings=128,
                         rms_norm_eps=1e-5, rope_theta=1000.0, tie_word_embeddings=tied)
    random = Random(seed)
    llama = in_double(LlamaForCausalLM(config))
    weights = parameters(llama, tied)
    with torch.no_grad():
        for w in weights:
            r = random.floats(w.shape) / 4
            w.copy_((1 + r if w.dim() == 1 else r).float().double())
            if disturbed:
                noise = torch.randn(w.shape, dtype=w.dtype, generator=torch.Generator().manual_seed(disturbed))
                w *= 1 + 1e-7 * noise
    teacher = (3 * random.floats((SEQUENCES, length, config.vocab_size))).float().double()
    tokens = torch.tensor([[random.integer() % config.vocab_size for _ in range(length)] for _ in range(SEQUENCES)])
    targets = torch.full_like(tokens, -1)
    targets[:, :-1] = tokens[:, 1:]

    layer = llama.model.layers[0]
    a, f = layer.self_attn, layer.mlp
    modules = [llama.model.embed_tokens, None, a.q_proj, a.k_proj, a.v_proj, a.o_proj, None, f.gate_proj, f.up_proj,
               f.down_proj, None] + ([] if tied else [llama.lm_head])
    if tied:
        llama.lm_head.forward = lambda x: F.linear(x, llama.model.embed_tokens.weight)
    rounded, header, own = [], struct.pack("<I", len(weights)), b""
    for i, (module, w) in enumerate(zip(modules, weights)):
        grid = choose(i, tuple(w.shape)) if module is not None else None
        if grid is None:
            header += struct.pack("<4IifI", PLAIN, 0, 0, 0, 0, 0, 0)
            rounded.append(None)
            continue
        rounding = Rounded(grid, w)
        parametrize.register_parametrization(module, "weight", rounding)
        rounded.append(rounding)
        n = sum(x.numel() for x in rounding.own())
        header += grid.header + struct.pack("<fI", rate, n) + floats(rounding.own())
    weights = [w if r is None else m.parametrizations.weight.original for m, w, r in zip(modules, weights, rounded)]
    steps = [x for r in rounded if r is not None and r.grid.method == LEARNED for x in r.own()]

    header += struct.pack("<4I2f2I", *signals)
    watched = [Signals(signals, i) for i in range(7)]
    for watcher, module in zip(watched, [a.q_proj, a.k_proj, a.v_proj, a.o_proj, f.gate_proj, f.up_proj, f.down_proj]):
        watcher.watch(module)

    f32 = lambda x: float(np.float32(x))
    peak, last, warmup, n_steps = f32(0.01), f32(0.001), 3, 9
    rate, betas, epsilon, decay, clip = f32(rate), (f32(0.9), f32(0.95)), f32(1e-8), f32(0.1), f32(0.5)

    def scaled(step):
        if step < warmup:
            return (step + 1) / warmup
        part = min(1, (step - warmup) / (n_steps - warmup))
        return (last + (peak - last) * (1 + math.cos(math.pi * part)) / 2) / peak

    optimizer = torch.optim.AdamW([{"params": [w for w in weights if w.dim() > 1], "weight_decay": decay},
                                   {"params": [w for w in weights if w.dim() == 1], "weight_decay": 0.0},
                                   {"params": steps, "weight_decay": 0.0, "lr": peak * rate}],
                                  lr=peak, betas=betas, eps=epsilon)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, scaled)
    losses, lengths, first = [], [], None
    for _ in range(steps_done):
        loss = loss_of(llama, tokens, targets, teacher, share, temperature)
        optimizer.zero_grad()
        loss.backward()
        own = [s.own for s in watched if s.own is not None]
        if first is None:
            first = some([w.grad for w in weights]) + floats([x.grad for x in steps + own])
            if own:
                optimizer.add_param_group({"params": own, "weight_decay": 0.0, "lr": peak * scaled(0) * signals[5],
                                           "initial_lr": peak * signals[5]})
                schedule.base_lrs.append(peak * signals[5])
                schedule.lr_lambdas.append(scaled)
        for fixed in (steps if rate == 0 else []) + (own if signals[5] == 0 else []):
            fixed.requires_grad_(False)  # from now on it has no gradient, which would change the gradient's length
            fixed.grad = None
        losses.append(steady(loss.item()))
        lengths.append(steady(torch.nn.utils.clip_grad_norm_(weights + steps + own, clip).item()))
        optimizer.step()
        schedule.step()
        for watcher in watched:
            watcher.step += 1
    print("losses", losses[0], "...", losses[-1], "norms", min(lengths), "...", max(lengths))
    out = struct.pack("<9I4f", seed, config.vocab_size, 64, 1, 4, 2, 16, 96, tied, 1000.0, 1e-5, share, temperature)
    out += struct.pack("<2I", SEQUENCES, length)
    out += tokens.numpy().astype(np.int32).tobytes() + targets.numpy().astype(np.int32).tobytes()
    out += header + struct.pack("<d", losses[0]) + first
    out += struct.pack("<2f2I5f", peak, last, warmup, n_steps, *betas, epsilon, decay, clip)
    out += struct.pack(f"<I{2 * steps_done}d", steps_done, *losses, *lengths)
    own += [torch.stack(s.range) for s in watched if s.range is not None]
    return out + some(weights) + floats(steps + own), [x.detach() for x in weights + steps + own]


def steady_model(seed, *settings):
    """The model of the first seed in which no rounding is near enough to a tie to change the result: with weights
    changed by 1e-7, in DRAWS ways, all steps end at the same weights, within 1e-4 of their spread, or 1e-5 after few
    steps. Otherwise F32 could give other results."""
    while True:
        out, ends = model(seed, *settings)
        error = 0
        for draw in range(1, DRAWS + 1):
            _, others = model(seed, *settings, disturbed=draw)
            error = max([error] + [((x - y).norm() / x.std().clamp(min=1e-3) / math.sqrt(x.numel())).item()
                                   for x, y in zip(ends, others)])
            if error > 1e-4:
                break
        print("seed", seed, "changes by", error)
        if error < (1e-4 if settings[0] == STEPS else 1e-5):
            return out
        seed += 1
        assert seed < 40


GRIDS = [(LEARNED, kind, 0, 0, OF_TYPE, (2, 256)) for kind in TYPES] + [
    (LEARNED, 8, 0, 0, ROW, (2, 256)),
    (LEARNED, 2, 0, 0, 64, (2, 256)),
    (LEARNED, 42, 0, 0, TENSOR, (2, 256)),
    (LEARNED, F32, 3, 0, ROW, (3, 40)),
    (LEARNED, F32, 4, 0, ROW, (3, 40)),
    (LEARNED, F32, 8, 0, ROW, (3, 40)),
    (LEARNED, F32, 16, 0, 8, (3, 40)),
    (LEARNED, F32, 256, 0, ROW, (3, 40)),
    (LEARNED, F32, 4, 1, 20, (3, 40)),
    (LEARNED, F32, 16, 1, ROW, (3, 40)),
    (LEARNED, F32, 8, 1, TENSOR, (3, 40)),
    (ABSMEAN, 35, 0, 0, OF_TYPE, (2, 256)),
    (ABSMEAN, 35, 0, 0, TENSOR, (2, 256)),
    (ABSMEAN, 42, 0, 0, OF_TYPE, (2, 256)),
    (ABSMEAN, F32, 3, 0, ROW, (3, 40)),
]


def typed(i, shape):
    """Q8_0 for the embedding, Q4_0 for the layer's matrices."""
    return Grid(LEARNED, 8 if i == 0 else 2, 0, 0, OF_TYPE, shape)


def bare(i, shape):
    """No rounding of the embedding; attention by rows with 3 bits, the feed-forward block with 2 bits and minima,
    ternary for its last matrix, the output matrix with 8 bits."""
    if i == 0:
        return None
    if i < 6:
        return Grid(LEARNED, F32, 8, 0, ROW, shape)
    if i < 9:
        return Grid(LEARNED, F32, 4, 1, 16, shape)
    return Grid(ABSMEAN, F32, 3, 0, TENSOR, shape) if i == 9 else Grid(LEARNED, F32, 256, 0, ROW, shape)


def fine(i, shape):
    """The embedding by pairs of numbers: the gradients of so many steps are a large part of the whole gradient."""
    return Grid(LEARNED, F32, 4, 0, 2, shape) if i == 0 else None


def none(i, shape):
    return None


PLAIN_SIGNALS = (PLAIN, 0, 0, 0, 0.0, 0.0, 0, 0)


def main():
    parser = argparse.ArgumentParser()
    default = Path(__file__).parent / "../fixtures/train/rounding.bin"
    parser.add_argument("--output", type=Path, default=default)
    path = parser.parse_args().output
    out = struct.pack("<I", len(GRIDS)) + b"".join(matrix(i, *grid) for i, grid in enumerate(GRIDS))
    out += struct.pack("<I", 9)
    out += steady_model(1, STEPS, 12, True, 0.0, 1.0, 0.1, typed, PLAIN_SIGNALS)
    out += steady_model(2, STEPS, 24, False, 0.5, 2.0, 0.25, bare, PLAIN_SIGNALS)
    out += steady_model(3, FEW, 6, True, 0.0, 1.0, 0.1, none, (LEARNED, 16, 0, 0, 0.0, 0.125, 0, 0))
    out += steady_model(4, FEW, 6, True, 0.0, 1.0, 0.1, none, (LEARNED, 16, 1, 0, 0.0, 0.125, 0, 0))
    out += steady_model(5, FEW, 6, True, 0.0, 1.0, 0.1, typed, (TOKENS, 256, 0, 0, 0.0, 0.0, 0, 0))
    out += steady_model(6, FEW, 6, True, 0.0, 1.0, 0.1, none, (TOKENS, 16, 1, 0, 0.0, 0.0, 8, 77))
    out += steady_model(7, FEW, 6, True, 0.0, 1.0, 0.1, none, (AVERAGE, 64, 1, 4, 0.75, 0.0, 0, 0))
    out += steady_model(8, FEW, 6, True, 0.0, 1.0, 0.1, none, (PLAIN, 0, 0, 0, 0.0, 0.0, 4, 77))
    out += steady_model(9, FEW, 6, True, 0.0, 1.0, 0.0, fine, (LEARNED, 16, 0, 0, 0.0, 0.0, 0, 0))
    path.write_bytes(out)
    print(len(out), "bytes")


if __name__ == "__main__":
    main()
