#!/usr/bin/env python3
"""Writes tests/fixtures/llamacpp/perplexity.json: perplexities of a text, as llama.cpp's tools/perplexity computes
them.

Without a stride that tool cuts the text into windows of `context` tokens, replaces the first token of each with the
begin token (if the vocabulary asks for one), and scores the tokens of the second half except the first. With a stride
(--ppl-stride) windows begin that many tokens apart, and the last `stride` tokens of each are scored. There the tool is
meant to put a begin token first, too, but does so after the window was evaluated; here it comes first. (The tool also
makes the window half a stride longer than --ctx-size; here a window has `context` tokens.)

The logits are transformers', in F32, and the sums those of numpy, in F64. llama.cpp's logits with weights and cache in
F32 must give the same perplexity to 1e-4, or nothing is written.
"""
import json
import math
import os
import tempfile

import numpy as np
import torch

import llamacpp
import windows

# name: (model, tokens for this model or None, context, stride, begin token)
TOKENS = np.random.default_rng(7).integers(2, 88, 200).tolist()
SMOLLM = os.path.join(windows.HERE, "../../build/models/SmolLM2-135M-Instruct.Q4_1.gguf")
CASES = {
    "tiny": (windows.TINY, None, 128, None, None),
    "tiny, begin token": (windows.TINY, None, 128, None, windows.TINY_BEGIN),
    "tiny, odd context": (windows.TINY, None, 61, None, None),
    "tiny, stride": (windows.TINY, None, 64, 24, None),
    "tiny, stride and begin token": (windows.TINY, None, 64, 24, windows.TINY_BEGIN),
    "gemma2": ("gemma2", TOKENS, 32, None, None),
    "mixtral, stride": ("mixtral", TOKENS, 32, 16, None),
    "smollm2": (SMOLLM, None, 128, None, None),
}


def scores(logits, window, stride):
    """-log p of the tokens that are scored."""
    first = len(window) - stride if stride else len(window) // 2 + 1
    rows = logits[first - 1:-1].astype(np.float64)
    most = rows.max(axis=1)
    sums = most + np.log(np.exp(rows - most[:, None]).sum(axis=1))
    return sums - rows[np.arange(len(rows)), window[first:]]


def measure(evaluate, tokens, context, stride, begin):
    cut = list(windows.windows(tokens, context, stride, begin))
    nll = np.concatenate([scores(evaluate(w), w, stride) for w in cut])
    mean, error = nll.mean(), math.sqrt(((nll**2).mean() - nll.mean() ** 2) / (len(nll) - 1))
    return {"perplexity": math.exp(mean), "standardError": error * math.exp(mean), "negativeLogLikelihood": mean,
            "tokens": len(nll), "windows": len(cut)}


def main():
    torch.set_num_threads(1)
    found = {}
    for name, (model, tokens, context, stride, begin) in CASES.items():
        if os.path.isabs(model) and not os.path.exists(model):
            raise SystemExit(f"{model} is missing: run make setup")
        path = model if os.path.isabs(model) else os.path.join(windows.FIXTURES, f"models/{model}.gguf")
        exact = os.path.join(tempfile.mkdtemp(), "exact.gguf")
        llamacpp.exact_copy(path, exact)
        engine = llamacpp.LlamaCpp(exact, context=512)
        tokens = tokens or ([] if begin is None else [begin]) + engine.tokenize(windows.TEXT)
        own = windows.of_file(path) if os.path.isabs(model) else windows.of_family(model)
        with torch.no_grad():
            result = measure(lambda w: own(torch.tensor([w])).logits[0].numpy(), tokens, context, stride, begin)
        other = measure(engine.evaluate, tokens, context, stride, begin)
        print(f"{name}: {result}, llama.cpp {other['perplexity']}")
        if abs(other["perplexity"] / result["perplexity"] - 1) > 1e-4:
            raise SystemExit(f"{name}: transformers and llama.cpp disagree")
        found[name] = {"model": os.path.basename(path), **({"input": tokens} if model in ("gemma2", "mixtral") else {}),
                       "context": context, **({"stride": stride} if stride else {}), "begin": begin is not None,
                       **result}
    with open(os.path.join(windows.FIXTURES, "llamacpp/perplexity.json"), "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in found.items()) + "\n}\n")


if __name__ == "__main__":
    main()
