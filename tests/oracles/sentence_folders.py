#!/usr/bin/env python3
"""Writes small models with random weights as sentence-transformers' folders, and the library's embeddings of texts.

    sentence_folders.py [OUTPUT = tests/fixtures/sentence] [NAME ...]

OUTPUT/base-KIND has only a transformer: config.json, weights, tokenizer. OUTPUT/NAME has the other files of such a
folder: modules.json and the files that it names, most of them saved by the library, some as its versions before 6 wrote
them. cases.json has for each NAME its base, and texts with the library's vectors, computed in F32 from the two folders
merged.
"""
import json
import os
import shutil
import sys
import tempfile
import warnings

import numpy as np
import safetensors.torch
import torch
import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from torch import nn

import encoder_models
import family_models
import random_models
from family_models import SIZES, VOCABULARY

warnings.simplefilter("ignore")
THIN = dict(num_hidden_layers=1, max_position_embeddings=64)
WIDTH = 32
TEXTS = ["an old bee danced", "Hello, good old friend! Did the leaf fall?", "i"]
LONG = "a long time ago the bones of a beast and all of its gold lied here in the sand of a far island"


def write_json(path, value):
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as out:
        json.dump(value, out, indent=1)
        out.write("\n")


def write_tokenizer(folder, before, after):
    """Writes a tokenizer.json: byte-level BPE without merges, with optional tokens before and after a text."""
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    specials = [dict(flags, id=i, content=t, special=True) for i, t in enumerate(VOCABULARY) if t.startswith("<|")]
    parts = [before and {"SpecialToken": {"id": before, "type_id": 0}}, {"Sequence": {"id": "A", "type_id": 0}},
             after and {"SpecialToken": {"id": after, "type_id": 0}}]
    single = [p for p in parts if p]
    used = {t: {"id": t, "ids": [VOCABULARY.index(t)], "tokens": [t]} for t in (before, after) if t}
    template = {"type": "TemplateProcessing", "single": single, "special_tokens": used,
                "pair": single + [{"Sequence": {"id": "B", "type_id": 1}}]}
    write_json(f"{folder}/tokenizer.json", {
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": specials, "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "trim_offsets": True, "use_regex": True},
        "post_processor": template if used else None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "trim_offsets": True, "use_regex": True},
        "model": {"type": "BPE", "dropout": None, "unk_token": None, "continuing_subword_prefix": None,
                  "end_of_word_suffix": None, "fuse_unk": False, "byte_fallback": False,
                  "vocab": {t: i for i, t in enumerate(VOCABULARY)}, "merges": []}})
    write_json(f"{folder}/tokenizer_config.json", {
        "tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<|begin|>", "eos_token": "<|end|>",
        "pad_token": "<|end|>"})


def base_models():
    bert = encoder_models.random_model("Bert", THIN, 5001)
    qwen = family_models.random_model("Qwen3", dict(SIZES, head_dim=12, **THIN), 5002).model
    gemma = random_models.random_model("gemma3", dict(
        random_models.GEMMA, vocab_size=len(VOCABULARY), num_hidden_layers=2, max_position_embeddings=64,
        sliding_window=7,
        use_bidirectional_attention=True), 5003).model
    return {"bert": (bert, "<|begin|>", "<|end|>"), "qwen3": (qwen, None, None),
            "gemma": (gemma, "<|begin|>", "<|end|>")}


def write_base(folder, model, before, after):
    shutil.rmtree(folder, ignore_errors=True)
    model.half().save_pretrained(folder)
    write_tokenizer(folder, before, after)


def dense(inputs, outputs, activation, bias, seed, **more):
    """A module with weights that are exact in F16."""
    generator = torch.Generator().manual_seed(seed)
    module = modules.Dense(inputs, outputs, bias=bias, activation_function=activation, **more)
    with torch.no_grad():
        for p in module.parameters():
            p.copy_((p.shape[-1] ** -0.5 * 2 * torch.randn(p.shape, generator=generator)).half())
    return module


def layer_norm(size, seed):
    generator = torch.Generator().manual_seed(seed)
    module = modules.LayerNorm(size)
    with torch.no_grad():
        module.norm.weight.copy_(1 + 0.3 * torch.randn(size, generator=generator))
        module.norm.bias.copy_(0.3 * torch.randn(size, generator=generator))
    return module


def pooling(mode, **more):
    return modules.Pooling(WIDTH, mode, **more)


# name: (base, modules after the transformer, other options of the model)
SAVED = {
    "mean": ("bert", lambda: [pooling("mean")], {}),
    "mean-sqrt": ("bert", lambda: [pooling("mean_sqrt_len_tokens"), modules.Normalize()], {}),
    "labse": ("bert", lambda: [pooling("cls"), dense(WIDTH, WIDTH, nn.Tanh(), True, 1), modules.Normalize()], {}),
    "several": ("bert", lambda: [pooling(("weightedmean", "max", "cls", "lasttoken")),
                                 dense(4 * WIDTH, 20, nn.GELU(), True, 2), modules.Dropout(0.5),
                                 layer_norm(20, 3)], {}),
    "truncated": ("bert", lambda: [pooling("mean"), modules.Normalize()], dict(truncate_dim=12)),
    "prompts": ("bert", lambda: [pooling("mean", include_prompt=False), modules.Normalize()],
                dict(prompts={"query": "ask: ", "passage": "read: ", "none": ""}, default_prompt_name="query")),
    "prompts-pooled": ("bert", lambda: [pooling(["cls", "mean"])], dict(prompts={"query": "ask: ", "find": "find\n"})),
    "prompt-positions": ("qwen3", lambda: [pooling(("cls", "weightedmean", "max"), include_prompt=False)],
                         dict(prompts={"query": "ask: "}, default_prompt_name="query")),
    "decoder-last": ("qwen3", lambda: [pooling("lasttoken"), modules.Normalize()], {}),
    "decoder-mean": ("qwen3", lambda: [pooling("mean")], {}),
    "decoder-cls": ("qwen3", lambda: [pooling("cls"), modules.Normalize()], {}),
    "decoder-weighted": ("qwen3", lambda: [pooling("weightedmean")], {}),
    "activations": ("bert", lambda: [pooling("max")] + [
        dense(WIDTH if i == 0 else 16, 16, activation(), i % 2 == 0, 10 + i)
        for i, activation in enumerate((nn.ReLU, nn.SiLU, nn.Sigmoid, nn.ELU, nn.LeakyReLU, nn.Softplus,
                                        nn.Mish))], {}),
    "embedding-gemma": ("gemma", lambda: [pooling("mean"), dense(WIDTH, 48, None, False, 7),
                                          dense(48, WIDTH, None, False, 8),
                                          modules.Normalize()], dict(prompts={"query": "task: find | ask: "})),
    "two-dense": ("qwen3", lambda: [pooling("mean"), dense(WIDTH, 48, None, False, 4), dense(48, WIDTH, None, False, 5),
                                    modules.Normalize()], {}),
}

OLD = "sentence_transformers.models."
OLD_POOLING = dict.fromkeys((f"pooling_mode_{m}" for m in (
    "cls_token", "mean_tokens", "max_tokens", "mean_sqrt_len_tokens", "weightedmean_tokens", "lasttoken")), False)


def old_modules(*parts):
    return [{"idx": i, "name": str(i), "path": path, "type": OLD + kind} for i, (path, kind) in enumerate(parts)]


# name: (base, files as versions before 6, or people, wrote them)
WRITTEN = {
    "old-several": ("bert", {
        "modules.json": old_modules(("", "Transformer"), ("1_Pooling", "Pooling"), ("2_Normalize", "Normalize")),
        "1_Pooling/config.json": dict(OLD_POOLING, word_embedding_dimension=WIDTH, pooling_mode_mean_tokens=True,
                                      pooling_mode_cls_token=True, pooling_mode_max_tokens=True, include_prompt=True),
        "config_sentence_transformers.json": {"__version__": {"sentence_transformers": "3.0.0"}, "prompts": {},
                                              "default_prompt_name": None, "similarity_fn_name": "dot"},
        "sentence_bert_config.json": {"max_seq_length": 12, "do_lower_case": False}}),
    "old-no-mode": ("bert", {
        "modules.json": old_modules(("", "Transformer"), ("1_Pooling", "Pooling")),
        "1_Pooling/config.json": dict(OLD_POOLING, word_embedding_dimension=WIDTH),
        "sentence_roberta_config.json": {"max_seq_length": 9}}),
    "elsewhere": ("bert", {
        "modules.json": [{"idx": 0, "name": "t", "path": "", "type": OLD + "Transformer"},
                         {"idx": 1, "name": "p", "path": "how/pool", "type": OLD + "Pooling"},
                         {"idx": 2, "name": "d", "path": "Projection", "type": OLD + "Dense"}],
        "how/pool/config.json": {"embedding_dimension": WIDTH, "pooling_mode": ["mean"]},
        "Projection/config.json": {"in_features": WIDTH, "out_features": 8, "bias": False}, # Tanh
        "Projection/model.safetensors": lambda: {"linear.weight": dense(WIDTH, 8, None, False, 6).linear.weight}}),
    "longest": ("qwen3", { # as version 6 writes it
        "modules.json": old_modules(("", "Transformer"), ("1_Pooling", "Pooling")),
        "1_Pooling/config.json": {"embedding_dimension": WIDTH, "pooling_mode": "mean"},
        "tokenizer_config.json": {"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|end|>",
                                  "pad_token": "<|end|>", "model_max_length": 11, "truncation_side": "left"}}),
    "positions": ("bert", { # no file has a length: it is config.json's max_position_embeddings
        "modules.json": old_modules(("", "Transformer"), ("1_Pooling", "Pooling")),
        "1_Pooling/config.json": {"embedding_dimension": WIDTH, "pooling_mode": "mean"}}),
}


def lay_together(folder, *parts):
    for part in parts:
        shutil.copytree(part, folder, dirs_exist_ok=True)


def save(folder, base, make, options):
    """Saves the files that the library writes beside a transformer."""
    whole = tempfile.mkdtemp()
    transformer = modules.Transformer(base, model_kwargs=dict(dtype=torch.float32))
    SentenceTransformer(modules=[transformer, *make()], device="cpu", **options).save(whole, create_model_card=False)
    for path, _, files in os.walk(whole):
        for name in files:
            within = os.path.relpath(os.path.join(path, name), whole)
            if within.endswith("README.md") or os.path.exists(os.path.join(base, within)):
                continue
            os.makedirs(os.path.dirname(os.path.join(folder, within)), exist_ok=True)
            if name.endswith(".safetensors"):
                tensors = safetensors.torch.load_file(os.path.join(path, name))
                halves = {n: t.half() for n, t in tensors.items() if t.dim() == 2} if "several" in folder else {}
                safetensors.torch.save_file(tensors | halves, os.path.join(folder, within), {"format": "pt"})
            else:
                shutil.copy(os.path.join(path, name), os.path.join(folder, within))


def write(folder, files):
    for name, content in files.items():
        path = os.path.join(folder, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        if callable(content):
            safetensors.torch.save_file({n: t.detach().clone() for n, t in content().items()}, path, {"format": "pt"})
        else:
            write_json(path, content)


def cases_of(name, model):
    """(text, options of encode())."""
    cases = [(text, {}) for text in TEXTS]
    if name in ("old-several", "old-no-mode", "longest", "positions"):
        cases.append((LONG, {}))
    for prompt in model.prompts:
        if name.startswith("prompt"):
            cases.append((TEXTS[0], {"prompt_name": prompt}))
    if name.startswith("prompt"):
        cases.append((TEXTS[1], {"prompt": "one of its own: "}))
    return cases


def main():
    torch.set_num_threads(1)
    transformers.logging.set_verbosity_error()
    here = os.path.dirname(os.path.abspath(__file__))
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(here, "../fixtures/sentence")
    wanted = sys.argv[2:]
    for kind, (model, before, after) in base_models().items():
        write_base(os.path.join(output, "base-" + kind), model, before, after)
    index = os.path.join(output, "cases.json")
    known = json.load(open(index, encoding="utf-8")) if wanted and os.path.exists(index) else {}
    for name, (kind, *rest) in (SAVED | WRITTEN).items():
        if wanted and name not in wanted:
            continue
        base, folder, whole = os.path.join(output, "base-" + kind), os.path.join(output, name), tempfile.mkdtemp()
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        if name in SAVED:
            save(folder, base, *rest)
        else:
            write(folder, *rest)
        lay_together(whole, base, folder)
        model = SentenceTransformer(whole, device="cpu", model_kwargs=dict(dtype=torch.float32))
        texts = []
        for text, options in cases_of(name, model):
            vector = model.encode([text], **options)[0]
            assert vector.dtype == np.float32
            texts.append({"text": text, **options, "vector": [float(f"{x:.7g}") for x in vector]})
        known[name] = {"base": "base-" + kind, "texts": texts}
        print(f"{name}: {len(texts)} texts of {len(texts[0]['vector'])} numbers")
    with open(index, "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(n)}: {json.dumps(case)}" for n, case in known.items()) + "\n}\n")


if __name__ == "__main__":
    main()
