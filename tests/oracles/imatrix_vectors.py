#!/usr/bin/env python3
"""Writes tests/fixtures/imatrix/: importance matrices of a text, in both formats of llama.cpp's tools/imatrix.

For each column of a weight matrix: the sum of the squares of its inputs over all tokens of all windows, and the number
of tokens; each expert has its own. The tool collects them where llama.cpp multiplies matrices; here every call of
torch's linear() in transformers is recorded, in F32. (llama.cpp's tool is a program, which no Python package has. The
logits of both agree: perplexity_vectors.py.) Names are those of the GGUF file, the formats those of
tools/imatrix/imatrix.cpp. The packages gguf and struct write them.
"""
import json
import os
import re
import struct

import gguf
import numpy as np
import torch

import encoder_models
import family_models
import windows

TOKENS = np.random.default_rng(8).integers(2, 88, 200).tolist()
# NAME: (architecture, context, tokens for this model or None)
WRITTEN = {"tiny": ("llama", 64, None), "mixtral": ("llama", 32, TOKENS), "gpt2": ("gpt2", 32, TOKENS),
           "bert": ("bert", 32, TOKENS),
           "nomic-bert": ("nomic-bert", 32, TOKENS)}
LAYERS = (0, 5)  # of the tiny model, which has six; of the others all


def matrices(model, architecture):
    """The address of a matrix's weights -> its name in GGUF, the expert's number, and the number of experts."""
    if architecture.endswith("bert"):
        named = [(p, encoder_models.matrix_name(name, architecture)) for name, p in model.named_parameters()
                 if p.dim() == 2]
        return {p.data_ptr(): [(name, 0, 1)] for p, name in named if name}
    found = {}
    for name, p in model.named_parameters():
        if p.dim() < 2:
            continue
        if name.endswith("experts.gate_up_proj"):
            for e, one in enumerate(p):
                found[one.data_ptr()] = [(family_models.gguf_name(name.replace("gate_up_proj", part), architecture), e,
                                          len(p))
                                         for part in ("gate_proj.weight", "up_proj.weight")]
        elif p.dim() == 3:
            for e, one in enumerate(p):
                found[one.data_ptr()] = [(family_models.gguf_name(name + ".weight", architecture), e, len(p))]
        else:
            found[p.data_ptr()] = [(family_models.gguf_name(name, architecture), 0, 1)]
    return found


class Collector:
    def __init__(self, model, architecture):
        self.known = matrices(model, architecture)
        self.sums, self.counts = {}, {}

    def see(self, weight, x):
        rows = x.detach().reshape(-1, x.shape[-1]).numpy().astype(np.float64)
        for name, expert, experts in self.known.get(weight.data_ptr(), []):
            sums = self.sums.setdefault(name, np.zeros((experts, rows.shape[1])))
            sums[expert] += (rows**2).sum(axis=0)
            self.counts.setdefault(name, np.zeros(experts, np.int64))[expert] += len(rows)

    def watch(self, run):
        linear, addmm = torch.nn.functional.linear, torch.addmm

        def watched_linear(x, weight, *bias):
            self.see(weight, x)
            return linear(x, weight, *bias)

        def watched_addmm(bias, x, weight):  # GPT-2 uses addmm
            self.see(weight, x)
            return addmm(bias, x, weight)

        torch.nn.functional.linear, torch.addmm = watched_linear, watched_addmm
        try:
            with torch.no_grad():
                run()
        finally:
            torch.nn.functional.linear, torch.addmm = linear, addmm


def write_gguf(path, entries, context, chunks, text):
    out = gguf.GGUFWriter(path, "")
    out.kv_data[0].clear()  # such a file has no architecture
    out.add_type("imatrix")
    out.add_array("imatrix.datasets", [text])
    out.add_uint32("imatrix.chunk_count", chunks)
    out.add_uint32("imatrix.chunk_size", context)
    for name, sums, counts in entries:
        out.add_tensor(name + ".in_sum2", sums.astype(np.float32))
        out.add_tensor(name + ".counts", counts.astype(np.float32).reshape(-1, 1))
    out.write_header_to_file()
    out.write_kv_data_to_file()
    out.write_tensors_to_file()
    out.close()


def write_dat(path, entries, context, chunks, text):
    with open(path, "wb") as out:
        def put_text(string):
            out.write(struct.pack("<i", len(string.encode())) + string.encode())

        out.write(struct.pack("<i", len(entries)))
        for name, sums, counts in entries:
            calls = -(-int(counts.max()) // context)
            counted = np.maximum(counts, 1)[:, None]
            means = np.where(counts[:, None] == 0, 1, sums / counted)  # 1 for an expert that got no token
            put_text(name)
            out.write(struct.pack("<ii", calls, sums.size))
            out.write((means * calls).astype("<f4").tobytes())
        out.write(struct.pack("<i", chunks))
        put_text(text)


def main():
    torch.set_num_threads(1)
    folder = os.path.join(windows.FIXTURES, "imatrix")
    heads = {}
    for name, (architecture, context, tokens) in WRITTEN.items():
        model = windows.of_file(windows.TINY) if name == "tiny" else windows.of_name(name)
        tokens = tokens or windows.tokens_of(windows.TINY)
        cut = list(windows.windows(tokens, context))
        collector = Collector(model, architecture)
        collector.watch(lambda: [model(torch.tensor([w])) for w in cut])
        entries = [(n, collector.sums[n], collector.counts[n]) for n in sorted(collector.sums) if n.startswith("blk.")]
        if name == "tiny":
            entries = [e for e in entries if int(re.match(r"blk\.(\d+)", e[0])[1]) in LAYERS]
        write_gguf(os.path.join(folder, name + ".gguf"), entries, context, len(cut), "text.txt")
        write_dat(os.path.join(folder, name + ".dat"), entries, context, len(cut), "text.txt")
        path = windows.TINY if name == "tiny" else windows.path_of(name)
        heads[name] = {"model": os.path.relpath(path, windows.ROOT), "context": context, "windows": len(cut),
                       **({} if name == "tiny" else {"input": tokens})}
        print(f"{name}: {len(cut)} windows, {len(entries)} matrices, counts from "
              f"{min(e[2].min() for e in entries)} to {max(e[2].max() for e in entries)}: "
              f"{[e[0] for e in entries][:12]}")
    with open(os.path.join(folder, "imatrix.json"), "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in heads.items()) + "\n}\n")


if __name__ == "__main__":
    main()
