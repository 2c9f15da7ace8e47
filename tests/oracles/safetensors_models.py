#!/usr/bin/env python3
"""Writes small models with random weights as Hugging Face folders, and their logits.

    safetensors_models.py [OUTPUT = tests/fixtures/safetensors]

Writes the folders OUTPUT/NAME by transformers' save_pretrained, and NAME.json with NAME.bin: logits of 40 random tokens
(layout: logits_vectors.py) by transformers in F32, with the folder's weights. Also float8.bin: F32[256], the values of
all bytes as F8_E4M3, then as F8_E5M2, by torch; and split/, a file of random_models.py in parts, by gguf's writer.
"""
import json
import os
import shutil
import sys

import gguf
import numpy as np
import safetensors.torch
import torch
import transformers

import gguf_files
from logits_vectors import write_vectors
from random_models import GEMMA, MERGES, SMALL, TOKENS, VOCABULARY, random_model, rope

TINY = dict(SMALL, num_hidden_layers=1)
# name: (hyper-parameters as in random_models.py, type of the weights, largest shard)
MODELS = {
    "llama-f32": (TINY, torch.float32, None),
    "llama-sharded": (dict(SMALL, tie_word_embeddings=False, attention_bias=True, mlp_bias=True), torch.float16,
                      "20KB"),
    "llama-3": (dict(TINY, head_dim=24, rope_parameters=rope(
        "llama3", factor=8.0, low_freq_factor=1.0, high_freq_factor=4.0, original_max_position_embeddings=32)),
        torch.bfloat16, None),
    "llama-yarn": (dict(TINY, rope_parameters=rope("yarn", factor=4.0, original_max_position_embeddings=32)),
                   torch.float16, None),
    "llama-e4m3": (TINY, torch.float8_e4m3fn, None),
    "llama-e5m2": (TINY, torch.float8_e5m2, None),
    "mistral": (dict(SMALL, sliding_window=12), torch.bfloat16, None),
    "gemma3": (dict(GEMMA, intermediate_size=16, num_hidden_layers=7, sliding_window_pattern=6,
                    query_pre_attn_scalar=17,
                    rope_parameters={
        "full_attention": dict(rope("linear", factor=8.0), rope_theta=200000.0),
        "sliding_attention": dict(rope("default"), rope_theta=50.0)}), torch.bfloat16, None),
}


def tokenizer():
    """A tokenizer like GPT-2's, with the vocabulary of random_models.py."""
    specials = [t for t in VOCABULARY if t.startswith("<|")]
    return {"version": "1.0", "added_tokens": [{"id": i, "content": t, "special": True}
                                               for i, t in enumerate(specials)],
            "normalizer": None, "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
            "post_processor": None, "decoder": {"type": "ByteLevel"},
            "model": {"type": "BPE", "vocab": {t: i for i, t in enumerate(VOCABULARY)}, "merges": MERGES}}


def write_tokenizer(folder):
    with open(os.path.join(folder, "tokenizer.json"), "w") as f:
        json.dump(tokenizer(), f)
    with open(os.path.join(folder, "tokenizer_config.json"), "w") as f:
        json.dump({"bos_token": "<|begin|>", "eos_token": {"content": "<|end|>"}, "add_bos_token": True,
                   "chat_template": "{{ messages[0].content }}"}, f)


def write_model(folder, model, kind, shard):
    """Writes the folder; returns the model with its weights. (to() and back would round RoPE's frequencies.)"""
    shutil.rmtree(folder, ignore_errors=True)
    if kind.itemsize > 1:
        more = {"max_shard_size": shard} if shard else {}
        model.to(kind).save_pretrained(folder, **more)
        model = type(model).from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    else:  # transformers has no models of these types, so only the matrices have them
        model.save_pretrained(folder)
        held = {n: p.detach().to(kind) if p.dim() == 2 else p.detach() for n, p in model.named_parameters()}
        safetensors.torch.save_file(held, os.path.join(folder, "model.safetensors"), {"format": "pt"})
        with torch.no_grad():
            for n, p in model.named_parameters():
                p.copy_(held[n].float())
    write_tokenizer(folder)
    return model


def write_model_logits(path, model, seed):
    """Writes PATH and the .bin beside it: the model's logits of random tokens."""
    tokens = np.random.default_rng(seed).integers(2, len(VOCABULARY), TOKENS).tolist()
    with torch.no_grad():
        logits = model(torch.tensor([tokens])).logits[0].numpy()
    write_vectors(path, "config.json", tokens, logits, "transformers, F32")


def write_logits(output, name, model, seed):
    """Writes OUTPUT/NAME.json and NAME.bin for the folder OUTPUT/NAME."""
    write_model_logits(os.path.join(output, name + ".json"), model, seed)
    folder = os.path.join(output, name)
    print(f"{name}: {sum(e.stat().st_size for e in os.scandir(folder))} bytes, {len(os.listdir(folder))} files")


def write_float8(path):
    codes = torch.arange(256, dtype=torch.uint8)
    values = [codes.view(kind).float().numpy() for kind in (torch.float8_e4m3fn, torch.float8_e5m2)]
    np.concatenate(values).tofile(path)


def write_split(folder, path):
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    reader = gguf.GGUFReader(path)
    out = gguf.GGUFWriter(os.path.join(folder, os.path.basename(path)), "llama", split_max_tensors=9)
    gguf_files.copy_keys(reader, out)
    gguf_files.copy_tensors(reader, out)
    gguf_files.write(out)
    print(f"{folder}: {len(os.listdir(folder))} parts")


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/safetensors")
    os.makedirs(output, exist_ok=True)
    write_float8(os.path.join(output, "float8.bin"))
    write_split(os.path.join(output, "split"), os.path.join(output, "../models/one-kv-head.gguf"))
    for seed, (name, (options, kind, shard)) in enumerate(MODELS.items(), 101):
        folder = os.path.join(output, name)
        model = random_model(name, options, seed)
        model = write_model(folder, model, kind, shard)
        write_logits(output, name, model, seed)


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
