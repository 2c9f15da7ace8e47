#!/usr/bin/env python3
"""Writes small models of several families, quantized by other libraries, as Hugging Face folders, and their logits.

    quantized_families.py [OUTPUT = tests/fixtures/safetensors] [NAME ...]

The models of FOLDERS get random weights. GPTQModel or AutoAWQ packs each of their matrices (quantized_folders.py), or
bitsandbytes' quantize_4bit quantizes it; experts are included. The reference is transformers in F32 with the weights
that these libraries unpack. GPT-2's Conv1D matrices are transposed before that, as the libraries that write GPTQ do.
"""
import os
import re
import shutil
import sys
import tempfile

import bitsandbytes
import numpy as np
import safetensors.torch
import torch
import transformers

import family_models
import quantized_folders
from family_folders import earlier, of_model, read, rewrite, write_tokenizer
from family_models import TOKENS, VOCABULARY
from logits_vectors import write_vectors

SIZES = dict(vocab_size=len(VOCABULARY), hidden_size=64, intermediate_size=96, num_hidden_layers=1,
             num_attention_heads=4, num_key_value_heads=2, max_position_embeddings=128)
GPTQ = dict(quant_method="gptq", bits=4, group_size=32, sym=True, desc_act=False)
AWQ = dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm")
NF4 = dict(quant_method="bitsandbytes", load_in_4bit=True, bnb_4bit_quant_type="nf4", bnb_4bit_use_double_quant=True)
EXPERTS = dict(num_experts=3, num_experts_per_tok=2, moe_intermediate_size=64, shared_expert_intermediate_size=128)
# name: (class, hyper-parameters, quantization_config)
FOLDERS = {
    "gptq-mixtral": ("Mixtral", dict(SIZES, num_local_experts=4, num_experts_per_tok=2), GPTQ),
    "gptq-phi3": ("Phi3", SIZES, GPTQ),
    "gptq-gpt2": ("GPT2", dict(vocab_size=len(VOCABULARY), n_embd=64, n_layer=1, n_head=4, n_positions=64,
                               activation_function="gelu_new"), GPTQ),
    "awq-qwen2": ("Qwen2", SIZES, AWQ),
    "awq-gemma2": ("Gemma2", dict(SIZES, head_dim=32, sliding_window=11, query_pre_attn_scalar=24,
                                   final_logit_softcapping=4.0), AWQ),
    "bnb-nf4-qwen2-moe": ("Qwen2Moe", dict(SIZES, intermediate_size=64, **EXPERTS), NF4),
    "bnb-nf4-gemma": ("Gemma", dict(SIZES, head_dim=32, intermediate_size=128), NF4),
}
# tensors that are not quantized: embeddings, the output, routers
KEPT = re.compile(r"embed|lm_head|wte|wpe|mlp\.gate\.|block_sparse_moe\.gate\.|shared_expert_gate")


def nf4(weight):
    packed, state = bitsandbytes.functional.quantize_4bit(weight, quant_type="nf4", compress_statistics=True)
    parts = {"weight": packed} | {f"weight.{key}": t for key, t in state.as_dict(packed=True).items()}
    return bitsandbytes.functional.dequantize_4bit(packed, state).float(), parts


def quantized(name, weight, config):
    """The unpacked weight, and the tensors that replace it."""
    if config["quant_method"] == "bitsandbytes":
        return nf4(weight)
    linear = torch.nn.Linear(weight.shape[1], weight.shape[0], bias=False)
    with torch.no_grad():
        linear.weight.copy_(weight)
        pack = quantized_folders.awq if config["quant_method"] == "awq" else quantized_folders.gptq
        return pack(linear, name, config)


def write_folder(folder, model, config):
    """Writes the folder; returns the model with the dequantized weights, in F32."""
    shutil.rmtree(folder, ignore_errors=True)
    model.to(torch.float16).save_pretrained(folder)
    path = os.path.join(folder, "model.safetensors")
    tensors, exact = {}, {}
    for name, t in safetensors.torch.load_file(path).items():
        module, _, leaf = name.rpartition(".")
        exact[name], tensors[name] = t.float(), t
        if t.dim() != 2 or KEPT.search(name):
            continue
        turned = model.config.model_type == "gpt2"
        weight, parts = quantized(module, (t.T if turned else t).float(), config)
        exact[name] = weight.T if turned else weight
        del tensors[name]
        tensors |= {f"{module}.{part}": t.contiguous() for part, t in parts.items()}
    with tempfile.TemporaryDirectory() as plain:
        shutil.copy(os.path.join(folder, "config.json"), plain)
        safetensors.torch.save_file({n: t.contiguous() for n, t in exact.items()},
                                    os.path.join(plain, "model.safetensors"), {"format": "pt"})
        held = read(plain, type(model))
    safetensors.torch.save_file(tensors, path, {"format": "pt"})
    rewrite(folder, lambda values, tensors: (dict(earlier(values), quantization_config=config), tensors))
    write_tokenizer(folder)
    return held


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/safetensors")
    output = sys.argv[1] if len(sys.argv) > 1 else own
    for seed, (name, (kind, values, config)) in enumerate(FOLDERS.items(), 4001):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        folder = os.path.join(output, name)
        held = write_folder(folder, family_models.random_model(kind, values, seed), config)
        tokens = np.random.default_rng(seed).integers(2, len(VOCABULARY), TOKENS).tolist()
        logits = of_model(held, tokens)
        write_vectors(os.path.join(output, name + ".json"), "config.json", tokens, logits, "transformers, F32")
        size = sum(e.stat().st_size for e in os.scandir(folder))
        print(f"{name}: {size} bytes, the largest logit is {np.abs(logits).max():.2f}", flush=True)


if __name__ == "__main__":
    main()
