"""llama.cpp, by the package cyllama, as the other scripts use it.

With a quantized file llama.cpp rounds every activation to 8 bits, by blocks, and this small model amplifies the
rounding: llama.cpp's own results differ if only the batch size or the cache's type changes (measured by
`tests/oracles/logits_vectors.py --survey`). So the reference is llama.cpp with the same weights as F32 (exact_copy) and
an F32 cache: then nothing is rounded except F32 arithmetic, and every correct program gets the same results.
"""
import os

import cyllama.llama.llama_cpp as binding
import gguf
import libgguf
import numpy as np
from gguf.quants import dequantize

import gguf_files


class Model(binding.LlamaModel):
    @property
    def n_vocab(self):  # get_logits_ith of cyllama 0.2.18 needs it, and the class lacks it
        return self.get_vocab().n_vocab


def weights_of(data, kind):
    """A tensor's bytes or numbers -> F32, by the package gguf, or by libgguf for types that gguf lacks."""
    if kind.name.startswith("I") and kind.name[1:].isdigit() or kind.name == "F64":
        return data.astype(np.float32)
    if kind == gguf.GGMLQuantizationType.Q1_0:
        return libgguf.dequantize_rows(data, int(kind))
    return dequantize(data, kind).astype(np.float32)


def exact_copy(source, target):
    """The same GGUF file, every tensor dequantized to F32."""
    reader = gguf.GGUFReader(source)
    writer = gguf.GGUFWriter(target, reader.fields["general.architecture"].contents())
    gguf_files.copy_keys(reader, writer)
    for tensor in reader.tensors:
        data = weights_of(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, data.reshape(tuple(reversed(tensor.shape))))
    gguf_files.write(writer)


def hidden_states(path, tokens, encoder):
    """The last hidden states with attention over all tokens, [len(tokens), width]."""
    binding.set_log_callback(lambda *_: None)
    params = binding.LlamaModelParams()
    params.n_gpu_layers = 0
    model = Model(path, params)
    params = binding.LlamaContextParams()
    params.n_ctx = params.n_batch = params.n_ubatch = 128
    params.n_threads = params.n_threads_batch = 1
    params.embeddings, params.pooling_type, params.flash_attn_type = True, 0, 0
    context = binding.LlamaContext(model, params)
    batch = binding.LlamaBatch(n_tokens=len(tokens), embd=0, n_seq_max=1)
    for i, token in enumerate(tokens):
        batch.add(token, i, [0], True)
    (context.encode if encoder else context.decode)(batch)
    return np.stack([np.array(context.get_embeddings_ith(i), dtype=np.float32) for i in range(len(tokens))])


class LlamaCpp:
    def __init__(self, path, threads=1, batch=512, context=1024, flash_attention=False, f16_cache=False):
        binding.set_log_callback(lambda *_: None)
        binding.ggml_backend_load_all()
        params = binding.LlamaModelParams()
        params.n_gpu_layers = 0
        params.use_extra_bufts = False  # weights stay in the file's layout
        self.model = Model(os.fspath(path), params)
        self.vocabulary = self.model.get_vocab()
        self.batch = batch
        params = binding.LlamaContextParams()
        params.n_ctx, params.n_batch, params.n_ubatch = context, batch, batch
        params.n_threads = params.n_threads_batch = threads
        params.flash_attn_type = int(flash_attention)
        params.type_k = params.type_v = 1 if f16_cache else 0
        self.context = binding.LlamaContext(self.model, params)

    def tokenize(self, text, special=False):
        return list(self.vocabulary.tokenize(text, True, special))

    def piece(self, token):
        return self.vocabulary.token_to_piece(token, 0, False)

    def evaluate(self, tokens, start=0, last_only=False):
        """tokens at positions start, start + 1, ... -> logits [len(tokens), vocabulary], or only of the last [1,
        ...]."""
        if start == 0:
            self.context.kv_cache_clear()
        rows = []
        for at in range(0, len(tokens), self.batch):
            part = tokens[at: at + self.batch]
            batch = binding.LlamaBatch(n_tokens=len(part), embd=0, n_seq_max=1)
            wanted = [not last_only or at + i == len(tokens) - 1 for i in range(len(part))]
            for i, token in enumerate(part):
                batch.add(token, start + at + i, [0], wanted[i])
            self.context.decode(batch)
            rows += [np.array(self.context.get_logits_ith(i), dtype=np.float32) for i in range(len(part)) if wanted[i]]
        return np.stack(rows)

    def is_end(self, token):
        return self.vocabulary.is_eog(token)
