#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_train: train_seeds.py FOLDER. A seed chooses rounding or tuning, and a type. Its
weights or blocks are made of small numbers, of zeros, or of any bits."""
import random
import sys
from pathlib import Path

TYPES = 16  # of the table in fuzz_train.c
SUPERBLOCKS = (5, 7, 8, 9, 10, 11, 13)
NUMBERS = {"small": range(-20, 20), "zeros": [0], "any": range(-128, 128)}


def seed(rng, numbers, rounds, type_of_blocks):
    choices = bytearray(rng.randrange(256) for _ in range(16))
    choices[0] = choices[0] & 120 | (7 if type_of_blocks in SUPERBLOCKS else 3)  # 256 columns or 64
    choices[1] &= 63  # a usual shape
    choices[3] = choices[5] = choices[6] = 0
    choices[7] &= 6
    choices[8] = type_of_blocks
    choices[9], choices[11] = rng.choice([0, 1, 3, 4]), rng.choice([0, 2, 4, 8])  # rounding of inputs and gradients
    choices[13] = 0
    choices[15] = rounds
    return bytes(choices) + bytes(rng.choice(numbers) & 255 for _ in range(64)) + b"\0"


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    rng = random.Random(1)
    for type_of_blocks in range(TYPES):
        for name, numbers in NUMBERS.items():
            for rounds in (0, 1):
                (folder / f"{name}-{type_of_blocks}-{rounds}").write_bytes(seed(rng, numbers, rounds, type_of_blocks))


if __name__ == "__main__":
    main()
