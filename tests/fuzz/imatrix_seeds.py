#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_imatrix: imatrix_seeds.py FOLDER"""
import sys
from pathlib import Path


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for file in (Path(__file__).parents[1] / "fixtures/imatrix").glob("*.*"):
        if file.suffix in (".dat", ".gguf"):
            (folder / file.name).write_bytes(file.read_bytes() + b"\0")  # the last byte: no allocation fails
    (folder / "ends.dat").write_bytes(b"\1\0\0\0\1\0\0\0a\0\0\0\0\1\0\0\0\0\0\0\0\0")


if __name__ == "__main__":
    main()
