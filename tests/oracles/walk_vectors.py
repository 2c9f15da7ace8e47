#!/usr/bin/env python3
"""Writes tests/fixtures/walk/: the statistics of matrices' inputs that calibrated quantizers need, by transformers in
F32.

For each matrix of layer 1 of some small models: the sum of x x^T over all input vectors x, mean |x| and max |x| of each
column, the number of vectors, and the range of all numbers; each expert has its own. Every call of torch's linear() is
recorded (imatrix_vectors.py), and its inputs are added in F64. GPTQ's Hessian (Frantar et al. 2022, equation 1) is 2 /
count times that sum. Matrices with the same inputs have one entry, under the first of their names in alphabetical
order.

A file is a GGUF of these tensors: NAME.products [experts, columns, columns], NAME.mean and NAME.largest [experts,
columns], NAME.count [experts]; NAME.ends [experts, 4]: the least and the largest number, and the moving averages of
both, updated once a window, with the rate of torch.ao's MovingAverageMinMaxObserver (0.01); and the tokens, [windows,
window].
"""
import os

import gguf
import numpy as np
import torch
from torch.ao.quantization import MinMaxObserver, MovingAverageMinMaxObserver

import imatrix_vectors
import windows

LAYER = "blk.1."
WINDOWS, WINDOW = 3, 16
LLAMA = "type-f16"  # of random_models.py; the others are named as in windows.of_name()
MODELS = {LLAMA: "llama", "mixtral": "llama", "gpt2": "gpt2", "bert": "bert", "nomic-bert": "nomic-bert",
          "gemma-embedding": "gemma3"}


class Sums(imatrix_vectors.Collector):
    def see(self, weight, x):
        rows = x.detach().reshape(-1, x.shape[-1]).numpy().astype(np.float64)
        for name, expert, experts in self.known.get(weight.data_ptr(), []):
            if not name.startswith(LAYER):
                continue
            columns = rows.shape[1]
            products, magnitudes, largest, counts, ends = self.sums.setdefault(
                name, (np.zeros((experts, columns, columns)), np.zeros((experts, columns)),
                       np.zeros((experts, columns)),
                       np.zeros(experts, np.int32), [None] * experts))
            products[expert] += rows.T @ rows
            magnitudes[expert] += np.abs(rows).sum(axis=0)
            if len(rows):
                largest[expert] = np.maximum(largest[expert], np.abs(rows).max(axis=0))
            counts[expert] += len(rows)
            if len(rows):
                ends[expert] = ends[expert] or [MinMaxObserver(), MovingAverageMinMaxObserver(averaging_constant=0.01)]
                for observer in ends[expert]:
                    observer(x)


def main():
    torch.set_num_threads(1)
    folder = os.path.join(windows.FIXTURES, "walk")
    os.makedirs(folder, exist_ok=True)
    for model_name, architecture in MODELS.items():
        model = windows.of_file(windows.path_of(LLAMA)) if model_name == LLAMA else windows.of_name(model_name)
        tokens = np.random.default_rng(5).integers(2, model.config.vocab_size - 2, (WINDOWS, WINDOW)).astype(np.int32)
        sums = Sums(model, architecture)
        sums.watch(lambda: [model(torch.tensor([w.tolist()])) for w in tokens])
        out = gguf.GGUFWriter(os.path.join(folder, model_name + ".gguf"), "")
        out.add_tensor("tokens", tokens)
        written = []
        for name, (products, magnitudes, largest, counts, ends) in sorted(sums.sums.items()):
            if any(np.array_equal(products, other) for other in written):
                continue
            written.append(products)
            out.add_tensor(name + ".products", products.astype(np.float32))
            out.add_tensor(name + ".mean", (magnitudes / np.maximum(counts, 1)[:, None]).astype(np.float32))
            out.add_tensor(name + ".largest", largest.astype(np.float32))
            out.add_tensor(name + ".count", counts)
            ends = [[end.item() for o in of or [] for end in (o.min_val, o.max_val)] or [0] * 4 for of in ends]
            out.add_tensor(name + ".ends", np.array(ends, np.float32))
            print(f"{model_name}: {name}, counts {counts.tolist()}")
        out.write_header_to_file()
        out.write_kv_data_to_file()
        out.write_tensors_to_file()
        out.close()


if __name__ == "__main__":
    main()
