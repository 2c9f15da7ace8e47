#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_folder: folder_seeds.py FOLDER

A Llama of a few weights, its tokenizers in both kinds, and harm to each; and the small folders of tests/fixtures.
Only the standard library is needed.
"""
import json
import struct
import sys
from pathlib import Path

CONFIG = {"model_type": "llama", "hidden_size": 4, "intermediate_size": 4, "num_hidden_layers": 1, "num_attention_heads": 1,
          "num_key_value_heads": 1, "max_position_embeddings": 8, "hidden_act": "silu", "rms_norm_eps": 1e-5,
          "rope_parameters": {"rope_type": "llama3", "rope_theta": 1e4, "factor": 2.0, "low_freq_factor": 1.0,
                              "high_freq_factor": 4.0, "original_max_position_embeddings": 4}, "eos_token_id": [1, 2]}
NAMES = [f"model.layers.0.{n}.weight" for n in (
    "self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj")]
NORMS = ["model.norm.weight", "model.layers.0.input_layernorm.weight", "model.layers.0.post_attention_layernorm.weight"]
BYTES = {"version": "1.0", "added_tokens": [{"id": 3, "content": "<s>", "special": True}],
         "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False},
         "post_processor": {"type": "TemplateProcessing", "single": [{"SpecialToken": {"id": "<s>"}}, {"Sequence": {"id": "A"}}]},
         "model": {"type": "BPE", "vocab": {"a": 0, "b": 1, "ab": 2}, "merges": ["a b"]}}
PIECES = {"normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}]},
          "model": {"type": "BPE", "byte_fallback": True, "unk_token": "<unk>", "vocab": {"<unk>": 0, "<0x61>": 1, "▁a": 2, "▁": 3, "a": 4},
                    "merges": [["▁", "a"]]}}
KINDS = {"config.json": 0, "tokenizer.json": 1, "tokenizer_config.json": 2, "generation_config.json": 3, "chat_template.jinja": 4,
         "1_Pooling/config.json": 5, "modules.json": 6, "config_sentence_transformers.json": 7, "sentence_bert_config.json": 8,
         "2_Dense/config.json": 9, "model.safetensors": 10, "2_Dense/model.safetensors": 11}


def safetensors(kind, size, names, norms=()):
    tensors, at = {}, 0
    for name in [*names, *norms]:
        shape = [4] if name in norms else [5, 4] if "embed" in name else [4, 4]
        n = size * (4 if name in norms else shape[0] * shape[1])
        tensors[name] = {"dtype": kind, "shape": shape, "data_offsets": [at, at + n]}
        at += n
    header = json.dumps(tensors).encode()
    return struct.pack("<Q", len(header)) + header + bytes(at)


def seed(**files):
    out = b""
    for name, data in files.items():
        data = data if isinstance(data, bytes) else json.dumps(data).encode()
        out += struct.pack("<BH", KINDS[name.replace("__", ".").rstrip("0")], len(data)) + data
    return out


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    embedding = ["model.embed_tokens.weight"]
    whole = safetensors("BF16", 2, embedding + NAMES, NORMS)
    shards = {"model__safetensors": safetensors("F8_E4M3", 1, embedding + NAMES), "model__safetensors0": safetensors("F32", 4, [], NORMS)}
    config = {"config__json": CONFIG}
    seeds = {
        "whole": seed(**config, tokenizer__json=BYTES, tokenizer_config__json={"bos_token": "<s>", "eos_token": {"content": "b"}},
                      generation_config__json={"eos_token_id": 1}, chat_template__jinja=b"{{ x }}", model__safetensors=whole),
        "shards": seed(**config, tokenizer__json=PIECES, **shards),
        "bare": seed(**config, model__safetensors=whole),
        "gemma": seed(config__json={"text_config": {**CONFIG, "model_type": "gemma3_text", "hidden_act": None, "layer_types": [
            "sliding_attention", "full_attention"]}}, model__safetensors=whole),
    }
    for path in Path(__file__).parent.parent.glob("fixtures/safetensors/*/model.safetensors"):
        files = {name: path.parent / name for name in KINDS if "token" not in name}
        if path.stat().st_size < 1 << 16:
            seeds[path.parent.name] = seed(**{name.replace(".", "__"): file.read_bytes() for name, file in files.items() if file.exists()})
    sentences = Path(__file__).parent.parent / "fixtures/sentence"
    for beside in ("labse", "prompts", "several", "old-several", "longest"):
        base = sentences / json.loads((sentences / "cases.json").read_text())[beside]["base"]
        found = {name: next((f / name for f in (sentences / beside, base) if (f / name).exists()), None) for name in KINDS}
        seeds["sentence-" + beside] = seed(**{name.replace(".", "__"): file.read_bytes() for name, file in found.items() if file})
    for name, data in seeds.items():
        for first in (0, 3):
            for flags in (0, 1, 2, 4 << 2 | 2, 64, 64 | 5 << 2):
                (folder / f"{name}-{first}-{flags}").write_bytes(bytes([first, flags]) + data)


if __name__ == "__main__":
    main()
