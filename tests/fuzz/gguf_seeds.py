#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_gguf: gguf_seeds.py FOLDER

Small GGUF files, which together have every type of values, arrays and tensors. Before each file there are the two bytes
of choices that fuzz_gguf.c reads. Only the standard library is needed.
"""
import struct
import sys
from pathlib import Path

STRING, ARRAY = 8, 9
SCALARS = {0: "B", 1: "b", 2: "H", 3: "h", 4: "I", 5: "i", 6: "f", 7: "?", 10: "Q", 11: "q", 12: "d"}
# type: (weights, bytes) of a block (ggml-common.h)
BLOCKS = {
    0: (1, 4), 1: (1, 2), 2: (32, 18), 3: (32, 20), 6: (32, 22), 7: (32, 24), 8: (32, 34), 9: (32, 36), 10: (256, 84),
    11: (256, 110), 12: (256, 144), 13: (256, 176), 14: (256, 210), 15: (256, 292), 16: (256, 66), 17: (256, 74),
    18: (256, 98), 19: (256, 50), 20: (32, 18), 21: (256, 110), 22: (256, 82), 23: (256, 136), 24: (1, 1), 25: (1, 2),
    26: (1, 4), 27: (1, 8), 28: (1, 8), 29: (256, 56), 30: (1, 2), 34: (256, 54), 35: (256, 66), 39: (32, 17),
    40: (64, 36), 41: (128, 18),
}


def text(s):
    return struct.pack("<Q", len(s)) + s.encode()


def scalar(kind):
    return struct.pack("<" + SCALARS[kind], 1)


def value(key, kind, payload):
    return text(key) + struct.pack("<I", kind) + payload


def array(key, kind, items):
    return value(key, ARRAY, struct.pack("<IQ", kind, len(items)) + b"".join(items))


def tensor(name, kind, offset, shape):
    return text(name) + struct.pack(f"<I{len(shape)}QIQ", len(shape), *shape, kind, offset)


def gguf(values, tensors=(), data=0, alignment=32, version=3):
    header = b"GGUF" + struct.pack("<IQQ", version, len(tensors), len(values)) + b"".join(values) + b"".join(tensors)
    return header + bytes(-len(header) % alignment) + bytes(data) if tensors else header


def files():
    yield "empty", gguf([])
    for kind in SCALARS:
        yield f"value{kind}", gguf([value("k", kind, scalar(kind)), array("a", kind, [scalar(kind)] * 3)])
    yield "strings", gguf([value("k", STRING, text("v")), array("a", STRING, [text("one"), text(""), text("three")])])
    aligned = value("general.alignment", 4, struct.pack("<I", 8))
    yield "alignment", gguf([aligned], [tensor("t", 0, 8, [2])], 16, alignment=8)
    for kind, (weights, size) in BLOCKS.items():
        yield f"tensor{kind}", gguf([], [tensor("t", kind, 0, [weights, 2])], 2 * size)
    tensors = [tensor("c", 0, 64, [4, 1, 1, 1]), tensor("b", 0, 32, [8]), tensor("a", 0, 0, [2, 2])]
    yield "three", gguf([value("general.architecture", STRING, text("llama"))], tensors, 80)
    yield "version2", gguf([], tensors, 80, version=2)
    yield "version1", gguf([], version=1)
    yield "unsupported", gguf([], [tensor("t", 31, 0, [32])], 18)
    yield "safetensors", struct.pack("<Q", 2) + b"{}" + bytes(8)
    yield "zip", b"PK\3\4" + bytes(16)


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    n = 0
    for name, data in files():
        for pieces, known in ((0, 0), (5, 1)):
            (folder / f"{name}-{pieces}-{known}").write_bytes(bytes([pieces, known]) + data)
            n += 1
    print(f"{folder}: {n} files")


if __name__ == "__main__":
    main()
