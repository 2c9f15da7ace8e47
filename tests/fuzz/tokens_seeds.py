#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_tokens: tokens_seeds.py FOLDER

Small vocabularies for each model, with usual scores, and with NaN and infinite ones. Only the standard library is
needed.
"""
import struct
import sys
from pathlib import Path

MODELS = {"gpt2": 0, "llama": 1, "t5": 2, "bert": 3, "gemma4": 4, "whitespace": 5}
NORMAL, UNKNOWN, CONTROL, USER_DEFINED, BYTE = 1, 2, 3, 4, 6
N_PRE = 32
LONG = 8  # the text is repeated
TEXT = "a bb  ab<s> [CLS] Ab'S 12345 東京 é\u0301 ﬁ\u00a0x\n\n\t\ud7ff🙂<x> abab_ab".encode() + b"\xff\xc3"
ALPHABET = list("abs<>x12345'") + ["▁", "Ġ", "##a", "##b", "ab", "bb", "▁a", "Ġa", "東", "é", "abab", "Ã", "©"]
SCORES = [float("nan"), float("inf"), float("-inf"), -1e30, 0.0]


def charsmap(pairs):
    """SentencePiece's precompiled_charsmap: a double-array trie without keys, then texts. It is valid, and the fuzzer
    makes others from it."""
    trie = struct.pack("<4I", 0, 0, 0, 0)
    return struct.pack("<I", len(trie)) + trie + b"".join(p.encode() + b"\0" for p in pairs)


def seed(model, switches, pre, tokens, merges, chars=b"", text=TEXT, long=False):
    out = bytes([MODELS[model] | LONG * long, pre]) + switches.to_bytes(3, "little")
    out += bytes([switches % 251, len(tokens) - 1])
    for name, kind, score in tokens:
        name = name.encode()
        out += bytes([len(name), kind]) + struct.pack("<f", score) + name
    out += bytes([len(merges)])
    for merge in merges:
        out += bytes([len(merge.encode())]) + merge.encode()
    return out + struct.pack("<H", len(chars)) + chars + text


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    special = [("<unk>", UNKNOWN, 0), ("<s>", CONTROL, 0), ("</s>", CONTROL, 0), ("<x>", USER_DEFINED, 0),
               ("[CLS]", CONTROL, 0),
               ("[UNK]", UNKNOWN, 0), ("[SEP]", CONTROL, 0)]
    pieces = [(text, NORMAL, -i / 2) for i, text in enumerate(ALPHABET)]
    some_bytes = [(f"<0x{b:02X}>", BYTE, 0) for b in (0x61, 0xC3, 0xA9, 0xFF, 0x20)]
    merges = ["a b", "b b", "ab ab", "Ġ a", "▁ a", "Ã ©"]
    n = 0
    for model in MODELS:
        for switches in (0, 0x15, 0x7FFFFF, 0xFFFFFF, 0xD55555, 0xAAAAAA, 0x9E2233):
            for pre in range(0, N_PRE, 1 if model == "gpt2" and switches == 0 else 11):
                data = seed(model, switches, pre, special + some_bytes + pieces, merges,
                            charsmap(["x", ""]) if model == "t5" else b"")
                (folder / f"{model}-{switches}-{pre}").write_bytes(data)
                n += 1
        for switches in (0, 0x7FFFFF):
            for i, text in enumerate((TEXT, b"abab_" * 9, b"x<s> <x")):
                (folder / f"{model}-long-{switches}-{i}").write_bytes(seed(model, switches, 0,
                                                                           special + some_bytes + pieces, merges,
                                                                           text=text, long=True))
                n += 1
        for i, score in enumerate(SCORES):
            odd = [(text, kind, score if k % 2 else s) for k, (text, kind, s) in enumerate(special + pieces)]
            (folder / f"{model}-score-{i}").write_bytes(seed(model, 0b100, 0, odd, merges))
            n += 1
    print(f"{folder}: {n} files")


if __name__ == "__main__":
    main()
