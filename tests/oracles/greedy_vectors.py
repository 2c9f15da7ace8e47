#!/usr/bin/env python3
"""Greedy continuations by llama.cpp, with the two best logits of every step, so that a test can tell a tie.

    greedy_vectors.py MODEL OUTPUT [--tokens 80] [--prompts FILE] [--exact FILE]

Prompts come from tests/fixtures/llamacpp/prompts.json; chat ones are rendered with the model's own template by jinja2,
and only there are special tokens parsed; a model without one gets none. See llamacpp.py for why MODEL's F32 copy (kept
at --exact) is what runs. A continuation ends before --tokens only at a token that ends generations, which is recorded
as its last.
"""
import argparse
import json
import os
import tempfile

import gguf
import jinja2
import numpy as np

import llamacpp


def render(reader, messages):
    environment = jinja2.Environment(trim_blocks=True, lstrip_blocks=True)
    token = lambda key: reader.fields["tokenizer.ggml.tokens"].contents(int(reader.fields[key].contents()))
    template = reader.fields["tokenizer.chat_template"].contents()
    return environment.from_string(template).render(
        messages=messages, add_generation_prompt=True, bos_token=token("tokenizer.ggml.bos_token_id"),
        eos_token=token("tokenizer.ggml.eos_token_id"))


def continue_greedily(engine, prompt, count):
    tokens, best = [], []
    logits = engine.evaluate(prompt, last_only=True)[0]
    while True:
        first, second = (int(i) for i in np.argsort(-logits, kind="stable")[:2])
        tokens.append(first)
        best.append([first, round(float(logits[first]), 5), second, round(float(logits[second]), 5)])
        if len(tokens) == count or engine.is_end(first):
            return tokens, best
        logits = engine.evaluate([first], start=len(prompt) + len(tokens) - 1)[0]


def main():
    here = os.path.dirname(os.path.abspath(__file__))
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("output")
    parser.add_argument("--tokens", type=int, default=80)
    parser.add_argument("--prompts", default=os.path.join(here, "../fixtures/llamacpp/prompts.json"))
    parser.add_argument("--exact", help="where the F32 copy is, or is to be kept (default: a temporary file)")
    args = parser.parse_args()
    exact = args.exact or os.path.join(tempfile.mkdtemp(), "exact.gguf")
    if not os.path.exists(exact):
        llamacpp.exact_copy(args.model, exact)
    reader = gguf.GGUFReader(args.model)
    engine = llamacpp.LlamaCpp(exact)
    cases = []
    for prompt in json.load(open(args.prompts, encoding="utf-8"))["greedy"]:
        if "chat" in prompt and "tokenizer.chat_template" not in reader.fields:
            continue
        text = prompt.get("text") or render(reader, prompt["chat"])
        ids = engine.tokenize(text, special="chat" in prompt)
        tokens, best = continue_greedily(engine, ids, args.tokens)
        cases.append({"name": prompt["name"], "text": text, "special": "chat" in prompt, "prompt": ids,
                      "tokens": tokens,
                      "best": best})
        gap = min(row[1] - row[3] for row in best)
        print(f"{prompt['name']}: {len(ids)} + {len(tokens)} tokens, narrowest gap {gap:.4f}: "
              + repr("".join(engine.piece(t) for t in tokens[:12])))
    with open(args.output, "w", encoding="utf-8") as out:
        head = {"model": os.path.basename(args.model), "by": "llama.cpp (cyllama 0.2.18), weights as F32, F32 cache",
                "best": "rows: token, logit, second token, its logit"}
        out.write(json.dumps(head)[:-1] + ', "cases": [\n')
        out.write(",\n".join(json.dumps(case, ensure_ascii=False) for case in cases) + "\n]}\n")


if __name__ == "__main__":
    main()
