#!/usr/bin/env python3
"""Measures how much int8 weights change the logits: bitsandbytes' LLM.int8() on a CPU, the paper's, and nibble's.

    int8_fidelity.py FOLDER TEXT CALIBRATION [--outliers FACTOR] [--tokens N = 256]

FOLDER is a Llama with floating-point weights. nibble finds outlier columns with the text CALIBRATION. With --outliers,
four channels of each norm are first multiplied by FACTOR, and the columns that read them divided by it, so that the
model computes the same and |x| is large in a few columns. For each method it prints the root of the mean squared
difference of the logits, relative to their standard deviation, and the mean KL divergence. The paper's method (Dettmers
et al. 2022, section 3) is computed by its formula, because bitsandbytes 0.50.2 multiplies outliers of 16 bits by
weights that were rounded to 8 (backends/default/ops.py, int8_mixed_scaled_mm). docs/int8.md has the results. It writes
no fixture.
"""
import argparse
import os
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch
import transformers

ROOT = Path(__file__).resolve().parents[2]
THRESHOLD = 6


class PaperLinear(torch.nn.Module):
    """Columns with |x| >= 6 in 16 bits, weights included; others in 8 bits, with a scale for each row and each
    token."""

    def __init__(self, linear):
        super().__init__()
        self.weight, self.bias = linear.weight.data.half().float(), linear.bias

    def forward(self, x):
        shape, x = x.shape, x.reshape(-1, x.shape[-1]).half().float()
        out = (x.abs() >= THRESHOLD).any(0)
        y = rows_of_8_bits(x * ~out) @ rows_of_8_bits(self.weight * ~out).T + x[:, out] @ self.weight[:, out].T
        y = y.reshape(*shape[:-1], -1)
        return y if self.bias is None else y + self.bias


def rows_of_8_bits(x):
    most = x.abs().amax(1, keepdim=True).clamp(min=1e-30)
    return torch.round(x * (127 / most)) * most / 127


def add_outliers(model, factor):
    rng = np.random.default_rng(1)
    with torch.no_grad():
        for layer in model.model.layers:
            attention, mlp = layer.self_attn, layer.mlp
            for norm, readers in ((layer.input_layernorm, (attention.q_proj, attention.k_proj, attention.v_proj)),
                                  (layer.post_attention_layernorm, (mlp.gate_proj, mlp.up_proj))):
                columns = torch.tensor(rng.choice(norm.weight.numel(), 4, replace=False))
                norm.weight[columns] *= factor
                for linear in readers:
                    linear.weight[:, columns] /= factor


def nibble(*args):
    return subprocess.run([os.environ.get("NODE", "node"), str(ROOT / "web/cli.js"), *map(str, args)], check=True,
                          capture_output=True, text=True).stdout


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("folder", type=Path)
    parser.add_argument("text", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("--outliers", type=float, default=1)
    parser.add_argument("--tokens", type=int, default=256)
    args = parser.parse_args()
    load = transformers.AutoModelForCausalLM.from_pretrained
    with tempfile.TemporaryDirectory() as temporary:
        folder, file, logits = (os.path.join(temporary, name) for name in ("model", "int8.gguf", "logits"))
        model = load(args.folder, dtype=torch.float32)
        add_outliers(model, args.outliers)
        model.save_pretrained(folder)
        transformers.AutoTokenizer.from_pretrained(args.folder).save_pretrained(folder)
        tokens = eval(nibble("tokenize", folder, "--text", args.text.read_text()[:8 * args.tokens]))[: args.tokens]
        compute = lambda model: model.eval()(torch.tensor([tokens])).logits[0].detach().float()
        exact = compute(model)

        def tell(name, found):
            p, q = (torch.log_softmax(x.double(), -1) for x in (exact, found))
            share = ((found - exact).double() ** 2).mean().sqrt() / exact.std()
            print(f"{name:45} {share:.5f}   KL {(p.exp() * (p - q)).sum(-1).mean():.2e}", flush=True)

        eight = transformers.BitsAndBytesConfig(load_in_8bit=True)
        tell("bitsandbytes", compute(load(folder, dtype=torch.float32, device_map="cpu", quantization_config=eight)))
        for name, module in list(model.named_modules()):
            if isinstance(module, torch.nn.Linear) and name != "lm_head":
                parent, leaf = name.rsplit(".", 1)
                setattr(model.get_submodule(parent), leaf, PaperLinear(module))
        tell("the paper's formula", compute(model))
        apart = ("--outliers", THRESHOLD, "--calibration", args.calibration)
        for what, options in (("int8", ()), ("int8 with outliers", apart)):
            print(nibble("quantize", folder, file, "--type", "int8", "--force", *options), end="")
            for precision in ("exact", "fast"):
                nibble("eval", file, "--precision", precision, "--tokens", ",".join(map(str, tokens)), "--logits",
                       logits)
                tell(f"nibble, {what}, {precision}",
                     torch.from_numpy(np.fromfile(logits, dtype="<f4").reshape(exact.shape)))


if __name__ == "__main__":
    transformers.logging.set_verbosity_error()
    main()
