#!/usr/bin/env python3
"""Writes LoRA adapters with random weights for a small model, and the model's logits with them.

    adapters.py [OUTPUT = tests/fixtures/adapters]

The model is tests/fixtures/safetensors/llama-sharded. Writes two folders by PEFT's save_pretrained, the same adapters
as GGUF files, and NAME.json with NAME.bin (layout: logits_vectors.py): PEFT's logits of 16 random tokens, in F32.

    one     F32, rank 4, of k_proj 2 (rank_pattern), all matrices and the output
    two     BF16, rank 8, rslora, three of the matrices
    both    half of the first, and three times the second

The GGUF files are what llama.cpp's convert_lora_to_gguf.py makes of the folders: the names are gguf's, and the rows of
lora_b of q and k are permuted as those of the matrices (LlamaModel.permute). Its factor is alpha / rank, so the alpha
of an rslora adapter is alpha * sqrt(rank).
"""
import json
import math
import os
import shutil
import sys

import gguf
import peft
import safetensors.torch
import torch
import transformers

from logits_vectors import write_vectors

HERE = os.path.dirname(os.path.abspath(__file__))
BASE = os.path.join(HERE, "../fixtures/safetensors/llama-sharded")
TOKENS, SEED = 16, 17
ADAPTERS = {
    "one": (torch.float32, dict(r=4, lora_alpha=6, rank_pattern={"k_proj": 2}, target_modules=[
        "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj", "lm_head"])),
    "two": (torch.bfloat16, dict(r=8, lora_alpha=4, use_rslora=True,
                                 target_modules=["q_proj", "v_proj", "down_proj"])),
}
RUNS = {"one": {"one": 1.0}, "two": {"two": 1.0}, "both": {"one": 0.5, "two": 3.0}}


def fill(model, name, kind, generator):
    """Random weights; those of B are 0 in a new adapter. They are such that both matter as much as the model's."""
    with torch.no_grad():
        for key, p in model.named_parameters():
            if f".lora_A.{name}." in key or f".lora_B.{name}." in key:
                p.copy_((torch.randn(p.shape, generator=generator) * p.shape[1] ** -0.5 * 0.7).to(kind).float())


def permute(b, heads):
    """LlamaModel.permute of llama.cpp's convert_hf_to_gguf.py."""
    rows, rank = b.shape
    return b.reshape(heads, 2, rows // heads // 2, rank).swapaxes(1, 2).reshape(rows, rank)


def write_gguf(folder, path, config):
    with open(os.path.join(folder, "adapter_config.json"), encoding="utf-8") as f:
        options = json.load(f)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.LLAMA, config.num_hidden_layers)
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_type(gguf.GGUFType.ADAPTER)
    writer.add_string(gguf.Keys.Adapter.TYPE, "lora")
    alpha = options["lora_alpha"] * (math.sqrt(options["r"]) if options["use_rslora"] else 1)
    writer.add_float32(gguf.Keys.Adapter.LORA_ALPHA, alpha)
    for key, tensor in safetensors.torch.load_file(os.path.join(folder, "adapter_model.safetensors")).items():
        module, half = key.removeprefix("base_model.model.").removesuffix(".weight").rsplit(".lora_", 1)
        name = names.get_name(module + ".weight", try_suffixes=(".weight",))
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}.get(module.split(".")[-1])
        if heads and half == "B":
            tensor = permute(tensor, heads)
        writer.add_tensor(f"{name}.lora_{half.lower()}", tensor.float().contiguous().numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def main(output):
    shutil.rmtree(output, ignore_errors=True)
    os.makedirs(output)
    base = transformers.AutoModelForCausalLM.from_pretrained(BASE, dtype=torch.float32,
                                                             attn_implementation="eager").eval()
    generator = torch.Generator().manual_seed(SEED)
    model = None
    for name, (kind, options) in ADAPTERS.items():
        options = peft.LoraConfig(task_type="CAUSAL_LM", **options)
        if model is None:
            model = peft.get_peft_model(base, options, adapter_name=name, autocast_adapter_dtype=False)
        else:
            model.add_adapter(name, options, autocast_adapter_dtype=False)
        fill(model, name, kind, generator)
    model.eval()
    for name, (kind, _) in ADAPTERS.items():
        model.save_pretrained(output, selected_adapters=[name], save_embedding_layers=False)
        folder = os.path.join(output, name)
        path = os.path.join(folder, "adapter_model.safetensors")
        held = {k: v.to(kind) for k, v in safetensors.torch.load_file(path).items()}
        safetensors.torch.save_file(held, path, {"format": "pt"})
        config = os.path.join(folder, "adapter_config.json")
        with open(config, encoding="utf-8") as f:
            values = json.load(f)
        values["base_model_name_or_path"] = "llama-sharded"  # it was a path of this computer
        values["target_modules"] = sorted(values["target_modules"])  # a set, which has no order
        with open(config, "w", encoding="utf-8") as f:
            json.dump(values, f, indent=2)
        write_gguf(folder, os.path.join(output, name + ".gguf"), base.config)
    os.remove(os.path.join(output, "README.md"))
    tokens = torch.randint(0, base.config.vocab_size, (TOKENS,), generator=generator)
    layers = [m for m in model.modules() if isinstance(m, peft.tuners.lora.LoraLayer)]
    own = [dict(m.scaling) for m in layers]
    for run, scales in RUNS.items():
        model.base_model.set_adapter(list(scales))
        for layer, scaling in zip(layers, own):
            for name, scale in scales.items():
                if name in scaling:
                    layer.scaling[name] = scale * scaling[name]
        with torch.no_grad():
            logits = model(tokens[None]).logits[0].numpy()
        write_vectors(os.path.join(output, run + ".json"), "llama-sharded", tokens.tolist(), logits,
                      by=f"peft {peft.__version__}, F32")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "../fixtures/adapters"))
