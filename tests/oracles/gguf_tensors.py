#!/usr/bin/env python3
"""Finds the tensors of a GGUF file that llama.cpp loads for each architecture, and what the optional ones change.

    gguf_tensors.py     writes tests/fixtures/formats/gguf-tensors.txt and gguf-tensor-cases.json

The first file is extracted from llama.cpp's source (gguf_keys.py says where it comes from): a line for each tensor that
the architecture's load_arch_tensors names, and whether it is optional. `core-tests tensors` checks the families' tables
against it. The second has fixtures with optional tensors added or removed, and what llama.cpp (cyllama) computes then:
some logits, or, for encoders, some numbers of the mean. tests/js/keys.test.js checks nibble against them.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

from gguf_keys import (ARCHITECTURES, ENTRIES, FIXTURES, PACKAGE, TOKENS, body, source_of, sources,
                       without_other_architectures)

# ---- tensors from the source ------------------------------------------------------------------------------------


def calls(text):
    """(tensor, suffix, flags) of each create_tensor in a body; calls of create_tensor_qkv are replaced by its body."""
    for found in re.finditer(r"create_tensor\(tn\((LLM_TENSOR_\w+), +\"(\w+)\"[^)]*\), *\{[^}]*\}, *([^;]*)\);", text):
        yield found.groups()


def write_tensors(files):
    names = dict(re.findall(r'\{ (LLM_TENSOR_\w+), +"([^"]+)" +\}', files["llama-arch.cpp"]))
    model = files["llama-model.cpp"]
    merged = body(model, model.index("void llama_model_base::create_tensor_qkv("))
    merged = merged.replace(body(merged, merged.index("if (flags & TENSOR_SKIP)")), "").replace(", flags)", ", 0)")
    lines = []
    for architecture in ARCHITECTURES:
        text = source_of(files, architecture)
        own = without_other_architectures(body(text, text.index("::load_arch_tensors(")))
        qkv = list(calls(merged)) if "create_tensor_qkv" in own else []
        needs = {}
        for tensor, suffix, flags in list(calls(own)) + qkv:
            if flags == "TENSOR_DUPLICATED":  # the output, if it is the embedding
                continue
            optional = "NOT_REQUIRED" in flags or tensor in ("LLM_TENSOR_ATTN_QKV",) and "create_tensor_qkv" in own
            needs.setdefault(f"{names[tensor]}.{suffix}".replace("blk.%d.", "blk.*."),
                             "optional" if optional else "required")
        assert len(needs) > 8, architecture
        lines += [f"{architecture} {name} {need}\n" for name, need in sorted(needs.items())]
    with open(os.path.join(FIXTURES, "formats", "gguf-tensors.txt"), "w") as out:
        out.write(f"# tensors that llama.cpp loads (as in {PACKAGE}); tests/oracles/gguf_tensors.py wrote this\n")
        out.writelines(lines)
    print(f"gguf-tensors.txt: {len(lines)} tensors")


# ---- llama.cpp's results ----------------------------------------------------------------------------------------

QKV = [f"attn_{x}" for x in "qkv"]


def cases():
    """(file, tensors to add, of each layer or of the whole model, tensors to leave out, keys). A bias has one number
    for each row of its matrix."""
    for name in ("qwen3", "qwen3moe", "gemma", "gemma2", "gemma3", "deepseek", "ernie4_5"):
        yield f"models/{name}.gguf", [f"{x}.bias" for x in QKV], [], {}
    # OLMo 2's biases are not tested: cyllama's llama.cpp loads them and ignores them, the one of PACKAGE adds them,
    # like transformers. Phi 3 has no window here, because llama.cpp has none for it.
    yield "models/phi3.gguf", ["attn_qkv.bias"], [], {"attention.sliding_window": None}
    for name in ("qwen2", "qwen2moe", "phi2"):
        yield f"models/{name}.gguf", [], [f"{x}.bias" for x in QKV], {}
    yield "models/qwen2.gguf", ["output.bias"], [], {}
    longrope = {"rope.scaling.type": ("string", "longrope"),
                "rope.scaling.original_context_length": ("u32", 10)}  # fewer than TOKENS
    factors = ["rope_factors_short.weight", "rope_factors_long.weight"]
    yield "models/biases.gguf", factors, [], longrope
    yield "models/granite.gguf", factors, [], longrope
    yield "models/granite.gguf", ["attn_output.bias", "ffn_gate.bias", "ffn_up.bias", "ffn_down.bias"], [], {}
    yield "models/biases.gguf", factors, [], {**longrope, "rope.scaling.original_context_length": ("u32", 1000)}
    yield "encoders/nomic-bert.gguf", ["attn_qkv.bias", "attn_output.bias"], [], {}
    yield "encoders/bert.gguf", [], [f"{x}.bias" for x in QKV + ["attn_output", "ffn_up", "ffn_down"]], {}


def added(reader, architecture, leaves):
    """name -> [length, seed, base]: number i is base + ((37 i + 11 seed) % 101 - 50) / 100."""
    shapes = {tensor.name: [int(side) for side in tensor.shape] for tensor in reader.tensors}
    layers = reader.fields[f"{architecture}.block_count"].contents()
    numbers = {}
    for leaf in leaves:
        if leaf.startswith("rope_factors"):
            size = reader.fields.get(f"{architecture}.rope.dimension_count")
            heads = reader.fields[f"{architecture}.attention.head_count"].contents()
            size = size.contents() if size else shapes["token_embd.weight"][0] // heads
            numbers[leaf] = [size // 2, len(numbers) + 1, 1.5]
            continue
        for name in [leaf] if leaf == "output.bias" else [f"blk.{i}.{leaf}" for i in range(layers)]:
            weight = name.replace(".bias", ".weight")
            weight = weight if weight in shapes or leaf != "output.bias" else "token_embd.weight"
            whole = re.sub("attn_[qkv]", "attn_qkv", weight)
            numbers[name] = [shapes[weight][1] if weight in shapes else shapes[whole][1] // 3, len(numbers) + 1, 0]
    return numbers


def write_changed(source, target, leaves, without, keys):
    import gguf
    import numpy as np

    import gguf_files
    import llamacpp
    types = {"u32": gguf.GGUFValueType.UINT32, "string": gguf.GGUFValueType.STRING}
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    keys = {f"{architecture}.{suffix}": value for suffix, value in keys.items()}
    writer = gguf.GGUFWriter(target, architecture)
    for name, field in reader.fields.items():
        if not name.startswith("GGUF.") and name != "general.architecture" and name not in keys:
            kind = field.types[0]
            writer.add_key_value(name, field.contents(), kind,
                                 sub_type=field.types[-1] if kind == gguf.GGUFValueType.ARRAY else None)
    for name, edit in keys.items():
        if edit:
            writer.add_key_value(name, edit[1], types[edit[0]])
    left_out = [tensor.name for tensor in reader.tensors if re.sub(r"^blk\.\d+\.", "", tensor.name) in without]
    for tensor in reader.tensors:
        if tensor.name not in left_out:
            data = llamacpp.weights_of(tensor.data, tensor.tensor_type)
            writer.add_tensor(tensor.name, data.reshape(tuple(reversed(tensor.shape))))
    numbers = added(reader, architecture, leaves)
    for name, (length, seed, base) in numbers.items():
        values = base + ((37 * np.arange(length) + 11 * seed) % 101 - 50) / 100
        writer.add_tensor(name, values.astype(np.float32))
    gguf_files.write(writer)
    return numbers, left_out


def run_one(path, encodes):
    if encodes:
        from llamacpp import hidden_states
        row = hidden_states(path, TOKENS, encoder=True).mean(0)
        row /= (row ** 2).sum() ** 0.5
    else:
        import llamacpp
        row = llamacpp.LlamaCpp(path, context=64).evaluate(TOKENS)[-1]
    print(json.dumps([float(f"{row[i]:.6g}") for i in ENTRIES if i < len(row)]))


def write_cases():
    written = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "changed.gguf")
        for file, leaves, without, keys in cases():
            numbers, left_out = write_changed(os.path.join(FIXTURES, file), path, leaves, without, keys)
            encodes = file.startswith("encoders/")
            command = [sys.executable, __file__, path] + ["encodes"] * encodes
            result = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            if result.returncode:
                raise SystemExit(f"{file} with {leaves}, without {without}: llama.cpp refuses\n{result.stderr[-2000:]}")
            written.append({"file": file, "edits": keys, "tensors": numbers, "without": left_out,
                            "embedding" if encodes else "logits": json.loads(result.stdout.splitlines()[-1])})
    with open(os.path.join(FIXTURES, "formats", "gguf-tensor-cases.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(case) for case in written) + "\n]\n")
    print(f"gguf-tensor-cases.json: {len(written)} cases")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_one(sys.argv[1], len(sys.argv) > 2)
    else:
        write_tensors(sources())
        write_cases()
