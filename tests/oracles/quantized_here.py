#!/usr/bin/env python3
"""Checks that the libraries read the folders that nibble quantizes: `quantized_here.py FOLDER TEXT [--first N]`.

FOLDER is a Llama with floating-point weights. nibble quantizes it to a folder in each format, calibrated with TEXT.
- gptq, gptq_v2: GPTQModel's TorchLinear loads each module's tensors, converts the first format's zero points and
  dequantizes; transformers computes logits with these weights.
- awq: AutoAWQ's dequantize_gemm gives each module's weights, and transformers computes logits with these. transformers
  also loads the folder itself, with GPTQModel's AwqTorchLinear (its other kernels must be compiled first).
- compressed-tensors, symmetric: transformers loads the folder itself, with compressed-tensors.
- compressed-tensors with zero points: compressed-tensors' PackedQuantizationCompressor dequantizes each module. (In
  transformers, version 0.20 cannot load such a folder: it expects zero points that are not packed, though its
  compressor packs them.)
The logits are compared with those that nibble computes with the folder. It writes no fixture.
"""
import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

os.cpu_count = lambda: 8  # gptqmodel expects several

import numpy as np
import torch
from compressed_tensors.compressors.pack_quantized.base import PackedQuantizationCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from gptqmodel.nn_modules.qlinear.torch import TorchLinear
from gptqmodel.quantization.config import QuantizeConfig
from gptqmodel.utils.model import convert_gptq_v1_to_v2_format_module
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AwqConfig

from awq_vectors import autoawq

ROOT = Path(__file__).resolve().parents[2]
TOKENS = [5, 17, 200, 33, 90, 44, 8]
WAYS = [
    ("gptq", []), ("gptq", ["--order", "activation", "--asymmetric", "--group", "64"]),
    ("gptq", ["--bits", "3", "--group", "32"]),
    ("gptq_v2", ["--bits", "8", "--asymmetric"]), ("gptq_v2", ["--bits", "2", "--asymmetric", "--group", "32"]),
    ("gptq", ["--group", "0"]),
    ("compressed-tensors", []), ("compressed-tensors", ["--bits", "8", "--group", "0"]),
    ("compressed-tensors", ["--asymmetric", "--group", "32"]),
    ("awq", ["--method", "awq"]), ("awq", ["--method", "awq+gptq", "--group", "32"]),
    ("gptq", ["--method", "awq", "--bits", "3", "--group", "32"]), ("compressed-tensors", ["--method", "awq+gptq"]),
]


def nibble(*args):
    subprocess.run(["node", str(ROOT / "web/cli.js"), *map(str, args)], check=True, stdout=subprocess.DEVNULL)


def modules(tensors, leaf):
    return [name[:-len(leaf) - 1] for name in tensors if name.endswith("." + leaf)]


def of_gptq(tensors, config):
    for module in modules(tensors, "qweight"):
        part = {leaf: tensors.pop(f"{module}.{leaf}") for leaf in ("qweight", "qzeros", "scales", "g_idx")}
        columns, rows = part["g_idx"].numel(), part["scales"].shape[1]
        layer = TorchLinear(bits=config["bits"], group_size=config["group_size"], sym=config["sym"],
                            desc_act=config["desc_act"],
                            in_features=columns, out_features=rows)
        layer.load_state_dict(part, strict=False)
        if config["checkpoint_format"] == "gptq":
            settings = QuantizeConfig(bits=config["bits"], group_size=config["group_size"], sym=config["sym"],
                                      desc_act=config["desc_act"])
            convert_gptq_v1_to_v2_format_module(layer, settings.bits, torch.int32)
        layer.post_init()
        yield module, layer.dequantize_weight().T.float()


def of_awq(tensors, config):
    _, _, dequantize_gemm = autoawq()
    for module in modules(tensors, "qweight"):
        qweight, qzeros, scales = (tensors.pop(f"{module}.{leaf}") for leaf in ("qweight", "qzeros", "scales"))
        yield module, dequantize_gemm(qweight, qzeros, scales, config["bits"], config["group_size"]).T.float()


def of_compressed(tensors, config):
    weights = QuantizationArgs(**config["config_groups"]["group_0"]["weights"])
    scheme = QuantizationScheme(targets=["Linear"], weights=weights)
    for module in modules(tensors, "weight_packed"):
        part = {name[len(module) + 1:]: tensors.pop(name) for name in list(tensors) if name.startswith(module + ".")}
        yield module, PackedQuantizationCompressor.decompress(part, scheme)["weight"].float()


def logits_of(model):
    with torch.no_grad():
        return model(torch.tensor([TOKENS])).logits[0].float().numpy()


def theirs(folder, source):
    """The logits by one or more libraries."""
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    if config["quant_method"] == "compressed-tensors" and config["config_groups"]["group_0"]["weights"]["symmetric"]:
        return [logits_of(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32))]
    tensors = load_file(folder / "model.safetensors")
    read = {"gptq": of_gptq, "awq": of_awq, "compressed-tensors": of_compressed}[config["quant_method"]]
    found = {f"{module}.weight": weight for module, weight in read(tensors, config)}
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    left = model.load_state_dict({**tensors, **found}, strict=False)
    assert not left.unexpected_keys and set(left.missing_keys) <= {"lm_head.weight"}, left
    if config["quant_method"] != "awq":
        return [logits_of(model)]
    how = AwqConfig(bits=config["bits"], group_size=config["group_size"], backend="torch_awq")
    loaded = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, quantization_config=how)
    return [logits_of(model), logits_of(loaded)]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--first", type=int, default=0, help="the index in WAYS to begin with")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        out, logits = Path(temporary) / "out", Path(temporary) / "logits"
        for format, options in WAYS[args.first:]:
            method = [] if "--method" in options else ["--method", "gptq"]
            nibble("quantize", args.folder, out, "--force", "--format", format, *method, "--calibration", args.text,
                   "--samples", 4, "--context", 128, *options)
            nibble("eval", out, "--tokens", ",".join(map(str, TOKENS)), "--logits", logits)
            for expected in theirs(out, args.folder):
                ours = np.fromfile(logits, dtype="<f4").reshape(expected.shape)
                far = float(np.abs(ours - expected).max() / np.abs(expected).max())
                print(format, *options, f"largest difference: {far:.1e} of the largest logit", flush=True)
                assert far < 1e-3, "nibble and the library compute with different weights"


if __name__ == "__main__":
    main()
