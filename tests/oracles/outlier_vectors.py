#!/usr/bin/env python3
"""Computes LLM.int8() (Dettmers et al. 2022, section 3) with the outliers of a text, by transformers and bitsandbytes.

    outlier_vectors.py [OUTPUT = tests/fixtures/quantize]

Writes outlier-inputs.gguf, a small Llama with weights in 16 bits and some large inputs, and outlier-inputs.json with
outlier-inputs.bin: the model quantized with the threshold 6, and its logits of 40 tokens (layout: logits_vectors.py).

Layer by layer, and within a layer in the order of the computation, hooks record the inputs of a group of matrices over
the text, in F32. Columns whose largest |x| is at least 6 are outliers, and their weights stay unchanged. The other
weights become code most / 127, by bitsandbytes' int8_vectorwise_quant; Q8_0 stores most / 127 in binary16. The inputs
of the next group are computed with these weights. Inputs are not rounded: nibble keeps them in 16 bits. The weights are
binary16 from the start, because bitsandbytes converts them to it first.
"""
import hashlib
import json
import os
import sys

import numpy as np
import torch
from bitsandbytes.functional import int8_vectorwise_quant

import llamacpp
import random_models
from logits_vectors import write_vectors
from random_models import BASE, Type
from w8a8_folders import GROUPS, inputs_of

TEXT = "abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. The quick brown fox jumps over the lazy dog. " * 2
CONTEXT, THRESHOLD, FACTOR, TOKENS, SEED = 16, 6, 40, 40, 6201


def strengthen(model):
    """Multiplies some channels of the modules before the matrices by FACTOR, and divides the columns that read them by
    it."""
    rng = np.random.default_rng(SEED)
    shared = model.config.num_attention_heads // model.config.num_key_value_heads
    with torch.no_grad():
        for layer in model.model.layers:
            pick = lambda n: torch.from_numpy(rng.choice(n, 3, replace=False))
            for norm, readers in ((layer.input_layernorm, GROUPS[0]), (layer.post_attention_layernorm, GROUPS[2])):
                columns = pick(norm.weight.numel())
                norm.weight[columns] *= FACTOR
                for reader in readers:
                    layer.get_submodule(reader).weight[:, columns] /= FACTOR
            values, size = layer.self_attn.v_proj.weight, layer.self_attn.head_dim
            rows = pick(values.shape[0])
            values[rows] *= FACTOR
            for i in range(shared):  # the number of heads that share a head of values
                layer.self_attn.o_proj.weight[:, (rows // size * shared + i) * size + rows % size] /= FACTOR
            rows = pick(layer.mlp.up_proj.weight.shape[0])
            layer.mlp.up_proj.weight[rows] *= FACTOR
            layer.mlp.down_proj.weight[:, rows] /= FACTOR


def split(linear, columns):
    """Replaces the module's weights with what both parts represent. Returns the codes and the unchanged weights."""
    rest = linear.weight.clone()
    rest[:, columns] = 0
    codes, most, _ = int8_vectorwise_quant(rest.half())
    kept = linear.weight[:, columns].half()
    linear.weight.copy_(codes.float() * (most / 127).half().float()[:, None])
    linear.weight[:, columns] = kept.float()
    return codes, kept


def digest(tensor, turned):
    """turned: the heads whose rows are in another order in GGUF; None: the order is the same."""
    data = random_models.interleaved(tensor.numpy(), turned) if turned else tensor.numpy()
    return hashlib.sha256(np.ascontiguousarray(data).tobytes()).hexdigest()


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/quantize")
    path = os.path.join(output, "outlier-inputs.gguf")
    model = random_models.random_model("outlier-inputs", dict(BASE, intermediate_size=64), SEED)
    strengthen(model)
    random_models.write_model(path, model, Type.F16)
    tokens = llamacpp.LlamaCpp(path, context=128).tokenize(TEXT)
    windows = [torch.tensor([tokens[at:at + CONTEXT]]) for at in range(0, len(tokens) - CONTEXT + 1, CONTEXT)]
    heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    matrices = {}
    with torch.no_grad():
        for number, layer in enumerate(model.model.layers):
            for group in GROUPS:
                largest = torch.cat(inputs_of(model, layer.get_submodule(group[0]), windows)).abs().amax(0)
                assert ((largest - THRESHOLD).abs() > 0.01).all(), "an input is too near to the threshold"
                columns = torch.nonzero(largest >= THRESHOLD)[:, 0]
                for name in group:
                    codes, kept = split(layer.get_submodule(name), columns)
                    turned = heads.get(name.split(".")[-1])
                    matrices[random_models.gguf_name(f"model.layers.{number}.{name}.weight", model.config)] = {
                        "columns": columns.tolist(), "codes": digest(codes, turned), "kept": digest(kept, turned)}
        tokens = np.random.default_rng(SEED).integers(2, model.config.vocab_size, TOKENS).tolist()
        logits = model(torch.tensor([tokens])).logits[0].numpy()
    head = os.path.join(output, "outlier-inputs.json")
    write_vectors(head, os.path.basename(path), tokens, logits, "transformers, F32; codes by bitsandbytes")
    said = json.load(open(head)) | {"text": TEXT, "context": CONTEXT, "threshold": THRESHOLD, "matrices": matrices}
    with open(head, "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in said.items()) + "\n}\n")
    print(f"{path}: {os.path.getsize(path)} bytes,",
          {name: len(matrix["columns"]) for name, matrix in matrices.items()})


if __name__ == "__main__":
    main()
