#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_tokenizer: tokenizer_seeds.py FOLDER

Each seed is a tokenizer.json of tests/fixtures/tokenizers with a shortened vocabulary, its tokenizer_config.json, and
a text. Only the standard library is needed.
"""
import json
import sys
from pathlib import Path

MOST_PIECES = 300
TEXT = "a bb  The<s> [CLS] It's 12345 東京 é\u0301 ﬁ\u00a0x\n\n\t🙂 <|endoftext|> </s>".encode() + b"\xff\xc3"


def shortened(tokenizer):
    """The tokenizer with at most MOST_PIECES tokens, and with the merges that are possible with these."""
    model = tokenizer["model"]
    vocabulary = model.get("vocab", {})
    if isinstance(vocabulary, list):
        model["vocab"] = vocabulary[:MOST_PIECES]
        return tokenizer
    kept = dict(sorted(vocabulary.items(), key=lambda item: item[1])[:MOST_PIECES])
    model["vocab"] = kept
    pairs = [(merge, merge.split(" ") if isinstance(merge, str) else merge) for merge in model.get("merges", [])]
    if "merges" in model:
        model["merges"] = [merge for merge, parts in pairs if all(p in kept for p in parts) and "".join(parts) in kept]
    return tokenizer


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    n = 0
    for path in sorted((Path(__file__).parent.parent / "fixtures" / "tokenizers").glob("*.json")):
        case = json.loads(path.read_text())
        if not isinstance(case, dict) or "tokenizer" not in case:
            continue
        json_text = json.dumps(shortened(case["tokenizer"]), ensure_ascii=False).encode()
        config = json.dumps(case.get("config") or {}, ensure_ascii=False).encode()
        (folder / path.stem).write_bytes(json_text + b"\0" + config + b"\0" + TEXT)
        n += 1
    print(f"{folder}: {n} files")


if __name__ == "__main__":
    main()
