#!/usr/bin/env python3
"""Writes small models with outlier columns in 16 bits: LLM.int8() (Dettmers et al. 2022, section 3).

    outlier_models.py [OUTPUT = tests/fixtures/models]

Writes NAME.gguf, and NAME.json with NAME.bin: logits of 40 random tokens by transformers in F32, whose weights are W +
O: the matrix X.weight, which has zeros in some columns, and X.outliers F16 in these columns, X.outlier_columns I32
(layout: logits_vectors.py). The columns have the largest weights, and their number differs from matrix to matrix; some
matrices have none. X.weight is Q8_0 if its rows are whole blocks, otherwise F16. llama.cpp must reject such a file, or
nothing is written.
"""
import os
import sys

import gguf
import numpy as np
import torch

import family_models
import llamacpp
import random_models
from family_models import SIZES
from gguf_files import copy_keys, write
from logits_vectors import write_vectors
from random_models import BASE, Type

TOKENS = 40
COUNTS = [1, 4, 0, 7, 33, 2, 5, 8, 3]
LARGER = 3


def rewrite(path, generator):
    """Splits the matrices of layers; returns {name: the matrix that the two parts represent}."""
    reader = gguf.GGUFReader(path)
    out = gguf.GGUFWriter(path + ".new", reader.fields["general.architecture"].contents())
    copy_keys(reader, out)
    worth = {}
    for t in reader.tensors:
        n = COUNTS[len(worth) % len(COUNTS)]
        if not t.name.startswith("blk.") or len(t.shape) < 2:
            out.add_tensor(t.name, np.array(t.data), raw_dtype=t.tensor_type)
            continue
        data = np.array(gguf.quants.dequantize(t.data, t.tensor_type), np.float32)
        columns = np.sort(generator.choice(data.shape[1], min(n, data.shape[1]), replace=False))
        outliers = (LARGER * data[:, columns]).astype(np.float16)
        data[:, columns] = 0
        raw, held = random_models.quantized(data, Type.Q8_0 if data.shape[1] % 32 == 0 else Type.F16)
        out.add_tensor(t.name, raw, raw_dtype=Type.Q8_0 if data.shape[1] % 32 == 0 else Type.F16)
        worth[t.name] = np.array(held, np.float32).reshape(data.shape)
        worth[t.name][:, columns] += outliers.astype(np.float32)
        if n:
            module = t.name.removesuffix("weight")
            out.add_tensor(module + "outliers", outliers)
            out.add_tensor(module + "outlier_columns", columns.astype(np.int32))
    write(out)
    os.replace(path + ".new", path)
    return worth


def llama(path, seed):
    model = random_models.random_model("outliers", dict(BASE, num_hidden_layers=1), seed)
    random_models.write_model(path, model, Type.F16)
    heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}
    worth = rewrite(path, np.random.default_rng(seed))
    put_back(model, worth, lambda name: random_models.gguf_name(name, model.config), heads)
    return model


def merged(path, seed):
    """A model with one matrix for queries, keys and values, and one for gate and up."""
    model = family_models.random_model("Phi3", dict(SIZES, sliding_window=13), seed)
    with torch.no_grad():
        family_models.write_model(path, model, "phi3")
        for p in model.parameters():
            if p.dim() > 1:
                p.copy_(p.half().float())
    put_back(model, rewrite(path, np.random.default_rng(seed)), lambda name: family_models.gguf_name(name, "phi3"), {})
    return model


def put_back(model, worth, name_of, heads):
    """heads: the heads of modules whose rows are in another order in the file."""
    with torch.no_grad():
        for name, p in model.named_parameters():
            if name_of(name) in worth:
                data = torch.from_numpy(worth.pop(name_of(name)))
                turned = heads.get(name.split(".")[-2])
                p.copy_(random_models.halves(data, turned) if turned else data)
    assert not worth, f"transformers has no {list(worth)}"


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/models")
    for seed, (name, make) in enumerate({"outliers": llama, "outliers-merged": merged}.items(), 6101):
        path = os.path.join(output, name + ".gguf")
        model = make(path, seed)
        tokens = np.random.default_rng(seed).integers(2, model.config.vocab_size - 2, TOKENS).tolist()
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0].numpy()
        try:
            llamacpp.LlamaCpp(path, context=128)
        except Exception as error:
            print(f"{name}: {os.path.getsize(path)} bytes; llama.cpp refuses it: {error}")
        else:
            os.remove(path)
            raise SystemExit(f"{name}: llama.cpp takes the file, and would not add the outliers")
        write_vectors(os.path.join(output, name + ".json"), os.path.basename(path), tokens, logits, "transformers, F32")


if __name__ == "__main__":
    main()
