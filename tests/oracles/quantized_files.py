#!/usr/bin/env python3
"""Writes tests/fixtures/formats/quantized-files.json: small models quantized by llama.cpp's model_quantize.

    quantized_files.py [--output FILE]

The models are not stored: weights(k, n) and importance(k, n) compute the numbers of tensor k from integers, so that all
are exact in F32 and F16, and tests/js/quantized-files.test.js computes the same. A file is described by its type
(general.file_type) and, for each of the model's tensors, the name of its type and the first 8 digits of the SHA-256 of
its bytes, padded with zeros to 32.

Needs cyllama, gguf and numpy (tests/oracles/requirements.txt).
"""
import argparse
import hashlib
import json
import tempfile
from pathlib import Path

import cyllama.llama.llama_cpp as binding
import gguf
import numpy as np

import gguf_files
from model_quantize import FILE_TYPES, model_quantize
from preset_types import DENSE, EXPERTS, shape_of

T = gguf.GGMLQuantizationType
# name -> architecture, layers, heads, key-value heads, experts, columns, tensors of a layer, tensors beside the layers
MODELS = {
    "dense": ("llama", 3, 4, 4, 0, 256, DENSE, ["token_embd", "output_norm", "output"]),
    "narrow": ("llama", 2, 8, 2, 0, 96, DENSE, ["token_embd", "output_norm"]),
    "experts": ("qwen2moe", 2, 4, 4, 4, 256, EXPERTS + ["ffn_down_shexp"], ["token_embd", "output"]),
}
NEEDY = ["q2_k_s", "iq3_xs", "iq3_xxs", "iq2_m", "iq2_s", "iq2_xs", "iq2_xxs", "iq1_m", "iq1_s"]
LEFT_OUT = ["nvfp4"]  # this llama.cpp does not make it
PLAIN = [name for name in FILE_TYPES if name not in NEEDY + LEFT_OUT]
WEIGHTED = ["q4_0", "q4_1", "q5_0", "q5_1", "q2_k", "q3_k_m", "q4_k_m", "q5_k_m", "q6_k", "iq4_nl", "iq4_xs", "iq3_s",
            "iq3_m", *NEEDY]
# model, preset, with importance, further settings
FILES = [("dense", preset, False, {}) for preset in PLAIN] + [("dense", preset, True, {}) for preset in WEIGHTED] + [
    ("narrow", preset, preset in NEEDY, {})
    for preset in ("q2_k", "q3_k_l", "q4_k_m", "q5_k_s", "q6_k", "q8_0", "iq3_s", "iq2_xxs", "tq1_0")] + [
    ("experts", "q4_k_m", True, {}), ("experts", "iq2_xs", True, {}), ("experts", "mxfp4_moe", False, {}),
    ("experts", "q4_0", True, {}),
    ("dense", "q4_k_m", False, {"tensor_types": [[r"ffn_down", "Q8_0"], [r"blk\.[01]\.attn_[qk]", "IQ4_XS"],
                                                 [r"ffn", "Q3_K"], ["v", "F16"]]}),
    ("dense", "q5_k_m", False, {"output_tensor_type": "Q4_0", "token_embedding_type": "Q3_K"}),
    ("narrow", "q4_0", False, {"output_tensor_type": "Q5_0"}),
    ("dense", "q4_k_m", False, {"source": "q8_0"}),
]


def mix(k, n):
    i = np.arange(n, dtype=np.uint64)
    x = (i * 2654435761 + k * 40503 + 12345) & 0xFFFFFFFF
    x ^= x >> np.uint64(15)
    x = (x * 2246822519) & 0xFFFFFFFF
    return x ^ (x >> np.uint64(13))


def weights(k, n):
    x = mix(k, n)
    total = sum((x >> np.uint64(8 * b)) & np.uint64(255) for b in range(4)).astype(np.int64) - 510
    return (total / 4096).astype(np.float32)


def importance(k, n):
    x = mix(k + 1000, n)
    factor = np.where((x >> np.uint64(8) & np.uint64(255)) < 16, 64, 1)
    return ((1 + (x & np.uint64(255)).astype(np.int64)) * factor / 256).astype(np.float32)


def tensors_of(model):
    """name -> shape, slowest dimension first."""
    _, layers, _, _, experts, columns, own, others = MODELS[model]
    names = others + [f"blk.{layer}.{name}" for layer in range(layers) for name in own]
    return {f"{name}.weight": shape_of(name, columns, experts) for name in names}


def write_model(path, model):
    architecture, layers, heads, kv_heads, experts, columns, *_ = MODELS[model]
    out = gguf.GGUFWriter(path, architecture)
    out.add_context_length(64)
    out.add_embedding_length(columns)
    out.add_block_count(layers)
    out.add_feed_forward_length(columns)
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_layer_norm_rms_eps(1e-5)
    if experts:
        out.add_expert_count(experts)
        out.add_expert_used_count(2)
    gguf_files.add_vocabulary(out, ["<|begin|>", "<|end|>", "a", "b"], [])
    for k, (name, shape) in enumerate(tensors_of(model).items()):
        out.add_tensor(name, weights(k, int(np.prod(shape))).reshape(shape))
    gguf_files.write(out)


def importance_of(model):
    return {name: importance(k, shape[-1] * (shape[0] if len(shape) > 2 else 1))
            for k, (name, shape) in enumerate(tensors_of(model).items()) if len(shape) > 1}


def digest(data):
    """A hash of the bytes with the zeros that follow them in a file."""
    return hashlib.sha256(data + bytes(-len(data) % 32)).hexdigest()[:8]


def quantized(folder, model, preset, has_importance, settings):
    source, target = folder / f"{model}.gguf", folder / "out.gguf"
    if not source.exists():
        write_model(source, model)
    settings = dict(settings)
    before = settings.pop("source", None)
    if before:
        model_quantize(source, folder / "before.gguf", before)
        source, settings["allow_requantize"] = folder / "before.gguf", True
    for key in ("output_tensor_type", "token_embedding_type"):
        if key in settings:
            settings[key] = int(T[settings[key]])
    pairs = [(pattern, T[kind]) for pattern, kind in settings.pop("tensor_types", [])]
    model_quantize(source, target, preset, importance_of(model) if has_importance else None, pairs, **settings)
    reader = gguf.GGUFReader(target)
    made = {t.name: t for t in reader.tensors}
    assert reader.fields["general.quantization_version"].contents() == 2
    return {
        "fileType": int(reader.fields["general.file_type"].contents()),
        "types": " ".join(made[name].tensor_type.name for name in tensors_of(model)),
        "digests": " ".join(digest(made[name].data.tobytes()) for name in tensors_of(model)),
    }


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=Path(__file__).parent.parent / "fixtures/formats/quantized-files.json",
                        type=Path)
    output = parser.parse_args().output
    binding.set_log_callback(lambda *_: None)
    binding.ggml_backend_load_all()
    models = {}
    for name, (architecture, layers, heads, kv_heads, experts, *_) in MODELS.items():
        shapes = {tensor: list(reversed(shape)) for tensor, shape in tensors_of(name).items()}
        models[name] = {"architecture": architecture, "layers": layers, "heads": heads, "kvHeads": kv_heads,
                        "experts": experts,
                        "tensors": shapes}
    files = []
    with tempfile.TemporaryDirectory() as folder:
        for model, preset, has_importance, settings in FILES:
            made = quantized(Path(folder), model, preset, has_importance, settings)
            files.append({"model": model, "preset": preset, "importance": has_importance, **settings, **made})
    lines = [f'"models": {json.dumps(models)}', '"files": [\n' + ",\n".join(map(json.dumps, files)) + "\n]"]
    output.write_text("{\n" + ",\n".join(lines) + "\n}\n")
    print(f"{output}: {len(files)} files, {output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
