#!/usr/bin/env python3
"""Writes tests/fixtures/formats/llamacpp-folders.json: safetensors folders converted by llama.cpp's own tools.

    llamacpp_folders.py [--output FILE] [--check] [NAME ...]

Each folder of FOLDERS, in tests/fixtures/safetensors, is converted by llama.cpp's converter (the package `conversion`
beside convert_hf_to_gguf.py) with --outtype q8_0. The script records the keys of the file, with types and values, and
for each tensor the type and the first 8 digits of the SHA-256 of its bytes, padded with zeros to 32.
tests/js/llamacpp-folders.test.js expects the same from `nibble quantize`.

--check also lets llama.cpp load the file that nibble writes (web/cli.js must be built). Its logits on those weights in
F32 must be nibble's within 0.02, and its tokens the same.

The converter is in build/llama.cpp, where `make vocabularies` puts it. Vocabularies are compared elsewhere: here all
folders have one of GPT-2's kind, with the tokens as tokenizer.json has them, since the converter knows vocabularies by
a hash.
"""
import argparse
import hashlib
import json
import logging
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "build/llama.cpp"), str(ROOT / "build/llama.cpp/gguf-py")]
import cyllama.llama.llama_cpp as binding
import gguf
import numpy as np
from conversion import base, get_model_class

import llamacpp

# name of the folder: keys that the converter needs and config.json lacks
FOLDERS = {
    "llama-f32": {}, "llama-sharded": {}, "llama-3": {}, "llama-yarn": {}, "mistral": {}, "mixtral": {}, "qwen2": {},
    "qwen3": {},
    "gemma": {}, "gemma2": {}, "gemma3": {}, "phi3": {}, "phi3-partial": {}, "phi3-long": {}, "olmo2": {}, "olmo3": {},
    "stablelm": {},
    "gpt2": dict(n_ctx=44), "gpt-neox": dict(rotary_pct=0.25), "falcon": dict(num_kv_heads=1), "falcon-40b": {},
    "phi": {},
    "smollm3": {}, "granite": {}, "ernie4_5": {}, "qwen2-moe": {}, "qwen3-moe": {}, "deepseek": {}, "bert": {},
    "roberta": {},
}
# Models that llama.cpp reads but computes differently; tests/js/llamacpp-folders.test.js expects nibble to say so.
OTHERWISE = ("mistral", "phi3", "gemma3")
ENCODERS = ("bert", "roberta")

# Keys that nibble leaves out or writes differently, and why.
LEFT_OUT = re.compile("|".join((
    r"general\.(name|type|size_label|.*basename.*|.*finetune.*)",  # from the folder's name
    r".*\.vocab_size", r".*\.tensor_data_layout",                  # llama.cpp does not need them
    r"falcon\.context_length", r"phi2\.feed_forward_length",      # there always 2048, and 4 times the width
    r"phi3\.attention\.sliding_window",                            # llama.cpp ignores it
    r"deepseek\.(expert_weights_scale|expert_weights_norm|expert_gating_func|rope\.scaling\.type)",  # the defaults
    r".*\.attention\.sliding_window_pattern",
    r"olmo2\.rope\.scaling\.yarn_attn_factor",                    # llama.cpp reads it in other architectures alone
    r"tokenizer\.ggml\.add_(bos|eos|sep)_token",                   # nibble adds the tokens that transformers adds
    r"tokenizer\.ggml\.merges", r"tokenizer\.ggml\.add_space_prefix",
    r"tokenizer\.ggml\..*(fim|eot|prefix|suffix|middle).*",
    r"GGUF\..*",
)) + "$")


def vocabulary(model):
    tokenizer = json.loads((model.dir_model / "tokenizer.json").read_text())
    names = {i: token for token, i in tokenizer["model"]["vocab"].items()}
    special = {token["id"] for token in tokenizer["added_tokens"]}
    kinds = [3 if i in special else 1 if i in names else 5 for i in range(model.hparams["vocab_size"])]
    return [names.get(i, f"[PAD{i}]") for i in range(len(kinds))], kinds, "gpt-2"


def set_vocabulary(model):
    model._set_vocab_gpt2()
    if not any("tokenizer.ggml.merges" in shard for shard in model.gguf_writer.kv_data):
        model.gguf_writer.add_token_merges(["x y"])  # the writer writes no empty lists, and llama.cpp needs the key
    if isinstance(model, get_model_class("BertModel")):
        model.gguf_writer.add_token_type_count(model.hparams["type_vocab_size"])


def converted(source, config, work):
    """llama.cpp's GGUF in Q8_0."""
    folder, target = work / "folder", work / "q8_0.gguf"
    shutil.copytree(source, folder)
    path = folder / "tokenizer_config.json"
    tokens = json.loads(path.read_text()) if path.exists() else {}
    path.write_text(json.dumps({key: v["content"] if isinstance(v, dict) else v for key, v in tokens.items()}))
    hparams = base.ModelBase.load_hparams(folder, False) | config
    kind = get_model_class(base.get_model_architecture(hparams, base.ModelType.TEXT), mmproj=False)
    kind.set_vocab, kind.get_vocab_base = set_vocabulary, vocabulary
    needless = (".attn.bias", "lm_head.weight") if hparams.get("tie_word_embeddings") else (".attn.bias",)
    kind.filter_tensors = classmethod(lambda cls, item, old=kind.filter_tensors: None if item[0].endswith(needless)
                                      else old(item))
    kind(folder, gguf.LlamaFileType.MOSTLY_Q8_0, target, hparams=hparams).write()
    return gguf.GGUFReader(target)


def digest(data):
    return hashlib.sha256(data + bytes(-len(data) % 32)).hexdigest()[:8]


def value_of(field):
    value = field.contents()
    if isinstance(value, list):
        return [field.types[-1].name.lower(), "list", digest("\n".join(map(str, value)).encode())]
    return [field.types[0].name.lower(), value]


def noted(reader):
    keys = {key: value_of(field) for key, field in reader.fields.items() if not LEFT_OUT.match(key)}
    tensors = {t.name: f"{t.tensor_type.name} {digest(t.data.tobytes())}" for t in reader.tensors}
    return {"keys": keys, "tensors": tensors}


def nibble(*words):
    return subprocess.run(["node", ROOT / "web/cli.js", *words], check=True, capture_output=True, text=True).stdout


def check(name, work):
    """Compares llama.cpp with nibble, both with the file that nibble writes."""
    path, exact, logits = work / "nibble.gguf", work / "exact.gguf", work / "logits.f32"
    nibble("quantize", ROOT / "tests/fixtures/safetensors" / name, path, "--type", "q8_0")
    no_empty_lists(lambda: llamacpp.exact_copy(path, exact))
    tokens = np.random.default_rng(7).integers(3, 80, 36).tolist()
    if name in ENCODERS:
        theirs = llamacpp.hidden_states(str(exact), tokens, True)
        vector = theirs[0] if name == "bert" else theirs.mean(0)
        mine = np.array(json.loads(nibble("embed", path, "--tokens", ",".join(map(str, tokens)))))
        difference = abs(vector / np.linalg.norm(vector) - mine).max()
        print(f"{name}: llama.cpp's embedding is nibble's within {difference:.2g}")
        assert difference < 0.005, name
        return
    engine = llamacpp.LlamaCpp(exact, context=64)
    nibble("eval", path, "--tokens", ",".join(map(str, tokens)), "--logits", logits)
    mine = np.fromfile(logits, np.float32).reshape(len(tokens), -1)
    difference = abs(mine - engine.evaluate(tokens)).max()
    text = "Hello, <|end|> world 12\n  there"
    same = engine.tokenize(text, True) == json.loads(nibble("tokenize", path, "--special", "--text", text))
    print(f"{name}: llama.cpp's logits are nibble's within {difference:.2g}, "
          f"its tokens are {'the same' if same else 'different'}")
    assert same and (difference < 0.02) == (name not in OTHERWISE), name


def no_empty_lists(act):
    """GGUFWriter writes none."""
    old = gguf.GGUFWriter.add_key_value

    def add(self, key, value, kind, sub_type=None):
        empty = isinstance(value, list) and not value
        old(self, key, ["x y"] if empty else value, kind, None if empty else sub_type)
    gguf.GGUFWriter.add_key_value = add
    act()
    gguf.GGUFWriter.add_key_value = old


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--output", default=ROOT / "tests/fixtures/formats/llamacpp-folders.json", type=Path)
    parser.add_argument("--check", action="store_true")
    parser.add_argument("names", nargs="*", default=list(FOLDERS))
    asked = parser.parse_args()
    logging.disable(logging.CRITICAL)
    binding.set_log_callback(lambda *_: None)
    binding.ggml_backend_load_all()
    made = json.loads(asked.output.read_text()) if asked.output.exists() else {}
    for name in asked.names:
        with tempfile.TemporaryDirectory() as work:
            made[name] = noted(converted(ROOT / "tests/fixtures/safetensors" / name, FOLDERS[name], Path(work)))
            if asked.check:
                check(name, Path(work))
    asked.output.write_text("{\n" + ",\n".join(f"{json.dumps(name)}: {json.dumps(made[name])}" for name in FOLDERS
                                               if name in made) + "\n}\n")
    print(f"{asked.output}: {len(made)} folders, {asked.output.stat().st_size} bytes")


if __name__ == "__main__":
    main()
