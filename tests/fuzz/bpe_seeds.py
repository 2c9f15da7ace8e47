#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_bpe: bpe_seeds.py FOLDER"""
import sys
from pathlib import Path

TEXTS = ["aaaa aaa aa a\n\naaaaaa", "abab aba ab ba  abab", "We'll see; they've said it's 1234 or 12.\r\n\r\n  ok",
         "人人生而自由 \u3000 مرحبا 🙂🙂", "\u00e9t\u00e9 et \u00e9t\u00e9"]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for i, text in enumerate(TEXTS):
        for encoding in ["utf-8", "utf-16", "latin-1"]:
            # struct settings of fuzz_bpe.c
            settings = bytes([i, i // 2, 40 * i, i % 3, i, 1 + 5 * i, i, 9 * (i % 2)])
            (folder / f"text{i}-{encoding}").write_bytes(settings + text.encode(encoding, "replace"))


if __name__ == "__main__":
    main()
