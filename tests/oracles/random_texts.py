#!/usr/bin/env python3
"""Writes random texts and their tokens by the library tokenizers, with every tokenizer of tests/fixtures/tokenizers.

    random_texts.py [--show NAME FIRST]

Writes tests/fixtures/text/random.json: { atoms, added, aHash, hashes: { NAME: [...] }, variants: { NAME: { of, change,
added } } }. A variant is another tokenizer with some members changed and added tokens appended. A text is 1 to 12
atoms: from the list, the names of the tokenizer's added tokens, and some of its other tokens. A generator of 32 bits
chooses them, which tests/support/random-strings.js has too, so texts are not stored. A hash covers 25 texts: FNV-1a of
their tokens, and of the decoded texts. --show prints the texts from FIRST on with their tokens and the decoded texts.
"""
import json
import pathlib
import sys

from tokenizers import Tokenizer

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "tokenizers"
TEXTS, VARIANTS_TEXTS, A_HASH = 1000, 400, 25
ATOMS = [
    " ", "  ", "   ", "\t", "\n", "\r\n", "\r", "\u00a0", "\u3000", "\u2003", "\u0085", "\u200b", "\u2028", "\u1680",
    "a", "E", "b", "x", "the", "Hello", "wonderful", " it", " was", "\u00e9", "e\u0301", "E\u0300", "\u017f", "\u0130",
    "\u00df",
    "\u01c4", "\ufb01", "\u212a", "\u212b", "\u00c5", "\uac00", "\u1100", "\u1161", "\u11a8", "\u6f22", "\u4eba",
    "\uf900",
    "\u3042", "\uff71", "\uff9e", "\u0e01", "\u0e33", "\u0915", "\u093f", "\u094d", "\u0958", "\u0391\u0345", "\u0416",
    "\u05d0",
    "\u0301", "\u0338", "\u0323", "\ufe0f", "\u200d", "\u0327", "\u0600", "\u0627", "\U0001f600",
    "\U0001f469\u200d\U0001f4bb",
    "\U0001f1e9\U0001f1ea", "1", "23", "4567", "\u00b2", "\u2163", "\u0663", "\uff11", "\u2460", "'", "'s", "'S",
    "'\u017f", "'Re",
    "'LL", "it'\u017fo", ".", ",", "!", "?", " .", " n't", " 'm", " do not", "<", ">", "[", "]", "#", "##", "_", "-",
    "\u2026",
    "\u201c", "\u2581", "\u2581\u2581", "$", "^", "`", "\u20ac", "\0", "\x07", "\x1c", "\x7f", "\u00ad", "\ufffd",
    "\ufeff",
    "\ue000", "\u0378", "\U000e0041", "\uff01", "\u3002", "<0x41>", "</s", "<|en", "e\u0301\u0323", "q\u0307\u0323",
]


# Added tokens of every type: the content and the flags that are set.
ADDED = [("[NEW]", "normalized"), ("\u00c9!", "normalized"), ("e\u0301x", ""), ("<sp>", "special lstrip rstrip"),
         ("<left>", "special lstrip"), ("<right>", "rstrip"), ("word", "single_word"),
         ("Word2", "single_word normalized"),
         ("ab", ""), ("abc", ""), ("bcd", ""), ("cdex", "special"), ("Hello wo", "normalized"), ("wo", "normalized"),
         ("\u2581it", "normalized"), ("the", "single_word lstrip rstrip normalized"),
         ("<tool>", ""), ("<tool></tool>", ""), ("\u00e9\u4eba", "")]
ADDED_ATOMS = ["[new]", "\u00e9!", "word", "words", "WORD2", "a", "ab", "bc", "d", "dex", "bcdex", "wo", "Hello wo",
               "</tool>", "sp>"]


def bert(**change):
    return {"normalizer": {"type": "BertNormalizer", "clean_text": True, "handle_chinese_chars": True,
                           "strip_accents": None, "lowercase": True} | change}


def metaspace(scheme, split):
    return {"type": "Metaspace", "replacement": "\u2581", "prepend_scheme": scheme, "split": split}


def steps(kind, name, *members):
    return {kind: {"type": "Sequence", name: list(members)}}


REPLACE = {"type": "Replace", "pattern": {"String": "\u2581"}, "content": " "}
FUSE = {"type": "Fuse"}
strip = lambda start: {"type": "Strip", "content": " ", "start": start, "stop": 0}
VARIANTS = {
    **{f"{of}-added": (of, {}) for of in ("gpt2", "roberta", "llama3", "qwen2", "gptneox", "llama2", "gemma", "phi3",
                                          "metaspace-first", "metaspace-always", "t5", "xlm-r-strip", "unigram-first",
                                          "bert", "bert-cased")},
    "bert-chinese": ("bert", bert(handle_chinese_chars=False)),
    "bert-raw": ("bert", bert(clean_text=False)),
    "bert-accents": ("bert", bert(strip_accents=False)),
    "bert-capitals": ("bert", bert(strip_accents=True, lowercase=False)),
    "bert-nfc": ("bert", steps("normalizer", "normalizers", {"type": "NFC"}, bert()["normalizer"])),
    "bert-cleanup": ("bert", {"decoder": {"type": "WordPiece", "prefix": "##", "cleanup": True}}),
    "bert-no-decoder": ("bert-cased", {"decoder": None}),
    "pieces-split": ("metaspace-always", {"pre_tokenizer": metaspace("always", True)}),
    "pieces-never": ("metaspace-always", {"pre_tokenizer": metaspace("never", True)}),
    "pieces-white": ("metaspace-always", steps("pre_tokenizer", "pretokenizers", {"type": "WhitespaceSplit"},
                                               metaspace("first", True))),
    "pieces-decoder": ("metaspace-always", {"decoder": metaspace("always", True)}),
    "pieces-strip": ("llama2", steps("decoder", "decoders", REPLACE, {"type": "ByteFallback"}, FUSE, strip(3))),
    "pieces-no-fallback": ("llama2", steps("decoder", "decoders", REPLACE, FUSE)),
    "unigram-nfc": ("t5", steps("normalizer", "normalizers", {"type": "NFC"},
                                {"type": "Strip", "strip_left": True, "strip_right": True})),
    "unigram-never": ("flan-t5", {"pre_tokenizer": metaspace("never", False), "decoder": metaspace("never", False)}),
    "unigram-white-first": ("t5", steps("pre_tokenizer", "pretokenizers", {"type": "WhitespaceSplit"},
                                        metaspace("first", True))),
    "unigram-decoder": ("t5", steps("decoder", "decoders", REPLACE, FUSE, strip(1))),
    "bytes-no-decoder": ("gpt2", {"decoder": None}),
}


def variant(written, change, added):
    written = written | change
    if not added:
        return written
    vocab, tokens = written["model"]["vocab"], list(written["added_tokens"])
    ids = vocab.values() if isinstance(vocab, dict) else range(len(vocab))
    known, at = {t["content"] for t in tokens}, max([*ids, *(t["id"] for t in tokens)]) + 1
    for content, flags in added:
        if content in known:
            continue
        own = vocab.get(content) if isinstance(vocab,
                                               dict) else next((i for i, v in enumerate(vocab)
                                                                if v[0] == content), None)
        tokens.append({"id": at if own is None else own, "content": content} | {
            flag: flag in flags.split() for flag in ("single_word", "lstrip", "rstrip", "normalized", "special")})
        at += own is None
    return written | {"added_tokens": tokens}


class Random:
    """Numerical Recipes' generator."""

    def __init__(self, seed):
        self.state = seed

    def below(self, n):
        self.state = (self.state * 1664525 + 1013904223) & 0xFFFFFFFF
        return self.state * n >> 32


def atoms_of(written):
    """The atoms of a tokenizer.json."""
    added = [t["content"] for t in written["added_tokens"]]
    vocab = written["model"]["vocab"]
    names = sorted(vocab, key=vocab.get) if isinstance(vocab, dict) else [name for name, _ in vocab]
    some = [name for name in names[3::17] if "\u0100" > name[:1] or name[:1] == "\u2581"]
    changed = [a.upper() for a in added] + [a.lower() for a in added] + [a[:-1] for a in added]
    return ATOMS + ADDED_ATOMS + added * 4 + changed + some


def texts_of(written, count):
    atoms, random = atoms_of(written), Random(len(written["added_tokens"]) + 1)
    for _ in range(count):
        yield "".join(atoms[random.below(len(atoms))] for _ in range(1 + random.below(12)))


def fnv(hash, data):
    for byte in data:
        hash = (hash ^ byte) * 0x01000193 & 0xFFFFFFFF
    return hash


def main():
    tokenizers = {path.stem: json.loads(path.read_text())["tokenizer"] for path in sorted(OUT.glob("*.json"))}
    written_variants = {}
    for name, (of, change) in VARIANTS.items():
        added = ADDED if name.endswith("-added") else []
        tokenizers[name] = variant(tokenizers[of], change, added)
        written_variants[name] = {"of": of, "change": change, "added": bool(added)}
    if sys.argv[1:2] == ["--show"]:
        written, first = tokenizers[sys.argv[2]], int(sys.argv[3])
        library = Tokenizer.from_str(json.dumps(written))
        for text in list(texts_of(written, first + A_HASH))[first:]:
            encoding = library.encode(text, add_special_tokens=False)
            print(json.dumps([text, encoding.ids, library.decode(encoding.ids)]))
        return
    hashes = {}
    for name, written in tokenizers.items():
        library = Tokenizer.from_str(json.dumps(written))
        library.no_truncation()
        library.no_padding()
        hashes[name], hash = [], 0x811C9DC5
        for i, text in enumerate(texts_of(written, VARIANTS_TEXTS if name in VARIANTS else TEXTS)):
            ids = library.encode(text, add_special_tokens=False).ids
            hash = fnv(hash, b"".join(id.to_bytes(3, "little") for id in ids))
            hash = fnv(hash, library.decode(ids).encode())
            if i % A_HASH == A_HASH - 1:
                hashes[name].append(hash)
                hash = 0x811C9DC5
    path = OUT.parent / "text" / "random.json"
    path.write_text(json.dumps({"atoms": ATOMS + ADDED_ATOMS, "added": ADDED, "aHash": A_HASH, "hashes": hashes,
                                "variants": written_variants}, ensure_ascii=True, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes, {len(hashes)} tokenizers")


if __name__ == "__main__":
    main()
