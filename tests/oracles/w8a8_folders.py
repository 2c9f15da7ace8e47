#!/usr/bin/env python3
"""Writes tests/fixtures/quantize/w8a8.json: small Llamas as W8A8, by transformers, torch.ao and compressed-tensors.

    w8a8_folders.py [--output FILE]

Layer by layer: SmoothQuant's scales (Xiao et al. 2023, equation 4: max|x|^a / max|w|^(1-a), by plain torch) divide the
norms and multiply the matrices that read them. Then, for each group of matrices in the order of the computation,
torch.ao's observers record the inputs over the text, and compressed-tensors chooses scales and zero points, quantizes
the weights and dequantizes them. The inputs of the next group are computed with these weights. Scales are rounded to
the weights' type before codes are chosen. A norm stored in BF16 is only approximately norm / s, so the matrices are
multiplied by norm / rounded(norm / s). The model computes in F32.
"""
import argparse
import base64
import json
from pathlib import Path

import torch
from compressed_tensors.quantization import QuantizationArgs
from compressed_tensors.quantization.lifecycle.forward import dequantize, quantize
from compressed_tensors.quantization.utils.helpers import calculate_qparams
from tokenizers import Tokenizer
from torch.ao.quantization import MinMaxObserver, MovingAverageMinMaxObserver
from transformers import AutoModelForCausalLM

FIXTURES = Path(__file__).resolve().parent / "../fixtures"
TEXT = "abcdefghij klmno pqrst uvwxyz 0123456789 ABCDEF. The quick brown fox jumps over the lazy dog. " * 4
CONTEXT, SAMPLES = 16, 6
CASES = [
    {"folder": "safetensors/llama-f32", "options": {"activations": "static", "smooth": 0.5}},
    {"folder": "safetensors/llama-f32",
     "options": {"activations": "static", "symmetric": False, "ranges": "moving-average"}},
    {"folder": "safetensors/llama-f32", "options": {"activations": "dynamic", "smooth": 0.8, "symmetric": False}},
    {"folder": "quantize/plain", "options": {"activations": "static", "smooth": 0.5}},
]
WEIGHTS = QuantizationArgs(num_bits=8, type="int", symmetric=True, strategy="channel")
GROUPS = [["self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj"], ["self_attn.o_proj"],
          ["mlp.gate_proj", "mlp.up_proj"], ["mlp.down_proj"]]
NORMS = {"input_layernorm": GROUPS[0], "post_attention_layernorm": GROUPS[2]}


def windows_of(folder):
    """Windows spread over the text. This tokenizer.json adds nothing before a text."""
    said = json.loads((folder / "tokenizer.json").read_text())
    flags = {name: False for name in ("single_word", "lstrip", "rstrip", "normalized")}
    said["added_tokens"] = [flags | token for token in said["added_tokens"]]  # the fixtures omit the flags
    said["pre_tokenizer"] = said["decoder"] = {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True,
                                               "trim_offsets": False}
    tokens = Tokenizer.from_str(json.dumps(said)).encode(TEXT, add_special_tokens=False).ids
    whole = len(tokens) // CONTEXT
    n = min(whole, SAMPLES)
    for i in range(n):
        at = i * whole // n * CONTEXT
        yield torch.tensor([tokens[at:at + CONTEXT]])


def inputs_of(model, module, windows):
    """The module's inputs, window by window."""
    seen = []
    hook = module.register_forward_pre_hook(lambda _, args: seen.append(args[0].detach()[0]))
    for window in windows:
        model(window)
    hook.remove()
    return seen


def smooth(model, layer, alpha, kind, windows):
    found = {name: torch.cat(inputs_of(model, layer.get_submodule(readers[0]), windows))
             for name, readers in NORMS.items()}
    for name, x in found.items():
        norm, readers = layer.get_submodule(name), [layer.get_submodule(reader) for reader in NORMS[name]]
        largest = torch.cat([reader.weight for reader in readers]).abs().amax(0)
        s = x.abs().amax(0).pow(alpha) / largest.pow(1 - alpha)
        held = (norm.weight / s).to(kind).float()
        s = norm.weight / held
        for reader in readers:
            reader.weight.mul_(s)
        norm.weight.copy_(held)


def static_input(options, xs, kind):
    moving = options.get("ranges") == "moving-average"
    observer = MovingAverageMinMaxObserver(averaging_constant=0.01) if moving else MinMaxObserver()
    for x in xs:
        observer(x)
    args = QuantizationArgs(num_bits=8, type="int", symmetric=options.get("symmetric", True), strategy="tensor")
    scale, zero = calculate_qparams(observer.min_val, observer.max_val, args)
    return {"low": float(observer.min_val), "high": float(observer.max_val), "scale": float(scale.to(kind)),
            "zero": int(zero)}


def encoded(tensor):
    return base64.b64encode(tensor.numpy().tobytes()).decode()


def make(folder, options):
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()
    kind = getattr(torch, json.loads((folder / "config.json").read_text())["dtype"])
    windows, out = list(windows_of(folder)), {"norms": {}, "inputs": {}, "scales": {}, "codes": {}}
    for number, layer in enumerate(model.model.layers):
        if "smooth" in options:
            smooth(model, layer, options["smooth"], kind, windows)
            out["norms"] |= {f"model.layers.{number}.{name}.weight": layer.get_submodule(name).weight.tolist()
                             for name in NORMS}
        for group in GROUPS:
            xs = inputs_of(model, layer.get_submodule(group[0]), windows)
            for module in group:
                name, weight = f"model.layers.{number}.{module}", layer.get_submodule(module).weight
                if options["activations"] == "static":
                    out["inputs"][name] = static_input(options, xs, kind)
                    out["inputs"][name]["ninety"] = float(torch.cat(xs).abs().flatten().quantile(0.9))
                scale, zero = calculate_qparams(weight.amin(1, keepdim=True), weight.amax(1, keepdim=True), WEIGHTS)
                scale = scale.to(kind).float()
                codes = quantize(weight, scale, zero, WEIGHTS, dtype=torch.int8)
                weight.copy_(dequantize(codes, scale, zero, WEIGHTS, dtype=torch.float32))
                out["scales"][name] = scale.flatten().tolist()
                if options.get("smooth") == 0.5:  # of the others the scales will do
                    out["codes"][name] = encoded(codes)
    return out


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=FIXTURES / "quantize/w8a8.json")
    args = parser.parse_args()
    torch.set_num_threads(1)
    with torch.no_grad():
        cases = [case | make(FIXTURES / case["folder"], case["options"]) for case in CASES]
    text = json.dumps({"text": TEXT, "context": CONTEXT, "samples": SAMPLES, "cases": cases}, separators=(",", ":"))
    args.output.write_text(text + "\n")
    print(len(text), "bytes")


if __name__ == "__main__":
    main()
