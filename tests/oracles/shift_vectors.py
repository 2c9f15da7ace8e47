#!/usr/bin/env python3
"""llama.cpp's context shift: greedy answers that outgrow the context, and their logits.

    shift_vectors.py [OUTPUT = tests/fixtures/shifted.json]

{ models: [{ model, context, keep, prompt, answer, logits: { step: its first 16 } }] }. When the context is full, half of
the tokens after the first `keep` are removed from llama.cpp's cache, and the others moved (seq_rm, seq_add), as its
server does. The cache is F32, and so are the weights.
"""
import json
import os
import sys
import tempfile

import numpy as np

from llamacpp import LlamaCpp, exact_copy

HERE = os.path.dirname(os.path.abspath(__file__))
FIXTURES = os.path.join(HERE, "../fixtures")
CONTEXT, PROMPT, ANSWER, SHOWN, EVERY = 32, 12, 72, 16, 4
# pairs of neighbours; pairs of halves, with norms of heads; a part of each head; factors of frequencies. Not YaRN, where
# llama.cpp moves keys otherwise: tests/js/overflow.test.js compares its keys with those of the new positions.
MODELS = {"tiny.gguf": 1, "models/qwen3.gguf": 0, "models/gptneox.gguf": 5, "models/rope-llama3.gguf": 3, "models/head-size-10.gguf": 2}


def answer(model, prompt, keep):
    tokens, made, logits = list(prompt), [], {}
    row = model.evaluate(tokens, last_only=True)[-1]
    while len(made) < ANSWER:
        if len(made) % EVERY == 0:
            logits[len(made)] = [float(f"{x:.6g}") for x in row[:SHOWN]]
        token = int(np.argmax(row))
        tokens.append(token)
        made.append(token)
        if len(tokens) == CONTEXT:  # all are evaluated but the last one
            drop = (CONTEXT - keep) // 2
            model.context.memory_seq_rm(0, keep, keep + drop)
            model.context.memory_seq_add(0, keep + drop, -1, -drop)
            del tokens[keep:keep + drop]
        row = model.evaluate(tokens[-1:], start=len(tokens) - 1)[-1]
    return made, logits


def main():
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(FIXTURES, "shifted.json")
    written = []
    with tempfile.TemporaryDirectory() as folder:
        for seed, (name, keep) in enumerate(MODELS.items(), 77):
            path = os.path.join(folder, "exact.gguf")
            exact_copy(os.path.join(FIXTURES, name), path)
            model = LlamaCpp(path, context=256)
            prompt = np.random.default_rng(seed).integers(3, model.vocabulary.n_vocab, PROMPT).tolist()
            made, logits = answer(model, prompt, keep)
            written.append({"model": name, "context": CONTEXT, "keep": keep, "prompt": prompt, "answer": made,
                            "logits": logits})
            print(name, made[:40])
    with open(output, "w", encoding="utf-8") as out:
        json.dump({"by": "llama.cpp, F32", "models": written}, out)
        out.write("\n")


if __name__ == "__main__":
    main()
