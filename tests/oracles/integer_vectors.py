#!/usr/bin/env python3
"""Writes tests/fixtures/integer: small models as integer_model.py quantizes them, and their logits.

    integer_vectors.py [NAME ...]

NAME.bin for tests/fixtures/models/NAME.gguf, little-endian: u32 tokens, vocabulary, tensors; i32 tokens; u32 hashes
(FNV-1a, 32 bits) of the bytes of each tensor, in the order in which nibble writes them: for each tensor of the model
its codes and multipliers, or its scales, and last the steps of RoPE; u32 hashes of the logits of each token; i32 the
last token's logits. It also prints the difference between the logits and those of the same model in floats.
"""
import struct
import sys
from pathlib import Path

import gguf
import numpy as np

import integer_model as im

FIXTURES = Path(__file__).resolve().parent / "../fixtures"
# tokens; if there are more than the model's context, the test raises the context
MODELS = {"odd-sizes": 600, "separate-output": 40, "head-size": 40, "one-kv-head": 40, "rope-linear": 40,
          "type-q8_0": 70, "type-f16": 40}


def fnv(data):
    h = 0x811C9DC5
    for b in data:
        h = (h ^ b) * 0x01000193 & 0xFFFFFFFF
    return h


def read(path):
    """The settings and the tensors of a GGUF, in F32."""
    reader = gguf.GGUFReader(path)
    key = lambda name, fallback=None: (
        reader.fields["llama." + name].contents() if "llama." + name in reader.fields else fallback)
    heads = key("attention.head_count")
    c = {"heads": heads, "kv_heads": key("attention.head_count_kv", heads), "layers": key("block_count"),
         "head_size": key("attention.key_length", key("embedding_length") // heads),
         "epsilon": key("attention.layer_norm_rms_epsilon"), "base": key("rope.freq_base", 10000.0)}
    if key("rope.scaling.type") == "linear":
        c["factors"] = key("rope.scaling.factor")
    tensors = {t.name: gguf.quants.dequantize(t.data, t.tensor_type).astype(np.float32) for t in reader.tensors}
    if "rope_freqs.weight" in tensors:
        c["factors"] = tensors["rope_freqs.weight"].astype(np.float64)
    order = [t.name for t in sorted(reader.tensors, key=lambda t: t.data_offset)]
    return c, tensors, order


def tensor_bytes(model, order):
    """The bytes of each tensor that nibble writes."""
    words = lambda numbers, shift: np.append(np.asarray(numbers, np.int64), shift).astype(np.int32).tobytes()
    outer = {"token_embd": "embedding", "output": "output", "output_norm": "output_norm"}
    for name in order:
        parts = name.split(".")
        if name == "rope_freqs.weight":
            continue
        made = model["layers"][int(parts[1])][parts[2]] if parts[0] == "blk" else model[outer[parts[0]]]
        if isinstance(made, dict):
            yield made["codes"].tobytes()
            yield words(made["multipliers"], made["shift"])
        else:
            yield words(*made)
    yield model["steps"].astype(np.uint32).tobytes()


def main():
    (FIXTURES / "integer").mkdir(exist_ok=True)
    for name in sys.argv[1:] or MODELS:
        c, tensors, order = read(FIXTURES / f"models/{name}.gguf")
        model = im.quantized(c, tensors.get)
        vocabulary = len(tensors["token_embd.weight"])
        tokens = np.random.default_rng(len(name)).integers(0, vocabulary, MODELS[name])
        logits = im.forward(model, tokens)
        hashes = [fnv(data) for data in tensor_bytes(model, order)]
        out = struct.pack("<3I", len(tokens), vocabulary, len(hashes)) + tokens.astype(np.int32).tobytes()
        out += np.array(hashes + [fnv(row.astype(np.int32).tobytes()) for row in logits], np.uint32).tobytes()
        out += logits[-1].astype(np.int32).tobytes()
        (FIXTURES / f"integer/{name}.bin").write_bytes(out)
        print(f"{name}: {len(tokens)} tokens, {len(out)} bytes, {far(c, tensors, tokens, logits):.2e} of the logits' "
              "size from floats")


def far(c, tensors, tokens, logits):
    """The relative difference of integer logits and those of floats: the root of the mean squares."""
    n, size = len(tokens), c["head_size"]
    frequency = c["base"] ** (-np.arange(size // 2) * 2 / size) / c.get("factors", 1.0)
    angle = np.arange(n)[:, None, None] * frequency
    norm = lambda x, g: x / np.sqrt((x * x).mean(-1, keepdims=True) + c["epsilon"]) * g

    def turn(x):
        a, b = x[..., 0::2], x[..., 1::2]
        turned = a * np.cos(angle) - b * np.sin(angle), a * np.sin(angle) + b * np.cos(angle)
        return np.stack(turned, -1).reshape(x.shape)

    w = {k: v.astype(np.float64) for k, v in tensors.items()}
    x = w["token_embd.weight"][tokens]
    for i in range(c["layers"]):
        of = lambda part: w[f"blk.{i}.{part}.weight"]
        h = norm(x, of("attn_norm"))
        q, k, v = ((h @ of(f"attn_{part}").T).reshape(n, -1, size) for part in "qkv")
        q, k = turn(q), turn(k)
        k, v = (np.repeat(y, c["heads"] // c["kv_heads"], axis=1) for y in (k, v))
        s = np.einsum("thd,uhd->htu", q, k) / np.sqrt(size)
        s = np.where(np.tril(np.ones((n, n), bool)), s, -np.inf)
        e = np.exp(s - s.max(-1, keepdims=True))
        mixed = np.einsum("htu,uhd->thd", e / e.sum(-1, keepdims=True), v).reshape(n, -1)
        x = x + mixed @ of("attn_output").T
        h = norm(x, of("ffn_norm"))
        g = h @ of("ffn_gate").T
        x = x + (g / (1 + np.exp(-g)) * (h @ of("ffn_up").T)) @ of("ffn_down").T
    expected = norm(x, w["output_norm.weight"]) @ w.get("output.weight", w["token_embd.weight"]).T
    return np.sqrt(((logits / 2.0**im.FRACTION - expected) ** 2).mean() / (expected**2).mean())


if __name__ == "__main__":
    main()
