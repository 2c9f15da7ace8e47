#!/usr/bin/env python3
"""Writes tests/fixtures/samplers.bin: what llama.cpp's samplers leave of random logits, and with which probabilities.

    sampler_vectors.py [--output FILE]

The samplers are those of libllama in the package @node-llama-cpp/linux-x64, which `make peers` installs. DRY looks for
its breakers in the vocabulary of tests/fixtures/tiny.gguf. A case has rows of logits, which follow each other: of the
last one the candidates are compared, and in those before (for mirostat, which remembers) one token is all but certain.

The file, little-endian. u32 seed, cases; each: the words of nb_sampler_params (src/nibble.h) in their order; u32
vocabulary, rows, n; i32 tokens[n], the prefix; F32 spread; u32 kept; i32 tokens[kept], in ascending order; F32
probabilities[kept]. The logits of a row are spread * r for all r of the generator of tests/core/random.h, which goes on
from case to case; those of the prefix's tokens are 5 more, and that of token 3 is 40 more in all rows but the last.

Needs numpy (tests/oracles/requirements.txt).
"""
import argparse
import ctypes
import struct
from ctypes import POINTER, Structure, byref, c_bool, c_char, c_char_p, c_float, c_int32, c_int64, c_size_t, c_uint32
from ctypes import c_void_p
from pathlib import Path

import numpy as np

from train import Random

TESTS = Path(__file__).parents[1]
LIBRARIES = TESTS / "bench/node_modules/@node-llama-cpp/linux-x64/bins/linux-x64"
SEED, CERTAIN = 7, 3
STEPS = ["top_sigmas", "top_k", "typical_p", "top_p", "min_p", "xtc", "temperature"]
OFF = dict(
    temperature=1.0, temperature_range=0.0, temperature_exponent=1.0, top_k=0, top_p=1.0, min_p=0.0, typical_p=1.0,
    top_sigmas=0.0, xtc_probability=0.0, xtc_threshold=0.1, repeat_penalty=1.0, presence_penalty=0.0,
    frequency_penalty=0.0, penalty_last=-1, dry_multiplier=0.0, dry_base=1.75, dry_allowed_length=2, dry_last=-1,
    mirostat=0, mirostat_tau=5.0, mirostat_eta=0.1, steps=STEPS, seed=0)
BREAKERS = ["\n", ":", '"', "*", "the cat"]  # as tests/core/test_sampler_steps.c
TEXTS = [
    "Once upon a time there was a dog. Once upon a time there was a dog. Once upon a time there was a",
    'The boy said: "I am a boy. I am a boy. I am a boy." And the girl said: "I am a boy. I am',
    "one two three one two three one two three\none two three one two",
    "We saw the cat run, and the dog run, and the cat run, and the dog",
    "and and and and and and and and and and and and",
]


class Datum(Structure):
    _fields_ = [("id", c_int32), ("logit", c_float), ("p", c_float)]


class Data(Structure):
    _fields_ = [("data", POINTER(Datum)), ("size", c_size_t), ("selected", c_int64), ("sorted", c_bool)]


class Parameters(Structure):
    """llama_model_params, which is smaller, by value: only the defaults are passed on."""
    _fields_ = [("bytes", c_char * 512)]


def library():
    found = {path.name.split(".")[0]: path for path in LIBRARIES.glob("lib*.so")}
    for name in ["libggml-base", "libggml", "libllama"]:
        last = ctypes.CDLL(str(found[name]), mode=ctypes.RTLD_GLOBAL)
        if name == "libggml":
            last.ggml_backend_load_all_from_path(str(LIBRARIES).encode())
    last.llama_model_default_params.restype = Parameters
    last.llama_model_load_from_file.argtypes, last.llama_model_load_from_file.restype = [c_char_p, Parameters], c_void_p
    last.llama_model_get_vocab.argtypes, last.llama_model_get_vocab.restype = [c_void_p], c_void_p
    last.llama_vocab_n_tokens.argtypes = [c_void_p]
    last.llama_tokenize.argtypes = [c_void_p, c_char_p, c_int32, POINTER(c_int32), c_int32, c_bool, c_bool]
    last.llama_sampler_apply.argtypes, last.llama_sampler_apply.restype = [c_void_p, POINTER(Data)], None
    last.llama_sampler_accept.argtypes, last.llama_sampler_accept.restype = [c_void_p, c_int32], None
    inits = dict(
        top_n_sigma=[c_float], top_k=[c_int32], typical=[c_float, c_size_t], top_p=[c_float, c_size_t],
        min_p=[c_float, c_size_t], xtc=[c_float, c_float, c_size_t, c_uint32], temp_ext=[c_float, c_float, c_float],
        penalties=[c_int32, c_int32, c_float, c_float, c_float], mirostat=[c_int32, c_uint32, c_float, c_float, c_int32],
        mirostat_v2=[c_uint32, c_float, c_float],
        dry=[c_void_p, c_float, c_float, c_int32, c_int32, POINTER(c_char_p), c_size_t])
    for name, types in inits.items():
        function = getattr(last, f"llama_sampler_init_{name}")
        function.argtypes, function.restype = types, c_void_p
    return last


def samplers(lib, vocab, vocabulary, p, prefix):
    def init(name, *arguments):
        return getattr(lib, f"llama_sampler_init_{name}")(*arguments)

    first = [init("penalties", vocabulary, len(prefix) if p["penalty_last"] < 0 else p["penalty_last"],
                  p["repeat_penalty"], p["frequency_penalty"], p["presence_penalty"])]
    if p["dry_multiplier"]:
        breakers = (c_char_p * len(BREAKERS))(*[text.encode() for text in BREAKERS])
        first.append(init("dry", vocab, p["dry_multiplier"], p["dry_base"], p["dry_allowed_length"],
                          len(prefix) if p["dry_last"] < 0 else p["dry_last"], breakers, len(BREAKERS)))
    for sampler in first:
        for token in prefix:
            lib.llama_sampler_accept(sampler, token)
    ways = dict(
        top_sigmas=lambda: init("top_n_sigma", p["top_sigmas"]), top_k=lambda: init("top_k", p["top_k"]),
        typical_p=lambda: init("typical", p["typical_p"], 0), top_p=lambda: init("top_p", p["top_p"], 0),
        min_p=lambda: init("min_p", p["min_p"], 0),
        xtc=lambda: init("xtc", p["xtc_probability"], p["xtc_threshold"], 0, 1),
        temperature=lambda: init("temp_ext", p["temperature"], p["temperature_range"], p["temperature_exponent"]))
    last = {0: [], 1: [("mirostat", vocabulary, 1, p["mirostat_tau"], p["mirostat_eta"], 100)],
            2: [("mirostat_v2", 1, p["mirostat_tau"], p["mirostat_eta"])]}[p["mirostat"]]
    return first + [ways[step]() for step in p["steps"]] + [init(*one) for one in last]


def words(p):
    order = sum((1 + STEPS.index(step)) << 4 * i for i, step in enumerate(p["steps"]))
    out = b""
    for name, default in OFF.items():
        value = order if name == "steps" else p[name]
        out += struct.pack("<f" if isinstance(default, float) else "<i", value)
    return out


def main():
    args = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    args.add_argument("--output", type=Path, default=TESTS / "fixtures/samplers.bin")
    output = args.parse_args().output
    lib = library()
    model = lib.llama_model_load_from_file(str(TESTS / "fixtures/tiny.gguf").encode(), lib.llama_model_default_params())
    vocab = lib.llama_model_get_vocab(model)

    def tokenized(text):
        tokens = (c_int32 * 200)()
        n = lib.llama_tokenize(vocab, text.encode(), len(text.encode()), tokens, 200, False, False)
        return list(tokens[:n])

    cases = []

    def case(vocabulary=100, spread=6.0, rows=1, prefix=(), **changed):
        cases.append((OFF | changed, vocabulary, rows, list(prefix), spread))

    for value in [0.5, 1.0, 2.5]:
        case(top_sigmas=value)
    for value in [1, 7, 100]:
        case(top_k=value)
    for value in [0.1, 0.5, 0.9, 0.99]:
        case(typical_p=value)
        case(typical_p=value, spread=2.0)
        case(top_p=value)
    for value in [0.02, 0.5]:
        case(min_p=value)
    for value in [0.01, 0.05, 0.1, 0.3]:
        case(xtc_probability=1.0, xtc_threshold=value)
        case(xtc_probability=1.0, xtc_threshold=value, spread=3.0, top_k=10)
    for low, exponent in [(0.5, 1.0), (0.7, 2.0), (1.5, 0.5)]:
        case(temperature=0.8, temperature_range=low, temperature_exponent=exponent)
        case(temperature=0.8, temperature_range=low, temperature_exponent=exponent, top_k=12)
    every = dict(top_k=40, typical_p=0.95, top_p=0.9, min_p=0.05, top_sigmas=2.0, xtc_probability=1.0,
                 temperature=0.7, temperature_range=0.2)
    for order in [STEPS, STEPS[::-1], ["temperature", "top_p", "top_k"], ["min_p", "temperature"], ["typical_p"], []]:
        case(steps=order, **every)
        case(steps=order, spread=2.5, **every)
    mirostat = dict(steps=["temperature"])
    for version in [1, 2]:
        for tau in [0.5, 1.0, 2.0, 5.0]:
            case(mirostat=version, mirostat_tau=tau, spread=3.0, **mirostat)
            if version == 2 or tau < 5:  # with more, mirostat 1 overflows an int of the reference
                case(mirostat=version, mirostat_tau=tau, mirostat_eta=0.3, rows=4, spread=3.0, **mirostat)
    prefix = [5, 9, 5, 77, 5, 9]
    for last in [-1, 0, 3]:
        case(prefix=prefix, penalty_last=last, repeat_penalty=1.3, presence_penalty=0.5, frequency_penalty=0.25)
    vocabulary = lib.llama_vocab_n_tokens(vocab)
    for text in TEXTS:
        for dry in [dict(), dict(dry_base=1.2, dry_allowed_length=4), dict(dry_base=1.0), dict(dry_last=12),
                    dict(dry_base=3.0, dry_allowed_length=0), dict(dry_allowed_length=1)]:
            case(vocabulary, prefix=tokenized(text), dry_multiplier=0.8, top_k=24, **dry)

    random = Random(SEED)
    out = struct.pack("<2I", SEED, len(cases))
    for p, vocabulary, rows, prefix, spread in cases:
        chain = samplers(lib, vocab, vocabulary, p, prefix)
        for row in range(rows):
            logits = random.floats((vocabulary,)).numpy().astype(np.float32) * np.float32(spread)
            logits[sorted(set(prefix))] += np.float32(5)
            if row < rows - 1:
                logits[CERTAIN] += np.float32(40)
            data = (Datum * vocabulary)(*[Datum(i, float(x), 0) for i, x in enumerate(logits)])
            left = Data(data, vocabulary, -1, False)
            for sampler in chain:
                lib.llama_sampler_apply(sampler, byref(left))
        kept = sorted((left.data[i].id, left.data[i].logit) for i in range(left.size) if left.data[i].logit > -np.inf)
        x = np.exp(np.array([logit for _, logit in kept], np.float64) - max(logit for _, logit in kept))
        out += words(p) + struct.pack(f"<3I{len(prefix)}if", vocabulary, rows, len(prefix), *prefix, spread)
        out += struct.pack(f"<I{len(kept)}i", len(kept), *[token for token, _ in kept])
        out += (x / x.sum()).astype("<f4").tobytes()
    output.write_bytes(out)
    print(f"{output}: {len(cases)} cases, {len(out)} bytes")


main()
