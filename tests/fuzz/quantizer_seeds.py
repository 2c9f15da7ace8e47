#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_quantizer, and for fuzz_grids, whose inputs have the same form: quantizer_seeds.py
FOLDER. A seed chooses types, and has numbers that are small, zero, huge, or NaN."""
import random
import struct
import sys
from pathlib import Path

NUMBERS = {
    "small": [0.5, -1.25, 3.0, 0.0],
    "zeros": [0.0, -0.0],
    "huge": [3e38, -1e38, 1e-40],
    "not": [1.0, float("inf"), float("nan")],
}
# All that can be written. fuzz_quantizer leaves out those with grids: 16-19, 21, 22 and 29.
TYPES = [*range(4), 6, 7, 8, *range(10, 15), *range(16, 24), 29, 30, 34, 35, *range(39, 43), 56, 57, 60, 61]


def seed(rng, numbers, type_of_blocks):
    choices = bytearray(rng.randrange(256) for _ in range(16))
    choices[0] = choices[0] & 120 | (7 if type_of_blocks > 8 else 3)  # 256 columns or 64
    choices[3] |= 128
    choices[4] = type_of_blocks
    choices[5] = 0
    return bytes(choices) + b"".join(struct.pack("<f", rng.choice(numbers) * rng.random()) for _ in range(40)) + b"\0"


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    for type_of_blocks in TYPES:
        for name, numbers in NUMBERS.items():
            (folder / f"{name}-{type_of_blocks}").write_bytes(seed(rng, numbers, type_of_blocks))


if __name__ == "__main__":
    main()
