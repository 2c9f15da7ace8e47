"""Calls llama.cpp's model_quantize with an importance matrix and with types for tensors.

cyllama's LlamaModelQuantizeParams has no setters for these two: they are pointers of the C struct
llama_model_quantize_params (llama.h) inside the Python object. So they are written into the struct, which is found by
the numbers at its beginning.
"""
import ctypes
import struct
import sys

import cyllama.llama.llama_cpp as binding

# llama.h, enum llama_ftype
FILE_TYPES = {
    "f16": 1, "q4_0": 2, "q4_1": 3, "q8_0": 7, "q5_0": 8, "q5_1": 9, "q2_k": 10, "q3_k_s": 11, "q3_k_m": 12,
    "q3_k_l": 13,
    "q4_k_s": 14, "q4_k_m": 15, "q5_k_s": 16, "q5_k_m": 17, "q6_k": 18, "iq2_xxs": 19, "iq2_xs": 20, "q2_k_s": 21,
    "iq3_xs": 22, "iq3_xxs": 23, "iq1_s": 24, "iq4_nl": 25, "iq3_s": 26, "iq3_m": 27, "iq2_s": 28, "iq2_m": 29,
    "iq4_xs": 30, "iq1_m": 31, "bf16": 32, "tq1_0": 36, "tq2_0": 37, "mxfp4_moe": 38, "nvfp4": 39, "q1_0": 40,
}


class Importance(ctypes.Structure):  # llama_model_imatrix_data
    _fields_ = [("name", ctypes.c_char_p), ("data", ctypes.POINTER(ctypes.c_float)), ("size", ctypes.c_size_t)]


class TensorType(ctypes.Structure):  # llama_model_tensor_override
    _fields_ = [("pattern", ctypes.c_char_p), ("type", ctypes.c_int)]


# the struct up to its pointers: nthread, ftype, output_tensor_type, token_embedding_type, six bools
IMATRIX_AT, OVERRIDES_AT = 24, 40


def struct_of(params):
    """The address of the C struct in the Python object."""
    params.nthread, ftype = 0x13572468, params.ftype
    raw = ctypes.string_at(id(params), sys.getsizeof(params))
    at = raw.find(struct.pack("<ii", 0x13572468, ftype))
    assert at > 0 and at + 56 == len(raw), "the layout of LlamaModelQuantizeParams is another one"
    params.nthread = 1
    return id(params) + at


def model_quantize(source, target, preset, importance=None, tensor_types=(), **settings):
    """importance: name of a tensor -> F32 of its columns; tensor_types: pairs of a pattern and a type's number;
    settings: other attributes of the params. Raises RuntimeError if llama.cpp reports an error."""
    params = binding.LlamaModelQuantizeParams()
    params.ftype = FILE_TYPES[preset]
    for name, value in settings.items():
        setattr(params, name, value)
    base = struct_of(params)
    if importance:
        table = (Importance * (len(importance) + 1))()
        for row, (name, data) in zip(table, importance.items()):
            row.name, row.size = name.encode(), len(data)
            row.data = (ctypes.c_float * len(data))(*data)
        ctypes.c_void_p.from_address(base + IMATRIX_AT).value = ctypes.addressof(table)
    if tensor_types:
        overrides = (TensorType * (len(tensor_types) + 1))()
        for row, (pattern, kind) in zip(overrides, tensor_types):
            row.pattern, row.type = pattern.encode(), int(kind)
        ctypes.c_void_p.from_address(base + OVERRIDES_AT).value = ctypes.addressof(overrides)
    binding.model_quantize(str(source), str(target), params)
