#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_session: session_seeds.py FOLDER

The small models of tests/fixtures, each with other choices, and of every kind one whose weights are partly NaN, infinite or
huge. Only the standard library is needed.
"""
import struct
import sys
from pathlib import Path

TEXTS = [b"ab \xff<s>  The the", "Ça va, 東京 🙂!".encode()[:16], b"<s>\n\n def f(x):", b"it's 1234 a\tb", b""]
HARM = [0x7FC00000, 0x7F800000, 0xFF800000, 0x7F7FFFFF, 0x7C007C00, 0xFC00FC00, 0x00000001]  # F32 words; two F16 infinities
MOST_BYTES = 200_000


def choices(i):
    """The sampler's parameters and what else fuzz_session.c takes its choices from."""
    params = struct.pack("<fifffffiI", [0, 0.7, 1.5][i % 3], [0, 5, 40][i % 3], [1, 0.9][i % 2], [0, 0.05][i % 2], [1, 1.2][i % 2],
                         [0, 0.5][i % 2], [0, 0.1][i % 2], [0, -1, 8][i % 3], i)
    flags = i % 4 | (i % 3 == 1) << 2 | (i % 2) << 3 | (i // 2 % 4) << 4
    text = TEXTS[i % len(TEXTS)].ljust(16)
    return params + bytes([40 + i % 8, 1 + i % 7, i % 4, flags]) + text


def harmed(data, word):
    """The same file, with every 97th word of its second half, where the weights are, another."""
    out = bytearray(data)
    for at in range(len(out) // 2 // 4 * 4, len(out) - 4, 97 * 4):
        struct.pack_into("<I", out, at, word)
    return bytes(out)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    fixtures = Path(__file__).parent.parent / "fixtures"
    models = sorted(path for path in fixtures.glob("*/*.gguf") if path.stat().st_size <= MOST_BYTES)
    for i, path in enumerate(models):
        data = path.read_bytes()
        (folder / f"{path.stem}").write_bytes(choices(i) + data)
        (folder / f"{path.stem}-harmed").write_bytes(choices(i + 1) + harmed(data, HARM[i % len(HARM)]))
    print(f"{folder}: {2 * len(models)} files")


if __name__ == "__main__":
    main()
