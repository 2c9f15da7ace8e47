#!/usr/bin/env python3
"""Writes tests/fixtures/formats/presets.bin: the types that llama.cpp's model_quantize chooses for tensors.

    preset_types.py [--output FILE]

The models have the keys that it needs and the tensors' names, with a few rows of zeros. Each is quantized twice:
without an importance matrix, and with one of ones.

The file, little-endian; a text is u32 bytes and those, padded to 4. u32 presets, a text for each; u32 models. A model:
text architecture; u32 layers, heads, key-value heads, experts, whether its output is its token embedding, tensors. A
tensor: text name; u32 dimensions, columns; u8 [presets] types without importance, u8 [presets] types with it, padded to
4 together; 255 if model_quantize reports an error: for rows that are not whole blocks, and if it needs importance.

Needs cyllama, gguf and numpy (tests/oracles/requirements.txt).
"""
import argparse
import struct
import tempfile
from pathlib import Path

import cyllama.llama.llama_cpp as binding
import gguf
import numpy as np

import gguf_files
import model_quantize

FILE_TYPES = [name for name in model_quantize.FILE_TYPES if name != "nvfp4"]  # which this llama.cpp does not make
REFUSED = 255
DENSE = ["attn_norm", "attn_q", "attn_k", "attn_v", "attn_output", "ffn_norm", "ffn_gate", "ffn_up", "ffn_down"]
MERGED = ["attn_qkv", "attn_output", "ffn_up", "ffn_down"]
EXPERTS = ["attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate_inp", "ffn_gate_exps", "ffn_up_exps", "ffn_down_exps"]
# architecture, layers, heads, key-value heads, experts, columns, tensors of a layer, tensors beside the layers
MODELS = [
    ("llama", 16, 8, 2, 0, 256, DENSE, ["token_embd", "output", "output_norm"]),
    ("llama", 8, 4, 4, 0, 64, DENSE, ["token_embd"]),
    ("llama", 8, 4, 4, 0, 256, ["attn_v", "ffn_down"], ["token_embd"]),
    ("llama", 3, 4, 2, 0, 100, ["attn_v", "ffn_down"], ["token_embd"]),
    ("llama", 80, 16, 2, 0, 256, ["attn_v"], ["token_embd", "output"]),
    ("llama", 8, 8, 2, 8, 256, EXPERTS, ["token_embd", "output"]),
    ("qwen2moe", 8, 8, 4, 4, 256, EXPERTS + ["ffn_down_shexp", "ffn_gate_inp_shexp"], ["token_embd", "output"]),
    ("falcon", 16, 8, 1, 0, 256, MERGED, ["token_embd", "output"]),
    ("gpt2", 8, 4, 4, 0, 256, MERGED, ["token_embd", "position_embd"]),
    ("llama", 16, 4, 4, 0, 256, DENSE, ["token_embd", "output"]),
    ("bert", 4, 4, 4, 0, 256, ["attn_v", "ffn_down"], ["token_embd", "position_embd", "token_types"]),
]


def shape_of(name, columns, experts):
    if "norm" in name or name.endswith("inp_shexp"):
        return (columns,)
    return (experts, 2, columns) if name.endswith("exps") else (2, columns)


def write_model(path, architecture, layers, heads, kv_heads, experts, columns, own, others):
    out = gguf.GGUFWriter(path, architecture)
    out.add_vocab_size(8)
    out.add_context_length(64)
    out.add_embedding_length(columns)
    out.add_block_count(layers)
    out.add_feed_forward_length(columns)
    out.add_head_count(heads)
    out.add_head_count_kv(kv_heads)
    out.add_layer_norm_rms_eps(1e-5)
    out.add_layer_norm_eps(1e-5)
    out.add_causal_attention(architecture != "bert")
    if experts:
        out.add_expert_count(experts)
        out.add_expert_used_count(2)
    gguf_files.add_vocabulary(out, ["<|begin|>", "<|end|>", "a", "b"], [])
    names = others + [f"blk.{layer}.{name}" for layer in range(layers) for name in own]
    for name in names:
        out.add_tensor(name + ".weight", np.zeros(shape_of(name, columns, experts), np.float32))
    gguf_files.write(out)


def importance_of(tensors):
    """Ones: a number for each column, or for each column of each of the stacked experts."""
    return {t.name: np.ones(int(t.shape[0]) * (int(t.shape[2]) if len(t.shape) > 2 else 1), np.float32)
            for t in tensors if len(t.shape) > 1}


def types_of(path, preset, importance):
    """name -> type; None if it reports an error."""
    with tempfile.NamedTemporaryFile() as out:
        try:
            model_quantize.model_quantize(path, out.name, preset, importance)
        except RuntimeError:
            return None
        return {t.name: int(t.tensor_type) for t in gguf.GGUFReader(out.name).tensors}


def text(value):
    raw = value.encode()
    return struct.pack("<I", len(raw)) + raw + bytes(-len(raw) % 4)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=Path(__file__).parent.parent / "fixtures/formats/presets.bin", type=Path)
    output = parser.parse_args().output
    binding.set_log_callback(lambda *_: None)
    binding.ggml_backend_load_all()
    data = struct.pack("<I", len(FILE_TYPES)) + b"".join(map(text, FILE_TYPES)) + struct.pack("<I", len(MODELS))
    for model in MODELS:
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / "model.gguf"
            write_model(path, *model)
            tensors = gguf.GGUFReader(path).tensors
            plain = {t.name: (len(t.shape), int(t.shape[0])) for t in tensors}
            chosen = [types_of(path, preset, importance)
                      for importance in (None, importance_of(tensors)) for preset in FILE_TYPES]
        architecture, layers, heads, kv_heads, experts, *_, others = model
        data += text(architecture)
        data += struct.pack("<IIIIII", layers, heads, kv_heads, experts, "output" not in others, len(plain))
        for name, (dimensions, columns) in plain.items():
            types = bytes(types[name] if types else REFUSED for types in chosen)
            data += text(name) + struct.pack("<II", dimensions, columns) + types + bytes(-len(types) % 4)
    output.write_bytes(data)
    print(f"{output}: {len(data)} bytes")


if __name__ == "__main__":
    main()
