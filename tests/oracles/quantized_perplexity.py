#!/usr/bin/env python3
"""Compares models quantized by nibble's GPTQ and AWQ with those of the methods' own libraries, in whole runs of both:
`quantized_perplexity.py BASE CALIBRATION EVALUATION [--samples 20] [--context 256] [--threads 1] [--only
gptq-4-128 ...]`.

BASE is the folder of a Llama with floating-point weights, CALIBRATION and EVALUATION are texts. Each setting is a
method, the bits of a code and the columns of a group. GPTQModel and AutoAWQ quantize BASE by their own loops over the
layers and write a folder; nibble does it with the same settings and the same windows of the calibration text. `nibble
perplexity` then measures both folders, so that they differ only by the codes. It also prints how long both take, from
the folder to the folder: the time, and the time of the processor. The library's does not include its start, nibble's
does. It exits with 1 if nibble's perplexity is more than 0.5 % above the library's. It writes no fixture.

- gptq: GPTQModel 7.7.0, symmetric codes, its default group-aware order, damping 0.01.
- awq: AutoAWQ 0.2.7.post3, zero points, its searches for scales and for clipping. It is older than the transformers
  here: this script gives it its calibration windows, their rotations and the mask of attention, and its modules that
  need a graphics card are left out. On a CPU its search has a bug: it saves the weights by Tensor.cpu(), which copies
  nothing there, and then changes the same weights. --spoilt keeps the bug; otherwise Module.state_dict() gives copies.
"""
import argparse
import functools
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

os.cpu_count = lambda: 8  # gptqmodel counts on some

import numpy as np
import torch
from safetensors.torch import save_file
from transformers import AutoConfig, AutoModelForCausalLM, AutoTokenizer

from awq_vectors import module_of

ROOT = Path(__file__).resolve().parents[2]
WAYS = ["gptq-4-128", "gptq-4-32", "gptq-3-128", "gptq-3-32", "gptq-2-128", "gptq-2-32", "awq-4-128", "awq-4-32"]
MOST = 1.005


def nibble(*args):
    run = subprocess.run(["node", str(ROOT / "web/cli.js"), *map(str, args), "--json"], stdout=subprocess.PIPE,
                         stderr=subprocess.DEVNULL, check=True)
    return json.loads(run.stdout)


def seconds_of(who, make):
    """The seconds that make() takes, and those of the processor, by this process or by its children."""
    def used():
        usage = resource.getrusage(who)
        return np.array([time.monotonic(), usage.ru_utime + usage.ru_stime])
    before = used()
    make()
    return used() - before


def windows_of(base, path, samples, context):
    """Windows of a calibration text as nibble cuts them (web/worker/windows.js): spread over it, with the begin
    token."""
    tokenizer = AutoTokenizer.from_pretrained(base)
    begin = tokenizer("")["input_ids"][:1]
    tokens = begin + tokenizer(path.read_text(encoding="utf-8"), add_special_tokens=False)["input_ids"]
    windows = len(tokens) // context
    samples = min(windows, samples)
    starts = [i * windows // samples * context for i in range(samples)]
    return [begin + tokens[at + len(begin):at + context] for at in starts]


def by_gptqmodel(base, windows, bits, group, out):
    from gptqmodel import BACKEND, GPTQModel, QuantizeConfig
    config = QuantizeConfig(bits=bits, group_size=group, sym=True, desc_act=False, damp_percent=0.01)
    model = GPTQModel.load(str(base), config, dtype=torch.float32)
    model.quantize([{"input_ids": window, "attention_mask": [1] * len(window)} for window in windows], batch_size=1,
                   calibration_sort=None, backend=BACKEND.TORCH)
    model.save(str(out))


@functools.cache
def autoawq():
    """AutoAWQ's quantizer, and its class for Llama."""
    import importlib.util
    folder = importlib.util.find_spec("awq").submodule_search_locations[0]
    module_of("awq", __path__=[folder])
    module_of("awq.modules.linear", __path__=[os.path.join(folder, "modules/linear")], WQLinear_GEMV=None,
              WQLinear_Marlin=None, WQLinear_GEMVFast=None)
    module_of("awq.utils.calib_data", get_calib_dataset=None)
    module_of("awq.models", __path__=[os.path.join(folder, "models")])
    module_of("awq.models.base", BaseAWQForCausalLM=object)
    module_of("awq.utils.fused_utils", fuse_qkv=None)
    module_of("awq.modules.fused", __path__=[])
    for name, part in (("block", "LlamaLikeBlock"), ("model", "LlamaLikeModel"), ("norm", "FasterTransformerRMSNorm")):
        module_of(f"awq.modules.fused.{name}", **{part: None})
    import transformers.activations
    if not hasattr(transformers.activations, "PytorchGELUTanh"):  # its name in older versions
        transformers.activations.PytorchGELUTanh = transformers.activations.GELUTanh
    from awq.modules.linear.gemm import WQLinear_GEMM
    sys.modules["awq.modules.linear"].WQLinear_GEMM = WQLinear_GEMM
    from awq.models.llama import LlamaAWQForCausalLM
    from awq.quantize.quantizer import AwqQuantizer
    return AwqQuantizer, LlamaAWQForCausalLM


def by_autoawq(base, windows, bits, group, out, spoilt):
    AwqQuantizer, Llama = autoawq()
    model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32, attn_implementation="eager").eval()
    known = Llama()
    known.model_type = "llama"

    class Quantizer(AwqQuantizer):
        def init_quant(self, n_samples, max_seq_len):
            tokens = torch.tensor(windows)
            hidden = model.model.embed_tokens(tokens).detach()
            positions = torch.arange(tokens.shape[1])[None]
            mask = torch.full((1, 1, tokens.shape[1], tokens.shape[1]), torch.finfo(torch.float32).min).triu(1)
            return model.model.layers, {"attention_mask": mask, "position_ids": positions,
                                        "position_embeddings": model.model.rotary_emb(hidden, positions)}, hidden

    state_dict = torch.nn.Module.state_dict
    if not spoilt:
        torch.nn.Module.state_dict = lambda self, *args, **kwargs: {
            key: value.clone() for key, value in state_dict(self, *args, **kwargs).items()}
    try:
        with torch.no_grad():
            Quantizer(known, model, None, bits, group, True, "gemm", None, None, None, duo_scaling=True).quantize()
    finally:
        torch.nn.Module.state_dict = state_dict
    tensors = {name: tensor.contiguous() for name, tensor in model.state_dict().items() if name != "lm_head.weight"}
    if not model.config.tie_word_embeddings:
        tensors["lm_head.weight"] = model.lm_head.weight
    out.mkdir()
    config = AutoConfig.from_pretrained(base)
    config.save_pretrained(out)
    said = json.loads((out / "config.json").read_text())
    said["quantization_config"] = {"quant_method": "awq", "zero_point": True, "group_size": group, "bits": bits,
                                   "version": "gemm", "modules_to_not_convert": None}
    (out / "config.json").write_text(json.dumps(said))
    AutoTokenizer.from_pretrained(base).save_pretrained(out)
    save_file(tensors, out / "model.safetensors", {"format": "pt"})


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("base", type=Path)
    parser.add_argument("calibration", type=Path)
    parser.add_argument("evaluation", type=Path)
    parser.add_argument("--samples", type=int, default=20)
    parser.add_argument("--context", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--only", nargs="+", choices=WAYS, default=WAYS)
    parser.add_argument("--spoilt", action="store_true", help="AutoAWQ as it is on a CPU")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    windows = windows_of(args.base, args.calibration, args.samples, args.context)

    def perplexity(folder):
        return nibble("perplexity", folder, "--file", args.evaluation, "--context", args.context, "--threads",
                      args.threads)

    original = perplexity(args.base)
    lines = [f"floating point: {original['perplexity']:.4f} +- {original['standardError']:.4f}, "
             f"{original['tokens']} tokens"]
    worse = []
    for way in args.only:
        method, bits, group = way.split("-")
        with tempfile.TemporaryDirectory() as temporary:
            theirs, ours = Path(temporary) / "theirs", Path(temporary) / "ours"
            if method == "gptq":
                import gptqmodel  # noqa: F401 (its start is not measured)
                library = functools.partial(by_gptqmodel, args.base, windows, int(bits), int(group), theirs)
            else:
                autoawq()
                library = functools.partial(by_autoawq, args.base, windows, int(bits), int(group), theirs, args.spoilt)
            command = functools.partial(
                nibble, "quantize", args.base, ours, "--format", method, "--method", method, "--bits", bits, "--group",
                group, "--calibration", args.calibration, "--samples", args.samples, "--context", args.context,
                "--threads", args.threads)
            slow, quick = seconds_of(resource.RUSAGE_SELF, library), seconds_of(resource.RUSAGE_CHILDREN, command)
            right, found = perplexity(theirs)["perplexity"], perplexity(ours)["perplexity"]
        lines.append(f"{way}: library {right:.4f}, nibble {found:.4f}, {100 * (found / right - 1):+.2f} %; library "
                     f"{slow[0]:.1f} s ({slow[1]:.1f} s of the processor), nibble {quick[0]:.1f} s ({quick[1]:.1f} s)")
        print(lines[-1], flush=True)
        if found > MOST * right:
            worse.append(way)
    print("\n".join(["", *lines]))
    if worse:
        sys.exit(f"nibble's perplexity is above the library's by more than 0.5 %: {', '.join(worse)}")


if __name__ == "__main__":
    main()
