#!/usr/bin/env python3
"""Tokenizers in the forms of tokenizer.json that nibble reads, and what the library tokenizers makes of texts.

    tokenizer_json.py [OUTPUT = tests/fixtures/tokenizers]

Each is trained on the texts of tests/fixtures/text/texts.bin and written as NAME.json: { tokenizer, config (what
tokenizer_config.json says beside it), cases: [[text, ids, their text]], added: the ids of the first text with what the
post-processor adds }. The texts are every third of texts.bin that is whole UTF-8, and three that hold special tokens.
"""
import json
import os
import struct
import sys
import unicodedata

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, processors, trainers

HERE = os.path.dirname(os.path.abspath(__file__))
CONTRACTIONS = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|"
REST = r"| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
BYTES = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)


def texts():
    data = open(os.path.join(HERE, "../fixtures/text/texts.bin"), "rb").read()
    at, found = 4, []
    while at < len(data):
        (size,) = struct.unpack_from("<I", data, at)
        raw = data[at + 4:at + 4 + size]
        at += 4 + size
        try:
            found.append(raw.decode())
        except UnicodeDecodeError:
            pass
    return found


def byte_level(corpus, pre, ignore_merges=False, normalizer=None):
    tokenizer = Tokenizer(models.BPE(ignore_merges=ignore_merges))
    tokenizer.pre_tokenizer, tokenizer.decoder = pre, decoders.ByteLevel()
    if normalizer:
        tokenizer.normalizer = normalizer
    tokenizer.train_from_iterator(corpus, trainers.BpeTrainer(
        vocab_size=460, special_tokens=["<|begin|>", "<|end|>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False))
    return tokenizer


def split(digits):
    return pre_tokenizers.Sequence([pre_tokenizers.Split(Regex(CONTRACTIONS + digits + REST), "isolated"), BYTES])


def pieces(corpus, prefix, metaspace=None):
    """SentencePiece's BPE, as the converters of transformers write it."""
    trained = Tokenizer(models.BPE())
    trained.pre_tokenizer = pre_tokenizers.Metaspace()
    ascii_only = [t for t in corpus if t.isascii()]
    trained.train_from_iterator(ascii_only, trainers.BpeTrainer(vocab_size=330, show_progress=False))
    model = json.loads(trained.to_str())["model"]
    names = ["<unk>", "<s>", "</s>"] + [f"<0x{b:02X}>" for b in range(256)]
    names += [n for n in sorted(model["vocab"], key=model["vocab"].get) if n not in names]
    vocabulary, merges = {n: i for i, n in enumerate(names)}, [tuple(m) for m in model["merges"]]
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=merges, unk_token="<unk>", fuse_unk=True, byte_fallback=True))
    steps = [normalizers.Prepend("▁")] if prefix else []
    if metaspace:
        tokenizer.pre_tokenizer = metaspace
    else:
        tokenizer.normalizer = normalizers.Sequence([*steps, normalizers.Replace(" ", "▁")])
    strip = [decoders.Strip(" ", 1, 0)] if prefix or metaspace else []
    steps = [decoders.Replace("▁", " "), decoders.ByteFallback(), decoders.Fuse(), *strip]
    tokenizer.decoder = decoders.Sequence(steps)
    tokenizer.add_special_tokens(["<unk>", "<s>", "</s>"])
    return tokenizer


def begins(tokenizer, name):
    special = [(name, tokenizer.token_to_id(name))]
    tokenizer.post_processor = processors.TemplateProcessing(single=f"{name} $A", special_tokens=special)
    return tokenizer


def kinds(corpus):
    begin = {"bos_token": "<|begin|>", "eos_token": "<|end|>"}
    yield "gpt2", byte_level(corpus, pre_tokenizers.ByteLevel(add_prefix_space=False)), begin
    plain = pre_tokenizers.ByteLevel(add_prefix_space=False)
    digits = pre_tokenizers.Sequence([pre_tokenizers.Digits(individual_digits=True), plain])
    yield "smollm", byte_level(corpus, digits), begin
    yield "llama3", begins(byte_level(corpus, split(r"\p{N}{1,3}"), ignore_merges=True), "<|begin|>"), begin
    yield "llama3-merges", byte_level(corpus, split(r"\p{N}{1,3}")), begin
    composed = [unicodedata.normalize("NFC", t) for t in corpus]
    qwen2 = byte_level(composed, split(r"\p{N}"), normalizer=normalizers.NFC())
    qwen2.add_tokens([AddedToken("<tool>", special=False, normalized=False)])
    yield "qwen2", qwen2, {"eos_token": {"content": "<|end|>"}, "bos_token": None}
    ends = {"bos_token": "<s>", "eos_token": "</s>"}
    yield "llama2", begins(pieces(corpus, True), "<s>"), ends
    yield "gemma", begins(pieces(corpus, False), "<s>"), ends
    for scheme in ("always", "first"):
        yield "metaspace-" + scheme, pieces(corpus, True, pre_tokenizers.Metaspace(prepend_scheme=scheme, split=False)), ends


def main():
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(HERE, "../fixtures/tokenizers")
    os.makedirs(output, exist_ok=True)
    corpus = texts()
    for name, tokenizer, config in kinds([t for t in corpus if "<" not in t]):
        end = config["eos_token"] if isinstance(config["eos_token"], str) else config["eos_token"]["content"]
        cases = [*corpus[::3], f"one{end}two{end}", f"{end} a <tool> b", f"{end}   {end}"]
        if name == "qwen2":  # llama.cpp and nibble leave texts as they are
            cases = [t for t in cases if unicodedata.is_normalized("NFC", t)]
        rows = []
        for text in cases:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append([text, ids, tokenizer.decode(ids)])
        path = os.path.join(output, name + ".json")
        with open(path, "w") as f:
            json.dump({"tokenizer": json.loads(tokenizer.to_str()), "config": config, "cases": rows,
                       "added": tokenizer.encode(cases[0]).ids}, f, ensure_ascii=False, separators=(",", ":"))
        print(f"{path}: {os.path.getsize(path)} bytes, {tokenizer.get_vocab_size()} tokens, {len(rows)} texts")


if __name__ == "__main__":
    main()
