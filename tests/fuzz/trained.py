"""What the seeds of fuzz_train and fuzz_auto_round share, as trained.h is what these targets share."""
import random
import sys
from pathlib import Path

NUMBERS = {"small": range(-20, 20), "zeros": [0], "any": range(-128, 128)}


def choices_of(rng, is_superblock):
    """16 random bytes of choices.h, with a number of columns that the type has, and a usual shape."""
    choices = bytearray(rng.randrange(256) for _ in range(16))
    choices[0] = choices[0] & 120 | (7 if is_superblock else 3)  # 256 columns or 64
    choices[1] &= 63
    return choices


def seed_of(rng, choices, numbers):
    return bytes(choices) + bytes(rng.choice(numbers) & 255 for _ in range(64)) + b"\0"


def write(seeds_of):
    """Writes all pairs of a name and bytes that seeds_of(rng) yields into the folder of the command line."""
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for name, seed in seeds_of(random.Random(1)):
        (folder / name).write_bytes(seed)
