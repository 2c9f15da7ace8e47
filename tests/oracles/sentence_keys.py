#!/usr/bin/env python3
"""Writes the keys that sentence-transformers reads from the files beside a model.

    sentence_keys.py [OUTPUT = tests/fixtures/sentence/keys.json]

They are the parameters of its modules' constructors, and the keys that are read while a folder of sentence_folders.py
is loaded: the files are parsed into dictionaries that record each access. src/convert/sentence.c must know all of them.
"""
import inspect
import json
import os
import sys
import tempfile
import warnings

import transformers
from sentence_transformers import SentenceTransformer
from sentence_transformers.sentence_transformer import modules
from sentence_transformers.sentence_transformer.modules import pooling

from sentence_folders import lay_together

warnings.simplefilter("ignore")
FILES = ("config_sentence_transformers.json", "sentence_bert_config.json", "modules.json")
MODULES = ("Transformer", "Pooling", "Dense", "LayerNorm", "Normalize", "Dropout")


class Watched(dict):
    """Records the keys that were read, whether they exist or not."""
    asked = None

    def __getitem__(self, key):
        self.asked.add(key)
        return super().__getitem__(key)

    def get(self, key, *rest):
        self.asked.add(key)
        return super().get(key, *rest)

    def pop(self, key, *rest):
        self.asked.add(key)
        return super().pop(key, *rest)

    def setdefault(self, key, *rest):
        self.asked.add(key)
        return super().setdefault(key, *rest)

    def __contains__(self, key):
        self.asked.add(key)
        return super().__contains__(key)


def watched(value, asked):
    if isinstance(value, list):
        return [watched(item, asked) for item in value]
    if not isinstance(value, dict):
        return value
    found = Watched(value)
    found.asked = asked
    return found


def keys_of_files(folders):
    asked = {name: set() for name in FILES}
    load = json.load

    def watching(file, *args, **more):
        value, name = load(file, *args, **more), os.path.basename(getattr(file, "name", ""))
        return watched(value, asked[name]) if name in asked else value
    json.load = watching
    try:
        for folder in folders:
            SentenceTransformer(folder, device="cpu")
    finally:
        json.load = load
    return {name: sorted(keys) for name, keys in asked.items()}


def keys_of_modules():
    found = {}
    for name in MODULES:
        kind = getattr(modules, name)
        keys = set(inspect.signature(inspect.unwrap(kind.__init__)).parameters) - {"self"}
        found[name] = sorted(keys | set(kind.config_keys) | set(kind.config_key_renames))
    found["Pooling"] = sorted({*found["Pooling"], *pooling._LEGACY_POOLING_MODE_KWARGS})
    return found


def main():
    transformers.logging.set_verbosity_error()
    here = os.path.dirname(os.path.abspath(__file__))
    fixtures = os.path.join(here, "../fixtures/sentence")
    output = sys.argv[1] if len(sys.argv) > 1 else os.path.join(fixtures, "keys.json")
    folders = []
    for name, base in (("prompts", "base-bert"), ("old-several", "base-bert"), ("several", "base-bert")):
        folders.append(tempfile.mkdtemp())
        lay_together(folders[-1], os.path.join(fixtures, base), os.path.join(fixtures, name))
    keys = keys_of_modules() | keys_of_files(folders)
    with open(output, "w", encoding="utf-8") as out:
        json.dump(keys, out, indent=1)
        out.write("\n")
    print(keys)


if __name__ == "__main__":
    main()
