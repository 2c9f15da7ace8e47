#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_train: train_seeds.py FOLDER. A seed chooses rounding or tuning, and a type. Its
weights or blocks are made of small numbers, of zeros, or of any bits."""
from trained import NUMBERS, choices_of, seed_of, write

TYPES = 16  # of the table in fuzz_train.c
SUPERBLOCKS = (5, 7, 8, 9, 10, 11, 13)


def seed(rng, numbers, rounds, type_of_blocks):
    choices = choices_of(rng, type_of_blocks in SUPERBLOCKS)
    choices[3] = choices[5] = choices[6] = 0
    choices[7] &= 6
    choices[8] = type_of_blocks
    choices[9], choices[11] = rng.choice([0, 1, 3, 4]), rng.choice([0, 2, 4, 8])  # rounding of inputs and gradients
    choices[13] = 0
    choices[15] = rounds
    return seed_of(rng, choices, numbers)


def seeds(rng):
    for type_of_blocks in range(TYPES):
        for name, numbers in NUMBERS.items():
            for rounds in (0, 1):
                yield f"{name}-{type_of_blocks}-{rounds}", seed(rng, numbers, rounds, type_of_blocks)


if __name__ == "__main__":
    write(seeds)
