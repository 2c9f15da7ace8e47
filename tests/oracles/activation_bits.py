#!/usr/bin/env python3
"""How many bits do activations need so that the logits hardly change?

    activation_bits.py MODEL [BITS ...]

Evaluates the 256 tokens of tests/fixtures/llamacpp/smollm2-logits.json with a Llama MODEL in F32. The right-hand side
of every product is rounded to so many bits (blocks of 32, x = d q, d = max|x| / (2^(bits-1) - 1)). The logits are
compared with those of unrounded activations.
"""
import json
import os
import sys

import gguf
import numpy as np
import torch
from gguf.quants import dequantize

from logits_vectors import cosines


def evaluate(reader, weights, tokens, bits=None):
    key = lambda name: float(reader.fields["llama." + name].contents())
    heads, kv_heads = int(key("attention.head_count")), int(key("attention.head_count_kv"))
    layers = int(key("block_count"))
    n, head = len(tokens), int(key("embedding_length")) // heads
    base, epsilon = key("rope.freq_base"), key("attention.layer_norm_rms_epsilon")
    angles = torch.arange(n)[:, None] * base ** (-torch.arange(0, head, 2, dtype=torch.float64) / head)
    cos, sin = angles.cos().float(), angles.sin().float()  # [n, head/2]
    w = lambda name: weights[name + ".weight"]

    def rounded(x):  # [n, columns]
        if bits is None:
            return x
        blocks = x.view(n, -1, 32)
        d = blocks.abs().amax(-1, keepdim=True) / (2 ** (bits - 1) - 1)
        return (torch.round(blocks / d.clamp(min=1e-30)) * d).view(n, -1)

    def rotate(x):  # [heads, n, head]
        a, b = x[..., 0::2], x[..., 1::2]
        return torch.stack((a * cos - b * sin, a * sin + b * cos), -1).flatten(-2)

    norm = lambda x, name: torch.nn.functional.rms_norm(x, x.shape[-1:], w(name), epsilon)
    split = lambda x, count: x.view(n, count, head).transpose(0, 1)
    x = w("token_embd")[torch.tensor(tokens)]  # [n, width]
    for i in range(layers):
        p = f"blk.{i}."
        h = rounded(norm(x, p + "attn_norm"))
        q, k = rotate(split(h @ w(p + "attn_q").T, heads)), rotate(split(h @ w(p + "attn_k").T, kv_heads))
        k, v = (t.repeat_interleave(heads // kv_heads, 0) for t in (k, split(h @ w(p + "attn_v").T, kv_heads)))
        o = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True)
        x = x + rounded(o.transpose(0, 1).reshape(n, -1)) @ w(p + "attn_output").T
        h = rounded(norm(x, p + "ffn_norm"))
        h = torch.nn.functional.silu(h @ w(p + "ffn_gate").T) * (h @ w(p + "ffn_up").T)
        x = x + rounded(h) @ w(p + "ffn_down").T
    output = weights.get("output.weight", w("token_embd"))
    return (rounded(norm(x, "output_norm")) @ output.T).numpy()


def main():
    fixture = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/llamacpp/smollm2-logits.json")
    torch.set_num_threads(1)
    tokens = json.load(open(fixture))["tokens"]
    reader = gguf.GGUFReader(sys.argv[1])
    weights = {t.name: torch.from_numpy(dequantize(t.data, t.tensor_type).astype(np.float32)) for t in reader.tensors}
    exact = evaluate(reader, weights, tokens)
    print("| bits | least cosine | median | positions < 0.999 | largest difference | other best token |")
    print("|---" * 6 + "|")
    for bits in [int(b) for b in sys.argv[2:]] or [8, 9, 10, 11, 12, 13, 14, 16]:
        logits = evaluate(reader, weights, tokens, bits)
        c = cosines(logits, exact)
        print(f"| {bits} | {c.min():.5f} | {np.median(c):.7f} | {(c < 0.999).sum()} "
              f"| {np.abs(logits - exact).max():.3g} | {(logits.argmax(1) != exact.argmax(1)).sum()} |", flush=True)


if __name__ == "__main__":
    main()
