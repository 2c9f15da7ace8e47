#!/usr/bin/env python3
"""Writes small models whose matrices have a separate scale, as llama.cpp's converter writes NVFP4.

    scaled_models.py [OUTPUT = tests/fixtures/models]

Writes NAME.gguf, and NAME.json with NAME.bin: logits of 40 random tokens by transformers in F32 with the weights times
their scales (layout: logits_vectors.py). A tensor X.weight has X.scale (one number for each expert) and sometimes
X.input_scale, which is only for hardware that rounds activations to 4 bits. llama.cpp's logits of the same file must
agree, or nothing is written.
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
from logits_vectors import cosines, write_vectors
from random_models import BASE, Type, VOCABULARY

TOKENS = 40
EXPERTS = dict(num_experts=4, num_experts_per_tok=2, moe_intermediate_size=20)


def rewrite(path, scale_of, kind):
    """Adds scales for the matrices of layers and the output; returns {name: the matrix times its scale}."""
    reader = gguf.GGUFReader(path)
    architecture = reader.fields["general.architecture"].contents()
    out = gguf.GGUFWriter(path + ".new", architecture)
    copy_keys(reader, out)
    worth = {}
    for t in reader.tensors:
        scaled = t.name.endswith(".weight") and len(t.shape) > 1
        scaled = scaled and "token_embd" not in t.name and "gate_inp" not in t.name
        scaled = scaled and (kind == Type.NVFP4 or t.name != "output.weight")
        if not scaled:
            out.add_tensor(t.name, np.array(t.data), raw_dtype=t.tensor_type)
            continue
        data = np.asarray(gguf.quants.dequantize(t.data, t.tensor_type), np.float32)
        scale = scale_of(data.shape[0] if data.ndim == 3 else 1)
        rows = (data / scale[:, None, None] if data.ndim == 3 else data / scale[0]).reshape(-1, data.shape[-1])
        raw, held = random_models.quantized(np.ascontiguousarray(rows, np.float32), kind)
        out.add_tensor(t.name, raw.reshape(*data.shape[:-1], -1) if kind == Type.NVFP4 else raw.reshape(data.shape),
                       raw_dtype=kind)
        module = t.name.removesuffix(".weight")
        out.add_tensor(module + ".scale", scale.astype(np.float32))
        if len(worth) % 2:
            out.add_tensor(module + ".input_scale", np.full(len(scale), 0.01, np.float32))
        held = np.asarray(held, np.float32).reshape(data.shape)
        worth[t.name] = held * (scale[:, None, None] if data.ndim == 3 else scale[0])
    write(out)
    os.replace(path + ".new", path)
    return worth


def llama(path, seed):
    model = random_models.random_model("nvfp4-scales",
                                       dict(BASE, num_hidden_layers=1, intermediate_size=128,
                                            tie_word_embeddings=False), seed)
    random_models.write_model(path, model, Type.F16)
    generator = np.random.default_rng(seed)
    worth = rewrite(path, lambda n: generator.uniform(0.01, 3, n).astype(np.float32), Type.NVFP4)
    config = model.config
    with torch.no_grad():
        for name, p in model.named_parameters():
            ours = random_models.gguf_name(name, config)
            if ours in worth:
                data = torch.from_numpy(worth[ours])
                heads = {"q_proj": config.num_attention_heads,
                         "k_proj": config.num_key_value_heads}.get(name.split(".")[-2])
                p.copy_(random_models.halves(data, heads) if heads else data)
    return model


def mixture(path, seed):
    """A mixture of experts. The weights are F16 and their scales powers of two, so nothing is rounded."""
    model = family_models.random_model("Qwen3Moe",
                                       dict(SIZES, head_dim=8, norm_topk_prob=True,
                                            **dict(EXPERTS, moe_intermediate_size=20)), seed)
    with torch.no_grad():
        family_models.write_model(path, model, "qwen3moe")
    generator = np.random.default_rng(seed)
    rewrite(path, lambda n: 2.0 ** generator.integers(-3, 4, n), Type.F16)
    return model


def llama_cpp_logits(path, tokens):
    """llama.cpp's logits with the weights as F32 and separate scales. Only the output's scale is multiplied in, because
    llama.cpp does not read it then."""
    reader = gguf.GGUFReader(path)
    tensors = {t.name: llamacpp.weights_of(t.data, t.tensor_type).reshape(tuple(reversed(t.shape)))
               for t in reader.tensors}
    tensors.pop("output.input_scale", None)
    tensors["output.weight"] = tensors["output.weight"] * tensors.pop("output.scale", 1)
    out = gguf.GGUFWriter(path + ".exact", reader.fields["general.architecture"].contents())
    copy_keys(reader, out)
    for name, data in tensors.items():
        out.add_tensor(name, np.ascontiguousarray(data, np.float32))
    write(out)
    try:
        return llamacpp.LlamaCpp(path + ".exact", context=128).evaluate(tokens)
    finally:
        os.remove(path + ".exact")


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/models")
    for seed, (name, make) in enumerate({"nvfp4-scales": llama, "scales-of-experts": mixture}.items(), 6001):
        path = os.path.join(output, name + ".gguf")
        model = make(path, seed)
        words = VOCABULARY if make is llama else family_models.VOCABULARY
        tokens = np.random.default_rng(seed).integers(2, len(words), TOKENS).tolist()
        with torch.no_grad():
            logits = model(torch.tensor([tokens])).logits[0].numpy()
        least = cosines(llama_cpp_logits(path, tokens), logits).min()
        if least < 0.999999:
            os.remove(path)
            raise SystemExit(f"{name}: transformers and llama.cpp disagree, cosine {least:.6f}")
        write_vectors(os.path.join(output, name + ".json"), os.path.basename(path), tokens, logits, "transformers, F32")
        print(f"{name}: {os.path.getsize(path)} bytes, llama.cpp's least cosine with transformers {least:.6f}")


if __name__ == "__main__":
    main()
