#!/usr/bin/env python3
"""Writes folders with sentencepiece's tokenizer.model and without tokenizer.json, and their tokens of texts.

    tokenizer_model.py [OUTPUT = tests/fixtures/text/tokenizer-model.json]

{ texts, cases: [{ model (base64), model_type, config, added?, by, ids, decoded, around }] }. by "transformers":
AutoTokenizer with the folder, if its class builds its own tokenizer; added is added_tokens.json. by "sentencepiece":
the library itself. It does not parse control tokens, so its texts have none, and no clusters of characters that rules
replace.
"""
import base64
import io
import json
import os
import pathlib
import sys
import tempfile

import sentencepiece
import transformers
from transformers import AutoTokenizer

from text_cases import PROSE
from text_fixtures import CHARSMAP

HERE = pathlib.Path(__file__).resolve().parent
TEXTS = ["Hello  wonderful world", "  the \ufb01rst \u00e9 \u4eba\u4eba\U0001f600 one ", " a\n b\t c\u3000d",
         "it was <tool>the<tool> 1\u00b2", "", " ",
         "x", "the \u2581it"]
SPECIAL = ["a</s> b<s>the", "<new> it<unk>x </s>"]


def train(kind, folder, charsmap=False, **more):
    if charsmap:
        rules = pathlib.Path(folder) / "rules.tsv"
        hexes = lambda text: " ".join(f"{ord(c):X}" for c in text)
        rules.write_text("".join(f"{hexes(a)}\t{hexes(b)}\n" for a, b in sorted(CHARSMAP)))
        more["normalization_rule_tsv"] = str(rules)
    else:
        more["normalization_rule_name"] = "identity"
    out = io.BytesIO()
    sentencepiece.SentencePieceTrainer.train(
        sentence_iterator=iter([line for line in PROSE.split("\n") if line.strip()]), model_writer=out, model_type=kind,
        vocab_size=420 if more.get("byte_fallback") else 220, character_coverage=0.98, minloglevel=2,
        num_threads=1, hard_vocab_limit=False, **more)
    return out.getvalue()


LLAMA = {"tokenizer_class": "LlamaTokenizer"}
PLAIN = dict(byte_fallback=True, remove_extra_whitespaces=False, user_defined_symbols=["<tool>"])
T5 = {"tokenizer_class": "T5Tokenizer", "extra_ids": 0}
CASES = [  # kind, settings, model_type, tokenizer_config.json, added_tokens.json
    ("bpe", PLAIN, "llama", LLAMA | {"add_bos_token": True}, None),
    ("bpe", PLAIN, "llama", LLAMA | {"legacy": True, "add_eos_token": True}, None),
    ("bpe", PLAIN, "llama", LLAMA | {"add_prefix_space": False}, {"<new>": 420, "<other>": 421}),
    ("bpe", PLAIN, "llama", LLAMA | {"added_tokens_decoder": {"420": {"content": "<new>", "lstrip": True,
                                                                      "rstrip": True,
     "normalized": False, "single_word": False, "special": True}}}, None),
    ("unigram", dict(byte_fallback=True), "llama", LLAMA, None),
    ("unigram", dict(charsmap=True, pad_id=0, eos_id=1, unk_id=2, bos_id=-1), "llama", T5, None),
]
OWN = [  # kind, settings
    ("bpe", PLAIN), ("bpe", dict(byte_fallback=True)), ("bpe", dict(charsmap=True)),
    ("bpe", dict(PLAIN, add_dummy_prefix=False)), ("unigram", dict(charsmap=True)),
    ("unigram", dict(charsmap=True, remove_extra_whitespaces=False, user_defined_symbols=["<tool>"])),
    ("unigram", dict(add_dummy_prefix=False)),
]


def main():
    transformers.logging.set_verbosity_error()
    cases = []
    for kind, settings, model_type, config, added in CASES:
        with tempfile.TemporaryDirectory() as folder:
            model, path = train(kind, folder, **settings), pathlib.Path(folder)
            (path / "tokenizer.model").write_bytes(model)
            (path / "config.json").write_text(json.dumps({"model_type": model_type}))
            (path / "tokenizer_config.json").write_text(json.dumps(config))
            if added:
                (path / "added_tokens.json").write_text(json.dumps(added))
            library = AutoTokenizer.from_pretrained(folder)
        texts = TEXTS + SPECIAL
        ids = [library.encode(text, add_special_tokens=False) for text in texts]
        cases.append({"model": base64.b64encode(model).decode(), "model_type": model_type, "config": config} | (
            {"added": added} if added else {}) | {"by": "transformers", "ids": ids, "around": library.encode(texts[0]),
             "decoded": [library.decode(i, skip_special_tokens=True) for i in ids]})
    for kind, settings in OWN:
        with tempfile.TemporaryDirectory() as folder:
            model = train(kind, folder, **settings)
        library = sentencepiece.SentencePieceProcessor(model_proto=model)
        ids = [library.encode(text) for text in TEXTS]
        cases.append({"model": base64.b64encode(model).decode(), "model_type": "llama", "config": {},
                      "by": "sentencepiece",
                      "ids": ids, "around": ids[0]})
    path = HERE.parent / "fixtures" / "text" / "tokenizer-model.json"
    path = pathlib.Path(sys.argv[1]) if len(sys.argv) > 1 else path
    path.write_text(json.dumps({"texts": TEXTS + SPECIAL, "cases": cases}, separators=(",", ":")) + "\n")
    print(f"{path.name}: {path.stat().st_size} bytes, {len(cases)} cases")


if __name__ == "__main__":
    os.environ["HF_HUB_OFFLINE"] = "1"
    main()
