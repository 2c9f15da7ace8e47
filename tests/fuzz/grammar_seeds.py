#!/usr/bin/env python3
"""Writes a seed corpus for fuzz_grammar: grammar_seeds.py FOLDER"""
import sys
from pathlib import Path

SEEDS = [('root ::= "a"* b? [^\\x00-\\x1f"]{2,3}\nb ::= (root | "\\u00e9") "\\n" .', 'aab\u00e9\n\u20acxy'),
         ('root ::= "{" p ("," p)* "}" # x\np ::= "\\"" [a-z]+ "\\":" v\nv ::= "[" (v ("," v)*)? "]" | [0-9]{1,} | root',
          '{"ab":[1,[22,{"c":[]}]]}'),
         ('root ::= "a" root "b" | "a" root "c" | l\nl ::= p |\n ""\np ::= "x" l', "aaxxbc"),
         ("root ::= ((\"a\"?){0,3} | [\\U00010000-\\U0010FFFF])+ [\\-\\]\\[\\\\\\^]", "aa\U0001f600-")]


def main():
    folder = Path(sys.argv[1])
    folder.mkdir(parents=True, exist_ok=True)
    for i, (grammar, text) in enumerate(SEEDS):
        (folder / f"seed{i}").write_bytes(f"{grammar}\n---\n{text}".encode())


if __name__ == "__main__":
    main()
