#!/usr/bin/env python3
"""Writes tests/fixtures/encoders/similarity.json: how far the vectors of one model are from those of another.

    similarity_vectors.py [OUTPUT = tests/fixtures/encoders/similarity.json]

Of each passage 1 - cosine (scipy.spatial.distance.cosine), with the standard error of the mean (scipy.stats.sem), and
Spearman's rank correlation of the cosines of all pairs of passages (scipy.stats.spearmanr of 1 - pdist(..., "cosine")).
The vectors of "ties" lie on axes, so their cosines are exactly -1, 0 or 1, and many ranks are equal. Needs numpy and
scipy.
"""
import json
import os
import sys

import numpy as np
from scipy.spatial.distance import cosine, pdist
from scipy.stats import sem, spearmanr

PASSAGES, SIZE = 9, 12


def case(base, other):
    distances = np.array([cosine(a, b) for a, b in zip(base, other)])
    correlation = spearmanr(1 - pdist(base, "cosine"), 1 - pdist(other, "cosine")).statistic
    return {"base": base.tolist(), "other": other.tolist(), "byPassage": distances.tolist(), "mean": distances.mean(),
            "standardError": sem(distances), "largest": distances.max(), "rankCorrelation": correlation}


def main():
    random = np.random.default_rng(7)
    base = random.standard_normal((PASSAGES, SIZE)).round(4)
    axes = np.zeros((PASSAGES, SIZE))
    axes[np.arange(PASSAGES), random.integers(0, 3, PASSAGES)] = random.choice([-2.0, 1.0], PASSAGES)
    cases = {
        "near": case(base, base + (0.05 * random.standard_normal(base.shape)).round(4)),
        "far": case(base, random.standard_normal(base.shape).round(4)),
        "ties": case(axes, base),
    }
    own = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../fixtures/encoders/similarity.json")
    with open(sys.argv[1] if len(sys.argv) > 1 else own, "w", encoding="utf-8") as out:
        json.dump(cases, out, indent=0)
        out.write("\n")


main()
