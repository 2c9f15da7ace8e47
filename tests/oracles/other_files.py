#!/usr/bin/env python3
"""Writes tests/fixtures/other-files.json: the first bytes of files that people pass by mistake as a model.

    pip install -r tests/oracles/requirements.txt && python3 tests/oracles/other_files.py

{name: first bytes, in hex, at most 64; of GGUF files all}. Each is written by the library of its format, except these:
Zstandard's number is that of RFC 8878, 3.1.1; the first bytes of PNG, JPEG, PDF, HDF5 and ELF are those of their
specifications (ISO 15948, 5.2; ITU T.81, B.1.1.3; ISO 32000-1, 7.5.2; HDF5 file format, II.A; System V ABI, 4). The
formats older than GGUF have no writer any more; their numbers are those of ggml (llama.cpp before August 2023),
0x67676d6c and so on, as little-endian words. The pointer of Git LFS is the one in git-lfs's docs/spec.md.
"""
import bz2
import gzip
import io
import json
import lzma
import pathlib
import struct
import tempfile
import zipfile

import numpy
import torch
from gguf import GGUFWriter
from gguf.constants import GGUFType

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


def array():
    out = io.BytesIO()
    numpy.save(out, numpy.zeros(4))
    return out.getvalue()


def imatrix():
    """llama.cpp's older format, as examples/imatrix wrote it before August 2025: the number of entries; for each the
    length of its name, the name, calls, the number of values, the values."""
    name = b"blk.0.attn_k.weight"
    return struct.pack("<ii", 1, len(name)) + name + struct.pack("<ii4f", 8, 4, 1, 2, 3, 4)


def companion(kind, architecture=None):
    """A small GGUF file that is no model."""
    with tempfile.TemporaryDirectory() as folder:
        path = pathlib.Path(folder) / "file.gguf"
        writer = GGUFWriter(path, architecture or "")  # with "" it writes no architecture
        if kind:
            writer.add_type(kind)
        writer.add_tensor("some.weight", numpy.zeros(4, numpy.float32))
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_tensors_to_file()
        writer.close()
        return path.read_bytes()


WHOLE = {
    "imatrix gguf": companion(GGUFType.IMATRIX),
    "adapter gguf": companion(GGUFType.ADAPTER, "llama"),
    "mmproj gguf": companion(GGUFType.MMPROJ, "clip"),
    "old mmproj gguf": companion(None, "clip"),
}
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
    "png": b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + b"IHDR" + struct.pack(">II", 4, 4),
    "jpeg": b"\xff\xd8\xff\xe0" + bytes(60),
    "pdf": b"%PDF-1.7\n",
    "hdf5": b"\x89HDF\r\n\x1a\n" + bytes(56),
    "numpy": array(),
    "program": b"\x7fELF\2\1\1" + bytes(57),
    "imatrix": imatrix(),
    "lfs": b"version https://git-lfs.github.com/spec/v1\n"
           b"oid sha256:4d7a214614ab2935c943f9e0ff69d22eadbb8f32b1258daaa5e2ca24d17e2393\nsize 12345\n",
}
OUT.write_text(json.dumps({**{name: data[:64].hex() for name, data in files.items()},
                           **{name: data.hex() for name, data in WHOLE.items()}}, indent=1) + "\n")
