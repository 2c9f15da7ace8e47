#!/usr/bin/env python3
"""Writes tests/fixtures/train/llama.bin: a small Llama, trained by PyTorch.

    train.py [--output FILE]

The model is transformers' LlamaForCausalLM in double precision (in_double). Its losses are torch.nn.functional's
(cross_entropy, kl_div), its optimizer torch.optim.AdamW, with clip_grad_norm_ and a LambdaLR. Widths of 20, 30 and 42
and heads of 6 are no multiples of nibble's tiles, and the second model's batch is longer than its blocks of attention
and of logits.

Two models: one whose output matrix is the token embedding, trained by cross-entropy; and one with a separate matrix,
trained by both losses with a temperature (Hinton et al. 2015). Weights and the teacher's logits are random numbers,
which tests/core/test_train.c generates in the same way (tests/core/random.h), so they are not in the file: first the
weights, then the logits. Norms are 1 + r / 4, matrices r / 4, logits 3 r, for r within -1 ... 1.

The file, little-endian. u32 models; each: u32 vocabulary, width, layers, heads, kv_heads, head_size, hidden, is_tied;
F32 rope_base, epsilon, share, temperature; u32 sequences, length; i32 tokens [sequences, length], targets [sequences,
length] (-1: none); F64 loss; F32 gradients, of all tensors in nibble's order; F32 rate, last_rate; u32 warmup, steps;
F32 beta1, beta2, epsilon, decay, clip; F64 losses [STEPS], norms of the gradients [STEPS], rates [STEPS]; F32 weights
after STEPS steps. A matrix's decay is `decay`, a norm's 0.

Needs numpy, torch and transformers (tests/oracles/requirements.txt).
"""
import argparse
import math
import struct
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from transformers import LlamaConfig, LlamaForCausalLM

STEPS = 10
SEQUENCES = 2


class Random:
    """tests/core/random.h"""

    def __init__(self, seed):
        self.seed = seed

    def integer(self):
        self.seed ^= self.seed << 13 & 0xFFFFFFFF
        self.seed ^= self.seed >> 17
        self.seed ^= self.seed << 5 & 0xFFFFFFFF
        return self.seed

    def floats(self, shape):
        n = math.prod(shape)
        x = np.array([((self.integer() >> 8) - (1 << 23)) / (1 << 23) for _ in range(n)], np.float64)
        return torch.from_numpy(x.reshape(shape))


def parameters(model, tied):
    """The parameters in nibble's order."""
    out = [model.model.embed_tokens.weight]
    for layer in model.model.layers:
        a, f = layer.self_attn, layer.mlp
        out += [layer.input_layernorm.weight, a.q_proj.weight, a.k_proj.weight, a.v_proj.weight, a.o_proj.weight,
                layer.post_attention_layernorm.weight, f.gate_proj.weight, f.up_proj.weight, f.down_proj.weight]
    return out + [model.model.norm.weight] + ([] if tied else [model.lm_head.weight])


class Angles(torch.nn.Module):
    """Cosines and sines of rotary positions (Su et al. 2021)."""

    def __init__(self, config):
        super().__init__()
        exponents = torch.arange(0, config.head_dim, 2, dtype=torch.float64) / config.head_dim
        self.frequencies = config.rope_parameters["rope_theta"] ** -exponents

    def forward(self, x, position_ids):
        angles = position_ids[..., None].double() * self.frequencies
        angles = torch.cat((angles, angles), dim=-1)
        return angles.cos(), angles.sin()


def in_double(model):
    """Replaces transformers' norms, softmax and angles, which it computes in F32 for all types of weights, with
    PyTorch's in double precision. The last bits of F32 depend on the processor and the number of threads, so fixtures
    would differ by about 1e-7 between machines. Double precision, rounded to F32, gives the same bits everywhere."""
    config, model = model.config, model.double()
    model.set_attn_implementation("sdpa")
    model.model.rotary_emb = Angles(config)

    def norm_of(old):
        norm = torch.nn.RMSNorm(config.hidden_size, config.rms_norm_eps, dtype=torch.float64)
        norm.weight = old.weight
        return norm

    for layer in model.model.layers:
        layer.input_layernorm = norm_of(layer.input_layernorm)
        layer.post_attention_layernorm = norm_of(layer.post_attention_layernorm)
    model.model.norm = norm_of(model.model.norm)
    return model


def loss_of(model, tokens, targets, teacher, share, temperature):
    logits = model(tokens).logits.reshape(-1, model.config.vocab_size)
    counted = targets.reshape(-1) >= 0
    logits, teacher = logits[counted], teacher.reshape(logits.shape)[counted]
    cross = F.cross_entropy(logits, targets.reshape(-1)[counted])
    kl = F.kl_div(F.log_softmax(logits / temperature, -1), F.log_softmax(teacher / temperature, -1), log_target=True,
                  reduction="batchmean")
    return (1 - share) * cross + share * temperature**2 * kl


def steady(x):
    """A number in double precision without its last bits, which depend on the processor."""
    return float(np.float32(x))


def floats(tensors):
    return b"".join(t.detach().numpy().astype(np.float32).tobytes() for t in tensors)


def case(seed, length, tied, share, temperature):
    config = LlamaConfig(vocab_size=42, hidden_size=20, intermediate_size=30, num_hidden_layers=2,
                         num_attention_heads=4, num_key_value_heads=2, head_dim=6, max_position_embeddings=128,
                         rms_norm_eps=1e-5, rope_theta=1000.0, tie_word_embeddings=tied)
    random = Random(seed)
    model = in_double(LlamaForCausalLM(config))
    weights = parameters(model, tied)
    assert sum(w.numel() for w in weights) == sum(w.numel() for w in model.parameters())
    with torch.no_grad():
        for w in weights:
            r = random.floats(w.shape) / 4
            w.copy_((1 + r if w.dim() == 1 else r).float().double())  # as in nibble
    teacher = (3 * random.floats((SEQUENCES, length, config.vocab_size))).float().double()
    tokens = torch.tensor([[random.integer() % config.vocab_size for _ in range(length)] for _ in range(SEQUENCES)])
    targets = torch.full_like(tokens, -1)
    targets[:, :-1] = tokens[:, 1:]
    targets[1, 3] = -1  # another one that does not count

    f32 = lambda x: float(np.float32(x))
    rate, last_rate, warmup, steps = f32(0.02), f32(0.002), 3, 9
    betas, epsilon, decay, clip = (f32(0.9), f32(0.95)), f32(1e-8), f32(0.1), f32(0.5)

    def scaled(step):  # warm-up, then a half cosine, then constant
        if step < warmup:
            return (step + 1) / warmup
        part = min(1, (step - warmup) / (steps - warmup))
        return (last_rate + (rate - last_rate) * (1 + math.cos(math.pi * part)) / 2) / rate

    matrices, norms = [w for w in weights if w.dim() > 1], [w for w in weights if w.dim() == 1]
    optimizer = torch.optim.AdamW([{"params": matrices, "weight_decay": decay}, {"params": norms, "weight_decay": 0.0}],
                                  lr=rate, betas=betas, eps=epsilon)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, scaled)
    losses, lengths, rates, first = [], [], [], None
    for _ in range(STEPS):
        loss = loss_of(model, tokens, targets, teacher, share, temperature)
        optimizer.zero_grad()
        loss.backward()
        if first is None:
            first = floats([w.grad for w in weights])
        losses.append(steady(loss.item()))
        lengths.append(steady(torch.nn.utils.clip_grad_norm_(model.parameters(), clip).item()))
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    print("losses", losses[0], "...", losses[-1], "norms", min(lengths), "...", max(lengths))
    assert max(lengths) > clip, "clipping must matter"
    out = struct.pack("<8I4f", config.vocab_size, 20, 2, 4, 2, 6, 30, tied, 1000.0, 1e-5, share, temperature)
    out += struct.pack("<2I", SEQUENCES, length)
    out += tokens.numpy().astype(np.int32).tobytes() + targets.numpy().astype(np.int32).tobytes()
    out += struct.pack("<d", losses[0]) + first
    out += struct.pack("<2f2I5f", rate, last_rate, warmup, steps, *betas, epsilon, decay, clip)
    out += struct.pack(f"<{3 * STEPS}d", *losses, *lengths, *rates)
    return out + floats(weights)


def main():
    parser = argparse.ArgumentParser()
    default = Path(__file__).parent / "../fixtures/train/llama.bin"
    parser.add_argument("--output", type=Path, default=default)
    path = parser.parse_args().output
    path.parent.mkdir(exist_ok=True)
    out = struct.pack("<I", 2) + case(1, 12, True, 0.0, 1.0) + case(2, 70, False, 0.5, 2.0)
    path.write_bytes(out)
    print(len(out), "bytes")


if __name__ == "__main__":
    main()
