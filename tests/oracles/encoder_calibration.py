#!/usr/bin/env python3
"""Writes tests/fixtures/encoders/calibrated/, a small BERT as a folder, and calibrated.json, the results of GPTQ and
AWQ for it.

The text is cut into windows, each between the tokenizer's special tokens, which transformers computes in F32. In each
layer GPTQModel (gptq_vectors.py, with its change) quantizes one group of matrices after the other. The Hessian X^T X is
that of the inputs when all earlier matrices are quantized. For each module the file has the codes, a hexadecimal digit
each, by rows, and the scales of its groups. AWQ (awq_layer_vectors.py) scales the columns of attention's output in
layer 0, and divides the rows of the values' matrix by the scales: the file has the sums of |w| of each row, and the
biases.
"""
import json
import os
import shutil

import numpy as np
import tokenizers
import torch

import awq_layer_vectors
import encoder_models
import gptq_vectors
import windows
from sentence_folders import write_tokenizer

BEGIN, END = "<|begin|>", "<|end|>"
SIZES = dict(hidden_size=32, intermediate_size=64, num_hidden_layers=2, max_position_embeddings=32)
CONTEXT, BITS, GROUP = 16, 4, 32
TEXT = "An old bee danced on a leaf; the good friend of its hill called back again. " * 12
GROUPS = [["attention.self.query", "attention.self.key", "attention.self.value"], ["attention.output.dense"],
          ["intermediate.dense"], ["output.dense"]]


def cut(path):
    tokenizer = tokenizers.Tokenizer.from_file(path)
    begin, end = (tokenizer.token_to_id(token) for token in (BEGIN, END))
    assert tokenizer.encode("a").ids == [begin, *tokenizer.encode("a", add_special_tokens=False).ids, end]
    ids, own = tokenizer.encode(TEXT, add_special_tokens=False).ids, CONTEXT - 2
    return torch.tensor([[begin, *ids[at:at + own], end] for at in range(0, len(ids) - own + 1, own)])


def inputs_of(model, module, tokens):
    """[tokens, columns], F64."""
    seen = []
    hook = module.register_forward_hook(
        lambda _, args, __: seen.append(args[0].reshape(-1, args[0].shape[-1]).double()))
    with torch.no_grad():
        for window in tokens:
            model(window[None])
    hook.remove()
    return torch.cat(seen).numpy()


def quantize(module, hessian):
    codes, scales, zeros, groups, weights = gptq_vectors.quantize(
        module.weight.detach().numpy(), hessian, BITS, GROUP, 1, gptq_vectors.NATURAL, 0, True)
    assert (zeros == 8).all() and (groups == np.arange(len(groups)) // GROUP).all()
    with torch.no_grad():
        module.weight.copy_(torch.from_numpy(weights))
    return {"codes": ["".join(f"{code:x}" for code in row) for row in codes], "scales": scales.tolist()}


def scaled(model, tokens):
    attention = model.encoder.layer[0].attention
    values, output = attention.self.value, attention.output.dense
    scales = awq_layer_vectors.search("output", output.weight.detach().numpy(), inputs_of(model, output, tokens))
    made = {"weight": np.abs(values.weight.detach().numpy() / scales[:, None]).sum(axis=1),
            "bias": values.bias.detach().numpy() / scales}
    return {f"blk.0.attn_v.{leaf}": [float(f"{number:.6g}") for number in numbers] for leaf, numbers in made.items()}


def main():
    torch.set_num_threads(1)
    folder = os.path.join(windows.FIXTURES, "encoders/calibrated")
    shutil.rmtree(folder, ignore_errors=True)
    model = encoder_models.random_model("Bert", SIZES, 5101)
    model.half().save_pretrained(folder)
    model.float()
    write_tokenizer(folder, BEGIN, END)
    tokens = cut(f"{folder}/tokenizer.json")
    awq, made = scaled(model, tokens), {}
    for i, layer in enumerate(model.encoder.layer):
        for group in GROUPS:
            x = inputs_of(model, layer.get_submodule(group[0]), tokens)
            for name in group:
                made[f"encoder.layer.{i}.{name}"] = quantize(layer.get_submodule(name), (x.T @ x).astype(np.float32))
    result = {"text": TEXT, "context": CONTEXT, "windows": len(tokens), "damping": gptq_vectors.DAMPING, "group": GROUP,
              "modules": made, "awq": awq}
    with open(f"{folder}.json", "w", encoding="utf-8") as out:
        json.dump(result, out, indent=0)
        out.write("\n")
    print(f"{len(tokens)} windows of {CONTEXT} tokens, {len(made)} matrices")


if __name__ == "__main__":
    main()
