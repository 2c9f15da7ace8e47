#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_json: json_seeds.py FOLDER"""
import sys
from pathlib import Path

TEXTS = ['{"a":[1,-2.5e-3,true,null],"b":{"c":"d"}}', '"\\u00e9\\ud83d\\ude00\\n\\\\"', "[[[[]]]]",
         "[{},{},NaN,-Infinity]", '{"a":1,}', " 0 "]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for i, text in enumerate(TEXTS):
        (folder / f"text{i}").write_text(text)


if __name__ == "__main__":
    main()
