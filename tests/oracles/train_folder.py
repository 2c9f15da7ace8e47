#!/usr/bin/env python3
"""Writes tests/fixtures/train/folder.json: folders of tests/fixtures, trained by PyTorch in the way of train().

    train_folder.py [--output FILE]

The models are transformers' LlamaForCausalLM in double precision (train.py: in_double). Losses, optimizer and schedule
are PyTorch's. A batch is the whole text, so that the order of nibble's windows does not matter.

The file: for each folder its tokens, the options of train(), and for each step the loss before it, the gradient's
length and the learning rate.

Needs numpy, torch and transformers (tests/oracles/requirements.txt).
"""
import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from transformers import LlamaForCausalLM

from train import in_double, steady

FIXTURES = Path(__file__).parent / "../fixtures"
READ = ["safetensors/llama-f32", "quantize/plain"]
OPTIONS = {"steps": 8, "batch": 4, "length": 24, "rate": 0.02, "lastRate": 0.004, "warmup": 3, "decay": 0.2,
           "clip": 0.6, "beta1": 0.8, "beta2": 0.98}
EPSILON = 1e-8


def train(folder, random):
    model = in_double(LlamaForCausalLM.from_pretrained(FIXTURES / folder, dtype=torch.float64))
    assert not model.config.attention_bias and model.config.model_type == "llama"
    batch, length, steps = OPTIONS["batch"], OPTIONS["length"], OPTIONS["steps"]
    tokens = random.integers(0, model.config.vocab_size, batch * length + 1)
    inputs = torch.tensor(tokens[:-1].reshape(batch, length))
    targets = torch.tensor(tokens[1:].reshape(batch, length))

    def loss_of():
        logits = model(inputs).logits
        return torch.nn.functional.cross_entropy(logits.reshape(-1, logits.shape[-1]), targets.reshape(-1))

    def scaled(step):
        if step < OPTIONS["warmup"]:
            return (step + 1) / OPTIONS["warmup"]
        part = min(1, (step - OPTIONS["warmup"]) / (steps - OPTIONS["warmup"]))
        last = OPTIONS["lastRate"] / OPTIONS["rate"]
        return last + (1 - last) * (1 + math.cos(math.pi * part)) / 2

    parameters = list(model.parameters())
    groups = [{"params": [w for w in parameters if w.dim() > 1], "weight_decay": OPTIONS["decay"]},
              {"params": [w for w in parameters if w.dim() == 1], "weight_decay": 0.0}]
    optimizer = torch.optim.AdamW(groups, lr=OPTIONS["rate"], betas=(OPTIONS["beta1"], OPTIONS["beta2"]), eps=EPSILON)
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, scaled)
    losses, norms, rates = [], [], []
    for _ in range(steps):
        loss = loss_of()
        optimizer.zero_grad()
        loss.backward()
        losses.append(steady(loss.item()))
        norms.append(steady(torch.nn.utils.clip_grad_norm_(parameters, OPTIONS["clip"]).item()))
        rates.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    print(folder, "losses", losses[0], "...", losses[-1], "norms", min(norms), "...", max(norms))
    assert max(norms) > OPTIONS["clip"], "clipping must matter"
    return {"folder": folder, "tokens": tokens.tolist(), "losses": losses, "norms": norms, "rates": rates}


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", type=Path, default=FIXTURES / "train/folder.json")
    path = parser.parse_args().output
    random = np.random.default_rng(16)
    cases = [train(folder, random) for folder in READ]
    path.write_text(json.dumps({"options": OPTIONS, "cases": cases}) + "\n")
    print(path.stat().st_size, "bytes")


main()
