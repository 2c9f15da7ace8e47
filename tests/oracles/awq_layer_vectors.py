#!/usr/bin/env python3
"""Writes tests/fixtures/quantize/awq-layer.json: AWQ (Lin et al. 2024, "AWQ") for a whole layer of a small Llama.

The inputs of each matrix are transformers', in F32. Candidates for the scales of columns are autoawq's formula with
duo_scaling (AwqQuantizer._compute_best_scale): s = mean|x|^r / (mean|w|^(1 - r) + 1e-4), divided by sqrt(max s min s),
for r = 0, 1/20 ... 19/20; and s = 1. The best scales are those with which rounding to Q4_0 changes the outputs least,
over all inputs. The rounding is llama.cpp's, by libgguf, with the sums of squares of the scaled inputs as importance
matrix. Heads that share a key-value head share the mean scales, so that the rows of attn_v can be divided by them
(autoawq does not scale in this case).

attn_v and ffn_up stay in F32: they do not count in the search, and the file has them after scaling. So the test can
compare the tensors into which scales are folded: both norms, and the sums of |w| of each row of attn_v and ffn_up, of
layer 0.
"""
import json
import os

import gguf
import libgguf
import numpy as np
import torch

import windows

CONTEXT = 24
MODEL = os.path.join(windows.FIXTURES, "models/type-f16.gguf")


def rounded(weights, importance):
    kind = gguf.GGMLQuantizationType.Q4_0
    rows = np.ascontiguousarray(weights, np.float32)
    blocks = libgguf.quantize_rows(rows, int(kind), imatrix=importance.astype(np.float32)).view(np.uint8)
    return gguf.quants.dequantize(blocks, kind)


def means_of(weights):
    blocks = np.abs(weights).reshape(len(weights), -1, 32)
    return (blocks / (blocks.max(axis=2, keepdims=True) + 1e-6)).reshape(weights.shape).mean(axis=0)


def shared(means, heads, kv_heads):
    width = len(means) // heads
    groups = means.reshape(kv_heads, heads // kv_heads, width).mean(axis=1, keepdims=True)
    return np.broadcast_to(groups, (kv_heads, heads // kv_heads, width)).reshape(-1)


def error(weights, scales, x):
    made = rounded(weights * scales, np.square(x / scales).sum(axis=0))
    return float(np.square(x @ (made / scales - weights).T.astype(np.float64)).sum())


def search(name, weights, x, share=lambda means: means):
    of_x, of_w = share(np.abs(x).mean(axis=0)), share(means_of(weights))
    tried = [np.ones(len(of_x))]
    for r in np.arange(20) / 20:
        scales = np.maximum(of_x**r / (of_w ** (1 - r) + 1e-4), 1e-4)
        tried.append(scales / np.sqrt(scales.max() * scales.min()))
    errors = [error(weights, scales, x) for scales in tried]
    order = np.argsort(errors)
    print(f"{name}: step {order[0]}, error {errors[order[0]]:.6g}, without scales {errors[0]:.6g}, "
          f"next {errors[order[1]]:.6g}")
    assert errors[order[1]] > errors[order[0]] * 1.0005, "the best step must be clear"
    return tried[order[0]]


def main():
    torch.set_num_threads(1)
    model = windows.of_file(MODEL)
    config, layer = model.config, model.model.layers[0]
    seen = {}
    for name, module in (("q", layer.self_attn.q_proj), ("o", layer.self_attn.o_proj), ("gate", layer.mlp.gate_proj),
                         ("down", layer.mlp.down_proj)):
        module.register_forward_pre_hook(
            lambda _, given, name=name: seen.setdefault(name, []).append(given[0].detach()))
    cut = list(windows.windows(windows.tokens_of(MODEL), CONTEXT))
    with torch.no_grad():
        for window in cut:
            model(torch.tensor([window]))
    x = {name: torch.cat([batch[0] for batch in batches]).numpy().astype(np.float64) for name, batches in seen.items()}
    weights = lambda module: module.weight.detach().numpy()
    heads, kv_heads = config.num_attention_heads, config.num_key_value_heads
    attention, forward = layer.self_attn, layer.mlp
    of_qkv = search("q, k", np.concatenate([weights(attention.q_proj), weights(attention.k_proj)]), x["q"])
    of_o = search("o", weights(attention.o_proj), x["o"], lambda means: shared(means, heads, kv_heads))
    of_gate = search("gate", weights(forward.gate_proj), x["gate"])
    of_down = search("down", weights(forward.down_proj), x["down"])
    rows = of_o.reshape(kv_heads, heads // kv_heads, -1)[:, 0].reshape(-1)
    made = {
        "blk.0.attn_norm.weight": weights(layer.input_layernorm) / of_qkv,
        "blk.0.attn_v.weight": np.abs(weights(attention.v_proj) * of_qkv / rows[:, None]).sum(axis=1),
        "blk.0.ffn_norm.weight": weights(layer.post_attention_layernorm) / of_gate,
        "blk.0.ffn_up.weight": np.abs(weights(forward.up_proj) * of_gate / of_down[:, None]).sum(axis=1),
    }
    out = {"text": windows.TEXT, "context": CONTEXT, "windows": len(cut),
           "tensors": {name: [float(f"{number:.6g}") for number in values] for name, values in made.items()}}
    path = os.path.join(windows.FIXTURES, "quantize/awq-layer.json")
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as file:
        json.dump(out, file, separators=(",", ":"))
        file.write("\n")
    print(os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
