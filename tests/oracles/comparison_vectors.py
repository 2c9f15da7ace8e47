#!/usr/bin/env python3
"""Writes tests/fixtures/llamacpp/comparison.json, and gemma2-q4_0.gguf beside it: how far one model's probabilities of
the next token are from another's, over the windows of a text.

The statistics are those of llama.cpp's tools/perplexity --kl-divergence, over the tokens that a perplexity counts: the
mean of KL(base || model) with the standard error sqrt((E[x^2] - E[x]^2) / (n - 1)), the largest, quantiles by linear
interpolation, and the share of tokens for which both models find the same token likeliest. (That tool stores the base's
logits in 16 bits; here nothing is rounded.) Logits are transformers' in F32; log-softmax and sums are numpy's in F64.

The second pair is a model and the same model in Q4_0, quantized by the package gguf. For it the relative errors of the
weights are written, too: sqrt(sum (q - w)^2 / sum w^2) of each matrix.
"""
import copy
import json
import math
import os

import gguf
import numpy as np
import torch
from gguf.quants import dequantize, quantize

import gguf_files
import windows
from perplexity_vectors import TOKENS

Q4_0 = gguf.GGMLQuantizationType.Q4_0
QUANTIZED = "llamacpp/gemma2-q4_0.gguf"
CONTEXT = 32


def log_softmax(rows):
    most = rows.max(axis=1, keepdims=True)
    return rows - most - np.log(np.exp(rows - most).sum(axis=1, keepdims=True))


def mean_of(x):
    return {"mean": x.mean(), "standardError": math.sqrt(((x**2).mean() - x.mean() ** 2) / (len(x) - 1))}


def compare(base, other, context, stride=None):
    losses, others, divergences, same = [], [], [], []
    for window in windows.windows(TOKENS, context, stride):
        first = len(window) - stride if stride else len(window) // 2 + 1
        p, q = (log_softmax(model(torch.tensor([window])).logits[0].numpy().astype(np.float64)[first - 1:-1])
                for model in (base, other))
        at = np.arange(len(p)), window[first:]
        losses.append(-p[at])
        others.append(-q[at])
        divergences.append((np.exp(p) * (p - q)).sum(axis=1))
        same.append(p.argmax(axis=1) == q.argmax(axis=1))
    by_position = np.stack(divergences).mean(axis=0)
    losses, others, divergences, same = (np.concatenate(x) for x in (losses, others, divergences, same))
    return {"context": context, **({"stride": stride} if stride else {}), "tokens": len(losses),
            "perplexity": math.exp(others.mean()), "basePerplexity": math.exp(losses.mean()),
            "logRatio": mean_of(others - losses),
            "divergence": {**mean_of(divergences), "median": np.quantile(divergences, 0.5),
                           "p99": np.quantile(divergences, 0.99), "largest": divergences.max(),
                           "byPosition": by_position.tolist()},
            "sameTop": same.mean()}


def rounded(model):
    """A copy of the model with matrices in Q4_0, if their rows are whole blocks; writes its GGUF, and returns the
    errors by name."""
    model, errors = copy.deepcopy(model), {}
    reader = gguf.GGUFReader(os.path.join(windows.FIXTURES, "models/gemma2.gguf"))
    writer = gguf.GGUFWriter(os.path.join(windows.FIXTURES, QUANTIZED), "gemma2")
    gguf_files.copy_keys(reader, writer)
    for tensor in reader.tensors:
        if len(tensor.shape) == 1 or tensor.shape[0] % 32:
            writer.add_tensor(tensor.name, tensor.data)
            if len(tensor.shape) > 1:
                errors[tensor.name] = 0
            continue
        weights = tensor.data.astype(np.float32)
        blocks = quantize(weights, Q4_0)
        values = dequantize(blocks, Q4_0)
        writer.add_tensor(tensor.name, blocks, raw_dtype=Q4_0)
        [place] = [p for p in model.parameters() if p.shape == weights.shape
                   and np.array_equal(p.data.numpy(), weights)]
        place.data = torch.from_numpy(values)
        difference = values.astype(np.float64) - weights.astype(np.float64)
        errors[tensor.name] = math.sqrt((difference**2).sum() / (weights.astype(np.float64) ** 2).sum())
    gguf_files.write(writer)
    return model, errors


def main():
    torch.set_num_threads(1)
    with torch.no_grad():
        gemma, mixtral = windows.of_family("gemma2"), windows.of_family("mixtral")
        quantized, errors = rounded(gemma)
        found = {
            "two families": {"base": "models/gemma2.gguf", "model": "models/mixtral.gguf",
                             **compare(gemma, mixtral, CONTEXT)},
            "two families, stride": {"base": "models/mixtral.gguf", "model": "models/gemma2.gguf",
                                     **compare(mixtral, gemma, CONTEXT, 12)},
            "Q4_0": {"base": "models/gemma2.gguf", "model": QUANTIZED, **compare(gemma, quantized, CONTEXT),
                     "errors": errors},
        }
    with open(os.path.join(windows.FIXTURES, "llamacpp/comparison.json"), "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}\n")


if __name__ == "__main__":
    main()
