#!/usr/bin/env python3
"""Writes tests/fixtures/other-files.json: how files begin that people pass by mistake for a model.

    pip install -r tests/oracles/requirements.txt && python3 tests/oracles/other_files.py

{name: first bytes, in hex, 64 of them at most}. Each is written by the library of its own format, but for these: Zstandard's
number is that of RFC 8878, 3.1.1. The formats older than GGUF have no writer any more; their numbers are those of ggml
(llama.cpp before August 2023), 0x67676d6c and so on, as little-endian words. A pointer of Git LFS is what git-lfs's docs/spec.md
shows.
"""
import bz2
import gzip
import io
import json
import lzma
import pathlib
import struct
import zipfile

import torch

OUT = pathlib.Path(__file__).resolve().parent.parent / "fixtures" / "other-files.json"
DATA = b"weights " * 40


def saved(**how):
    out = io.BytesIO()
    torch.save({"weight": torch.zeros(4)}, out, **how)
    return out.getvalue()


def zipped():
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr(zipfile.ZipInfo("model.bin"), DATA)
    return out.getvalue()


files = {
    "gzip": gzip.compress(DATA, mtime=0),
    "bzip2": bz2.compress(DATA),
    "xz": lzma.compress(DATA),
    "zstd": struct.pack("<I", 0xFD2FB528) + bytes(60),
    "zip": zipped(),
    "pytorch": saved(),
    "old pytorch": saved(_use_new_zipfile_serialization=False),
    **{name: struct.pack("<II", number, 3) + bytes(56) for name, number in
       {"ggml": 0x67676D6C, "ggmf": 0x67676D66, "ggjt": 0x67676A74, "ggla": 0x67676C61}.items()},
    "big-endian gguf": b"FUGG" + struct.pack(">IQQ", 3, 0, 0),
    "lfs": b"version https://git-lfs.github.com/spec/v1\n"
           b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
}
OUT.write_text(json.dumps({name: data[:64].hex() for name, data in files.items()}, indent=1) + "\n")
