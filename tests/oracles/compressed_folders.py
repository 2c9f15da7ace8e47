#!/usr/bin/env python3
"""Small Llamas quantized by compressed-tensors, as Hugging Face folders, and their logits.

    compressed_folders.py [OUTPUT = tests/fixtures/safetensors] [NAME ...]

Weights are rounded to the nearest code between their extremes. compressed-tensors itself packs them, writes its
quantization_config, and unpacks them for the reference, the logits of transformers in F32 (files as from
safetensors_models.py). When such a model is used, the weights are rounded to the type of their scales, and activations
to 8 bits if the configuration says so; the reference does neither.
"""
import os
import shutil
import sys

import torch
from compressed_tensors.compressors import BaseCompressor, ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
from compressed_tensors.quantization.utils import calculate_qparams

from random_models import BASE, random_model
from safetensors_models import write_logits, write_tokenizer

LLAMA = dict(BASE, num_hidden_layers=1)
SMALL = dict(LLAMA, intermediate_size=64)
ROWS = {"num_bits": 8, "strategy": "channel"}
GROUPS = {"num_bits": 4, "strategy": "group", "group_size": 32}
TOKENS = {"num_bits": 8, "strategy": "token", "dynamic": True}
STATIC = {"num_bits": 8, "strategy": "tensor", "dynamic": False, "symmetric": False}
CACHE = {"num_bits": 8, "type": "float", "strategy": "tensor", "dynamic": False, "symmetric": True}
# name: (hyper-parameters, type before, groups of layers and the quantization of each, what is left out)
FOLDERS = {
    "ct-packed-4-bits": (LLAMA, torch.bfloat16, [(["Linear"], {"weights": GROUPS})], ["lm_head"]),
    "ct-packed-4-bits-zeros": (
        dict(LLAMA, hidden_size=32, tie_word_embeddings=False), torch.float16,
        [(["Linear"], {"weights": dict(GROUPS, symmetric=False)})],
        ["lm_head", "re:.*up_proj", "model.layers.0.self_attn.v_proj"]),
    "ct-packed-8-bits": (SMALL, torch.float16, [(["Linear"], {"weights": ROWS})], ["lm_head"]),
    "ct-packed-4-and-8-bits": (
        SMALL, torch.bfloat16,
        [(["re:.*self_attn.[qk]_proj$", "re:.*down_proj$"], {"weights": dict(ROWS, symmetric=False)}),
         (["re:.*self_attn.[vo]_proj$", "re:.*gate_proj$", "re:.*up_proj$"], {"weights": dict(GROUPS, group_size=64)})],
        ["lm_head"]),
    "ct-int8": (SMALL, torch.bfloat16, [(["Linear"], {"weights": ROWS, "input_activations": TOKENS})], ["lm_head"]),
    "ct-int8-zeros": (
        dict(SMALL, attention_bias=True), torch.float16,
        [(["Linear"], {"weights": dict(ROWS, symmetric=False), "input_activations": TOKENS})], ["lm_head"]),
    # input_scale, output_scale, and k_scale and v_scale of a cache
    "ct-int8-static": (
        SMALL, torch.float16,
        [(["Linear"], {"weights": ROWS, "input_activations": STATIC, "output_activations": STATIC})], ["lm_head"],
        CACHE),
    "ct-int8-tensor": (SMALL, torch.float16, [(["Linear"], {"weights": {"num_bits": 8, "strategy": "tensor"}})],
                       ["lm_head"]),
}


def calibrate(module):
    """Sets scales and zero points from the extremes of each row or group."""
    arguments = module.quantization_scheme.weights
    if arguments.strategy == "tensor":
        module.weight_scale.data.copy_(calculate_qparams(module.weight.amin(), module.weight.amax(), arguments)[0])
        return
    groups = module.weight.unflatten(1, (-1, arguments.group_size or module.weight.shape[1]))
    scales, zeros = calculate_qparams(groups.amin(2), groups.amax(2), arguments)
    module.weight_scale.data.copy_(scales)
    if hasattr(module, "weight_zero_point"):
        module.weight_zero_point.data.copy_(zeros)


def write_model(folder, model, kind, groups, ignore, cache=None):
    """Writes the folder; returns the model with the weights that it holds."""
    shutil.rmtree(folder, ignore_errors=True)
    inverse_frequencies = model.model.rotary_emb.inv_freq.clone()
    model.to(kind)
    groups = {f"group_{i}": dict(scheme, targets=targets) for i, (targets, scheme) in enumerate(groups)}
    apply_quantization_config(model, QuantizationConfig(config_groups=groups, ignore=ignore, kv_cache_scheme=cache))
    quantized = {n: m for n, m in model.named_modules()
                 if getattr(getattr(m, "quantization_scheme", None), "weights", None)}
    with torch.no_grad():
        for module in quantized.values():
            calibrate(module)
    compressor = ModelCompressor.from_pretrained_model(model)
    compressor.compress_model(model)
    model.save_pretrained(folder)
    compressor.update_config(folder)
    write_tokenizer(folder)
    exact = type(model)(model.config).eval()
    held = {n: p.float() for n, p in model.state_dict().items() if n in exact.state_dict()}
    for name, module in quantized.items():
        parts = dict(module.state_dict())
        parts["weight_scale"] = parts["weight_scale"].float()  # so that products are F32
        form = BaseCompressor.get_value_from_registry(module.quantization_scheme.format)
        held[name + ".weight"] = form.decompress(parts, module.quantization_scheme)["weight"]
        assert held[name + ".weight"].dtype == torch.float32
    exact.load_state_dict(held)
    exact.model.rotary_emb.inv_freq = inverse_frequencies
    return exact


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/safetensors")
    for seed, (name, (hyper, kind, *rest)) in enumerate(FOLDERS.items(), 401):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        model = random_model(name, hyper, seed)
        write_logits(output, name, write_model(os.path.join(output, name), model, kind, *rest), seed)


if __name__ == "__main__":
    main()
