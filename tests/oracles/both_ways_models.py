#!/usr/bin/env python3
"""Small decoders with random weights and bidirectional attention.

    both_ways_models.py [OUTPUT = tests/fixtures/both-ways] [NAME ...]

Writes NAME.gguf, with attention.causal = false, and NAME.json: of 20 random tokens, and of the first 7 of them, the
logits at every position and the embeddings (mean, first and last of the last hidden states, scaled to length 1), by
transformers in F32 with is_causal = false. llama.cpp's logits, with the weights as F32, must agree, or nothing is
written. Sliding windows differ: transformers' windows reach in both directions, which files of nibble's converter mark
by nibble.converted; llama.cpp's reach only back. So the reference of gemma3-window is llama.cpp.
"""
import base64
import os
import sys
import tempfile

import gguf
import numpy as np
import torch

import encoder_models
import family_models
import gguf_files
import llamacpp
import random_models
from logits_vectors import cosines

LENGTHS = (20, 7)
GEMMA = dict(random_models.GEMMA, num_hidden_layers=2, intermediate_size=16, sliding_window_pattern=2)
LLAMA = dict(random_models.SMALL, vocab_size=random_models.BASE["vocab_size"])
# name: (the function that makes it, its configuration, whether the file is like one of nibble's converter)
MODELS = {
    "qwen2": ("Qwen2", dict(family_models.SIZES, tie_word_embeddings=True), False),
    "qwen3": ("Qwen3", dict(family_models.SIZES, head_dim=12), False),
    "llama": (None, LLAMA, False),
    "gemma3": (None, dict(GEMMA, sliding_window=64), False),
    "gemma3-window": (None, dict(GEMMA, sliding_window=5), False),
    "gemma3-two-sides": (None, dict(GEMMA, sliding_window=5), True),
}


def keys(path, ours):
    """Adds the keys for bidirectional attention to the file."""
    reader, again = gguf.GGUFReader(path), path + ".again"
    architecture = reader.fields["general.architecture"].contents()
    out = gguf.GGUFWriter(again, architecture)
    out.add_causal_attention(False)
    if ours:
        out.add_bool("nibble.converted", True)
    gguf_files.copy_keys(reader, out)
    gguf_files.copy_tensors(reader, out)
    gguf_files.write(out)
    os.replace(again, path)


def make(path, name, kind, values, seed):
    if kind:
        model = family_models.random_model(kind, values, seed)
        with torch.no_grad():
            family_models.write_model(path, model, name)
    else:
        model = random_models.random_model(name, values, seed)
        random_models.write_model(path, model, random_models.Type.F16)
    model.config.is_causal = False
    return model


def main():
    torch.set_num_threads(1)
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/both-ways")
    output = sys.argv[1] if len(sys.argv) > 1 else own
    os.makedirs(output, exist_ok=True)
    for seed, (name, (kind, values, ours)) in enumerate(MODELS.items(), 3001):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        path = os.path.join(output, name + ".gguf")
        model = make(path, name, kind, values, seed)
        keys(path, ours)
        vocabulary = values["vocab_size"]
        tokens = np.random.default_rng(seed).integers(2, vocabulary, LENGTHS[0]).tolist()
        exact = os.path.join(tempfile.mkdtemp(), "exact.gguf")
        llamacpp.exact_copy(path, exact)
        engine, cases = llamacpp.LlamaCpp(exact, context=128), []
        for n in LENGTHS:
            with torch.no_grad():
                made = model(torch.tensor([tokens[:n]]), output_hidden_states=True)
            logits, hidden = made.logits[0].numpy(), made.hidden_states[-1][0].numpy()
            theirs = engine.evaluate(tokens[:n])
            least = cosines(logits, theirs).min()
            print(f"{name}, {n} tokens: llama.cpp's cosine with transformers {least:.7f}")
            if name == "gemma3-window":
                logits, hidden = theirs, None
            elif least < 0.99999 and not ours:
                raise SystemExit(f"{name}: transformers and llama.cpp disagree")
            case = {"tokens": tokens[:n], "logits": base64.b64encode(logits.astype("<f4").tobytes()).decode()}
            if hidden is not None:
                case |= encoder_models.pooled(hidden)
            cases.append(case)
        by = "llama.cpp, weights as F32" if name == "gemma3-window" else "transformers, F32"
        encoder_models.write_cases(path, cases, by)


if __name__ == "__main__":
    main()
