#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_auto_round: auto_round_seeds.py FOLDER. A seed chooses a type, or codes. Its weights and
blocks are made of small numbers, of zeros, or of any bits."""
from trained import NUMBERS, choices_of, seed_of, write

TYPES = 12  # of the table in fuzz_auto_round.c; the last one is codes
SUPERBLOCKS = range(5, 10)


def seeds(rng):
    for type_of_blocks in range(TYPES):
        for name, numbers in NUMBERS.items():
            choices = choices_of(rng, type_of_blocks in SUPERBLOCKS)
            choices[5] &= 127  # usual settings
            choices[6] = choices[11] = choices[12] = choices[13] = 0
            choices[8] = type_of_blocks
            choices[9] &= 14  # all matrices get this type
            yield f"{name}-{type_of_blocks}", seed_of(rng, choices, numbers)


if __name__ == "__main__":
    write(seeds)
