#!/usr/bin/env python3
"""LLM.int8() (Dettmers et al. 2022, section 3) with outliers of a text, by transformers and bitsandbytes.

    outlier_vectors.py [OUTPUT = tests/fixtures/quantize]

Writes outlier-inputs.gguf, a small Llama with weights of 16 bits some of whose inputs are large, and
outlier-inputs.json with outlier-inputs.bin: what it becomes with the threshold 6, and the logits of 40 tokens then
(layout: logits_vectors.py).

Layer by layer, and in a layer in the order of the computation, hooks watch the inputs of a group of matrices over the
text, in F32. Columns whose largest |x| is at least 6 are outliers. W then becomes code most / 127 without them, by
bitsandbytes' int8_vectorwise_quant, and stays what it is in them; Q8_0 has most / 127 in binary16. The next group's
inputs are computed with that. Inputs are not rounded: nibble keeps them in 16 bits. The weights are in binary16
already, which bitsandbytes makes of them first.
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
    """Some channels of what makes inputs become FACTOR times as large, and the columns that read them as much
    smaller."""
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
            for i in range(shared):  # each head of values serves so many heads
                layer.self_attn.o_proj.weight[:, (rows // size * shared + i) * size + rows % size] /= FACTOR
            rows = pick(layer.mlp.up_proj.weight.shape[0])
            layer.mlp.up_proj.weight[rows] *= FACTOR
            layer.mlp.down_proj.weight[:, rows] /= FACTOR


def split(linear, columns):
    """The module's weights become what both parts stand for. Returns the codes and the weights that are kept."""
    rest = linear.weight.clone()
    rest[:, columns] = 0
    codes, most, _ = int8_vectorwise_quant(rest.half())
    kept = linear.weight[:, columns].half()
    linear.weight.copy_(codes.float() * (most / 127).half().float()[:, None])
    linear.weight[:, columns] = kept.float()
    return codes, kept


def digest(tensor, turned):
    """turned: heads, whose rows a GGUF has in another order; None: it has them as they are."""
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
