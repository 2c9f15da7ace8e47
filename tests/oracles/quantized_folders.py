#!/usr/bin/env python3
"""Writes small Llamas quantized in the layouts of GPTQ and AWQ, as Hugging Face folders, and their logits.

    quantized_folders.py [OUTPUT = tests/fixtures/safetensors] [NAME ...]

Weights are rounded to the nearest code. GPTQModel and AutoAWQ pack them, and unpack them for the reference: logits by
transformers in F32 (files as safetensors_models.py writes them). Needs requirements-gptq.txt as well as
requirements.txt.
"""
import importlib
import json
import os
import shutil
import sys
import types
import zlib

os.cpu_count = lambda: 8  # gptqmodel expects several

import safetensors.torch
import torch

from random_models import BASE, random_model
from safetensors_models import write_logits, write_tokenizer

CONFIG = dict(BASE, num_hidden_layers=1)
# name: quantization_config
FOLDERS = {
    "gptq": dict(quant_method="gptq", bits=4, group_size=32, sym=True, desc_act=False),
    "gptq-zeros": dict(quant_method="gptq", bits=4, group_size=32, sym=False, desc_act=False,
                       checkpoint_format="gptq_v2"),
    "gptq-one-group": dict(quant_method="gptq", bits=4, group_size=-1, sym=False, desc_act=False,
                           checkpoint_format="gptq"),
    "gptq-8-bits": dict(quant_method="gptq", bits=8, group_size=32, sym=True, desc_act=False),
    "gptq-3-bits": dict(quant_method="gptq", bits=3, group_size=32, sym=True, desc_act=False,
                        checkpoint_format="gptq_v2"),
    "gptq-2-bits": dict(quant_method="gptq", bits=2, group_size=32, sym=False, desc_act=False,
                        checkpoint_format="gptq_v2"),
    "awq": dict(quant_method="awq", bits=4, group_size=32, zero_point=True, version="gemm"),
    # columns grouped by their importance, in one order for matrices with the same inputs; and each matrix in its own
    # order
    "gptq-desc-act": dict(quant_method="gptq", bits=4, group_size=32, sym=True, desc_act=True),
    "gptq-desc-act-zeros": dict(quant_method="gptq", bits=4, group_size=32, sym=False, desc_act=True,
                                checkpoint_format="gptq_v2"),
    # modules that GPTQModel leaves unchanged, and others with different bits, groups, zeros and orders
    "gptq-dynamic": dict(quant_method="gptq", bits=4, group_size=32, sym=True, desc_act=False,
                         checkpoint_format="gptq_v2", dynamic={
        r"-:.*\.k_proj": {}, r"+:.*\.(q|o)_proj$": {"bits": 8, "group_size": -1},
        r".*\.mlp\.up_": {"bits": 2, "sym": False},
        r"+:model\.layers\.0\.mlp\.gate_proj": {"desc_act": True}, r"-:.*gate_proj": {}}),
}


def rounded(weight, bits, group, symmetric):
    """Scales and zeros [rows, groups] (GPTQ, section 3; zeros at least 1, which the first format needs)."""
    rows, columns = weight.shape
    w = weight.reshape(rows, -1, columns if group < 0 else group)
    most = 2**bits - 1
    low, high = w.amin(2).clamp(max=0), w.amax(2).clamp(min=0)
    if symmetric:
        scales = 2 * torch.maximum(-low, high) / most
        zeros = torch.full_like(scales, (most + 1) // 2)
    else:
        scales = (high - low) / most
        zeros = (-low / scales).round().clamp(1, most)
    return scales.half().float(), zeros


def order_of(columns, name, config):
    """The columns in GPTQ's order, group by group."""
    if not config.get("desc_act"):
        return torch.arange(columns)
    if config["sym"]:
        name = {"q_proj": "qkv", "k_proj": "qkv", "v_proj": "qkv", "gate_proj": "up_proj"}.get(name, name)
    return torch.randperm(columns, generator=torch.Generator().manual_seed(zlib.crc32(name.encode())))


def gptq(linear, name, config):
    from gptqmodel.nn_modules.qlinear.torch import TorchLinear
    from gptqmodel.quantization.config import QuantizeConfig
    from gptqmodel.utils.model import convert_gptq_v2_to_v1_format_module
    bits, group = config["bits"], config["group_size"]
    order = order_of(linear.in_features, name, config)
    scales, zeros = rounded(linear.weight[:, order], bits, group, config["sym"])
    packed = TorchLinear(bits=bits, group_size=group, sym=config["sym"], desc_act=config["desc_act"],
                         in_features=linear.in_features, out_features=linear.out_features)
    g_idx = torch.empty(linear.in_features, dtype=torch.int32)
    g_idx[order] = torch.arange(linear.in_features, dtype=torch.int32) // (linear.in_features if group < 0 else group)
    packed.pack_original(linear, scales, zeros, g_idx)
    packed.post_init()
    weight = packed.dequantize_weight().T.float()
    if config.get("checkpoint_format") != "gptq_v2":
        convert_gptq_v2_to_v1_format_module(packed, QuantizeConfig(bits=bits))
    return weight, {n: getattr(packed, n).contiguous() for n in ("qweight", "qzeros", "scales", "g_idx")}


def awq(linear, name, config):
    if "awq" not in sys.modules:  # load it without the parts that need a graphics card
        found = importlib.util.find_spec("awq")
        sys.modules["awq"] = types.ModuleType("awq")
        sys.modules["awq"].__path__ = found.submodule_search_locations
    module = types.ModuleType("awq.modules.linear")
    module.__path__ = [os.path.join(sys.modules["awq"].__path__[0], "modules/linear")]
    sys.modules.setdefault("awq.modules.linear", module)
    from awq.modules.linear.gemm import WQLinear_GEMM
    from awq.utils.packing_utils import dequantize_gemm
    group = config["group_size"]
    scales, zeros = rounded(linear.weight, 4, group, False)
    packed = WQLinear_GEMM.from_linear(linear, 4, group, False, scales.T.contiguous(), zeros.T.contiguous())
    weight = dequantize_gemm(packed.qweight, packed.qzeros, packed.scales, 4, group).T.float()
    return weight, {n: getattr(packed, n).contiguous() for n in ("qweight", "qzeros", "scales")}


def config_of(module, config):
    """The module's settings by GPTQModel; None: it is not quantized."""
    from gptqmodel.quantization.config import dynamic_get
    own = dynamic_get(config.get("dynamic"), module, default={})
    return None if own is False else config | own


def main():
    torch.set_num_threads(1)
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/safetensors")
    for seed, (name, config) in enumerate(FOLDERS.items(), 201):
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        folder = os.path.join(output, name)
        shutil.rmtree(folder, ignore_errors=True)
        model = random_model(name, CONFIG, seed)
        model.config.save_pretrained(folder)
        tensors = {"model.embed_tokens.weight": model.model.embed_tokens.weight.detach().half()}
        with torch.no_grad():
            model.model.embed_tokens.weight.copy_(tensors["model.embed_tokens.weight"].float())
            for n, module in model.named_modules():
                if isinstance(module, torch.nn.Linear) and n != "lm_head":
                    own = config_of(n, config)
                    if own is None:
                        tensors[n + ".weight"] = module.weight.detach().half()
                        module.weight.copy_(tensors[n + ".weight"].float())
                        continue
                    weight, parts = (awq if config["quant_method"] == "awq" else gptq)(module, n.split(".")[-1], own)
                    module.weight.copy_(weight)
                    tensors |= {f"{n}.{part}": t for part, t in parts.items()}
                elif n.endswith("norm"):
                    tensors[n + ".weight"] = module.weight.detach().clone()
        safetensors.torch.save_file(tensors, os.path.join(folder, "model.safetensors"), {"format": "pt"})
        path = os.path.join(folder, "config.json")
        written = json.load(open(path))
        json.dump(written | {"quantization_config": config}, open(path, "w"), indent=2)
        write_tokenizer(folder)
        write_logits(output, name, model, seed)


if __name__ == "__main__":
    main()
