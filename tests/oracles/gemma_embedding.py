#!/usr/bin/env python3
"""A small EmbeddingGemma with random weights, as llama.cpp's converter writes one.

    gemma_embedding.py [OUTPUT = tests/fixtures/encoders]

Writes gemma-embedding.gguf, with the two dense layers after pooling, and gemma-embedding.json: embeddings of 30 random
tokens, and of the first 5 of them, made from transformers' hidden states by the mean, the dense layers, and scaling to
length 1; and the means alone. llama.cpp's embeddings must agree, or nothing is written.
"""
import os
import sys

import gguf
import numpy as np
import torch

import llamacpp
import random_models
from encoder_models import digits, unit, write_cases
from gguf_files import copy_keys, copy_tensors, write
from random_models import GEMMA, Type, VOCABULARY

NAME, INNER, WINDOW = "gemma-embedding", 40, 8
LENGTHS = (30, 5)


def random_model():
    """A model with weights that are exact in the file's type."""
    sizes = dict(GEMMA, num_hidden_layers=2, sliding_window=WINDOW, use_bidirectional_attention=True)
    model = random_models.random_model("gemma3", sizes, 7001)
    with torch.no_grad():
        for p in model.parameters():
            if p.dim() == 2:
                p.copy_(p.half())
    return model


def rewrite(path, dense):
    reader, again = gguf.GGUFReader(path), path + ".again"
    out = gguf.GGUFWriter(again, NAME)
    copy_keys(reader, out, without=["gemma3.attention.sliding_window"],
              renamed=lambda name: name.replace("gemma3.", NAME + "."))
    out.add_sliding_window(WINDOW)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    copy_tensors(reader, out)
    for i, matrix in enumerate(dense, 2):
        out.add_uint32(f"{NAME}.dense_{i}_feat_in", matrix.shape[1])
        out.add_uint32(f"{NAME}.dense_{i}_feat_out", matrix.shape[0])
        out.add_tensor(f"dense_{i}.weight", matrix)
    write(out)
    os.replace(again, path)


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/encoders")
    path = os.path.join(output, NAME + ".gguf")
    model = random_model()
    random_models.write_model(path, model, Type.F16)
    generator = np.random.default_rng(7001)
    width = model.config.hidden_size
    dense = [(2 * generator.standard_normal(shape) / shape[1] ** 0.5).astype(np.float32)
             for shape in ((INNER, width), (width, INNER))]
    rewrite(path, dense)
    tokens = generator.integers(2, len(VOCABULARY), LENGTHS[0]).tolist()
    cases = []
    for n in LENGTHS:
        with torch.no_grad():
            mean = model.model(torch.tensor([tokens[:n]])).last_hidden_state[0].numpy().mean(0)
        whole = unit(dense[1] @ (dense[0] @ mean))
        # llama.cpp applies the matrices to each token's vector, and they are linear
        cosine = float(unit(llamacpp.hidden_states(path, tokens[:n], encoder=False).mean(0)) @ whole)
        if cosine < 0.99999:
            os.remove(path)
            raise SystemExit(f"{NAME}: transformers and llama.cpp disagree, cosine {cosine:.7f}")
        cases.append({"tokens": tokens[:n]} | digits({"file": whole, "mean": unit(mean)}))
        print(f"{NAME}: {n} tokens, llama.cpp's cosine {cosine:.7f}")
    write_cases(path, cases)
    print(os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
