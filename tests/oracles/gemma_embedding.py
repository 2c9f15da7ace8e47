#!/usr/bin/env python3
"""A small EmbeddingGemma with random weights, as llama.cpp's converter writes one.

    gemma_embedding.py [OUTPUT = tests/fixtures/encoders]

Writes gemma-embedding.gguf, with the two matrices behind pooling, and gemma-embedding.json: what transformers' hidden states of 30
random tokens, and of the first 5 of them, become by the mean, the matrices, and a length of 1; and the means alone. llama.cpp's
embeddings must agree, or nothing is written.
"""
import json
import os
import sys

import cyllama.llama.llama_cpp as binding
import gguf
import numpy as np
import torch

import llamacpp
import random_models
from gguf_files import write
from random_models import GEMMA, Type, VOCABULARY

NAME, INNER, WINDOW = "gemma-embedding", 40, 8
LENGTHS = (30, 5)


def rewrite(path, dense):
    reader, again = gguf.GGUFReader(path), path + ".again"
    out = gguf.GGUFWriter(again, NAME)
    for field in reader.fields.values():
        if not field.name.startswith("GGUF.") and field.name not in ("general.architecture", "gemma3.attention.sliding_window"):
            key = field.name.replace("gemma3.", NAME + ".")
            out.add_key_value(key, field.contents(), field.types[0], field.types[-1] if len(field.types) > 1 else None)
    out.add_sliding_window(WINDOW)
    out.add_pooling_type(gguf.PoolingType.MEAN)
    for t in reader.tensors:
        out.add_tensor(t.name, np.array(t.data), raw_dtype=t.tensor_type)
    for i, matrix in enumerate(dense, 2):
        out.add_uint32(f"{NAME}.dense_{i}_feat_in", matrix.shape[1])
        out.add_uint32(f"{NAME}.dense_{i}_feat_out", matrix.shape[0])
        out.add_tensor(f"dense_{i}.weight", matrix)
    write(out)
    os.replace(again, path)


def llama_cpp_embedding(path, tokens):
    """The mean of the tokens' vectors, each of which the matrices were applied to: as good, as these are linear."""
    binding.set_log_callback(lambda *_: None)
    params = binding.LlamaModelParams()
    params.n_gpu_layers = 0
    model = llamacpp.Model(path, params)
    params = binding.LlamaContextParams()
    params.n_ctx = params.n_batch = params.n_ubatch = 128
    params.n_threads = params.n_threads_batch = 1
    params.embeddings, params.pooling_type, params.flash_attn_type = True, 0, 0
    context = binding.LlamaContext(model, params)
    batch = binding.LlamaBatch(n_tokens=len(tokens), embd=0, n_seq_max=1)
    for i, token in enumerate(tokens):
        batch.add(token, i, [0], True)
    context.decode(batch)
    return np.mean([np.array(context.get_embeddings_ith(i), dtype=np.float32) for i in range(len(tokens))], 0)


def unit(x):
    return x / np.linalg.norm(x)


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/encoders")
    path = os.path.join(output, NAME + ".gguf")
    model = random_models.random_model("gemma3", dict(GEMMA, num_hidden_layers=2, sliding_window=WINDOW, use_bidirectional_attention=True), 7001)
    random_models.write_model(path, model, Type.F16)
    generator = np.random.default_rng(7001)
    width = model.config.hidden_size
    dense = [(2 * generator.standard_normal(shape) / shape[1] ** 0.5).astype(np.float32) for shape in ((INNER, width), (width, INNER))]
    rewrite(path, dense)
    tokens = generator.integers(2, len(VOCABULARY), LENGTHS[0]).tolist()
    cases = []
    for n in LENGTHS:
        with torch.no_grad():
            mean = model.model(torch.tensor([tokens[:n]])).last_hidden_state[0].numpy().mean(0)
        whole = unit(dense[1] @ (dense[0] @ mean))
        cosine = float(unit(llama_cpp_embedding(path, tokens[:n])) @ whole)
        if cosine < 0.99999:
            os.remove(path)
            raise SystemExit(f"{NAME}: transformers and llama.cpp disagree, cosine {cosine:.7f}")
        cases.append({"tokens": tokens[:n]} | {k: [float(f"{x:.7g}") for x in v] for k, v in (("file", whole), ("mean", unit(mean)))})
        print(f"{NAME}: {n} tokens, llama.cpp's cosine {cosine:.7f}")
    with open(os.path.join(output, NAME + ".json"), "w", encoding="utf-8") as out:
        json.dump({"model": NAME + ".gguf", "by": "transformers, F32", "cases": cases}, out, indent=0)
        out.write("\n")
    print(os.path.getsize(path), "bytes")


if __name__ == "__main__":
    main()
