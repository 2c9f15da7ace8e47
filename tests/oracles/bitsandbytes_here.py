#!/usr/bin/env python3
"""Checks that transformers reads the bitsandbytes folders that nibble makes: `bitsandbytes_here.py FOLDER`.

FOLDER is a Llama with floating-point weights. In each of the ways of WAYS nibble quantizes it to another folder, which
transformers loads. bitsandbytes dequantizes the weights of that folder. They must equal the source's weights after
bitsandbytes itself has quantized and dequantized them. For double quantization this script rounds the mean of the
scales once; torch's mean may differ in the last bit, depending on the machine, and then some scales get the
neighbouring code. Then transformers computes logits with these weights in F32, and nibble's logits of the folder must
be near. The folders are temporary; it writes no fixture.
"""
import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import bitsandbytes
import numpy as np
import torch
import transformers

from bitsandbytes_folders import dequantized

ROOT = Path(__file__).resolve().parents[2]
TOKENS = [5, 17, 200, 33, 90, 44, 8]
# values of --type, each with further flags
WAYS = [["nf4"], ["fp4"], ["nf4", "--double-quant"], ["fp4", "--double-quant"], ["nf4", "--block", "128"],
        ["nf4", "--block", "32"], ["int8"]]


def nibble(*args):
    subprocess.run(["node", str(ROOT / "web/cli.js"), *map(str, args)], check=True, stdout=subprocess.DEVNULL)


def expected(weight, way):
    """The weight quantized and dequantized by bitsandbytes, in F32."""
    functional = bitsandbytes.functional
    if way[0] == "int8":
        codes, scales, _ = functional.int8_vectorwise_quant(weight.half())
        return functional.int8_vectorwise_dequant(codes, scales)
    block = int(way[2]) if "--block" in way else 64
    flat = weight.float().reshape(-1, block)  # rows of one block: bitsandbytes_folders.py, dequantized()
    codes, state = functional.quantize_4bit(flat, quant_type=way[0], blocksize=block)
    if "--double-quant" in way:
        mean = torch.tensor(state.absmax.double().mean().item(), dtype=torch.float32)
        nested, nested_state = functional.quantize_blockwise(state.absmax - mean, blocksize=256)
        state.absmax = functional.dequantize_blockwise(nested, nested_state) + mean
    return functional.dequantize_4bit(codes, state).reshape(weight.shape)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    args = parser.parse_args()
    load = transformers.AutoModelForCausalLM.from_pretrained
    with tempfile.TemporaryDirectory() as temporary:
        out, logits = os.path.join(temporary, "out"), os.path.join(temporary, "logits")
        for way in WAYS:
            nibble("quantize", args.folder, out, "--force", "--format", "bitsandbytes", "--type", *way)
            nibble("eval", out, "--tokens", ",".join(map(str, TOKENS)), "--logits", logits)
            exact, read = load(args.folder, dtype=torch.float32), load(out, device_map="cpu")
            far, modules = 0, 0
            for name, module in read.named_modules():
                if isinstance(module, (bitsandbytes.nn.Linear4bit, bitsandbytes.nn.Linear8bitLt)):
                    weight, ours = exact.get_submodule(name).weight, dequantized(module)
                    far, modules = max(far, float((ours - expected(weight.detach(), way)).abs().max())), modules + 1
                    with torch.no_grad():
                        weight.copy_(ours)
            with torch.no_grad():
                theirs = exact(torch.tensor([TOKENS])).logits[0].numpy()
            ours = np.fromfile(logits, dtype="<f4").reshape(theirs.shape)
            off = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
            print(*way, f"{modules} modules, weights within {far:.1e}, logits within {off:.1e} of the largest",
                  flush=True)
            assert modules and far == 0, "other weights than the library's"
            assert off < 2e-3, "nibble and transformers compute with different weights"


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
