#!/usr/bin/env python3
"""Writes embeddings of all-MiniLM-L6-v2, a real encoder, by transformers in F32.

    minilm_vectors.py MODEL-FOLDER [OUTPUT.json = tests/fixtures/encoders/minilm.json]

Writes OUTPUT.json, texts and their tokens, and OUTPUT.bin, their embeddings: the mean of all tokens' last hidden
states, by the model's own 1_Pooling/config.json, scaled to length 1. The texts are short and long, in many scripts.
Some pairs have the same meaning: these must be nearer to each other than to the rest, or nothing is written.
"""
import json
import os
import sys

import numpy as np
import torch
import transformers

from text_cases import CODE, PROSE, SCRIPTS

PAIRS = [
    ("A man is playing a guitar.", "Someone makes music on a guitar."),
    ("The stock market fell sharply today.", "Shares lost much of their value this afternoon."),
    ("How do I bake a loaf of bread?", "What is the recipe for homemade bread?"),
    ("Two dogs are running across a field.", "A pair of dogs races through the grass."),
    ("The meeting was moved to Thursday.", "We will not meet today but on Thursday."),
    ("Penicillin was discovered by Alexander Fleming.", "It was Fleming who found penicillin."),
]
OTHERS = ["", "a", "?!", "word " * 300, "E = mc\u00b2", "\U0001f600 \U0001f680 \u2764\ufe0f",
          "caf\u00e9 CAFE\u0301 \u00c5ngstr\u00f6m na\u00efve",
          "donaudampfschifffahrtselektrizit\u00e4tenhauptbetriebswerkbauunterbeamtengesellschaft",
          "x" * 120, "[CLS] is text here, and so are [SEP] and [MASK].",
          "tabs\tand\nnew lines\r\n and \u00a0 spaces\u2003", "3.14159 1,000,000 2026-11-21"]


def main():
    torch.set_num_threads(1)
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/encoders/minilm.json")
    folder, output = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else own
    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
    paragraphs = [line for line in PROSE.split("\n") if line]
    texts = [text for pair in PAIRS for text in pair] + OTHERS + SCRIPTS + [CODE] + paragraphs
    texts.append(" ".join(PROSE.split()[:380]))
    cases, vectors = [], []
    for text in texts:
        # names of special tokens in a user's text are plain text
        tokens = tokenizer(text, split_special_tokens=True, truncation=False, padding=False)["input_ids"]
        assert len(tokens) <= model.config.max_position_embeddings, f"{len(tokens)} tokens: {text[:40]}"
        with torch.no_grad():
            hidden = model(torch.tensor([tokens])).last_hidden_state[0].double().numpy()
        mean = hidden.mean(0)
        vectors.append(mean / np.linalg.norm(mean))
        cases.append({"text": text, "tokens": tokens})
    vectors = np.stack(vectors)
    for i in range(0, 2 * len(PAIRS), 2):
        others = np.delete(vectors[i] @ vectors[: 2 * len(PAIRS)].T, [i, i + 1])
        if vectors[i] @ vectors[i + 1] <= others.max():
            raise SystemExit(f"{texts[i]!r} is not nearest to {texts[i + 1]!r}: is this the right model?")
    scales = np.abs(vectors).max(axis=1) / 32767
    np.round(vectors / scales[:, None]).astype("<i2").tofile(output[: -len("json")] + "bin")
    head = {"model": "all-MiniLM-L6-v2", "by": f"transformers {transformers.__version__}, F32",
            "layout": ".bin: int16 little-endian [texts, width], times scales[text]",
            "scales": [float(f"{s:.8g}") for s in scales]}
    with open(output, "w", encoding="utf-8") as out:
        lines = [f"{json.dumps(k)}: {json.dumps(v)}" for k, v in head.items()]
        lines.append('"cases": [\n' + ",\n".join(json.dumps(case) for case in cases) + "\n]")
        out.write("{\n" + ",\n".join(lines) + "\n}\n")
    lengths = [len(case["tokens"]) for case in cases]
    print(f"{output}: {len(texts)} texts of {min(lengths)} to {max(lengths)} tokens")


if __name__ == "__main__":
    main()
