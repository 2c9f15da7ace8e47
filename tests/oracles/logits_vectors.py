#!/usr/bin/env python3
"""Writes llama.cpp's logits at every position of a 256-token text.

    logits_vectors.py MODEL OUTPUT.json [--exact FILE] [--full FILE] [--skip N]   writes OUTPUT.json and OUTPUT.bin
    logits_vectors.py MODEL --survey [--exact FILE]                    how far llama.cpp is from itself

All logits of a text would take 50 MB, so the file has the logits of 512 random tokens, as int16 with a scale for each
position. Their cosines estimate those over the whole vocabulary (the squared distance of two vectors within sqrt(2/512)
= 6 %, one standard deviation, for numbers that are about normal); the norms of the whole vectors and the two best
tokens are stored as well. With --skip the text is repeated, and its first N positions are evaluated but not stored, to
test a model beyond its attention window. --full writes all logits, F32, which tests/js/logits.test.js compares if the
file exists.
"""
import argparse
import json
import os
import tempfile

import numpy as np

import llamacpp
from greedy_vectors import continue_greedily

POSITIONS, ENTRIES = 256, 512


def cosines(a, b):
    a, b = a.astype(np.float64), b.astype(np.float64)
    return (a * b).sum(1) / np.sqrt((a * a).sum(1) * (b * b).sum(1))


def write_vectors(output, model, tokens, logits, by="llama.cpp (cyllama 0.2.18), weights as F32, F32 cache", skip=0):
    entries = np.sort(np.random.default_rng(1).choice(logits.shape[1], min(ENTRIES, logits.shape[1]), replace=False))
    kept = logits[:, entries]
    scales = np.abs(kept).max(axis=1) / 32767
    coded = np.round(kept / scales[:, None]).astype("<i2")
    coded.tofile(output[: -len("json")] + "bin")
    best = []
    for row in logits:
        first, second = (int(i) for i in np.argsort(-row, kind="stable")[:2])
        best.append([first, round(float(row[first]), 5), second, round(float(row[second]), 5)])
    head = {"model": os.path.basename(model), "by": by,
            "layout": ".bin: int16 little-endian [tokens, entries], times scales[position]",
            "best": best, "tokens": tokens, **({"skip": skip} if skip else {}), "entries": entries.tolist(),
            "scales": [float(f"{s:.8g}") for s in scales],
            "norms": [float(f"{n:.8g}") for n in np.linalg.norm(logits.astype(np.float64), axis=1)]}
    with open(output, "w", encoding="utf-8") as out:
        out.write("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in head.items()) + "\n}\n")
    again = cosines(coded * scales[:, None], kept)
    print(f"{output}: {len(tokens)} positions, the coded entries' least cosine with what they code {again.min():.9f}")


def survey(model, exact_path, tokens, prompts):
    variants = {"batch 512": {}, "batch 8": {"batch": 8}, "batch 1": {"batch": 1}, "2 threads": {"threads": 2},
                "F32 cache": {"f16_cache": False}, "flash attention": {"flash_attention": True}}
    logits = {"F32 weights": llamacpp.LlamaCpp(exact_path).evaluate(tokens)}
    logits["F32 weights, F16 cache"] = llamacpp.LlamaCpp(exact_path, f16_cache=True).evaluate(tokens)
    for name, options in variants.items():
        logits[name] = llamacpp.LlamaCpp(model, **{"f16_cache": True, **options}).evaluate(tokens)
    print(f"Cosines of logits, {len(tokens)} positions\n| | with | least | median | positions < 0.999 "
          "| largest difference | other best token |\n|---|---|---|---|---|---|---|")
    for other in ("F32 weights", "batch 512"):
        for name, values in logits.items():
            if name != other:
                c = cosines(values, logits[other])
                print(f"| {name} | {other} | {c.min():.5f} | {np.median(c):.6f} | {(c < 0.999).sum()} "
                      f"| {np.abs(values - logits[other]).max():.3g} "
                      f"| {(values.argmax(1) != logits[other].argmax(1)).sum()} |")
    print("\nGreedy continuations: tokens until the first difference, and the gap of the two best logits there\n"
          "| prompt | file as it is, with F32 weights | file as it is, batch 1, with batch 512 |\n|---|---|---|")
    engines = {"exact": llamacpp.LlamaCpp(exact_path), "512": llamacpp.LlamaCpp(model, f16_cache=True),
               "1": llamacpp.LlamaCpp(model, f16_cache=True, batch=1)}
    for case in prompts:
        runs = {name: continue_greedily(engine, case["prompt"], 80) for name, engine in engines.items()}
        row = []
        for a, b in (("exact", "512"), ("512", "1")):
            n = min(len(runs[a][0]), len(runs[b][0]))
            at = next((i for i in range(n) if runs[a][0][i] != runs[b][0][i]), None)
            row.append("none" if at is None else f"{at}, {runs[a][1][at][1] - runs[a][1][at][3]:.3f}")
        print(f"| {case['name']} | {row[0]} | {row[1]} |", flush=True)


def main():
    fixtures = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/llamacpp")
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model")
    parser.add_argument("output", nargs="?")
    parser.add_argument("--exact", help="where the F32 copy is, or is to be kept (default: a temporary file)")
    parser.add_argument("--full")
    parser.add_argument("--skip", type=int, default=0)
    parser.add_argument("--survey", action="store_true")
    args = parser.parse_args()
    exact = args.exact or os.path.join(tempfile.mkdtemp(), "exact.gguf")
    if not os.path.exists(exact):
        llamacpp.exact_copy(args.model, exact)
    engine = llamacpp.LlamaCpp(exact)
    text = json.load(open(os.path.join(fixtures, "prompts.json"), encoding="utf-8"))["logits"]["text"]
    tokens = engine.tokenize(text * (2 + args.skip // POSITIONS))[: args.skip + POSITIONS]
    if args.survey:
        survey(args.model, exact, tokens, json.load(open(os.path.join(fixtures, "smollm2-greedy.json")))["cases"])
        return
    logits = engine.evaluate(tokens)[args.skip:]
    if args.full:
        logits.astype("<f4").tofile(args.full)
    write_vectors(args.output, args.model, tokens, logits, skip=args.skip)


if __name__ == "__main__":
    main()
