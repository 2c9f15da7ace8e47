#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_grids, the same as for fuzz_quantizer: grids_seeds.py FOLDER"""
import sys

sys.dont_write_bytecode = True
from quantizer_seeds import main  # noqa: E402

if __name__ == "__main__":
    main()
