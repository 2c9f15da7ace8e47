#!/usr/bin/env python3
"""Measures the loss by W8A8 with transformers and compressed-tensors: `w8a8_perplexity.py FOLDER CALIBRATION TEXT
[--windows N]`.

FOLDER is a Llama with floating-point weights. nibble quantizes it to W8A8 with several settings, with CALIBRATION if a
text is needed. For each setting
- compressed-tensors' compressor dequantizes the weights, and transformers computes with them in F32: the logits must
  be nibble's, within 1e-3 of the largest;
- transformers loads the folder itself, so that compressed-tensors rounds the inputs of each matrix to 8 bits.
With --outliers F the model first gets large columns, as in large models: four columns of each norm are multiplied by F,
and the columns that read them divided by F, so that the model computes the same. It prints the perplexity of TEXT for
both (in windows of 256 tokens, of which all but the first are scored), and of the original model. It writes no fixture.
"""
import argparse
import json
import shutil
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
from compressed_tensors.compressors import BaseCompressor
from compressed_tensors.quantization import QuantizationArgs, QuantizationScheme
from safetensors.torch import load_file, save_file
from transformers import AutoModelForCausalLM, AutoTokenizer

ROOT = Path(__file__).resolve().parents[2]
TOKENS = [5, 17, 200, 33, 90, 44, 8]
CONTEXT = 256
STATIC = ["--activations", "static"]
WAYS = [
    ["--activations", "dynamic"], ["--activations", "dynamic", "--method", "gptq"],
    ["--activations", "dynamic", "--smooth", "0.5"],
    ["--activations", "dynamic", "--asymmetric"],
    STATIC, [*STATIC, "--asymmetric"], [*STATIC, "--smooth", "0.5"], [*STATIC, "--smooth", "0.8"],
    *([*STATIC, "--ranges", ranges] for ranges in ("moving-average", "percentile", "mse", "entropy")),
    [*STATIC, "--smooth", "0.5", "--ranges", "mse", "--asymmetric", "--method", "gptq"],
]


def nibble(*args):
    done = subprocess.run(["node", str(ROOT / "web/cli.js"), *map(str, args)], check=True, capture_output=True,
                          text=True)
    return done.stdout


def weights_only(folder, source):
    """The source's model with the dequantized weights."""
    config = json.loads((folder / "config.json").read_text())["quantization_config"]
    weights = QuantizationArgs(**config["config_groups"]["group_0"]["weights"])
    scheme, tensors = QuantizationScheme(targets=["Linear"], weights=weights), load_file(folder / "model.safetensors")
    compressor = BaseCompressor.get_value_from_registry(config["format"])
    for name in [name[:-len("_scale")] for name in tensors if name.endswith(".weight_scale")]:
        module = name[:-len("weight")]
        part = {leaf[len(module):]: tensors.pop(leaf) for leaf in list(tensors) if leaf.startswith(module)}
        part["weight_scale"] = part["weight_scale"].float()
        tensors[name] = compressor.decompress(part, scheme)["weight"].float()
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32)
    left = model.load_state_dict(tensors, strict=False)
    assert not left.unexpected_keys and set(left.missing_keys) <= {"lm_head.weight"}, left
    return model


def with_outliers(folder, out, factor):
    """Writes a copy of the folder in which four columns of the norms are larger by the factor."""
    shutil.copytree(folder, out)
    tensors = load_file(out / "model.safetensors")
    readers = {"input_layernorm": ("q_proj", "k_proj", "v_proj"), "post_attention_layernorm": ("gate_proj", "up_proj")}
    for name in [name for name in tensors if name.split(".")[-2] in readers]:
        columns = torch.arange(1, 5) * tensors[name].numel() // 5
        tensors[name][columns] *= factor
        layer, norm = name.split(".")[2], name.split(".")[-2]
        for reader in tensors:
            if reader.startswith(f"model.layers.{layer}.") and reader.split(".")[-2] in readers[norm]:
                tensors[reader][:, columns] /= factor
    (out / "model.safetensors").unlink()
    save_file(tensors, out / "model.safetensors", metadata={"format": "pt"})
    return out


def perplexity(model, windows):
    losses = [model(window, labels=window).loss.item() for window in windows]
    return float(np.exp(np.mean(losses)))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("--windows", type=int, default=64)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--outliers", type=float, default=1)
    args = parser.parse_args()
    torch.set_grad_enabled(False)
    tokens = AutoTokenizer.from_pretrained(args.folder)(args.text.read_text(), add_special_tokens=False)["input_ids"]
    windows = torch.tensor(tokens[:len(tokens) // CONTEXT * CONTEXT]).reshape(-1, 1, CONTEXT)[:args.windows]
    original = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32)
    print(f"F32: {perplexity(original, windows):.3f} ({windows.numel()} tokens)", flush=True)
    with tempfile.TemporaryDirectory() as temporary:
        out, logits = Path(temporary) / "out", Path(temporary) / "logits"
        source = args.folder if args.outliers == 1 else with_outliers(args.folder, Path(temporary) / "source",
                                                                      args.outliers)
        for way in WAYS:
            needs_text = "static" in way or "--smooth" in way or "gptq" in way
            text = ["--calibration", args.calibration, "--samples", args.samples, "--context",
                    CONTEXT] if needs_text else []
            said = json.loads(nibble("quantize", source, out, "--force", "--format", "compressed-tensors", *way, *text,
                                     "--json"))
            nibble("eval", out, "--tokens", ",".join(map(str, TOKENS)), "--logits", logits)
            weights = weights_only(out, source)
            expected = weights(torch.tensor([TOKENS])).logits[0].numpy()
            ours = np.fromfile(logits, dtype="<f4").reshape(expected.shape)
            far = float(np.abs(ours - expected).max() / np.abs(expected).max())
            assert far < 1e-3, f"{way}: nibble and compressed-tensors read other weights: {far:.1e}"
            rounded = AutoModelForCausalLM.from_pretrained(out, dtype=torch.float32)
            clipped = [one["clipped"] for one in said.get("ranges", [])]
            print(*way, f"weights {perplexity(weights, windows):.3f},",
                  f"with rounded inputs {perplexity(rounded, windows):.3f}",
                  f"clipped {100 * np.mean(clipped):.4f} %, most {100 * max(clipped):.4f} %" if clipped else "",
                  f"({far:.0e})",
                  flush=True)


if __name__ == "__main__":
    main()
