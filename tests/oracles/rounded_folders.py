#!/usr/bin/env python3
"""Writes tests/fixtures/quantize/plain-rounded.safetensors: two matrices of tests/fixtures/quantize/plain as
compressed-tensors' own compressor packs them, rounded to nearest.

    rounded_folders.py [OUTPUT]

Scales and zero points are its calculate_qparams() of the extremes of each group or row. Scales are rounded to binary16
before codes are chosen, as in nibble's folders. Tensors are named KIND/MODULE.weight_packed, and so on.

Needs compressed-tensors, torch, transformers and safetensors (tests/oracles/requirements.txt).
"""
import os
import sys

import torch
from compressed_tensors.compressors import ModelCompressor
from compressed_tensors.quantization import QuantizationConfig, apply_quantization_config
from compressed_tensors.quantization.utils import calculate_qparams
from safetensors.torch import save_file
from transformers import AutoModelForCausalLM

GROUPS = {"num_bits": 4, "strategy": "group", "group_size": 32}
KINDS = {  # name: the quantization of weights
    "4-symmetric": GROUPS,
    "4-asymmetric": dict(GROUPS, symmetric=False),
    "8-rows": {"num_bits": 8, "strategy": "channel"},
}
MODULES = ["model.layers.0.self_attn.q_proj", "model.layers.0.mlp.down_proj"]


def calibrate(module):
    arguments = module.quantization_scheme.weights
    groups = module.weight.unflatten(1, (-1, arguments.group_size or module.weight.shape[1]))
    scales, _ = calculate_qparams(groups.amin(2), groups.amax(2), arguments)
    scales = scales.half().float()
    module.weight_scale.data.copy_(scales)
    if hasattr(module, "weight_zero_point"):
        _, zeros = calculate_qparams(groups.amin(2), groups.amax(2), arguments)
        module.weight_zero_point.data.copy_(zeros)


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    fixtures = os.path.join(here, "../fixtures/quantize")
    tensors = {}
    for kind, weights in KINDS.items():
        model = AutoModelForCausalLM.from_pretrained(os.path.join(fixtures, "plain"), dtype=torch.float32)
        apply_quantization_config(
            model, QuantizationConfig(config_groups={"group_0": {"targets": ["Linear"], "weights": weights}},
                                      ignore=["lm_head"]))
        with torch.no_grad():
            for module in model.modules():
                if getattr(getattr(module, "quantization_scheme", None), "weights", None):
                    calibrate(module)
        ModelCompressor.from_pretrained_model(model).compress_model(model)
        state = model.state_dict()
        for name, tensor in state.items():
            module, _, part = name.rpartition(".")
            if module in MODULES and part in ("weight_packed", "weight_scale", "weight_zero_point"):
                tensors[f"{kind}/{name}"] = (tensor.half() if part == "weight_scale" else tensor).contiguous()
    for name, tensor in tensors.items():
        print(name, tensor.dtype, list(tensor.shape))
    save_file(tensors, sys.argv[1] if len(sys.argv) > 1 else os.path.join(fixtures, "plain-rounded.safetensors"))


if __name__ == "__main__":
    main()
