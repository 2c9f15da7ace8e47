#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_auto_round: auto_round_seeds.py FOLDER. A seed chooses a type, or codes. Its weights and
blocks are made of small numbers, of zeros, or of any bits."""
import random
import sys
from pathlib import Path

TYPES = 12  # of the table in fuzz_auto_round.c; the last one is codes
SUPERBLOCKS = range(5, 10)
NUMBERS = {"small": range(-20, 20), "zeros": [0], "any": range(-128, 128)}


def seed(rng, numbers, type_of_blocks):
    choices = bytearray(rng.randrange(256) for _ in range(16))
    choices[0] = choices[0] & 120 | (7 if type_of_blocks in SUPERBLOCKS else 3)  # 256 columns or 64
    choices[1] &= 63  # a usual shape
    choices[5] &= 127  # usual settings
    choices[6] = choices[11] = choices[12] = choices[13] = 0
    choices[8] = type_of_blocks
    choices[9] &= 14  # all matrices get this type
    return bytes(choices) + bytes(rng.choice(numbers) & 255 for _ in range(64)) + b"\0"


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    for type_of_blocks in range(TYPES):
        for name, numbers in NUMBERS.items():
            (folder / f"{name}-{type_of_blocks}").write_bytes(seed(rng, numbers, type_of_blocks))


if __name__ == "__main__":
    main()
