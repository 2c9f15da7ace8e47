#!/usr/bin/env python3
"""Finds the keys of a GGUF file that llama.cpp reads for each architecture, and what they change.

    gguf_keys.py     writes tests/fixtures/formats/gguf-keys.txt and gguf-key-cases.json

The first file is extracted from llama.cpp's source in the package llama-cpp-python (PACKAGE): a line for each key that
llama_model_base::load_hparams and the architecture's load_arch_hparams name. `core-tests keys` checks src/models/keys.c
against it. The second has fixtures with changed keys and llama.cpp's (cyllama's) results: some logits, or an error.
tests/js/keys.test.js checks nibble against them. If an assertion fails, llama.cpp ends the process, so each case runs
in its own.
"""
import json
import os
import re
import subprocess
import sys
import tarfile
import tempfile

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
FIXTURES = os.path.join(ROOT, "tests", "fixtures")
PACKAGE = "llama-cpp-python==0.3.36"
ARCHITECTURES = ("llama qwen2 qwen3 phi3 gemma gemma2 gemma3 gpt2 smollm3 stablelm phi2 gptneox olmo2 granite falcon "
                 "qwen2moe qwen3moe deepseek bert nomic-bert gemma-embedding ernie4_5").split()
TOKENS = [(7 * i) % 60 + 3 for i in range(20)]
ENTRIES = list(range(0, 88, 8))

# ---- keys from the source ---------------------------------------------------------------------------------------


def sources():
    """The C++ files of llama.cpp's src/, by name."""
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--no-binary=llama-cpp-python",
                        "--disable-pip-version-check", "--dest", folder, PACKAGE], check=True)
        files = {}
        with tarfile.open(os.path.join(folder, os.listdir(folder)[0])) as archive:
            for member in archive:
                _, inside, name = member.name.partition("/vendor/llama.cpp/src/")
                if inside and name.endswith(".cpp"):
                    files[name] = archive.extractfile(member).read().decode()
        return files


def body(text, start):
    """The text between the first brace after `start` and the matching closing brace."""
    begin = text.index("{", start)
    depth, at = 0, begin
    while True:
        depth += {"{": 1, "}": -1}.get(text[at], 0)
        at += 1
        if depth == 0:
            return text[begin:at]


def without_other_architectures(text):
    """Removes blocks that run for a single architecture, which is never one of nibble's."""
    found = re.search(r"if \((arch == LLM_ARCH_[A-Z0-9_]+( \|\| )?)+(\)| &&)", text)
    if not found:
        return text
    names = re.findall(r"LLM_ARCH_([A-Z0-9_]+)", found.group())
    block = body(text, found.end())
    rest = without_other_architectures(text[text.index(block, found.end()) + len(block):])
    ours = {re.sub("[-_]", "", name) for name in ARCHITECTURES}
    is_ours = any(name.lower().replace("_", "") in ours for name in names)
    return text[:found.start()] + (block if is_ours else "") + rest


def source_of(files, architecture):
    """The architecture's own file, which has dashes where some names have underscores."""
    return files[f"models/{architecture.replace('_', '-')}.cpp"]


def write_keys(files):
    names = dict(re.findall(r'\{ (LLM_KV_\w+), +"([^"]+)" +\}', files["llama-arch.cpp"]))
    model = files["llama-model.cpp"]
    common = without_other_architectures(body(model, model.index("void llama_model_base::load_hparams(")))
    pattern = body(model, model.index("void llama_model_base::load_swa_pattern("))
    lines = []
    for architecture in ARCHITECTURES:
        text = source_of(files, architecture)
        own = without_other_architectures(body(text, text.index("::load_arch_hparams(")))
        read = common + own + (pattern if "load_swa_pattern" in own else "")
        keys = {names[key] for key in re.findall(r"\b(LLM_KV_\w+)\b", read)}
        lines += [f"{architecture} {key[3:]}\n" for key in sorted(keys) if key.startswith("%s.")]
    with open(os.path.join(FIXTURES, "formats", "gguf-keys.txt"), "w") as out:
        out.write(f"# keys that llama.cpp reads (as in {PACKAGE}); tests/oracles/gguf_keys.py wrote this\n")
        out.writelines(lines)
    print(f"gguf-keys.txt: {len(lines)} keys")


# ---- llama.cpp's results ----------------------------------------------------------------------------------------

F32, U32, I32, BOOL, TEXT = "f32", "u32", "i32", "bool", "string"


def cases():
    """(file, {suffix: (type, value), or None to remove the key})"""
    def of(file, *edits):
        for edit in edits:
            yield file, edit
    llama, rope = "models/biases.gguf", "rope.scaling."
    factor = {rope + "factor": (F32, 4.0)}
    yield from of(llama, {}, {"context_length": None}, {"attention.layer_norm_rms_epsilon": None},
                  {"rope.freq_base": None},
                  {"rope.freq_base": (F32, 500.0)}, {"vocab_size": (U32, 5)}, {"feed_forward_length": None},
                  {"vocab_size": None},
                  {"attention.head_count_kv": None}, {"rope.dimension_count": (U32, 6)}, {"rope.dimension_count": None},
                  factor, {"rope.scale_linear": (F32, 4.0)}, {rope + "factor": (F32, 0.0)},
                  {**factor, "rope.scale_linear": (F32, 2.0)}, {**factor, rope + "type": (TEXT, "none")},
                  {**factor, rope + "type": (TEXT, "linear")}, {**factor, rope + "type": (TEXT, "longrope")},
                  {**factor, rope + "type": (TEXT, "yarn")}, {rope + "type": (TEXT, "yarn")},
                  {rope + "type": (TEXT, "ntk")},
                  {**factor, rope + "type": (TEXT, "yarn"), rope + "original_context_length": (U32, 32)},
                  {**factor, rope + "type": (TEXT, "yarn"), rope + "original_context_length": (U32, 32),
                   rope + "yarn_beta_fast": (F32, 4.0), rope + "yarn_beta_slow": (F32, 0.25)},
                  {**factor, rope + "type": (TEXT, "yarn"), rope + "attn_factor": (F32, 1.5)},
                  {rope + "attn_factor": (F32, 1.5)}, {rope + "finetuned": (BOOL, False)},
                  {rope + "alpha": (F32, 1000.0)},
                  {"attention.scale": (F32, 0.1)}, {"logit_scale": (F32, 3.0)}, {"attn_logit_softcapping": (F32, 1.0)},
                  {"final_logit_softcapping": (F32, 1.0)}, {"use_parallel_residual": (BOOL, True)},
                  {"attention.layer_norm_epsilon": (F32, 0.5)}, {"embedding_length_out": (U32, 32)},
                  {"attention.head_count": (U32, [4, 4]), "attention.head_count_kv": (U32, [2, 2])},
                  {"feed_forward_length": (U32, [64, 64])}, {"feed_forward_length": (U32, [64])},
                  {"attention.key_length": (U32, 8)}, {"attention.value_length": (U32, 8)},
                  {"expert_group_count": (U32, 0)})
    yield from of("models/qwen2.gguf", {"attention.sliding_window": (U32, 4)},
                  {"attention.layer_norm_rms_epsilon": None},
                  {"attention.layer_norm_rms_epsilon": (F32, 0.25)}, {"rope.dimension_count": (U32, 4)})
    yield from of("models/gemma2.gguf", {"attn_logit_softcapping": None}, {"final_logit_softcapping": None},
                  {"attn_logit_softcapping": None, "final_logit_softcapping": None},
                  {"rope.freq_base_swa": (F32, 50.0)},
                  {"attention.sliding_window": None}, {"attention.sliding_window": (U32, 4)}, factor,
                  {"attention.value_length": None}, {"attention.scale": (F32, 0.1)})
    yield from of("models/gemma3.gguf", {"rope.freq_base_swa": None}, {"rope.freq_base_swa": (F32, 50.0)},
                  {"rope.freq_base": None}, {"attention.sliding_window": None}, {"attention.sliding_window": (U32, 0)},
                  {"attention.sliding_window": (U32, 3)}, {"final_logit_softcapping": (F32, 2.0)},
                  {"attn_logit_softcapping": (F32, 1.0)}, factor, {rope + "attn_factor": (F32, 1.5)},
                  {**factor, rope + "type": (TEXT, "yarn"), rope + "original_context_length": (U32, 32)})
    yield from of("models/granite.gguf", {"logit_scale": None}, {"residual_scale": None},
                  {"residual_scale": (F32, 0.0)},
                  {"embedding_scale": None}, {"embedding_scale": (F32, 0.0)}, {"attention.scale": None},
                  {"attention.scale": (F32, 0.0)}, {rope + "finetuned": (BOOL, False)},
                  {rope + "finetuned": (BOOL, True)},
                  {"logit_scale": (F32, 0.5)})
    yield from of("models/gptneox.gguf", {"use_parallel_residual": None}, {"use_parallel_residual": (BOOL, False)},
                  {"attention.layer_norm_epsilon": None}, {"attention.layer_norm_rms_epsilon": (F32, 0.5)})
    yield from of("models/deepseek.gguf", {"expert_weights_scale": None}, {"expert_weights_scale": (F32, 0.0)},
                  {"expert_shared_count": None}, {"expert_feed_forward_length": None}, {"expert_used_count": None},
                  {"leading_dense_block_count": None}, {"expert_used_count": (U32, 2)})
    yield from of("models/qwen2moe.gguf", {"expert_feed_forward_length": None},
                  {"expert_shared_feed_forward_length": None},
                  {"expert_count": None}, {"expert_used_count": (U32, 2)}, {"feed_forward_length": None},
                  {"expert_shared_count": (U32, 3)})
    yield from of("models/qwen3moe.gguf", {"expert_feed_forward_length": None}, {"expert_weights_scale": (F32, 3.0)})
    yield from of("models/mixtral.gguf", {"expert_feed_forward_length": (U32, 10)}, {"expert_used_count": None},
                  {"expert_weights_scale": (F32, 3.0)}, {"expert_shared_count": (U32, 3)})
    yield from of("models/falcon.gguf", {"rope.dimension_count": (U32, 4)}, {"attention.layer_norm_epsilon": None})
    yield from of("models/stablelm.gguf", {"use_parallel_residual": (BOOL, True)},
                  {"attention.layer_norm_epsilon": None})
    yield from of("models/gpt2.gguf", {"attention.layer_norm_epsilon": None},
                  {"attention.layer_norm_epsilon": (F32, 0.25)})
    yield from of("models/olmo2.gguf", {"attention.sliding_window": (U32, 0)},
                  {"attention.sliding_window_pattern": (U32, 2)})
    pattern = "attention.sliding_window_pattern"
    yield from of("models/olmo2.gguf", {"attention.sliding_window": (U32, 5), pattern: (U32, 2)},
                  {**factor, rope + "type": (TEXT, "yarn")})
    # No other lists of layers: cyllama's llama.cpp takes every fourth whatever they say, the one of PACKAGE heeds them.
    # tests/js/keys.test.js compares one with the number that says the same.
    yield from of("models/olmo3.gguf", {}, {pattern: None}, {pattern: (U32, 2)}, {"attention.sliding_window": (U32, 0)},
                  {"attention.sliding_window": (U32, 3)}, {"attention.sliding_window": None},
                  {"rope.freq_base_swa": (F32, 700.0)}, {"rope.freq_base": (F32, 700.0)}, {rope + "type": None},
                  {rope + "type": (TEXT, "none")}, {rope + "attn_factor": (F32, 1.5)},
                  {rope + "yarn_attn_factor": (F32, 1.5), rope + "yarn_beta_fast": (F32, 4.0)},
                  {rope + "yarn_ext_factor": (F32, 0.0)}, {rope + "original_context_length": None})
    yield from of("models/ernie4_5.gguf", {}, {"attention.key_length": None, "attention.value_length": None},
                  {"rope.freq_base": None}, {**factor, rope + "type": (TEXT, "yarn")}, factor,
                  {"rope.dimension_sections": (I32, [2, 2, 2, 0])}, {"attention.sliding_window": (U32, 4)},
                  {"rope.dimension_count": (U32, 6)}, {"attention.scale": (F32, 0.1)})
    yield from of("models/smollm3.gguf", {"attention.layer_norm_rms_epsilon": None},
                  {rope + "finetuned": (BOOL, False)})
    yield from of("models/phi2.gguf", {"rope.dimension_count": None}, {"attention.layer_norm_epsilon": None})


def write_edited(source, edits, target):
    """Writes the fixture with its weights as F32 (llamacpp.py explains why) and these keys."""
    import gguf
    import gguf_files
    import llamacpp
    types = {F32: gguf.GGUFValueType.FLOAT32, U32: gguf.GGUFValueType.UINT32, I32: gguf.GGUFValueType.INT32,
             BOOL: gguf.GGUFValueType.BOOL, TEXT: gguf.GGUFValueType.STRING}
    reader = gguf.GGUFReader(source)
    architecture = reader.fields["general.architecture"].contents()
    edits = {f"{architecture}.{suffix}": edit for suffix, edit in edits.items()}
    writer = gguf.GGUFWriter(target, architecture)
    gguf_files.copy_keys(reader, writer, without=edits)
    for name, edit in edits.items():
        if edit and isinstance(edit[1], list):
            writer.add_key_value(name, edit[1], gguf.GGUFValueType.ARRAY, sub_type=types[edit[0]])
        elif edit:
            writer.add_key_value(name, edit[1], types[edit[0]])
    for tensor in reader.tensors:
        data = llamacpp.weights_of(tensor.data, tensor.tensor_type)
        writer.add_tensor(tensor.name, data.reshape(tuple(reversed(tensor.shape))))
    gguf_files.write(writer)


def run_one(path):
    import llamacpp
    row = llamacpp.LlamaCpp(path, context=64).evaluate(TOKENS)[-1]
    print(json.dumps([float(f"{row[i]:.6g}") for i in ENTRIES]))


def write_cases():
    written = []
    with tempfile.TemporaryDirectory() as folder:
        path = os.path.join(folder, "edited.gguf")
        for file, edits in cases():
            write_edited(os.path.join(FIXTURES, file), edits, path)
            result = subprocess.run([sys.executable, __file__, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
                                    text=True)
            logits = json.loads(result.stdout.splitlines()[-1]) if result.returncode == 0 and result.stdout else None
            written.append({"file": file, "edits": edits, "logits": logits})
    by = "llama.cpp (cyllama 0.2.18), weights as F32, F32 cache: logits of the last of these tokens, null: it refuses"
    head = {"by": by, "tokens": TOKENS, "entries": ENTRIES}
    with open(os.path.join(FIXTURES, "formats", "gguf-key-cases.json"), "w") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in head.items()) + ',\n"cases": [\n')
        out.write(",\n".join(json.dumps(case) for case in written) + "\n]\n}\n")
    refused = sum(case["logits"] is None for case in written)
    print(f"gguf-key-cases.json: {len(written)} cases, of which llama.cpp refuses {refused}")


if __name__ == "__main__":
    if len(sys.argv) > 1:
        run_one(sys.argv[1])
    else:
        write_keys(sources())
        write_cases()
